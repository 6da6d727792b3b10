//! The chain on disk, over [`ports::BlobStore`]: what a `put` has acknowledged outlives any crash.
//!
//! | key | value |
//! |---|---|
//! | `chain/genesis` | hash of the genesis block: a disk belongs to one chain |
//! | `chain/blocks/<bucket>/<number>-<hash>` | a block, written before it enters the tree |
//! | `chain/justifications/<bucket>/<number>-<set>` | a proof of finality |
//! | `chain/finalized` | the newest proof; written last, so what it names is there |
//! | `chain/round` | the votes that completed the last round |
//! | `chain/votes` | what we vote in the rounds at hand, written before it is signed |
//!
//! States are stored now and then ([`crate::snapshots`]): a start executes the blocks after the last ones again.
//!
//! **Limits**: [`BLOCKS_PER_BUCKET`], [`BUCKETS_SEARCHED_MAX`]; one proof is kept per voter set and [`JUSTIFICATION_PERIOD`] blocks.

use std::{collections::BTreeMap, sync::Arc};

use codec::{Decode, Encode};
use ports::{BlobStore, StorageError};
use primitives::{BlockNumber, Hash, decode_limited};
use runtime::Block;

use crate::{
    justification::{Justification, MAX_JUSTIFICATION_BYTES, SignedVoteMessage, VoteMessage},
    messages::MAX_BLOCK_BYTES,
    tree::MAX_UNFINALIZED_DEPTH,
};

/// Heights whose blocks share a folder, so that no listing grows with the chain.
pub const BLOCKS_PER_BUCKET: BlockNumber = 1024;
/// Of several proofs of one voter set within so many heights the newest is kept: often enough for a node that catches
/// up to finalize before its tree is full.
pub const JUSTIFICATION_PERIOD: BlockNumber = 64;

/// Folders in which a block is looked for whose height is not known.
pub const BUCKETS_SEARCHED_MAX: BlockNumber = 1024;

const _: () = assert!(JUSTIFICATION_PERIOD * 3 <= MAX_UNFINALIZED_DEPTH);

const GENESIS: &str = "chain/genesis";
const FINALIZED: &str = "chain/finalized";
const ROUND: &str = "chain/round";
const VOTES: &str = "chain/votes";
const BLOCKS: &str = "chain/blocks";
const JUSTIFICATIONS: &str = "chain/justifications";

/// The last round that was completed, as it goes to disk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CompletedRound {
    /// The voter set.
    pub set_id: u64,
    /// The round.
    pub round: u64,
    /// The block that it began with.
    pub base: (Hash, BlockNumber),
    /// The highest block that may have become final in it, for all that was known when it was complete: votes of later
    /// rounds are for chains that hold it.
    pub estimate: (Hash, BlockNumber),
    /// Its votes.
    pub votes: Vec<SignedVoteMessage>,
}

/// A vote of ours, before it is signed: after a restart the same is said again, because the signing journal allows nothing
/// else and others may still wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OwnVote {
    /// The voter set.
    pub set_id: u64,
    /// The round.
    pub round: u64,
    /// What is said.
    pub message: VoteMessage,
}

/// A block's name on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredBlock {
    /// Its height.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: Hash,
}

/// The chain's part of a node's blobs.
#[derive(Clone)]
pub struct Storage {
    pub(crate) blobs: Arc<dyn BlobStore>,
}

impl Storage {
    /// Over a store of blobs.
    pub fn new(blobs: Arc<dyn BlobStore>) -> Self {
        Self { blobs }
    }

    pub(crate) async fn get<T: Decode>(&self, key: &str, limit: usize) -> Result<Option<T>, StorageError> {
        let Some(bytes) = self.blobs.get(key).await? else {
            return Ok(None);
        };
        let corrupt =
            |error: primitives::DecodeError| StorageError::Corrupt { key: key.into(), reason: error.to_string() };
        decode_limited(&bytes, limit).map(Some).map_err(corrupt)
    }

    /// Writes what [`Self::get`] reads with the same limit.
    async fn put<T: Encode>(&self, key: &str, value: &T, limit: usize) -> Result<(), StorageError> {
        let size = value.encoded_size();
        if size > limit {
            return Err(StorageError::TooLarge { what: key.into(), size, limit });
        }
        self.blobs.put(key, value.encode().into()).await
    }

    /// The chain that this disk belongs to; `None` on an empty disk.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn genesis(&self) -> Result<Option<Hash>, StorageError> {
        self.get(GENESIS, Hash::default().encoded_size()).await
    }

    /// Says which chain this disk belongs to.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put_genesis(&self, hash: Hash) -> Result<(), StorageError> {
        self.blobs.put(GENESIS, hash.encode().into()).await
    }

    /// Writes a block.
    ///
    /// # Errors
    /// Those of the store; [`StorageError::TooLarge`] for more than [`MAX_BLOCK_BYTES`], which could not be read again.
    pub async fn put_block(&self, hash: Hash, block: &Block) -> Result<(), StorageError> {
        let key = block_key(StoredBlock { number: block.header.number, hash });
        self.put(&key, block, MAX_BLOCK_BYTES).await
    }

    /// Reads a block; one whose header does not have the hash it is stored under is corrupt.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn block(&self, stored: StoredBlock) -> Result<Option<Block>, StorageError> {
        let key = block_key(stored);
        let block: Option<Block> = self.get(&key, MAX_BLOCK_BYTES).await?;
        match block {
            Some(block) if block.hash() != stored.hash => {
                Err(StorageError::Corrupt { key, reason: "the header has another hash".into() })
            }
            other => Ok(other),
        }
    }

    /// Whether a block is stored, without reading it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn has_block(&self, stored: StoredBlock) -> Result<bool, StorageError> {
        self.blobs.contains(&block_key(stored)).await
    }

    /// Looks for a block of which only the hash is known, from the folder of height `from` downwards: it costs a listing
    /// per [`BLOCKS_PER_BUCKET`] heights, at most [`BUCKETS_SEARCHED_MAX`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find_block(&self, from: BlockNumber, hash: &Hash) -> Result<Option<StoredBlock>, StorageError> {
        let wanted = hash.to_string();
        let newest = from / BLOCKS_PER_BUCKET;
        for bucket in (newest.saturating_sub(BUCKETS_SEARCHED_MAX - 1)..=newest).rev() {
            let keys = self.blobs.list(&folder(BLOCKS, bucket)).await?;
            let number = keys.iter().filter_map(|key| parse(key)).find(|(_, name)| *name == wanted);
            if let Some((number, _)) = number {
                return Ok(Some(StoredBlock { number, hash: *hash }));
            }
        }
        Ok(None)
    }

    /// Removes a block.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_block(&self, stored: StoredBlock) -> Result<(), StorageError> {
        self.blobs.remove(&block_key(stored)).await
    }

    /// The blocks stored at heights from `first` to `last`, in order of height.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn blocks(&self, first: BlockNumber, last: BlockNumber) -> Result<Vec<StoredBlock>, StorageError> {
        let mut found = Vec::new();
        for bucket in first / BLOCKS_PER_BUCKET..=last / BLOCKS_PER_BUCKET {
            for key in self.blobs.list(&folder(BLOCKS, bucket)).await? {
                let Some((number, hash)) = parse(&key) else { continue };
                if let Ok(hash) = hash.parse()
                    && (first..=last).contains(&number)
                {
                    found.push(StoredBlock { number, hash });
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The finalized blocks at heights from `first` to `last`, in order of height, found without the blocks of dead forks
    /// that a crash may have left beside them; `anchor` is a finalized block above `last`. Nothing if one is missing.
    ///
    /// Every height has its finalized block, so what is alone at its height is final; where several are, the parent hash
    /// of the one above decides. Whole blocks are read only there.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn finalized_blocks(
        &self,
        first: BlockNumber,
        last: BlockNumber,
        anchor: StoredBlock,
    ) -> Result<Vec<StoredBlock>, StorageError> {
        // A dead fork is no longer than that, so that a height with one block comes soon.
        let top = last.saturating_add(MAX_UNFINALIZED_DEPTH).min(anchor.number.saturating_sub(1));
        let mut heights: BTreeMap<BlockNumber, Vec<StoredBlock>> = BTreeMap::new();
        for stored in self.blocks(first, top).await? {
            heights.entry(stored.number).or_default().push(stored);
        }
        let alone = heights.range(last..).find_map(|(_, found)| <[_; 1]>::try_from(&found[..]).ok());
        let mut above = alone.map_or(anchor, |[stored]| stored);
        let mut path = Vec::new();
        if above.number <= last {
            path.push(above);
        }
        for number in (first..above.number).rev() {
            let candidates = heights.get(&number).map_or(&[][..], Vec::as_slice);
            let stored = match candidates {
                [stored] => Some(*stored),
                [] => None,
                several => {
                    let parent = self.block(above).await?.map(|block| block.header.parent_hash);
                    several.iter().copied().find(|stored| Some(stored.hash) == parent)
                }
            };
            let Some(stored) = stored else {
                tracing::error!(number, "a finalized block is not on disk");
                return Ok(Vec::new());
            };
            above = stored;
            if number <= last {
                path.push(stored);
            }
        }
        path.reverse();
        Ok(path)
    }

    /// Writes a proof of finality; the block that it names must be stored. Older proofs of the same set close by are
    /// removed.
    ///
    /// # Errors
    /// Those of the store; [`StorageError::TooLarge`] for more than [`MAX_JUSTIFICATION_BYTES`], which could not be read
    /// again: nothing is written then.
    pub async fn put_finalized(&self, justification: &Justification) -> Result<(), StorageError> {
        let (_, number) = justification.target();
        let key = justification_key(number, justification.set_id);
        self.put(&key, justification, MAX_JUSTIFICATION_BYTES).await?;
        self.put(FINALIZED, justification, MAX_JUSTIFICATION_BYTES).await?;
        let period = number / JUSTIFICATION_PERIOD * JUSTIFICATION_PERIOD;
        for (older, set_id) in self.justifications(period, number).await? {
            if older < number && set_id == justification.set_id {
                self.blobs.remove(&justification_key(older, set_id)).await?;
            }
        }
        Ok(())
    }

    /// The newest proof of finality; `None` while only genesis is final.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn finalized(&self) -> Result<Option<Justification>, StorageError> {
        self.get(FINALIZED, MAX_JUSTIFICATION_BYTES).await
    }

    /// Height and voter set of the proofs stored for heights from `first` to `last`, in order.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn justifications(
        &self,
        first: BlockNumber,
        last: BlockNumber,
    ) -> Result<Vec<(BlockNumber, u64)>, StorageError> {
        let mut found = Vec::new();
        for bucket in first / BLOCKS_PER_BUCKET..=last / BLOCKS_PER_BUCKET {
            for key in self.blobs.list(&folder(JUSTIFICATIONS, bucket)).await? {
                let Some((number, set_id)) = parse(&key) else { continue };
                if let Ok(set_id) = set_id.parse()
                    && (first..=last).contains(&number)
                {
                    found.push((number, set_id));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn justification(&self, number: BlockNumber, set_id: u64) -> Result<Option<Justification>, StorageError> {
        self.get(&justification_key(number, set_id), MAX_JUSTIFICATION_BYTES).await
    }

    /// Writes the last completed round.
    ///
    /// # Errors
    /// Those of the store; [`StorageError::TooLarge`] for more than [`MAX_JUSTIFICATION_BYTES`].
    pub async fn put_round(&self, round: &CompletedRound) -> Result<(), StorageError> {
        self.put(ROUND, round, MAX_JUSTIFICATION_BYTES).await
    }

    /// The last completed round; `None` before the first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn round(&self) -> Result<Option<CompletedRound>, StorageError> {
        self.get(ROUND, MAX_JUSTIFICATION_BYTES).await
    }

    /// Writes what we vote in the rounds at hand.
    ///
    /// # Errors
    /// Those of the store; [`StorageError::TooLarge`] for more than [`MAX_JUSTIFICATION_BYTES`].
    pub async fn put_votes(&self, votes: &[OwnVote]) -> Result<(), StorageError> {
        self.put(VOTES, &votes, MAX_JUSTIFICATION_BYTES).await
    }

    /// What we voted in the last rounds before the last end.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn votes(&self) -> Result<Vec<OwnVote>, StorageError> {
        Ok(self.get(VOTES, MAX_JUSTIFICATION_BYTES).await?.unwrap_or_default())
    }
}

fn folder(kind: &str, bucket: BlockNumber) -> String {
    format!("{kind}/{bucket:08}")
}

fn block_key(StoredBlock { number, hash }: StoredBlock) -> String {
    format!("{}/{number:010}-{hash}", folder(BLOCKS, number / BLOCKS_PER_BUCKET))
}

fn justification_key(number: BlockNumber, set_id: u64) -> String {
    format!("{}/{number:010}-{set_id}", folder(JUSTIFICATIONS, number / BLOCKS_PER_BUCKET))
}

/// Height and what follows it in a key's last part.
pub(crate) fn parse(key: &str) -> Option<(BlockNumber, &str)> {
    let (number, rest) = key.rsplit('/').next()?.split_once('-')?;
    Some((number.parse().ok()?, rest))
}
