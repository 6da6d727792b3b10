//! The subsystem alone: the straight path, each refusal, bad input, StopWork and Conclude.

use std::time::Duration;

use bytes::Bytes;
use codec::Encode as _;
use messages::network_bridge::{
    Inbox as BridgeInbox, NetworkBridge, NetworkBridgeEvent, ObservedRole, PeerConduct, PeerInfo, Recipient, View,
};
use messages::pov_distribution::{DistributePoV, FetchPoV, FetchPoVError, NetworkUpdate};
use messages::{ActiveLeaf, LeavesUpdate};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash, peer};
use mocks::{Harness, Waiting};
use overseer::{Reply, Responder};
use ports::{PeerId, RequestError};
use primitives::{CandidateHash, Hash, PoV, ValidatorId};

use crate::PoVDistributionSubsystem;
use crate::limits::{HELD_BYTES_MAX, ROUND_PAUSE_MS, SERVES_PER_PEER_MAX};
use crate::state::{Effect, State};
use crate::wire::{AnswerError, PoVRequest, check_answer, no_response, response};

const HEAD: u8 = 1;

type Answer = Result<PoV, FetchPoVError>;

fn started(head: u8, ancestors: &[u8]) -> LeavesUpdate {
    let leaf = ActiveLeaf {
        hash: hash(head),
        number: u32::from(head),
        session_index: 1,
        ancestors: ancestors.iter().map(|byte| hash(*byte)).collect(),
    };
    LeavesUpdate { started: vec![leaf], ..LeavesUpdate::default() }
}

fn candidate() -> Candidate {
    CandidateBuilder::new(100, 0, hash(HEAD)).block_data(vec![7; 3000]).build()
}

fn fetch_from(from: &[ValidatorId]) -> FetchPoV {
    let candidate = candidate();
    FetchPoV {
        relay_parent: hash(HEAD),
        candidate_hash: candidate.hash(),
        pov_hash: candidate.pov.hash(),
        max_pov_size: 4096,
        from: from.to_vec(),
    }
}

fn distribute() -> DistributePoV {
    let candidate = candidate();
    DistributePoV { relay_parent: hash(HEAD), candidate_hash: candidate.hash(), pov: candidate.pov }
}

fn info(authority: Option<ValidatorId>) -> PeerInfo {
    PeerInfo { role: ObservedRole::Validator, authority }
}

// The answer's check.

#[test]
fn answers_are_what_the_candidate_commits_to_or_refused() {
    let pov = candidate().pov;
    let good = response(&pov);
    assert_eq!(check_answer(&good, pov.hash(), 4096), Ok(pov.clone()));
    assert_eq!(check_answer(&good, pov.hash(), pov.encoded_len() as u32), Ok(pov.clone()), "just the limit");
    let limit = pov.encoded_len() - 1;
    let too_large = AnswerError::TooLarge { found: limit + 1, limit };
    assert_eq!(check_answer(&good, pov.hash(), limit as u32), Err(too_large));
    let wrong = AnswerError::WrongHash { found: pov.hash(), expected: hash(3) };
    assert_eq!(check_answer(&good, hash(3), 4096), Err(wrong));
    assert_eq!(check_answer(&no_response(), pov.hash(), 4096), Err(AnswerError::NotHeld));
    let mut trailing = good.to_vec();
    trailing.push(0);
    let bad = [Bytes::new(), Bytes::from_static(&[2]), Bytes::from_static(&[1, 255, 255, 255]), trailing.into()];
    for bytes in bad {
        let length = bytes.len();
        assert_eq!(check_answer(&bytes, pov.hash(), 4096), Err(AnswerError::Malformed(length)));
    }
}

#[test]
fn checked_pov_shares_the_bytes_of_the_answer() {
    let pov = candidate().pov;
    let bytes = response(&pov);
    let checked = check_answer(&bytes, pov.hash(), 4096).unwrap();
    let range = bytes.as_ptr_range();
    assert!(range.contains(&checked.block_data.0.as_ptr()));
}

// The state machine.

fn asker() -> (Responder<Answer>, Reply<Answer>) {
    Reply::channel("FetchPoV", "pov-distribution")
}

#[test]
fn held_bytes_are_bounded_and_the_oldest_go_first() {
    let mut state = State::default();
    state.heartbeat(&started(HEAD, &[]));
    let size = 8 * 1024 * 1024;
    let key = |number: u8| CandidateHash(hash(number));
    let pov = PoV::from(vec![0; size]);
    for number in 0..40 {
        state.distribute(DistributePoV { relay_parent: hash(HEAD), candidate_hash: key(number), pov: pov.clone() });
        assert!(state.held_bytes() <= HELD_BYTES_MAX);
    }
    let mut held = |number: u8| {
        let mut request = fetch_from(&[]);
        request.candidate_hash = key(number);
        matches!(&state.fetch(request, asker().0)[..], [Effect::Answer(_, Ok(_))])
    };
    assert!(held(39) && held(30) && !held(0) && !held(20));
    // All is dropped with the relay parent.
    let update = LeavesUpdate { stopped: vec![hash(HEAD)], ..started(9, &[]) };
    state.heartbeat(&update);
    assert_eq!(state.held_bytes(), 0);
}

#[test]
fn sources_named_by_later_askers_are_asked_when_the_first_fail() {
    let validators = Validators::new(3, 1);
    let mut state = State::default();
    state.heartbeat(&started(HEAD, &[]));
    let first = state.fetch(fetch_from(&[validators.id(0)]), asker().0);
    assert!(matches!(&first[..], [Effect::Fetch(_)]));
    assert!(state.fetch(fetch_from(&[validators.id(0), validators.id(1)]), asker().0).is_empty());
    let key = (hash(HEAD), candidate().hash());
    let failed = || crate::state::Fetched { key, pov: None, conduct: Vec::new() };
    match &state.fetched(failed())[..] {
        [Effect::Fetch(request)] => assert_eq!(request.from, [validators.id(1)]),
        other => panic!("not fetched anew: {other:?}"),
    }
    let answers = state.fetched(failed());
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert!(matches!(answer, Effect::Answer(_, Err(FetchPoVError::Unavailable(2)))));
    }
}

// With the loop, in a real overseer.

struct Bench {
    harness: Harness,
    validators: Validators,
}

impl Bench {
    /// Peers 0 to 2 are the validators of those numbers.
    fn new(seed: u64) -> Self {
        let harness = Harness::new(seed, |_| PoVDistributionSubsystem::new());
        let validators = Validators::new(3, 1);
        harness.signal(started(HEAD, &[]));
        for byte in 0..3 {
            let authority = Some(validators.id(u32::from(byte)));
            harness.tell(NetworkUpdate(NetworkBridgeEvent::PeerConnected(peer(byte), info(authority))));
        }
        Self { harness, validators }
    }

    fn ids(&self, indices: &[u32]) -> Vec<ValidatorId> {
        indices.iter().map(|index| self.validators.id(*index)).collect()
    }

    fn fetch(&self, indices: &[u32]) -> Waiting<Answer> {
        self.harness.ask(fetch_from(&self.ids(indices)))
    }

    /// The next request, which must go to this validator.
    fn asked(&self, index: u32) -> Responder<Result<Bytes, RequestError>> {
        match self.harness.expect::<NetworkBridge>() {
            BridgeInbox::SendRequest(request, responder) => {
                assert_eq!(request.to, Recipient::Authority(self.validators.id(index)));
                let question = PoVRequest { relay_parent: hash(HEAD), candidate_hash: candidate().hash() };
                assert_eq!(request.payload, question.encode());
                responder
            }
            _ => panic!("no request"),
        }
    }

    fn answer(&self, index: u32, answer: Result<Bytes, RequestError>) {
        self.asked(index).answer(answer).unwrap();
        self.harness.settle();
    }

    fn reported(&self) -> (PeerId, PeerConduct) {
        match self.harness.expect::<NetworkBridge>() {
            BridgeInbox::ReportPeer(report) => (report.peer, report.conduct),
            _ => panic!("no report"),
        }
    }

    fn request(&self, byte: u8, payload: Vec<u8>) -> Reply<Bytes> {
        let (responder, reply) = Reply::channel("IncomingRequest", "test");
        let event = NetworkBridgeEvent::IncomingRequest(peer(byte), payload.into(), responder);
        self.harness.tell(NetworkUpdate(event));
        reply
    }

    fn question(relay_parent: Hash) -> Vec<u8> {
        PoVRequest { relay_parent, candidate_hash: candidate().hash() }.encode()
    }
}

fn now<T>(reply: Reply<T>) -> Option<T> {
    use std::future::Future as _;
    let waker = std::task::Waker::noop();
    let mut reply = std::pin::pin!(reply);
    match reply.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(Ok(value)) => Some(value),
        std::task::Poll::Ready(Err(_)) | std::task::Poll::Pending => None,
    }
}

#[test]
fn one_fetch_answers_all_askers() {
    for seed in 0..8 {
        let bench = Bench::new(seed);
        let (one, two) = (bench.fetch(&[0]), bench.fetch(&[0]));
        bench.answer(0, Ok(response(&candidate().pov)));
        for waiting in [one, two] {
            assert_eq!(waiting.take(), Some(Ok(Ok(candidate().pov))));
        }
        assert_eq!(bench.reported(), (peer(0), PeerConduct::BenefitUseful));
        bench.harness.finish();
    }
}

#[test]
fn wrong_pov_costs_its_sender_and_the_next_is_asked() {
    for seed in 0..8 {
        let bench = Bench::new(seed);
        let waiting = bench.fetch(&[0, 1, 2]);
        let other = PoV::from(vec![8; 3000]);
        bench.answer(0, Ok(response(&other)));
        bench.answer(1, Ok(vec![9; 5000].into()));
        assert!(waiting.take().is_none());
        bench.answer(2, Ok(response(&candidate().pov)));
        assert_eq!(waiting.take(), Some(Ok(Ok(candidate().pov))));
        assert_eq!(bench.reported(), (peer(0), PeerConduct::CostInvalid));
        assert_eq!(bench.reported(), (peer(1), PeerConduct::CostInvalid));
        assert_eq!(bench.reported(), (peer(2), PeerConduct::BenefitUseful));
        bench.harness.finish();
    }
}

#[test]
fn all_are_asked_twice_but_liars() {
    let bench = Bench::new(5);
    let waiting = bench.fetch(&[0, 1, 2]);
    bench.answer(0, Ok(no_response()));
    bench.answer(1, Ok(Bytes::from_static(b"?")));
    bench.answer(2, Err(RequestError::TimedOut));
    bench.harness.expect_nothing();
    bench.harness.run_for(Duration::from_millis(ROUND_PAUSE_MS));
    bench.answer(0, Err(RequestError::NotConnected));
    assert!(waiting.take().is_none());
    bench.answer(2, Ok(no_response()));
    assert_eq!(waiting.take(), Some(Ok(Err(FetchPoVError::Unavailable(3)))));
    assert_eq!(bench.reported(), (peer(1), PeerConduct::CostInvalid));
    assert_eq!(bench.reported(), (peer(2), PeerConduct::CostTimeout));
    bench.harness.finish();
}

#[test]
fn own_pov_answers_those_who_wait_and_is_served_to_validators() {
    for seed in 0..4 {
        let bench = Bench::new(seed);
        let waiting = bench.fetch(&[0]);
        let open = bench.asked(0);
        bench.harness.tell(distribute());
        assert_eq!(waiting.take(), Some(Ok(Ok(candidate().pov))));
        // Who asks later is answered at once.
        assert_eq!(bench.fetch(&[0]).take(), Some(Ok(Ok(candidate().pov))));
        let served = now(bench.request(1, Bench::question(hash(HEAD)))).unwrap();
        assert_eq!(served, response(&candidate().pov));
        // The late answer disturbs nobody.
        open.answer(Ok(no_response())).unwrap();
        bench.harness.run_for(Duration::from_millis(ROUND_PAUSE_MS));
        bench.answer(0, Ok(no_response()));
        bench.harness.finish();
    }
}

#[test]
fn requests_that_are_refused() {
    let bench = Bench::new(6);
    bench.harness.tell(NetworkUpdate(NetworkBridgeEvent::PeerConnected(peer(8), info(None))));
    let unknown = now(bench.request(1, Bench::question(hash(HEAD))));
    assert_eq!(unknown, Some(no_response()), "not held");
    bench.harness.tell(distribute());
    for (what, byte, payload, cost) in [
        ("garbage", 1, vec![1, 2, 3], PeerConduct::CostMalformed),
        ("too long", 1, vec![0; 65], PeerConduct::CostMalformed),
        ("not a validator", 8, Bench::question(hash(HEAD)), PeerConduct::CostUnneeded),
        ("never connected", 9, Bench::question(hash(HEAD)), PeerConduct::CostUnneeded),
    ] {
        assert!(now(bench.request(byte, payload)).is_none(), "{what}");
        assert_eq!(bench.reported(), (peer(byte), cost), "{what}");
    }
    for _ in 0..SERVES_PER_PEER_MAX {
        assert!(now(bench.request(1, Bench::question(hash(HEAD)))).is_some());
    }
    assert!(now(bench.request(1, Bench::question(hash(HEAD)))).is_none(), "again and again");
    assert_eq!(bench.reported(), (peer(1), PeerConduct::CostUnneeded));
    bench.harness.tell(NetworkUpdate(NetworkBridgeEvent::PeerMessage(peer(2), Bytes::from_static(b"hello"))));
    assert_eq!(bench.reported(), (peer(2), PeerConduct::CostMalformed), "nothing is gossiped here");
    bench.harness.tell(NetworkUpdate(NetworkBridgeEvent::PeerDisconnected(peer(2))));
    assert!(now(bench.request(2, Bench::question(hash(HEAD)))).is_none(), "gone");
    assert_eq!(bench.reported(), (peer(2), PeerConduct::CostUnneeded));
    bench.harness.tell(NetworkUpdate(NetworkBridgeEvent::PeerViewChange(peer(1), View::default())));
    bench.harness.finish();
}

#[test]
fn relay_parents_out_of_view_are_refused() {
    let bench = Bench::new(7);
    let mut far = fetch_from(&bench.ids(&[0]));
    far.relay_parent = hash(44);
    assert_eq!(bench.harness.ask(far).take(), Some(Ok(Err(FetchPoVError::NotInView(hash(44))))));
    assert_eq!(bench.fetch(&[]).take(), Some(Ok(Err(FetchPoVError::Unavailable(0)))));
    bench.harness.tell(DistributePoV { relay_parent: hash(44), ..distribute() });
    assert_eq!(now(bench.request(1, Bench::question(hash(44)))), Some(no_response()));
    bench.harness.finish();
}

#[test]
fn work_goes_on_while_the_relay_parent_is_an_ancestor_and_stops_with_it() {
    for seed in 0..4 {
        let bench = Bench::new(seed);
        let waiting = bench.fetch(&[0]);
        let open = bench.asked(0);
        bench.harness.signal(LeavesUpdate { stopped: vec![hash(HEAD)], ..started(2, &[HEAD]) });
        assert!(waiting.take().is_none() && !open.is_abandoned());
        bench.harness.signal(LeavesUpdate { stopped: vec![hash(2)], ..started(50, &[]) });
        assert_eq!(waiting.take(), Some(Ok(Err(FetchPoVError::NotInView(hash(HEAD))))));
        assert!(open.is_abandoned());
        bench.harness.finish();
    }
}

#[test]
fn conclude_leaves_nothing_behind() {
    let bench = Bench::new(9);
    let waiting = bench.fetch(&[0]);
    let open = bench.asked(0);
    assert!(waiting.take().is_none());
    bench.harness.finish();
    assert!(open.is_abandoned());
    assert!(matches!(waiting.take(), Some(Err(_))));
}
