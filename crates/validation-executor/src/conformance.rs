//! Known answers of the network's own wasm, which is not part of this project.

use std::{fs, path::Path};

use bytes::Bytes;
use ports::{ExecutionPurpose, ExecutionRequest, ValidationBackend, ValidationError};
use primitives::blake2_256;

use crate::pool::{WorkerPool, WorkerPoolConfig};

/// Runs what lies in `dir/pvf` through worker processes of this program: the network's *adder* must give its known
/// result unchanged, and a production parachain's code must be accepted and run up to the parameters it cannot read.
/// Returns what was checked, in words.
///
/// # Errors
///
/// Says which file is missing or which answer differs.
pub fn conformance(dir: &Path) -> Result<String, String> {
    let cache = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        let pool = WorkerPool::new(WorkerPoolConfig::new(cache.path())).map_err(|error| error.to_string())?;
        let adder = check_adder(&pool, &dir.join("pvf")).await?;
        let production = check_production(&pool, &dir.join("pvf")).await?;
        Ok(format!("{adder}\n{production}"))
    })
}

async fn check_adder(pool: &WorkerPool, dir: &Path) -> Result<String, String> {
    let description = read(&dir.join("adder.json"))?;
    let description: serde_json::Value =
        serde_json::from_slice(&description).map_err(|error| format!("adder.json is no JSON: {error}"))?;
    let field = |name: &str| {
        let text = description[name].as_str().ok_or_else(|| format!("adder.json has no text {name}"))?;
        hex::decode(text).map_err(|error| format!("adder.json: {name} is not hexadecimal: {error}"))
    };
    let (params, expected) = (field("validation_params_scale")?, field("validation_result_scale")?);
    let code = read(&dir.join("adder.wasm"))?;
    if blake2_256(&code).0[..] != field("code_blake2b_256")?[..] {
        return Err("adder.wasm is not the code that adder.json describes".into());
    }
    let result =
        execute(pool, code, params).await.map_err(|error| format!("the network's adder gives no result: {error}"))?;
    if result != expected {
        return Err(format!("the network's adder gives {}, expected {}", hex::encode(result), hex::encode(expected)));
    }
    Ok("adder.wasm: gives its known answer".into())
}

async fn check_production(pool: &WorkerPool, dir: &Path) -> Result<String, String> {
    let code = read(&dir.join("people-paseo.compressed.wasm"))?;
    match execute(pool, code, vec![0; 8]).await {
        Err(ValidationError::Invalid(reason)) if !reason.contains("does not exist here") => {
            Ok(format!("people-paseo.compressed.wasm: compiles, runs, and refuses empty parameters: {reason}"))
        }
        other => Err(format!("people-paseo.compressed.wasm: {other:?} for empty parameters, expected a refusal")),
    }
}

async fn execute(pool: &WorkerPool, code: Vec<u8>, params: Vec<u8>) -> Result<Bytes, ValidationError> {
    let code_hash = blake2_256(&code);
    let purpose = ExecutionPurpose::Backing;
    pool.execute(ExecutionRequest { code: code.into(), code_hash, params: params.into(), purpose }).await
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
