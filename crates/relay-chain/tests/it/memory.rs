//! What a chain holds in memory, counted: it does not grow with the chain.

use relay_chain::{Held, snapshots::SNAPSHOT_PERIOD};

use crate::support::World;

/// The most of each that was held within so many slots, and of what the keystore remembers.
fn most(world: &World, slots: u32) -> (Held, usize) {
    let mut most = (Held::default(), 0);
    for _ in 0..slots / 32 {
        world.run_slots(32);
        let held = world.chain(0).held();
        most.0.blocks = most.0.blocks.max(held.blocks);
        most.0.waiting = most.0.waiting.max(held.waiting);
        most.0.condemned = most.0.condemned.max(held.condemned);
        most.0.offenders = most.0.offenders.max(held.offenders);
        most.0.feeds = most.0.feeds.max(held.feeds);
        let keystore = world.nodes[0].keystore.as_ref().expect("the node runs");
        most.1 = most.1.max(keystore.claims());
    }
    most
}

#[test]
fn what_is_held_after_many_blocks_is_what_was_held_after_few() {
    let mut world = World::new(81, 1, 0.0);
    world.start(0).unwrap();
    let feed = world.client(0).subscribe();
    drop(feed);
    // With the first period everything has been at its largest once.
    let (early, claims) = most(&world, SNAPSHOT_PERIOD + 64);
    let (late, later_claims) = most(&world, SNAPSHOT_PERIOD + 64);
    assert!(world.chain(0).status().finalized.1 > 2 * SNAPSHOT_PERIOD, "{:?}", world.statuses());
    assert_eq!(late, early);
    assert!(claims > SNAPSHOT_PERIOD as usize, "seals and votes are remembered: {claims}");
    assert!(later_claims <= claims + claims / 20, "{claims} claims, then {later_claims}");
}
