//! Votes of the next voter set, kept until this node gets there. Pure.
//!
//! Who votes in that set is not known here yet, so nothing about these votes is either. Each peer has room of its own:
//! whoever floods takes room from nobody else, and pays for what an honest peer cannot send. The rest is checked, and
//! paid for, when the set is known.
//!
//! **Limits**: [`EARLY_PEERS_MAX`], [`EARLY_ROUNDS_MAX`], and a vote per round, stage and voter, of whom there may be
//! [`EARLY_VOTERS_MIN`] or twice as many as in this set.

use std::collections::BTreeMap;

use ports::PeerId;
use primitives::ValidatorId;

use crate::justification::{Vote, stage};

/// Peers whose early votes are kept at once: of more, one is as good as another.
pub const EARLY_PEERS_MAX: usize = 32;
/// Rounds of the next set that are looked at. It begins with round 1; whoever misses more than the first rounds catches
/// up in another way.
pub const EARLY_ROUNDS_MAX: u64 = 2;
/// Voters that the next set may have in any case; beyond that it may have twice as many as this one.
pub const EARLY_VOTERS_MIN: usize = 1024;
const STAGES: usize = 3;

/// Room for the votes of one peer: of every voter in every stage and round.
const fn room(voters: usize) -> usize {
    let next = if voters * 2 > EARLY_VOTERS_MIN { voters * 2 } else { EARLY_VOTERS_MIN };
    next * STAGES * EARLY_ROUNDS_MAX as usize
}

/// A peer sent votes of more voters than the next set has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {0} votes of the next voter set")]
pub(crate) struct TooManyVotes(usize);

type Place = (u64, u8, ValidatorId);

/// The votes, by who sent them.
#[derive(Debug, Default)]
pub(crate) struct EarlyVotes {
    by_peer: BTreeMap<PeerId, BTreeMap<Place, Vote>>,
}

impl EarlyVotes {
    /// Keeps a vote, if it is of one of the first rounds and there is room; this set has so many `voters`. Of one voter,
    /// round and stage the first vote stays.
    pub(crate) fn keep(&mut self, peer: &PeerId, vote: Vote, voters: usize) -> Result<(), TooManyVotes> {
        let is_new_peer = !self.by_peer.contains_key(peer);
        if vote.round > EARLY_ROUNDS_MAX || (is_new_peer && self.by_peer.len() >= EARLY_PEERS_MAX) {
            return Ok(());
        }
        let place = (vote.round, stage(&vote.signed.message) as u8, vote.signed.id);
        let votes = self.by_peer.entry(peer.clone()).or_default();
        if votes.len() >= room(voters) && !votes.contains_key(&place) {
            return Err(TooManyVotes(room(voters)));
        }
        votes.entry(place).or_insert(vote);
        Ok(())
    }

    /// A peer has gone: what it said goes as well.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.by_peer.remove(peer);
    }

    /// Takes all votes out, by who sent them.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (PeerId, Vec<Vote>)> + use<> {
        let by_peer = std::mem::take(&mut self.by_peer);
        by_peer.into_iter().map(|(peer, votes)| (peer, votes.into_values().collect()))
    }
}

#[cfg(test)]
mod tests {
    use finality_grandpa::{Message, Precommit, Prevote};
    use primitives::{Hash, Signature};

    use super::*;
    use crate::justification::SignedVoteMessage;

    fn vote(voter: u32, round: u64, precommits: bool) -> Vote {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&voter.to_le_bytes());
        let (target_hash, target_number) = (Hash::repeat(1), 5);
        let message = match precommits {
            true => Message::Precommit(Precommit { target_hash, target_number }),
            false => Message::Prevote(Prevote { target_hash, target_number }),
        };
        let signed = SignedVoteMessage { message, signature: Signature::default(), id: ValidatorId(id) };
        Vote { set_id: 1, round, signed }
    }

    fn peer(index: usize) -> PeerId {
        PeerId::new(&[index as u8]).unwrap()
    }

    #[test]
    fn a_flood_of_one_peer_takes_no_room_of_another() {
        let mut early = EarlyVotes::default();
        let mut voters = 0..;
        let refused = voters.find(|voter| early.keep(&peer(0), vote(*voter, 1, false), 4).is_err());
        assert_eq!(refused, Some(room(4) as u32));
        assert_eq!(early.keep(&peer(0), vote(0, 1, false), 4), Ok(()), "what is known costs nothing");
        assert_eq!(early.keep(&peer(1), vote(7, 1, true), 4), Ok(()));
        let kept: Vec<_> = early.take().collect();
        assert_eq!(kept[0].1.len(), room(4));
        assert_eq!(kept[1..], [(peer(1), vec![vote(7, 1, true)])]);
        assert_eq!(early.take().count(), 0);
    }

    #[test]
    fn peers_and_rounds_are_limited() {
        let mut early = EarlyVotes::default();
        for index in 0..EARLY_PEERS_MAX + 5 {
            assert_eq!(early.keep(&peer(index), vote(1, 1, false), 4), Ok(()));
        }
        assert_eq!(early.keep(&peer(0), vote(1, EARLY_ROUNDS_MAX + 1, false), 4), Ok(()));
        early.forget(&peer(1));
        assert_eq!(early.keep(&peer(EARLY_PEERS_MAX), vote(1, 2, false), 4), Ok(()), "room comes back");
        assert_eq!(early.take().count(), EARLY_PEERS_MAX);
    }

    #[test]
    fn of_one_voter_round_and_stage_the_first_vote_stays() {
        let mut early = EarlyVotes::default();
        let mut other = vote(1, 1, false);
        other.signed.signature.0[0] = 1;
        for vote in [vote(1, 1, false), other, vote(1, 1, true), vote(1, 2, false)] {
            assert_eq!(early.keep(&peer(0), vote, 4), Ok(()));
        }
        let (_, votes) = early.take().next().unwrap();
        assert_eq!(votes, [vote(1, 1, false), vote(1, 1, true), vote(1, 2, false)]);
    }
}
