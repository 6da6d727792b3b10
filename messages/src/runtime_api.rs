//! Questions about the chain's state at a block. Equal questions in flight are joined, answers cached.
//!
//! Asked by jobs of nearly every subsystem. Each names the block; a block that is not known, or whose state was pruned,
//! is [`RuntimeError::UnknownBlock`] or [`RuntimeError::Pruned`], and what this chain does not offer
//! [`RuntimeError::NotSupported`].

use std::collections::BTreeMap;
use std::sync::Arc;

use ports::{CandidateOfSession, OpenDispute, RuntimeError};
use primitives::{
    Account, AccountId, ApprovalStatus, BlockNumber, CandidateEvent, CommittedCandidateReceipt, CoreState,
    DisputeStatementSet, Hash, HeadData, InboundDownwardMessage, InboundHrmpMessage, MisbehaviorReport,
    OccupiedCoreAssumption, ParaId, PersistedValidationData, Revert, SessionIndex, ValidationCode, ValidationCodeHash,
    ValidatorId,
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

/// Code by hash: current, past within the acceptance period, or of a candidate under dispute; `None` if the chain has none.
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

/// Version of the questions that can be asked at a block: at least 1.
#[derive(Clone, Debug)]
pub struct GetApiVersion {
    /// The block.
    pub at: Hash,
}

/// The validators of a session as a block remembers them: its own and a few before it; `None` for any other.
#[derive(Clone, Debug)]
pub struct GetSessionValidators {
    /// The block.
    pub at: Hash,
    /// The session.
    pub session: SessionIndex,
}

/// The validators of the next session.
#[derive(Clone, Debug)]
pub struct GetNextValidators {
    /// The block.
    pub at: Hash,
}

/// All registered paras, ascending.
#[derive(Clone, Debug)]
pub struct GetParas {
    /// The block.
    pub at: Hash,
}

/// The head of a para; `None` for an unknown one.
#[derive(Clone, Debug)]
pub struct GetParaHead {
    /// The block.
    pub at: Hash,
    /// The para.
    pub para_id: ParaId,
}

/// The downward messages that wait for a para, the oldest first.
#[derive(Clone, Debug)]
pub struct GetDownwardMessages {
    /// The block.
    pub at: Hash,
    /// The para.
    pub para_id: ParaId,
}

/// The channels that lead to a para, by sender, and what waits in each, the oldest first.
#[derive(Clone, Debug)]
pub struct GetInboundHorizontalMessages {
    /// The block.
    pub at: Hash,
    /// The para.
    pub para_id: ParaId,
}

/// The candidate of a para that waits for its availability, if there is one.
#[derive(Clone, Debug)]
pub struct GetCandidatePendingAvailability {
    /// The block.
    pub at: Hash,
    /// The para.
    pub para_id: ParaId,
}

/// The code that a para's block with a relay parent of that height was checked with; `None` once it is pruned.
#[derive(Clone, Debug)]
pub struct GetHistoricalValidationCode {
    /// The block.
    pub at: Hash,
    /// The para.
    pub para_id: ParaId,
    /// Height of the relay parent.
    pub relay_parent_number: BlockNumber,
}

/// The disputes that take votes.
#[derive(Clone, Debug)]
pub struct GetDisputes {
    /// The block.
    pub at: Hash,
}

/// All votes of a dispute; `None` if none on this candidate takes votes.
#[derive(Clone, Debug)]
pub struct GetDisputeVotes {
    /// The block.
    pub at: Hash,
    /// The candidate.
    pub candidate: CandidateOfSession,
}

/// The receipt of a candidate in its acceptance period or of a dispute, be it of another fork; `None` for any other.
#[derive(Clone, Debug)]
pub struct GetContestedCandidate {
    /// The block.
    pub at: Hash,
    /// The candidate.
    pub candidate: CandidateOfSession,
}

/// How far the secondary checks of a candidate are; `None` if it is not in its acceptance period.
#[derive(Clone, Debug)]
pub struct GetApprovalStatus {
    /// The block.
    pub at: Hash,
    /// The candidate.
    pub candidate: CandidateOfSession,
}

/// The candidates that were judged invalid, of a block's session and the one before, ascending: never to be backed.
#[derive(Clone, Debug)]
pub struct GetBlacklist {
    /// The block.
    pub at: Hash,
}

/// The signals to give up a block's fork, the oldest first, as far as the chain keeps them.
#[derive(Clone, Debug)]
pub struct GetReverts {
    /// The block.
    pub at: Hash,
}

/// What somebody owns, and the number of their next transaction; all zero for whoever never had anything.
#[derive(Clone, Debug)]
pub struct GetAccount {
    /// The block.
    pub at: Hash,
    /// The owner.
    pub owner: AccountId,
}

/// Height of the first block of this chain that may not become final because of what it included.
#[derive(Clone, Debug)]
pub struct GetFirstDisputedBlock {
    /// The block.
    pub at: Hash,
}

/// The trie nodes that prove what stands under keys in the state of a block, or that nothing does.
#[derive(Clone, Debug)]
pub struct GetStateProof {
    /// The block.
    pub at: Hash,
    /// The keys.
    pub keys: Vec<Vec<u8>>,
}

/// Hand a transaction, in the chain's own encoding, to the next authors; answered with its hash. [`RuntimeError::Refused`]
/// with the reason if it is not acceptable on top of the best block.
#[derive(Clone, Debug)]
pub struct SubmitTransaction {
    /// The encoding.
    pub encoded: Vec<u8>,
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
            GetApiVersion -> Result<u32, RuntimeError>,
            GetSessionValidators -> Result<Option<Arc<Vec<ValidatorId>>>, RuntimeError>,
            GetNextValidators -> Result<Arc<Vec<ValidatorId>>, RuntimeError>,
            GetParas -> Result<Arc<Vec<ParaId>>, RuntimeError>,
            GetParaHead -> Result<Option<HeadData>, RuntimeError>,
            GetDownwardMessages -> Result<Arc<Vec<InboundDownwardMessage>>, RuntimeError>,
            GetInboundHorizontalMessages -> Result<Arc<BTreeMap<ParaId, Vec<InboundHrmpMessage>>>, RuntimeError>,
            GetCandidatePendingAvailability -> Result<Option<Arc<CommittedCandidateReceipt>>, RuntimeError>,
            GetHistoricalValidationCode -> Result<Option<ValidationCode>, RuntimeError>,
            GetDisputes -> Result<Arc<Vec<OpenDispute>>, RuntimeError>,
            GetDisputeVotes -> Result<Option<Arc<DisputeStatementSet>>, RuntimeError>,
            GetContestedCandidate -> Result<Option<Arc<CommittedCandidateReceipt>>, RuntimeError>,
            GetApprovalStatus -> Result<Option<ApprovalStatus>, RuntimeError>,
            GetBlacklist -> Result<Arc<Vec<CandidateOfSession>>, RuntimeError>,
            GetReverts -> Result<Arc<Vec<Revert>>, RuntimeError>,
            GetAccount -> Result<Account, RuntimeError>,
            GetFirstDisputedBlock -> Result<Option<BlockNumber>, RuntimeError>,
            GetStateProof -> Result<Arc<Vec<Vec<u8>>>, RuntimeError>,
            SubmitReport -> Result<(), RuntimeError>,
            SubmitTransaction -> Result<Hash, RuntimeError>,
        }
    }
}
