//! The subsystem alone: the straight path, each refusal, StopWork and Conclude.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messages::misbehavior_arbitration::{CandidateValidityDisagreement, DoubleVote, SelfContradiction};
use messages::runtime_api::{Inbox as RuntimeInbox, RuntimeApi};
use messages::{ActiveLeaf, LeavesUpdate};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash};
use ports::RuntimeError;
use primitives::misbehavior::SignedVote;
use primitives::{MisbehaviorKind, MisbehaviorReport, SignedFullStatement, Statement, ValidatorIndex};

use crate::MisbehaviorArbitrationSubsystem;
use crate::limits::{DISAGREEMENTS_MAX, DISAGREEMENTS_PER_ACCUSER_MAX, RETRY_MS, SESSIONS_KEPT, SUBMIT_ATTEMPTS};
use crate::state::{AccusationError, CheckedDisagreement, State};

const HEAD: u8 = 1;
const RETRY: Duration = Duration::from_millis(RETRY_MS);

fn validators() -> Validators {
    Validators::new(6, 2)
}

fn candidate(block_data: u8) -> Candidate {
    CandidateBuilder::new(100, 0, hash(HEAD)).block_data(vec![block_data; 10]).build()
}

fn report_of(validators: &Validators, one: &SignedFullStatement, two: &SignedFullStatement) -> MisbehaviorReport {
    let context = validators.signing_context(hash(HEAD));
    let vote = |signed: &SignedFullStatement| SignedVote {
        vote: signed.payload().to_vote(),
        context,
        signature: *signed.signature(),
    };
    MisbehaviorReport { validator_index: one.validator_index(), first: vote(one), second: vote(two) }
}

fn double_vote(validators: &Validators, index: u32) -> MisbehaviorReport {
    let (one, two) = (validators.seconded(index, &candidate(1)), validators.seconded(index, &candidate(2)));
    report_of(validators, &one, &two)
}

fn self_contradiction(validators: &Validators, index: u32) -> MisbehaviorReport {
    let (one, two) = (validators.valid(index, &candidate(1)), validators.invalid(index, &candidate(1)));
    report_of(validators, &one, &two)
}

fn disagreement(candidate: &Candidate, statements: Vec<SignedFullStatement>) -> CandidateValidityDisagreement {
    CandidateValidityDisagreement { relay_parent: hash(HEAD), receipt: candidate.receipt(), statements }
}

// The state machine.

fn leaf(session_index: u32) -> LeavesUpdate {
    let leaf = ActiveLeaf { hash: hash(HEAD), number: 1, session_index, ancestors: Arc::from([]) };
    LeavesUpdate { started: vec![leaf], ..LeavesUpdate::default() }
}

#[test]
fn one_accusation_per_session_validator_and_contradiction_until_it_fails() {
    let validators = validators();
    let mut state = State::default();
    let report = double_vote(&validators, 0);
    let accusation = state.accuse(hash(HEAD), report.clone()).unwrap().unwrap();
    assert_eq!(accusation.key, (1, ValidatorIndex(0), MisbehaviorKind::DoubleSeconded(hash(HEAD))));
    assert_eq!(state.accuse(hash(HEAD), report.clone()), Ok(None));
    assert!(state.accuse(hash(HEAD), self_contradiction(&validators, 0)).unwrap().is_some());
    assert!(state.accuse(hash(HEAD), double_vote(&validators, 1)).unwrap().is_some());
    let (valid, invalid) = (validators.valid(0, &candidate(2)), validators.invalid(0, &candidate(2)));
    let of_another = report_of(&validators, &valid, &invalid);
    assert!(state.accuse(hash(HEAD), of_another).unwrap().is_some(), "each candidate is another matter");
    state.failed(&accusation.key);
    assert!(state.accuse(hash(HEAD), report.clone()).unwrap().is_some());
    // Long past sessions are forgotten, recent ones are not.
    state.heartbeat(&leaf(1 + SESSIONS_KEPT));
    assert_eq!(state.accuse(hash(HEAD), report.clone()), Ok(None));
    state.heartbeat(&leaf(2 + SESSIONS_KEPT));
    assert!(state.accuse(hash(HEAD), report).unwrap().is_some());
}

#[test]
fn statements_that_agree_are_no_accusation() {
    let validators = validators();
    let (one, two) = (validators.seconded(0, &candidate(1)), validators.valid(0, &candidate(2)));
    for report in [report_of(&validators, &one, &two), report_of(&validators, &one, &one)] {
        assert!(matches!(State::default().accuse(hash(HEAD), report), Err(AccusationError::NoProof(_))));
    }
}

fn checked(message: CandidateValidityDisagreement) -> CheckedDisagreement {
    CheckedDisagreement { session_index: 1, message }
}

#[test]
fn disagreements_are_kept_joined_and_bounded_per_accuser() {
    let validators = validators();
    let mut state = State::default();
    let first = candidate(1);
    let reports = state
        .disagree(checked(disagreement(&first, vec![validators.seconded(0, &first), validators.invalid(1, &first)])));
    assert!(reports.is_empty());
    let more = vec![validators.valid(2, &first), validators.invalid(1, &first), validators.invalid(3, &candidate(9))];
    state.disagree(checked(disagreement(&first, more)));
    let kept = &state.disagreements()[&first.hash()];
    let who: Vec<u32> = kept.statements.keys().map(|(validator, _)| validator.0).collect();
    assert_eq!(who, [0, 1, 2], "statements on another candidate do not belong here");

    for number in 2..60 {
        let other = candidate(number);
        let statements = vec![validators.seconded(0, &other), validators.invalid(1, &other)];
        state.disagree(checked(disagreement(&other, statements)));
    }
    assert_eq!(state.disagreements().len(), DISAGREEMENTS_PER_ACCUSER_MAX);
    // Another accuser has room of its own.
    let other = candidate(70);
    state.disagree(checked(disagreement(&other, vec![validators.seconded(0, &other), validators.invalid(2, &other)])));
    assert!(state.disagreements().contains_key(&other.hash()));
    state.heartbeat(&leaf(2 + SESSIONS_KEPT));
    assert!(state.disagreements().is_empty());
}

#[test]
fn disagreements_are_bounded_in_all() {
    let accusers = u32::try_from(DISAGREEMENTS_MAX / DISAGREEMENTS_PER_ACCUSER_MAX + 4).unwrap();
    let validators = Validators::new(accusers, 1);
    let mut state = State::default();
    for accuser in 1..accusers {
        for number in 0..DISAGREEMENTS_PER_ACCUSER_MAX {
            let data = [accuser.to_le_bytes().to_vec(), number.to_le_bytes().to_vec()].concat();
            let other = CandidateBuilder::new(100, 0, hash(HEAD)).block_data(data).build();
            let statements = vec![validators.seconded(0, &other), validators.invalid(accuser, &other)];
            state.disagree(checked(disagreement(&other, statements)));
        }
    }
    assert_eq!(state.disagreements().len(), DISAGREEMENTS_MAX);
}

#[test]
fn those_who_agree_are_no_disagreement() {
    let validators = validators();
    let first = candidate(1);
    for statements in [
        vec![],
        vec![validators.seconded(0, &first), validators.valid(1, &first)],
        vec![validators.invalid(0, &first), validators.invalid(1, &first)],
    ] {
        let mut state = State::default();
        state.disagree(checked(disagreement(&first, statements)));
        assert!(state.disagreements().is_empty());
    }
}

#[test]
fn contradictions_within_a_disagreement_are_extracted() {
    let validators = validators();
    let (first, second) = (candidate(1), candidate(2));
    let statements = vec![
        validators.seconded(0, &first),
        validators.invalid(1, &first),
        validators.valid(1, &first),
        validators.seconded(0, &second),
        validators.valid(2, &first),
    ];
    let reports = State::default().disagree(checked(disagreement(&first, statements)));
    let (double, contradiction) =
        (MisbehaviorKind::DoubleSeconded(hash(HEAD)), MisbehaviorKind::SelfContradiction(first.hash()));
    let kinds: Vec<_> = reports
        .iter()
        .map(|report| {
            report.verify(&validators.id(report.validator_index.0)).map(|kind| (report.validator_index.0, kind))
        })
        .collect();
    assert_eq!(kinds, [Ok((0, double)), Ok((1, contradiction))]);
}

// With the loop, in a real overseer.

struct Bench {
    harness: Harness,
    chain: TestChain,
    validators: Validators,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let harness = Harness::new(seed, |_| MisbehaviorArbitrationSubsystem::new());
        let validators = validators();
        let (chain, update) = TestChain::new(hash(HEAD), 1);
        let session = Some(Arc::new(validators.context.clone()));
        chain.set(hash(HEAD), AtBlock { session, ..AtBlock::default() });
        harness.signal(update);
        Self { harness, chain, validators }
    }

    fn served(seed: u64) -> Self {
        let bench = Self::new(seed);
        bench.chain.serve(&bench.harness);
        bench
    }

    fn tell_double_vote(&self, report: MisbehaviorReport) {
        self.harness.tell(DoubleVote { relay_parent: hash(HEAD), report });
    }
}

#[test]
fn proofs_reach_the_chain_once() {
    for seed in 0..8 {
        let bench = Bench::served(seed);
        let (double, contradiction) = (double_vote(&bench.validators, 0), self_contradiction(&bench.validators, 1));
        bench.tell_double_vote(double.clone());
        bench.tell_double_vote(double.clone());
        let message = SelfContradiction { relay_parent: hash(HEAD), report: contradiction.clone() };
        bench.harness.tell(message.clone());
        bench.harness.tell(message);
        bench.tell_double_vote(double.clone());
        assert_eq!(bench.chain.reports(), [double, contradiction]);
        bench.harness.finish();
    }
}

#[test]
fn nothing_unproved_reaches_the_chain() {
    let bench = Bench::served(2);
    let good = double_vote(&bench.validators, 0);
    let mut forged = good.clone();
    forged.second.signature.0[7] ^= 1;
    let mut other_validator = good.clone();
    other_validator.validator_index = ValidatorIndex(1);
    let mut unknown_validator = good.clone();
    unknown_validator.validator_index = ValidatorIndex(6);
    let mut other_session = good.clone();
    other_session.first.context.session_index = 2;
    other_session.second.context.session_index = 2;
    let mut no_conflict = good.clone();
    no_conflict.second = no_conflict.first;
    // Truly signed, but by this session's keys in the name of another session.
    let mut later = bench.validators.clone();
    later.context.session_index = 2;
    let resigned = double_vote(&later, 0);
    assert!(resigned.verify(&bench.validators.id(0)).is_ok());
    for report in [resigned, forged, other_validator, unknown_validator, other_session, no_conflict] {
        bench.tell_double_vote(report);
        assert!(bench.chain.reports().is_empty());
    }
    // The forgeries do not stand in the way of the true one.
    bench.tell_double_vote(good.clone());
    assert_eq!(bench.chain.reports(), [good]);
    bench.harness.finish();
}

#[test]
fn self_contradiction_inside_a_disagreement_is_reported() {
    let bench = Bench::served(3);
    let (mine, validators) = (candidate(1), &bench.validators);
    let forged = {
        let unchecked = validators.statement(3, hash(9), Statement::Valid(mine.hash()));
        vec![unchecked, validators.invalid(3, &mine)]
    };
    // Signed at another relay parent: drops out before anybody is accused.
    bench.harness.tell(disagreement(&mine, forged));
    assert!(bench.chain.reports().is_empty());
    let statements = vec![validators.seconded(0, &mine), validators.valid(1, &mine), validators.invalid(1, &mine)];
    // A forgery before the true words does not hide them.
    let mut statements = statements;
    statements.insert(0, validators.statement(1, hash(9), Statement::Valid(mine.hash())));
    bench.harness.tell(disagreement(&mine, statements));
    let reports = bench.chain.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].verify(&validators.id(1)), Ok(MisbehaviorKind::SelfContradiction(mine.hash())));
    bench.harness.finish();
}

/// A runtime that answers the session and refuses submissions with `error`; returns how often it was asked.
fn failing(bench: &Bench, error: RuntimeError) -> Arc<Mutex<u32>> {
    let (session, asked) = (Arc::new(bench.validators.context.clone()), Arc::new(Mutex::new(0)));
    let count = asked.clone();
    bench.harness.stub::<RuntimeApi>(move |inbox| {
        match inbox {
            RuntimeInbox::GetSessionContext(_, reply) => drop(reply.answer(Ok(session.clone()))),
            RuntimeInbox::SubmitReport(_, reply) => {
                *count.lock().unwrap() += 1;
                drop(reply.answer(Err(error.clone())));
            }
            other => return Some(other),
        }
        None
    });
    asked
}

#[test]
fn chain_that_cannot_be_reached_is_asked_again_a_few_times() {
    let bench = Bench::new(4);
    let asked = failing(&bench, RuntimeError::Unreachable("gone".to_owned()));
    bench.tell_double_vote(double_vote(&bench.validators, 0));
    assert_eq!(*asked.lock().unwrap(), 1);
    for _ in 0..2 * SUBMIT_ATTEMPTS {
        bench.harness.run_for(RETRY);
    }
    assert_eq!(*asked.lock().unwrap(), SUBMIT_ATTEMPTS);
    // Given up, so that the same proof may come again, and succeed.
    bench.chain.serve(&bench.harness);
    bench.tell_double_vote(double_vote(&bench.validators, 0));
    assert_eq!(bench.chain.reports().len(), 1);
    bench.harness.finish();
}

#[test]
fn refusal_by_the_chain_is_final() {
    let bench = Bench::new(5);
    let asked = failing(&bench, RuntimeError::Refused("slashed already".to_owned()));
    bench.tell_double_vote(double_vote(&bench.validators, 0));
    bench.harness.run_for(10 * RETRY);
    assert_eq!(*asked.lock().unwrap(), 1);
    bench.harness.finish();
}

#[test]
fn report_outlives_its_relay_parent() {
    for seed in 0..4 {
        let bench = Bench::new(seed);
        bench.tell_double_vote(double_vote(&bench.validators, 0));
        let RuntimeInbox::GetSessionContext(question, reply) = bench.harness.expect::<RuntimeApi>() else {
            panic!("not the session was asked for");
        };
        assert_eq!(question.at, hash(HEAD));
        bench.harness.signal(LeavesUpdate { stopped: vec![hash(HEAD)], ..LeavesUpdate::default() });
        bench.chain.serve(&bench.harness);
        drop(reply.answer(Ok(Arc::new(bench.validators.context.clone()))));
        bench.harness.settle();
        assert_eq!(bench.chain.reports().len(), 1);
        bench.harness.finish();
    }
}

#[test]
fn conclude_leaves_nothing_behind() {
    let bench = Bench::new(6);
    let (report, mine) = (double_vote(&bench.validators, 0), candidate(1));
    bench.tell_double_vote(report);
    bench.harness.tell(disagreement(&mine, vec![bench.validators.seconded(0, &mine)]));
    let questions: Vec<_> = (0..2).map(|_| bench.harness.expect::<RuntimeApi>()).collect();
    bench.harness.finish();
    let abandoned: BTreeSet<bool> = questions
        .iter()
        .map(|question| matches!(question, RuntimeInbox::GetSessionContext(_, reply) if reply.is_abandoned()))
        .collect();
    assert_eq!(abandoned, BTreeSet::from([true]));
}
