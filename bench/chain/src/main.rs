//! The relay chain beside its marks: `cargo xtask bench runtime`.
//!
//! Role: imports, executes and restarts chains through the public doors of `relay-chain` and `runtime`, compares what
//! is compared within a round, and says which marks are missed.
//!
//! Receives: a command line. Sends: a table or JSON on standard output, progress and missed marks on standard error;
//! exit code 0, 1 when a mark is missed, 2 for wrong usage.
//!
//! Invariants: everything that is measured is real, but for the disk under the import (it is told apart), the network
//! (nobody is there) and the clock of the long chains (virtual).

// Shared with the message bus's benchmark.
#[path = "../../peers/src/allocation.rs"]
mod allocation;
#[path = "../../peers/src/statistics.rs"]
mod statistics;

mod doors;
mod ground;
mod import;
mod long;
mod rows;
mod small;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use crate::rows::Row;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Rounds, unless told otherwise.
const ROUNDS: u32 = 9;
const QUICK_ROUNDS: u32 = 3;
/// Blocks of the chain that starts again.
const RESTART_BLOCKS: u32 = 10_000;
const QUICK_RESTART_BLOCKS: u32 = 500;
/// Blocks of the chain whose memory is watched.
const MEMORY_BLOCKS: u32 = 100_000;
const QUICK_MEMORY_BLOCKS: u32 = 5_000;

/// Measure the relay chain beside its marks.
#[derive(Debug, Parser)]
#[command(name = "chain", version)]
struct Cli {
    /// Print rows as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Exit with 1 if a mark is missed, and name it last.
    #[arg(long)]
    check: bool,
    /// Rounds of what is short [default: 9, or 3 with --quick].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Short chains and few rounds: to see that all of it runs. Memory is not judged.
    #[arg(long)]
    quick: bool,
    /// Leave out the long chains: restart and memory.
    #[arg(long)]
    short: bool,
}

fn tell(what: String) {
    eprintln!("{what}");
}

fn measure(cli: &Cli) -> Vec<Row> {
    let rounds = cli.rounds.unwrap_or(if cli.quick { QUICK_ROUNDS } else { ROUNDS }) as usize;
    let mut long = Vec::new();
    if !cli.short {
        // Before anything else has used memory.
        let (memory, restart) =
            if cli.quick { (QUICK_MEMORY_BLOCKS, QUICK_RESTART_BLOCKS) } else { (MEMORY_BLOCKS, RESTART_BLOCKS) };
        tell(format!("memory of a chain of {memory} blocks"));
        let memory = long::memory(memory, tell);
        tell(format!("restart of a chain of {restart} blocks"));
        long.push(long::restart(restart));
        // A short chain has not filled its tables yet.
        long.extend(memory.into_iter().map(|row| if cli.quick { Row { mark: None, ..row } } else { row }));
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.expect("the operating system gives a benchmark its threads");
    tokio.block_on(async {
        tell("import of a full block".to_owned());
        let full = import::measure(rounds).await;
        tell("bitfields, empty blocks, sessions, forks".to_owned());
        let small = small::measure(rounds, &full).await;
        let mut rows = full.rows;
        rows.extend(small);
        rows.extend(long);
        rows
    })
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let rows = measure(&cli);
    let text = if cli.json { format!("{:#}", rows::json(&rows)) } else { rows::table(&rows) };
    // A reader who has gone away is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    let missed = rows::missed(&rows);
    if !cli.check || missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    for line in &missed {
        eprintln!("{line}");
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["chain", "--rounds", "0"]).is_err());
        assert!(Cli::try_parse_from(["chain", "--json", "--check", "--quick"]).is_ok());
    }
}
