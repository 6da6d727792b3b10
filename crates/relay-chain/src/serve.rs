//! Serving stretches of the chain to peers that ask for them, beside the loop of the block protocol, so that who asks for
//! much keeps nobody's announcements waiting.
//!
//! **Limits**: one request of a peer at a time, [`SERVED_MAX`] together, [`MAX_BLOCKS_PER_RESPONSE`], [`RESPONSE_BLOCKS_BYTES`] and
//! [`MAX_JUSTIFICATIONS_PER_RESPONSE`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use codec::Encode;
use futures::{FutureExt, StreamExt, channel::mpsc, pin_mut, select_biased};
use overseer::Responder;
use ports::{PeerId, StorageError};
use primitives::BlockNumber;
use runtime::Block;

use crate::{
    chain::{Chain, lock},
    justification::Justification,
    messages::{
        BlockRequest, BlockResponse, MAX_BLOCKS_PER_RESPONSE, MAX_JUSTIFICATIONS_PER_RESPONSE, RESPONSE_BLOCKS_BYTES,
    },
    storage::StoredBlock,
};

/// Peers whose requests wait; those of further ones are refused.
pub const SERVED_MAX: usize = 256;

/// A request on its way to whoever answers it.
pub(crate) struct Asked {
    peer: PeerId,
    request: BlockRequest,
    respond: Responder<Bytes>,
}

/// Takes requests.
pub(crate) struct Server {
    /// Whose request waits or is being answered.
    askers: Mutex<BTreeSet<PeerId>>,
    queue: mpsc::UnboundedSender<Asked>,
}

impl Server {
    /// The second part holds no more requests than there are askers.
    pub(crate) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Asked>) {
        let (queue, asked) = mpsc::unbounded();
        (Arc::new(Self { askers: Mutex::default(), queue }), asked)
    }

    /// Takes a request, or refuses it (by dropping it) if the peer has another one here, or too many have.
    pub(crate) fn take(&self, peer: PeerId, request: BlockRequest, respond: Responder<Bytes>) {
        let mut askers = lock(&self.askers);
        if askers.len() >= SERVED_MAX || !askers.insert(peer.clone()) {
            tracing::debug!(%peer, "request refused: another one is being answered");
            return;
        }
        // Whoever answers ends with the chain.
        let _ended = self.queue.unbounded_send(Asked { peer, request, respond });
    }

    fn done(&self, peer: &PeerId) {
        lock(&self.askers).remove(peer);
    }
}

/// Answers one request after the other until the chain is stopped.
pub(crate) async fn run(chain: Arc<Chain>, server: Arc<Server>, mut asked: mpsc::UnboundedReceiver<Asked>) {
    let stopped = chain.until_stopped().fuse();
    pin_mut!(stopped);
    loop {
        let next = select_biased! {
            () = stopped => return,
            next = asked.next() => next,
        };
        let Some(Asked { peer, request, respond }) = next else { return };
        if !respond.is_abandoned() {
            match serve(&chain, request).await {
                // The asker may have given up meanwhile.
                Ok(response) => drop(respond.answer(response.encode().into())),
                Err(error) => tracing::error!(%error, "cannot serve blocks"),
            }
        }
        server.done(&peer);
    }
}

/// The blocks of a chain from a height on, and what proves some of them final.
async fn serve(chain: &Chain, request: BlockRequest) -> Result<BlockResponse, StorageError> {
    let most = (request.max as usize).min(MAX_BLOCKS_PER_RESPONSE);
    let path = path(chain, request, most).await?;
    let mut blocks = Vec::new();
    let mut bytes = 0;
    for stored in path {
        let held = chain.snapshot(&stored.hash).map(|known| known.data.block);
        let block = match held {
            Some(block) => Block::clone(&block),
            None => match chain.storage.block(stored).await? {
                Some(block) => block,
                None => break,
            },
        };
        bytes += block.encoded_size();
        if bytes > RESPONSE_BLOCKS_BYTES && !blocks.is_empty() {
            break;
        }
        blocks.push(block);
    }
    let last = request.first.saturating_add(blocks.len().saturating_sub(1) as u32);
    let (justifications, covered) =
        if blocks.is_empty() { (Vec::new(), last) } else { proofs(chain, request.first, last).await? };
    // Whoever takes blocks without the proofs between them could not finalize what follows.
    blocks.truncate((covered - request.first) as usize + 1);
    Ok(BlockResponse {
        blocks: blocks.try_into().unwrap_or_default(),
        justifications: justifications.try_into().unwrap_or_default(),
    })
}

/// Names the blocks to be served, in order of height.
async fn path(chain: &Chain, request: BlockRequest, most: usize) -> Result<Vec<StoredBlock>, StorageError> {
    let BlockRequest { head, first, .. } = request;
    let end = first.saturating_add(most as u32);
    let (oldest, mut in_tree) = {
        let tree = chain.tree();
        let (hash, entry) = tree.oldest();
        let oldest = StoredBlock { number: entry.header.number, hash };
        let mut found = Vec::new();
        let mut hash = head;
        while let Some(entry) = tree.get(&hash)
            && entry.header.number >= first
        {
            if entry.header.number < end {
                found.push(StoredBlock { number: entry.header.number, hash });
            }
            hash = entry.header.parent_hash;
        }
        let known = tree.contains(&head);
        (oldest, if known { Some(found) } else { None })
    };
    let Some(in_tree) = in_tree.as_mut() else {
        return Ok(Vec::new());
    };
    in_tree.reverse();
    let mut path = Vec::new();
    if first < oldest.number {
        let last = end.min(oldest.number).saturating_sub(1);
        path = chain.storage.finalized_blocks(first.max(1), last, oldest).await?;
        if path.is_empty() {
            return Ok(path);
        }
    }
    path.append(in_tree);
    Ok(path)
}

/// The newest proof for the stretch, and before it the newest of each earlier voter set; and how far the stretch may go,
/// because only so many proofs go with it.
async fn proofs(
    chain: &Chain,
    first: BlockNumber,
    last: BlockNumber,
) -> Result<(Vec<Justification>, BlockNumber), StorageError> {
    let mut newest = BTreeMap::new();
    for (number, set_id) in chain.storage.justifications(first, last).await? {
        newest.insert(set_id, number);
    }
    let more = newest.len() > MAX_JUSTIFICATIONS_PER_RESPONSE;
    let (mut proofs, mut covered) = (Vec::new(), last);
    for (set_id, number) in newest.into_iter().take(MAX_JUSTIFICATIONS_PER_RESPONSE) {
        proofs.extend(chain.storage.justification(number, set_id).await?);
        if more {
            covered = number;
        }
    }
    Ok((proofs, covered))
}

#[cfg(test)]
mod tests {
    use overseer::Reply;
    use primitives::Hash;

    use super::*;

    #[test]
    fn of_one_peer_one_request_is_taken_at_a_time_and_of_so_many_peers() {
        let (server, mut asked) = Server::new();
        let mut replies = Vec::new();
        let mut take = |name: &[u8]| {
            let (respond, reply) = Reply::channel("blocks", "peer");
            replies.push(reply);
            let request = BlockRequest { head: Hash::ZERO, first: 1, max: 1 };
            server.take(PeerId::new(name).unwrap(), request, respond);
            asked.try_recv().is_ok()
        };
        assert!(take(b"one"));
        assert!(!take(b"one"), "it has another one here");
        for index in 1..SERVED_MAX {
            assert!(take(&index.to_le_bytes()));
        }
        assert!(!take(b"two"), "there is no room");
        server.done(&PeerId::new(b"one").unwrap());
        assert!(take(b"two"));
        server.done(&PeerId::new(b"two").unwrap());
        assert!(take(b"one"), "its turn again");
    }
}
