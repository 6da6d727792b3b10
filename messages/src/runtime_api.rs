//! Questions about the chain's state at a block. Equal questions in flight are joined, answers cached.
//!
//! Asked by jobs of nearly every subsystem. Each names the block; a block that is not known, or whose state was pruned,
//! is [`RuntimeError::UnknownBlock`] or [`RuntimeError::Pruned`], and what this chain does not offer
//! [`RuntimeError::NotSupported`].

use std::sync::Arc;

use ports::RuntimeError;
use primitives::{
    CandidateEvent, CoreState, Hash, MisbehaviorReport, OccupiedCoreAssumption, ParaId, PersistedValidationData,
    ValidationCode, ValidationCodeHash,
};

pub use ports::SessionContext;

/// Session, validators, groups, configuration for work on top of a block.
#[derive(Clone, Debug)]
pub struct GetSessionContext {
    /// The block.
    pub at: Hash,
}

/// Every core for work on top of a block, by index.
#[derive(Clone, Debug)]
pub struct GetAvailabilityCores {
    /// The block.
    pub at: Hash,
}

/// The inputs of a para's next block; `None` for an unknown para, or where the assumption does not hold.
#[derive(Clone, Debug)]
pub struct GetPersistedValidationData {
    /// The block.
    pub at: Hash,
    /// The para.
    pub para_id: ParaId,
    /// What to assume of its core.
    pub assumption: OccupiedCoreAssumption,
}

/// The code of a para's next block; `None` as with [`GetPersistedValidationData`].
#[derive(Clone, Debug)]
pub struct GetValidationCode {
    /// The block.
    pub at: Hash,
    /// The para.
    pub para_id: ParaId,
    /// What to assume of its core.
    pub assumption: OccupiedCoreAssumption,
}

/// Code by hash, current or past within the acceptance period; `None` if the chain has none.
#[derive(Clone, Debug)]
pub struct GetValidationCodeByHash {
    /// The block.
    pub at: Hash,
    /// The code's hash.
    pub hash: ValidationCodeHash,
}

/// What a block did to candidates: which it backed, included and timed out.
#[derive(Clone, Debug)]
pub struct GetCandidateEvents {
    /// The block.
    pub at: Hash,
}

/// Hand a proof of misbehavior to the next authors. Asked by jobs of misbehavior arbitration; [`RuntimeError::Refused`]
/// if it proves nothing against anybody that the chain knows, or too many wait.
#[derive(Clone, Debug)]
pub struct SubmitReport {
    /// The proof.
    pub report: MisbehaviorReport,
}

overseer::inbox! {
    /// What runtime-api is asked.
    pub enum Inbox for RuntimeApi as "runtime-api" {
        ask {
            GetSessionContext -> Result<Arc<SessionContext>, RuntimeError>,
            GetAvailabilityCores -> Result<Arc<Vec<CoreState>>, RuntimeError>,
            GetPersistedValidationData -> Result<Option<PersistedValidationData>, RuntimeError>,
            GetValidationCode -> Result<Option<ValidationCode>, RuntimeError>,
            GetValidationCodeByHash -> Result<Option<ValidationCode>, RuntimeError>,
            GetCandidateEvents -> Result<Arc<Vec<CandidateEvent>>, RuntimeError>,
            SubmitReport -> Result<(), RuntimeError>,
        }
    }
}
