//! Taking a block into the tree: everything is checked before anything changes, and a refused block leaves no trace.
//!
//! Blocks are taken one at a time, in the order in which their bringers asked. Execution runs off the async loops.

use std::sync::Arc;

use codec::{Decode, Encode};
use deterministic::{ComputeError, ComputeKind, compute};
use ports::{ChainEvent, StorageError};
use primitives::{DigestItem, Hash, Header, Signature, Slot, ValidatorId};
use runtime::{Block, BlockError, Executed, SLOT_ENGINE_ID, SlotClaim, State, Verifier, execute_block};

use crate::{
    chain::{BlockData, Chain},
    messages::MAX_BLOCK_BYTES,
    slots::{Right, SlotContext, SlotError},
    storage::StoredBlock,
    tree::{NewBlock, Tree, TreeError},
};

/// How many slots a block may be ahead of our clock.
pub const FUTURE_SLOTS_TOLERATED: u64 = 1;

/// Why a block was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Its encoding is too long.
    #[error("block of {found} bytes, at most {MAX_BLOCK_BYTES} are allowed")]
    TooLarge {
        /// How long it is.
        found: usize,
    },
    /// Its last digest item is no seal.
    #[error("block {0:?} is not sealed")]
    NotSealed(Hash),
    /// The seal is not its author's.
    #[error("seal of block {block:?} is not that of {author:?}")]
    Seal {
        /// The block.
        block: Hash,
        /// Who claims the slot.
        author: ValidatorId,
    },
    /// Its slot has not come.
    #[error("block is of slot {slot}, it is slot {now}")]
    Future {
        /// The block's slot.
        slot: Slot,
        /// The slot by our clock.
        now: Slot,
    },
    /// It does not fit the tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Its author had no right to the slot.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The state machine refuses it.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// It could not be executed here.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// It could not be stored here.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ImportError {
    /// Whether whoever sent the block is to blame: an honest node imports a block before it passes it on.
    pub fn is_offence(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::NotSealed(_) | Self::Seal { .. } | Self::Slot(_) | Self::Block(_) => true,
            Self::Tree(error) => matches!(error, TreeError::Number { .. } | TreeError::Slot { .. }),
            Self::Future { .. } | Self::Compute(_) | Self::Storage(_) => false,
        }
    }
}

/// A block that is in the tree now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its hash.
    pub hash: Hash,
    /// Whether it is the head of the best chain.
    pub is_best: bool,
}

/// The header without its seal, and the seal.
///
/// # Errors
/// [`ImportError::NotSealed`] unless the last digest item is a seal of our engine.
pub fn split_seal(mut header: Header) -> Result<(Header, Signature), ImportError> {
    let hash = header.hash();
    match header.digest.pop() {
        Some(DigestItem::Seal(SLOT_ENGINE_ID, bytes)) => match Signature::decode(&mut &bytes[..]) {
            Ok(seal) if bytes.len() == seal.encoded_size() => Ok((header, seal)),
            _ => Err(ImportError::NotSealed(hash)),
        },
        _ => Err(ImportError::NotSealed(hash)),
    }
}

/// Puts a seal on a header.
pub fn add_seal(header: &mut Header, seal: Signature) {
    header.digest.push(DigestItem::Seal(SLOT_ENGINE_ID, seal.encode()));
}

/// Checks who authored, with what right: seal and claim, against the parent's state.
fn check_author(block: &Block, claim: &SlotClaim, context: &SlotContext<'_>) -> Result<Right, ImportError> {
    let right = context.check(claim)?;
    let (unsealed, seal) = split_seal(block.header.clone())?;
    let author = context.validators[claim.author.as_usize()];
    if !author.verify(&unsealed.hash().encode(), &seal) {
        return Err(ImportError::Seal { block: block.hash(), author });
    }
    Ok(right)
}

/// The set of voters that finalizes the children of a block.
pub(crate) fn next_set_id(parent: &BlockData, state: &State) -> u64 {
    let sorted = |state: &State| {
        let mut validators = state.validators().to_vec();
        validators.sort_unstable();
        validators
    };
    parent.set_id + u64::from(sorted(&parent.state) != sorted(state))
}

impl Chain {
    /// Checks a block and takes it into the tree; `executed` if it was built here.
    pub(crate) async fn import(&self, block: Block, executed: Option<Executed>) -> Result<Imported, ImportError> {
        let found = block.encoded_size();
        if found > MAX_BLOCK_BYTES {
            return Err(ImportError::TooLarge { found });
        }
        let hash = block.hash();
        let claim = SlotClaim::from_digest(&block.header.digest)?;
        let _one_at_a_time = self.importing.lock().await;
        self.tree().check(hash, &block.header, claim.slot)?;
        let now = self.slot_now();
        if claim.slot > now.saturating_add(FUTURE_SLOTS_TOLERATED) {
            return Err(ImportError::Future { slot: claim.slot, now });
        }
        let parent_hash = block.header.parent_hash;
        let Some(parent) = self.snapshot(&parent_hash) else {
            return Err(TreeError::UnknownParent { block: hash, parent: parent_hash }.into());
        };
        let block = Arc::new(block);
        let right = self.check_author_apart(&block, &claim, &parent.data.state).await?;
        let executed = match executed {
            Some(executed) => executed,
            None => {
                let (block, verifier) = (block.clone(), self.settings.verifier.clone());
                let state = parent.data.state.clone();
                let run = move || execute_block(&state, &block, &*verifier);
                compute(&*self.environment.compute, ComputeKind::StateTransition, found, run).await??
            }
        };
        self.storage.put_block(hash, &block).await?;
        let new = new_block(hash, block, &claim, right, &parent.data, executed);
        let entered = self.enter(new);
        if entered.is_err() {
            // The finalized block moved on meanwhile and the parent is gone.
            let stored = StoredBlock { number: parent.header.number + 1, hash };
            self.storage.remove_block(stored).await?;
        }
        let is_best = entered?;
        if is_best {
            self.forget_settled_reports();
        }
        Ok(Imported { hash, is_best })
    }

    async fn check_author_apart(
        &self,
        block: &Arc<Block>,
        claim: &SlotClaim,
        state: &State,
    ) -> Result<Right, ImportError> {
        let validators = state.validators().to_vec();
        let context = self.slot_context(state, &[]);
        let (block, claim) = (block.clone(), claim.clone());
        let check = move || check_author(&block, &claim, &SlotContext { validators: &validators, ..context });
        // A signature and a proof, with what they cover.
        compute(&*self.environment.compute, ComputeKind::VerifySignatures, 512, check).await?
    }

    /// Reports that the best chain has, or has no place for any more, wait no longer.
    fn forget_settled_reports(&self) {
        if !self.reports().is_empty() {
            let state = self.best().data.state;
            self.reports().retain(|report| state.check_report(report).is_ok());
        }
    }

    /// The last step: into the tree, and told to all readers.
    fn enter(&self, new: NewBlock<BlockData>) -> Result<bool, TreeError> {
        let mut tree = self.tree();
        let (hash, parent) = (new.hash, new.header.parent_hash);
        let is_fork = tree.has_child(&parent);
        let is_best = tree.insert(new)?;
        {
            let mut counters = self.counters();
            counters.imported += 1;
            counters.forks += u64::from(is_fork);
        }
        if let Some(imported) = self.imported(&tree, hash) {
            self.publish(&ChainEvent::Imported(imported));
        }
        Ok(is_best)
    }
}

fn new_block(
    hash: Hash,
    block: Arc<Block>,
    claim: &SlotClaim,
    right: Right,
    parent: &BlockData,
    executed: Executed,
) -> NewBlock<BlockData> {
    let set_id = next_set_id(parent, &executed.state);
    let events = executed.events.into();
    let header = block.header.clone();
    let data = BlockData { block, author: claim.author, state: Arc::new(executed.state), events, set_id };
    NewBlock { hash, header, slot: claim.slot, is_primary: right == Right::Primary, data }
}

/// Executes a block of our own disk again, which was checked before it was written; only what the proof of its author
/// says about fork choice is looked at anew.
pub(crate) fn replay(
    tree: &Tree<BlockData>,
    block: Block,
    hash: Hash,
    context: impl for<'a> Fn(&State, &'a [ValidatorId]) -> SlotContext<'a>,
) -> Result<NewBlock<BlockData>, ImportError> {
    let claim = SlotClaim::from_digest(&block.header.digest)?;
    tree.check(hash, &block.header, claim.slot)?;
    let parent_hash = block.header.parent_hash;
    let parent = tree.get(&parent_hash).ok_or(TreeError::UnknownParent { block: hash, parent: parent_hash })?;
    let state = &parent.data.state;
    let right = context(state, state.validators()).check(&claim)?;
    let executed = execute_block(state, &block, &CheckedBefore)?;
    Ok(new_block(hash, Arc::new(block), &claim, right, &parent.data, executed))
}

/// For blocks whose signatures were verified before they were written to our own disk.
struct CheckedBefore;

impl Verifier for CheckedBefore {
    fn verify(&self, _set: &runtime::SignatureSet) -> Result<(), usize> {
        Ok(())
    }
}
