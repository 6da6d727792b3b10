//! Ports: the sending side of one declared edge, with its counters and its tap.
//!
//! Most programs meet [`Outlet`], which is what jobs and the outside send through, and [`SendError`]. A [`Tap`] is for
//! tests, tracing and faults on purpose.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use deterministic::Environment;
use futures::future::{Either, ready, select};
use futures::{FutureExt as _, TryFutureExt as _};
use overseer_core::sending::{Permit, Reserve, Sending};
use tokio::sync::watch;
use tokio::task::coop;

use crate::answer::{AskError, Reply};
use crate::deadline::Wheel;
use crate::edge::{EdgeRecord, Flight};
use crate::mailbox::{EdgeId, Mailbox, RefusedReason};
use crate::message::{Inbox, Message, Post, Request, Role};
use crate::replay::{PortTape, Reel, SendForm, Text, Words, copy_of};
use crate::subsystem::spend_budget;
use crate::wiring::{Ask, Cast, Origin, SendList, Sender, SentBy, Wait};

pub use crate::edge::EdgeSnapshot;

/// A message that was not taken, handed back with the reason.
///
/// In a loop `?` turns it into a [`Failure`](crate::Failure), which ends the node: right for a [`Wait`], whose consumer
/// can only be gone when the node is ending anyway. A refused [`Cast`] is ordinary; look at the reason.
#[derive(thiserror::Error)]
#[error("{} to {} was not delivered: {reason}", M::name(), <M::To as Role>::NAME)]
pub struct SendError<M: Message> {
    /// The message.
    pub message: M,
    /// Why.
    #[source]
    pub reason: RefusedReason,
}

impl<M: Message> std::fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// What a [`Tap`] makes of a message.
pub enum Tapped<M> {
    /// Goes on, perhaps replaced by another.
    Pass(M),
    /// Is lost. Its sender is told that it was sent; an asker gets [`AskError::Dropped`], by `tap`.
    Drop,
    /// Goes on twice (posts only; a question passes its first).
    Duplicate(M, M),
    /// Goes on after this time. What a loop sends, and what is cast, takes its place in the queue now, counts against its
    /// limits, and is gone when the subsystem and its jobs have ended; its sender goes on. A job that sends, and whoever
    /// asks, is held that long itself, so that the message goes with it when its scope ends. A cast for which there is no
    /// place does at once what its message says for a full queue.
    Delay(M, Duration),
}

/// Looks at, changes or drops what one sender sends as `M`: for fault injection, adversaries and tracing. Neither side
/// knows of it. Put in by [`Builder::tap`](crate::node::Builder::tap); any `Fn(M) -> Tapped<M>` is one.
///
/// # Examples
/// ```
/// # use overseer::port::Tapped;
/// # use overseer::{Environment, node};
/// # pub struct Add(pub u64);
/// # overseer::inbox! { pub enum Inbox for Counter as "counter" { tell { Add } } }
/// # overseer::inbox! { pub enum Nothing for Talker as "talker" {} }
/// # node! { pub struct Small, built by SmallBuilder { counter: Counter, talker: Talker } }
/// fn without_large_numbers(builder: SmallBuilder) -> SmallBuilder {
///     builder.tap::<Talker, Add>(|Add(number)| if number > 100 { Tapped::Drop } else { Tapped::Pass(Add(number)) })
/// }
/// ```
pub trait Tap<M>: Send + Sync + 'static {
    /// Called for each message, on the sender's side, before the queue. It must not wait: the sender stands still.
    ///
    /// # Panics
    /// A panic in it is the sender's.
    fn on_send(&self, message: M) -> Tapped<M>;
}

impl<M, F: Fn(M) -> Tapped<M> + Send + Sync + 'static> Tap<M> for F {
    fn on_send(&self, message: M) -> Tapped<M> {
        self(message)
    }
}

/// A tap of any message type, as kept by the builder.
pub(crate) type TapSlot = Arc<dyn Any + Send + Sync>;

type InboxOf<M> = <<M as Message>::To as Role>::Inbox;
type Reserved<M> = Result<Permit<InboxOf<M>, Arc<Mailbox<InboxOf<M>>>>, RefusedReason>;

/// Hears who asked, what, and why there is no answer, where there is none.
pub(crate) type OnAnswer = Arc<dyn Fn(&'static str, &'static str, Option<&AskError>) + Send + Sync>;

/// What the ports of one sender share.
pub(crate) struct Desk {
    pub(crate) on_answer: Option<OnAnswer>,
    pub(crate) environment: Environment,
    pub(crate) wheel: Arc<Wheel>,
    /// Set before anybody of the node can hear Conclude.
    pub(crate) concluding: Arc<AtomicBool>,
}

/// What a message meets on its way, where there is any such thing.
struct Aside<M> {
    tap: Option<Arc<dyn Tap<M>>>,
    tape: Option<PortTape>,
}

/// The sending side of one edge.
pub struct Port<M: Message> {
    mailbox: Arc<Mailbox<InboxOf<M>>>,
    id: EdgeId,
    edge: Arc<EdgeRecord>,
    desk: Arc<Desk>,
    aside: Option<Box<Aside<M>>>,
    /// What delayed messages live by: dropped with the port.
    delays: OnceLock<watch::Sender<()>>,
}

impl<M: Message> Port<M> {
    pub(crate) fn new(
        mailbox: Arc<Mailbox<InboxOf<M>>>,
        edge: Arc<EdgeRecord>,
        desk: Arc<Desk>,
        tap: Option<TapSlot>,
    ) -> Self {
        let tap = tap.and_then(|slot| slot.downcast_ref::<Arc<dyn Tap<M>>>().cloned());
        let aside = tap.map(|tap| Box::new(Aside { tap: Some(tap), tape: None }));
        Self { mailbox, id: edge.id, edge, desk, aside, delays: OnceLock::new() }
    }

    /// Puts everything that goes through it onto a tape.
    pub(crate) fn tape(&mut self, reel: &Reel, form: SendForm) {
        let aside = self.aside.get_or_insert_with(|| Box::new(Aside { tap: None, tape: None }));
        aside.tape = Some(PortTape { reel: reel.clone(), form });
    }

    fn tap(&self) -> Option<&dyn Tap<M>> {
        self.aside.as_deref()?.tap.as_deref()
    }

    fn on_tape(&self) -> Option<&PortTape> {
        self.aside.as_deref()?.tape.as_ref()
    }

    /// Whether this sender's message may be lost because its consumer has ended: a loop's, once the node concludes.
    /// Consumers come before or after it then by chance.
    #[cold]
    fn may_be_lost(&self, reason: RefusedReason) -> bool {
        let is_loop = self.edge.origin == Origin::Loop;
        is_loop && reason == RefusedReason::Closed && self.desk.concluding.load(Ordering::Acquire)
    }

    /// Takes a refusal that is in order, and counts it.
    #[cold]
    fn refused(&self, refused: SendError<M>) -> Result<(), SendError<M>> {
        if !self.may_be_lost(refused.reason) {
            return Err(refused);
        }
        self.mailbox.count_refused(self.id);
        Ok(())
    }

    /// The message's name, known without computing it.
    pub(crate) fn message_name(&self) -> &'static str {
        self.edge.declared.message
    }

    #[inline]
    fn put(&self, inbox: InboxOf<M>, bytes: usize) -> Sending<InboxOf<M>, &Mailbox<InboxOf<M>>> {
        Sending::new(&self.mailbox, self.id, inbox, bytes, M::LANE)
    }
}

impl<M: Post> Port<M> {
    /// Delivers later into a place that was taken now. The task ends with the port.
    fn delay(&self, reserved: Reserved<M>, message: M, delay: Duration) -> Result<(), SendError<M>> {
        let permit = match reserved {
            Ok(permit) => permit,
            Err(reason) => return Err(SendError { message, reason }),
        };
        let (inbox, sleep) = (message.into_inbox(), self.desk.environment.clock.sleep(delay));
        let mut port = self.delays.get_or_init(|| watch::channel(()).0).subscribe();
        let task = async move {
            let port_is_gone = std::pin::pin!(async move { while port.changed().await.is_ok() {} });
            if let Either::Left(_) = select(sleep, port_is_gone).await {
                // A consumer that has ended meanwhile takes nothing any more.
                drop(permit.send(inbox, M::LANE));
            }
        };
        self.desk.environment.spawner.spawn("tap-delay", Box::pin(task));
        Ok(())
    }

    /// Built without a choice of what it will be: a large message is then written where it stays, not moved there.
    #[inline]
    pub(crate) fn send(&self, turn: Turn, message: M) -> Delivery<'_, M> {
        let bytes = message.bytes();
        let plain = self.put(message.into_inbox(), bytes);
        Delivery { port: self, turn, plain, apart: None }
    }

    async fn send_taped(&self, tape: &PortTape, message: M) -> Result<(), SendError<M>> {
        let (event, ()) = tape.reel.act(tape.text("sends", &message, self.edge.declared.to), |_| ());
        let over = |refused: &Option<RefusedReason>| match refused {
            None => Text::new(format_args!("its send of event {event} is delivered")),
            Some(reason) => Text::new(format_args!("its send of event {event} is refused: {reason}")),
        };
        let mut message = Some(message);
        let live = async {
            let refused = self.send_tapped(message.take()?).await.or_else(|refused| self.refused(refused)).err()?;
            message = Some(refused.message);
            Some(refused.reason)
        };
        let refused = tape.reel.wait(event, copy_of::<Option<RefusedReason>>, over, live).await;
        refused.zip(message).map_or(Ok(()), |(reason, message)| Err(SendError { message, reason }))
    }

    async fn send_tapped(&self, message: M) -> Result<(), SendError<M>> {
        let plain = |message: M| {
            let bytes = message.bytes();
            self.put(message.into_inbox(), bytes).map_err(|(inbox, reason)| back(inbox, reason))
        };
        let Some(tap) = self.tap() else { return plain(message).await };
        match tap.on_send(message) {
            Tapped::Pass(message) => plain(message).await,
            Tapped::Drop => Ok(()),
            Tapped::Duplicate(first, second) => {
                plain(first).await?;
                plain(second).await
            }
            Tapped::Delay(message, delay) if self.edge.origin != Origin::Loop => {
                self.desk.environment.clock.sleep(delay).await;
                plain(message).await
            }
            Tapped::Delay(message, delay) => {
                let reserved = Reserve::new(self.mailbox.clone(), self.id, message.bytes()).await;
                self.delay(reserved, message, delay)
            }
        }
    }

    /// Takes a place now, if there is one, and delivers into it later.
    fn try_delay(&self, message: M, delay: Duration) -> Result<(), SendError<M>> {
        let reserved = Reserve::new(self.mailbox.clone(), self.id, message.bytes()).now_or_never();
        self.delay(reserved.unwrap_or(Err(RefusedReason::Full)), message, delay)
    }

    fn cast_one(&self, message: M) -> Result<(), SendError<M>> {
        let bytes = message.bytes();
        let full = (self.edge.declared.message, M::WHEN_FULL);
        let merge = |queued: &mut InboxOf<M>, newer| match queued.merge(newer) {
            None => Ok(queued.bytes()),
            Some(newer) => Err(newer),
        };
        self.mailbox
            .cast(self.id, message.into_inbox(), bytes, M::LANE, full, merge)
            .map_err(|(inbox, reason)| back::<M>(inbox, reason))
    }

    pub(crate) fn cast(&self, message: M) -> Result<(), SendError<M>> {
        match self.on_tape() {
            None => self.cast_tapped(message),
            Some(tape) => tape.send_at_once("casts", message, |message| self.cast_tapped(message)),
        }
    }

    fn cast_tapped(&self, message: M) -> Result<(), SendError<M>> {
        match self.tap() {
            None => self.cast_one(message),
            Some(tap) => match tap.on_send(message) {
                Tapped::Pass(message) => self.cast_one(message),
                Tapped::Drop => Ok(()),
                Tapped::Duplicate(first, second) => {
                    self.cast_one(first)?;
                    self.cast_one(second)
                }
                Tapped::Delay(message, delay) => match self.try_delay(message, delay) {
                    Err(SendError { message, reason: RefusedReason::Full }) => self.cast_one(message),
                    other => other.inspect_err(|_| self.mailbox.count_refused(self.id)),
                },
            },
        }
    }

    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Place<'_, M>, RefusedReason> {
        let Some(tape) = self.on_tape() else { return self.reserve_live(bytes).await };
        let name = self.edge.declared.message;
        let text = Text::new(format_args!("reserves a place of {bytes} bytes for {name}"));
        let (event, ()) = tape.reel.act(text, |_| ());
        let over = |refused: &Option<RefusedReason>| match refused {
            None => Text::new(format_args!("its place of event {event} is there")),
            Some(reason) => Text::new(format_args!("its place of event {event} is refused: {reason}")),
        };
        let mut place = None;
        let live = async { self.reserve_live(bytes).await.map(|reserved| place = Some(reserved)).err() };
        match (tape.reel.wait(event, copy_of::<Option<RefusedReason>>, over, live).await, place) {
            (Some(reason), _) => Err(reason),
            (None, Some(place)) => Ok(place),
            // Replayed: there is room for what holds nothing.
            (None, None) => self.reserve_live(0).await,
        }
    }

    async fn reserve_live(&self, bytes: usize) -> Result<Place<'_, M>, RefusedReason> {
        let permit = match Reserve::new(&*self.mailbox, self.id, bytes).await {
            Err(reason) if self.may_be_lost(reason) => None,
            permit => Some(permit?),
        };
        Ok(Place { permit, port: self })
    }
}

fn taken_back<M: Post>(inbox: InboxOf<M>) -> M {
    M::from_inbox(inbox).expect("what comes back is the very message that was put in")
}

fn back<M: Post>(inbox: InboxOf<M>, reason: RefusedReason) -> SendError<M> {
    SendError { message: taken_back(inbox), reason }
}

/// A place in a consumer's queue for one message, from [`Outlet::reserve`] or
/// [`Context::reserve`](crate::Context::reserve). Dropping it gives the place to the next who waits.
#[must_use = "an unused place is given back"]
pub struct Place<'a, M: Post> {
    /// None where the message will be lost, in order.
    permit: Option<Permit<InboxOf<M>, &'a Mailbox<InboxOf<M>>>>,
    port: &'a Port<M>,
}

impl<M: Post> Place<'_, M> {
    /// Puts the message in, without waiting. It counts as the bytes that were reserved. A tap that delays or duplicates
    /// lets it pass once, at once: the place is for one message.
    ///
    /// # Errors
    /// Hands the message back: [`Closed`](RefusedReason::Closed) if the consumer has ended,
    /// [`TooLarge`](RefusedReason::TooLarge) if it is larger than what was reserved. In a loop of a node that concludes, a
    /// consumer that has ended is none: see [`Context::send`](crate::Context::send).
    pub fn send(self, message: M) -> Result<(), SendError<M>> {
        match self.port.on_tape() {
            None => self.send_tapped(message),
            Some(tape) => tape.send_at_once("puts", message, |message| self.send_tapped(message)),
        }
    }

    fn send_tapped(self, message: M) -> Result<(), SendError<M>> {
        let message = match self.port.tap() {
            None => message,
            Some(tap) => match tap.on_send(message) {
                Tapped::Pass(message) | Tapped::Duplicate(message, _) | Tapped::Delay(message, _) => message,
                Tapped::Drop => return Ok(()),
            },
        };
        let refused = match self.permit {
            Some(permit) if message.bytes() > permit.bytes() => SendError { message, reason: RefusedReason::TooLarge },
            Some(permit) => match permit.send(message.into_inbox(), M::LANE) {
                Ok(()) => return Ok(()),
                Err(inbox) => back(inbox, RefusedReason::Closed),
            },
            None => SendError { message, reason: RefusedReason::Closed },
        };
        self.port.refused(refused)
    }
}

/// A send on its way: the future of [`Outlet::send`] and [`Context::send`](crate::Context::send).
#[must_use = "a send does nothing unless it is polled"]
pub struct Delivery<'a, M: Post> {
    port: &'a Port<M>,
    turn: Turn,
    plain: Sending<InboxOf<M>, &'a Mailbox<InboxOf<M>>>,
    /// What it becomes at the first poll if more than the queue has to do with it.
    apart: Option<BoxedSend<'a, M>>,
}

/// When a send that finds room lets others run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A loop's, which counts by itself: not now.
    Lasts,
    /// A loop's: before this send.
    IsOver,
    /// When tokio says so: jobs and the outside are tasks like any other.
    ByTask,
}

type BoxedSend<'a, M> = Pin<Box<dyn Future<Output = Result<(), SendError<M>>> + Send + 'a>>;

impl<M: Post> Future for Delivery<'_, M> {
    type Output = Result<(), SendError<M>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.turn != Turn::Lasts && self.end_turn(cx).is_pending() {
            return Poll::Pending;
        }
        if self.port.aside.is_some() {
            return self.poll_apart(cx);
        }
        match Pin::new(&mut self.plain).poll(cx) {
            Poll::Ready(Ok(())) => {
                spend_budget(cx);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err((inbox, reason))) => Poll::Ready(self.port.refused(back(inbox, reason))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<M: Post> Delivery<'_, M> {
    /// Through the port's tap and tape.
    #[cold]
    fn poll_apart(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<M>>> {
        if let Some(inbox) = self.plain.take() {
            let (message, port) = (taken_back(inbox), self.port);
            let sending: BoxedSend<'_, M> = match port.on_tape() {
                Some(tape) => Box::pin(port.send_taped(tape, message)),
                None => Box::pin(port.send_tapped(message).or_else(|refused| ready(port.refused(refused)))),
            };
            self.apart = Some(sending);
        }
        let Some(sending) = &mut self.apart else { return Poll::Pending };
        sending.as_mut().poll(cx)
    }

    /// Lets others run, if it is their turn.
    fn end_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.turn, Turn::Lasts) == Turn::IsOver {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Asked for only: what is sent is counted when it is.
        let granted = coop::poll_proceed(cx).map(drop);
        if granted.is_pending() {
            self.turn = Turn::ByTask;
        }
        granted
    }
}

impl<M: Request> Port<M> {
    /// Boxed by its caller, so that a question that is not recorded carries nothing of it.
    async fn ask_taped(&self, tape: &PortTape, message: M) -> Result<M::Answer, AskError> {
        let (event, ()) = tape.reel.act(tape.text("asks", &message, self.edge.declared.to), |_| ());
        let over = |answer: &Result<M::Answer, AskError>| {
            let answer: &dyn Any = answer;
            Text::new(format_args!(
                "its question of event {event} has the answer {}",
                Words(answer, tape.form.show_answer)
            ))
        };
        tape.reel.wait(event, tape.form.copy_answer, over, self.ask(message)).await
    }

    async fn ask(&self, message: M) -> Result<M::Answer, AskError> {
        let (name, to) = (self.edge.declared.message, self.edge.declared.to);
        let (message, delay) = match self.tap() {
            None => (message, None),
            Some(tap) => match tap.on_send(message) {
                Tapped::Pass(message) | Tapped::Duplicate(message, _) => (message, None),
                Tapped::Delay(message, delay) => (message, Some(delay)),
                Tapped::Drop => return Err(AskError::Dropped { message: name, by: "tap" }),
            },
        };
        let bytes = message.bytes();
        let (responder, reply) = Reply::channel(name, to);
        let _in_flight = Flight::begin(&self.edge);
        let mut reply = reply.until(M::ANSWER_WITHIN.map(|time| self.desk.wheel.after(time)));
        let inbox = message.into_inbox(responder);
        if let Some(delay) = delay
            && let Either::Right((answer, _)) = select(self.desk.environment.clock.sleep(delay), &mut reply).await
        {
            return answer;
        }
        let sent = match self.mailbox.try_send(self.id, inbox, bytes, M::LANE) {
            Ok(()) => Ok(()),
            // The time to answer runs while the question waits for its place.
            Err((inbox, RefusedReason::Full)) => match select(self.put(inbox, bytes), &mut reply).await {
                Either::Left((sent, _)) => sent.map_err(|(_, reason)| reason),
                Either::Right((answer, _)) => return answer,
            },
            Err((_, reason)) => Err(reason),
        };
        match sent {
            Ok(()) => reply.await.map(|answer| M::arrived(answer, &self.edge)),
            Err(RefusedReason::TooLarge) => Err(AskError::TooLarge { message: name, to, bytes }),
            Err(_) => Err(AskError::Closed { message: name, to }),
        }
    }
}

/// The sending side of a job or of somebody outside: only what `F` declared can be sent. Cheap to clone; all clones are
/// one sender in the counters.
///
/// Jobs get theirs from [`Context::jobs`](crate::Context::jobs), the outside from
/// [`Handle::outlet`](crate::Handle::outlet). What is sent through one is ordered against the signals that the sender
/// had seen, as anything else; messages of one sender to one consumer arrive, lane by lane, in the order in which their
/// sends ended.
pub struct Outlet<F: Sender> {
    ports: Arc<<F::Sends as SendList>::Ports>,
}

impl<F: Sender> Clone for Outlet<F> {
    fn clone(&self) -> Self {
        Self { ports: self.ports.clone() }
    }
}

impl<F: Sender> Outlet<F> {
    pub(crate) fn new(ports: <F::Sends as SendList>::Ports) -> Self {
        Self { ports: Arc::new(ports) }
    }

    /// Sends a message that was declared as [`Wait`]. Nothing happens before the first poll.
    ///
    /// # Errors
    /// Hands the message back: [`Closed`](RefusedReason::Closed) if the consumer has ended,
    /// [`TooLarge`](RefusedReason::TooLarge) at once if it is larger than the consumer's whole mailbox.
    ///
    /// # Cancel safety
    /// A dropped send has put nothing into the queue; the message is lost with the future.
    ///
    /// # Back-pressure
    /// Waits while the consumer's queue is full, behind all who began to wait before.
    #[inline]
    pub fn send<M, I>(&self, message: M) -> Delivery<'_, M>
    where
        M: Post + SentBy<F, Wait<M>, I>,
    {
        self.send_in(Turn::ByTask, message)
    }

    #[inline]
    pub(crate) fn send_in<M, I>(&self, turn: Turn, message: M) -> Delivery<'_, M>
    where
        M: Post + SentBy<F, Wait<M>, I>,
    {
        M::port(&self.ports).send(turn, message)
    }

    /// Waits for a place for one message of type `M` that counts as `bytes` bytes: for who must not lose the message
    /// when the wait is cancelled.
    ///
    /// Hold it briefly, and wait for nothing else meanwhile: [`build`](crate::node::Builder::build) does not know who holds
    /// a place while he waits for another, and two who hold what the other waits for stand for ever.
    /// [`Handle::readiness`](crate::Handle::readiness) then names both and what they hold.
    ///
    /// # Errors
    /// [`Closed`](RefusedReason::Closed) if the consumer has ended, [`TooLarge`](RefusedReason::TooLarge) if `bytes` is
    /// more than the consumer's whole mailbox takes.
    ///
    /// # Cancel safety
    /// Dropping it gives up the turn; a place that was granted already goes to the next who waits.
    ///
    /// # Back-pressure
    /// As [`send`](Self::send). A place that is held counts as full.
    pub async fn reserve<M, I>(&self, bytes: usize) -> Result<Place<'_, M>, RefusedReason>
    where
        M: Post + SentBy<F, Wait<M>, I>,
    {
        M::port(&self.ports).reserve(bytes).await
    }

    /// Sends a question that was declared as [`Ask`], and waits for its answer.
    ///
    /// # Errors
    /// [`AskError`]: the consumer has ended, the question is too large for it, it dropped the question, what it asked
    /// about has ended ([`AskError::Ended`]), or it did not answer within [`Message::ANSWER_WITHIN`]. Each names question
    /// and consumer.
    ///
    /// # Cancel safety
    /// Dropping it abandons the question: if it was not in the queue yet it never will be, else the consumer sees
    /// [`Responder::is_abandoned`](crate::Responder::is_abandoned) and its answer is lost.
    ///
    /// # Back-pressure
    /// Waits for a place in the consumer's queue, then for its answer.
    ///
    /// # Examples
    /// ```
    /// # use overseer::{Ask, AskError, Outlet, wiring::Sender};
    /// # pub struct Total;
    /// # overseer::inbox! { pub enum Inbox for Counter as "counter" { ask { Total -> u64 } } }
    /// async fn total<F: Sender<Sends = (Ask<Total>,)>>(counter: &Outlet<F>) -> Option<u64> {
    ///     match counter.ask(Total).await {
    ///         Ok(total) => Some(total),
    ///         Err(AskError::TimedOut { .. }) => None,
    ///         Err(error) => panic!("{error}"), // such as "counter dropped Total without an answer"
    ///     }
    /// }
    /// ```
    pub async fn ask<M, I>(&self, message: M) -> Result<M::Answer, AskError>
    where
        M: Request + SentBy<F, Ask<M>, I>,
    {
        let port = M::port(&self.ports);
        let answer = match port.on_tape() {
            None => port.ask(message).await,
            Some(tape) => Box::pin(port.ask_taped(tape, message)).await,
        };
        if let Some(hear) = &port.desk.on_answer {
            hear(port.edge.from, port.edge.declared.message, answer.as_ref().err());
        }
        answer
    }

    /// The name of a message, without computing it.
    pub(crate) fn message_name<M, D, I>(&self) -> &'static str
    where
        M: Message + SentBy<F, D, I>,
    {
        M::port(&self.ports).message_name()
    }

    /// Sends a message that was declared as [`Cast`], without ever waiting; a full queue does what
    /// [`Message::WHEN_FULL`] says.
    ///
    /// # Errors
    /// Hands the message back: [`Closed`](RefusedReason::Closed), [`TooLarge`](RefusedReason::TooLarge),
    /// [`Full`](RefusedReason::Full) or [`OverBudget`](RefusedReason::OverBudget).
    pub fn cast<M, I>(&self, message: M) -> Result<(), SendError<M>>
    where
        M: Post + SentBy<F, Cast<M>, I>,
    {
        M::port(&self.ports).cast(message)
    }
}
