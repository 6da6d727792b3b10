//! Who was away does not author on its stale head while it catches up.
//!
//! Heights are only said until the blocks are there, so that what peers say can hold an author up for
//! [`CATCH_UP_PATIENCE`] once, on a head on which nobody else goes on, and not at all where blocks of others come.

use ports::Keystore;
use primitives::{Hash, Slot};

use crate::{chain::Chain, sync::Syncer};

/// Slots after which the newest block of somebody else is stale.
pub const FRESH_SLOTS: Slot = 4;
/// Slots without a new block of somebody else after which an author goes on, though peers say that they are ahead. A
/// request that nobody answers ends within them.
pub const CATCH_UP_PATIENCE: Slot = 16;

/// How long an author has waited for what its peers say they have.
#[derive(Default)]
pub(super) struct Patience {
    head: Hash,
    since: Slot,
}

impl Patience {
    /// Whether an author leaves a slot to those who know more. Asked once per slot.
    pub(super) fn lasts(&mut self, chain: &Chain, syncer: &Syncer, keystore: &dyn Keystore, slot: Slot) -> bool {
        if chain.best().header.number >= syncer.wanted_height() {
            return false;
        }
        newest_of_others(chain, keystore).is_some_and(|head| self.lasts_on(slot, head))
    }

    /// The same of an author whose peers say that they are ahead, on the newest block of somebody else and its slot.
    fn lasts_on(&mut self, slot: Slot, (head, of): (Hash, Slot)) -> bool {
        if slot.saturating_sub(of) <= FRESH_SLOTS {
            return false;
        }
        if self.head != head {
            (self.head, self.since) = (head, slot);
        }
        slot.saturating_sub(self.since) < CATCH_UP_PATIENCE
    }
}

/// The newest block on the best chain, down to the finalized one, that none of our keys has authored. One that is alone
/// with its own blocks waits for nobody.
fn newest_of_others(chain: &Chain, keystore: &dyn Keystore) -> Option<(Hash, Slot)> {
    let own = keystore.validator_ids();
    let tree = chain.tree();
    let (mut hash, mut entry) = tree.best();
    while let Some(parent) = tree.get(&entry.header.parent_hash) {
        let author = parent.data.state.validators().get(entry.author.0 as usize);
        if !author.is_some_and(|author| own.contains(author)) {
            return Some((hash, entry.slot));
        }
        if tree.finalized().0 == hash {
            return None;
        }
        (hash, entry) = (entry.header.parent_hash, parent);
    }
    // The first block of the tree: that of the chain's beginning, or one that was final at the last start.
    Some((hash, entry.slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_by_blocks_of_others_only_and_not_needed_on_fresh_ones() {
        let mut patience = Patience::default();
        let (old, newer) = (Hash::repeat(1), Hash::repeat(2));
        let mut waits =
            |slots: std::ops::Range<Slot>, head| slots.filter(|slot| patience.lasts_on(*slot, head)).count() as u64;
        assert_eq!(waits(100..200, (old, 99)), CATCH_UP_PATIENCE, "whatever is said for how long");
        assert_eq!(waits(200..300, (old, 99)), 0);
        assert_eq!(waits(300..310, (newer, 150)), 10, "it comes nearer");
        assert_eq!(waits(310..315, (newer, 311)), 0, "it is there");
    }
}
