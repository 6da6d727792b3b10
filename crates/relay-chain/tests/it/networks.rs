use std::{sync::Arc, time::Duration};

use deterministic::{Crash, entropy::below};
use network::MemoryConfig;
use ports::{ChainEvent, InherentSource, InherentSourceError};
use primitives::{Hash, InherentData};

use relay_chain::tree::MAX_UNFINALIZED_DEPTH;

use crate::support::World;

#[test]
fn four_nodes_author_fork_converge_and_finalize() {
    let world = World::started(1, 4, 0.5);
    world.run_slots(30);
    let statuses = world.statuses();
    let finalized = world.agreed();
    assert!(finalized >= 26, "{statuses:?}");
    for status in &statuses {
        assert!(status.best.1 >= 29, "every slot has an author: {status:?}");
        assert!(status.forks >= 5, "half of the slots have several: {status:?}");
        assert_eq!((status.refused, status.peers), (0, 3), "{status:?}");
        assert!(status.authored >= 3, "{status:?}");
        assert!(status.best.1 - status.finalized.1 <= 4, "{status:?}");
    }
}

#[test]
fn without_forks_there_are_none() {
    let world = World::started(2, 4, 0.0);
    world.run_slots(12);
    for status in world.statuses() {
        assert_eq!((status.forks, status.leaves), (0, 1), "{status:?}");
        assert!(status.best.1 >= 11);
    }
}

#[test]
fn one_of_four_offline_then_late() {
    let mut world = World::new(3, 4, 0.1);
    for index in 0..3 {
        world.start(index).unwrap();
    }
    // Longer than a tree may be without finality: the late one needs the proofs that come with the blocks.
    world.run_slots(u64::from(MAX_UNFINALIZED_DEPTH) * 3 / 2);
    let finalized = world.agreed();
    assert!(finalized > MAX_UNFINALIZED_DEPTH + 10, "three of four finalize: {:?}", world.statuses());
    world.start(3).unwrap();
    world.run_slots(12);
    let all = world.agreed();
    assert!(all >= finalized + 5, "{:?}", world.statuses());
    assert!(world.chain(3).status().authored >= 2, "the late one authors");
    assert_eq!(world.statuses().iter().map(|status| status.refused).sum::<u64>(), 0);
}

#[test]
fn a_late_one_finds_the_round_and_its_votes_count() {
    let mut world = World::new(10, 4, 0.0);
    for index in 0..3 {
        world.start(index).unwrap();
    }
    world.run_slots(20);
    world.start(3).unwrap();
    world.run_slots(6);
    let before = world.agreed();
    world.crash(0, Crash::Forget);
    world.run_slots(12);
    assert!(
        world.agreed() >= before + 5,
        "without the late one's votes there are no two thirds: {:?}",
        world.statuses()
    );
}

#[test]
fn two_of_four_do_not_finalize() {
    let mut world = World::new(4, 4, 0.0);
    world.start(0).unwrap();
    world.start(1).unwrap();
    world.run_slots(12);
    for status in world.statuses() {
        assert_eq!(status.finalized.1, 0);
        assert!(status.best.1 >= 4);
    }
    // The missing ones come: finality takes up.
    world.start(2).unwrap();
    world.run_slots(8);
    assert!(world.agreed() >= 6, "{:?}", world.statuses());
}

#[test]
fn authors_slow_down_when_finality_lags_and_speed_up_when_it_follows() {
    let mut world = World::new(12, 4, 1.0);
    for index in 0..2 {
        world.start(index).unwrap();
    }
    world.run_slots(40);
    let early = world.chain(0).status().best.1;
    world.run_slots(80);
    let late = world.chain(0).status().best.1 - early;
    assert!(early >= 20 && late < early, "{early} blocks in 40 slots, then {late} in 80");
    world.start(2).unwrap();
    world.run_slots(10);
    let before = world.agreed();
    world.run_slots(20);
    assert!(world.agreed() >= before + 15, "{:?}", world.statuses());
}

/// Forbids everything from a height on.
struct NotBeyond(u32);

impl relay_chain::VotingRule for NotBeyond {
    fn may_vote(&self, _hash: &Hash, number: u32) -> bool {
        number <= self.0
    }
}

#[test]
fn nothing_becomes_final_that_the_voting_rule_forbids() {
    let world = World::started(13, 4, 0.2);
    for index in 0..2 {
        assert!(world.chain(index).set_voting_rule(Arc::new(NotBeyond(7))));
        assert!(!world.chain(index).set_voting_rule(Arc::new(NotBeyond(90))), "the first one stays");
    }
    world.run_slots(20);
    for status in world.statuses() {
        assert!(status.finalized.1 == 7 && status.best.1 >= 15, "two of four hold it up: {status:?}");
    }
}

#[test]
fn halves_go_apart_and_come_together() {
    let world = World::started(5, 4, 0.2);
    world.run_slots(8);
    let peers: Vec<_> = world.nodes.iter().map(|node| node.peer()).collect();
    world.hub.partition(&[peers[..2].to_vec(), peers[2..].to_vec()]);
    world.run_slots(20);
    let before = world.agreed();
    assert_ne!(world.chain(0).status().best, world.chain(2).status().best);
    assert!(before <= 10, "no half has two thirds");
    world.hub.heal();
    world.run_slots(15);
    assert!(world.agreed() >= before + 10, "{:?}", world.statuses());
}

#[test]
fn who_was_away_does_not_author_while_it_catches_up() {
    let world = World::started(14, 4, 1.0);
    world.run_slots(8);
    let away = vec![world.nodes[3].peer()];
    world.hub.partition(&[away]);
    world.run_slots(300);
    let (known, there) = (world.chain(3).status().best.1, world.chain(0).status().best.1);
    assert!(known + 100 < there, "alone it does not come far: {:?}", world.statuses());
    // Several slots for each stretch of 64 blocks.
    let latency = Duration::from_secs(2);
    world.hub.configure(MemoryConfig { latency, ..MemoryConfig::default() });
    world.hub.heal();
    let authored = |slots| {
        let before = world.chain(3).status().authored;
        world.run_slots(slots);
        world.chain(3).status().authored - before
    };
    // Until it has heard of the others it is alone.
    authored(6);
    let mut slots = 0;
    while world.chain(3).status().best.1 < there {
        assert_eq!(authored(1), 0, "{:?}", world.statuses());
        slots += 1;
    }
    assert!(slots >= 8, "it was there after {slots} slots");
    world.hub.configure(MemoryConfig::default());
    assert!(authored(20) >= 5, "it authors again: {:?}", world.statuses());
    world.agreed();
}

#[test]
fn a_network_that_breaks_and_delays_finalizes() {
    let world = World::started(6, 4, 0.3);
    world.hub.configure(MemoryConfig {
        broken_per_million: 3_000,
        delayed_per_million: 50_000,
        ..MemoryConfig::default()
    });
    world.run_slots(60);
    world.hub.configure(MemoryConfig::default());
    world.run_slots(10);
    assert!(world.agreed() >= 45, "{:?}", world.statuses());
}

#[test]
fn everybody_restarts_and_goes_on() {
    let mut world = World::started(7, 4, 0.2);
    world.run_slots(10);
    let before: Vec<_> = world.statuses();
    for index in 0..4 {
        world.crash(index, Crash::Forget);
    }
    for (index, before) in before.iter().enumerate() {
        world.start(index).unwrap();
        let after = world.chain(index).status();
        assert_eq!((after.best, after.finalized), (before.best, before.finalized), "what was acknowledged is there");
    }
    world.run_slots(10);
    assert!(world.agreed() >= 15, "{:?}", world.statuses());
}

#[test]
fn same_seed_same_trace() {
    let run = |seed| {
        let world = World::started(seed, 3, 0.4);
        world.run_slots(8);
        (world.simulation.trace_hash(), world.statuses())
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11).0, run(12).0);
}

#[test]
fn events_tell_of_imports_and_finality_in_order() {
    let world = World::started(8, 4, 0.3);
    let mut feed = world.client(0).subscribe();
    world.run_slots(10);
    let status = world.chain(0).status();
    let mut imported = Vec::new();
    let mut finalized = 0;
    let collect = async {
        while imported.len() < status.blocks as usize || finalized < status.finalized.1 {
            match feed.next().await.unwrap().unwrap() {
                ChainEvent::Imported(block) => {
                    let parent = block.header.parent_hash;
                    assert!(imported.contains(&parent) || block.header.number == 1, "parents come first");
                    imported.push(block.hash);
                }
                ChainEvent::Finalized { hash, number, stale_heads } => {
                    assert!(number > finalized);
                    assert!(imported.contains(&hash) && stale_heads.iter().all(|head| imported.contains(head)));
                    finalized = number;
                }
                ChainEvent::Reverted { abandoned } => panic!("nothing is judged invalid: {abandoned:?}"),
            }
        }
    };
    world.simulation.run_until(collect).unwrap();
    assert!(finalized >= 6);
}

/// Offers nothing, ever or at once.
struct NoInherent {
    hangs: bool,
}

#[async_trait::async_trait]
impl InherentSource for NoInherent {
    async fn inherent_data(&self, parent: Hash) -> Result<InherentData, InherentSourceError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Err(InherentSourceError { parent, reason: "nothing to offer".into() })
    }
}

#[test]
fn a_provisioner_that_fails_or_hangs_does_not_stop_the_chain() {
    let world = World::started(9, 2, 0.0);
    assert!(world.chain(0).set_inherent_source(Arc::new(NoInherent { hangs: true })));
    assert!(!world.chain(0).set_inherent_source(Arc::new(NoInherent { hangs: false })), "the first one stays");
    world.chain(1).set_inherent_source(Arc::new(NoInherent { hangs: false }));
    world.run_slots(10);
    for status in world.statuses() {
        assert!(status.best.1 >= 9 && status.authored >= 4, "{status:?}");
    }
}

/// Crashes, partitions and broken connections, drawn from a seed; in the end all is quiet and all must agree.
fn survive_faults(seed: u64) {
    let mut world = World::started(seed, 4, 0.3);
    let faults = world.simulation.environment("faults").entropy;
    let draw = |bound| below(&*faults, bound);
    let peers: Vec<_> = world.nodes.iter().map(|node| node.peer()).collect();
    for _ in 0..12 {
        let victim = draw(4) as usize;
        match draw(5) {
            0 if world.nodes[victim].chain.is_some() => world.crash(victim, Crash::Seed(draw(1 << 32))),
            1 => world.hub.partition(&[vec![peers[victim].clone()]]),
            2 => world.hub.partition(&[peers[..2].to_vec(), peers[2..].to_vec()]),
            3 => world.hub.disconnect(&peers[victim]),
            _ => world.hub.heal(),
        }
        if draw(2) == 0
            && let Some(down) = (0..4).find(|index| world.nodes[*index].chain.is_none())
        {
            world.start(down).unwrap();
        }
        world.run_slots(1 + draw(6));
    }
    world.hub.heal();
    for index in 0..4 {
        if world.nodes[index].chain.is_none() {
            world.start(index).unwrap();
        }
    }
    let before = world.statuses().iter().map(|status| status.finalized.1).max().unwrap();
    world.run_slots(25);
    let agreed = world.agreed();
    assert!(agreed >= before + 10, "seed {seed}: from {before} to {agreed}: {:?}", world.statuses());
    assert!(world.statuses().iter().all(|status| status.refused == 0), "seed {seed}: {:?}", world.statuses());
}

#[test]
fn random_faults_do_not_stop_finality_for_good() {
    (100..104).for_each(survive_faults);
}
