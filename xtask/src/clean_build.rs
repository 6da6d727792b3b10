//! Builds the framework as somebody does who has just taken it up: alone, with all it depends on, and nothing there yet.

use crate::{house, shell};
use std::{
    fs,
    io::ErrorKind,
    path::Path,
    time::{Duration, Instant},
};

/// What it may cost on two cores that do nothing else.
const MARK: Duration = Duration::from_secs(30);
/// Longer fails. Thrice the mark: a machine of CI has other work, and what is to be caught, such as one more large
/// dependency, costs more than that or can wait until somebody looks at the number.
const BUDGET: Duration = Duration::from_secs(3 * MARK.as_secs());

/// Builds it in the checkout at `root`, in a folder of its own in `target` that is empty before and gone afterwards, and
/// says how long that took.
///
/// # Errors
/// When it does not build, takes longer than the budget, or the folder cannot be removed.
pub fn run(root: &Path, target: &Path) -> Result<(), String> {
    let folder = target.join("clean-build");
    remove(&folder)?;
    // What has to be downloaded says nothing about the framework.
    let mut fetch = shell::cargo(root);
    shell::run(fetch.args(["fetch", "--locked"]))?;
    let mut build = shell::cargo(root);
    build.args(["build", "--package", "overseer", "--locked", "--offline", "--jobs", "2", "--target-dir"]).arg(&folder);
    let begun = Instant::now();
    let built = shell::run(build.env("CARGO_INCREMENTAL", "0"));
    let took = begun.elapsed();
    remove(&folder)?;
    built?;
    shell::say(judged(took)?);
    Ok(())
}

/// Like [`run`], for the checkout that the current folder is in.
///
/// # Errors
/// As [`run`], and when there is no checkout.
pub fn run_here() -> Result<(), String> {
    let root = house::root()?;
    run(&root, &house::target_directory(&root)?)
}

fn judged(took: Duration) -> Result<String, String> {
    let (took_seconds, mark, budget) = (took.as_secs_f64(), MARK.as_secs(), BUDGET.as_secs());
    let told = format!("a clean build of overseer took {took_seconds:.1} s; the mark is {mark} s on two idle cores");
    if took <= BUDGET { Ok(told) } else { Err(format!("{told}, and {budget} s anywhere")) }
}

fn remove(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("{}: {error}", folder.display())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_beyond_the_budget_fails_and_says_by_how_much() {
        let told = judged(BUDGET).unwrap();
        assert!(told.contains("took 90.0 s") && told.contains("30 s on two"), "{told}");
        let error = judged(BUDGET + Duration::from_secs(1)).unwrap_err();
        assert!(error.contains("took 91.0 s") && error.ends_with("90 s anywhere"), "{error}");
    }
}
