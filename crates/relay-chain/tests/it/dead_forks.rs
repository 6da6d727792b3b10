//! Votes for blocks of a fork that has died since: no peer has them any more, and nobody may need them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use codec::Encode;
use deterministic::{Clock, Crash};
use finality_grandpa::{Message, Prevote};
use network::{MemoryHub, MemoryNetwork};
use ports::{MAX_NOTIFICATION_BYTES, Network, NetworkEvent};
use primitives::{
    DigestItem, Hash, InherentData, ValidatorId,
    crypto::{SeedRng, vrf_input_bytes},
};
use relay_chain::{
    import::add_seal,
    justification::{SignedVoteMessage, Vote, vote_payload},
    messages::{BLOCK_PROTOCOL, BlockMessage, FINALITY_PROTOCOL, FinalityMessage, Handshake, PROTOCOL_VERSION},
    slots::{SlotContext, secondary_author, slot_at},
};
use runtime::{Block, Extrinsic, SlotClaim, build_block};

use crate::{
    disk::storage,
    support::{SLOT_MS, World, told},
};

/// A validator without a node, that says what it likes.
struct Byzantine {
    index: usize,
    network: Arc<MemoryNetwork>,
    round: Arc<Mutex<u64>>,
    clock: Arc<dyn Clock>,
}

impl Byzantine {
    fn join(world: &World, index: usize, peers: &[usize]) -> Self {
        let network = world.hub.join(MemoryHub::peer("byzantine"));
        let genesis = world.chain(0).genesis_hash();
        let handshake: bytes::Bytes =
            Handshake { version: PROTOCOL_VERSION, genesis, slot_ms: SLOT_MS, forks_per_million: 0 }.encode().into();
        let mut blocks = network.open(BLOCK_PROTOCOL, handshake.clone()).unwrap();
        let mut votes = network.open(FINALITY_PROTOCOL, handshake).unwrap();
        let round = Arc::new(Mutex::new(0));
        let environment = world.simulation.environment("byzantine");
        environment.spawner.spawn("blocks", Box::pin(async move { while blocks.next().await.is_some() {} }));
        let heard = round.clone();
        environment.spawner.spawn(
            "votes",
            Box::pin(async move {
                while let Some(event) = votes.next().await {
                    let NetworkEvent::Message { payload, .. } = event else { continue };
                    if let Ok(FinalityMessage::Votes(votes)) =
                        primitives::decode_limited(&payload, MAX_NOTIFICATION_BYTES)
                    {
                        let mut heard = heard.lock().unwrap();
                        for vote in votes.iter() {
                            *heard = (*heard).max(vote.round);
                        }
                    }
                }
            }),
        );
        for peer in peers {
            network.connect(&world.nodes[*peer].peer(), &[]);
        }
        Self { index, network, round, clock: environment.clock.clone() }
    }

    fn slot_now(&self) -> u64 {
        slot_at(self.clock.now().as_millis() as u64, SLOT_MS)
    }

    /// Two blocks of its turn on a node's best block, the best one first.
    fn two_blocks(&self, world: &World) -> Vec<Block> {
        let slot = self.slot_now();
        let (best, _) = world.chain(0).status().best;
        let (parent, state) = world.chain(0).block(&best).unwrap();
        let author = secondary_author(slot, state.validators().len()).unwrap();
        let pair = &world.nodes[self.index].pair;
        assert_eq!(state.validators()[author.as_usize()], ValidatorId(pair.public()), "its turn");
        let context = SlotContext {
            genesis: world.genesis_hash(),
            randomness: state.randomness(),
            session: state.session_index(),
            validators: state.validators(),
            forks_per_million: 0,
        };
        let (vrf, _) = pair.vrf_sign(vrf_input_bytes(&context.vrf_input(slot)), &mut SeedRng::new([4; 32]));
        let claim = SlotClaim { slot, author, vrf };
        let inherent = Extrinsic::Inclusion(InherentData::empty(parent.header.clone()));
        let mut blocks: Vec<Block> = (0..2_u8)
            .map(|seed| {
                let mut digest = vec![claim.to_digest_item()];
                digest.extend((seed == 1).then(|| DigestItem::Other(vec![7])));
                let (mut block, _) = build_block(&state, &parent.header, digest, vec![inherent.clone()]).unwrap();
                let seal = pair.sign(&block.header.hash().encode(), &mut SeedRng::new([seed; 32]));
                add_seal(&mut block.header, seal);
                block
            })
            .collect();
        blocks.sort_by_key(|block| block.hash());
        blocks
    }

    fn vote(&self, world: &World, message: Message<Hash, u32>, round: u64) -> bytes::Bytes {
        let pair = &world.nodes[self.index].pair;
        let signature = pair.sign(&vote_payload(0, round, &message), &mut SeedRng::new([1; 32]));
        told(Vote {
            set_id: 0,
            round,
            signed: SignedVoteMessage { message, signature, id: ValidatorId(pair.public()) },
        })
    }
}

/// Seven validators, the last of which is byzantine and has no node: it makes two blocks in its turn and prevotes for the
/// one that loses. Returns once the other one is final at the first node.
fn a_vote_for_what_dies(world: &World, running: &[usize]) -> Byzantine {
    let byzantine = Byzantine::join(world, 6, running);
    world.run_slots(3);
    while byzantine.slot_now() % 7 != 6 {
        world.simulation.run_for(Duration::from_millis(10)).unwrap();
    }
    let blocks = byzantine.two_blocks(world);
    for peer in running {
        for block in &blocks {
            let message = BlockMessage::Block(block.clone()).encode();
            byzantine.network.send(&world.nodes[*peer].peer(), BLOCK_PROTOCOL, message.into()).unwrap();
        }
    }
    let (target_hash, target_number) = (blocks[1].hash(), blocks[1].header.number);
    let mut said = BTreeSet::new();
    for _ in 0..1_000 {
        let status = world.chain(0).status();
        if status.finalized.1 >= target_number {
            assert_eq!(status.finalized.0, blocks[0].hash(), "the first is final");
            return byzantine;
        }
        let now = *byzantine.round.lock().unwrap();
        for round in now..=now + 1 {
            if said.insert(round) {
                let message = Message::Prevote(Prevote { target_hash, target_number });
                let vote = byzantine.vote(world, message, round);
                for peer in running {
                    byzantine.network.send(&world.nodes[*peer].peer(), FINALITY_PROTOCOL, vote.clone()).unwrap();
                }
            }
        }
        world.simulation.run_for(Duration::from_millis(5)).unwrap();
    }
    panic!("not final: {:?}", world.statuses());
}

/// The last round that a node completed has a vote for a block that nobody has any more.
fn names_what_died(world: &World, index: usize) {
    let completed = world.simulation.run_until(storage(world, index).round()).unwrap().unwrap().unwrap();
    let is_here = |hash: &Hash| world.chain(index).block(hash).is_some();
    assert!(completed.votes.iter().any(|vote| !is_here(vote.target().0)), "node {index}: {completed:?}");
}

fn seven(seed: u64) -> World {
    let mut world = World::new(seed, 7, 0.0);
    for index in 0..6 {
        world.start(index).unwrap();
    }
    world
}

/// The whole network is killed right after a round in which one of seven voted for a block of a dead fork, and comes back.
#[test]
fn a_vote_for_a_dead_fork_and_a_power_cut_do_not_end_finality() {
    let mut world = seven(1);
    let running: Vec<usize> = (0..6).collect();
    let _byzantine = a_vote_for_what_dies(&world, &running);
    let before = world.agreed();
    (0..6).for_each(|index| names_what_died(&world, index));
    for index in 0..6 {
        world.crash(index, Crash::Forget);
    }
    for index in 0..6 {
        world.start(index).unwrap();
    }
    world.run_slots(60);
    assert!(world.agreed() >= before + 10, "six of seven honest validators run: {:?}", world.statuses());
}

/// A late one is needed, right after such a round.
#[test]
fn a_late_one_catches_up_with_a_round_that_has_a_vote_for_a_dead_fork() {
    let mut world = World::new(2, 7, 0.0);
    for index in 0..5 {
        world.start(index).unwrap();
    }
    let running: Vec<usize> = (0..5).collect();
    let _byzantine = a_vote_for_what_dies(&world, &running);
    let before = world.agreed();
    world.crash(4, Crash::Forget);
    (0..4).for_each(|index| names_what_died(&world, index));
    world.start(5).unwrap();
    world.run_slots(60);
    assert!(world.agreed() >= before + 10, "five of seven honest validators run: {:?}", world.statuses());
}

/// Whole networks whose disks have lost every block that the last round voted for: what binds them is the round's
/// estimate. Who does not even know that says nothing.
#[test]
fn without_the_votes_of_the_last_round_its_estimate_binds_and_without_that_nothing_is_said() {
    for is_known in [true, false] {
        let mut world = World::started(3, 4, 0.0);
        world.run_slots(8);
        let before = world.agreed();
        for index in 0..4 {
            world.crash(index, Crash::Forget);
            let storage = storage(&world, index);
            let mut completed = world.simulation.run_until(storage.round()).unwrap().unwrap().unwrap();
            for vote in &mut completed.votes {
                match &mut vote.message {
                    Message::Prevote(prevote) => prevote.target_hash = Hash([9; 32]),
                    Message::Precommit(precommit) => precommit.target_hash = Hash([9; 32]),
                    Message::PrimaryPropose(propose) => propose.target_hash = Hash([9; 32]),
                }
            }
            if !is_known {
                completed.estimate = (Hash([8; 32]), completed.estimate.1 + 100);
            }
            world.simulation.run_until(async move { storage.put_round(&completed).await }).unwrap().unwrap();
        }
        for index in 0..4 {
            world.start(index).unwrap();
        }
        world.run_slots(20);
        let after = world.agreed();
        assert!(
            if is_known { after >= before + 10 } else { after <= before + 1 },
            "{is_known}: {before}, then {after}"
        );
    }
}
