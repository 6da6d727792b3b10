//! What chains say to each other: four protocols, their messages and the limits of each. Pure.

use codec::{Decode, Encode};
use ports::{MAX_NOTIFICATION_BYTES, MAX_RESPONSE_BYTES, PROTOCOL_QUEUE_BYTES, PROTOCOL_QUEUE_MESSAGES, ProtocolId};
use primitives::{
    BlockNumber, BoundedVec, Hash,
    limits::{MAX_CODE_SIZE, MAX_HEAD_DATA_SIZE},
};
use runtime::{Block, Extrinsic};

use crate::justification::{CatchUp, Justification, MAX_JUSTIFICATION_BYTES, Vote};

/// Blocks: announcements, and requests for ranges of a chain.
pub const BLOCK_PROTOCOL: ProtocolId = ProtocolId(*b"blck");
/// Finality: votes and justifications, and requests for the votes of a round.
pub const FINALITY_PROTOCOL: ProtocolId = ProtocolId(*b"fnal");
/// Misbehavior reports.
pub const REPORT_PROTOCOL: ProtocolId = ProtocolId(*b"rprt");
/// Transactions.
pub const TRANSACTION_PROTOCOL: ProtocolId = ProtocolId(*b"trxn");
/// Version of all four.
pub const PROTOCOL_VERSION: u32 = 3;

/// Largest encoded block, in bytes; authors keep within it.
pub const MAX_BLOCK_BYTES: usize = 16 * 1024 * 1024;
/// Most blocks of one answer.
pub const MAX_BLOCKS_PER_RESPONSE: usize = 64;
/// Encoded blocks of one answer, in bytes: the largest, and one on top of it that shows that somebody wants it.
pub const RESPONSE_BLOCKS_BYTES: usize = MAX_BLOCK_BYTES + 4 * 1024 * 1024;
/// Most justifications of one answer: the last one, and one per change of voters in the range.
pub const MAX_JUSTIFICATIONS_PER_RESPONSE: usize = 4;
/// Largest encoded misbehavior report, in bytes: two votes with context and signature.
pub const MAX_REPORT_BYTES: usize = 512;
/// Largest encoded transaction, in bytes: a remote dispute that brings along its candidate's code, on a candidate that
/// brings new code, each as large as any configuration allows, with the head, messages and votes.
pub const MAX_TRANSACTION_BYTES: usize =
    2 * MAX_CODE_SIZE as usize + MAX_HEAD_DATA_SIZE as usize + TRANSACTION_ROOM_BYTES;
/// What a transaction may have beside codes and head, in bytes: messages of a candidate, votes or signatures of some
/// thousands of validators.
pub const TRANSACTION_ROOM_BYTES: usize = 2 * 1024 * 1024;
/// What a block has beside transactions, in bytes, once no candidate fits any more: header, votes and the bitfields of
/// some thousands of validators.
pub const BLOCK_ROOM_BYTES: usize = 2 * 1024 * 1024;
/// Most votes of one message: few enough that a node hears its own voter between two messages, and so many that all votes
/// at hand of some thousands of voters, two in each stage of two rounds, are a few hundred messages of a few MiB.
pub const MAX_VOTES_PER_MESSAGE: usize = 128;
/// Most names of transactions in one message.
pub const MAX_HASHES_PER_MESSAGE: usize = 1024;
/// Transactions that a peer is sent whole when it comes, half of what its link takes. The rest it is told by name.
pub const TOLD_WHOLE_MAX: usize = PROTOCOL_QUEUE_MESSAGES / 2;
/// Their messages together, in bytes: half of what the link takes.
pub const TOLD_WHOLE_BYTES_MAX: usize = PROTOCOL_QUEUE_BYTES / 2;
/// Largest encoded request, in bytes.
pub const MAX_CHAIN_REQUEST_BYTES: usize = 64;

/// A vote, encoded, in bytes: set, round, what is said of which block, signature and voter.
const VOTE_BYTES: usize = 8 + 8 + (1 + 32 + 4) + 64 + 32;

const _: () = assert!(
    RESPONSE_BLOCKS_BYTES + MAX_JUSTIFICATIONS_PER_RESPONSE * MAX_JUSTIFICATION_BYTES + 1024 <= MAX_RESPONSE_BYTES
);
const _: () = assert!(MAX_TRANSACTION_BYTES + BLOCK_ROOM_BYTES <= MAX_BLOCK_BYTES);
const _: () = assert!(MAX_BLOCK_BYTES <= runtime::limits::MAX_BLOCK_SIZE);
const _: () = assert!(MAX_JUSTIFICATION_BYTES < MAX_NOTIFICATION_BYTES);
const _: () = assert!(MAX_HASHES_PER_MESSAGE * 32 + 8 <= MAX_NOTIFICATION_BYTES);
const _: () = assert!(MAX_VOTES_PER_MESSAGE * VOTE_BYTES + 8 <= MAX_NOTIFICATION_BYTES);

/// Said first on every substream: whoever differs is on another chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Handshake {
    /// [`PROTOCOL_VERSION`].
    pub version: u32,
    /// Hash of the genesis block.
    pub genesis: Hash,
    /// Length of a slot, in milliseconds.
    pub slot_ms: u64,
    /// Wanted share of slots with several authors, in parts per million.
    pub forks_per_million: u32,
}

/// Gossip on [`BLOCK_PROTOCOL`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum BlockMessage {
    /// A block that the sender has imported, whole.
    Block(Block),
    /// A block that the sender has imported and that is too large for gossip: to be requested.
    Have {
        /// Its hash.
        hash: Hash,
        /// Its height.
        number: BlockNumber,
    },
}

impl BlockMessage {
    /// The announcement of a block: whole if gossip takes it, else by name.
    pub fn announce(block: &Block) -> Vec<u8> {
        let whole = (0_u8, block).encode();
        if whole.len() <= MAX_NOTIFICATION_BYTES {
            return whole;
        }
        Self::Have { hash: block.hash(), number: block.header.number }.encode()
    }
}

/// Asks for a stretch of the chain that ends at `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BlockRequest {
    /// Which chain.
    pub head: Hash,
    /// Height of the first block wanted.
    pub first: BlockNumber,
    /// Most blocks wanted.
    pub max: u32,
}

/// Answers a [`BlockRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct BlockResponse {
    /// The blocks in order from the height that was asked for; none if the chain is not known.
    pub blocks: BoundedVec<Block, MAX_BLOCKS_PER_RESPONSE>,
    /// Justifications of some of them, in order.
    pub justifications: BoundedVec<Justification, MAX_JUSTIFICATIONS_PER_RESPONSE>,
}

/// Gossip on [`TRANSACTION_PROTOCOL`]. What is asked for is a hash, and answered with the transaction.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum TransactionMessage {
    /// A transaction, whole.
    Transaction(Extrinsic),
    /// Some that are too large for gossip, or too many: to be requested by these hashes.
    Have(BoundedVec<Hash, MAX_HASHES_PER_MESSAGE>),
}

impl TransactionMessage {
    /// The announcement of a transaction, given its encoding and hash: whole if gossip takes it, else by name.
    pub fn announce(encoded: &[u8], hash: Hash) -> Vec<u8> {
        Self::whole(encoded).unwrap_or_else(|| Self::have(&[hash]).flatten().collect())
    }

    /// A transaction, given its encoding; `None` if it is too large for gossip.
    pub fn whole(encoded: &[u8]) -> Option<Vec<u8>> {
        let whole = 1 + encoded.len();
        if whole > MAX_NOTIFICATION_BYTES {
            return None;
        }
        let mut message = Vec::with_capacity(whole);
        message.push(0);
        message.extend_from_slice(encoded);
        Some(message)
    }

    /// Names of transactions, encoded in as few messages as take them.
    pub fn have(hashes: &[Hash]) -> impl Iterator<Item = Vec<u8>> {
        hashes.chunks(MAX_HASHES_PER_MESSAGE).map(|hashes| (1_u8, hashes).encode())
    }
}

/// Gossip on [`FINALITY_PROTOCOL`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FinalityMessage {
    /// Votes, of one voter or of many.
    Votes(BoundedVec<Vote, MAX_VOTES_PER_MESSAGE>),
    /// A block is final, with the proof.
    Justification(Box<Justification>),
}

impl FinalityMessage {
    /// Votes, encoded in as few messages as take them.
    pub fn pack(votes: &[Vote]) -> impl Iterator<Item = Vec<u8>> {
        votes.chunks(MAX_VOTES_PER_MESSAGE).map(|votes| (0_u8, votes).encode())
    }
}

/// Asks for the votes of the last round that the peer completed in a voter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CatchUpRequest {
    /// Which voter set.
    pub set_id: u64,
    /// The asker's round.
    pub round: u64,
}

/// Answers a [`CatchUpRequest`]; `None` if the peer is no further.
pub type CatchUpResponse = Option<CatchUp>;

#[cfg(test)]
mod tests {
    use finality_grandpa::{Message, Precommit};
    use primitives::{Signature, ValidatorId, decode_limited};

    use super::*;
    use crate::justification::SignedVoteMessage;

    fn vote(round: u64) -> Vote {
        let message = Message::Precommit(Precommit { target_hash: Hash::repeat(1), target_number: 1 });
        let signed = SignedVoteMessage { message, signature: Signature::default(), id: ValidatorId([1; 32]) };
        Vote { set_id: 0, round, signed }
    }

    #[test]
    fn votes_go_into_as_few_messages_as_take_them() {
        assert_eq!(vote(1).encoded_size(), VOTE_BYTES);
        assert_eq!(FinalityMessage::pack(&[]).count(), 0);
        let votes: Vec<Vote> = (0..2 * MAX_VOTES_PER_MESSAGE as u64 + 1).map(vote).collect();
        let told = FinalityMessage::pack(&votes).map(|bytes| match decode_limited(&bytes, MAX_NOTIFICATION_BYTES) {
            Ok(FinalityMessage::Votes(votes)) => votes.into_inner(),
            other => panic!("{other:?}"),
        });
        let told: Vec<Vec<Vote>> = told.collect();
        assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_VOTES_PER_MESSAGE, MAX_VOTES_PER_MESSAGE, 1]);
        assert_eq!(told.concat(), votes);
        // A peer cannot make one of more.
        let long = (0_u8, &votes[..=MAX_VOTES_PER_MESSAGE]).encode();
        assert!(decode_limited::<FinalityMessage>(&long, MAX_NOTIFICATION_BYTES).is_err());
    }
}
