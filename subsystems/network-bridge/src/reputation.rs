//! What peers have earned: a number each, moved by their conduct, drawn back to zero by time. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use messages::network_bridge::PeerConduct;
use ports::PeerId;

/// Below this a peer is disconnected and refused for [`BAN`].
pub const REPUTATION_THRESHOLD: i32 = -1_000;
/// Benefits lift no peer higher: nobody saves up for an attack.
pub const REPUTATION_MAX: i32 = 200;
/// Costs push no peer lower: after [`BAN`] there is a second chance, and a short one.
pub const REPUTATION_MIN: i32 = -2_000;
/// How fast a reputation moves back to zero, per second.
pub const DECAY_PER_SECOND: i32 = 2;
/// How long a peer below the threshold is refused.
pub const BAN: Duration = Duration::from_secs(600);
/// Peers whose reputation is remembered, connected or not.
pub const REPUTATIONS_MAX: usize = 4096;

/// First to bring something needed.
pub const BENEFIT_USEFUL: i32 = 5;
/// Brought what was known.
pub const BENEFIT_DUPLICATE: i32 = 1;
/// Brought what was not needed: happens to honest peers at every new block.
pub const COST_UNNEEDED: i32 = -1;
/// Did not answer in time: happens to honest peers under load.
pub const COST_TIMEOUT: i32 = -5;
/// Cannot be decoded: ten of them and the peer is out.
pub const COST_MALFORMED: i32 = -101;
/// A wrong signature or proof: four of them and the peer is out.
pub const COST_INVALID: i32 = -251;

const _: () = assert!(REPUTATION_MIN < REPUTATION_THRESHOLD && REPUTATION_THRESHOLD < 0 && 0 < REPUTATION_MAX);
// Nobody is still below the threshold when its ban is over.
const _: () = assert!(REPUTATION_MIN + DECAY_PER_SECOND * BAN.as_secs() as i32 > REPUTATION_THRESHOLD);

fn change(conduct: PeerConduct) -> i32 {
    match conduct {
        PeerConduct::BenefitUseful => BENEFIT_USEFUL,
        PeerConduct::BenefitDuplicate => BENEFIT_DUPLICATE,
        PeerConduct::CostUnneeded => COST_UNNEEDED,
        PeerConduct::CostTimeout => COST_TIMEOUT,
        PeerConduct::CostMalformed => COST_MALFORMED,
        PeerConduct::CostInvalid => COST_INVALID,
        PeerConduct::Malicious => REPUTATION_MIN,
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    score: i32,
    /// When `score` was right.
    at: Duration,
    refused_until: Duration,
}

impl Entry {
    fn decay(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.at).as_secs();
        self.at += Duration::from_secs(seconds);
        let back = i32::try_from(seconds).unwrap_or(i32::MAX).saturating_mul(DECAY_PER_SECOND);
        self.score -= self.score.signum() * back.min(self.score.abs());
    }

    fn is_forgettable(&self, now: Duration) -> bool {
        self.score == 0 && self.refused_until <= now
    }
}

/// The reputations of all peers. Of more than [`REPUTATIONS_MAX`] the best are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Reputations {
    entries: BTreeMap<PeerId, Entry>,
}

impl Reputations {
    /// Counts a conduct; whether the peer is to be disconnected and refused from now on.
    pub(crate) fn report(&mut self, now: Duration, peer: &PeerId, conduct: PeerConduct, count: u32) -> bool {
        let entry = self.entries.entry(peer.clone()).or_insert(Entry { at: now, ..Entry::default() });
        entry.decay(now);
        let sum = change(conduct).saturating_mul(i32::try_from(count).unwrap_or(i32::MAX));
        entry.score = match conduct {
            PeerConduct::Malicious => REPUTATION_MIN,
            _ => entry.score.saturating_add(sum).clamp(REPUTATION_MIN, REPUTATION_MAX),
        };
        let out = entry.score < REPUTATION_THRESHOLD && entry.refused_until <= now;
        if out {
            entry.refused_until = now + BAN;
        }
        if self.entries.len() > REPUTATIONS_MAX {
            self.forget(now);
        }
        out
    }

    /// The reputation now.
    pub(crate) fn get(&self, now: Duration, peer: &PeerId) -> i32 {
        self.entries.get(peer).map_or(0, |entry| {
            let mut entry = *entry;
            entry.decay(now);
            entry.score
        })
    }

    /// For how long the peer is still refused.
    pub(crate) fn refused_for(&self, now: Duration, peer: &PeerId) -> Option<Duration> {
        let until = self.entries.get(peer)?.refused_until;
        (until > now).then(|| until - now)
    }

    fn forget(&mut self, now: Duration) {
        self.entries.retain(|_, entry| {
            entry.decay(now);
            !entry.is_forgettable(now)
        });
        while self.entries.len() > REPUTATIONS_MAX {
            let best = self.entries.iter().max_by_key(|(_, entry)| entry.score).map(|(peer, _)| peer.clone());
            best.map(|peer| self.entries.remove(&peer));
        }
    }
}

#[cfg(test)]
mod tests {
    use mocks::fixtures::peer;

    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_conduct_bans_after_its_number_of_times() {
        for (conduct, times) in [
            (PeerConduct::Malicious, 1),
            (PeerConduct::CostInvalid, 4),
            (PeerConduct::CostMalformed, 10),
            (PeerConduct::CostTimeout, 201),
            (PeerConduct::CostUnneeded, 1_001),
        ] {
            let mut reputations = Reputations::default();
            for time in 1..times {
                assert!(!reputations.report(at(0), &peer(1), conduct, 1), "{conduct:?} {time}");
            }
            assert!(reputations.report(at(0), &peer(1), conduct, 1), "{conduct:?}");
            assert!(!reputations.report(at(0), &peer(1), conduct, 1), "{conduct:?}: it is refused already");
            assert_eq!(reputations.refused_for(at(1), &peer(1)), Some(at(599)));
            assert_eq!(reputations.refused_for(at(600), &peer(1)), None);
            let merged = Reputations::default().report(at(0), &peer(1), conduct, times);
            assert!(merged, "{conduct:?}: {times} at once");
        }
    }

    #[test]
    fn benefits_saturate_and_time_heals() {
        let mut reputations = Reputations::default();
        reputations.report(at(0), &peer(1), PeerConduct::BenefitUseful, u32::MAX);
        assert_eq!(reputations.get(at(0), &peer(1)), REPUTATION_MAX);
        assert_eq!(reputations.get(at(10), &peer(1)), REPUTATION_MAX - 20);
        assert_eq!(reputations.get(at(1_000_000_000), &peer(1)), 0);
        reputations.report(at(0), &peer(2), PeerConduct::CostInvalid, u32::MAX);
        assert_eq!(reputations.get(at(0), &peer(2)), REPUTATION_MIN);
        assert!(reputations.get(at(600), &peer(2)) > REPUTATION_THRESHOLD);
        // Many small steps of time heal as much as a large one.
        for second in 1..=10 {
            reputations.report(at(second), &peer(2), PeerConduct::BenefitUseful, 0);
        }
        assert_eq!(reputations.get(at(10), &peer(2)), REPUTATION_MIN + 20);
        // A clock that was set back changes nothing.
        assert_eq!(reputations.get(at(0), &peer(2)), REPUTATION_MIN + 20);
    }

    #[test]
    fn the_worst_are_remembered() {
        let mut reputations = Reputations::default();
        let many = |number: u32| PeerId::new(&number.to_le_bytes()).unwrap();
        reputations.report(at(0), &peer(255), PeerConduct::Malicious, 1);
        for number in 0..REPUTATIONS_MAX as u32 + 10 {
            reputations.report(at(0), &many(number), PeerConduct::CostTimeout, 1);
        }
        assert_eq!(reputations.entries.len(), REPUTATIONS_MAX);
        assert!(reputations.refused_for(at(0), &peer(255)).is_some());
    }
}
