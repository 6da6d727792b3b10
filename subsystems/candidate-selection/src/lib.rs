//! Candidate selection: a validator chooses at most one collation per relay parent to second.
//!
//! **Role**: `candidate-selection`. **Step**: 3, a candidate is chosen.
//!
//! **Receives**: the heartbeat; `NewCandidate` from collation-distribution; `Invalid` and `Seconded` from
//! candidate-backing. **Sends**: `Second` to candidate-backing; `ReportCollator` to collation-distribution; from jobs
//! `FetchCollation` to collation-distribution and questions to runtime-api.
//!
//! **Invariants**: a candidate is proposed only at an active leaf, only for the para that is next on the core of our
//! group, on a parathread core only by the collator of the claim. Backing holds at most one proposal of ours per relay
//! parent that it has not found invalid. Nothing is validated here. A collator that proved bad is refused and reported.
//!
//! **Limits**: [`JOBS_MAX`] tasks; [`OFFERS_MAX`] advertisements per relay parent, also while our core is not known yet;
//! [`PROPOSALS_MAX`] proposals whose verdict is awaited; [`BLACKLIST_MAX`] refused collators.
//!
//! **Conclude**: jobs are cancelled; nothing is kept.

#![forbid(unsafe_code)]

mod assignment;
mod policy;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jobs::{Ending, Input, Jobs};
use messages::candidate_backing::Second;
use messages::candidate_selection::{CandidateSelection, Inbox};
use messages::collation_distribution::{FetchCollation, FetchedCollation, ReportCollator};
use messages::runtime_api::{GetAvailabilityCores, GetSessionContext};
use messages::{LeavesState, RelayParents};
use overseer::wiring::FromJobs;
use overseer::{Ask, Cast, Context, Event, Failure, Outlet, Subsystem, Wait};
use ports::Keystore;
use primitives::Hash;

pub use policy::{Choice, FirstValid, Offers, RandomDelay, SelectionPolicy, Window};

use assignment::{Assignment, assignment};
use state::{Effect, State};

/// Tasks at once: an assignment, a fetch and a sleep for each of the leaves that can be active, with room.
pub const JOBS_MAX: usize = 64;
/// Advertisements held per relay parent; more are passed over.
pub const OFFERS_MAX: usize = 64;
/// Proposals that backing has not judged yet; the oldest is forgotten for a newer one.
pub const PROPOSALS_MAX: usize = 64;
/// Collators refused; the oldest is forgotten for a newer one.
pub const BLACKLIST_MAX: usize = 256;

/// Chooses collations at every leaf where this node's validator has a core.
pub struct CandidateSelectionSubsystem {
    policy: Box<dyn SelectionPolicy>,
    keystore: Arc<dyn Keystore>,
}

impl CandidateSelectionSubsystem {
    /// Chooses by `policy`, for the validator whose key the keystore holds; without one it does nothing.
    pub fn new(policy: Box<dyn SelectionPolicy>, keystore: Arc<dyn Keystore>) -> Self {
        Self { policy, keystore }
    }
}

/// What a job brings back.
enum Done {
    Assigned(Result<Option<Assignment>, Failure>),
    Woken,
    Fetched(Option<Box<FetchedCollation>>),
}

type Ports = Outlet<FromJobs<CandidateSelectionSubsystem>>;

impl Subsystem for CandidateSelectionSubsystem {
    type Role = CandidateSelection;
    type View = RelayParents;
    type Sends = (Wait<Second>, Cast<ReportCollator>);
    type JobSends = (Ask<GetSessionContext>, Ask<GetAvailabilityCores>, Ask<FetchCollation>);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let environment = context.environment().clone();
        let mut leaves = LeavesState::default();
        let mut jobs = Jobs::<Hash, Done>::new(environment.clone(), JOBS_MAX);
        let mut state = State::new(self.policy);
        loop {
            let input = jobs::next(&mut context, &mut jobs).await;
            let now = environment.clock.now();
            let effects = match input {
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Event(Event::Signal(update)) => {
                    leaves.apply(&update);
                    for stopped in jobs.end_by_view(&leaves) {
                        state.stop(&stopped);
                    }
                    for leaf in &update.started {
                        jobs.open(leaf.hash, Ending::UntilStop);
                        state.start(leaf.hash, now, deterministic::u64(&*environment.entropy));
                        let work = assign(context.jobs(), leaf.hash, self.keystore.clone());
                        spawn(&mut jobs, leaf.hash, "assignment", work);
                    }
                    Vec::new()
                }
                Input::Event(Event::Message(Inbox::NewCandidate(candidate))) => {
                    state.offered(candidate, now).into_iter().collect()
                }
                Input::Event(Event::Message(Inbox::Invalid(invalid))) => state.invalid(&invalid, now),
                Input::Event(Event::Message(Inbox::Seconded(seconded))) => {
                    state.seconded(&seconded);
                    Vec::new()
                }
                Input::Job(end) => match end.into_result() {
                    Some((at, Done::Assigned(result))) => {
                        let found = result.unwrap_or_else(|error| {
                            tracing::warn!(relay_parent = ?at, %error, "nothing is selected: our core is not known");
                            None
                        });
                        state.assigned(at, found, now).into_iter().collect()
                    }
                    Some((at, Done::Woken)) => state.woken(at, now).into_iter().collect(),
                    Some((at, Done::Fetched(fetched))) => state.fetched(at, fetched.map(|fetched| *fetched), now),
                    None => Vec::new(),
                },
            };
            for effect in effects {
                perform(&mut context, &mut jobs, effect).await?;
            }
        }
    }
}

async fn perform(
    context: &mut Context<CandidateSelectionSubsystem>,
    jobs: &mut Jobs<Hash, Done>,
    effect: Effect,
) -> Result<(), Failure> {
    match effect {
        Effect::Sleep { relay_parent, until } => {
            let sleep = context.environment().clock.sleep_until(until);
            let work = async move {
                sleep.await;
                Done::Woken
            };
            spawn(jobs, relay_parent, "delay", work);
        }
        Effect::Fetch(question) => spawn(jobs, question.relay_parent, "fetch", fetch(context.jobs(), question)),
        Effect::Second(second) => context.send(*second).await?,
        Effect::Report(collator) => {
            tracing::info!(%collator, "collator is refused from now on");
            if let Err(refused) = context.cast(ReportCollator { collator }) {
                tracing::warn!(%collator, %refused, "collator could not be reported");
            }
        }
    }
    Ok(())
}

fn spawn(
    jobs: &mut Jobs<Hash, Done>,
    relay_parent: Hash,
    name: &'static str,
    work: impl Future<Output = Done> + Send + 'static,
) {
    if let Err(refused) = jobs.spawn(&relay_parent, name, work) {
        tracing::warn!(?relay_parent, name, %refused, "nothing more is selected on this leaf");
    }
}

async fn assign(ask: Ports, at: Hash, keystore: Arc<dyn Keystore>) -> Done {
    let find = async {
        let ours = keystore.validator_ids();
        if ours.is_empty() {
            return Ok(None);
        }
        let session = ask.ask(GetSessionContext { at }).await??;
        let cores = ask.ask(GetAvailabilityCores { at }).await??;
        Ok(assignment(&session, &cores, &ours))
    };
    Done::Assigned(find.await)
}

async fn fetch(ask: Ports, question: FetchCollation) -> Done {
    let (relay_parent, candidate) = (question.relay_parent, question.candidate_hash);
    let failed = |error: &dyn std::fmt::Display| tracing::debug!(?relay_parent, ?candidate, %error, "not fetched");
    Done::Fetched(match ask.ask(question).await {
        Ok(Ok(fetched)) => Some(Box::new(fetched)),
        Ok(Err(error)) => {
            failed(&error);
            None
        }
        Err(error) => {
            failed(&error);
            None
        }
    })
}
