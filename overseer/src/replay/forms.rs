//! What can be put on a tape: bounds that only who asks for a recording has to fulfil.

use std::any::Any;
use std::fmt;
use std::task::{Context, Poll, Waker};

use super::tape::{Reel, Text, Value};
use crate::answer::AskError;
use crate::message::{Inbox, Post, Request, Role};
use crate::port::SendError;
use crate::signal::View;
use crate::subsystem::{Event, Subsystem};
use crate::wiring::{Ask, Cast, Declaration, SendList, Wait};

/// What a tape hands out again: everything with `Clone` and `Debug`. `W` has no meaning but that a declaration may
/// promise this of a type that turns out not to have it, as long as nobody asks.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be recorded: a tape hands it out again and shows it",
    label = "needs `Clone` and `Debug`"
)]
pub trait Taped<W>: Sized + Send + 'static {
    /// Another of the same.
    fn copy(&self) -> Self;
    /// In words.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<W, T: Clone + fmt::Debug + Send + 'static> Taped<W> for T {
    fn copy(&self) -> Self {
        self.clone()
    }
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt(f)
    }
}

/// What a tape compares: everything with `Debug`.
#[diagnostic::on_unimplemented(message = "`{Self}` cannot be recorded: a tape shows it", label = "needs `Debug`")]
pub trait Shown<W>: 'static {
    /// In words.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<W, T: fmt::Debug + 'static> Shown<W> for T {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt(f)
    }
}

/// Something of an unknown type, in words.
pub(crate) struct Words<'a, T: ?Sized>(pub(crate) &'a T, pub(crate) fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result);

impl<T: ?Sized> fmt::Display for Words<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1(self.0, f)
    }
}

/// A copy of what has this type.
pub(crate) fn copy_of<T: Clone + Send + 'static>(value: &dyn Any) -> Option<Value> {
    value.downcast_ref::<T>().map(|value| Box::new(value.clone()) as Value)
}

fn show_any<T: fmt::Debug + 'static>(value: &dyn Any, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    value.downcast_ref::<T>().map_or(Ok(()), |value| value.fmt(f))
}

/// How what goes through one port is shown, and how its answers are copied.
#[derive(Clone, Copy)]
pub struct SendForm {
    pub(crate) show: fn(&dyn Any, &mut fmt::Formatter<'_>) -> fmt::Result,
    pub(crate) show_answer: fn(&dyn Any, &mut fmt::Formatter<'_>) -> fmt::Result,
    pub(crate) copy_answer: fn(&dyn Any) -> Option<Value>,
}

impl SendForm {
    fn of_post<M: Post + fmt::Debug>() -> Self {
        Self { show: show_any::<M>, show_answer: show_any::<()>, copy_answer: copy_of::<()> }
    }
}

/// The form and the reel of one port.
pub(crate) struct PortTape {
    pub(crate) reel: Reel,
    pub(crate) form: SendForm,
}

impl PortTape {
    /// What the subsystem does with a message.
    pub(crate) fn text(&self, verb: &str, message: &dyn Any, to: &str) -> Text {
        Text::new(format_args!("{verb} {} to {to}", Words(message, self.form.show)))
    }

    /// The subsystem sends a message that is in the queue, or handed back, at once.
    pub(crate) fn send_at_once<M: Post>(
        &self,
        verb: &str,
        message: M,
        live: impl FnOnce(M) -> Result<(), SendError<M>>,
    ) -> Result<(), SendError<M>> {
        let text = self.text(verb, &message, <M::To as Role>::NAME);
        let mut message = Some(message);
        let (_, refused) = self.reel.act(text, |_| {
            let refused = live(message.take()?).err()?;
            message = Some(refused.message);
            Some(refused.reason)
        });
        refused.zip(message).map_or(Ok(()), |(reason, message)| Err(SendError { message, reason }))
    }
}

/// A declared send of something that can be recorded.
pub trait TapedSend: Declaration {
    /// How.
    #[doc(hidden)]
    fn form() -> SendForm;
}

impl<M: Post + fmt::Debug> TapedSend for Wait<M> {
    fn form() -> SendForm {
        SendForm::of_post::<M>()
    }
}

impl<M: Post + fmt::Debug> TapedSend for Cast<M> {
    fn form() -> SendForm {
        SendForm::of_post::<M>()
    }
}

impl<M: Request + fmt::Debug> TapedSend for Ask<M>
where
    M::Answer: Clone + fmt::Debug,
{
    fn form() -> SendForm {
        SendForm {
            show: show_any::<M>,
            show_answer: show_any::<Result<M::Answer, AskError>>,
            copy_answer: copy_of::<Result<M::Answer, AskError>>,
        }
    }
}

/// A [`SendList`] of which everything can be recorded.
pub trait TapedSends: SendList {
    /// Puts the ports on a reel.
    #[doc(hidden)]
    fn tape(ports: &mut Self::Ports, reel: &Reel);
}

/// An inbox of which everything can be recorded: implemented by [`inbox!`](crate::inbox!) for all whose messages have
/// `Clone` and `Debug`, and whose answers have `Debug`.
pub trait TapedInbox<W>: Inbox {
    /// Puts a received message on the tape.
    #[doc(hidden)]
    fn record(self, reel: &Reel) -> Self;
    /// Takes it from the event of this number.
    #[doc(hidden)]
    fn replay(value: &(dyn Any + Send), at: usize, reel: &Reel) -> Option<Self>;
}

impl Reel {
    #[doc(hidden)]
    pub fn received_message<W, M: Taped<W>>(&self, message: &M) -> usize {
        self.received(format_args!("receives {}", Words(message, M::show)), Box::new(message.copy()))
    }
}

/// A subsystem that can be recorded: its messages and those it sends have `Clone` and `Debug`, its answers `Debug`, the
/// answers that it gets both. Nothing has to be implemented.
pub trait Recordable: Subsystem {
    #[doc(hidden)]
    fn taping(reel: Reel) -> Taping<Self>;
}

impl<S: Subsystem> Recordable for S
where
    <S::Role as Role>::Inbox: TapedInbox<S>,
    S::Sends: TapedSends,
    S::JobSends: TapedSends,
{
    fn taping(reel: Reel) -> Taping<Self> {
        Taping {
            reel,
            ports: <S::Sends as TapedSends>::tape,
            jobs: <S::JobSends as TapedSends>::tape,
            record: <<S::Role as Role>::Inbox as TapedInbox<S>>::record,
            replay: <<S::Role as Role>::Inbox as TapedInbox<S>>::replay,
        }
    }
}

type InboxOf<S> = <<S as Subsystem>::Role as Role>::Inbox;

/// A reel, and how what crosses the context of `S` goes over it.
pub struct Taping<S: Subsystem> {
    pub(crate) reel: Reel,
    pub(crate) ports: fn(&mut <S::Sends as SendList>::Ports, &Reel),
    pub(crate) jobs: fn(&mut <S::JobSends as SendList>::Ports, &Reel),
    pub(crate) record: fn(InboxOf<S>, &Reel) -> InboxOf<S>,
    pub(crate) replay: fn(&(dyn Any + Send), usize, &Reel) -> Option<InboxOf<S>>,
}

/// A signal on a tape.
struct Heard<S: Subsystem>(<S::View as View>::Update);
/// The end on a tape.
struct Concluded;

impl<S: Subsystem> Taping<S> {
    /// Puts what is received on the tape.
    pub(crate) fn record(&self, event: Event<S>) -> Event<S> {
        match event {
            Event::Message(message) => Event::Message((self.record)(message, &self.reel)),
            Event::Signal(update) => {
                self.reel.received(format_args!("hears a signal"), Box::new(Heard::<S>(update.clone())));
                Event::Signal(update)
            }
            Event::Conclude => {
                self.reel.received(format_args!("is told to conclude"), Box::new(Concluded));
                Event::Conclude
            }
        }
    }

    /// What was received next, when its time has come.
    pub(crate) fn poll_replay(&self, cx: &mut Context<'_>) -> Poll<Event<S>> {
        self.reel.poll_received(cx, |value, at| {
            if value.is::<Concluded>() {
                return Some(Event::Conclude);
            }
            match value.downcast_ref::<Heard<S>>() {
                Some(Heard(update)) => Some(Event::Signal(update.clone())),
                None => (self.replay)(&**value, at, &self.reel).map(Event::Message),
            }
        })
    }

    /// What is taken out of the queue before its turn is received as well, one after the other.
    pub(crate) fn purge(&self, live: impl FnOnce() -> Option<Vec<InboxOf<S>>>) -> Option<Vec<InboxOf<S>>> {
        let mut gone = None;
        let (_, count) = self.reel.act(Text::new(format_args!("purges its queue")), |_| {
            gone = live();
            gone.as_ref().map(Vec::len)
        });
        if !self.reel.is_playing() {
            return Some(gone?.into_iter().map(|message| (self.record)(message, &self.reel)).collect());
        }
        let replayed = |_| match self.poll_replay(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Event::Message(message)) => Some(message),
            _ => None,
        };
        Some((0..count?).map_while(replayed).collect())
    }
}
