//! `parahost conformance`: known answers of real validation functions.

use std::path::PathBuf;

use clap::Args;

use super::CommandError;

/// Runs validation functions that are no part of this project against their known answers.
#[derive(Debug, Args)]
pub(crate) struct ConformanceArguments {
    /// The directory that holds `pvf/adder.wasm` and `pvf/adder.json`
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(arguments: &ConformanceArguments) -> Result<(), CommandError> {
    let report = validation_executor::conformance(&arguments.dir).map_err(CommandError::Failed)?;
    println!("{report}");
    Ok(())
}
