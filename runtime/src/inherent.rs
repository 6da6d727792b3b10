//! Inclusion inherent (RT-6): what the author of a block must put into it, once and first.
//!
//! Stores: nothing. That there is exactly one inherent follows from the shape of a block, which is checked before.
//!
//! Entry points: the inherent itself, without an origin: all it holds carries its own signatures. Whatever is wrong
//! with it makes the block invalid; [`crate::filter_inherent`] takes that out beforehand.
//!
//! Order: dispute votes, bitfields, what they make available, time-outs, the schedule of free cores, candidates, the
//! cores that they occupy. It comes after all modules have begun the block and before all other extrinsics.

use primitives::{
    BackedCandidate, Bits, CandidateEvent, CoreIndex, Hash, InherentData, SigningContext,
    UncheckedSignedAvailabilityBitfield,
};
use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use crate::{
    BlockError, FreedReason, PendingCandidate, State,
    candidates::check_candidate,
    error::out_of_order,
    inclusion::{check_bitfields, process_bitfields},
    limits::MAX_DISPUTE_SETS_PER_BLOCK,
    outcome::Outcome,
    validity::disputes,
    verifier::Signatures,
};

/// Disputes, bitfields, enactment, timeouts, schedule, candidates, occupation. Signatures are collected, not verified.
pub(crate) fn process(
    state: &mut State,
    inherent: &InherentData,
    signatures: &mut Signatures,
    outcome: &mut Outcome,
) -> Result<(), BlockError> {
    let found = inherent.disputes.len();
    if found > MAX_DISPUTE_SETS_PER_BLOCK {
        return Err(BlockError::TooManyDisputes { found, max: MAX_DISPUTE_SETS_PER_BLOCK });
    }
    for set in &inherent.disputes {
        let candidate = set.candidate_hash;
        disputes::process_votes(state, set, signatures, outcome)
            .map_err(|error| BlockError::Dispute { candidate, error })?;
    }
    let context = bitfield_context(state);
    check_bitfields(state, &inherent.bitfields, &context, signatures)?;
    free_cores(state, &inherent.bitfields, outcome);
    let occupied = process_candidates(state, &inherent.backed_candidates, signatures, &mut outcome.events)?;
    Arc::make_mut(&mut state.scheduler).occupied(&occupied).map_err(BlockError::CoreNotScheduled)
}

/// What the bitfields of a block are signed for: its parent, in the session of the block.
pub(crate) fn bitfield_context(state: &State) -> SigningContext {
    SigningContext {
        session_index: state.session_index(),
        parent_hash: state.system.ancestors.last().map(|parent| parent.hash).unwrap_or_default(),
    }
}

/// Includes what the bitfields make available, drops what has timed out, and schedules all free cores.
pub(crate) fn free_cores(state: &mut State, bitfields: &[UncheckedSignedAvailabilityBitfield], outcome: &mut Outcome) {
    let disputed = outcome.freed_cores();
    let mut freed: BTreeMap<CoreIndex, FreedReason> = process_bitfields(state, bitfields, &disputed, outcome)
        .into_iter()
        .map(|core| (core, FreedReason::Concluded))
        .collect();
    let now = state.number();
    let configuration = state.configuration().clone();
    let has_pending = !state.inclusion.pending.is_empty();
    let predicate = state.scheduler.availability_timeout_predicate(&configuration, now);
    if let Some(is_over) = predicate.filter(|_| has_pending) {
        let timed_out = Arc::make_mut(&mut state.inclusion).collect_pending(is_over);
        for (core, pending) in timed_out {
            freed.insert(core, FreedReason::TimedOut);
            outcome.events.push(CandidateEvent::TimedOut(
                pending.to_receipt(),
                pending.receipt.commitments.head_data.clone(),
                core,
            ));
        }
    }
    Arc::make_mut(&mut state.scheduler).schedule(&freed, &configuration, now);
}

fn process_candidates(
    state: &mut State,
    candidates: &[BackedCandidate],
    signatures: &mut Signatures,
    events: &mut Vec<CandidateEvent>,
) -> Result<BTreeSet<CoreIndex>, BlockError> {
    if let Some((first, second)) = out_of_order(candidates.iter().map(|backed| backed.descriptor().para_id())) {
        return Err(BlockError::CandidateOrder { first, second });
    }
    let mut occupied = BTreeSet::new();
    let mut pending = Vec::with_capacity(candidates.len().min(state.scheduler.cores.len()));
    for backed in candidates {
        let checked = check_candidate(state, backed, signatures).map_err(|error| {
            let para = backed.descriptor().para_id();
            BlockError::Candidate { para, error }
        })?;
        let receipt = backed.receipt();
        let head = backed.candidate().commitments.head_data.clone();
        occupied.insert(checked.core);
        pending.push((
            checked.core,
            PendingCandidate {
                hash: receipt.hash(),
                receipt: Arc::new(backed.candidate().clone()),
                commitments_hash: receipt.commitments_hash,
                availability: Bits::repeat(false, state.validators().len()),
                relay_parent_number: checked.relay_parent_number,
                backed_in_number: state.number(),
                backing_group: checked.group,
                backing_hash: Hash::of(&checked.backers),
                backers: checked.backers.into(),
            },
        ));
        events.push(CandidateEvent::Backed(receipt, head, checked.core, checked.group));
    }
    if pending.is_empty() {
        return Ok(occupied);
    }
    let inclusion = Arc::make_mut(&mut state.inclusion);
    for (core, candidate) in pending {
        inclusion.pending.insert(core, Arc::new(candidate));
    }
    Ok(occupied)
}
