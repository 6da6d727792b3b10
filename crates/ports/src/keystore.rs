use async_trait::async_trait;
use codec::{Decode, Encode};
use primitives::{
    AvailabilityBitfield, CollatorId, CollatorSignature, CompactVote, Hash, SessionIndex, SigningContext,
    SigningPayload as _, ValidatorId, ValidatorSignature, VrfSignature,
};

/// The stages of a finality round, each of which allows one vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode)]
pub enum FinalityStage {
    /// The primary's hint.
    Propose,
    /// First vote.
    Prevote,
    /// Second vote.
    Precommit,
}

/// What is to be signed. The keystore derives the payload itself, so that what the journal holds and what is signed
/// cannot differ. Two claims under one key that contradict each other are refused (design: disk and safety).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A statement on a candidate; `Invalid` is today's dispute statement, which signs candidate and session only.
    Statement {
        /// Session and relay parent.
        context: SigningContext,
        /// What is said.
        vote: CompactVote,
    },
    /// The availability bitfield of one validator at one relay parent.
    Bitfield {
        /// Session and relay parent.
        context: SigningContext,
        /// The bits.
        bitfield: AvailabilityBitfield,
    },
    /// The seal of an authored block: one per slot.
    BlockSeal {
        /// The slot.
        slot: u64,
        /// Hash of the header without its seal; this is the payload.
        pre_seal_hash: Hash,
    },
    /// A vote in a finality round: one per set, round and stage.
    FinalityVote {
        /// Which voter set.
        set_id: u64,
        /// Which round.
        round: u64,
        /// Which stage.
        stage: FinalityStage,
        /// The exact payload that is signed, which names the target.
        payload: Vec<u8>,
    },
    /// Binds a network identity to a session key; nothing contradicts it.
    PeerIdentity {
        /// The network identity.
        peer: Vec<u8>,
        /// The session in which it is claimed.
        session: SessionIndex,
    },
}

/// Domain of the payload of [`Claim::PeerIdentity`].
const PEER_IDENTITY_DOMAIN: &[u8] = b"parahost-peer-identity";

impl Claim {
    /// The bytes that are signed.
    pub fn payload(&self) -> Vec<u8> {
        match self {
            Self::Statement { context, vote } => vote.signing_payload(context),
            Self::Bitfield { context, bitfield } => bitfield.signing_payload(context),
            Self::BlockSeal { pre_seal_hash, .. } => pre_seal_hash.encode(),
            Self::FinalityVote { payload, .. } => payload.clone(),
            Self::PeerIdentity { peer, session } => (PEER_IDENTITY_DOMAIN, peer, session).encode(),
        }
    }
}

/// From where on a keystore must remember what it signed: what is older can be contradicted by nobody any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ForgetBefore {
    /// First session that is kept: statements and bitfields.
    pub session: SessionIndex,
    /// First slot that is kept: block seals.
    pub slot: u64,
    /// First voter set and round in it that are kept: finality votes.
    pub round: (u64, u64),
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The private key is not here.
    #[error("no private key for {0:?}")]
    UnknownKey(ValidatorId),
    /// There is no collator key here.
    #[error("no collator key")]
    NoCollatorKey,
    /// The journal holds an entry that contradicts the claim. Nothing was signed.
    #[error("claim contradicts an earlier signature: {0}")]
    Conflict(String),
    /// The journal could not be written; nothing was signed.
    #[error("signing journal: {0}")]
    Journal(String),
}

/// Signs with the node's session keys, through its journal: the one place where anything is signed that could
/// contradict something else.
#[async_trait]
pub trait Keystore: Send + Sync {
    /// The validator keys held here.
    fn validator_ids(&self) -> Vec<ValidatorId>;

    /// The collator key held here, if any.
    fn collator_id(&self) -> Option<CollatorId>;

    /// Writes the claim to the journal, syncs it, then signs. Repeating a claim is fine. Dropping the future may leave
    /// the claim in the journal without a signature.
    ///
    /// # Errors
    /// [`KeystoreError::Conflict`] if an earlier claim contradicts it, [`KeystoreError::UnknownKey`] if the private key
    /// is not here, [`KeystoreError::Journal`] if the journal could not be synced. Nothing is signed then.
    async fn sign(&self, key: &ValidatorId, claim: &Claim) -> Result<ValidatorSignature, KeystoreError>;

    /// Signs with the collator key: nothing that a collator signs contradicts anything else.
    ///
    /// # Errors
    /// [`KeystoreError::NoCollatorKey`].
    fn sign_as_collator(&self, payload: &[u8]) -> Result<CollatorSignature, KeystoreError>;

    /// A verifiable random output on `input`, with its proof. The same input gives the same output.
    ///
    /// # Errors
    /// [`KeystoreError::UnknownKey`] if the private key is not here.
    fn vrf_sign(&self, key: &ValidatorId, input: &[u8]) -> Result<VrfSignature, KeystoreError>;

    /// Drops the claims before `before` from the journal, and refuses new ones there for good. To be called when those
    /// signatures can no longer matter: their blocks are final, and nothing in them can be disputed any more. A keystore
    /// that keeps no claims does nothing.
    ///
    /// # Errors
    /// [`KeystoreError::Journal`]; the old claims are refused nevertheless until the next start.
    async fn forget_before(&self, _before: ForgetBefore) -> Result<(), KeystoreError> {
        Ok(())
    }
}
