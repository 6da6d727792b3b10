//! Proofs of misbehavior on their way to the chain.
//!
//! **Role**: takes what others noticed (a validator seconded twice, or contradicted itself, or validators disagree on a
//! candidate), checks every signature itself, and hands what is proved to the chain, once (seed 001, Misbehavior
//! Arbitration; MA-1). Disagreements, which prove nothing yet, are kept for disputes (MA-2).
//!
//! **Step**: 13 of a candidate's way, first half.
//!
//! **Receives**: `DoubleVote`, `SelfContradiction`, `CandidateValidityDisagreement`; the heartbeat.
//!
//! **Sends**: nothing from its loop. Its jobs ask runtime-api for the session of a relay parent and to `SubmitReport`.
//!
//! **Invariants**: nothing is submitted whose two signatures this crate has not checked against the session's keys. One
//! report per session, validator and contradiction; one that failed may come again. A job outlives its relay parent, for a
//! contradiction stays one on every fork, but not its time limit. A validator that contradicts itself within a
//! disagreement is accused of that as well.
//!
//! **Limits**: see [`limits`]: jobs, reports remembered, disagreements in all and per accuser, attempts.
//!
//! **Conclude**: returns at once; a report not yet submitted is lost here, other nodes have it too.

#![forbid(unsafe_code)]

pub mod limits;
pub mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use deterministic::{ComputeError, ComputeKind, Environment, compute};
use jobs::{Ending, Input, Jobs, Outcome};
use messages::RelayParents;
use messages::misbehavior_arbitration::{CandidateValidityDisagreement, Inbox, MisbehaviorArbitration};
use messages::runtime_api::{GetSessionContext, SubmitReport};
use overseer::{Ask, Context, Event, Failure, Outlet, Subsystem};
use ports::{RuntimeError, SessionContext};
use primitives::{Hash, MisbehaviorReport, SignedFullStatement, SigningContext};

use crate::limits::{JOB_TIME_MAX_MS, JOBS_MAX, RETRY_MS, SESSION_ATTEMPTS, STATEMENTS_MAX, SUBMIT_ATTEMPTS};
use crate::state::{Accusation, AccusationError, AccusationKey, CheckedDisagreement, State};

/// The subsystem; see the crate's header.
#[derive(Default)]
pub struct MisbehaviorArbitrationSubsystem {
    state: State,
    next_disagreement: u64,
}

/// What a job works for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Accusation(AccusationKey),
    Disagreement(u64),
}

/// What jobs bring back.
enum JobResult {
    Accusation(Result<(), AccusationError>),
    Disagreement(Option<Box<CheckedDisagreement>>),
}

type Work = Jobs<Scope, JobResult>;
type JobOutlet = Outlet<overseer::wiring::FromJobs<MisbehaviorArbitrationSubsystem>>;

impl MisbehaviorArbitrationSubsystem {
    /// It needs nothing but what its context has.
    pub fn new() -> Self {
        Self::default()
    }

    fn accuse(&mut self, context: &Context<Self>, jobs: &mut Work, relay_parent: Hash, report: MisbehaviorReport) {
        match self.state.accuse(relay_parent, report) {
            Ok(None) => {}
            Ok(Some(accusation)) => {
                let key = accusation.key;
                let work = submit(context.jobs(), context.environment().clone(), accusation);
                if !spawn(jobs, Scope::Accusation(key), "report", async { JobResult::Accusation(work.await) }) {
                    self.state.failed(&key);
                }
            }
            Err(error) => tracing::warn!(%error, "accusation refused"),
        }
    }

    fn disagree(&mut self, context: &Context<Self>, jobs: &mut Work, message: CandidateValidityDisagreement) {
        let scope = Scope::Disagreement(self.next_disagreement);
        self.next_disagreement += 1;
        let work = check(context.jobs(), context.environment().clone(), message);
        spawn(jobs, scope, "disagreement", async { JobResult::Disagreement(work.await) });
    }

    fn ended(&mut self, context: &Context<Self>, jobs: &mut Work, scope: Scope, outcome: Option<JobResult>) {
        match (scope, outcome) {
            (Scope::Accusation(key), Some(JobResult::Accusation(Ok(())))) => {
                tracing::info!(session = key.0, validator = %key.1, kind = ?key.2, "misbehavior reported");
            }
            (Scope::Accusation(key), outcome) => {
                if let Some(JobResult::Accusation(Err(error))) = outcome {
                    tracing::warn!(session = key.0, validator = %key.1, %error, "misbehavior not reported");
                }
                self.state.failed(&key);
            }
            (Scope::Disagreement(_), Some(JobResult::Disagreement(Some(checked)))) => {
                let relay_parent = checked.message.relay_parent;
                for report in self.state.disagree(*checked) {
                    self.accuse(context, jobs, relay_parent, report);
                }
            }
            (Scope::Disagreement(_), _) => {}
        }
    }
}

/// Starts a job in a scope of its own. Returns whether there was room.
fn spawn(
    jobs: &mut Work,
    scope: Scope,
    name: &'static str,
    work: impl Future<Output = JobResult> + Send + 'static,
) -> bool {
    jobs.open(scope, Ending::Detached(Duration::from_millis(JOB_TIME_MAX_MS)));
    let spawned = jobs.spawn(&scope, name, work);
    if let Err(error) = spawned {
        tracing::warn!(?scope, %error, "misbehavior is not looked at");
        jobs.end(&scope);
    }
    spawned.is_ok()
}

/// The session of a relay parent; asked again after a pause if the chain does not answer.
async fn session(
    outlet: &JobOutlet,
    environment: &Environment,
    at: Hash,
) -> Result<Arc<SessionContext>, AccusationError> {
    let mut last = String::new();
    for attempt in 0..SESSION_ATTEMPTS {
        if attempt > 0 {
            environment.clock.sleep(Duration::from_millis(RETRY_MS)).await;
        }
        match outlet.ask(GetSessionContext { at }).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) => last = error.to_string(),
            Err(error) => return Err(AccusationError::NotSubmitted(error.to_string())),
        }
    }
    Err(AccusationError::NotSubmitted(last))
}

/// Checks a proof and hands it to the chain.
async fn submit(outlet: JobOutlet, environment: Environment, accusation: Accusation) -> Result<(), AccusationError> {
    let Accusation { relay_parent, report, .. } = accusation;
    let session = session(&outlet, &environment, relay_parent).await?;
    if session.session_index != report.session_index() {
        let (proof, relay_parent) = (report.session_index(), session.session_index);
        return Err(AccusationError::WrongSession { proof, relay_parent });
    }
    let index = report.validator_index;
    let validator = *session.validators.get(index.as_usize()).ok_or(AccusationError::UnknownValidator(index))?;
    let proof = report.clone();
    let bytes = proof.messages(&validator).iter().map(|message| message.message.len()).sum();
    compute(&*environment.compute, ComputeKind::VerifySignatures, bytes, move || proof.verify(&validator))
        .await
        .map_err(|error: ComputeError| AccusationError::NotSubmitted(error.to_string()))??;
    let mut last = String::new();
    for attempt in 0..SUBMIT_ATTEMPTS {
        if attempt > 0 {
            environment.clock.sleep(Duration::from_millis(RETRY_MS)).await;
        }
        match outlet.ask(SubmitReport { report: report.clone() }).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error @ (RuntimeError::Refused(_) | RuntimeError::NotSupported(_)))) => {
                return Err(AccusationError::NotSubmitted(error.to_string()));
            }
            Ok(Err(error)) => last = error.to_string(),
            Err(error) => return Err(AccusationError::NotSubmitted(error.to_string())),
        }
    }
    Err(AccusationError::NotSubmitted(last))
}

/// Leaves of a disagreement what is truly signed.
async fn check(
    outlet: JobOutlet,
    environment: Environment,
    mut message: CandidateValidityDisagreement,
) -> Option<Box<CheckedDisagreement>> {
    let session = session(&outlet, &environment, message.relay_parent)
        .await
        .inspect_err(|error| tracing::debug!(%error, "disagreement dropped"))
        .ok()?;
    let session_index = session.session_index;
    let context = SigningContext { session_index, parent_hash: message.relay_parent };
    let mut statements = std::mem::take(&mut message.statements);
    statements.truncate(STATEMENTS_MAX);
    let holds = move |signed: &SignedFullStatement| {
        let validator = session.validators.get(signed.validator_index().as_usize());
        validator.is_some_and(|validator| signed.as_unchecked().verify(&context, validator))
    };
    let (kind, bytes) = (ComputeKind::VerifySignatures, statements.len() * size_of::<SignedFullStatement>());
    let work = move || statements.into_iter().filter(holds).collect();
    message.statements = compute(&*environment.compute, kind, bytes, work)
        .await
        .inspect_err(|error| tracing::warn!(%error, "disagreement dropped unchecked"))
        .ok()?;
    Some(Box::new(CheckedDisagreement { session_index, message }))
}

impl Subsystem for MisbehaviorArbitrationSubsystem {
    type Role = MisbehaviorArbitration;
    type View = RelayParents;
    type Sends = ();
    type JobSends = (Ask<GetSessionContext>, Ask<SubmitReport>);

    async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Work::new(context.environment().clone(), JOBS_MAX);
        loop {
            match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Signal(update)) => self.state.heartbeat(&update),
                Input::Event(Event::Message(message)) => match message {
                    Inbox::DoubleVote(vote) => self.accuse(&context, &mut jobs, vote.relay_parent, vote.report),
                    Inbox::SelfContradiction(word) => self.accuse(&context, &mut jobs, word.relay_parent, word.report),
                    Inbox::CandidateValidityDisagreement(message) => self.disagree(&context, &mut jobs, message),
                },
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Job(end) => {
                    let scope = end.scope;
                    let timed_out = matches!(end.outcome, Outcome::TimedOut);
                    let result = end.into_result().map(|(_, result)| result);
                    if timed_out {
                        tracing::warn!(?scope, "misbehavior not looked at in time");
                    }
                    jobs.end(&scope);
                    self.ended(&context, &mut jobs, scope, result);
                }
            }
        }
    }
}
