//! `parahost chain-spec`: the file that a chain begins with.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use node::local::LocalConfig;
use relay_chain::spec::{ChainSpec, FIELDS, Field, MAX_SPEC_BYTES, reference, schema};
use serde_json::{Value, json};

use super::{CommandError, fraction, whole};

/// Make, show and check chain specifications: JSON files with the same genesis everywhere.
#[derive(Debug, Args)]
pub(crate) struct ChainSpecArguments {
    #[command(subcommand)]
    command: ChainSpecCommand,
}

#[derive(Debug, Subcommand)]
enum ChainSpecCommand {
    /// Print a specification with the keys and paras of a local network
    #[command(after_long_help = fields_help())]
    New(NewArguments),
    /// Show what a specification says, with the meaning of every field
    Inspect {
        /// The file
        file: PathBuf,
        /// Print it as JSON: the specification whole, and what follows from it
        #[arg(long)]
        json: bool,
    },
    /// Check a specification, and print the hash of its genesis block
    Validate {
        /// The file
        file: PathBuf,
        /// Print name, hash and state root as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON schema of specifications, or their reference
    Schema {
        /// Print the reference, in Markdown, instead
        #[arg(long)]
        reference: bool,
    },
}

#[derive(Debug, Args)]
struct NewArguments {
    /// Name of the chain
    #[arg(long, default_value = "local")]
    name: String,
    /// Validators, 1 to 100
    #[arg(long, default_value_t = LocalConfig::default().validators, allow_hyphen_values = true, value_parser = whole::<u32>)]
    validators: u32,
    /// Parachains, no more than validators
    #[arg(long, default_value_t = LocalConfig::default().parachains, allow_hyphen_values = true, value_parser = whole::<u32>)]
    parachains: u32,
    /// Length of a slot, in milliseconds
    #[arg(long, default_value_t = LocalConfig::default().slot_ms, allow_hyphen_values = true, value_parser = whole::<u64>)]
    slot_ms: u64,
    /// Length of a session, in blocks
    #[arg(long, default_value_t = LocalConfig::default().session_blocks, value_name = "N", allow_hyphen_values = true, value_parser = whole::<u32>)]
    session_blocks: u32,
    /// How often two authors meet in one slot, 0 to 1
    #[arg(long, default_value_t = LocalConfig::default().fork_probability, value_name = "P", allow_hyphen_values = true, value_parser = fraction)]
    fork_probability: f64,
    /// Set a field of the configuration; --help lists them
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = parse_setting)]
    settings: Vec<(&'static Field, Option<u32>)>,
    /// Write to this file, which must not exist, instead of printing
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// All fields of the configuration, for `--help`.
fn fields_help() -> String {
    let mut text = "Fields of the configuration:\n".to_owned();
    for field in FIELDS {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {} [{} to {} {}, default {}]\n     {}",
            field.name,
            field.min,
            field.max,
            field.unit,
            value(field.default_value()),
            field.help
        );
    }
    text
}

fn value(value: Option<u32>) -> String {
    value.map_or("none".to_owned(), |value| value.to_string())
}

/// `max_pov_size_bytes=1048576`, or `minimum_backing_votes=none`.
fn parse_setting(text: &str) -> Result<(&'static Field, Option<u32>), String> {
    let (name, value) = text.split_once('=').ok_or("expected FIELD=VALUE")?;
    let field =
        Field::find(name).ok_or_else(|| format!("{name:?} is no field of the configuration; --help lists them"))?;
    match value {
        "none" if field.is_optional => Ok((field, None)),
        _ => match value.parse() {
            Ok(number) if (field.min..=field.max).contains(&number) => Ok((field, Some(number))),
            _ => Err(format!(
                "{name} is {value:?}, expected a number of {} from {} to {}",
                field.unit, field.min, field.max
            )),
        },
    }
}

pub(crate) fn run(arguments: &ChainSpecArguments) -> Result<(), CommandError> {
    match &arguments.command {
        ChainSpecCommand::New(arguments) => new(arguments),
        ChainSpecCommand::Inspect { file, json } => {
            let spec = read(file)?;
            if *json {
                let mut facts = facts(&spec)?;
                let whole: Value = serde_json::from_str(&spec.to_json()).map_err(CommandError::failed)?;
                facts["specification"] = whole;
                println!("{facts}");
            } else {
                print!("{}", describe(&spec)?);
            }
            Ok(())
        }
        ChainSpecCommand::Validate { file, json } => {
            let facts = facts(&read(file)?)?;
            if *json {
                println!("{facts}");
            } else {
                println!("{}", facts["genesis_hash"].as_str().unwrap_or_default());
            }
            Ok(())
        }
        ChainSpecCommand::Schema { reference: true } => {
            print!("{}", reference());
            Ok(())
        }
        ChainSpecCommand::Schema { reference: false } => {
            print!("{}", schema());
            Ok(())
        }
    }
}

/// Reads and checks a file.
///
/// # Errors
/// [`CommandError::Usage`] if it cannot be read, [`CommandError::Failed`] if it is no specification.
pub(super) fn read(file: &Path) -> Result<ChainSpec, CommandError> {
    let unreadable = |error: std::io::Error| CommandError::Usage(format!("{}: {error}", file.display()));
    // A device or a pipe does not say how long it is: no more is read than a specification may have.
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(MAX_SPEC_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_SPEC_BYTES {
        let name = file.display();
        return Err(CommandError::Failed(format!("{name}: the file has more than {MAX_SPEC_BYTES} bytes")));
    }
    ChainSpec::parse(&bytes).map_err(|error| CommandError::Failed(format!("{}: {error}", file.display())))
}

fn new(arguments: &NewArguments) -> Result<(), CommandError> {
    let config = LocalConfig {
        validators: arguments.validators,
        parachains: arguments.parachains,
        slot_ms: arguments.slot_ms,
        session_blocks: arguments.session_blocks,
        fork_probability: arguments.fork_probability,
        ..LocalConfig::default()
    };
    config.check().map_err(|error| CommandError::Usage(error.to_string()))?;
    let mut spec = config.chain_spec(&arguments.name);
    for (field, value) in &arguments.settings {
        field.set(&mut spec.genesis.configuration, *value);
    }
    spec.check().map_err(|error| CommandError::Usage(error.to_string()))?;
    let json = spec.to_json();
    let Some(path) = &arguments.output else {
        print!("{json}");
        return Ok(());
    };
    let failed = |error: std::io::Error| CommandError::Usage(format!("{}: {error}", path.display()));
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    std::io::Write::write_all(&mut file, json.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    println!("{}", spec.genesis_hash().map_err(CommandError::failed)?);
    Ok(())
}

/// What follows from a specification, for programs.
fn facts(spec: &ChainSpec) -> Result<Value, CommandError> {
    let (state, header) = spec.first_block().map_err(CommandError::failed)?;
    Ok(json!({
        "name": spec.name,
        "genesis_hash": header.hash().to_string(),
        "state_root": header.state_root.to_string(),
        "cores": state.groups().len(),
    }))
}

fn describe(spec: &ChainSpec) -> Result<String, CommandError> {
    let (state, header) = spec.first_block().map_err(CommandError::failed)?;
    let genesis = &spec.genesis;
    let mut lines = vec![
        format!("name                 {}", spec.name),
        format!("genesis hash         {}", header.hash()),
        format!("state root           {}", header.state_root),
        format!("slot                 {} ms", spec.slot_ms),
        format!("forks wanted         in {} of a million slots", spec.forks_per_million),
        format!("session              {} blocks", genesis.session_length),
        format!("stake per validator  {}", genesis.stake_per_validator),
        format!("validators           {}", genesis.validators.len()),
    ];
    lines.extend(genesis.validators.iter().map(|validator| format!("  {validator}")));
    lines.push(format!("cores                {}", state.groups().len()));
    lines.push(format!("paras                {}", genesis.paras.len()));
    for para in &genesis.paras {
        let kind = if para.is_parachain { "parachain" } else { "parathread" };
        let (head, code) = (para.head_data.0.len(), &para.validation_code);
        lines.push(format!(
            "  {} {kind}, head of {head} bytes, code {:?} of {} bytes",
            para.id,
            code.hash(),
            code.0.len()
        ));
    }
    lines.push("configuration".to_owned());
    for field in FIELDS {
        let (now, usual) = (field.get(&genesis.configuration), field.default_value());
        let note = if now == usual { String::new() } else { format!(" (default {})", value(usual)) };
        lines.push(format!("  {} = {} {}{note}\n     {}", field.name, value(now), field.unit, field.help.trim()));
    }
    Ok(lines.join("\n") + "\n")
}
