//! Inclusion inherent (RT-6): the guide's order of steps, once per block.

use primitives::{
    BackedCandidate, Bits, CandidateEvent, CoreIndex, InherentData, SigningContext, UncheckedSignedAvailabilityBitfield,
};
use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use crate::{
    BlockError, FreedReason, PendingCandidate, State,
    candidates::check_candidate,
    inclusion::{check_bitfields, process_bitfields},
    verifier::Signatures,
};

/// Bitfields, enactment, timeouts, schedule, candidates, occupation. Signatures are collected, not verified.
pub(crate) fn process(
    state: &mut State,
    inherent: &InherentData,
    signatures: &mut Signatures,
) -> Result<Vec<CandidateEvent>, BlockError> {
    if !inherent.disputes.is_empty() {
        return Err(BlockError::DisputeVotes(inherent.disputes.len()));
    }
    let context = bitfield_context(state);
    check_bitfields(state, &inherent.bitfields, &context, signatures)?;
    let mut events = free_cores(state, &inherent.bitfields);
    let occupied = process_candidates(state, &inherent.backed_candidates, signatures, &mut events)?;
    Arc::make_mut(&mut state.scheduler).occupied(&occupied).map_err(BlockError::CoreNotScheduled)?;
    Ok(events)
}

/// What the bitfields of a block are signed for: its parent, in the session of the block.
pub(crate) fn bitfield_context(state: &State) -> SigningContext {
    SigningContext {
        session_index: state.session_index(),
        parent_hash: state.system.ancestors.last().map(|parent| parent.hash).unwrap_or_default(),
    }
}

/// Includes what the bitfields make available, drops what has timed out, and schedules all free cores.
pub(crate) fn free_cores(state: &mut State, bitfields: &[UncheckedSignedAvailabilityBitfield]) -> Vec<CandidateEvent> {
    let mut events = Vec::new();
    let mut freed: BTreeMap<CoreIndex, FreedReason> = process_bitfields(state, bitfields, &mut events)
        .into_iter()
        .map(|core| (core, FreedReason::Concluded))
        .collect();
    let now = state.number();
    let configuration = state.configuration().clone();
    let predicate = state.scheduler.availability_timeout_predicate(&configuration, now);
    if let Some(is_over) = predicate {
        let timed_out = Arc::make_mut(&mut state.inclusion).collect_pending(is_over);
        for (core, pending) in timed_out {
            freed.insert(core, FreedReason::TimedOut);
            events.push(CandidateEvent::TimedOut(
                pending.receipt.to_receipt(),
                pending.receipt.commitments.head_data.clone(),
                core,
            ));
        }
    }
    Arc::make_mut(&mut state.scheduler).schedule(&freed, &configuration, now);
    events
}

fn process_candidates(
    state: &mut State,
    candidates: &[BackedCandidate],
    signatures: &mut Signatures,
    events: &mut Vec<CandidateEvent>,
) -> Result<BTreeSet<CoreIndex>, BlockError> {
    for pair in candidates.windows(2) {
        let para = |backed: &BackedCandidate| backed.descriptor().para_id();
        let (first, second) = (para(&pair[0]), para(&pair[1]));
        if first >= second {
            return Err(BlockError::CandidateOrder { first, second });
        }
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
                availability: Bits::repeat(false, state.validators().len()),
                relay_parent_number: checked.relay_parent_number,
                backed_in_number: state.number(),
                backing_group: checked.group,
            },
        ));
        events.push(CandidateEvent::Backed(receipt, head, checked.core, checked.group));
    }
    let inclusion = Arc::make_mut(&mut state.inclusion);
    for (core, candidate) in pending {
        inclusion.pending.insert(core, Arc::new(candidate));
    }
    Ok(occupied)
}
