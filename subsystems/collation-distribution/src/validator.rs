//! Validator's side: who declared itself, what was advertised, who is refused. Pure.

use std::collections::{BTreeMap, VecDeque};

use messages::candidate_selection::NewCandidate;
use messages::network_bridge::PeerConduct;
use ports::PeerId;
use primitives::{CandidateHash, CollatorId, Hash, ParaId, decode_limited};

use crate::wire::{self, Advertise, Declare, Message};
use crate::{
    ADVERTISEMENTS_PER_COLLATOR_MAX, ADVERTISEMENTS_PER_RELAY_PARENT_MAX, BLACKLIST_MAX, COLLATORS_PER_PARA_MAX,
    PEERS_MAX,
};

/// Whom a peer proved to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) collator: CollatorId,
    pub(crate) para_id: ParaId,
}

struct Advertised {
    by: Declared,
    peer: PeerId,
    candidate_hash: CandidateHash,
    /// Whether the peer has been connected ever since; if not, it may advertise the same again.
    connected: bool,
}

/// Peers, advertisements and refused collators.
#[derive(Default)]
pub(crate) struct Validator {
    peers: BTreeMap<PeerId, Option<Declared>>,
    advertised: BTreeMap<Hash, Vec<Advertised>>,
    blacklist: VecDeque<CollatorId>,
}

impl Validator {
    pub(crate) fn connected(&mut self, peer: PeerId) {
        if self.peers.len() < PEERS_MAX {
            self.peers.entry(peer).or_default();
        }
    }

    pub(crate) fn disconnected(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
        for advertised in self.advertised.values_mut().flatten().filter(|advertised| advertised.peer == *peer) {
            advertised.connected = false;
        }
    }

    /// Forgets what was advertised for a relay parent that is out of view.
    pub(crate) fn end(&mut self, relay_parent: &Hash) {
        self.advertised.remove(relay_parent);
    }

    /// A gossip message: perhaps a candidate to choose from. The error is what the peer is to be reported for.
    pub(crate) fn message(
        &mut self,
        peer: &PeerId,
        payload: &[u8],
        in_view: impl Fn(&Hash) -> bool,
    ) -> Result<Option<NewCandidate>, PeerConduct> {
        let message = decode_limited(payload, wire::MESSAGE_BYTES_MAX).map_err(|_| PeerConduct::CostMalformed)?;
        match message {
            Message::Declare(declare) => self.declare(peer, &declare).map(|()| None),
            Message::Advertise(advertise) => self.advertise(peer, &advertise, in_view).map(Some),
        }
    }

    fn declare(&mut self, peer: &PeerId, declare: &Declare) -> Result<(), PeerConduct> {
        let para_id = declare.para_id;
        match self.peers.get(peer) {
            Some(None) => {}
            Some(Some(_)) => return Err(PeerConduct::CostMalformed),
            None => return Err(PeerConduct::CostUnneeded),
        }
        if !declare.collator.verify(&wire::declare_payload(peer, para_id), &declare.signature) {
            return Err(PeerConduct::CostInvalid);
        }
        if self.blacklist.contains(&declare.collator) {
            return Err(PeerConduct::Malicious);
        }
        let of_para = self.peers.values().flatten().filter(|declared| declared.para_id == para_id).count();
        if of_para >= COLLATORS_PER_PARA_MAX {
            return Err(PeerConduct::CostUnneeded);
        }
        self.peers.insert(peer.clone(), Some(Declared { collator: declare.collator, para_id }));
        Ok(())
    }

    fn advertise(
        &mut self,
        peer: &PeerId,
        advertise: &Advertise,
        in_view: impl Fn(&Hash) -> bool,
    ) -> Result<NewCandidate, PeerConduct> {
        let (relay_parent, candidate_hash) = (advertise.relay_parent, advertise.candidate_hash);
        let by = self.peers.get(peer).copied().flatten().ok_or(PeerConduct::CostMalformed)?;
        if !in_view(&relay_parent) {
            return Err(PeerConduct::CostUnneeded);
        }
        let here = self.advertised.get(&relay_parent).map_or(&[][..], Vec::as_slice);
        let known = here.iter().position(|known| known.peer == *peer && known.candidate_hash == candidate_hash);
        let again = known.is_some_and(|index| !here[index].connected);
        let by_collator = here.iter().filter(|known| known.by.collator == by.collator).count();
        let full = by_collator >= ADVERTISEMENTS_PER_COLLATOR_MAX || here.len() >= ADVERTISEMENTS_PER_RELAY_PARENT_MAX;
        if !again && (known.is_some() || full) {
            return Err(PeerConduct::CostUnneeded);
        }
        if !by.collator.verify(&wire::advertise_payload(relay_parent, candidate_hash), &advertise.signature) {
            return Err(PeerConduct::CostInvalid);
        }
        let entry = Advertised { by, peer: peer.clone(), candidate_hash, connected: true };
        let here = self.advertised.entry(relay_parent).or_default();
        match known {
            Some(index) => here[index] = entry,
            None => here.push(entry),
        }
        Ok(NewCandidate {
            relay_parent,
            para_id: by.para_id,
            collator: by.collator,
            peer: peer.clone(),
            candidate_hash,
        })
    }

    /// Who advertised a candidate, if that very peer did.
    pub(crate) fn advertiser(&self, relay_parent: &Hash, peer: &PeerId, candidate: &CandidateHash) -> Option<Declared> {
        let here = self.advertised.get(relay_parent)?;
        here.iter().find(|known| known.peer == *peer && known.candidate_hash == *candidate).map(|known| known.by)
    }

    /// Refuses a collator from now on; returns the peers that declared to be it. The oldest entry makes room.
    pub(crate) fn refuse(&mut self, collator: CollatorId) -> Vec<PeerId> {
        if !self.blacklist.contains(&collator) {
            self.blacklist.push_back(collator);
        }
        if self.blacklist.len() > BLACKLIST_MAX {
            self.blacklist.pop_front();
        }
        for advertised in self.advertised.values_mut() {
            advertised.retain(|known| known.by.collator != collator);
        }
        let is_it = |declared: &Option<Declared>| declared.is_some_and(|declared| declared.collator == collator);
        let peers: Vec<PeerId> =
            self.peers.iter().filter(|(_, declared)| is_it(declared)).map(|(peer, _)| peer.clone()).collect();
        for peer in &peers {
            self.peers.remove(peer);
        }
        peers
    }
}
