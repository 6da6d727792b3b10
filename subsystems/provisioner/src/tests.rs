//! The subsystem among scripted neighbours: six validators in two groups of three; core 0 is para 7's, core 1 para 5's.

use messages::provisioner::{BackableCandidate, Bitfield, RequestBlockAuthorshipData};
use messages::runtime_api::{Inbox as Questions, RuntimeApi};
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash};
use mocks::{Harness, Waiting};
use primitives::descriptor::DescriptorFields;
use primitives::{
    Bits, CandidateDescriptor, CandidateHash, CoreIndex, CoreState, GroupIndex, HeadData, OccupiedCore,
    OccupiedCoreAssumption, ParaId, PersistedValidationData, ScheduledCore, ValidatorIndex,
};

use super::*;

const SEEDS: [u64; 3] = [1, 2, 3];
const GENESIS: u8 = 0;
const PARENT: u8 = 0xaa;

struct Scene {
    harness: Harness,
    chain: TestChain,
    validators: Validators,
}

fn next_up(para: u32) -> ScheduledCore {
    ScheduledCore { para_id: ParaId(para), collator: None }
}

fn occupied(pending: &Candidate, holders: u32, time_out_at: u32) -> CoreState {
    let mut availability = Bits::repeat(false, 6);
    (0..holders as usize).for_each(|index| availability.set(index, true));
    let para = pending.committed.descriptor.para_id();
    CoreState::Occupied(Box::new(OccupiedCore {
        next_up_on_available: Some(next_up(para.0)),
        occupied_since: 1,
        time_out_at,
        next_up_on_time_out: Some(next_up(para.0)),
        availability,
        group_responsible: GroupIndex(0),
        candidate_hash: pending.hash(),
        candidate_descriptor: pending.committed.descriptor.clone(),
    }))
}

fn free() -> Vec<CoreState> {
    vec![CoreState::Scheduled(next_up(7)), CoreState::Scheduled(next_up(5))]
}

/// A candidate of core 0's para at the parent; other contents make another.
fn candidate(content: u8) -> Candidate {
    CandidateBuilder::new(7, 0, hash(PARENT)).block_data(vec![content; 10]).build()
}

impl Scene {
    /// The parent is an active leaf at height 2, on top of genesis.
    fn new(seed: u64, cores: Vec<CoreState>) -> Self {
        Self::with(seed, cores, ProvisionerSubsystem::new())
    }

    fn with(seed: u64, cores: Vec<CoreState>, subject: ProvisionerSubsystem) -> Self {
        let validators = Validators::new(6, 2);
        let harness = Harness::new(seed, move |_| subject);
        let (chain, genesis) = TestChain::new(hash(GENESIS), 1);
        chain.serve(&harness);
        let scene = Self { harness, chain, validators };
        scene.set(hash(PARENT), cores);
        scene.harness.signal(genesis);
        scene.harness.signal(scene.chain.import(hash(PARENT), hash(GENESIS), 2, 1));
        scene
    }

    fn set(&self, at: Hash, cores: Vec<CoreState>) {
        let session = Some(Arc::new(self.validators.context.clone()));
        let validation_data = Some(candidate(1).validation_data);
        self.chain.set(at, AtBlock { session, cores, validation_data, ..AtBlock::default() });
    }

    fn backable(&self, candidate: &Candidate, group: usize, positions: &[usize]) {
        let core = candidate.committed.descriptor.core_index().unwrap();
        let backed = self.validators.backed(candidate, core, group, positions);
        self.harness.tell(BackableCandidate { relay_parent: candidate.relay_parent(), backed });
    }

    fn bitfield(&self, validator: u32, bits: &[bool]) {
        let signed = self.validators.bitfield(validator, hash(PARENT), bits);
        self.harness.tell(Bitfield { relay_parent: hash(PARENT), signed });
    }

    fn request(&self, parent: Hash) -> Waiting<Answer> {
        self.harness.ask(RequestBlockAuthorshipData { parent })
    }

    fn answer(&self, parent: Hash) -> InherentData {
        let waiting = self.request(parent);
        waiting.take().expect("an answer").expect("not dropped").expect("inherent data")
    }

    fn candidates(&self) -> Vec<CandidateHash> {
        self.answer(hash(PARENT)).backed_candidates.iter().map(primitives::BackedCandidate::hash).collect()
    }
}

#[test]
fn offers_one_candidate_per_core_ascending_by_para() {
    for seed in SEEDS {
        let scene = Scene::new(seed, free());
        let (first, second) = (candidate(1), candidate(2));
        let other = CandidateBuilder::new(5, 1, hash(PARENT)).build();
        scene.backable(&first, 0, &[0, 1]);
        scene.backable(&second, 0, &[0, 1, 2]);
        scene.backable(&other, 1, &[1, 2]);
        let answer = scene.answer(hash(PARENT));
        let hashes: Vec<_> = answer.backed_candidates.iter().map(primitives::BackedCandidate::hash).collect();
        assert_eq!(hashes, [other.hash(), first.hash()]);
        assert!(answer.bitfields.is_empty() && answer.disputes.is_empty());
        assert_eq!(answer.parent_header.number, 2);
        scene.harness.finish();
    }
}

#[test]
fn more_votes_replace_fewer_and_the_policy_can_be_changed() {
    let scene = Scene::with(1, free(), ProvisionerSubsystem::with_choice(Arc::new(MostVotes)));
    let (first, second) = (candidate(1), candidate(2));
    scene.backable(&first, 0, &[0, 1]);
    scene.backable(&second, 0, &[0, 1]);
    assert_eq!(scene.candidates(), [first.hash()]);
    scene.backable(&second, 0, &[0, 1, 2]);
    assert_eq!(scene.candidates(), [second.hash()]);
    scene.backable(&second, 0, &[0, 1]);
    assert_eq!(scene.answer(hash(PARENT)).backed_candidates[0].validity_votes().len(), 3);
    scene.harness.finish();
}

#[test]
fn what_the_runtime_would_refuse_is_not_offered() {
    let scene = Scene::new(1, free());
    scene.backable(&candidate(1), 0, &[0]);
    scene.backable(&CandidateBuilder::new(5, 0, hash(PARENT)).build(), 0, &[0, 1]);
    scene.backable(&CandidateBuilder::new(7, 1, hash(PARENT)).build(), 1, &[0, 1]);
    let stale_head = CandidateBuilder { parent_head: HeadData(vec![9]), ..CandidateBuilder::new(7, 0, hash(PARENT)) };
    scene.backable(&stale_head.build(), 0, &[0, 1]);
    let other_session = CandidateBuilder { session_index: 2, ..CandidateBuilder::new(7, 0, hash(PARENT)) };
    scene.backable(&other_session.build(), 0, &[0, 1]);
    // Under the name of another relay parent than its descriptor's.
    let backed = scene.validators.backed(&CandidateBuilder::new(7, 0, hash(GENESIS)).build(), CoreIndex(0), 0, &[0, 1]);
    scene.harness.tell(BackableCandidate { relay_parent: hash(PARENT), backed });
    assert_eq!(scene.candidates(), []);
    scene.harness.finish();
}

#[test]
fn parathread_cores_take_the_claims_collator_only() {
    let collator = primitives::Pair::from_name("collator");
    let claim = |name: &str| {
        let collator = Some(primitives::CollatorId(primitives::Pair::from_name(name).public()));
        vec![CoreState::Scheduled(ScheduledCore { para_id: ParaId(7), collator }), CoreState::Free]
    };
    for (name, offered) in [("collator", 1), ("somebody else", 0)] {
        let scene = Scene::new(1, claim(name));
        let mut candidate = candidate(1);
        let fields = candidate.committed.descriptor.fields();
        candidate.committed.descriptor = CandidateDescriptor::sign_v1(fields, &collator, &mut mocks::fixtures::rng());
        let backed = scene.validators.backed(&candidate, CoreIndex(0), 0, &[0, 1]);
        scene.harness.tell(BackableCandidate { relay_parent: hash(PARENT), backed });
        assert_eq!(scene.candidates().len(), offered);
        scene.harness.finish();
    }
}

#[test]
fn bitfields_are_sorted_single_and_of_occupied_cores() {
    let scene = Scene::new(1, vec![occupied(&candidate(9), 0, 100), CoreState::Free]);
    scene.bitfield(3, &[true, false]);
    scene.bitfield(1, &[false, false]);
    scene.bitfield(1, &[true, false]);
    scene.bitfield(2, &[false, true]);
    scene.bitfield(4, &[true]);
    let answer = scene.answer(hash(PARENT));
    let sent: Vec<_> = answer.bitfields.iter().map(|field| (field.validator_index, field.payload.0[0])).collect();
    assert_eq!(sent, [(ValidatorIndex(1), false), (ValidatorIndex(3), true)]);
    scene.harness.finish();
}

#[test]
fn an_occupied_core_is_offered_only_if_these_bitfields_free_it() {
    for seed in SEEDS {
        // Of six validators five are needed.
        let scene = Scene::new(seed, vec![occupied(&candidate(9), 3, 100), CoreState::Free]);
        let next = candidate(1);
        scene.backable(&next, 0, &[0, 1]);
        scene.bitfield(2, &[true, false]);
        scene.bitfield(3, &[true, false]);
        assert_eq!(scene.candidates(), [], "four hold it, one of them was known");
        scene.bitfield(4, &[true, false]);
        assert_eq!(scene.candidates(), [next.hash()]);
        scene.harness.finish();
    }
}

#[test]
fn assumptions_follow_what_frees_the_core() {
    let scenes = [
        (vec![occupied(&candidate(9), 5, 100)], Some(OccupiedCoreAssumption::Included)),
        (vec![occupied(&candidate(9), 5, 3)], Some(OccupiedCoreAssumption::Included)),
        (vec![occupied(&candidate(9), 4, 3)], Some(OccupiedCoreAssumption::TimedOut)),
        (vec![occupied(&candidate(9), 4, 4)], None),
        (vec![CoreState::Scheduled(next_up(7))], Some(OccupiedCoreAssumption::Free)),
    ];
    for (cores, expected) in scenes {
        let scene = Scene::new(1, Vec::new());
        let (known, at) = (candidate(1).validation_data, hash(PARENT));
        let (context, states) = (Arc::new(scene.validators.context.clone()), Arc::new(cores));
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = asked.clone();
        scene.harness.stub::<RuntimeApi>(move |question| {
            match question {
                Questions::GetSessionContext(_, reply) => drop(reply.answer(Ok(context.clone()))),
                Questions::GetAvailabilityCores(_, reply) => drop(reply.answer(Ok(states.clone()))),
                Questions::GetPersistedValidationData(question, reply) => {
                    assert_eq!(question.at, at);
                    seen.lock().unwrap().push(question.assumption);
                    drop(reply.answer(Ok(Some(known.clone()))));
                }
                other => return Some(other),
            }
            None
        });
        scene.backable(&candidate(1), 0, &[0, 1]);
        assert_eq!(scene.candidates().len(), usize::from(expected.is_some()));
        assert_eq!(*asked.lock().unwrap(), Vec::from_iter(expected));
        scene.harness.finish();
    }
}

/// A candidate at an older relay parent, as it would be built there: its number and state root are that block's.
fn at_older(relay_parent: Hash, number: u32) -> Candidate {
    let mut candidate = CandidateBuilder::new(7, 0, relay_parent).build();
    candidate.validation_data = PersistedValidationData {
        relay_parent_number: number,
        relay_parent_storage_root: Hash::ZERO,
        ..candidate.validation_data
    };
    let persisted_validation_data_hash = candidate.validation_data.hash();
    let fields = DescriptorFields { persisted_validation_data_hash, ..candidate.committed.descriptor.fields() };
    candidate.committed.descriptor = CandidateDescriptor::new_v2(fields, CoreIndex(0), 1).unwrap();
    candidate
}

#[test]
fn older_relay_parents_are_offered_as_far_back_as_allowed() {
    for seed in SEEDS {
        let scene = Scene::new(seed, free());
        let older = at_older(hash(PARENT), 2);
        scene.backable(&older, 0, &[0, 1]);
        // Two ancestors are allowed.
        for (parent, next, number, offered) in [(PARENT, 1, 3, 1), (1, 2, 4, 1), (2, 3, 5, 0)] {
            scene.set(hash(next), free());
            scene.harness.signal(scene.chain.import(hash(next), hash(parent), number, 1));
            assert_eq!(scene.answer(hash(next)).backed_candidates.len(), offered);
        }
        scene.harness.finish();
    }
}

#[test]
fn only_active_leaves_are_authored_on() {
    let scene = Scene::new(1, free());
    for parent in [hash(GENESIS), hash(0x77)] {
        let answer = scene.request(parent).take().unwrap().unwrap();
        assert_eq!(answer, Err(ProvisionError::NotActive(parent)));
    }
    let late = scene.validators.bitfield(0, hash(GENESIS), &[false, false]);
    scene.harness.tell(Bitfield { relay_parent: hash(GENESIS), signed: late });
    scene.harness.finish();
}

#[test]
fn a_chain_without_an_answer_is_an_error() {
    let scene = Scene::new(1, free());
    scene.harness.signal(scene.chain.import(hash(0xbb), hash(PARENT), 3, 1));
    let answer = scene.request(hash(0xbb)).take().unwrap().unwrap();
    assert!(matches!(answer, Err(ProvisionError::Chain(_))), "nothing is known of the state there");
    scene.harness.finish();
}

#[test]
fn authors_are_told_when_the_leaf_stops_or_too_many_ask() {
    for seed in SEEDS {
        let scene = Scene::new(seed, free());
        scene.harness.stub::<RuntimeApi>(Some);
        let waiting: Vec<_> = (0..=REQUESTS_MAX).map(|_| scene.request(hash(PARENT))).collect();
        assert!(matches!(waiting[REQUESTS_MAX].take(), Some(Ok(Err(ProvisionError::Chain(_))))));
        let questions: Vec<_> = (0..REQUESTS_MAX).map(|_| scene.harness.expect::<RuntimeApi>()).collect();
        scene.harness.signal(scene.chain.import(hash(0xbb), hash(PARENT), 3, 1));
        for author in &waiting[..REQUESTS_MAX] {
            assert!(matches!(author.take(), Some(Ok(Err(ProvisionError::NotActive(_))))));
        }
        drop(questions);
        scene.harness.finish();
    }
}

#[test]
fn concludes_while_an_author_waits() {
    for seed in SEEDS {
        let scene = Scene::new(seed, free());
        scene.harness.stub::<RuntimeApi>(Some);
        let waiting = scene.request(hash(PARENT));
        let question = scene.harness.expect::<RuntimeApi>();
        assert!(waiting.take().is_none());
        scene.harness.finish();
        assert!(matches!(waiting.take(), Some(Err(AskError::Dropped { .. }))));
        drop(question);
    }
}
