//! Peers, their views and ours, reputation: what the bridge knows and decides. Pure: events in, effects out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leaves::LeavesState;
use messages::network_bridge::{
    ObservedRole, PeerConduct, PeerInfo, Recipient, ReportPeer, SetConnected, VIEW_HEADS_MAX, VIEW_PROTOCOL, View,
};
use messages::peer_set_manager::PeerStatus;
use ports::{Address, PeerId, ProtocolId};
use primitives::ValidatorId;

use crate::handshake::Rejection;
use crate::reputation::{BAN, Reputations};

/// Peers spoken to at once.
pub const PEERS_MAX: usize = 2048;
/// Requests of ours in flight to one peer.
pub const REQUESTS_PER_PEER_MAX: usize = 64;
/// Requests of ours in flight.
pub const REQUESTS_MAX: usize = 512;
/// How long a peer is refused that is not wanted or speaks of another chain; it has done nothing wrong.
pub const UNWANTED_REFUSAL: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Post our view on the board and send it to these peers.
    OurView(View, Vec<PeerId>),
    /// Send our view to a peer that has just opened the view protocol.
    SendView(PeerId),
    /// Post a peer's view on the board.
    PeerView(PeerId, View),
    /// All protocols of the peer are closed.
    Forget(PeerId),
    /// Keep connected.
    Connect(PeerId, Vec<Address>),
    /// Disconnect and refuse.
    Disconnect(PeerId, Duration),
    /// Tell the peer set manager how the peer stands.
    Status(PeerId),
}

struct Peer {
    info: PeerInfo,
    open: BTreeSet<ProtocolId>,
    view: View,
}

/// The bridge's knowledge.
pub(crate) struct State {
    local: PeerId,
    peers: BTreeMap<PeerId, Peer>,
    /// Who proved to hold a session key; the newest last.
    authorities: BTreeMap<ValidatorId, Vec<PeerId>>,
    reputations: Reputations,
    requests: BTreeMap<PeerId, usize>,
    our_view: View,
}

impl State {
    pub(crate) fn new(local: PeerId) -> Self {
        Self {
            local,
            peers: BTreeMap::new(),
            authorities: BTreeMap::new(),
            reputations: Reputations::default(),
            requests: BTreeMap::new(),
            our_view: View::default(),
        }
    }

    pub(crate) fn our_view(&self) -> &View {
        &self.our_view
    }

    /// An admitted peer opened a protocol.
    pub(crate) fn connected(
        &mut self,
        now: Duration,
        protocol: ProtocolId,
        peer: PeerId,
        info: PeerInfo,
    ) -> Vec<Effect> {
        if let Some(rest) = self.reputations.refused_for(now, &peer) {
            return vec![Effect::Forget(peer.clone()), Effect::Disconnect(peer, rest)];
        }
        let mut effects = Vec::new();
        let is_full = self.peers.len() >= PEERS_MAX;
        match self.peers.get_mut(&peer) {
            Some(known) => {
                known.open.insert(protocol);
            }
            None if is_full => {
                return vec![Effect::Forget(peer.clone()), Effect::Disconnect(peer, UNWANTED_REFUSAL)];
            }
            None => {
                if let Some(authority) = info.authority {
                    self.authorities.entry(authority).or_default().push(peer.clone());
                }
                let known = Peer { info, open: BTreeSet::from([protocol]), view: View::default() };
                self.peers.insert(peer.clone(), known);
                effects.push(Effect::Status(peer.clone()));
            }
        }
        if protocol == VIEW_PROTOCOL {
            effects.push(Effect::SendView(peer));
        }
        effects
    }

    /// A protocol of a peer was closed.
    pub(crate) fn disconnected(&mut self, protocol: ProtocolId, peer: &PeerId) -> Vec<Effect> {
        let Some(known) = self.peers.get_mut(peer) else { return Vec::new() };
        known.open.remove(&protocol);
        if !known.open.is_empty() {
            // Without the view protocol nobody knows what the peer works on.
            let unknown = protocol == VIEW_PROTOCOL && !std::mem::take(&mut known.view).0.is_empty();
            return unknown.then(|| Effect::PeerView(peer.clone(), View::default())).into_iter().collect();
        }
        let authority = known.info.authority;
        self.peers.remove(peer);
        if let Some(authority) = authority
            && let Some(holders) = self.authorities.get_mut(&authority)
        {
            holders.retain(|holder| holder != peer);
            if holders.is_empty() {
                self.authorities.remove(&authority);
            }
        }
        vec![Effect::Forget(peer.clone()), Effect::Status(peer.clone())]
    }

    /// A peer's handshake was refused.
    pub(crate) fn rejected(&mut self, now: Duration, peer: &PeerId, rejection: &Rejection) -> Vec<Effect> {
        let conduct = match rejection {
            Rejection::Malformed(_) => Some(PeerConduct::CostMalformed),
            Rejection::WrongProof(_) => Some(PeerConduct::Malicious),
            Rejection::OtherVersion(_) | Rejection::OtherChain(_) => None,
        };
        if conduct.is_some_and(|conduct| self.reputations.report(now, peer, conduct, 1)) {
            return self.ban(peer);
        }
        let refuse_for = self.reputations.refused_for(now, peer).unwrap_or(UNWANTED_REFUSAL);
        vec![Effect::Disconnect(peer.clone(), refuse_for)]
    }

    /// A peer told its view; `None` if what it sent is no view. What breaks the rules or says nothing new costs it.
    pub(crate) fn peer_view(&mut self, now: Duration, peer: &PeerId, view: Option<View>) -> Vec<Effect> {
        let Some(known) = self.peers.get_mut(peer) else { return Vec::new() };
        match view.filter(is_well_formed) {
            None => self.report(now, &ReportPeer::new(peer.clone(), PeerConduct::CostMalformed)),
            Some(view) if view == known.view => {
                self.report(now, &ReportPeer::new(peer.clone(), PeerConduct::CostUnneeded))
            }
            Some(view) => {
                known.view = view.clone();
                vec![Effect::PeerView(peer.clone(), view)]
            }
        }
    }

    /// The leaves changed.
    pub(crate) fn leaves(&mut self, leaves: &LeavesState) -> Vec<Effect> {
        let view = view_of(leaves);
        if view == self.our_view {
            return Vec::new();
        }
        self.our_view = view.clone();
        let told = self.peers.iter().filter(|(_, peer)| peer.open.contains(&VIEW_PROTOCOL));
        vec![Effect::OurView(view, told.map(|(peer, _)| peer.clone()).collect())]
    }

    /// A subsystem judged a peer.
    pub(crate) fn report(&mut self, now: Duration, report: &ReportPeer) -> Vec<Effect> {
        if self.reputations.report(now, &report.peer, report.conduct, report.count) {
            return self.ban(&report.peer);
        }
        self.peers.contains_key(&report.peer).then(|| Effect::Status(report.peer.clone())).into_iter().collect()
    }

    fn ban(&self, peer: &PeerId) -> Vec<Effect> {
        vec![Effect::Disconnect(peer.clone(), BAN), Effect::Status(peer.clone())]
    }

    /// The peer set manager decided.
    pub(crate) fn set_connected(&self, now: Duration, wanted: SetConnected) -> Vec<Effect> {
        let SetConnected { peer, addresses, connected } = wanted;
        if peer == self.local || (connected && self.reputations.refused_for(now, &peer).is_some()) {
            return Vec::new();
        }
        vec![if connected { Effect::Connect(peer, addresses) } else { Effect::Disconnect(peer, UNWANTED_REFUSAL) }]
    }

    /// How a peer stands. Its role counts as validator only with a proof, so that nobody takes a validator's slot by
    /// saying so.
    pub(crate) fn status(&self, now: Duration, peer: &PeerId) -> PeerStatus {
        let reputation = self.reputations.get(now, peer);
        let known = self.peers.get(peer);
        let role = known.map_or(ObservedRole::Full, |known| match (known.info.role, known.info.authority) {
            (_, Some(_)) => ObservedRole::Validator,
            (ObservedRole::Validator, None) => ObservedRole::Full,
            (role, None) => role,
        });
        PeerStatus { peer: peer.clone(), role, connected: known.is_some(), reputation }
    }

    /// Whom a request goes to; `None` if nobody is known to hold the key.
    pub(crate) fn recipient(&self, to: &Recipient) -> Option<PeerId> {
        let peer = match to {
            Recipient::Peer(peer) => Some(peer),
            Recipient::Authority(authority) => self.authorities.get(authority).and_then(|holders| holders.last()),
        };
        peer.cloned()
    }

    /// Whether it is ourselves.
    pub(crate) fn is_local(&self, peer: &PeerId) -> bool {
        *peer == self.local
    }

    /// Takes a place for a request to a peer; whether there was one.
    pub(crate) fn begin_request(&mut self, peer: &PeerId) -> bool {
        let total: usize = self.requests.values().sum();
        let to_peer = self.requests.get(peer).copied().unwrap_or(0);
        if total >= REQUESTS_MAX || to_peer >= REQUESTS_PER_PEER_MAX {
            return false;
        }
        self.requests.insert(peer.clone(), to_peer + 1);
        true
    }

    /// Gives the place back; whether it was the last to that peer.
    pub(crate) fn end_request(&mut self, peer: &PeerId) -> bool {
        match self.requests.get_mut(peer) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            _ => {
                self.requests.remove(peer);
                true
            }
        }
    }
}

/// At most [`VIEW_HEADS_MAX`] heads, in order, none twice.
fn is_well_formed(view: &View) -> bool {
    view.0.len() <= VIEW_HEADS_MAX && view.0.is_sorted_by(|a, b| a < b)
}

/// The highest leaves; among equally high ones the lower hashes.
fn view_of(leaves: &LeavesState) -> View {
    let mut highest: Vec<_> = leaves.leaves.values().map(|leaf| (std::cmp::Reverse(leaf.number), leaf.hash)).collect();
    highest.sort();
    highest.truncate(VIEW_HEADS_MAX);
    let mut heads: Vec<_> = highest.into_iter().map(|(_, hash)| hash).collect();
    heads.sort();
    View(heads)
}

#[cfg(test)]
mod tests {
    use messages::network_bridge::{POV_PROTOCOL, STATEMENT_PROTOCOL};
    use messages::{ActiveLeaf, LeavesUpdate};
    use mocks::fixtures::{hash, peer};

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn info(authority: Option<u8>) -> PeerInfo {
        PeerInfo { role: ObservedRole::Validator, authority: authority.map(|byte| ValidatorId([byte; 32])) }
    }

    fn state() -> State {
        State::new(peer(0))
    }

    fn leaves(numbers: &[(u8, u32)]) -> LeavesState {
        let leaf = |(byte, number): &(u8, u32)| ActiveLeaf {
            hash: hash(*byte),
            number: *number,
            session_index: 1,
            ancestors: [].into(),
        };
        let mut state = LeavesState::default();
        state.apply(&LeavesUpdate { started: numbers.iter().map(leaf).collect(), ..LeavesUpdate::default() });
        state
    }

    #[test]
    fn a_peer_is_there_from_its_first_protocol_to_its_last() {
        let mut state = state();
        let first = state.connected(NOW, STATEMENT_PROTOCOL, peer(1), info(Some(7)));
        assert_eq!(first, [Effect::Status(peer(1))]);
        assert_eq!(state.connected(NOW, VIEW_PROTOCOL, peer(1), info(Some(7))), [Effect::SendView(peer(1))]);
        assert!(state.status(NOW, &peer(1)).connected);
        assert_eq!(state.recipient(&Recipient::Authority(ValidatorId([7; 32]))), Some(peer(1)));
        assert!(state.disconnected(VIEW_PROTOCOL, &peer(1)).is_empty());
        let last = state.disconnected(STATEMENT_PROTOCOL, &peer(1));
        assert_eq!(last, [Effect::Forget(peer(1)), Effect::Status(peer(1))]);
        assert!(!state.status(NOW, &peer(1)).connected);
        assert_eq!(state.recipient(&Recipient::Authority(ValidatorId([7; 32]))), None);
        assert!(state.disconnected(STATEMENT_PROTOCOL, &peer(1)).is_empty());
    }

    #[test]
    fn the_newest_holder_of_a_key_is_asked_and_the_older_one_when_it_leaves() {
        let mut state = state();
        let key = Recipient::Authority(ValidatorId([7; 32]));
        for byte in [1, 2] {
            state.connected(NOW, POV_PROTOCOL, peer(byte), info(Some(7)));
        }
        assert_eq!(state.recipient(&key), Some(peer(2)));
        state.disconnected(POV_PROTOCOL, &peer(2));
        assert_eq!(state.recipient(&key), Some(peer(1)));
    }

    #[test]
    fn only_a_proof_makes_a_validator() {
        let mut state = state();
        state.connected(NOW, POV_PROTOCOL, peer(1), info(None));
        state.connected(NOW, POV_PROTOCOL, peer(2), info(Some(2)));
        let collator = PeerInfo { role: ObservedRole::Collator, authority: None };
        state.connected(NOW, POV_PROTOCOL, peer(3), collator);
        let roles = [1, 2, 3].map(|byte| state.status(NOW, &peer(byte)).role);
        assert_eq!(roles, [ObservedRole::Full, ObservedRole::Validator, ObservedRole::Collator]);
    }

    #[test]
    fn views_that_break_the_rules_cost_and_are_not_passed_on() {
        let mut state = state();
        state.connected(NOW, VIEW_PROTOCOL, peer(1), info(None));
        let heads = |bytes: &[u8]| Some(View(bytes.iter().map(|byte| hash(*byte)).collect()));
        let good = heads(&[1, 2]);
        assert_eq!(state.peer_view(NOW, &peer(1), good.clone()), [Effect::PeerView(peer(1), good.clone().unwrap())]);
        let mut reputation = 0;
        for bad in [None, heads(&[2, 1]), heads(&[1, 1]), heads(&[1, 2, 3, 4, 5, 6]), good.clone()] {
            assert_eq!(state.peer_view(NOW, &peer(1), bad.clone()), [Effect::Status(peer(1))], "{bad:?}");
            let now = state.status(NOW, &peer(1)).reputation;
            assert!(now < reputation, "{bad:?}");
            reputation = now;
        }
        assert!(state.peer_view(NOW, &peer(9), good).is_empty(), "a stranger's");
        state.connected(NOW, POV_PROTOCOL, peer(1), info(None));
        let closed = state.disconnected(VIEW_PROTOCOL, &peer(1));
        assert_eq!(closed, [Effect::PeerView(peer(1), View::default())]);
    }

    #[test]
    fn our_view_is_the_five_highest_leaves_and_told_when_it_changes() {
        let mut state = state();
        state.connected(NOW, VIEW_PROTOCOL, peer(1), info(None));
        state.connected(NOW, POV_PROTOCOL, peer(2), info(None));
        let seven = leaves(&[(9, 5), (8, 4), (7, 5), (6, 5), (5, 5), (4, 4), (3, 1)]);
        let view = View(vec![hash(4), hash(5), hash(6), hash(7), hash(9)]);
        assert_eq!(state.leaves(&seven), [Effect::OurView(view, vec![peer(1)])]);
        assert!(state.leaves(&seven).is_empty());
    }

    #[test]
    fn a_banned_peer_stays_out_until_its_time_is_over() {
        let mut state = state();
        state.connected(NOW, POV_PROTOCOL, peer(1), info(None));
        let malicious = ReportPeer::new(peer(1), PeerConduct::Malicious);
        assert_eq!(state.report(NOW, &malicious), [Effect::Disconnect(peer(1), BAN), Effect::Status(peer(1))]);
        state.disconnected(POV_PROTOCOL, &peer(1));
        let later = NOW + Duration::from_secs(100);
        let rest = BAN - Duration::from_secs(100);
        let again = state.connected(later, POV_PROTOCOL, peer(1), info(None));
        assert_eq!(again, [Effect::Forget(peer(1)), Effect::Disconnect(peer(1), rest)]);
        let wanted = SetConnected { peer: peer(1), addresses: Vec::new(), connected: true };
        assert!(state.set_connected(later, wanted.clone()).is_empty());
        assert_eq!(state.set_connected(NOW + BAN, wanted), [Effect::Connect(peer(1), Vec::new())]);
        assert_eq!(state.connected(NOW + BAN, POV_PROTOCOL, peer(1), info(None)), [Effect::Status(peer(1))]);
    }

    #[test]
    fn strangers_of_other_chains_are_refused_briefly_and_liars_for_long() {
        let mut state = state();
        let refused = |effects: Vec<Effect>| match effects.first() {
            Some(Effect::Disconnect(_, refuse_for)) => *refuse_for,
            other => panic!("expected a disconnection, found {other:?}"),
        };
        assert_eq!(refused(state.rejected(NOW, &peer(1), &Rejection::OtherChain(hash(1)))), UNWANTED_REFUSAL);
        assert_eq!(refused(state.rejected(NOW, &peer(1), &Rejection::OtherVersion(9))), UNWANTED_REFUSAL);
        assert_eq!(state.status(NOW, &peer(1)).reputation, 0);
        let lie = Rejection::WrongProof(ValidatorId([1; 32]));
        for _ in 0..2 {
            assert_eq!(refused(state.rejected(NOW, &peer(2), &lie)), BAN);
        }
    }

    #[test]
    fn peers_and_requests_are_bounded() {
        let mut state = state();
        let many = |number: usize| PeerId::new(&number.to_le_bytes()).unwrap();
        for number in 0..PEERS_MAX {
            state.connected(NOW, POV_PROTOCOL, many(number), info(None));
        }
        let full = state.connected(NOW, POV_PROTOCOL, many(PEERS_MAX), info(None));
        assert_eq!(full.last(), Some(&Effect::Disconnect(many(PEERS_MAX), UNWANTED_REFUSAL)));
        let taken = (0..=REQUESTS_PER_PEER_MAX).filter(|_| state.begin_request(&peer(1))).count();
        assert_eq!(taken, REQUESTS_PER_PEER_MAX);
        let taken = (0..=REQUESTS_MAX).filter(|number| state.begin_request(&many(*number))).count();
        assert_eq!(taken, REQUESTS_MAX - REQUESTS_PER_PEER_MAX);
        assert!(!state.end_request(&peer(1)) && state.begin_request(&many(0)));
    }
}
