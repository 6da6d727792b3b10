//! Crashes and restarts.

use std::{sync::Arc, time::Duration};

use codec::Encode;
use deterministic::{Crash, Disk, entropy::below};
use ports::{RuntimeError, StorageError};
use primitives::{BlockNumber, DigestItem, Hash, Header};
use relay_chain::{
    Error,
    justification::{BlockCommit, Justification, MAX_JUSTIFICATION_BYTES},
    snapshots::SNAPSHOT_PERIOD,
    storage::Storage,
    tree::FINALIZED_BLOCKS_KEPT,
};
use runtime::Block;
use store::Store;

use crate::{album::Album, support::World};

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
    world.set_session_length(6);
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

/// A block on top of `parent` that no node has seen, and that nobody executes.
fn dead_block(parent: Hash, number: BlockNumber) -> Block {
    let (state_root, extrinsics_root) = (Hash::repeat(1), Hash::repeat(2));
    let header = Header { parent_hash: parent, number, state_root, extrinsics_root, digest: Vec::new() };
    Block { header, extrinsics: Vec::new() }
}

/// The chain's part of a node's disk.
pub(crate) fn storage(world: &World, index: usize) -> Storage {
    let compute = world.simulation.environment("looks at a disk").compute;
    Storage::new(Store::in_memory(world.nodes[index].disk.clone(), compute).unwrap().values)
}

#[test]
fn blocks_of_dead_forks_that_a_crash_has_left_are_neither_served_nor_answered_and_go_at_the_next_start() {
    let mut world = World::new(27, 2, 0.0);
    world.genesis.validators.truncate(1);
    world.start(0).unwrap();
    world.run_slots(FINALIZED_BLOCKS_KEPT as u64 + 20);
    // A dead fork of three blocks beside finalized ones which the tree keeps no more.
    let storage = storage(&world, 0);
    let mut parent = world.genesis_hash();
    for number in 1..=3 {
        let block = dead_block(parent, number);
        parent = block.hash();
        world.simulation.run_until(storage.put_block(parent, &block)).unwrap().unwrap();
    }
    let on_disk = |first, last| world.simulation.run_until(storage.blocks(first, last)).unwrap().unwrap().len();
    assert_eq!(on_disk(1, 4), 7);
    let header = world.simulation.run_until(world.client(0).header(parent)).unwrap();
    assert_eq!(header, Err(RuntimeError::UnknownBlock(parent)));
    world.start(1).unwrap();
    world.run_slots(8);
    assert!(world.agreed() >= FINALIZED_BLOCKS_KEPT as u32 + 20, "{:?}", world.statuses());
    world.crash(0, Crash::Forget);
    world.start(0).unwrap();
    let found = world.simulation.run_until(storage.blocks(1, 4)).unwrap().unwrap();
    assert_eq!(found.len(), 4, "one of each height");
}

/// A proof whose encoding has so many bytes, about a million: that of headers.
fn proof_of(bytes: usize, number: BlockNumber) -> Justification {
    let commit = BlockCommit { target_hash: Hash::repeat(1), target_number: number, precommits: Vec::new() };
    let mut header = dead_block(Hash::ZERO, number).header;
    header.digest.push(DigestItem::Other(vec![0; 2_000]));
    let mut proof = Justification { set_id: 0, round: 1, commit, ancestries: vec![header; 400] };
    for index in 0..bytes - proof.encoded_size() {
        grow(&mut proof, index % 400);
    }
    proof
}

/// Makes a header of a proof longer by a byte.
fn grow(proof: &mut Justification, index: usize) {
    let Some(DigestItem::Other(bytes)) = proof.ancestries[index].digest.first_mut() else { panic!("nothing to grow") };
    bytes.push(0);
}

#[test]
fn a_proof_that_could_not_be_read_again_is_not_written() {
    let world = World::new(29, 1, 0.0);
    let storage = storage(&world, 0);
    let put = |proof: &Justification| world.simulation.run_until(storage.put_finalized(proof)).unwrap();
    let largest = proof_of(MAX_JUSTIFICATION_BYTES, 1);
    assert_eq!(largest.encoded_size(), MAX_JUSTIFICATION_BYTES);
    put(&largest).unwrap();
    let mut larger = largest.clone();
    larger.commit.target_number = 2;
    grow(&mut larger, 0);
    let error = put(&larger).unwrap_err();
    assert!(matches!(error, StorageError::TooLarge { size, .. } if size == MAX_JUSTIFICATION_BYTES + 1), "{error}");
    assert_eq!(world.simulation.run_until(storage.finalized()).unwrap().unwrap(), Some(largest.clone()));
    assert_eq!(world.simulation.run_until(storage.justification(1, 0)).unwrap().unwrap(), Some(largest));
    assert_eq!(world.simulation.run_until(storage.justification(2, 0)).unwrap().unwrap(), None);
}

#[test]
fn damage_above_the_finalized_block_costs_what_was_damaged_and_no_more() {
    let mut world = World::new(28, 4, 0.0);
    world.start(0).unwrap();
    while world.chain(0).status().best.1 < 3 {
        world.run_slots(1);
    }
    let (best, number) = world.chain(0).status().best;
    assert_eq!(world.chain(0).status().finalized.1, 0, "one of four finalizes nothing");
    world.crash(0, Crash::Forget);
    let disk = world.nodes[0].disk.clone();
    let block = format!("values/chain/blocks/00000000/{number:010}-{best}");
    for path in [&block[..], "values/chain/votes", "values/chain/round"] {
        match disk.len(path) {
            Ok(bytes) => disk.flip_bit(path, bytes as usize / 2).unwrap(),
            Err(error) => assert!(path.ends_with("round"), "{path}: {error}"),
        }
    }
    world.start(0).unwrap();
    assert_eq!(world.chain(0).status().best.1, number - 1);
    for index in 1..4 {
        world.start(index).unwrap();
    }
    world.run_slots(10);
    assert!(world.agreed() >= number + 4, "{:?}", world.statuses());
}

/// Four validators with forks, of whom others are elected, in sessions of three blocks.
fn among_others(seed: u64) -> World {
    let mut world = World::new(seed, 4, 0.6);
    world.genesis.validators.truncate(3);
    world.set_session_length(3);
    world
}

/// Whether a node starts on what a crash has left, alone, with all that was final and nothing dead.
fn assert_whole(world: &mut World, before: Option<(Hash, BlockNumber)>, what: &str) {
    world.start(0).unwrap_or_else(|error| panic!("{what}: {error}"));
    let after = world.chain(0).status().finalized;
    let before = before.unwrap_or((world.genesis_hash(), 0));
    assert!(after.1 >= before.1, "{what}: {before:?}, then {after:?}");
    assert_eq!(world.ancestor(0, after.0, before.1), before.0, "{what}");
    let found = world.simulation.run_until(storage(world, 0).blocks(0, after.1)).unwrap().unwrap();
    assert_eq!(found.len() as u32, after.1 + 1, "{what}: one block of each height");
}

#[test]
fn among_forks_and_changing_voters_a_crash_at_every_write_loses_nothing_final_and_leaves_nothing_dead() {
    let mut world = among_others(29);
    let album = Album::of(world.nodes[0].disk.clone());
    world.album_of_first = Some(album.clone());
    for index in 0..4 {
        world.start(index).unwrap();
    }
    world.run_slots(3);
    world.elect(0, &[0, 1, 3]);
    world.run_slots(8);
    let status = world.chain(0).status();
    assert!(status.forks > 0 && status.set_id >= 1 && status.finalized.1 >= 6, "{status:?}");
    world.album_of_first = None;
    for index in 0..4 {
        world.crash(index, Crash::Forget);
    }
    let pictures = album.take();
    assert!(pictures.len() > 200, "only {} writes", pictures.len());
    for (write, picture) in pictures.into_iter().enumerate() {
        for (fate, disk) in picture.disks.into_iter().enumerate() {
            world.nodes[0].disk = disk;
            assert_whole(&mut world, picture.finalized, &format!("write {write}, fate {fate}"));
            world.crash(0, Crash::Forget);
        }
    }
}

/// Each takes a network of its own: so many writes lie between two of which it is seen that the network goes on.
const WRITES_PER_STEP: usize = 12;

#[test]
fn among_forks_and_changing_voters_the_network_goes_on_after_a_crash_at_a_write() {
    let mut forks = 0;
    for operations in (0..).step_by(WRITES_PER_STEP) {
        let mut world = among_others(29);
        for index in 0..4 {
            world.start(index).unwrap();
        }
        world.run_slots(3);
        world.elect(0, &[0, 1, 3]);
        let disk = world.nodes[0].disk.clone();
        disk.fail_after(operations);
        world.run_slots(6);
        let (before, died) = (world.chain(0).status().finalized, disk.has_failed());
        world.crash(0, Crash::Forget);
        if !died {
            assert!(operations > 40 && forks > 0, "{operations} writes, {forks} forks");
            break;
        }
        assert_whole(&mut world, Some(before), &format!("write {operations}"));
        world.run_slots(6);
        assert!(world.agreed() >= before.1 + 3, "write {operations}: {:?}", world.statuses());
        assert!(world.statuses().iter().all(|status| status.refused == 0 && status.set_id >= 1));
        forks += world.statuses().iter().map(|status| status.forks).sum::<u64>();
    }
}
