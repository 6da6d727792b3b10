use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use messages::collation_distribution::{CollationDistribution, Inbox};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{CandidateBuilder, Validators, hash};
use mocks::keystore::TestKeystore;
use ports::{Collation, CollationContext, Collator, Keystore as _};
use primitives::{
    BlockData, CandidateCommitments, CollatorId, CoreIndex, CoreState, DescriptorVersion, GroupIndex, HeadData,
    InboundDownwardMessage, OccupiedCore, OccupiedCoreAssumption, Pair, ParaId, PoV, ScheduledCore, ValidationCode,
};

use super::state::{Slot, slots};
use super::{CollationGenerationSubsystem, CollatorConfig};

struct Makes {
    size: usize,
    calls: Arc<AtomicUsize>,
}

#[async_trait]
impl Collator for Makes {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Some(Collation {
            head_data: HeadData([context.validation_data.parent_head.0, vec![1]].concat()),
            new_validation_code: None,
            upward_messages: Default::default(),
            horizontal_messages: Default::default(),
            processed_downward_messages: context.downward_messages.len() as u32,
            hrmp_watermark: 0,
            proof_of_validity: PoV { block_data: BlockData(vec![3; self.size].into()) },
        })
    }
}

fn scheduled(para: u32, collator: Option<CollatorId>) -> CoreState {
    CoreState::Scheduled(ScheduledCore { para_id: ParaId(para), collator })
}

fn run(seed: u64, size: usize, cores: Vec<CoreState>) -> (Harness, Arc<AtomicUsize>, CollatorId) {
    run_at(seed, size, AtBlock { cores, ..AtBlock::default() })
}

fn run_at(seed: u64, size: usize, at: AtBlock) -> (Harness, Arc<AtomicUsize>, CollatorId) {
    let keystore = TestKeystore::collator(Pair::from_name("collator"));
    let id = keystore.collator_id().expect("a collator key");
    let calls = Arc::new(AtomicUsize::new(0));
    let config = CollatorConfig { para_id: ParaId(7), collator: Arc::new(Makes { size, calls: calls.clone() }) };
    let harness = Harness::new(seed, |_| CollationGenerationSubsystem::new(Some(config), keystore));
    let (chain, genesis) = TestChain::new(hash(0), 1);
    chain.serve(&harness);
    let validators = Validators::new(6, 2);
    let candidate = CandidateBuilder::new(7, 1, hash(1)).build();
    let at = AtBlock {
        session: Some(Arc::new(validators.context)),
        validation_data: Some(candidate.validation_data),
        code: Some(ValidationCode(vec![1].into())),
        ..at
    };
    chain.set(hash(0), AtBlock::default());
    chain.set(hash(1), at);
    harness.signal(genesis);
    harness.signal(chain.import(hash(1), hash(0), 1, 1));
    (harness, calls, id)
}

#[test]
fn a_scheduled_para_is_collated_and_distributed() {
    for seed in 0..20 {
        let (harness, _, _) = run(seed, 1000, vec![scheduled(3, None), scheduled(7, None)]);
        let Inbox::DistributeCollation(made) = harness.expect::<CollationDistribution>() else {
            panic!("something else was sent")
        };
        let descriptor = &made.receipt.descriptor;
        assert_eq!((made.core, made.relay_parent), (CoreIndex(1), hash(1)));
        assert_eq!(descriptor.core_index(), Some(CoreIndex(1)));
        assert_eq!(descriptor.pov_hash(), made.pov.hash());
        assert_eq!(descriptor.para_head(), HeadData(vec![1, 1]).hash());
        assert_ne!(descriptor.erasure_root(), hash(0));
        harness.finish();
    }
}

#[test]
fn a_parathread_gets_a_signed_descriptor_from_its_own_collator_only() {
    let id = CollatorId(Pair::from_name("collator").public());
    let (harness, _, _) = run(1, 10, vec![scheduled(7, Some(id))]);
    let Inbox::DistributeCollation(made) = harness.expect::<CollationDistribution>() else {
        panic!("something else was sent")
    };
    assert_eq!(made.receipt.descriptor.version(), DescriptorVersion::V1);
    assert_eq!(made.receipt.descriptor.check_collator_signature(), Ok(id));
    harness.finish();
    let other = CollatorId(Pair::from_name("other").public());
    let (harness, calls, _) = run(1, 10, vec![scheduled(7, Some(other))]);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    harness.finish();
}

#[test]
fn the_collator_is_told_what_waits_for_the_para_behind_the_head_that_it_builds_on() {
    let downward_messages: Vec<_> = (0..3).map(|sent_at| InboundDownwardMessage { sent_at, msg: vec![1] }).collect();
    let mut pending = CandidateBuilder::new(7, 1, hash(1)).build().committed;
    pending.commitments.processed_downward_messages = 2;
    let occupied = CoreState::Occupied(Box::new(OccupiedCore {
        next_up_on_available: Some(ScheduledCore { para_id: ParaId(7), collator: None }),
        occupied_since: 0,
        time_out_at: 9,
        next_up_on_time_out: None,
        availability: Default::default(),
        group_responsible: GroupIndex(0),
        candidate_hash: pending.hash(),
        candidate_descriptor: pending.descriptor.clone(),
    }));
    for (core, pending, told) in [(scheduled(7, None), None, 3), (occupied, Some(pending), 1)] {
        let at =
            AtBlock { cores: vec![core], downward_messages: downward_messages.clone(), pending, ..AtBlock::default() };
        let (harness, _, _) = run_at(1, 10, at);
        let Inbox::DistributeCollation(made) = harness.expect::<CollationDistribution>() else {
            panic!("something else was sent")
        };
        let expected = CandidateCommitments {
            head_data: HeadData(vec![1, 1]),
            processed_downward_messages: told,
            ..CandidateCommitments::default()
        };
        assert_eq!(made.receipt.commitments_hash, expected.hash(), "{told} of them");
        harness.finish();
    }
}

#[test]
fn a_proof_over_the_limit_is_dropped() {
    let (harness, calls, _) = run(1, 11 * 1024 * 1024, vec![scheduled(7, None)]);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    harness.finish();
}

#[test]
fn a_para_on_no_core_makes_nothing() {
    let (harness, calls, _) = run(1, 10, vec![scheduled(3, None), CoreState::Free]);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    harness.finish();
}

#[test]
fn free_and_foreign_cores_are_passed_over() {
    let found = slots(ParaId(7), &[CoreState::Free, scheduled(1, None), scheduled(7, None)], None);
    assert_eq!(found, [Slot { core: CoreIndex(2), assumption: OccupiedCoreAssumption::Free, collator: None }]);
}
