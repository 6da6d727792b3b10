//! Crashes and restarts.

use std::{sync::Arc, time::Duration};

use deterministic::{Crash, Disk, entropy::below};
use primitives::{BlockNumber, Hash};
use relay_chain::{Error, snapshots::SNAPSHOT_PERIOD, tree::FINALIZED_BLOCKS_KEPT};

use crate::support::World;

#[test]
fn a_node_continues_from_its_disk_in_the_middle_of_a_run() {
    let mut world = World::started(21, 4, 0.2);
    world.run_slots(10);
    let before = world.chain(2).status();
    world.crash(2, Crash::Seed(1));
    world.run_slots(6);
    world.start(2).unwrap();
    let loaded = world.chain(2).status();
    assert!(loaded.finalized.1 >= before.finalized.1 && loaded.best.1 >= before.best.1, "{loaded:?} after {before:?}");
    world.run_slots(10);
    assert!(world.agreed() >= 20, "{:?}", world.statuses());
    assert!(world.chain(2).status().authored >= 1);
    assert_eq!(world.statuses().iter().map(|status| status.refused).sum::<u64>(), 0);
}

#[test]
fn a_disk_belongs_to_one_chain() {
    let mut world = World::started(22, 1, 0.0);
    world.run_slots(3);
    world.crash(0, Crash::Forget);
    world.genesis.session_length += 1;
    world.genesis.randomness[0] += 1;
    assert!(matches!(world.start(0), Err(Error::ForeignChain { .. })));
}

#[test]
fn a_damaged_block_is_an_error_that_names_it() {
    let mut world = World::started(23, 1, 0.0);
    world.run_slots(5);
    world.crash(0, Crash::Forget);
    let disk = world.nodes[0].disk.clone();
    let folder = "values/chain/blocks/00000000";
    // The first is genesis, which is made anew at every start.
    let first = disk.list(folder).unwrap().remove(1);
    let path = format!("{folder}/{first}");
    disk.flip_bit(&path, disk.len(&path).unwrap() as usize / 2).unwrap();
    assert!(matches!(world.start(0), Err(Error::Storage(_))));
}

/// What a single validator had acknowledged when its disk died at the given write: its best and finalized block.
fn die_at(operations: u64, ignore_sync: bool) -> (World, [(Hash, BlockNumber); 2], bool) {
    let mut world = World::new(24, 1, 0.0);
    let disk = world.nodes[0].disk.clone();
    world.start(0).unwrap();
    world.run_slots(2);
    disk.ignore_sync(ignore_sync);
    disk.fail_after(operations);
    world.run_slots(3);
    let status = world.chain(0).status();
    let died = disk.has_failed();
    disk.ignore_sync(false);
    world.crash(0, Crash::Forget);
    (world, [status.best, status.finalized], died)
}

/// Whether all that was acknowledged is there again.
fn survives(world: &mut World, acknowledged: [(Hash, BlockNumber); 2]) -> bool {
    if world.start(0).is_err() {
        return false;
    }
    let chain = world.chain(0);
    let finalized = chain.status().finalized;
    acknowledged.iter().all(|(hash, _)| chain.block(hash).is_some()) && finalized.1 >= acknowledged[1].1
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_every_write() {
    let mut operations = 0;
    loop {
        let (mut world, acknowledged, died) = die_at(operations, false);
        if !died {
            break;
        }
        assert!(survives(&mut world, acknowledged), "write {operations}: {acknowledged:?}");
        let before = world.chain(0).status();
        world.run_slots(4);
        let after = world.chain(0).status();
        assert!(
            after.best.1 > before.best.1 && after.finalized.1 > before.finalized.1,
            "write {operations}: {after:?}"
        );
        operations += 1;
    }
    assert!(operations > 30, "only {operations} writes in three slots");
}

#[test]
fn without_syncs_a_crash_loses_what_was_acknowledged() {
    let lost = (0..60).step_by(6).any(|operations| {
        let (mut world, acknowledged, _) = die_at(operations, true);
        !survives(&mut world, acknowledged)
    });
    assert!(lost, "the disk lied about every sync and nothing was lost");
}

/// The whole network is killed at a moment drawn from the seed, again and again, each disk with a fate of its own; in
/// each session other validators are elected.
fn survive_kills(seed: u64) {
    let mut world = World::new(seed, 5, 0.3);
    world.genesis.validators.truncate(4);
    world.genesis.session_length = 6;
    let draws = world.simulation.environment("kills").entropy;
    let draw = |bound| below(&*draws, bound);
    let mut highest = (world.genesis_hash(), 0);
    for kill in 0..10 {
        for index in 0..5 {
            world.start(index).unwrap();
        }
        world.run_slots(2);
        let elected: Vec<_> = (0..5).filter(|index| *index != kill % 5).collect();
        world.elect(draw(5) as usize, &elected);
        world.simulation.run_for(Duration::from_millis(3_000 + draw(6_000))).unwrap();
        let finalized: Vec<_> = world.statuses().iter().map(|status| status.finalized).collect();
        for (index, (_, number)) in finalized.iter().enumerate() {
            // Whoever is as far as anybody was has what was final then.
            if *number >= highest.1 && *number - highest.1 < FINALIZED_BLOCKS_KEPT as u32 {
                assert_eq!(world.ancestor(index, finalized[index].0, highest.1), highest.0, "seed {seed}");
            }
        }
        highest = finalized.iter().copied().max_by_key(|(_, number)| *number).unwrap();
        for index in 0..5 {
            world.crash(index, Crash::Seed(draw(1 << 32)));
        }
        for (index, before) in finalized.iter().enumerate() {
            world.start(index).unwrap();
            let after = world.chain(index).status().finalized;
            assert!(after.1 >= before.1, "seed {seed}, kill {kill}, node {index}: {before:?}, then {after:?}");
            assert_eq!(world.ancestor(index, after.0, before.1), before.0, "seed {seed}");
            world.crash(index, Crash::Forget);
        }
    }
    for index in 0..5 {
        world.start(index).unwrap();
    }
    world.run_slots(15);
    assert!(world.agreed() >= highest.1 + 8, "seed {seed}: {highest:?}, {:?}", world.statuses());
    assert!(world.statuses().iter().all(|status| status.set_id >= 3 && status.refused == 0), "{:?}", world.statuses());
}

#[test]
fn a_network_that_is_killed_ten_times_loses_nothing_that_was_final() {
    (200..203).for_each(survive_kills);
}

#[test]
fn a_start_from_a_stored_state_needs_no_old_blocks_and_goes_on_and_serves() {
    let mut world = World::new(26, 2, 0.0);
    world.genesis.validators.truncate(1);
    world.start(0).unwrap();
    world.run_slots(u64::from(SNAPSHOT_PERIOD) + FINALIZED_BLOCKS_KEPT as u64 + 10);
    let before = world.chain(0).status();
    let root = world.best_state(0).root();
    world.crash(0, Crash::Forget);
    world.start(0).unwrap();
    let after = world.chain(0).status();
    assert_eq!((after.best, after.finalized), (before.best, before.finalized));
    assert_eq!(world.best_state(0).root(), root);
    // One that comes with nothing gets all of it.
    world.start(1).unwrap();
    world.run_slots(8);
    assert!(world.agreed() >= before.finalized.1 + 6, "{:?}", world.statuses());
    // A start would fail if it looked at an old block; without the state it must.
    let disk = world.nodes[0].disk.clone();
    let folder = "values/chain/blocks/00000000";
    let old = format!("{folder}/{}", disk.list(folder).unwrap().remove(5));
    disk.flip_bit(&old, disk.len(&old).unwrap() as usize / 2).unwrap();
    world.crash(0, Crash::Forget);
    world.start(0).unwrap();
    let before = world.agreed();
    world.run_slots(4);
    assert!(world.agreed() >= before + 3, "{:?}", world.statuses());
    world.crash(0, Crash::Forget);
    for state in disk.list("values/chain/states").unwrap() {
        disk.flip_bit(&format!("values/chain/states/{state}"), 30).unwrap();
    }
    assert!(matches!(world.start(0), Err(Error::Storage(_))), "the old block is damaged, and now it is needed");
}

#[test]
fn stopping_ends_the_tasks() {
    let world = World::started(25, 2, 0.0);
    world.run_slots(3);
    let mut feed = world.client(0).subscribe();
    for index in 0..2 {
        world.chain(index).stop();
    }
    world.run_slots(1);
    let left: Vec<_> = world.simulation.tasks().into_iter().filter(|task| task.name.starts_with("chain-")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(world.simulation.run_until(feed.next()).unwrap(), Ok(None));
    assert_eq!(Arc::strong_count(world.chain(0)), 1);
}
