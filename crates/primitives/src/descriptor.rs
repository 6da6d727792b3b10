//! The descriptor of a candidate in its three versions, which share one layout of 292 bytes.
//!
//! Version 1 holds the collator's key and signature where later versions hold core, session, scheduling
//! parent and reserved zeros; which one it is follows from the bytes alone. A collator of version 2 signs its
//! declaration and advertisement instead; version 1 remains for parathread cores, whose claim names the
//! collator (design §6).

use codec::{Decode, Encode};

use crate::{
    CollatorId, CollatorSignature, CoreIndex, Hash, Pair, ParaId, SessionIndex, Signature, ValidationCodeHash,
};
use rand_core_06::{CryptoRng, RngCore};

/// Which version a descriptor's bytes stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DescriptorVersion {
    /// With collator and signature, without core and session.
    V1,
    /// With core and session.
    V2,
    /// With core, session and a scheduling parent of its own.
    V3,
    /// Versioned, but with a version byte that nobody has defined yet.
    Unknown(u8),
}

/// Why a descriptor is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Old and new nodes would take these bytes for different versions.
    #[error("old rules read the descriptor as {old:?}, new rules as {new:?}")]
    Inconsistency {
        /// Version by the rules before version 3 existed.
        old: DescriptorVersion,
        /// Version by today's rules.
        new: DescriptorVersion,
    },
    /// The core's number does not fit the descriptor.
    #[error("core {0} does not fit the descriptor, {max} is the last", max = u16::MAX)]
    CoreTooLarge(CoreIndex),
    /// The scheduling session is earlier than the relay parent's, or too far ahead.
    #[error("scheduling session {scheduling} is not 0 to 255 after session {session}")]
    SchedulingSession {
        /// Session of the relay parent.
        session: SessionIndex,
        /// Session of the scheduling parent.
        scheduling: SessionIndex,
    },
    /// A version 1 descriptor was needed.
    #[error("descriptor of candidate for para {para} carries no collator")]
    NoCollator {
        /// The para.
        para: ParaId,
    },
    /// The collator's signature is wrong.
    #[error("signature of collator {0} is wrong")]
    CollatorSignature(CollatorId),
}

/// What all versions have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescriptorFields {
    /// Whose candidate it is.
    pub para_id: ParaId,
    /// The relay-chain block in whose context it is executed.
    pub relay_parent: Hash,
    /// Hash of the persisted validation data.
    pub persisted_validation_data_hash: Hash,
    /// Hash of the proof of validity.
    pub pov_hash: Hash,
    /// Root over the erasure-coded chunks.
    pub erasure_root: Hash,
    /// Hash of the new head data.
    pub para_head: Hash,
    /// Hash of the code that validates it.
    pub validation_code_hash: ValidationCodeHash,
}

/// Raw fields of a descriptor, as they lie on the wire. Which of them mean anything depends on the version.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CandidateDescriptor {
    para_id: ParaId,
    relay_parent: Hash,
    version: u8,
    core_index: u16,
    session_index: SessionIndex,
    scheduling_session_offset: u8,
    reserved1: [u8; 24],
    persisted_validation_data_hash: Hash,
    pov_hash: Hash,
    erasure_root: Hash,
    scheduling_parent: Hash,
    reserved2: [u8; 32],
    para_head: Hash,
    validation_code_hash: ValidationCodeHash,
}

/// How many leading bytes of the first reserved field must be zero in a versioned descriptor by today's rules.
const VERSION_MARK: usize = 16;

impl CandidateDescriptor {
    /// Size of every descriptor, in bytes.
    pub const ENCODED_SIZE: usize = 292;

    /// A descriptor of version 2.
    ///
    /// # Errors
    /// [`DescriptorError::CoreTooLarge`] for a core beyond 65,535.
    pub fn new_v2(
        fields: DescriptorFields,
        core: CoreIndex,
        session_index: SessionIndex,
    ) -> Result<Self, DescriptorError> {
        let core_index = u16::try_from(core.0).map_err(|_| DescriptorError::CoreTooLarge(core))?;
        Ok(Self { core_index, session_index, ..Self::from_fields(fields) })
    }

    /// A descriptor of version 3: scheduled by another block than its relay parent.
    ///
    /// # Errors
    /// [`DescriptorError::CoreTooLarge`] or [`DescriptorError::SchedulingSession`].
    pub fn new_v3(
        fields: DescriptorFields,
        core: CoreIndex,
        session_index: SessionIndex,
        scheduling_parent: Hash,
        scheduling_session: SessionIndex,
    ) -> Result<Self, DescriptorError> {
        let offset = scheduling_session
            .checked_sub(session_index)
            .and_then(|offset| u8::try_from(offset).ok())
            .ok_or(DescriptorError::SchedulingSession { session: session_index, scheduling: scheduling_session })?;
        let v2 = Self::new_v2(fields, core, session_index)?;
        Ok(Self { version: 1, scheduling_session_offset: offset, scheduling_parent, ..v2 })
    }

    /// A descriptor of version 1 from a collator's key and signature over [`collator_signature_payload`].
    pub fn new_v1(fields: DescriptorFields, collator: CollatorId, signature: CollatorSignature) -> Self {
        let mut descriptor = Self::from_fields(fields);
        let key = &collator.0;
        descriptor.version = key[0];
        descriptor.core_index = u16::from_le_bytes([key[1], key[2]]);
        descriptor.session_index = u32::from_le_bytes([key[3], key[4], key[5], key[6]]);
        descriptor.scheduling_session_offset = key[7];
        descriptor.reserved1.copy_from_slice(&key[8..]);
        descriptor.scheduling_parent.0.copy_from_slice(&signature.0[..32]);
        descriptor.reserved2.copy_from_slice(&signature.0[32..]);
        descriptor
    }

    /// A descriptor of version 1, signed here by the collator.
    pub fn sign_v1<R: RngCore + CryptoRng + ?Sized>(fields: DescriptorFields, collator: &Pair, rng: &mut R) -> Self {
        let signature = collator.sign(&collator_signature_payload(&fields), rng);
        Self::new_v1(fields, CollatorId(collator.public()), signature)
    }

    fn from_fields(fields: DescriptorFields) -> Self {
        Self {
            para_id: fields.para_id,
            relay_parent: fields.relay_parent,
            version: 0,
            core_index: 0,
            session_index: 0,
            scheduling_session_offset: 0,
            reserved1: [0; 24],
            persisted_validation_data_hash: fields.persisted_validation_data_hash,
            pov_hash: fields.pov_hash,
            erasure_root: fields.erasure_root,
            scheduling_parent: Hash::ZERO,
            reserved2: [0; 32],
            para_head: fields.para_head,
            validation_code_hash: fields.validation_code_hash,
        }
    }

    /// What all versions have in common.
    pub const fn fields(&self) -> DescriptorFields {
        DescriptorFields {
            para_id: self.para_id,
            relay_parent: self.relay_parent,
            persisted_validation_data_hash: self.persisted_validation_data_hash,
            pov_hash: self.pov_hash,
            erasure_root: self.erasure_root,
            para_head: self.para_head,
            validation_code_hash: self.validation_code_hash,
        }
    }

    /// The version by today's rules: anything in the first 16 reserved bytes makes it version 1.
    pub fn version(&self) -> DescriptorVersion {
        if self.reserved1[..VERSION_MARK].iter().any(|byte| *byte != 0) {
            return DescriptorVersion::V1;
        }
        match self.version {
            0 => DescriptorVersion::V2,
            1 => DescriptorVersion::V3,
            other => DescriptorVersion::Unknown(other),
        }
    }

    /// The version by the rules before version 3: any reserved byte makes it version 1.
    pub fn version_by_old_rules(&self) -> DescriptorVersion {
        let reserved_is_zero = self.reserved1 == [0; 24]
            && self.reserved2 == [0; 32]
            && self.scheduling_session_offset == 0
            && self.scheduling_parent == Hash::ZERO;
        match self.version {
            _ if !reserved_is_zero => DescriptorVersion::V1,
            0 => DescriptorVersion::V2,
            other => DescriptorVersion::Unknown(other),
        }
    }

    /// Refuses bytes that old and new nodes read differently; version 3 is such by nature, so it passes only
    /// where it is enabled. Unknown versions on which both agree are left to the caller.
    ///
    /// # Errors
    /// [`DescriptorError::Inconsistency`].
    pub fn check_version(&self, v3_enabled: bool) -> Result<(), DescriptorError> {
        let (old, new) = (self.version_by_old_rules(), self.version());
        if old == new || (v3_enabled && new == DescriptorVersion::V3) {
            return Ok(());
        }
        Err(DescriptorError::Inconsistency { old, new })
    }

    /// Whose candidate it is.
    pub const fn para_id(&self) -> ParaId {
        self.para_id
    }

    /// The relay-chain block in whose context it is executed.
    pub const fn relay_parent(&self) -> Hash {
        self.relay_parent
    }

    /// Hash of the persisted validation data.
    pub const fn persisted_validation_data_hash(&self) -> Hash {
        self.persisted_validation_data_hash
    }

    /// Hash of the proof of validity.
    pub const fn pov_hash(&self) -> Hash {
        self.pov_hash
    }

    /// Root over the erasure-coded chunks.
    pub const fn erasure_root(&self) -> Hash {
        self.erasure_root
    }

    /// Hash of the new head data.
    pub const fn para_head(&self) -> Hash {
        self.para_head
    }

    /// Hash of the code that validates it.
    pub const fn validation_code_hash(&self) -> ValidationCodeHash {
        self.validation_code_hash
    }

    /// The core, unless it is version 1.
    pub fn core_index(&self) -> Option<CoreIndex> {
        (self.version() != DescriptorVersion::V1).then_some(CoreIndex(u32::from(self.core_index)))
    }

    /// The relay parent's session, unless it is version 1.
    pub fn session_index(&self) -> Option<SessionIndex> {
        (self.version() != DescriptorVersion::V1).then_some(self.session_index)
    }

    /// The block that scheduled it: the relay parent in all versions but the third.
    pub fn scheduling_parent(&self) -> Hash {
        match self.version() {
            DescriptorVersion::V3 => self.scheduling_parent,
            _ => self.relay_parent,
        }
    }

    /// The session of the scheduling parent, where the version says it.
    pub fn scheduling_session(&self) -> Option<SessionIndex> {
        match self.version() {
            DescriptorVersion::V2 => Some(self.session_index),
            DescriptorVersion::V3 => Some(self.session_index.saturating_add(u32::from(self.scheduling_session_offset))),
            DescriptorVersion::V1 | DescriptorVersion::Unknown(_) => None,
        }
    }

    /// The collator, if it is version 1.
    pub fn collator(&self) -> Option<CollatorId> {
        if self.version() != DescriptorVersion::V1 {
            return None;
        }
        let mut key = [0; 32];
        key[0] = self.version;
        key[1..3].copy_from_slice(&self.core_index.to_le_bytes());
        key[3..7].copy_from_slice(&self.session_index.to_le_bytes());
        key[7] = self.scheduling_session_offset;
        key[8..].copy_from_slice(&self.reserved1);
        Some(CollatorId(key))
    }

    /// The collator's signature, if it is version 1.
    pub fn collator_signature(&self) -> Option<CollatorSignature> {
        if self.version() != DescriptorVersion::V1 {
            return None;
        }
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&self.scheduling_parent.0);
        signature[32..].copy_from_slice(&self.reserved2);
        Some(Signature(signature))
    }

    /// Checks the collator's signature and tells whose it is.
    ///
    /// # Errors
    /// [`DescriptorError::NoCollator`] for other versions than 1, [`DescriptorError::CollatorSignature`].
    pub fn check_collator_signature(&self) -> Result<CollatorId, DescriptorError> {
        let (Some(collator), Some(signature)) = (self.collator(), self.collator_signature()) else {
            return Err(DescriptorError::NoCollator { para: self.para_id });
        };
        if collator.verify(&collator_signature_payload(&self.fields()), &signature) {
            return Ok(collator);
        }
        Err(DescriptorError::CollatorSignature(collator))
    }

    /// Puts another version byte in: makes descriptors that nobody should accept.
    #[must_use]
    pub fn with_raw_version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }
}

/// What a collator signs in a descriptor of version 1: relay parent, para, data hash, PoV hash, code hash.
pub fn collator_signature_payload(fields: &DescriptorFields) -> Vec<u8> {
    (
        fields.relay_parent,
        fields.para_id,
        fields.persisted_validation_data_hash,
        fields.pov_hash,
        fields.validation_code_hash,
    )
        .encode()
}
