//! States of finalized blocks on disk, so that a start executes what came after the last ones and not the whole chain.
//!
//! | key | value |
//! |---|---|
//! | `chain/states/<number>-<hash>` | what the state has in parts; written last, so the parts are there |
//! | `chain/state-parts/<number>-<hash>-<part>` | a stretch of the snapshot's bytes |
//!
//! A snapshot spares time, and nothing depends on it: it is written beside the import, at its own pace, and what is
//! missing, damaged or of another chain is passed over at a start. What is taken has the state root of its block.
//!
//! **Limits**: [`SNAPSHOT_PERIOD`], [`SNAPSHOTS_KEPT`], [`SNAPSHOT_BYTES_MAX`], [`SNAPSHOT_PART_BYTES`].

use std::sync::Arc;

use bytes::Bytes;
use codec::{Decode, Encode};
use deterministic::{ComputeError, ComputeKind, compute};
use ports::StorageError;
use primitives::{BlockNumber, CandidateEvent, DecodeError, Hash, blake2_256, decode_limited};
use runtime::{SlotClaim, SnapshotError, State};

use crate::{
    chain::BlockData,
    storage::{Storage, StoredBlock, parse},
    tree::{FINALIZED_BLOCKS_KEPT, MAX_UNFINALIZED_DEPTH, NewBlock},
};

/// A snapshot is written when so many blocks have become final since the last one.
pub const SNAPSHOT_PERIOD: BlockNumber = 1024;
/// Snapshots kept, the newest: the last may be too new to start from ([`FINALIZED_BLOCKS_KEPT`]), or damaged.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Largest snapshot, in bytes: that of a larger state, which paras with huge codes could make, is not written.
pub const SNAPSHOT_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes of one part.
pub const SNAPSHOT_PART_BYTES: usize = 16 * 1024 * 1024;
/// Largest encoded head of a snapshot, in bytes.
const SNAPSHOT_HEAD_BYTES: usize = 64;
/// What a state is thought to take, in bytes, for the cost of making and reading it.
const SNAPSHOT_BYTES_EXPECTED: usize = 1024 * 1024;

// Between two snapshots there is room for all that may have to stay in the tree.
const _: () = assert!(SNAPSHOT_PERIOD as usize > FINALIZED_BLOCKS_KEPT && SNAPSHOT_PERIOD > MAX_UNFINALIZED_DEPTH);
const _: () = assert!(SNAPSHOT_BYTES_MAX.div_ceil(SNAPSHOT_PART_BYTES) <= PARTS_MAX as usize);
const PARTS_MAX: u32 = 64;

const HEADS: &str = "chain/states";
const PARTS: &str = "chain/state-parts";

/// Why a snapshot is not written or not taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotRefused {
    /// Its block is not on disk, or has no slot.
    #[error("its block is not on disk")]
    NoBlock,
    /// A part of it is not on disk.
    #[error("part {0} is not on disk")]
    MissingPart(u32),
    /// The parts are not what was written.
    #[error("checksum of the parts is {found:?}, expected {expected:?}")]
    Checksum {
        /// In the head.
        expected: Hash,
        /// Of the parts.
        found: Hash,
    },
    /// It is larger than [`SNAPSHOT_BYTES_MAX`].
    #[error("{found} bytes, at most {SNAPSHOT_BYTES_MAX} are written")]
    TooLarge {
        /// How large it is.
        found: usize,
    },
    /// It cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It is no state, or that of another block.
    #[error(transparent)]
    State(#[from] SnapshotError),
    /// The disk refuses.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It could not be made or read here.
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

/// What is written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Head {
    /// How many parts.
    parts: u32,
    /// Of all parts together.
    checksum: Hash,
}

/// What the parts hold.
#[derive(Encode, Decode)]
struct Body {
    set_id: u64,
    events: Vec<CandidateEvent>,
    state: Vec<u8>,
}

fn head_key(StoredBlock { number, hash }: StoredBlock) -> String {
    format!("{HEADS}/{number:010}-{hash}")
}

fn part_key(block: StoredBlock, part: u32) -> String {
    let StoredBlock { number, hash } = block;
    format!("{PARTS}/{number:010}-{hash}-{part:04}")
}

/// The snapshots on disk, oldest first.
pub(crate) async fn list(storage: &Storage) -> Result<Vec<StoredBlock>, StorageError> {
    let keys = storage.blobs.list(HEADS).await?;
    let named = keys.iter().filter_map(|key| parse(key));
    let mut found: Vec<_> =
        named.filter_map(|(number, hash)| Some(StoredBlock { number, hash: hash.parse().ok()? })).collect();
    found.sort();
    Ok(found)
}

/// Writes a snapshot of a finalized block, then removes what is kept no more.
pub(crate) async fn write(
    storage: &Storage,
    environment: &deterministic::Environment,
    block: StoredBlock,
    data: BlockData,
) -> Result<(), SnapshotRefused> {
    let make = move || {
        let body = Body { set_id: data.set_id, events: data.events.to_vec(), state: data.state.to_snapshot() };
        let bytes = Bytes::from(body.encode());
        (blake2_256(&bytes), bytes)
    };
    let (checksum, bytes) = compute(&*environment.compute, ComputeKind::Hash, SNAPSHOT_BYTES_EXPECTED, make).await?;
    if bytes.len() > SNAPSHOT_BYTES_MAX {
        return Err(SnapshotRefused::TooLarge { found: bytes.len() });
    }
    let mut parts = 0;
    for part in bytes.chunks(SNAPSHOT_PART_BYTES) {
        storage.blobs.put(&part_key(block, parts), bytes.slice_ref(part)).await?;
        parts += 1;
    }
    storage.blobs.put(&head_key(block), Head { parts, checksum }.encode().into()).await?;
    tidy(storage).await?;
    Ok(())
}

/// Removes old snapshots, heads first, and parts that no head names: a crash left them.
async fn tidy(storage: &Storage) -> Result<(), StorageError> {
    let mut kept = list(storage).await?;
    let old = kept.len().saturating_sub(SNAPSHOTS_KEPT);
    for block in kept.drain(..old) {
        storage.blobs.remove(&head_key(block)).await?;
    }
    for key in storage.blobs.list(PARTS).await? {
        if !kept.iter().any(|block| key.starts_with(&format!("{PARTS}/{:010}-{}-", block.number, block.hash))) {
            storage.blobs.remove(&key).await?;
        }
    }
    Ok(())
}

/// Reads the snapshot of a block: the block as the root of a tree.
pub(crate) async fn read(
    storage: &Storage,
    environment: &deterministic::Environment,
    stored: StoredBlock,
) -> Result<NewBlock<BlockData>, SnapshotRefused> {
    let block = storage.block(stored).await?.ok_or(SnapshotRefused::NoBlock)?;
    let claim = SlotClaim::from_digest(&block.header.digest).map_err(|_| SnapshotRefused::NoBlock)?;
    let Some(head) = storage.get::<Head>(&head_key(stored), SNAPSHOT_HEAD_BYTES).await? else {
        return Err(SnapshotRefused::MissingPart(0));
    };
    let mut bytes = Vec::new();
    for part in 0..head.parts.min(PARTS_MAX) {
        let found = storage.blobs.get(&part_key(stored, part)).await?;
        bytes.extend_from_slice(&found.ok_or(SnapshotRefused::MissingPart(part))?);
    }
    let root = block.header.state_root;
    let (found, expected) = (bytes.len(), head.checksum);
    let work = move || -> Result<_, SnapshotRefused> {
        let found = blake2_256(&bytes);
        if found != expected {
            return Err(SnapshotRefused::Checksum { expected, found });
        }
        let body: Body = decode_limited(&bytes, SNAPSHOT_BYTES_MAX)?;
        Ok((State::from_snapshot(&body.state, root)?, body.events, body.set_id))
    };
    let (state, events, set_id) = compute(&*environment.compute, ComputeKind::Hash, found, work).await??;
    let header = block.header.clone();
    let (state, events) = (Arc::new(state), events.into());
    let data = BlockData { block: Arc::new(block), state, events, set_id };
    // All forks have it, so that it does not matter with what right it was authored.
    Ok(NewBlock { hash: stored.hash, header, slot: claim.slot, author: claim.author, is_primary: false, data })
}

#[cfg(test)]
mod tests;
