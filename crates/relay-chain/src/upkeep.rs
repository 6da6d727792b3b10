//! What is done now and then, beside everything else, so that neither a start nor the memory grows with the chain.
//!
//! When another block is best, transactions that it refuses make room. When something became final, what waits for a block and has no place in one any more waits no longer, and what is final
//! is indexed by its hash. When [`SNAPSHOT_PERIOD`] blocks have become final, the state of the last one is stored, and the keystore forgets what
//! it signed so long ago that it cannot matter any more. Failing at either is said, and tried again a period later.

use std::sync::Arc;

use futures::{FutureExt, pin_mut, select_biased};
use ports::{ForgetBefore, Keystore};
use primitives::{BlockNumber, SessionIndex};
use runtime::limits::PAST_SESSIONS_KEPT;

use crate::{
    chain::{Chain, Snapshot},
    snapshots::{self, SNAPSHOT_PERIOD},
    storage::StoredBlock,
    votes::ROUNDS_BEHIND,
};

/// Sessions before that of the finalized block whose statements the keystore remembers: those of which the chain takes
/// proofs, and one more.
pub const SESSIONS_REMEMBERED: SessionIndex = PAST_SESSIONS_KEPT + 1;

/// Goes on until the chain is stopped; `done` is the height at which it was last done.
pub(crate) async fn run(chain: Arc<Chain>, mut done: BlockNumber) {
    let stopped = chain.until_stopped().fuse();
    pin_mut!(stopped);
    let mut best = chain.best().hash;
    let mut settled = None;
    loop {
        let (height, hash) = {
            let tree = chain.tree();
            let (hash, entry) = tree.finalized();
            (entry.header.number, hash)
        };
        if settled != Some(height) {
            settled = Some(height);
            select_biased! {
                () = stopped => return,
                () = chain.index.extend(&chain.storage, StoredBlock { number: height, hash }).fuse() => {}
            }
        }
        select_biased! {
            () = stopped => return,
            () = chain.moved.notified().fuse() => {}
        }
        let now = chain.best().hash;
        if std::mem::replace(&mut best, now) != now {
            chain.put_unfit_aside().await;
        }
        if settled == Some(chain.tree().finalized().1.header.number) {
            continue;
        }
        chain.forget_settled().await;
        let height = chain.tree().finalized().1.header.number;
        if height < done.saturating_add(SNAPSHOT_PERIOD) {
            continue;
        }
        let finalized = chain.finalized();
        done = finalized.header.number;
        if let Some(keystore) = &chain.keystore {
            forget(&chain, &**keystore, &finalized).await;
        }
        let block = StoredBlock { number: done, hash: finalized.hash };
        match snapshots::write(&chain.storage, &chain.environment, block, finalized.data).await {
            Ok(()) => tracing::debug!(number = done, "state stored"),
            Err(error) => tracing::error!(number = done, %error, "state not stored, the next start takes longer"),
        }
    }
}

/// Lets the keystore forget seals of final slots, votes of finished rounds and statements of sessions long over.
async fn forget(chain: &Chain, keystore: &dyn Keystore, finalized: &Snapshot) {
    let round = match chain.storage.round().await {
        Ok(round) => round.map_or((0, 0), |round| (round.set_id, round.round.saturating_sub(ROUNDS_BEHIND))),
        Err(error) => return tracing::error!(%error, "the last round cannot be read"),
    };
    let session = finalized.data.state.session_index().saturating_sub(SESSIONS_REMEMBERED);
    let before = ForgetBefore { session, slot: finalized.slot, round };
    if let Err(error) = keystore.forget_before(before).await {
        tracing::error!(%error, "the keystore does not forget what it signed long ago");
    }
}
