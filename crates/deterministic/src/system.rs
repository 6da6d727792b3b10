//! The real thing: tokio's tasks and timers, the operating system's clock and randomness, pools of threads.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::channel::oneshot;
use rand_core_06::{OsRng, RngCore};
use tokio::runtime::Handle;

use crate::{BoxFuture, Clock, Compute, ComputeKind, Entropy, Environment, Spawner, panic_message};

/// Pieces of work that may wait for a pool's threads; more make the sender wait.
pub const COMPUTE_QUEUE_MAX: usize = 1_024;

/// Threads that make blocking calls to the disk: they mostly wait, and one slow sync must not hold up reads.
pub const DISK_THREADS: usize = 4;

/// The longest single wait of [`SystemClock::sleep_until`], so that a machine's clock that was set is noticed.
const CLOCK_RECHECK: Duration = Duration::from_secs(30);

/// Why the real environment cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// Called outside of a tokio runtime.
    #[error("no tokio runtime here: call from within one")]
    NoRuntime,
    /// The operating system refused a thread.
    #[error("cannot start a worker thread")]
    Thread(#[source] io::Error),
}

impl Environment {
    /// The real environment, on the current tokio runtime, with as many computing threads as the machine has
    /// cores.
    ///
    /// Its threads end when the last clone of [`Environment::compute`] is dropped.
    ///
    /// # Errors
    ///
    /// [`SystemError::NoRuntime`] outside of a tokio runtime, [`SystemError::Thread`] when no thread can be had.
    pub fn system() -> Result<Self, SystemError> {
        let handle = Handle::try_current().map_err(|_| SystemError::NoRuntime)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            spawner: Arc::new(SystemSpawner::new(handle.clone())),
            clock: Arc::new(SystemClock::new(handle)),
            entropy: Arc::new(SystemEntropy),
            compute: Arc::new(SystemCompute::new(cores)?),
        })
    }
}

/// Spawns onto a tokio runtime.
#[derive(Clone, Debug)]
pub struct SystemSpawner(Handle);

impl SystemSpawner {
    /// Spawns onto the runtime of `handle`.
    pub fn new(handle: Handle) -> Self {
        Self(handle)
    }
}

impl Spawner for SystemSpawner {
    fn spawn(&self, name: &str, task: BoxFuture<()>) {
        let name = name.to_owned();
        self.0.spawn(async move {
            use futures::FutureExt;
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                tracing::error!(task = name, message = panic_message(&*panic), "task panicked");
            }
        });
    }
}

/// The machine's clock, and tokio's timers.
#[derive(Clone, Debug)]
pub struct SystemClock(Handle, Instant);

impl SystemClock {
    /// Uses the timers of the runtime of `handle`.
    pub fn new(handle: Handle) -> Self {
        Self(handle, Instant::now())
    }

    fn now() -> Duration {
        // A machine whose clock stands before 1970 is treated as standing at 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn timer(handle: &Handle, duration: Duration) -> tokio::time::Sleep {
        let _inside = handle.enter();
        tokio::time::sleep(duration)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        Self::now()
    }

    fn steady(&self) -> Duration {
        self.1.elapsed()
    }

    fn sleep_until(&self, at: Duration) -> BoxFuture<()> {
        let handle = self.0.clone();
        Box::pin(async move {
            loop {
                let left = at.saturating_sub(Self::now());
                if left.is_zero() {
                    return;
                }
                Self::timer(&handle, left.min(CLOCK_RECHECK)).await;
            }
        })
    }

    /// Steady: unlike [`Clock::sleep_until`] it does not follow a clock that is set meanwhile.
    fn sleep(&self, duration: Duration) -> BoxFuture<()> {
        Box::pin(Self::timer(&self.0, duration))
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        OsRng.fill_bytes(out);
    }
}

type Job = (Box<dyn FnOnce() + Send>, oneshot::Sender<()>);

/// Two pools of threads: one computes, one makes blocking calls to the disk.
///
/// Each pool is fed by one bounded `kanal` channel: its threads block on it, which is what that channel is good
/// at, and none of its receiving futures is ever dropped half-way.
#[derive(Clone)]
pub struct SystemCompute {
    computing: kanal::AsyncSender<Job>,
    disk: kanal::AsyncSender<Job>,
}

impl std::fmt::Debug for SystemCompute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemCompute")
            .field("waiting_to_compute", &self.computing.len())
            .field("waiting_for_disk", &self.disk.len())
            .finish()
    }
}

impl SystemCompute {
    /// Starts `threads` computing threads (at least one) and [`DISK_THREADS`] for the disk. They end when the
    /// last clone is dropped and their queues are empty.
    ///
    /// # Errors
    ///
    /// [`SystemError::Thread`] when the operating system refuses a thread.
    pub fn new(threads: usize) -> Result<Self, SystemError> {
        Ok(Self { computing: start_pool("compute", threads.max(1))?, disk: start_pool("disk", DISK_THREADS)? })
    }
}

fn start_pool(name: &str, threads: usize) -> Result<kanal::AsyncSender<Job>, SystemError> {
    let (sender, receiver) = kanal::bounded::<Job>(COMPUTE_QUEUE_MAX);
    for index in 0..threads {
        let receiver = receiver.clone();
        std::thread::Builder::new()
            .name(format!("{name}-{index}"))
            .spawn(move || {
                while let Ok((work, done)) = receiver.recv() {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                        tracing::error!(message = panic_message(&*panic), "work panicked");
                    }
                    // Who asked may have gone away.
                    let _gone = done.send(());
                }
            })
            .map_err(SystemError::Thread)?;
    }
    Ok(sender.to_async())
}

impl Compute for SystemCompute {
    fn run(&self, kind: ComputeKind, _bytes: usize, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        let sender = if kind == ComputeKind::Disk { self.disk.clone() } else { self.computing.clone() };
        Box::pin(async move {
            let (done, ended) = oneshot::channel();
            if sender.send((work, done)).await.is_ok() {
                // An error means that the pool ended first; the work's own result channel says so as well.
                let _ended = ended.await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ComputeError, compute, entropy, timeout};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn real_environment_spawns_computes_and_tells_time() {
        runtime().block_on(async {
            let environment = Environment::system().unwrap();
            let (sender, receiver) = oneshot::channel();
            environment.spawner.spawn(
                "answer",
                Box::pin(async move {
                    sender.send(42).unwrap();
                }),
            );
            assert_eq!(receiver.await, Ok(42));
            for kind in [ComputeKind::Hash, ComputeKind::Disk] {
                assert_eq!(compute(&*environment.compute, kind, 4, || 6 * 7).await, Ok(42));
            }
            let now = environment.clock.now();
            environment.clock.sleep_until(now).await;
            environment.clock.sleep(Duration::ZERO).await;
            assert_eq!(timeout(&*environment.clock, Duration::ZERO, std::future::pending::<()>()).await, None);
            assert_eq!(timeout(&*environment.clock, Duration::ZERO, std::future::ready(1)).await, Some(1));
            assert_ne!(entropy::u64(&*environment.entropy), entropy::u64(&*environment.entropy));
        });
    }

    #[test]
    fn panic_in_work_is_an_error_and_the_pool_goes_on() {
        runtime().block_on(async {
            let pool = SystemCompute::new(1).unwrap();
            let outcome = compute(&pool, ComputeKind::Hash, 0, || -> u32 { panic!("bad input") }).await;
            assert_eq!(
                outcome,
                Err(ComputeError::Panicked { kind: ComputeKind::Hash, message: "bad input".to_string() })
            );
            pool.run(ComputeKind::Hash, 0, Box::new(|| panic!("bare"))).await;
            assert_eq!(compute(&pool, ComputeKind::Hash, 0, || 1).await, Ok(1));
        });
    }

    #[test]
    fn outside_of_a_runtime_there_is_no_environment() {
        assert!(matches!(Environment::system(), Err(SystemError::NoRuntime)));
    }
}
