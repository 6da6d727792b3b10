//! What subsystems ask a state (RT-9). Unless said otherwise an answer is about the block on top of the one
//! that the state belongs to.

use primitives::{
    BlockNumber, CommittedCandidateReceipt, CoreIndex, CoreState, GroupRotationInfo, Hash, HeadData, HostConfiguration,
    OccupiedCore, OccupiedCoreAssumption, ParaId, PersistedValidationData, ScheduledCore, SessionIndex, Slot,
    ValidationCode, ValidationCodeHash, ValidatorId, ValidatorIndex,
};
use std::collections::BTreeMap;

use crate::{Ancestor, Balance, Offence, ParaPastCodeMeta, PendingCandidate, State};

impl State {
    /// Height of the block.
    pub fn number(&self) -> BlockNumber {
        self.system.number
    }

    /// Slot of the block.
    pub fn slot(&self) -> Slot {
        self.system.slot
    }

    /// The block's allowed relay parents, the latest last; for its child, the block itself comes on top.
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.system.ancestors
    }

    /// The session.
    pub fn session_index(&self) -> SessionIndex {
        self.session.index
    }

    /// First block of the session.
    pub fn session_start_block(&self) -> BlockNumber {
        self.session.start_block
    }

    /// Length of a session, in blocks.
    pub fn session_length(&self) -> BlockNumber {
        self.session.length
    }

    /// Randomness of the session: fixed before it began, from what the authors of earlier sessions
    /// contributed. Slots are claimed with it.
    pub fn randomness(&self) -> [u8; 32] {
        self.session.randomness
    }

    /// The validators.
    pub fn validators(&self) -> &[ValidatorId] {
        &self.session.validators
    }

    /// The validators of the next session.
    pub fn next_validators(&self) -> &[ValidatorId] {
        &self.session.queued
    }

    /// The validators of a session that can still be reported: this one or the one before.
    pub fn validators_of(&self, session: SessionIndex) -> Option<&[ValidatorId]> {
        self.session.validators_of(session).map(|validators| validators.as_slice())
    }

    /// The groups, one per core.
    pub fn groups(&self) -> &[Vec<ValidatorIndex>] {
        &self.scheduler.groups
    }

    /// Which group serves which core in block `now`.
    pub fn rotation_info(&self, now: BlockNumber) -> GroupRotationInfo {
        self.scheduler.rotation_info(self.configuration(), now)
    }

    /// The configuration.
    pub fn configuration(&self) -> &HostConfiguration {
        self.configuration.active()
    }

    /// The registered parachains, ascending.
    pub fn parachains(&self) -> &[ParaId] {
        &self.paras.parachains
    }

    /// All registered paras, ascending.
    pub fn paras(&self) -> impl Iterator<Item = ParaId> + '_ {
        self.paras.heads.keys().copied()
    }

    /// The cores, as block `now` on top of this one finds them.
    pub fn availability_cores(&self, now: BlockNumber) -> Vec<CoreState> {
        (0..self.scheduler.cores.len()).map(|index| self.core_state(CoreIndex(index as u32), now)).collect()
    }

    fn core_state(&self, core: CoreIndex, now: BlockNumber) -> CoreState {
        let next_up = self.scheduler.next_up(core);
        let Some(pending) = self.inclusion.pending.get(&core) else {
            return next_up.map_or(CoreState::Free, CoreState::Scheduled);
        };
        let since = pending.backed_in_number;
        let configuration = self.configuration();
        CoreState::Occupied(Box::new(OccupiedCore {
            next_up_on_available: next_up,
            occupied_since: since,
            time_out_at: self.scheduler.time_out_at(core, since, configuration, now),
            next_up_on_time_out: self.scheduler.next_up_on_time_out(core),
            availability: pending.availability.clone(),
            group_responsible: pending.backing_group,
            candidate_hash: pending.hash,
            candidate_descriptor: pending.receipt.descriptor.clone(),
        }))
    }

    /// Who may use a core, the next ones first: whoever is on it is not counted.
    pub fn next_up(&self, core: CoreIndex) -> Option<ScheduledCore> {
        self.scheduler.next_up(core)
    }

    /// The para on a core, if it is occupied.
    pub fn core_para(&self, core: CoreIndex) -> Option<ParaId> {
        self.scheduler.core_para(core)
    }

    /// The candidate that is pending availability on a core.
    pub fn candidate_pending_availability(&self, core: CoreIndex) -> Option<&CommittedCandidateReceipt> {
        self.pending_candidate(core).map(|pending| &*pending.receipt)
    }

    /// The same with votes and times.
    pub fn pending_candidate(&self, core: CoreIndex) -> Option<&PendingCandidate> {
        self.inclusion.pending.get(&core).map(|pending| &**pending)
    }

    fn pending_of(&self, para: ParaId) -> Option<&PendingCandidate> {
        self.inclusion
            .pending
            .values()
            .map(|pending| &**pending)
            .find(|pending| pending.receipt.descriptor.para_id() == para)
    }

    /// The head of a para.
    pub fn para_head(&self, para: ParaId) -> Option<&HeadData> {
        self.paras.heads.get(&para).map(|head| &**head)
    }

    /// What a candidate of `para` is validated with at a relay parent of that number and state root. `None`
    /// if there is no such para or the assumption does not fit: nothing pending for
    /// [`OccupiedCoreAssumption::Included`], something pending for [`OccupiedCoreAssumption::Free`].
    pub fn persisted_validation_data(
        &self,
        para: ParaId,
        assumption: OccupiedCoreAssumption,
        relay_parent_number: BlockNumber,
        relay_parent_storage_root: Hash,
    ) -> Option<PersistedValidationData> {
        let head = self.para_head(para)?;
        let head = match (assumption, self.pending_of(para)) {
            (OccupiedCoreAssumption::Included, pending) => &pending?.receipt.commitments.head_data,
            (OccupiedCoreAssumption::Free, Some(_)) => return None,
            (OccupiedCoreAssumption::Free | OccupiedCoreAssumption::TimedOut, _) => head,
        };
        let head = head.clone();
        Some(self.data_on_head(head, relay_parent_number, relay_parent_storage_root))
    }

    pub(crate) fn data_on_head(
        &self,
        parent_head: HeadData,
        relay_parent_number: BlockNumber,
        relay_parent_storage_root: Hash,
    ) -> PersistedValidationData {
        PersistedValidationData {
            parent_head,
            relay_parent_number,
            relay_parent_storage_root,
            max_pov_size: self.configuration().max_pov_size,
        }
    }

    /// Hash of the code that validates the next candidate of `para`; `None` as for
    /// [`State::persisted_validation_data`].
    pub fn validation_code_hash(&self, para: ParaId, assumption: OccupiedCoreAssumption) -> Option<ValidationCodeHash> {
        let current = self.paras.current_code.get(&para).copied()?;
        match (assumption, self.pending_of(para)) {
            (OccupiedCoreAssumption::Included, pending) => {
                let context = pending?.relay_parent_number;
                match self.paras.future_code.get(&para) {
                    Some((expected_at, code)) if *expected_at <= context => Some(*code),
                    _ => Some(current),
                }
            }
            (OccupiedCoreAssumption::Free, Some(_)) => None,
            (OccupiedCoreAssumption::Free | OccupiedCoreAssumption::TimedOut, _) => Some(current),
        }
    }

    /// The code that validates the next candidate of `para`.
    pub fn validation_code(&self, para: ParaId, assumption: OccupiedCoreAssumption) -> Option<&ValidationCode> {
        let hash = self.validation_code_hash(para, assumption)?;
        self.validation_code_by_hash(hash)
    }

    /// A code that is current, to come, past and not yet pruned, or of a candidate that is disputed.
    pub fn validation_code_by_hash(&self, hash: ValidationCodeHash) -> Option<&ValidationCode> {
        self.paras.codes.get(&hash).or_else(|| self.validity.disputed_code(hash))
    }

    /// Hash of the code for a block of `para` with relay parent `at`, perhaps as if a block with relay parent
    /// `assume_intermediate`, before `at`, had been included in between. `None` once it has been pruned.
    pub fn validation_code_at(
        &self,
        para: ParaId,
        at: BlockNumber,
        assume_intermediate: Option<BlockNumber>,
    ) -> Option<ValidationCodeHash> {
        self.paras.validation_code_at(para, at, assume_intermediate)
    }

    /// Which past codes of a para are kept.
    pub fn past_code_meta(&self, para: ParaId) -> Option<&ParaPastCodeMeta> {
        self.paras.past_code_meta.get(&para)
    }

    /// First relay parent with which `para` may announce new code after its last upgrade.
    pub(crate) fn next_upgrade_at(&self, para: ParaId) -> Option<BlockNumber> {
        let frequency = self.configuration().validation_upgrade_frequency;
        let last = self.paras.last_upgrade.get(&para)?;
        Some(last.saturating_add(frequency))
    }

    /// What each slashed validator has lost.
    pub fn slashes(&self) -> &BTreeMap<ValidatorId, Balance> {
        &self.slashing.slashes
    }

    /// What is left of a validator's stake.
    pub fn stake_of(&self, validator: &ValidatorId) -> Balance {
        self.slashing.stake_of(validator)
    }

    /// Proven offences of this session and the one before, oldest first.
    pub fn offences(&self) -> &[Offence] {
        &self.slashing.offences
    }
}
