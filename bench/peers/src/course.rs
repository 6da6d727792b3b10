//! What every subject's course has in common: the start, the finish, the messages, the runtime.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::workload::PAYLOAD_BYTES;

/// Time for everybody to start and fall asleep before the clock runs.
const SETTLE: Duration = Duration::from_millis(3);
/// Threads that run tasks, on every machine, unless told otherwise: two tasks can run at once.
pub(crate) const WORKERS: usize = 2;

/// A message of one machine word, for all subjects.
#[allow(unreachable_pub, reason = "named in what orchestra's macro makes public")]
#[derive(Clone, Copy, Debug)]
pub struct Number(pub(crate) u64);

/// A message of [`PAYLOAD_BYTES`], by value, for all subjects.
#[allow(unreachable_pub, reason = "named in what orchestra's macro makes public")]
#[derive(Clone, Copy, Debug)]
pub struct Payload(#[allow(dead_code, reason = "it is carried, and never opened")] [u8; PAYLOAD_BYTES]);

/// Something that can be sent many times over.
pub(crate) trait Sample: std::fmt::Debug + Send + Sync + 'static {
    fn sample(index: u64) -> Self;
}

impl Sample for Number {
    fn sample(index: u64) -> Self {
        Self(index)
    }
}

impl Sample for Payload {
    fn sample(index: u64) -> Self {
        Self([index as u8; PAYLOAD_BYTES])
    }
}

/// Looks at a message and lets it go: what an interceptor written by hand is, for those who have no taps.
pub(crate) type Hook = Arc<dyn Fn(Number) -> Option<Number> + Send + Sync>;

/// A hook that passes everything on.
pub(crate) fn passing_hook() -> Hook {
    Arc::new(|message| Some(std::hint::black_box(message)))
}

/// Holds senders back until the clock runs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Start {
    sender: watch::Sender<bool>,
}

impl Start {
    pub(crate) fn new() -> Self {
        Self { sender: watch::channel(false).0 }
    }

    /// Returns once the clock runs.
    pub(crate) async fn opened(&self) {
        // The sending half is in `self`, so that the wait cannot end before its time.
        let mut opening = self.sender.subscribe();
        let _open = opening.wait_for(|open| *open).await;
    }
}

/// Counts arrivals down; whoever waits for the last is woken by it.
pub(crate) struct Finish {
    left: AtomicUsize,
    last: Notify,
}

impl Finish {
    pub(crate) fn after(arrivals: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(arrivals), last: Notify::new() })
    }

    /// One of those that are waited for is done.
    pub(crate) fn arrive(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.last.notify_one();
        }
    }

    /// Makes a new count, once all of the last one have arrived.
    pub(crate) fn again(&self, arrivals: usize) {
        self.left.store(arrivals, Ordering::Release);
    }

    /// Returns once all have arrived.
    pub(crate) async fn all(&self) {
        while self.left.load(Ordering::Acquire) != 0 {
            self.last.notified().await;
        }
    }
}

/// Lets everybody settle.
pub(crate) async fn settle() {
    tokio::time::sleep(SETTLE).await;
}

/// The time from the start to the last arrival.
pub(crate) async fn timed(start: Start, finish: Arc<Finish>) -> Duration {
    settle().await;
    let began = Instant::now();
    start.sender.send_replace(true);
    finish.all().await;
    began.elapsed()
}

/// The time that a piece of work takes, once everybody has settled.
pub(crate) async fn timed_work(work: impl Future<Output = ()>) -> Duration {
    settle().await;
    let began = Instant::now();
    work.await;
    began.elapsed()
}

/// Runs a course as a task of a runtime of its own with so many workers; what is left of it has ended when this
/// returns.
pub(crate) fn on_workers<T: Send + 'static>(workers: usize, course: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("the operating system gives a benchmark its threads");
    // Not on the thread that blocks here: that would be a third one.
    let outcome = runtime.block_on(runtime.spawn(course)).expect("a course does not panic");
    // Waits for its threads: the next course shall be alone on the machine, and nobody else free memory meanwhile.
    drop(runtime);
    outcome
}
