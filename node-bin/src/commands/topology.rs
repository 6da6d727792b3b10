//! `parahost topology`: the graph that the wiring proves.

use clap::{Args, ValueEnum};

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
}

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
