//! Subsystems and the context they run in.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use deterministic::Environment;
use tokio::task::coop;

use crate::answer::AskError;
use overseer_core::inbound::{Inbound, Incoming, YIELD_EVERY};
use overseer_core::sync::lock;

use crate::mailbox::RefusedReason;
use crate::message::{Inbox as _, Post, Request, Role};
use crate::port::{Delivery, Outlet, Place, SendError, Turn};
use crate::recorder::{Recorded, Recorder, Recording};
use crate::replay::{Taping, Text};
use crate::signal::{Nothing, View};
use crate::wiring::{Ask, Cast, FromJobs, FromLoop, SendList, SentBy, Wait};

/// Why a subsystem ended before it was told to. It takes the node down in order, with its name and this cause.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A long-lived worker in a slot of a node.
///
/// It is plain data until [`run`](Self::run); everything it reaches (clock, disk, network) it was given when it was
/// made or finds in its [`Context`].
///
/// # Examples
/// ```
/// # use overseer::{Context, Event, Failure, Nothing, Subsystem};
/// pub struct Add(pub u64);
/// overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
///
/// struct Sum(u64);
/// impl Subsystem for Sum {
///     type Role = Counter;
///     type View = Nothing;
///     type Sends = ();
///     type JobSends = ();
///     async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
///         loop {
///             match context.recv().await {
///                 Event::Message(Inbox::Add(Add(number))) => self.0 += number,
///                 Event::Signal(never) => match never {},
///                 Event::Conclude => return Ok(()),
///             }
///         }
///     }
/// }
/// ```
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

    /// The loop. Returns after [`Event::Conclude`].
    ///
    /// # Errors
    /// An error, or a return before it was told to conclude, ends the node with this subsystem's name in the
    /// [`ExitReport`](crate::ExitReport); unless it was put in by
    /// [`fill_restarting`](crate::node::Builder::fill_restarting), which makes a new one. Once the node concludes, an error
    /// that says (itself, or in its [sources](std::error::Error::source)) that a neighbour has ended or has dropped a
    /// question is none.
    ///
    /// # Panics
    /// A panic is caught, named with its message, and ends the node in the same way.
    ///
    /// # Cancel safety
    /// The future is dropped at any await when it has not returned
    /// [`CONCLUDE_DEADLINE`](crate::node::CONCLUDE_DEADLINE) after Conclude: what must not be half done then must be
    /// safe on disk before.
    fn run(self, context: Context<Self>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a subsystem receives: see [`Context::recv`].
pub enum Event<S: Subsystem> {
    /// The heartbeat: always before any message that was sent by somebody who had seen it.
    Signal(<S::View as View>::Update),
    /// A message.
    Message(<S::Role as Role>::Inbox),
    /// The node stops: finish what must be finished and return.
    Conclude,
}

/// What a wrapped slot's messages go through; the next instance goes on with it after a restart.
pub(crate) type Screen<R> = Arc<Mutex<dyn FnMut(<R as Role>::Inbox) -> Option<<R as Role>::Inbox> + Send>>;

/// What an event meets on its way.
struct Aside<S: Subsystem> {
    taping: Option<Taping<S>>,
    screen: Option<Screen<S::Role>>,
}

impl<S: Subsystem> Aside<S> {
    fn new(taping: Option<Taping<S>>, screen: Option<Screen<S::Role>>) -> Option<Box<Self>> {
        (taping.is_some() || screen.is_some()).then(|| Box::new(Self { taping, screen }))
    }

    fn screen(&self, message: <S::Role as Role>::Inbox) -> Option<<S::Role as Role>::Inbox> {
        match &self.screen {
            Some(screen) => screen.lock().unwrap_or_else(PoisonError::into_inner)(message),
            None => Some(message),
        }
    }
}

/// On the heap, because a loop's future holds its context twice.
pub(crate) type InboundOf<S> = Box<Inbound<<<S as Subsystem>::Role as Role>::Inbox, <S as Subsystem>::View>>;

/// Where the mailbox of a subsystem waits while nobody reads it: between a failure and the restart.
pub(crate) struct Parking<S: Subsystem>(Mutex<Option<InboundOf<S>>>);

impl<S: Subsystem> Parking<S> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn take(&self) -> Option<InboundOf<S>> {
        lock(&self.0).take()
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
    pub(crate) taping: Option<Taping<S>>,
    pub(crate) screen: Option<Screen<S::Role>>,
}

/// A subsystem's mailbox, its place in the signal log, and what it declared to send.
///
/// There is one per run; dropping it closes the mailbox, so that whoever waits to send is told
/// [`Closed`](RefusedReason::Closed).
///
/// # Signals and answers
/// [`recv`](Self::recv) is the only place where a subsystem sees a signal. An answer awaited in the loop, by
/// [`ask`](Self::ask), may therefore be younger than the newest signal that this subsystem knows: whoever gave it may
/// have seen more. A loop for which that matters asks from a [job](Self::jobs), and takes the answer as an event when
/// the signals before it have been handled.
///
/// # Examples
/// Each of the ways in which a subsystem sends, with what it has to declare for it:
///
/// ```
/// # use overseer::{Ask, Cast, Context, Event, Failure, Nothing, Subsystem, Wait};
/// # pub struct Add(pub u64);
/// # pub struct Hint;
/// # pub struct Total;
/// # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add, Hint } ask { Total -> u64 } } }
/// # overseer::inbox! { pub enum TalkerInbox for Talker as "talker" {} }
/// struct Talks;
/// impl Subsystem for Talks {
///     type Role = Talker;
///     type View = Nothing;
///     type Sends = (Wait<Add>, Cast<Hint>, Ask<Total>);
///     type JobSends = (Ask<Total>,);
///     async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
///         context.send(Add(1)).await?; // waits while the counter's queue is full
///         if let Err(refused) = context.cast(Hint) {
///             println!("{refused}"); // "Hint to counter was not delivered: queue is full"; it is in `refused.message`
///         }
///         let total = context.ask(Total).await?; // the loop stands still until the answer is there
///         let counter = context.jobs(); // a job may ask as long as it likes; crate `jobs` gives it a scope
///         let job = async move { drop(counter.ask(Total).await) };
///         context.environment().spawner.spawn("ask", Box::pin(job));
///         while !matches!(context.recv().await, Event::Conclude) {}
///         println!("{total}");
///         Ok(())
///     }
/// }
/// ```
pub struct Context<S: Subsystem> {
    /// There until the context is dropped.
    inbound: Option<InboundOf<S>>,
    ports: Outlet<FromLoop<S>>,
    jobs: Outlet<FromJobs<S>>,
    environment: Box<Environment>,
    recorder: Recorder,
    /// Sends since the last look at the mailbox, or since it let others run for them.
    sends: u16,
    parking: Option<Arc<Parking<S>>>,
    /// What an event meets on its way, where there is any such thing.
    aside: Option<Box<Aside<S>>>,
}

impl<S: Subsystem> Drop for Context<S> {
    fn drop(&mut self) {
        match &self.parking {
            Some(parking) => *lock(&parking.0) = self.inbound.take(),
            None => self.recorder.left_at.begin_to_end(),
        }
    }
}

impl<S: Subsystem> Context<S> {
    pub(crate) fn new(start: Start<S>) -> Self {
        Self {
            inbound: Some(start.inbound),
            ports: start.ports,
            jobs: start.jobs,
            environment: Box::new(start.environment),
            recorder: Recorder::new(start.recording),
            sends: 0,
            parking: start.parking,
            aside: Aside::new(start.taping, start.screen),
        }
    }

    /// Waits for the next event: signals before every message whose sender had seen them, the high lane before the
    /// normal one, [`Event::Conclude`] once at the end.
    ///
    /// It lets others run after many deliveries in a row without a wait. After Conclude it delivers what is queued still, then waits for ever.
    ///
    /// # Cancel safety
    /// Nothing is lost: an event is taken only when it is returned. So it can stand in a `select!`.
    ///
    /// # Back-pressure
    /// A message keeps its place in the queue until the loop comes back for more; up to
    /// [`RELEASE_EVERY`](overseer_core::reader::RELEASE_EVERY) places are given back together, and that of a single message
    /// in a queue that is half free with the next one, or when somebody needs it. While the loop is
    /// elsewhere, the queue fills up to its [`MailboxLimits`](crate::mailbox::MailboxLimits) and senders wait.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Event<S>> + Send {
        Recv(self)
    }

    #[inline]
    fn poll_recv(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Event<S>> {
        self.sends = 0;
        if self.aside.is_some() {
            return self.poll_recv_aside(cx);
        }
        let Some(inbound) = &mut self.inbound else { return Poll::Pending };
        let incoming = inbound.poll_next(cx);
        if incoming.is_ready() {
            spend_budget(cx);
        }
        // Each arm for itself: a large message would else be copied once more.
        match incoming {
            Poll::Ready(Incoming::Message(message)) => {
                self.recorder.record(Recorded::Received(message.message_name()));
                Poll::Ready(Event::Message(message))
            }
            Poll::Ready(Incoming::Signal(update)) => {
                self.recorder.record(Recorded::Signal);
                Poll::Ready(Event::Signal(update))
            }
            Poll::Ready(Incoming::Conclude) => {
                self.recorder.conclude();
                Poll::Ready(Event::Conclude)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Receives from a tape, or through the slot's screen and then onto a tape.
    #[cold]
    fn poll_recv_aside(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Event<S>> {
        let (Some(aside), Some(inbound)) = (&self.aside, &mut self.inbound) else { return Poll::Pending };
        if let Some(taping) = aside.taping.as_ref().filter(|taping| taping.reel.is_playing()) {
            return taping.poll_replay(cx);
        }
        loop {
            let Poll::Ready(incoming) = inbound.poll_next(cx) else { return Poll::Pending };
            let event = match received(&mut self.recorder, incoming) {
                Event::Message(message) => match aside.screen(message) {
                    Some(message) => Event::Message(message),
                    None => continue,
                },
                event => event,
            };
            return Poll::Ready(match &aside.taping {
                Some(taping) => taping.record(event),
                None => event,
            });
        }
    }

    /// Sends a message, declared as [`Wait`] in [`Subsystem::Sends`]. Nothing happens before the first poll.
    ///
    /// # Errors
    /// Hands the message back: [`Closed`](RefusedReason::Closed) if the consumer has ended,
    /// [`TooLarge`](RefusedReason::TooLarge) at once if it is larger than the consumer's whole mailbox. Once the node
    /// concludes, a consumer that has ended is in order: the message is dropped and counted as refused, the send succeeds,
    /// and the loop goes on to [its end](Subsystem::run).
    ///
    /// # Cancel safety
    /// A dropped send has put nothing into the queue; the message is lost with the future. Who must keep it uses
    /// [`reserve`](Self::reserve).
    ///
    /// # Back-pressure
    /// Waits while the consumer's queue is full, behind all who began to wait before. The loop receives nothing
    /// meanwhile: [`build`](crate::node::Builder::build) has proved that nobody it waits for waits for it. A loop that
    /// only sends lets others on its worker run after as many sends as [`recv`](Self::recv) does after deliveries.
    #[inline]
    pub fn send<M, I>(&mut self, message: M) -> Delivery<'_, M>
    where
        M: Post + SentBy<FromLoop<S>, Wait<M>, I>,
    {
        self.recorder.sends(self.ports.message_name::<M, Wait<M>, I>());
        let turn = if self.is_turn_over() { Turn::IsOver } else { Turn::Lasts };
        self.ports.send_in(turn, message)
    }

    /// Counts a send, and says whether others have to run before it.
    #[inline]
    fn is_turn_over(&mut self) -> bool {
        self.sends += 1;
        self.sends.is_multiple_of(YIELD_EVERY)
    }

    /// Waits for a place for one message of type `M` that counts as `bytes` bytes; [`Place::send`] then puts it in
    /// without waiting.
    ///
    /// # Errors
    /// [`Closed`](RefusedReason::Closed) if the consumer has ended, [`TooLarge`](RefusedReason::TooLarge) if `bytes` is
    /// more than the consumer's whole mailbox takes. Once the node concludes, there is a place at a consumer that has
    /// ended as well: what is put there is lost as by [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Dropping it gives up the turn; a place that was granted already goes to the next who waits. No message is
    /// involved yet, so none is lost: that is what it is for.
    ///
    /// # Back-pressure
    /// As [`send`](Self::send). A place that is held counts as full.
    ///
    /// # Examples
    /// ```
    /// # use overseer::{Context, Failure, Subsystem, Wait};
    /// # pub struct Add(pub u64);
    /// # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
    /// async fn add<S>(context: &mut Context<S>, sum: &mut Option<u64>) -> Result<(), Failure>
    /// where
    ///     S: Subsystem<Sends = (Wait<Add>,)>,
    /// {
    ///     let place = context.reserve::<Add, _>(8).await?; // if this is dropped, `sum` is still there
    ///     if let Some(sum) = sum.take() {
    ///         place.send(Add(sum))?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn reserve<M, I>(&mut self, bytes: usize) -> Result<Place<'_, M>, RefusedReason>
    where
        M: Post + SentBy<FromLoop<S>, Wait<M>, I>,
    {
        self.recorder.sends(self.ports.message_name::<M, Wait<M>, I>());
        if self.is_turn_over() {
            tokio::task::yield_now().await;
        }
        self.ports.reserve(bytes).await
    }

    /// Asks and waits for the answer in the loop itself; declared as [`Ask`] in [`Subsystem::Sends`]. For a question
    /// whose answer comes at once. Others belong into a job: [`jobs`](Self::jobs).
    ///
    /// No signal is seen meanwhile: see [Signals and answers](Self#signals-and-answers).
    ///
    /// # Errors
    /// [`AskError`]: the consumer has ended, the question is too large for it, it dropped the question, what it asked
    /// about has ended ([`AskError::Ended`]), or it did not answer within
    /// [`Message::ANSWER_WITHIN`](crate::Message::ANSWER_WITHIN). Each names question and consumer. Once the node concludes,
    /// a consumer may have ended in order: with `?` the loop then ends here, which is [no failure](Subsystem::run).
    ///
    /// # Cancel safety
    /// Dropping it abandons the question: if it was not in the queue yet it never will be, else the consumer sees
    /// [`Responder::is_abandoned`](crate::Responder::is_abandoned) and its answer is lost.
    ///
    /// # Back-pressure
    /// Waits for a place in the consumer's queue, then for its answer. The graph of waits counts it against both the
    /// consumer's loop and its jobs.
    pub async fn ask<M, I>(&mut self, message: M) -> Result<M::Answer, AskError>
    where
        M: Request + SentBy<FromLoop<S>, Ask<M>, I>,
    {
        self.recorder.sends(self.ports.message_name::<M, Ask<M>, I>());
        self.ports.ask(message).await
    }

    /// Sends without ever waiting; declared as [`Cast`] in [`Subsystem::Sends`].
    ///
    /// # Errors
    /// Hands the message back: [`Closed`](RefusedReason::Closed) if the consumer has ended,
    /// [`TooLarge`](RefusedReason::TooLarge) if it can never fit, [`Full`](RefusedReason::Full) if it is lossy or all
    /// its places for merging are taken, [`OverBudget`](RefusedReason::OverBudget) if budget or outbox are used up.
    ///
    /// # Back-pressure
    /// None. What a full queue does says [`Message::WHEN_FULL`](crate::Message::WHEN_FULL). A message of an outbox stands in
    /// line with all who wait for a place, and gets into the queue in its turn whatever this loop does, or after it has
    /// ended.
    pub fn cast<M, I>(&mut self, message: M) -> Result<(), SendError<M>>
    where
        M: Post + SentBy<FromLoop<S>, Cast<M>, I>,
    {
        self.recorder.sends(self.ports.message_name::<M, Cast<M>, I>());
        self.ports.cast(message)
    }

    /// Takes queued messages out before their turn, those of which `is_gone` is true: their places and bytes are free at
    /// once, and senders that wait for them go on. `None`, and nothing is taken, while a signal is there that was not
    /// delivered, because a queued message may have been sent by somebody who has seen it. `jobs` does this for scopes
    /// that end.
    ///
    /// A cast that is kept in line ([`WhenFull::Outbox`](crate::WhenFull::Outbox)) is not queued yet and stays: it holds a
    /// place of its sender's outbox and none here. It comes in its turn, as what is sent later does, to a loop that knows
    /// by then what has ended.
    pub fn purge(
        &mut self,
        is_gone: impl FnMut(&<S::Role as Role>::Inbox) -> bool,
    ) -> Option<Vec<<S::Role as Role>::Inbox>> {
        let inbound = self.inbound.as_mut()?;
        match self.aside.as_ref().and_then(|aside| aside.taping.as_ref()) {
            None => inbound.purge(is_gone),
            Some(taping) => taping.purge(|| inbound.purge(is_gone)),
        }
    }

    /// What jobs send through, as declared in [`Subsystem::JobSends`]. Cheap to clone into each job.
    ///
    /// A job may wait for whom it likes, because the loop goes on receiving: the graph of waits has a node of its own
    /// for the jobs of a subsystem. The loop in turn must not await one of its jobs; their results come back as events
    /// (crate `jobs`).
    pub fn jobs(&self) -> Outlet<FromJobs<S>> {
        self.jobs.clone()
    }

    /// Clock, randomness, spawner and computing: all that a subsystem may use instead of globals, so that the simulator
    /// owns it.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// How often this subsystem fell so far behind ([`SIGNAL_LOG_MAX`](crate::signal::SIGNAL_LOG_MAX) entries) that it
    /// got one catch-up entry in place of those it had missed.
    pub fn catch_ups(&self) -> u64 {
        let live = || self.inbound.as_ref().map_or(0, |inbound| inbound.cursor().catch_ups());
        match self.aside.as_ref().and_then(|aside| aside.taping.as_ref()) {
            None => live(),
            Some(taping) => taping.reel.act(Text::new(format_args!("counts its catch-ups")), |_| live()).1,
        }
    }
}

/// Counts a delivery or a send against what tokio lets a task do before the others of its worker run. Nobody yields here
/// for want of it (a context yields by its own count), but two who wake each other all the time are told apart from two
/// who have work to do: the scheduler then queues the woken one here, where it would else wake another worker for it.
#[inline]
pub(crate) fn spend_budget(cx: &mut std::task::Context<'_>) {
    if coop::has_budget_remaining()
        && let Poll::Ready(budget) = coop::poll_proceed(cx)
    {
        budget.made_progress();
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

#[inline]
fn received<S: Subsystem>(
    recorder: &mut Recorder,
    incoming: Incoming<<S::Role as Role>::Inbox, <S::View as View>::Update>,
) -> Event<S> {
    match incoming {
        Incoming::Message(message) => {
            recorder.record(Recorded::Received(message.message_name()));
            Event::Message(message)
        }
        Incoming::Signal(update) => {
            recorder.record(Recorded::Signal);
            Event::Signal(update)
        }
        Incoming::Conclude => {
            recorder.conclude();
            Event::Conclude
        }
    }
}

/// Fills any slot and drops what arrives; questions fail at the asker with [`AskError::Dropped`]. The no-op of every
/// role.
///
/// `drain_empty_slots` of a [`node!`](crate::node!)'s builder puts it everywhere where nothing is yet.
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
