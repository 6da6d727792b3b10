//! Which block included a candidate: asked for every vote, attestation and report.
//!
//! Derived from the blocks that are recorded, so that no root covers it. It is kept in stretches of [`STRETCH`] blocks:
//! a block copies the newest of them only, and shares the others with its parent.

use primitives::BlockNumber;
use std::{collections::BTreeMap, sync::Arc};

use super::{DisputeKey, IncludedBlock};

/// Blocks per stretch. A lookup asks every stretch, 38 at most; a block copies what as many blocks have included.
const STRETCH: BlockNumber = 16;

/// Positions of candidates in their blocks.
type Stretch = BTreeMap<(DisputeKey, BlockNumber), usize>;

/// All included candidates by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    stretches: BTreeMap<BlockNumber, Arc<Stretch>>,
}

impl Index {
    pub(crate) fn of<'a>(blocks: impl Iterator<Item = (BlockNumber, &'a IncludedBlock)>) -> Self {
        let mut index = Self::default();
        for (number, block) in blocks {
            index.add(number, block);
        }
        index
    }

    pub(crate) fn add(&mut self, number: BlockNumber, block: &IncludedBlock) {
        let stretch = Arc::make_mut(self.stretches.entry(number / STRETCH).or_default());
        for (position, candidate) in block.candidates.iter().enumerate() {
            stretch.insert(((block.session, candidate.hash), number), position);
        }
    }

    /// Drops the stretches that are before block `oldest` as a whole: single blocks stay in them until then.
    pub(crate) fn forget_before(&mut self, oldest: BlockNumber) {
        self.stretches = self.stretches.split_off(&(oldest / STRETCH));
    }

    /// The blocks that included a candidate, oldest first, and where in each it is. Some may not be recorded any more.
    pub(crate) fn places(&self, key: DisputeKey) -> impl Iterator<Item = (BlockNumber, usize)> + '_ {
        let found = self.stretches.values().flat_map(move |stretch| stretch.range((key, 0)..=(key, BlockNumber::MAX)));
        found.map(|((_, number), position)| (*number, *position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{CandidateHash, Hash};

    fn key(byte: u8) -> DisputeKey {
        (0, CandidateHash(Hash::repeat(byte)))
    }

    fn places(index: &Index, byte: u8) -> Vec<(BlockNumber, usize)> {
        index.places(key(byte)).collect()
    }

    #[test]
    fn places_are_in_the_order_of_blocks_and_go_with_their_stretch() {
        let mut index = Index::default();
        for number in [3, 5, 15, 16, 40] {
            let stretch = Arc::make_mut(index.stretches.entry(number / STRETCH).or_default());
            stretch.insert((key(7), number), 0);
            stretch.insert((key(number as u8), number), 1);
        }
        assert_eq!(places(&index, 7), [(3, 0), (5, 0), (15, 0), (16, 0), (40, 0)]);
        assert_eq!((places(&index, 16), places(&index, 6)), (vec![(16, 1)], vec![]));
        index.forget_before(15);
        assert_eq!(places(&index, 7).len(), 5, "block 15 is recorded still");
        index.forget_before(16);
        assert_eq!(places(&index, 7), [(16, 0), (40, 0)]);
        index.forget_before(100);
        assert_eq!(index, Index::default());
    }

    #[test]
    fn a_block_copies_the_newest_stretch_only() {
        let block = IncludedBlock {
            session: 0,
            hash: None,
            parent_hash: Hash::ZERO,
            slot: 0,
            author: primitives::ValidatorIndex(0),
            vrf_output: [0; 32],
            candidates: Vec::new(),
            digest: Hash::ZERO,
        };
        let parent = Index::of([(1, &block), (17, &block)].into_iter());
        let mut child = parent.clone();
        child.add(18, &block);
        assert!(Arc::ptr_eq(&child.stretches[&0], &parent.stretches[&0]));
        assert!(!Arc::ptr_eq(&child.stretches[&1], &parent.stretches[&1]));
    }
}
