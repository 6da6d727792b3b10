//! Subsystems and the context they run in.

use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use deterministic::{BoxFuture, Environment};

use crate::answer::AskError;
use overseer_core::inbound::{Inbound, Incoming};

use crate::mailbox::RefusedReason;
use crate::message::{Inbox as _, Post, Request, Role, WhenFull};
use crate::port::{Delivery, Outlet, Place, SendError};
use crate::recorder::{Recorder, Recording};
use crate::signal::{Nothing, View};
use crate::wiring::{Ask, Cast, FromJobs, FromLoop, SendList, SentBy, Wait};

/// Why a subsystem ended before it was told to. It takes the node down in order, with its name and this cause.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

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

type InboundOf<S> = Inbound<<<S as Subsystem>::Role as Role>::Inbox, <S as Subsystem>::View>;

/// Where the mailbox of a subsystem waits while nobody reads it: between a failure and the restart.
pub(crate) struct Parking<S: Subsystem>(Mutex<Option<InboundOf<S>>>);

impl<S: Subsystem> Parking<S> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn lock(&self) -> MutexGuard<'_, Option<InboundOf<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Option<InboundOf<S>> {
        self.lock().take()
    }
}

/// What a subsystem is started with.
pub(crate) struct Start<S: Subsystem> {
    pub(crate) inbound: InboundOf<S>,
    pub(crate) ports: Outlet<FromLoop<S>>,
    pub(crate) jobs: Outlet<FromJobs<S>>,
    pub(crate) environment: Environment,
    pub(crate) recording: Arc<Recording>,
    pub(crate) parking: Option<Arc<Parking<S>>>,
}

/// A subsystem's mailbox, heartbeat and ports.
pub struct Context<S: Subsystem> {
    /// There until the context is dropped.
    inbound: Option<InboundOf<S>>,
    ports: Outlet<FromLoop<S>>,
    jobs: Outlet<FromJobs<S>>,
    outbox: Outbox,
    environment: Environment,
    recorder: Recorder,
    parking: Option<Arc<Parking<S>>>,
}

impl<S: Subsystem> Drop for Context<S> {
    fn drop(&mut self) {
        if let Some(parking) = &self.parking {
            *parking.lock() = self.inbound.take();
        }
    }
}

impl<S: Subsystem> Context<S> {
    pub(crate) fn new(start: Start<S>) -> Self {
        Self {
            inbound: Some(start.inbound),
            ports: start.ports,
            jobs: start.jobs,
            outbox: Outbox::default(),
            environment: start.environment,
            recorder: Recorder::new(start.recording),
            parking: start.parking,
        }
    }

    /// The next event. Flushes the outbox meanwhile.
    ///
    /// # Cancel safety
    /// Nothing is lost: an event is taken only when it is returned.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Event<S>> + Send {
        Recv(self)
    }

    #[inline]
    fn poll_recv(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Event<S>> {
        if !self.outbox.waiting.is_empty() {
            self.outbox.flush(cx);
        }
        let Some(inbound) = &mut self.inbound else { return Poll::Pending };
        match inbound.poll_next(cx) {
            Poll::Ready(Incoming::Message(message)) => {
                self.recorder.message(message.message_name());
                Poll::Ready(Event::Message(message))
            }
            Poll::Ready(Incoming::Signal(update)) => {
                self.recorder.signal();
                Poll::Ready(Event::Signal(update))
            }
            Poll::Ready(Incoming::Conclude) => {
                self.recorder.conclude();
                Poll::Ready(Event::Conclude)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Sends and waits while the consumer's queue is full. The loop receives nothing meanwhile: the wiring proves that
    /// no cycle of such waits exists.
    ///
    /// # Errors
    /// Hands the message back if the consumer has ended, or if the message can never fit.
    ///
    /// # Cancel safety
    /// A dropped send has put nothing into the queue; the message is lost with the future. Who must keep it uses
    /// [`reserve`](Self::reserve).
    pub fn send<M, I>(&mut self, message: M) -> Delivery<'_, M>
    where
        M: Post + SentBy<FromLoop<S>, Wait<M>, I>,
    {
        self.recorder.sends(self.ports.message_name::<M, Wait<M>, I>());
        self.ports.send(message)
    }

    /// Waits for a place for a message of so many bytes; the message is put into it without waiting.
    ///
    /// # Errors
    /// If the consumer has ended, or if so many bytes can never fit.
    ///
    /// # Cancel safety
    /// Dropping it gives up the turn; a place that was granted already goes to the next who waits.
    pub async fn reserve<M, I>(&mut self, bytes: usize) -> Result<Place<'_, M>, RefusedReason>
    where
        M: Post + SentBy<FromLoop<S>, Wait<M>, I>,
    {
        self.recorder.sends(self.ports.message_name::<M, Wait<M>, I>());
        self.ports.reserve(bytes).await
    }

    /// Asks and waits for the answer in the loop itself. No signal is seen meanwhile: the answer may be younger than
    /// the newest signal that this subsystem knows.
    ///
    /// # Errors
    /// If the consumer has ended, drops the question, or does not answer it within
    /// [`Message::ANSWER_WITHIN`](crate::Message::ANSWER_WITHIN).
    pub async fn ask<M, I>(&mut self, message: M) -> Result<M::Answer, AskError>
    where
        M: Request + SentBy<FromLoop<S>, Ask<M>, I>,
    {
        self.recorder.sends(self.ports.message_name::<M, Ask<M>, I>());
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
        self.recorder.sends(self.ports.message_name::<M, Cast<M>, I>());
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
        self.inbound.as_ref().map_or(0, |inbound| inbound.cursor().catch_ups())
    }
}

/// The future of [`Context::recv`].
struct Recv<'a, S: Subsystem>(&'a mut Context<S>);

impl<S: Subsystem> Future for Recv<'_, S> {
    type Output = Event<S>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Event<S>> {
        self.0.poll_recv(cx)
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
