//! Pages that name things of the sources must name things that are there.

use super::Finding;
use crate::{
    house::{House, is_below},
    reference,
    source::CodeView,
};

/// The guide's sentences with the code and the tests that hold them.
const MAP: &str = "docs/runtime-map.md";
/// As long as this stands there is a runtime to be mapped.
const RUNTIME: &str = "runtime/src/initializer.rs";
/// Where the code is that the map names.
const CODE_ROOMS: &[&str] = &["runtime/src", "crates/primitives/src", "crates/relay-chain/src"];
/// Where the tests are that it names: beside the code, too.
const TEST_ROOMS: &[&str] = &["runtime", "crates/relay-chain", "crates/primitives"];

pub(super) fn check(house: &House, findings: &mut Vec<Finding>) {
    if !house.files.contains_key(RUNTIME) {
        return;
    }
    reference_pages(house, findings);
    match house.files.get(MAP) {
        Some(map) => check_map(house, map, findings),
        None => findings.push(Finding::error(
            "runtime-map",
            MAP,
            None,
            "there is no map of the runtime".to_owned(),
            "say there which code and which test hold each sentence of the guide",
        )),
    }
}

fn reference_pages(house: &House, findings: &mut Vec<Finding>) {
    let mend = "cargo xtask reference, and commit what it writes";
    match reference::pages(house) {
        Ok(pages) => {
            for (path, text) in &pages {
                if house.files.get(path) != Some(text) {
                    let what = "the page is missing or stale".to_owned();
                    findings.push(Finding::error("runtime-reference", path, None, what, mend));
                }
            }
            let is_page = |path: &&String| is_below(path, reference::FOLDER);
            for path in house.files.keys().filter(is_page).filter(|path| !pages.contains_key(*path)) {
                let what = "there is no such module".to_owned();
                findings.push(Finding::error("runtime-reference", path, None, what, "delete the page"));
            }
        }
        Err(wrong) => {
            for (path, what) in wrong {
                let mend = "begin a paragraph of the header with it: it becomes a section of the module's page";
                findings.push(Finding::error("runtime-reference", &path, Some(1), what, mend));
            }
        }
    }
}

/// Sources by path, read once for all names.
struct Sources<'a>(Vec<(&'a str, CodeView)>);

impl<'a> Sources<'a> {
    fn of(house: &'a House, rooms: &'a [&'a str]) -> Self {
        let files = rooms.iter().flat_map(|room| house.rust_files(room));
        Self(files.map(|(path, text)| (path, CodeView::new(text))).collect())
    }

    /// Whether the code has `name`: a word of it, or `module::word`, or `Type::word` of one file.
    fn has_code(&self, name: &str) -> bool {
        let parts: Vec<_> = name.split("::").collect();
        self.0
            .iter()
            .any(|(path, view)| parts.iter().all(|part| module_of(path) == *part || !view.words(part).is_empty()))
    }

    /// Whether a test `module::name` stands in the file of that module or beside it.
    fn has_test(&self, name: &str) -> bool {
        let Some((module, test)) = name.rsplit_once("::") else {
            return false;
        };
        self.0.iter().filter(|(path, _)| module_of(path) == module).any(|(_, view)| {
            view.words("fn").into_iter().any(|at| {
                let is_it = view.rest(at + "fn".len()).strip_prefix(test).is_some_and(|rest| rest.starts_with('('));
                is_it && view.text()[..at].trim_end().ends_with("#[test]")
            })
        })
    }
}

/// Each row says what, by which code, held by which test; each name in it must be there.
fn check_map(house: &House, map: &str, findings: &mut Vec<Finding>) {
    let mut wrong = |line: usize, what: String, mend: &str| {
        findings.push(Finding::error("runtime-map", MAP, Some(line), what, mend));
    };
    let (code_rooms, test_rooms) = (Sources::of(house, CODE_ROOMS), Sources::of(house, TEST_ROOMS));
    for (line, text) in (1..).zip(map.lines()) {
        let Some(cells) = row(text) else {
            continue;
        };
        let [_, code, tests] = cells[..] else {
            wrong(line, "a row has three cells".to_owned(), "say what, by which code, and which test holds it");
            continue;
        };
        for name in quoted(code).filter(|name| !code_rooms.has_code(name)) {
            wrong(line, format!("there is no `{name}` in the code"), "name what does it now");
        }
        let mut named = quoted(tests).peekable();
        if named.peek().is_none() {
            wrong(line, "no test holds this".to_owned(), "write one, and name it as `module::test`");
        }
        for name in named.filter(|name| !test_rooms.has_test(name)) {
            wrong(line, format!("there is no test `{name}`"), "name it as `module::test`, in full");
        }
    }
}

/// The cells of a table's row; nothing for its head, the line under it, and what is no row.
fn row(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let cells: Vec<_> = inner.split(" | ").map(str::trim).collect();
    (cells.last() != Some(&"test")).then_some(cells)
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// `paras` for `paras.rs`, `paras/mod.rs`, `paras/tests.rs` and `paras_tests.rs`.
fn module_of(path: &str) -> &str {
    let path = path.trim_end_matches(".rs");
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "mod" | "tests" => folder.rsplit('/').next().unwrap_or(folder),
        _ => name.trim_end_matches("_tests"),
    }
}
