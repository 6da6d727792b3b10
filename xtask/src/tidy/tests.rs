//! Each rule is shown to hold its tongue on a clean house and to speak on a broken one.

use super::*;
use crate::house::{Dependency, DependencyKind, LockFile, Package};
use std::collections::BTreeMap;

const HEADER: &str = "//! role\n//! receives\n//! sends\n//! invariants\n//! limits\n";
const BANS: &str = "allow-unwrap-in-tests = true\n";

/// The least house without a breach: `(folder, dependencies)` for each crate.
fn house(crates: &[(&str, &[&str])]) -> House {
    let mut files = BTreeMap::new();
    let mut packages = Vec::new();
    for &(folder, dependencies) in crates {
        let name = folder.rsplit('/').next().unwrap();
        let lines: String = dependencies.iter().map(|name| format!("{name}.workspace = true\n")).collect();
        let manifest = format!("[package]\nname = \"{name}\"\n[dependencies]\n{lines}");
        files.insert(format!("{folder}/Cargo.toml"), manifest);
        files.insert(format!("{folder}/src/lib.rs"), HEADER.to_owned());
        packages.push(Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            license: Some("Apache-2.0 OR MIT".to_owned()),
            dependencies: dependencies.iter().map(|name| dependency(name, DependencyKind::Normal)).collect(),
        });
    }
    for room in sources::SIMULATED_ROOMS {
        files.insert(format!("{room}/clippy.toml"), BANS.to_owned());
    }
    files.insert("clippy.toml".to_owned(), BANS.to_owned());
    files.insert("LICENSE-APACHE".to_owned(), "Version 2.0, January 2004".to_owned());
    files.insert("LICENSE-MIT".to_owned(), "Permission is hereby granted".to_owned());
    House { packages, files, lock_file: LockFile::Committed }
}

fn dependency(name: &str, kind: DependencyKind) -> Dependency {
    Dependency { name: name.to_owned(), kind }
}

fn with_file(path: &str, text: &str) -> House {
    let mut house = house(&[]);
    house.files.insert(path.to_owned(), text.to_owned());
    house
}

/// `path:line rule` of each finding.
fn found(house: &House) -> Vec<String> {
    let place =
        |finding: &Finding| finding.line.map_or(finding.path.clone(), |line| format!("{}:{line}", finding.path));
    check(house).iter().map(|finding| format!("{} {}", place(finding), finding.rule)).collect()
}

fn found_in(path: &str, text: &str) -> Vec<String> {
    found(&with_file(path, text))
}

#[test]
fn a_clean_house_has_no_findings() {
    let house = house(&[
        ("runtime", &["primitives"]),
        ("crates/primitives", &["codec"]),
        ("overseer", &["deterministic", "tokio"]),
        ("crates/deterministic", &[]),
        ("messages", &["overseer", "ports"]),
        ("crates/ports", &["overseer", "primitives"]),
        ("subsystems/candidate-backing", &["messages"]),
        ("crates/relay-chain", &["ports", "runtime"]),
        ("crates/node", &["candidate-backing", "relay-chain"]),
    ]);
    assert_eq!(found(&house), Vec::<String>::new());
}

#[test]
fn a_subsystem_that_depends_on_another_is_named_with_its_line() {
    let house = house(&[
        ("subsystems/candidate-backing", &["statement-distribution"]),
        ("subsystems/statement-distribution", &[]),
    ]);
    assert_eq!(found(&house), ["subsystems/candidate-backing/Cargo.toml:4 subsystem-apart"]);
    let text = check(&house)[0].to_string();
    assert!(text.contains("`candidate-backing` depends on subsystem `statement-distribution`"), "{text}");
    assert!(text.contains("mend: say it with a message"), "{text}");
}

#[test]
fn a_dev_dependency_on_another_subsystem_is_refused_too() {
    let mut house = house(&[("subsystems/a", &[]), ("subsystems/b", &[])]);
    house.packages[0].dependencies.push(dependency("b", DependencyKind::Dev));
    assert_eq!(found(&house), ["subsystems/a/Cargo.toml subsystem-apart"]);
}

#[test]
fn an_arrow_that_points_up_is_refused() {
    for (folder, up) in [
        ("messages", "candidate-backing"),
        ("subsystems/candidate-backing", "keystore"),
        ("runtime", "overseer"),
        ("crates/primitives", "deterministic"),
        ("crates/keystore", "node"),
    ] {
        let target = if up == "node" || up == "keystore" { format!("crates/{up}") } else { format!("subsystems/{up}") };
        let target = if up == "overseer" { up.to_owned() } else { target };
        let target = if up == "deterministic" { "crates/deterministic".to_owned() } else { target };
        let house = house(&[(folder, &[up]), (&target, &[])]);
        assert_eq!(found(&house), [format!("{folder}/Cargo.toml:4 layers")], "{folder} -> {up}");
    }
}

#[test]
fn adapters_know_ports_and_neither_each_other_nor_subsystems() {
    let house_of = |to: &str, folder: &str| house(&[("crates/store", &[to]), (folder, &[])]);
    assert_eq!(found(&house_of("network", "crates/network")), ["crates/store/Cargo.toml:4 adapter-apart"]);
    assert_eq!(found(&house_of("chain-api", "subsystems/chain-api")), ["crates/store/Cargo.toml:4 adapter-apart"]);
    assert_eq!(found(&house_of("ports", "crates/ports")), Vec::<String>::new());
}

#[test]
fn mocks_are_for_tests() {
    let mut house = house(&[("subsystems/a", &["mocks"]), ("mocks", &["keystore"]), ("crates/keystore", &[])]);
    assert_eq!(found(&house), ["mocks/Cargo.toml:4 layers", "subsystems/a/Cargo.toml:4 mocks-only-in-dev"]);
    house.packages[1].dependencies[0].kind = DependencyKind::Dev;
    house.packages[0].dependencies[0].kind = DependencyKind::Dev;
    assert_eq!(found(&house), Vec::<String>::new());
}

#[test]
fn the_overseer_knows_deterministic_only() {
    let house = house(&[
        ("overseer", &["deterministic", "primitives"]),
        ("crates/deterministic", &[]),
        ("crates/primitives", &[]),
    ]);
    assert_eq!(found(&house), ["overseer/Cargo.toml:5 overseer-alone"]);
}

#[test]
fn the_runtime_is_pure() {
    assert_eq!(found(&house(&[("runtime", &["tokio"])])), ["runtime/Cargo.toml:4 runtime-pure"]);
    let text = "use std::{collections::BTreeMap, fs};\nasync fn f() {}\nlet t = std::time::Duration::ZERO;\n";
    let expected =
        ["runtime/src/a.rs:1 runtime-pure", "runtime/src/a.rs:2 runtime-pure", "runtime/src/a.rs:3 runtime-pure"];
    assert_eq!(found_in("runtime/src/a.rs", text), expected);
}

#[test]
fn the_runtime_has_no_open_loops() {
    let text = "for a in b {}\nloop { break }\nwhile let Some(a) = b {}\n// while that lasts\nb.take_while(c);\n";
    let expected = ["runtime/src/a.rs:2 bounded-loops", "runtime/src/a.rs:3 bounded-loops"];
    assert_eq!(found_in("runtime/src/a.rs", text), expected);
    assert_eq!(found_in("runtime/tests/it/a.rs", text), Vec::<String>::new());
}

#[test]
fn a_crate_in_no_layer_is_refused() {
    assert_eq!(found(&house(&[("crates/misc", &[])])), ["crates/misc/Cargo.toml layers"]);
    assert_eq!(layer_of("subsystems/x"), Some(3));
    assert_eq!(layer_of("subsystems"), None);
    assert_eq!(layer_of("subsystems/x/y"), None);
}

#[test]
fn select_is_biased_in_async_rooms() {
    let good = "tokio::select! { biased; a = b => {} }\ntokio::select!{\n    // first\n    biased;\n}\n";
    assert_eq!(found_in("jobs/src/a.rs", good), Vec::<String>::new());
    assert_eq!(found_in("jobs/src/a.rs", "\nselect! { a = b => {} }"), ["jobs/src/a.rs:2 biased-select"]);
    assert_eq!(found_in("crates/network/src/a.rs", "select! { a = b => {} }"), Vec::<String>::new());
}

#[test]
fn of_tokio_only_sync_and_select() {
    assert_eq!(found_in("messages/src/a.rs", "use tokio::{sync::{mpsc, oneshot}, select};"), Vec::<String>::new());
    assert_eq!(
        found_in("messages/src/a.rs", "use tokio::{sync::mpsc, time::sleep};"),
        ["messages/src/a.rs:1 tokio-sync-only"]
    );
    assert_eq!(found_in("subsystems/a/src/a.rs", "#[tokio::test]"), ["subsystems/a/src/a.rs:1 tokio-sync-only"]);
    assert_eq!(found_in("subsystems/a/src/a.rs", "/// Never `tokio::spawn`."), Vec::<String>::new());
}

#[test]
fn simulated_rooms_have_no_order_or_chance_of_their_own() {
    let text = "use std::collections::HashMap;\nlet mut rng = OsRng;\n";
    assert_eq!(
        found_in("subsystems/a/src/a.rs", text),
        ["subsystems/a/src/a.rs:1 hash-order", "subsystems/a/src/a.rs:2 given-entropy"]
    );
    assert_eq!(found_in("crates/store/src/a.rs", text), Vec::<String>::new());
}

#[test]
fn some_subsystems_are_blind_to_paras() {
    for name in
        ["statement-distribution", "availability-store", "bitfield-signing", "approval-voting", "dispute-coordinator"]
    {
        let path = format!("subsystems/{name}/src/state.rs");
        assert_eq!(found_in(&path, "fn f(para: ParaId) {}"), [format!("{path}:1 blind-to-paras")]);
    }
    assert_eq!(found_in("subsystems/provisioner/src/lib.rs", "fn f(para: ParaId) {}"), Vec::<String>::new());
}

#[test]
fn unfinished_work_and_idle_tests_are_refused() {
    let text = "fn f() { todo!() }\nfn g() { unimplemented!(\"x\") }\n#[ignore]\n#[should_panic(expected = \"x\")]\n";
    let expected: Vec<_> = (1..=4).map(|line| format!("examples/e/src/a.rs:{line} finished")).collect();
    assert_eq!(found_in("examples/e/src/a.rs", text), expected);
}

#[test]
fn a_word_has_one_spelling() {
    let other = concat!("Misbehav", "iour");
    let text = format!("// misbehavior\nlet a = \"{other} report\";\n");
    assert_eq!(found_in("runtime/src/a.rs", &text), ["runtime/src/a.rs:2 spelling"]);
    assert_eq!(found_in("docs/a.md", &text), ["docs/a.md:2 spelling"]);
}

#[test]
fn wiring_has_one_file() {
    assert_eq!(found_in("crates/node/src/wiring.rs", "overseer::node! {}"), Vec::<String>::new());
    assert_eq!(
        found_in("crates/node/src/builder.rs", "overseer::node! {}"),
        ["crates/node/src/builder.rs:1 one-wiring"]
    );
}

#[test]
fn the_root_of_overseer_stays_small() {
    let names: Vec<_> = (0..24).map(|n| format!("Type{n}")).collect();
    let text = format!("pub use a::{{{}, function, LIMIT}};\npub use b::{{c::Inner as Outer}};\n", names.join(", "));
    assert_eq!(found_in("overseer/src/lib.rs", &text), Vec::<String>::new());
    let text = format!("{text}pub struct OneMore;\n");
    assert_eq!(found_in("overseer/src/lib.rs", &text), ["overseer/src/lib.rs small-root"]);
    assert_eq!(found_in("overseer/src/lib.rs", "pub use a::*;"), ["overseer/src/lib.rs:1 small-root"]);
}

#[test]
fn names_headers_and_licences() {
    let mut house = house(&[("crates/store", &[])]);
    house.packages[0].name = "storage".to_owned();
    house.packages[0].license = None;
    house.files.insert("crates/store/src/lib.rs".to_owned(), "//! one line\n".to_owned());
    house.files.remove("LICENSE-MIT");
    let expected = [
        "LICENSE-MIT licence",
        "crates/store/Cargo.toml licence",
        "crates/store/Cargo.toml:1 folder-is-name",
        "crates/store/src/lib.rs:1 header",
    ];
    assert_eq!(found(&house), expected);
}

#[test]
fn the_lock_file_is_committed() {
    for state in [LockFile::Missing, LockFile::Untracked] {
        let mut house = house(&[]);
        house.lock_file = state;
        assert_eq!(found(&house), ["Cargo.lock lock-file"]);
    }
}

#[test]
fn main_is_short_and_long_files_are_only_a_warning() {
    assert_eq!(found_in("node-bin/src/main.rs", &"\n".repeat(50)), Vec::<String>::new());
    assert_eq!(found_in("node-bin/src/main.rs", &"\n".repeat(51)), ["node-bin/src/main.rs:51 short-main"]);
    let findings = check(&with_file("jobs/src/a.rs", &"\n".repeat(801)));
    assert_eq!(findings.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Warning]);
}

#[test]
fn the_framework_is_read_in_an_evening() {
    let text = |lines: usize| {
        format!("{HEADER}{}#[cfg(test)]\nmod tests {{\n}}\n", "/// Words.\nlet a = 1;\n\n".repeat(lines))
    };
    let with = |jobs: usize| {
        let mut house = house(&[("overseer", &[]), ("jobs", &[])]);
        house.files.insert("overseer/src/port.rs".to_owned(), text(4_000));
        house.files.insert("overseer/src/tests.rs".to_owned(), text(100));
        house.files.insert("jobs/src/set.rs".to_owned(), text(jobs));
        check(&house).into_iter().filter(|finding| finding.severity == Severity::Error).collect::<Vec<_>>()
    };
    assert_eq!(with(2_000), []);
    let found = with(2_001);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].what.starts_with("6001 lines of code"), "{}", found[0]);
}

#[test]
fn the_rooms_have_the_same_bans() {
    assert_eq!(found_in("jobs/clippy.toml", "allow-unwrap-in-tests = true"), ["jobs/clippy.toml clippy-bans"]);
    assert_eq!(found_in("clippy.toml", "too-many-lines-threshold = 90"), ["subsystems/clippy.toml clippy-bans"]);
    assert_eq!(found_in("subsystems/a/clippy.toml", ""), ["subsystems/a/clippy.toml clippy-bans"]);
}

/// A house with a runtime and this row in its map.
fn mapped(row: &str) -> Vec<String> {
    let mut house = with_file("runtime/src/initializer.rs", "pub fn initialize() {}\n// fn forgotten()\n");
    let test = "#[test]\nfn it_begins() {}\nfn helper() {}\n";
    house.files.insert("runtime/tests/it/blocks.rs".to_owned(), test.to_owned());
    let map = format!("| guide | code | test |\n|---|---|---|\n{row}\n");
    house.files.insert("docs/runtime-map.md".to_owned(), map);
    found(&house).into_iter().filter(|finding| finding.ends_with("runtime-map")).collect()
}

#[test]
fn what_the_map_of_the_runtime_names_is_there() {
    assert_eq!(mapped("| begin | `initializer::initialize` | `blocks::it_begins` |"), Vec::<String>::new());
    let refused = ["docs/runtime-map.md:3 runtime-map"];
    for row in [
        "| begin | `initializer::forgotten` | `blocks::it_begins` |",
        "| begin | `inclusion::initialize` | `blocks::it_begins` |",
        "| begin | `initializer::initialize` | `blocks::it_ends` |",
        "| begin | `initializer::initialize` | `blocks::helper` |",
        "| begin | `initializer::initialize` | `sessions::it_begins` |",
        "| begin | `initializer::initialize` | by eye |",
        "| begin | `initializer::initialize` |",
    ] {
        assert_eq!(mapped(row), refused, "{row}");
    }
}

#[test]
fn a_runtime_without_a_map_or_pages_is_named() {
    let house = with_file("runtime/src/initializer.rs", "//! Initializer.\n");
    let found = found(&house);
    assert!(found.contains(&"docs/runtime-map.md runtime-map".to_owned()), "{found:?}");
    assert!(found.contains(&"runtime/src/initializer.rs:1 runtime-reference".to_owned()), "{found:?}");
}
