//! The front page shows what its examples run: they include two files, so that each can go on where the last one ended.

const STATION: &str = include_str!("station.rs");
const CAREFUL: &str = include_str!("careful.rs");
const TEN_MINUTES: &str = include_str!("../../src/ten-minutes.md");
const JOBS_AND_MOCKS: &str = include_str!("../../src/jobs-and-mocks.md");

/// The visible lines of the code block that defines `what`.
fn shown(page: &str, what: &str) -> String {
    let block = page.split("```").skip(1).step_by(2).find(|block| block.contains(what));
    let block = block.unwrap_or_else(|| panic!("the page has no block with {what:?}"));
    let visible = block.lines().skip(1).filter(|line| !line.starts_with("# "));
    visible.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_front_page_shows_what_its_examples_include() {
    // All of it, so that who copies the visible blocks into one file has what the example "Running it" runs.
    let blocks = [
        "use std::collections",
        "built by StationBuilder",
        "pub enum Days",
        "pub struct Thermometer",
        "pub struct Memory",
    ];
    let program = blocks.map(|what| shown(TEN_MINUTES, what)).join("\n\n") + "\n";
    let (_, station) = STATION.split_once("\n\n").expect("station.rs begins with a comment");
    assert_eq!(program, station);
    let running = shown(TEN_MINUTES, "struct Visitor");
    assert!(running.contains("use overseer::{Ask, Outside};") && running.contains("fn main()"), "{running}");
    // Its first line, which names what it uses, stands among others in the file.
    let careful = shown(JOBS_AND_MOCKS, "pub struct Careful");
    let (uses, careful) = careful.split_once("\n\n").expect("the block has an empty line");
    assert!(CAREFUL.contains(uses) && CAREFUL.contains(careful), "careful.rs differs from its block");
}
