//! What peers ask of us: bounds, and one encoding per candidate for all who want chunks of it. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use erasure_coding::Encoded;
use messages::network_bridge::PeerConduct;
use ports::PeerId;
use primitives::{CandidateHash, ValidatorId, ValidatorIndex};

use crate::state::Work;

/// Requests of all peers being answered at once. More are refused, at no cost to the peer.
pub(crate) const REQUESTS_MAX: usize = 128;
/// Requests of one peer being answered at once. More are refused, at a cost.
pub(crate) const REQUESTS_PER_PEER_MAX: usize = 32;
/// Requests of one peer between two heads: every validator may ask for a chunk of every live candidate.
pub(crate) const REQUESTS_PER_PEER_AND_HEAD_MAX: u32 = 1024;
/// Peers known at once.
pub(crate) const PEERS_MAX: usize = 4096;
/// Encodings under way at once; each holds about four times the data.
pub(crate) const ENCODINGS_MAX: usize = 4;
/// Encodings kept for those who ask next.
pub(crate) const CACHED_ENCODINGS_MAX: usize = 4;

#[derive(Debug, Default)]
struct Peer {
    authority: Option<ValidatorId>,
    connected: bool,
    under_way: usize,
    since_head: u32,
}

/// Somebody who waits for a chunk: `R` is the way back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asker<R> {
    /// Number of the request.
    pub(crate) request: u64,
    pub(crate) validator: ValidatorIndex,
    pub(crate) reply: R,
}

#[derive(Debug)]
struct Encoding<R> {
    work: Arc<Work>,
    begun: bool,
    askers: Vec<Asker<R>>,
}

/// What becomes of a request for a chunk that is not in the store.
#[derive(Debug)]
pub(crate) enum Chunk<R> {
    /// It can be cut from this encoding.
    From(Encoded, Asker<R>),
    /// It comes with the encoding that is under way.
    Later,
}

/// Requests, peers and encodings.
#[derive(Debug)]
pub(crate) struct Serving<R> {
    peers: BTreeMap<PeerId, Peer>,
    authorities: BTreeMap<ValidatorId, PeerId>,
    requests: BTreeMap<u64, PeerId>,
    next_request: u64,
    encodings: BTreeMap<CandidateHash, Encoding<R>>,
    /// Newest last.
    cache: VecDeque<(CandidateHash, Encoded)>,
}

impl<R> Default for Serving<R> {
    fn default() -> Self {
        Self {
            peers: BTreeMap::new(),
            authorities: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            encodings: BTreeMap::new(),
            cache: VecDeque::new(),
        }
    }
}

impl<R> Serving<R> {
    pub(crate) fn connected(&mut self, peer: PeerId, authority: Option<ValidatorId>) {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&peer) {
            return;
        }
        if let Some(authority) = authority {
            self.authorities.insert(authority, peer.clone());
        }
        let entry = self.peers.entry(peer).or_default();
        (entry.authority, entry.connected) = (authority, true);
    }

    pub(crate) fn disconnected(&mut self, peer: &PeerId) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.connected = false;
        if let Some(authority) = entry.authority.take()
            && self.authorities.get(&authority) == Some(peer)
        {
            self.authorities.remove(&authority);
        }
        self.tidy(&peer.clone());
    }

    /// Forgets a peer that is gone and waits for nothing.
    fn tidy(&mut self, peer: &PeerId) {
        // What it asked for since the last head stays counted, or reconnecting would be a way around the bound.
        let gone = |peer: &Peer| !peer.connected && peer.under_way == 0 && peer.since_head == 0;
        if self.peers.get(peer).is_some_and(gone) {
            self.peers.remove(peer);
        }
    }

    /// Under which peer a validator is connected.
    pub(crate) fn peer_of(&self, authority: &ValidatorId) -> Option<PeerId> {
        self.authorities.get(authority).cloned()
    }

    /// A new head: peers may ask anew.
    pub(crate) fn on_head(&mut self) {
        self.peers.retain(|_, peer| {
            peer.since_head = 0;
            peer.connected || peer.under_way > 0
        });
    }

    /// Counts a request.
    ///
    /// # Errors
    /// It is refused, and what that costs the peer.
    pub(crate) fn admit(&mut self, peer: &PeerId) -> Result<u64, Option<PeerConduct>> {
        if self.requests.len() >= REQUESTS_MAX || (self.peers.len() >= PEERS_MAX && !self.peers.contains_key(peer)) {
            return Err(None);
        }
        let entry = self.peers.entry(peer.clone()).or_default();
        if entry.under_way >= REQUESTS_PER_PEER_MAX || entry.since_head >= REQUESTS_PER_PEER_AND_HEAD_MAX {
            return Err(Some(PeerConduct::CostUnneeded));
        }
        entry.under_way += 1;
        entry.since_head += 1;
        self.next_request += 1;
        self.requests.insert(self.next_request, peer.clone());
        Ok(self.next_request)
    }

    /// A request was answered, or refused.
    pub(crate) fn over(&mut self, request: u64) {
        let Some(peer) = self.requests.remove(&request) else { return };
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.under_way = entry.under_way.saturating_sub(1);
        }
        self.tidy(&peer);
    }

    /// Somebody wants a chunk that is not in the store.
    pub(crate) fn chunk(&mut self, work: &Arc<Work>, asker: Asker<R>) -> Chunk<R> {
        if let Some(encoded) = self.cached(&work.candidate) {
            return Chunk::From(encoded, asker);
        }
        self.encode(work).askers.push(asker);
        Chunk::Later
    }

    /// An encoding that is there already.
    pub(crate) fn cached(&mut self, candidate: &CandidateHash) -> Option<Encoded> {
        let position = self.cache.iter().position(|(cached, _)| cached == candidate)?;
        let entry = self.cache.remove(position)?;
        let encoded = entry.1.clone();
        self.cache.push_back(entry);
        Some(encoded)
    }

    /// We want the encoding ourselves.
    pub(crate) fn want(&mut self, work: &Arc<Work>) {
        self.encode(work);
    }

    fn encode(&mut self, work: &Arc<Work>) -> &mut Encoding<R> {
        let new = || Encoding { work: work.clone(), begun: false, askers: Vec::new() };
        self.encodings.entry(work.candidate).or_insert_with(new)
    }

    /// The next encoding to begin.
    pub(crate) fn begin(&mut self) -> Option<Arc<Work>> {
        if self.encodings.values().filter(|encoding| encoding.begun).count() >= ENCODINGS_MAX {
            return None;
        }
        let next = self.encodings.values_mut().find(|encoding| !encoding.begun)?;
        next.begun = true;
        Some(next.work.clone())
    }

    /// An encoding is over; returns who waits for chunks of it.
    pub(crate) fn encoded(&mut self, candidate: &CandidateHash, encoded: Option<Encoded>) -> Vec<Asker<R>> {
        if let Some(encoded) = encoded {
            self.cache.push_back((*candidate, encoded));
            if self.cache.len() > CACHED_ENCODINGS_MAX {
                self.cache.pop_front();
            }
        }
        self.encodings.remove(candidate).map(|encoding| encoding.askers).unwrap_or_default()
    }

    /// Forgets encodings of candidates that are no longer known.
    pub(crate) fn keep_only(&mut self, known: &BTreeSet<CandidateHash>) {
        self.cache.retain(|(candidate, _)| known.contains(candidate));
    }
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
