//! `cargo xtask reference`: a page per module of the runtime, made from what the module says of itself.
//!
//! The header of a module is its page: what it stores, its entry points, its order. Limits and errors are read off its
//! constants and error types. `tidy` fails when a page is missing or stale, or a header leaves something out.

use crate::{
    house::{House, root},
    shell,
    source::CodeView,
};
use std::{collections::BTreeMap, fs};

/// Where the pages lie.
pub const FOLDER: &str = "docs/reference/runtime";
/// Where the sources lie.
const SOURCES: &str = "runtime/src";
/// Limits that several modules share.
const SHARED_LIMITS: &str = "runtime/src/limits.rs";
/// What the header of a module must say, and what the page calls it.
const SECTIONS: &[(&str, &str)] =
    &[("Stores:", "What it stores"), ("Entry points:", "Entry points"), ("Order:", "Order")];

/// A module: the name of its page, its section of the map, and its sources, the one with the header first.
struct Module {
    page: &'static str,
    section: &'static str,
    sources: &'static [&'static str],
}

const fn module(page: &'static str, section: &'static str, sources: &'static [&'static str]) -> Module {
    Module { page, section, sources }
}

/// The modules of the guide in the order in which they run, then those that the guide only assumes.
const MODULES: &[Module] = &[
    module("initializer", "initializer", &["initializer"]),
    module("session", "broad-strokes", &["session"]),
    module("configuration", "configuration", &["configuration", "configuration_change"]),
    module("paras", "paras", &["paras"]),
    module("scheduler", "scheduler", &["scheduler"]),
    module("inclusion", "inclusion", &["inclusion", "candidates"]),
    module("inclusion-inherent", "inclusion-inherent", &["inherent", "error"]),
    module(
        "validity",
        "validity",
        &[
            "validity/mod",
            "validity/disputes",
            "validity/verdict",
            "validity/remote",
            "validity/attestations",
            "validity/unavailable",
            "validity/fishermen",
            "validity/equivocation",
        ],
    ),
    module("misbehavior", "slashing-and-incentives", &["misbehavior"]),
    module("slashing", "slashing-and-incentives", &["slashing"]),
    module("messages", "beside-the-guide", &["messages", "channels", "queue"]),
    module("registrar", "beside-the-guide", &["registrar"]),
    module("governance", "configuration", &["governance"]),
    module("balances", "slashing-and-incentives", &["balances"]),
];

/// All pages by path.
///
/// # Errors
/// Sentences that name the source and what its header leaves out.
pub fn pages(house: &House) -> Result<BTreeMap<String, String>, Vec<(String, String)>> {
    let (mut pages, mut wrong) = (BTreeMap::new(), Vec::new());
    let written = written("");
    let mut index = format!("# The runtime, module by module\n\n{written}\n\nIn the order in which they run.\n\n");
    for module in MODULES {
        match page(house, module) {
            Ok((text, summary)) => {
                pages.insert(format!("{FOLDER}/{}.md", module.page), text);
                index.push_str(&format!("- [{0}]({0}.md): {summary}\n", module.page));
            }
            Err(what) => wrong.push(what),
        }
    }
    pages.insert(format!("{FOLDER}/README.md"), index);
    if wrong.is_empty() { Ok(pages) } else { Err(wrong) }
}

/// The second line of each page.
fn written(section: &str) -> String {
    format!(
        "Written by `cargo xtask reference` from the sources; what sentence of the guide a routine holds, and which test \
         holds it, [the map](../../runtime-map.md{section}) tells."
    )
}

/// Writes all pages.
///
/// # Errors
/// As [`pages`]; also when a file cannot be written.
pub fn write() -> Result<(), String> {
    let root = root()?;
    let house = House::read(&root)?;
    let pages = pages(&house)
        .map_err(|wrong| wrong.iter().map(|(path, what)| format!("{path}: {what}")).collect::<Vec<_>>().join("\n"))?;
    fs::create_dir_all(root.join(FOLDER)).map_err(|error| format!("{FOLDER}: {error}"))?;
    for (path, text) in pages {
        fs::write(root.join(&path), text).map_err(|error| format!("{path}: {error}"))?;
        shell::say(format_args!("wrote {path}"));
    }
    Ok(())
}

/// The page of a module, and one sentence of it. An error names the source and what is missing in it.
fn page(house: &House, module: &Module) -> Result<(String, String), (String, String)> {
    let mut sources = Vec::new();
    for name in module.sources {
        let path = format!("{SOURCES}/{name}.rs");
        let text = house.files.get(&path).ok_or_else(|| (path.clone(), "there is no such source".to_owned()))?;
        sources.push((*name, text.as_str()));
    }
    let Some(&(first, text)) = sources.first() else {
        return Err((module.page.to_owned(), "the module has no source".to_owned()));
    };
    let anchor = format!("#{}", module.section);
    let mut paragraphs = header(text).into_iter();
    let summary = paragraphs.next().unwrap_or_default();
    let (mut page, mut seen) = (format!("# {}\n\n{}\n\n{summary}\n", module.page, written(&anchor)), Vec::new());
    for paragraph in paragraphs {
        match SECTIONS.iter().find(|(label, _)| paragraph.starts_with(label)) {
            Some((label, title)) => {
                seen.push(*label);
                page.push_str(&format!("\n## {title}\n\n{}\n", capitalized(paragraph[label.len()..].trim())));
            }
            None => page.push_str(&format!("\n{paragraph}\n")),
        }
    }
    if let Some((missing, _)) = SECTIONS.iter().find(|(label, _)| !seen.contains(label)) {
        return Err((format!("{SOURCES}/{first}.rs"), format!("the header has no paragraph `{missing}`")));
    }
    push_parts(&mut page, &sources[1..]);
    push_limits(&mut page, house, &sources);
    push_errors(&mut page, &sources);
    let sentence = summary.split_inclusive(['.', ':']).next().unwrap_or_default();
    let sentence = if sentence.ends_with(':') { summary.clone() } else { sentence.to_owned() };
    Ok((page, sentence))
}

/// What the further sources of a module say of themselves.
fn push_parts(page: &mut String, sources: &[(&str, &str)]) {
    if sources.is_empty() {
        return;
    }
    page.push_str("\n## Parts\n\n");
    for (name, text) in sources {
        let name = name.rsplit('/').next().unwrap_or(name);
        page.push_str(&format!("- `{name}`: {}\n", header(text).first().map(String::as_str).unwrap_or_default()));
    }
}

fn push_limits(page: &mut String, house: &House, sources: &[(&str, &str)]) {
    let used =
        |constant: &Constant| sources.iter().any(|(_, text)| !CodeView::new(text).words(&constant.name).is_empty());
    let shared = house.files.get(SHARED_LIMITS).map(|text| constants(text)).unwrap_or_default();
    let own = sources.iter().flat_map(|(_, text)| constants(text));
    let limits: Vec<_> = own.chain(shared.into_iter().filter(used)).collect();
    if limits.is_empty() {
        return;
    }
    page.push_str("\n## Limits\n\n| constant | value | meaning |\n|---|---|---|\n");
    for Constant { name, value, meaning } in limits {
        page.push_str(&format!("| `{name}` | `{value}` | {meaning} |\n"));
    }
}

fn push_errors(page: &mut String, sources: &[(&str, &str)]) {
    let rows: Vec<_> = sources.iter().flat_map(|(_, text)| errors(text)).collect();
    if rows.is_empty() {
        return;
    }
    page.push_str("\n## Errors\n\n| error | what is wrong |\n|---|---|\n");
    for (name, meaning) in rows {
        page.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
}

/// The paragraphs of the comment that a file begins with, each as one line.
fn header(text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).map(|lines| plain(&lines.join(" "))).collect()
}

/// Without what makes a name a link for rustdoc.
fn plain(text: &str) -> String {
    text.replace("[`crate::", "[`").replace("[`", "`").replace("`]", "`")
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

struct Constant {
    name: String,
    value: String,
    meaning: String,
}

/// The constants of a file that are numbers and have a comment.
fn constants(text: &str) -> Vec<Constant> {
    let mut found = Vec::new();
    let mut comment = String::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("///") {
            push_word(&mut comment, said);
            continue;
        }
        let declared = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("const ");
        if let Some((name, value)) = declared.and_then(|rest| rest.strip_suffix(';')?.split_once(" = "))
            && let Some((name, kind)) = name.split_once(": ")
            && !comment.is_empty()
            && !kind.contains(['[', '&'])
        {
            found.push(Constant { name: name.to_owned(), value: value.to_owned(), meaning: plain(&comment) });
        }
        comment.clear();
    }
    found
}

/// `Type::Variant` of each public error type of a file, with its comment.
fn errors(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (mut within, mut comment) = (None, String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("pub enum ") {
            within = rest.strip_suffix(" {").filter(|name| name.ends_with("Error"));
            comment.clear();
        } else if line == "}" {
            within = None;
        } else if let Some(said) = line.strip_prefix("    ///") {
            push_word(&mut comment, said);
        } else if let (Some(error), Some(rest)) = (within, line.strip_prefix("    ")) {
            let variant: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            if variant.starts_with(|first: char| first.is_ascii_uppercase()) {
                found.push((format!("{error}::{variant}"), plain(&std::mem::take(&mut comment))));
            }
        }
    }
    found
}

fn push_word(comment: &mut String, said: &str) {
    if !comment.is_empty() {
        comment.push(' ');
    }
    comment.push_str(said.trim());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::LockFile;

    const SOURCE: &str = "//! Doors (RT-0): they open and [`shut`].\n//!\n//! Stores: the doors.\n//!\n//! Entry points: \
        none, but\n//! [`crate::knock`].\n//!\n//! Order: first.\n\n/// Most doors.\nconst MAX_DOORS: usize = 3;\n\
        /// Stands before knocks.\nconst MAGIC: [u8; 4] = *b\"DOOR\";\n\n/// Why not.\npub enum DoorError {\n    /// It is \
        [`shut`].\n    #[error(\"shut\")]\n    Shut {\n        /// Which.\n        door: u8,\n    },\n}\n";

    fn page_of(source: &str) -> Result<(String, String), (String, String)> {
        let files = BTreeMap::from([
            ("runtime/src/doors.rs".to_owned(), source.to_owned()),
            (SHARED_LIMITS.to_owned(), "/// Most keys.\npub const MAX_KEYS: usize = 9;\n".to_owned()),
        ]);
        let house = House { packages: Vec::new(), files, lock_file: LockFile::Committed };
        page(&house, &module("doors", "ways-in", &["doors"]))
    }

    #[test]
    fn a_page_holds_what_the_module_says_of_itself() {
        let (page, summary) = page_of(SOURCE).unwrap();
        assert_eq!(summary, "Doors (RT-0): they open and `shut`.");
        let written = written("#ways-in");
        let expected = format!(
            "# doors\n\n{written}\n\nDoors (RT-0): they open and `shut`.\n\n## What it stores\n\nThe doors.\n\n## Entry \
             points\n\nNone, but `knock`.\n\n## Order\n\nFirst.\n\n## Limits\n\n| constant | value | meaning \
             |\n|---|---|---|\n| `MAX_DOORS` | `3` | Most doors. |\n\n## Errors\n\n| error | what is wrong \
             |\n|---|---|\n| `DoorError::Shut` | It is `shut`. |\n"
        );
        assert_eq!(page, expected);
    }

    #[test]
    fn shared_limits_stand_on_the_pages_of_those_who_use_them() {
        let (page, _) = page_of(&format!("{SOURCE}use crate::limits::MAX_KEYS;\n")).unwrap();
        assert!(page.contains("| `MAX_KEYS` | `9` | Most keys. |"), "{page}");
    }

    #[test]
    fn a_header_that_leaves_something_out_is_named() {
        let (path, what) = page_of(&SOURCE.replace("Order:", "Odour:")).unwrap_err();
        assert_eq!(path, "runtime/src/doors.rs");
        assert!(what.contains("`Order:`"), "{what}");
    }
}
