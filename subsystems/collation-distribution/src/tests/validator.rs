use std::time::Duration;

use bytes::Bytes;
use codec::Encode as _;
use messages::candidate_selection::{CandidateSelection, Inbox, NewCandidate};
use messages::collation_distribution::{FetchCollation, FetchCollationError, FetchedCollation, ReportCollator};
use messages::network_bridge::{COLLATION_PROTOCOL, NetworkBridgeEvent, ObservedRole, PeerConduct, Recipient};
use mocks::chain::AtBlock;
use mocks::fixtures::{Candidate, CandidateBuilder, hash, peer};
use mocks::keystore::TestKeystore;
use mocks::{Harness, Waiting};
use overseer::message::Inbox as _;
use ports::RequestError;
use primitives::{BlockData, Hash, ParaId, PoV};

use super::{Bench, PARA, advertise, candidate, collator, declare, spoilt};
use crate::wire::{CollationRequest, CollationResponse};
use crate::{COLLATORS_PER_PARA_MAX, CollationDistributionSubsystem, FETCH_TIMEOUT, Side};

/// A validator to which peer 1 is connected.
fn bench(seed: u64) -> Bench {
    let keystore = TestKeystore::new(Vec::new());
    let harness = Harness::new(seed, |_| CollationDistributionSubsystem::new(Side::Validator, keystore, peer(0xff)));
    let bench = Bench::begin(harness, AtBlock::default());
    bench.connect(1, ObservedRole::Collator, None);
    bench
}

/// Peer 1 has declared to be collator `a`.
fn declared(seed: u64) -> Bench {
    let bench = bench(seed);
    bench.hear(1, &declare("a", &peer(1), PARA));
    bench.harness.expect_nothing();
    bench
}

impl Bench {
    fn new_candidate(&self) -> NewCandidate {
        match self.harness.expect::<CandidateSelection>() {
            Inbox::NewCandidate(candidate) => candidate,
            other => panic!("expected a candidate, not {}", other.message_name()),
        }
    }

    fn offer(&self, candidate: &Candidate) {
        self.hear(1, &advertise("a", hash(1), candidate));
        let offered = self.new_candidate();
        assert_eq!((offered.relay_parent, offered.para_id, offered.peer), (hash(1), PARA, peer(1)));
        assert_eq!((offered.collator, offered.candidate_hash), (collator("a"), candidate.hash()));
    }

    fn fetch(&self, from: u8, candidate: &Candidate) -> Waiting<Result<FetchedCollation, FetchCollationError>> {
        self.harness.ask(FetchCollation { relay_parent: hash(1), peer: peer(from), candidate_hash: candidate.hash() })
    }
}

fn result(
    waiting: &Waiting<Result<FetchedCollation, FetchCollationError>>,
) -> Result<FetchedCollation, FetchCollationError> {
    waiting.take().expect("it is answered").expect("the subject runs")
}

fn response(candidate: &Candidate) -> Vec<u8> {
    CollationResponse::Some((candidate.receipt(), candidate.pov.clone())).encode()
}

#[test]
fn an_advertised_collation_is_announced_fetched_and_handed_on() {
    for seed in 0..20 {
        let bench = declared(seed);
        let wanted = candidate(1);
        bench.offer(&wanted);
        let waiting = bench.fetch(1, &wanted);
        let (request, answer) = bench.expect_request();
        let (relay_parent, candidate_hash) = (hash(1), wanted.hash());
        assert_eq!((request.to, request.protocol), (Recipient::Peer(peer(1)), COLLATION_PROTOCOL));
        assert_eq!(request.payload, CollationRequest { relay_parent, candidate_hash }.encode());
        answer.answer(Ok(response(&wanted).into())).expect("the job waits");
        bench.harness.settle();
        let fetched = result(&waiting).expect("it is what was advertised");
        assert_eq!((fetched.receipt, fetched.pov), (wanted.receipt(), wanted.pov));
        bench.harness.finish();
    }
}

#[test]
fn a_bad_declaration_is_a_cost() {
    let bench = bench(1);
    bench.hear(1, &spoilt(declare("a", &peer(1), PARA)));
    bench.expect_report(1, PeerConduct::CostInvalid);
    // Somebody else's declaration, replayed.
    bench.hear(1, &declare("a", &peer(2), PARA));
    bench.expect_report(1, PeerConduct::CostInvalid);
    bench.hear(2, &declare("a", &peer(2), PARA));
    bench.expect_report(2, PeerConduct::CostUnneeded);
    bench.hear(1, &declare("a", &peer(1), PARA));
    bench.harness.expect_nothing();
    for again in [declare("a", &peer(1), PARA), declare("b", &peer(1), ParaId(8))] {
        bench.hear(1, &again);
        bench.expect_report(1, PeerConduct::CostMalformed);
    }
    bench.harness.finish();
}

#[test]
fn bytes_that_are_no_message_are_a_cost() {
    let bench = declared(1);
    let mut long = advertise("a", hash(1), &candidate(1)).encode();
    long.push(0);
    for payload in [vec![], vec![2], vec![0; 20], long, vec![0; 300]] {
        bench.hear_bytes(1, payload);
        bench.expect_report(1, PeerConduct::CostMalformed);
    }
    bench.harness.finish();
}

#[test]
fn a_para_has_a_limited_number_of_collators() {
    let bench = bench(1);
    for byte in 1..=COLLATORS_PER_PARA_MAX as u8 + 1 {
        bench.connect(byte, ObservedRole::Collator, None);
        bench.hear(byte, &declare(&format!("collator {byte}"), &peer(byte), PARA));
    }
    bench.expect_report(COLLATORS_PER_PARA_MAX as u8 + 1, PeerConduct::CostUnneeded);
    bench.harness.expect_nothing();
    // One that goes makes room.
    bench.network(NetworkBridgeEvent::PeerDisconnected(peer(1)));
    bench.hear(COLLATORS_PER_PARA_MAX as u8 + 1, &declare("late", &peer(COLLATORS_PER_PARA_MAX as u8 + 1), PARA));
    bench.harness.finish();
}

#[test]
fn a_bad_advertisement_is_a_cost() {
    let bench = bench(1);
    bench.hear(1, &advertise("a", hash(1), &candidate(1)));
    bench.expect_report(1, PeerConduct::CostMalformed);
    bench.hear(1, &declare("a", &peer(1), PARA));
    for bad in [spoilt(advertise("a", hash(1), &candidate(1))), advertise("b", hash(1), &candidate(1))] {
        bench.hear(1, &bad);
        bench.expect_report(1, PeerConduct::CostInvalid);
    }
    bench.hear(1, &advertise("a", hash(9), &candidate(1)));
    bench.expect_report(1, PeerConduct::CostUnneeded);
    bench.offer(&candidate(1));
    bench.hear(1, &advertise("a", hash(1), &candidate(1)));
    bench.expect_report(1, PeerConduct::CostUnneeded);
    bench.offer(&candidate(2));
    bench.hear(1, &advertise("a", hash(1), &candidate(3)));
    bench.expect_report(1, PeerConduct::CostUnneeded);
    // The same key behind another peer has no more than its share.
    bench.connect(2, ObservedRole::Collator, None);
    bench.hear(2, &declare("a", &peer(2), PARA));
    bench.hear(2, &advertise("a", hash(1), &candidate(4)));
    bench.expect_report(2, PeerConduct::CostUnneeded);
    bench.harness.finish();
}

#[test]
fn after_a_new_connection_the_same_may_be_said_again() {
    let bench = declared(1);
    bench.offer(&candidate(1));
    bench.offer(&candidate(2));
    bench.network(NetworkBridgeEvent::PeerDisconnected(peer(1)));
    bench.connect(1, ObservedRole::Collator, None);
    bench.hear(1, &declare("a", &peer(1), PARA));
    bench.offer(&candidate(1));
    bench.hear(1, &advertise("a", hash(1), &candidate(3)));
    bench.expect_report(1, PeerConduct::CostUnneeded);
    bench.harness.finish();
}

#[test]
fn only_what_that_peer_advertised_is_fetched() {
    let bench = declared(1);
    bench.offer(&candidate(1));
    for waiting in [bench.fetch(2, &candidate(1)), bench.fetch(1, &candidate(2))] {
        assert!(matches!(result(&waiting), Err(FetchCollationError::NotAdvertised(_))));
    }
    bench.harness.finish();
}

#[test]
fn an_answer_other_than_what_was_advertised_is_a_cost() {
    let other_pov = PoV { block_data: BlockData(vec![1, 2, 3].into()) };
    let wrong_pov = CollationResponse::Some((candidate(1).receipt(), other_pov)).encode();
    let mut long = response(&candidate(1));
    long.push(0);
    for (answer, conduct) in [
        (wrong_pov, PeerConduct::CostInvalid),
        (response(&candidate(2)), PeerConduct::CostInvalid),
        (long, PeerConduct::CostMalformed),
        (Vec::new(), PeerConduct::CostMalformed),
        (vec![1; 40], PeerConduct::CostMalformed),
        (vec![0; crate::wire::RESPONSE_BYTES_MAX + 1], PeerConduct::CostMalformed),
    ] {
        let bench = declared(1);
        bench.offer(&candidate(1));
        let waiting = bench.fetch(1, &candidate(1));
        bench.expect_request().1.answer(Ok(answer.into())).expect("the job waits");
        bench.expect_report(1, conduct);
        assert!(matches!(result(&waiting), Err(FetchCollationError::Mismatch(_))));
        bench.harness.finish();
    }
}

#[test]
fn a_receipt_of_another_para_or_relay_parent_is_a_cost() {
    let build = |para, relay_parent: Hash| CandidateBuilder::new(para, 1, relay_parent).build();
    for other in [build(8, hash(1)), build(PARA.0, hash(2))] {
        let bench = declared(1);
        bench.offer(&other);
        let waiting = bench.fetch(1, &other);
        bench.expect_request().1.answer(Ok(response(&other).into())).expect("the job waits");
        bench.expect_report(1, PeerConduct::CostInvalid);
        assert!(matches!(result(&waiting), Err(FetchCollationError::Mismatch(_))));
        bench.harness.finish();
    }
}

#[test]
fn a_peer_that_does_not_answer_is_a_cost_and_the_fetch_fails() {
    let none = Ok(Bytes::from(CollationResponse::None.encode()));
    for (answer, conduct) in [
        (none, Some(PeerConduct::CostTimeout)),
        (Err(RequestError::TimedOut), Some(PeerConduct::CostTimeout)),
        (Err(RequestError::Refused), Some(PeerConduct::CostTimeout)),
        (Err(RequestError::TooLarge), Some(PeerConduct::CostMalformed)),
        (Err(RequestError::NotConnected), None),
    ] {
        let bench = declared(1);
        bench.offer(&candidate(1));
        let waiting = bench.fetch(1, &candidate(1));
        bench.expect_request().1.answer(answer).expect("the job waits");
        if let Some(conduct) = conduct {
            bench.expect_report(1, conduct);
        }
        bench.harness.settle();
        assert!(matches!(result(&waiting), Err(FetchCollationError::Network(_))));
        bench.harness.finish();
    }
}

#[test]
fn a_fetch_ends_by_the_clock() {
    let bench = declared(1);
    bench.offer(&candidate(1));
    let waiting = bench.fetch(1, &candidate(1));
    let (_, answer) = bench.expect_request();
    bench.harness.run_for(FETCH_TIMEOUT - Duration::from_millis(1));
    assert!(waiting.take().is_none());
    bench.harness.run_for(Duration::from_millis(2));
    bench.expect_report(1, PeerConduct::CostTimeout);
    assert!(matches!(result(&waiting), Err(FetchCollationError::Network(_))));
    assert!(answer.is_abandoned());
    bench.harness.finish();
}

#[test]
fn a_relay_parent_out_of_view_ends_its_fetches_with_an_error() {
    for seed in 0..10 {
        let bench = declared(seed);
        bench.offer(&candidate(1));
        let waiting = bench.fetch(1, &candidate(1));
        let (_, answer) = bench.expect_request();
        bench.move_on();
        assert_eq!(result(&waiting).map(|_| ()), Err(FetchCollationError::NotAdvertised(candidate(1).hash())));
        assert!(answer.is_abandoned());
        bench.hear(1, &advertise("a", hash(1), &candidate(2)));
        bench.expect_report(1, PeerConduct::CostUnneeded);
        bench.harness.finish();
    }
}

#[test]
fn concluding_leaves_no_fetch_behind() {
    let bench = declared(1);
    bench.offer(&candidate(1));
    let waiting = bench.fetch(1, &candidate(1));
    let (_, _answer) = bench.expect_request();
    assert!(waiting.take().is_none());
    bench.harness.finish();
    assert!(matches!(waiting.take(), Some(Err(_))));
}

#[test]
fn a_reported_collator_is_disconnected_and_refused_as_whatever_peer() {
    for seed in 0..10 {
        let bench = declared(seed);
        bench.offer(&candidate(1));
        bench.connect(2, ObservedRole::Collator, None);
        bench.hear(2, &declare("b", &peer(2), PARA));
        bench.harness.tell(ReportCollator { collator: collator("a") });
        bench.expect_report(1, PeerConduct::Malicious);
        bench.harness.expect_nothing();
        let waiting = bench.fetch(1, &candidate(1));
        assert!(matches!(result(&waiting), Err(FetchCollationError::NotAdvertised(_))));
        bench.network(NetworkBridgeEvent::PeerDisconnected(peer(1)));
        bench.connect(3, ObservedRole::Collator, None);
        bench.hear(3, &declare("a", &peer(3), PARA));
        bench.expect_report(3, PeerConduct::Malicious);
        bench.hear(2, &advertise("b", hash(1), &candidate(2)));
        assert_eq!(bench.new_candidate().collator, collator("b"));
        bench.harness.finish();
    }
}

#[test]
fn a_validator_serves_nothing() {
    let bench = declared(1);
    let mut reply = Box::pin(bench.request(1, vec![0; 64]));
    bench.expect_report(1, PeerConduct::CostUnneeded);
    assert!(super::poll(&mut reply).is_some_and(|answer| answer.is_err()));
    bench.harness.finish();
}
