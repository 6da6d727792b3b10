//! The pure state machine: network events, heartbeat and results of jobs in, effects out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use codec::{Decode, Encode};
use jobs::ScopeView as _;
use messages::network_bridge::{NetworkBridgeEvent, ObservedRole, PeerConduct, PeerInfo, View};
use messages::statement_distribution::Share;
use messages::{LeavesState, LeavesUpdate, candidate_backing};
use ports::{PeerId, SessionContext};
use primitives::{Hash, MisbehaviorReport, SignedMessage, UncheckedSignedFullStatement, decode_limited};

use crate::limits::{DEPTH, ENDED_MAX, MESSAGE_BYTES_MAX, PEERS_MAX};
use crate::relay_parent::RelayParent;

/// What goes over the wire on `stmd`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StatementMessage {
    /// The relay parent at which the statement was made.
    pub relay_parent: Hash,
    /// The statement; whoever gets it checks it.
    pub statement: UncheckedSignedFullStatement,
}

/// What the loop is to do.
#[derive(Debug)]
pub enum Effect {
    /// Learn the session of a relay parent that came into view.
    FetchSession(Hash),
    /// Check signatures and bring back one answer for each.
    Verify {
        /// For which relay parent.
        relay_parent: Hash,
        /// The signatures.
        batch: Vec<SignedMessage>,
    },
    /// Count a peer's conduct.
    Report(PeerId, PeerConduct),
    /// Send a statement.
    Send {
        /// Its relay parent.
        relay_parent: Hash,
        /// Which statement of that relay parent, for [`State::not_sent`].
        index: usize,
        /// To whom.
        peers: Vec<PeerId>,
        /// The encoded message.
        payload: Bytes,
    },
    /// Give a statement to backing.
    Import(candidate_backing::Statement),
    /// Hand on the proof of a contradiction.
    Misbehavior {
        /// Where it was noticed.
        relay_parent: Hash,
        /// The proof.
        report: MisbehaviorReport,
    },
}

struct Peer {
    view: View,
    /// Whether statements are of use to it.
    wants: bool,
}

/// Peers, and the relay parents in view.
#[derive(Default)]
pub struct State {
    leaves: LeavesState,
    relay_parents: BTreeMap<Hash, RelayParent>,
    ended: VecDeque<Hash>,
    peers: BTreeMap<PeerId, Peer>,
}

impl State {
    /// The view by which scopes end.
    pub fn leaves(&self) -> &LeavesState {
        &self.leaves
    }

    /// The heartbeat: relay parents come into view and leave it.
    pub fn heartbeat(&mut self, update: &LeavesUpdate) -> Vec<Effect> {
        self.leaves.apply(update);
        let leaves = &self.leaves;
        let over: Vec<Hash> =
            self.relay_parents.keys().filter(|hash| !leaves.is_in_view(hash, DEPTH)).copied().collect();
        for hash in over {
            self.relay_parents.remove(&hash);
            self.ended.push_back(hash);
            if self.ended.len() > ENDED_MAX {
                self.ended.pop_front();
            }
        }
        let mut effects = Vec::new();
        for leaf in &update.started {
            let ancestors = leaf.ancestors.iter().take(DEPTH as usize);
            for hash in std::iter::once(&leaf.hash).chain(ancestors) {
                if self.leaves.is_in_view(hash, DEPTH) && !self.relay_parents.contains_key(hash) {
                    self.relay_parents.insert(*hash, RelayParent::new(*hash));
                    self.ended.retain(|ended| ended != hash);
                    effects.push(Effect::FetchSession(*hash));
                }
            }
        }
        // A new leaf tells us of more heads which relay parents lie behind them.
        let peers: Vec<PeerId> = self.peers.keys().cloned().collect();
        for peer in peers {
            self.offer(&peer, &mut effects);
        }
        effects
    }

    /// The session of a relay parent is known.
    pub fn session(&mut self, relay_parent: Hash, session: Arc<SessionContext>) -> Vec<Effect> {
        let acceptors = self.acceptors(&relay_parent);
        let mut effects = Vec::new();
        if let Some(at) = self.relay_parents.get_mut(&relay_parent) {
            at.set_session(session, &acceptors, &mut effects);
        }
        effects
    }

    /// The answers to [`Effect::Verify`]; none if it could not be done.
    pub fn verified(&mut self, relay_parent: Hash, good: &[bool]) -> Vec<Effect> {
        let acceptors = self.acceptors(&relay_parent);
        let mut effects = Vec::new();
        if let Some(at) = self.relay_parents.get_mut(&relay_parent) {
            at.verified(good, &acceptors, &mut effects);
        }
        effects
    }

    /// A statement of ours is to be spread.
    pub fn share(&mut self, share: Share) -> Vec<Effect> {
        let acceptors = self.acceptors(&share.relay_parent);
        let mut effects = Vec::new();
        match self.relay_parents.get_mut(&share.relay_parent) {
            Some(at) => at.share(share.signed, &acceptors, &mut effects),
            None => tracing::debug!(relay_parent = ?share.relay_parent, "statement of ours is for no block in view"),
        }
        effects
    }

    /// A cast was refused: what it carried is offered again later.
    pub fn not_sent(&mut self, relay_parent: Hash, index: usize, peers: &[PeerId]) {
        if let Some(at) = self.relay_parents.get_mut(&relay_parent) {
            at.not_sent(index, peers);
        }
    }

    /// Something happened on the protocol.
    pub fn network(&mut self, event: NetworkBridgeEvent) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            NetworkBridgeEvent::PeerConnected(peer, info) => self.connected(peer, &info),
            NetworkBridgeEvent::PeerDisconnected(peer) => {
                self.peers.remove(&peer);
                self.relay_parents.values_mut().for_each(|at| at.forget(&peer));
            }
            NetworkBridgeEvent::PeerViewChange(peer, view) => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.view = view;
                    self.offer(&peer, &mut effects);
                }
            }
            // The heartbeat tells us more, and earlier.
            NetworkBridgeEvent::OurViewChange(_) => {}
            NetworkBridgeEvent::PeerMessage(peer, payload) => self.message(peer, &payload, &mut effects),
            // There are no requests on this protocol; dropping the way back refuses it.
            NetworkBridgeEvent::IncomingRequest(peer, _, _) => {
                effects.push(Effect::Report(peer, PeerConduct::CostMalformed));
            }
        }
        effects
    }

    fn connected(&mut self, peer: PeerId, info: &PeerInfo) {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&peer) {
            tracing::warn!(%peer, "peer is not tracked: {PEERS_MAX} are already");
            return;
        }
        let wants = matches!(info.role, ObservedRole::Validator | ObservedRole::Full);
        self.relay_parents.values_mut().for_each(|at| at.forget(&peer));
        self.peers.insert(peer, Peer { view: View::default(), wants });
    }

    fn message(&mut self, peer: PeerId, payload: &Bytes, effects: &mut Vec<Effect>) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        let message = match decode_limited::<StatementMessage>(payload, MESSAGE_BYTES_MAX) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%peer, %error, "statement cannot be decoded");
                return effects.push(Effect::Report(peer, PeerConduct::CostMalformed));
            }
        };
        match self.relay_parents.get_mut(&message.relay_parent) {
            Some(at) => at.receive(&peer, message.statement, payload.len(), effects),
            // State C: it was on its way when the relay parent left our view.
            None if self.ended.contains(&message.relay_parent) => {}
            None => effects.push(Effect::Report(peer, PeerConduct::CostUnneeded)),
        }
    }

    /// Offers a peer everything at the relay parents that its view reaches.
    fn offer(&mut self, peer: &PeerId, effects: &mut Vec<Effect>) {
        let Some(known) = self.peers.get(peer).filter(|known| known.wants) else { return };
        for (hash, at) in &mut self.relay_parents {
            let heads = heads_over(&self.leaves, hash);
            if known.view.0.iter().any(|head| heads.contains(head)) {
                at.offer(peer, effects);
            }
        }
    }

    /// The peers that take statements at a relay parent now.
    fn acceptors(&self, relay_parent: &Hash) -> Vec<PeerId> {
        let heads = heads_over(&self.leaves, relay_parent);
        let accepts = |peer: &Peer| peer.wants && peer.view.0.iter().any(|head| heads.contains(head));
        self.peers.iter().filter(|(_, peer)| accepts(peer)).map(|(id, _)| id.clone()).collect()
    }
}

/// The heads, as far as we know them, whose owner works on this relay parent: itself and those with it among their last
/// [`DEPTH`] ancestors.
fn heads_over(leaves: &LeavesState, relay_parent: &Hash) -> BTreeSet<Hash> {
    let mut heads = BTreeSet::from([*relay_parent]);
    for leaf in leaves.leaves.values() {
        let chain = || std::iter::once(&leaf.hash).chain(leaf.ancestors.iter());
        if let Some(position) = chain().position(|hash| hash == relay_parent) {
            let first = position.saturating_sub(DEPTH as usize);
            heads.extend(chain().take(position).skip(first));
        }
    }
    heads
}
