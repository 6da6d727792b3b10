//! Votes of the rounds at hand: held once, given to the voter as soon as their block is known. Pure.
//!
//! **Limits**: rounds from [`ROUNDS_BEHIND`] before the current one to [`ROUNDS_AHEAD`] after it; per round, voter and
//! stage [`VOTES_PER_VOTER_MAX`] votes.

use std::collections::BTreeMap;

use primitives::{BlockNumber, Hash, ValidatorId};

use crate::justification::{SignedVoteMessage, VOTES_PER_VOTER_MAX, Vote, Voters, stage};

/// Rounds kept behind the current one: others may still need their votes.
pub const ROUNDS_BEHIND: u64 = 2;
/// Rounds ahead of the current one whose votes are kept; further ones mean that we are behind.
pub const ROUNDS_AHEAD: u64 = 1;

/// What became of a vote that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is new, and held.
    New,
    /// It is held already, or says nothing new.
    Known,
    /// Its round is over.
    Old,
    /// Its round is further ahead than we could be by being slow.
    Ahead,
    /// Its signer does not vote in this set.
    NoVoter,
}

/// A vote and whether the voter has it.
#[derive(Clone, Debug)]
struct Held {
    signed: SignedVoteMessage,
    delivered: bool,
}

/// The votes of a voter set's rounds at hand.
#[derive(Clone, Debug)]
pub struct Votes {
    set_id: u64,
    round: u64,
    rounds: BTreeMap<u64, BTreeMap<(ValidatorId, u8), Vec<Held>>>,
}

impl Votes {
    /// No votes, before the first round of a set.
    pub fn new(set_id: u64, round: u64) -> Self {
        Self { set_id, round, rounds: BTreeMap::new() }
    }

    /// The current round.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// The voter set.
    pub fn set_id(&self) -> u64 {
        self.set_id
    }

    /// What would become of a vote; its signature is not looked at.
    pub fn classify(&self, vote: &Vote, voters: &Voters) -> Offered {
        if vote.round.saturating_add(ROUNDS_BEHIND) < self.round {
            return Offered::Old;
        }
        if !voters.contains(&vote.signed.id) {
            return Offered::NoVoter;
        }
        if vote.round > self.round.saturating_add(ROUNDS_AHEAD) {
            return Offered::Ahead;
        }
        let key = (vote.signed.id, stage(&vote.signed.message) as u8);
        let held = self.rounds.get(&vote.round).and_then(|round| round.get(&key)).map_or(&[][..], Vec::as_slice);
        let same = held.iter().any(|held| held.signed.message == vote.signed.message);
        if same || held.len() >= VOTES_PER_VOTER_MAX { Offered::Known } else { Offered::New }
    }

    /// The vote held of the same voter in the same stage of the same round that says something else.
    pub fn contradicted_by(&self, vote: &Vote) -> Option<Vote> {
        let key = (vote.signed.id, stage(&vote.signed.message) as u8);
        let held = self.rounds.get(&vote.round)?.get(&key)?.first()?;
        let signed = (held.signed.message != vote.signed.message).then(|| held.signed.clone())?;
        Some(Vote { set_id: self.set_id, round: vote.round, signed })
    }

    /// Holds a vote whose signature is good, if it is new.
    pub fn hold(&mut self, vote: Vote, voters: &Voters) -> Offered {
        let offered = self.classify(&vote, voters);
        if offered == Offered::New {
            let key = (vote.signed.id, stage(&vote.signed.message) as u8);
            let round = self.rounds.entry(vote.round).or_default();
            round.entry(key).or_default().push(Held { signed: vote.signed, delivered: false });
        }
        offered
    }

    /// The voter begins a round (or takes up a finished one anew): rounds far behind are forgotten, and all that is held
    /// of this one will be delivered again.
    pub fn begin(&mut self, round: u64) {
        self.round = self.round.max(round);
        let first = self.round.saturating_sub(ROUNDS_BEHIND);
        self.rounds = self.rounds.split_off(&first);
        for held in self.rounds.entry(round).or_default().values_mut().flatten() {
            held.delivered = false;
        }
    }

    /// Takes the votes to be delivered now: those not delivered yet whose block is `known` at the height they name.
    pub fn deliverable(&mut self, known: impl Fn(&Hash, BlockNumber) -> bool) -> Vec<(u64, SignedVoteMessage)> {
        let mut ready = Vec::new();
        for (round, votes) in &mut self.rounds {
            for held in votes.values_mut().flatten().filter(|held| !held.delivered) {
                let (hash, number) = held.signed.target();
                if known(hash, number) {
                    held.delivered = true;
                    ready.push((*round, held.signed.clone()));
                }
            }
        }
        ready
    }

    /// All votes held of the current round and the one before it: what a peer that has just come needs.
    pub fn recent(&self) -> Vec<Vote> {
        let first = self.round.saturating_sub(1);
        let rounds = self.rounds.range(first..=self.round);
        rounds
            .flat_map(|(round, votes)| {
                votes.values().flatten().map(|held| Vote {
                    set_id: self.set_id,
                    round: *round,
                    signed: held.signed.clone(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
