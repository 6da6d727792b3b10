//! The words of the protocol: hashes, identifiers, receipts, statements, votes, headers and keys.
//!
//! Role: every other crate speaks in these types. Where today's relay chain defines a type, its SCALE
//! encoding, its hash and its signing payload here are byte-identical to it (design §6); `tests/it` holds
//! that against golden values. Node-side crates name work by its [`CandidateHash`].
//!
//! Invariants:
//! - nothing here does I/O, reads a clock or draws randomness: nonces come from the caller;
//! - no decoder panics, none allocates more than a small multiple of what it may read ([`decode_limited`]);
//! - fields that are covered by a hash or a signature keep the order they have on the wire.
//!
//! Limits: [`limits`].

pub mod account;
pub mod availability;
pub mod backing;
pub mod batch;
pub mod bounded;
pub mod candidate;
pub mod configuration;
pub mod core_state;
pub mod crypto;
pub mod descriptor;
pub mod dispute;
pub mod group_rotation;
pub mod hash;
pub mod header;
pub mod ids;
pub mod inherent;
pub mod limits;
pub mod messages;
pub mod misbehavior;
pub mod signed;
pub mod statement;
pub mod thresholds;
pub mod validation;
pub mod well_known_keys;

pub use account::{Account, AccountId, Balance};
pub use availability::{
    AvailabilityBitfield, AvailableData, SignedAvailabilityBitfield, UncheckedSignedAvailabilityBitfield, encode_bits,
};
pub use backing::{BackedCandidate, BackingError, ValidityAttestation, check_candidate_backing};
pub use batch::{KnownKeys, verify_batch};
pub use bounded::{BoundedVec, DecodeError, MEMORY_PER_WIRE_BYTE, TooLong, decode_limited};
pub use candidate::{
    BlockData, CandidateCommitments, CandidateReceipt, CommittedCandidateReceipt, HeadData, PersistedValidationData,
    PoV, ValidationCode,
};
pub use configuration::{AbridgedHostConfiguration, AsyncBackingParams, ConfigurationError, HostConfiguration};
pub use core_state::{
    CandidateEvent, CoreState, OccupiedCore, OccupiedCoreAssumption, ScheduledCore, ScrapedOnChainVotes, SessionInfo,
};
pub use crypto::{
    AssignmentId, CollatorId, CollatorSignature, Pair, Signature, SignedMessage, ValidatorId, ValidatorSignature,
    VrfOutput, VrfSignature,
};
pub use descriptor::{CandidateDescriptor, DescriptorError, DescriptorVersion};
pub use dispute::{
    ApprovalStatus, DisputeState, DisputeStatement, DisputeStatementSet, InvalidDisputeStatementKind,
    MultiDisputeStatementSet, Revert, ValidDisputeStatementKind, explicit_payload,
};
pub use group_rotation::GroupRotationInfo;
pub use hash::{CandidateHash, Hash, ValidationCodeHash, blake2_256, twox_64, twox_128};
pub use header::{DigestItem, Header};
pub use ids::{BlockNumber, ChunkIndex, CoreIndex, GroupIndex, ParaId, SessionIndex, Slot, ValidatorIndex};
pub use inherent::InherentData;
pub use messages::{
    HorizontalMessages, InboundDownwardMessage, InboundHrmpMessage, OutboundHrmpMessage, UmpSignal, UmpSignals,
    UpwardMessages,
};
pub use misbehavior::{MisbehaviorError, MisbehaviorKind, MisbehaviorReport};
pub use signed::{Signed, SigningContext, SigningPayload, UncheckedSigned};
pub use statement::{
    CompactStatement, CompactVote, SignedFullStatement, SignedStatement, Statement, UncheckedSignedFullStatement,
    UncheckedSignedStatement,
};
pub use thresholds::{
    backing_quorum, byzantine_threshold, effective_minimum_backing_votes, recovery_threshold, supermajority_threshold,
    systematic_threshold,
};
pub use validation::{ValidationParams, ValidationResult};

/// Bits in the order the relay chain stores them: least significant bit of each byte first.
pub type Bits = bitvec::vec::BitVec<u8, bitvec::order::Lsb0>;
/// A borrowed run of [`Bits`].
pub type BitSlice = bitvec::slice::BitSlice<u8, bitvec::order::Lsb0>;

/// The name of a piece of work on the node's side. A parachain candidate is one class of work among others,
/// so node-side crates use this word and never look inside (design §6).
pub type WorkId = CandidateHash;
