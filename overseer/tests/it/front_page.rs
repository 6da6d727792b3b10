//! The front page shows what its examples run: they include two files, so that each can go on where the last one ended.

const STATION: &str = include_str!("station.rs");
const CAREFUL: &str = include_str!("careful.rs");
const TEN_MINUTES: &str = include_str!("../../src/ten-minutes.md");
const JOBS_AND_MOCKS: &str = include_str!("../../src/jobs-and-mocks.md");

/// The code block that defines `what`.
fn block<'a>(page: &'a str, what: &str) -> &'a str {
    let block = page.split("```").skip(1).step_by(2).find(|block| block.contains(what));
    block.unwrap_or_else(|| panic!("the page has no block with {what:?}"))
}

/// Its visible lines.
fn shown(page: &str, what: &str) -> String {
    let visible = block(page, what).lines().skip(1).filter(|line| !line.starts_with("# "));
    visible.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_table_of_compile_errors_has_their_first_lines() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compile_fail")).expect("it is there");
    let paths = folder.map(|entry| entry.expect("it is readable").path());
    let texts = paths.filter(|path| path.extension().is_some_and(|end| end == "stderr"));
    let texts: Vec<String> = texts.map(|path| std::fs::read_to_string(path).expect("it is text")).collect();
    let (_, table) = TEN_MINUTES.split_once("| first line |").expect("the page has the table");
    let rows: Vec<&str> = table.lines().skip(2).map_while(|row| row.strip_prefix("| ")?.split(" | ").next()).collect();
    assert_eq!(rows.len(), 7, "{rows:?}");
    for row in rows {
        // What stands in quotes is a name, and another one each time.
        let is_said = texts.iter().any(|text| {
            let mut first = text.lines().next().unwrap_or_default();
            row.split('`').step_by(2).all(|words| {
                let rest = first.split_once(words).map(|(_, rest)| rest);
                first = rest.unwrap_or_default();
                rest.is_some()
            })
        });
        assert!(is_said, "no compiler says: {row}");
    }
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
    let (_, careful) = CAREFUL.split_once("\n\n").expect("careful.rs begins with a comment");
    assert_eq!(shown(JOBS_AND_MOCKS, "pub struct Careful") + "\n", careful);
    // What uses those files shows every other name that it uses.
    for (page, what) in [(TEN_MINUTES, "struct Visitor"), (JOBS_AND_MOCKS, "mocks::schedules")] {
        let hidden = block(page, what).lines().find(|line| line.starts_with("# use "));
        assert_eq!(hidden, None, "the block with {what:?} hides what it uses");
    }
    assert!(shown(TEN_MINUTES, "struct Visitor").contains("fn main()"), "the program has a beginning");
}
