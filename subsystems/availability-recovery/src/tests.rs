use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use codec::{Decode as _, Encode as _};
use erasure_coding::{Codec, Encoded};
use messages::availability_distribution::{AvailabilityRequest, AvailableDataResponse, ChunkResponse};
use messages::availability_recovery::{RecoverAvailableData, RecoveryError};
use messages::availability_store::{
    AvailabilityStore, ErasureChunk, Inbox as StoreInbox, chunk_permutation, erasure_code,
};
use messages::network_bridge::{self, NetworkBridge, Recipient};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash};
use ports::RequestError;
use primitives::{AvailableData, ChunkIndex, CoreIndex, Hash, ValidatorIndex};

use crate::AvailabilityRecoverySubsystem;

const VALIDATORS: usize = 10;
const K: usize = 4;

/// What a peer does when it is asked for its chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Peer {
    Honest,
    Offline,
    Silent,
    Garbage,
    WrongProof,
    OtherChunk,
    HugeLength,
    NotHeld,
}

/// What is in our own store.
#[derive(Default)]
struct Own {
    data: Option<Arc<AvailableData>>,
    chunks: Vec<u32>,
}

/// A network of validators that hold chunks, and the node that recovers.
struct World {
    harness: Harness,
    candidate: Candidate,
    encoded: Encoded,
    erasure_root: Hash,
    peers: Arc<Mutex<BTreeMap<u32, Peer>>>,
    /// What backers answer with, by default nothing.
    data: Arc<Mutex<Option<AvailableData>>>,
    /// Chunks and data asked for.
    asked: Arc<Mutex<(Vec<u32>, Vec<u32>)>>,
    own: Arc<Mutex<Own>>,
}

fn chunk_of(peer: Peer, encoded: &Encoded, index: u32) -> Result<Bytes, RequestError> {
    let mut chunk = ErasureChunk::of(encoded, ChunkIndex(index)).unwrap();
    match peer {
        Peer::Honest | Peer::Silent => {}
        Peer::Offline => return Err(RequestError::NotConnected),
        Peer::Garbage => return Ok(Bytes::from_static(b"garbage")),
        Peer::NotHeld => return Ok(ChunkResponse::NoSuchChunk.encode().into()),
        Peer::WrongProof => chunk.chunk = vec![1; chunk.chunk.len()].into(),
        Peer::OtherChunk => chunk = ErasureChunk::of(encoded, ChunkIndex((index + 1) % VALIDATORS as u32)).unwrap(),
        Peer::HugeLength => chunk.data_len = u64::MAX,
    }
    Ok(ChunkResponse::Chunk(chunk).encode().into())
}

impl World {
    fn new(seed: u64) -> Self {
        let candidate = CandidateBuilder::new(1, 3, hash(1)).coded_for(VALIDATORS).block_data(vec![5; 1000]).build();
        let encoded = erasure_code(VALIDATORS, &candidate.available_data()).unwrap();
        Self::with(seed, candidate, encoded)
    }

    fn with(seed: u64, candidate: Candidate, encoded: Encoded) -> Self {
        let harness = Harness::new(seed, |_| AvailabilityRecoverySubsystem::new());
        let validators = Validators::new(VALIDATORS as u32, 2);
        let (chain, _) = TestChain::new(hash(0), 1);
        chain.set(hash(1), AtBlock { session: Some(Arc::new(validators.context.clone())), ..AtBlock::default() });
        chain.serve(&harness);
        let world = Self {
            harness,
            erasure_root: Hash(encoded.erasure_root()),
            candidate,
            encoded,
            peers: Arc::default(),
            data: Arc::default(),
            asked: Arc::default(),
            own: Arc::default(),
        };
        world.serve_network(&validators);
        let (own, encoded) = (world.own.clone(), world.encoded.clone());
        world.harness.stub::<AvailabilityStore>(move |inbox| {
            let own = own.lock().unwrap();
            match inbox {
                StoreInbox::QueryAvailableData(_, reply) => drop(reply.answer(own.data.clone())),
                StoreInbox::QueryAllChunks(_, reply) => {
                    let chunk =
                        |index: &u32| (ValidatorIndex(*index), ErasureChunk::of(&encoded, ChunkIndex(*index)).unwrap());
                    drop(reply.answer(own.chunks.iter().map(chunk).collect()));
                }
                other => return Some(other),
            }
            None
        });
        world
    }

    fn serve_network(&self, validators: &Validators) {
        let ids = validators.context.validators.clone();
        let (peers, data, asked) = (self.peers.clone(), self.data.clone(), self.asked.clone());
        let (encoded, candidate) = (self.encoded.clone(), self.candidate.hash());
        let permutation = chunk_permutation(VALIDATORS, CoreIndex(3), &hash(1)).unwrap();
        let mut silent = Vec::new();
        self.harness.stub::<NetworkBridge>(move |inbox| {
            let network_bridge::Inbox::SendRequest(request, reply) = inbox else { return Some(inbox) };
            let Recipient::Authority(id) = request.to else { panic!("validators are asked by their keys") };
            let validator = ids.iter().position(|known| *known == id).unwrap() as u32;
            let mut asked = asked.lock().unwrap();
            match AvailabilityRequest::decode(&mut request.payload.as_ref()).unwrap() {
                AvailabilityRequest::AvailableData(hash) => {
                    assert_eq!(hash, candidate);
                    asked.1.push(validator);
                    let response = match data.lock().unwrap().clone() {
                        Some(data) => AvailableDataResponse::AvailableData(data),
                        None => AvailableDataResponse::NoSuchData,
                    };
                    drop(reply.answer(Ok(response.encode().into())));
                }
                AvailabilityRequest::Chunk(hash, index) => {
                    assert_eq!((hash, index.0), (candidate, validator), "each is asked for its own chunk");
                    let chunk = permutation.chunk_index(validator).unwrap();
                    asked.0.push(chunk);
                    let peer = peers.lock().unwrap().get(&chunk).copied().unwrap_or(Peer::Honest);
                    match peer {
                        Peer::Silent => silent.push(reply),
                        peer => drop(reply.answer(chunk_of(peer, &encoded, chunk))),
                    }
                }
            }
            None
        });
    }

    fn request(&self, backers: &[u32]) -> RecoverAvailableData {
        RecoverAvailableData {
            candidate_hash: self.candidate.hash(),
            erasure_root: self.erasure_root,
            relay_parent: hash(1),
            session_index: 1,
            core: CoreIndex(3),
            backers: backers.iter().map(|index| ValidatorIndex(*index)).collect(),
        }
    }

    fn peers(&self, peers: impl IntoIterator<Item = (u32, Peer)>) {
        self.peers.lock().unwrap().extend(peers);
    }

    fn recover(&self, backers: &[u32]) -> Result<Arc<AvailableData>, RecoveryError> {
        let answer = self.harness.ask(self.request(backers));
        self.harness.run_for(Duration::from_secs(10));
        answer.take().expect("answered within ten seconds").unwrap()
    }

    fn chunks_asked(&self) -> Vec<u32> {
        let mut asked = self.asked.lock().unwrap().0.clone();
        asked.sort_unstable();
        asked
    }
}

#[test]
fn data_chunks_suffice_and_are_asked_for_first() {
    for seed in 0..8 {
        let world = World::new(seed);
        assert_eq!(world.recover(&[]), Ok(world.candidate.available_data()));
        assert_eq!(world.chunks_asked(), [0, 1, 2, 3, 4, 5], "k and two to spare");
        assert_eq!(world.recover(&[]), Ok(world.candidate.available_data()));
        assert_eq!(world.chunks_asked().len(), 6, "the second time from the cache");
        world.harness.finish();
    }
}

#[test]
fn own_data_and_own_chunks_come_first() {
    let world = World::new(1);
    world.own.lock().unwrap().chunks = vec![9, 5];
    assert_eq!(world.recover(&[]), Ok(world.candidate.available_data()));
    assert_eq!(world.chunks_asked(), [0, 1, 2, 3]);
    world.harness.finish();
    let world = World::new(2);
    world.own.lock().unwrap().data = Some(world.candidate.available_data());
    assert_eq!(world.recover(&[1]), Ok(world.candidate.available_data()));
    assert!(world.chunks_asked().is_empty() && world.asked.lock().unwrap().1.is_empty());
    world.harness.finish();
}

#[test]
fn a_backer_gives_the_whole_data() {
    for seed in 0..8 {
        let world = World::new(seed);
        *world.data.lock().unwrap() = Some((*world.candidate.available_data()).clone());
        assert_eq!(world.recover(&[1, 2, 400]), Ok(world.candidate.available_data()));
        assert_eq!(world.asked.lock().unwrap().1.len(), 1);
        assert!(world.chunks_asked().is_empty());
        world.harness.finish();
    }
}

#[test]
fn wrong_data_of_backers_is_not_believed() {
    let world = World::new(3);
    *world.data.lock().unwrap() = Some(AvailableData::default());
    assert_eq!(world.recover(&[0, 1]), Ok(world.candidate.available_data()));
    assert_eq!(world.asked.lock().unwrap().1.len(), 2);
    world.harness.finish();
}

#[test]
fn any_k_chunks_suffice_whatever_the_others_do() {
    let bad = [
        Peer::Offline,
        Peer::Silent,
        Peer::Garbage,
        Peer::WrongProof,
        Peer::OtherChunk,
        Peer::HugeLength,
        Peer::NotHeld,
    ];
    for (seed, peer) in bad.into_iter().enumerate() {
        let world = World::new(seed as u64);
        world.peers((0..6).map(|chunk| (chunk, peer)));
        assert_eq!(world.recover(&[]), Ok(world.candidate.available_data()), "{peer:?}");
        world.harness.finish();
    }
}

#[test]
fn too_few_chunks_are_unavailable_and_not_invalid() {
    for peer in [Peer::Offline, Peer::Garbage, Peer::WrongProof, Peer::OtherChunk, Peer::HugeLength, Peer::NotHeld] {
        let world = World::new(4);
        world.peers((0..7).map(|chunk| (chunk, peer)));
        assert_eq!(world.recover(&[]), Err(RecoveryError::Unavailable(world.candidate.hash())), "{peer:?}");
        world.peers((0..7).map(|chunk| (chunk, Peer::Honest)));
        assert_eq!(world.recover(&[]), Ok(world.candidate.available_data()), "asked anew");
        world.harness.finish();
    }
}

#[test]
fn proven_chunks_that_are_no_code_are_an_invalid_encoding() {
    for seed in 0..4 {
        let codec = Codec::new(VALIDATORS).unwrap();
        // Mixed: the data chunks of one candidate, the others of another.
        let honest = CandidateBuilder::new(1, 3, hash(1)).block_data(vec![5; 1000]).build();
        let other = CandidateBuilder::new(1, 3, hash(1)).block_data(vec![6; 1000]).build();
        let [honest_code, other_code] =
            [&honest, &other].map(|candidate| erasure_code(VALIDATORS, &candidate.available_data()).unwrap());
        let mut mixed = Vec::new();
        for index in 0..VALIDATORS as u32 {
            let code = if index < K as u32 { &honest_code } else { &other_code };
            mixed.extend_from_slice(&code.chunk(index).unwrap());
        }
        let encoded = codec.commit(mixed, honest_code.data_len()).unwrap();
        let world = World::with(seed, honest, encoded);
        // Whichever chunks are found: those of one kind, or of both.
        if seed % 2 == 0 {
            world.peers((0..3).map(|chunk| (chunk, Peer::Offline)));
        }
        assert_eq!(world.recover(&[]), Err(RecoveryError::InvalidEncoding(world.candidate.hash())));
        world.harness.finish();
    }
}

#[test]
fn a_code_of_something_else_is_an_invalid_encoding() {
    let candidate = CandidateBuilder::new(1, 3, hash(1)).build();
    let encoded = Codec::new(VALIDATORS).unwrap().encode(b"\xff\xff\xff\xff no available data").unwrap();
    let world = World::with(1, candidate, encoded);
    assert_eq!(world.recover(&[]), Err(RecoveryError::InvalidEncoding(world.candidate.hash())));
    world.harness.finish();
}

#[test]
fn equal_requests_share_the_work() {
    let world = World::new(5);
    world.peers([(0, Peer::Silent), (1, Peer::Silent), (2, Peer::Silent)]);
    let answers = [(); 3].map(|()| world.harness.ask(world.request(&[])));
    world.harness.run_for(Duration::from_secs(2));
    for answer in answers {
        assert_eq!(answer.take(), Some(Ok(Ok(world.candidate.available_data()))));
    }
    assert_eq!(world.chunks_asked(), (0..9).collect::<Vec<_>>(), "each once, and others for the silent ones");
    world.harness.finish();
}

#[test]
fn an_unknown_or_other_session_is_said() {
    let world = World::new(6);
    let mut request = world.request(&[]);
    request.session_index = 2;
    let error = world.harness.ask(request).take().unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("session 1, expected session 2"), "{error}");
    let mut request = world.request(&[]);
    request.relay_parent = hash(99);
    assert!(matches!(world.harness.ask(request).take(), Some(Ok(Err(RecoveryError::Session(..))))));
    world.harness.finish();
}

#[test]
fn concluding_midway_leaves_nothing_behind() {
    let world = World::new(7);
    world.peers((0..10).map(|chunk| (chunk, Peer::Silent)));
    let answer = world.harness.ask(world.request(&[1]));
    assert!(answer.take().is_none());
    world.harness.finish();
}
