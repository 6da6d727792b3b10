//! Folders, names, headers, licences, lint configuration.

use super::{Finding, Severity, sources::SIMULATED_ROOMS};
use crate::{
    house::{House, LockFile, Package},
    source::CodeView,
};

/// Folders whose package has another name, because the folder says where it is and the package what users type.
const OTHER_NAMES: &[(&str, &str)] = &[("node-bin", "parahost"), ("tests", "whole-node-tests")];
/// The licence of every crate.
const LICENSE: &str = "Apache-2.0 OR MIT";
/// Licence texts at the root, each with words it must contain.
const LICENSE_TEXTS: &[(&str, &str)] =
    &[("LICENSE-APACHE", "Version 2.0, January 2004"), ("LICENSE-MIT", "Permission is hereby granted")];
/// Role, receives, sends, invariants, limits: a header that says less is no header.
const HEADER_LINES_MIN: usize = 5;
/// `main` holds no policy.
const MAIN_LINES_MAX: usize = 50;
/// The file that the rule above is about.
const MAIN_FILE: &str = "node-bin/src/main.rs";
/// Longer files are hard to hold in one's head; said, not enforced.
const FILE_LINES_WARN: usize = 800;
/// What is read in an evening: no more than this many lines of code altogether, tests and comments apart.
const FRAMEWORK: &[&str] = &["overseer", "crates/deterministic", "jobs"];
const FRAMEWORK_LINES_MAX: usize = 6_000;
/// What is proved by models: the fewer steps, the better the proof.
const CORE: &[&str] = &["overseer-core"];
const CORE_LINES_MAX: usize = 1_600;

/// Spellings that are right elsewhere, with ours. In two parts, because this file is read as well.
const OTHER_SPELLINGS: &[(&str, &str)] = &[(concat!("misbehav", "iour"), "misbehavior")];

pub(super) fn check(house: &House, findings: &mut Vec<Finding>) {
    for package in &house.packages {
        name(package, findings);
        license(house, package, findings);
        header(house, package, findings);
    }
    license_texts(house, findings);
    lock_file(house, findings);
    main_length(house, findings);
    file_length(house, findings);
    lines_of(house, FRAMEWORK, FRAMEWORK_LINES_MAX, findings);
    lines_of(house, CORE, CORE_LINES_MAX, findings);
    equal_clippy_files(house, findings);
    spelling(house, findings);
}

/// Names in code, messages and pages agree, so that a search for one finds all.
fn spelling(house: &House, findings: &mut Vec<Finding>) {
    for (path, text) in &house.files {
        for (line, text) in text.lines().enumerate() {
            let text = text.to_lowercase();
            for (other, ours) in OTHER_SPELLINGS.iter().filter(|(other, _)| text.contains(other)) {
                let mend = format!("write `{ours}`: one word for one thing (docs/glossary.md)");
                findings.push(Finding::error("spelling", path, Some(line + 1), format!("`{other}`"), mend));
            }
        }
    }
}

fn name(package: &Package, findings: &mut Vec<Finding>) {
    let folder = package.folder.rsplit('/').next().unwrap_or_default();
    let expected = OTHER_NAMES.iter().find(|(other, _)| *other == package.folder).map_or(folder, |&(_, name)| name);
    if package.name != expected {
        findings.push(Finding::error(
            "folder-is-name",
            &package.manifest(),
            Some(1),
            format!("the folder `{}` holds the package `{}`", package.folder, package.name),
            format!("call the package `{expected}`, or rename the folder: `ls` is the architecture"),
        ));
    }
}

fn license(house: &House, package: &Package, findings: &mut Vec<Finding>) {
    if package.license.as_deref() != Some(LICENSE) {
        findings.push(Finding::error(
            "licence",
            &package.manifest(),
            house.dependency_line(package, "license"),
            format!("the licence field is {:?}", package.license.as_deref().unwrap_or("missing")),
            format!("write `license.workspace = true` (it is {LICENSE:?})"),
        ));
    }
}

fn license_texts(house: &House, findings: &mut Vec<Finding>) {
    for &(path, words) in LICENSE_TEXTS {
        if !house.files.get(path).is_some_and(|text| text.contains(words)) {
            let what = "the licence's text is missing or is another's".to_owned();
            findings.push(Finding::error("licence", path, None, what, "put the standard text there"));
        }
    }
}

fn header(house: &House, package: &Package, findings: &mut Vec<Finding>) {
    // An example is read from top to bottom: it needs no map.
    if package.folder.starts_with("examples/") {
        return;
    }
    let library = format!("{}/src/lib.rs", package.folder);
    let program = format!("{}/src/main.rs", package.folder);
    let Some((path, text)) = [&library, &program].into_iter().find_map(|path| Some((path, house.files.get(path)?)))
    else {
        return;
    };
    let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
    if lines < HEADER_LINES_MIN {
        findings.push(Finding::error(
            "header",
            path,
            Some(1),
            format!("the crate's header has {lines} lines of `//!`, at least {HEADER_LINES_MIN} are asked for"),
            "say its role, what it receives and sends, what always holds, and its limits",
        ));
    }
}

fn lock_file(house: &House, findings: &mut Vec<Finding>) {
    let (what, mend) = match house.lock_file {
        LockFile::Committed => return,
        LockFile::Untracked => ("git does not know the lock file", "git add Cargo.lock"),
        LockFile::Missing => ("there is no lock file", "cargo generate-lockfile, and commit it"),
    };
    findings.push(Finding::error("lock-file", "Cargo.lock", None, what.to_owned(), mend));
}

fn main_length(house: &House, findings: &mut Vec<Finding>) {
    let lines = house.files.get(MAIN_FILE).map_or(0, |text| text.lines().count());
    if lines > MAIN_LINES_MAX {
        findings.push(Finding::error(
            "short-main",
            MAIN_FILE,
            Some(MAIN_LINES_MAX + 1),
            format!("{lines} lines, at most {MAIN_LINES_MAX} are allowed"),
            "move what decides something into a module beside it, or into crates/node",
        ));
    }
}

fn lines_of(house: &House, folders: &[&str], lines_max: usize, findings: &mut Vec<Finding>) {
    let count = |folder: &str| house.rust_files(&format!("{folder}/src")).map(code_lines).sum::<usize>();
    let lines: usize = folders.iter().map(|folder| count(folder)).sum();
    if lines > lines_max {
        findings.push(Finding::error(
            "small-framework",
            folders[0],
            None,
            format!("{lines} lines of code in {}, at most {lines_max} are allowed", folders.join(", ")),
            "take out what nobody uses, or what a subsystem can do for itself: the framework is read in an evening",
        ));
    }
}

/// Lines with code, without tests: those stand in files of that name, or at the end.
fn code_lines((path, text): (&str, &str)) -> usize {
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return 0;
    }
    let view = CodeView::new(text);
    let code = view.text().lines().take_while(|line| !line.starts_with("mod tests {"));
    code.filter(|line| !line.trim().is_empty() && !line.starts_with("#[cfg(test)]")).count()
}

fn file_length(house: &House, findings: &mut Vec<Finding>) {
    for (path, text) in house.rust_files("") {
        let lines = text.lines().count();
        if lines > FILE_LINES_WARN {
            findings.push(Finding {
                severity: Severity::Warning,
                path: path.to_owned(),
                line: None,
                rule: "long-file",
                what: format!("{lines} lines, {FILE_LINES_WARN} are enough"),
                mend: "split it where the story has a chapter".to_owned(),
            });
        }
    }
}

/// Clippy reads the nearest `clippy.toml` at or above a crate, and only that one; so each room has a copy, and the
/// copies must say the same. The root's own thresholds must be part of them, or the rooms would be laxer.
fn equal_clippy_files(house: &House, findings: &mut Vec<Finding>) {
    let path_of = |room: &str| format!("{room}/clippy.toml");
    let model_path = path_of(SIMULATED_ROOMS[0]);
    let Some(model) = house.files.get(&model_path) else {
        let what = "the room has no bans of its own".to_owned();
        findings.push(Finding::error("clippy-bans", &model_path, None, what, "copy another room's clippy.toml"));
        return;
    };
    for room in &SIMULATED_ROOMS[1..] {
        if house.files.get(&path_of(room)) != Some(model) {
            let what = format!("differs from {model_path}, or is missing");
            let mend = format!("cp {model_path} {}", path_of(room));
            findings.push(Finding::error("clippy-bans", &path_of(room), None, what, mend));
        }
    }
    let root = house.files.get("clippy.toml").map(String::as_str).unwrap_or_default();
    for line in root.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()) {
        if !model.lines().any(|ours| ours == line) {
            let what = format!("lacks the root's `{line}`");
            findings.push(Finding::error("clippy-bans", &model_path, None, what, "add the line to all four rooms"));
        }
    }
    // A nearer clippy.toml would silently lift the bans for one crate.
    for path in house.files.keys().filter(|path| path.ends_with("/clippy.toml")) {
        let folder = path.trim_end_matches("/clippy.toml");
        if !SIMULATED_ROOMS.contains(&folder)
            && SIMULATED_ROOMS.iter().any(|room| folder.starts_with(&format!("{room}/")))
        {
            let what = "hides the room's bans from this crate".to_owned();
            findings.push(Finding::error("clippy-bans", path, None, what, "delete it"));
        }
    }
}
