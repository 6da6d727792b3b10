//! Answers: one value ([`Reply`]), the newest value ([`Watch`]), or a bounded stream ([`Feed`]).
//!
//! A question's answer type says which: `ask { Total -> u64, Prices -> Feed<Price> }`. None of them is ordered against
//! signals, and none of them makes who answers wait.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use overseer_core::sync::lock;
use tokio::sync::{oneshot, watch};

use crate::deadline::Deadline;
use crate::edge::EdgeRecord;
use crate::replay::{Reel, Shown, Text, Words};

/// Why a question has no answer. Every variant names the question and whose answer it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The consumer has ended, so the question was not delivered.
    #[error("{message} was not delivered: {to} has ended")]
    Closed {
        /// The question.
        message: &'static str,
        /// Its consumer.
        to: &'static str,
    },
    /// The question was larger than the consumer's mailbox takes.
    #[error("{message} of {bytes} bytes does not fit the mailbox of {to}")]
    TooLarge {
        /// The question.
        message: &'static str,
        /// Its consumer.
        to: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// The consumer did not answer within [`Message::ANSWER_WITHIN`](crate::Message::ANSWER_WITHIN).
    #[error("{by} did not answer {message} in time")]
    TimedOut {
        /// The question.
        message: &'static str,
        /// Who owes the answer.
        by: &'static str,
    },
    /// The consumer dropped the question.
    #[error("{by} dropped {message} without an answer")]
    Dropped {
        /// The question.
        message: &'static str,
        /// Who dropped it.
        by: &'static str,
    },
    /// What the question was about has ended, and with it the question.
    #[error("{by} purged {message}: {scope} has ended")]
    Ended {
        /// The question.
        message: &'static str,
        /// Its consumer.
        by: &'static str,
        /// What has ended, as its consumer names it.
        scope: String,
    },
}

/// What an answer's channel carries when there is none because this scope has ended.
#[derive(Debug)]
struct Ended(String);

/// Small where there is an answer, so that the rare other case costs a pointer.
type Carried<T> = Result<T, Box<Ended>>;

fn send<T>(sender: oneshot::Sender<Carried<T>>, answer: T) -> Result<(), T> {
    match sender.send(Ok(answer)) {
        Err(Ok(unwanted)) => Err(unwanted),
        Ok(()) | Err(Err(_)) => Ok(()),
    }
}

/// The way back of a question: answers it once.
///
/// Keep it as long as the answer takes, in the loop's state or in a job. Dropping it tells the asker so, with
/// [`AskError::Dropped`]: nobody waits for ever because somebody forgot.
///
/// # Examples
/// Long work for an answer belongs into a job, which takes the responder with it:
///
/// ```
/// # use overseer::Responder;
/// async fn answer_when_done(question: Vec<u64>, reply: Responder<u64>) {
///     let mut sum = 0;
///     for number in question {
///         if reply.is_abandoned() {
///             return; // nobody waits for it any more
///         }
///         sum += number;
///     }
///     let _ = reply.answer(sum); // who asked may be gone by now
/// }
/// ```
#[must_use = "a question dropped without an answer is an error at the asker"]
pub struct Responder<T> {
    sender: oneshot::Sender<Carried<T>>,
    /// While who answers is recorded or replayed.
    witness: Option<Box<Witness<T>>>,
}

impl<T> Responder<T> {
    /// A way back that leads to nobody, and looks abandoned: for copies of what holds one.
    pub fn to_nobody() -> Self {
        Self { sender: oneshot::channel().0, witness: None }
    }

    /// Answers. Never waits.
    ///
    /// # Errors
    /// Hands the answer back if nobody waits for it any more: the asker was cancelled, or its time is over. That is
    /// ordinary.
    pub fn answer(self, value: T) -> Result<(), T> {
        match self.witness {
            None => send(self.sender, value),
            Some(witness) => witness.answer(self.sender, value),
        }
    }

    /// Tells the asker that what it asked about has ended.
    pub fn end(self, scope: &str) {
        if let Some(witness) = self.witness {
            witness.end(scope);
        }
        // Nobody may wait for it any more.
        let _ = self.sender.send(Err(Box::new(Ended(scope.to_owned()))));
    }

    /// Whether the asker has given up: long work for it can be dropped.
    pub fn is_abandoned(&self) -> bool {
        match &self.witness {
            None => self.sender.is_closed(),
            Some(witness) => witness.is_abandoned(&self.sender),
        }
    }
}

impl<T: 'static> Responder<T> {
    /// Puts what becomes of the question onto the tape. `at` is the event by which it was received.
    #[doc(hidden)]
    pub fn witnessed<W>(self, reel: &Reel, question: &'static str, at: usize) -> Self
    where
        T: Shown<W>,
    {
        let witness = Witness { reel: reel.clone(), question, at, show: T::show, is_answered: false };
        Self { witness: Some(Box::new(witness)), ..self }
    }

    /// The way back of a question on a tape.
    #[doc(hidden)]
    pub fn replayed<W>(reel: &Reel, question: &'static str, at: usize) -> Self
    where
        T: Shown<W>,
    {
        Self::to_nobody().witnessed(reel, question, at)
    }
}

/// Puts what becomes of a question onto a tape.
struct Witness<T> {
    reel: Reel,
    question: &'static str,
    at: usize,
    show: fn(&T, &mut std::fmt::Formatter<'_>) -> std::fmt::Result,
    is_answered: bool,
}

impl<T> Witness<T> {
    fn end(mut self, scope: &str) {
        self.is_answered = true;
        let text = Text::new(format_args!("ends {} of event {} with {scope}", self.question, self.at));
        self.reel.act(text, |_| ());
    }

    fn answer(mut self, sender: oneshot::Sender<Carried<T>>, value: T) -> Result<(), T> {
        self.is_answered = true;
        let (question, at) = (self.question, self.at);
        let text = Text::new(format_args!("answers {question} of event {at}: {}", Words(&value, self.show)));
        let mut value = Some(value);
        let (_, is_taken) = self.reel.act(text, |_| match value.take().map(|value| send(sender, value)) {
            Some(Err(unwanted)) => {
                value = Some(unwanted);
                false
            }
            _ => true,
        });
        value.filter(|_| !is_taken).map_or(Ok(()), Err)
    }

    fn is_abandoned(&self, sender: &oneshot::Sender<Carried<T>>) -> bool {
        let text = Text::new(format_args!("looks whether {} of event {} is abandoned", self.question, self.at));
        self.reel.act(text, |_| sender.is_closed()).1
    }
}

impl<T> Drop for Witness<T> {
    fn drop(&mut self) {
        if !self.is_answered {
            let text = Text::new(format_args!("drops {} of event {} without an answer", self.question, self.at));
            self.reel.act(text, |_| ());
        }
    }
}

/// An answer on its way: a future of the answer.
///
/// [`Context::ask`](crate::Context::ask) and [`Outlet::ask`](crate::Outlet::ask) await it for you. It is for those who
/// carry a question to somebody by other means, such as a network's adapter.
///
/// # Signals
/// An answer is no message: it is not ordered against signals. One that a loop awaits in place may be younger than the
/// newest signal that this subsystem has seen, because no signal is delivered meanwhile. A loop for which that matters
/// asks from a job and takes the answer as an event.
///
/// # Errors
/// [`AskError::Dropped`], [`AskError::Ended`] or [`AskError::TimedOut`].
///
/// # Cancel safety
/// Awaiting it by reference loses nothing. Dropping it abandons the question: the answer is lost, the consumer sees
/// [`Responder::is_abandoned`].
pub struct Reply<T> {
    receiver: oneshot::Receiver<Carried<T>>,
    message: &'static str,
    by: &'static str,
    deadline: Option<Deadline>,
}

impl<T> Reply<T> {
    /// A pair of which one side answers and the other waits. The errors name the question and who owes the answer;
    /// there is no deadline.
    ///
    /// # Examples
    /// ```
    /// # use overseer::{AskError, Reply};
    /// # futures::executor::block_on(async {
    /// let (responder, reply) = Reply::channel("Total", "counter");
    /// responder.answer(7).unwrap();
    /// assert_eq!(reply.await, Ok(7));
    ///
    /// let (responder, reply) = Reply::<u64>::channel("Total", "counter");
    /// drop(responder);
    /// assert_eq!(reply.await, Err(AskError::Dropped { message: "Total", by: "counter" }));
    /// # });
    /// ```
    pub fn channel(message: &'static str, by: &'static str) -> (Responder<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (Responder { sender, witness: None }, Self { receiver, message, by, deadline: None })
    }

    pub(crate) fn until(mut self, deadline: Option<Deadline>) -> Self {
        self.deadline = deadline;
        self
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, AskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (message, by) = (self.message, self.by);
        if let Poll::Ready(result) = Pin::new(&mut self.receiver).poll(cx) {
            return Poll::Ready(match result {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(ended)) => Err(AskError::Ended { message, by, scope: ended.0 }),
                Err(_) => Err(AskError::Dropped { message, by }),
            });
        }
        match &self.deadline {
            Some(deadline) if deadline.is_over(cx) => Poll::Ready(Err(AskError::TimedOut { message, by })),
            _ => Poll::Pending,
        }
    }
}

/// The setter of a [`Watch`] was dropped before it had [ended](WatchSender::end) the watch, as by a crash. Ask anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{by} dropped the watch of {message} before its end")]
pub struct WatchError {
    /// What it is the answer to.
    pub message: &'static str,
    /// Who dropped it.
    pub by: &'static str,
}

/// The newest value of something, as read by many. Values in between may be missed; every clone reads for itself, and is
/// counted as an open [`Feed`] is.
///
/// # Examples
/// ```
/// # use overseer::{Watch, answer::WatchError};
/// # futures::executor::block_on(async {
/// let (price, mut reader) = Watch::new("Price", "market", 1);
/// price.set(2);
/// price.set(3);
/// assert_eq!(reader.changed().await, Ok(Some(3)));
/// price.end();
/// assert_eq!((reader.changed().await, reader.get()), (Ok(None), 3));
///
/// let (price, mut reader) = Watch::new("Price", "market", 1);
/// drop(price);
/// assert_eq!(reader.changed().await, Err(WatchError { message: "Price", by: "market" }));
/// # });
/// ```
#[derive(Clone)]
pub struct Watch<T> {
    receiver: watch::Receiver<Watched<T>>,
    dropped: WatchError,
    open: Option<OpenFeed>,
}

/// A value, and whether it is the last one.
type Watched<T> = (T, bool);

impl<T: Clone> Watch<T> {
    /// A watch and the setter of its value. Its error names what it is the answer to, and who sets.
    pub fn new(message: &'static str, by: &'static str, initial: T) -> (WatchSender<T>, Self) {
        let (sender, receiver) = watch::channel((initial, false));
        (WatchSender { sender }, Self { receiver, dropped: WatchError { message, by }, open: None })
    }

    /// The value now. Does not count as seen by [`changed`](Self::changed).
    pub fn get(&self) -> T {
        self.receiver.borrow().0.clone()
    }

    /// Waits for a value not seen by this reader, and returns it; `Ok(None)` once the setter has ended the watch and its
    /// last value was seen.
    ///
    /// # Errors
    /// [`WatchError`] after the last value, if the setter was dropped without having ended the watch; and at each call
    /// after that.
    ///
    /// # Cancel safety
    /// Nothing is lost: the value counts as seen only when it is returned.
    pub async fn changed(&mut self) -> Result<Option<T>, WatchError> {
        if self.receiver.changed().await.is_ok() {
            return Ok(Some(self.receiver.borrow_and_update().0.clone()));
        }
        self.open = None;
        if self.receiver.borrow().1 { Ok(None) } else { Err(self.dropped) }
    }
}

/// Sets the value of a [`Watch`]. Dropping it without [`end`](Self::end) is an error at the readers.
#[must_use = "a watch dropped before its end is an error at its readers"]
pub struct WatchSender<T> {
    sender: watch::Sender<Watched<T>>,
}

impl<T> WatchSender<T> {
    /// Replaces the value and wakes its readers. Never waits; it may be that nobody reads.
    pub fn set(&self, value: T) {
        self.sender.send_replace((value, false));
    }

    /// Ends the watch in order: after the last value its readers get `Ok(None)`.
    pub fn end(self) {
        // No new value: what wakes the readers is that the setter is gone.
        self.sender.send_if_modified(|watched| {
            watched.1 = true;
            false
        });
    }
}

/// Why a [`Feed`] gives no more values. Ask anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Its reader was too slow: this many values are missing.
    #[error("reader lagged behind its feed by {0} values")]
    Lagged(u64),
    /// Its sender was dropped before it had [ended](FeedSender::end) the feed, as by a crash.
    #[error("{by} dropped the feed of {message} before its end")]
    Dropped {
        /// What it is the answer to.
        message: &'static str,
        /// Who dropped it.
        by: &'static str,
    },
}

struct FeedState<T> {
    values: VecDeque<T>,
    missed: u64,
    /// What is said after the last value, once the sender is gone.
    end: Option<Result<(), FeedError>>,
    reader_gone: bool,
    waker: Option<Waker>,
}

/// A bounded stream of answers with one reader. When that is too slow it gets what the feed holds, then
/// [`Lagged`](FeedError::Lagged): a feed never slows its sender, and neither a gap nor a sender that fell over is silent.
///
/// The edge of the question counts the feed until its end was read or its reader is gone
/// ([`EdgeSnapshot::open_feeds`](crate::port::EdgeSnapshot)), if the feed itself is the answer and not a part of it.
///
/// # Examples
/// ```
/// # use overseer::{Feed, answer::FeedError};
/// # futures::executor::block_on(async {
/// let (sender, mut feed) = Feed::bounded("Prices", "market", 2);
/// for number in 0..5 {
///     sender.push(number);
/// }
/// assert_eq!((feed.next().await, feed.next().await), (Ok(Some(0)), Ok(Some(1))));
/// assert_eq!(feed.next().await, Err(FeedError::Lagged(3)));
///
/// let (sender, mut feed) = Feed::<u64>::bounded("Prices", "market", 2);
/// sender.end();
/// assert_eq!(feed.next().await, Ok(None));
///
/// let (sender, mut feed) = Feed::<u64>::bounded("Prices", "market", 2);
/// drop(sender);
/// assert_eq!(feed.next().await, Err(FeedError::Dropped { message: "Prices", by: "market" }));
/// # });
/// ```
pub struct Feed<T> {
    state: Arc<Mutex<FeedState<T>>>,
    open: Option<OpenFeed>,
}

/// The sending side of a [`Feed`]. Dropping it without [`end`](Self::end) is an error at the reader.
#[must_use = "a feed dropped before its end is an error at its reader"]
pub struct FeedSender<T> {
    state: Arc<Mutex<FeedState<T>>>,
    capacity: usize,
    dropped: FeedError,
}

/// Counted on the edge of its question.
struct OpenFeed(Arc<EdgeRecord>);

impl OpenFeed {
    fn on(edge: &Arc<EdgeRecord>) -> Self {
        edge.open_feeds.fetch_add(1, Ordering::Relaxed);
        Self(edge.clone())
    }
}

impl Clone for OpenFeed {
    fn clone(&self) -> Self {
        Self::on(&self.0)
    }
}

impl Drop for OpenFeed {
    fn drop(&mut self) {
        self.0.open_feeds.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer that has come to its asker over this edge: a feed or a watch is counted there.
#[doc(hidden)]
pub struct Arrived<'a, T>(pub &'a mut T, pub &'a Arc<EdgeRecord>);

impl<T> Arrived<'_, Feed<T>> {
    /// Of the two functions of this name the compiler takes this one for a feed, because it is no trait's.
    pub fn count(self) {
        self.0.open = Some(OpenFeed::on(self.1));
    }
}

impl<T> Arrived<'_, Watch<T>> {
    /// As for a feed.
    pub fn count(self) {
        self.0.open = Some(OpenFeed::on(self.1));
    }
}

/// Every other answer.
#[doc(hidden)]
pub trait Uncounted: Sized {
    fn count(self) {}
}

impl<T> Uncounted for Arrived<'_, T> {}

impl<T> Feed<T> {
    /// A feed that holds at most `capacity` values that were not read yet; 0 counts as 1. Its errors name what it is the
    /// answer to, and who sends.
    pub fn bounded(message: &'static str, by: &'static str, capacity: usize) -> (FeedSender<T>, Self) {
        let state = FeedState { values: VecDeque::new(), missed: 0, end: None, reader_gone: false, waker: None };
        let state = Arc::new(Mutex::new(state));
        let dropped = FeedError::Dropped { message, by };
        (FeedSender { state: state.clone(), capacity: capacity.max(1), dropped }, Self { state, open: None })
    }

    /// Waits for the next value; `Ok(None)` once the sender has ended the feed and all was read.
    ///
    /// # Errors
    /// [`Lagged`](FeedError::Lagged) after the last value before the gap, with the number of values missed so far;
    /// [`Dropped`](FeedError::Dropped) after the last value, if the sender was dropped without having ended the feed; and
    /// at each call after that. Ask for a new feed.
    ///
    /// # Cancel safety
    /// Nothing is lost: a value is taken only when it is returned.
    pub async fn next(&mut self) -> Result<Option<T>, FeedError> {
        let next = std::future::poll_fn(|cx| {
            // Dropped after the lock: it may be the last handle of a task that has the other end.
            let _replaced;
            let mut state = lock(&self.state);
            if let Some(value) = state.values.pop_front() {
                return Poll::Ready(Ok(Some(value)));
            }
            if state.missed > 0 {
                return Poll::Ready(Err(FeedError::Lagged(state.missed)));
            }
            if let Some(end) = state.end {
                return Poll::Ready(end.map(|()| None));
            }
            _replaced = state.waker.replace(cx.waker().clone());
            Poll::Pending
        })
        .await;
        if !matches!(next, Ok(Some(_))) {
            self.open = None;
        }
        next
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        // Dropped after the lock: what a value does when it is dropped may reach its sender.
        let _left;
        let mut state = lock(&self.state);
        state.reader_gone = true;
        _left = (std::mem::take(&mut state.values), state.waker.take());
    }
}

impl<T> FeedSender<T> {
    /// Adds a value, without waiting. Returns whether the reader is still there and has not lagged; if not, the value
    /// is gone, and the sender can be dropped.
    pub fn push(&self, value: T) -> bool {
        let waker = {
            let mut state = lock(&self.state);
            if state.reader_gone {
                return false;
            }
            if state.missed > 0 || state.values.len() >= self.capacity {
                state.missed += 1;
                return false;
            }
            state.values.push_back(value);
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// Ends the feed in order: after what it holds its reader gets `Ok(None)`.
    pub fn end(self) {
        lock(&self.state).end = Some(Ok(()));
    }
}

impl<T> Drop for FeedSender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = lock(&self.state);
            state.end.get_or_insert(Err(self.dropped));
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

macro_rules! shows_its_name {
    ($($name:ident)*) => {
        $(impl<T> std::fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        })*
    };
}
shows_its_name! { Responder Watch WatchSender Feed FeedSender }
