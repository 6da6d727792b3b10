use super::*;
use messages::availability_store::erasure_code;
use mocks::fixtures::{Validators, hash, peer};
use primitives::{AvailableData, CoreIndex};

fn work(byte: u8) -> Arc<Work> {
    let session = Arc::new(Validators::new(4, 2).context);
    Arc::new(Work {
        candidate: CandidateHash(hash(byte)),
        erasure_root: hash(byte),
        relay_parent: hash(0),
        core: CoreIndex(0),
        group: Vec::new(),
        session,
        ours: None,
    })
}

fn asker(request: u64) -> Asker<()> {
    Asker { request, validator: ValidatorIndex(0), reply: () }
}

#[test]
fn one_encoding_for_all_who_ask() {
    let (mut serving, work) = (Serving::default(), work(1));
    for request in 0..3 {
        assert!(matches!(serving.chunk(&work, asker(request)), Chunk::Later));
    }
    serving.want(&work);
    assert_eq!(serving.begin(), Some(work.clone()));
    assert_eq!(serving.begin(), None, "once");
    let encoded = erasure_code(4, &AvailableData::default()).unwrap();
    assert_eq!(serving.encoded(&work.candidate, Some(encoded)).len(), 3);
    assert!(matches!(serving.chunk(&work, asker(4)), Chunk::From(..)));
    serving.keep_only(&BTreeSet::new());
    assert!(matches!(serving.chunk(&work, asker(5)), Chunk::Later), "not live any more");
}

#[test]
fn encodings_are_bounded() {
    let mut serving = Serving::default();
    let encoded = erasure_code(4, &AvailableData::default()).unwrap();
    for byte in 0..2 * ENCODINGS_MAX as u8 {
        let _ = serving.chunk(&work(byte), asker(byte.into()));
    }
    let begun: Vec<_> = std::iter::from_fn(|| serving.begin()).collect();
    assert_eq!(begun.len(), ENCODINGS_MAX);
    serving.encoded(&begun[0].candidate, None);
    assert!(serving.begin().is_some() && serving.begin().is_none());
    for byte in 0..=255 {
        serving.encoded(&CandidateHash(hash(byte)), Some(encoded.clone()));
    }
    assert_eq!(serving.cache.len(), CACHED_ENCODINGS_MAX);
}

#[test]
fn a_flood_of_one_peer_costs_and_others_go_on() {
    let mut serving: Serving<()> = Serving::default();
    let numbers: Vec<u64> = (0..REQUESTS_PER_PEER_MAX).map(|_| serving.admit(&peer(1)).unwrap()).collect();
    assert_eq!(serving.admit(&peer(1)), Err(Some(PeerConduct::CostUnneeded)));
    assert!(serving.admit(&peer(2)).is_ok());
    numbers.into_iter().for_each(|number| serving.over(number));
    let mut asked = REQUESTS_PER_PEER_MAX as u32;
    // Reconnecting is no way around the bound.
    serving.connected(peer(1), None);
    serving.disconnected(&peer(1));
    while let Ok(number) = serving.admit(&peer(1)) {
        asked += 1;
        serving.over(number);
    }
    assert_eq!(asked, REQUESTS_PER_PEER_AND_HEAD_MAX);
    serving.on_head();
    assert!(serving.admit(&peer(1)).is_ok());
}

#[test]
fn all_peers_together_are_bounded_without_blame() {
    let mut serving: Serving<()> = Serving::default();
    let admitted = (0..=255).filter(|byte| serving.admit(&peer(*byte)).is_ok()).count();
    assert_eq!(admitted, REQUESTS_MAX);
    assert_eq!(serving.admit(&peer(200)), Err(None));
}

#[test]
fn validators_are_found_under_their_newest_peer() {
    let mut serving: Serving<()> = Serving::default();
    let id = Validators::new(1, 1).id(0);
    serving.connected(peer(1), Some(id));
    serving.connected(peer(2), Some(id));
    serving.disconnected(&peer(1));
    assert_eq!(serving.peer_of(&id), Some(peer(2)));
    serving.disconnected(&peer(2));
    assert_eq!(serving.peer_of(&id), None);
    assert!(serving.peers.is_empty());
}
