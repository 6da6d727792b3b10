//! Validity module (RT-7): what is included stays contestable until its acceptance period is over.
//!
//! Stores: per block that included something its candidates with backers, secondary attestations, who could not get
//! hold of them, and reports; disputes, on candidates of this chain and of other forks; what was judged, for as long
//! as anybody could bring it up again; candidates that may never be backed; the revert signals; slots in which an
//! author made two blocks; reports on candidates that are not included here.
//!
//! Entry points: [`disputes`] (votes, first in the inherent, or as a transaction; concluded remote disputes in one),
//! [`remote`] (disputes of other forks that nobody has decided), [`attestations`] (secondary checks with their VRF
//! proofs), [`unavailable`] (checkers that cannot get hold of the data), [`fishermen`] (reports with a bond),
//! [`equivocation`] (authors of two blocks in one slot).
//!
//! Order: last at the begin of a block (time-outs, ends of disputes, ends of acceptance), first at its end. Of a
//! session change it learns after inclusion. Only validators of the candidate's own session vote and are slashed;
//! disputes begin in that session or the one after it.

pub(crate) mod attestations;
pub(crate) mod disputes;
pub(crate) mod equivocation;
pub(crate) mod fishermen;
pub(crate) mod index;
pub(crate) mod queries;
pub(crate) mod remote;
pub(crate) mod unavailable;
mod verdict;

use codec::{Encode, Output};
use primitives::{
    Bits, BlockNumber, CandidateHash, CommittedCandidateReceipt, CoreIndex, DisputeStatement, GroupIndex, Hash, Revert,
    SessionIndex, Slot, ValidationCode, ValidationCodeHash, ValidatorId, ValidatorIndex, ValidatorSignature,
    encode_bits,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(crate) use disputes::Dispute;
pub use verdict::{ValidityEvent, Verdict};

use crate::{AccountId, Balance, PenaltyReason, PendingCandidate, State, limits::PAST_SESSIONS_KEPT, outcome::Outcome};
use fishermen::BondedReport;
use index::Index;

/// A vote as it is kept and handed to other forks.
pub type DisputeVote = (DisputeStatement, ValidatorIndex, ValidatorSignature);
/// Names a dispute.
pub(crate) type DisputeKey = (SessionIndex, CandidateHash);

/// A candidate of this chain whose acceptance is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncludedCandidate {
    /// Its name; stands for the receipt in the state root.
    pub(crate) hash: CandidateHash,
    pub(crate) receipt: Arc<CommittedCandidateReceipt>,
    pub(crate) core: CoreIndex,
    pub(crate) group: GroupIndex,
    pub(crate) group_len: u32,
    /// Who backed it, in the block or later, and who approved it.
    pub(crate) votes: Vec<DisputeVote>,
    /// A bit per validator that backed or approved it: the checks that count.
    pub(crate) checks: Bits,
    /// Who could not get hold of it.
    pub(crate) unavailable: Vec<(ValidatorIndex, ValidatorSignature)>,
    pub(crate) reports: Vec<BondedReport>,
}

/// Without the receipt, for which its hash stands.
impl Encode for IncludedCandidate {
    fn encode_to<O: Output + ?Sized>(&self, dest: &mut O) {
        (self.hash, self.core, self.group, self.group_len, &self.votes).encode_to(dest);
        encode_bits(&self.checks, dest);
        (&self.unavailable, &self.reports).encode_to(dest);
    }
}

/// What a block included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncludedBlock {
    pub(crate) session: SessionIndex,
    /// Known to the block's children only.
    pub(crate) hash: Option<Hash>,
    /// Where the chain goes back to if one of the candidates is invalid.
    pub(crate) parent_hash: Hash,
    pub(crate) slot: Slot,
    pub(crate) author: ValidatorIndex,
    /// The author's VRF output: assignments are drawn on it.
    pub(crate) vrf_output: [u8; 32],
    /// In the order of cores.
    pub(crate) candidates: Vec<IncludedCandidate>,
    /// Stands for all of it in the state root; made when the block ends.
    pub(crate) digest: Hash,
}

impl IncludedBlock {
    pub(crate) fn seal(&mut self) {
        let author = (self.slot, self.author, self.vrf_output);
        self.digest = Hash::of(&(self.session, self.hash, self.parent_hash, author, &self.candidates));
    }
}

impl Encode for IncludedBlock {
    fn encode_to<O: Output + ?Sized>(&self, dest: &mut O) {
        self.digest.encode_to(dest);
    }
}

/// All that is known of included candidates and disputes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub(crate) struct Validity {
    pub(crate) blocks: BTreeMap<BlockNumber, Arc<IncludedBlock>>,
    /// Their candidates by name: follows from them.
    #[codec(skip)]
    pub(crate) index: Index,
    pub(crate) disputes: BTreeMap<DisputeKey, Arc<Dispute>>,
    /// Disputes that are over, as long as their session is known: what is valid or invalid stays so.
    pub(crate) settled: BTreeMap<DisputeKey, Verdict>,
    /// Judged invalid: never backed again.
    pub(crate) blacklist: BTreeSet<DisputeKey>,
    pub(crate) reverts: Vec<Revert>,
    /// Who authored two blocks in which slot, and the session in which that was reported. By key: around the end of a
    /// session one author has a place in two.
    pub(crate) equivocations: BTreeMap<(ValidatorId, Slot), SessionIndex>,
    /// Reports on candidates that are not included here: another fork may have included them, and be given up.
    pub(crate) early_reports: BTreeMap<DisputeKey, Vec<BondedReport>>,
    /// Who has put a bond behind a report on which candidate, as long as its session is known: signed once, it counts
    /// once, though what it was about is forgotten before.
    pub(crate) reported: BTreeSet<(DisputeKey, AccountId)>,
    /// What is for who proved a candidate invalid that is not included here, until the end of the block that judged it:
    /// votes come first in a block, and reports that another fork had before them come after. None between blocks.
    #[codec(skip)]
    pub(crate) bounties: BTreeMap<DisputeKey, Balance>,
    /// Blocks whose digest is out of date; none between blocks.
    #[codec(skip)]
    pub(crate) unsealed: BTreeSet<BlockNumber>,
}

impl Validity {
    /// Where an included candidate is recorded. One whose head is that of its parent can be included again; its
    /// first block counts, because a verdict takes the chain back before that.
    pub(crate) fn find(&self, key: DisputeKey) -> Option<(BlockNumber, usize)> {
        self.index.places(key).find(|(number, _)| self.blocks.contains_key(number))
    }

    fn record(&mut self, number: BlockNumber, block: IncludedBlock) {
        self.index.add(number, &block);
        self.blocks.insert(number, Arc::new(block));
        self.unsealed.insert(number);
    }

    pub(crate) fn included(&self, key: DisputeKey) -> Option<(&IncludedBlock, &IncludedCandidate)> {
        let (number, position) = self.find(key)?;
        let block = self.blocks.get(&number)?;
        Some((block, block.candidates.get(position)?))
    }

    pub(crate) fn included_mut(&mut self, key: DisputeKey) -> Option<&mut IncludedCandidate> {
        let (number, position) = self.find(key)?;
        self.unsealed.insert(number);
        Arc::make_mut(self.blocks.get_mut(&number)?).candidates.get_mut(position)
    }

    /// The code of a candidate that is disputed.
    pub(crate) fn disputed_code(&self, hash: ValidationCodeHash) -> Option<&ValidationCode> {
        let dispute = self.disputes.values().find(|dispute| dispute.code_hash() == Some(hash))?;
        dispute.validation_code.as_ref()
    }

    /// A dispute can be open for longer than its session is known.
    pub(crate) fn oldest_disputed_session(&self) -> Option<SessionIndex> {
        self.disputes.keys().next().map(|(session, _)| *session)
    }

    /// Whether there is anything that may end with the time.
    fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.disputes.is_empty()
    }
}

impl State {
    /// Whether a candidate was judged invalid: it is never backed.
    pub fn is_blacklisted(&self, session: SessionIndex, candidate: CandidateHash) -> bool {
        self.validity.blacklist.contains(&(session, candidate))
    }

    /// The core on which a candidate of this session is pending availability.
    pub(crate) fn pending_core(&self, (session, candidate): DisputeKey) -> Option<CoreIndex> {
        let is_it = |(_, pending): &(&CoreIndex, &Arc<PendingCandidate>)| pending.hash == candidate;
        let pending = self.inclusion.pending.iter().find(is_it).filter(|_| session == self.session_index());
        pending.map(|(core, _)| *core)
    }

    /// Takes from a validator what it has not paid yet, records why, and leaves the amount with the caller.
    fn penalize(
        &mut self,
        dispute: &Dispute,
        validator: ValidatorIndex,
        reason: PenaltyReason,
        outcome: &mut Outcome,
    ) -> u128 {
        let Some(public) = dispute.validators.get(validator.as_usize()) else {
            return 0;
        };
        let now = self.number();
        let slashing = Arc::make_mut(&mut self.slashing);
        let penalty = slashing.penalize(dispute.session, validator, *public, reason, now);
        let amount = penalty.as_ref().map_or(0, |penalty| penalty.amount);
        outcome.penalties.extend(penalty);
        amount
    }

    fn deposit(&mut self, amount: u128) {
        if amount > 0 {
            Arc::make_mut(&mut self.balances).deposit(amount);
        }
    }
}

/// Initialization: what the time decides.
pub(crate) fn initialize(state: &mut State, outcome: &mut Outcome) {
    if state.validity.is_empty() {
        return;
    }
    note_parent_hash(state);
    verdict::time_outs(state, outcome);
    let now = state.number();
    let period = state.configuration().acceptance_period;
    let over = |number: BlockNumber| number.checked_add(period).is_some_and(|end| end < now);
    let numbers: Vec<_> = state.validity.blocks.keys().copied().take_while(|number| over(*number)).collect();
    forget_blocks(state, numbers.into_iter(), outcome);
}

/// The parent's hash is known now, if it included something.
fn note_parent_hash(state: &mut State) {
    let Some(parent) = state.system.ancestors.last().copied() else {
        return;
    };
    if state.validity.blocks.contains_key(&parent.number) {
        let validity = Arc::make_mut(&mut state.validity);
        if let Some(block) = validity.blocks.get_mut(&parent.number) {
            Arc::make_mut(block).hash = Some(parent.hash);
            validity.unsealed.insert(parent.number);
        }
    }
}

/// The acceptance period of these blocks is over; reports on what nobody disputed were wrong.
fn forget_blocks(state: &mut State, numbers: impl Iterator<Item = BlockNumber>, outcome: &mut Outcome) {
    for number in numbers {
        let Some(block) = Arc::make_mut(&mut state.validity).blocks.remove(&number) else {
            continue;
        };
        for candidate in block.candidates.iter().filter(|candidate| !candidate.reports.is_empty()) {
            let key = (block.session, candidate.hash);
            let is_open = state.validity.disputes.contains_key(&key);
            let fate = if is_open { fishermen::Fate::Returned } else { fishermen::Fate::Lost };
            fishermen::settle(state, key, &candidate.reports, fate, outcome);
        }
        let oldest = state.validity.blocks.keys().next().copied().unwrap_or(state.number());
        Arc::make_mut(&mut state.validity).index.forget_before(oldest);
    }
}

/// Candidates have become available and are included by this block.
pub(crate) fn record_included(
    state: &mut State,
    available: &[(CoreIndex, Arc<PendingCandidate>)],
    outcome: &mut Outcome,
) {
    if available.is_empty() {
        return;
    }
    let (session, number) = (state.session_index(), state.number());
    let validators = state.validators().len();
    let reports = fishermen::take_early(state, available.iter().map(|(_, pending)| (session, pending.hash)));
    let candidates = available.iter().zip(reports).map(|((core, pending), reports)| {
        let group_len = state.scheduler.group_validators(pending.backing_group).map_or(0, <[_]>::len);
        let mut checks = Bits::repeat(false, validators);
        for (_, backer, _) in pending.backers.iter() {
            mark(&mut checks, *backer);
        }
        IncludedCandidate {
            hash: pending.hash,
            receipt: Arc::clone(&pending.receipt),
            core: *core,
            group: pending.backing_group,
            group_len: u32::try_from(group_len).unwrap_or(u32::MAX),
            votes: pending.backers.to_vec(),
            checks,
            unavailable: Vec::new(),
            reports,
        }
    });
    let system = &state.system;
    let block = IncludedBlock {
        session,
        hash: None,
        parent_hash: system.ancestors.last().map(|parent| parent.hash).unwrap_or_default(),
        slot: system.slot,
        author: system.author,
        vrf_output: system.vrf_output,
        candidates: candidates.collect(),
        digest: Hash::ZERO,
    };
    let keys: Vec<_> = block.candidates.iter().map(|candidate| (session, candidate.hash)).collect();
    Arc::make_mut(&mut state.validity).record(number, block);
    for key in keys {
        disputes::became_local(state, key, outcome);
    }
}

/// Sets a validator's bit and tells whether it was not set.
pub(crate) fn mark(bits: &mut Bits, validator: ValidatorIndex) -> bool {
    bits.get_mut(validator.as_usize()).is_some_and(|mut bit| !std::mem::replace(&mut *bit, true))
}

/// Finalization: bounties that no report has earned, digests of what changed.
pub(crate) fn finalize(state: &mut State) {
    verdict::pay_bounties(state);
    if state.validity.unsealed.is_empty() {
        return;
    }
    let validity = Arc::make_mut(&mut state.validity);
    for number in std::mem::take(&mut validity.unsealed) {
        if let Some(block) = validity.blocks.get_mut(&number) {
            Arc::make_mut(block).seal();
        }
    }
}

/// Sessions before `oldest` are over for good: nothing of them can be contested any more.
pub(crate) fn on_session_change(state: &mut State, oldest: SessionIndex, outcome: &mut Outcome) {
    let old: Vec<_> =
        state.validity.blocks.iter().filter(|(_, block)| block.session < oldest).map(|(number, _)| *number).collect();
    forget_blocks(state, old.into_iter(), outcome);
    fishermen::forget_early(state, oldest, outcome);
    let validity = &state.validity;
    let is_old = |(session, _): &DisputeKey| *session < oldest;
    // Blocks of that slot can be of the session that followed, which can be reported for one session more.
    let is_over = |reported: &SessionIndex| reported.saturating_add(PAST_SESSIONS_KEPT) < oldest;
    let has_old = validity.settled.keys().any(is_old)
        || validity.blacklist.iter().any(is_old)
        || validity.reported.iter().any(|(key, _)| is_old(key))
        || validity.equivocations.values().any(is_over);
    if has_old {
        let validity = Arc::make_mut(&mut state.validity);
        validity.settled.retain(|key, _| !is_old(key));
        validity.blacklist.retain(|key| !is_old(key));
        validity.reported.retain(|(key, _)| !is_old(key));
        validity.equivocations.retain(|_, reported| !is_over(reported));
    }
}
