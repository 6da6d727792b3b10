use std::collections::BTreeSet;
use std::sync::Arc;

use messages::runtime_api::*;
use mocks::Harness;
use mocks::chain::AtBlock;
use mocks::fixtures::{CandidateBuilder, Validators, hash, rng};
use mocks::runtime_client::TestRuntimeClient;
use overseer::message::Inbox as _;
use ports::RuntimeError;
use primitives::misbehavior::SignedVote;
use primitives::{
    Account, CandidateHash, CompactVote, MisbehaviorReport, OccupiedCoreAssumption, ParaId, SigningPayload as _,
    ValidatorIndex,
};

use super::*;

const SEEDS: [u64; 3] = [1, 2, 3];

fn start(seed: u64) -> (Harness, Arc<TestRuntimeClient>, Validators) {
    let validators = Validators::new(4, 2);
    let candidate = CandidateBuilder::new(5, 0, hash(1)).build();
    let client = TestRuntimeClient::new();
    client.set(
        hash(1),
        AtBlock {
            session: Some(Arc::new(validators.context.clone())),
            validation_data: Some(candidate.validation_data),
            code: Some(candidate.code),
            ..AtBlock::default()
        },
    );
    let subject = RuntimeApiSubsystem::new(client.clone());
    (Harness::new(seed, |_| subject), client, validators)
}

#[test]
fn every_question_is_answered_and_asked_of_the_chain_once() {
    for seed in SEEDS {
        let (harness, client, validators) = start(seed);
        let (at, para_id, assumption) = (hash(1), ParaId(5), OccupiedCoreAssumption::Included);
        for _ in 0..2 {
            let session = harness.ask(GetSessionContext { at }).take().unwrap().unwrap().unwrap();
            assert_eq!(*session, validators.context);
            let cores = harness.ask(GetAvailabilityCores { at }).take().unwrap().unwrap().unwrap();
            assert!(cores.is_empty());
            let data = harness.ask(GetPersistedValidationData { at, para_id, assumption }).take().unwrap().unwrap();
            assert!(data.unwrap().is_some());
            let code = harness.ask(GetValidationCode { at, para_id, assumption }).take().unwrap().unwrap().unwrap();
            let by_hash = GetValidationCodeByHash { at, hash: code.as_ref().unwrap().hash() };
            assert_eq!(harness.ask(by_hash).take().unwrap().unwrap().unwrap(), code);
            assert!(harness.ask(GetCandidateEvents { at }).take().unwrap().unwrap().unwrap().is_empty());
        }
        let calls = client.take_calls();
        let once = [
            "session_context",
            "availability_cores",
            "persisted_validation_data",
            "validation_code",
            "validation_code_by_hash",
            "candidate_events",
        ];
        assert_eq!(calls, once);
        harness.finish();
    }
}

#[test]
fn questions_that_differ_in_block_para_or_assumption_are_not_joined() {
    let (harness, client, _) = start(1);
    client.set(hash(2), AtBlock::default());
    for (block, para, assumption) in [
        (1, 5, OccupiedCoreAssumption::Included),
        (1, 5, OccupiedCoreAssumption::Free),
        (1, 6, OccupiedCoreAssumption::Included),
        (2, 5, OccupiedCoreAssumption::Included),
    ] {
        harness.ask(GetValidationCode { at: hash(block), para_id: ParaId(para), assumption });
    }
    assert_eq!(client.take_calls().len(), 4);
    harness.finish();
}

#[test]
fn equal_questions_in_flight_are_joined() {
    for seed in SEEDS {
        let (harness, client, _) = start(seed);
        client.set_open(false);
        let waiting: Vec<_> = (0..5).map(|_| harness.ask(GetSessionContext { at: hash(1) })).collect();
        assert!(waiting.iter().all(|answer| answer.take().is_none()));
        client.set_open(true);
        harness.settle();
        assert!(waiting.iter().all(|answer| matches!(answer.take(), Some(Ok(Ok(_))))));
        assert_eq!(client.take_calls(), ["session_context"]);
        harness.finish();
    }
}

#[test]
fn an_unknown_block_is_said_to_be_so_and_asked_again() {
    let (harness, client, _) = start(1);
    let unknown = Some(Ok(Err(RuntimeError::UnknownBlock(hash(9)))));
    assert_eq!(harness.ask(GetAvailabilityCores { at: hash(9) }).take(), unknown);
    client.set(hash(9), AtBlock::default());
    assert!(matches!(harness.ask(GetAvailabilityCores { at: hash(9) }).take(), Some(Ok(Ok(_)))));
    harness.finish();
}

#[test]
fn reports_are_submitted_each_time() {
    let (harness, client, validators) = start(1);
    let candidate = CandidateBuilder::new(5, 0, hash(1)).build();
    let context = validators.signing_context(hash(1));
    let signed = |vote: CompactVote| SignedVote {
        vote,
        context,
        signature: validators.pairs[0].sign(&vote.signing_payload(&context), &mut rng()),
    };
    let report = MisbehaviorReport {
        validator_index: ValidatorIndex(0),
        first: signed(CompactVote::Valid(candidate.hash())),
        second: signed(CompactVote::Invalid(candidate.hash())),
    };
    for _ in 0..2 {
        assert_eq!(harness.ask(SubmitReport { report: report.clone() }).take(), Some(Ok(Ok(()))));
    }
    assert_eq!(client.reports().len(), 2);
    harness.finish();
}

#[test]
fn a_client_that_panics_or_hangs_costs_its_askers_an_error_only() {
    let (harness, client, _) = start(1);
    client.set_panicking(true);
    let panicked = harness.ask(GetSessionContext { at: hash(1) });
    assert!(matches!(panicked.take(), Some(Ok(Err(RuntimeError::Unreachable(_))))));
    client.set_panicking(false);
    client.set_open(false);
    let hanging = harness.ask(GetSessionContext { at: hash(1) });
    assert!(hanging.take().is_none());
    harness.run_for(CALL_LIMIT);
    assert!(matches!(hanging.take(), Some(Ok(Err(RuntimeError::Unreachable(_))))));
    client.set_open(true);
    assert!(matches!(harness.ask(GetSessionContext { at: hash(1) }).take(), Some(Ok(Ok(_)))));
    harness.finish();
}

#[test]
fn beyond_the_limit_of_calls_askers_wait() {
    let (harness, client, _) = start(1);
    client.set_open(false);
    let at = |number: usize| GetAvailabilityCores { at: primitives::Hash::of(&(number as u64)) };
    let waiting: Vec<_> = (0..=IN_FLIGHT_MAX).map(|number| harness.ask(at(number))).collect();
    assert_eq!(client.take_calls().len(), IN_FLIGHT_MAX);
    client.set_open(true);
    harness.settle();
    assert_eq!(client.take_calls().len(), 1, "the last one had to wait");
    assert!(waiting.iter().all(|answer| matches!(answer.take(), Some(Ok(Err(RuntimeError::UnknownBlock(_)))))));
    harness.finish();
}

#[test]
fn concluding_leaves_nothing_behind() {
    let (harness, client, _) = start(1);
    client.set_open(false);
    let waiting = harness.ask(GetSessionContext { at: hash(1) });
    assert!(waiting.take().is_none());
    harness.finish();
    assert!(matches!(waiting.take(), Some(Err(_))));
}

#[test]
fn the_rarer_questions_reach_the_chain_once_each() {
    for seed in SEEDS {
        let (harness, client, validators) = start(seed);
        let (at, para_id, session) = (hash(1), ParaId(5), validators.context.session_index);
        let (keys, candidate) = (vec![vec![1], vec![2, 3]], (session, CandidateHash::from(hash(7))));
        let (mut version, mut known, mut next, mut head, mut code, mut proof) = (None, None, None, None, None, None);
        for _ in 0..2 {
            version = harness.ask(GetApiVersion { at }).take();
            known = harness.ask(GetSessionValidators { at, session }).take();
            next = harness.ask(GetNextValidators { at }).take();
            assert!(harness.ask(GetParas { at }).take().unwrap().unwrap().is_ok());
            head = harness.ask(GetParaHead { at, para_id }).take();
            assert!(harness.ask(GetDownwardMessages { at, para_id }).take().unwrap().unwrap().is_ok());
            assert!(harness.ask(GetInboundHorizontalMessages { at, para_id }).take().unwrap().unwrap().is_ok());
            assert!(harness.ask(GetCandidatePendingAvailability { at, para_id }).take().unwrap().unwrap().is_ok());
            code = harness.ask(GetHistoricalValidationCode { at, para_id, relay_parent_number: 3 }).take();
            assert!(harness.ask(GetDisputes { at }).take().unwrap().unwrap().is_ok());
            let votes = harness.ask(GetDisputeVotes { at, candidate }).take().unwrap().unwrap().unwrap().unwrap();
            assert_eq!((votes.session, votes.candidate_hash), candidate);
            assert_eq!(harness.ask(GetContestedCandidate { at, candidate }).take(), Some(Ok(Ok(None))));
            assert_eq!(harness.ask(GetApprovalStatus { at, candidate }).take(), Some(Ok(Ok(None))));
            assert!(harness.ask(GetBlacklist { at }).take().unwrap().unwrap().unwrap().is_empty());
            assert!(harness.ask(GetReverts { at }).take().unwrap().unwrap().unwrap().is_empty());
            assert_eq!(harness.ask(GetAccount { at, owner: [1; 32] }).take(), Some(Ok(Ok(Account::default()))));
            assert_eq!(harness.ask(GetFirstDisputedBlock { at }).take(), Some(Ok(Ok(None))));
            proof = harness.ask(GetStateProof { at, keys: keys.clone() }).take();
        }
        assert_eq!(version, Some(Ok(Ok(1))));
        assert_eq!(*known.unwrap().unwrap().unwrap().unwrap(), validators.context.validators);
        assert_eq!(*next.unwrap().unwrap().unwrap(), validators.context.validators);
        assert!(head.unwrap().unwrap().unwrap().is_some() && code.unwrap().unwrap().unwrap().is_some());
        assert_eq!(*proof.unwrap().unwrap().unwrap(), keys);
        let once = [
            "api_version",
            "session_validators",
            "next_validators",
            "paras",
            "para_head",
            "downward_messages",
            "inbound_horizontal_messages",
            "candidate_pending_availability",
            "historical_validation_code",
            "disputes",
            "dispute_votes",
            "contested_candidate",
            "approval_status",
            "blacklist",
            "reverts",
            "account",
            "first_disputed_block",
            "state_proof",
        ];
        assert_eq!(client.take_calls(), once);
        // Each part of a question counts.
        let none = harness.ask(GetSessionValidators { at, session: session + 1 }).take();
        assert_eq!(none, Some(Ok(Ok(None))));
        harness.ask(GetHistoricalValidationCode { at, para_id, relay_parent_number: 4 });
        harness.ask(GetStateProof { at, keys: keys[..1].to_vec() });
        harness.ask(GetDownwardMessages { at, para_id: ParaId(6) });
        harness.ask(GetAccount { at, owner: [2; 32] });
        harness.ask(GetDisputeVotes { at, candidate: (session + 1, candidate.1) });
        assert_eq!(client.take_calls().len(), 6);
        harness.finish();
    }
}

/// What the client answers that is no message: leaves and what comes after them are told by the heartbeat.
const NOT_ASKED: [&str; 1] = ["leaves"];

#[test]
fn each_question_of_the_client_is_a_message_of_this_subsystem_or_of_chain_api() {
    let port = include_str!("../../../crates/ports/src/runtime.rs");
    let methods = port.lines().filter_map(|line| line.trim_start().strip_prefix("async fn "));
    let methods: BTreeSet<String> = methods.filter_map(|rest| rest.split('(').next()).map(str::to_owned).collect();
    assert!(methods.contains("session_context") && methods.contains("state_proof"), "the port was read: {methods:?}");
    let snake = |message: &&str| {
        let words = message.strip_prefix("Get").unwrap_or(message).chars();
        let word =
            |letter: char| [if letter.is_uppercase() { "_" } else { "" }, &letter.to_lowercase().to_string()].concat();
        words.map(word).collect::<String>().trim_start_matches('_').to_owned()
    };
    let of_chain_api = messages::chain_api::Inbox::messages().iter().filter(|message| **message != "GetAncestors");
    let messages = Inbox::messages().iter().chain(of_chain_api).map(snake);
    assert_eq!(messages.chain(NOT_ASKED.map(str::to_owned)).collect::<BTreeSet<_>>(), methods);
}

#[test]
fn transactions_are_submitted_each_time() {
    let (harness, client, _) = start(1);
    for _ in 0..2 {
        let submitted = harness.ask(SubmitTransaction { encoded: vec![7, 8] }).take();
        assert_eq!(submitted, Some(Ok(Ok(primitives::blake2_256(&[7, 8])))));
    }
    assert_eq!(client.transactions(), [[7, 8], [7, 8]]);
    harness.finish();
}
