//! candidate-backing: seconding, and counting statements to a quorum.
//!
//! **Role**: stands for candidates with our signature and gathers that of others (CB-1 to CB-7). A proposed candidate is
//! checked, its data stored, then `Seconded` is signed; one that a member of our group seconded is fetched, checked and
//! answered with `Valid` or `Invalid`. Whoever's group it is: a quorum makes a candidate backable.
//!
//! **Step**: 5 (seconded) and 6 (backable).
//!
//! **Receives**: `Second` from selection, `Statement` (signature checked) from statement-distribution,
//! `RegisterBackingWatcher` from outside. The heartbeat opens a relay parent, which stays while it is a leaf or one of
//! the last [`DEPTH`] ancestors of one.
//!
//! **Sends**: `Share` to statement-distribution, `DistributePoV` to pov-distribution, `BackableCandidate` to the
//! provisioner, `CandidateValidityDisagreement` to misbehavior-arbitration, `Seconded` and `Invalid` to selection. From
//! jobs: questions to runtime-api, candidate-validation, pov-distribution and the availability store.
//!
//! **Invariants**: at most one candidate is seconded per relay parent, and of each candidate one thing is said; the
//! keystore's journal holds that across restarts, and what it refuses is silence. No `Seconded` or `Valid` is signed
//! before the data is stored and coded to the root that the receipt names. Nothing is signed after a check that failed
//! or timed out: `Invalid` is a dispute vote, and checkers have more time than we have. `Invalid` is never said of a
//! candidate that nobody else seconded. Only members of the group of the candidate's core count.
//!
//! **Limits**: [`JOBS_MAX`], [`WATCHERS_MAX`], [`EARLY_STATEMENTS_MAX`], [`CHECKS_PER_CANDIDATE_MAX`]; candidates per
//! relay parent: one per validator; a backable candidate goes to the provisioner again with each further vote.
//!
//! **Conclude**: everything is dropped. A statement signed but not yet shared is in the journal and may be signed again.

#![forbid(unsafe_code)]

mod assignment;
mod check;
mod state;
#[cfg(test)]
mod state_tests;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jobs::{Ending, Input, JobRefused, Jobs};
use leaves::ANCESTRY_MAX;
use messages::availability_store::StoreAvailableData;
use messages::candidate_backing::{BACKING_FEED_MAX, CandidateBacking, Inbox};
use messages::candidate_selection::{Invalid, Seconded};
use messages::candidate_validation::ValidateFromChainState;
use messages::misbehavior_arbitration::CandidateValidityDisagreement;
use messages::pov_distribution::{DistributePoV, FetchPoV};
use messages::provisioner::BackableCandidate;
use messages::runtime_api::{GetAvailabilityCores, GetSessionContext};
use messages::statement_distribution::Share;
use messages::{LeavesState, LeavesUpdate, RelayParents};
use overseer::answer::FeedSender;
use overseer::mailbox::RefusedReason;
use overseer::{Ask, Cast, Context, Event, Failure, Feed, SendError, Subsystem, Wait};
use ports::{Keystore, SessionContext};
use primitives::{BackedCandidate, CandidateHash, CoreState, Hash, SignedFullStatement};

use check::Checker;
pub use state::{CHECKS_PER_CANDIDATE_MAX, EARLY_STATEMENTS_MAX};
use state::{Checked, Effect, State};

/// How many blocks a relay parent is worked on behind a leaf.
pub const DEPTH: u32 = 3;
/// Jobs at once over all relay parents: contexts, checks, signatures.
pub const JOBS_MAX: usize = 512;
/// Watchers of one relay parent.
pub const WATCHERS_MAX: usize = 16;

const _: () = assert!(DEPTH as usize <= ANCESTRY_MAX);

/// Seconds, attests, and counts.
pub struct CandidateBackingSubsystem {
    keystore: Arc<dyn Keystore>,
}

impl CandidateBackingSubsystem {
    /// Signs with the keys of `keystore`; without one in the validator set it only counts.
    pub fn new(keystore: Arc<dyn Keystore>) -> Self {
        Self { keystore }
    }
}

/// What a job brings back.
enum Done {
    /// Nothing, if the chain did not answer.
    Context(Option<(Arc<SessionContext>, Arc<Vec<CoreState>>)>),
    Checked(CandidateHash, Checked),
    Signed(CandidateHash, Option<SignedFullStatement>),
}

impl Subsystem for CandidateBackingSubsystem {
    type Role = CandidateBacking;
    type View = RelayParents;
    type Sends = (
        Wait<DistributePoV>,
        Wait<BackableCandidate>,
        Wait<CandidateValidityDisagreement>,
        Cast<Share>,
        Cast<Seconded>,
        Cast<Invalid>,
    );
    type JobSends = (
        Ask<GetSessionContext>,
        Ask<GetAvailabilityCores>,
        Ask<FetchPoV>,
        Ask<ValidateFromChainState>,
        Ask<StoreAvailableData>,
    );

    async fn run(self, context: Context<Self>) -> Result<(), Failure> {
        let jobs = Jobs::new(context.environment().clone(), JOBS_MAX);
        let state = State::new(self.keystore.validator_ids());
        let (view, watchers) = (LeavesState::default(), BTreeMap::new());
        Loop { keystore: self.keystore, context, jobs, state, view, watchers }.run().await
    }
}

struct Loop {
    keystore: Arc<dyn Keystore>,
    context: Context<CandidateBackingSubsystem>,
    jobs: Jobs<Hash, Done>,
    state: State,
    view: LeavesState,
    watchers: BTreeMap<Hash, Vec<FeedSender<BackedCandidate>>>,
}

impl Loop {
    async fn run(mut self) -> Result<(), Failure> {
        loop {
            let effects = match jobs::next(&mut self.context, &mut self.jobs).await {
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Event(Event::Signal(update)) => {
                    self.on_leaves(&update);
                    Vec::new()
                }
                Input::Event(Event::Message(Inbox::Second(second))) => self.state.second(second),
                Input::Event(Event::Message(Inbox::Statement(statement))) => self.state.statement(statement),
                Input::Event(Event::Message(Inbox::RegisterBackingWatcher(question, responder))) => {
                    // Whoever asked may have given up; its feed then goes with the answer.
                    let _ = responder.answer(self.watch(question.relay_parent));
                    Vec::new()
                }
                Input::Job(end) => end.into_result().map_or_else(Vec::new, |(scope, done)| self.on_done(scope, done)),
            };
            self.perform(effects).await?;
        }
    }

    fn on_leaves(&mut self, update: &LeavesUpdate) {
        self.view.apply(update);
        for leaf in &update.started {
            self.open(leaf.hash);
            // Candidates may build on these too, and a node that has just begun has not seen them start.
            leaf.ancestors.iter().take(DEPTH as usize).for_each(|ancestor| self.open(*ancestor));
        }
        for ended in self.jobs.end_by_view(&self.view) {
            self.state.close(&ended);
            self.watchers.remove(&ended).into_iter().flatten().for_each(FeedSender::end);
        }
    }

    fn open(&mut self, relay_parent: Hash) {
        if self.jobs.is_open(&relay_parent) || !self.jobs.open(relay_parent, Ending::WhileInView(DEPTH)) {
            return;
        }
        self.state.open(relay_parent);
        let checker = self.checker();
        let task = async move { Done::Context(checker.context(relay_parent).await) };
        if let Err(error) = self.jobs.spawn(&relay_parent, "context", task) {
            tracing::warn!(?relay_parent, %error, "context is not fetched");
        }
    }

    fn checker(&self) -> Checker {
        Checker { outlet: self.context.jobs(), environment: self.context.environment().clone() }
    }

    fn watch(&mut self, relay_parent: Hash) -> Feed<BackedCandidate> {
        let (sender, feed) = Feed::bounded("RegisterBackingWatcher", "candidate-backing", BACKING_FEED_MAX);
        let Some(known) = self.state.backable(&relay_parent) else {
            sender.end();
            return feed;
        };
        let watchers = self.watchers.entry(relay_parent).or_default();
        if watchers.len() < WATCHERS_MAX && known.into_iter().all(|backed| sender.push(backed)) {
            watchers.push(sender);
        }
        feed
    }

    fn on_done(&mut self, relay_parent: Hash, done: Done) -> Vec<Effect> {
        match done {
            Done::Context(Some((session, cores))) => self.state.context(relay_parent, session, cores),
            Done::Context(None) => {
                self.state.close(&relay_parent);
                Vec::new()
            }
            Done::Checked(candidate, checked) => self.state.checked(relay_parent, candidate, checked),
            Done::Signed(candidate, signed) => self.state.signed(relay_parent, candidate, signed),
        }
    }

    async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), Failure> {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Check(check) => {
                    let (relay_parent, candidate, checker) = (check.relay_parent, check.candidate_hash, self.checker());
                    let task = async move { Done::Checked(candidate, checker.check(*check).await) };
                    if let Err(refused) = self.jobs.spawn(&relay_parent, "check", task) {
                        let failed = Checked::Failed(not_started(refused));
                        effects.extend(self.state.checked(relay_parent, candidate, failed));
                    }
                }
                Effect::Sign(sign) => {
                    let (relay_parent, candidate, keystore) =
                        (sign.relay_parent, sign.candidate_hash, self.keystore.clone());
                    let task = async move { Done::Signed(candidate, check::sign(&*keystore, *sign).await) };
                    if let Err(refused) = self.jobs.spawn(&relay_parent, "sign", task) {
                        not_started(refused);
                        effects.extend(self.state.signed(relay_parent, candidate, None));
                    }
                }
                effect => self.tell(effect).await?,
            }
        }
        Ok(())
    }

    async fn tell(&mut self, effect: Effect) -> Result<(), Failure> {
        match effect {
            Effect::Share(relay_parent, signed) => self.context.cast(Share { relay_parent, signed })?,
            Effect::DistributePoV(relay_parent, candidate_hash, pov) => {
                self.context.send(DistributePoV { relay_parent, candidate_hash, pov }).await?;
            }
            Effect::TellSeconded(relay_parent, candidate_hash) => {
                noticed(self.context.cast(Seconded { relay_parent, candidate_hash }))?;
            }
            Effect::TellInvalid(relay_parent, receipt) => {
                noticed(self.context.cast(Invalid { relay_parent, receipt }))?;
            }
            Effect::Backable(relay_parent, backed) => {
                if let Some(watchers) = self.watchers.get_mut(&relay_parent) {
                    watchers.retain(|watcher| watcher.push(backed.clone()));
                }
                self.context.send(BackableCandidate { relay_parent, backed }).await?;
            }
            Effect::Disagreement(disagreement) => self.context.send(disagreement).await?,
            // Jobs, not messages.
            Effect::Check(_) | Effect::Sign(_) => {}
        }
        Ok(())
    }
}

fn not_started(refused: JobRefused) -> String {
    tracing::warn!(%refused, "job was not started");
    refused.to_string()
}

/// A notice to selection that finds no place is lost with a warning: it costs a collator's penalty, not our honesty.
fn noticed<M: overseer::Message>(sent: Result<(), SendError<M>>) -> Result<(), SendError<M>> {
    match sent {
        Err(error) if error.reason != RefusedReason::Closed => {
            tracing::warn!(%error, "selection is not told");
            Ok(())
        }
        sent => sent,
    }
}
