//! `cargo xtask new-subsystem`: a crate that looks like all the others.
//!
//! The texts are in `xtask/templates/subsystem/`; `{{name}}` stands there for `dispute-coordinator`, `{{module}}` for
//! `dispute_coordinator` and `{{Type}}` for `DisputeCoordinator`.

use crate::{house::root, shell, tidy::layer_of};
use std::{fs, path::Path};

/// What is made, and from what. The paths are below the new crate's folder.
const TEMPLATES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../templates/subsystem/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("../templates/subsystem/lib.rs.txt")),
    ("src/state.rs", include_str!("../templates/subsystem/state.rs.txt")),
    ("src/tests.rs", include_str!("../templates/subsystem/tests.rs.txt")),
];
/// The module of its messages, which live outside the crate that consumes them.
const MESSAGES: &str = include_str!("../templates/subsystem/messages.rs.txt");
/// The file that lists those modules.
const MESSAGES_LIST: &str = "messages/src/lib.rs";
/// The file that lists the slots which the test kit fills.
const MOCKED_ROLES: &str = "mocks/src/roles.rs";
/// The manifest and the file in which everything is wired.
const NODE_MANIFEST: &str = "crates/node/Cargo.toml";
const WIRING: &str = "crates/node/src/wiring.rs";
/// What is printed: what only a person knows.
const BY_HAND: &str = include_str!("../templates/subsystem/by-hand.txt");
/// Names that a crate or module cannot have: Rust's words, what `std` is made of, and what cargo keeps for itself.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];
/// What the builder of every `node!` has as a method: a slot's would be a second one.
const BUILDER_METHODS: &[&str] = &[
    "build",
    "drain-empty-slots",
    "mailbox-limits",
    "new",
    "outside",
    "recorded",
    "restarting",
    "tap",
    "tap-outside",
    "topology",
    "wrap",
];
/// Names whose type would be called like one that is in scope everywhere without being asked for.
const PRELUDE: &[&str] = &[
    "as-mut",
    "as-ref",
    "clone",
    "copy",
    "double-ended-iterator",
    "drop",
    "eq",
    "err",
    "exact-size-iterator",
    "extend",
    "fn-mut",
    "fn-once",
    "from",
    "from-iterator",
    "future",
    "into",
    "into-future",
    "into-iterator",
    "iterator",
    "none",
    "ok",
    "option",
    "ord",
    "partial-eq",
    "partial-ord",
    "result",
    "send",
    "sized",
    "some",
    "string",
    "sync",
    "to-owned",
    "to-string",
    "try-from",
    "try-into",
    "unpin",
    "vec",
];
/// Names whose type would be called like one that the templates use.
const TAKEN_TYPES: &[&str] =
    &["context", "count-notes", "event", "failure", "hash", "inbox", "note", "relay-parents", "state", "subsystem"];
/// Cargo's own limit is wider; longer names are unreadable in a topology.
const NAME_LENGTH_MAX: usize = 40;

/// Makes `subsystems/NAME` and the module of its messages, wires it, formats what it wrote, and prints what is left to do.
///
/// # Errors
/// When the name is unfit or taken, a file cannot be read or written, or there is no `cargo fmt`. Nothing that exists is
/// overwritten.
pub fn run(name: &str, dry_run: bool) -> Result<(), String> {
    run_in(&root()?, name, dry_run)
}

/// Like [`run`], in the checkout at `root`.
///
/// # Errors
/// As [`run`].
pub fn run_in(root: &Path, name: &str, dry_run: bool) -> Result<(), String> {
    let name = Name::new(name)?;
    let manifest = read(&root.join("Cargo.toml"))?;
    // Of a crate that only others use as well: cargo could not tell which of the two is meant.
    let locked = format!("name = \"{}\"", name.kebab);
    let is_used = |line: &str| line.starts_with(&format!("{} = ", name.kebab));
    if manifest.lines().any(is_used) || read(&root.join("Cargo.lock"))?.lines().any(|line| line == locked) {
        return Err(format!("the workspace has or uses a crate called `{}` already", name.kebab));
    }
    let made = made(&name);
    if let Some((path, _)) = made.iter().find(|(path, _)| root.join(path).exists()) {
        return Err(format!("{path} is there already"));
    }
    let changed = [
        ("Cargo.toml", with_member(&manifest, &name)?),
        (MESSAGES_LIST, with_module(&read(&root.join(MESSAGES_LIST))?, &name)),
        (MOCKED_ROLES, with_mock(&read(&root.join(MOCKED_ROLES))?, &name)?),
        (NODE_MANIFEST, with_dependency(&read(&root.join(NODE_MANIFEST))?, &name)?),
        (WIRING, with_slot(&read(&root.join(WIRING))?, &name)?),
    ];
    let (making, changing) = if dry_run { ("would make", "would change") } else { ("made", "changed") };
    for (path, text) in &made {
        shell::say(format_args!("{making} {path}"));
        if !dry_run {
            write(&root.join(path), text)?;
        }
    }
    for (path, text) in &changed {
        shell::say(format_args!("{changing} {path}"));
        if !dry_run {
            write(&root.join(path), text)?;
        }
    }
    if !dry_run {
        // Where a name stands in a sorted list depends on the name.
        let packages = ["--package", "messages", "--package", "mocks", "--package", "node", "--package", &name.kebab];
        shell::run(shell::cargo(root).arg("fmt").args(packages))?;
    }
    shell::say(format_args!("\n{}", name.fill(BY_HAND).trim_end()));
    Ok(())
}

/// The new files: path below the root, and text.
fn made(name: &Name) -> Vec<(String, String)> {
    let mut files: Vec<_> = TEMPLATES
        .iter()
        .map(|&(path, template)| (format!("subsystems/{}/{path}", name.kebab), name.fill(template)))
        .collect();
    files.push((format!("messages/src/{}.rs", name.module()), name.fill(MESSAGES)));
    files
}

/// The list of message modules with the new one at its end; the formatter sorts it.
fn with_module(list: &str, name: &Name) -> String {
    let line = format!("pub mod {};", name.module());
    after_last(list, |line| line.starts_with("pub mod "), &line).unwrap_or_else(|| format!("{list}\n{line}\n"))
}

/// The test kit's list of slots with the new one at its end.
fn with_mock(list: &str, name: &Name) -> Result<String, String> {
    let line = name.fill("    slots.mock::<messages::{{module}}::{{Type}}>();");
    after_last(list, |line| line.starts_with("    slots.mock::<messages::"), &line)
        .ok_or_else(|| format!("{MOCKED_ROLES} lists no slot to put the new one after"))
}

/// The node's manifest with the new crate behind ours.
fn with_dependency(manifest: &str, name: &Name) -> Result<String, String> {
    let others = manifest.lines().position(|line| line == "# Others'.");
    let index =
        others.ok_or_else(|| format!("{NODE_MANIFEST} has no line `# Others'.` to put the new crate before"))?;
    let line = name.fill("{{name}}.workspace = true");
    let mut lines: Vec<&str> = manifest.lines().collect();
    lines.insert(index, &line);
    Ok(lines.join("\n") + "\n")
}

/// The wiring with a new slot behind the others, and the new subsystem in it.
fn with_slot(wiring: &str, name: &Name) -> Result<String, String> {
    let slot = name.fill("        /// What it does, in one line.\n        {{module}}: messages::{{module}}::{{Type}},");
    let filled = name.fill("        .{{module}}({{module}}::{{Type}}Subsystem::new())");
    after_last(wiring, |line| line.starts_with("        ") && line.contains(": messages::"), &slot)
        .and_then(|text| {
            after_last(&text, |line| line.starts_with("        .") && line.contains("Subsystem::new("), &filled)
        })
        .ok_or_else(|| format!("{WIRING} lists no slot to put the new one after"))
}

/// The root manifest with the new crate as a member and as a dependency that others can name.
fn with_member(manifest: &str, name: &Name) -> Result<String, String> {
    let name = &name.kebab;
    let taken = |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == name) && line.contains("path");
    if manifest.lines().any(taken) {
        return Err(format!("the workspace has a crate called `{name}` already"));
    }
    let member = format!("    \"subsystems/{name}\",");
    let dependency = format!("{name} = {{ path = \"subsystems/{name}\" }}");
    let with_member = after_last(manifest, |line| line.starts_with("    \"subsystems/"), &member);
    with_member
        .and_then(|text| after_last(&text, |line| line.contains("= { path = \"subsystems/"), &dependency))
        .ok_or_else(|| "Cargo.toml lists no subsystem to put the new one after".to_owned())
}

/// `text` with `new` as a line of its own after the last line for which `is_anchor` holds.
fn after_last(text: &str, is_anchor: impl Fn(&str) -> bool, new: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let anchor = lines.iter().rposition(|line| is_anchor(line))?;
    lines.insert(anchor + 1, new);
    Some(lines.join("\n") + "\n")
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(named)?;
    }
    fs::write(path, text).map_err(named)
}

/// A name in its three spellings.
struct Name {
    kebab: String,
}

impl Name {
    fn new(name: &str) -> Result<Self, String> {
        let part_is_fit = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_lowercase())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        if name.len() > NAME_LENGTH_MAX || !name.split('-').all(part_is_fit) {
            return Err(format!(
                "`{name}` is no name for a subsystem: lower-case words joined by `-`, at most {NAME_LENGTH_MAX} characters, as in `dispute-coordinator`"
            ));
        }
        if RESERVED.contains(&name) {
            return Err(format!("`{name}` is a word of Rust or of cargo: no crate can have it as its name"));
        }
        if BUILDER_METHODS.contains(&name) {
            return Err(format!("`{name}` would give its slot the name of a method that every node's builder has"));
        }
        if TAKEN_TYPES.contains(&name) || PRELUDE.contains(&name) {
            return Err(format!("`{name}` would give its role the name of a type that every subsystem uses"));
        }
        if layer_of(name).is_some() || layer_of(&format!("crates/{name}")).is_some() {
            return Err(format!("the workspace has a crate called `{name}` already"));
        }
        Ok(Self { kebab: name.to_owned() })
    }

    fn module(&self) -> String {
        self.kebab.replace('-', "_")
    }

    fn camel(&self) -> String {
        let capital = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
        self.kebab.split('-').map(capital).collect()
    }

    fn fill(&self, template: &str) -> String {
        template
            .replace("{{name}}", &self.kebab)
            .replace("{{module}}", &self.module())
            .replace("{{Type}}", &self.camel())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        house::{House, LockFile, Package},
        tidy,
    };

    const MANIFEST: &str = "members = [\n    \"jobs\",\n    \"subsystems/chain-api\",\n    \"tests\",\n]\n[workspace.dependencies]\nchain-api = { path = \"subsystems/chain-api\" }\ntokio = \"1\"\n";

    #[test]
    fn unfit_names_are_refused() {
        for name in ["", "Upper-case", "under_score", "-", "a--b", "1st", "../evil", "a b", "network", "overseer"] {
            assert!(Name::new(name).is_err(), "{name}");
        }
        let name = Name::new("dispute-coordinator2").unwrap();
        assert_eq!((name.module().as_str(), name.camel().as_str()), ("dispute_coordinator2", "DisputeCoordinator2"));
    }

    #[test]
    fn names_that_cannot_be_are_told_why() {
        let root = root().unwrap();
        for (name, why) in [
            ("", "no name for a subsystem"),
            ("Loud", "no name for a subsystem"),
            ("../up", "no name for a subsystem"),
            ("a/b", "no name for a subsystem"),
            ("match", "a word of Rust or of cargo"),
            ("proc-macro", "a word of Rust or of cargo"),
            ("test", "a word of Rust or of cargo"),
            ("context", "the name of a type"),
            ("count-notes", "the name of a type"),
            ("result", "the name of a type"),
            ("option", "the name of a type"),
            ("wrap", "the name of a method"),
            ("mailbox-limits", "the name of a method"),
            ("log", "has or uses a crate called"),
            ("provisioner", "has or uses a crate called"),
            ("tokio", "has or uses a crate called"),
            ("network", "has a crate called"),
        ] {
            let error = run_in(&root, name, true).unwrap_err();
            assert!(error.contains(why), "`{name}`: {error}");
        }
    }

    #[test]
    fn no_slot_is_called_like_a_method_of_the_builder() {
        let declares = read(&root().unwrap().join("overseer/src/node/declare.rs")).unwrap();
        let methods = declares.lines().filter_map(|line| line.trim_start().strip_prefix("pub fn "));
        let names = methods.filter_map(|method| method.split(['(', '<']).next()).filter(|name| *name != "$slot");
        let mut names: Vec<String> = names.map(|name| name.replace('_', "-")).collect();
        names.sort_unstable();
        assert_eq!(names, BUILDER_METHODS);
    }

    #[test]
    fn the_workspace_learns_of_it_once() {
        let name = Name::new("dispute-coordinator").unwrap();
        let manifest = with_member(MANIFEST, &name).unwrap();
        assert!(manifest.contains("\"subsystems/chain-api\",\n    \"subsystems/dispute-coordinator\",\n    \"tests\""));
        assert!(
            manifest
                .contains("chain-api\" }\ndispute-coordinator = { path = \"subsystems/dispute-coordinator\" }\ntokio")
        );
        assert!(with_member(&manifest, &name).unwrap_err().contains("already"));
        assert!(with_member("members = []\n", &name).is_err());
    }

    #[test]
    fn templates_are_filled_and_tidy() {
        let name = Name::new("dispute-coordinator").unwrap();
        let files = made(&name);
        let by_hand = name.fill(BY_HAND);
        for (path, text) in files.iter().chain([&("by-hand".to_owned(), by_hand)]) {
            assert!(!text.contains("{{"), "{path} has an unfilled place:\n{text}");
        }
        let paths: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
        let house = House {
            packages: vec![Package {
                name: name.kebab.clone(),
                folder: "subsystems/dispute-coordinator".to_owned(),
                license: Some("Apache-2.0 OR MIT".to_owned()),
                dependencies: Vec::new(),
            }],
            files: files.into_iter().collect(),
            lock_file: LockFile::Committed,
        };
        let findings: Vec<_> =
            tidy::check(&house).into_iter().filter(|finding| paths.contains(&finding.path)).collect();
        assert!(findings.is_empty(), "{findings:?}");
    }

    #[test]
    fn the_messages_learn_of_it_at_the_end_of_their_list() {
        let name = Name::new("dispute-coordinator").unwrap();
        let list = with_module("pub mod a;\npub mod b;\npub use a::A;\n", &name);
        assert_eq!(list, "pub mod a;\npub mod b;\npub mod dispute_coordinator;\npub use a::A;\n");
        assert!(with_module("//! messages\n", &name).ends_with("\npub mod dispute_coordinator;\n"));
    }
}
