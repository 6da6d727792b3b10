//! Messages, roles and inboxes: what subsystems say to each other, apart from any implementation.
//!
//! All of it is declared with [`inbox!`](crate::inbox!); the traits here are what that writes for you.

use std::sync::Arc;
use std::time::Duration;

use crate::answer::Responder;

#[doc(hidden)]
pub use crate::edge::EdgeRecord;
pub use overseer_core::mailbox::{Lane, WhenFull};

/// A place in the program that consumes messages: the interface of a subsystem, apart from any implementation.
///
/// Declared by [`inbox!`](crate::inbox!), one per consumer. A node has exactly one slot per role, and a message stands in
/// one inbox, so that two consumers of one message cannot be written down: the compiler names the role that has two slots,
/// or the message that stands in two inboxes, and shows these.
pub trait Role: Sized + 'static {
    /// Everything that can arrive here, as one enum.
    type Inbox: Inbox;
    /// The name in topologies, logs and metrics, such as `candidate-backing`.
    const NAME: &'static str;
}

/// What a role receives: an enum with one variant per message, implemented by [`inbox!`](crate::inbox!).
pub trait Inbox: Sized + Send + 'static {
    /// Folds `newer` into a queued message where [`Message::merge`] allows it, else hands it back.
    fn merge(&mut self, newer: Self) -> Option<Self>;
    /// The memory held by the message inside, as [`Message::bytes`] counts it.
    fn bytes(&self) -> usize;
    /// The name of the message inside.
    fn message_name(&self) -> &'static str;
    /// Drops the message because what it is about has ended; a question's asker is told so, with the name of that.
    fn end(self, scope: &str);
    /// The names of all messages that can arrive.
    fn messages() -> &'static [&'static str];
}

/// A value that one subsystem says to another. One type per message; its consumer is part of the type.
///
/// [`inbox!`](crate::inbox!) implements it; what stands here with a default can be overridden there, in braces behind
/// the message.
///
/// # Examples
/// ```
/// use overseer::{Message as _, WhenFull};
/// pub struct Price { pub of: u32, pub value: u64 }
/// overseer::inbox! {
///     pub enum Inbox for Board as "board" {
///         tell {
///             Price {
///                 // The newest of each thing is enough; up to 100 things beyond a full queue.
///                 const WHEN_FULL: WhenFull = WhenFull::Merged(100);
///                 fn merge(&mut self, newer: Self) -> Option<Self> {
///                     if self.of != newer.of {
///                         return Some(newer);
///                     }
///                     *self = newer;
///                     None
///                 }
///             }
///         }
///     }
/// }
/// assert_eq!(Price::name(), "Price");
/// ```
pub trait Message: Sized + Send + 'static {
    /// Who consumes it.
    type To: Role;

    /// What happens to a cast of this message when the queue is full. Waiting sends ignore it. Never
    /// [`Lossy`](WhenFull::Lossy) for what carries a signature of ours.
    const WHEN_FULL: WhenFull = WhenFull::Lossy;

    /// Which lane of the mailbox it takes. Order is kept within a lane, and against signals in both.
    const LANE: Lane = Lane::Normal;

    /// For a question: how long its asker waits for the answer; then it fails with
    /// [`AskError::TimedOut`](crate::AskError::TimedOut). `None` waits until the question is answered or dropped.
    ///
    /// It is for a bound that belongs to the question, whoever asks and whatever for: an answer that is worth nothing
    /// later. It runs from the first poll of the question, also while that waits for its place in the queue. A bound that
    /// is the asker's own, because others ask with more patience or because it holds for several steps together, is a
    /// timer around the asker's future.
    const ANSWER_WITHIN: Option<Duration> = None;

    /// Memory held by this message, in bytes, for the mailbox's byte limit
    /// ([`MailboxLimits::bytes`](crate::mailbox::MailboxLimits::bytes)). Override it where the message owns heap data;
    /// it is read when the message is sent, and when another is [merged](Self::merge) into it.
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }

    /// For [`WhenFull::Merged`]: folds a newer message with the same key into this queued one and returns `None`; hands
    /// `newer` back if the keys differ. The queued one then counts as its [`bytes`](Self::bytes) of that moment. It is
    /// called under the lock of the consumer's mailbox, so it should be quick and send nothing.
    ///
    /// # Panics
    /// A panic in it is the caster's; the newer message is lost, the queued one is as it was left.
    fn merge(&mut self, newer: Self) -> Option<Self> {
        Some(newer)
    }

    /// The name in topologies, logs and metrics: the type's own.
    fn name() -> &'static str {
        short_type_name::<Self>()
    }
}

/// A message without an answer: what can be sent and cast. Those under `tell` in [`inbox!`](crate::inbox!).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent or cast: it is a question, or no message",
    label = "not under `tell` of any inbox",
    note = "a question is declared and sent as `overseer::Ask<{Self}>`"
)]
pub trait Post: Message {
    /// Puts the message into its consumer's inbox type.
    fn into_inbox(self) -> <Self::To as Role>::Inbox;
    /// Takes it back out; `None` if it is another message.
    fn from_inbox(inbox: <Self::To as Role>::Inbox) -> Option<Self>;
}

/// A message with exactly one answer: what can be asked. Those under `ask` in [`inbox!`](crate::inbox!).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be asked: it has no answer, or is no message",
    label = "not under `ask` of any inbox",
    note = "what has no answer is declared and sent as `overseer::Wait<{Self}>` or `overseer::Cast<{Self}>`"
)]
pub trait Request: Message {
    /// The answer. For many values [`Feed`](crate::Feed) or [`Watch`](crate::Watch).
    type Answer: Send + 'static;
    /// Puts the message and the way back into its consumer's inbox type.
    fn into_inbox(self, responder: Responder<Self::Answer>) -> <Self::To as Role>::Inbox;
    /// Takes the message back out, without the way back; `None` if it is another message.
    fn from_inbox(inbox: <Self::To as Role>::Inbox) -> Option<Self>;
    /// Counts an answer that is a feed.
    #[doc(hidden)]
    fn arrived(answer: Self::Answer, _edge: &Arc<EdgeRecord>) -> Self::Answer {
        answer
    }
}

/// The last segment of a type's path, without generic arguments.
pub(crate) fn short_type_name<T: ?Sized>() -> &'static str {
    let full = std::any::type_name::<T>();
    let base = full.split('<').next().unwrap_or(full);
    base.rsplit("::").next().unwrap_or(base)
}

/// Declares a role and its inbox: which messages are told, which are asked.
///
/// It makes the role (an empty type, here `Counter`), the inbox (here `Inbox::Add(Add)` and `Inbox::Total(Total,
/// Responder<u64>)`), and implements [`Message`](crate::Message) for each message, so that a message can stand in one
/// inbox only. Either list may be missing, and both for one that hears signals only. The string is the name in
/// topologies, logs and metrics.
///
/// # Examples
/// ```
/// pub struct Add(pub u64);
/// pub struct Total;
///
/// overseer::inbox! {
///     /// What the counter hears.
///     pub enum Inbox for Counter as "counter" {
///         tell { Add }
///         ask { Total -> u64 }
///     }
/// }
/// ```
///
/// Items of [`Message`](crate::Message) can be overridden in braces behind a message:
/// `tell { Add { const WHEN_FULL: overseer::WhenFull = overseer::WhenFull::Budgeted(4); } }`.
#[macro_export]
macro_rules! inbox {
    (
        $(#[$meta:meta])*
        $vis:vis enum $inbox:ident for $role:ident as $name:literal {
            $(tell { $( $tell:ident $({ $($tell_items:tt)* })? ),* $(,)? })?
            $(ask { $( $ask:ident -> $answer:ty $({ $($ask_items:tt)* })? ),* $(,)? })?
        }
    ) => {
        #[doc = concat!("The role `", $name, "`.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis enum $role {}

        impl $crate::Role for $role {
            type Inbox = $inbox;
            const NAME: &'static str = $name;
        }

        $(#[$meta])*
        $vis enum $inbox {
            $($(#[doc = concat!("A [`", stringify!($tell), "`].")] $tell($tell),)*)?
            $($(
                #[doc = concat!("A [`", stringify!($ask), "`] and the way back.")]
                $ask($ask, $crate::Responder<$answer>),
            )*)?
        }

        impl $crate::message::Inbox for $inbox {
            #[allow(unreachable_patterns, unused_variables, reason = "an inbox may have one message or none")]
            fn merge(&mut self, newer: Self) -> ::core::option::Option<Self> {
                match (self, newer) {
                    $($((Self::$tell(queued), Self::$tell(newer)) => {
                        $crate::Message::merge(queued, newer).map(Self::$tell)
                    })*)?
                    (_, newer) => ::core::option::Option::Some(newer),
                }
            }

            fn bytes(&self) -> usize {
                match *self {
                    $($( Self::$tell(ref message) => $crate::Message::bytes(message), )*)?
                    $($( Self::$ask(ref message, _) => $crate::Message::bytes(message), )*)?
                }
            }

            #[allow(unused_variables, reason = "an inbox may have no questions")]
            fn end(self, scope: &str) {
                match self {
                    $($( Self::$tell(_) => {} )*)?
                    $($( Self::$ask(_, responder) => responder.end(scope), )*)?
                }
            }

            fn messages() -> &'static [&'static str] {
                &[$($( stringify!($tell), )*)? $($( stringify!($ask), )*)?]
            }

            fn message_name(&self) -> &'static str {
                match *self {
                    $($( Self::$tell(_) => stringify!($tell), )*)?
                    $($( Self::$ask(..) => stringify!($ask), )*)?
                }
            }
        }

        impl<W> $crate::replay::TapedInbox<W> for $inbox
        where
            $($( $tell: $crate::replay::Taped<W>, )*)?
            $($( $ask: $crate::replay::Taped<W>, $answer: $crate::replay::Shown<W>, )*)?
        {
            #[allow(unused_variables, reason = "an inbox may have no message")]
            fn record(self, reel: &$crate::replay::Reel) -> Self {
                match self {
                    $($( Self::$tell(message) => {
                        reel.received_message::<W, $tell>(&message);
                        Self::$tell(message)
                    } )*)?
                    $($( Self::$ask(message, responder) => {
                        let at = reel.received_message::<W, $ask>(&message);
                        Self::$ask(message, responder.witnessed::<W>(reel, stringify!($ask), at))
                    } )*)?
                }
            }

            #[allow(unused_variables, reason = "an inbox may have no message")]
            fn replay(
                value: &(dyn ::core::any::Any + ::core::marker::Send),
                at: usize,
                reel: &$crate::replay::Reel,
            ) -> ::core::option::Option<Self> {
                $($( if let Some(message) = value.downcast_ref::<$tell>() {
                    return Some(Self::$tell($crate::replay::Taped::<W>::copy(message)));
                } )*)?
                $($( if let Some(message) = value.downcast_ref::<$ask>() {
                    let responder = $crate::Responder::replayed::<W>(reel, stringify!($ask), at);
                    return Some(Self::$ask($crate::replay::Taped::<W>::copy(message), responder));
                } )*)?
                None
            }
        }

        $($(
            impl $crate::Message for $tell {
                type To = $role;
                $($($tell_items)*)?
            }
            impl $crate::message::Post for $tell {
                fn into_inbox(self) -> $inbox { $inbox::$tell(self) }
                #[allow(unreachable_patterns, reason = "an inbox may have one message")]
                fn from_inbox(inbox: $inbox) -> ::core::option::Option<Self> {
                    match inbox { $inbox::$tell(message) => Some(message), _ => None }
                }
            }
        )*)?

        $($(
            impl $crate::Message for $ask {
                type To = $role;
                $($($ask_items)*)?
            }
            impl $crate::Request for $ask {
                type Answer = $answer;
                fn into_inbox(self, responder: $crate::Responder<$answer>) -> $inbox {
                    $inbox::$ask(self, responder)
                }
                #[allow(unreachable_patterns, reason = "an inbox may have one message")]
                fn from_inbox(inbox: $inbox) -> ::core::option::Option<Self> {
                    match inbox { $inbox::$ask(message, _) => Some(message), _ => None }
                }
                fn arrived(mut answer: $answer, edge: &::std::sync::Arc<$crate::message::EdgeRecord>) -> $answer {
                    #[allow(unused_imports, reason = "a feed has the function itself")]
                    use $crate::answer::Uncounted as _;
                    $crate::answer::Arrived(&mut answer, edge).count();
                    answer
                }
            }
        )*)?
    };
}
