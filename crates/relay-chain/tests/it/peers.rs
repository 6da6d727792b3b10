//! Peers that send garbage, other chains, and reports.

use bytes::Bytes;
use codec::Encode;
use network::MemoryHub;
use ports::{Network, RuntimeError};
use primitives::{
    CandidateHash, CompactVote, Hash, MisbehaviorKind, MisbehaviorReport, OccupiedCoreAssumption, ParaId,
    SigningContext, SigningPayload, ValidatorIndex, crypto::SeedRng, misbehavior::SignedVote,
};
use relay_chain::messages::{BLOCK_PROTOCOL, FINALITY_PROTOCOL, Handshake, PROTOCOL_VERSION, REPORT_PROTOCOL};

use crate::support::{SLOT_MS, World};

const PROTOCOLS: [ports::ProtocolId; 3] = [BLOCK_PROTOCOL, FINALITY_PROTOCOL, REPORT_PROTOCOL];

fn handshake(world: &World) -> Bytes {
    let genesis = world.chain(0).genesis_hash();
    Handshake { version: PROTOCOL_VERSION, genesis, slot_ms: SLOT_MS, forks_per_million: 0 }.encode().into()
}

#[test]
fn garbage_costs_the_peer_and_stops_nothing() {
    for protocol in PROTOCOLS {
        let world = World::started(41, 2, 0.0);
        let stranger = world.hub.join(MemoryHub::peer("stranger"));
        let _events = PROTOCOLS.map(|protocol| stranger.open(protocol, handshake(&world)).unwrap());
        let victim = world.nodes[0].peer();
        stranger.connect(&victim, &[]);
        world.run_slots(2);
        assert_eq!(world.chain(0).status().peers, 2);
        for length in [0, 1, 2, 100, 10_000] {
            stranger.send(&victim, protocol, vec![0xff; length].into()).unwrap();
        }
        world.run_slots(4);
        assert_eq!(world.chain(0).status().peers, 1, "{protocol:?}: refused");
        assert!(world.agreed() >= 3, "{:?}", world.statuses());
    }
}

#[test]
fn requests_of_strangers_are_answered_within_limits() {
    let world = World::started(42, 2, 0.0);
    let stranger = world.hub.join(MemoryHub::peer("stranger"));
    let _events = PROTOCOLS.map(|protocol| stranger.open(protocol, handshake(&world)).unwrap());
    let victim = world.nodes[0].peer();
    stranger.connect(&victim, &[]);
    world.run_slots(5);
    let best = world.chain(0).status().best.0;
    for request in [(best, 0_u32, u32::MAX), (best, u32::MAX, u32::MAX), (Hash::repeat(1), 1, 5)] {
        let answer = stranger.request(&victim, BLOCK_PROTOCOL, request.encode().into());
        assert!(world.simulation.run_until(answer).unwrap().is_ok(), "{request:?}");
    }
    for request in [(0_u64, 0_u64), (u64::MAX, u64::MAX)] {
        let answer = stranger.request(&victim, FINALITY_PROTOCOL, request.encode().into());
        assert!(world.simulation.run_until(answer).unwrap().is_ok());
    }
    let answer = stranger.request(&victim, REPORT_PROTOCOL, Bytes::new());
    assert!(world.simulation.run_until(answer).unwrap().is_err());
    assert_eq!(world.chain(0).status().peers, 2);
}

#[test]
fn other_chains_are_refused() {
    let world = World::started(43, 2, 0.0);
    let stranger = world.hub.join(MemoryHub::peer("stranger"));
    let other =
        Handshake { version: PROTOCOL_VERSION, genesis: Hash::repeat(1), slot_ms: SLOT_MS, forks_per_million: 0 };
    let _events = PROTOCOLS.map(|protocol| stranger.open(protocol, other.encode().into()).unwrap());
    stranger.connect(&world.nodes[0].peer(), &[]);
    world.run_slots(3);
    assert_eq!(world.chain(0).status().peers, 1);
    assert_eq!(stranger.statistics().peers, 0);
}

#[test]
fn a_double_vote_reaches_the_chain_and_is_slashed() {
    let world = World::started(44, 4, 0.0);
    world.run_slots(3);
    let client = world.client(0);
    let best = world.chain(0).status().best.0;
    let session = world.simulation.run_until(client.session_context(best)).unwrap().unwrap();
    let context = SigningContext { session_index: session.session_index, parent_hash: best };
    let second = |candidate: u8| {
        let vote = CompactVote::Seconded(CandidateHash(Hash::repeat(candidate)));
        let signature = world.nodes[2].pair.sign(&vote.signing_payload(&context), &mut SeedRng::new([candidate; 32]));
        SignedVote { vote, context, signature }
    };
    let report = MisbehaviorReport { validator_index: ValidatorIndex(2), first: second(1), second: second(2) };
    assert_eq!(report.kind(), Ok(MisbehaviorKind::DoubleSeconded));

    let mut forged = report.clone();
    forged.second.signature.0[0] ^= 1;
    let refused = world.simulation.run_until(client.submit_report(forged)).unwrap();
    assert!(matches!(refused, Err(RuntimeError::Refused(_))), "{refused:?}");

    world.simulation.run_until(client.submit_report(report)).unwrap().unwrap();
    world.run_slots(2);
    assert!((1..4).all(|index| world.chain(index).status().reports <= 1));
    world.run_slots(6);
    for index in 0..4 {
        let (_, state) = world.chain(index).block(&world.chain(index).status().best.0).unwrap();
        assert_eq!(state.offences().len(), 1, "once, on every node");
        assert!(state.slashes().contains_key(&session.validators[2]));
    }
}

#[test]
fn the_client_answers_from_snapshots() {
    let world = World::started(45, 4, 0.0);
    world.run_slots(6);
    let client = world.client(0);
    let status = world.chain(0).status();
    world
        .simulation
        .run_until(async {
            let best = status.best.0;
            assert_eq!(client.header(best).await.unwrap().number, status.best.1);
            assert_eq!(client.finalized().await.unwrap(), status.finalized);
            assert_eq!(client.leaves().await.unwrap()[0].hash, best);
            assert!(client.api_version(best).await.unwrap() >= 1);
            assert_eq!(client.availability_cores(best).await.unwrap(), []);
            assert_eq!(client.candidate_events(best).await.unwrap(), []);
            let nothing = client.persisted_validation_data(best, ParaId(1), OccupiedCoreAssumption::Free).await;
            assert_eq!(nothing, Ok(None));
            let unknown = Hash::repeat(3);
            assert_eq!(client.header(unknown).await, Err(RuntimeError::UnknownBlock(unknown)));
            assert!(client.session_context(unknown).await.is_err());
        })
        .unwrap();
}
