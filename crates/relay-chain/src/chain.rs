//! What all tasks of the chain share: the tree, the disk, the readers of events, the peers.
//!
//! Locks are held for moments only and never across an await or foreign code, so that a snapshot never waits for an
//! import.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use codec::Encode;
use deterministic::{ComputeError, Environment};
use overseer::{Feed, answer::FeedSender};
use ports::{ChainEvent, ImportedBlock, InherentSource, Keystore, Network, PeerId, ProtocolId, StorageError};
use primitives::{CandidateEvent, Hash, Header, Slot, ValidatorId};
use runtime::{Block, State, Verifier};
use tokio::sync::{Notify, watch};

use crate::{
    Held,
    finality::VotingRule,
    index::BlockIndex,
    justification::{DoubleVote, Justification, JustificationError, Vote, stage, voters},
    messages::{BLOCK_PROTOCOL, BlockMessage, Handshake, PROTOCOL_VERSION},
    reports::ReportPool,
    reverts::Condemned,
    slots::{SlotContext, slot_at},
    storage::{Storage, StoredBlock},
    transactions::TransactionPool,
    tree::{Entry, Tree, TreeError},
};

/// Events that a reader of the chain may leave unread before it has lagged.
pub const FEED_CAPACITY: usize = 1024;
/// Readers of events at once; older ones are not dropped, later ones are at once.
pub const FEEDS_MAX: usize = 64;
/// Wrong things that a peer may send before it is refused.
pub const MAX_OFFENCES: u32 = 3;
/// How long a peer is refused then.
pub const REFUSE_PEER_FOR: Duration = Duration::from_secs(300);
/// Proofs that a voter voted twice that are kept, the newest.
pub const DOUBLE_VOTES_KEPT: usize = 256;
/// Peers whose offences are remembered.
pub const OFFENDERS_MAX: usize = 1024;

/// What the tree keeps with each block.
#[derive(Clone)]
pub(crate) struct BlockData {
    /// The block.
    pub(crate) block: Arc<Block>,
    /// The state after it.
    pub(crate) state: Arc<State>,
    /// What it did to candidates.
    pub(crate) events: Arc<[CandidateEvent]>,
    /// The set of voters that finalizes what is built on it.
    pub(crate) set_id: u64,
}

/// A block as of one moment: nothing in it changes.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) hash: Hash,
    pub(crate) header: Header,
    pub(crate) slot: Slot,
    pub(crate) data: BlockData,
}

impl Snapshot {
    fn new(hash: Hash, entry: &Entry<BlockData>) -> Self {
        Self { hash, header: entry.header.clone(), slot: entry.slot, data: entry.data.clone() }
    }
}

/// Totals since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) imported: u64,
    pub(crate) forks: u64,
    pub(crate) authored: u64,
    pub(crate) refused: u64,
    pub(crate) abandoned: u64,
    pub(crate) too_late: u64,
    pub(crate) double_votes: u64,
}

/// Why a proof of finality was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FinalizeError {
    /// The block is not in the tree, or below the finalized one.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It names another voter set than the one that votes now.
    #[error("justification is of voter set {found}, expected {expected}")]
    VoterSet {
        /// The set that votes now.
        expected: u64,
        /// The one in the justification.
        found: u64,
    },
    /// It jumps over the block whose finalization changes the voters.
    #[error("justification of block {target:?} passes block {change:?}, which changes the voters")]
    PassesChange {
        /// The block of the justification.
        target: Hash,
        /// The last block that its voters may finalize.
        change: Hash,
    },
    /// It proves nothing.
    #[error(transparent)]
    Justification(#[from] JustificationError),
    /// It could not be checked here.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// It could not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl FinalizeError {
    /// Whether whoever sent it is to blame.
    pub fn is_offence(&self) -> bool {
        matches!(self, Self::Justification(_) | Self::PassesChange { .. })
    }
}

/// What never changes while the chain runs.
pub(crate) struct Settings {
    pub(crate) genesis: Hash,
    pub(crate) slot_ms: u64,
    pub(crate) forks_per_million: u32,
    pub(crate) verifier: Arc<dyn Verifier + Send + Sync>,
}

/// The shared part.
pub(crate) struct Chain {
    pub(crate) settings: Settings,
    pub(crate) environment: Environment,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) keystore: Option<Arc<dyn Keystore>>,
    pub(crate) storage: Storage,
    pub(crate) index: BlockIndex,
    pub(crate) inherent_source: OnceLock<Arc<dyn InherentSource>>,
    pub(crate) voting_rule: OnceLock<Arc<dyn VotingRule>>,
    /// One import at a time, first come, first served.
    pub(crate) importing: tokio::sync::Mutex<()>,
    finalizing: tokio::sync::Mutex<()>,
    tree: Mutex<Tree<BlockData>>,
    /// Locked after the tree, if both are.
    condemned: Mutex<Condemned>,
    feeds: Mutex<Vec<FeedSender<ChainEvent>>>,
    counters: Mutex<Counters>,
    reports: Mutex<ReportPool>,
    transactions: Mutex<TransactionPool>,
    peers: Mutex<BTreeMap<ProtocolId, BTreeSet<PeerId>>>,
    offences: Mutex<BTreeMap<PeerId, u32>>,
    double_votes: Mutex<VecDeque<DoubleVote>>,
    /// Counts changes of the tree.
    changed: watch::Sender<u64>,
    /// Woken whenever another block may be best, or final; one task waits.
    pub(crate) moved: Notify,
    stopped: watch::Sender<bool>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing foreign runs under these locks, so what a poisoned one holds is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_set(justification: &Justification, expected: u64) -> Result<(), FinalizeError> {
    let found = justification.set_id;
    if found == expected { Ok(()) } else { Err(FinalizeError::VoterSet { expected, found }) }
}

impl Chain {
    #[allow(clippy::too_many_arguments, reason = "each is another part of the chain, and there is one caller")]
    pub(crate) fn new(
        settings: Settings,
        environment: Environment,
        network: Arc<dyn Network>,
        keystore: Option<Arc<dyn Keystore>>,
        storage: Storage,
        index: BlockIndex,
        tree: Tree<BlockData>,
        condemned: Condemned,
    ) -> Self {
        Self {
            settings,
            environment,
            network,
            keystore,
            storage,
            index,
            inherent_source: OnceLock::new(),
            voting_rule: OnceLock::new(),
            importing: tokio::sync::Mutex::default(),
            finalizing: tokio::sync::Mutex::default(),
            tree: Mutex::new(tree),
            condemned: Mutex::new(condemned),
            feeds: Mutex::default(),
            counters: Mutex::default(),
            reports: Mutex::default(),
            transactions: Mutex::default(),
            peers: Mutex::default(),
            offences: Mutex::default(),
            double_votes: Mutex::default(),
            changed: watch::Sender::new(0),
            moved: Notify::new(),
            stopped: watch::Sender::new(false),
        }
    }

    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree<BlockData>> {
        lock(&self.tree)
    }

    pub(crate) fn condemned(&self) -> MutexGuard<'_, Condemned> {
        lock(&self.condemned)
    }

    pub(crate) fn reports(&self) -> MutexGuard<'_, ReportPool> {
        lock(&self.reports)
    }

    pub(crate) fn transactions(&self) -> MutexGuard<'_, TransactionPool> {
        lock(&self.transactions)
    }

    /// Tells the transactions that wait what the best chain carries.
    pub(crate) fn follow_best(&self) {
        // Never both locks at once. Where another call comes between, the next one makes up for it.
        let chain = {
            let tree = self.tree();
            let mut chain = BTreeMap::new();
            let (mut hash, mut entry) = tree.best();
            while let Some(parent) = tree.get(&entry.header.parent_hash) {
                chain.insert(hash, entry.data.block.clone());
                (hash, entry) = (entry.header.parent_hash, parent);
            }
            chain
        };
        self.transactions().follow(&chain);
        self.moved.notify_one();
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        lock(&self.counters)
    }

    pub(crate) fn snapshot(&self, hash: &Hash) -> Option<Snapshot> {
        self.tree().get(hash).map(|entry| Snapshot::new(*hash, entry))
    }

    pub(crate) fn best(&self) -> Snapshot {
        let tree = self.tree();
        let (hash, entry) = tree.best();
        Snapshot::new(hash, entry)
    }

    /// The head that a block of ours is to be built on: the best one on whose chain no block above the finalized one is
    /// disputed (AV-6), or the best one if all are.
    pub(crate) fn to_build_on(&self) -> Snapshot {
        let tree = self.tree();
        let floor = tree.finalized().1.header.number;
        let is_undisputed = |leaf: &Entry<BlockData>| leaf.data.state.first_disputed_block_above(floor).is_none();
        let (hash, entry) = tree.best_where(is_undisputed).unwrap_or_else(|| tree.best());
        Snapshot::new(hash, entry)
    }

    pub(crate) fn finalized(&self) -> Snapshot {
        let tree = self.tree();
        let (hash, entry) = tree.finalized();
        Snapshot::new(hash, entry)
    }

    pub(crate) fn handshake(&self) -> Bytes {
        let Settings { genesis, slot_ms, forks_per_million, .. } = self.settings;
        Handshake { version: PROTOCOL_VERSION, genesis, slot_ms, forks_per_million }.encode().into()
    }

    pub(crate) fn slot_now(&self) -> Slot {
        slot_at(self.now_ms(), self.settings.slot_ms)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.environment.clock.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// What claims to slots on top of a state are checked against.
    pub(crate) fn slot_context<'a>(&self, state: &State, validators: &'a [ValidatorId]) -> SlotContext<'a> {
        let Settings { genesis, forks_per_million, .. } = self.settings;
        let (session, randomness) = (state.session_index(), state.randomness());
        SlotContext { genesis, randomness, session, validators, forks_per_million }
    }

    // ---- events -----------------------------------------------------------------------------------------------

    /// Counts up whenever the tree has changed. One task waits for it: in which order several would be woken is not
    /// determined.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn subscribe(&self) -> Feed<ChainEvent> {
        let (sender, feed) = Feed::bounded("subscribe", "relay-chain", FEED_CAPACITY);
        let mut feeds = lock(&self.feeds);
        if feeds.len() < FEEDS_MAX {
            feeds.push(sender);
        }
        feed
    }

    /// To be called under the lock of the tree, so that events come in the order of changes.
    pub(crate) fn publish(&self, event: &ChainEvent) {
        lock(&self.feeds).retain(|feed| feed.push(event.clone()));
        self.changed.send_modify(|count| *count += 1);
    }

    /// How a block looks to readers.
    pub(crate) fn imported(&self, tree: &Tree<BlockData>, hash: Hash) -> Option<ImportedBlock> {
        let entry = tree.get(&hash)?;
        let session_index = entry.data.state.session_index();
        Some(ImportedBlock { hash, header: entry.header.clone(), session_index, is_best: tree.best().0 == hash })
    }

    // ---- finality ---------------------------------------------------------------------------------------------

    /// Checks a proof of finality against the voters of the finalized block, stores it and makes its block final.
    /// `Ok(false)` if the block was final before.
    pub(crate) async fn finalize(&self, justification: &Justification) -> Result<bool, FinalizeError> {
        let _one_at_a_time = self.finalizing.lock().await;
        let (hash, number) = justification.target();
        let finalized = self.finalized();
        if number <= finalized.header.number {
            return Ok(false);
        }
        let expected = finalized.data.set_id;
        check_set(justification, expected)?;
        match self.snapshot(&hash) {
            Some(known) if known.header.number == number => {}
            _ => return Err(TreeError::Unknown(hash).into()),
        }
        if let Some(change) = self.change_between(&finalized.hash, &hash, expected) {
            return Err(FinalizeError::PassesChange { target: hash, change });
        }
        self.check_proof(justification, &finalized).await?;
        self.storage.put_finalized(justification).await?;
        let removed = {
            let mut tree = self.tree();
            let done = tree.finalize(hash)?;
            self.condemned().forget(&tree.finalized().1.data.state);
            if !done.overruled.is_empty() {
                self.counters().too_late += 1;
                tracing::error!(number, ?hash, given_up = ?done.overruled, "what was given up became final");
            }
            self.publish(&ChainEvent::Finalized { hash, number, stale_heads: done.stale_heads });
            done.removed
        };
        self.follow_best();
        tracing::debug!(number, ?hash, "finalized");
        for (number, hash) in removed {
            if let Err(error) = self.storage.remove_block(StoredBlock { number, hash }).await {
                tracing::warn!(%error, "cannot remove a block of a dead fork");
            }
        }
        Ok(true)
    }

    /// Checks a proof against those who vote on top of the finalized block; its block may not be here.
    pub(crate) async fn check_proof(
        &self,
        justification: &Justification,
        finalized: &Snapshot,
    ) -> Result<(), FinalizeError> {
        check_set(justification, finalized.data.set_id)?;
        let validators = finalized.data.state.validators().to_vec();
        let proof = justification.clone();
        let verify = move || match voters(&validators) {
            Some(voters) => proof.verify(&voters),
            None => Err(JustificationError::NotEnough(proof.commit.target_hash)),
        };
        let bytes = justification.encoded_size();
        let verdict = deterministic::compute(
            &*self.environment.compute,
            deterministic::ComputeKind::VerifySignatures,
            bytes,
            verify,
        );
        Ok(verdict.await??)
    }

    /// A voter voted twice: kept and counted, once.
    pub(crate) fn voted_twice(&self, proof: DoubleVote) {
        let Vote { set_id, round, signed } = &proof.second;
        let mut kept = lock(&self.double_votes);
        let is_known = |known: &DoubleVote| {
            let Vote { signed: other, .. } = &known.second;
            (known.second.set_id, known.second.round, other.id, stage(&other.message))
                == (*set_id, *round, signed.id, stage(&signed.message))
        };
        if kept.iter().any(is_known) {
            return;
        }
        tracing::error!(set_id, round, voter = ?signed.id, "voter voted twice");
        if kept.len() >= DOUBLE_VOTES_KEPT {
            kept.pop_front();
        }
        kept.push_back(proof);
        self.counters().double_votes += 1;
    }

    pub(crate) fn double_votes(&self) -> Vec<DoubleVote> {
        lock(&self.double_votes).iter().cloned().collect()
    }

    /// The lowest block between two that ends the work of a set of voters.
    fn change_between(&self, base: &Hash, target: &Hash, set_id: u64) -> Option<Hash> {
        let tree = self.tree();
        let between = tree.ancestry(base, target)?;
        between.into_iter().rev().find(|hash| tree.get(hash).is_some_and(|entry| entry.data.set_id != set_id))
    }

    // ---- peers ------------------------------------------------------------------------------------------------

    pub(crate) fn peer_connected(&self, protocol: ProtocolId, peer: PeerId) {
        lock(&self.peers).entry(protocol).or_default().insert(peer);
    }

    pub(crate) fn peer_disconnected(&self, protocol: ProtocolId, peer: &PeerId) {
        if let Some(peers) = lock(&self.peers).get_mut(&protocol) {
            peers.remove(peer);
        }
    }

    pub(crate) fn peers(&self, protocol: ProtocolId) -> Vec<PeerId> {
        lock(&self.peers).get(&protocol).map_or_else(Vec::new, |peers| peers.iter().cloned().collect())
    }

    /// Sends to all peers of a protocol but one. Who cannot take it is closed by the network and gets the newest things
    /// when it comes back.
    pub(crate) fn broadcast(&self, protocol: ProtocolId, payload: &Bytes, except: Option<&PeerId>) {
        for peer in self.peers(protocol) {
            if Some(&peer) != except {
                self.send(&peer, protocol, payload.clone());
            }
        }
    }

    pub(crate) fn send(&self, peer: &PeerId, protocol: ProtocolId, payload: Bytes) {
        if let Err(refused) = self.network.send(peer, protocol, payload) {
            tracing::debug!(%peer, ?protocol, %refused, "message not sent");
        }
    }

    pub(crate) fn announce(&self, block: &Block, except: Option<&PeerId>) {
        self.broadcast(BLOCK_PROTOCOL, &BlockMessage::announce(block).into(), except);
    }

    /// Somebody sent something wrong: after [`MAX_OFFENCES`] of it the peer is refused for [`REFUSE_PEER_FOR`].
    pub(crate) fn offence(&self, peer: &PeerId, what: &dyn std::fmt::Display) {
        tracing::warn!(%peer, %what, "peer sent something wrong");
        let count = {
            let mut offences = lock(&self.offences);
            count_offence(&mut offences, peer)
        };
        if count >= MAX_OFFENCES {
            lock(&self.offences).remove(peer);
            self.refuse(peer);
        }
    }

    /// Closes all connections to a peer and refuses it for a while.
    pub(crate) fn refuse(&self, peer: &PeerId) {
        tracing::warn!(%peer, "peer is refused");
        self.network.disconnect(peer, REFUSE_PEER_FOR);
    }

    // ---- memory -----------------------------------------------------------------------------------------------

    pub(crate) fn held(&self) -> Held {
        Held {
            blocks: self.tree().entries().count(),
            waiting: self.transactions().len() + self.reports().len(),
            condemned: self.condemned().names().len(),
            offenders: lock(&self.offences).len(),
            feeds: lock(&self.feeds).len(),
        }
    }

    // ---- end --------------------------------------------------------------------------------------------------

    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
        lock(&self.feeds).drain(..).for_each(FeedSender::end);
    }

    /// Returns once the chain is to stop. Cancel-safe.
    pub(crate) async fn until_stopped(&self) {
        let mut stopped = self.stopped.subscribe();
        // An error would mean that the sender is gone, which is a field of `self`.
        let _sender_lives = stopped.wait_for(|stopped| *stopped).await;
    }
}

/// Counts one more offence of a peer. If too many peers are remembered, one with the fewest makes room: newcomers push out
/// nobody who is about to be refused.
fn count_offence(offences: &mut BTreeMap<PeerId, u32>, peer: &PeerId) -> u32 {
    if offences.len() >= OFFENDERS_MAX
        && !offences.contains_key(peer)
        && let Some(least) = offences.iter().min_by_key(|(_, count)| **count).map(|(least, _)| least.clone())
    {
        offences.remove(&least);
    }
    let count = offences.entry(peer.clone()).or_default();
    *count += 1;
    *count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_push_out_nobody_who_has_offended_often() {
        let mut offences = BTreeMap::new();
        let peer = |index: u32| PeerId::new(&index.to_le_bytes()).unwrap();
        assert_eq!([1, 2].map(|_| count_offence(&mut offences, &peer(0))), [1, 2]);
        for index in 1..=2 * OFFENDERS_MAX as u32 {
            assert_eq!(count_offence(&mut offences, &peer(index)), 1);
        }
        assert_eq!(offences.len(), OFFENDERS_MAX);
        assert_eq!(count_offence(&mut offences, &peer(0)), 3);
    }
}
