//! Disks that are full for a moment.

use std::time::Duration;

use deterministic::Crash;
use ports::{ForgetBefore, Keystore};

use crate::support::World;

impl World {
    /// Lets the disks of all nodes be full for a while.
    fn fill_disks_for(&self, millis: u64) {
        self.nodes.iter().for_each(|node| node.disk.set_capacity(Some(0)));
        self.simulation.run_for(Duration::from_millis(millis)).unwrap();
        self.nodes.iter().for_each(|node| node.disk.set_capacity(None));
    }
}

#[test]
fn finality_goes_on_when_disks_that_all_were_full_have_room_again() {
    for (since, millis) in [(0, 3_000), (100, 400), (700, 300)] {
        let world = World::started(31, 4, 0.0);
        world.simulation.run_for(Duration::from_millis(6_000 + since)).unwrap();
        world.fill_disks_for(millis);
        let before = world.agreed();
        world.run_slots(15);
        assert!(world.agreed() >= before + 8, "full for {millis} ms: {:?}", world.statuses());
    }
}

#[test]
fn a_proof_that_came_while_the_disk_was_full_is_stored_though_nobody_is_there_to_send_it_again() {
    let mut world = World::new(32, 2, 0.0);
    world.genesis.validators.truncate(1);
    world.start(0).unwrap();
    world.start(1).unwrap();
    world.run_slots(4);
    // The last block that both have is not final yet.
    let best = |index: usize| world.chain(index).status().best;
    let finalized = |index: usize| world.chain(index).status().finalized;
    while best(0) != best(1) || finalized(0) == best(0) {
        world.simulation.run_for(Duration::from_millis(5)).unwrap();
    }
    let last = best(1);
    world.nodes[1].disk.set_capacity(Some(0));
    while finalized(0) != last {
        world.simulation.run_for(Duration::from_millis(5)).unwrap();
    }
    world.simulation.run_for(Duration::from_millis(200)).unwrap();
    assert_ne!(finalized(1), last, "the disk is full");
    world.crash(0, Crash::Forget);
    world.nodes[1].disk.set_capacity(None);
    world.run_slots(6);
    assert_eq!(world.chain(1).status().finalized, last);
}

#[test]
fn a_validator_goes_on_that_could_not_forget_what_it_signed_because_the_disk_was_full() {
    let world = World::started(33, 1, 0.0);
    world.run_slots(5);
    let node = &world.nodes[0];
    let keystore = node.keystore.clone().unwrap();
    let forget = async move { keystore.forget_before(ForgetBefore { session: 0, slot: 0, round: (0, 0) }).await };
    node.disk.set_capacity(Some(0));
    assert!(world.simulation.run_until(forget).unwrap().is_err());
    node.disk.set_capacity(None);
    let before = world.agreed();
    world.run_slots(10);
    assert!(world.agreed() >= before + 6, "{:?}", world.statuses());
}
