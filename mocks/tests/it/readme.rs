//! The README's test is the one of the guide, which is compiled and run as its documentation.

const README: &str = include_str!("../../../README.md");
const GUIDE: &str = include_str!("../../src/lib.rs");

#[test]
fn the_readme_shows_the_test_that_the_guide_runs() {
    let section = README.split("## Test a subsystem").nth(1).expect("the README has that section");
    let code = section.split("```").nth(1).expect("the section has a block of code");
    let guide: Vec<&str> = GUIDE.lines().filter_map(|line| line.strip_prefix("//! ")).collect();
    // The first line of the block names the language.
    for line in code.lines().skip(1).filter(|line| !line.is_empty()) {
        assert!(guide.contains(&line), "the guide has no line {line:?}");
    }
}
