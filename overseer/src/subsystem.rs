//! Subsystems and the context they run in.

use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::task::Poll;

use deterministic::{BoxFuture, Environment};

use crate::answer::AskError;
use crate::mailbox::{Reader, RefusedReason};
use crate::message::{Post, Request, Role, WhenFull};
use crate::port::{Outlet, SendError};
use crate::signal::{Cursor, Next, Nothing, View};
use crate::wiring::{Ask, Cast, FromJobs, FromLoop, SendList, SentBy, Wait};

/// Why a subsystem ended before it was told to. It takes the node down in order, with its name and this cause.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Deliveries in a row after which a busy loop lets others on its worker run.
const YIELD_EVERY: u32 = 128;

/// A long-lived worker in a slot of a node.
///
/// It is plain data until [`run`](Self::run); everything it reaches (clock, disk, network) it was given when it was made
/// or finds in its [`Context`].
pub trait Subsystem: Sized + Send + 'static {
    /// The slot it fits.
    type Role: Role;
    /// The signals it hears; [`Nothing`] if it has no work of its own rhythm.
    type View: View;
    /// What its loop sends: a tuple of [`Wait`], [`Ask`] and [`Cast`]. An `Ask` here says that the loop stands still
    /// until the answer is there; questions from jobs are the rule.
    type Sends: SendList;
    /// What its jobs send.
    type JobSends: SendList;

    /// The loop. Returns after [`Event::Conclude`]; returning earlier is a failure of the node.
    fn run(self, context: Context<Self>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a subsystem receives.
pub enum Event<S: Subsystem> {
    /// The heartbeat: always before any message that was sent by somebody who had seen it.
    Signal(<S::View as View>::Update),
    /// A message.
    Message(<S::Role as Role>::Inbox),
    /// The node stops: finish what must be finished and return.
    Conclude,
}

/// A subsystem's mailbox, heartbeat and ports.
pub struct Context<S: Subsystem> {
    reader: Reader<<S::Role as Role>::Inbox>,
    /// A message taken out just before a signal appeared; delivered right after it.
    held: Option<<S::Role as Role>::Inbox>,
    cursor: Cursor<S::View>,
    ports: Outlet<FromLoop<S>>,
    jobs: Outlet<FromJobs<S>>,
    outbox: Outbox,
    environment: Environment,
    deliveries: u32,
}

impl<S: Subsystem> Context<S> {
    pub(crate) fn new(
        reader: Reader<<S::Role as Role>::Inbox>,
        cursor: Cursor<S::View>,
        ports: <S::Sends as SendList>::Ports,
        jobs: <S::JobSends as SendList>::Ports,
        environment: Environment,
    ) -> Self {
        Self {
            reader,
            held: None,
            cursor,
            ports: Outlet::new(ports),
            jobs: Outlet::new(jobs),
            outbox: Outbox::default(),
            environment,
            deliveries: 0,
        }
    }

    /// The next event. Flushes the outbox meanwhile.
    ///
    /// # Cancel safety
    /// Nothing is lost: an event is taken only when it is returned.
    pub async fn recv(&mut self) -> Event<S> {
        std::future::poll_fn(|cx| {
            self.outbox.flush(cx);
            if self.deliveries >= YIELD_EVERY {
                self.deliveries = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let event = loop {
                match self.cursor.next() {
                    Next::Update(update) => break Event::Signal(update),
                    Next::Concluded => break Event::Conclude,
                    Next::Nothing => {}
                }
                if let Some(message) = self.held.take().or_else(|| self.reader.pop()) {
                    // The sender may have acted on a signal published since the look above: look again.
                    if self.cursor.is_behind() {
                        self.held = Some(message);
                        continue;
                    }
                    break Event::Message(message);
                }
                if self.reader.sleep(cx.waker()) && !self.cursor.is_behind() {
                    self.deliveries = 0;
                    return Poll::Pending;
                }
            };
            self.deliveries += 1;
            Poll::Ready(event)
        })
        .await
    }

    /// Sends and waits while the consumer's queue is full. The loop receives nothing meanwhile: the wiring proves that
    /// no cycle of such waits exists.
    ///
    /// # Errors
    /// Hands the message back if the consumer has ended, or if the message can never fit.
    ///
    /// # Cancel safety
    /// A dropped send has put nothing into the queue.
    pub async fn send<M, I>(&mut self, message: M) -> Result<(), SendError<M>>
    where
        M: Post + SentBy<FromLoop<S>, Wait<M>, I>,
    {
        self.ports.send(message).await
    }

    /// Asks and waits for the answer in the loop itself. No signal is seen meanwhile: the answer may be younger than
    /// the newest signal that this subsystem knows.
    ///
    /// # Errors
    /// If the consumer has ended or drops the question.
    pub async fn ask<M, I>(&mut self, message: M) -> Result<M::Answer, AskError>
    where
        M: Request + SentBy<FromLoop<S>, Ask<M>, I>,
    {
        self.ports.ask(message).await
    }

    /// Sends without ever waiting. A full queue does what [`Message::WHEN_FULL`](crate::Message::WHEN_FULL) says; an outbox message stays here and
    /// goes out, in order, while the loop receives.
    ///
    /// # Errors
    /// Hands a refused message back.
    pub fn cast<M, I>(&mut self, message: M) -> Result<(), SendError<M>>
    where
        M: Post + SentBy<FromLoop<S>, Cast<M>, I>,
    {
        let WhenFull::Outbox(places) = M::WHEN_FULL else { return self.ports.cast(message) };
        let message = if self.outbox.waiting.is_empty() {
            match self.ports.cast(message) {
                Err(SendError { message, reason: RefusedReason::Full }) => message,
                other => return other,
            }
        } else {
            message
        };
        if self.outbox.waiting.len() >= places {
            return Err(SendError { message, reason: RefusedReason::OverBudget(places) });
        }
        let flush = self.ports.deferred(message);
        self.outbox.waiting.push_back(flush);
        Ok(())
    }

    /// What jobs send through; cheap to clone into each.
    pub fn jobs(&self) -> Outlet<FromJobs<S>> {
        self.jobs.clone()
    }

    /// Clock, randomness, spawner and computing.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// How often this subsystem fell so far behind that it got a catch-up signal.
    pub fn catch_ups(&self) -> u64 {
        self.cursor.catch_ups()
    }
}

/// Casts refused by a full queue, waiting in order.
#[derive(Default)]
struct Outbox {
    waiting: VecDeque<BoxFuture<()>>,
}

impl Outbox {
    fn flush(&mut self, cx: &mut std::task::Context<'_>) {
        while let Some(first) = self.waiting.front_mut() {
            if first.as_mut().poll(cx).is_pending() {
                return;
            }
            self.waiting.pop_front();
        }
    }
}

/// Fills any slot and drops what arrives; questions are answered as dropped. The no-op of every role.
pub struct Drain<R>(PhantomData<fn() -> R>);

impl<R> Default for Drain<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R: Role> Subsystem for Drain<R> {
    type Role = R;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        while !matches!(context.recv().await, Event::Conclude) {}
        Ok(())
    }
}
