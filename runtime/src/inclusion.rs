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

use codec::{Encode, Output};
use primitives::{
    Bits, BlockNumber, CandidateEvent, CandidateHash, CandidateReceipt, CommittedCandidateReceipt, CoreIndex,
    GroupIndex, Hash, SigningContext, UncheckedSignedAvailabilityBitfield, ValidatorId, ValidatorIndex,
    supermajority_threshold,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    DisputeVote, SignatureOf, State,
    bit_matrix::{self, CoreMask, Rows, WORD_BITS},
    error::out_of_order,
    outcome::Outcome,
    validity,
    verifier::Signatures,
};

/// A backed candidate that occupies its core until enough validators hold their chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCandidate {
    /// Its name; stands for the receipt in the state root.
    pub hash: CandidateHash,
    /// The receipt with commitments, shared between forks.
    pub receipt: Arc<CommittedCandidateReceipt>,
    /// Of its commitments, as `hash` covers it.
    pub commitments_hash: Hash,
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
    pub backers: Arc<[DisputeVote]>,
}

impl PendingCandidate {
    /// The receipt without the commitments, which are not hashed again.
    pub fn to_receipt(&self) -> CandidateReceipt {
        CandidateReceipt { descriptor: self.receipt.descriptor.clone(), commitments_hash: self.commitments_hash }
    }
}

/// Without receipt and backers, for which their hashes stand.
impl Encode for PendingCandidate {
    fn encode_to<O: Output + ?Sized>(&self, dest: &mut O) {
        self.hash.encode_to(dest);
        primitives::encode_bits(&self.availability, dest);
        (self.relay_parent_number, self.backed_in_number, self.backing_group, self.backing_hash).encode_to(dest);
    }
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
    /// `bitfields` are ascending by validator, of whom there are `validators`, with a bit per core each. Takes out and
    /// returns the candidates that are available now.
    fn apply_bits(
        &mut self,
        bitfields: &[UncheckedSignedAvailabilityBitfield],
        freed: &BTreeSet<CoreIndex>,
        validators: usize,
    ) -> Vec<(CoreIndex, Arc<PendingCandidate>)> {
        let mut occupied = CoreMask::default();
        for core in self.pending.keys().chain(freed) {
            occupied.set(core.as_usize());
        }
        let mut said = vec![Rows::EMPTY; validators.div_ceil(WORD_BITS)];
        for bitfield in bitfields {
            let (validator, mask) = (bitfield.validator_index.as_usize(), CoreMask::of(&bitfield.payload.0));
            if let Some(rows) = said.get_mut(validator / WORD_BITS).filter(|_| mask.is_within(&occupied)) {
                rows.set(validator % WORD_BITS, &mask);
            }
        }
        let cores = bitfields.first().map_or(0, |bitfield| bitfield.payload.0.len());
        for rows in &mut said {
            rows.transpose(cores);
        }
        let needed = supermajority_threshold(validators);
        let mut available = Vec::new();
        for (core, pending) in &mut self.pending {
            let votes = said.iter().map(|rows| rows.of_core(core.as_usize()));
            // Made with as many bits as there are validators, from the first bit of the first byte on.
            let (all, is_new) = bit_matrix::union(pending.availability.as_raw_slice(), votes.clone());
            if all >= needed {
                available.push((*core, Arc::clone(pending)));
            } else if is_new {
                bit_matrix::add(Arc::make_mut(pending).availability.as_raw_mut_slice(), votes);
            }
        }
        for (core, _) in &available {
            self.pending.remove(core);
        }
        available
    }

    /// Takes out the candidates for which `is_over` holds, given core and block of backing.
    pub(crate) fn collect_pending(
        &mut self,
        is_over: impl Fn(CoreIndex, BlockNumber) -> bool,
    ) -> Vec<(CoreIndex, Arc<PendingCandidate>)> {
        let over = self.pending.iter().filter(|(core, pending)| is_over(**core, pending.backed_in_number));
        let cores: Vec<_> = over.map(|(core, _)| *core).collect();
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
    match out_of_order(bitfields.iter().map(|bitfield| bitfield.validator_index)) {
        Some((first, second)) => Err(BitfieldError::Order { first, second }),
        None => Ok(()),
    }
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
    let available = inclusion.apply_bits(bitfields, freed, validators);
    for (core, pending) in &available {
        enact_candidate(state, pending);
        outcome.events.push(CandidateEvent::Included(
            pending.to_receipt(),
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
    Arc::make_mut(&mut state.messages).enact(para, commitments, now);
}
