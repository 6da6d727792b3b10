//! The block tree: forks above the finalized block, a short tail of finalized ancestors below it. Pure.
//!
//! **Fork choice**, among the blocks that descend from the finalized one: the highest number wins; of equal height the
//! chain with more primary slots since genesis; of those the lowest hash. Every node that knows the same blocks chooses
//! the same head, in whatever order they came. A block that was given up ([`Tree::give_up`]), and all that descends from
//! it, is no head and no leaf, however high it is.
//!
//! **A full tree** makes room by dropping a leaf off the best chain: of the author who has the most blocks there, the
//! lightest. What is higher than the best block always gets room, so that the best chain goes on whoever fills the tree
//! with blocks of turns long past; anything else only if its author has less there by two blocks, so that shares even
//! out and nothing is dropped and taken again for ever.
//!
//! **Limits**: [`MAX_UNFINALIZED_BLOCKS`], [`MAX_UNFINALIZED_DEPTH`], [`FINALIZED_BLOCKS_KEPT`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use primitives::{BlockNumber, Hash, Header, Slot, ValidatorIndex};

/// Blocks above the finalized one, on all forks together. From then on one goes for each that comes.
pub const MAX_UNFINALIZED_BLOCKS: usize = 1024;
/// How far a chain may run ahead of finality, in blocks. Authors stop there.
pub const MAX_UNFINALIZED_DEPTH: u32 = 256;
/// Finalized blocks, the newest ones, that stay in the tree with their states: work may still refer to them.
pub const FINALIZED_BLOCKS_KEPT: usize = 64;

// So a full tree always has a leaf off the best chain that is not the parent of what comes.
const _: () = assert!(MAX_UNFINALIZED_BLOCKS > 2 * MAX_UNFINALIZED_DEPTH as usize);

/// Why the tree does not take a block, or does not finalize one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// It is in the tree.
    #[error("block {0:?} is known")]
    Known(Hash),
    /// Its parent is not in the tree.
    #[error("parent {parent:?} of block {block:?} is not known")]
    UnknownParent {
        /// The block.
        block: Hash,
        /// Its parent.
        parent: Hash,
    },
    /// It forks off below the finalized block.
    #[error("block {0:?} does not descend from the finalized block")]
    Stale(Hash),
    /// Its number is not its parent's plus one.
    #[error("block {block:?} has number {found}, expected {expected}")]
    Number {
        /// The block.
        block: Hash,
        /// Its number.
        found: BlockNumber,
        /// What its parent makes of it.
        expected: BlockNumber,
    },
    /// Its slot is not after its parent's.
    #[error("block {block:?} is of slot {found}, its parent of slot {parent}")]
    Slot {
        /// The block.
        block: Hash,
        /// Its slot.
        found: Slot,
        /// Its parent's slot.
        parent: Slot,
    },
    /// [`MAX_UNFINALIZED_DEPTH`] is reached, or [`MAX_UNFINALIZED_BLOCKS`] and nothing goes for this one.
    #[error("no room for block {0:?}: finality is too far behind")]
    Full(Hash),
    /// It is not in the tree.
    #[error("block {0:?} is not known")]
    Unknown(Hash),
}

/// A block in the tree.
#[derive(Clone, Debug)]
pub struct Entry<D> {
    /// Its header.
    pub header: Header,
    /// Its slot.
    pub slot: Slot,
    /// Who authored it, in its session.
    pub author: ValidatorIndex,
    /// Blocks of primary slots on its chain since genesis, with itself.
    pub primaries: u64,
    /// Whether it, or an ancestor, was given up: nothing is to be built on it.
    pub is_given_up: bool,
    /// What else is kept with it, such as its state.
    pub data: D,
}

/// What is known of a block before it enters.
#[derive(Clone, Debug)]
pub struct NewBlock<D> {
    /// Its hash.
    pub hash: Hash,
    /// Its header.
    pub header: Header,
    /// Its slot.
    pub slot: Slot,
    /// Who authored it, in its session.
    pub author: ValidatorIndex,
    /// Whether its author won the slot by lot.
    pub is_primary: bool,
    /// What is kept with it.
    pub data: D,
}

/// What a finalization did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finalized {
    /// The blocks that became final, oldest first.
    pub newly: Vec<(BlockNumber, Hash)>,
    /// Heads of the forks that died.
    pub stale_heads: Vec<Hash>,
    /// All blocks of those forks; they are no longer in the tree.
    pub removed: Vec<(BlockNumber, Hash)>,
    /// Of the blocks that became final, those that were given up: what is final stays, and people must be told.
    pub overruled: Vec<(BlockNumber, Hash)>,
}

/// The tree.
#[derive(Clone, Debug)]
pub struct Tree<D> {
    blocks: BTreeMap<Hash, Entry<D>>,
    /// Children above the finalized block.
    children: BTreeMap<Hash, BTreeSet<Hash>>,
    /// Finalized blocks in the tree, oldest first; the last is the finalized one.
    finalized: VecDeque<Hash>,
    /// The first blocks of forks that were given up, above the finalized block.
    given_up: BTreeSet<Hash>,
    best: Hash,
}

impl<D> Tree<D> {
    /// A tree of one finalized block.
    pub fn new(root: NewBlock<D>) -> Self {
        let NewBlock { hash, header, slot, author, is_primary, data } = root;
        let entry = Entry { header, slot, author, primaries: u64::from(is_primary), is_given_up: false, data };
        Self {
            blocks: BTreeMap::from([(hash, entry)]),
            children: BTreeMap::new(),
            finalized: VecDeque::from([hash]),
            given_up: BTreeSet::new(),
            best: hash,
        }
    }

    /// A block.
    pub fn get(&self, hash: &Hash) -> Option<&Entry<D>> {
        self.blocks.get(hash)
    }

    /// Whether a block is in the tree.
    pub fn contains(&self, hash: &Hash) -> bool {
        self.blocks.contains_key(hash)
    }

    /// All blocks.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<D>> {
        self.blocks.values()
    }

    /// The head of the best chain.
    pub fn best(&self) -> (Hash, &Entry<D>) {
        (self.best, self.known(&self.best))
    }

    /// The finalized block.
    pub fn finalized(&self) -> (Hash, &Entry<D>) {
        let hash = *self.finalized.back().expect("the finalized block is never dropped");
        (hash, self.known(&hash))
    }

    /// The oldest block in the tree, a finalized one.
    pub fn oldest(&self) -> (Hash, &Entry<D>) {
        let hash = *self.finalized.front().expect("the finalized block is never dropped");
        (hash, self.known(&hash))
    }

    /// Blocks above the finalized one.
    pub fn unfinalized(&self) -> usize {
        self.blocks.len() - self.finalized.len()
    }

    fn known(&self, hash: &Hash) -> &Entry<D> {
        self.blocks.get(hash).expect("best and finalized blocks are in the tree")
    }

    /// By what heads compare: the greatest is the best.
    fn weight(&self, hash: &Hash) -> (BlockNumber, u64, Reverse<Hash>) {
        let entry = self.known(hash);
        (entry.header.number, entry.primaries, Reverse(*hash))
    }

    /// Whether a block could enter; all that can be said of it without its state.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(&self, hash: Hash, header: &Header, slot: Slot, author: ValidatorIndex) -> Result<(), TreeError> {
        if self.contains(&hash) {
            return Err(TreeError::Known(hash));
        }
        let (finalized_hash, finalized) = self.finalized();
        if header.number <= finalized.header.number {
            return Err(TreeError::Stale(hash));
        }
        let parent_hash = header.parent_hash;
        let Some(parent) = self.get(&parent_hash) else {
            return Err(TreeError::UnknownParent { block: hash, parent: parent_hash });
        };
        if parent.header.number.checked_add(1) != Some(header.number) {
            let expected = parent.header.number.saturating_add(1);
            return Err(TreeError::Number { block: hash, found: header.number, expected });
        }
        if parent.header.number == finalized.header.number && parent_hash != finalized_hash {
            return Err(TreeError::Stale(hash));
        }
        if slot <= parent.slot {
            return Err(TreeError::Slot { block: hash, found: slot, parent: parent.slot });
        }
        let depth = header.number - finalized.header.number;
        if depth > MAX_UNFINALIZED_DEPTH || (self.is_full() && self.goes_for(header, author).is_none()) {
            return Err(TreeError::Full(hash));
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.unfinalized() >= MAX_UNFINALIZED_BLOCKS
    }

    /// Which leaf a full tree drops for a block; `None` if the block has no more right to a place.
    fn goes_for(&self, header: &Header, author: ValidatorIndex) -> Option<Hash> {
        let finalized = self.finalized().0;
        let mut best_chain = BTreeSet::from([self.best]);
        best_chain.extend(self.ancestry(&finalized, &self.best).unwrap_or_default());
        let floor = self.known(&finalized).header.number;
        let others =
            || self.blocks.iter().filter(|(hash, entry)| entry.header.number > floor && !best_chain.contains(*hash));
        let mut shares: BTreeMap<ValidatorIndex, usize> = BTreeMap::new();
        for (_, entry) in others() {
            *shares.entry(entry.author).or_default() += 1;
        }
        let share = |author| shares.get(author).copied().unwrap_or_default();
        let (leaf, entry) = others()
            .filter(|(hash, _)| !self.has_child(hash) && **hash != header.parent_hash)
            .max_by_key(|(hash, entry)| (share(&entry.author), Reverse(self.weight(hash))))?;
        let is_built_on_given_up = self.get(&header.parent_hash).is_some_and(|parent| parent.is_given_up);
        let is_higher = !is_built_on_given_up && header.number > self.best().1.header.number;
        (is_higher || share(&entry.author) > share(&author) + 1).then_some(*leaf)
    }

    /// Drops a leaf that is not on the best chain.
    fn drop_leaf(&mut self, leaf: Hash) -> Option<(BlockNumber, Hash)> {
        let Header { number, parent_hash, .. } = self.blocks.remove(&leaf)?.header;
        if let Some(siblings) = self.children.get_mut(&parent_hash) {
            siblings.remove(&leaf);
            if siblings.is_empty() {
                self.children.remove(&parent_hash);
            }
        }
        self.given_up.remove(&leaf);
        Some((number, leaf))
    }

    /// Whether something is built on a block; always false below the finalized one.
    pub fn has_child(&self, hash: &Hash) -> bool {
        self.children.contains_key(hash)
    }

    /// Adds a block. Returns what was dropped to make room for it.
    ///
    /// # Errors
    /// Those of [`Self::check`]; the tree is unchanged then.
    pub fn insert(&mut self, block: NewBlock<D>) -> Result<Option<(BlockNumber, Hash)>, TreeError> {
        let NewBlock { hash, header, slot, author, is_primary, data } = block;
        self.check(hash, &header, slot, author)?;
        let leaf = self.is_full().then(|| self.goes_for(&header, author)).flatten();
        let dropped = leaf.and_then(|leaf| self.drop_leaf(leaf));
        let parent = header.parent_hash;
        let Entry { primaries, is_given_up, .. } = *self.known(&parent);
        let primaries = primaries + u64::from(is_primary);
        self.blocks.insert(hash, Entry { header, slot, author, primaries, is_given_up, data });
        self.children.entry(parent).or_default().insert(hash);
        if !is_given_up && self.weight(&hash) > self.weight(&self.best) {
            self.best = hash;
        }
        Ok(dropped)
    }

    /// Gives up a block and all that descends from it, now or later: its fork is to be left. Returns whether the best
    /// block is another one now. A finalized block is never given up, nor one that is not in the tree.
    pub fn give_up(&mut self, hash: &Hash) -> bool {
        let floor = self.finalized().1.header.number;
        if self.get(hash).is_none_or(|entry| entry.header.number <= floor || entry.is_given_up) {
            return false;
        }
        self.given_up.insert(*hash);
        for hash in self.descendants(*hash) {
            if let Some(entry) = self.blocks.get_mut(&hash) {
                entry.is_given_up = true;
            }
        }
        let before = self.best;
        if self.known(&before).is_given_up {
            self.best = self.leaves().first().copied().unwrap_or(before);
        }
        self.best != before
    }

    /// Heads of all forks above the finalized block (which is one itself if nothing descends from it), best first.
    pub fn leaves(&self) -> Vec<Hash> {
        let (finalized, entry) = self.finalized();
        let floor = entry.header.number;
        let mut leaves: Vec<Hash> = self
            .blocks
            .iter()
            .filter(|(hash, entry)| entry.header.number > floor && !entry.is_given_up && !self.is_built_on(hash))
            .map(|(hash, _)| *hash)
            .collect();
        if leaves.is_empty() {
            leaves.push(finalized);
        }
        leaves.sort_by_key(|hash| Reverse(self.weight(hash)));
        leaves
    }

    /// The best head that is like this.
    pub fn best_where(&self, wanted: impl Fn(&Entry<D>) -> bool) -> Option<(Hash, &Entry<D>)> {
        let best = self.best();
        if wanted(best.1) {
            return Some(best);
        }
        self.leaves().into_iter().map(|leaf| (leaf, self.known(&leaf))).find(|(_, entry)| wanted(entry))
    }

    /// Whether something that was not given up is built on a block.
    fn is_built_on(&self, hash: &Hash) -> bool {
        let children = self.children.get(hash);
        children.is_some_and(|children| children.iter().any(|child| !self.known(child).is_given_up))
    }

    /// The best head that descends from `base` (or is it); `None` if `base` is unknown or its chain died.
    pub fn best_containing(&self, base: &Hash) -> Option<Hash> {
        if self.is_descendant_or_equal(base, &self.best) {
            return Some(self.best);
        }
        self.leaves().into_iter().find(|leaf| self.is_descendant_or_equal(base, leaf))
    }

    /// The ancestors of `block` down to `base`, without both, the parent of `block` first; `None` unless `block`
    /// strictly descends from `base`.
    pub fn ancestry(&self, base: &Hash, block: &Hash) -> Option<Vec<Hash>> {
        let floor = self.get(base)?.header.number;
        let mut between = Vec::new();
        let mut current = self.get(block)?;
        while current.header.number > floor {
            let parent = current.header.parent_hash;
            if parent == *base {
                return Some(between);
            }
            between.push(parent);
            current = self.get(&parent)?;
        }
        None
    }

    /// Whether `block` is `base` or descends from it.
    pub fn is_descendant_or_equal(&self, base: &Hash, block: &Hash) -> bool {
        (base == block && self.contains(base)) || self.ancestry(base, block).is_some()
    }

    /// The ancestor of `block` at a height, or `block` itself; `None` above it and below the oldest block kept.
    pub fn ancestor_at(&self, block: &Hash, number: BlockNumber) -> Option<Hash> {
        let mut hash = *block;
        loop {
            let entry = self.get(&hash)?;
            match entry.header.number.cmp(&number) {
                std::cmp::Ordering::Less => return None,
                std::cmp::Ordering::Equal => return Some(hash),
                std::cmp::Ordering::Greater => hash = entry.header.parent_hash,
            }
        }
    }

    /// Makes a block and its ancestors final, drops every fork that does not descend from it, and forgets finalized
    /// blocks beyond [`FINALIZED_BLOCKS_KEPT`].
    ///
    /// # Errors
    /// [`TreeError::Unknown`]; [`TreeError::Stale`] if it is not above the finalized block. The tree is unchanged then.
    pub fn finalize(&mut self, hash: Hash) -> Result<Finalized, TreeError> {
        let number = self.get(&hash).ok_or(TreeError::Unknown(hash))?.header.number;
        let (old, _) = self.finalized();
        let mut newly = self.ancestry(&old, &hash).ok_or(TreeError::Stale(hash))?;
        newly.reverse();
        newly.push(hash);
        let mut done = Finalized::default();
        for hash in newly {
            let entry = self.known(&hash);
            let named = (entry.header.number, hash);
            if entry.is_given_up {
                done.overruled.push(named);
            }
            done.newly.push(named);
            self.finalized.push_back(hash);
        }
        let alive = self.descendants(hash);
        let doomed: Vec<(BlockNumber, Hash)> = self
            .blocks
            .iter()
            .filter(|(hash, _)| !alive.contains(*hash) && !self.finalized.contains(*hash))
            .map(|(hash, entry)| (entry.header.number, *hash))
            .collect();
        for (_, hash) in &doomed {
            if !self.children.contains_key(hash) {
                done.stale_heads.push(*hash);
            }
        }
        for (_, hash) in &doomed {
            self.blocks.remove(hash);
        }
        done.removed = doomed;
        self.children.retain(|parent, _| alive.contains(parent));
        self.given_up.retain(|bad| *bad != hash && alive.contains(bad));
        if !done.overruled.is_empty() {
            self.take_up(&done.overruled, hash);
        }
        while self.finalized.len() > FINALIZED_BLOCKS_KEPT {
            if let Some(oldest) = self.finalized.pop_front() {
                self.blocks.remove(&oldest);
            }
        }
        if !alive.contains(&self.best) {
            self.best = self.leaves().first().copied().unwrap_or(hash);
        }
        debug_assert!(self.known(&self.best).header.number >= number);
        Ok(done)
    }

    /// What was given up is final: it counts again, with what descends from it and was not given up by itself.
    fn take_up(&mut self, overruled: &[(BlockNumber, Hash)], last: Hash) {
        let mut open: Vec<Hash> = self.children.get(&last).into_iter().flatten().copied().collect();
        for hash in overruled.iter().map(|(_, hash)| *hash).chain([last]) {
            if let Some(entry) = self.blocks.get_mut(&hash) {
                entry.is_given_up = false;
            }
        }
        while let Some(hash) = open.pop() {
            if self.given_up.contains(&hash) {
                continue;
            }
            if let Some(entry) = self.blocks.get_mut(&hash) {
                entry.is_given_up = false;
            }
            open.extend(self.children.get(&hash).into_iter().flatten().copied());
        }
        self.best = self.leaves().first().copied().unwrap_or(last);
    }

    /// A block with all that descends from it.
    fn descendants(&self, root: Hash) -> BTreeSet<Hash> {
        let mut found = BTreeSet::new();
        let mut open = vec![root];
        while let Some(hash) = open.pop() {
            if found.insert(hash) {
                open.extend(self.children.get(&hash).into_iter().flatten().copied());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
