//! Starting from disk: the chain is executed again from a stored state on, the finalized part first.
//!
//! Nothing but blocks, proofs and states is believed to be on disk; blocks only with the hash that they are stored
//! under, and a state only with the root in its block, which the last finalized one descends from. The newest state is
//! taken from which on enough blocks are left to be kept, else an older or newer one, else the genesis. Signatures in
//! blocks were verified before they were written and are not verified again.

use std::{collections::BTreeSet, sync::Arc};

use deterministic::Environment;
use ports::StorageError;
use primitives::{BlockNumber, Hash, ValidatorIndex};
use runtime::{Block, Genesis, State, genesis as first_state};

use crate::{
    Error, ImportError,
    chain::BlockData,
    import::replay,
    justification::Justification,
    reverts::{Condemned, judge},
    slots::SlotContext,
    snapshots,
    storage::{CompletedRound, OwnVote, Storage, StoredBlock},
    tree::{FINALIZED_BLOCKS_KEPT, MAX_UNFINALIZED_DEPTH, NewBlock, Tree},
};

/// How many blocks are executed between two chances for other tasks to run.
const BLOCKS_PER_STEP: BlockNumber = 16;

/// What the disk holds.
pub(crate) struct Loaded {
    pub(crate) genesis: Hash,
    pub(crate) tree: Tree<BlockData>,
    pub(crate) condemned: Condemned,
    pub(crate) finalized: Option<Justification>,
    pub(crate) round: Option<CompletedRound>,
    pub(crate) votes: Vec<OwnVote>,
    /// Height of the newest stored state, 0 if there is none.
    pub(crate) newest_snapshot: BlockNumber,
}

/// The tree with only the genesis block.
fn root(genesis: &Genesis) -> Result<(Hash, Tree<BlockData>), Error> {
    let (state, header) = first_state(genesis)?;
    let hash = header.hash();
    let block = Arc::new(Block { header: header.clone(), extrinsics: Vec::new() });
    let data = BlockData { block, state: Arc::new(state), events: Arc::new([]), set_id: 0 };
    Ok((hash, Tree::new(NewBlock { hash, header, slot: 0, author: ValidatorIndex(0), is_primary: false, data })))
}

/// Reads the disk, or marks an empty one as this chain's.
pub(crate) async fn load(
    storage: &Storage,
    environment: &Environment,
    genesis: &Genesis,
    forks_per_million: u32,
) -> Result<Loaded, Error> {
    let (hash, mut tree) = root(genesis)?;
    match storage.genesis().await? {
        Some(found) if found != hash => return Err(Error::ForeignChain { expected: hash, found }),
        Some(_) => {}
        None => {
            let genesis = tree.finalized().1.data.block.clone();
            storage.put_block(hash, &genesis).await?;
            storage.put_genesis(hash).await?;
        }
    }
    let finalized = storage.finalized().await?;
    let context = Context { genesis: hash, forks_per_million };
    let (mut height, mut newest_snapshot) = (0, 0);
    if let Some(proof) = &finalized {
        let (target, number) = proof.target();
        height = number;
        let mut path = Path::ending_at(StoredBlock { number, hash: target });
        if let Some(root) = stored_root(storage, environment, &mut path, &mut newest_snapshot).await? {
            tree = Tree::new(root);
        }
        let base = tree.finalized().1.header.number;
        path.extend_to(storage, base).await?;
        for stored in path.above(base) {
            let block = storage.block(stored).await?.ok_or(Error::MissingBlock { number: stored.number })?;
            let replayed = replay(&tree, block, stored.hash, None);
            let new = replayed.map_err(|source| Error::Replay { number: stored.number, source: Box::new(source) })?;
            let entered = tree.insert(new).map_err(ImportError::from);
            let finalized = entered.and_then(|_| Ok(tree.finalize(stored.hash)?));
            finalized.map_err(|source| Error::Replay { number: stored.number, source: Box::new(source) })?;
            if stored.number.is_multiple_of(BLOCKS_PER_STEP) {
                environment.clock.sleep(std::time::Duration::ZERO).await;
            }
        }
        remove_dead(storage, &path, base, height).await?;
    }
    let condemned = take_unfinalized(storage, &mut tree, height, &context).await?;
    // Without the round, or what we voted in it, we begin anew and are silent where the signing journal knows better.
    let round = unless_damaged(storage.round().await)?.flatten();
    let votes = unless_damaged(storage.votes().await)?.unwrap_or_default();
    Ok(Loaded { genesis: hash, tree, condemned, finalized, round, votes, newest_snapshot })
}

/// What can be done without is `None` if it is damaged.
fn unless_damaged<T>(read: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error @ StorageError::Corrupt { .. }) => {
            tracing::warn!(%error, "going on without it");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

struct Context {
    genesis: Hash,
    forks_per_million: u32,
}

impl Context {
    fn at<'a>(&self, state: &'a State) -> SlotContext<'a> {
        SlotContext {
            genesis: self.genesis,
            randomness: state.randomness(),
            session: state.session_index(),
            validators: state.validators(),
            forks_per_million: self.forks_per_million,
        }
    }
}

/// The names of the finalized blocks, found from the last one back, as far as was needed.
struct Path {
    /// The newest first, without gaps.
    blocks: Vec<StoredBlock>,
    /// The parent of the last of them.
    next: StoredBlock,
}

impl Path {
    fn ending_at(last: StoredBlock) -> Self {
        Self { blocks: Vec::new(), next: last }
    }

    /// Goes back until the parent of the oldest name is of height `number`, or lower.
    async fn extend_to(&mut self, storage: &Storage, number: BlockNumber) -> Result<(), Error> {
        while self.next.number > number {
            let stored = self.next;
            let block = storage.block(stored).await?.ok_or(Error::MissingBlock { number: stored.number })?;
            self.blocks.push(stored);
            self.next = StoredBlock { number: stored.number - 1, hash: block.header.parent_hash };
        }
        Ok(())
    }

    fn contains(&self, stored: StoredBlock) -> bool {
        self.next == stored || self.blocks.contains(&stored)
    }

    /// Those above a height, oldest first.
    fn above(&self, number: BlockNumber) -> impl Iterator<Item = StoredBlock> {
        self.blocks.iter().rev().copied().filter(move |stored| stored.number > number)
    }
}

/// The block to start from, with its stored state; `None` for the genesis.
async fn stored_root(
    storage: &Storage,
    environment: &Environment,
    path: &mut Path,
    newest: &mut BlockNumber,
) -> Result<Option<NewBlock<BlockData>>, Error> {
    let last = path.next.number;
    let mut found = snapshots::list(storage).await?;
    found.retain(|stored| stored.number <= last);
    *newest = found.last().map_or(0, |stored| stored.number);
    // The newest first, but those behind which too few blocks would be left come last.
    found.sort_by_key(|stored| {
        let is_deep = last - stored.number >= FINALIZED_BLOCKS_KEPT as BlockNumber;
        std::cmp::Reverse((is_deep, stored.number))
    });
    for stored in found {
        path.extend_to(storage, stored.number).await?;
        if !path.contains(stored) {
            tracing::warn!(number = stored.number, hash = ?stored.hash, "passing over the state of another chain");
            continue;
        }
        match snapshots::read(storage, environment, stored).await {
            Ok(root) => return Ok(Some(root)),
            Err(error) => tracing::warn!(number = stored.number, %error, "passing over a stored state"),
        }
    }
    Ok(None)
}

/// Removes what a crash has left of dead forks, from the height on that the start began with.
async fn remove_dead(storage: &Storage, path: &Path, first: BlockNumber, last: BlockNumber) -> Result<(), Error> {
    let alive: BTreeSet<StoredBlock> = path.blocks.iter().copied().chain([path.next]).collect();
    for stored in storage.blocks(first, last).await? {
        if !alive.contains(&stored) {
            tracing::warn!(number = stored.number, hash = ?stored.hash, "removing a block of a dead fork");
            storage.remove_block(stored).await?;
        }
    }
    Ok(())
}

/// Blocks above the finalized one enter if their parents did; others are what a crash or a dead fork left, and go.
/// What was given up is given up again, because the blocks that said so are among them.
async fn take_unfinalized(
    storage: &Storage,
    tree: &mut Tree<BlockData>,
    finalized: BlockNumber,
    context: &Context,
) -> Result<Condemned, Error> {
    let mut condemned = Condemned::default();
    let first = finalized.saturating_add(1);
    for stored in storage.blocks(first, finalized.saturating_add(MAX_UNFINALIZED_DEPTH)).await? {
        let read = match storage.block(stored).await {
            Ok(Some(block)) => Ok(block),
            Ok(None) => continue,
            // Peers have it, or another one is built in its place.
            Err(error @ StorageError::Corrupt { .. }) => Err(ImportError::from(error)),
            Err(error) => return Err(error.into()),
        };
        let replayed = read.and_then(|block| replay(tree, block, stored.hash, Some(&|state| context.at(state))));
        match replayed.and_then(|new| Ok(tree.insert(new)?)) {
            Ok(dropped) => {
                judge(tree, &mut condemned, &stored.hash);
                // A crash came between the block and the end of what went for it.
                if let Some((number, hash)) = dropped {
                    storage.remove_block(StoredBlock { number, hash }).await?;
                }
            }
            Err(error) => {
                tracing::warn!(number = stored.number, hash = ?stored.hash, %error, "dropping a block on disk");
                storage.remove_block(stored).await?;
            }
        }
    }
    Ok(condemned)
}
