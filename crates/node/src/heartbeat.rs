//! From chain events to the heartbeat: imports and finality in, StartWork and StopWork out (OV-2).

use std::sync::Arc;

use leaves::{Block, Leaves, LeavesState, LeavesUpdate, RelayParents};
use overseer::answer::FeedError;
use overseer::{Feed, Handle, View as _};
use ports::{ChainEvent, ImportedBlock, RuntimeClient, RuntimeError};

/// Follows the chain for ever. A reader that lagged starts anew from the block tree: subsystems hear one entry that
/// brings them from what they knew to what is so.
pub(crate) async fn follow(client: Arc<dyn RuntimeClient>, handle: Handle) -> Result<(), RuntimeError> {
    let mut heard = LeavesState::default();
    loop {
        // Subscribed before the tree is read, so that nothing falls between.
        let mut feed = client.subscribe();
        let (mut tree, update) = start(&*client).await?;
        let mut now = LeavesState::default();
        now.apply(&update);
        let update = RelayParents::catch_up(&heard, &now);
        publish(&handle, &mut heard, update);
        if follow_feed(&mut feed, &mut tree, &handle, &mut heard).await {
            return Ok(());
        }
        tracing::warn!("the heartbeat lagged behind the chain and starts anew from the block tree");
    }
}

/// Returns whether the chain has ended; else the feed lagged.
async fn follow_feed(feed: &mut Feed<ChainEvent>, tree: &mut Leaves, handle: &Handle, heard: &mut LeavesState) -> bool {
    loop {
        let update = match feed.next().await {
            Ok(Some(ChainEvent::Imported(block))) => tree.import(describe(&block)),
            Ok(Some(ChainEvent::Finalized { hash, number, .. })) => tree.finalize(hash, number),
            Ok(Some(ChainEvent::Reverted { abandoned })) => tree.revert(&abandoned),
            Ok(None) => return true,
            Err(error @ FeedError::Dropped { .. }) => {
                tracing::error!(%error, "the heartbeat hears no more of the chain");
                return true;
            }
            Err(FeedError::Lagged(_)) => return false,
        };
        publish(handle, heard, update);
    }
}

fn publish(handle: &Handle, heard: &mut LeavesState, update: LeavesUpdate) {
    if !update.is_empty() {
        heard.apply(&update);
        handle.publish::<RelayParents>(update);
    }
}

fn describe(block: &ImportedBlock) -> Block {
    Block {
        hash: block.hash,
        parent: block.header.parent_hash,
        number: block.header.number,
        session_index: block.session_index,
    }
}

/// The tree as it is now: the finalized block and all that leads from it to the leaves.
async fn start(client: &dyn RuntimeClient) -> Result<(Leaves, LeavesUpdate), RuntimeError> {
    let (hash, number) = client.finalized().await?;
    let finalized = block_at(client, hash).await?;
    let mut blocks = std::collections::BTreeMap::new();
    for leaf in client.leaves().await? {
        let mut at = describe(&leaf);
        while at.number > number && !blocks.contains_key(&(at.number, at.hash)) {
            blocks.insert((at.number, at.hash), at);
            at = block_at(client, at.parent).await?;
        }
    }
    // By height, so that parents come first.
    Ok(Leaves::start(finalized, blocks.into_values()))
}

async fn block_at(client: &dyn RuntimeClient, hash: primitives::Hash) -> Result<Block, RuntimeError> {
    let header = client.header(hash).await?;
    let session_index = client.session_context(hash).await?.session_index;
    Ok(Block { hash, parent: header.parent_hash, number: header.number, session_index })
}
