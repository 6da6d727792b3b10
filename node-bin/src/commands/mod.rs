//! The commands, one file each.

mod chain_spec;
mod conformance;
mod dev;
mod live_view;
mod output;
mod topology;

use clap::{Parser, Subcommand};
use telemetry::LogFormat;

/// The node of a parachain host, and a local network of such nodes.
#[derive(Debug, Parser)]
#[command(name = "parahost", version, about, long_about = None)]
#[command(after_help = "Without a command, `dev` is run with its defaults: a local network that ends by itself.\n\n\
Exit codes: 0 done; 1 tried and failed, also for a file that says something wrong; 2 the command line asks for what \
cannot be, or names a file that cannot be read; 130 ended by Ctrl-C.")]
pub(crate) struct Arguments {
    /// What to log to standard error, such as `info` or `info,network_bridge=debug`
    #[arg(long, global = true, env = "PARAHOST_LOG", default_value = "error", value_name = "FILTER")]
    log: String,
    /// Log JSON objects instead of text
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a local network of validators and collators until every para has candidates included
    Dev(dev::DevArguments),
    /// Print who sends what to whom in a node, and how
    Topology(topology::TopologyArguments),
    /// Make, show and check chain specifications
    ChainSpec(chain_spec::ChainSpecArguments),
    /// Check this build against known answers of real validation functions
    Conformance(conformance::ConformanceArguments),
}

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The command line asks for what cannot be.
    Usage(String),
    /// It was tried and failed.
    Failed(String),
    /// The operator ended it before it was done.
    Interrupted,
}

impl CommandError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            // What shells give to a program ended by Ctrl-C.
            Self::Interrupted => 130,
        }
    }

    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(reason) | Self::Failed(reason) => f.write_str(reason),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// A whole number; what is expected instead of anything else is said with its bounds.
fn whole<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let max = u64::MAX >> (u64::BITS as usize - 8 * size_of::<T>());
    let number = text.parse::<u64>().ok().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("expected a whole number, 0 to {max}"))
}

/// A part of one.
fn fraction(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "expected a number, 0 to 1, such as 0.2".to_owned())
}

/// Runs the command named on the command line.
pub(crate) fn run(arguments: Arguments) -> Result<(), CommandError> {
    let format = if arguments.log_json { LogFormat::Json } else { LogFormat::Text };
    telemetry::init_logs(&arguments.log, format).map_err(|error| CommandError::Usage(error.to_string()))?;
    match arguments.command.unwrap_or_else(|| Command::Dev(dev::DevArguments::default())) {
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Topology(arguments) => topology::run(&arguments),
        Command::ChainSpec(arguments) => chain_spec::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
    }
}
