//! Steps 9 and 12: the whole data of a candidate, from its backers or from any k chunks.

use std::sync::Arc;

use primitives::{AvailableData, CandidateHash, CoreIndex, Hash, SessionIndex, ValidatorIndex};

/// Recover the data of a candidate. Equal requests in flight share the work.
///
/// Asked by jobs of availability distribution, for candidates that were included and whose chunk we still lack. The
/// answer encodes to `erasure_root`: that was checked by encoding it again.
#[derive(Clone, Debug)]
pub struct RecoverAvailableData {
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// What the data must encode to.
    pub erasure_root: Hash,
    /// The candidate's relay parent: its session is known there, and it permutes who holds which chunk.
    pub relay_parent: Hash,
    /// The candidate's session.
    pub session_index: SessionIndex,
    /// The core it occupied; permutes who holds which chunk as well.
    pub core: CoreIndex,
    /// Who may hold the whole data.
    pub backers: Vec<ValidatorIndex>,
}

/// Why there is no data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// Fewer than k chunks can be had now.
    #[error("data of {0:?} is unavailable: too few chunks")]
    Unavailable(CandidateHash),
    /// The chunks are proven but are no encoding of anything: the candidate is invalid.
    #[error("data of {0:?} is not a valid encoding")]
    InvalidEncoding(CandidateHash),
    /// The session is not known at the block given.
    #[error("session of {0:?} is not known: {1}")]
    Session(CandidateHash, String),
}

overseer::inbox! {
    /// What availability recovery is asked.
    pub enum Inbox for AvailabilityRecovery as "availability-recovery" {
        ask { RecoverAvailableData -> Result<Arc<AvailableData>, RecoveryError> }
    }
}
