//! Active leaves and their ancestors: chain events in, heartbeat out.
//!
//! **Role**: the rules by which imports and finality become StartWork and StopWork (seed 001, Overseer; OV-2), and the
//! view that subsystems hear them through. Pure: no I/O, no time.
//!
//! **Invariants**: an imported block enters and its parent leaves; a finalized block of height *h* removes every leaf of
//! at most that height but itself, and every leaf that does not descend from it; nothing on a stale fork is ever
//! activated; nor is anything on a fork that was given up, whose last good ancestor starts again. Each update is one
//! entry: what stops, what starts, what is final.
//!
//! **Limits**: [`BLOCKS_MAX`] blocks above the finalized one, [`LEAVES_MAX`] leaves, [`ANCESTRY_MAX`] ancestors per leaf.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jobs::ScopeView;
use overseer::View;
use primitives::{BlockNumber, Hash, SessionIndex};

/// Blocks remembered above the last finalized one.
pub const BLOCKS_MAX: usize = 4096;
/// Leaves active at once. Of more siblings the newest are not started.
pub const LEAVES_MAX: usize = 16;
/// Ancestors named with a leaf: as far back as work may reach.
pub const ANCESTRY_MAX: usize = 8;

/// A leaf that work starts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveLeaf {
    /// The relay parent.
    pub hash: Hash,
    /// Its height.
    pub number: BlockNumber,
    /// Its session.
    pub session_index: SessionIndex,
    /// Its ancestors of the same session above the finalized block and that block itself, nearest first, at most
    /// [`ANCESTRY_MAX`].
    pub ancestors: Arc<[Hash]>,
}

/// A finalized block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalizedBlock {
    /// Its hash.
    pub hash: Hash,
    /// Its height.
    pub number: BlockNumber,
}

/// One entry of the heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeavesUpdate {
    /// StopWork: no leaf any more.
    pub stopped: Vec<Hash>,
    /// StartWork.
    pub started: Vec<ActiveLeaf>,
    /// The last finalized block, if it changed.
    pub finalized: Option<FinalizedBlock>,
}

impl LeavesUpdate {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.stopped.is_empty() && self.started.is_empty() && self.finalized.is_none()
    }
}

/// The view through which subsystems hear of relay parents.
#[derive(Clone, Copy, Debug)]
pub enum RelayParents {}

/// What is so after a number of updates. Subsystems keep one of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeavesState {
    /// The active leaves.
    pub leaves: BTreeMap<Hash, ActiveLeaf>,
    /// The last finalized block.
    pub finalized: Option<FinalizedBlock>,
}

impl LeavesState {
    /// Folds an update in.
    pub fn apply(&mut self, update: &LeavesUpdate) {
        for hash in &update.stopped {
            self.leaves.remove(hash);
        }
        self.leaves.extend(update.started.iter().map(|leaf| (leaf.hash, leaf.clone())));
        self.finalized = update.finalized.or(self.finalized);
    }
}

impl View for RelayParents {
    type Update = LeavesUpdate;
    type State = LeavesState;

    fn apply(state: &mut LeavesState, update: &LeavesUpdate) {
        state.apply(update);
    }

    fn catch_up(seen: &LeavesState, now: &LeavesState) -> LeavesUpdate {
        LeavesUpdate {
            stopped: seen.leaves.keys().filter(|hash| !now.leaves.contains_key(hash)).copied().collect(),
            started: now.leaves.values().filter(|leaf| !seen.leaves.contains_key(&leaf.hash)).cloned().collect(),
            finalized: now.finalized.filter(|_| now.finalized != seen.finalized),
        }
    }
}

impl ScopeView<Hash> for LeavesState {
    fn is_active(&self, scope: &Hash) -> bool {
        self.leaves.contains_key(scope)
    }

    fn is_in_view(&self, scope: &Hash, depth: u32) -> bool {
        self.is_active(scope)
            || self.leaves.values().any(|leaf| leaf.ancestors.iter().take(depth as usize).any(|hash| hash == scope))
    }

    fn finalized_height(&self) -> u32 {
        self.finalized.map_or(0, |block| block.number)
    }
}

/// A block as the chain announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its hash.
    pub hash: Hash,
    /// Its parent's hash.
    pub parent: Hash,
    /// Its height.
    pub number: BlockNumber,
    /// Its session.
    pub session_index: SessionIndex,
}

/// The block tree above the finalized block, and the leaves in it that are worked on.
#[derive(Debug)]
pub struct Leaves {
    finalized: FinalizedBlock,
    blocks: BTreeMap<Hash, Block>,
    active: BTreeMap<Hash, BlockNumber>,
}

impl Leaves {
    /// Starts at a finalized block, with the leaves that the chain on disk has above it (or that block itself) and the
    /// blocks that connect them, parents first.
    pub fn start(finalized: Block, blocks: impl IntoIterator<Item = Block>) -> (Self, LeavesUpdate) {
        let mut leaves = Self {
            finalized: FinalizedBlock { hash: finalized.hash, number: finalized.number },
            blocks: BTreeMap::from([(finalized.hash, finalized)]),
            active: BTreeMap::from([(finalized.hash, finalized.number)]),
        };
        for block in blocks {
            leaves.import(block);
        }
        let started = leaves.active.keys().map(|hash| leaves.describe(hash)).collect();
        let update = LeavesUpdate { stopped: Vec::new(), started, finalized: Some(leaves.finalized) };
        (leaves, update)
    }

    /// A new block: it starts, its parent stops. Empty for a block that is known, or that does not descend from the
    /// finalized one.
    pub fn import(&mut self, block: Block) -> LeavesUpdate {
        let known = self.blocks.contains_key(&block.hash);
        if known || !self.blocks.contains_key(&block.parent) || self.blocks.len() >= BLOCKS_MAX {
            return LeavesUpdate::default();
        }
        self.blocks.insert(block.hash, block);
        let stopped: Vec<Hash> = self.active.remove(&block.parent).map(|_| block.parent).into_iter().collect();
        if self.active.len() >= LEAVES_MAX {
            return LeavesUpdate { stopped, ..LeavesUpdate::default() };
        }
        self.active.insert(block.hash, block.number);
        LeavesUpdate { stopped, started: vec![self.describe(&block.hash)], finalized: None }
    }

    /// A block became final. Unknown blocks only move the mark: their import follows or they were pruned.
    pub fn finalize(&mut self, hash: Hash, number: BlockNumber) -> LeavesUpdate {
        if number <= self.finalized.number && hash != self.finalized.hash {
            return LeavesUpdate::default();
        }
        self.finalized = FinalizedBlock { hash, number };
        let descends: BTreeMap<Hash, Block> = self
            .blocks
            .iter()
            .filter(|(block, _)| self.descends_from_finalized(block))
            .map(|(hash, block)| (*hash, *block))
            .collect();
        self.blocks = descends;
        let blocks = &self.blocks;
        let stopped: Vec<Hash> = self
            .active
            .iter()
            .filter(|(leaf, height)| **leaf != hash && (**height <= number || !blocks.contains_key(*leaf)))
            .map(|(leaf, _)| *leaf)
            .collect();
        for leaf in &stopped {
            self.active.remove(leaf);
        }
        LeavesUpdate { stopped, started: Vec::new(), finalized: Some(self.finalized) }
    }

    /// Forks are given up, from these blocks on: what descends from them stops and never starts again. A parent that is
    /// left without children is a leaf again.
    pub fn revert(&mut self, abandoned: &[Hash]) -> LeavesUpdate {
        let bad = abandoned.iter().filter_map(|hash| self.blocks.get(hash)).copied();
        // What is final stays.
        let bad: Vec<Block> = bad.filter(|block| block.number > self.finalized.number).collect();
        let mut dead: BTreeSet<Hash> = bad.iter().map(|block| block.hash).collect();
        let mut by_height: Vec<Block> = self.blocks.values().copied().collect();
        by_height.sort_by_key(|block| block.number);
        for block in by_height {
            if dead.contains(&block.parent) {
                dead.insert(block.hash);
            }
        }
        self.blocks.retain(|hash, _| !dead.contains(hash));
        let stopped: Vec<Hash> = self.active.keys().filter(|leaf| dead.contains(leaf)).copied().collect();
        for leaf in &stopped {
            self.active.remove(leaf);
        }
        let mut started = Vec::new();
        for parent in bad.iter().map(|block| block.parent) {
            let Some(block) = self.blocks.get(&parent) else { continue };
            let is_leaf = !self.blocks.values().any(|child| child.parent == parent);
            if is_leaf && self.active.len() < LEAVES_MAX && self.active.insert(parent, block.number).is_none() {
                started.push(self.describe(&parent));
            }
        }
        LeavesUpdate { stopped, started, finalized: None }
    }

    fn descends_from_finalized(&self, hash: &Hash) -> bool {
        let mut at = *hash;
        while let Some(block) = self.blocks.get(&at) {
            if at == self.finalized.hash {
                return true;
            }
            if block.number <= self.finalized.number {
                return false;
            }
            at = block.parent;
        }
        false
    }

    fn describe(&self, hash: &Hash) -> ActiveLeaf {
        let block = self.blocks[hash];
        let mut ancestors = Vec::new();
        let mut at = block.parent;
        while let Some(ancestor) = self.blocks.get(&at) {
            if ancestor.session_index != block.session_index || ancestors.len() >= ANCESTRY_MAX {
                break;
            }
            ancestors.push(at);
            at = ancestor.parent;
        }
        ActiveLeaf {
            hash: block.hash,
            number: block.number,
            session_index: block.session_index,
            ancestors: ancestors.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> Hash {
        Hash::from([byte; 32])
    }

    fn block(byte: u8, parent: u8, number: u32, session_index: u32) -> Block {
        Block { hash: hash(byte), parent: hash(parent), number, session_index }
    }

    fn started(update: &LeavesUpdate) -> Vec<Hash> {
        update.started.iter().map(|leaf| leaf.hash).collect()
    }

    #[test]
    fn a_child_starts_and_its_parent_stops() {
        let (mut leaves, update) = Leaves::start(block(0, 9, 0, 0), []);
        assert_eq!(started(&update), [hash(0)]);
        let update = leaves.import(block(1, 0, 1, 0));
        assert_eq!((started(&update), update.stopped), (vec![hash(1)], vec![hash(0)]));
        let sibling = leaves.import(block(2, 0, 1, 0));
        assert_eq!((started(&sibling), sibling.stopped), (vec![hash(2)], vec![]));
        assert!(leaves.import(block(2, 0, 1, 0)).is_empty(), "known");
        assert!(leaves.import(block(7, 6, 4, 0)).is_empty(), "parent unknown");
    }

    #[test]
    fn finality_stops_lower_leaves_and_higher_ones_of_other_forks() {
        let (mut leaves, _) = Leaves::start(block(0, 9, 0, 0), []);
        for (byte, parent, number) in [(1, 0, 1), (2, 0, 1), (3, 2, 2), (4, 3, 3), (5, 1, 2)] {
            leaves.import(block(byte, parent, number, 0));
        }
        let update = leaves.finalize(hash(1), 1);
        assert_eq!(update.stopped, [hash(4)], "higher, but on a stale fork");
        assert_eq!(update.finalized, Some(FinalizedBlock { hash: hash(1), number: 1 }));
        assert!(leaves.import(block(6, 4, 4, 0)).is_empty(), "a stale fork never starts again");
        assert_eq!(started(&leaves.import(block(7, 5, 3, 0))), [hash(7)]);
        assert!(leaves.finalize(hash(0), 0).is_empty(), "finality does not go back");
    }

    #[test]
    fn a_fork_that_is_given_up_stops_and_its_last_good_ancestor_starts_again() {
        let (mut leaves, _) = Leaves::start(block(0, 9, 0, 0), []);
        for (byte, parent, number) in [(1, 0, 1), (2, 1, 2), (3, 2, 3), (4, 2, 3)] {
            leaves.import(block(byte, parent, number, 0));
        }
        let update = leaves.revert(&[hash(2)]);
        assert_eq!((started(&update), update.stopped), (vec![hash(1)], vec![hash(3), hash(4)]));
        assert!(leaves.import(block(5, 3, 4, 0)).is_empty(), "nothing on it starts");
        assert!(leaves.revert(&[hash(2)]).is_empty(), "once is enough");
        let update = leaves.import(block(6, 1, 2, 0));
        assert_eq!((started(&update), update.stopped), (vec![hash(6)], vec![hash(1)]));
    }

    #[test]
    fn a_fork_that_is_given_up_leaves_others_alone() {
        let (mut leaves, _) = Leaves::start(block(0, 9, 0, 0), []);
        for (byte, parent, number) in [(1, 0, 1), (2, 1, 2), (3, 1, 2)] {
            leaves.import(block(byte, parent, number, 0));
        }
        let update = leaves.revert(&[hash(2)]);
        assert_eq!((started(&update), update.stopped), (vec![], vec![hash(2)]));
        leaves.finalize(hash(3), 2);
        assert!(leaves.revert(&[hash(3)]).is_empty(), "what is final stays");
    }

    #[test]
    fn ancestors_stay_within_the_session() {
        let (mut leaves, _) = Leaves::start(block(0, 9, 0, 0), []);
        leaves.import(block(1, 0, 1, 0));
        leaves.import(block(2, 1, 2, 1));
        let update = leaves.import(block(3, 2, 3, 1));
        assert_eq!(update.started[0].ancestors.as_ref(), [hash(2)]);
        let mut state = LeavesState::default();
        state.apply(&update);
        assert!(state.is_in_view(&hash(3), 0) && state.is_in_view(&hash(2), 1));
        assert!(!state.is_in_view(&hash(2), 0) && !state.is_in_view(&hash(1), 8));
    }

    #[test]
    fn catching_up_gives_what_single_updates_give() {
        let (mut leaves, first) = Leaves::start(block(0, 9, 0, 0), []);
        let mut seen = LeavesState::default();
        seen.apply(&first);
        let mut now = seen.clone();
        now.apply(&leaves.import(block(1, 0, 1, 0)));
        now.apply(&leaves.import(block(2, 1, 2, 0)));
        now.apply(&leaves.finalize(hash(1), 1));
        seen.apply(&RelayParents::catch_up(&seen.clone(), &now));
        assert_eq!(seen, now);
    }
}
