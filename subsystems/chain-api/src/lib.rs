//! Chain API: the block tree's headers, ancestors and last finalized block.
//!
//! **Role**: the one door of all other subsystems to the block tree. It spares the chain equal questions.
//!
//! **Step**: a service for all steps.
//!
//! **Receives**: the questions of [`messages::chain_api`]; no heartbeat, for each question names its block.
//!
//! **Sends**: nothing; it calls the [`RuntimeClient`].
//!
//! **Invariants**: of equal questions for a header in flight one reaches the chain. Every question is answered, with its
//! error if need be, also when the client panics or hangs. Only headers are remembered, which never change; the last
//! finalized block is asked each time, so that no answer is older than its question.
//!
//! **Limits**: [`IN_FLIGHT_MAX`] calls, each for at most [`CALL_LIMIT`]; beyond that the queue fills and askers wait.
//! [`ANCESTORS_MAX`] ancestors per question, [`CACHED_HEADERS`] headers, [`WAITING_MAX`] askers per header.
//!
//! **Conclude**: returns at once; calls in flight are dropped, their askers told so.

#![forbid(unsafe_code)]

mod state;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use deterministic::Environment;
use futures::FutureExt as _;
use jobs::{Ending, Input, Jobs};
use messages::chain_api::{ANCESTORS_MAX, ChainApi, Inbox};
use overseer::{Context, Event, Failure, Nothing, Subsystem};
use ports::{RuntimeClient, RuntimeError};
use primitives::{Hash, Header};

pub use state::{CACHED_HEADERS, WAITING_MAX};
use state::{Headers, Walk};

/// Calls of the chain at once; a walk counts as one.
pub const IN_FLIGHT_MAX: usize = 128;
/// Time after which a call counts as unanswered.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// What a call brought.
enum Finished {
    /// A header that was asked for, or why there is none.
    Header(Hash, Result<Header, RuntimeError>),
    /// Headers met on the way.
    Walked(Vec<(Hash, Header)>),
}

/// Answers questions about the block tree, from memory where it can.
pub struct ChainApiSubsystem {
    client: Arc<dyn RuntimeClient>,
}

impl ChainApiSubsystem {
    /// In front of this client.
    pub fn new(client: Arc<dyn RuntimeClient>) -> Self {
        Self { client }
    }
}

impl Subsystem for ChainApiSubsystem {
    type Role = ChainApi;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let environment = context.environment().clone();
        let jobs = Jobs::new(environment.clone(), IN_FLIGHT_MAX);
        let mut calls = Calls { client: self.client, headers: Headers::default(), jobs, environment };
        calls.jobs.open((), Ending::UntilStop);
        loop {
            // With no room for another call the mailbox is left alone; calls end by their limit.
            let input = if calls.jobs.running() < IN_FLIGHT_MAX {
                jobs::next(&mut context, &mut calls.jobs).await
            } else {
                Input::Job(calls.jobs.next().await)
            };
            match input {
                Input::Job(end) => match end.into_result() {
                    Some(((), Finished::Header(hash, result))) => calls.headers.finish(hash, &result),
                    Some(((), Finished::Walked(met))) => {
                        met.into_iter().for_each(|(hash, header)| calls.headers.remember(hash, header));
                    }
                    None => {}
                },
                Input::Event(Event::Message(question)) => calls.dispatch(question),
                Input::Event(Event::Signal(never)) => match never {},
                Input::Event(Event::Conclude) => return Ok(()),
            }
        }
    }
}

struct Calls {
    client: Arc<dyn RuntimeClient>,
    headers: Headers,
    jobs: Jobs<(), Finished>,
    environment: Environment,
}

impl Calls {
    fn dispatch(&mut self, question: Inbox) {
        let (client, environment) = (self.client.clone(), self.environment.clone());
        match question {
            Inbox::GetHeader(question, reply) => {
                let hash = question.hash;
                if self.headers.ask(hash, reply) {
                    self.spawn("header", async move {
                        Finished::Header(hash, guarded(&environment, client.header(hash)).await)
                    });
                }
            }
            Inbox::GetAncestors(question, reply) => {
                let mut walk = Walk::new(question.hash, question.count.min(ANCESTORS_MAX) as usize);
                self.headers.walk(&mut walk);
                if walk.over {
                    // An asker who gave up needs no answer; so below.
                    let _ = reply.answer(Ok(walk.found));
                    return;
                }
                self.spawn("ancestors", async move {
                    let mut met = Vec::new();
                    let result = guarded(&environment, follow(&*client, walk, &mut met)).await;
                    let _ = reply.answer(result);
                    Finished::Walked(met)
                });
            }
            Inbox::GetFinalized(_, reply) => self.spawn("finalized", async move {
                let _ = reply.answer(guarded(&environment, client.finalized()).await);
                Finished::Walked(Vec::new())
            }),
        }
    }

    fn spawn(&mut self, name: &'static str, call: impl Future<Output = Finished> + Send + 'static) {
        self.jobs
            .spawn(&(), name, call)
            .expect("the scope never ends, and the loop takes questions only with room left");
    }
}

/// Goes on with a walk by asking the chain. Where it was pruned the walk ends with what was found; a first block that
/// is unknown is an error.
async fn follow(
    client: &dyn RuntimeClient,
    mut walk: Walk,
    met: &mut Vec<(Hash, Header)>,
) -> Result<Vec<Hash>, RuntimeError> {
    while !walk.over {
        let at = walk.at;
        match client.header(at).await {
            Ok(header) => {
                walk.step(&header);
                met.push((at, header));
            }
            Err(RuntimeError::UnknownBlock(_) | RuntimeError::Pruned(_)) if !walk.found.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(walk.found)
}

/// The call's result; a panic or a hanging call becomes an error, so that its askers hear of it.
async fn guarded<T>(
    environment: &Environment,
    call: impl Future<Output = Result<T, RuntimeError>> + Send,
) -> Result<T, RuntimeError> {
    let call = AssertUnwindSafe(call).catch_unwind();
    match deterministic::timeout(&*environment.clock, CALL_LIMIT, call).await {
        Some(Ok(result)) => result,
        Some(Err(_)) => {
            tracing::error!("runtime client panicked");
            Err(RuntimeError::Unreachable("runtime client panicked".to_owned()))
        }
        None => Err(RuntimeError::Unreachable(format!("no answer within {} s", CALL_LIMIT.as_secs()))),
    }
}
