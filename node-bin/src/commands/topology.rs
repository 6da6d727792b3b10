//! `parahost topology`: the graph that the wiring proves.

use std::time::Duration;

use clap::{Args, ValueEnum};
use node::local::{LocalConfig, LocalNetwork, NetworkKind, ProgressEvent};

use super::CommandError;

/// The graph of a node: slots, who sends what to whom, and how it waits.
#[derive(Debug, Args)]
pub(crate) struct TopologyArguments {
    /// In which language to print it
    #[arg(long, value_enum, default_value = "dot")]
    format: Format,
    /// The same as `--format json`
    #[arg(long)]
    json: bool,
    /// Run a local network in memory, and show the first node's topology with its counters after each block, until a
    /// candidate of every para is included
    #[arg(long, conflicts_with_all = ["format", "json"])]
    live: bool,
}

/// For how long nothing may move in a live network.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For Graphviz
    Dot,
    /// For Markdown pages
    Mermaid,
    /// For programs
    Json,
}

pub(crate) fn run(arguments: &TopologyArguments) -> Result<(), CommandError> {
    if arguments.live {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::failed)?;
        return runtime.block_on(live());
    }
    let topology = node::topology().map_err(CommandError::failed)?;
    let text = match arguments.format {
        _ if arguments.json => topology.to_json(),
        Format::Dot => topology.to_dot(),
        Format::Mermaid => topology.to_mermaid(),
        Format::Json => topology.to_json(),
    };
    print!("{text}");
    Ok(())
}

async fn live() -> Result<(), CommandError> {
    let config = LocalConfig::default();
    let mut network = LocalNetwork::start(config, NetworkKind::Memory, None).await.map_err(CommandError::failed)?;
    let result = network
        .run(1, PATIENCE, |event, network| {
            if let ProgressEvent::Block { number, .. } = event {
                println!("── block {number}\n{}", network.nodes()[0].handle().live_topology());
            }
        })
        .await;
    network.stop().await;
    match result.map_err(CommandError::failed)? {
        true => Ok(()),
        false => Err(CommandError::Failed(format!("nothing moved for {} s", PATIENCE.as_secs()))),
    }
}
