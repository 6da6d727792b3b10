//! Authoring: once per slot, if the slot is ours.
//!
//! The inherent comes from the node's provisioner with a time limit; without it the block is authored with an empty one,
//! so that the chain goes on. Of the heads the best one is built on of whose chain nothing is disputed, if there is one
//! (AV-6), else the best. The seal goes through the keystore's journal: of one slot one block is sealed, across
//! crashes and restarts. Who was away leaves its slots to others while it catches up. Finality that lags slows authoring, and at [`crate::tree::MAX_UNFINALIZED_DEPTH`] ends it.

mod patience;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use codec::Encode;
use deterministic::{ComputeError, ComputeKind, compute, timeout};
use futures::{FutureExt, pin_mut, select_biased};
use ports::{Claim, Keystore, KeystoreError};
use primitives::{BlockNumber, Hash, InherentData, Slot, ValidatorId, ValidatorIndex};
use runtime::{
    Block, BlockError, Executed, Extrinsic, SlotClaim, State, build_block, filter_extrinsics, filter_inherent,
    limits::MAX_REPORTS_PER_BLOCK,
};

use crate::{
    chain::{Chain, Snapshot},
    import::{ImportError, Source, add_seal},
    messages::MAX_BLOCK_BYTES,
    reports::ReportPool,
    sync::Syncer,
    transactions::TRANSACTIONS_BYTES_PER_BLOCK,
    tree::MAX_UNFINALIZED_DEPTH,
};

use patience::Patience;
pub use patience::{CATCH_UP_PATIENCE, FRESH_SLOTS};

/// The share of a slot, one over this, in which the inherent must be there.
pub const INHERENT_SHARE_OF_SLOT: u64 = 3;
/// Blocks that finality may lag before authoring slows down.
pub const LAG_TOLERATED: BlockNumber = 16;
/// So many further blocks of lag make authors skip one slot more between two blocks.
pub const LAG_PER_SKIPPED_SLOT: BlockNumber = 8;
/// Lag from which the pause grows with its own length.
pub const LAG_HEAVY: BlockNumber = MAX_UNFINALIZED_DEPTH / 2;

/// Why a slot that was ours got no block.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// The keystore did not sign.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The state machine refuses what was put into the block.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// It could not be built.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// Our own import refused it.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Whether an author pauses, so many slots after its parent's, because finality lags. Counted from the parent, so that
/// each slot after the pause may have a block, whoever's turn it is.
///
/// From [`LAG_HEAVY`] on the pause doubles with every [`LAG_PER_SKIPPED_SLOT`] blocks: what lets finality go on may have to
/// come in a block, such as the votes of validators who were away on a dispute, so the last place in the tree is a
/// matter of weeks.
pub fn is_paused(slots_since_parent: u64, lag: BlockNumber) -> bool {
    if lag >= MAX_UNFINALIZED_DEPTH {
        return true;
    }
    let skipped = lag.min(LAG_HEAVY).saturating_sub(LAG_TOLERATED).div_ceil(LAG_PER_SKIPPED_SLOT);
    let doublings = lag.saturating_sub(LAG_HEAVY).div_ceil(LAG_PER_SKIPPED_SLOT);
    slots_since_parent <= u64::from(skipped) << doublings
}

/// Authors until the chain is stopped.
pub(crate) async fn run(chain: Arc<Chain>, syncer: Arc<Syncer>, keystore: Arc<dyn Keystore>) {
    let stopped = chain.until_stopped().fuse();
    pin_mut!(stopped);
    let mut patience = Patience::default();
    loop {
        let slot = chain.slot_now().saturating_add(1);
        let starts = Duration::from_millis(slot.saturating_mul(chain.settings.slot_ms));
        let mut woken = chain.environment.clock.sleep_until(starts).fuse();
        select_biased! {
            () = stopped => return,
            () = woken => {}
        }
        if patience.lasts(&chain, &syncer, &*keystore, slot) {
            tracing::debug!(slot, "not authoring: peers are ahead");
            continue;
        }
        match author_in(&chain, &*keystore, slot).await {
            Ok(Some(hash)) => tracing::debug!(slot, ?hash, "authored"),
            Ok(None) => {}
            Err(error @ AuthorError::Import(ImportError::Storage(_))) => {
                tracing::error!(slot, %error, "our slot got no block: the disk refuses");
            }
            Err(error) => tracing::warn!(slot, %error, "our slot got no block"),
        }
    }
}

/// Authors, imports and announces a block if one of our keys has a right to the slot.
async fn author_in(chain: &Chain, keystore: &dyn Keystore, slot: Slot) -> Result<Option<Hash>, AuthorError> {
    let parent = chain.to_build_on();
    if parent.slot >= slot {
        return Ok(None);
    }
    let lag = parent.header.number.saturating_sub(chain.finalized().header.number);
    if is_paused(slot - parent.slot, lag) {
        tracing::debug!(slot, lag, "not authoring: finality lags");
        return Ok(None);
    }
    let Some((key, claim)) = own_claim(chain, keystore, &parent, slot)? else {
        return Ok(None);
    };
    let mut inherent = inherent_data(chain, &parent).await;
    chain.condemned().tell(&parent.data.state, &mut inherent);
    let (mut block, executed) = build(chain, &parent, &claim, inherent).await?;
    let seal = Claim::BlockSeal { slot, pre_seal_hash: block.header.hash() };
    add_seal(&mut block.header, keystore.sign(&key, &seal).await?);
    let hash = chain.import(block.clone(), Source::Built(Box::new(executed))).await?.hash;
    chain.counters().authored += 1;
    chain.announce(&block, None);
    Ok(Some(hash))
}

/// The first of our keys that has a right to the slot, with its claim.
fn own_claim(
    chain: &Chain,
    keystore: &dyn Keystore,
    parent: &Snapshot,
    slot: Slot,
) -> Result<Option<(ValidatorId, SlotClaim)>, KeystoreError> {
    let validators = parent.data.state.validators();
    let context = chain.slot_context(&parent.data.state, validators);
    for key in keystore.validator_ids() {
        let Some(position) = validators.iter().position(|validator| *validator == key) else { continue };
        let vrf = keystore.vrf_sign(&key, &context.vrf_input(slot))?;
        let author = ValidatorIndex(u32::try_from(position).unwrap_or(u32::MAX));
        let claim = SlotClaim { slot, author, vrf };
        if context.check(&claim).is_ok() {
            return Ok(Some((key, claim)));
        }
    }
    Ok(None)
}

/// What the provisioner offers, or an empty inherent if it fails or takes too long.
async fn inherent_data(chain: &Chain, parent: &Snapshot) -> InherentData {
    let empty = || InherentData::empty(parent.header.clone());
    let Some(source) = chain.inherent_source.get() else { return empty() };
    let limit = Duration::from_millis(chain.settings.slot_ms / INHERENT_SHARE_OF_SLOT);
    match timeout(&*chain.environment.clock, limit, source.inherent_data(parent.hash)).await {
        Some(Ok(data)) => data,
        Some(Err(error)) => {
            tracing::warn!(%error, "authoring with an empty inherent");
            empty()
        }
        None => {
            tracing::warn!(parent = ?parent.hash, ?limit, "no inherent in time, authoring with an empty one");
            empty()
        }
    }
}

/// The first reports that a state does not have yet; one of each validator, because the state may take no more.
fn reports(waiting: &ReportPool, state: &State) -> Vec<Extrinsic> {
    let mut accused = BTreeSet::new();
    let new = waiting.all().filter(|report| state.check_report(report).is_ok());
    let new = new.filter(|report| accused.insert((report.session_index(), report.validator_index)));
    new.take(MAX_REPORTS_PER_BLOCK).map(|report| Extrinsic::MisbehaviorReport(Box::new(report.clone()))).collect()
}

/// Leaves out what does not fit into a block's share of transactions; what is smaller and came later may fit.
fn leave_out_transactions(transactions: &mut Vec<Extrinsic>) {
    let mut bytes = 0;
    transactions.retain(|transaction| {
        let more = bytes + transaction.encoded_size();
        let fits = more <= TRANSACTIONS_BYTES_PER_BLOCK;
        if fits {
            bytes = more;
        }
        fits
    });
}

/// Leaves candidates out, the last first, until the inherent with so many bytes beside it fits into a block. Returns
/// whether any was: they are backed again in the next block, and bitfields stay, so that what is pending goes on.
fn leave_out_candidates(inherent: &mut InherentData, beside: usize) -> bool {
    let mut bytes = inherent.encoded_size() + beside;
    let mut is_less = false;
    while bytes > EXTRINSICS_BYTES_MAX
        && let Some(candidate) = inherent.backed_candidates.pop()
    {
        tracing::warn!(bytes, candidate = ?candidate.hash(), "block too large, leaving a candidate out");
        bytes -= candidate.encoded_size();
        is_less = true;
    }
    is_less
}

/// Builds with as much as fits and the state machine takes: inherent and transactions, else the inherent, else that without
/// bitfields, else nothing. A block that includes a condemned candidate is not built: nothing is attested in its place,
/// until the candidate has lost its core.
async fn build(
    chain: &Chain,
    parent: &Snapshot,
    claim: &SlotClaim,
    inherent: InherentData,
) -> Result<(Block, Executed), AuthorError> {
    let mut transactions = reports(&chain.reports(), &parent.data.state);
    if parent.hash == chain.best().hash {
        transactions.extend(chain.transactions().open().cloned());
    } else {
        transactions.extend(chain.transactions().all().cloned());
    }
    let (state, verifier) = (parent.data.state.clone(), chain.settings.verifier.clone());
    let (parent_header, digest) = (parent.header.clone(), vec![claim.to_digest_item()]);
    let bytes = inherent.encoded_size();
    let condemned = chain.condemned().names();
    let work = move || {
        let mut inherent = filter_inherent(&state, &parent_header, inherent, &*verifier);
        let empty = InherentData::empty(parent_header.clone());
        let filter = |inherent: &InherentData, transactions| {
            filter_extrinsics(&state, &parent_header, inherent, transactions, &*verifier)
        };
        let mut fitting = filter(&inherent, transactions);
        leave_out_transactions(&mut fitting);
        if leave_out_candidates(&mut inherent, fitting.encoded_size()) {
            fitting = filter(&inherent, fitting);
        }
        let unattested = InherentData { bitfields: Vec::new(), ..inherent.clone() };
        let attempts: [(InherentData, Vec<Extrinsic>); 4] =
            [(inherent.clone(), fitting), (inherent, Vec::new()), (unattested, Vec::new()), (empty, Vec::new())];
        let mut last = BlockError::NoInherent;
        for (inherent, transactions) in attempts {
            let extrinsics = std::iter::once(Extrinsic::Inclusion(inherent)).chain(transactions).collect();
            match build_block(&state, &parent_header, digest.clone(), extrinsics) {
                Ok((_, executed)) if executed.state.included_here().any(|key| condemned.contains(&key)) => {
                    tracing::warn!("leaving a condemned candidate out of the block");
                }
                Ok((block, executed)) if block.encoded_size() + SEAL_ROOM <= MAX_BLOCK_BYTES => {
                    return Ok((block, executed));
                }
                Ok((block, _)) => tracing::warn!(bytes = block.encoded_size(), "block too large, leaving things out"),
                Err(error) => {
                    tracing::warn!(%error, "leaving things out of the block");
                    last = error;
                }
            }
        }
        Err(last)
    };
    Ok(compute(&*chain.environment.compute, ComputeKind::StateTransition, bytes, work).await??)
}

/// What a seal adds to a block, in bytes, generously.
const SEAL_ROOM: usize = 128;
/// What a block has beside its extrinsics, in bytes, generously: the header with claim and seal.
const HEADER_ROOM: usize = 1024;
/// Inherent and transactions together, in bytes.
const EXTRINSICS_BYTES_MAX: usize = MAX_BLOCK_BYTES - HEADER_ROOM;

#[cfg(test)]
mod tests;
