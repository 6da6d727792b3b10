//! Validators that come and go: voter sets, proofs at their changes, catching up over many of them.

use std::{collections::BTreeSet, time::Duration};

use codec::Encode;
use finality_grandpa::{Commit, Message, Precommit, SignedPrecommit};
use network::{MemoryHub, Verdict};
use ports::Network;
use primitives::{BlockNumber, Hash, Signature, ValidatorId, crypto::SeedRng};
use relay_chain::{
    finality::{EARLY_ROUNDS_MAX, EARLY_VOTERS_MIN},
    justification::{Justification, SignedVoteMessage, Vote, vote_payload},
    messages::{
        BLOCK_PROTOCOL, BlockRequest, BlockResponse, FINALITY_PROTOCOL, FinalityMessage, Handshake, PROTOCOL_VERSION,
    },
    tree::{FINALIZED_BLOCKS_KEPT, MAX_UNFINALIZED_DEPTH},
};

use runtime::Block;

use crate::support::{SLOT_MS, World, told};

/// A world of `nodes` of which the first `validators` validate at first, in sessions of `session_length`, all started.
fn world(seed: u64, nodes: usize, validators: usize, session_length: BlockNumber) -> World {
    let mut world = World::new(seed, nodes, 0.0);
    world.genesis.validators.truncate(validators);
    world.set_session_length(session_length);
    world
}

/// Runs until a node's best block is in the session.
fn run_to_session(world: &World, index: usize, session: u32) {
    for _ in 0..2000 {
        if world.best_state(index).session_index() >= session {
            return;
        }
        world.run_slots(1);
    }
    panic!("session {session} does not come: {:?}", world.statuses());
}

/// All blocks of a node from the first on, with the proofs that it hands out, as a stranger gets them.
fn download(world: &World, index: usize) -> (Vec<Block>, Vec<Justification>) {
    let stranger = world.hub.join(MemoryHub::peer("downloader"));
    let handshake = Handshake {
        version: PROTOCOL_VERSION,
        genesis: world.chain(index).genesis_hash(),
        slot_ms: SLOT_MS,
        forks_per_million: 0,
    };
    let _events = stranger.open(BLOCK_PROTOCOL, handshake.encode().into()).unwrap();
    let peer = world.nodes[index].peer();
    stranger.connect(&peer, &[]);
    world.run_slots(1);
    let head = world.chain(index).status().finalized.0;
    let mut all = (Vec::new(), Vec::new());
    loop {
        let first = all.0.len() as u32 + 1;
        let request = BlockRequest { head, first, max: 64 }.encode();
        let answer = world.simulation.run_until(stranger.request(&peer, BLOCK_PROTOCOL, request.into())).unwrap();
        let answer: BlockResponse = primitives::decode_limited(&answer.unwrap(), usize::MAX).unwrap();
        if answer.blocks.is_empty() {
            break;
        }
        let end = first + answer.blocks.len() as u32 - 1;
        assert!(answer.justifications.iter().all(|proof| (first..=end).contains(&proof.target().1)));
        all.0.extend(answer.blocks.into_inner());
        all.1.extend(answer.justifications.into_inner());
    }
    stranger.disconnect(&peer, Duration::ZERO);
    all
}

#[test]
fn a_voter_set_ends_with_the_block_that_enacts_the_next_and_leaves_a_proof() {
    let mut world = world(61, 5, 4, 5);
    for index in 0..5 {
        world.start(index).unwrap();
    }
    world.run_slots(2);
    world.elect(0, &[1, 2, 3, 4]);
    world.run_slots(20);
    assert!(world.agreed() >= 17, "{:?}", world.statuses());
    assert!(world.statuses().iter().all(|status| status.set_id == 1), "{:?}", world.statuses());
    assert!(world.chain(4).status().authored >= 2, "who came authors");
    let authored = world.chain(0).status().authored;
    // Who left follows, authors no more, and is not needed for finality.
    let left_at = world.chain(1).status().finalized.1;
    world.crash(0, deterministic::Crash::Forget);
    world.run_slots(10);
    assert!(world.agreed() >= left_at + 8, "{:?}", world.statuses());
    world.start(0).unwrap();
    world.run_slots(3);
    assert!(world.agreed() >= left_at + 9);
    assert!(authored >= 2 && world.chain(0).status().authored == 0, "who left authors no more");

    let (_, proofs) = download(&world, 2);
    // Announced in session 0, next in session 1, in office from session 2 on: block 9 is the last of session 1.
    let last_of_old = proofs.iter().filter(|proof| proof.set_id == 0).map(|proof| proof.target().1).max();
    assert_eq!(last_of_old, Some(9), "the old set proves the block that enacts the new one");
    assert!(proofs.iter().any(|proof| proof.set_id == 1));
}

#[test]
fn a_node_that_was_away_for_a_thousand_blocks_and_fifty_voter_sets_catches_up_and_serves() {
    let mut world = world(62, 5, 3, 20);
    for index in 0..4 {
        world.start(index).unwrap();
    }
    world.run_slots(3);
    // Three of the first four, another three in each session.
    for session in 0..50 {
        let elected: Vec<usize> = (0..4).filter(|index| *index != session as usize % 4).collect();
        world.elect(elected[0], &elected);
        run_to_session(&world, 0, session + 1);
    }
    let sets = world.chain(0).status().set_id;
    let before = world.agreed();
    assert!(sets >= 48 && before >= 990, "{:?}", world.statuses());
    // From an empty disk, with no more in memory than a node that was never away may have.
    world.start(4).unwrap();
    for _ in 0..6 * 20 {
        world.simulation.run_for(Duration::from_millis(SLOT_MS / 20)).unwrap();
        let held = world.chain(4).held().blocks;
        assert!(held <= MAX_UNFINALIZED_DEPTH as usize + FINALIZED_BLOCKS_KEPT, "{held} blocks");
    }
    let late = world.chain(4).status();
    assert!(late.finalized.1 >= before && late.set_id >= sets, "{late:?}");
    let (given, taken) = (download(&world, 0), download(&world, 4));
    assert!(given.0.len() >= 990 && taken.0.len() >= given.0.len());
    let sets = |proofs: &[Justification]| proofs.iter().map(|proof| proof.set_id).collect::<BTreeSet<_>>();
    let (mut given, taken) = (sets(&given.1), sets(&taken.1));
    // Of the set at work the newest proof only is kept, which may be beyond what was asked for.
    given.pop_last();
    assert!(
        given.len() >= 48 && taken.is_superset(&given),
        "what was proven to it, it can prove: {given:?}, {taken:?}"
    );
    assert_eq!(world.statuses().iter().map(|status| status.refused).sum::<u64>(), 0);
    // It is elected, and needed: three of the four that are elected are there.
    world.elect(0, &[0, 1, 2, 4]);
    run_to_session(&world, 0, 53);
    world.crash(0, deterministic::Crash::Forget);
    let before = world.agreed();
    world.run_slots(12);
    assert!(world.agreed() >= before + 6, "{:?}", world.statuses());
    assert!(world.chain(4).status().authored >= 2);
}

#[test]
fn a_node_that_was_away_with_its_disk_is_elected_meanwhile_and_validates() {
    let mut world = world(65, 4, 3, 5);
    for index in 0..4 {
        world.start(index).unwrap();
    }
    world.run_slots(4);
    world.crash(3, deterministic::Crash::Seed(3));
    world.elect(0, &[0, 1, 3]);
    // Two of three do not finalize: it is needed, and comes when its session has begun.
    run_to_session(&world, 0, 2);
    world.run_slots(4);
    let before = world.agreed();
    world.start(3).unwrap();
    world.run_slots(14);
    assert!(world.agreed() >= before + 8, "{:?}", world.statuses());
    let status = world.chain(3).status();
    assert!(status.authored >= 2 && status.set_id == 1, "{status:?}");
}

#[test]
fn a_flood_of_votes_of_the_next_set_costs_the_peer_and_the_set_changes() {
    let mut world = world(66, 4, 3, 12);
    for index in 0..4 {
        world.start(index).unwrap();
    }
    let stranger = world.hub.join(MemoryHub::peer("stranger"));
    let handshake = Handshake {
        version: PROTOCOL_VERSION,
        genesis: world.chain(0).genesis_hash(),
        slot_ms: SLOT_MS,
        forks_per_million: 0,
    };
    let _events = [BLOCK_PROTOCOL, FINALITY_PROTOCOL].map(|it| stranger.open(it, handshake.encode().into()).unwrap());
    let victim = world.nodes[0].peer();
    stranger.connect(&victim, &[]);
    world.run_slots(1);
    world.elect(0, &[1, 2, 3]);
    assert_eq!(world.chain(0).status().peers, 4);
    let mut id = [7; 32];
    for voter in 0_u32.. {
        id[..4].copy_from_slice(&voter.to_le_bytes());
        for round in 1..=EARLY_ROUNDS_MAX {
            let (target_hash, target_number) = (Hash::repeat(1), 100);
            let message = Message::Precommit(Precommit { target_hash, target_number });
            let signed = SignedVoteMessage { message, signature: Signature::default(), id: ValidatorId(id) };
            let vote = told(Vote { set_id: 1, round, signed });
            // Refused once it has gone too far.
            let _sent = stranger.send(&victim, FINALITY_PROTOCOL, vote);
        }
        if voter % 64 == 0 {
            world.simulation.run_for(Duration::from_millis(50)).unwrap();
            if world.chain(0).status().peers == 3 {
                break;
            }
        }
        assert!(voter <= 4 * EARLY_VOTERS_MIN as u32, "the flood is never refused");
    }
    assert_eq!(world.chain(0).status().set_id, 0, "the flood came before the change");
    run_to_session(&world, 1, 2);
    world.run_slots(5);
    assert!(world.statuses().iter().all(|status| status.set_id == 1), "{:?}", world.statuses());
    assert!(world.agreed() >= 25, "{:?}", world.statuses());
}

/// A proof by the first node alone, the only voter of its set.
fn proof(world: &World, set_id: u64, target: (Hash, BlockNumber)) -> Justification {
    let (target_hash, target_number) = target;
    let precommit = Precommit { target_hash, target_number };
    let message = Message::Precommit(precommit.clone());
    let pair = &world.nodes[0].pair;
    let signature = pair.sign(&vote_payload(set_id, 1, &message), &mut SeedRng::new([1; 32]));
    let precommits = vec![SignedPrecommit { precommit, signature, id: ValidatorId(pair.public()) }];
    Justification {
        set_id,
        round: 1,
        commit: Commit { target_hash, target_number, precommits },
        ancestries: Vec::new(),
    }
}

#[test]
fn whoever_missed_the_proof_of_a_change_asks_for_it_and_believes_no_proof_that_passes_it() {
    let mut world = world(63, 3, 1, 4);
    let deaf = world.nodes[2].peer();
    world.hub.intercept({
        let deaf = deaf.clone();
        move |message| match message.protocol == FINALITY_PROTOCOL && *message.to == deaf {
            true => Verdict::Drop,
            false => Verdict::Deliver,
        }
    });
    for index in 0..3 {
        world.start(index).unwrap();
    }
    world.run_slots(1);
    world.elect(0, &[1]);
    world.run_slots(16);
    assert!(world.chain(1).status().set_id == 1 && world.chain(1).status().finalized.1 >= 12, "{:?}", world.statuses());
    let status = world.chain(2).status();
    assert!(status.finalized.1 == 0 && status.best.1 >= 14, "blocks come, proofs do not: {status:?}");

    // The old voter's word for a block beyond the change.
    world.hub.intercept(|_| Verdict::Deliver);
    let beyond = world.ancestor(2, status.best.0, 10);
    let stranger = world.hub.join(MemoryHub::peer("stranger"));
    let handshake = Handshake {
        version: PROTOCOL_VERSION,
        genesis: world.chain(2).genesis_hash(),
        slot_ms: SLOT_MS,
        forks_per_million: 0,
    };
    let _events = [BLOCK_PROTOCOL, FINALITY_PROTOCOL].map(|it| stranger.open(it, handshake.encode().into()).unwrap());
    for other in 0..2 {
        world.hub.partition(&[vec![world.nodes[other].peer()], vec![deaf.clone(), MemoryHub::peer("stranger")]]);
    }
    stranger.connect(&deaf, &[]);
    world.run_slots(1);
    let false_proof = proof(&world, 0, (beyond, 10));
    let message = FinalityMessage::Justification(Box::new(false_proof)).encode();
    stranger.send(&deaf, FINALITY_PROTOCOL, message.into()).unwrap();
    world.run_slots(1);
    assert_eq!(world.chain(2).status().finalized.1, 0, "the set ended with block 7");
    let good = world.ancestor(2, status.best.0, 7);
    let message = FinalityMessage::Justification(Box::new(proof(&world, 0, (good, 7)))).encode();
    stranger.send(&deaf, FINALITY_PROTOCOL, message.into()).unwrap();
    world.run_slots(1);
    assert_eq!(world.chain(2).status().finalized, (good, 7));

    // With the others it gets what it lacks.
    world.hub.heal();
    world.run_slots(6);
    assert!(world.agreed() >= 18, "{:?}", world.statuses());
}

#[test]
fn whoever_has_all_blocks_and_lacks_the_proofs_of_several_sets_asks_for_them() {
    let mut world = world(64, 4, 3, 4);
    let deaf = world.nodes[3].peer();
    world.hub.intercept({
        let deaf = deaf.clone();
        move |message| match message.protocol == FINALITY_PROTOCOL && *message.to == deaf {
            true => Verdict::Drop,
            false => Verdict::Deliver,
        }
    });
    for index in 0..4 {
        world.start(index).unwrap();
    }
    world.run_slots(1);
    for session in 0..10_u32 {
        let elected = if session % 2 == 0 { [0, 1] } else { [1, 2] };
        world.elect(1, &elected);
        run_to_session(&world, 0, session + 1);
    }
    let (deaf, other) = (world.chain(3).status(), world.chain(0).status());
    assert!(deaf.finalized.1 == 0 && deaf.best.1 + 1 >= other.best.1, "{deaf:?}");
    assert!(other.set_id >= 8, "more sets than proofs fit into an answer: {other:?}");
    world.hub.intercept(|_| Verdict::Deliver);
    world.run_slots(8);
    assert!(world.agreed() >= 42, "{:?}", world.statuses());
}
