//! The host's side: a bounded queue, a few workers, the cache of artifacts, and who is to blame for what.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ports::{
    APPROVAL_CPU_TIMEOUT, BACKING_CPU_TIMEOUT, ExecutionPurpose, ExecutionRequest, ValidationBackend, ValidationError,
};
use primitives::{Hash, blake2_256};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, SemaphorePermit};

use crate::{
    cache::Cache,
    engine::{Failure, Metering, engine},
    limits::{
        KNOWN_BAD_CODES_MAX, MAX_CACHE_BYTES, MAX_CODE_BYTES, MAX_PARAMS_BYTES, MAX_QUEUED_REQUESTS,
        PREPARE_CPU_TIMEOUT, WALL_CLOCK_FACTOR, WALL_CLOCK_SLACK,
    },
    process::{Broken, WorkerProcess},
    protocol::{Answer, BuildId, Ended, Request},
};

/// How a pool works.
#[derive(Clone, Debug)]
pub struct WorkerPoolConfig {
    /// Folder of the artifact cache; made if it does not exist.
    pub cache_folder: PathBuf,
    /// Program whose `main` calls [`run_worker_if_requested`](crate::run_worker_if_requested) first.
    pub program: PathBuf,
    /// Worker processes at most, and so validations at a time; at least one.
    pub workers: usize,
    /// Requests that may wait for a worker.
    pub max_queued: usize,
    /// Computing time in backing.
    pub backing_cpu_timeout: Duration,
    /// Computing time in approval and disputes.
    pub approval_cpu_timeout: Duration,
    /// Computing time of compiling.
    pub prepare_cpu_timeout: Duration,
    /// Bytes of artifacts on disk.
    pub max_cache_bytes: u64,
}

impl WorkerPoolConfig {
    /// The network's limits, two workers that run this very program, and artifacts in `cache_folder`.
    pub fn new(cache_folder: impl Into<PathBuf>) -> Self {
        Self {
            cache_folder: cache_folder.into(),
            // Stays this program even when its file is replaced while it runs.
            program: "/proc/self/exe".into(),
            workers: 2,
            max_queued: MAX_QUEUED_REQUESTS,
            backing_cpu_timeout: BACKING_CPU_TIMEOUT,
            approval_cpu_timeout: APPROVAL_CPU_TIMEOUT,
            prepare_cpu_timeout: PREPARE_CPU_TIMEOUT,
            max_cache_bytes: MAX_CACHE_BYTES,
        }
    }
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The folder of the cache cannot be used.
    #[error("artifact cache {folder}: {source}")]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// wasmtime does not work here.
    #[error("no wasm engine on this machine: {0}")]
    Engine(String),
}

/// What a pool has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    /// Validation functions that were run to an end.
    pub executed: u64,
    /// Codes that were compiled.
    pub prepared: u64,
    /// Requests that were tried again because their worker or child died or hung.
    pub retried: u64,
    /// Worker processes that were started.
    pub workers_started: u64,
}

#[derive(Default)]
struct Counters {
    executed: AtomicU64,
    prepared: AtomicU64,
    retried: AtomicU64,
    workers_started: AtomicU64,
}

/// Runs validation functions in worker processes.
///
/// Cheap to clone; clones share everything. When the last one is gone, its workers end.
#[derive(Clone)]
pub struct WorkerPool(Arc<Inner>);

struct Inner {
    config: WorkerPoolConfig,
    build: BuildId,
    cache: Cache,
    permits: Semaphore,
    in_flight: AtomicUsize,
    idle: Mutex<Vec<WorkerProcess>>,
    busy: Mutex<BTreeSet<u32>>,
    preparing: Mutex<BTreeMap<Hash, Arc<AsyncMutex<()>>>>,
    known_bad: Mutex<KnownBad>,
    counters: Counters,
}

/// Codes that cannot be prepared, oldest first.
#[derive(Default)]
struct KnownBad(VecDeque<(Hash, ValidationError)>);

impl KnownBad {
    fn get(&self, code: Hash) -> Option<ValidationError> {
        self.0.iter().find(|(known, _)| *known == code).map(|(_, error)| error.clone())
    }

    fn insert(&mut self, code: Hash, error: ValidationError) {
        if self.get(code).is_none() {
            if self.0.len() == KNOWN_BAD_CODES_MAX {
                self.0.pop_front();
            }
            self.0.push_back((code, error));
        }
    }
}

/// What one try of a job came to.
enum Attempt {
    Output(Vec<u8>),
    Failed(ValidationError),
    /// The worker or its child died or hung: not known whose fault it is.
    Broken(String),
    /// The artifact in the cache could not be used and is gone; prepare again.
    NoArtifact,
}

impl WorkerPool {
    /// Opens the cache. Workers are started when they are first needed.
    ///
    /// Blocks shortly (it lists a folder). Must be used within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`PoolError`] when the cache folder cannot be used or there is no wasm engine for this machine.
    pub fn new(config: WorkerPoolConfig) -> Result<Self, PoolError> {
        let engine = engine(Metering::Process).map_err(|failure| PoolError::Engine(format!("{failure:?}")))?;
        let fingerprint = crate::engine::fingerprint(&engine);
        let cache = Cache::open(&config.cache_folder, fingerprint, config.max_cache_bytes)
            .and_then(|cache| std::fs::create_dir_all(config.cache_folder.join(EMPTY_FOLDER)).map(|()| cache))
            .map_err(|source| PoolError::Cache { folder: config.cache_folder.clone(), source })?;
        Ok(Self(Arc::new(Inner {
            build: BuildId::of(&engine),
            cache,
            permits: Semaphore::new(config.workers.max(1)),
            in_flight: AtomicUsize::new(0),
            idle: Mutex::default(),
            busy: Mutex::default(),
            preparing: Mutex::default(),
            known_bad: Mutex::default(),
            counters: Counters::default(),
            config,
        })))
    }

    /// What the pool has done so far.
    pub fn statistics(&self) -> PoolStatistics {
        let counters = &self.0.counters;
        PoolStatistics {
            executed: counters.executed.load(Ordering::Relaxed),
            prepared: counters.prepared.load(Ordering::Relaxed),
            retried: counters.retried.load(Ordering::Relaxed),
            workers_started: counters.workers_started.load(Ordering::Relaxed),
        }
    }

    /// Process ids of the workers that have a job now, for whoever looks after this machine.
    pub fn busy_workers(&self) -> Vec<u32> {
        locked(&self.0.busy).iter().copied().collect()
    }
}

/// The folder within the cache that workers live in: nothing is in it.
const EMPTY_FOLDER: &str = "empty";

#[async_trait::async_trait]
impl ValidationBackend for WorkerPool {
    /// # Cancel safety
    ///
    /// When the future is dropped, a worker that has its job is killed; nothing else remains of it.
    async fn execute(&self, request: ExecutionRequest) -> Result<Bytes, ValidationError> {
        let inner = &*self.0;
        let _place = inner.place()?;
        if request.params.len() > MAX_PARAMS_BYTES {
            let len = request.params.len();
            return Err(ValidationError::Internal(format!(
                "parameters of {len} bytes, at most {MAX_PARAMS_BYTES} are taken"
            )));
        }
        let limit = match request.purpose {
            ExecutionPurpose::Backing => inner.config.backing_cpu_timeout,
            ExecutionPurpose::Approval => inner.config.approval_cpu_timeout,
        };
        let result = inner.twice(|| inner.execute_once(&request, limit)).await;
        if result.is_ok() {
            inner.counters.executed.fetch_add(1, Ordering::Relaxed);
        }
        result.map(Bytes::from)
    }

    async fn prepare(&self, code: Bytes, code_hash: Hash) {
        let Ok(_place) = self.0.place() else { return };
        if let Err(error) = self.0.ensure_prepared(&code, code_hash).await {
            tracing::debug!(?code_hash, %error, "validation code cannot be prepared");
        }
    }
}

impl Inner {
    /// A place in the queue, for as long as the returned value lives.
    fn place(&self) -> Result<Place<'_>, ValidationError> {
        let limit = self.config.max_queued.saturating_add(self.config.workers.max(1));
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= limit {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return Err(ValidationError::Internal(format!("{limit} validations are waiting or running already")));
        }
        Ok(Place(&self.in_flight))
    }

    /// Tries a job, and a second time if it cannot be told whose fault the first was.
    async fn twice<F: Future<Output = Result<Attempt, ValidationError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<Vec<u8>, ValidationError> {
        let mut last = String::new();
        for number in 1..=2 {
            if number == 2 {
                self.counters.retried.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(reason = %last, "validation is tried a second time");
            }
            match attempt().await? {
                Attempt::Output(output) => return Ok(output),
                Attempt::Failed(error) => return Err(error),
                Attempt::Broken(how) => last = how,
                Attempt::NoArtifact => last = "its artifact could not be read".into(),
            }
        }
        Err(ValidationError::Ambiguous(last))
    }

    async fn execute_once(&self, request: &ExecutionRequest, limit: Duration) -> Result<Attempt, ValidationError> {
        self.ensure_prepared(&request.code, request.code_hash).await?;
        let mut lease = match self.lease().await? {
            Ok(lease) => lease,
            Err(broken) => return Ok(Attempt::Broken(broken)),
        };
        let key = request.code_hash.0;
        let execute = Request::Execute { key, params: request.params.to_vec(), cpu_limit_ms: millis(limit) };
        let mut answer = lease.ask(&execute, wall_clock(limit)).await;
        if matches!(answer, Ok(Answer::NotLoaded)) {
            let cache = self.cache.clone();
            let code = request.code_hash;
            let Some(artifact) = blocking(move || cache.get(code)).await? else {
                lease.give_back();
                return Ok(Attempt::NoArtifact);
            };
            answer = match lease.ask(&Request::Load { key, artifact }, WALL_CLOCK_SLACK).await {
                Ok(Answer::Loaded(Ok(()))) => lease.ask(&execute, wall_clock(limit)).await,
                Ok(Answer::Loaded(Err(reason))) => return Err(ValidationError::Internal(reason)),
                other => other,
            };
        }
        Ok(match answer {
            Ok(Answer::Executed(ended)) => {
                lease.give_back();
                attempt_of(ended, limit)
            }
            // Dropping the lease kills the worker.
            Ok(other) => Attempt::Broken(format!("the worker answered {}", name_of(&other))),
            Err(broken) => Attempt::Broken(broken.to_string()),
        })
    }

    /// Sees to it that there is an artifact of `code`; of several callers one does the work.
    async fn ensure_prepared(&self, code: &Bytes, code_hash: Hash) -> Result<(), ValidationError> {
        if let Some(error) = locked(&self.known_bad).get(code_hash) {
            return Err(error);
        }
        let gate = Arc::clone(locked(&self.preparing).entry(code_hash).or_default());
        let result = {
            let _alone = gate.lock().await;
            let cache = self.cache.clone();
            if blocking(move || cache.contains(code_hash)).await? {
                Ok(())
            } else if let Some(error) = locked(&self.known_bad).get(code_hash) {
                Err(error)
            } else {
                self.prepare_now(code, code_hash).await
            }
        };
        drop(gate);
        // Gates that nobody waits at any more are taken down, also those whose callers were dropped meanwhile.
        locked(&self.preparing).retain(|_, gate| Arc::strong_count(gate) > 1);
        result
    }

    async fn prepare_now(&self, code: &Bytes, code_hash: Hash) -> Result<(), ValidationError> {
        if code.len() > MAX_CODE_BYTES {
            let len = code.len();
            return Err(ValidationError::Invalid(format!("code of {len} bytes, at most {MAX_CODE_BYTES} are allowed")));
        }
        if blake2_256(code) != code_hash {
            return Err(ValidationError::Internal(format!("code does not have the hash {code_hash:?} it came with")));
        }
        let result = self.twice(|| self.prepare_once(code)).await;
        let artifact = match result {
            Ok(artifact) => artifact,
            Err(error) => {
                if matches!(error, ValidationError::Invalid(_) | ValidationError::TimedOut { .. }) {
                    locked(&self.known_bad).insert(code_hash, error.clone());
                }
                return Err(error);
            }
        };
        self.counters.prepared.fetch_add(1, Ordering::Relaxed);
        let cache = self.cache.clone();
        blocking(move || cache.put(code_hash, &artifact))
            .await?
            .map_err(|error| ValidationError::Internal(format!("artifact cannot be stored: {error}")))
    }

    async fn prepare_once(&self, code: &Bytes) -> Result<Attempt, ValidationError> {
        let mut lease = match self.lease().await? {
            Ok(lease) => lease,
            Err(broken) => return Ok(Attempt::Broken(broken)),
        };
        let limit = self.config.prepare_cpu_timeout;
        let request = Request::Prepare { code: code.to_vec(), cpu_limit_ms: millis(limit) };
        Ok(match lease.ask(&request, wall_clock(limit)).await {
            Ok(Answer::Prepared(ended)) => {
                lease.give_back();
                attempt_of(ended, limit)
            }
            Ok(other) => Attempt::Broken(format!("the worker answered {}", name_of(&other))),
            Err(broken) => Attempt::Broken(broken.to_string()),
        })
    }

    /// A worker for one job, when there is one free; the inner error is a worker that died while it was started.
    async fn lease(&self) -> Result<Result<Lease<'_>, String>, ValidationError> {
        let permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| ValidationError::Internal("the validation pool has ended".into()))?;
        let idle = locked(&self.idle).pop();
        let worker = match idle {
            Some(worker) => worker,
            None => {
                self.counters.workers_started.fetch_add(1, Ordering::Relaxed);
                let folder = self.config.cache_folder.join(EMPTY_FOLDER);
                match WorkerProcess::start(&self.config.program, &folder, &self.build).await {
                    Ok(worker) => worker,
                    Err(Broken::Foreign(reason)) => return Err(ValidationError::Internal(reason)),
                    Err(broken) => return Ok(Err(broken.to_string())),
                }
            }
        };
        locked(&self.busy).insert(worker.id());
        Ok(Ok(Lease { inner: self, id: worker.id(), worker: Some(worker), _permit: permit }))
    }
}

/// A worker that has a job. Dropped without [`give_back`](Lease::give_back), it is killed.
struct Lease<'a> {
    inner: &'a Inner,
    id: u32,
    worker: Option<WorkerProcess>,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    async fn ask(&mut self, request: &Request, within: Duration) -> Result<Answer, Broken> {
        match &mut self.worker {
            Some(worker) => worker.ask(request, within).await,
            None => Err(Broken::Died("it was given back".into())),
        }
    }

    fn give_back(&mut self) {
        if let Some(worker) = self.worker.take() {
            locked(&self.inner.idle).push(worker);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        locked(&self.inner.busy).remove(&self.id);
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn attempt_of(ended: Ended, limit: Duration) -> Attempt {
    match ended {
        Ended::Done(Ok(output), cpu_ms) => {
            tracing::trace!(cpu_ms, bytes = output.len(), "validation worker is done");
            Attempt::Output(output)
        }
        Ended::Done(Err(failure), _) => Attempt::Failed(error_of(failure, limit)),
        Ended::Died(how) => Attempt::Broken(format!("its process ended with {how}")),
    }
}

/// The port's error for a failure.
pub(crate) fn error_of(failure: Failure, limit: Duration) -> ValidationError {
    match failure {
        Failure::Invalid(reason) => ValidationError::Invalid(reason),
        Failure::OutOfTime => ValidationError::TimedOut { limit_ms: millis(limit) },
        Failure::Internal(reason) => ValidationError::Internal(reason),
    }
}

fn name_of(answer: &Answer) -> &'static str {
    match answer {
        Answer::Hello { .. } => "hello",
        Answer::Prepared(_) => "prepared",
        Answer::Loaded(_) => "loaded",
        Answer::Executed(_) => "executed",
        Answer::NotLoaded => "not loaded",
    }
}

fn wall_clock(cpu: Duration) -> Duration {
    cpu.saturating_mul(WALL_CLOCK_FACTOR).saturating_add(WALL_CLOCK_SLACK)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ValidationError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ValidationError::Internal(format!("work on the artifact cache failed: {error}")))
}

/// What a panicked holder left is still a set of processes or names; nothing here is half done between two lines.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
