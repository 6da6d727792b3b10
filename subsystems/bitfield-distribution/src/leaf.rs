//! All that is known of the bitfields for one leaf.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use codec::Encode as _;
use messages::network_bridge::PeerConduct;
use messages::provisioner;
use ports::{PeerId, SessionContext};
use primitives::{
    Hash, Signed, SignedAvailabilityBitfield, SignedMessage, SigningContext, UncheckedSignedAvailabilityBitfield,
    ValidatorIndex,
};

use crate::limits::{BATCH_MAX, HELD_MAX, HELD_PER_PEER_MAX, QUEUE_MAX};
use crate::state::{BitfieldMessage, Effect};

/// What a bitfield is measured by.
#[derive(Clone, Debug)]
pub struct LeafInfo {
    /// The validators.
    pub session: Arc<SessionContext>,
    /// How many cores there are, and so bits.
    pub cores: usize,
}

/// A bitfield whose signature is not yet checked.
struct Pending {
    bitfield: UncheckedSignedAvailabilityBitfield,
    /// Who brought it, first come first.
    peers: Vec<PeerId>,
}

/// What passed between a peer and us about this leaf.
#[derive(Default)]
struct PeerKnowledge {
    /// Whose bitfields the peer has sent us.
    received: BTreeSet<ValidatorIndex>,
    /// Whose bitfields we have sent it.
    sent: BTreeSet<ValidatorIndex>,
}

/// The bitfields for one leaf.
pub(crate) struct Leaf {
    hash: Hash,
    info: Option<LeafInfo>,
    held: VecDeque<(PeerId, UncheckedSignedAvailabilityBitfield)>,
    /// Checked, as they go over the wire.
    accepted: BTreeMap<ValidatorIndex, Bytes>,
    queue: VecDeque<Pending>,
    in_flight: Vec<Pending>,
    peers: BTreeMap<PeerId, PeerKnowledge>,
}

impl Leaf {
    pub(crate) fn new(hash: Hash) -> Self {
        Self {
            hash,
            info: None,
            held: VecDeque::new(),
            accepted: BTreeMap::new(),
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            peers: BTreeMap::new(),
        }
    }

    /// Session and cores are known: what was held is looked at, in its order.
    pub(crate) fn set_info(&mut self, info: LeafInfo, effects: &mut Vec<Effect>) {
        self.info = Some(info);
        for (peer, bitfield) in std::mem::take(&mut self.held) {
            self.receive(&peer, bitfield, effects);
        }
    }

    /// A bitfield from a peer.
    pub(crate) fn receive(
        &mut self,
        peer: &PeerId,
        bitfield: UncheckedSignedAvailabilityBitfield,
        effects: &mut Vec<Effect>,
    ) {
        let Some(info) = self.info.clone() else {
            let of_peer = self.held.iter().filter(|(from, _)| from == peer).count();
            if self.held.len() < HELD_MAX && of_peer < HELD_PER_PEER_MAX {
                self.held.push_back((peer.clone(), bitfield));
            } else {
                tracing::debug!(relay_parent = ?self.hash, %peer, "bitfield dropped: too many wait for the session");
            }
            return;
        };
        if let Err(conduct) = self.enqueue(peer, bitfield, &info) {
            effects.extend(conduct.map(|conduct| Effect::Report(peer.clone(), conduct)));
        }
        self.verify_next(effects);
    }

    /// Queues what is worth checking; otherwise says what its sender earns, if anything.
    fn enqueue(
        &mut self,
        peer: &PeerId,
        bitfield: UncheckedSignedAvailabilityBitfield,
        info: &LeafInfo,
    ) -> Result<(), Option<PeerConduct>> {
        let validator = bitfield.validator_index;
        if validator.as_usize() >= info.session.validators.len() || bitfield.payload.0.len() != info.cores {
            return Err(Some(PeerConduct::CostInvalid));
        }
        // One bitfield of each validator is all that a peer can have to say, which bounds its messages as well.
        if !self.peers.entry(peer.clone()).or_default().received.insert(validator) {
            return Err(Some(PeerConduct::CostUnneeded));
        }
        if self.accepted.contains_key(&validator) {
            // Perhaps another one of the same validator; its sender may well have met that one first.
            return Err(Some(PeerConduct::BenefitDuplicate));
        }
        if let Some(pending) = self.in_flight.iter_mut().chain(&mut self.queue).find(|known| known.bitfield == bitfield)
        {
            pending.peers.push(peer.clone());
            return Ok(());
        }
        if self.queue.len() >= QUEUE_MAX {
            tracing::debug!(relay_parent = ?self.hash, %peer, "bitfield dropped: too many wait to be checked");
            return Err(None);
        }
        self.queue.push_back(Pending { bitfield, peers: vec![peer.clone()] });
        Ok(())
    }

    fn verify_next(&mut self, effects: &mut Vec<Effect>) {
        let Some(LeafInfo { session, .. }) = &self.info else { return };
        if !self.in_flight.is_empty() || self.queue.is_empty() {
            return;
        }
        let context = SigningContext { session_index: session.session_index, parent_hash: self.hash };
        self.in_flight = self.queue.drain(..self.queue.len().min(BATCH_MAX)).collect();
        let message = |pending: &Pending| -> SignedMessage {
            // Checked against the number of validators before it was queued.
            let validator = &session.validators[pending.bitfield.validator_index.as_usize()];
            pending.bitfield.to_message(&context, validator)
        };
        let batch = self.in_flight.iter().map(message).collect();
        effects.push(Effect::Verify { relay_parent: self.hash, batch });
    }

    /// The verifier's answer to the last batch, in its order. What has no answer is dropped: that is our own fault.
    pub(crate) fn verified(&mut self, good: &[bool], acceptors: &[PeerId], effects: &mut Vec<Effect>) {
        for (Pending { bitfield, peers }, good) in std::mem::take(&mut self.in_flight).into_iter().zip(good) {
            let new = *good && self.import(Signed::assume_checked(bitfield), acceptors, effects);
            for (rank, peer) in peers.into_iter().enumerate() {
                let conduct = match (*good, new && rank == 0) {
                    (false, _) => PeerConduct::CostInvalid,
                    (true, true) => PeerConduct::BenefitUseful,
                    (true, false) => PeerConduct::BenefitDuplicate,
                };
                effects.push(Effect::Report(peer, conduct));
            }
        }
        self.verify_next(effects);
    }

    /// Takes in a checked bitfield, unless there is one of this validator already. Returns whether it was new.
    pub(crate) fn import(
        &mut self,
        signed: SignedAvailabilityBitfield,
        acceptors: &[PeerId],
        effects: &mut Vec<Effect>,
    ) -> bool {
        let validator = signed.validator_index();
        if self.accepted.contains_key(&validator) {
            return false;
        }
        let message = BitfieldMessage { relay_parent: self.hash, bitfield: signed.as_unchecked().clone() };
        let payload: Bytes = message.encode().into();
        self.accepted.insert(validator, payload.clone());
        effects.push(Effect::Provide(provisioner::Bitfield { relay_parent: self.hash, signed }));
        let lacking = acceptors.iter().filter(|peer| {
            let knowledge = self.peers.entry((*peer).clone()).or_default();
            !knowledge.received.contains(&validator) && knowledge.sent.insert(validator)
        });
        let peers: Vec<PeerId> = lacking.cloned().collect();
        if !peers.is_empty() {
            effects.push(Effect::Send { relay_parent: self.hash, validator, peers, payload });
        }
        true
    }

    /// Sends a peer all that it lacks.
    pub(crate) fn offer(&mut self, peer: &PeerId, effects: &mut Vec<Effect>) {
        if self.accepted.is_empty() {
            return;
        }
        let knowledge = self.peers.entry(peer.clone()).or_default();
        for (validator, payload) in &self.accepted {
            if !knowledge.received.contains(validator) && knowledge.sent.insert(*validator) {
                let (peers, payload) = (vec![peer.clone()], payload.clone());
                effects.push(Effect::Send { relay_parent: self.hash, validator: *validator, peers, payload });
            }
        }
    }

    /// A bitfield could not be sent: it is offered again.
    pub(crate) fn not_sent(&mut self, validator: ValidatorIndex, peers: &[PeerId]) {
        for peer in peers {
            if let Some(knowledge) = self.peers.get_mut(peer) {
                knowledge.sent.remove(&validator);
            }
        }
    }

    /// A peer is gone, and with it what it knew.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }
}
