//! `tidy` on the real tree, and on a copy of it in which one manifest has been spoiled.

use std::{
    fs,
    path::{Path, PathBuf},
};
use xtask::{
    house::House,
    tidy::{Finding, Severity, check},
};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("xtask is a folder of the root").to_path_buf()
}

/// A copy of the tree as far as cargo and the rules need it: manifests, sources, licences, the lock file.
fn copy_of_the_house(name: &str) -> std::io::Result<PathBuf> {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    let house = House::read(&root()).map_err(std::io::Error::other)?;
    for (path, text) in house.files {
        let target = copy.join(path);
        fs::create_dir_all(target.parent().unwrap_or(&copy))?;
        fs::write(target, text)?;
    }
    fs::copy(root().join("Cargo.lock"), copy.join("Cargo.lock"))?;
    Ok(copy)
}

fn errors(house: &House) -> Vec<Finding> {
    check(house).into_iter().filter(|finding| finding.severity == Severity::Error).collect()
}

#[test]
fn the_real_tree_is_tidy() {
    let findings = errors(&House::read(&root()).unwrap());
    let text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    assert!(findings.is_empty(), "{text}");
}

#[test]
fn tidy_fails_when_a_subsystem_is_made_to_depend_on_another() {
    let copy = copy_of_the_house("subsystem-on-subsystem").unwrap();
    let of_this_rule = |house: &House| -> Vec<Finding> {
        errors(house).into_iter().filter(|finding| finding.rule == "subsystem-apart").collect()
    };
    assert_eq!(of_this_rule(&House::read(&copy).unwrap()), []);

    let manifest = copy.join("subsystems/candidate-backing/Cargo.toml");
    let spoiled = fs::read_to_string(&manifest).unwrap().replacen(
        "[dependencies]\n",
        "[dependencies]\nstatement-distribution.workspace = true\n",
        1,
    );
    fs::write(&manifest, spoiled).unwrap();

    let findings = of_this_rule(&House::read(&copy).unwrap());
    assert_eq!(findings.len(), 1, "{findings:?}");
    let text = findings[0].to_string();
    assert!(text.starts_with("subsystems/candidate-backing/Cargo.toml:"), "{text}");
    assert!(text.contains("`candidate-backing` depends on subsystem `statement-distribution`"), "{text}");

    let output = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("tidy")
        .current_dir(&copy)
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains(&text), "{printed}");
    fs::remove_dir_all(copy).unwrap();
}
