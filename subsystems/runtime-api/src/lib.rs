//! Runtime API: what the chain's state says at a block.
//!
//! **Role**: the one door of all other subsystems to the runtime (RT-9). It spares the chain equal questions.
//!
//! **Step**: a service for all steps.
//!
//! **Receives**: the questions of [`messages::runtime_api`]; no heartbeat, for each question names its block.
//!
//! **Sends**: nothing; it calls the [`RuntimeClient`].
//!
//! **Invariants**: of equal questions in flight one reaches the chain, and its answer serves all. Every question is
//! answered, with its error if need be, also when the client panics or hangs. What is remembered is a function of the
//! block asked at; errors and submissions are never remembered.
//!
//! **Limits**: [`IN_FLIGHT_MAX`] calls, each for at most [`CALL_LIMIT`]; beyond that the queue fills and askers wait.
//! [`WAITING_MAX`] askers per answer. Caches: [`CACHED_BLOCKS`], [`CACHED_SMALL`], [`CACHED_CODES`],
//! [`CACHED_LARGE`].
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
use jobs::{Ending, Input, JobEnd, Jobs};
use messages::runtime_api::{Inbox, RuntimeApi};
use overseer::{Context, Event, Failure, Nothing, Responder, Subsystem};
use ports::{RuntimeClient, RuntimeError};

use state::{Asked, Table, Tables};
pub use state::{CACHED_BLOCKS, CACHED_CODES, CACHED_LARGE, CACHED_SMALL, WAITING_MAX};

/// Calls of the chain at once.
pub const IN_FLIGHT_MAX: usize = 256;
/// Time after which a call counts as unanswered.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// What a call does to the tables when it is over.
type Finish = Box<dyn FnOnce(&mut Tables) + Send>;

/// Answers questions about the chain's state, from memory where it can.
pub struct RuntimeApiSubsystem {
    client: Arc<dyn RuntimeClient>,
}

impl RuntimeApiSubsystem {
    /// In front of this client.
    pub fn new(client: Arc<dyn RuntimeClient>) -> Self {
        Self { client }
    }
}

impl Subsystem for RuntimeApiSubsystem {
    type Role = RuntimeApi;
    type View = Nothing;
    type Sends = ();
    type JobSends = ();

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let environment = context.environment().clone();
        let mut calls = Calls {
            client: self.client,
            tables: Tables::new(),
            jobs: Jobs::new(environment.clone(), IN_FLIGHT_MAX),
            environment,
        };
        calls.jobs.open((), Ending::UntilStop);
        loop {
            // With no room for another call the mailbox is left alone; calls end by their limit.
            let input = if calls.jobs.running() < IN_FLIGHT_MAX {
                jobs::next(&mut context, &mut calls.jobs).await
            } else {
                Input::Job(calls.jobs.next().await)
            };
            match input {
                Input::Job(end) => calls.finish(end),
                Input::Event(Event::Message(question)) => calls.dispatch(question),
                Input::Event(Event::Signal(never)) => match never {},
                Input::Event(Event::Conclude) => return Ok(()),
            }
        }
    }
}

struct Calls {
    client: Arc<dyn RuntimeClient>,
    tables: Tables,
    jobs: Jobs<(), Finish>,
    environment: Environment,
}

impl Calls {
    fn finish(&mut self, end: JobEnd<(), Finish>) {
        if let Some(((), finish)) = end.into_result() {
            finish(&mut self.tables);
        }
    }

    #[allow(clippy::too_many_lines, reason = "an arm per question")]
    fn dispatch(&mut self, question: Inbox) {
        match question {
            Inbox::GetSessionContext(q, reply) => {
                self.ask(|t| &mut t.sessions, q.at, reply, move |c| async move { c.session_context(q.at).await });
            }
            Inbox::GetAvailabilityCores(q, reply) => {
                let call = move |c: Client| async move { c.availability_cores(q.at).await.map(Arc::new) };
                self.ask(|t| &mut t.cores, q.at, reply, call);
            }
            Inbox::GetPersistedValidationData(q, reply) => {
                let key = (q.at, q.para_id, q.assumption as u8);
                let call =
                    move |c: Client| async move { c.persisted_validation_data(q.at, q.para_id, q.assumption).await };
                self.ask(|t| &mut t.validation_data, key, reply, call);
            }
            Inbox::GetValidationCode(q, reply) => {
                let key = (q.at, q.para_id, q.assumption as u8);
                let call = move |c: Client| async move { c.validation_code(q.at, q.para_id, q.assumption).await };
                self.ask(|t| &mut t.codes, key, reply, call);
            }
            Inbox::GetValidationCodeByHash(q, reply) => {
                let call = move |c: Client| async move { c.validation_code_by_hash(q.at, q.hash).await };
                self.ask(|t| &mut t.codes_by_hash, (q.at, q.hash), reply, call);
            }
            Inbox::GetCandidateEvents(q, reply) => {
                let call = move |c: Client| async move { c.candidate_events(q.at).await.map(Arc::new) };
                self.ask(|t| &mut t.events, q.at, reply, call);
            }
            Inbox::SubmitReport(q, reply) => {
                self.submit(reply, |client| async move { client.submit_report(q.report).await });
            }
            Inbox::SubmitTransaction(q, reply) => {
                self.submit(reply, |client| async move { client.submit_transaction(q.encoded).await });
            }
            Inbox::GetApiVersion(q, reply) => {
                self.ask(|t| &mut t.versions, q.at, reply, move |c| async move { c.api_version(q.at).await });
            }
            Inbox::GetSessionValidators(q, reply) => {
                let call = move |c: Client| async move {
                    c.session_validators(q.at, q.session).await.map(|validators| validators.map(Arc::new))
                };
                self.ask(|t| &mut t.session_validators, (q.at, q.session), reply, call);
            }
            Inbox::GetNextValidators(q, reply) => {
                let call = move |c: Client| async move { c.next_validators(q.at).await.map(Arc::new) };
                self.ask(|t| &mut t.next_validators, q.at, reply, call);
            }
            Inbox::GetParas(q, reply) => {
                let call = move |c: Client| async move { c.paras(q.at).await.map(Arc::new) };
                self.ask(|t| &mut t.paras, q.at, reply, call);
            }
            Inbox::GetParaHead(q, reply) => {
                let call = move |c: Client| async move { c.para_head(q.at, q.para_id).await };
                self.ask(|t| &mut t.heads, (q.at, q.para_id), reply, call);
            }
            Inbox::GetDownwardMessages(q, reply) => {
                let call = move |c: Client| async move { c.downward_messages(q.at, q.para_id).await.map(Arc::new) };
                self.ask(|t| &mut t.downward, (q.at, q.para_id), reply, call);
            }
            Inbox::GetInboundHorizontalMessages(q, reply) => {
                let call =
                    move |c: Client| async move { c.inbound_horizontal_messages(q.at, q.para_id).await.map(Arc::new) };
                self.ask(|t| &mut t.horizontal, (q.at, q.para_id), reply, call);
            }
            Inbox::GetCandidatePendingAvailability(q, reply) => {
                let call = move |c: Client| async move {
                    c.candidate_pending_availability(q.at, q.para_id).await.map(|pending| pending.map(Arc::new))
                };
                self.ask(|t| &mut t.pending, (q.at, q.para_id), reply, call);
            }
            Inbox::GetHistoricalValidationCode(q, reply) => {
                let key = (q.at, q.para_id, q.relay_parent_number);
                let call = move |c: Client| async move {
                    c.historical_validation_code(q.at, q.para_id, q.relay_parent_number).await
                };
                self.ask(|t| &mut t.historical_codes, key, reply, call);
            }
            Inbox::GetDisputes(q, reply) => {
                let call = move |c: Client| async move { c.disputes(q.at).await.map(Arc::new) };
                self.ask(|t| &mut t.disputes, q.at, reply, call);
            }
            Inbox::GetDisputeVotes(q, reply) => {
                let call = move |c: Client| async move {
                    c.dispute_votes(q.at, q.candidate).await.map(|votes| votes.map(Arc::new))
                };
                self.ask(|t| &mut t.dispute_votes, (q.at, q.candidate), reply, call);
            }
            Inbox::GetContestedCandidate(q, reply) => {
                let call = move |c: Client| async move {
                    c.contested_candidate(q.at, q.candidate).await.map(|receipt| receipt.map(Arc::new))
                };
                self.ask(|t| &mut t.contested, (q.at, q.candidate), reply, call);
            }
            Inbox::GetApprovalStatus(q, reply) => {
                let call = move |c: Client| async move { c.approval_status(q.at, q.candidate).await };
                self.ask(|t| &mut t.approvals, (q.at, q.candidate), reply, call);
            }
            Inbox::GetBlacklist(q, reply) => {
                let call = move |c: Client| async move { c.blacklist(q.at).await.map(Arc::new) };
                self.ask(|t| &mut t.blacklists, q.at, reply, call);
            }
            Inbox::GetReverts(q, reply) => {
                let call = move |c: Client| async move { c.reverts(q.at).await.map(Arc::new) };
                self.ask(|t| &mut t.reverts, q.at, reply, call);
            }
            Inbox::GetAccount(q, reply) => {
                let call = move |c: Client| async move { c.account(q.at, q.owner).await };
                self.ask(|t| &mut t.accounts, (q.at, q.owner), reply, call);
            }
            Inbox::GetFirstDisputedBlock(q, reply) => {
                let call = move |c: Client| async move { c.first_disputed_block(q.at).await };
                self.ask(|t| &mut t.first_disputed, q.at, reply, call);
            }
            Inbox::GetStateProof(q, reply) => {
                let key = (q.at, q.keys.clone());
                let call = move |c: Client| async move { c.state_proof(q.at, q.keys).await.map(Arc::new) };
                self.ask(|t| &mut t.proofs, key, reply, call);
            }
        }
    }

    /// A submission: never joined with another, and never remembered.
    fn submit<T, F>(&mut self, reply: Responder<Result<T, RuntimeError>>, call: impl FnOnce(Client) -> F)
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RuntimeError>> + Send + 'static,
    {
        let (call, environment) = (call(self.client.clone()), self.environment.clone());
        self.spawn("submit", async move {
            let result = guarded(&environment, call).await;
            // An asker who gave up needs no answer.
            let _ = reply.answer(result);
            Box::new(|_: &mut Tables| ()) as Finish
        });
    }

    fn ask<K, V, F>(
        &mut self,
        table: fn(&mut Tables) -> &mut Table<K, V>,
        key: K,
        reply: Responder<Result<V, RuntimeError>>,
        call: impl FnOnce(Client) -> F,
    ) where
        K: Ord + Clone + Send + 'static,
        V: Clone + Send + 'static,
        F: Future<Output = Result<V, RuntimeError>> + Send + 'static,
    {
        if table(&mut self.tables).ask(&key, reply) != Asked::Start {
            return;
        }
        let (call, environment) = (call(self.client.clone()), self.environment.clone());
        self.spawn("runtime-call", async move {
            let result = guarded(&environment, call).await;
            Box::new(move |tables: &mut Tables| table(tables).finish(&key, &result)) as Finish
        });
    }

    fn spawn(&mut self, name: &'static str, call: impl Future<Output = Finish> + Send + 'static) {
        self.jobs
            .spawn(&(), name, call)
            .expect("the scope never ends, and the loop takes questions only with room left");
    }
}

type Client = Arc<dyn RuntimeClient>;

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
