//! `cargo xtask bench`: measurements beside others, in the workspace `bench/`, which has dependencies of its own.

use crate::{house::root, shell};
use clap::{Args, Subcommand};
use std::{
    path::Path,
    process::{Command, ExitStatus},
};

/// Where the workspace of measurements is, from the root of the repository.
const MANIFEST: &str = "bench/Cargo.toml";
/// What the measuring program ends with when a mark is missed, or nothing is proven; it has said so by then.
const MARK_MISSED: i32 = 1;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Suite {
    /// The message bus beside orchestra, ractor, kameo, actix and bare channels.
    ///
    /// Prints speeds relative to a bare tokio channel, times, and bytes per idle subsystem. docs/benchmarks.md says
    /// what each workload is, and when to believe the numbers.
    ///
    ///   cargo xtask bench bus                a table; some minutes after the first build
    ///   cargo xtask bench bus --quick        does all of it run?
    ///   cargo xtask bench bus --json --check for a program that watches the marks
    #[command(verbatim_doc_comment)]
    Bus(Bus),
}

/// How to measure the message bus.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bus {
    /// Print rows as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Fail when a mark is missed, and name it last; also when the machine was too busy to tell.
    #[arg(long)]
    check: bool,
    /// Undisturbed rounds of each workload [default: 9, or 3 with --quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// A tenth of the work per round.
    #[arg(long)]
    quick: bool,
}

/// Builds the measuring program in release and runs it. `false`: a mark is missed, and the program has named it as the
/// last thing on standard error, so that nothing should be printed after it.
///
/// # Errors
/// When it does not build, does not start, or ends in another way.
pub fn run(suite: &Suite) -> Result<bool, String> {
    let Suite::Bus(bus) = suite;
    let mut command = command(&root()?, *bus);
    let status = command.status().map_err(|error| format!("`{}` did not start: {error}", shell::line(&command)))?;
    outcome(status, *bus).ok_or_else(|| format!("`{}` ended with {status}", shell::line(&command)))
}

fn command(root: &Path, bus: Bus) -> Command {
    let mut command = shell::cargo(root);
    command.args(["run", "--quiet", "--release", "--manifest-path", MANIFEST, "--package", "peers", "--"]);
    for (wanted, flag) in [(bus.json, "--json"), (bus.check, "--check"), (bus.quick, "--quick")] {
        command.args(wanted.then_some(flag));
    }
    if let Some(rounds) = bus.rounds {
        command.arg("--rounds").arg(rounds.to_string());
    }
    command
}

/// Whether the marks are met, where that was asked.
fn outcome(status: ExitStatus, bus: Bus) -> Option<bool> {
    match status.code() {
        Some(0) => Some(true),
        Some(MARK_MISSED) if bus.check => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_passed_on() {
        let bus = Bus { json: true, check: true, rounds: Some(5), quick: false };
        let line = shell::line(&command(Path::new("."), bus));
        assert!(line.contains("--manifest-path bench/Cargo.toml"), "{line}");
        assert!(line.ends_with("-- --json --check --rounds 5"), "{line}");
        assert!(shell::line(&command(Path::new("."), Bus::default())).ends_with(" --"));
    }

    #[cfg(unix)]
    #[test]
    fn a_missed_mark_is_no_error_of_the_chore_but_everything_else_is() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |code: i32, check| outcome(ExitStatus::from_raw(code << 8), Bus { check, ..Bus::default() });
        assert_eq!(ended(0, true), Some(true));
        assert_eq!(ended(1, true), Some(false));
        assert_eq!(ended(1, false), None);
        assert_eq!(ended(101, true), None, "it did not build, or panicked");
    }
}
