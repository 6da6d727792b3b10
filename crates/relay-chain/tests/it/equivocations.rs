//! Authors of two blocks in one slot, where a session ends.

use crate::forge::Forge;

#[test]
fn two_blocks_in_one_slot_are_reported_across_the_end_of_a_session() {
    // Blocks 3, 4 and 5 are of session 1.
    let forge = Forge::with_sessions(51, 3);
    let first = forge.with(forge.genesis(), Vec::new());
    let second = forge.with(first.hash, Vec::new());
    let late = forge.with(second.hash, Vec::new());
    assert_eq!(forge.world.chain(0).status().transactions, 0);
    let early = forge.in_slot_of(late.hash, first.hash);
    let sessions = [second.hash, first.hash].map(|parent| forge.state(parent).session_index());
    assert_eq!((sessions, early.hash != late.hash), ([1, 0], true));
    assert_eq!(forge.world.chain(0).status().transactions, 1, "the report waits for a block");
}
