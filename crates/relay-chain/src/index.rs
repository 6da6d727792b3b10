//! Where a finalized block is of which only the hash is known: its height, in the node's index.
//!
//! The tree answers for blocks that are young; this is for the older ones. It is filled as blocks become final, in batches,
//! and may lag, lose its newest batches in a crash, or be damaged: whatever it says is looked up in the files, what it does
//! not know is looked for there, and if that shows it wrong it is filled anew from genesis on.
//!
//! | key | value |
//! |---|---|
//! | `chain/heights/` and 12 bits of a hash | of all blocks with these bits, 32 others and the height, as they became final |
//! | `chain/indexed` | the highest block that is in it with all its ancestors |
//!
//! A key per block would be simpler, but sled holds something in memory for each of its pages, which would grow with the
//! chain for as long as the node runs. Nor is a whole hash kept: the name of the file has it.
//!
//! **Limits**: [`INDEX_PERIOD`], [`BLOCKS_PER_KEY_MAX`].

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use codec::{DecodeAll, Encode};
use deterministic::{ComputeKind, Environment};
use ports::{Index, IndexBatch, MAX_INDEX_VALUE_BYTES, StorageError};
use primitives::{BlockNumber, Hash};

use crate::{
    storage::{BLOCKS_PER_BUCKET, Storage, StoredBlock},
    tree::FINALIZED_BLOCKS_KEPT,
};

/// Heights that become final before they are indexed together.
pub const INDEX_PERIOD: BlockNumber = 32;

/// Blocks under one key, the newest: enough for thirty million in all. Older ones are searched for in the files.
pub const BLOCKS_PER_KEY_MAX: usize = 8_000;

// A value has its length and eight bytes per block.
const _: () = assert!(BLOCKS_PER_KEY_MAX * size_of::<Height>() + size_of::<u32>() <= MAX_INDEX_VALUE_BYTES);
// What leaves the tree is in the index.
const _: () = assert!((INDEX_PERIOD as usize) < FINALIZED_BLOCKS_KEPT);

const HEIGHTS: &[u8] = b"chain/heights/";
const INDEXED: &[u8] = b"chain/indexed";

/// Some other bits of a block's hash, and its height.
type Height = ([u8; 4], BlockNumber);

/// Keys of heights.
const KEYS: u16 = 1 << 12;

fn key(index: u16) -> Vec<u8> {
    [HEIGHTS, &index.to_be_bytes()].concat()
}

/// Under which key a block's height stands, and beside which bits.
fn place(hash: Hash) -> (Vec<u8>, [u8; 4]) {
    let [first, second, third, fourth, fifth, sixth, ..] = hash.0;
    (key(u16::from_be_bytes([first, second]) % KEYS), [third, fourth, fifth, sixth])
}

/// The chain's part of a node's index.
pub(crate) struct BlockIndex {
    index: Arc<dyn Index>,
    environment: Environment,
}

impl BlockIndex {
    pub(crate) fn new(index: Arc<dyn Index>, environment: Environment) -> Self {
        Self { index, environment }
    }

    /// Looks for a finalized block below `oldest`, itself final. One that is indexed costs a look at its file; any other,
    /// also one that does not exist, a search of the folders.
    ///
    /// # Errors
    /// Those of the files: the index is not needed.
    pub(crate) async fn find(
        &self,
        storage: &Storage,
        oldest: StoredBlock,
        hash: Hash,
    ) -> Result<Option<StoredBlock>, StorageError> {
        for number in self.heights(hash).await {
            let indexed = StoredBlock { number, hash };
            if number < oldest.number && storage.has_block(indexed).await? {
                return Ok(Some(indexed));
            }
        }
        let found = storage.find_block(oldest.number, &hash).await?;
        let Some(found) = found.filter(|found| found.number < oldest.number) else {
            return Ok(None);
        };
        // Beside a finalized block one of a dead fork may have been left.
        let finalized = storage.finalized_blocks(found.number, found.number, oldest).await?;
        if !finalized.contains(&found) {
            return Ok(None);
        }
        if self.indexed().await.is_some_and(|top| found.number <= top.number) {
            tracing::warn!(number = found.number, ?hash, "a block is not where the index says; the index is rebuilt");
            self.commit(vec![(INDEXED.to_vec(), None)]).await;
        }
        Ok(Some(found))
    }

    /// Takes in what has become final, if that is enough for a batch: one per folder of blocks. What cannot be done now is
    /// done the next time. Blocks of dead forks that a crash left beside are removed first, so that what is stored at an
    /// indexed height is final.
    ///
    /// # Cancel safety
    /// It goes on the next time where it was left.
    pub(crate) async fn extend(&self, storage: &Storage, finalized: StoredBlock) {
        let top = self.indexed().await.filter(|top| top.number < finalized.number);
        let mut next = top.map_or(0, |top| top.number.saturating_add(1));
        while next.saturating_add(INDEX_PERIOD) <= finalized.number {
            let last = (next | (BLOCKS_PER_BUCKET - 1)).min(finalized.number - 1);
            let blocks = match storage.finalized_blocks(next, last, finalized).await {
                Ok(blocks) => blocks,
                Err(error) => return tracing::warn!(%error, "finalized blocks cannot be indexed"),
            };
            let Some(top) = blocks.last() else { return };
            if let Err(error) = remove_others(storage, next, last, &blocks).await {
                return tracing::warn!(%error, "cannot remove a block of a dead fork");
            }
            let mut changed = BTreeMap::new();
            if next == 0 {
                // Whatever is there is not to be believed.
                changed.extend((0..KEYS).map(|index| (key(index), Vec::new())));
            }
            for block in &blocks {
                let (key, bits) = place(block.hash);
                let heights = match changed.entry(key) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(vacant) => {
                        let known = self.heights_at(vacant.key().clone()).await;
                        vacant.insert(known)
                    }
                };
                heights.push((bits, block.number));
            }
            let value = |mut heights: Vec<Height>| {
                heights.drain(..heights.len().saturating_sub(BLOCKS_PER_KEY_MAX));
                (!heights.is_empty()).then(|| heights.encode())
            };
            let changed = changed.into_iter().map(|(key, heights)| (key, value(heights)));
            let indexed = (INDEXED.to_vec(), Some((top.number, top.hash).encode()));
            if !self.commit(changed.chain([indexed]).collect()).await {
                return;
            }
            next = last.saturating_add(1);
            // A rebuild is long: others have their turn.
            self.environment.clock.sleep(std::time::Duration::ZERO).await;
        }
    }

    /// The highest block that is indexed with all its ancestors; `None` also if the index contradicts itself.
    async fn indexed(&self) -> Option<StoredBlock> {
        let bytes = self.get(INDEXED.to_vec()).await?;
        let (number, hash) = DecodeAll::decode_all(&mut &bytes[..]).ok()?;
        self.heights(hash).await.contains(&number).then_some(StoredBlock { number, hash })
    }

    /// The heights at which a block may be.
    async fn heights(&self, hash: Hash) -> Vec<BlockNumber> {
        let (key, wanted) = place(hash);
        let heights = self.heights_at(key).await.into_iter();
        heights.filter(|(bits, _)| *bits == wanted).map(|(_, number)| number).collect()
    }

    /// In the order in which they were written; nothing if it cannot be read.
    async fn heights_at(&self, key: Vec<u8>) -> Vec<Height> {
        let bytes = self.get(key).await.unwrap_or_default();
        DecodeAll::decode_all(&mut &bytes[..]).unwrap_or_default()
    }

    async fn get(&self, key: Vec<u8>) -> Option<Vec<u8>> {
        self.on_disk(move |index| index.get(&key)).await.flatten()
    }

    /// Whether it was done.
    async fn commit(&self, operations: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> bool {
        self.on_disk(move |index| index.commit(IndexBatch { operations })).await.is_some()
    }

    /// What an index cannot do is said, and done without.
    async fn on_disk<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Index) -> Result<T, StorageError> + Send + 'static,
    ) -> Option<T> {
        let index = self.index.clone();
        let called = deterministic::compute(&*self.environment.compute, ComputeKind::Disk, 0, move || call(&*index));
        let failed = match called.await {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(error = failed, "the index of blocks fails; the files are searched");
        None
    }
}

/// Removes the blocks at heights from `first` to `last` that are not `kept`.
async fn remove_others(
    storage: &Storage,
    first: BlockNumber,
    last: BlockNumber,
    kept: &[StoredBlock],
) -> Result<(), StorageError> {
    let stored = storage.blocks(first, last).await?;
    for other in stored.into_iter().filter(|stored| kept.binary_search(stored).is_err()) {
        storage.remove_block(other).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
