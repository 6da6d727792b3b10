//! Blocks, their extrinsics, and what consensus tells the runtime in the header.

use codec::{Compact, Decode, Encode};
use primitives::{
    DigestItem, DisputeStatementSet, Hash, Header, InherentData, MisbehaviorReport, Slot, ValidatorIndex, VrfSignature,
    header::ConsensusEngineId,
};

use crate::{
    BlockError, EquivocationReport, FishermanReport, RemoteAvailability, RemoteDispute, SecondaryAttestation,
    SignedClaim, SignedGovernance, UnavailableReport, trie,
};

/// What consensus adds to a header.
pub type Digest = Vec<DigestItem>;

/// Engine id of the digest item that carries the [`SlotClaim`].
pub const SLOT_ENGINE_ID: ConsensusEngineId = *b"slot";

/// A block of the relay chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Block {
    /// The header; its hash is the block's, with the seal.
    pub header: Header,
    /// The inherent first, then transactions in the order in which they are applied.
    pub extrinsics: Vec<Extrinsic>,
}

impl Block {
    /// The header's hash: the block's name.
    pub fn hash(&self) -> Hash {
        self.header.hash()
    }
}

/// What a block does beside being there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Extrinsic {
    /// The parachains' inherent: exactly one, and the first.
    #[codec(index = 0)]
    Inclusion(InherentData),
    /// Proof that a validator contradicted itself.
    #[codec(index = 1)]
    MisbehaviorReport(Box<MisbehaviorReport>),
    /// A change that more than two thirds of the validators have signed.
    #[codec(index = 2)]
    Governed(Box<SignedGovernance>),
    /// A collator claims a parathread's next block.
    #[codec(index = 3)]
    Claim(SignedClaim),
    /// Dispute votes, late backing, or a concluded dispute of another fork.
    #[codec(index = 4)]
    DisputeVotes(DisputeStatementSet),
    /// An unconcluded dispute of another fork.
    #[codec(index = 5)]
    RemoteDispute(Box<RemoteDispute>),
    /// Validators hold the data of a remote dispute's candidate.
    #[codec(index = 6)]
    RemoteAvailability(RemoteAvailability),
    /// A secondary check.
    #[codec(index = 7)]
    Attestation(Box<SecondaryAttestation>),
    /// A report on a candidate, with a bond.
    #[codec(index = 8)]
    FishermanReport(FishermanReport),
    /// An author made two blocks in one slot.
    #[codec(index = 9)]
    Equivocation(Box<EquivocationReport>),
    /// Checkers could not get hold of an included candidate.
    #[codec(index = 10)]
    Unavailable(UnavailableReport),
}

/// Substrate's root over the extrinsics in their order: a trie (layout V1) from compact index to encoding.
pub fn extrinsics_root(extrinsics: &[Extrinsic]) -> Hash {
    let entries = extrinsics.iter().zip(0_u32..).map(|(extrinsic, index)| {
        let key = Compact(index).encode();
        (key, extrinsic.encode())
    });
    trie::root(entries)
}

/// Who authors the block, and when: the pre-runtime digest item of engine [`SLOT_ENGINE_ID`]. The relay chain
/// has verified claim and seal before the block is executed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SlotClaim {
    /// The slot; later than the parent's.
    pub slot: Slot,
    /// The author, in the validator set of the block.
    pub author: ValidatorIndex,
    /// Output and proof of the author's verifiable random function.
    pub vrf: VrfSignature,
}

impl SlotClaim {
    /// The digest item.
    pub fn to_digest_item(&self) -> DigestItem {
        DigestItem::PreRuntime(SLOT_ENGINE_ID, self.encode())
    }

    /// The claim of a header.
    ///
    /// # Errors
    /// [`BlockError::SlotClaims`] unless there is exactly one, [`BlockError::SlotClaimMalformed`].
    pub fn from_digest(digest: &[DigestItem]) -> Result<Self, BlockError> {
        let mut claims = digest.iter().filter_map(|item| match item {
            DigestItem::PreRuntime(SLOT_ENGINE_ID, bytes) => Some(bytes),
            _ => None,
        });
        let (Some(bytes), None) = (claims.next(), claims.next()) else {
            let found = digest.iter().filter(|item| matches!(item, DigestItem::PreRuntime(SLOT_ENGINE_ID, _))).count();
            return Err(BlockError::SlotClaims { found });
        };
        primitives::decode_limited(bytes, bytes.len()).map_err(|_| BlockError::SlotClaimMalformed)
    }
}
