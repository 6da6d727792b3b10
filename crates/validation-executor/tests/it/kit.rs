//! Pools, requests, and wasm for the tests.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use ports::{ExecutionPurpose, ExecutionRequest, ValidationBackend, ValidationError};
use primitives::blake2_256;
use validation_executor::{WorkerPool, WorkerPoolConfig};

/// A pool with a cache of its own, which lives as long as this.
pub(crate) struct Kit {
    pub(crate) pool: WorkerPool,
    pub(crate) cache: tempfile::TempDir,
}

pub(crate) fn config(cache: PathBuf) -> WorkerPoolConfig {
    WorkerPoolConfig { program: env!("CARGO_BIN_EXE_validation-worker").into(), ..WorkerPoolConfig::new(cache) }
}

impl Kit {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut WorkerPoolConfig)) -> Self {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(cache.path().to_path_buf());
        change(&mut config);
        Self { pool: WorkerPool::new(config).expect("a folder and an engine"), cache }
    }

    pub(crate) async fn run(&self, code: &[u8], params: &[u8]) -> Result<Bytes, ValidationError> {
        self.pool.execute(request(code, params)).await
    }
}

pub(crate) fn request(code: &[u8], params: &[u8]) -> ExecutionRequest {
    ExecutionRequest {
        code: Bytes::copy_from_slice(code),
        code_hash: blake2_256(code),
        params: Bytes::copy_from_slice(params),
        purpose: ExecutionPurpose::Approval,
    }
}

/// A module with all that a host wants to see, whose `validate_block` has `body`, and `rest` beside it.
pub(crate) fn module(rest: &str, body: &str) -> Vec<u8> {
    wat::parse_str(format!(
        "(module
           {rest}
           (memory (export \"memory\") 2)
           (global (export \"__heap_base\") i32 (i32.const 1024))
           (func (export \"validate_block\") (param $ptr i32) (param $len i32) (result i64) {body}))"
    ))
    .expect("text that is wasm")
}

/// SCALE `ValidationParams`.
pub(crate) fn params(parent_head: &[u8], block_data: &[u8]) -> Vec<u8> {
    codec::Encode::encode(&(parent_head, block_data, 7u32, [9u8; 32]))
}

/// SCALE `ValidationResult` of a block that gives nothing but a head.
pub(crate) fn result(head_data: &[u8]) -> Vec<u8> {
    let nothing = (None::<Vec<u8>>, Vec::<Vec<u8>>::new(), Vec::<(u32, Vec<u8>)>::new());
    codec::Encode::encode(&(head_data, nothing, 0u32, 7u32))
}

/// A body that never ends.
pub(crate) const ENDLESS: &str = "(loop $again (br $again)) (unreachable)";

pub(crate) const SHORT: Duration = Duration::from_millis(100);
