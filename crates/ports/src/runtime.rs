use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use overseer::Feed;
use primitives::{
    Account, AccountId, ApprovalStatus, BlockNumber, CandidateEvent, CandidateHash, CommittedCandidateReceipt,
    CoreIndex, CoreState, DisputeState, DisputeStatementSet, GroupIndex, GroupRotationInfo, Hash, HeadData, Header,
    HostConfiguration, InboundDownwardMessage, InboundHrmpMessage, MisbehaviorReport, OccupiedCoreAssumption, ParaId,
    PersistedValidationData, Revert, SessionIndex, ValidationCode, ValidationCodeHash, ValidatorId, ValidatorIndex,
};

/// Why a chain question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// The block is not known.
    #[error("block {0:?} is not known")]
    UnknownBlock(Hash),
    /// The block is known, its state was pruned.
    #[error("state of block {0:?} was pruned")]
    Pruned(Hash),
    /// This chain does not offer the call.
    #[error("{0} is not supported by this chain")]
    NotSupported(&'static str),
    /// The chain's answer could not be decoded.
    #[error("answer of the chain cannot be decoded: {0}")]
    Decode(String),
    /// The chain cannot be reached.
    #[error("chain cannot be reached: {0}")]
    Unreachable(String),
    /// A submitted report or transaction was refused.
    #[error("submission was refused: {0}")]
    Refused(String),
}

/// All that stays the same for a session, with the rotation as of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionContext {
    /// The session.
    pub session_index: SessionIndex,
    /// Its validators, by [`ValidatorIndex`].
    pub validators: Vec<ValidatorId>,
    /// Its groups, by [`GroupIndex`].
    pub groups: Vec<Vec<ValidatorIndex>>,
    /// Rotation of groups over cores for a child of the block asked at.
    pub rotation: GroupRotationInfo,
    /// The configuration in force.
    pub configuration: HostConfiguration,
}

impl SessionContext {
    /// The index of a validator in this session.
    pub fn validator_index(&self, id: &ValidatorId) -> Option<ValidatorIndex> {
        self.validators.iter().position(|known| known == id).map(|index| ValidatorIndex(index as u32))
    }

    /// The group a validator belongs to.
    pub fn group_of(&self, validator: ValidatorIndex) -> Option<GroupIndex> {
        self.groups.iter().position(|group| group.contains(&validator)).map(|index| GroupIndex(index as u32))
    }

    /// The validators of the group that serves a core, as of the block asked at.
    pub fn group_for_core(&self, core: CoreIndex) -> Option<(GroupIndex, &[ValidatorIndex])> {
        let group = self.rotation.group_for_core(core, self.groups.len());
        self.groups.get(group.0 as usize).map(|members| (group, members.as_slice()))
    }
}

/// A block that entered the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedBlock {
    /// Its hash.
    pub hash: Hash,
    /// Its header.
    pub header: Header,
    /// Its session, which decides how far back work may reach.
    pub session_index: SessionIndex,
    /// Whether it is now the head of the best chain.
    pub is_best: bool,
}

/// What the chain tells, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainEvent {
    /// A block entered the tree.
    Imported(ImportedBlock),
    /// A block and its ancestors are final.
    Finalized {
        /// The finalized block.
        hash: Hash,
        /// Its height.
        number: BlockNumber,
        /// Heads of forks that can never become final, by this finalization.
        stale_heads: Vec<Hash>,
    },
    /// Forks are given up, with all that descends from their first blocks: they include a candidate that was judged
    /// invalid, and nothing on them is announced any more; the chain goes on from the parents of these blocks. Or a block
    /// on which nothing is built, off the best chain, was dropped because there are too many: it may come again.
    Reverted {
        /// The first block of each fork, lower ones first.
        abandoned: Vec<Hash>,
    },
}

/// A candidate by its session and name, as approval and disputes know it.
pub type CandidateOfSession = (SessionIndex, CandidateHash);

/// A dispute that takes votes: session and name of the candidate, votes and times.
pub type OpenDispute = (SessionIndex, CandidateHash, DisputeState);

/// The only door through which subsystems see a chain. Every question names the block at which it is asked; answers
/// come from immutable snapshots and never wait for import, authoring or voting.
///
/// A block that was never seen is [`RuntimeError::UnknownBlock`]; one whose state is kept no more is
/// [`RuntimeError::Pruned`], and its header is answered still. What a chain does not offer is
/// [`RuntimeError::NotSupported`], as with the questions that have an answer here: younger than the others, they are
/// asked by fewer. So much for every method's errors; what else one can say is beside it.
///
/// # Cancel safety
/// Dropping a question forgets its answer. A dropped submission may have been taken.
///
/// # Back-pressure
/// Each answer may need the disk or another process: ask from a job.
#[async_trait]
pub trait RuntimeClient: Send + Sync {
    /// Version of the API at a block: at least 1.
    async fn api_version(&self, at: Hash) -> Result<u32, RuntimeError>;
    /// A header.
    async fn header(&self, hash: Hash) -> Result<Header, RuntimeError>;
    /// The last finalized block.
    async fn finalized(&self) -> Result<(Hash, BlockNumber), RuntimeError>;
    /// The heads of all forks above the finalized block, best first.
    async fn leaves(&self) -> Result<Vec<ImportedBlock>, RuntimeError>;
    /// Session, validators, groups, configuration for work on top of `at`.
    async fn session_context(&self, at: Hash) -> Result<Arc<SessionContext>, RuntimeError>;
    /// Every core for work on top of `at`, by [`CoreIndex`].
    async fn availability_cores(&self, at: Hash) -> Result<Vec<CoreState>, RuntimeError>;
    /// The inputs of a para's next block under an assumption; `None` for an unknown para or a wrong assumption.
    async fn persisted_validation_data(
        &self,
        at: Hash,
        para: ParaId,
        assumption: OccupiedCoreAssumption,
    ) -> Result<Option<PersistedValidationData>, RuntimeError>;
    /// The code of a para's next block under an assumption.
    async fn validation_code(
        &self,
        at: Hash,
        para: ParaId,
        assumption: OccupiedCoreAssumption,
    ) -> Result<Option<ValidationCode>, RuntimeError>;
    /// Code by hash: current, past within the acceptance period, or of a candidate under dispute.
    async fn validation_code_by_hash(
        &self,
        at: Hash,
        hash: ValidationCodeHash,
    ) -> Result<Option<ValidationCode>, RuntimeError>;
    /// What block `at` did to candidates.
    async fn candidate_events(&self, at: Hash) -> Result<Vec<CandidateEvent>, RuntimeError>;
    /// Hands a proof of misbehavior to the next authors. Authenticated by the signatures in it.
    ///
    /// # Errors
    /// [`RuntimeError::Refused`] if it proves nothing, accuses nobody that the chain knows, or too many wait.
    async fn submit_report(&self, report: MisbehaviorReport) -> Result<(), RuntimeError>;
    /// Hands a transaction, in the chain's own encoding, to the next authors, and returns its hash. It must be
    /// acceptable on top of the best block.
    ///
    /// # Errors
    /// [`RuntimeError::Refused`] with the reason if it is not, or is no transaction at all.
    async fn submit_transaction(&self, _encoded: Vec<u8>) -> Result<Hash, RuntimeError> {
        Err(RuntimeError::NotSupported("submit_transaction"))
    }
    /// The validators of a session as `at` remembers them: this session's and those of a few before it.
    async fn session_validators(
        &self,
        _at: Hash,
        _session: SessionIndex,
    ) -> Result<Option<Vec<ValidatorId>>, RuntimeError> {
        Err(RuntimeError::NotSupported("session_validators"))
    }
    /// The validators of the next session.
    async fn next_validators(&self, _at: Hash) -> Result<Vec<ValidatorId>, RuntimeError> {
        Err(RuntimeError::NotSupported("next_validators"))
    }
    /// All registered paras, ascending.
    async fn paras(&self, _at: Hash) -> Result<Vec<ParaId>, RuntimeError> {
        Err(RuntimeError::NotSupported("paras"))
    }
    /// The head of a para; `None` for an unknown one.
    async fn para_head(&self, _at: Hash, _para: ParaId) -> Result<Option<HeadData>, RuntimeError> {
        Err(RuntimeError::NotSupported("para_head"))
    }
    /// The downward messages that wait for a para, the oldest first; none for an unknown one.
    async fn downward_messages(&self, _at: Hash, _para: ParaId) -> Result<Vec<InboundDownwardMessage>, RuntimeError> {
        Err(RuntimeError::NotSupported("downward_messages"))
    }
    /// The channels that lead to a para, by sender, and what waits in each, the oldest first.
    async fn inbound_horizontal_messages(
        &self,
        _at: Hash,
        _para: ParaId,
    ) -> Result<BTreeMap<ParaId, Vec<InboundHrmpMessage>>, RuntimeError> {
        Err(RuntimeError::NotSupported("inbound_horizontal_messages"))
    }
    /// The candidate of a para that waits for its availability.
    async fn candidate_pending_availability(
        &self,
        _at: Hash,
        _para: ParaId,
    ) -> Result<Option<CommittedCandidateReceipt>, RuntimeError> {
        Err(RuntimeError::NotSupported("candidate_pending_availability"))
    }
    /// The code that a para's block with a relay parent of that height was checked with; `None` once it is pruned.
    async fn historical_validation_code(
        &self,
        _at: Hash,
        _para: ParaId,
        _relay_parent_number: BlockNumber,
    ) -> Result<Option<ValidationCode>, RuntimeError> {
        Err(RuntimeError::NotSupported("historical_validation_code"))
    }
    /// The disputes that take votes.
    async fn disputes(&self, _at: Hash) -> Result<Vec<OpenDispute>, RuntimeError> {
        Err(RuntimeError::NotSupported("disputes"))
    }
    /// All votes of a dispute; `None` if none on this candidate takes votes.
    async fn dispute_votes(
        &self,
        _at: Hash,
        _candidate: CandidateOfSession,
    ) -> Result<Option<DisputeStatementSet>, RuntimeError> {
        Err(RuntimeError::NotSupported("dispute_votes"))
    }
    /// The receipt of a candidate in its acceptance period or of a dispute, be it of another fork; `None` for any other.
    async fn contested_candidate(
        &self,
        _at: Hash,
        _candidate: CandidateOfSession,
    ) -> Result<Option<CommittedCandidateReceipt>, RuntimeError> {
        Err(RuntimeError::NotSupported("contested_candidate"))
    }
    /// How far the secondary checks of a candidate are; `None` if it is not in its acceptance period.
    async fn approval_status(
        &self,
        _at: Hash,
        _candidate: CandidateOfSession,
    ) -> Result<Option<ApprovalStatus>, RuntimeError> {
        Err(RuntimeError::NotSupported("approval_status"))
    }
    /// The candidates that were judged invalid, of the session of `at` and the one before, ascending: never to be backed.
    async fn blacklist(&self, _at: Hash) -> Result<Vec<CandidateOfSession>, RuntimeError> {
        Err(RuntimeError::NotSupported("blacklist"))
    }
    /// The signals to give up this fork, the oldest first, as far as the chain keeps them.
    async fn reverts(&self, _at: Hash) -> Result<Vec<Revert>, RuntimeError> {
        Err(RuntimeError::NotSupported("reverts"))
    }
    /// What somebody owns, and the number of their next transaction; all zero for whoever never had anything.
    async fn account(&self, _at: Hash, _owner: AccountId) -> Result<Account, RuntimeError> {
        Err(RuntimeError::NotSupported("account"))
    }
    /// Height of the first block of this chain that may not become final because of what it included.
    async fn first_disputed_block(&self, _at: Hash) -> Result<Option<BlockNumber>, RuntimeError> {
        Err(RuntimeError::NotSupported("first_disputed_block"))
    }
    /// The trie nodes that prove what stands under `keys` in the state of `at`, or that nothing does.
    async fn state_proof(&self, _at: Hash, _keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, RuntimeError> {
        Err(RuntimeError::NotSupported("state_proof"))
    }
    /// Imports and finalizations from now on; it ends when the chain stops. On `Lagged`, ask [`leaves`](Self::leaves) anew.
    fn subscribe(&self) -> Feed<ChainEvent>;
}
