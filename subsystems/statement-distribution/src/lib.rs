//! Statements travel between validators.
//!
//! **Role**: gossip of `Seconded`, `Valid` and `Invalid` on protocol `stmd` (seed 001, Statement Distribution). Checks
//! every signature, keeps what each peer knows, sends each peer just what it lacks and can accept, and proves
//! contradictions. Holds no key: backing signs.
//!
//! **Step**: 6 of a candidate's way.
//!
//! **Receives**: `Share` (statements of ours), `NetworkUpdate`; the heartbeat.
//!
//! **Sends**: `Statement` to candidate-backing (waits); `DoubleVote` and `SelfContradiction` to misbehavior-arbitration
//! (waits); `SendMessage` (outbox) and `ReportPeer` (merged) to the network bridge (casts). Its jobs ask runtime-api for
//! the session of each relay parent.
//!
//! **Invariants**: backing hears a candidate's `Seconded` before anything else about it, and nothing unsigned. A peer is
//! sent `Seconded` before what depends on it, each statement at most once, and only where its view reaches. After its
//! first contradiction a validator is not listened to; the contradicting statement itself is relayed, so that all can
//! prove it, but never counts. Of a relay parent out of view nothing is kept.
//!
//! **Signatures** are checked off the loop, in batches: a job per relay parent takes what has come in while the last one
//! ran. A lone statement waits for nobody, a burst of thousands costs the loop nothing but the queueing, and answers
//! come back in order, which the data dependency needs.
//!
//! **Limits**: see [`limits`]: messages per peer and relay parent, statements waiting for session or verifier, bytes kept.
//!
//! **Conclude**: returns at once; what is on its way is lost, as for a peer that goes offline.

#![forbid(unsafe_code)]

pub mod limits;
mod relay_parent;
pub mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use deterministic::{ComputeKind, compute};
use jobs::{Ending, Input, Jobs};
use messages::RelayParents;
use messages::candidate_backing::Statement;
use messages::misbehavior_arbitration::{DoubleVote, SelfContradiction};
use messages::network_bridge::{ReportPeer, STATEMENT_PROTOCOL, SendMessage};
use messages::runtime_api::GetSessionContext;
use messages::statement_distribution::{Inbox, StatementDistribution};
use overseer::{Ask, Cast, Context, Event, Failure, Subsystem, Wait};
use ports::SessionContext;
use primitives::{Hash, MisbehaviorKind, MisbehaviorReport, SignedMessage};

use crate::limits::{DEPTH, JOBS_MAX, SESSION_ATTEMPTS, SESSION_RETRY_MS};
use crate::state::{Effect, State};

/// The subsystem; see the crate's header.
#[derive(Default)]
pub struct StatementDistributionSubsystem {
    state: State,
}

/// What jobs bring back.
enum JobResult {
    /// The session, if it could be learned.
    Session(Option<Arc<SessionContext>>),
    /// One answer per signature, or none at all.
    Verified(Vec<bool>),
}

type Work = Jobs<Hash, JobResult>;

impl StatementDistributionSubsystem {
    /// It needs nothing but what its context has.
    pub fn new() -> Self {
        Self::default()
    }

    async fn apply(
        &mut self,
        context: &mut Context<Self>,
        jobs: &mut Work,
        effects: Vec<Effect>,
    ) -> Result<(), Failure> {
        for effect in effects {
            match effect {
                Effect::FetchSession(relay_parent) => fetch_session(context, jobs, relay_parent),
                Effect::Verify { relay_parent, batch } => verify(context, jobs, relay_parent, batch),
                Effect::Report(peer, conduct) => {
                    if let Err(error) = context.cast(ReportPeer::new(peer, conduct)) {
                        tracing::debug!(%error, "conduct of a peer goes uncounted");
                    }
                }
                Effect::Send { relay_parent, index, peers, payload } => {
                    let message = SendMessage { peers, protocol: STATEMENT_PROTOCOL, payload };
                    if let Err(error) = context.cast(message) {
                        tracing::warn!(%error, "statement not sent; offered again later");
                        self.state.not_sent(relay_parent, index, &error.message.peers);
                    }
                }
                Effect::Import(statement) => context.send::<Statement, _>(statement).await?,
                Effect::Misbehavior { relay_parent, report } => accuse(context, relay_parent, report).await?,
            }
        }
        Ok(())
    }
}

async fn accuse(
    context: &mut Context<StatementDistributionSubsystem>,
    relay_parent: Hash,
    report: MisbehaviorReport,
) -> Result<(), Failure> {
    tracing::info!(?relay_parent, validator = %report.validator_index, "validator contradicted itself");
    match report.kind() {
        Ok(MisbehaviorKind::DoubleSeconded(_)) => context.send(DoubleVote { relay_parent, report }).await?,
        Ok(MisbehaviorKind::SelfContradiction(_)) => context.send(SelfContradiction { relay_parent, report }).await?,
        Err(error) => tracing::error!(%error, "a proof made here proves nothing"),
    }
    Ok(())
}

fn fetch_session(context: &Context<StatementDistributionSubsystem>, jobs: &mut Work, relay_parent: Hash) {
    let (outlet, environment) = (context.jobs(), context.environment().clone());
    let work = async move {
        for attempt in 0..SESSION_ATTEMPTS {
            if attempt > 0 {
                environment.clock.sleep(Duration::from_millis(SESSION_RETRY_MS)).await;
            }
            match outlet.ask(GetSessionContext { at: relay_parent }).await {
                Ok(Ok(session)) => return JobResult::Session(Some(session)),
                Ok(Err(error)) => tracing::debug!(?relay_parent, %error, "session is not known"),
                Err(error) => {
                    tracing::debug!(?relay_parent, %error, "session cannot be asked for");
                    break;
                }
            }
        }
        JobResult::Session(None)
    };
    jobs.open(relay_parent, Ending::WhileInView(DEPTH));
    if let Err(error) = jobs.spawn(&relay_parent, "session", work) {
        tracing::warn!(?relay_parent, %error, "statements at this relay parent are not handled");
    }
}

fn verify(
    context: &Context<StatementDistributionSubsystem>,
    jobs: &mut Work,
    relay_parent: Hash,
    batch: Vec<SignedMessage>,
) {
    let pool = context.environment().compute.clone();
    let bytes = batch.iter().map(|message| message.message.len()).sum();
    let work = async move {
        let check = move || batch.iter().map(SignedMessage::verify).collect();
        let good = compute(&*pool, ComputeKind::VerifySignatures, bytes, check).await;
        JobResult::Verified(good.unwrap_or_else(|error| {
            tracing::warn!(?relay_parent, %error, "statements dropped unchecked");
            Vec::new()
        }))
    };
    if let Err(error) = jobs.spawn(&relay_parent, "verify", work) {
        tracing::warn!(?relay_parent, %error, "statements are not checked");
    }
}

impl Subsystem for StatementDistributionSubsystem {
    type Role = StatementDistribution;
    type View = RelayParents;
    type Sends = (Wait<Statement>, Wait<DoubleVote>, Wait<SelfContradiction>, Cast<SendMessage>, Cast<ReportPeer>);
    type JobSends = (Ask<GetSessionContext>,);

    async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Work::new(context.environment().clone(), JOBS_MAX);
        loop {
            let effects = match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Signal(update)) => {
                    let effects = self.state.heartbeat(&update);
                    jobs.end_by_view(self.state.leaves());
                    effects
                }
                Input::Event(Event::Message(Inbox::Share(share))) => self.state.share(share),
                Input::Event(Event::Message(Inbox::NetworkUpdate(update))) => self.state.network(update.0),
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Job(end) => match end.into_result() {
                    Some((relay_parent, JobResult::Session(Some(session)))) => {
                        self.state.session(relay_parent, session)
                    }
                    Some((relay_parent, JobResult::Session(None))) => {
                        tracing::warn!(?relay_parent, "statements at this relay parent are not handled: no session");
                        Vec::new()
                    }
                    Some((relay_parent, JobResult::Verified(good))) => self.state.verified(relay_parent, &good),
                    None => Vec::new(),
                },
            };
            self.apply(&mut context, &mut jobs, effects).await?;
        }
    }
}
