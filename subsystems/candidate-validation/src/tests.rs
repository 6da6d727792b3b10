use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use codec::Encode as _;
use messages::runtime_api::RuntimeApi;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash, rng};
use mocks::{Harness, Waiting};
use ports::{ExecutionPurpose, ExecutionRequest, ValidationError};
use primitives::descriptor::DescriptorFields;
use primitives::{CandidateDescriptor, CoreIndex, HeadData, HostConfiguration, Pair, ValidationCode, ValidationResult};
use tokio::sync::Semaphore;

use super::*;

const SEEDS: [u64; 3] = [1, 2, 3];
const PARENT: u8 = 0xaa;

/// Returns what it was told; as many calls end as the gate has permits.
struct Backend {
    result: Mutex<Result<Bytes, ValidationError>>,
    calls: Mutex<Vec<ExecutionRequest>>,
    gate: Semaphore,
}

impl Backend {
    fn returning(result: Result<Bytes, ValidationError>) -> Arc<Self> {
        let gate = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Self { result: Mutex::new(result), calls: Mutex::default(), gate })
    }

    fn calls(&self) -> Vec<ExecutionRequest> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl ValidationBackend for Backend {
    async fn execute(&self, request: ExecutionRequest) -> Result<Bytes, ValidationError> {
        self.calls.lock().unwrap().push(request);
        self.gate.acquire().await.unwrap().forget();
        self.result.lock().unwrap().clone()
    }

    async fn prepare(&self, _code: Bytes, _code_hash: primitives::Hash) {}
}

fn candidate() -> Candidate {
    CandidateBuilder::new(7, 0, hash(PARENT)).build()
}

fn result_of(candidate: &Candidate) -> ValidationResult {
    ValidationResult { head_data: candidate.committed.commitments.head_data.clone(), ..ValidationResult::default() }
}

fn output_of(candidate: &Candidate) -> Result<Bytes, ValidationError> {
    Ok(result_of(candidate).encode().into())
}

fn chain_for(candidate: &Candidate) -> TestChain {
    let (chain, _) = TestChain::new(hash(PARENT), 1);
    let at = AtBlock {
        session: Some(Arc::new(Validators::new(4, 2).context)),
        validation_data: Some(candidate.validation_data.clone()),
        code: Some(candidate.code.clone()),
        ..AtBlock::default()
    };
    chain.set(hash(PARENT), at);
    chain
}

fn harness(seed: u64, backend: &Arc<Backend>) -> Harness {
    let backend = backend.clone();
    Harness::new(seed, move |_| CandidateValidationSubsystem::new(backend))
}

fn from_chain_state(candidate: &Candidate) -> ValidateFromChainState {
    ValidateFromChainState {
        relay_parent: hash(PARENT),
        receipt: candidate.receipt(),
        pov: candidate.pov.clone(),
        purpose: ExecutionPurpose::Backing,
    }
}

fn exhaustive(candidate: &Candidate) -> ValidateExhaustive {
    ValidateExhaustive {
        receipt: candidate.receipt(),
        validation_data: candidate.validation_data.clone(),
        validation_code: candidate.code.clone(),
        pov: candidate.pov.clone(),
        purpose: ExecutionPurpose::Approval,
    }
}

fn settled(harness: &Harness, waiting: &Waiting<Answer>) -> Answer {
    // Hashing is charged virtual time.
    harness.run_for(std::time::Duration::from_secs(30));
    waiting.take().expect("an answer").expect("not dropped")
}

/// Judges with everything given, and what the backend was called with.
fn judge(candidate: &Candidate, output: Result<Bytes, ValidationError>) -> (Answer, usize) {
    let backend = Backend::returning(output);
    let harness = harness(1, &backend);
    chain_for(candidate).serve(&harness);
    let waiting = harness.ask(exhaustive(candidate));
    let answer = settled(&harness, &waiting);
    harness.finish();
    (answer, backend.calls().len())
}

fn invalid(candidate: &Candidate, output: Result<Bytes, ValidationError>) -> InvalidReason {
    match judge(candidate, output).0 {
        Ok(Verdict::Invalid(reason)) => reason,
        other => panic!("expected an invalid candidate, found {other:?}"),
    }
}

/// The candidate with another result, whose descriptor and commitments fit it.
fn with_result(mut candidate: Candidate, result: ValidationResult) -> (Candidate, Result<Bytes, ValidationError>) {
    let output = Ok(result.encode().into());
    let fields = DescriptorFields { para_head: result.head_data.hash(), ..candidate.committed.descriptor.fields() };
    candidate.committed.descriptor = CandidateDescriptor::new_v2(fields, CoreIndex(0), 1).unwrap();
    candidate.committed.commitments = result.into();
    (candidate, output)
}

#[test]
fn valid_from_chain_state_and_with_everything_given() {
    for seed in SEEDS {
        let candidate = candidate();
        let backend = Backend::returning(output_of(&candidate));
        let harness = harness(seed, &backend);
        chain_for(&candidate).serve(&harness);
        let expected =
            Ok(Verdict::Valid(Box::new(candidate.committed.commitments.clone()), candidate.validation_data.clone()));
        let first = harness.ask(from_chain_state(&candidate));
        assert_eq!(settled(&harness, &first), expected);
        let second = harness.ask(exhaustive(&candidate));
        assert_eq!(settled(&harness, &second), expected);
        let calls = backend.calls();
        assert_eq!([calls[0].purpose, calls[1].purpose], [ExecutionPurpose::Backing, ExecutionPurpose::Approval]);
        assert_eq!(calls[0].code_hash, candidate.code.hash().0);
        harness.finish();
    }
}

#[test]
fn each_false_input_is_refused_before_execution() {
    let good = candidate();
    let check = |bad: Candidate, expected: InvalidReason| {
        assert_eq!(judge(&bad, output_of(&good)), (Ok(Verdict::Invalid(expected)), 0));
    };
    let mut bad = good.clone();
    bad.pov = vec![1, 2, 3].into();
    check(bad, InvalidReason::PovHash);
    let mut bad = good.clone();
    bad.code = ValidationCode::from(vec![1]);
    check(bad, InvalidReason::CodeHash);
    let mut bad = good.clone();
    bad.validation_data.parent_head = HeadData(vec![77]);
    check(bad, InvalidReason::ValidationData);
    let bad = CandidateBuilder::new(7, 0, hash(PARENT)).block_data(vec![0; 11 * 1024 * 1024]).build();
    let size = bad.pov.encoded_len() as u64;
    check(bad, InvalidReason::PovTooLarge { size, limit: 10 * 1024 * 1024 });
}

#[test]
fn descriptors_of_other_versions_and_sessions_are_refused() {
    let good = candidate();
    let fields = good.committed.descriptor.fields();
    let unknown = good.committed.descriptor.clone().with_raw_version(9);
    let other_session = CandidateDescriptor::new_v2(fields, CoreIndex(0), 5).unwrap();
    let third = CandidateDescriptor::new_v3(fields, CoreIndex(0), 1, hash(PARENT), 1).unwrap();
    let collator = Pair::from_name("collator");
    let signed = CandidateDescriptor::sign_v1(fields, &collator, &mut rng());
    let forged_fields = DescriptorFields { pov_hash: hash(1), ..fields };
    let signature = CandidateDescriptor::sign_v1(forged_fields, &collator, &mut rng()).collator_signature().unwrap();
    let forged = CandidateDescriptor::new_v1(fields, signed.collator().unwrap(), signature);
    for descriptor in [unknown, other_session, third, forged] {
        let mut bad = good.clone();
        bad.committed.descriptor = descriptor;
        assert!(matches!(invalid(&bad, output_of(&good)), InvalidReason::Descriptor(_)));
    }
    let mut with_collator = good.clone();
    with_collator.committed.descriptor = signed;
    assert!(matches!(judge(&with_collator, output_of(&good)).0, Ok(Verdict::Valid(..))));
}

#[test]
fn false_results_are_refused() {
    let good = candidate();
    let mut result = result_of(&good);
    result.hrmp_watermark = 9;
    assert_eq!(invalid(&good, Ok(result.encode().into())), InvalidReason::Commitments);
    let other_head = ValidationResult { head_data: HeadData(vec![3]), ..result_of(&good) };
    assert_eq!(invalid(&good, Ok(other_head.encode().into())), InvalidReason::ParaHead);
    let mut trailing = result_of(&good).encode();
    trailing.push(0);
    assert!(matches!(invalid(&good, Ok(trailing.into())), InvalidReason::Execution(_)));
    assert!(matches!(invalid(&good, Ok(Bytes::from_static(b"\xff\xff\xff\xff\xff"))), InvalidReason::Execution(_)));
    let garbage = vec![0; primitives::limits::MAX_COMMITMENTS_SIZE + 1];
    assert!(matches!(invalid(&good, Ok(garbage.into())), InvalidReason::OutputTooLarge { what: "result", .. }));
}

#[test]
fn outputs_over_the_configuration_are_refused() {
    let limit = HostConfiguration::default().max_head_data_size as usize;
    let with_head = |len| {
        with_result(candidate(), ValidationResult { head_data: HeadData(vec![1; len]), ..ValidationResult::default() })
    };
    let (fits, output) = with_head(limit);
    assert!(matches!(judge(&fits, output).0, Ok(Verdict::Valid(..))));
    let (bad, output) = with_head(limit + 1);
    let (size, limit) = (limit as u64 + 1, limit as u64);
    assert_eq!(invalid(&bad, output), InvalidReason::OutputTooLarge { what: "head data", size, limit });

    let many = HostConfiguration::default().max_upward_message_num_per_candidate as usize + 1;
    let upward_messages = vec![vec![1]; many].try_into().unwrap();
    let (bad, output) = with_result(candidate(), ValidationResult { upward_messages, ..ValidationResult::default() });
    assert!(matches!(invalid(&bad, output), InvalidReason::OutputTooLarge { what: "number of upward messages", .. }));
}

#[test]
fn only_the_codes_own_fault_is_a_verdict() {
    let candidate = candidate();
    let trap = Err(ValidationError::Invalid("trap".to_owned()));
    assert!(matches!(invalid(&candidate, trap), InvalidReason::Execution(_)));
    let slow = Err(ValidationError::TimedOut { limit_ms: 2000 });
    assert_eq!(invalid(&candidate, slow), InvalidReason::Timeout { limit_ms: 2000 });
    for error in [ValidationError::Ambiguous("hung".to_owned()), ValidationError::Internal("disk".to_owned())] {
        assert!(judge(&candidate, Err(error)).0.is_err());
    }
}

#[test]
fn wrong_parent_head_is_invalid_but_a_silent_chain_is_not() {
    for seed in SEEDS {
        let candidate = candidate();
        let backend = Backend::returning(output_of(&candidate));
        let harness = harness(seed, &backend);
        let mut stale = candidate.clone();
        stale.validation_data.parent_head = HeadData(vec![55]);
        chain_for(&stale).serve(&harness);
        let waiting = harness.ask(from_chain_state(&candidate));
        assert_eq!(settled(&harness, &waiting), Ok(Verdict::Invalid(InvalidReason::ValidationData)));
        let mut elsewhere = from_chain_state(&candidate);
        elsewhere.relay_parent = hash(1);
        let waiting = harness.ask(elsewhere);
        assert!(settled(&harness, &waiting).is_err());
        let unknown = CandidateBuilder::new(7, 0, hash(2)).build();
        let waiting = harness.ask(ValidateFromChainState { relay_parent: hash(2), ..from_chain_state(&unknown) });
        assert!(settled(&harness, &waiting).is_err());
        assert!(backend.calls().is_empty());
        harness.finish();
    }
}

#[test]
fn data_that_fits_one_of_the_assumptions_is_found() {
    use messages::runtime_api::Inbox as Questions;
    for fitting in ASSUMPTIONS {
        let candidate = candidate();
        let backend = Backend::returning(output_of(&candidate));
        let harness = harness(1, &backend);
        let known = candidate.clone();
        harness.stub::<RuntimeApi>(move |question| {
            match question {
                Questions::GetSessionContext(_, reply) => {
                    drop(reply.answer(Ok(Arc::new(Validators::new(4, 2).context))));
                }
                Questions::GetPersistedValidationData(question, reply) => {
                    let data = (question.assumption == fitting).then(|| known.validation_data.clone());
                    drop(reply.answer(Ok(data)));
                }
                Questions::GetValidationCode(question, reply) => {
                    let code = (question.assumption == fitting).then(|| known.code.clone());
                    drop(reply.answer(Ok(code)));
                }
                other => return Some(other),
            }
            None
        });
        let waiting = harness.ask(from_chain_state(&candidate));
        assert!(matches!(settled(&harness, &waiting), Ok(Verdict::Valid(..))));
        harness.finish();
    }
}

#[test]
fn not_more_run_at_once_than_allowed_and_the_rest_is_refused_in_the_end() {
    for seed in SEEDS {
        let candidate = candidate();
        let backend = Backend::returning(output_of(&candidate));
        backend.gate.forget_permits(Semaphore::MAX_PERMITS);
        let harness = harness(seed, &backend);
        chain_for(&candidate).serve(&harness);
        let asked = VALIDATIONS_MAX + WAITING_MAX + 1;
        let waiting: Vec<_> = (0..asked).map(|_| harness.ask(exhaustive(&candidate))).collect();
        harness.run_for(std::time::Duration::from_secs(1));
        assert_eq!(backend.calls().len(), VALIDATIONS_MAX);
        assert!(settled(&harness, &waiting[asked - 1]).is_err(), "the queue is full");
        backend.gate.add_permits(1);
        harness.run_for(std::time::Duration::from_secs(1));
        assert_eq!(backend.calls().len(), VALIDATIONS_MAX + 1);
        let answered = waiting.iter().filter(|waiting| waiting.take().is_some()).count();
        assert_eq!(answered, 1);
        harness.finish();
    }
}
