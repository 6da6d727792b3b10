use std::sync::Arc;
use std::time::Duration;

use messages::candidate_backing::{self, CandidateBacking, Second};
use messages::candidate_selection::{Invalid, NewCandidate, Seconded};
use messages::collation_distribution::{
    self, CollationDistribution, FetchCollation, FetchCollationError, FetchedCollation,
};
use messages::runtime_api::{self, RuntimeApi};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash, peer, rng};
use mocks::keystore::TestKeystore;
use overseer::Responder;
use overseer::message::Inbox as _;
use overseer::replay::{Tape, replay};
use primitives::{
    CandidateDescriptor, CandidateReceipt, CollatorId, CoreIndex, CoreState, Hash, OccupiedCore, Pair, ParaId,
    ScheduledCore, ValidatorId,
};

use crate::assignment::{Assignment, Unfit, assignment};
use crate::{CandidateSelectionSubsystem, FirstValid, OFFERS_MAX, RandomDelay, SelectionPolicy, Window};

/// Our validator is the fifth of six in two groups, so its core is the second.
const OURS: usize = 4;
const PARA: u32 = 7;

fn pair(name: &str) -> Pair {
    Pair::from_name(name)
}

fn collator(name: &str) -> CollatorId {
    CollatorId(pair(name).public())
}

fn scheduled(para: u32, collator: Option<CollatorId>) -> CoreState {
    CoreState::Scheduled(ScheduledCore { para_id: ParaId(para), collator })
}

fn candidate(number: u8) -> Candidate {
    CandidateBuilder::new(PARA, 1, hash(1)).block_data(vec![number; 50]).build()
}

fn offer_of(name: &str, from: u8, receipt: &CandidateReceipt) -> NewCandidate {
    NewCandidate {
        relay_parent: hash(1),
        para_id: ParaId(PARA),
        collator: collator(name),
        peer: peer(from),
        candidate_hash: receipt.hash(),
    }
}

fn offer(name: &str, from: u8, candidate: &Candidate) -> NewCandidate {
    offer_of(name, from, &candidate.receipt())
}

struct Bench {
    harness: Harness,
    chain: TestChain,
}

fn bench_with(seed: u64, policy: impl SelectionPolicy, cores: Vec<CoreState>, ours: Vec<Pair>, serve: bool) -> Bench {
    let harness = Harness::new(seed, |_| CandidateSelectionSubsystem::new(Box::new(policy), TestKeystore::new(ours)));
    serve_bench(harness, cores, serve)
}

fn serve_bench(harness: Harness, cores: Vec<CoreState>, serve: bool) -> Bench {
    let (chain, genesis) = TestChain::new(hash(0), 1);
    if serve {
        chain.serve(&harness);
    }
    let session = Some(Arc::new(Validators::new(6, 2).context));
    chain.set(hash(1), AtBlock { session, cores, ..AtBlock::default() });
    if serve {
        harness.signal(genesis);
    }
    harness.signal(chain.import(hash(1), hash(0), 1, 1));
    Bench { harness, chain }
}

fn bench(seed: u64) -> Bench {
    let ours = vec![Validators::new(6, 2).pairs[OURS].clone()];
    bench_with(seed, FirstValid, vec![scheduled(3, None), scheduled(PARA, None)], ours, true)
}

type Answer = Responder<Result<FetchedCollation, FetchCollationError>>;

impl Bench {
    fn fetch(&self) -> (FetchCollation, Answer) {
        match self.harness.expect::<CollationDistribution>() {
            collation_distribution::Inbox::FetchCollation(question, answer) => (question, answer),
            other => panic!("expected a fetch, not {}", other.message_name()),
        }
    }

    /// Expects a fetch of this candidate and answers it.
    fn serve(&self, receipt: CandidateReceipt, candidate: &Candidate) {
        let (question, answer) = self.fetch();
        assert_eq!((question.relay_parent, question.candidate_hash), (hash(1), receipt.hash()));
        answer.answer(Ok(FetchedCollation { receipt, pov: candidate.pov.clone() })).expect("the job waits");
        self.harness.settle();
    }

    fn second(&self) -> Second {
        match self.harness.expect::<CandidateBacking>() {
            candidate_backing::Inbox::Second(second) => second,
            other => panic!("expected a proposal, not {}", other.message_name()),
        }
    }

    fn reported(&self) -> CollatorId {
        match self.harness.expect::<CollationDistribution>() {
            collation_distribution::Inbox::ReportCollator(report) => report.collator,
            other => panic!("expected a report, not {}", other.message_name()),
        }
    }

    /// Has `candidate` of the collator `name` proposed.
    fn propose(&self, name: &str, from: u8, candidate: &Candidate) {
        self.harness.tell(offer(name, from, candidate));
        self.serve(candidate.receipt(), candidate);
        assert_eq!(self.second().receipt, candidate.receipt());
    }
}

#[test]
fn the_first_collation_of_our_para_is_fetched_and_proposed_with_its_proof() {
    for seed in 0..20 {
        let bench = bench(seed);
        let first = candidate(1);
        bench.harness.tell(offer("a", 1, &first));
        bench.serve(first.receipt(), &first);
        let second = bench.second();
        assert_eq!((second.relay_parent, second.receipt, second.pov), (hash(1), first.receipt(), first.pov));
        bench.harness.tell(offer("b", 2, &candidate(2)));
        bench.harness.expect_nothing();
        let seconded = Seconded { relay_parent: hash(1), candidate_hash: candidate(1).hash() };
        bench.harness.tell(seconded);
        bench.harness.tell(offer("b", 3, &candidate(3)));
        bench.harness.finish();
    }
}

#[test]
fn a_recording_plays_into_a_fresh_instance_and_names_what_another_policy_does_first() {
    let subject = |policy: Box<dyn SelectionPolicy>| {
        CandidateSelectionSubsystem::new(policy, TestKeystore::new(vec![Validators::new(6, 2).pairs[OURS].clone()]))
    };
    for seed in 0..20 {
        let tape = Tape::new();
        let harness = Harness::recorded(seed, &tape, |_| subject(Box::new(FirstValid)));
        let cores = vec![scheduled(3, None), scheduled(PARA, None)];
        let bench = serve_bench(harness, cores, true);
        bench.propose("a", 1, &candidate(1));
        let invalid = Invalid { relay_parent: hash(1), receipt: candidate(1).receipt() };
        bench.harness.tell(offer("b", 2, &candidate(2)));
        bench.harness.tell(invalid);
        assert_eq!(bench.reported(), collator("a"));
        bench.serve(candidate(2).receipt(), &candidate(2));
        bench.second();
        bench.harness.signal(bench.chain.import(hash(2), hash(1), 2, 1));
        bench.harness.finish();
        assert_eq!(replay(&tape, subject(Box::new(FirstValid))), Ok(tape.len()), "seed {seed}");
        let other = RandomDelay { mean: Duration::from_millis(500) };
        let difference = replay(&tape, subject(Box::new(other))).expect_err("it waits before it takes one");
        assert!(difference.came.starts_with("sleeps until"), "{difference}");
        let blind = CandidateSelectionSubsystem::new(Box::new(FirstValid), TestKeystore::new(Vec::new()));
        let difference = replay(&tape, blind).expect_err("it has no key");
        assert!(difference.expected.starts_with("asks GetSessionContext"), "{difference}");
    }
}

#[test]
fn other_paras_and_unknown_relay_parents_are_passed_over() {
    let bench = bench(1);
    bench.harness.tell(NewCandidate { para_id: ParaId(3), ..offer("a", 1, &candidate(1)) });
    bench.harness.tell(NewCandidate { relay_parent: hash(9), ..offer("a", 1, &candidate(1)) });
    bench.harness.finish();
}

#[test]
fn whoever_is_no_validator_or_has_no_core_selects_nothing() {
    let ours = vec![Validators::new(6, 2).pairs[OURS].clone()];
    for (cores, keys) in [
        (vec![scheduled(PARA, None), CoreState::Free], ours.clone()),
        (vec![scheduled(PARA, None)], ours),
        (vec![scheduled(3, None), scheduled(PARA, None)], vec![pair("nobody")]),
        (vec![scheduled(3, None), scheduled(PARA, None)], Vec::new()),
    ] {
        let bench = bench_with(1, FirstValid, cores, keys, true);
        bench.harness.tell(offer("a", 1, &candidate(1)));
        bench.harness.finish();
    }
}

#[test]
fn advertisements_are_held_until_our_core_is_known() {
    let ours = vec![Validators::new(6, 2).pairs[OURS].clone()];
    let bench = bench_with(3, FirstValid, Vec::new(), ours, false);
    bench.harness.tell(NewCandidate { para_id: ParaId(3), ..offer("a", 1, &candidate(1)) });
    bench.harness.tell(offer("a", 1, &candidate(2)));
    let runtime_api::Inbox::GetSessionContext(_, answer) = bench.harness.expect::<RuntimeApi>() else {
        panic!("expected the question for the session")
    };
    answer.answer(Ok(Arc::new(Validators::new(6, 2).context))).expect("the job waits");
    let runtime_api::Inbox::GetAvailabilityCores(_, answer) = bench.harness.expect::<RuntimeApi>() else {
        panic!("expected the question for the cores")
    };
    bench.harness.expect_nothing();
    answer.answer(Ok(Arc::new(vec![CoreState::Free, scheduled(PARA, None)]))).expect("the job waits");
    bench.serve(candidate(2).receipt(), &candidate(2));
    bench.second();
    bench.harness.finish();
}

#[test]
fn what_is_held_is_bounded_and_the_same_counts_once() {
    let bench = bench_with(
        1,
        Window { width: Duration::from_secs(1) },
        vec![CoreState::Free, scheduled(PARA, None)],
        vec![Validators::new(6, 2).pairs[OURS].clone()],
        true,
    );
    for number in 0..OFFERS_MAX as u8 + 10 {
        bench.harness.tell(offer("a", 1, &candidate(number)));
        bench.harness.tell(offer("a", 1, &candidate(number)));
    }
    bench.harness.run_for(Duration::from_secs(2));
    for _ in 0..OFFERS_MAX {
        let (_, answer) = bench.fetch();
        let gone = FetchCollationError::Network("gone".to_owned());
        answer.answer(Err(gone)).expect("the job waits");
    }
    bench.harness.finish();
}

#[test]
fn a_failed_fetch_leads_to_the_next() {
    for seed in 0..10 {
        let bench = bench(seed);
        bench.harness.tell(offer("a", 1, &candidate(1)));
        bench.harness.tell(offer("b", 2, &candidate(2)));
        bench.harness.tell(offer("c", 3, &candidate(3)));
        let (_, answer) = bench.fetch();
        answer.answer(Err(FetchCollationError::Network("timed out".to_owned()))).expect("the job waits");
        let (question, dropped) = bench.fetch();
        assert_eq!(question.peer, peer(2));
        drop(dropped);
        bench.serve(candidate(3).receipt(), &candidate(3));
        bench.second();
        bench.harness.finish();
    }
}

#[test]
fn a_collation_for_another_core_is_passed_over_one_of_another_session_is_a_fault() {
    let bench = bench(1);
    let elsewhere = CandidateBuilder::new(PARA, 0, hash(1)).build();
    bench.harness.tell(offer("a", 1, &elsewhere));
    bench.serve(elsewhere.receipt(), &elsewhere);
    bench.harness.expect_nothing();
    let mut builder = CandidateBuilder::new(PARA, 1, hash(1));
    builder.session_index = 2;
    let foreign = builder.build();
    bench.harness.tell(offer("a", 1, &foreign));
    bench.harness.tell(offer("a", 1, &candidate(4)));
    bench.harness.tell(offer("b", 2, &candidate(5)));
    bench.serve(foreign.receipt(), &foreign);
    assert_eq!(bench.reported(), collator("a"));
    bench.serve(candidate(5).receipt(), &candidate(5));
    bench.second();
    bench.harness.finish();
}

fn signed_by(name: &str, candidate: &Candidate) -> CandidateReceipt {
    let fields = candidate.receipt().descriptor.fields();
    let descriptor = CandidateDescriptor::sign_v1(fields, &pair(name), &mut rng());
    CandidateReceipt { descriptor, ..candidate.receipt() }
}

#[test]
fn a_parathread_core_takes_its_claims_collator_with_a_signed_descriptor_only() {
    let cores = vec![CoreState::Free, scheduled(PARA, Some(collator("owner")))];
    let ours = vec![Validators::new(6, 2).pairs[OURS].clone()];
    let bench = bench_with(1, FirstValid, cores.clone(), ours.clone(), true);
    let receipt = signed_by("owner", &candidate(1));
    bench.harness.tell(offer_of("thief", 1, &receipt));
    bench.harness.expect_nothing();
    bench.harness.tell(offer_of("owner", 1, &receipt));
    bench.serve(receipt.clone(), &candidate(1));
    assert_eq!(bench.second().receipt, receipt);
    bench.harness.finish();
    for bad in [candidate(1).receipt(), signed_by("thief", &candidate(1))] {
        let bench = bench_with(1, FirstValid, cores.clone(), ours.clone(), true);
        bench.harness.tell(offer_of("owner", 1, &bad));
        bench.serve(bad, &candidate(1));
        assert_eq!(bench.reported(), collator("owner"));
        bench.harness.finish();
    }
}

#[test]
fn an_invalid_collation_refuses_its_collator_and_lets_another_in() {
    for seed in 0..10 {
        let bench = bench(seed);
        bench.propose("bad", 1, &candidate(1));
        bench.harness.tell(offer("bad", 1, &candidate(2)));
        bench.harness.tell(offer("good", 2, &candidate(3)));
        let invalid = Invalid { relay_parent: hash(1), receipt: candidate(1).receipt() };
        bench.harness.tell(invalid.clone());
        assert_eq!(bench.reported(), collator("bad"));
        bench.serve(candidate(3).receipt(), &candidate(3));
        bench.second();
        bench.harness.tell(invalid);
        bench.harness.tell(offer("bad", 1, &candidate(4)));
        bench.harness.finish();
    }
}

#[test]
fn a_verdict_may_come_after_the_leaf_is_gone() {
    let bench = bench(1);
    bench.propose("bad", 1, &candidate(1));
    bench.chain.set(hash(2), AtBlock::default());
    bench.harness.signal(bench.chain.import(hash(2), hash(1), 2, 1));
    bench.harness.tell(Invalid { relay_parent: hash(1), receipt: candidate(1).receipt() });
    assert_eq!(bench.reported(), collator("bad"));
    bench.harness.finish();
}

#[test]
fn a_stop_ends_the_fetch_and_nothing_is_proposed() {
    for seed in 0..10 {
        let bench = bench(seed);
        bench.harness.tell(offer("a", 1, &candidate(1)));
        let (_, answer) = bench.fetch();
        bench.harness.signal(bench.chain.import(hash(2), hash(1), 2, 1));
        assert!(answer.is_abandoned());
        bench.harness.tell(offer("b", 2, &candidate(2)));
        bench.harness.finish();
    }
}

#[test]
fn a_window_closes_by_the_clock() {
    let ours = vec![Validators::new(6, 2).pairs[OURS].clone()];
    let cores = vec![CoreState::Free, scheduled(PARA, None)];
    let mut chosen = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let policy = Window { width: Duration::from_millis(500) };
        let bench = bench_with(seed, policy, cores.clone(), ours.clone(), true);
        for number in 1..4 {
            bench.harness.tell(offer("a", number, &candidate(number)));
        }
        bench.harness.expect_nothing();
        bench.harness.run_for(Duration::from_millis(600));
        // Unanswered: the policy is not asked for another.
        let (question, _answer) = bench.fetch();
        chosen.insert(question.peer);
        bench.harness.finish();
    }
    assert!(chosen.len() > 1, "it is left to chance: {chosen:?}");
}

#[test]
fn a_random_delay_ends_with_the_last_that_came() {
    let ours = vec![Validators::new(6, 2).pairs[OURS].clone()];
    let policy = RandomDelay { mean: Duration::from_secs(1) };
    let bench = bench_with(5, policy, vec![CoreState::Free, scheduled(PARA, None)], ours, true);
    bench.harness.tell(offer("a", 1, &candidate(1)));
    bench.harness.tell(offer("b", 2, &candidate(2)));
    bench.harness.expect_nothing();
    bench.harness.run_for(Duration::from_secs(4));
    let (question, _answer) = bench.fetch();
    assert_eq!(question.peer, peer(2));
    bench.harness.finish();
}

#[test]
fn the_core_follows_the_rotation_and_an_occupied_core_its_successor() {
    let validators = Validators::new(6, 2);
    let ours = [validators.id(OURS as u32)];
    let mut session = validators.context.clone();
    let cores = [scheduled(3, None), scheduled(PARA, None)];
    let found = |session: &_, cores: &[CoreState], ours: &[ValidatorId]| {
        assignment(session, cores, ours).map(|found: Assignment| (found.core, found.para_id))
    };
    assert_eq!(found(&session, &cores, &ours), Some((CoreIndex(1), ParaId(PARA))));
    session.rotation.group_rotation_frequency = 1;
    assert_eq!(found(&session, &cores, &ours), Some((CoreIndex(0), ParaId(3))));
    session.rotation.group_rotation_frequency = 0;
    let occupied = |available: Option<u32>, time_out: Option<u32>| {
        let next = |para: u32| ScheduledCore { para_id: ParaId(para), collator: None };
        CoreState::Occupied(Box::new(OccupiedCore {
            next_up_on_available: available.map(next),
            occupied_since: 0,
            time_out_at: 5,
            next_up_on_time_out: time_out.map(next),
            availability: primitives::Bits::new(),
            group_responsible: primitives::GroupIndex(1),
            candidate_hash: candidate(1).hash(),
            candidate_descriptor: candidate(1).receipt().descriptor,
        }))
    };
    for (available, time_out, para) in
        [(Some(8), Some(9), Some(8)), (None, Some(9), Some(9)), (Some(8), None, Some(8)), (None, None, None)]
    {
        let cores = [CoreState::Free, occupied(available, time_out)];
        assert_eq!(found(&session, &cores, &ours).map(|(_, para)| para.0), para);
    }
}

#[test]
fn a_receipt_of_another_relay_parent_para_or_version_does_not_fit() {
    let ours = Assignment { para_id: ParaId(PARA), core: CoreIndex(1), session_index: 1, collator: None };
    let check = |receipt: &CandidateReceipt, at: Hash| ours.check(at, receipt);
    assert_eq!(check(&candidate(1).receipt(), hash(1)), Ok(()));
    assert!(matches!(check(&candidate(1).receipt(), hash(2)), Err(Unfit::RelayParent { .. })));
    let other = CandidateBuilder::new(8, 1, hash(1)).build().receipt();
    assert!(matches!(check(&other, hash(1)), Err(Unfit::Para { .. })));
    assert!(matches!(check(&signed_by("a", &candidate(1)), hash(1)), Err(Unfit::Version { .. })));
    let mut unknown = candidate(1).receipt();
    unknown.descriptor = unknown.descriptor.with_raw_version(9);
    assert!(matches!(check(&unknown, hash(1)), Err(Unfit::Version { .. })));
}
