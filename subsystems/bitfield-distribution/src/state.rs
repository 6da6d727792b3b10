//! The pure state machine: network events, heartbeat and results of jobs in, effects out.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use codec::{Decode, Encode};
use messages::bitfield_distribution::DistributeBitfield;
use messages::network_bridge::{NetworkBridgeEvent, ObservedRole, PeerConduct, PeerInfo, View};
use messages::{LeavesState, LeavesUpdate, provisioner};
use ports::PeerId;
use primitives::{Hash, SignedMessage, UncheckedSignedAvailabilityBitfield, ValidatorIndex, decode_limited};

use crate::leaf::Leaf;
pub use crate::leaf::LeafInfo;
use crate::limits::{ENDED_MAX, MESSAGE_BYTES_MAX, PEERS_MAX};

/// What goes over the wire on `bitd`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BitfieldMessage {
    /// The relay parent that the bitfield is signed for.
    pub relay_parent: Hash,
    /// The bitfield; whoever gets it checks it.
    pub bitfield: UncheckedSignedAvailabilityBitfield,
}

/// What the loop is to do.
#[derive(Debug)]
pub enum Effect {
    /// Learn session and cores of a leaf.
    FetchInfo(Hash),
    /// Check signatures and bring back one answer for each.
    Verify {
        /// For which leaf.
        relay_parent: Hash,
        /// The signatures.
        batch: Vec<SignedMessage>,
    },
    /// Count a peer's conduct.
    Report(PeerId, PeerConduct),
    /// Send a bitfield.
    Send {
        /// For which leaf.
        relay_parent: Hash,
        /// Whose it is, for [`State::not_sent`].
        validator: ValidatorIndex,
        /// To whom.
        peers: Vec<PeerId>,
        /// The encoded message.
        payload: Bytes,
    },
    /// Give a bitfield to the provisioner.
    Provide(provisioner::Bitfield),
}

struct Peer {
    view: View,
    /// Whether bitfields are of use to it.
    wants: bool,
}

/// Peers, and the active leaves.
#[derive(Default)]
pub struct State {
    leaves: LeavesState,
    by_leaf: BTreeMap<Hash, Leaf>,
    ended: VecDeque<Hash>,
    peers: BTreeMap<PeerId, Peer>,
}

impl State {
    /// The view by which scopes end.
    pub fn leaves(&self) -> &LeavesState {
        &self.leaves
    }

    /// The heartbeat: a bitfield is of use only to the author of a child of its leaf.
    pub fn heartbeat(&mut self, update: &LeavesUpdate) -> Vec<Effect> {
        self.leaves.apply(update);
        for hash in &update.stopped {
            if self.by_leaf.remove(hash).is_some() {
                self.ended.push_back(*hash);
            }
        }
        while self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
        let mut effects = Vec::new();
        for leaf in &update.started {
            self.ended.retain(|ended| *ended != leaf.hash);
            if self.by_leaf.insert(leaf.hash, Leaf::new(leaf.hash)).is_none() {
                effects.push(Effect::FetchInfo(leaf.hash));
            }
        }
        effects
    }

    /// Session and cores of a leaf are known.
    pub fn info(&mut self, relay_parent: Hash, info: LeafInfo) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(leaf) = self.by_leaf.get_mut(&relay_parent) {
            leaf.set_info(info, &mut effects);
        }
        effects
    }

    /// The answers to [`Effect::Verify`]; none if it could not be done.
    pub fn verified(&mut self, relay_parent: Hash, good: &[bool]) -> Vec<Effect> {
        let acceptors = self.acceptors(&relay_parent);
        let mut effects = Vec::new();
        if let Some(leaf) = self.by_leaf.get_mut(&relay_parent) {
            leaf.verified(good, &acceptors, &mut effects);
        }
        effects
    }

    /// A bitfield of ours is to be spread.
    pub fn distribute(&mut self, message: DistributeBitfield) -> Vec<Effect> {
        let acceptors = self.acceptors(&message.relay_parent);
        let mut effects = Vec::new();
        match self.by_leaf.get_mut(&message.relay_parent) {
            Some(leaf) => drop(leaf.import(message.signed, &acceptors, &mut effects)),
            None => tracing::debug!(relay_parent = ?message.relay_parent, "bitfield of ours is for no active leaf"),
        }
        effects
    }

    /// A cast was refused: what it carried is offered again later.
    pub fn not_sent(&mut self, relay_parent: Hash, validator: ValidatorIndex, peers: &[PeerId]) {
        if let Some(leaf) = self.by_leaf.get_mut(&relay_parent) {
            leaf.not_sent(validator, peers);
        }
    }

    /// Something happened on the protocol.
    pub fn network(&mut self, event: NetworkBridgeEvent) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            NetworkBridgeEvent::PeerConnected(peer, info) => self.connected(peer, &info),
            NetworkBridgeEvent::PeerDisconnected(peer) => {
                self.peers.remove(&peer);
                self.by_leaf.values_mut().for_each(|leaf| leaf.forget(&peer));
            }
            NetworkBridgeEvent::PeerViewChange(peer, view) => self.view_change(&peer, view, &mut effects),
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
        self.by_leaf.values_mut().for_each(|leaf| leaf.forget(&peer));
        self.peers.insert(peer, Peer { view: View::default(), wants });
    }

    fn view_change(&mut self, peer: &PeerId, view: View, effects: &mut Vec<Effect>) {
        let Some(known) = self.peers.get_mut(peer) else { return };
        known.view = view;
        if !known.wants {
            return;
        }
        for (hash, leaf) in &mut self.by_leaf {
            if known.view.contains(hash) {
                leaf.offer(peer, effects);
            }
        }
    }

    fn message(&mut self, peer: PeerId, payload: &Bytes, effects: &mut Vec<Effect>) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        let message = match decode_limited::<BitfieldMessage>(payload, MESSAGE_BYTES_MAX) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(%peer, %error, "bitfield cannot be decoded");
                return effects.push(Effect::Report(peer, PeerConduct::CostMalformed));
            }
        };
        match self.by_leaf.get_mut(&message.relay_parent) {
            Some(leaf) => leaf.receive(&peer, message.bitfield, effects),
            // It was on its way when the leaf stopped.
            None if self.ended.contains(&message.relay_parent) => {}
            None => effects.push(Effect::Report(peer, PeerConduct::CostUnneeded)),
        }
    }

    /// The peers that take bitfields for a leaf now.
    fn acceptors(&self, relay_parent: &Hash) -> Vec<PeerId> {
        let accepts = |peer: &Peer| peer.wants && peer.view.contains(relay_parent);
        self.peers.iter().filter(|(_, peer)| accepts(peer)).map(|(id, _)| id.clone()).collect()
    }
}
