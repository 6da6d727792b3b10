//! Collator's side: which collations are held, and which validators may know of them. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use codec::Encode as _;
use messages::collation_distribution::DistributeCollation;
use messages::network_bridge::{ObservedRole, PeerConduct, PeerInfo, View};
use messages::runtime_api::SessionContext;
use ports::PeerId;
use primitives::{CandidateHash, CoreIndex, Hash, ParaId, ValidatorId, decode_limited};

use crate::wire::{self, CollationRequest, CollationResponse};
use crate::{ADVERTISEMENTS_PER_COLLATOR_MAX, COLLATIONS_PER_RELAY_PARENT_MAX, PEERS_MAX};

/// An advertisement that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) peers: Vec<PeerId>,
    pub(crate) relay_parent: Hash,
    pub(crate) candidate_hash: CandidateHash,
    pub(crate) core: CoreIndex,
}

/// Why a collation of ours is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("collation is of para {found}, this collator serves para {expected}")]
    Para { found: ParaId, expected: ParaId },
    #[error("collation of {found} bytes, at most {max} can be sent")]
    TooLarge { found: usize, max: usize },
}

/// A connected validator.
#[derive(Default)]
struct Peer {
    authority: Option<ValidatorId>,
    view: View,
    advertised: BTreeMap<Hash, BTreeSet<CandidateHash>>,
}

struct Held {
    candidate_hash: CandidateHash,
    core: CoreIndex,
    /// The answer to a request, encoded once.
    response: Bytes,
    /// Who may know of it: the core's group now, and the one that comes after it.
    audience: BTreeSet<ValidatorId>,
}

#[derive(Default)]
struct AtRelayParent {
    session: Option<Arc<SessionContext>>,
    collations: VecDeque<Held>,
}

/// Connected validators and held collations.
pub(crate) struct Collator {
    para_id: ParaId,
    peers: BTreeMap<PeerId, Peer>,
    held: BTreeMap<Hash, AtRelayParent>,
}

impl Collator {
    pub(crate) fn new(para_id: ParaId) -> Self {
        Self { para_id, peers: BTreeMap::new(), held: BTreeMap::new() }
    }

    /// A peer is there, or more is known of it; returns whether we are to declare ourselves to it. See [`Self::due`] then.
    pub(crate) fn connected(&mut self, peer: PeerId, info: &PeerInfo) -> bool {
        let is_validator = info.authority.is_some() || info.role == ObservedRole::Validator;
        if !is_validator {
            return false;
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            known.authority = info.authority;
            return false;
        }
        if self.peers.len() >= PEERS_MAX {
            return false;
        }
        self.peers.insert(peer, Peer { authority: info.authority, ..Peer::default() });
        true
    }

    pub(crate) fn disconnected(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    pub(crate) fn view_changed(&mut self, peer: &PeerId, view: View) -> Vec<Due> {
        let Some(known) = self.peers.get_mut(peer) else { return Vec::new() };
        known.view = view;
        self.due(Some(peer))
    }

    /// Takes a collation of ours; of too many at one relay parent the oldest goes. Who is to know of it follows from
    /// [`Self::session`]; if that was there already, the advertisements are due now.
    pub(crate) fn distribute(&mut self, collation: DistributeCollation) -> Result<Vec<Due>, NotTaken> {
        let DistributeCollation { relay_parent, core, receipt, pov } = collation;
        let para_id = receipt.descriptor.para_id();
        if para_id != self.para_id {
            return Err(NotTaken::Para { found: para_id, expected: self.para_id });
        }
        let candidate_hash = receipt.hash();
        let response: CollationResponse = Some((receipt, pov));
        let response = Bytes::from(response.encode());
        if response.len() > wire::RESPONSE_BYTES_MAX {
            return Err(NotTaken::TooLarge { found: response.len(), max: wire::RESPONSE_BYTES_MAX });
        }
        let here = self.held.entry(relay_parent).or_default();
        if here.collations.iter().any(|held| held.candidate_hash == candidate_hash) {
            return Ok(Vec::new());
        }
        let audience = here.session.as_ref().map(|session| audience(session, core)).unwrap_or_default();
        here.collations.push_back(Held { candidate_hash, core, response, audience });
        if here.collations.len() > COLLATIONS_PER_RELAY_PARENT_MAX {
            here.collations.pop_front();
        }
        Ok(self.due(None))
    }

    /// Whether the session at a relay parent is still to be asked for.
    pub(crate) fn needs_session(&self, relay_parent: &Hash) -> bool {
        self.held.get(relay_parent).is_some_and(|here| here.session.is_none())
    }

    /// The session at a relay parent is known.
    pub(crate) fn session(&mut self, relay_parent: &Hash, session: Arc<SessionContext>) -> Vec<Due> {
        let Some(here) = self.held.get_mut(relay_parent) else { return Vec::new() };
        for held in &mut here.collations {
            held.audience = audience(&session, held.core);
        }
        here.session = Some(session);
        self.due(None)
    }

    /// A relay parent is out of view: what was held for it goes.
    pub(crate) fn end(&mut self, relay_parent: &Hash) {
        self.held.remove(relay_parent);
        for peer in self.peers.values_mut() {
            peer.advertised.remove(relay_parent);
        }
    }

    /// The answer to a request, or what the peer is to be reported for.
    pub(crate) fn request(&self, peer: &PeerId, payload: &[u8]) -> Result<Bytes, PeerConduct> {
        let request: CollationRequest =
            decode_limited(payload, wire::REQUEST_BYTES_MAX).map_err(|_| PeerConduct::CostMalformed)?;
        let here = self.held.get(&request.relay_parent);
        let held =
            here.and_then(|here| here.collations.iter().find(|held| held.candidate_hash == request.candidate_hash));
        let Some(held) = held else { return Ok(CollationResponse::None.encode().into()) };
        match self.peers.get(peer).and_then(|peer| peer.authority) {
            Some(authority) if held.audience.contains(&authority) => Ok(held.response.clone()),
            _ => Err(PeerConduct::CostUnneeded),
        }
    }

    /// What was not said yet, to one peer or to all: to whom it concerns, if that one works on the relay parent. Counted
    /// as said from here on.
    pub(crate) fn due(&mut self, only: Option<&PeerId>) -> Vec<Due> {
        let mut due = Vec::new();
        for (relay_parent, here) in &self.held {
            for Held { candidate_hash, core, audience, .. } in &here.collations {
                let mut peers = Vec::new();
                let mut consider = |(id, peer): (&PeerId, &mut Peer)| {
                    let concerned = peer.authority.is_some_and(|authority| audience.contains(&authority));
                    if !concerned || !peer.view.contains(relay_parent) {
                        return;
                    }
                    let said = peer.advertised.entry(*relay_parent).or_default();
                    // One more than the validator takes would only cost us reputation.
                    if said.len() < ADVERTISEMENTS_PER_COLLATOR_MAX && said.insert(*candidate_hash) {
                        peers.push(id.clone());
                    }
                };
                match only {
                    Some(only) => self.peers.range_mut(only..=only).for_each(&mut consider),
                    None => self.peers.iter_mut().for_each(&mut consider),
                }
                if !peers.is_empty() {
                    let (relay_parent, candidate_hash, core) = (*relay_parent, *candidate_hash, *core);
                    due.push(Due { peers, relay_parent, candidate_hash, core });
                }
            }
        }
        due
    }
}

/// The validators of the group that serves a core now, and of the one that does after the next rotation.
fn audience(session: &SessionContext, core: CoreIndex) -> BTreeSet<ValidatorId> {
    let now = session.rotation;
    [now, now.bump_rotation()]
        .iter()
        .map(|rotation| rotation.group_for_core(core, session.groups.len()))
        .filter_map(|group| session.groups.get(group.as_usize()))
        .flatten()
        .filter_map(|index| session.validators.get(index.as_usize()).copied())
        .collect()
}
