//! A candidate's parts: head data, code, proof of validity, commitments, receipts.

use bytes::Bytes;
use codec::{Decode, Encode};
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    BlockNumber, CandidateDescriptor, CandidateHash, CoreIndex, DescriptorVersion, Hash, ParaId, UmpSignals,
    ValidationCodeHash,
    hash::blake2_256,
    messages::{HorizontalMessages, UmpSignalError, UpwardMessages},
};

/// The head of a parachain: whatever its validation function takes for one.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct HeadData(pub Vec<u8>);

impl HeadData {
    /// blake2b-256 of the bytes themselves, without their length.
    pub fn hash(&self) -> Hash {
        blake2_256(&self.0)
    }
}

impl fmt::Debug for HeadData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bytes(f, "HeadData", &self.0)
    }
}

impl From<Vec<u8>> for HeadData {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Code of a validation function. Clones share the bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ValidationCode(pub Bytes);

impl ValidationCode {
    /// blake2b-256 of the bytes themselves.
    pub fn hash(&self) -> ValidationCodeHash {
        ValidationCodeHash(blake2_256(&self.0))
    }
}

impl fmt::Debug for ValidationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bytes(f, "ValidationCode", &self.0)
    }
}

impl From<Vec<u8>> for ValidationCode {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// What a validation function checks, opaque to all others. Clones share the bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct BlockData(pub Bytes);

impl fmt::Debug for BlockData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bytes(f, "BlockData", &self.0)
    }
}

impl From<Vec<u8>> for BlockData {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

fn debug_bytes(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    const SHOWN: usize = 16;
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    write!(f, "{name}({} B, 0x{}{more})", bytes.len(), hex::encode(&bytes[..bytes.len().min(SHOWN)]))
}

/// Proof of validity: what it takes to validate a candidate without the parachain's state. Clones share it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PoV {
    /// The block data.
    pub block_data: BlockData,
}

impl PoV {
    /// blake2b-256 of the encoding; what the descriptor commits to.
    pub fn hash(&self) -> Hash {
        Hash::of(self)
    }

    /// Size of the encoding, in bytes: what `max_pov_size` limits.
    pub fn encoded_len(&self) -> usize {
        self.encoded_size()
    }
}

impl From<Vec<u8>> for PoV {
    fn from(block_data: Vec<u8>) -> Self {
        Self { block_data: block_data.into() }
    }
}

/// Inputs of validation that come from the relay chain's state and must stay available with the PoV.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PersistedValidationData {
    /// The head that the candidate builds on.
    pub parent_head: HeadData,
    /// Height of the relay parent.
    pub relay_parent_number: BlockNumber,
    /// State root of the relay parent.
    pub relay_parent_storage_root: Hash,
    /// Largest allowed proof of validity, in bytes.
    pub max_pov_size: u32,
}

impl PersistedValidationData {
    /// blake2b-256 of the encoding; what the descriptor commits to.
    pub fn hash(&self) -> Hash {
        Hash::of(self)
    }
}

/// What executing a candidate commits it to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct CandidateCommitments {
    /// Messages to the relay chain; signals stand behind the first empty one.
    pub upward_messages: UpwardMessages,
    /// Messages to other parachains.
    pub horizontal_messages: HorizontalMessages,
    /// New code, if the parachain wants to be upgraded.
    pub new_validation_code: Option<ValidationCode>,
    /// The new head.
    pub head_data: HeadData,
    /// How many downward messages were processed.
    pub processed_downward_messages: u32,
    /// The block up to which horizontal messages were processed.
    pub hrmp_watermark: BlockNumber,
}

impl CandidateCommitments {
    /// blake2b-256 of the encoding; what the receipt commits to.
    pub fn hash(&self) -> Hash {
        Hash::of(self)
    }

    /// The signals among the upward messages.
    ///
    /// # Errors
    /// See [`UmpSignals::from_messages`].
    pub fn ump_signals(&self) -> Result<UmpSignals, UmpSignalError> {
        UmpSignals::from_messages(&self.upward_messages)
    }
}

/// A candidate's receipt: descriptor and hash of the commitments.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CandidateReceipt {
    /// The descriptor.
    pub descriptor: CandidateDescriptor,
    /// Hash of the commitments.
    pub commitments_hash: Hash,
}

impl CandidateReceipt {
    /// The candidate's name: blake2b-256 of the receipt's encoding.
    pub fn hash(&self) -> CandidateHash {
        CandidateHash(Hash::of(self))
    }
}

/// A receipt with the commitments in full.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CommittedCandidateReceipt {
    /// The descriptor.
    pub descriptor: CandidateDescriptor,
    /// The commitments.
    pub commitments: CandidateCommitments,
}

/// The cores of each para by offset into the claim queue.
pub type ClaimQueueByPara = BTreeMap<ParaId, BTreeMap<u8, BTreeSet<CoreIndex>>>;

impl CommittedCandidateReceipt {
    /// The receipt without the commitments.
    pub fn to_receipt(&self) -> CandidateReceipt {
        CandidateReceipt { descriptor: self.descriptor.clone(), commitments_hash: self.commitments.hash() }
    }

    /// The candidate's name: the hash of the receipt *without* commitments.
    pub fn hash(&self) -> CandidateHash {
        self.to_receipt().hash()
    }

    /// Whether `receipt` is of this very candidate.
    pub fn corresponds_to(&self, receipt: &CandidateReceipt) -> bool {
        receipt.descriptor == self.descriptor && receipt.commitments_hash == self.commitments.hash()
    }

    /// Checks the signals against the descriptor's version and its core against the claim queue.
    ///
    /// # Errors
    /// [`UmpSignalError`] says which rule is broken.
    pub fn check_signals(&self, claim_queue: &ClaimQueueByPara) -> Result<UmpSignals, UmpSignalError> {
        let signals = self.commitments.ump_signals()?;
        let core = match (self.descriptor.version(), self.descriptor.core_index()) {
            (DescriptorVersion::Unknown(version), _) => {
                return Err(UmpSignalError::UnknownVersion(version));
            }
            (DescriptorVersion::V1, _) | (_, None) if signals.is_empty() => return Ok(signals),
            (DescriptorVersion::V1, _) | (_, None) => return Err(UmpSignalError::NotWithV1),
            (DescriptorVersion::V3, _) if signals.is_empty() => {
                return Err(UmpSignalError::RequiredByV3);
            }
            (_, Some(core)) => core,
        };
        let para = self.descriptor.para_id();
        let (selector, offset) = signals.select_core.map_or((None, 0), |(selector, offset)| (Some(selector), offset));
        let assigned = claim_queue
            .get(&para)
            .and_then(|by_offset| by_offset.get(&offset))
            .filter(|cores| !cores.is_empty())
            .ok_or(UmpSignalError::NoAssignment { para, offset })?;
        if selector.is_none() && assigned.len() > 1 {
            // Nothing says which of its cores it is for, so any of them will do.
            return if assigned.contains(&core) { Ok(signals) } else { Err(UmpSignalError::CoreNotAssigned(core)) };
        }
        let selected = assigned
            .iter()
            .nth(usize::from(selector.unwrap_or(0)) % assigned.len())
            .copied()
            .expect("the index is taken modulo the length, which is not zero");
        if selected != core {
            return Err(UmpSignalError::CoreMismatch { descriptor: core, selected });
        }
        Ok(signals)
    }
}
