//! The subsystem among scripted neighbours: we are validator 0 of six, our core is 0, its para is 7.

use std::sync::Mutex;
use std::time::Duration;

use messages::availability_store::{AvailabilityStore, Inbox as StoreInbox, StoreError};
use messages::candidate_backing::{RegisterBackingWatcher, Second, Statement as StatementMessage};
use messages::candidate_selection::{CandidateSelection, Inbox as SelectionInbox};
use messages::candidate_validation::{
    CandidateValidation, Inbox as ValidationInbox, InvalidReason, ValidationFailed, Verdict,
};
use messages::misbehavior_arbitration::MisbehaviorArbitration;
use messages::pov_distribution::{FetchPoVError, Inbox as PovInbox, PoVDistribution};
use messages::provisioner::{Inbox as ProvisionerInbox, Provisioner};
use messages::statement_distribution::{Inbox as SharedInbox, StatementDistribution};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash};
use mocks::keystore::TestKeystore;
use primitives::{ParaId, ScheduledCore, SignedFullStatement, Statement};

use super::*;

const SEEDS: [u64; 4] = [1, 2, 3, 4];
const GENESIS: u8 = 0;
const PARENT: u8 = 0xaa;

struct Scene {
    harness: Harness,
    chain: TestChain,
    keystore: Arc<TestKeystore>,
    validators: Validators,
    stored: Arc<Mutex<usize>>,
}

fn at_block(validators: &Validators) -> AtBlock {
    let core = |para| CoreState::Scheduled(ScheduledCore { para_id: ParaId(para), collator: None });
    AtBlock { session: Some(Arc::new(validators.context.clone())), cores: vec![core(7), core(8)], ..AtBlock::default() }
}

impl Scene {
    /// Validation finds every candidate of these valid, others invalid; the store stores.
    fn new(seed: u64, known: &[Candidate]) -> Self {
        let validators = Validators::new(6, 2);
        let keystore = TestKeystore::new(vec![validators.pairs[0].clone()]);
        let keys = keystore.clone();
        let harness = Harness::new(seed, move |_| CandidateBackingSubsystem::new(keys));
        let (chain, genesis) = TestChain::new(hash(GENESIS), 1);
        chain.serve(&harness);
        chain.set(hash(PARENT), at_block(&validators));
        let known = known.to_vec();
        harness.stub::<CandidateValidation>(move |inbox| match inbox {
            ValidationInbox::ValidateFromChainState(question, reply) => {
                let verdict = match known.iter().find(|candidate| candidate.hash() == question.receipt.hash()) {
                    Some(candidate) => Verdict::Valid(
                        Box::new(candidate.committed.commitments.clone()),
                        candidate.validation_data.clone(),
                    ),
                    None => Verdict::Invalid(InvalidReason::ParaHead),
                };
                drop(reply.answer(Ok(verdict)));
                None
            }
            other => Some(other),
        });
        let stored = Arc::new(Mutex::new(0));
        let counter = stored.clone();
        harness.stub::<AvailabilityStore>(move |inbox| match inbox {
            StoreInbox::StoreAvailableData(_, reply) => {
                *counter.lock().unwrap() += 1;
                drop(reply.answer(Ok(())));
                None
            }
            other => Some(other),
        });
        harness.signal(genesis);
        harness.signal(chain.import(hash(PARENT), hash(GENESIS), 1, 1));
        Self { harness, chain, keystore, validators, stored }
    }

    fn second(&self, candidate: &Candidate) {
        let (receipt, pov) = (candidate.receipt(), candidate.pov.clone());
        self.harness.tell(Second { relay_parent: hash(PARENT), receipt, pov });
        self.pass();
    }

    fn hear(&self, signed: SignedFullStatement) {
        self.harness.tell(StatementMessage { relay_parent: hash(PARENT), signed });
        self.pass();
    }

    /// Coding is charged virtual time.
    fn pass(&self) {
        self.harness.run_for(Duration::from_secs(1));
    }

    fn serve_pov(&self, candidate: &Candidate) {
        let pov = candidate.pov.clone();
        self.harness.stub::<PoVDistribution>(move |inbox| match inbox {
            PovInbox::FetchPoV(question, reply) => {
                let found = Ok(pov.clone()).filter_hash(question.pov_hash);
                drop(reply.answer(found));
                None
            }
            other => Some(other),
        });
    }

    fn shared(&self) -> Statement {
        match self.harness.expect_any_order::<StatementDistribution>() {
            SharedInbox::Share(share) => share.signed.into_payload(),
            SharedInbox::NetworkUpdate(update) => panic!("expected a statement, found {update:?}"),
        }
    }

    fn expect_distributed(&self) {
        assert!(matches!(self.harness.expect_any_order::<PoVDistribution>(), PovInbox::DistributePoV(_)));
    }

    fn expect_backable(&self, votes: usize) {
        match self.harness.expect_any_order::<Provisioner>() {
            ProvisionerInbox::BackableCandidate(message) => assert_eq!(message.backed.validity_votes().len(), votes),
            _ => panic!("expected a backable candidate"),
        }
    }

    fn signed(&self) -> usize {
        self.keystore.signed().len()
    }

    fn stored(&self) -> usize {
        *self.stored.lock().unwrap()
    }
}

trait FilterHash {
    fn filter_hash(self, expected: Hash) -> Self;
}

impl FilterHash for Result<primitives::PoV, FetchPoVError> {
    fn filter_hash(self, expected: Hash) -> Self {
        self.and_then(|pov| if pov.hash() == expected { Ok(pov) } else { Err(FetchPoVError::Unavailable(1)) })
    }
}

fn candidate() -> Candidate {
    CandidateBuilder::new(7, 0, hash(PARENT)).coded_for(6).build()
}

#[test]
fn seconds_a_proposal_and_offers_it_with_a_quorum() {
    for seed in SEEDS {
        let candidate = candidate();
        let scene = Scene::new(seed, std::slice::from_ref(&candidate));
        let watcher = scene.harness.ask(RegisterBackingWatcher { relay_parent: hash(PARENT) });
        scene.second(&candidate);
        assert_eq!(scene.stored(), 1);
        assert_eq!(scene.shared(), Statement::Seconded(Box::new(candidate.committed.clone())));
        scene.expect_distributed();
        assert!(matches!(scene.harness.expect_any_order::<CandidateSelection>(), SelectionInbox::Seconded(_)));
        scene.harness.expect_nothing();
        scene.hear(scene.validators.valid(1, &candidate));
        scene.expect_backable(2);
        let late = scene.harness.ask(RegisterBackingWatcher { relay_parent: hash(PARENT) });
        for watcher in [watcher, late] {
            let mut feed = watcher.take().unwrap().unwrap();
            let next = scene.harness.simulation().run_until(async move { feed.next().await });
            assert_eq!(next.unwrap().unwrap().unwrap().hash(), candidate.hash());
        }
        scene.harness.finish();
    }
}

#[test]
fn attests_what_another_seconded() {
    for seed in SEEDS {
        let candidate = candidate();
        let scene = Scene::new(seed, std::slice::from_ref(&candidate));
        scene.serve_pov(&candidate);
        scene.hear(scene.validators.seconded(2, &candidate));
        assert_eq!(scene.shared(), Statement::Valid(candidate.hash()));
        assert_eq!(scene.stored(), 1);
        scene.expect_distributed();
        scene.expect_backable(2);
        scene.harness.finish();
    }
}

#[test]
fn says_invalid_of_what_another_seconded() {
    for seed in SEEDS {
        let candidate = candidate();
        let scene = Scene::new(seed, &[]);
        scene.serve_pov(&candidate);
        scene.hear(scene.validators.seconded(2, &candidate));
        assert_eq!(scene.shared(), Statement::Invalid(candidate.hash()));
        assert_eq!(scene.stored(), 0);
        let messages::misbehavior_arbitration::Inbox::CandidateValidityDisagreement(told) =
            scene.harness.expect_any_order::<MisbehaviorArbitration>()
        else {
            panic!("expected a disagreement")
        };
        assert_eq!(told.statements.len(), 2);
        scene.harness.finish();
    }
}

#[test]
fn an_invalid_proposal_is_told_to_selection_only() {
    let wrong_root = CandidateBuilder::new(7, 0, hash(PARENT)).build();
    for (known, candidate) in [(vec![], candidate()), (vec![wrong_root.clone()], wrong_root)] {
        let scene = Scene::new(1, &known);
        scene.second(&candidate);
        assert!(matches!(scene.harness.expect::<CandidateSelection>(), SelectionInbox::Invalid(_)));
        assert_eq!((scene.signed(), scene.stored()), (0, 0));
        scene.harness.finish();
    }
}

#[test]
fn nothing_is_signed_unless_stored_and_checked() {
    let candidate = candidate();
    let scene = Scene::new(1, std::slice::from_ref(&candidate));
    scene.harness.stub::<AvailabilityStore>(|inbox| match inbox {
        StoreInbox::StoreAvailableData(_, reply) => {
            drop(reply.answer(Err(StoreError("disk full".to_owned()))));
            None
        }
        other => Some(other),
    });
    scene.second(&candidate);
    assert_eq!(scene.signed(), 0);
    type Script = fn() -> Result<Verdict, ValidationFailed>;
    let scripts: [Script; 2] = [
        || Err(ValidationFailed("worker died".to_owned())),
        || Ok(Verdict::Invalid(InvalidReason::Timeout { limit_ms: 2000 })),
    ];
    for (member, script) in [1, 2].into_iter().zip(scripts) {
        scene.harness.stub::<CandidateValidation>(move |inbox| match inbox {
            ValidationInbox::ValidateFromChainState(_, reply) => {
                drop(reply.answer(script()));
                None
            }
            other => Some(other),
        });
        let other = CandidateBuilder::new(7, 0, hash(PARENT)).block_data(vec![member as u8]).coded_for(6).build();
        scene.serve_pov(&other);
        scene.hear(scene.validators.seconded(member, &other));
    }
    scene.second(&candidate);
    assert!(matches!(scene.harness.expect::<CandidateSelection>(), SelectionInbox::Invalid(_)), "too slow to propose");
    assert_eq!(scene.signed(), 0);
    scene.harness.finish();
}

#[test]
fn silent_when_the_journal_refuses() {
    let candidate = candidate();
    let scene = Scene::new(1, std::slice::from_ref(&candidate));
    scene.keystore.refuse(true);
    scene.second(&candidate);
    scene.keystore.refuse(false);
    scene.serve_pov(&candidate);
    scene.hear(scene.validators.seconded(1, &candidate));
    assert_eq!(scene.signed(), 0);
    scene.harness.finish();
}

#[test]
fn a_pov_that_nobody_gives_is_asked_of_the_next() {
    let candidate = candidate();
    let scene = Scene::new(1, std::slice::from_ref(&candidate));
    scene.serve_pov(&CandidateBuilder::new(7, 0, hash(PARENT)).block_data(vec![1]).build());
    scene.hear(scene.validators.seconded(2, &candidate));
    assert_eq!(scene.signed(), 0);
    scene.serve_pov(&candidate);
    scene.hear(scene.validators.valid(1, &candidate));
    assert_eq!(scene.shared(), Statement::Valid(candidate.hash()));
    scene.expect_distributed();
    scene.expect_backable(2);
    scene.expect_backable(3);
    scene.harness.finish();
}

#[test]
fn work_goes_on_while_the_relay_parent_is_in_view_and_ends_with_it() {
    for seed in SEEDS {
        let candidate = candidate();
        let scene = Scene::new(seed, std::slice::from_ref(&candidate));
        let mut parent = PARENT;
        for number in 2..=4 {
            let next = 0xb0 + number;
            scene.chain.set(hash(next), at_block(&scene.validators));
            scene.harness.signal(scene.chain.import(hash(next), hash(parent), u32::from(number), 1));
            parent = next;
        }
        scene.second(&candidate);
        assert!(matches!(scene.shared(), Statement::Seconded(_)));
        scene.expect_distributed();
        scene.harness.expect_any_order::<CandidateSelection>();
        let watcher = scene.harness.ask(RegisterBackingWatcher { relay_parent: hash(PARENT) });
        let mut feed = watcher.take().unwrap().unwrap();
        scene.harness.signal(scene.chain.import(hash(0xc0), hash(parent), 5, 1));
        let ended = scene.harness.simulation().run_until(async move { feed.next().await });
        assert_eq!(ended.unwrap().map(|next| next.is_none()), Ok(true));
        scene.hear(scene.validators.valid(1, &candidate));
        scene.harness.finish();
    }
}

#[test]
fn a_check_is_dropped_with_its_relay_parent() {
    for seed in SEEDS {
        let candidate = candidate();
        let scene = Scene::new(seed, &[]);
        scene.harness.stub::<CandidateValidation>(Some);
        scene.second(&candidate);
        let ValidationInbox::ValidateFromChainState(_, reply) = scene.harness.expect::<CandidateValidation>() else {
            panic!("expected the question of a backer")
        };
        // A fork from before it becomes final: the relay parent leaves the view at once.
        let fork = scene.chain.import(hash(0xf0), hash(GENESIS), 1, 1);
        scene.harness.signal(fork);
        scene.harness.signal(scene.chain.finalize(hash(0xf0), 1));
        assert!(reply.is_abandoned());
        scene.harness.finish();
    }
}

#[test]
fn concludes_in_the_middle_of_a_check() {
    for seed in SEEDS {
        let candidate = candidate();
        let scene = Scene::new(seed, &[]);
        scene.harness.stub::<CandidateValidation>(Some);
        scene.second(&candidate);
        let question = scene.harness.expect::<CandidateValidation>();
        scene.harness.finish();
        drop(question);
    }
}

#[test]
fn watchers_of_what_is_not_in_view_are_told_so() {
    let scene = Scene::new(1, &[]);
    let watcher = scene.harness.ask(RegisterBackingWatcher { relay_parent: hash(0x99) });
    let mut feed = watcher.take().unwrap().unwrap();
    let ended = scene.harness.simulation().run_until(async move { feed.next().await });
    assert_eq!(ended.unwrap().map(|next| next.is_none()), Ok(true));
    scene.harness.finish();
}

#[test]
fn counts_without_a_key() {
    let validators = Validators::new(6, 2);
    let harness = Harness::new(1, |_| CandidateBackingSubsystem::new(TestKeystore::new(Vec::new())));
    let (chain, genesis) = TestChain::new(hash(GENESIS), 1);
    chain.serve(&harness);
    chain.set(hash(PARENT), at_block(&validators));
    harness.signal(genesis);
    harness.signal(chain.import(hash(PARENT), hash(GENESIS), 1, 1));
    let candidate = candidate();
    for signed in [validators.seconded(0, &candidate), validators.valid(1, &candidate)] {
        harness.tell(StatementMessage { relay_parent: hash(PARENT), signed });
    }
    assert!(matches!(harness.expect::<Provisioner>(), ProvisionerInbox::BackableCandidate(_)));
    harness.finish();
}
