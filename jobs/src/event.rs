//! What comes next for a loop with jobs.

use overseer::message::Inbox as _;
use overseer::{Context, Event, Role, Subsystem};

use crate::{JobEnd, Jobs};

/// What comes next for a loop with jobs: see [`next`].
pub enum Input<S: Subsystem, K, T> {
    /// From the overseer.
    Event(Event<S>),
    /// From a job.
    Job(JobEnd<K, T>),
}

/// Waits for the next event or end of a job, whichever is there; ends of jobs first, whose number is bounded.
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
    tokio::select! {
        biased;
        end = jobs.next() => Input::Job(end),
        event = context.recv() => Input::Event(event),
    }
}

/// An inbox some of whose messages are worth nothing once their scope has ended; for [`next_scoped`].
pub trait Scoped<K> {
    /// The scope that this message goes with; `None` for one that is delivered whatever has ended.
    fn goes_with(&self) -> Option<K>;
}

/// Like [`next`], for an inbox that says which messages go with their scope: those whose scope is not open are dropped
/// and counted in [`Jobs::late`], and never seen by the loop. A question among them is answered as dropped.
///
/// # Cancel safety
/// Nothing is lost but what is dropped on purpose.
pub async fn next_scoped<S, K, T>(context: &mut Context<S>, jobs: &mut Jobs<K, T>) -> Input<S, K, T>
where
    S: Subsystem,
    <S::Role as Role>::Inbox: Scoped<K>,
    K: Ord + Clone + Send + 'static,
    T: Send + 'static,
{
    loop {
        let input = next(context, jobs).await;
        let Input::Event(Event::Message(message)) = &input else { return input };
        match message.goes_with() {
            Some(scope) if !jobs.is_open(&scope) => jobs.count_late(message.message_name()),
            _ => return input,
        }
    }
}
