//! What may stand in a Rust text. Comments and literals are not looked at (see [`CodeView`]).

use super::Finding;
use crate::{
    house::{House, is_below},
    source::{CodeView, identifier},
};

/// The rooms that the simulator owns wholly: no time, threads, randomness or hash order of their own.
pub(super) const SIMULATED_ROOMS: &[&str] = &["subsystems", "messages", "jobs", "runtime"];
/// Of those, the ones with async code.
const ASYNC_ROOMS: &[&str] = &["subsystems", "messages", "jobs"];
/// What the async rooms may use of tokio: channels and the (biased) select, neither of which needs its runtime.
const TOKIO_ALLOWED: &[&str] = &["sync", "select"];
/// Subsystems that work on cores and candidate hashes, whatever class of work these carry.
const BLIND_TO_PARAS: &[&str] = &["statement-distribution", "availability-", "bitfield-", "approval-", "dispute-"];
/// Sources of randomness beside the given entropy.
const RANDOM_SOURCES: &[&str] =
    &["OsRng", "SysRng", "ThreadRng", "thread_rng", "from_entropy", "from_os_rng", "getrandom"];
/// Modules of `std` that a pure state machine has no use for.
const STD_NOT_IN_RUNTIME: &[&str] = &["env", "fs", "io", "net", "process", "thread", "time"];
/// Words that it has no use for.
const WORDS_NOT_IN_RUNTIME: &[&str] = &["async", "println!", "eprintln!"];
/// Loops of which nobody can say at a glance that they end.
const OPEN_LOOPS: &[&str] = &["loop", "while"];
/// Unfinished work and switched-off tests.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo!(", "write it, or leave the feature out"),
    ("unimplemented!(", "write it, or make the type say that it cannot be asked for"),
    ("#[ignore", "mend the test or delete it; a test that nobody runs is a comment that nobody reads"),
    ("should_panic", "assert on the error value; a panic anywhere would satisfy this test"),
];
/// The one file that wires subsystems to an overseer.
const WIRING_FILE: &str = "crates/node/src/wiring.rs";
/// The macro that does it.
const WIRING_MACRO: &str = "node!";
/// Where the macro is defined, tested and taught, and may thus be called as well.
const WIRING_ALSO_IN: &[&str] = &["overseer", "mocks", "tests", "examples", "xtask", "bench"];
/// Names that the framework may export at its root: more cannot be learned in an afternoon.
const OVERSEER_ROOT_TYPES_MAX: usize = 25;

pub(super) fn check(house: &House, findings: &mut Vec<Finding>) {
    for (path, text) in house.rust_files("") {
        let view = CodeView::new(text);
        let file = File { path, view: &view };
        unfinished(&file, findings);
        wiring_elsewhere(&file, findings);
        if in_rooms(path, SIMULATED_ROOMS) {
            simulated(&file, findings);
        }
        if in_rooms(path, ASYNC_ROOMS) {
            unbiased_select(&file, findings);
            tokio_beyond_sync(&file, findings);
        }
        if is_below(path, "runtime/src") {
            impure_runtime(&file, findings);
        }
        if is_blind_to_paras(path) {
            para_ids(&file, findings);
        }
        if path == "overseer/src/lib.rs" {
            root_types(&file, findings);
        }
    }
}

struct File<'a> {
    path: &'a str,
    view: &'a CodeView,
}

impl File<'_> {
    fn error(&self, at: usize, rule: &'static str, what: String, mend: &str) -> Finding {
        Finding::error(rule, self.path, Some(self.view.line_of(at)), what, mend)
    }
}

fn in_rooms(path: &str, rooms: &[&str]) -> bool {
    rooms.iter().any(|room| is_below(path, room))
}

fn is_blind_to_paras(path: &str) -> bool {
    let Some((name, inside)) = path.strip_prefix("subsystems/").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    inside.starts_with("src/") && BLIND_TO_PARAS.iter().any(|blind| name.starts_with(blind))
}

fn unfinished(file: &File<'_>, findings: &mut Vec<Finding>) {
    for &(word, mend) in UNFINISHED {
        for at in file.view.words(word) {
            findings.push(file.error(at, "finished", format!("`{}`", word.trim_end_matches('(')), mend));
        }
    }
}

fn wiring_elsewhere(file: &File<'_>, findings: &mut Vec<Finding>) {
    if file.path == WIRING_FILE || in_rooms(file.path, WIRING_ALSO_IN) {
        return;
    }
    for at in file.view.words(WIRING_MACRO) {
        let what = format!("`{WIRING_MACRO}` outside {WIRING_FILE}");
        findings.push(file.error(
            at,
            "one-wiring",
            what,
            "wire there, in life-cycle order: one file shows the data's way",
        ));
    }
}

fn simulated(file: &File<'_>, findings: &mut Vec<Finding>) {
    for word in ["HashMap", "HashSet"] {
        for at in file.view.words(word) {
            let mend = format!(
                "use `BTree{}`: hash order differs from run to run, and one seed must give one trace",
                &word[4..]
            );
            findings.push(file.error(at, "hash-order", format!("`{word}`"), &mend));
        }
    }
    for word in RANDOM_SOURCES {
        for at in file.view.words(word) {
            let mend = "draw from the entropy that the context or keystore hands in";
            findings.push(file.error(at, "given-entropy", format!("`{word}`"), mend));
        }
    }
}

fn impure_runtime(file: &File<'_>, findings: &mut Vec<Finding>) {
    let mend = "hand the value in with the block, or return it; nodes that replay a block see only the block";
    for word in WORDS_NOT_IN_RUNTIME {
        for at in file.view.words(word) {
            findings.push(file.error(at, "runtime-pure", format!("`{word}` in the runtime"), mend));
        }
    }
    for word in OPEN_LOOPS {
        for at in file.view.words(word) {
            let mend = "use `for` over what there is, or up to a constant: a block must not make a node wait for ever";
            findings.push(file.error(at, "bounded-loops", format!("`{word}` in the runtime"), mend));
        }
    }
    for at in file.view.words("std::") {
        for name in first_names(file.view.rest(at + "std::".len())) {
            if STD_NOT_IN_RUNTIME.contains(&name.as_str()) {
                findings.push(file.error(at, "runtime-pure", format!("`std::{name}` in the runtime"), mend));
            }
        }
    }
}

fn unbiased_select(file: &File<'_>, findings: &mut Vec<Finding>) {
    for at in file.view.words("select!") {
        let body = file.view.rest(at + "select!".len());
        let first = body.strip_prefix(['{', '(', '[']).unwrap_or(body).trim_start();
        if !first.starts_with("biased;") {
            let mend = "begin it with `biased;`: an unbiased select draws from a generator that no seed reaches";
            findings.push(file.error(at, "biased-select", "`select!` that is not biased".to_owned(), mend));
        }
    }
}

fn tokio_beyond_sync(file: &File<'_>, findings: &mut Vec<Finding>) {
    for at in file.view.words("tokio::") {
        for name in first_names(file.view.rest(at + "tokio::".len())) {
            if !TOKIO_ALLOWED.contains(&name.as_str()) {
                let mend = "spawn, sleep, read and write through what the subsystem was given; of tokio only `sync` and `select`";
                findings.push(file.error(at, "tokio-sync-only", format!("`tokio::{name}`"), mend));
            }
        }
    }
}

/// First path parts of what follows a crate's name, say `tokio::`: one for `sync::mpsc`, two for `{sync, time::sleep}`.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![identifier(rest).to_owned()];
    };
    let (mut depth, mut end) = (1_usize, group.len());
    let mut starts = vec![0];
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 1 => starts.push(at + 1),
            _ => {}
        }
        if depth == 0 {
            end = at;
            break;
        }
    }
    let names = starts.into_iter().filter(|&start| start < end).map(|start| identifier(group[start..end].trim_start()));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn para_ids(file: &File<'_>, findings: &mut Vec<Finding>) {
    for at in file.view.words("ParaId") {
        let mend = "work on candidate hash, core, relay parent and session; whose work it is opens in validation, collation, provisioner and runtime only";
        findings.push(file.error(at, "blind-to-paras", "`ParaId`".to_owned(), mend));
    }
}

fn root_types(file: &File<'_>, findings: &mut Vec<Finding>) {
    let mut count = 0;
    for at in file.view.words("pub") {
        let rest = file.view.rest(at + "pub".len());
        let word = identifier(rest);
        let after = rest[word.len()..].trim_start();
        match word {
            "struct" | "enum" | "trait" | "type" | "union" => count += 1,
            "use" => {
                let statement = after.split(';').next().unwrap_or_default();
                if statement.contains('*') {
                    let mend = "name what is exported; a glob exports what its module grows later as well";
                    findings.push(file.error(at, "small-root", "a glob at the root of overseer".to_owned(), mend));
                }
                count += exported_types(statement);
            }
            _ => {}
        }
    }
    if count > OVERSEER_ROOT_TYPES_MAX {
        findings.push(Finding::error(
            "small-root",
            file.path,
            None,
            format!("{count} public types at the root of overseer, at most {OVERSEER_ROOT_TYPES_MAX} are allowed"),
            "move the rarer ones into a public module",
        ));
    }
}

/// Types named by `a::{B, c::D as E, f}`: the last part of each path, where it begins with a capital letter.
fn exported_types(statement: &str) -> usize {
    let leaves =
        statement.split(['{', '}', ',']).map(str::trim).filter(|leaf| !leaf.is_empty() && !leaf.ends_with("::"));
    leaves
        .filter_map(|leaf| leaf.rsplit("::").next())
        .filter_map(|name| name.split_whitespace().last())
        .filter(|name| name.starts_with(|first: char| first.is_uppercase()) && name.chars().any(char::is_lowercase))
        .count()
}
