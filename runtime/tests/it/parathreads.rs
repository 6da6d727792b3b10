//! Parathread claims: queue, retries, collators, timeouts.

use crate::{support::*, transactions};
use primitives::{BackedCandidate, CandidateEvent, CollatorId, CoreState, InherentData, Pair, ParaId, ScheduledCore};
use runtime::{
    BlockError, CandidateError, ClaimError, Governance, GovernanceError, ParaGenesisArgs, ParathreadClaim, SignatureOf,
};

fn collator() -> Pair {
    Pair::from_name("collator")
}

fn claim(para: ParaId) -> Governance {
    Governance::Claim(ParathreadClaim { para, collator: CollatorId(collator().public()) })
}

fn scheduled(para: ParaId) -> Option<ScheduledCore> {
    Some(ScheduledCore { para_id: para, collator: Some(CollatorId(collator().public())) })
}

fn backing(chain: &Chain) -> InherentData {
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![back(chain, &collator())];
    inherent
}

fn back(chain: &Chain, collator: &Pair) -> BackedCandidate {
    let receipt = chain.draft(THREAD, THREAD_CORE).receipt_v1(collator);
    chain.back_with(receipt, THREAD_CORE, usize::MAX)
}

fn core(chain: &Chain) -> CoreState {
    chain.state.availability_cores(chain.state.number() + 1)[2].clone()
}

/// Two parathreads: 3000 and 3001.
fn two_threads() -> Chain {
    let mut chain = Chain::with(9, |genesis| {
        let mut second = genesis.paras[2].clone();
        second.id = ParaId(3001);
        genesis.paras.push(second);
    });
    chain.skip(1);
    chain
}

#[test]
fn a_claim_is_scheduled_backed_and_done_with_when_included() {
    let mut chain = two_threads();
    assert_eq!(core(&chain), CoreState::Free);
    chain.govern(claim(THREAD));
    assert_eq!(core(&chain), CoreState::Scheduled(scheduled(THREAD).unwrap()));
    chain.push(backing(&chain));
    assert!(matches!(core(&chain), CoreState::Occupied(core) if core.next_up_on_available.is_none()));
    let refused = chain.state.governed(claim(THREAD)).unwrap_err();
    assert_eq!(refused, GovernanceError::Claim(ClaimError::AlreadyClaimed(THREAD)));
    let events = chain.push(chain.attesting(9, &[2])).events;
    assert!(matches!(events[..], [CandidateEvent::Included(..)]));
    assert_eq!(core(&chain), CoreState::Free);
    assert!(chain.state.governed(claim(THREAD)).is_ok(), "its claim is no longer indexed");
}

#[test]
fn a_claim_that_is_scheduled_in_vain_too_often_is_dropped() {
    let mut chain = two_threads();
    assert_eq!(chain.state.configuration().parathread_retries, 1);
    chain.govern(claim(THREAD));
    chain.skip(1);
    assert_eq!(core(&chain), CoreState::Scheduled(scheduled(THREAD).unwrap()), "one retry is left");
    chain.skip(1);
    assert_eq!(core(&chain), CoreState::Free);
    assert!(chain.state.governed(claim(THREAD)).is_ok(), "its claim is no longer indexed");
}

#[test]
fn claims_take_turns() {
    let mut chain = two_threads();
    chain.govern(claim(THREAD));
    chain.govern(claim(ParaId(3001)));
    assert_eq!(core(&chain).para_id(), Some(THREAD));
    chain.skip(1);
    assert_eq!(core(&chain).para_id(), Some(ParaId(3001)));
    chain.skip(1);
    assert_eq!(core(&chain).para_id(), Some(THREAD));
    chain.push(backing(&chain));
    let CoreState::Occupied(occupied) = core(&chain) else { panic!("it was backed") };
    assert_eq!(occupied.next_up_on_available, scheduled(ParaId(3001)));
    assert_eq!(occupied.next_up_on_time_out, scheduled(ParaId(3001)));
}

#[test]
fn a_claim_whose_candidate_times_out_is_tried_again_without_a_retry() {
    let mut chain = two_threads();
    chain.govern(claim(THREAD));
    chain.push(backing(&chain));
    let CoreState::Occupied(occupied) = core(&chain) else { panic!("it was backed") };
    assert_eq!(occupied.next_up_on_time_out, scheduled(THREAD));
    assert_eq!(occupied.time_out_at, 10, "the first block after the next rotation");
    chain.skip_to(9);
    let events = chain.push(chain.inherent()).events;
    assert!(matches!(events[..], [CandidateEvent::TimedOut(_, _, THREAD_CORE)]));
    // It was scheduled in that block in vain, which is its first failure.
    assert_eq!(core(&chain), CoreState::Scheduled(scheduled(THREAD).unwrap()));
    chain.skip(1);
    assert_eq!(core(&chain), CoreState::Free);
}

#[test]
fn a_claim_outlives_a_candidate_that_nobody_can_get_hold_of_but_not_one_that_is_invalid() {
    let mut chain = two_threads();
    chain.govern(claim(THREAD));
    chain.push(backing(&chain));
    let candidate = chain.state.pending_candidate(THREAD_CORE).unwrap().hash;
    // Another fork has included it, and was given up.
    let unavailable = transactions::unavailable(&chain, (0, candidate), 7).unwrap();
    let mut judged = chain.clone();
    let everybody: Vec<_> = (0..9).collect();
    judged.dispute(judged.votes(0, candidate, &[], &everybody));
    assert_eq!(core(&judged), CoreState::Free);
    assert!(judged.state.governed(claim(THREAD)).is_ok(), "the claim was used up");
    chain.push_extrinsics(vec![unavailable]);
    assert_eq!(core(&chain), CoreState::Scheduled(scheduled(THREAD).unwrap()));
    let refused = chain.state.governed(claim(THREAD)).unwrap_err();
    assert_eq!(refused, GovernanceError::Claim(ClaimError::AlreadyClaimed(THREAD)));
    // The collator makes another one.
    let mut draft = chain.draft(THREAD, THREAD_CORE);
    draft.commitments.head_data.0.push(1);
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back_with(draft.receipt_v1(&collator()), THREAD_CORE, usize::MAX)];
    chain.push(inherent);
    let events = chain.push(chain.attesting(9, &[2])).events;
    assert!(matches!(events[..], [CandidateEvent::Included(..)]));
}

#[test]
fn only_the_claims_collator_may_author() {
    let mut chain = two_threads();
    chain.govern(claim(THREAD));
    let refusal = |backed: BackedCandidate| {
        let mut inherent = chain.inherent();
        inherent.backed_candidates = vec![backed];
        chain.try_block(inherent, Vec::new()).unwrap_err()
    };
    let thief = Pair::from_name("thief");
    let error =
        CandidateError::WrongCollator { found: CollatorId(thief.public()), expected: CollatorId(collator().public()) };
    assert_eq!(refusal(back(&chain, &thief)), BlockError::Candidate { para: THREAD, error });

    let v2 = chain.back(&chain.draft(THREAD, THREAD_CORE));
    assert!(matches!(refusal(v2), BlockError::Candidate { error: CandidateError::Version { .. }, .. }));

    // The right collator, but the signature is over something else.
    let mut draft = chain.draft(THREAD, THREAD_CORE);
    let signature = draft.receipt_v1(&collator()).descriptor.collator_signature().unwrap();
    draft.commitments.head_data.0.push(9);
    let mut fields = draft.fields();
    fields.pov_hash = primitives::Hash::repeat(9);
    let id = CollatorId(collator().public());
    let receipt = draft.with(primitives::CandidateDescriptor::new_v1(fields, id, signature));
    assert_eq!(
        refusal(chain.back_with(receipt, THREAD_CORE, usize::MAX)),
        BlockError::Signature(SignatureOf::Collator(THREAD_CORE))
    );
}

#[test]
fn claims_are_for_registered_parathreads_only_and_the_queue_is_bounded() {
    let chain = two_threads();
    for para in [ONE, ParaId(9)] {
        assert_eq!(
            chain.state.governed(claim(para)).unwrap_err(),
            GovernanceError::Claim(ClaimError::NoParathread(para))
        );
    }
    let mut chain = Chain::with(9, |genesis| {
        genesis.configuration.scheduling_lookahead = 1;
        let mut second = genesis.paras[2].clone();
        second.id = ParaId(3001);
        genesis.paras.push(second);
    });
    chain.govern(claim(THREAD));
    assert_eq!(
        chain.state.governed(claim(ParaId(3001))).unwrap_err(),
        GovernanceError::Claim(ClaimError::QueueFull { max: 1 })
    );
}

#[test]
fn a_session_change_keeps_claims_but_not_those_of_removed_parathreads() {
    let mut chain = two_threads();
    chain.skip_to(37);
    chain.govern(claim(THREAD));
    chain.push(backing(&chain));
    let mut removed = chain.clone();
    removed.govern(Governance::CleanupPara(THREAD));
    chain.skip(1);
    removed.skip(1);
    assert_eq!((chain.state.number(), chain.state.session_index()), (39, 1));
    assert_eq!(core(&chain), CoreState::Scheduled(scheduled(THREAD).unwrap()));
    assert_eq!(core(&removed), CoreState::Free);
    assert!(removed.state.para_head(THREAD).is_none());
}

#[test]
fn claims_are_spread_anew_when_the_number_of_cores_changes() {
    let mut chain = two_threads();
    let mut configuration = chain.state.configuration().clone();
    configuration.parathread_cores = 2;
    chain.govern(Governance::Configure(Box::new(configuration)));
    chain.skip_to(38);
    chain.govern(claim(THREAD));
    chain.govern(claim(ParaId(3001)));
    chain.skip(1);
    let cores = chain.state.availability_cores(40);
    let paras: Vec<_> = cores.iter().map(CoreState::para_id).collect();
    let waited = [Some(ONE), Some(TWO), Some(ParaId(3001)), Some(THREAD)];
    assert_eq!(paras, waited, "the one that has been scheduled in vain is behind the other");
}

#[test]
fn a_new_parathread_can_be_claimed_from_the_next_session_on() {
    let mut chain = two_threads();
    let args = ParaGenesisArgs {
        genesis_head: primitives::HeadData(vec![1]),
        validation_code: vec![1; 16].into(),
        parachain: false,
    };
    chain.govern(Governance::InitializePara(ParaId(4000), args));
    assert!(chain.state.governed(claim(ParaId(4000))).is_err());
    chain.skip_to(39);
    assert!(chain.state.governed(claim(ParaId(4000))).is_ok());
    assert_eq!(chain.state.availability_cores(40).len(), 3, "a parathread has no core of its own");
}
