use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use codec::{Decode as _, Encode as _};
use erasure_coding::Encoded;
use messages::availability_distribution::{AvailabilityRequest, AvailableDataResponse, ChunkResponse, NetworkUpdate};
use messages::availability_recovery::{AvailabilityRecovery, Inbox as RecoveryInbox};
use messages::availability_store::{
    AvailabilityStore, ErasureChunk, Inbox as StoreInbox, chunk_permutation, erasure_code,
};
use messages::network_bridge::{
    AVAILABILITY_PROTOCOL, Inbox as BridgeInbox, NetworkBridge, NetworkBridgeEvent, ObservedRole, PeerConduct,
    PeerInfo, Recipient, View,
};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash, peer};
use mocks::keystore::TestKeystore;
use overseer::{Reply, Responder};
use ports::{PeerId, RequestError};
use primitives::{
    AvailableData, Bits, CandidateEvent, ChunkIndex, CoreIndex, CoreState, GroupIndex, Hash, HeadData, OccupiedCore,
    ValidatorIndex,
};

use crate::AvailabilityDistributionSubsystem;

const VALIDATORS: u32 = 6;
const CORE: u32 = 1;

/// What is in the store of the node under test.
#[derive(Default)]
struct Stored {
    data: Option<Arc<AvailableData>>,
    chunk: Option<(ValidatorIndex, ErasureChunk)>,
    data_read: u32,
}

/// How a validator answers requests for chunks.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Honest,
    Offline,
    TimedOut,
    Silent,
    Garbage,
    NotHeld,
    WrongProof,
    OtherChunk,
    HugeLength,
}

/// A node, validator `ours` of six in two groups, and a chain on which a candidate of group 1 waits on core 1.
struct World {
    harness: Harness,
    chain: TestChain,
    validators: Validators,
    candidate: Candidate,
    encoded: Encoded,
    stored: Arc<Mutex<Stored>>,
    peers: Arc<Mutex<BTreeMap<u32, Peer>>>,
    asked: Arc<Mutex<Vec<u32>>>,
}

impl World {
    fn new(seed: u64, ours: u32) -> Self {
        let validators = Validators::new(VALIDATORS, 2);
        let keystore = TestKeystore::new(vec![validators.pairs[ours as usize].clone()]);
        let harness = Harness::new(seed, |_| AvailabilityDistributionSubsystem::new(keystore));
        let candidate = CandidateBuilder::new(9, CORE, hash(10)).coded_for(VALIDATORS as usize).build();
        let encoded = erasure_code(VALIDATORS as usize, &candidate.available_data()).unwrap();
        let (chain, update) = TestChain::new(hash(10), 1);
        chain.serve(&harness);
        let world = Self {
            harness,
            chain,
            validators,
            candidate,
            encoded,
            stored: Arc::default(),
            peers: Arc::default(),
            asked: Arc::default(),
        };
        world.block(10, false, Vec::new());
        world.serve_store();
        world.serve_bridge();
        for index in 0..VALIDATORS {
            let authority = Some(world.validators.id(index));
            let info = PeerInfo { role: ObservedRole::Validator, authority };
            world.event(NetworkBridgeEvent::PeerConnected(peer(index as u8), info));
        }
        world.harness.signal(update);
        world
    }

    fn event(&self, event: NetworkBridgeEvent) {
        self.harness.tell(NetworkUpdate(event));
    }

    fn own_index(&self, validator: u32) -> ChunkIndex {
        let permutation = chunk_permutation(VALIDATORS as usize, CoreIndex(CORE), &hash(10)).unwrap();
        ChunkIndex(permutation.chunk_index(validator).unwrap())
    }

    /// Says what is so at a block.
    fn block(&self, byte: u8, pending: bool, events: Vec<CandidateEvent>) {
        let occupied = OccupiedCore {
            next_up_on_available: None,
            occupied_since: 1,
            time_out_at: 9,
            next_up_on_time_out: None,
            availability: Bits::repeat(false, VALIDATORS as usize),
            group_responsible: GroupIndex(1),
            candidate_hash: self.candidate.hash(),
            candidate_descriptor: self.candidate.receipt().descriptor,
        };
        let core = if pending { CoreState::Occupied(Box::new(occupied)) } else { CoreState::Free };
        let session = Some(Arc::new(self.validators.context.clone()));
        let at = AtBlock { session, cores: vec![CoreState::Free, core], events, ..AtBlock::default() };
        self.chain.set(hash(byte), at);
    }

    fn head(&self, byte: u8, pending: bool, events: Vec<CandidateEvent>) {
        self.block(byte, pending, events);
        self.harness.signal(self.chain.import(hash(byte), hash(byte - 1), u32::from(byte) - 10, 1));
    }

    fn included(&self) -> CandidateEvent {
        CandidateEvent::Included(self.candidate.receipt(), HeadData(vec![2]), CoreIndex(CORE), GroupIndex(1))
    }

    fn serve_store(&self) {
        let stored = self.stored.clone();
        self.harness.stub::<AvailabilityStore>(move |inbox| {
            let mut stored = stored.lock().unwrap();
            match inbox {
                StoreInbox::QueryChunkAvailability(query, reply) => {
                    let held = stored.chunk.as_ref().is_some_and(|(index, _)| *index == query.validator_index);
                    let _ = reply.answer(held);
                }
                StoreInbox::QueryDataAvailability(_, reply) => drop(reply.answer(stored.data.is_some())),
                StoreInbox::QueryAvailableData(_, reply) => {
                    stored.data_read += 1;
                    drop(reply.answer(stored.data.clone()));
                }
                StoreInbox::QueryChunk(query, reply) => {
                    let chunk = stored.chunk.clone().filter(|(index, _)| *index == query.validator_index);
                    drop(reply.answer(chunk.map(|(_, chunk)| chunk)));
                }
                StoreInbox::StoreChunk(message, reply) => {
                    assert!(stored.chunk.is_none(), "stored twice");
                    stored.chunk = Some((message.validator_index, message.chunk));
                    drop(reply.answer(Ok(())));
                }
                other => return Some(other),
            }
            None
        });
    }

    fn serve_bridge(&self) {
        let ids = self.validators.context.validators.clone();
        let (encoded, peers, asked) = (self.encoded.clone(), self.peers.clone(), self.asked.clone());
        let permutation = chunk_permutation(VALIDATORS as usize, CoreIndex(CORE), &hash(10)).unwrap();
        let mut silent = Vec::new();
        self.harness.stub::<NetworkBridge>(move |inbox| {
            let BridgeInbox::SendRequest(request, reply) = inbox else { return Some(inbox) };
            assert_eq!(request.protocol, AVAILABILITY_PROTOCOL);
            let Recipient::Authority(id) = request.to else { panic!("validators are asked by their keys") };
            let validator = ids.iter().position(|known| *known == id).unwrap() as u32;
            asked.lock().unwrap().push(validator);
            let request = AvailabilityRequest::decode(&mut request.payload.as_ref()).unwrap();
            let AvailabilityRequest::Chunk(_, index) = request else { panic!("only chunks are asked for") };
            let index = permutation.chunk_index(index.0).unwrap();
            let mut chunk = ErasureChunk::of(&encoded, ChunkIndex(index)).unwrap();
            let behaviour = peers.lock().unwrap().get(&validator).copied().unwrap_or(Peer::Offline);
            let answer = match behaviour {
                Peer::Silent => {
                    silent.push(reply);
                    return None;
                }
                Peer::Offline => Err(RequestError::NotConnected),
                Peer::TimedOut => Err(RequestError::TimedOut),
                Peer::Garbage => Ok(Bytes::from_static(b"\x09garbage")),
                Peer::NotHeld => Ok(ChunkResponse::NoSuchChunk.encode().into()),
                behaviour => {
                    match behaviour {
                        Peer::WrongProof => chunk.proof = vec![0; chunk.proof.len()].into(),
                        Peer::OtherChunk => {
                            let other = ChunkIndex((index + 1) % VALIDATORS);
                            chunk = ErasureChunk::of(&encoded, other).unwrap();
                        }
                        Peer::HugeLength => chunk.data_len = u64::MAX,
                        _ => {}
                    }
                    Ok(ChunkResponse::Chunk(chunk).encode().into())
                }
            };
            drop(reply.answer(answer));
            None
        });
    }

    fn peers(&self, peers: &[(u32, Peer)]) {
        self.peers.lock().unwrap().extend(peers.iter().copied());
    }

    /// Whether our own, right chunk is stored.
    fn holds_own(&self, ours: u32) -> bool {
        let stored = self.stored.lock().unwrap();
        let Some((validator, chunk)) = &stored.chunk else { return false };
        let expected = ErasureChunk::of(&self.encoded, self.own_index(ours)).unwrap();
        assert_eq!((validator.0, chunk), (ours, &expected));
        true
    }

    /// What peers were reported for, in order.
    fn reports(&self) -> Vec<(PeerId, PeerConduct)> {
        let mut reports = Vec::new();
        while let Some(inbox) = self.harness.try_expect::<NetworkBridge>() {
            match inbox {
                BridgeInbox::ReportPeer(report) => reports.push((report.peer, report.conduct)),
                _ => panic!("only reports are cast"),
            }
        }
        reports
    }

    fn request(&self, from: u8, payload: Bytes) -> Reply<Bytes> {
        let (responder, reply): (Responder<Bytes>, _) = Reply::channel("request", "subject");
        self.event(NetworkBridgeEvent::IncomingRequest(peer(from), payload, responder));
        reply
    }

    fn answered<T: codec::Decode>(&self, reply: Reply<Bytes>) -> Option<T> {
        let bytes = futures::FutureExt::now_or_never(reply)?.ok()?;
        Some(T::decode(&mut bytes.as_ref()).unwrap())
    }

    fn chunk_request(&self, validator: u32) -> Bytes {
        AvailabilityRequest::Chunk(self.candidate.hash(), ValidatorIndex(validator)).to_bytes()
    }
}

#[test]
fn the_missing_chunk_is_fetched_from_the_group() {
    for seed in 0..8 {
        let world = World::new(seed, 1);
        world.peers(&[(3, Peer::Honest), (4, Peer::Honest), (5, Peer::Honest)]);
        world.head(11, true, Vec::new());
        assert!(world.holds_own(1));
        assert_eq!(*world.asked.lock().unwrap(), [4], "the group's second member for validator 1");
        assert_eq!(world.reports(), [(peer(4), PeerConduct::BenefitUseful)]);
        world.head(12, true, Vec::new());
        assert_eq!(world.asked.lock().unwrap().len(), 1, "held");
        world.harness.finish();
    }
}

#[test]
fn bad_answers_cost_and_the_next_is_asked() {
    let cases = [
        (Peer::WrongProof, Some(PeerConduct::CostInvalid)),
        (Peer::OtherChunk, Some(PeerConduct::CostInvalid)),
        (Peer::HugeLength, Some(PeerConduct::CostInvalid)),
        (Peer::Garbage, Some(PeerConduct::CostMalformed)),
        (Peer::TimedOut, Some(PeerConduct::CostTimeout)),
        (Peer::Offline, None),
        (Peer::NotHeld, None),
        (Peer::Silent, None),
    ];
    for (seed, (bad, conduct)) in cases.into_iter().enumerate() {
        let world = World::new(seed as u64, 1);
        world.peers(&[(4, bad), (5, Peer::Honest)]);
        world.head(11, true, Vec::new());
        world.harness.run_for(Duration::from_secs(2));
        assert!(world.holds_own(1));
        let mut expected: Vec<_> = conduct.map(|conduct| (peer(4), conduct)).into_iter().collect();
        expected.push((peer(5), PeerConduct::BenefitUseful));
        assert_eq!(world.reports(), expected);
        world.harness.finish();
    }
}

#[test]
fn rounds_go_on_until_somebody_has_it() {
    let world = World::new(1, 1);
    world.head(11, true, Vec::new());
    world.harness.run_for(Duration::from_secs(3));
    assert!(!world.holds_own(1));
    let rounds = world.asked.lock().unwrap().len();
    assert!(rounds >= 2 * 5, "asked {rounds} times: all of the group and two others, again and again");
    world.peers(&[(0, Peer::Honest)]);
    world.harness.run_for(Duration::from_secs(1));
    assert!(world.holds_own(1), "somebody outside the group");
    world.reports();
    world.harness.finish();
}

#[test]
fn own_data_is_encoded_once_for_us_and_for_all_who_ask() {
    for seed in 0..8 {
        let world = World::new(seed, 4);
        world.stored.lock().unwrap().data = Some(world.candidate.available_data());
        world.head(11, true, Vec::new());
        assert!(world.holds_own(4) && world.asked.lock().unwrap().is_empty());
        for validator in 0..VALIDATORS {
            let reply = world.request(validator as u8, world.chunk_request(validator));
            let expected = ErasureChunk::of(&world.encoded, world.own_index(validator)).unwrap();
            assert_eq!(world.answered(reply), Some(ChunkResponse::Chunk(expected)));
        }
        assert_eq!(world.stored.lock().unwrap().data_read, 1);
        let reply = world.request(1, world.chunk_request(VALIDATORS));
        assert_eq!(world.answered(reply), Some(ChunkResponse::NoSuchChunk), "no such validator");
        world.harness.finish();
    }
}

#[test]
fn data_that_encodes_to_another_root_is_not_spread() {
    let world = World::new(2, 4);
    world.stored.lock().unwrap().data = Some(Arc::default());
    world.peers(&[(3, Peer::Honest)]);
    world.head(11, true, Vec::new());
    assert!(world.holds_own(4), "fetched instead");
    let reply = world.request(1, world.chunk_request(1));
    assert_eq!(world.answered(reply), Some(ChunkResponse::NoSuchChunk));
    world.reports();
    world.harness.finish();
}

#[test]
fn requests_are_answered_from_the_store() {
    let world = World::new(3, 1);
    let data = AvailabilityRequest::AvailableData(world.candidate.hash()).to_bytes();
    let reply = world.request(2, data.clone());
    assert_eq!(world.answered(reply), Some(AvailableDataResponse::NoSuchData));
    let reply = world.request(2, world.chunk_request(1));
    assert_eq!(world.answered(reply), Some(ChunkResponse::NoSuchChunk));
    {
        let mut stored = world.stored.lock().unwrap();
        stored.data = Some(world.candidate.available_data());
        let chunk = ErasureChunk::of(&world.encoded, world.own_index(1)).unwrap();
        stored.chunk = Some((ValidatorIndex(1), chunk));
    }
    let reply = world.request(2, data);
    let expected = AvailableDataResponse::AvailableData((*world.candidate.available_data()).clone());
    assert_eq!(world.answered(reply), Some(expected));
    let reply = world.request(2, world.chunk_request(1));
    assert!(matches!(world.answered(reply), Some(ChunkResponse::Chunk(_))), "stored, whatever is live");
    let reply = world.request(2, world.chunk_request(2));
    assert_eq!(world.answered(reply), Some(ChunkResponse::NoSuchChunk), "not live: nothing is encoded");
    world.harness.finish();
}

#[test]
fn garbage_gossip_and_floods_cost() {
    let world = World::new(4, 1);
    for payload in [&b""[..], &[0; 36], &[0; 38], &[2; 33], &[1; 100_000]] {
        let reply = world.request(2, Bytes::copy_from_slice(payload));
        assert!(world.answered::<ChunkResponse>(reply).is_none(), "refused");
        assert_eq!(world.reports(), [(peer(2), PeerConduct::CostMalformed)]);
    }
    world.event(NetworkBridgeEvent::PeerMessage(peer(3), Bytes::from_static(b"gossip")));
    assert_eq!(world.reports(), [(peer(3), PeerConduct::CostMalformed)]);
    world.event(NetworkBridgeEvent::PeerViewChange(peer(3), View::default()));
    // The store answers nobody: requests pile up.
    let asked: Arc<Mutex<Vec<StoreInbox>>> = Arc::default();
    let held = asked.clone();
    world.harness.stub::<AvailabilityStore>(move |inbox| {
        held.lock().unwrap().push(inbox);
        None
    });
    let replies: Vec<_> = (0..40).map(|_| world.request(5, world.chunk_request(1))).collect();
    assert_eq!(asked.lock().unwrap().len(), crate::serving::REQUESTS_PER_PEER_MAX);
    assert_eq!(world.reports(), vec![(peer(5), PeerConduct::CostUnneeded); 8]);
    drop(replies);
    asked.lock().unwrap().clear();
    world.harness.finish();
}

#[test]
fn a_candidate_that_is_not_live_any_more_is_dropped() {
    let world = World::new(5, 1);
    world.head(11, true, Vec::new());
    for byte in 12..=15 {
        world.head(byte, false, Vec::new());
    }
    let asked = world.asked.lock().unwrap().len();
    world.harness.run_for(Duration::from_secs(5));
    assert_eq!(world.asked.lock().unwrap().len(), asked, "nobody is asked any more");
    world.harness.finish();
}

#[test]
fn an_included_candidate_without_our_chunk_is_recovered() {
    for away in [false, true] {
        let world = World::new(6, 1);
        if away {
            // Four heads that we never heard of.
            for byte in 11..=15 {
                let events = if byte == 12 { vec![world.included()] } else { Vec::new() };
                world.block(byte, byte == 11, events);
                world.chain.import(hash(byte), hash(byte - 1), u32::from(byte) - 10, 1);
            }
        } else {
            world.head(11, true, Vec::new());
            world.head(12, false, vec![world.included()]);
            for byte in 13..=15 {
                world.head(byte, false, Vec::new());
            }
        }
        if away {
            world.head(16, false, Vec::new());
        }
        let inbox = world.harness.expect_any_order::<AvailabilityRecovery>();
        let RecoveryInbox::RecoverAvailableData(request, reply) = inbox;
        assert_eq!((request.core, request.relay_parent, request.session_index), (CoreIndex(CORE), hash(10), 1));
        assert_eq!(request.erasure_root, Hash(world.encoded.erasure_root()));
        assert_eq!(request.backers, [3, 4, 5].map(ValidatorIndex));
        reply.answer(Ok(world.candidate.available_data())).unwrap();
        world.harness.settle();
        assert!(world.holds_own(1));
        world.reports();
        world.harness.finish();
    }
}

#[test]
fn concluding_midway_leaves_nothing_behind() {
    let world = World::new(7, 1);
    world.peers(&[(3, Peer::Silent), (4, Peer::Silent), (5, Peer::Silent)]);
    world.head(11, true, Vec::new());
    assert_eq!(world.asked.lock().unwrap().len(), 1);
    world.harness.finish();
}
