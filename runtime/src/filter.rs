//! Before authoring: what execution would refuse is taken out, so that one bad statement costs no block.

use primitives::{
    BackedCandidate, Header, InherentData, MisbehaviorKind, MisbehaviorReport, MultiDisputeStatementSet,
    UncheckedSignedAvailabilityBitfield,
};

use crate::{
    Extrinsic, ReportError, State, Verifier,
    candidates::check_candidate,
    execute::next_number,
    extrinsics::try_apply,
    inclusion::check_bitfield,
    inherent::{self, bitfield_context, free_cores},
    initializer,
    limits::{MAX_DISPUTE_SETS_PER_BLOCK, MAX_REPORTS_PER_BLOCK, MAX_TRANSACTIONS_PER_BLOCK},
    misbehavior::check_report,
    outcome::Outcome,
    validity::disputes::process_votes,
    verifier::{Signatures, bad_groups},
};

/// The inherent without what a block on top of `parent_header`, whose state `parent_state` is, would be
/// refused for, and in the order that a block needs.
pub fn filter_inherent(
    parent_state: &State,
    parent_header: &Header,
    inherent: InherentData,
    verifier: &dyn Verifier,
) -> InherentData {
    let mut filtered = InherentData::empty(parent_header.clone());
    let Ok(number) = next_number(parent_state) else {
        return filtered;
    };
    let mut state = parent_state.clone();
    let mut outcome = Outcome::default();
    initializer::initialize(&mut state, number, parent_header, parent_header.hash(), &mut outcome);
    filtered.disputes = filter_disputes(&mut state, inherent.disputes, verifier, &mut outcome);
    filtered.bitfields = filter_bitfields(&state, inherent.bitfields, verifier);
    free_cores(&mut state, &filtered.bitfields, &mut outcome);
    filtered.backed_candidates = filter_candidates(&state, inherent.backed_candidates, verifier);
    filtered
}

/// The sets of votes that a block may carry, in their order.
fn filter_disputes(
    state: &mut State,
    sets: MultiDisputeStatementSet,
    verifier: &dyn Verifier,
    outcome: &mut Outcome,
) -> MultiDisputeStatementSet {
    let mut kept = Vec::new();
    for set in sets {
        if kept.len() == MAX_DISPUTE_SETS_PER_BLOCK {
            break;
        }
        let mut tried = state.clone();
        let (mut signatures, mut led_to) = (Signatures::default(), Outcome::default());
        let taken = process_votes(&mut tried, &set, &mut signatures, &mut led_to).is_ok();
        if taken && signatures.verify(verifier).is_ok() {
            *state = tried;
            outcome.validity.append(&mut led_to.validity);
            kept.push(set);
        }
    }
    kept
}

/// Of `transactions` those that a block with this (filtered) inherent may carry, in their order.
pub fn filter_extrinsics(
    parent_state: &State,
    parent_header: &Header,
    inherent: &InherentData,
    transactions: Vec<Extrinsic>,
    verifier: &dyn Verifier,
) -> Vec<Extrinsic> {
    let Ok(number) = next_number(parent_state) else {
        return Vec::new();
    };
    let mut state = parent_state.clone();
    let (mut signatures, mut outcome) = (Signatures::default(), Outcome::default());
    initializer::initialize(&mut state, number, parent_header, parent_header.hash(), &mut outcome);
    if inherent::process(&mut state, inherent, &mut signatures, &mut outcome).is_err() {
        return Vec::new();
    }
    let (mut reports, mut others) = (0_usize, 0_usize);
    let mut kept = Vec::new();
    for extrinsic in transactions {
        let (count, max) = match extrinsic {
            Extrinsic::MisbehaviorReport(_) => (&mut reports, MAX_REPORTS_PER_BLOCK),
            _ => (&mut others, MAX_TRANSACTIONS_PER_BLOCK),
        };
        if *count < max && try_apply(&mut state, &extrinsic, verifier).is_ok() {
            *count = count.saturating_add(1);
            kept.push(extrinsic);
        }
    }
    kept
}

fn filter_bitfields(
    state: &State,
    mut bitfields: Vec<UncheckedSignedAvailabilityBitfield>,
    verifier: &dyn Verifier,
) -> Vec<UncheckedSignedAvailabilityBitfield> {
    let context = bitfield_context(state);
    bitfields.sort_by_key(|bitfield| bitfield.validator_index);
    let mut kept = keep_good(bitfields, verifier, |bitfield, signatures| {
        check_bitfield(state, bitfield, &context, signatures).is_ok()
    });
    kept.dedup_by_key(|bitfield| bitfield.validator_index);
    kept
}

fn filter_candidates(
    state: &State,
    mut candidates: Vec<BackedCandidate>,
    verifier: &dyn Verifier,
) -> Vec<BackedCandidate> {
    candidates.sort_by_key(|backed| backed.descriptor().para_id());
    let mut kept =
        keep_good(candidates, verifier, |backed, signatures| check_candidate(state, backed, signatures).is_ok());
    kept.dedup_by_key(|backed| backed.descriptor().para_id());
    kept
}

/// Keeps the items that pass `check` and whose signatures hold. Duplicates are dropped after this, so that a
/// bad one cannot take a good one's place.
fn keep_good<T>(items: Vec<T>, verifier: &dyn Verifier, check: impl Fn(&T, &mut Signatures) -> bool) -> Vec<T> {
    let mut passed = Vec::new();
    let mut groups = Vec::new();
    for item in items {
        let mut signatures = Signatures::default();
        if check(&item, &mut signatures) {
            passed.push(item);
            groups.push(signatures.into_messages());
        }
    }
    let bad = bad_groups(verifier, &groups);
    let kept = passed.into_iter().zip(bad);
    kept.filter(|(_, bad)| !bad).map(|(item, _)| item).collect()
}

impl State {
    /// Checks all of a report but its signatures: whether a block on top may still carry it.
    ///
    /// # Errors
    /// Why it proves nothing, or nothing new.
    pub fn check_report(&self, report: &MisbehaviorReport) -> Result<MisbehaviorKind, ReportError> {
        check_report(self, report).map(|checked| checked.kind)
    }
}
