//! wasmtime as validation functions get it: which wasm is accepted, how it is compiled, and artifacts.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

use codec::{Decode, Encode};
use wasmtime::{Config, Engine, Module, OptLevel, Strategy, WasmFeatures};

use crate::{
    code::decompress,
    limits::{MAX_ARTIFACT_BYTES, MAX_REASON_BYTES, MAX_WASM_STACK_BYTES},
};

/// Why preparing or running gave no result, as far as the process that did it can tell.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Failure {
    /// The code or its output is at fault.
    Invalid(String),
    /// It used up its computing time.
    OutOfTime,
    /// The machine is at fault.
    Internal(String),
}

impl Failure {
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(shortened(reason.into()))
    }

    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::Internal(shortened(reason.into()))
    }
}

/// `text`, cut to what a reason may have.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > MAX_REASON_BYTES {
        let end = (0..=MAX_REASON_BYTES).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// What ends a run that goes on for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metering {
    /// The process is ended from outside: as fast as the machine can.
    Process,
    /// Fuel: the same on every machine and in every run.
    Fuel,
}

/// An engine that takes the wasm that the network takes: the first version of the standard with sign extension,
/// mutable globals and saturating conversions, and none of what came after.
///
/// # Errors
///
/// [`Failure::Internal`] when wasmtime does not work on this machine.
pub(crate) fn engine(metering: Metering) -> Result<Engine, Failure> {
    let accepted = WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::FLOATS;
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        // Two machines may make different NaNs of the same operation, and code can look at their bits.
        .cranelift_nan_canonicalization(true)
        .wasm_features(WasmFeatures::all().difference(accepted), false)
        .wasm_features(accepted, true)
        // Nothing here is asynchronous, but that stack must not be the smaller one.
        .async_stack_size(MAX_WASM_STACK_BYTES)
        .max_wasm_stack(MAX_WASM_STACK_BYTES)
        .consume_fuel(metering == Metering::Fuel)
        // Traces name offsets of hostile code; nobody reads them, and making them is work for hostile code to cause.
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false)
        // One thread does it all: a worker forks, and a process with threads cannot do that.
        .parallel_compilation(false)
        // An image in a file descriptor would be shared by worker and child.
        .memory_init_cow(false);
    Engine::new(&config).map_err(|error| Failure::internal(format!("wasmtime cannot be set up: {error:#}")))
}

/// A number that differs between engines whose artifacts cannot be exchanged: another wasmtime, other settings,
/// another processor.
pub(crate) fn fingerprint(engine: &Engine) -> u64 {
    // Fixed keys, unlike those of a hash map.
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Compiles code, compressed or not, to an artifact.
///
/// # Errors
///
/// [`Failure::Invalid`] when it is no wasm that we accept.
pub(crate) fn prepare(engine: &Engine, code: &[u8]) -> Result<Vec<u8>, Failure> {
    let wasm = decompress(code).map_err(Failure::invalid)?;
    let artifact = engine
        .precompile_module(&wasm)
        .map_err(|error| Failure::invalid(format!("code does not compile: {error:#}")))?;
    if artifact.len() > MAX_ARTIFACT_BYTES {
        return Err(Failure::invalid(format!(
            "code compiles to {} bytes, at most {MAX_ARTIFACT_BYTES} are allowed",
            artifact.len()
        )));
    }
    Ok(artifact)
}

/// Makes a compiled artifact ready to run.
///
/// `artifact` must be what [`prepare`] returned: it is machine code. The cache checks what it reads from disk
/// before it gets here.
///
/// # Errors
///
/// [`Failure::Internal`] when it was made by another engine.
#[allow(unsafe_code, reason = "loading machine code is what an artifact is for")]
pub(crate) fn load(engine: &Engine, artifact: &[u8]) -> Result<Module, Failure> {
    // SAFETY: artifacts come from `prepare`, over a pipe or from our own folder, where a checksum guards them
    // against damage; wasmtime itself refuses artifacts of another version or configuration. Whoever can write to
    // that folder can also replace this program.
    unsafe { Module::deserialize(engine, artifact) }
        .map_err(|error| Failure::internal(format!("artifact cannot be loaded: {error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_between_characters() {
        let cut = shortened("ä".repeat(MAX_REASON_BYTES));
        assert_eq!(cut.len(), MAX_REASON_BYTES);
        assert_eq!(shortened("short".into()), "short");
    }

    #[test]
    fn later_wasm_is_refused() {
        let engine = engine(Metering::Process).unwrap();
        let cases = [
            ("simd", "(module (func (drop (v128.const i32x4 0 0 0 0))))"),
            ("bulk memory", "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))"),
            ("two memories", "(module (memory 1) (memory 1))"),
            ("memory64", "(module (memory i64 1))"),
            ("threads", "(module (memory 1 1 shared))"),
            ("several results", "(module (func (result i32 i32) (i32.const 0) (i32.const 0)))"),
            ("tail calls", "(module (func $f (return_call $f)))"),
            ("references", "(module (table 1 externref))"),
            ("computed constants", "(module (global i32 (i32.add (i32.const 1) (i32.const 1))))"),
        ];
        for (what, text) in cases {
            let wasm = wat::parse_str(text).unwrap();
            assert!(matches!(prepare(&engine, &wasm), Err(Failure::Invalid(_))), "{what} was accepted");
        }
        let accepted = wat::parse_str(
            "(module (global (mut i32) (i32.const 1)) (func (result i32)
               (i32.extend8_s (i32.trunc_sat_f32_s (f32.const 1)))))",
        )
        .unwrap();
        assert!(prepare(&engine, &accepted).is_ok());
    }

    #[test]
    fn engines_that_meter_differently_do_not_share_artifacts() {
        let (process, fuel) = (engine(Metering::Process).unwrap(), engine(Metering::Fuel).unwrap());
        assert_ne!(fingerprint(&process), fingerprint(&fuel));
        assert_eq!(fingerprint(&process), fingerprint(&engine(Metering::Process).unwrap()));
        let artifact = prepare(&process, test_parachains::adder::WASM).unwrap();
        assert!(load(&process, &artifact).is_ok());
        assert!(matches!(load(&fuel, &artifact), Err(Failure::Internal(_))));
    }
}
