//! Votes and proofs of finality: what is signed, and how a proof is checked. Pure.
//!
//! What is signed is Substrate's: SCALE of message, round and voter set.

use std::collections::BTreeMap;

use codec::{Decode, Encode};
use finality_grandpa::{Chain, Commit, Message, SignedMessage, SignedPrecommit, voter_set::VoterSet};
use ports::FinalityStage;
use primitives::{BlockNumber, Hash, Header, Signature, ValidatorId, limits::MAX_VALIDATORS};

use crate::tree::MAX_UNFINALIZED_BLOCKS;

/// Largest encoded justification or set of catch-up votes, in bytes.
pub const MAX_JUSTIFICATION_BYTES: usize = 1024 * 1024 - 64 * 1024;
/// Headers that a justification brings along: a tree has no more blocks above the finalized one.
pub const MAX_ANCESTRIES: usize = MAX_UNFINALIZED_BLOCKS;
/// Votes of one voter and stage that are looked at: a second one is an equivocation, more say nothing new.
pub const VOTES_PER_VOTER_MAX: usize = 2;
/// Stages of a round: proposal, prevotes, precommits.
const STAGES: usize = 3;
/// A signed vote, in bytes: stage, target, height, signature and voter.
const VOTE_BYTES: usize = 1 + 32 + 4 + 64 + 32;
// All that is looked at in a round of the largest set can be kept, and told to whoever missed it.
const _: () = assert!(MAX_VALIDATORS * STAGES * VOTES_PER_VOTER_MAX * VOTE_BYTES + 1024 <= MAX_JUSTIFICATION_BYTES);

/// A vote without its signature.
pub type VoteMessage = Message<Hash, BlockNumber>;
/// A vote with signer and signature.
pub type SignedVoteMessage = SignedMessage<Hash, BlockNumber, Signature, ValidatorId>;
/// Votes that complete a round.
pub type CatchUpVotes = finality_grandpa::CatchUp<Hash, BlockNumber, Signature, ValidatorId>;
/// Precommits that finalize a block.
pub type BlockCommit = Commit<Hash, BlockNumber, Signature, ValidatorId>;
/// The voters of a set, by key.
pub type Voters = VoterSet<ValidatorId>;

/// Why votes prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JustificationError {
    /// Its encoding is too long to be kept or passed on.
    #[error("proof of {found} bytes, at most {MAX_JUSTIFICATION_BYTES} are allowed")]
    TooLarge {
        /// How long it is.
        found: usize,
    },
    /// More votes than the voters have.
    #[error("{found} votes, at most {max} are possible")]
    TooManyVotes {
        /// How many.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// More headers than can lie between a block and those that are voted for.
    #[error("{found} headers, at most {MAX_ANCESTRIES} are possible")]
    TooManyHeaders {
        /// How many.
        found: usize,
    },
    /// A vote by somebody else.
    #[error("{0:?} is no voter")]
    NoVoter(ValidatorId),
    /// A signature does not hold.
    #[error("signature of {0:?} does not hold")]
    Signature(ValidatorId),
    /// The precommits are not more than two thirds for the block.
    #[error("the precommits do not make block {0:?} final")]
    NotEnough(Hash),
}

/// The bytes that a voter signs.
pub fn vote_payload(set_id: u64, round: u64, message: &VoteMessage) -> Vec<u8> {
    (message, round, set_id).encode()
}

/// The stage that a message belongs to.
pub fn stage(message: &VoteMessage) -> FinalityStage {
    match message {
        Message::PrimaryPropose(_) => FinalityStage::Propose,
        Message::Prevote(_) => FinalityStage::Prevote,
        Message::Precommit(_) => FinalityStage::Precommit,
    }
}

/// A vote on its way.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Vote {
    /// The voter set.
    pub set_id: u64,
    /// The round.
    pub round: u64,
    /// What is said, by whom.
    pub signed: SignedVoteMessage,
}

impl Vote {
    /// Whether the signature is the named voter's.
    pub fn verify(&self) -> bool {
        let payload = vote_payload(self.set_id, self.round, &self.signed.message);
        self.signed.id.verify(&payload, &self.signed.signature)
    }
}

/// Proof that a voter voted twice in one stage of one round: two votes that no honest one signs both.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DoubleVote {
    /// The vote that came first.
    pub first: Vote,
    /// The other one.
    pub second: Vote,
}

impl DoubleVote {
    /// Whether it proves what it says: anybody can check that who knows the key of the voter.
    pub fn verify(&self) -> bool {
        let place = |vote: &Vote| (vote.set_id, vote.round, vote.signed.id, stage(&vote.signed.message));
        place(&self.first) == place(&self.second)
            && self.first.signed.message != self.second.signed.message
            && self.first.verify()
            && self.second.verify()
    }
}

/// Votes that complete a round, on their way.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CatchUp {
    /// The voter set.
    pub set_id: u64,
    /// The votes.
    pub votes: CatchUpVotes,
}

impl CatchUp {
    /// Checks voters and signatures; whether the votes complete the round is for the voter to say.
    ///
    /// # Errors
    /// The [`JustificationError`] that applies.
    pub fn verify(&self, voters: &Voters) -> Result<(), JustificationError> {
        let max = voters.len().get() * VOTES_PER_VOTER_MAX;
        let found = self.votes.prevotes.len().max(self.votes.precommits.len());
        if found > max {
            return Err(JustificationError::TooManyVotes { found, max });
        }
        let prevotes =
            self.votes.prevotes.iter().map(|vote| (Message::Prevote(vote.prevote.clone()), vote.id, vote.signature));
        let precommits = self
            .votes
            .precommits
            .iter()
            .map(|vote| (Message::Precommit(vote.precommit.clone()), vote.id, vote.signature));
        for (message, id, signature) in prevotes.chain(precommits) {
            check_vote(voters, self.set_id, self.votes.round_number, &message, &id, &signature)?;
        }
        Ok(())
    }
}

fn check_vote(
    voters: &Voters,
    set_id: u64,
    round: u64,
    message: &VoteMessage,
    id: &ValidatorId,
    signature: &Signature,
) -> Result<(), JustificationError> {
    if !voters.contains(id) {
        return Err(JustificationError::NoVoter(*id));
    }
    if !id.verify(&vote_payload(set_id, round, message), signature) {
        return Err(JustificationError::Signature(*id));
    }
    Ok(())
}

/// Proof that a block is final: it needs no other knowledge of the chain than the voters.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Justification {
    /// The voter set.
    pub set_id: u64,
    /// The round in which the precommits were cast.
    pub round: u64,
    /// Block and precommits.
    pub commit: BlockCommit,
    /// The headers between the block and the blocks that the precommits name.
    pub ancestries: Vec<Header>,
}

impl Justification {
    /// The block that it proves final.
    pub fn target(&self) -> (Hash, BlockNumber) {
        (self.commit.target_hash, self.commit.target_number)
    }

    /// Checks the proof against the voters of its set.
    ///
    /// # Errors
    /// The [`JustificationError`] that applies.
    pub fn verify(&self, voters: &Voters) -> Result<(), JustificationError> {
        let found = self.encoded_size();
        if found > MAX_JUSTIFICATION_BYTES {
            return Err(JustificationError::TooLarge { found });
        }
        let (found, max) = (self.commit.precommits.len(), voters.len().get() * VOTES_PER_VOTER_MAX);
        if found > max {
            return Err(JustificationError::TooManyVotes { found, max });
        }
        let found = self.ancestries.len();
        if found > MAX_ANCESTRIES {
            return Err(JustificationError::TooManyHeaders { found });
        }
        for SignedPrecommit { precommit, signature, id } in &self.commit.precommits {
            let message = Message::Precommit(precommit.clone());
            check_vote(voters, self.set_id, self.round, &message, id, signature)?;
        }
        let parents = self.ancestries.iter().map(|header| (header.hash(), header.parent_hash)).collect();
        let chain = Ancestries { parents };
        let all_above = self
            .commit
            .precommits
            .iter()
            .all(|signed| chain.is_equal_or_descendent_of(self.commit.target_hash, signed.precommit.target_hash));
        let valid =
            finality_grandpa::validate_commit(&self.commit, voters, &chain).is_ok_and(|result| result.is_valid());
        if all_above && valid { Ok(()) } else { Err(JustificationError::NotEnough(self.commit.target_hash)) }
    }
}

/// The little piece of chain that a justification brings with it.
struct Ancestries {
    parents: BTreeMap<Hash, Hash>,
}

impl Chain<Hash, BlockNumber> for Ancestries {
    fn ancestry(&self, base: Hash, block: Hash) -> Result<Vec<Hash>, finality_grandpa::Error> {
        let mut between = Vec::new();
        let mut current = block;
        // A hash chain has no cycles, so this ends with the headers.
        loop {
            let parent = self.parents.get(&current).ok_or(finality_grandpa::Error::NotDescendent)?;
            if *parent == base {
                return Ok(between);
            }
            between.push(*parent);
            current = *parent;
        }
    }
}

/// The voters of a set; `None` for an empty one.
pub fn voters(validators: &[ValidatorId]) -> Option<Voters> {
    Voters::new(validators.iter().map(|id| (*id, 1)))
}

#[cfg(test)]
mod tests;
