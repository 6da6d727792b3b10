//! The subsystem alone: the straight path, each refusal, StopWork and Conclude.

use std::sync::Arc;
use std::time::Duration;

use messages::availability_store::{self, AvailabilityStore};
use messages::bitfield_distribution::{BitfieldDistribution, DistributeBitfield, Inbox as DistributionInbox};
use messages::runtime_api::{Inbox as RuntimeInbox, RuntimeApi};
use messages::{ActiveLeaf, LeavesUpdate};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{CandidateBuilder, Validators, hash};
use mocks::keystore::TestKeystore;
use primitives::{
    Bits, CandidateHash, CoreState, GroupIndex, OccupiedCore, ScheduledCore, SigningContext, ValidatorIndex,
};

use crate::{BitfieldSigningSubsystem, state};

const HEAD: u8 = 1;
const DELAY: Duration = Duration::from_millis(300);

fn occupied(core: u32) -> (CandidateHash, CoreState) {
    let candidate = CandidateBuilder::new(100 + core, core, hash(9)).build();
    let state = CoreState::Occupied(Box::new(OccupiedCore {
        next_up_on_available: None,
        occupied_since: 1,
        time_out_at: 9,
        next_up_on_time_out: None,
        availability: Bits::repeat(false, 4),
        group_responsible: GroupIndex(core),
        candidate_hash: candidate.hash(),
        candidate_descriptor: candidate.committed.descriptor.clone(),
    }));
    (candidate.hash(), state)
}

/// Cores: occupied, free, occupied, free but assigned, occupied.
fn cores() -> (Vec<CandidateHash>, Vec<CoreState>) {
    let (first, core_0) = occupied(0);
    let (second, core_2) = occupied(2);
    let (third, core_4) = occupied(4);
    let CoreState::Occupied(core) = &core_0 else { unreachable!() };
    let scheduled = CoreState::Scheduled(ScheduledCore { para_id: core.para_id(), collator: None });
    (vec![first, second, third], vec![core_0.clone(), CoreState::Free, core_2, scheduled, core_4])
}

#[test]
fn bits_stand_at_the_positions_of_their_cores() {
    let (candidates, cores) = cores();
    let expected: Vec<_> = [0, 2, 4].into_iter().zip(candidates).collect();
    assert_eq!(state::pending(&cores), expected);
    let bitfield = state::bitfield(5, &[2, 4]);
    assert_eq!(bitfield.0.iter().by_vals().collect::<Vec<_>>(), [false, false, true, false, true]);
    assert!(state::bitfield(0, &[]).0.is_empty());
}

struct Bench {
    harness: Harness,
    chain: TestChain,
    validators: Validators,
    keystore: Arc<TestKeystore>,
}

impl Bench {
    /// Our keys are those of the validators named; chunks of the second candidate are not held.
    fn new(seed: u64, keys: &[usize], delay: Duration) -> (Self, LeavesUpdate) {
        let validators = Validators::new(4, 2);
        let pairs = keys.iter().map(|index| validators.pairs[*index].clone()).collect();
        let keystore = TestKeystore::new(pairs);
        let ports_keystore = keystore.clone();
        let harness = Harness::new(seed, move |_| BitfieldSigningSubsystem::new(ports_keystore, delay));
        let (chain, update) = TestChain::new(hash(HEAD), 1);
        let (candidates, cores) = cores();
        let session = Some(Arc::new(validators.context.clone()));
        chain.set(hash(HEAD), AtBlock { session, cores, ..AtBlock::default() });
        let missing = candidates[1];
        harness.stub::<AvailabilityStore>(move |inbox| match inbox {
            availability_store::Inbox::QueryChunkAvailability(question, reply) => {
                assert!([ValidatorIndex(1), ValidatorIndex(2)].contains(&question.validator_index));
                let _ = reply.answer(question.candidate_hash != missing);
                None
            }
            other => Some(other),
        });
        (Self { harness, chain, validators, keystore }, update)
    }

    fn distributed(&self) -> DistributeBitfield {
        match self.harness.expect::<BitfieldDistribution>() {
            DistributionInbox::DistributeBitfield(message) => message,
            DistributionInbox::NetworkUpdate(_) => panic!("not a bitfield"),
        }
    }

    fn check(&self, message: &DistributeBitfield, index: u32) {
        assert_eq!(message.relay_parent, hash(HEAD));
        let signed = &message.signed;
        assert_eq!(signed.validator_index(), ValidatorIndex(index));
        let bits: Vec<bool> = signed.payload().0.iter().by_vals().collect();
        assert_eq!(bits, [true, false, false, false, true]);
        let context = SigningContext { session_index: 1, parent_hash: hash(HEAD) };
        assert!(signed.as_unchecked().verify(&context, &self.validators.id(index)));
    }
}

#[test]
fn bitfield_says_what_the_store_holds_after_the_delay() {
    for seed in 0..8 {
        let (bench, update) = Bench::new(seed, &[1], DELAY);
        bench.chain.serve(&bench.harness);
        bench.harness.signal(update);
        bench.harness.expect_nothing();
        bench.harness.run_for(DELAY / 2);
        bench.harness.expect_nothing();
        bench.harness.run_for(DELAY / 2);
        bench.check(&bench.distributed(), 1);
        bench.harness.finish();
    }
}

#[test]
fn each_of_our_keys_signs_for_itself() {
    let (bench, update) = Bench::new(3, &[1, 2], Duration::ZERO);
    bench.chain.serve(&bench.harness);
    bench.harness.signal(update);
    bench.harness.run_for(Duration::from_millis(1));
    bench.check(&bench.distributed(), 1);
    bench.check(&bench.distributed(), 2);
    bench.harness.finish();
}

#[test]
fn without_a_key_in_the_session_nothing_is_asked_but_the_session() {
    let (bench, update) = Bench::new(4, &[], Duration::ZERO);
    bench.harness.signal(update);
    let RuntimeInbox::GetSessionContext(question, reply) = bench.harness.expect::<RuntimeApi>() else {
        panic!("not the session was asked for");
    };
    assert_eq!(question.at, hash(HEAD));
    let _ = reply.answer(Ok(Arc::new(bench.validators.context.clone())));
    bench.harness.run_for(DELAY);
    bench.harness.finish();
}

#[test]
fn refusal_of_the_journal_is_silence() {
    let (bench, update) = Bench::new(5, &[1], Duration::ZERO);
    bench.chain.serve(&bench.harness);
    bench.keystore.refuse(true);
    bench.harness.signal(update);
    bench.harness.run_for(DELAY);
    assert!(bench.keystore.signed().is_empty());
    bench.harness.finish();
}

#[test]
fn chain_that_does_not_answer_costs_this_leaf_only() {
    let (bench, update) = Bench::new(6, &[1], Duration::ZERO);
    bench.chain.serve(&bench.harness);
    let unknown = ActiveLeaf { hash: hash(77), number: 1, session_index: 1, ancestors: Arc::from([]) };
    bench.harness.signal(LeavesUpdate { started: vec![unknown], ..LeavesUpdate::default() });
    bench.harness.run_for(DELAY);
    bench.harness.expect_nothing();
    bench.harness.signal(update);
    bench.harness.run_for(DELAY);
    bench.check(&bench.distributed(), 1);
    bench.harness.finish();
}

#[test]
fn stop_work_before_the_delay_is_over_leaves_nothing_signed() {
    for seed in 0..4 {
        let (bench, update) = Bench::new(seed, &[1], DELAY);
        bench.chain.serve(&bench.harness);
        bench.harness.signal(update);
        bench.harness.run_for(DELAY / 2);
        bench.harness.signal(LeavesUpdate { stopped: vec![hash(HEAD)], ..LeavesUpdate::default() });
        bench.harness.run_for(DELAY);
        assert!(bench.keystore.signed().is_empty());
        bench.harness.finish();
    }
}

#[test]
fn conclude_leaves_nothing_behind() {
    let (bench, update) = Bench::new(8, &[1], DELAY);
    bench.chain.serve(&bench.harness);
    bench.harness.signal(update);
    bench.harness.run_for(DELAY / 2);
    bench.harness.finish();
}
