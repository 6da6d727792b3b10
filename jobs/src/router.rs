//! Messages for jobs that live as long as their scope.

use std::collections::BTreeMap;

use tokio::sync::{Semaphore, mpsc};

use crate::SCOPES_MAX;

/// A message that a [`Router`] did not put into a line; handed back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRouted<M> {
    /// Its scope has ended or was never opened; counted.
    #[error("scope has ended or was never opened")]
    Late(M),
    /// The job of its scope is behind by the whole length of its line.
    #[error("job is behind by its whole line")]
    Full(M),
}

impl<M> NotRouted<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            Self::Late(message) | Self::Full(message) => message,
        }
    }
}

/// Hands each message to the job of its scope, through one bounded line per scope. The loop never waits for a job: a
/// full line hands the message back.
///
/// For subsystems whose job lives as long as its scope and keeps state of its own. Most need none: they keep the state
/// in the loop, start short tasks, and use [`Jobs::admit`](crate::Jobs::admit).
///
/// ```
/// let mut router = jobs::Router::<u32, &str>::new(4);
/// let mut line = router.open(7).expect("there is room");
/// router.route(&7, "hello")?;
/// assert_eq!(futures::executor::block_on(line.next()), Some("hello"));
/// router.end(&7);
/// assert!(router.route(&7, "too late").is_err());
/// assert_eq!(router.late(), 1);
/// # Ok::<(), jobs::NotRouted<&str>>(())
/// ```
pub struct Router<K, M> {
    lines: BTreeMap<K, mpsc::Sender<M>>,
    length: usize,
    late: u64,
}

impl<K: Ord, M> Router<K, M> {
    /// A router whose lines hold `length` messages each.
    ///
    /// # Panics
    /// If `length` is zero.
    pub fn new(length: usize) -> Self {
        assert!(length > 0, "a line without a place takes no message");
        Self { lines: BTreeMap::new(), length, late: 0 }
    }

    /// Opens the line of a scope, for its job to read; the line it had before ends. `None` at [`SCOPES_MAX`] lines
    /// whose jobs still read.
    pub fn open(&mut self, scope: K) -> Option<Line<M>> {
        if self.lines.len() >= SCOPES_MAX && !self.lines.contains_key(&scope) {
            self.lines.retain(|_, line| !line.is_closed());
            if self.lines.len() >= SCOPES_MAX {
                return None;
            }
        }
        let (sender, receiver) = mpsc::channel(self.length.min(Semaphore::MAX_PERMITS));
        self.lines.insert(scope, sender);
        Some(Line { receiver })
    }

    /// Puts a message into the line of its scope, without waiting. A job that has ended by itself counts as an ended
    /// scope.
    ///
    /// # Errors
    /// Hands the message back: [`Late`](NotRouted::Late) if there is no such line, [`Full`](NotRouted::Full) if there
    /// is no place in it.
    pub fn route(&mut self, scope: &K, message: M) -> Result<(), NotRouted<M>> {
        let refused = match self.lines.get(scope) {
            None => message,
            Some(line) => match line.try_send(message) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(message)) => return Err(NotRouted::Full(message)),
                Err(mpsc::error::TrySendError::Closed(message)) => {
                    self.lines.remove(scope);
                    message
                }
            },
        };
        self.late += 1;
        Err(NotRouted::Late(refused))
    }

    /// Ends the line of a scope. What is in it can still be read by a job that was not cancelled.
    pub fn end(&mut self, scope: &K) {
        self.lines.remove(scope);
    }

    /// How many messages were [`Late`](NotRouted::Late).
    pub fn late(&self) -> u64 {
        self.late
    }
}

/// The reading end of a scope's line, held by its job. Dropping it ends the line.
pub struct Line<M> {
    receiver: mpsc::Receiver<M>,
}

impl<M> Line<M> {
    /// Waits for the next message; `None` once the line has ended and is empty.
    ///
    /// # Cancel safety
    /// Nothing is lost: a message is taken only when it is returned.
    pub async fn next(&mut self) -> Option<M> {
        self.receiver.recv().await
    }
}
