//! Inclusion module (RT-5): candidates from being backed to being available, and what they leave behind.
//!
//! Stores: the candidates that are pending availability, by core. Bitfields are not kept: bits accumulate in the
//! candidates.
//!
//! Entry points: none of its own. The inherent calls [`process_bitfields`], [`Inclusion::collect_pending`], and
//! `check_candidate` for each backed candidate.
//!
//! Order: between scheduler and validity. It has nothing to do when a block begins or ends; a session change clears
//! it.

use codec::Encode;
use primitives::{
    Bits, BlockNumber, CandidateEvent, CandidateHash, CommittedCandidateReceipt, CoreIndex, GroupIndex, Hash,
    SigningContext, UncheckedSignedAvailabilityBitfield, ValidatorId, ValidatorIndex, supermajority_threshold,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    DisputeVote, SignatureOf, State,
    bit_matrix::{self, CoreMask, Rows, WORD_BITS},
    outcome::Outcome,
    validity,
    verifier::Signatures,
};

/// A backed candidate that occupies its core until enough validators hold their chunks.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct PendingCandidate {
    /// Its name; stands for the receipt in the state root.
    pub hash: CandidateHash,
    /// The receipt with commitments, shared between forks.
    #[codec(skip)]
    pub receipt: Arc<CommittedCandidateReceipt>,
    /// A bit per validator that holds its chunk.
    pub availability: Bits,
    /// Height of the relay parent.
    pub relay_parent_number: BlockNumber,
    /// The block in which it was backed.
    pub backed_in_number: BlockNumber,
    /// The group that backed it.
    pub backing_group: GroupIndex,
    /// Stands for `backers` in the state root.
    pub backing_hash: Hash,
    /// Who backed it, fit to be told to another fork.
    #[codec(skip)]
    pub backers: Arc<[DisputeVote]>,
}

/// Why the bitfields of a block are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// More bitfields than validators.
    #[error("{found} bitfields, there are {validators} validators")]
    TooMany {
        /// How many.
        found: usize,
        /// How many validators.
        validators: usize,
    },
    /// There is no such validator.
    #[error("bitfield of unknown validator {0}")]
    UnknownValidator(ValidatorIndex),
    /// Duplicate, or out of order.
    #[error("bitfield of validator {second} follows that of {first}, expected ascending validators")]
    Order {
        /// The earlier bitfield's.
        first: ValidatorIndex,
        /// The later bitfield's.
        second: ValidatorIndex,
    },
    /// Not one bit per core.
    #[error("bitfield of validator {validator} has {found} bits, expected {expected}")]
    Length {
        /// Whose it is.
        validator: ValidatorIndex,
        /// Number of bits.
        found: usize,
        /// Number of cores.
        expected: usize,
    },
}

/// Candidates pending availability, by core: a para has at most one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub(crate) struct Inclusion {
    pub(crate) pending: BTreeMap<CoreIndex, Arc<PendingCandidate>>,
}

impl Inclusion {
    /// Bits accumulate: a later 0 withdraws nothing. A bitfield with a bit for a free core is skipped whole,
    /// because its author sees another fork; unless it is this very block that `freed` the core.
    ///
    /// `bitfields` are ascending by validator, with a bit per core each.
    fn apply_bits(&mut self, bitfields: &[UncheckedSignedAvailabilityBitfield], freed: &BTreeSet<CoreIndex>) {
        let mut occupied = CoreMask::default();
        for core in self.pending.keys().chain(freed) {
            occupied.set(core.as_usize());
        }
        let cores = bitfields.first().map_or(0, |bitfield| bitfield.payload.0.len());
        let word = |bitfield: &UncheckedSignedAvailabilityBitfield| bitfield.validator_index.as_usize() / WORD_BITS;
        for bitfields in bitfields.chunk_by(|one, next| word(one) == word(next)) {
            let mut said = Rows::EMPTY;
            for bitfield in bitfields {
                let mask = CoreMask::of(&bitfield.payload.0);
                if mask.is_within(&occupied) {
                    said.set(bitfield.validator_index.as_usize() % WORD_BITS, &mask);
                }
            }
            said.transpose(cores);
            let position = bitfields.first().map_or(0, word);
            for (core, pending) in &mut self.pending {
                let votes = said.of_core(core.as_usize());
                // Made with as many bits as there are validators, from the first bit of the first byte on.
                if bit_matrix::lacks(pending.availability.as_raw_slice(), position, votes) {
                    bit_matrix::set_word(Arc::make_mut(pending).availability.as_raw_mut_slice(), position, votes);
                }
            }
        }
    }

    /// Takes out the candidates that are available now, by core.
    fn take_available(&mut self, validators: usize) -> Vec<(CoreIndex, Arc<PendingCandidate>)> {
        let needed = supermajority_threshold(validators);
        self.take(|_, pending| pending.availability.count_ones() >= needed)
    }

    /// Takes out the candidates for which `is_over` holds, given core and block of backing.
    pub(crate) fn collect_pending(
        &mut self,
        is_over: impl Fn(CoreIndex, BlockNumber) -> bool,
    ) -> Vec<(CoreIndex, Arc<PendingCandidate>)> {
        self.take(|core, pending| is_over(core, pending.backed_in_number))
    }

    fn take(
        &mut self,
        which: impl Fn(CoreIndex, &PendingCandidate) -> bool,
    ) -> Vec<(CoreIndex, Arc<PendingCandidate>)> {
        let cores = self.pending.iter().filter(|(core, pending)| which(**core, pending));
        let cores: Vec<_> = cores.map(|(core, _)| *core).collect();
        cores.into_iter().filter_map(|core| Some((core, self.pending.remove(&core)?))).collect()
    }
}

/// Checks the bitfields, which are signed for the parent block, and collects their signatures.
pub(crate) fn check_bitfields(
    state: &State,
    bitfields: &[UncheckedSignedAvailabilityBitfield],
    context: &SigningContext,
    signatures: &mut Signatures,
) -> Result<(), BitfieldError> {
    check_order(state, bitfields)?;
    for bitfield in bitfields {
        check_bitfield(state, bitfield, context, signatures)?;
    }
    Ok(())
}

/// At most one of each validator, ascending.
fn check_order(state: &State, bitfields: &[UncheckedSignedAvailabilityBitfield]) -> Result<(), BitfieldError> {
    let validators = state.validators().len();
    if bitfields.len() > validators {
        return Err(BitfieldError::TooMany { found: bitfields.len(), validators });
    }
    for pair in bitfields.windows(2) {
        let (first, second) = (pair[0].validator_index, pair[1].validator_index);
        if first >= second {
            return Err(BitfieldError::Order { first, second });
        }
    }
    Ok(())
}

/// Checks one bitfield by itself.
pub(crate) fn check_bitfield(
    state: &State,
    bitfield: &UncheckedSignedAvailabilityBitfield,
    context: &SigningContext,
    signatures: &mut Signatures,
) -> Result<(), BitfieldError> {
    let public = check_shape(state, bitfield)?;
    let message = bitfield.to_message(context, public);
    signatures.push(SignatureOf::Bitfield(bitfield.validator_index), message);
    Ok(())
}

/// A known validator's, with one bit per core.
fn check_shape<'a>(
    state: &'a State,
    bitfield: &UncheckedSignedAvailabilityBitfield,
) -> Result<&'a ValidatorId, BitfieldError> {
    let validator = bitfield.validator_index;
    let public = state.validators().get(validator.as_usize()).ok_or(BitfieldError::UnknownValidator(validator))?;
    let (found, expected) = (bitfield.payload.0.len(), state.scheduler.cores.len());
    if found != expected {
        return Err(BitfieldError::Length { validator, found, expected });
    }
    Ok(public)
}

impl State {
    /// The cores that a block with these bitfields would free: all that it does with them, but for their signatures,
    /// is done to a copy and thrown away.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn cores_freed_by(
        &self,
        bitfields: &[UncheckedSignedAvailabilityBitfield],
    ) -> Result<Vec<CoreIndex>, BitfieldError> {
        check_order(self, bitfields)?;
        for bitfield in bitfields {
            check_shape(self, bitfield)?;
        }
        Ok(process_bitfields(&mut self.clone(), bitfields, &BTreeSet::new(), &mut Outcome::default()))
    }
}

/// Applies checked bitfields, includes what they make available, and tells which cores that frees.
pub(crate) fn process_bitfields(
    state: &mut State,
    bitfields: &[UncheckedSignedAvailabilityBitfield],
    freed: &BTreeSet<CoreIndex>,
    outcome: &mut Outcome,
) -> Vec<CoreIndex> {
    if bitfields.is_empty() {
        // No candidate becomes available without a vote, and what does not change is not copied.
        return Vec::new();
    }
    let validators = state.validators().len();
    let inclusion = Arc::make_mut(&mut state.inclusion);
    inclusion.apply_bits(bitfields, freed);
    let available = inclusion.take_available(validators);
    for (core, pending) in &available {
        enact_candidate(state, pending);
        outcome.events.push(CandidateEvent::Included(
            pending.receipt.to_receipt(),
            pending.receipt.commitments.head_data.clone(),
            *core,
            pending.backing_group,
        ));
    }
    validity::record_included(state, &available, outcome);
    available.into_iter().map(|(core, _)| core).collect()
}

/// The candidate is included: its head, its new code and its messages count from now on.
fn enact_candidate(state: &mut State, pending: &PendingCandidate) {
    let para = pending.receipt.descriptor.para_id();
    let commitments = &pending.receipt.commitments;
    let delay = state.configuration().validation_upgrade_delay;
    let now = state.number();
    let paras = Arc::make_mut(&mut state.paras);
    if let Some(code) = &commitments.new_validation_code {
        let expected_at = pending.relay_parent_number.saturating_add(delay);
        paras.schedule_code_upgrade(para, code.clone(), expected_at);
    }
    let head = commitments.head_data.clone();
    paras.note_new_head(para, head, pending.relay_parent_number, now);
    Arc::make_mut(&mut state.messages).enact(para, commitments);
}
