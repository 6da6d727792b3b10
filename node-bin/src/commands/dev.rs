//! `parahost dev`: a local network that carries candidates from collator to inclusion.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use node::StartFailure;
use node::local::{LocalConfig, LocalNetwork, LocalNetworkError, NetworkKind, ScenarioKind};
use tokio::signal::unix::{SignalKind, signal};

use super::output::Output;
use super::{CommandError, chain_spec, fraction, whole};

/// Nothing moved for so long: the network is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for a clean end after Ctrl-C.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Starts validators and collators in this process, each with a chain, keys and a disk of its own, on libp2p over
/// loopback and with wasm in worker processes. Ends by itself when every para has the wanted number of candidates
/// included (exit code 0), or when nothing moves for a minute (exit code 1, with the step that is stuck).
#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// Validators, 1 to 100; two processors carry about 20 with slots of the default length
    #[arg(long, default_value_t = LocalConfig::default().validators, allow_hyphen_values = true, value_parser = whole::<u32>)]
    validators: u32,
    /// Parachains, no more than validators
    #[arg(long, default_value_t = LocalConfig::default().parachains, allow_hyphen_values = true, value_parser = whole::<u32>)]
    parachains: u32,
    /// Parathreads; a scenario claims blocks for them
    #[arg(long, default_value_t = LocalConfig::default().parathreads, allow_hyphen_values = true, value_parser = whole::<u32>)]
    parathreads: u32,
    /// Collators of each para
    #[arg(long, default_value_t = LocalConfig::default().collators_per_para, allow_hyphen_values = true, value_parser = whole::<u32>)]
    collators_per_para: u32,
    /// Length of a slot, in milliseconds
    #[arg(long, default_value_t = LocalConfig::default().slot_ms, allow_hyphen_values = true, value_parser = whole::<u64>)]
    slot_ms: u64,
    /// Length of a session, in blocks
    #[arg(long, default_value_t = LocalConfig::default().session_blocks, value_name = "N", allow_hyphen_values = true, value_parser = whole::<u32>)]
    session_blocks: u32,
    /// What is to happen beside that; the run fails unless all of it was seen
    #[arg(long, value_enum)]
    scenario: Option<ScenarioArgument>,
    /// End when every para has so many candidates included [default: 10, with a scenario 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = whole::<u64>)]
    until_included: Option<u64>,
    /// Size of each proof of validity: bytes, or with KiB or MiB behind
    #[arg(long, default_value = "64KiB", value_parser = parse_size, value_name = "SIZE", allow_hyphen_values = true)]
    pov_size: usize,
    /// How often two authors meet in one slot, 0 to 1
    #[arg(long, default_value_t = LocalConfig::default().fork_probability, value_name = "P", allow_hyphen_values = true, value_parser = fraction)]
    fork_probability: f64,
    /// Begin with this chain specification, and take validators, parachains, slots and sessions from it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["validators", "parachains", "parathreads", "slot_ms",
        "session_blocks", "fork_probability", "scenario"])]
    chain_spec: Option<PathBuf>,
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
/// The same in a scenario, which ends when all of it was seen.
const SCENARIO_GOAL: u64 = 1;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScenarioArgument {
    /// Validators and parathreads that come and go, a code upgrade, a candidate that is not available in time, forks
    Sessions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkArgument {
    /// TCP on the loopback interface, encrypted
    Libp2p,
    /// Memory
    Memory,
}

impl Default for DevArguments {
    fn default() -> Self {
        let config = LocalConfig::default();
        Self {
            validators: config.validators,
            parachains: config.parachains,
            parathreads: config.parathreads,
            collators_per_para: config.collators_per_para,
            slot_ms: config.slot_ms,
            session_blocks: config.session_blocks,
            scenario: None,
            until_included: None,
            pov_size: config.pov_size,
            fork_probability: config.fork_probability,
            chain_spec: None,
            network: NetworkArgument::Libp2p,
            base_path: None,
            json: false,
        }
    }
}

/// `65536`, `64KiB`, `5MiB`.
fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    if digits.is_empty() {
        return Err("expected a number of bytes, such as 65536, 64KiB, 5MiB".to_owned());
    }
    let factor: usize = match unit {
        "" | "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return Err(format!("unit {unit:?} is not known, expected B, KiB or MiB")),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    bytes.ok_or_else(|| "size is out of range".to_owned())
}

impl DevArguments {
    fn goal(&self) -> u64 {
        let usual = if self.scenario.is_some() { SCENARIO_GOAL } else { DEFAULT_GOAL };
        self.until_included.unwrap_or(usual)
    }

    fn config(&self) -> Result<LocalConfig, CommandError> {
        let mut config = LocalConfig {
            validators: self.validators,
            parachains: self.parachains,
            parathreads: self.parathreads,
            collators_per_para: self.collators_per_para,
            slot_ms: self.slot_ms,
            session_blocks: self.session_blocks,
            scenario: self.scenario.map(|ScenarioArgument::Sessions| ScenarioKind::Sessions),
            pov_size: self.pov_size,
            fork_probability: self.fork_probability,
            given_genesis: None,
        };
        if let Some(file) = &self.chain_spec {
            let spec = chain_spec::read(file)?;
            config.follow(&spec).map_err(|error| CommandError::Usage(format!("{}: {error}", file.display())))?;
        }
        Ok(config)
    }
}

pub(crate) fn run(arguments: &DevArguments) -> Result<(), CommandError> {
    if arguments.until_included == Some(0) {
        return Err(CommandError::Usage("--until-included is 0, expected at least 1".to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::failed)?;
    let result = runtime.block_on(network(arguments));
    runtime.shutdown_timeout(STOP_DEADLINE);
    result
}

/// Whether the command line is to blame for a network that did not start.
fn not_started(error: LocalNetworkError) -> CommandError {
    match &error {
        LocalNetworkError::Config(_)
        | LocalNetworkError::BasePath { .. }
        | LocalNetworkError::ForeignBasePath { .. }
        | LocalNetworkError::Store(_) => CommandError::Usage(error.to_string()),
        LocalNetworkError::Node(node) => match *node.cause {
            StartFailure::Chain(relay_chain::Error::ForeignChain { .. }) => {
                CommandError::Usage(format!("{error}: the base path belongs to a network with other settings"))
            }
            _ => CommandError::failed(error),
        },
        _ => CommandError::failed(error),
    }
}

async fn network(arguments: &DevArguments) -> Result<(), CommandError> {
    let kind = match arguments.network {
        NetworkArgument::Libp2p => NetworkKind::Libp2p,
        NetworkArgument::Memory => NetworkKind::Memory,
    };
    let mut output = Output::new(arguments.json, arguments.goal());
    let mut network =
        LocalNetwork::start(arguments.config()?, kind, arguments.base_path.as_deref()).await.map_err(not_started)?;
    let result = tokio::select! {
        biased;
        () = interrupted() => Err(CommandError::Interrupted),
        result = network.run(arguments.goal(), PATIENCE, |event, network| output.show(event, network)) => {
            result.map_err(CommandError::failed)
        }
    };
    let summary = match tokio::time::timeout(STOP_DEADLINE, network.stop()).await {
        Ok(summary) => summary,
        Err(_) => return Err(CommandError::Failed("the network did not stop in time".to_owned())),
    };
    output.summary(&summary);
    output.check().map_err(|error| CommandError::Failed(format!("standard output: {error}")))?;
    match result? {
        true if summary.ok => Ok(()),
        true => Err(CommandError::Failed("a node did not end in order".to_owned())),
        false if summary.stuck.is_none() => {
            let missing = summary.scenario.iter().filter(|sight| sight.block.is_none()).map(|sight| sight.what);
            let missing: Vec<&str> = missing.collect();
            Err(CommandError::Failed(format!("the scenario is over; not seen: {}", missing.join("; "))))
        }
        false => Err(CommandError::Failed(format!(
            "nothing moved for {} s; stuck at step {}",
            PATIENCE.as_secs(),
            summary.stuck.unwrap_or("unknown")
        ))),
    }
}

/// Ctrl-C, the signal by which service managers end a program, or a terminal that was closed.
async fn interrupted() {
    let handlers = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut hangup)) = handlers else {
        // Without a handler these signals end the process, as is their default.
        drop(tokio::signal::ctrl_c().await);
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
