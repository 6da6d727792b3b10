//! `new-subsystem` in a copy of the real tree: what it makes is wired everywhere and tidy. `cargo xtask ci --only
//! new-subsystem` builds and tests it as well.

use std::{
    fs, io,
    path::{Path, PathBuf},
};
use xtask::{
    house::House,
    new_subsystem, shell,
    tidy::{Severity, check},
};

/// It comes before others wherever names are sorted.
const NAME: &str = "basic-coordinator";

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("xtask is a folder of the root").to_path_buf()
}

fn copy_of_the_house(name: &str) -> io::Result<PathBuf> {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    for (path, text) in House::read(&root()).map_err(io::Error::other)?.files {
        let target = copy.join(path);
        fs::create_dir_all(target.parent().unwrap_or(&copy))?;
        fs::write(target, text)?;
    }
    fs::copy(root().join("Cargo.lock"), copy.join("Cargo.lock"))?;
    Ok(copy)
}

fn errors(house: &House) -> Vec<String> {
    let errors = check(house).into_iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.to_string()).collect()
}

#[test]
fn it_is_made_wired_and_tidy_and_nothing_is_overwritten() {
    let copy = copy_of_the_house("new-subsystem").unwrap();
    let untouched = House::read(&copy).unwrap();
    let before = untouched.files.clone();
    new_subsystem::run_in(&copy, NAME, true).unwrap();
    assert_eq!(House::read(&copy).unwrap().files, before, "a dry run makes nothing");

    new_subsystem::run_in(&copy, NAME, false).unwrap();
    let house = House::read(&copy).unwrap();
    let package = house.packages.iter().find(|package| package.name == NAME).expect("cargo knows it");
    let ours: Vec<&str> = package.dependencies.iter().map(|dependency| dependency.name.as_str()).collect();
    assert_eq!(ours, ["messages", "overseer", "primitives", "expect-test", "mocks"]);
    let node = house.packages.iter().find(|package| package.name == "node").expect("the node");
    assert!(node.dependencies.iter().any(|dependency| dependency.name == NAME), "the node depends on it");
    for (path, line) in [
        ("messages/src/lib.rs", "pub mod basic_coordinator;"),
        ("mocks/src/roles.rs", "    slots.mock::<messages::basic_coordinator::BasicCoordinator>();"),
        ("crates/node/src/wiring.rs", "        basic_coordinator: messages::basic_coordinator::BasicCoordinator,"),
        (
            "crates/node/src/wiring.rs",
            "        .basic_coordinator(basic_coordinator::BasicCoordinatorSubsystem::new())",
        ),
    ] {
        assert_eq!(house.files[path].lines().filter(|found| *found == line).count(), 1, "{path}: {line}");
    }
    let changed = [
        "Cargo.toml",
        "messages/src/lib.rs",
        "mocks/src/roles.rs",
        "crates/node/Cargo.toml",
        "crates/node/src/wiring.rs",
    ];
    for (path, text) in &before {
        let same = house.files[path] == *text;
        assert!(same || changed.contains(&path.as_str()), "{path} was changed");
    }
    assert_eq!(errors(&house), errors(&untouched), "what is made breaks no rule of the house");
    shell::run(shell::cargo(&copy).args(["fmt", "--all", "--check"])).expect("what is made is formatted");

    let again = new_subsystem::run_in(&copy, NAME, false).unwrap_err();
    assert!(again.contains("a crate called `basic-coordinator` already"), "{again}");
    fs::remove_dir_all(copy).unwrap();
}
