//! The pure state machine: who waits for what, who is served what.

use std::collections::BTreeMap;

use bytes::Bytes;
use jobs::ScopeView as _;
use messages::network_bridge::{NetworkBridgeEvent, PeerConduct, PeerInfo};
use messages::pov_distribution::{DistributePoV, FetchPoV, FetchPoVError};
use messages::{LeavesState, LeavesUpdate};
use overseer::Responder;
use ports::PeerId;
use primitives::{CandidateHash, Hash, PoV, ValidatorId, decode_limited};

use crate::limits::{
    ASKERS_MAX, DEPTH, FETCHES_MAX, HELD_BYTES_MAX, PEERS_MAX, REQUEST_BYTES_MAX, SERVES_PER_PEER_MAX, SOURCES_MAX,
};
use crate::wire::{PoVRequest, no_response, response};

/// The way back to one asker.
pub type Asker = Responder<Result<PoV, FetchPoVError>>;

/// Names a PoV: relay parent and candidate.
pub type PoVKey = (Hash, CandidateHash);

/// What the loop is to do.
#[derive(Debug)]
pub enum Effect {
    /// Open the scope of a relay parent.
    Open(Hash),
    /// Ask these validators in turn, then say what came of it to [`State::fetched`].
    Fetch(FetchPoV),
    /// Answer an asker.
    Answer(Asker, Result<PoV, FetchPoVError>),
    /// Answer a peer.
    Respond(Responder<Bytes>, Bytes),
    /// Count a peer's conduct.
    Report(PeerId, PeerConduct),
}

/// What came of a fetch.
#[derive(Debug)]
pub struct Fetched {
    /// What was fetched.
    pub key: PoVKey,
    /// The checked PoV, if anybody gave it.
    pub pov: Option<PoV>,
    /// Who did what on the way.
    pub conduct: Vec<(ValidatorId, PeerConduct)>,
}

struct Held {
    /// As it is served; the PoV shares its bytes.
    response: Bytes,
    pov: PoV,
    served: BTreeMap<PeerId, u32>,
    /// Counts up: the least is the oldest.
    age: u64,
}

struct Fetch {
    request: FetchPoV,
    /// Who is or was asked.
    asked: Vec<ValidatorId>,
    /// Whom later askers named, to be asked if the others do not give it.
    more: Vec<ValidatorId>,
    askers: Vec<Asker>,
}

/// Held PoVs, fetches and peers.
#[derive(Default)]
pub struct State {
    leaves: LeavesState,
    held: BTreeMap<PoVKey, Held>,
    held_bytes: usize,
    ages: u64,
    fetches: BTreeMap<PoVKey, Fetch>,
    /// The session key that each peer has proved, if any.
    peers: BTreeMap<PeerId, Option<ValidatorId>>,
}

impl State {
    /// The view by which scopes end.
    pub fn leaves(&self) -> &LeavesState {
        &self.leaves
    }

    /// Encoded bytes held.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The heartbeat: what left the view is dropped, those who wait for it are told so.
    pub fn heartbeat(&mut self, update: &LeavesUpdate) -> Vec<Effect> {
        self.leaves.apply(update);
        let mut effects = Vec::new();
        for leaf in &update.started {
            let ancestors = leaf.ancestors.iter().take(DEPTH as usize);
            let in_view = std::iter::once(&leaf.hash).chain(ancestors).filter(|hash| self.in_view(hash));
            effects.extend(in_view.map(|hash| Effect::Open(*hash)));
        }
        let leaves = &self.leaves;
        let gone = |key: &PoVKey| !leaves.is_in_view(&key.0, DEPTH);
        let old: Vec<PoVKey> = self.held.keys().filter(|key| gone(key)).copied().collect();
        let over: Vec<PoVKey> = self.fetches.keys().filter(|key| gone(key)).copied().collect();
        old.iter().for_each(|key| self.remove(key));
        for key in over {
            let fetch = self.fetches.remove(&key);
            let askers = fetch.into_iter().flat_map(|fetch| fetch.askers);
            effects.extend(askers.map(|asker| Effect::Answer(asker, Err(FetchPoVError::NotInView(key.0)))));
        }
        effects
    }

    fn in_view(&self, relay_parent: &Hash) -> bool {
        self.leaves.is_in_view(relay_parent, DEPTH)
    }

    /// Somebody wants a PoV.
    pub fn fetch(&mut self, request: FetchPoV, asker: Asker) -> Vec<Effect> {
        let key = (request.relay_parent, request.candidate_hash);
        if !self.in_view(&request.relay_parent) {
            return vec![Effect::Answer(asker, Err(FetchPoVError::NotInView(request.relay_parent)))];
        }
        if let Some(held) = self.held.get(&key) {
            return vec![Effect::Answer(asker, Ok(held.pov.clone()))];
        }
        let unavailable = FetchPoVError::Unavailable(request.from.len());
        if let Some(fetch) = self.fetches.get_mut(&key) {
            if fetch.askers.len() >= ASKERS_MAX || fetch.request.pov_hash != request.pov_hash {
                tracing::warn!(candidate = ?key.1, "too many askers of one PoV, or they disagree on its hash");
                return vec![Effect::Answer(asker, Err(unavailable))];
            }
            for validator in request.from {
                let known = fetch.asked.len() + fetch.more.len();
                if known < SOURCES_MAX && !fetch.asked.contains(&validator) && !fetch.more.contains(&validator) {
                    fetch.more.push(validator);
                }
            }
            fetch.askers.push(asker);
            return Vec::new();
        }
        if self.fetches.len() >= FETCHES_MAX || request.from.is_empty() {
            tracing::debug!(candidate = ?key.1, "PoV not fetched: nobody has it, or {FETCHES_MAX} fetches run already");
            return vec![Effect::Answer(asker, Err(unavailable))];
        }
        let mut request = request;
        request.from.truncate(SOURCES_MAX);
        let asked = request.from.clone();
        self.fetches.insert(key, Fetch { request: request.clone(), asked, more: Vec::new(), askers: vec![asker] });
        vec![Effect::Fetch(request)]
    }

    /// A fetch has ended.
    pub fn fetched(&mut self, fetched: Fetched) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (validator, conduct) in fetched.conduct {
            let peers = self.peers.iter().filter(|(_, authority)| **authority == Some(validator));
            effects.extend(peers.map(|(peer, _)| Effect::Report(peer.clone(), conduct)));
        }
        // It may have been answered meanwhile by a PoV of our own.
        let Some(mut fetch) = self.fetches.remove(&fetched.key) else { return effects };
        if fetched.pov.is_none() && !fetch.more.is_empty() {
            fetch.request.from = std::mem::take(&mut fetch.more);
            fetch.asked.extend(fetch.request.from.iter().copied());
            effects.push(Effect::Fetch(fetch.request.clone()));
            self.fetches.insert(fetched.key, fetch);
            return effects;
        }
        let result = fetched.pov.ok_or(FetchPoVError::Unavailable(fetch.asked.len()));
        effects.extend(fetch.askers.into_iter().map(|asker| Effect::Answer(asker, result.clone())));
        effects
    }

    /// We hold a PoV that others may ask for. Whoever waits for it has it now.
    pub fn distribute(&mut self, message: DistributePoV) -> Vec<Effect> {
        let key = (message.relay_parent, message.candidate_hash);
        if !self.in_view(&message.relay_parent) {
            tracing::debug!(relay_parent = ?key.0, "PoV not kept: its relay parent is not in view");
            return Vec::new();
        }
        let askers = self.fetches.remove(&key).map(|fetch| fetch.askers).unwrap_or_default();
        let effects = askers.into_iter().map(|asker| Effect::Answer(asker, Ok(message.pov.clone()))).collect();
        let size = 1 + message.pov.encoded_len();
        if self.held.contains_key(&key) || size > HELD_BYTES_MAX {
            return effects;
        }
        while self.held_bytes + size > HELD_BYTES_MAX {
            let Some(oldest) = self.held.iter().min_by_key(|(_, held)| held.age).map(|(key, _)| *key) else { break };
            tracing::debug!(candidate = ?oldest.1, "PoV dropped: more than {HELD_BYTES_MAX} bytes are held");
            self.remove(&oldest);
        }
        let response = response(&message.pov);
        // Shares the bytes that are served, so that only one copy stays.
        let shared = codec::decode_from_bytes::<Option<PoV>>(response.clone()).ok().flatten();
        let pov = shared.unwrap_or(message.pov);
        self.held_bytes += response.len();
        self.ages += 1;
        self.held.insert(key, Held { response, pov, served: BTreeMap::new(), age: self.ages });
        effects
    }

    fn remove(&mut self, key: &PoVKey) {
        if let Some(held) = self.held.remove(key) {
            self.held_bytes -= held.response.len();
        }
    }

    /// Something happened on the protocol.
    pub fn network(&mut self, event: NetworkBridgeEvent) -> Vec<Effect> {
        match event {
            NetworkBridgeEvent::PeerConnected(peer, info) => self.connected(peer, &info),
            NetworkBridgeEvent::PeerDisconnected(peer) => {
                self.peers.remove(&peer);
            }
            NetworkBridgeEvent::PeerViewChange(..) | NetworkBridgeEvent::OurViewChange(_) => {}
            // Nothing is gossiped here: PoVs travel by request.
            NetworkBridgeEvent::PeerMessage(peer, _) => {
                return vec![Effect::Report(peer, PeerConduct::CostMalformed)];
            }
            NetworkBridgeEvent::IncomingRequest(peer, payload, responder) => {
                return self.serve(peer, &payload, responder);
            }
        }
        Vec::new()
    }

    fn connected(&mut self, peer: PeerId, info: &PeerInfo) {
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(&peer) {
            self.peers.insert(peer, info.authority);
        } else {
            tracing::warn!(%peer, "peer is not tracked: {PEERS_MAX} are already");
        }
    }

    /// Dropping the way back refuses a request.
    fn serve(&mut self, peer: PeerId, payload: &Bytes, responder: Responder<Bytes>) -> Vec<Effect> {
        let request = match decode_limited::<PoVRequest>(payload, REQUEST_BYTES_MAX) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%peer, %error, "request cannot be decoded");
                return vec![Effect::Report(peer, PeerConduct::CostMalformed)];
            }
        };
        if !matches!(self.peers.get(&peer), Some(Some(_))) {
            return vec![Effect::Report(peer, PeerConduct::CostUnneeded)];
        }
        let Some(held) = self.held.get_mut(&(request.relay_parent, request.candidate_hash)) else {
            return vec![Effect::Respond(responder, no_response())];
        };
        let served = held.served.entry(peer.clone()).or_default();
        if *served >= SERVES_PER_PEER_MAX {
            return vec![Effect::Report(peer, PeerConduct::CostUnneeded)];
        }
        *served += 1;
        vec![Effect::Respond(responder, held.response.clone())]
    }
}
