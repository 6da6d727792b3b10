//! Who is wanted: reserved peers with their back-off, the others by slots and reputation. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use messages::network_bridge::{ObservedRole, PEER_NOTICES_MAX, SetConnected};
use messages::peer_set_manager::PeerStatus;
use ports::{Address, PeerId};

/// Reserved peers; more are left out. As many as the bridge takes at once.
pub const RESERVED_MAX: usize = PEER_NOTICES_MAX;
/// A peer that is not reserved comes in only with at least this reputation.
pub const REPUTATION_TO_ENTER: i32 = -250;
/// First wait before a lost reserved peer is dialled again; doubles with each failure.
pub const BACK_OFF_MIN: Duration = Duration::from_secs(2);
/// Longest wait before a lost reserved peer is dialled again.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(600);
/// A connection that lasts this long makes earlier failures forgotten.
pub const STABLE_AFTER: Duration = Duration::from_secs(60);

/// Whom to be connected to.
#[derive(Clone, Debug)]
pub struct PeerSetConfig {
    /// Always, whatever their reputation and the slots; with their addresses.
    pub reserved: Vec<(PeerId, Vec<Address>)>,
    /// At most so many other validators.
    pub validator_slots: usize,
    /// At most so many other collators.
    pub collator_slots: usize,
    /// At most so many others.
    pub full_slots: usize,
}

impl Default for PeerSetConfig {
    /// Room for a set of 1,000 validators, 128 collators and 64 others.
    fn default() -> Self {
        Self { reserved: Vec::new(), validator_slots: 1024, collator_slots: 128, full_slots: 64 }
    }
}

/// The sets, each with slots of its own: collators cannot crowd out validators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PeerSet {
    Validators,
    Collators,
    Full,
}

impl From<ObservedRole> for PeerSet {
    fn from(role: ObservedRole) -> Self {
        match role {
            ObservedRole::Validator => Self::Validators,
            ObservedRole::Collator => Self::Collators,
            ObservedRole::Full | ObservedRole::Light => Self::Full,
        }
    }
}

enum Link {
    /// Since then.
    Up(Duration),
    /// To be dialled again then.
    Down(Duration),
}

struct Reserved {
    addresses: Vec<Address>,
    link: Link,
    failures: u32,
}

struct Member {
    set: PeerSet,
    reputation: i32,
}

/// All that the manager knows.
pub(crate) struct State {
    reserved: BTreeMap<PeerId, Reserved>,
    members: BTreeMap<PeerId, Member>,
    slots: BTreeMap<PeerSet, usize>,
}

impl State {
    /// Every reserved peer is to be dialled at once.
    pub(crate) fn new(config: PeerSetConfig, now: Duration) -> Self {
        let mut reserved: BTreeMap<PeerId, Reserved> = BTreeMap::new();
        for (peer, addresses) in config.reserved {
            if reserved.len() >= RESERVED_MAX && !reserved.contains_key(&peer) {
                tracing::warn!(%peer, RESERVED_MAX, "too many reserved peers, this one is left out");
                continue;
            }
            let first = Reserved { addresses: Vec::new(), link: Link::Down(now), failures: 0 };
            reserved.entry(peer).or_insert(first).addresses.extend(addresses);
        }
        let slots = BTreeMap::from([
            (PeerSet::Validators, config.validator_slots),
            (PeerSet::Collators, config.collator_slots),
            (PeerSet::Full, config.full_slots),
        ]);
        Self { reserved, members: BTreeMap::new(), slots }
    }

    /// When a reserved peer is to be dialled next.
    pub(crate) fn next_dial(&self) -> Option<Duration> {
        self.reserved
            .values()
            .filter_map(|peer| if let Link::Down(until) = peer.link { Some(until) } else { None })
            .min()
    }

    /// Dials the reserved peers whose time has come. Each dial may fail silently, so the next one is planned at once.
    pub(crate) fn dial(&mut self, now: Duration) -> Vec<SetConnected> {
        let mut wanted = Vec::new();
        for (peer, reserved) in &mut self.reserved {
            if matches!(reserved.link, Link::Down(until) if until <= now) {
                reserved.link = Link::Down(now + back_off(reserved.failures));
                reserved.failures = reserved.failures.saturating_add(1);
                let (peer, addresses) = (peer.clone(), reserved.addresses.clone());
                wanted.push(SetConnected { peer, addresses, connected: true });
            }
        }
        wanted
    }

    /// A peer came, went or was judged.
    pub(crate) fn status(&mut self, now: Duration, status: &PeerStatus) -> Vec<SetConnected> {
        if let Some(reserved) = self.reserved.get_mut(&status.peer) {
            match (&reserved.link, status.connected) {
                (Link::Down(_), true) => reserved.link = Link::Up(now),
                (Link::Up(since), false) => {
                    if now.saturating_sub(*since) >= STABLE_AFTER {
                        reserved.failures = 0;
                    }
                    reserved.link = Link::Down(now + back_off(reserved.failures));
                }
                (Link::Up(_), true) | (Link::Down(_), false) => {}
            }
            return Vec::new();
        }
        if !status.connected {
            self.members.remove(&status.peer);
            return Vec::new();
        }
        let set = PeerSet::from(status.role);
        if let Some(member) = self.members.get_mut(&status.peer)
            && member.set == set
        {
            member.reputation = status.reputation;
            return Vec::new();
        }
        self.members.remove(&status.peer);
        self.admit(set, status)
    }

    /// A newcomer takes a free slot or the slot of one with a worse reputation; else it has to go.
    fn admit(&mut self, set: PeerSet, status: &PeerStatus) -> Vec<SetConnected> {
        if status.reputation < REPUTATION_TO_ENTER {
            return vec![unwanted(&status.peer)];
        }
        let in_set = || self.members.iter().filter(|(_, member)| member.set == set);
        let mut leaves = None;
        if in_set().count() >= self.slots.get(&set).copied().unwrap_or(0) {
            let worst = in_set().min_by_key(|(_, member)| member.reputation);
            match worst.filter(|(_, member)| member.reputation < status.reputation) {
                Some((worst, _)) => leaves = Some(worst.clone()),
                None => return vec![unwanted(&status.peer)],
            }
        }
        if let Some(worst) = &leaves {
            self.members.remove(worst);
        }
        self.members.insert(status.peer.clone(), Member { set, reputation: status.reputation });
        leaves.iter().map(unwanted).collect()
    }
}

fn unwanted(peer: &PeerId) -> SetConnected {
    SetConnected { peer: peer.clone(), addresses: Vec::new(), connected: false }
}

fn back_off(failures: u32) -> Duration {
    BACK_OFF_MIN.saturating_mul(2_u32.saturating_pow(failures)).min(BACK_OFF_MAX)
}

#[cfg(test)]
mod tests {
    use mocks::fixtures::peer;

    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn status(byte: u8, role: ObservedRole, connected: bool, reputation: i32) -> PeerStatus {
        PeerStatus { peer: peer(byte), role, connected, reputation }
    }

    fn collator(byte: u8, reputation: i32) -> PeerStatus {
        status(byte, ObservedRole::Collator, true, reputation)
    }

    fn slots(reserved: &[u8]) -> State {
        let reserved = reserved.iter().map(|byte| (peer(*byte), vec![Address(format!("at {byte}"))])).collect();
        let config = PeerSetConfig { reserved, validator_slots: 1, collator_slots: 2, full_slots: 1 };
        State::new(config, at(0))
    }

    /// As `+peer` and `-peer`.
    fn shown(wanted: Vec<SetConnected>) -> Vec<String> {
        let line =
            |wanted: SetConnected| format!("{}{}", if wanted.connected { '+' } else { '-' }, wanted.peer.as_bytes()[0]);
        wanted.into_iter().map(line).collect()
    }

    #[test]
    fn each_role_has_its_own_slots() {
        let mut state = slots(&[]);
        for (status, expected) in [
            (collator(1, 0), None),
            (collator(2, 0), None),
            (collator(3, 0), Some("-3")),
            (status(4, ObservedRole::Validator, true, 0), None),
            (status(5, ObservedRole::Full, true, 0), None),
            (status(6, ObservedRole::Light, true, 0), Some("-6")),
            (collator(1, 50), None),
            (status(2, ObservedRole::Collator, false, 0), None),
            (collator(3, 0), None),
        ] {
            assert_eq!(shown(state.status(at(0), &status)).first().map(String::as_str), expected, "{status:?}");
        }
    }

    #[test]
    fn a_better_peer_takes_the_slot_of_the_worst_and_a_bad_one_never_comes_in() {
        let mut state = slots(&[]);
        state.status(at(0), &collator(1, 0));
        state.status(at(0), &collator(2, 0));
        state.status(at(0), &collator(2, -10));
        assert_eq!(shown(state.status(at(0), &collator(3, 0))), ["-2"]);
        assert_eq!(shown(state.status(at(0), &collator(4, 0))), ["-4"]);
        assert_eq!(shown(slots(&[]).status(at(0), &collator(5, REPUTATION_TO_ENTER - 1))), ["-5"]);
        assert!(slots(&[]).status(at(0), &collator(5, REPUTATION_TO_ENTER)).is_empty());
    }

    #[test]
    fn a_peer_that_changes_its_role_changes_its_slot() {
        let mut state = slots(&[]);
        state.status(at(0), &status(1, ObservedRole::Full, true, 0));
        assert!(state.status(at(0), &status(1, ObservedRole::Validator, true, 0)).is_empty());
        assert!(state.status(at(0), &status(2, ObservedRole::Full, true, 0)).is_empty());
        assert_eq!(shown(state.status(at(0), &status(3, ObservedRole::Validator, true, 0))), ["-3"]);
    }

    #[test]
    fn reserved_peers_need_no_slot_and_no_reputation() {
        let mut state = slots(&[7, 8]);
        assert_eq!(state.next_dial(), Some(at(0)));
        assert_eq!(shown(state.dial(at(0))), ["+7", "+8"]);
        for byte in [7, 8] {
            assert!(state.status(at(0), &status(byte, ObservedRole::Validator, true, -5_000)).is_empty());
        }
        assert!(state.status(at(0), &status(1, ObservedRole::Validator, true, 0)).is_empty());
        assert_eq!(state.next_dial(), None);
    }

    #[test]
    fn a_reserved_peer_is_dialled_less_and_less_often_until_it_stays() {
        let mut state = slots(&[7]);
        let mut dials = Vec::new();
        for _ in 0..12 {
            let now = state.next_dial().unwrap();
            assert_eq!(shown(state.dial(now)), ["+7"]);
            assert!(state.dial(now).is_empty(), "once");
            dials.push(now.as_secs());
        }
        assert_eq!(dials[..5], [0, 2, 6, 14, 30]);
        assert_eq!(dials[11] - dials[10], BACK_OFF_MAX.as_secs());
        let up = |connected| status(7, ObservedRole::Validator, connected, 0);
        // Up for a moment: still the long wait. Up for long: the short one.
        state.status(at(10_000), &up(true));
        state.status(at(10_001), &up(false));
        assert_eq!(state.next_dial(), Some(at(10_001) + BACK_OFF_MAX));
        state.status(at(20_000), &up(true));
        state.status(at(20_000) + STABLE_AFTER, &up(false));
        assert_eq!(state.next_dial(), Some(at(20_000) + STABLE_AFTER + BACK_OFF_MIN));
    }

    #[test]
    fn reserved_peers_are_bounded_and_named_twice_count_once() {
        let many = (0..=RESERVED_MAX).map(|number| (PeerId::new(&number.to_le_bytes()).unwrap(), Vec::new()));
        let mut state = State::new(PeerSetConfig { reserved: many.collect(), ..PeerSetConfig::default() }, at(0));
        assert_eq!(state.dial(at(0)).len(), RESERVED_MAX);
        let twice = ["here", "there"].map(|place| (peer(1), vec![Address(place.to_owned())]));
        let mut state = State::new(PeerSetConfig { reserved: twice.into(), ..PeerSetConfig::default() }, at(0));
        let dialled = state.dial(at(0));
        assert_eq!((dialled.len(), dialled[0].addresses.len()), (1, 2));
    }
}
