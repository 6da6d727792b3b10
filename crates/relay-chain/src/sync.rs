//! Blocks between peers: announcements in and out, orphans, and requests for stretches of a chain ([`crate::serve`]
//! answers them).
//!
//! A block whose parent is not known waits as an orphan while the stretch from the finalized block to its parent is asked
//! of whoever sent it. Answers carry proofs of finality, so that a node that was away for long finalizes on its way.
//!
//! **Limits**: [`ORPHANS_MAX`], [`ORPHANS_PER_PEER_MAX`], [`SYNC_JOBS_MAX`], [`SYNC_WAITING_MAX`], [`SYNC_TURN`], [`SYNC_REQUESTS_MAX`], [`SMALL_GAP`], [`crate::import::BLOCKS_PER_CLAIM_MAX`], and those of
//! [`crate::messages`].

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use codec::Encode;
use futures::{FutureExt, StreamExt, channel::mpsc, pin_mut, select_biased};
use ports::{MAX_NOTIFICATION_BYTES, MAX_RESPONSE_BYTES, NetworkEvent, PeerId, ProtocolEvents};
use primitives::{BlockNumber, Hash, decode_limited};
use runtime::{Block, SlotClaim};

use crate::{
    chain::{Chain, lock},
    import::{ImportError, Source},
    justification::Justification,
    messages::{
        BLOCK_PROTOCOL, BlockMessage, BlockRequest, BlockResponse, Handshake, MAX_BLOCKS_PER_RESPONSE,
        MAX_CHAIN_REQUEST_BYTES,
    },
    serve::{self, Server},
    tree::TreeError,
};

/// Blocks that wait for their parents; each is at most a gossip message.
pub const ORPHANS_MAX: usize = 64;
/// Of them those of one peer: a further one takes the place of the peer's first.
pub const ORPHANS_PER_PEER_MAX: usize = 16;
/// Peers that we catch up from at once.
pub const SYNC_JOBS_MAX: usize = 4;
/// Peers that wait to be caught up from, each with the last thing that it was to be asked for.
pub const SYNC_WAITING_MAX: usize = 256;
/// How long a catching-up goes on while other peers wait: it goes on with the peer's next announcement. A request that is
/// not answered ends it before that.
pub const SYNC_TURN: Duration = Duration::from_secs(30);
/// Requests of one catching-up; further blocks come with the next announcement.
pub const SYNC_REQUESTS_MAX: usize = 4096;
/// A gap that is assumed first, in blocks, before everything above the finalized block is asked for.
pub const SMALL_GAP: BlockNumber = 4;

/// Blocks whose parents are missing, by parent.
#[derive(Default)]
struct Orphans {
    by_parent: BTreeMap<Hash, Vec<(PeerId, Block)>>,
    count: usize,
}

impl Orphans {
    fn add(&mut self, peer: PeerId, block: Block) {
        let of_peer = || self.by_parent.values().flatten().filter(|(sender, _)| *sender == peer);
        if of_peer().count() >= ORPHANS_PER_PEER_MAX
            && let Some(first) = of_peer().map(|(_, block)| block.header.parent_hash).next()
        {
            self.drop_of(&peer, &first);
        }
        if self.count >= ORPHANS_MAX
            && let Some((greediest, first)) = self.first_of_greediest()
        {
            self.drop_of(&greediest, &first);
        }
        self.count += 1;
        self.by_parent.entry(block.header.parent_hash).or_default().push((peer, block));
    }

    /// Who has the most, and the parent of the first of it.
    fn first_of_greediest(&self) -> Option<(PeerId, Hash)> {
        let mut by_peer: BTreeMap<&PeerId, (usize, Hash)> = BTreeMap::new();
        for (peer, block) in self.by_parent.values().flatten() {
            by_peer.entry(peer).or_insert((0, block.header.parent_hash)).0 += 1;
        }
        let (peer, (_, first)) = by_peer.into_iter().max_by_key(|(_, (count, _))| *count)?;
        Some((peer.clone(), first))
    }

    /// Drops one orphan of a peer.
    fn drop_of(&mut self, peer: &PeerId, parent: &Hash) {
        let Some(waiting) = self.by_parent.get_mut(parent) else { return };
        if let Some(position) = waiting.iter().position(|(sender, _)| sender == peer) {
            waiting.remove(position);
            self.count -= 1;
        }
        if waiting.is_empty() {
            self.by_parent.remove(parent);
        }
    }

    fn take(&mut self, parent: &Hash) -> Vec<(PeerId, Block)> {
        let found = self.by_parent.remove(parent).unwrap_or_default();
        self.count -= found.len();
        found
    }
}

/// Starts the jobs that catch up, and hears of their ends.
pub(crate) struct Syncer {
    chain: Arc<Chain>,
    jobs: Mutex<Jobs>,
    done: mpsc::UnboundedSender<Hash>,
}

/// Each peer has one place: it is being asked, or it waits for that.
#[derive(Default)]
struct Jobs {
    /// With the height that is wanted of each.
    busy: BTreeMap<PeerId, BlockNumber>,
    /// First come, first served, so that those who do not answer hold up nobody for long.
    waiting: VecDeque<(PeerId, Goal)>,
}

impl Jobs {
    /// What is to be done at once for a peer that has something to offer.
    fn add(&mut self, peer: PeerId, goal: Goal) -> Option<(PeerId, Goal)> {
        if self.busy.contains_key(&peer) {
            return None;
        }
        if let Some((_, place)) = self.waiting.iter_mut().find(|(waiting, _)| *waiting == peer) {
            *place = goal;
        } else if self.busy.len() < SYNC_JOBS_MAX {
            self.busy.insert(peer.clone(), goal.number);
            return Some((peer, goal));
        } else if self.waiting.len() < SYNC_WAITING_MAX {
            self.waiting.push_back((peer, goal));
        }
        None
    }

    /// A peer is not being asked any more: what is to be done next.
    fn next(&mut self, ended: &PeerId) -> Option<(PeerId, Goal)> {
        self.busy.remove(ended);
        let (peer, goal) = self.waiting.pop_front()?;
        self.busy.insert(peer.clone(), goal.number);
        Some((peer, goal))
    }

    fn highest(&self) -> BlockNumber {
        let waiting = self.waiting.iter().map(|(_, goal)| goal.number);
        self.busy.values().copied().chain(waiting).max().unwrap_or_default()
    }
}

impl Syncer {
    /// The second part tells of heads that jobs were started for, when they end; at most [`SYNC_JOBS_MAX`] wait.
    pub(crate) fn new(chain: Arc<Chain>) -> (Arc<Self>, mpsc::UnboundedReceiver<Hash>) {
        let (done, ended) = mpsc::unbounded();
        (Arc::new(Self { chain, jobs: Mutex::default(), done }), ended)
    }

    /// Fetches the chain that ends at `head` from a peer, unless that peer is being asked already; when it is its turn.
    pub(crate) fn start(self: &Arc<Self>, peer: PeerId, head: Hash, number: BlockNumber) {
        self.start_until(peer, Goal { head, number, child: None, is_final: false });
    }

    /// Fetches the chain that ends at a block's parent; the block shows that somebody wants it.
    fn start_for_child(self: &Arc<Self>, peer: PeerId, block: &Block) {
        let (head, number) = (block.header.parent_hash, block.header.number.saturating_sub(1));
        self.start_until(peer, Goal { head, number, child: Some(block.hash()), is_final: false });
    }

    /// The same, with the proofs that make `head` final, even if all the blocks are here.
    pub(crate) fn start_for_finality(self: &Arc<Self>, peer: PeerId, head: Hash, number: BlockNumber) {
        self.start_until(peer, Goal { head, number, child: None, is_final: true });
    }

    /// The highest block that some peer says it has and that we are about to fetch; 0 if there is none.
    pub(crate) fn wanted_height(&self) -> BlockNumber {
        lock(&self.jobs).highest()
    }

    fn start_until(self: &Arc<Self>, peer: PeerId, goal: Goal) {
        let job = lock(&self.jobs).add(peer, goal);
        if let Some((peer, goal)) = job {
            self.spawn(peer, goal);
        }
    }

    fn spawn(self: &Arc<Self>, mut peer: PeerId, mut goal: Goal) {
        let syncer = self.clone();
        let task = async move {
            loop {
                {
                    let stopped = syncer.chain.until_stopped().fuse();
                    let work = syncer.catch_up(&peer, &goal).fuse();
                    pin_mut!(stopped, work);
                    select_biased! {
                        () = stopped => return,
                        () = work => {}
                    }
                }
                let next = lock(&syncer.jobs).next(&peer);
                // The loop that listens ends with the chain.
                let _loop_ended = syncer.done.unbounded_send(goal.head);
                let Some(next) = next else { return };
                (peer, goal) = next;
            }
        };
        self.chain.environment.spawner.spawn("chain-sync", Box::pin(task));
    }

    /// Asks for stretch after stretch until the goal is reached or nothing more comes, or others have waited for a turn.
    async fn catch_up(&self, peer: &PeerId, goal: &Goal) {
        let chain = &*self.chain;
        let began = chain.environment.clock.now();
        let head = goal.child.unwrap_or(goal.head);
        let lowest = chain.finalized().header.number + 1;
        let mut first = if goal.is_final { lowest } else { goal.number.saturating_sub(SMALL_GAP).max(lowest) };
        for _ in 0..SYNC_REQUESTS_MAX {
            let is_over = chain.environment.clock.now().saturating_sub(began) >= SYNC_TURN;
            if goal.is_reached(chain) || (is_over && !lock(&self.jobs).waiting.is_empty()) {
                return;
            }
            let request = BlockRequest { head, first, max: MAX_BLOCKS_PER_RESPONSE as u32 };
            let answer = chain.network.request(peer, BLOCK_PROTOCOL, request.encode().into()).await;
            let bytes = match answer {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::debug!(%peer, %error, "peer does not send blocks");
                    return;
                }
            };
            let response: BlockResponse = match decode_limited(&bytes, MAX_RESPONSE_BYTES) {
                Ok(response) => response,
                Err(error) => return chain.offence(peer, &error),
            };
            match take_stretch(chain, peer, goal, first, response).await {
                Stretch::Last(last) => first = last.saturating_add(1),
                Stretch::Gap if first > chain.finalized().header.number + 1 => {
                    first = chain.finalized().header.number + 1;
                }
                Stretch::Gap | Stretch::End => return,
            }
        }
    }
}

/// What a catching-up is for.
struct Goal {
    head: Hash,
    number: BlockNumber,
    /// What waits for the head.
    child: Option<Hash>,
    /// Whether the head must be final.
    is_final: bool,
}

impl Goal {
    fn is_reached(&self, chain: &Chain) -> bool {
        let tree = chain.tree();
        match self.is_final {
            true => tree.finalized().1.header.number >= self.number,
            false => tree.contains(&self.head),
        }
    }
}

/// What became of an answer.
enum Stretch {
    /// All of it is in the tree, up to this height.
    Last(BlockNumber),
    /// The parent of its first block is not known.
    Gap,
    /// There was nothing, or nothing good.
    End,
}

async fn take_stretch(
    chain: &Chain,
    peer: &PeerId,
    goal: &Goal,
    first: BlockNumber,
    response: BlockResponse,
) -> Stretch {
    let (blocks, proofs) = (response.blocks.into_inner(), response.justifications.into_inner());
    let named: Vec<(Hash, BlockNumber)> = blocks.iter().map(Block::hash).zip(first..=BlockNumber::MAX).collect();
    let parents = blocks.iter().skip(1).map(|block| block.header.parent_hash);
    if named.len() < blocks.len()
        || !parents.eq(named.iter().map(|(hash, _)| *hash).take(blocks.len().saturating_sub(1)))
    {
        chain.offence(peer, &"blocks that do not follow each other");
        return Stretch::End;
    }
    let mut unused = proofs.iter().peekable();
    let (mut last, mut most, mut proven) = (Stretch::End, goal.number, 0);
    for (index, (block, (_, number))) in blocks.iter().zip(&named).enumerate() {
        if block.header.number != *number {
            chain.offence(peer, &"block of another height than asked for");
            return Stretch::End;
        }
        if *number > most {
            break;
        }
        let mut taken = chain.import(block.clone(), Source::Peer).await;
        if let Err(ImportError::Surplus { .. }) = taken {
            if *number > proven {
                proven = proven_up_to(chain, &named[index..], &proofs).await.unwrap_or(proven);
            }
            if *number > proven {
                // The next answer may say more: it begins with this block.
                let Some(distance) = wanted_by(chain, &blocks[index..]) else { return last };
                // If who wants it does not exist, that shows, and whoever brought it is to blame.
                most = most.max(number.saturating_add(distance));
            }
            taken = chain.import(block.clone(), Source::Needed).await;
        }
        match taken {
            // What is already final here is known as well, whether or not it is still in the tree.
            Ok(_) | Err(ImportError::Tree(TreeError::Known(_) | TreeError::Stale(_))) => last = Stretch::Last(*number),
            Err(ImportError::Tree(TreeError::UnknownParent { .. })) if index == 0 => return Stretch::Gap,
            Err(error) => {
                refused(chain, peer, &error);
                return Stretch::End;
            }
        }
        while let Some(proof) = unused.next_if(|proof| proof.target().1 <= *number) {
            if let Err(error) = chain.finalize(proof).await
                && error.is_offence()
            {
                chain.offence(peer, &error);
                return Stretch::End;
            }
        }
    }
    last
}

/// How far above the first of some blocks one is whose author is another and has not used up his slot: he wants the first,
/// whatever else its author made.
fn wanted_by(chain: &Chain, blocks: &[Block]) -> Option<BlockNumber> {
    let claim = |block: &Block| SlotClaim::from_digest(&block.header.digest).ok();
    let first = claim(blocks.first()?)?;
    let wants =
        |claim: SlotClaim| claim.author != first.author && !chain.is_future(claim.slot) && !chain.is_used_up(&claim);
    let distance = blocks.iter().skip(1).position(|block| claim(block).is_some_and(wants))?;
    BlockNumber::try_from(distance + 1).ok()
}

/// Up to which height blocks, each of which is the parent of the next, are proven final.
async fn proven_up_to(chain: &Chain, named: &[(Hash, BlockNumber)], proofs: &[Justification]) -> Option<BlockNumber> {
    let finalized = chain.finalized();
    for proof in proofs.iter().filter(|proof| named.contains(&proof.target())) {
        if chain.check_proof(proof, &finalized).await.is_ok() {
            return Some(proof.target().1);
        }
    }
    None
}

/// A block was refused: logged, counted, and held against whoever sent it if that is to blame.
fn refused(chain: &Chain, peer: &PeerId, error: &ImportError) {
    if error.is_offence() {
        chain.counters().refused += 1;
        chain.offence(peer, error);
    } else if matches!(error, ImportError::Storage(_)) {
        tracing::error!(%error, "block not taken: the disk refuses");
    } else {
        tracing::debug!(%peer, %error, "block not taken");
    }
}

/// The loop of the block protocol.
pub(crate) async fn run(
    chain: Arc<Chain>,
    mut events: Box<dyn ProtocolEvents>,
    syncer: Arc<Syncer>,
    mut synced: mpsc::UnboundedReceiver<Hash>,
) {
    let mut orphans = Orphans::default();
    let (server, asked) = Server::new();
    chain.environment.spawner.spawn("chain-serve", Box::pin(serve::run(chain.clone(), server.clone(), asked)));
    let stopped = chain.until_stopped().fuse();
    pin_mut!(stopped);
    loop {
        let event = select_biased! {
            () = stopped => return,
            head = synced.next() => {
                if let Some(head) = head {
                    caught_up(&chain, &syncer, &mut orphans, head).await;
                }
                continue;
            }
            event = events.next().fuse() => event,
        };
        match event {
            None => return,
            Some(NetworkEvent::Connected { peer, handshake }) => connected(&chain, peer, &handshake),
            Some(NetworkEvent::Disconnected { peer }) => chain.peer_disconnected(BLOCK_PROTOCOL, &peer),
            Some(NetworkEvent::Message { peer, payload }) => match decode_limited(&payload, MAX_NOTIFICATION_BYTES) {
                Ok(BlockMessage::Block(block)) => announced(&chain, &syncer, &mut orphans, peer, block).await,
                Ok(BlockMessage::Have { hash, number }) => {
                    let finalized = chain.finalized().header.number;
                    if number > finalized && !chain.tree().contains(&hash) {
                        syncer.start(peer, hash, number);
                    }
                }
                Err(error) => chain.offence(&peer, &error),
            },
            Some(NetworkEvent::Request { peer, payload, respond }) => {
                match decode_limited(&payload, MAX_CHAIN_REQUEST_BYTES) {
                    Ok(request) => server.take(peer, request, respond),
                    Err(error) => chain.offence(&peer, &error),
                }
            }
        }
    }
}

/// A peer is there: unless it is on another chain, it hears what our best block is.
fn connected(chain: &Chain, peer: PeerId, handshake: &Bytes) {
    if handshake.len() > MAX_CHAIN_REQUEST_BYTES || *handshake != chain.handshake() {
        let theirs: Option<Handshake> = decode_limited(handshake, MAX_CHAIN_REQUEST_BYTES).ok();
        tracing::warn!(%peer, ?theirs, "peer is on another chain");
        chain.refuse(&peer);
        return;
    }
    chain.peer_connected(BLOCK_PROTOCOL, peer.clone());
    let best = chain.best();
    if best.header.number > 0 {
        chain.send(&peer, BLOCK_PROTOCOL, BlockMessage::announce(&best.data.block).into());
    }
}

/// A peer has announced a whole block.
async fn announced(chain: &Chain, syncer: &Arc<Syncer>, orphans: &mut Orphans, peer: PeerId, block: Block) {
    let hash = block.hash();
    match chain.import(block.clone(), Source::Peer).await {
        Ok(imported) => {
            if !imported.is_late {
                chain.announce(&block, Some(&peer));
            }
            adopt(chain, syncer, orphans, hash).await;
        }
        Err(ImportError::Tree(TreeError::UnknownParent { .. })) => {
            syncer.start_for_child(peer.clone(), &block);
            orphans.add(peer, block);
        }
        Err(ImportError::Tree(TreeError::Known(_) | TreeError::Stale(_))) => {}
        Err(error) => refused(chain, &peer, &error),
    }
}

/// A block is there: takes the orphans that waited for it, and those that waited for them.
async fn adopt(chain: &Chain, syncer: &Arc<Syncer>, orphans: &mut Orphans, parent: Hash) {
    let mut open = vec![parent];
    while let Some(parent) = open.pop() {
        for (peer, block) in orphans.take(&parent) {
            let hash = block.hash();
            match chain.import(block.clone(), Source::Peer).await {
                Ok(imported) => {
                    if !imported.is_late {
                        chain.announce(&block, Some(&peer));
                    }
                    open.push(hash);
                }
                Err(ImportError::Tree(TreeError::Known(_))) => open.push(hash),
                Err(ImportError::Tree(TreeError::UnknownParent { .. })) => syncer.start_for_child(peer, &block),
                Err(error) => refused(chain, &peer, &error),
            }
        }
    }
}

/// A catching-up has ended: whoever waited for its head and did not get it is dropped; of the others those are taken
/// whose parents are there now, and the parent of the first that is left is asked for.
async fn caught_up(chain: &Chain, syncer: &Arc<Syncer>, orphans: &mut Orphans, head: Hash) {
    if !chain.tree().contains(&head) {
        drop(orphans.take(&head));
    }
    let parents: Vec<Hash> = orphans.by_parent.keys().copied().collect();
    for parent in parents {
        if chain.tree().contains(&parent) {
            adopt(chain, syncer, orphans, parent).await;
        }
    }
    if let Some((peer, block)) = orphans.by_parent.values().next().and_then(|waiting| waiting.first()) {
        syncer.start_for_child(peer.clone(), block);
    }
}

#[cfg(test)]
mod tests {
    use primitives::Header;

    use super::*;

    #[test]
    fn orphans_of_those_who_have_most_make_room() {
        let mut orphans = Orphans::default();
        let mut add = |peer: u8, parent: usize| {
            let parent_hash = primitives::blake2_256(&parent.to_le_bytes());
            let (state_root, extrinsics_root) = (Hash::ZERO, Hash::ZERO);
            let header = Header { parent_hash, number: 9, state_root, extrinsics_root, digest: Vec::new() };
            orphans.add(PeerId::new(&[peer]).unwrap(), Block { header, extrinsics: Vec::new() });
            parent_hash
        };
        let honest = add(0, 0);
        for index in 0..2 * ORPHANS_MAX {
            add(1 + (index % 8) as u8, 1 + index);
        }
        assert_eq!(orphans.count, ORPHANS_MAX);
        assert_eq!(orphans.by_parent.values().map(Vec::len).sum::<usize>(), ORPHANS_MAX);
        assert_eq!(orphans.take(&honest).len(), 1);
        assert_eq!(orphans.count, ORPHANS_MAX - 1);
    }
}
