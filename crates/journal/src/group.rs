//! Many writers of one journal, who share its syncs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use deterministic::{Compute, ComputeKind, compute};
use futures::channel::oneshot;
use tokio::sync::Semaphore;

use crate::{FRAME_BYTES_MAX, Journal, JournalError, PENDING_RECORDS_MAX, framed_bytes};

type Pending = (Bytes, oneshot::Sender<Result<(), JournalError>>);

/// A [`Journal`] for async callers: records that arrive while a sync runs go into the next commit together.
///
/// Clones write the same journal.
#[derive(Clone)]
pub struct GroupJournal {
    pub(super) shared: Arc<Shared>,
    compute: Arc<dyn Compute>,
}

pub(super) struct Shared {
    path: String,
    journal: Mutex<Journal>,
    pending: Mutex<Vec<Pending>>,
    places: Semaphore,
}

impl std::fmt::Debug for GroupJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupJournal").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl GroupJournal {
    /// Writes `journal` on the disk pool of `compute`.
    pub fn new(journal: Journal, compute: Arc<dyn Compute>) -> Self {
        let shared = Shared {
            path: journal.path.clone(),
            journal: Mutex::new(journal),
            pending: Mutex::new(Vec::new()),
            places: Semaphore::new(PENDING_RECORDS_MAX),
        };
        Self { shared: Arc::new(shared), compute }
    }

    /// Appends a record. When it returns, the record is durable.
    ///
    /// # Errors
    ///
    /// As [`Journal::commit`]; [`JournalError::Compute`] when the pool has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the record may have been written or not.
    pub async fn append(&self, record: Bytes) -> Result<(), JournalError> {
        let bytes = framed_bytes(&record);
        if bytes > FRAME_BYTES_MAX {
            return Err(JournalError::TooLarge { path: self.shared.path.clone(), bytes });
        }
        // Never closed: a permit always comes.
        let _place = self.shared.places.acquire().await.ok();
        let receiver = self.shared.enqueue(record);
        let shared = self.shared.clone();
        // Each writer brings a turn; whoever's turn comes first commits for all who wait then, and the turns of
        // those find nothing left to do. So nobody depends on another's future being polled.
        let turn = compute(&*self.compute, ComputeKind::Disk, bytes, move || shared.commit_pending()).await;
        let ended = |source| JournalError::Compute { path: self.shared.path.clone(), source };
        turn.map_err(ended)?;
        receiver.await.unwrap_or_else(|_| Err(JournalError::Poisoned { path: self.shared.path.clone() }))
    }

    /// As [`Journal::rewrite`]: `choose` is called with no commit under way and names what shall be left.
    ///
    /// # Errors
    ///
    /// As [`Journal::rewrite`]; [`JournalError::Compute`] when the pool has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the journal may have been rewritten or not.
    pub async fn rewrite(&self, choose: impl FnOnce() -> Vec<Bytes> + Send + 'static) -> Result<(), JournalError> {
        let shared = self.shared.clone();
        let rewritten = compute(&*self.compute, ComputeKind::Disk, 0, move || {
            let mut journal = lock(&shared.journal);
            journal.rewrite(&choose())
        });
        let ended = |source| JournalError::Compute { path: self.shared.path.clone(), source };
        rewritten.await.map_err(ended)?
    }
}

impl Shared {
    pub(super) fn enqueue(&self, record: Bytes) -> oneshot::Receiver<Result<(), JournalError>> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.pending).push((record, sender));
        receiver
    }

    fn commit_pending(&self) {
        let mut journal = lock(&self.journal);
        // Taken after the journal is free: all who came during the last commit.
        let mut pending = std::mem::take(&mut *lock(&self.pending));
        pending.retain(|(_, sender)| !sender.is_canceled());
        let mut pending = pending.into_iter().peekable();
        while pending.peek().is_some() {
            let mut bytes = 0;
            let (mut records, mut senders) = (Vec::new(), Vec::new());
            while let Some((record, sender)) = pending.next_if(|(record, _)| {
                bytes += framed_bytes(record);
                bytes <= FRAME_BYTES_MAX
            }) {
                records.push(record);
                senders.push(sender);
            }
            let outcome = journal.commit(&records);
            for sender in senders {
                // Who asked may have gone away meanwhile.
                let _gone = sender.send(outcome.clone());
            }
        }
    }
}

/// Locks; a commit that panicked leaves a journal that says so itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
