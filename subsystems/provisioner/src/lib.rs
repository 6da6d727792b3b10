//! provisioner: what a block author puts into the inclusion inherent.
//!
//! **Role**: collects bitfields and backable candidates, and hands an author what the runtime will take of them (PV-1,
//! PV-2). Proofs of misbehavior reach authors by another way, through runtime-api; dispute votes have no source yet.
//!
//! **Step**: 7 (offered).
//!
//! **Receives**: `Bitfield` from bitfield-distribution (signature checked), `BackableCandidate` from candidate-backing,
//! `RequestBlockAuthorshipData` from the block author. The heartbeat says what can be authored on.
//!
//! **Sends**: from jobs, questions to runtime-api (session, cores, validation data) and chain-api (headers).
//!
//! **Invariants**: an answer holds only what the inclusion inherent on that parent accepts: bitfields of that parent,
//! one per validator, ascending; candidates only for cores that are free or that these very bitfields, or the time,
//! free; of whoever is next there, on its current head, backed by a quorum of the group that served the core at the
//! candidate's relay parent; one per core and para, ascending by para. Its header is the parent's. Not looked at is
//! what few candidates touch (upgrades, message queues): the author's own dry run does that.
//!
//! **Limits**: [`REQUESTS_MAX`] answers in the making, [`BITFIELDS_MAX`] and [`OFFERS_MAX`] per relay parent; relay
//! parents: leaves and their last [`DEPTH`] ancestors, of which the configuration may allow fewer.
//!
//! **Conclude**: everything is dropped; authors that still wait are told so.

#![forbid(unsafe_code)]

mod assemble;
mod choice;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jobs::{Ending, Input, Jobs};
use leaves::ANCESTRY_MAX;
use messages::RelayParents;
use messages::chain_api::GetHeader;
use messages::provisioner::{Inbox, ProvisionError, Provisioner};
use messages::runtime_api::{GetAvailabilityCores, GetPersistedValidationData, GetSessionContext};
use overseer::wiring::FromJobs;
use overseer::{Ask, AskError, Context, Event, Failure, Outlet, Responder, Subsystem};
use ports::RuntimeError;
use primitives::{Hash, InherentData, SignedAvailabilityBitfield};

use assemble::{FreeCore, ParentContext, RelayParent};
pub use choice::{CandidateChoice, FirstReceived, MostVotes, Offer};
pub use state::{BITFIELDS_MAX, OFFERS_MAX};
use state::{Snapshot, State};

/// Answers in the making at once.
pub const REQUESTS_MAX: usize = 64;
/// How far behind a leaf a candidate's relay parent may be.
pub const DEPTH: u32 = 8;

const _: () = assert!(DEPTH as usize <= ANCESTRY_MAX);

type Answer = Result<InherentData, ProvisionError>;

/// Provides block authors.
pub struct ProvisionerSubsystem {
    choice: Arc<dyn CandidateChoice>,
}

impl ProvisionerSubsystem {
    /// Of several candidates for a core it gives the first received.
    pub fn new() -> Self {
        Self::with_choice(Arc::new(FirstReceived))
    }

    /// With another policy.
    pub fn with_choice(choice: Arc<dyn CandidateChoice>) -> Self {
        Self { choice }
    }
}

impl Default for ProvisionerSubsystem {
    fn default() -> Self {
        Self::new()
    }
}

impl Subsystem for ProvisionerSubsystem {
    type Role = Provisioner;
    type View = RelayParents;
    type Sends = ();
    type JobSends =
        (Ask<GetSessionContext>, Ask<GetAvailabilityCores>, Ask<GetPersistedValidationData>, Ask<GetHeader>);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut jobs = Jobs::new(context.environment().clone(), REQUESTS_MAX);
        let mut state = State::default();
        let mut authors = Authors::default();
        loop {
            match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Event(Event::Signal(update)) => {
                    state.on_leaves(&update);
                    for leaf in &update.started {
                        // Without room, requests on it are refused as jobs without a scope.
                        jobs.open(leaf.hash, Ending::UntilStop);
                    }
                    for stopped in jobs.end_by_view(&state.view) {
                        authors.stopped(stopped);
                    }
                }
                Input::Event(Event::Message(Inbox::Bitfield(bitfield))) => state.on_bitfield(bitfield),
                Input::Event(Event::Message(Inbox::BackableCandidate(backable))) => state.on_backable(backable),
                Input::Event(Event::Message(Inbox::RequestBlockAuthorshipData(question, responder))) => {
                    let parent = question.parent;
                    let id = authors.wait(parent, responder);
                    let Some(snapshot) = state.snapshot(parent) else {
                        authors.answer(id, Err(ProvisionError::NotActive(parent)));
                        continue;
                    };
                    let work = Work { choice: self.choice.clone(), outlet: context.jobs() };
                    let task = async move { (id, work.assemble(snapshot).await) };
                    if let Err(refused) = jobs.spawn(&parent, "assemble", task) {
                        authors.answer(id, Err(ProvisionError::Chain(refused.to_string())));
                    }
                }
                Input::Job(end) => {
                    if let Some((_, (id, answer))) = end.into_result() {
                        authors.answer(id, answer);
                    }
                }
            }
        }
    }
}

/// Authors that wait: as many as there are jobs.
#[derive(Default)]
struct Authors {
    waiting: BTreeMap<u64, (Hash, Responder<Answer>)>,
    next_id: u64,
}

impl Authors {
    fn wait(&mut self, parent: Hash, responder: Responder<Answer>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.insert(id, (parent, responder));
        id
    }

    fn answer(&mut self, id: u64, answer: Answer) {
        if let Some((_, responder)) = self.waiting.remove(&id) {
            // The author may have given up.
            let _ = responder.answer(answer);
        }
    }

    fn stopped(&mut self, leaf: Hash) {
        let ids: Vec<u64> = self.waiting.iter().filter(|(_, (parent, _))| *parent == leaf).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.answer(id, Err(ProvisionError::NotActive(leaf))));
    }
}

/// What a job reaches.
struct Work {
    choice: Arc<dyn CandidateChoice>,
    outlet: Outlet<FromJobs<ProvisionerSubsystem>>,
}

impl Work {
    async fn assemble(&self, snapshot: Snapshot) -> Answer {
        let Snapshot { parent: at, ancestors, bitfields, offers } = snapshot;
        let parent = ParentContext {
            hash: at,
            session: answered(self.outlet.ask(GetSessionContext { at }).await)?,
            cores: answered(self.outlet.ask(GetAvailabilityCores { at }).await)?,
            header: answered(self.outlet.ask(GetHeader { hash: at }).await)?,
        };
        let allowed = parent.session.configuration.allowed_ancestry_len.min(DEPTH) as usize;
        let mut relay_parents = BTreeMap::new();
        for hash in std::iter::once(at).chain(ancestors.iter().copied().take(allowed)) {
            if offers.iter().any(|offer| offer.relay_parent == hash)
                && let Some(relay_parent) = self.relay_parent(hash).await
            {
                relay_parents.insert(hash, relay_parent);
            }
        }
        let bitfields = assemble::usable_bitfields(&parent, bitfields);
        let mut acceptable = Vec::new();
        for free in assemble::free_cores(&parent, &bitfields) {
            let mut fitting = offers.clone();
            fitting.retain(|offer| offer.backed.descriptor().para_id() == free.next.para_id);
            if !fitting.is_empty()
                && let Some(data) = self.validation_data(at, &free).await
            {
                fitting.retain(|offer| assemble::is_acceptable(&parent, &relay_parents, &free, &data, offer));
                acceptable.push((free, fitting));
            }
        }
        Ok(InherentData {
            bitfields: bitfields.into_iter().map(SignedAvailabilityBitfield::into_unchecked).collect(),
            backed_candidates: assemble::choose(&*self.choice, acceptable),
            disputes: Vec::new(),
            parent_header: parent.header,
        })
    }

    async fn relay_parent(&self, at: Hash) -> Option<RelayParent> {
        let session = answered(self.outlet.ask(GetSessionContext { at }).await);
        let header = answered(self.outlet.ask(GetHeader { hash: at }).await);
        match (session, header) {
            (Ok(session), Ok(header)) => {
                Some(RelayParent { session, number: header.number, storage_root: header.state_root })
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::debug!(relay_parent = ?at, %error, "candidates of this relay parent are left out");
                None
            }
        }
    }

    async fn validation_data(&self, at: Hash, free: &FreeCore) -> Option<primitives::PersistedValidationData> {
        let question = GetPersistedValidationData { at, para_id: free.next.para_id, assumption: free.assumption };
        match answered(self.outlet.ask(question).await) {
            Ok(data) => data,
            Err(error) => {
                tracing::debug!(parent = ?at, core = %free.core, %error, "core is left empty");
                None
            }
        }
    }
}

fn answered<T>(answer: Result<Result<T, RuntimeError>, AskError>) -> Result<T, ProvisionError> {
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ProvisionError::Chain(error.to_string())),
        Err(error) => Err(ProvisionError::Chain(error.to_string())),
    }
}
