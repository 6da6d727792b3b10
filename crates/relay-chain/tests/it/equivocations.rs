//! Authors of two blocks in one slot.

use codec::Encode;
use deterministic::Crash;
use ports::Network;
use relay_chain::{
    ImportError,
    import::{add_seal, split_seal},
    messages::{FINALITY_PROTOCOL, FinalityMessage},
    tree::TreeError,
};
use runtime::Block;

use crate::{
    floods::peer,
    forge::{Forge, Forged},
};

/// Reports that wait for a block.
fn waiting(forge: &Forge) -> usize {
    forge.world.chain(0).status().transactions
}

/// Three blocks, each on the one before.
fn three(forge: &Forge) -> [Forged; 3] {
    let first = forge.with(forge.genesis(), Vec::new());
    let second = forge.with(first.hash, Vec::new());
    let third = forge.with(second.hash, Vec::new());
    assert_eq!(waiting(forge), 0);
    [first, second, third]
}

#[test]
fn two_blocks_in_one_slot_are_reported_across_the_end_of_a_session() {
    // Blocks 3, 4 and 5 are of session 1.
    let forge = Forge::with_sessions(51, 3);
    let [first, second, late] = three(&forge);
    let early = forge.in_slot_of(late.hash, first.hash);
    let sessions = [second.hash, first.hash].map(|parent| forge.state(parent).session_index());
    assert_eq!((sessions, early.hash != late.hash), ([1, 0], true));
    assert_eq!(waiting(&forge), 1);
}

#[test]
fn two_blocks_in_one_slot_are_reported_after_a_power_cut() {
    let mut forge = Forge::new(52);
    let [first, _, third] = three(&forge);
    forge.world.crash(0, Crash::Forget);
    forge.world.start(0).unwrap();
    assert_eq!(waiting(&forge), 0, "one block per slot");
    forge.in_slot_of(third.hash, first.hash);
    assert_eq!(waiting(&forge), 1);
    forge.world.crash(0, Crash::Forget);
    forge.world.start(0).unwrap();
    assert_eq!(waiting(&forge), 1);
}

#[test]
fn a_second_block_is_reported_once_though_it_is_shown_when_the_first_is_final() {
    let forge = Forge::new(53);
    let [first, second, third] = three(&forge);
    let (network, _shelf) = peer(&forge.world, "gossip");
    forge.world.run_slots(1);
    let proof = FinalityMessage::Justification(Box::new(forge.proof(&forge.header(third.hash))));
    network.send(&forge.world.nodes[0].peer(), FINALITY_PROTOCOL, proof.encode().into()).unwrap();
    forge.world.run_slots(1);
    assert_eq!(forge.world.chain(0).status().finalized.0, third.hash);

    let in_slot_of_third = |parent| {
        let slot = forge.slot_of(&forge.header(third.hash));
        forge.kept_back(&forge.header(parent), &forge.state(parent), slot, 1).0.remove(0)
    };
    let show = |block: Block| {
        let shown = forge.world.simulation.run_until(forge.world.chain(0).import(block)).unwrap();
        assert!(matches!(shown, Err(ImportError::Tree(TreeError::Stale(_)))), "{shown:?}");
        waiting(&forge)
    };
    let mut of_another = in_slot_of_third(first.hash);
    let (unsealed, _) = split_seal(of_another.header).unwrap();
    of_another.header = unsealed;
    add_seal(&mut of_another.header, split_seal(forge.header(second.hash)).unwrap().1);
    assert_eq!(show(of_another), 0, "the author has not sealed it");
    assert_eq!(show(in_slot_of_third(first.hash)), 1);
    assert_eq!(show(in_slot_of_third(forge.genesis())), 1, "a third block proves nothing new");
}
