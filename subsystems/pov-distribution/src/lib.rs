//! Proofs of validity travel between the validators of a group.
//!
//! **Role**: fetches the PoV of a seconded candidate from those who said that they have it, and serves those that we
//! have, by request on protocol `povd` (seed 001, PoV Distribution; PoVs of megabytes are not gossiped).
//!
//! **Step**: 6 of a candidate's way.
//!
//! **Receives**: `FetchPoV` (asked by backing's jobs), `DistributePoV`, `NetworkUpdate`; the heartbeat.
//!
//! **Sends**: `ReportPeer` to the network bridge (cast, merged); its jobs ask the bridge to `SendRequest`.
//!
//! **Invariants**: a PoV is handed on only if it hashes to what the candidate commits to and is within the size allowed;
//! who gives another one pays for it, and the next is asked. PoVs are asked for only by those who know the candidate as
//! seconded, and served only to peers that proved a session key. Askers of one PoV share one fetch. A PoV is in memory
//! once, however many share it; decoding and hashing run off the loop.
//!
//! **Limits**: see [`limits`]: bytes held, fetches, askers, sources, servings per peer.
//!
//! **Conclude**: returns at once; who waits is told that the question was dropped.

#![forbid(unsafe_code)]

pub mod limits;
pub mod state;
#[cfg(test)]
mod tests;
pub mod wire;

use std::time::Duration;

use codec::Encode as _;
use deterministic::{ComputeKind, Environment, compute};
use jobs::{Ending, Input, Jobs};
use messages::RelayParents;
use messages::network_bridge::{POV_PROTOCOL, PeerConduct, Recipient, ReportPeer, SendRequest};
use messages::pov_distribution::{FetchPoV, Inbox, PoVDistribution};
use overseer::{Ask, AskError, Cast, Context, Event, Failure, Outlet, Subsystem};
use ports::RequestError;
use primitives::{Hash, PoV, ValidatorId};

use crate::limits::{DEPTH, FETCHES_MAX, ROUND_PAUSE_MS, ROUNDS};
use crate::state::{Effect, Fetched, State};
use crate::wire::{AnswerError, PoVRequest, check_answer};

/// The subsystem; see the crate's header.
#[derive(Default)]
pub struct PoVDistributionSubsystem {
    state: State,
}

type Work = Jobs<Hash, Fetched>;
type JobOutlet = Outlet<overseer::wiring::FromJobs<PoVDistributionSubsystem>>;

impl PoVDistributionSubsystem {
    /// It needs nothing but what its context has.
    pub fn new() -> Self {
        Self::default()
    }

    fn apply(&mut self, context: &mut Context<Self>, jobs: &mut Work, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Open(relay_parent) => {
                    jobs.open(relay_parent, Ending::WhileInView(DEPTH));
                }
                Effect::Fetch(request) => {
                    let relay_parent = request.relay_parent;
                    let work = fetch(context.jobs(), context.environment().clone(), request.clone());
                    if let Err(error) = jobs.spawn(&relay_parent, "fetch", work) {
                        tracing::warn!(?relay_parent, %error, "PoV is not fetched");
                        let key = (relay_parent, request.candidate_hash);
                        let effects = self.state.fetched(Fetched { key, pov: None, conduct: Vec::new() });
                        self.apply(context, jobs, effects);
                    }
                }
                // Whoever gave up waiting needs no answer.
                Effect::Answer(asker, answer) => drop(asker.answer(answer)),
                Effect::Respond(responder, response) => drop(responder.answer(response)),
                Effect::Report(peer, conduct) => {
                    if let Err(error) = context.cast(ReportPeer::new(peer, conduct)) {
                        tracing::debug!(%error, "conduct of a peer goes uncounted");
                    }
                }
            }
        }
    }
}

/// Asks each validator in turn until one gives the PoV; all of them again after a pause, but for those who lied.
async fn fetch(outlet: JobOutlet, environment: Environment, request: FetchPoV) -> Fetched {
    let mut fetched = Fetched { key: (request.relay_parent, request.candidate_hash), pov: None, conduct: Vec::new() };
    let mut sources = request.from.clone();
    for round in 0..ROUNDS {
        if round > 0 {
            environment.clock.sleep(Duration::from_millis(ROUND_PAUSE_MS)).await;
        }
        for validator in std::mem::take(&mut sources) {
            match ask_one(&outlet, &environment, &request, validator).await {
                Ok(pov) => {
                    fetched.conduct.push((validator, PeerConduct::BenefitUseful));
                    fetched.pov = Some(pov);
                    return fetched;
                }
                Err(FetchFailure::Ended(error)) => {
                    tracing::debug!(%error, "PoV is not fetched");
                    return fetched;
                }
                Err(FetchFailure::Answer(error)) => {
                    tracing::debug!(candidate = ?request.candidate_hash, ?validator, %error, "PoV not had");
                    match conduct(&error) {
                        Some(PeerConduct::CostInvalid) => {
                            fetched.conduct.push((validator, PeerConduct::CostInvalid));
                            continue;
                        }
                        other => fetched.conduct.extend(other.map(|conduct| (validator, conduct))),
                    }
                    sources.push(validator);
                }
            }
        }
        if sources.is_empty() {
            break;
        }
    }
    fetched
}

/// What a failed answer costs.
fn conduct(error: &AnswerError) -> Option<PeerConduct> {
    match error {
        AnswerError::TooLarge { .. } | AnswerError::Malformed(_) | AnswerError::WrongHash { .. } => {
            Some(PeerConduct::CostInvalid)
        }
        AnswerError::Request(RequestError::TooLarge) => Some(PeerConduct::CostInvalid),
        AnswerError::Request(RequestError::TimedOut) => Some(PeerConduct::CostTimeout),
        AnswerError::Request(RequestError::NotConnected | RequestError::Refused) | AnswerError::NotHeld => None,
    }
}

enum FetchFailure {
    /// The bridge has ended, or we cannot compute.
    Ended(Box<dyn std::error::Error + Send + Sync>),
    /// This one did not give it.
    Answer(AnswerError),
}

impl From<AskError> for FetchFailure {
    fn from(error: AskError) -> Self {
        Self::Ended(error.into())
    }
}

async fn ask_one(
    outlet: &JobOutlet,
    environment: &Environment,
    request: &FetchPoV,
    validator: ValidatorId,
) -> Result<PoV, FetchFailure> {
    let question = PoVRequest { relay_parent: request.relay_parent, candidate_hash: request.candidate_hash };
    let send =
        SendRequest { to: Recipient::Authority(validator), protocol: POV_PROTOCOL, payload: question.encode().into() };
    let answer = outlet.ask(send).await?.map_err(|error| FetchFailure::Answer(error.into()))?;
    let (bytes, pov_hash, max_pov_size) = (answer.len(), request.pov_hash, request.max_pov_size);
    let check = move || check_answer(&answer, pov_hash, max_pov_size);
    compute(&*environment.compute, ComputeKind::Hash, bytes, check)
        .await
        .map_err(|error| FetchFailure::Ended(error.into()))?
        .map_err(FetchFailure::Answer)
}

impl Subsystem for PoVDistributionSubsystem {
    type Role = PoVDistribution;
    type View = RelayParents;
    type Sends = (Cast<ReportPeer>,);
    type JobSends = (Ask<SendRequest>,);

    async fn run(mut self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Work::new(context.environment().clone(), FETCHES_MAX);
        loop {
            let effects = match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Signal(update)) => {
                    let effects = self.state.heartbeat(&update);
                    jobs.end_by_view(self.state.leaves());
                    effects
                }
                Input::Event(Event::Message(message)) => match message {
                    Inbox::FetchPoV(request, asker) => self.state.fetch(request, asker),
                    Inbox::DistributePoV(message) => self.state.distribute(message),
                    Inbox::NetworkUpdate(update) => self.state.network(update.0),
                },
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Job(end) => match end.into_result() {
                    Some((_, fetched)) => self.state.fetched(fetched),
                    None => Vec::new(),
                },
            };
            self.apply(&mut context, &mut jobs, effects);
        }
    }
}
