//! Ports: the sending side of one declared edge, with its counters and its tap.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deterministic::BoxFuture;

use crate::answer::{AskError, Reply};
use crate::mailbox::{Mailbox, RefusedReason};
use crate::message::{Message, Post, Request, Role};
use crate::wiring::{Ask, Cast, DeclaredSend, Origin, SendList, Sender, SentBy, Wait};

/// A waiting send that found its consumer gone, or a message that can never fit; the message is handed back.
#[derive(thiserror::Error)]
#[error("{} to {} was not delivered: {reason}", M::name(), <M::To as Role>::NAME)]
pub struct SendError<M: Message> {
    /// The message.
    pub message: M,
    /// Why.
    pub reason: RefusedReason,
}

impl<M: Message> std::fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Counters of one edge.
pub struct EdgeCounter {
    from: &'static str,
    origin: Origin,
    declared: DeclaredSend,
    sent: AtomicU64,
    refused: AtomicU64,
    waited: AtomicU64,
}

/// The counters of one edge at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeSnapshot {
    /// The sender.
    pub from: &'static str,
    /// Which part of it.
    pub origin: Origin,
    /// What is sent, to whom, how.
    pub declared: DeclaredSend,
    /// Messages put into the queue.
    pub sent: u64,
    /// Casts refused.
    pub refused: u64,
    /// Sends that found the queue full and waited.
    pub waited: u64,
}

impl EdgeCounter {
    pub(crate) fn new(from: &'static str, origin: Origin, declared: DeclaredSend) -> Self {
        Self { from, origin, declared, sent: AtomicU64::new(0), refused: AtomicU64::new(0), waited: AtomicU64::new(0) }
    }

    pub(crate) fn snapshot(&self) -> EdgeSnapshot {
        EdgeSnapshot {
            from: self.from,
            origin: self.origin,
            declared: self.declared,
            sent: self.sent.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            waited: self.waited.load(Ordering::Relaxed),
        }
    }
}

/// What a tap makes of a message.
pub enum Tapped<M> {
    /// Goes on, perhaps replaced by another.
    Pass(M),
    /// Is lost. A question is then answered as dropped.
    Drop,
    /// Goes on twice (posts only; a question passes its first).
    Duplicate(M, M),
}

/// Looks at, changes or drops what goes through one port: for fault injection, adversaries and tracing.
pub trait Tap<M>: Send + Sync + 'static {
    /// Called for each message, on the sender's side, before the queue.
    fn on_send(&self, message: M) -> Tapped<M>;
}

impl<M, F: Fn(M) -> Tapped<M> + Send + Sync + 'static> Tap<M> for F {
    fn on_send(&self, message: M) -> Tapped<M> {
        self(message)
    }
}

/// A tap of any message type, as kept by the builder.
pub(crate) type TapSlot = Arc<dyn Any + Send + Sync>;

/// The sending side of one edge.
pub struct Port<M: Message> {
    mailbox: Arc<Mailbox<<M::To as Role>::Inbox>>,
    edge: Arc<EdgeCounter>,
    tap: Option<Arc<dyn Tap<M>>>,
}

impl<M: Message> Port<M> {
    pub(crate) fn new(
        mailbox: Arc<Mailbox<<M::To as Role>::Inbox>>,
        edge: Arc<EdgeCounter>,
        tap: Option<TapSlot>,
    ) -> Self {
        let tap = tap.and_then(|slot| slot.downcast_ref::<Arc<dyn Tap<M>>>().cloned());
        Self { mailbox, edge, tap }
    }

    async fn put(
        &self,
        bytes: usize,
        inbox: <M::To as Role>::Inbox,
    ) -> Result<(), (<M::To as Role>::Inbox, RefusedReason)> {
        let inbox = match self.mailbox.try_send(inbox, bytes, M::LANE) {
            Ok(()) => {
                self.edge.sent.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err((inbox, RefusedReason::Full)) => inbox,
            Err(refused) => return Err(refused),
        };
        self.edge.waited.fetch_add(1, Ordering::Relaxed);
        match self.mailbox.reserve(bytes).await {
            Ok(permit) => permit.send(inbox, M::LANE).map_err(|inbox| (inbox, RefusedReason::Closed))?,
            Err(reason) => return Err((inbox, reason)),
        }
        self.edge.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl<M: Post> Port<M> {
    async fn send_one(&self, message: M) -> Result<(), SendError<M>> {
        self.put(message.bytes(), message.into_inbox()).await.map_err(|(inbox, reason)| back::<M>(inbox, reason))
    }

    pub(crate) async fn send(&self, message: M) -> Result<(), SendError<M>> {
        match &self.tap {
            None => self.send_one(message).await,
            Some(tap) => match tap.on_send(message) {
                Tapped::Pass(message) => self.send_one(message).await,
                Tapped::Drop => Ok(()),
                Tapped::Duplicate(first, second) => {
                    self.send_one(first).await?;
                    self.send_one(second).await
                }
            },
        }
    }

    /// Waits for a place on behalf of an outbox. The tap has seen the message already.
    fn deferred(&self, message: M) -> BoxFuture<()> {
        let (mailbox, edge) = (self.mailbox.clone(), self.edge.clone());
        Box::pin(async move {
            let bytes = message.bytes();
            if let Ok(permit) = mailbox.reserve(bytes).await {
                // A consumer that has ended takes nothing any more; the node is stopping then.
                if permit.send(message.into_inbox(), M::LANE).is_ok() {
                    edge.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    }

    fn cast_one(&self, message: M) -> Result<(), SendError<M>> {
        let bytes = message.bytes();
        match self.mailbox.cast(message.into_inbox(), bytes, M::LANE, M::name(), M::WHEN_FULL) {
            Ok(()) => {
                self.edge.sent.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err((inbox, reason)) => {
                self.edge.refused.fetch_add(1, Ordering::Relaxed);
                Err(back::<M>(inbox, reason))
            }
        }
    }

    pub(crate) fn cast(&self, message: M) -> Result<(), SendError<M>> {
        match &self.tap {
            None => self.cast_one(message),
            Some(tap) => match tap.on_send(message) {
                Tapped::Pass(message) => self.cast_one(message),
                Tapped::Drop => Ok(()),
                Tapped::Duplicate(first, second) => {
                    self.cast_one(first)?;
                    self.cast_one(second)
                }
            },
        }
    }
}

fn back<M: Post>(inbox: <M::To as Role>::Inbox, reason: RefusedReason) -> SendError<M> {
    let message = M::from_inbox(inbox).expect("a mailbox hands back the very message it refused");
    SendError { message, reason }
}

impl<M: Request> Port<M> {
    pub(crate) async fn ask(&self, message: M) -> Result<M::Answer, AskError> {
        let (name, to) = (M::name(), <M::To as Role>::NAME);
        let message = match &self.tap {
            None => message,
            Some(tap) => match tap.on_send(message) {
                Tapped::Pass(message) | Tapped::Duplicate(message, _) => message,
                Tapped::Drop => return Err(AskError::Dropped { message: name, by: "tap" }),
            },
        };
        let bytes = message.bytes();
        let (responder, reply) = Reply::channel(name, to);
        match self.put(bytes, message.into_inbox(responder)).await {
            Ok(()) => reply.await,
            Err((_, RefusedReason::TooLarge)) => Err(AskError::TooLarge { message: name, to, bytes }),
            Err(_) => Err(AskError::Closed { message: name, to }),
        }
    }
}

/// The sending side of a job or of somebody outside: only what `F` declared can be sent. Cheap to clone.
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

    /// Sends and waits while the consumer's queue is full.
    ///
    /// # Errors
    /// Hands the message back if the consumer has ended, or if the message can never fit.
    ///
    /// # Cancel safety
    /// A dropped send has put nothing into the queue; the message is lost with the future.
    pub async fn send<M, I>(&self, message: M) -> Result<(), SendError<M>>
    where
        M: Post + SentBy<F, Wait<M>, I>,
    {
        M::port(&self.ports).send(message).await
    }

    /// Sends a question and waits for its answer.
    ///
    /// # Errors
    /// If the consumer has ended or drops the question.
    ///
    /// # Cancel safety
    /// Dropping it abandons the question.
    pub async fn ask<M, I>(&self, message: M) -> Result<M::Answer, AskError>
    where
        M: Request + SentBy<F, Ask<M>, I>,
    {
        M::port(&self.ports).ask(message).await
    }

    /// A refused cast as work for an outbox.
    pub(crate) fn deferred<M, I>(&self, message: M) -> BoxFuture<()>
    where
        M: Post + SentBy<F, Cast<M>, I>,
    {
        M::port(&self.ports).deferred(message)
    }

    /// Sends without ever waiting; a full queue does what [`Message::WHEN_FULL`] says.
    ///
    /// # Errors
    /// Hands a refused message back.
    pub fn cast<M, I>(&self, message: M) -> Result<(), SendError<M>>
    where
        M: Post + SentBy<F, Cast<M>, I>,
    {
        M::port(&self.ports).cast(message)
    }
}
