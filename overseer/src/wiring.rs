//! What a subsystem may send, as types: checked where it is wired and where it sends.
//!
//! A user writes [`Wait`], [`Ask`] and [`Cast`] in a tuple and meets the other names in compile errors: [`SentBy`] is
//! "not declared", [`HasSlot`] and [`FitsInto`] are "nobody consumes it", [`FromLoop`] and [`FromJobs`] say who.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use deterministic::Environment;

use crate::deadline::Wheel;
use crate::edge::EdgeRecord;
use crate::mailbox::{Mailbox, MailboxLimits};
use crate::message::{Message, Post, Request, Role, WhenFull};
use crate::node::BuildError;
use crate::port::{Desk, OnAnswer, Port, TapSlot};
use crate::replay::{Reel, TapedSend, TapedSends};
use crate::subsystem::{Screen, Subsystem};

/// Declares a send that waits while the consumer's queue is full: [`Context::send`](crate::Context::send),
/// [`Outlet::send`](crate::Outlet::send) and `reserve` of both.
///
/// A waiting edge: [`build`](crate::node::Builder::build) refuses a circle of them.
pub struct Wait<M>(PhantomData<fn() -> M>);
/// Declares a question, which waits for the queue and for the answer: [`Context::ask`](crate::Context::ask),
/// [`Outlet::ask`](crate::Outlet::ask).
///
/// A waiting edge to the consumer's loop and to its jobs, because either may answer.
pub struct Ask<M>(PhantomData<fn() -> M>);
/// Declares a send that never waits; the message says what happens when the queue is full
/// ([`Message::WHEN_FULL`]): [`Context::cast`](crate::Context::cast),
/// [`Outlet::cast`](crate::Outlet::cast).
///
/// Not a waiting edge: a cast is how a circle is broken.
pub struct Cast<M>(PhantomData<fn() -> M>);

/// How a send waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SendKind {
    /// For a place in the queue.
    Wait,
    /// For a place and for the answer.
    Ask,
    /// Not at all.
    Cast,
}

/// One declared send: [`Wait`], [`Ask`] or [`Cast`] of a message.
pub trait Declaration: 'static {
    /// The message.
    type Message: Message;
    /// How it is sent.
    const KIND: SendKind;
}

impl<M: Post> Declaration for Wait<M> {
    type Message = M;
    const KIND: SendKind = SendKind::Wait;
}
impl<M: Request> Declaration for Ask<M> {
    type Message = M;
    const KIND: SendKind = SendKind::Ask;
}
impl<M: Post> Declaration for Cast<M> {
    type Message = M;
    const KIND: SendKind = SendKind::Cast;
}

/// A declared send as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredSend {
    /// The message's name.
    pub message: &'static str,
    /// The consumer's role.
    pub to: &'static str,
    /// How it is sent.
    pub kind: SendKind,
    /// What a full queue does to a cast.
    pub when_full: Option<WhenFull>,
}

fn declared<D: Declaration>() -> DeclaredSend {
    DeclaredSend {
        message: <D::Message as Message>::name(),
        to: <<D::Message as Message>::To as Role>::NAME,
        kind: D::KIND,
        when_full: (D::KIND == SendKind::Cast).then_some(<D::Message as Message>::WHEN_FULL),
    }
}

/// All mailboxes of a node by role, while its ports are connected. The framework's own.
pub struct Switchboard {
    pub(crate) mailboxes: BTreeMap<TypeId, Box<dyn Any + Send + Sync>>,
    pub(crate) taps: BTreeMap<(&'static str, TypeId), TapSlot>,
    pub(crate) edges: Vec<Arc<EdgeRecord>>,
    pub(crate) desks: BTreeMap<&'static str, Arc<Desk>>,
    pub(crate) environment: Environment,
    pub(crate) on_answer: Option<OnAnswer>,
    /// Of wrapped slots, by role.
    pub(crate) screens: BTreeMap<&'static str, Box<dyn Any + Send>>,
    pub(crate) concluding: Arc<AtomicBool>,
    /// The limits of mailboxes made for consumers that are not there; `None`: they have to be there.
    alone: Option<MailboxLimits>,
}

impl Switchboard {
    pub(crate) fn new(environment: Environment) -> Self {
        Self {
            mailboxes: BTreeMap::new(),
            taps: BTreeMap::new(),
            edges: Vec::new(),
            desks: BTreeMap::new(),
            environment,
            on_answer: None,
            screens: BTreeMap::new(),
            concluding: Arc::default(),
            alone: None,
        }
    }

    /// One that makes a mailbox, which nobody reads, for each consumer.
    pub(crate) fn alone(environment: Environment, limits: MailboxLimits) -> Self {
        Self { alone: Some(limits), ..Self::new(environment) }
    }

    /// What messages to this role go through, if its slot was wrapped.
    pub(crate) fn screen<R: Role>(&self) -> Option<Screen<R>> {
        self.screens.get(R::NAME)?.downcast_ref::<Screen<R>>().cloned()
    }

    fn connect<D: Declaration>(&mut self, from: &'static str, origin: Origin) -> Result<Port<D::Message>, BuildError> {
        type To<D> = <<D as Declaration>::Message as Message>::To;
        if let Some(limits) = self.alone {
            let make = || -> Box<dyn Any + Send + Sync> {
                Box::new(Arc::new(Mailbox::<<To<D> as Role>::Inbox>::new(limits, None)))
            };
            self.mailboxes.entry(TypeId::of::<To<D>>()).or_insert_with(make);
        }
        let mailbox = self
            .mailboxes
            .get(&TypeId::of::<To<D>>())
            .and_then(|mailbox| mailbox.downcast_ref::<Arc<Mailbox<<To<D> as Role>::Inbox>>>())
            .ok_or(BuildError::NoConsumer { from, message: D::Message::name(), to: <To<D> as Role>::NAME })?;
        let declared = declared::<D>();
        let known = |edge: &&Arc<EdgeRecord>| (edge.from, edge.origin, edge.declared) == (from, origin, declared);
        let edge = match self.edges.iter().find(known) {
            // Somebody outside who takes a second outlet is one sender all the same.
            Some(edge) => edge.clone(),
            None => {
                let edge = Arc::new(EdgeRecord::new(from, origin, declared, mailbox.clone()));
                self.edges.push(edge.clone());
                edge
            }
        };
        let desk = self.desks.entry(from).or_insert_with(|| {
            let environment = self.environment.clone();
            let (wheel, on_answer) = (Arc::new(Wheel::new(environment.clone())), self.on_answer.clone());
            Arc::new(Desk { on_answer, environment, wheel, concluding: self.concluding.clone() })
        });
        let tap = self.taps.get(&(from, TypeId::of::<D::Message>())).cloned();
        Ok(Port::new(mailbox.clone(), edge, desk.clone(), tap))
    }
}

/// From where in the sender a message is sent: two nodes of the waiting graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Its loop.
    Loop,
    /// Its jobs.
    Jobs,
    /// Not a subsystem: a block author, an operator's request, a test.
    Outside,
}

/// A tuple of up to 16 [`Declaration`]s: the `Sends` of a subsystem or of somebody outside.
///
/// A subsystem that sends more messages than that is two subsystems.
pub trait SendList: 'static {
    /// One port per declaration.
    type Ports: Send + Sync + 'static;
    /// The declarations as data.
    fn declared() -> Vec<DeclaredSend>;
    /// Connects the ports.
    #[doc(hidden)]
    fn connect(switchboard: &mut Switchboard, from: &'static str, origin: Origin) -> Result<Self::Ports, BuildError>;
}

/// The position of a declaration in a [`SendList`]; inferred.
pub struct At<const INDEX: usize>;

/// A [`SendList`] that contains the declaration `D` at the position `I`.
pub trait Contains<D: Declaration, I>: SendList {
    /// Its port.
    #[doc(hidden)]
    fn port(ports: &Self::Ports) -> &Port<D::Message>;
}

/// Every message of this [`SendList`] of the sender `F` has a consumer in the node `N`.
pub trait FitsInto<N, F>: SendList {}

/// The node consumes the message `M` of the sender `F`.
#[diagnostic::on_unimplemented(
    message = "`{F}` sends `{M}`, which nobody in node `{Self}` consumes",
    label = "sends `{M}`",
    note = "add a slot for the role that consumes `{M}` to the node's wiring"
)]
pub trait Consumes<M, F> {}

#[diagnostic::do_not_recommend]
impl<N, M: Message, F> Consumes<M, F> for N where N: HasSlot<M::To> {}

/// The node has a slot for the role `R`: declared by [`node!`](crate::node!).
#[diagnostic::on_unimplemented(
    message = "node `{Self}` has no slot for role `{R}`: nobody would consume messages to it",
    label = "add a slot for `{R}` in the node's wiring"
)]
pub trait HasSlot<R: Role> {}

macro_rules! send_lists {
    ($( ( $($d:ident $index:tt),* ) )*) => { $( send_lists!(@one $($d $index),*); )* };
    (@one $($d:ident $index:tt),*) => {
        impl<$($d: Declaration),*> SendList for ($($d,)*) {
            type Ports = ($(Port<$d::Message>,)*);
            fn declared() -> Vec<DeclaredSend> { vec![$(declared::<$d>()),*] }
            #[allow(unused_variables, reason = "the empty list connects nothing")]
            fn connect(
                switchboard: &mut Switchboard,
                from: &'static str,
                origin: Origin,
            ) -> Result<Self::Ports, BuildError> {
                Ok(($(switchboard.connect::<$d>(from, origin)?,)*))
            }
        }
        impl<Node, From, $($d: Declaration),*> FitsInto<Node, From> for ($($d,)*)
        where $(Node: Consumes<$d::Message, From>),* {}
        impl<$($d: TapedSend),*> TapedSends for ($($d,)*) {
            #[allow(unused_variables, reason = "the empty list records nothing")]
            fn tape(ports: &mut Self::Ports, reel: &Reel) { $( ports.$index.tape(reel, $d::form()); )* }
        }
        send_lists!(@contains ($($d),*) $($d $index),*);
    };
    (@contains $all:tt $($d:ident $index:tt),*) => { $( send_lists!(@position $all $d $index); )* };
    (@position ($($all:ident),*) $d:ident $index:tt) => {
        impl<$($all: Declaration),*> Contains<$d, At<$index>> for ($($all,)*) {
            fn port(ports: &Self::Ports) -> &Port<$d::Message> { &ports.$index }
        }
    };
}

send_lists! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, J 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, J 8, K 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, J 8, K 9, L 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, J 8, K 9, L 10, M 11)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, J 8, K 9, L 10, M 11, O 12)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, J 8, K 9, L 10, M 11, O 12, P 13)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, J 8, K 9, L 10, M 11, O 12, P 13, Q 14)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, J 8, K 9, L 10, M 11, O 12, P 13, Q 14, R 15)
}

/// Somebody who sends: a subsystem's [loop](FromLoop), its [jobs](FromJobs), or somebody [outside](crate::Outside).
pub trait Sender: 'static {
    /// What it declared.
    type Sends: SendList;
}

/// The loop of subsystem `S` as a sender.
pub struct FromLoop<S>(PhantomData<fn() -> S>);
/// The jobs of subsystem `S` as a sender.
pub struct FromJobs<S>(PhantomData<fn() -> S>);

impl<S: Subsystem> Sender for FromLoop<S> {
    type Sends = S::Sends;
}
impl<S: Subsystem> Sender for FromJobs<S> {
    type Sends = S::JobSends;
}

/// `F` declared that it sends this message in the way `D`.
#[diagnostic::on_unimplemented(
    message = "`{F}` does not declare that it sends `{Self}`",
    label = "not declared",
    note = "add `{D}` to its `Sends` (or `JobSends` for jobs)"
)]
pub trait SentBy<F: Sender, D, I>: Message {
    /// The port it goes through.
    #[doc(hidden)]
    fn port(ports: &<F::Sends as SendList>::Ports) -> &Port<Self>;
}

#[diagnostic::do_not_recommend]
impl<M, F, D, I> SentBy<F, D, I> for M
where
    M: Message,
    F: Sender,
    D: Declaration<Message = M>,
    F::Sends: Contains<D, I>,
{
    fn port(ports: &<F::Sends as SendList>::Ports) -> &Port<Self> {
        <F::Sends as Contains<D, I>>::port(ports)
    }
}
