//! Builds and tests the stranger's exercise: a crate that this workspace does not know, made as
//! `docs/guide/own-subsystem.md` says.

use crate::{house, shell};
use std::{fs, path::Path};

/// A workspace of its own.
const FOLDER: &str = "examples/own-subsystem";

/// Tests the exercise in the checkout at `root`, with the builds in `target`.
///
/// # Errors
/// When the lock file cannot be copied, or the exercise does not build, fails a test, or differs from the guide.
pub fn run(root: &Path, target: &Path) -> Result<(), String> {
    let folder = root.join(FOLDER);
    // The guide has it copied as well: the versions of the checkout, and nothing that is not here already.
    let lock = folder.join("Cargo.lock");
    fs::copy(root.join("Cargo.lock"), &lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let mut command = shell::cargo(&folder);
    command.args(["test", "--offline"]).env("CARGO_TARGET_DIR", target).env("CARGO_INCREMENTAL", "0");
    shell::run(&mut command)
}

/// Like [`run`], for the checkout that the current folder is in.
///
/// # Errors
/// As [`run`], and when there is no checkout.
pub fn run_here() -> Result<(), String> {
    let root = house::root()?;
    run(&root, &house::target_directory(&root)?)
}
