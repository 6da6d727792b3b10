//! `parahost`: one binary for operators and developers.
//!
//! **Role**: reads the command line and hands over to a command in `commands/`. The same program, started with a
//! reserved first argument, is a wasm worker.
//!
//! **Exit codes**: 0 when the command did its work; 1 when it could not, with the reason on standard error; 2 for wrong
//! usage; 130 when it was interrupted.

mod commands;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Before any thread: a worker must stay alone in its process.
    if let Some(code) = validation_executor::run_worker_if_requested() {
        return code;
    }
    let arguments = commands::Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
