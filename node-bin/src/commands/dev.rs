//! `parahost dev`: a local network that carries candidates from collator to inclusion.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use node::local::{LocalConfig, LocalNetwork, LocalNetworkError, NetworkKind, ProgressEvent, Summary};
use serde_json::json;

use super::CommandError;
use super::live_view::LiveView;

/// Nothing moved for so long: the network is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for a clean end after Ctrl-C.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Starts validators and collators in this process, each with a chain, keys and a disk of its own, on libp2p over
/// loopback and with wasm in worker processes. Ends by itself when every para has the wanted number of candidates
/// included (exit code 0), or when nothing moves for a minute (exit code 1, with the step that is stuck).
#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// Validators, 1 to 100
    #[arg(long, default_value_t = LocalConfig::default().validators)]
    validators: u32,
    /// Parachains, no more than validators
    #[arg(long, default_value_t = LocalConfig::default().parachains)]
    parachains: u32,
    /// Collators of each parachain
    #[arg(long, default_value_t = LocalConfig::default().collators_per_para)]
    collators_per_para: u32,
    /// Length of a slot, in milliseconds
    #[arg(long, default_value_t = LocalConfig::default().slot_ms)]
    slot_ms: u64,
    /// End when every para has so many candidates included
    #[arg(long, default_value_t = DEFAULT_GOAL, value_name = "N")]
    until_included: u64,
    /// Size of each proof of validity: bytes, or with KiB or MiB behind
    #[arg(long, default_value = "64KiB", value_parser = parse_size, value_name = "SIZE")]
    pov_size: usize,
    /// How often two authors meet in one slot, 0 to 1
    #[arg(long, default_value_t = LocalConfig::default().fork_probability, value_name = "P")]
    fork_probability: f64,
    /// What carries the messages
    #[arg(long, value_enum, default_value = "libp2p")]
    network: NetworkArgument,
    /// Keep chains, journals and data here instead of in a directory that is removed in the end
    #[arg(long, value_name = "DIR")]
    base_path: Option<PathBuf>,
    /// Print a JSON object per line; the last one is the summary
    #[arg(long)]
    json: bool,
}

/// Candidates per para, unless told otherwise.
const DEFAULT_GOAL: u64 = 10;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkArgument {
    /// TCP on the loopback interface, encrypted
    Libp2p,
    /// Memory
    Memory,
}

impl Default for DevArguments {
    fn default() -> Self {
        let LocalConfig { validators, parachains, collators_per_para, slot_ms, pov_size, fork_probability } =
            LocalConfig::default();
        Self {
            validators,
            parachains,
            collators_per_para,
            slot_ms,
            until_included: DEFAULT_GOAL,
            pov_size,
            fork_probability,
            network: NetworkArgument::Libp2p,
            base_path: None,
            json: false,
        }
    }
}

/// `65536`, `64KiB`, `5MiB`.
fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor: usize = match unit {
        "" | "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return Err(format!("unit {unit:?} is not known, expected B, KiB or MiB")),
    };
    let number: usize =
        digits.parse().map_err(|_| "expected a number of bytes, such as 65536, 64KiB, 5MiB".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "size is out of range".to_owned())
}

impl DevArguments {
    fn config(&self) -> LocalConfig {
        LocalConfig {
            validators: self.validators,
            parachains: self.parachains,
            collators_per_para: self.collators_per_para,
            slot_ms: self.slot_ms,
            pov_size: self.pov_size,
            fork_probability: self.fork_probability,
        }
    }
}

pub(crate) fn run(arguments: &DevArguments) -> Result<(), CommandError> {
    if arguments.until_included == 0 {
        return Err(CommandError::Usage("--until-included is 0, expected at least 1".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::failed)?;
    let result = runtime.block_on(network(arguments));
    runtime.shutdown_timeout(STOP_DEADLINE);
    result
}

async fn network(arguments: &DevArguments) -> Result<(), CommandError> {
    let kind = match arguments.network {
        NetworkArgument::Libp2p => NetworkKind::Libp2p,
        NetworkArgument::Memory => NetworkKind::Memory,
    };
    let mut output = Output::new(arguments);
    let mut network = LocalNetwork::start(arguments.config(), kind, arguments.base_path.as_deref()).await.map_err(
        |error| match error {
            LocalNetworkError::Config(wish) => CommandError::Usage(wish.to_string()),
            other => CommandError::failed(other),
        },
    )?;
    let result = tokio::select! {
        biased;
        () = interrupted() => Err(CommandError::Interrupted),
        result = network.run(arguments.until_included, PATIENCE, |event, network| output.show(event, network)) => {
            result.map_err(CommandError::failed)
        }
    };
    output.finish();
    let summary = match tokio::time::timeout(STOP_DEADLINE, network.stop()).await {
        Ok(summary) => summary,
        Err(_) => return Err(CommandError::Failed("the network did not stop in time".to_owned())),
    };
    output.summary(&summary);
    match result? {
        true if summary.ok => Ok(()),
        true => Err(CommandError::Failed("a node did not end in order".to_owned())),
        false => Err(CommandError::Failed(format!(
            "nothing moved for {} s; stuck at step {}",
            PATIENCE.as_secs(),
            summary.stuck.unwrap_or("unknown")
        ))),
    }
}

/// Ctrl-C, or the signal by which service managers end a program.
async fn interrupted() {
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        // Without a handler the signal ends the process, as is its default.
        drop(tokio::signal::ctrl_c().await);
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Where what happens is shown.
enum Output {
    Json,
    Lines,
    Live(LiveView),
}

impl Output {
    fn new(arguments: &DevArguments) -> Self {
        if arguments.json {
            Self::Json
        } else if std::io::stdout().is_terminal() {
            Self::Live(LiveView::new(arguments.until_included))
        } else {
            Self::Lines
        }
    }

    fn show(&mut self, event: &ProgressEvent, network: &LocalNetwork) {
        match self {
            Self::Json => print_line(&event_json(event).to_string()),
            Self::Lines => print_line(&event_line(event)),
            Self::Live(view) => view.draw(network),
        }
    }

    fn finish(&mut self) {
        if let Self::Live(view) = self {
            view.finish();
        }
    }

    fn summary(&self, summary: &Summary) {
        match self {
            Self::Json => match serde_json::to_string(summary) {
                Ok(line) => print_line(&line),
                Err(error) => eprintln!("error: summary cannot be written: {error}"),
            },
            Self::Lines | Self::Live(_) => print_summary(summary),
        }
    }
}

/// A reader that went away (`| head`) is no reason to panic.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn event_json(event: &ProgressEvent) -> serde_json::Value {
    match event {
        ProgressEvent::Block { number, hash, is_fork } => {
            json!({"event": "block", "number": number, "hash": format!("{hash:?}"), "fork": is_fork})
        }
        ProgressEvent::Finalized { number } => json!({"event": "finalized", "number": number}),
        ProgressEvent::Backed { para, candidate, number } => {
            json!({"event": "backed", "para": para.0, "candidate": format!("{candidate:?}"), "number": number})
        }
        ProgressEvent::Included { para, candidate, number } => {
            json!({"event": "included", "para": para.0, "candidate": format!("{candidate:?}"), "number": number})
        }
        ProgressEvent::TimedOut { para, candidate, number } => {
            json!({"event": "timed_out", "para": para.0, "candidate": format!("{candidate:?}"), "number": number})
        }
    }
}

fn event_line(event: &ProgressEvent) -> String {
    match event {
        ProgressEvent::Block { number, hash, is_fork } => {
            format!("block {number} {hash:?}{}", if *is_fork { " (fork)" } else { "" })
        }
        ProgressEvent::Finalized { number } => format!("finalized {number}"),
        ProgressEvent::Backed { para, candidate, number } => {
            format!("para {} backed in block {number}: {candidate:?}", para.0)
        }
        ProgressEvent::Included { para, candidate, number } => {
            format!("para {} included in block {number}: {candidate:?}", para.0)
        }
        ProgressEvent::TimedOut { para, candidate, number } => {
            format!("para {} not available in time, block {number}: {candidate:?}", para.0)
        }
    }
}

fn print_summary(summary: &Summary) {
    print_line("");
    print_line(&format!(
        "{} blocks, {} forks, finalized {}, in {:.1} s",
        summary.blocks,
        summary.forks,
        summary.finalized,
        summary.elapsed_ms as f64 / 1000.0
    ));
    for para in &summary.paras {
        print_line(&format!("para {}: {} included, {} skipped", para.para, para.included, para.skipped));
    }
    if let Some(slots) = summary.median_slots_to_inclusion {
        print_line(&format!("median slots from produced to included: {slots}"));
    }
    print_line(&format!("bytes on the wire: {}", summary.bytes_on_the_wire));
    print_line("messages on the bus:");
    for edge in summary.edges.iter().filter(|edge| edge.count > 0) {
        print_line(&format!("  {:>9}  {} -> {}: {}", edge.count, edge.from, edge.to, edge.message));
    }
}
