//! What comes next for a loop with jobs.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;

use overseer::message::Inbox;
use overseer::{Context, Event, Role, Subsystem};

use crate::{JobEnd, Jobs};

/// What comes next for a loop with jobs: see [`next`].
pub enum Input<S: Subsystem, K, T> {
    /// From the overseer.
    Event(Event<S>),
    /// From a job.
    Job(JobEnd<K, T>),
}

/// Ends of jobs that [`next`] gives in a row before it looks for an event.
pub const ENDS_IN_A_ROW_MAX: u32 = 16;

/// Waits for the next event or end of a job, whichever is there. Ends of jobs come first, however many messages are
/// queued; after [`ENDS_IN_A_ROW_MAX`] of them an event that is there does, and without one others on the worker run: a
/// loop that starts a job for each that ends hears its signals.
///
/// The end of a job is not ordered against signals: a scope that a signal ends while its result waits is what
/// [`Jobs::end_by_view`] takes care of.
///
/// # Cancel safety
/// Nothing is lost: as [`Context::recv`] and [`Jobs::next`].
pub async fn next<S, K, T>(context: &mut Context<S>, jobs: &mut Jobs<K, T>) -> Input<S, K, T>
where
    S: Subsystem,
    K: Ord + Clone + Send + 'static,
    T: Send + 'static,
{
    let mut event = pin!(context.recv());
    poll_fn(|cx| {
        if jobs.ends_in_a_row < ENDS_IN_A_ROW_MAX
            && let Poll::Ready(end) = jobs.poll_next(cx)
        {
            jobs.ends_in_a_row += 1;
            return Poll::Ready(Input::Job(end));
        }
        let row_is_over = std::mem::take(&mut jobs.ends_in_a_row) >= ENDS_IN_A_ROW_MAX;
        let event = event.as_mut().poll(cx);
        if row_is_over && event.is_pending() {
            cx.waker().wake_by_ref();
        }
        event.map(Input::Event)
    })
    .await
}

/// An inbox some of whose messages are worth nothing once their scope has ended; for [`next_scoped`].
pub trait Scoped<K> {
    /// The scope that this message goes with; `None` for one that is delivered whatever has ended.
    fn goes_with(&self) -> Option<K>;
}

/// Like [`next`], for an inbox that says which messages go with their scope. Before it waits, those of scopes that have
/// ended since leave the queue, so that their places and bytes are free at once and senders that wait for them go on;
/// what comes later is dropped when its turn comes. Both are counted in [`Jobs::late`] and never seen by the loop, and
/// the asker of a question among them gets [`AskError::Ended`](overseer::AskError::Ended) with the scope's `Debug`.
///
/// # Cancel safety
/// Nothing is lost but what is dropped on purpose.
pub async fn next_scoped<S, K, T>(context: &mut Context<S>, jobs: &mut Jobs<K, T>) -> Input<S, K, T>
where
    S: Subsystem,
    <S::Role as Role>::Inbox: Scoped<K>,
    K: Ord + Clone + std::fmt::Debug + Send + 'static,
    T: Send + 'static,
{
    loop {
        purge(context, jobs);
        match next(context, jobs).await {
            Input::Event(Event::Message(message)) => match message.goes_with() {
                Some(scope) if !jobs.is_open(&scope) => end(jobs, &scope, message),
                _ => return Input::Event(Event::Message(message)),
            },
            input => return input,
        }
    }
}

/// What [`next_scoped`] does before it waits; for a loop that ends scopes and then does something long first. While a
/// signal waits nothing is taken: see [`Context::purge`]; it is made up for after that.
pub fn purge<S, K, T>(context: &mut Context<S>, jobs: &mut Jobs<K, T>)
where
    S: Subsystem,
    <S::Role as Role>::Inbox: Scoped<K>,
    K: Ord + Clone + std::fmt::Debug + Send + 'static,
    T: Send + 'static,
{
    if jobs.ended.is_empty() {
        return;
    }
    let is_gone = |message: &<S::Role as Role>::Inbox| {
        message.goes_with().is_some_and(|scope| jobs.ended.contains(&scope) && !jobs.is_open(&scope))
    };
    let Some(gone) = context.purge(is_gone) else { return };
    jobs.ended.clear();
    for message in gone {
        if let Some(scope) = message.goes_with() {
            end(jobs, &scope, message);
        }
    }
}

fn end<K: Ord + Clone + std::fmt::Debug + Send + 'static, T: Send + 'static>(
    jobs: &mut Jobs<K, T>,
    scope: &K,
    message: impl Inbox,
) {
    jobs.count_late(message.message_name());
    message.end(&format!("{scope:?}"));
}
