//! Work that would hold up an async loop: computing, and blocking calls to the disk.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures::channel::oneshot;

use crate::BoxFuture;

/// What kind of work it is: decides the pool it runs on, and what the simulator charges for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComputeKind {
    /// Cutting data into erasure-coded chunks, with their tree.
    ErasureEncode,
    /// Putting data together from chunks.
    ErasureRecover,
    /// Hashing, tree roots and proofs.
    Hash,
    /// Checking signatures (a batch).
    VerifySignatures,
    /// Making signatures or proofs of lots.
    Sign,
    /// Compiling foreign code.
    Compile,
    /// Running foreign code in process.
    Execute,
    /// Packing or unpacking.
    Compress,
    /// Executing a state transition.
    StateTransition,
    /// Blocking calls to the disk; the work waits more than it computes.
    Disk,
}

impl ComputeKind {
    /// Every kind, in order.
    pub const ALL: [Self; 10] = [
        Self::ErasureEncode,
        Self::ErasureRecover,
        Self::Hash,
        Self::VerifySignatures,
        Self::Sign,
        Self::Compile,
        Self::Execute,
        Self::Compress,
        Self::StateTransition,
        Self::Disk,
    ];
}

/// Runs work off the async loop.
pub trait Compute: Send + Sync {
    /// Runs `work` and returns when it has ended; `bytes` is the size of its input.
    ///
    /// The queue is bounded: while it is full the future waits. A panic in `work` ends `work` alone. Most
    /// callers want [`compute`], which brings a result back.
    ///
    /// # Cancel safety
    ///
    /// Nothing happens before the first poll. Work that was handed over and then abandoned may still run.
    fn run(&self, kind: ComputeKind, bytes: usize, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()>;
}

/// Why a piece of work gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// The work panicked; its message.
    #[error("{kind:?} work panicked: {message}")]
    Panicked {
        /// The kind of work.
        kind: ComputeKind,
        /// The panic's message.
        message: String,
    },
    /// The pool has ended and dropped the work unrun.
    #[error("{kind:?} work was dropped unrun: the pool has ended")]
    Dropped {
        /// The kind of work.
        kind: ComputeKind,
    },
}

/// Runs `work` on `pool` and brings back what it returns; `bytes` is the size of its input.
///
/// # Errors
///
/// [`ComputeError::Panicked`] when the work panicked, [`ComputeError::Dropped`] when the pool has ended.
///
/// # Cancel safety
///
/// Work whose future was dropped before it began is skipped; once begun it runs to its end.
pub async fn compute<T: Send + 'static>(
    pool: &dyn Compute,
    kind: ComputeKind,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ComputeError> {
    let (sender, receiver) = oneshot::channel();
    let job = Box::new(move || {
        if sender.is_canceled() {
            return;
        }
        let outcome = catch_unwind(AssertUnwindSafe(work))
            .map_err(|panic| ComputeError::Panicked { kind, message: panicked(panic) });
        // The caller may have gone away meanwhile; then nobody wants the outcome.
        let _gone = sender.send(outcome);
    });
    pool.run(kind, bytes, job).await;
    receiver.await.unwrap_or(Err(ComputeError::Dropped { kind }))
}

/// The text of what [`catch_unwind`] caught; `without a message` if it is none.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_string())
}

/// The [text](panic_message) of a panic whose payload, which is foreign, [is dropped](drop_caught).
pub fn panicked(panic: Box<dyn std::any::Any + Send>) -> String {
    let message = panic_message(&*panic);
    drop_caught(panic);
    message
}

/// Drops what is foreign. A panic of its drop ends here, and what that panics with is let go.
pub fn drop_caught<T>(foreign: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(foreign))).map_err(std::mem::forget);
}

impl<C: Compute + ?Sized> Compute for Arc<C> {
    fn run(&self, kind: ComputeKind, bytes: usize, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        (**self).run(kind, bytes, work)
    }
}
