//! The message bus beside its peers: `cargo xtask bench bus`.
//!
//! Role: runs the same courses on `overseer`, on the frameworks that people would otherwise choose, and on bare
//! channels, in interleaved rounds; compares within a round only; says which marks `overseer` misses.
//!
//! Receives: a command line. Sends: a table or JSON on standard output, progress and missed marks on standard error;
//! exit code 0, 1 when a mark is missed, 2 for wrong usage.
//!
//! Invariants: `overseer` is used by its public doors, with everything on. Each run has a runtime of its own, with two
//! workers unless told otherwise. A round in which others took more than [`machine::OTHERS_MAX_CORES`] is not used while there is a better
//! one, and it is said how many were not.
//!
//! Limits: [`workload::SIGNALS_MAX`].

mod allocation;
mod course;
mod machine;
mod marks;
mod measure;
mod report;
mod results;
mod statistics;
mod subjects;
mod workload;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use crate::measure::Plan;
use crate::workload::{Subject, Workload};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Rounds of a quick measurement, unless told otherwise.
const QUICK_ROUNDS: u32 = 3;
/// Rounds of a full measurement, unless told otherwise: so many the marks ask for.
const ROUNDS: u32 = 9;
/// Threads that may run tasks.
const WORKERS_MAX: usize = 64;

/// Measure the message bus beside its peers.
#[derive(Debug, Parser)]
#[command(name = "peers", version)]
struct Cli {
    /// Print rows as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Exit with 1 if a mark is missed, and name it last; also if the machine was too busy to tell.
    #[arg(long)]
    check: bool,
    /// Rounds that count [default: 9, or 3 with --quick].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// A tenth of the work per round: to see that all of it runs.
    #[arg(long)]
    quick: bool,
    /// Only this workload; may be given more than once.
    #[arg(long, value_parser = workload_of)]
    workload: Vec<Workload>,
    /// Only this subject; may be given more than once. `select`, a loop that hears messages and signals by hand, runs
    /// only if it is named.
    #[arg(long, value_parser = subject_of)]
    subject: Vec<Subject>,
    /// Threads that run tasks; with one, a wake never costs more than a switch of tasks. Marks are judged with two, and
    /// actix keeps its own two.
    #[arg(long, default_value_t = course::WORKERS, value_parser = workers_of, conflicts_with = "check")]
    workers: usize,
}

fn workload_of(name: &str) -> Result<Workload, String> {
    find(&Workload::ALL, Workload::name, name)
}

fn subject_of(name: &str) -> Result<Subject, String> {
    find(&Subject::ALL, Subject::name, name)
}

fn workers_of(number: &str) -> Result<usize, String> {
    number
        .parse()
        .ok()
        .filter(|number| (1..=WORKERS_MAX).contains(number))
        .ok_or(format!("expected 1 to {WORKERS_MAX}"))
}

fn find<T: Copy>(all: &[T], name_of: fn(T) -> &'static str, name: &str) -> Result<T, String> {
    all.iter().copied().find(|known| name_of(*known) == name).ok_or_else(|| {
        let names: Vec<&str> = all.iter().copied().map(name_of).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn or_all<T: Copy>(chosen: Vec<T>, all: &[T]) -> Vec<T> {
    if chosen.is_empty() { all.to_vec() } else { chosen }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let rounds = cli.rounds.unwrap_or(if cli.quick { QUICK_ROUNDS } else { ROUNDS });
    let plan = Plan {
        rounds: rounds as usize,
        quick: cli.quick,
        workers: cli.workers,
        workloads: or_all(cli.workload, &Workload::ALL),
        subjects: or_all(cli.subject, &Subject::PEERS),
    };
    let results = measure::measure(&plan, |what| eprintln!("{what}"));
    let text = if cli.json { format!("{:#}", report::json(&results)) } else { report::table(&results) };
    // A reader who has gone away is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    for line in report::noise(&results) {
        eprintln!("{line}");
    }
    if !cli.check {
        return ExitCode::SUCCESS;
    }
    let missed = marks::missed(&results);
    for line in &missed {
        eprintln!("{line}");
    }
    // On a machine that does other work a mark can be neither met nor missed; the reason is told above.
    if missed.is_empty() && results.disturbed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_names_what_it_expects() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["peers", "--workload", "ask", "--subject", "kanal", "--rounds", "2"]).unwrap();
        assert_eq!((cli.workload, cli.subject, cli.rounds), (vec![Workload::Ask], vec![Subject::Kanal], Some(2)));
        assert_eq!(
            workload_of("asks").unwrap_err(),
            "expected one of one_way_1024, one_way_64, one_way_payload, ask, ring_1, ring_64, signal_24, fan_in_8, signal_stalled, tapped"
        );
        assert!(Cli::try_parse_from(["peers", "--rounds", "0"]).is_err());
    }
}
