//! Of this repository, not of the exercise: its guide shows these very files, and its program does what it says.

use std::path::Path;
use std::process::Command;

/// The path to this repository, as here and as from a crate beside the checkout.
const PATHS: (&str, &str) = ("\"../../", "\"../parahost/");

#[test]
fn the_guide_shows_these_files() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let guide = read(&here.join("../../docs/guide/own-subsystem.md"));
    let mut shown = 0;
    // A file's block follows a line that is its path and a colon; other blocks are no Rust and no TOML.
    let parts: Vec<&str> = guide.split("`:\n\n```").collect();
    let is_file = |after: &str| after.starts_with("rust\n") || after.starts_with("toml\n");
    for (before, after) in parts.iter().zip(&parts[1..]).filter(|(_, after)| is_file(after)) {
        let name = before.rsplit('`').next().unwrap_or_default();
        let block = after.split_once('\n').and_then(|(_, code)| code.split_once("\n```\n")).expect("a block of code").0;
        let file = read(&here.join(name)).replace(PATHS.0, PATHS.1);
        assert_eq!(block, file.trim_end(), "docs/guide/own-subsystem.md shows another {name}");
        shown += 1;
    }
    assert_eq!(shown, 9, "files shown");
}

#[test]
fn the_guide_tells_what_the_compiler_says() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let broken = std::fs::read_dir(here.join("tests/broken")).expect("it is there");
    let paths = broken.map(|entry| entry.expect("it is readable").path());
    let texts = paths.filter(|path| path.extension().is_some_and(|end| end == "stderr"));
    // The guide breaks `Loyal` itself.
    let said = texts.map(|path| std::fs::read_to_string(path).expect("it is text").replace("Secretive", "Loyal"));
    let said = said.collect::<String>();
    let guide = std::fs::read_to_string(here.join("../../docs/guide/own-subsystem.md")).expect("it is there");
    let mut errors = 0;
    for block in guide.split("```text\n").skip(1).filter(|block| block.starts_with("error[")) {
        for line in block.lines().take_while(|line| *line != "```") {
            let words = line.trim_start_matches([' ', '|', '=']);
            assert!(said.contains(words), "docs/guide/own-subsystem.md tells what nobody says: {line}");
        }
        errors += 1;
    }
    assert_eq!(errors, 3, "errors of the compiler");
}

#[test]
fn its_node_seconds_the_favourite() {
    let output = Command::new(env!("CARGO_BIN_EXE_own-subsystem")).output().expect("it is built with its tests");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.starts_with("of 2 offered, seconded: "), "{output:?}");
}
