//! A program that is nothing but a validation worker, for this crate's tests; `conformance DIR` runs the known
//! answers of the network's wasm in `DIR`, `sandbox` prints what a validation function's process can still do.

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    if let Some(code) = validation_executor::run_worker_if_requested() {
        return code;
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["conformance", dir] => match validation_executor::conformance(Path::new(dir)) {
            Ok(report) => {
                println!("{report}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        ["sandbox"] => match validation_executor::probe_sandbox() {
            Ok(report) => {
                println!("{report:?}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: validation-worker conformance DIR | sandbox");
            ExitCode::from(2)
        }
    }
}
