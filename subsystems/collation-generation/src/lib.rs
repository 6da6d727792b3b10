//! Collation generation: a collator's node makes candidates for its para.
//!
//! **Role**: `collation-generation`. **Step**: 1, a candidate is produced.
//!
//! **Receives**: the heartbeat; no messages. **Sends**: `DistributeCollation` to collation-distribution; questions to
//! runtime-api, all from jobs.
//!
//! **Invariants**: at most one candidate per leaf and core that the para may take next; its receipt commits to exactly
//! what the collator function returned; nothing is made when the para is on no core, or on a node without a collator.
//! A core whose candidate is pending availability is built on as if that candidate became available.
//!
//! **Limits**: [`JOBS_MAX`] leaves at once; [`CORES_MAX`] cores of one para per leaf; PoV, head and code as configured on
//! chain: what is larger is dropped with a warning, because no validator would take it.
//!
//! **Conclude**: jobs are cancelled; nothing is kept.

#![forbid(unsafe_code)]

mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use codec::Encode as _;
use deterministic::{ComputeKind, Environment, compute};
use jobs::{Ending, Input, Jobs};
use messages::collation_distribution::DistributeCollation;
use messages::runtime_api::{
    GetAvailabilityCores, GetCandidatePendingAvailability, GetDownwardMessages, GetPersistedValidationData,
    GetSessionContext, GetValidationCode, SessionContext,
};
use messages::{LeavesState, RelayParents, collation_generation::CollationGeneration};
use overseer::wiring::FromJobs;
use overseer::{Ask, Context, Event, Failure, Outlet, Subsystem, Wait};
use ports::{CollationContext, Collator, Keystore};
use primitives::descriptor::{DescriptorFields, collator_signature_payload};
use primitives::{
    AvailableData, CandidateCommitments, CandidateDescriptor, CandidateReceipt, Hash, InboundDownwardMessage,
    OccupiedCoreAssumption, ParaId, PersistedValidationData,
};

use state::{Refused, Slot};

/// Leaves that are built on at once.
pub const JOBS_MAX: usize = 16;
/// Cores that one para is built for per leaf: one head follows another, so a second core would need the first one's
/// head, which is nowhere on chain yet.
pub const CORES_MAX: usize = 1;

/// The collator of this node: whose blocks it makes, and how.
#[derive(Clone)]
pub struct CollatorConfig {
    /// The para.
    pub para_id: ParaId,
    /// Its block production.
    pub collator: Arc<dyn Collator>,
}

/// Makes candidates on every leaf on which the para may take a core.
pub struct CollationGenerationSubsystem {
    config: Option<CollatorConfig>,
    keystore: Arc<dyn Keystore>,
}

impl CollationGenerationSubsystem {
    /// Without a collator it does nothing, as on every validator.
    pub fn new(config: Option<CollatorConfig>, keystore: Arc<dyn Keystore>) -> Self {
        Self { config, keystore }
    }
}

impl Subsystem for CollationGenerationSubsystem {
    type Role = CollationGeneration;
    type View = RelayParents;
    type Sends = ();
    type JobSends = (
        Ask<GetAvailabilityCores>,
        Ask<GetSessionContext>,
        Ask<GetPersistedValidationData>,
        Ask<GetValidationCode>,
        Ask<GetDownwardMessages>,
        Ask<GetCandidatePendingAvailability>,
        Wait<DistributeCollation>,
    );

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let mut leaves = LeavesState::default();
        let mut jobs = Jobs::<Hash, Result<usize, Failure>>::new(context.environment().clone(), JOBS_MAX);
        loop {
            match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Signal(update)) => {
                    leaves.apply(&update);
                    jobs.end_by_view(&leaves);
                    let Some(config) = &self.config else { continue };
                    for leaf in &update.started {
                        jobs.open(leaf.hash, Ending::UntilStop);
                        let work = Work {
                            relay_parent: leaf.hash,
                            config: config.clone(),
                            keystore: self.keystore.clone(),
                            environment: context.environment().clone(),
                            ask: context.jobs(),
                        };
                        if let Err(refused) = jobs.spawn(&leaf.hash, "collate", work.run()) {
                            tracing::warn!(relay_parent = ?leaf.hash, %refused, "no collation on this leaf");
                        }
                    }
                }
                Input::Event(Event::Message(never)) => match never {},
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Job(end) => match end.into_result() {
                    Some((relay_parent, Ok(made))) => tracing::debug!(?relay_parent, made, "collated"),
                    Some((relay_parent, Err(error))) => tracing::warn!(?relay_parent, %error, "collation failed"),
                    None => {}
                },
            }
        }
    }
}

/// Everything one leaf's job needs.
struct Work {
    relay_parent: Hash,
    config: CollatorConfig,
    keystore: Arc<dyn Keystore>,
    environment: Environment,
    ask: Outlet<FromJobs<CollationGenerationSubsystem>>,
}

impl Work {
    /// Makes a candidate for each core that the para may take; returns how many.
    async fn run(self) -> Result<usize, Failure> {
        let at = self.relay_parent;
        let cores = self.ask.ask(GetAvailabilityCores { at }).await??;
        let slots = state::slots(self.config.para_id, &cores, self.keystore.collator_id().as_ref());
        if slots.is_empty() {
            return Ok(0);
        }
        let session = self.ask.ask(GetSessionContext { at }).await??;
        let mut made = 0;
        for slot in slots.into_iter().take(CORES_MAX) {
            made += usize::from(self.make(&slot, &session).await?);
        }
        Ok(made)
    }

    async fn make(&self, slot: &Slot, session: &SessionContext) -> Result<bool, Failure> {
        let (at, para_id, assumption) = (self.relay_parent, self.config.para_id, slot.assumption);
        let data = self.ask.ask(GetPersistedValidationData { at, para_id, assumption }).await??;
        let code = self.ask.ask(GetValidationCode { at, para_id, assumption }).await??;
        let (Some(validation_data), Some(code)) = (data, code) else { return Ok(false) };
        let downward_messages = self.downward_messages(assumption).await?;
        let context =
            CollationContext { relay_parent: at, para_id, validation_data: validation_data.clone(), downward_messages };
        let Some(collation) = self.config.collator.collate(context).await else { return Ok(false) };
        if let Err(Refused { what, size, limit }) = state::check(&collation, &session.configuration) {
            tracing::warn!(relay_parent = ?at, what, size, limit, "collation is over a limit and was dropped");
            return Ok(false);
        }
        let pov = collation.proof_of_validity;
        let erasure_root = self.erasure_root(&pov, &validation_data, session.validators.len()).await?;
        let commitments = CandidateCommitments {
            upward_messages: collation.upward_messages,
            horizontal_messages: collation.horizontal_messages,
            new_validation_code: collation.new_validation_code,
            head_data: collation.head_data,
            processed_downward_messages: collation.processed_downward_messages,
            hrmp_watermark: collation.hrmp_watermark,
        };
        let fields = DescriptorFields {
            para_id,
            relay_parent: at,
            persisted_validation_data_hash: validation_data.hash(),
            pov_hash: pov.hash(),
            erasure_root,
            para_head: commitments.head_data.hash(),
            validation_code_hash: code.hash(),
        };
        let descriptor = match slot.collator {
            // A parathread's claim names its collator: the descriptor carries key and signature.
            Some(collator) => {
                let signature = self.keystore.sign_as_collator(&collator_signature_payload(&fields))?;
                CandidateDescriptor::new_v1(fields, collator, signature)
            }
            None => CandidateDescriptor::new_v2(fields, slot.core, session.session_index)?,
        };
        let receipt = CandidateReceipt { descriptor, commitments_hash: commitments.hash() };
        self.ask.send(DistributeCollation { relay_parent: at, core: slot.core, receipt, pov }).await?;
        Ok(true)
    }

    /// What waits for the para behind the head that is built on: a pending candidate takes its share of the queue along.
    async fn downward_messages(
        &self,
        assumption: OccupiedCoreAssumption,
    ) -> Result<Vec<InboundDownwardMessage>, Failure> {
        let (at, para_id) = (self.relay_parent, self.config.para_id);
        let waiting = self.ask.ask(GetDownwardMessages { at, para_id }).await??;
        if waiting.is_empty() || assumption != OccupiedCoreAssumption::Included {
            return Ok(waiting.to_vec());
        }
        let pending = self.ask.ask(GetCandidatePendingAvailability { at, para_id }).await??;
        let taken = pending.map_or(0, |pending| pending.commitments.processed_downward_messages as usize);
        Ok(waiting.get(taken..).unwrap_or_default().to_vec())
    }

    async fn erasure_root(
        &self,
        pov: &primitives::PoV,
        validation_data: &PersistedValidationData,
        validators: usize,
    ) -> Result<Hash, Failure> {
        let data = AvailableData { pov: pov.clone(), validation_data: validation_data.clone() };
        let size = pov.encoded_len();
        let work =
            move || erasure_coding::Codec::new(validators)?.encode(&data.encode()).map(|coded| coded.erasure_root());
        let root = compute(&*self.environment.compute, ComputeKind::ErasureEncode, size, work).await??;
        Ok(Hash::from(root))
    }
}
