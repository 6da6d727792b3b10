//! Questions about the chain's state at a block. Equal questions in flight are joined, answers cached.

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

/// The inputs of a para's next block.
#[derive(Clone, Debug)]
pub struct GetPersistedValidationData {
    /// The block.
    pub at: Hash,
    /// The para.
    pub para_id: ParaId,
    /// What to assume of its core.
    pub assumption: OccupiedCoreAssumption,
}

/// The code of a para's next block.
#[derive(Clone, Debug)]
pub struct GetValidationCode {
    /// The block.
    pub at: Hash,
    /// The para.
    pub para_id: ParaId,
    /// What to assume of its core.
    pub assumption: OccupiedCoreAssumption,
}

/// Code by hash.
#[derive(Clone, Debug)]
pub struct GetValidationCodeByHash {
    /// The block.
    pub at: Hash,
    /// The code's hash.
    pub hash: ValidationCodeHash,
}

/// What a block did to candidates.
#[derive(Clone, Debug)]
pub struct GetCandidateEvents {
    /// The block.
    pub at: Hash,
}

/// Hand a proof of misbehavior to the next authors.
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
