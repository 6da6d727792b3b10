//! From chain events to the heartbeat: imports and finality in, StartWork and StopWork out (OV-2).

use std::sync::Arc;

use leaves::{Block, Leaves, LeavesState, LeavesUpdate, RelayParents};
use overseer::answer::FeedError;
use overseer::{Feed, Handle, View as _};
use ports::{ChainEvent, ImportedBlock, RuntimeClient, RuntimeError};

/// How often the tree is read anew at a start because it changed while it was read. Each time it has been pruned
/// meanwhile: so often in a row is no race.
const START_ATTEMPTS: usize = 64;

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

/// The tree as it is now. Finality may prune a block between two questions about the tree: then it is read anew.
async fn start(client: &dyn RuntimeClient) -> Result<(Leaves, LeavesUpdate), RuntimeError> {
    for _ in 1..START_ATTEMPTS {
        match read_tree(client).await {
            Err(error @ (RuntimeError::UnknownBlock(_) | RuntimeError::Pruned(_))) => {
                tracing::debug!(%error, "the block tree changed while it was read, and is read anew");
            }
            read => return read,
        }
    }
    read_tree(client).await
}

/// The finalized block and all that leads from it to the leaves.
async fn read_tree(client: &dyn RuntimeClient) -> Result<(Leaves, LeavesUpdate), RuntimeError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use mocks::{
        chain::AtBlock,
        fixtures::{Validators, hash},
        runtime_client::TestRuntimeClient,
    };

    /// A chain of a final block and two forks on it: block 2, of which nothing is known but that it was a leaf with the
    /// parent 9, and block 3.
    fn client() -> Arc<TestRuntimeClient> {
        let client = TestRuntimeClient::new();
        client.set_finalized(hash(1), 1);
        let session = Some(Arc::new(Validators::new(1, 1).context));
        for (block, parent, number) in [(1, 0, 1), (3, 1, 2)] {
            client.set_header(hash(block), hash(parent), number);
            client.set(hash(block), AtBlock { session: session.clone(), ..AtBlock::default() });
        }
        client
    }

    fn leaf(block: u8, parent: u8, number: u32) -> ImportedBlock {
        let zero = primitives::Hash::ZERO;
        let header = primitives::Header {
            parent_hash: hash(parent),
            number,
            state_root: zero,
            extrinsics_root: zero,
            digest: Vec::new(),
        };
        ImportedBlock { hash: hash(block), header, session_index: 1, is_best: true }
    }

    #[test]
    fn a_fork_that_dies_while_the_tree_is_read_does_not_end_the_heartbeat() {
        let client = client();
        client.set_leaves([vec![leaf(2, 9, 3), leaf(3, 1, 2)], vec![leaf(3, 1, 2)]]);
        let (_, update) = futures::executor::block_on(start(&*client)).unwrap();
        let started: Vec<_> = update.started.iter().map(|leaf| leaf.hash).collect();
        assert_eq!(started, [hash(3)]);
    }

    #[test]
    fn a_tree_that_never_holds_together_is_given_up() {
        let client = client();
        client.set_leaves([vec![leaf(2, 9, 3)]]);
        let given_up = futures::executor::block_on(start(&*client)).map(|_| ());
        assert_eq!(given_up, Err(RuntimeError::UnknownBlock(hash(9))));
        assert_eq!(client.take_calls().iter().filter(|call| **call == "finalized").count(), START_ATTEMPTS);
    }

    #[test]
    fn what_is_no_race_is_told_at_once() {
        let client = TestRuntimeClient::new();
        let refused = futures::executor::block_on(start(&*client)).map(|_| ());
        assert_eq!(refused, Err(RuntimeError::NotSupported("finality")));
        assert_eq!(client.take_calls(), ["finalized"]);
    }
}
