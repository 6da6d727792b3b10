//! Starting from disk: the chain is executed again from genesis, the finalized part first.
//!
//! Nothing but blocks and proofs is believed to be on disk, and blocks only with the hash that they are stored under.
//! Signatures in them were verified before they were written and are not verified again.

use std::sync::Arc;

use deterministic::Environment;
use primitives::{BlockNumber, Hash, ValidatorIndex};
use runtime::{Block, Genesis, State, genesis as first_state};

use crate::{
    Error,
    chain::BlockData,
    import::{give_up_reverted, replay},
    justification::Justification,
    slots::SlotContext,
    storage::{CompletedRound, OwnVote, Storage, StoredBlock},
    tree::{MAX_UNFINALIZED_DEPTH, NewBlock, Tree},
};

/// How many blocks are executed between two chances for other tasks to run.
const BLOCKS_PER_STEP: BlockNumber = 16;

/// What the disk holds.
pub(crate) struct Loaded {
    pub(crate) genesis: Hash,
    pub(crate) tree: Tree<BlockData>,
    pub(crate) finalized: Option<Justification>,
    pub(crate) round: Option<CompletedRound>,
    pub(crate) votes: Vec<OwnVote>,
}

/// The tree with only the genesis block.
fn root(genesis: &Genesis) -> Result<(Hash, Tree<BlockData>), Error> {
    let (state, header) = first_state(genesis)?;
    let hash = header.hash();
    let block = Arc::new(Block { header: header.clone(), extrinsics: Vec::new() });
    let data = BlockData { block, author: ValidatorIndex(0), state: Arc::new(state), events: Arc::new([]), set_id: 0 };
    Ok((hash, Tree::new(NewBlock { hash, header, slot: 0, is_primary: false, data })))
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
    let mut height = 0;
    if let Some(proof) = &finalized {
        let (target, number) = proof.target();
        height = number;
        let path = finalized_path(storage, StoredBlock { number, hash: target }).await?;
        for stored in path {
            let block = storage.block(stored).await?.ok_or(Error::MissingBlock { number: stored.number })?;
            let replayed = replay(&tree, block, stored.hash, None);
            let new = replayed.map_err(|source| Error::Replay { number: stored.number, source: Box::new(source) })?;
            let entered = tree.insert(new).map_err(crate::ImportError::from);
            let finalized = entered.and_then(|_| Ok(tree.finalize(stored.hash)?));
            finalized.map_err(|source| Error::Replay { number: stored.number, source: Box::new(source) })?;
            if stored.number.is_multiple_of(BLOCKS_PER_STEP) {
                environment.clock.sleep(std::time::Duration::ZERO).await;
            }
        }
    }
    take_unfinalized(storage, &mut tree, height, &context).await?;
    let (round, votes) = (storage.round().await?, storage.votes().await?);
    Ok(Loaded { genesis: hash, tree, finalized, round, votes })
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

/// The names of all finalized blocks, oldest first, found from the last one back.
async fn finalized_path(storage: &Storage, last: StoredBlock) -> Result<Vec<StoredBlock>, Error> {
    let mut path = Vec::new();
    let mut stored = last;
    while stored.number > 0 {
        let block = storage.block(stored).await?.ok_or(Error::MissingBlock { number: stored.number })?;
        path.push(stored);
        stored = StoredBlock { number: stored.number - 1, hash: block.header.parent_hash };
    }
    path.reverse();
    Ok(path)
}

/// Blocks above the finalized one enter if their parents did; others are what a crash or a dead fork left, and go.
async fn take_unfinalized(
    storage: &Storage,
    tree: &mut Tree<BlockData>,
    finalized: BlockNumber,
    context: &Context,
) -> Result<(), Error> {
    let first = finalized.saturating_add(1);
    for stored in storage.blocks(first, finalized.saturating_add(MAX_UNFINALIZED_DEPTH)).await? {
        let Some(block) = storage.block(stored).await? else { continue };
        let replayed = replay(tree, block, stored.hash, Some(&|state| context.at(state)));
        match replayed.and_then(|new| Ok(tree.insert(new)?)) {
            Ok(_) => {
                give_up_reverted(tree, &stored.hash);
            }
            Err(error) => {
                tracing::warn!(number = stored.number, hash = ?stored.hash, %error, "dropping a block on disk");
                storage.remove_block(stored).await?;
            }
        }
    }
    Ok(())
}
