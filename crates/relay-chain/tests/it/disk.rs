//! Crashes and restarts.

use std::sync::Arc;

use deterministic::{Crash, Disk};
use primitives::{BlockNumber, Hash};
use relay_chain::Error;

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
