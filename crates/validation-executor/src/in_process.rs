//! Validation within the calling process, for the simulator and for tests: no other process, no time, no chance.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use deterministic::{Compute, ComputeKind, compute};
use ports::{ExecutionRequest, ValidationBackend, ValidationError};
use primitives::Hash;
use wasmtime::{Engine, Module};

use crate::{
    engine::{Failure, Metering, engine, load, prepare},
    limits::{FUEL_PER_MS, LOADED_MODULES_MAX},
    pool::{PoolError, error_of},
    run::run,
};

/// Codes with what compiling them gave, oldest first.
type Compiled = Vec<(Hash, Result<Module, Failure>)>;

/// Runs validation functions in this process, with the same limits as [`WorkerPool`](crate::WorkerPool), but
/// computing time counted in fuel, so that a run ends alike wherever and however often it is repeated.
///
/// The work goes through the given [`Compute`] as [`ComputeKind::Compile`] and [`ComputeKind::Execute`]; under the
/// simulator that is what declares its cost in virtual time. A node that is meant for a network must refuse this
/// backend: nothing keeps hostile code from this process but wasmtime.
#[derive(Clone)]
pub struct InProcess {
    engine: Engine,
    compute: Arc<dyn Compute>,
    modules: Arc<Mutex<Compiled>>,
}

impl InProcess {
    /// A backend that works where `compute` says.
    ///
    /// # Errors
    ///
    /// [`PoolError::Engine`] when there is no wasm engine for this machine.
    pub fn new(compute: Arc<dyn Compute>) -> Result<Self, PoolError> {
        let engine = engine(Metering::Fuel).map_err(|failure| PoolError::Engine(format!("{failure:?}")))?;
        Ok(Self { engine, compute, modules: Arc::default() })
    }

    async fn module(&self, code: Bytes, code_hash: Hash) -> Result<Result<Module, Failure>, ValidationError> {
        let known = self.modules().iter().find(|(hash, _)| *hash == code_hash).map(|(_, module)| module.clone());
        if let Some(module) = known {
            return Ok(module);
        }
        let engine = self.engine.clone();
        let compiled = compute(&*self.compute, ComputeKind::Compile, code.len(), move || {
            prepare(&engine, &code).and_then(|artifact| load(&engine, &artifact))
        })
        .await
        .map_err(|error| ValidationError::Internal(error.to_string()))?;
        let mut modules = self.modules();
        if modules.len() == LOADED_MODULES_MAX {
            drop(modules.remove(0));
        }
        modules.push((code_hash, compiled.clone()));
        Ok(compiled)
    }

    fn modules(&self) -> MutexGuard<'_, Compiled> {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl ValidationBackend for InProcess {
    async fn execute(&self, request: ExecutionRequest) -> Result<Bytes, ValidationError> {
        let limit = request.purpose.cpu_timeout();
        let module = self.module(request.code, request.code_hash).await?.map_err(|failure| error_of(failure, limit))?;
        let engine = self.engine.clone();
        let fuel = (limit.as_millis() as u64).saturating_mul(FUEL_PER_MS);
        let params = request.params;
        compute(&*self.compute, ComputeKind::Execute, params.len(), move || {
            run(&engine, &module, &params, Some(fuel), || {})
        })
        .await
        .map_err(|error| ValidationError::Internal(error.to_string()))?
        .map(Bytes::from)
        .map_err(|failure| error_of(failure, limit))
    }

    async fn prepare(&self, code: Bytes, code_hash: Hash) {
        // What is wrong with the code comes back when it is run.
        let _later = self.module(code, code_hash).await;
    }
}
