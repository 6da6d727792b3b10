use std::sync::Arc;

use bytes::Bytes;
use codec::{Decode as _, DecodeAll as _, Encode as _};
use messages::candidate_selection::{CandidateSelection, Inbox};
use messages::collation_distribution::{DistributeCollation, FetchCollation, FetchCollationError};
use messages::network_bridge::{COLLATION_PROTOCOL, NetworkBridgeEvent, ObservedRole, PeerConduct};
use mocks::Harness;
use mocks::chain::AtBlock;
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash, peer};
use mocks::keystore::TestKeystore;
use overseer::AskError;
use ports::PeerId;
use primitives::{CoreIndex, GroupRotationInfo};

use super::{Bench, PARA, candidate, collator, pair, poll};
use crate::wire::{CollationRequest, CollationResponse, Message};
use crate::{CollationDistributionSubsystem, Side};

/// A collator `a`; nine validators in three groups, of which the second serves core 1 now and the third after it.
fn bench(seed: u64) -> (Bench, Validators) {
    let keystore = TestKeystore::collator(pair("a"));
    let side = Side::Collator { para_id: PARA };
    let harness = Harness::new(seed, |_| CollationDistributionSubsystem::new(side, keystore, peer(0xaa)));
    let mut validators = Validators::new(9, 3);
    validators.context.rotation = GroupRotationInfo { session_start_block: 0, group_rotation_frequency: 10, now: 1 };
    let session = Some(Arc::new(validators.context.clone()));
    (Bench::begin(harness, AtBlock { session, ..AtBlock::default() }), validators)
}

impl Bench {
    /// Connects the validator with this index as the peer of the same number, and takes the declaration.
    fn join(&self, validators: &Validators, index: u8) {
        self.connect(index, ObservedRole::Validator, Some(validators.id(u32::from(index))));
        let (peers, message) = self.said();
        assert_eq!(peers, [peer(index)]);
        assert!(matches!(message, Message::Declare(_)));
    }

    fn said(&self) -> (Vec<PeerId>, Message) {
        let sent = self.expect_message();
        assert_eq!(sent.protocol, COLLATION_PROTOCOL);
        (sent.peers, Message::decode_all(&mut &sent.payload[..]).expect("a message of the protocol"))
    }

    fn expect_advertised(&self, to: &[u8], candidate: &Candidate) {
        let (peers, message) = self.said();
        let Message::Advertise(advertised) = message else { panic!("expected an advertisement") };
        assert_eq!(peers, to.iter().copied().map(peer).collect::<Vec<_>>());
        assert_eq!((advertised.relay_parent, advertised.candidate_hash), (hash(1), candidate.hash()));
        assert_eq!(advertised.core, CoreIndex(1));
    }

    fn distribute(&self, candidate: &Candidate) {
        let (receipt, pov) = (candidate.receipt(), candidate.pov.clone());
        let relay_parent = candidate.relay_parent();
        self.harness.tell(DistributeCollation { relay_parent, core: CoreIndex(1), receipt, pov });
    }

    /// The answer to a request for a candidate; `None` if it was refused.
    fn serve(&self, to: u8, candidate: &Candidate) -> Option<CollationResponse> {
        let request = CollationRequest { relay_parent: hash(1), candidate_hash: candidate.hash() };
        self.asked(to, request.encode())
            .ok()
            .map(|bytes| CollationResponse::decode(&mut &bytes[..]).expect("a response of the protocol"))
    }

    fn asked(&self, from: u8, payload: Vec<u8>) -> Result<Bytes, AskError> {
        let mut reply = Box::pin(self.request(from, payload));
        poll(&mut reply).expect("it is answered or refused at once")
    }
}

#[test]
fn it_declares_itself_once_to_each_validator_and_to_nobody_else() {
    let (bench, validators) = bench(1);
    bench.connect(0, ObservedRole::Collator, None);
    bench.connect(1, ObservedRole::Full, None);
    bench.harness.expect_nothing();
    bench.connect(2, ObservedRole::Validator, None);
    let (peers, Message::Declare(declared)) = bench.said() else { panic!("expected a declaration") };
    assert_eq!((peers, declared.collator, declared.para_id), (vec![peer(2)], collator("a"), PARA));
    bench.view(2, &[hash(1)]);
    bench.distribute(&candidate(1));
    bench.harness.expect_nothing();
    // Who it is comes later.
    bench.connect(2, ObservedRole::Validator, Some(validators.id(4)));
    bench.expect_advertised(&[2], &candidate(1));
    bench.harness.finish();
}

#[test]
fn it_advertises_to_the_group_of_the_core_and_the_next_one_as_their_views_come() {
    for seed in 0..20 {
        let (bench, validators) = bench(seed);
        // Of each group one; core 1 is served by the second (3 to 5) now and the third (6 to 8) next.
        for index in [0, 3, 4, 6] {
            bench.join(&validators, index);
        }
        for index in [0, 3, 6] {
            bench.view(index, &[hash(9), hash(1)]);
        }
        bench.distribute(&candidate(1));
        bench.expect_advertised(&[3, 6], &candidate(1));
        bench.view(4, &[hash(9)]);
        bench.harness.expect_nothing();
        bench.view(4, &[hash(1)]);
        bench.expect_advertised(&[4], &candidate(1));
        bench.view(4, &[hash(1)]);
        bench.distribute(&candidate(1));
        bench.harness.expect_nothing();
        // A new connection knows nothing.
        bench.network(NetworkBridgeEvent::PeerDisconnected(peer(3)));
        bench.join(&validators, 3);
        bench.view(3, &[hash(1)]);
        bench.expect_advertised(&[3], &candidate(1));
        bench.harness.finish();
    }
}

#[test]
fn it_serves_the_group_and_nobody_else() {
    let (bench, validators) = bench(1);
    for index in [0, 3] {
        bench.join(&validators, index);
    }
    bench.distribute(&candidate(1));
    let expected = Some((candidate(1).receipt(), candidate(1).pov));
    assert_eq!(bench.serve(3, &candidate(1)), Some(expected));
    assert_eq!(bench.serve(3, &candidate(2)), Some(None), "it holds no such thing");
    for stranger in [0, 9] {
        assert_eq!(bench.serve(stranger, &candidate(1)), None);
        bench.expect_report(stranger, PeerConduct::CostUnneeded);
    }
    for garbage in [vec![], vec![0; 63], vec![0; 65]] {
        assert!(bench.asked(3, garbage).is_err());
        bench.expect_report(3, PeerConduct::CostMalformed);
    }
    bench.harness.finish();
}

#[test]
fn it_keeps_the_newest_and_says_no_more_than_validators_take() {
    let (bench, validators) = bench(1);
    bench.join(&validators, 3);
    bench.view(3, &[hash(1)]);
    for number in 1..3 {
        bench.distribute(&candidate(number));
        bench.expect_advertised(&[3], &candidate(number));
    }
    bench.distribute(&candidate(3));
    bench.harness.expect_nothing();
    assert_eq!(bench.serve(3, &candidate(1)), Some(None));
    assert!(bench.serve(3, &candidate(3)).flatten().is_some());
    bench.harness.finish();
}

#[test]
fn what_is_out_of_view_or_of_another_para_is_dropped() {
    let (bench, validators) = bench(1);
    bench.join(&validators, 3);
    bench.view(3, &[hash(1), hash(9)]);
    bench.distribute(&CandidateBuilder::new(PARA.0, 1, hash(9)).build());
    bench.distribute(&CandidateBuilder::new(8, 1, hash(1)).build());
    bench.harness.expect_nothing();
    bench.distribute(&candidate(1));
    bench.expect_advertised(&[3], &candidate(1));
    bench.move_on();
    assert_eq!(bench.serve(3, &candidate(1)), Some(None));
    bench.harness.finish();
}

#[test]
fn a_stop_before_the_session_is_known_leaves_nothing() {
    let keystore = TestKeystore::collator(pair("a"));
    let side = Side::Collator { para_id: PARA };
    let harness = Harness::new(1, |_| CollationDistributionSubsystem::new(side, keystore, peer(0xaa)));
    let bench = Bench::begin(harness, AtBlock::default());
    // The runtime does not know the session there.
    bench.distribute(&candidate(1));
    bench.move_on();
    bench.harness.finish();
}

#[test]
fn it_is_no_validator() {
    let (bench, validators) = bench(1);
    bench.join(&validators, 3);
    bench.hear(3, &super::declare("b", &peer(3), PARA));
    bench.expect_report(3, PeerConduct::CostUnneeded);
    let question = FetchCollation { relay_parent: hash(1), peer: peer(3), candidate_hash: candidate(1).hash() };
    let waiting = bench.harness.ask(question);
    let answer = waiting.take().expect("it is answered").expect("the subject runs");
    assert!(matches!(answer, Err(FetchCollationError::NotAdvertised(_))));
    bench.harness.finish();
}

#[test]
fn a_validator_takes_what_a_collator_says() {
    let (collator_side, validators) = bench(1);
    let keystore = TestKeystore::new(Vec::new());
    let harness = Harness::new(2, |_| CollationDistributionSubsystem::new(Side::Validator, keystore, peer(3)));
    let validator_side = Bench::begin(harness, AtBlock::default());
    validator_side.connect(0xaa, ObservedRole::Collator, None);
    collator_side.connect(3, ObservedRole::Validator, Some(validators.id(3)));
    collator_side.view(3, &[hash(1)]);
    collator_side.distribute(&candidate(1));
    for _ in 0..2 {
        validator_side.hear_bytes(0xaa, collator_side.expect_message().payload.to_vec());
    }
    let Inbox::NewCandidate(found) = validator_side.harness.expect::<CandidateSelection>() else {
        panic!("expected a candidate")
    };
    let wanted = FetchCollation { relay_parent: hash(1), peer: found.peer, candidate_hash: found.candidate_hash };
    let waiting = validator_side.harness.ask(wanted);
    let (request, answer) = validator_side.expect_request();
    let response = collator_side.asked(3, request.payload.to_vec()).expect("it is served");
    answer.answer(Ok(response)).expect("the job waits");
    validator_side.harness.settle();
    let fetched = waiting.take().expect("it is answered").expect("the subject runs").expect("it is the collation");
    assert_eq!((fetched.receipt, fetched.pov), (candidate(1).receipt(), candidate(1).pov));
    collator_side.harness.finish();
    validator_side.harness.finish();
}
