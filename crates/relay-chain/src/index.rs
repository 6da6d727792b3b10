//! Where a finalized block is of which only the hash is known: its height, in the node's index.
//!
//! The tree answers for blocks that are young; this is for the older ones. It is filled as blocks become final, in batches,
//! and may lag, lose its newest batches in a crash, or be damaged: whatever it says is looked up in the files, what it does
//! not know is looked for there, and if that shows it wrong it is filled anew from genesis on.
//!
//! | key | value |
//! |---|---|
//! | `chain/number/` and a hash | the block's height |
//! | `chain/indexed` | the highest block that is in it with all its ancestors |
//!
//! **Limits**: [`INDEX_PERIOD`].

use std::sync::Arc;

use codec::{DecodeAll, Encode};
use deterministic::{ComputeKind, Environment};
use ports::{Index, IndexBatch, StorageError};
use primitives::{BlockNumber, Hash};

use crate::{
    storage::{BLOCKS_PER_BUCKET, Storage, StoredBlock},
    tree::FINALIZED_BLOCKS_KEPT,
};

/// Heights that become final before they are indexed together.
pub const INDEX_PERIOD: BlockNumber = 32;

// What leaves the tree is in the index.
const _: () = assert!((INDEX_PERIOD as usize) < FINALIZED_BLOCKS_KEPT);

const NUMBER: &[u8] = b"chain/number/";
const INDEXED: &[u8] = b"chain/indexed";

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
        if let Some(number) = self.number(hash).await {
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
    /// done the next time.
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
            let entry = |block: &StoredBlock| (number_key(block.hash), Some(block.number.encode()));
            let indexed = (INDEXED.to_vec(), Some((top.number, top.hash).encode()));
            if !self.commit(blocks.iter().map(entry).chain([indexed]).collect()).await {
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
        (self.number(hash).await == Some(number)).then_some(StoredBlock { number, hash })
    }

    async fn number(&self, hash: Hash) -> Option<BlockNumber> {
        let bytes = self.get(number_key(hash)).await?;
        BlockNumber::decode_all(&mut &bytes[..]).ok()
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

fn number_key(hash: Hash) -> Vec<u8> {
    [NUMBER, hash.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
