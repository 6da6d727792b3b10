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
    /// The relay chain beside its marks.
    ///
    /// Prints how long the import of a full block takes beside a batch verification of its signatures, what empty
    /// blocks, bitfields, sessions and forks cost, how a chain starts again from disk, and whether a long chain's memory
    /// grows. docs/benchmarks.md says what each row is.
    ///
    ///   cargo xtask bench runtime --short        without the long chains: some seconds after the first build
    ///   cargo xtask bench runtime --quick        does all of it run?
    ///   cargo xtask bench runtime --json --check all of it, for a program that watches the marks; some minutes
    #[command(verbatim_doc_comment)]
    Runtime(Runtime),
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

/// How to measure the relay chain.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    /// Print rows as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Fail when a mark is missed, and name it last.
    #[arg(long)]
    check: bool,
    /// Rounds of what is short [default: 9, or 3 with --quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Short chains and few rounds; memory is not judged.
    #[arg(long)]
    quick: bool,
    /// Leave out the long chains: restart and memory.
    #[arg(long)]
    short: bool,
}

/// What both programs are told.
struct Program {
    package: &'static str,
    flags: Vec<(bool, &'static str)>,
    rounds: Option<u32>,
    check: bool,
}

impl Suite {
    fn program(&self) -> Program {
        match *self {
            Self::Bus(Bus { json, check, rounds, quick }) => {
                let flags = vec![(json, "--json"), (check, "--check"), (quick, "--quick")];
                Program { package: "peers", flags, rounds, check }
            }
            Self::Runtime(Runtime { json, check, rounds, quick, short }) => {
                let flags = vec![(json, "--json"), (check, "--check"), (quick, "--quick"), (short, "--short")];
                Program { package: "chain", flags, rounds, check }
            }
        }
    }
}

/// Builds the measuring program in release and runs it. `false`: a mark is missed, and the program has named it as the
/// last thing on standard error, so that nothing should be printed after it.
///
/// # Errors
/// When it does not build, does not start, or ends in another way.
pub fn run(suite: &Suite) -> Result<bool, String> {
    let program = suite.program();
    let mut command = command(&root()?, &program);
    let status = command.status().map_err(|error| format!("`{}` did not start: {error}", shell::line(&command)))?;
    outcome(status, program.check).ok_or_else(|| format!("`{}` ended with {status}", shell::line(&command)))
}

fn command(root: &Path, program: &Program) -> Command {
    let mut command = shell::cargo(root);
    command.args(["run", "--quiet", "--release", "--manifest-path", MANIFEST, "--package", program.package, "--"]);
    for (wanted, flag) in &program.flags {
        command.args(wanted.then_some(flag));
    }
    if let Some(rounds) = program.rounds {
        command.arg("--rounds").arg(rounds.to_string());
    }
    command
}

/// Whether the marks are met, where that was asked (`check`).
fn outcome(status: ExitStatus, check: bool) -> Option<bool> {
    match status.code() {
        Some(0) => Some(true),
        Some(MARK_MISSED) if check => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_passed_on() {
        let line = |suite: Suite| shell::line(&command(Path::new("."), &suite.program()));
        let bus = line(Suite::Bus(Bus { json: true, check: true, rounds: Some(5), quick: false }));
        assert!(bus.contains("--manifest-path bench/Cargo.toml --package peers"), "{bus}");
        assert!(bus.ends_with("-- --json --check --rounds 5"), "{bus}");
        assert!(line(Suite::Bus(Bus::default())).ends_with(" --"));
        let runtime = line(Suite::Runtime(Runtime { quick: true, short: true, ..Runtime::default() }));
        assert!(runtime.ends_with("--package chain -- --quick --short"), "{runtime}");
    }

    #[cfg(unix)]
    #[test]
    fn a_missed_mark_is_no_error_of_the_chore_but_everything_else_is() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |code: i32, check| outcome(ExitStatus::from_raw(code << 8), check);
        assert_eq!(ended(0, true), Some(true));
        assert_eq!(ended(1, true), Some(false));
        assert_eq!(ended(1, false), None);
        assert_eq!(ended(101, true), None, "it did not build, or panicked");
    }
}
