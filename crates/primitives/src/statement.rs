//! What validators of a group say about a candidate.
//!
//! Three forms: [`Statement`] as it travels (the first one of a candidate brings its receipt),
//! [`CompactStatement`] as it is signed for backing, and [`CompactVote`], which has room for `Invalid` too and
//! is what conflicts are proved with. `Invalid` is today's explicit invalid dispute statement: its signature
//! covers candidate and session but no relay parent, and never counts as backing (design §6).

use codec::{Decode, Encode, Error, Input, Output};

use crate::{
    CandidateHash, CommittedCandidateReceipt, Signed, SigningContext, SigningPayload, UncheckedSigned,
    dispute::explicit_payload,
};

/// Stands before every signed backing statement, so that no other signature can be taken for one.
pub const BACKING_STATEMENT_MAGIC: [u8; 4] = *b"BKNG";

/// A backing statement as it is signed: magic, kind, candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompactStatement {
    /// Proposes the candidate: implies that it is valid.
    Seconded(CandidateHash),
    /// The candidate is valid.
    Valid(CandidateHash),
}

#[derive(Encode, Decode)]
enum CompactStatementBody {
    #[codec(index = 1)]
    Seconded(CandidateHash),
    #[codec(index = 2)]
    Valid(CandidateHash),
}

impl CompactStatement {
    /// The candidate.
    pub const fn candidate_hash(&self) -> CandidateHash {
        match self {
            Self::Seconded(hash) | Self::Valid(hash) => *hash,
        }
    }

    /// The bytes that are signed: the statement, then the context.
    pub fn signing_payload(&self, context: &SigningContext) -> Vec<u8> {
        (self, context).encode()
    }
}

impl Encode for CompactStatement {
    fn size_hint(&self) -> usize {
        BACKING_STATEMENT_MAGIC.len() + 1 + 32
    }

    fn encode_to<O: Output + ?Sized>(&self, dest: &mut O) {
        dest.write(&BACKING_STATEMENT_MAGIC);
        let body = match *self {
            Self::Seconded(hash) => CompactStatementBody::Seconded(hash),
            Self::Valid(hash) => CompactStatementBody::Valid(hash),
        };
        body.encode_to(dest);
    }
}

impl Decode for CompactStatement {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        if <[u8; 4]>::decode(input)? != BACKING_STATEMENT_MAGIC {
            return Err("not a backing statement: wrong magic".into());
        }
        Ok(match CompactStatementBody::decode(input)? {
            CompactStatementBody::Seconded(hash) => Self::Seconded(hash),
            CompactStatementBody::Valid(hash) => Self::Valid(hash),
        })
    }
}

impl SigningPayload for CompactStatement {
    fn signing_payload(&self, context: &SigningContext) -> Vec<u8> {
        Self::signing_payload(self, context)
    }
}

/// A statement as it travels between validators.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Statement {
    /// Proposes a candidate and brings its receipt.
    #[codec(index = 1)]
    Seconded(Box<CommittedCandidateReceipt>),
    /// The candidate is valid.
    #[codec(index = 2)]
    Valid(CandidateHash),
    /// The candidate is invalid.
    #[codec(index = 3)]
    Invalid(CandidateHash),
}

impl Statement {
    /// The candidate. Hashes the receipt of a `Seconded`.
    pub fn candidate_hash(&self) -> CandidateHash {
        match self {
            Self::Seconded(receipt) => receipt.hash(),
            Self::Valid(hash) | Self::Invalid(hash) => *hash,
        }
    }

    /// Without the receipt.
    pub fn to_vote(&self) -> CompactVote {
        CompactVote::from(self)
    }
}

impl SigningPayload for Statement {
    fn signing_payload(&self, context: &SigningContext) -> Vec<u8> {
        self.to_vote().signing_payload(context)
    }
}

/// Any of the three statements without its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum CompactVote {
    /// Proposed the candidate.
    #[codec(index = 1)]
    Seconded(CandidateHash),
    /// Said that it is valid.
    #[codec(index = 2)]
    Valid(CandidateHash),
    /// Said that it is invalid.
    #[codec(index = 3)]
    Invalid(CandidateHash),
}

impl CompactVote {
    /// The candidate.
    pub const fn candidate_hash(&self) -> CandidateHash {
        match self {
            Self::Seconded(hash) | Self::Valid(hash) | Self::Invalid(hash) => *hash,
        }
    }

    /// The backing statement that it is, unless it is `Invalid`.
    pub const fn backing(&self) -> Option<CompactStatement> {
        match self {
            Self::Seconded(hash) => Some(CompactStatement::Seconded(*hash)),
            Self::Valid(hash) => Some(CompactStatement::Valid(*hash)),
            Self::Invalid(_) => None,
        }
    }

    /// Whether no honest validator makes both at one relay parent: two candidates seconded, or two different
    /// things said of one candidate.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Seconded(one), Self::Seconded(two)) => one != two,
            _ => self != other && self.candidate_hash() == other.candidate_hash(),
        }
    }
}

impl SigningPayload for CompactVote {
    fn signing_payload(&self, context: &SigningContext) -> Vec<u8> {
        self.backing().map_or_else(
            || explicit_payload(false, self.candidate_hash(), context.session_index),
            |backing| backing.signing_payload(context),
        )
    }
}

impl From<&Statement> for CompactVote {
    fn from(statement: &Statement) -> Self {
        match statement {
            Statement::Seconded(receipt) => Self::Seconded(receipt.hash()),
            Statement::Valid(hash) => Self::Valid(*hash),
            Statement::Invalid(hash) => Self::Invalid(*hash),
        }
    }
}

impl From<&CompactStatement> for CompactVote {
    fn from(statement: &CompactStatement) -> Self {
        match statement {
            CompactStatement::Seconded(hash) => Self::Seconded(*hash),
            CompactStatement::Valid(hash) => Self::Valid(*hash),
        }
    }
}

/// A backing statement without its receipt, checked.
pub type SignedStatement = Signed<CompactStatement>;
/// A backing statement without its receipt, not yet checked.
pub type UncheckedSignedStatement = UncheckedSigned<CompactStatement>;
/// A statement as it travels, checked.
pub type SignedFullStatement = Signed<Statement>;
/// A statement as it travels, not yet checked.
pub type UncheckedSignedFullStatement = UncheckedSigned<Statement>;
