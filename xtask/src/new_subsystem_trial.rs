//! Makes a subsystem in a copy of the checkout, then builds it, runs its test, and checks the node it was wired into.

use crate::{house, new_subsystem, shell};
use std::{fs, io, path::Path};

/// What is made: a name that comes before others wherever names are sorted.
const NAME: &str = "basic-coordinator";
/// The copy, below the target folder.
const COPY: &str = "new-subsystem-trial";
/// What the copy's crates are called by version, so that they share the build of others' crates with the checkout, and
/// overwrite nothing that is built of ours.
const VERSION: (&str, &str) = ("\nversion = \"0.1.0\"\n", "\nversion = \"0.1.0-trial\"\n");
/// Folders that no build needs, wherever they stand.
const SKIPPED_FOLDERS: &[&str] = &["target", ".git"];

/// Tries `new-subsystem` on a copy of the checkout at `root`, with the builds in `target`.
///
/// # Errors
/// When the copy cannot be made, or what was made is not formatted, does not build, fails its test, or does not fit the
/// node.
pub fn run(root: &Path, target: &Path) -> Result<(), String> {
    let copy = target.join(COPY);
    let told = |error: io::Error| format!("{}: {error}", copy.display());
    if copy.exists() {
        fs::remove_dir_all(&copy).map_err(told)?;
    }
    copy_folder(root, &copy, target).map_err(told)?;
    let manifest = copy.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(told)?;
    if !text.contains(VERSION.0) {
        return Err(format!(
            "Cargo.toml has no line {:?}: mend VERSION in xtask/src/new_subsystem_trial.rs",
            VERSION.0
        ));
    }
    fs::write(&manifest, text.replacen(VERSION.0, VERSION.1, 1)).map_err(told)?;
    new_subsystem::run_in(&copy, NAME, false)?;
    let steps = [
        &["fmt", "--all", "--check"][..],
        &["test", "--offline", "--package", NAME],
        &["check", "--offline", "--package", "node"],
    ];
    for words in steps {
        let mut command = shell::cargo(&copy);
        command.args(words).env("CARGO_TARGET_DIR", target).env("CARGO_INCREMENTAL", "0");
        shell::run(&mut command)?;
    }
    fs::remove_dir_all(&copy).map_err(told)
}

/// Like [`run`], for the checkout that the current folder is in.
///
/// # Errors
/// As [`run`], and when there is no checkout.
pub fn run_here() -> Result<(), String> {
    let root = house::root()?;
    run(&root, &house::target_directory(&root)?)
}

fn copy_folder(from: &Path, to: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            let skipped = path == target || SKIPPED_FOLDERS.iter().any(|folder| name == *folder);
            if !skipped {
                copy_folder(&path, &to.join(name), target)?;
            }
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
