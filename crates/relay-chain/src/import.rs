//! Taking a block into the tree: everything is checked before anything changes, and a refused block leaves no trace.
//!
//! Blocks are taken one at a time, in the order in which their bringers asked. Execution runs off the async loops.

use std::sync::Arc;

use codec::{Decode, Encode};
use deterministic::{ComputeError, ComputeKind, compute};
use ports::{ChainEvent, StorageError};
use primitives::{BlockNumber, DigestItem, Hash, Header, SessionIndex, Signature, Slot, ValidatorId, ValidatorIndex};
use runtime::{
    Block, BlockError, EquivocationReport, Executed, Extrinsic, SLOT_ENGINE_ID, SlotClaim, State, Verifier, VrfDraw,
    execute_block,
};

use crate::{
    chain::{BlockData, Chain},
    gossip_transactions::{report_equivocation, tell_of_disputes},
    messages::MAX_BLOCK_BYTES,
    reverts::judge,
    slots::{Right, SlotContext, SlotError},
    storage::StoredBlock,
    tree::{Entry, NewBlock, Tree, TreeError},
};

/// How many slots a block may be ahead of our clock.
pub const FUTURE_SLOTS_TOLERATED: u64 = 1;
/// Blocks of one author and slot in the tree. The second shows the equivocation, more would only fill the tree: a further
/// one is taken only if it is needed (as an ancestor of somebody else's block, or proven final).
pub const BLOCKS_PER_CLAIM_MAX: usize = 2;

/// Where a block comes from.
pub(crate) enum Source {
    /// It was built, and with that executed, here.
    Built(Box<Executed>),
    /// Somebody brought it.
    Peer,
    /// It is an ancestor of somebody else's block, or proven final: it is taken however many others its author made.
    Needed,
}

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
    /// Its author has made others in its slot.
    #[error("block {block:?}: {BLOCKS_PER_CLAIM_MAX} other blocks of slot {slot} by the same author are here")]
    Surplus {
        /// The block.
        block: Hash,
        /// Its slot.
        slot: Slot,
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
            Self::Future { .. } | Self::Surplus { .. } | Self::Compute(_) | Self::Storage(_) => false,
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
    /// Whether it was built on a fork that had been given up: it is no news to anybody.
    pub is_late: bool,
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
    if parent.state.validators() == state.validators() {
        return parent.set_id;
    }
    let sorted = |state: &State| {
        let mut validators = state.validators().to_vec();
        validators.sort_unstable();
        validators
    };
    parent.set_id + u64::from(sorted(&parent.state) != sorted(state))
}

impl Chain {
    /// Checks a block and takes it into the tree.
    pub(crate) async fn import(&self, block: Block, source: Source) -> Result<Imported, ImportError> {
        let found = block.encoded_size();
        if found > MAX_BLOCK_BYTES {
            return Err(ImportError::TooLarge { found });
        }
        let hash = block.hash();
        let claim = SlotClaim::from_digest(&block.header.digest)?;
        let one_at_a_time = self.importing.lock().await;
        let checked = self.tree().check(hash, &block.header, claim.slot, claim.author);
        if let Err(error) = checked {
            drop(one_at_a_time);
            if matches!(error, TreeError::Stale(_))
                && let Some(report) = self.equivocation_of_stale(&block.header, &claim)
            {
                report_equivocation(self, report).await;
            }
            return Err(error.into());
        }
        let now = self.slot_now();
        if self.is_future(claim.slot) {
            return Err(ImportError::Future { slot: claim.slot, now });
        }
        if !matches!(source, Source::Needed) && self.is_used_up(&claim) {
            return Err(ImportError::Surplus { block: hash, slot: claim.slot });
        }
        let executed = match source {
            Source::Built(executed) => Some(*executed),
            Source::Peer | Source::Needed => None,
        };
        let parent_hash = block.header.parent_hash;
        let Some(parent) = self.snapshot(&parent_hash) else {
            return Err(TreeError::UnknownParent { block: hash, parent: parent_hash }.into());
        };
        let block = Arc::new(block);
        let (right, executed) = self.check_apart(&block, found, &claim, &parent.data.state, executed).await?;
        self.storage.put_block(hash, &block).await?;
        let new = new_block(hash, block, &claim, right, &parent.data, executed);
        let entered = self.enter(new);
        if entered.is_err() {
            // The finalized block moved on meanwhile and the parent is gone.
            let stored = StoredBlock { number: parent.header.number + 1, hash };
            self.storage.remove_block(stored).await?;
        }
        let (imported, dropped) = entered?;
        self.follow_best();
        if let Some((number, hash)) = dropped {
            tracing::debug!(number, ?hash, "the tree is full: a leaf off the best chain was dropped");
            if let Err(error) = self.storage.remove_block(StoredBlock { number, hash }).await {
                tracing::warn!(%error, "cannot remove a block that was dropped");
            }
        }
        if let Some(report) = self.equivocation(&hash) {
            report_equivocation(self, report).await;
        }
        if let Some(given_up) = self.snapshot(&hash).map(|known| known.data.state).filter(|state| reverts_in(state)) {
            tell_of_disputes(self, &given_up).await;
        }
        Ok(imported)
    }

    /// Whether a slot has not come.
    pub(crate) fn is_future(&self, slot: Slot) -> bool {
        slot > self.slot_now().saturating_add(FUTURE_SLOTS_TOLERATED)
    }

    /// Whether [`BLOCKS_PER_CLAIM_MAX`] blocks of one claim are in the tree: more than one is an equivocation.
    pub(crate) fn is_used_up(&self, claim: &SlotClaim) -> bool {
        let tree = self.tree();
        let of_claim = |entry: &&Entry<BlockData>| entry.slot == claim.slot && entry.author == claim.author;
        tree.entries().filter(of_claim).count() >= BLOCKS_PER_CLAIM_MAX
    }

    /// Author and execution, off the loop; the latter not again of what was built here.
    async fn check_apart(
        &self,
        block: &Arc<Block>,
        bytes: usize,
        claim: &SlotClaim,
        state: &Arc<State>,
        executed: Option<Executed>,
    ) -> Result<(Right, Executed), ImportError> {
        // A signature and a proof, with what they cover; or all of the block.
        let (kind, bytes) = match executed {
            Some(_) => (ComputeKind::VerifySignatures, 512),
            None => (ComputeKind::StateTransition, bytes),
        };
        let forks_per_million = self.settings.forks_per_million;
        let (genesis, verifier) = (self.settings.genesis, self.settings.verifier.clone());
        let (block, claim, state) = (block.clone(), claim.clone(), state.clone());
        let check = move || {
            let context = SlotContext {
                genesis,
                randomness: state.randomness(),
                session: state.session_index(),
                validators: state.validators(),
                forks_per_million,
            };
            let right = check_author(&block, &claim, &context)?;
            let executed = match executed {
                Some(executed) => executed,
                None => execute_block(&state, &block, &*verifier)?,
            };
            Ok((right, executed))
        };
        compute(&*self.environment.compute, kind, bytes, check).await?
    }

    /// Reports and transactions that have no place on the best chain any more wait no longer, but not before the
    /// finalized block refuses them as well, because another fork may need them. Asked whenever something became final;
    /// transactions are looked at off the loop.
    pub(crate) async fn forget_settled(&self) {
        let states = [self.best().data.state, self.finalized().data.state];
        self.reports().retain(|report| states.iter().any(|state| state.check_report(report).is_ok()));
        let waiting = self.transactions().shared();
        if waiting.is_empty() {
            return;
        }
        let bytes = waiting.iter().map(|(_, transaction)| transaction.encoded_size()).sum();
        let settled = move || -> Vec<Hash> {
            let fits = |transaction: &Extrinsic| {
                states.iter().any(|state| state.check_extrinsic(transaction, &CheckedBefore).is_ok())
            };
            waiting.into_iter().filter(|(_, transaction)| !fits(transaction)).map(|(hash, _)| hash).collect()
        };
        match compute(&*self.environment.compute, ComputeKind::StateTransition, bytes, settled).await {
            Ok(settled) => self.transactions().forget(&settled),
            Err(error) => tracing::warn!(%error, "transactions that are settled go on waiting"),
        }
    }

    /// Transactions that the best block refuses take no place until it is another one that takes them. Asked whenever the
    /// best block has changed; they are looked at off the loop, without their signatures, and those that the best chain
    /// carries not at all: [`TRANSACTIONS_MAX`](crate::transactions::TRANSACTIONS_MAX) at most, and those put aside.
    pub(crate) async fn put_unfit_aside(&self) {
        let (best, waiting) = (self.best().data.state, self.transactions().uncarried());
        if waiting.is_empty() {
            return;
        }
        let bytes = waiting.iter().map(|(_, transaction)| transaction.encoded_size()).sum();
        let look_at = move || -> Vec<(Hash, bool)> {
            let is_unfit = |transaction: &Extrinsic| best.check_extrinsic(transaction, &CheckedBefore).is_err();
            waiting.into_iter().map(|(hash, transaction)| (hash, is_unfit(&transaction))).collect()
        };
        match compute(&*self.environment.compute, ComputeKind::StateTransition, bytes, look_at).await {
            Ok(looked_at) => self.transactions().set_unfit(&looked_at),
            Err(error) => tracing::warn!(%error, "transactions that the best block refuses keep their places"),
        }
    }

    /// The proof that the author of a block in the tree made another one in the same slot, by its key: around the end
    /// of a session it has a place in two.
    pub(crate) fn equivocation(&self, hash: &Hash) -> Option<EquivocationReport> {
        let tree = self.tree();
        let ours = tree.get(hash)?;
        let (public, place) = author_of(&tree, ours)?;
        let other = |entry: &Entry<BlockData>| {
            let (key, place) = author_of(&tree, entry)?;
            (key == public).then(|| (place, entry.header.clone()))
        };
        let mut of_slot = tree.entries().filter(|entry| entry.slot == ours.slot && entry.header != ours.header);
        let (other_place, other) = of_slot.find_map(other)?;
        // The later session can be reported for longer.
        Some(proof_of_two(place.max(other_place), ours.header.clone(), other))
    }

    /// The proof that the author of a block which comes too late for the tree has one there of the same slot. Whether it
    /// proves anything, that is, whether the seal is that author's, shows when the report is checked.
    fn equivocation_of_stale(&self, header: &Header, claim: &SlotClaim) -> Option<EquivocationReport> {
        let tree = self.tree();
        let of_slot = tree.entries().filter(|entry| entry.slot == claim.slot && entry.header != *header);
        // The place in the session tells, unless one block is of the session before.
        let other = of_slot.min_by_key(|entry| entry.author != claim.author)?;
        let (_, place) = author_of(&tree, other)?;
        Some(proof_of_two(place, header.clone(), other.header.clone()))
    }

    /// The last step: into the tree, and told to all readers; a block on a fork that is given up is not told. Also returns
    /// what was dropped from the tree for it, which is on disk still.
    fn enter(&self, new: NewBlock<BlockData>) -> Result<(Imported, Option<(BlockNumber, Hash)>), TreeError> {
        let mut tree = self.tree();
        let (hash, parent) = (new.hash, new.header.parent_hash);
        let is_fork = tree.has_child(&parent);
        let is_late = tree.get(&parent).is_some_and(|parent| parent.is_given_up);
        let dropped = tree.insert(new)?;
        if let Some((_, leaf)) = dropped {
            self.publish(&ChainEvent::Reverted { abandoned: vec![leaf] });
        }
        let judged = judge(&mut tree, &mut self.condemned(), &hash);
        {
            let mut counters = self.counters();
            counters.imported += 1;
            counters.forks += u64::from(is_fork);
            counters.abandoned += judged.abandoned.len() as u64;
            counters.too_late += judged.too_late as u64;
        }
        if tree.get(&hash).is_some_and(|entry| !entry.is_given_up)
            && let Some(imported) = self.imported(&tree, hash)
        {
            self.publish(&ChainEvent::Imported(imported));
        }
        // Of a block that was given up as it came, nobody has heard.
        let abandoned: Vec<Hash> = judged.abandoned.into_iter().filter(|bad| *bad != hash).collect();
        if !abandoned.is_empty() {
            self.publish(&ChainEvent::Reverted { abandoned });
        }
        Ok((Imported { hash, is_best: tree.best().0 == hash, is_late }, dropped))
    }
}

/// The key of a block's author, and its place in the session; `None` if the state before the block is not kept.
fn author_of(
    tree: &Tree<BlockData>,
    entry: &Entry<BlockData>,
) -> Option<(ValidatorId, (SessionIndex, ValidatorIndex))> {
    let state = &tree.get(&entry.header.parent_hash)?.data.state;
    let public = state.validators().get(entry.author.as_usize())?;
    Some((*public, (state.session_index(), entry.author)))
}

/// Who sees two blocks of one author in whatever order makes the same proof.
fn proof_of_two(
    (session, validator): (SessionIndex, ValidatorIndex),
    one: Header,
    other: Header,
) -> EquivocationReport {
    let (first, second) = if one.hash() < other.hash() { (one, other) } else { (other, one) };
    EquivocationReport { session, validator, first, second }
}

/// Whether a block signals that its fork is to be given up.
pub(crate) fn reverts_in(state: &State) -> bool {
    state.reverts().last().is_some_and(|revert| revert.signalled_in == state.number())
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
    let data = BlockData { block, state: Arc::new(executed.state), events, set_id };
    NewBlock { hash, header, slot: claim.slot, author: claim.author, is_primary: right == Right::Primary, data }
}

/// What claims are checked against on top of a state.
pub(crate) type SlotContextOf<'a> = dyn Fn(&State) -> SlotContext<'_> + 'a;

/// Executes a block of our own disk again, which was checked before it was written; only what the proof of its author
/// says about fork choice is looked at anew, and that not for a finalized block (no `context`): all forks have it.
pub(crate) fn replay(
    tree: &Tree<BlockData>,
    block: Block,
    hash: Hash,
    context: Option<&SlotContextOf<'_>>,
) -> Result<NewBlock<BlockData>, ImportError> {
    let claim = SlotClaim::from_digest(&block.header.digest)?;
    tree.check(hash, &block.header, claim.slot, claim.author)?;
    let parent_hash = block.header.parent_hash;
    let parent = tree.get(&parent_hash).ok_or(TreeError::UnknownParent { block: hash, parent: parent_hash })?;
    let state = &parent.data.state;
    let right = match context {
        Some(context) => context(state).check(&claim)?,
        None => Right::Secondary,
    };
    let executed = execute_block(state, &block, &CheckedBefore)?;
    Ok(new_block(hash, Arc::new(block), &claim, right, &parent.data, executed))
}

/// For blocks whose signatures were verified before they were written to our own disk, and transactions whose were
/// before they were kept.
struct CheckedBefore;

impl Verifier for CheckedBefore {
    fn verify(&self, _set: &runtime::SignatureSet) -> Result<(), usize> {
        Ok(())
    }

    fn verify_draws(&self, _draws: &[VrfDraw]) -> Result<(), usize> {
        Ok(())
    }
}
