//! [`ports::RuntimeClient`] over the tree: every answer comes from a snapshot and waits for nothing.
//!
//! Answered are blocks above the finalized one and the last [`crate::tree::FINALIZED_BLOCKS_KEPT`] finalized ones. Of
//! older ones the header is read from disk and all else is pruned; blocks of dead forks are unknown.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use overseer::Feed;
use ports::{
    CandidateOfSession, ChainEvent, ImportedBlock, OpenDispute, RuntimeClient, RuntimeError, SessionContext,
    StorageError,
};
use primitives::{
    Account, AccountId, ApprovalStatus, BlockNumber, CandidateEvent, CommittedCandidateReceipt, CoreIndex, CoreState,
    DisputeStatementSet, Hash, HeadData, Header, InboundDownwardMessage, InboundHrmpMessage, MisbehaviorReport,
    OccupiedCoreAssumption, ParaId, PersistedValidationData, Revert, SessionIndex, ValidationCode, ValidationCodeHash,
    ValidatorId, decode_limited,
};
use runtime::Extrinsic;

use crate::{
    chain::{Chain, Snapshot},
    gossip_reports, gossip_transactions,
    messages::MAX_TRANSACTION_BYTES,
    storage::StoredBlock,
};

/// Version of the questions that can be asked.
pub const API_VERSION: u32 = 3;

/// A door to one node's chain.
pub(crate) struct Client(pub(crate) Arc<Chain>);

impl Client {
    async fn at(&self, hash: Hash) -> Result<Snapshot, RuntimeError> {
        match self.0.snapshot(&hash) {
            Some(known) => Ok(known),
            None => self.on_disk(hash).await.and_then(|_| Err(RuntimeError::Pruned(hash))),
        }
    }

    /// A finalized block that the tree keeps no more.
    async fn on_disk(&self, hash: Hash) -> Result<StoredBlock, RuntimeError> {
        let oldest = {
            let tree = self.0.tree();
            let (hash, entry) = tree.oldest();
            StoredBlock { number: entry.header.number, hash }
        };
        // From the oldest block on the tree knows all there is.
        let found = self.0.index.find(&self.0.storage, oldest, hash).await.map_err(unreadable)?;
        found.ok_or(RuntimeError::UnknownBlock(hash))
    }
}

fn unreadable(error: StorageError) -> RuntimeError {
    RuntimeError::Unreachable(error.to_string())
}

#[async_trait]
impl RuntimeClient for Client {
    async fn api_version(&self, at: Hash) -> Result<u32, RuntimeError> {
        self.at(at).await.map(|_| API_VERSION)
    }

    async fn header(&self, hash: Hash) -> Result<Header, RuntimeError> {
        if let Some(known) = self.0.snapshot(&hash) {
            return Ok(known.header);
        }
        let stored = self.on_disk(hash).await?;
        let block = self.0.storage.block(stored).await.map_err(unreadable)?;
        block.map(|block| block.header).ok_or(RuntimeError::UnknownBlock(hash))
    }

    async fn finalized(&self) -> Result<(Hash, BlockNumber), RuntimeError> {
        let finalized = self.0.finalized();
        Ok((finalized.hash, finalized.header.number))
    }

    async fn leaves(&self) -> Result<Vec<ImportedBlock>, RuntimeError> {
        let tree = self.0.tree();
        Ok(tree.leaves().into_iter().filter_map(|leaf| self.0.imported(&tree, leaf)).collect())
    }

    async fn session_context(&self, at: Hash) -> Result<Arc<SessionContext>, RuntimeError> {
        let block = self.at(at).await?;
        let state = &block.data.state;
        Ok(Arc::new(SessionContext {
            session_index: state.session_index(),
            validators: state.validators().to_vec(),
            groups: state.groups().to_vec(),
            rotation: state.rotation_info(block.header.number.saturating_add(1)),
            configuration: state.configuration().clone(),
        }))
    }

    async fn availability_cores(&self, at: Hash) -> Result<Vec<CoreState>, RuntimeError> {
        let block = self.at(at).await?;
        Ok(block.data.state.availability_cores(block.header.number.saturating_add(1)))
    }

    async fn persisted_validation_data(
        &self,
        at: Hash,
        para: ParaId,
        assumption: OccupiedCoreAssumption,
    ) -> Result<Option<PersistedValidationData>, RuntimeError> {
        let block = self.at(at).await?;
        let Header { number, state_root, .. } = block.header;
        Ok(block.data.state.persisted_validation_data(para, assumption, number, state_root))
    }

    async fn validation_code(
        &self,
        at: Hash,
        para: ParaId,
        assumption: OccupiedCoreAssumption,
    ) -> Result<Option<ValidationCode>, RuntimeError> {
        Ok(self.at(at).await?.data.state.validation_code(para, assumption).cloned())
    }

    async fn validation_code_by_hash(
        &self,
        at: Hash,
        hash: ValidationCodeHash,
    ) -> Result<Option<ValidationCode>, RuntimeError> {
        Ok(self.at(at).await?.data.state.validation_code_by_hash(hash).cloned())
    }

    async fn candidate_events(&self, at: Hash) -> Result<Vec<CandidateEvent>, RuntimeError> {
        Ok(self.at(at).await?.data.events.to_vec())
    }

    async fn submit_report(&self, report: MisbehaviorReport) -> Result<(), RuntimeError> {
        let submitted = gossip_reports::submit(&self.0, report, None);
        submitted.map(|_| ()).map_err(|error| RuntimeError::Refused(error.to_string()))
    }

    async fn submit_transaction(&self, encoded: Vec<u8>) -> Result<Hash, RuntimeError> {
        let transaction: Extrinsic = decode_limited(&encoded, MAX_TRANSACTION_BYTES)
            .map_err(|error| RuntimeError::Refused(format!("transaction cannot be decoded: {error}")))?;
        let submitted = gossip_transactions::submit(&self.0, transaction, None).await;
        submitted.map_err(|error| RuntimeError::Refused(error.to_string()))
    }

    async fn session_validators(
        &self,
        at: Hash,
        session: SessionIndex,
    ) -> Result<Option<Vec<ValidatorId>>, RuntimeError> {
        Ok(self.at(at).await?.data.state.validators_of(session).map(<[_]>::to_vec))
    }

    async fn next_validators(&self, at: Hash) -> Result<Vec<ValidatorId>, RuntimeError> {
        Ok(self.at(at).await?.data.state.next_validators().to_vec())
    }

    async fn paras(&self, at: Hash) -> Result<Vec<ParaId>, RuntimeError> {
        Ok(self.at(at).await?.data.state.paras().collect())
    }

    async fn para_head(&self, at: Hash, para: ParaId) -> Result<Option<HeadData>, RuntimeError> {
        Ok(self.at(at).await?.data.state.para_head(para).cloned())
    }

    async fn downward_messages(&self, at: Hash, para: ParaId) -> Result<Vec<InboundDownwardMessage>, RuntimeError> {
        Ok(self.at(at).await?.data.state.downward_messages(para))
    }

    async fn inbound_horizontal_messages(
        &self,
        at: Hash,
        para: ParaId,
    ) -> Result<BTreeMap<ParaId, Vec<InboundHrmpMessage>>, RuntimeError> {
        Ok(self.at(at).await?.data.state.inbound_horizontal_messages(para))
    }

    async fn candidate_pending_availability(
        &self,
        at: Hash,
        para: ParaId,
    ) -> Result<Option<CommittedCandidateReceipt>, RuntimeError> {
        let state = self.at(at).await?.data.state;
        let pending = (0..u32::try_from(state.groups().len()).unwrap_or(u32::MAX))
            .filter_map(|core| state.candidate_pending_availability(CoreIndex(core)))
            .find(|receipt| receipt.descriptor.para_id() == para);
        Ok(pending.cloned())
    }

    async fn historical_validation_code(
        &self,
        at: Hash,
        para: ParaId,
        relay_parent_number: BlockNumber,
    ) -> Result<Option<ValidationCode>, RuntimeError> {
        let state = self.at(at).await?.data.state;
        let hash = state.validation_code_at(para, relay_parent_number, None);
        Ok(hash.and_then(|hash| state.validation_code_by_hash(hash).cloned()))
    }

    async fn disputes(&self, at: Hash) -> Result<Vec<OpenDispute>, RuntimeError> {
        let disputes = self.at(at).await?.data.state.disputes();
        Ok(disputes.into_iter().map(|dispute| (dispute.session, dispute.candidate, dispute.votes)).collect())
    }

    async fn dispute_votes(
        &self,
        at: Hash,
        (session, candidate): CandidateOfSession,
    ) -> Result<Option<DisputeStatementSet>, RuntimeError> {
        Ok(self.at(at).await?.data.state.dispute_votes(session, candidate))
    }

    async fn contested_candidate(
        &self,
        at: Hash,
        (session, candidate): CandidateOfSession,
    ) -> Result<Option<CommittedCandidateReceipt>, RuntimeError> {
        Ok(self.at(at).await?.data.state.contested_candidate(session, candidate).cloned())
    }

    async fn approval_status(
        &self,
        at: Hash,
        (session, candidate): CandidateOfSession,
    ) -> Result<Option<ApprovalStatus>, RuntimeError> {
        Ok(self.at(at).await?.data.state.approval_status(session, candidate))
    }

    async fn blacklist(&self, at: Hash) -> Result<Vec<CandidateOfSession>, RuntimeError> {
        Ok(self.at(at).await?.data.state.blacklist().collect())
    }

    async fn reverts(&self, at: Hash) -> Result<Vec<Revert>, RuntimeError> {
        Ok(self.at(at).await?.data.state.reverts().to_vec())
    }

    async fn account(&self, at: Hash, owner: AccountId) -> Result<Account, RuntimeError> {
        Ok(self.at(at).await?.data.state.account(&owner))
    }

    async fn first_disputed_block(&self, at: Hash) -> Result<Option<BlockNumber>, RuntimeError> {
        Ok(self.at(at).await?.data.state.first_disputed_block())
    }

    async fn state_proof(&self, at: Hash, keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, RuntimeError> {
        Ok(self.at(at).await?.data.state.state_proof(&keys).0)
    }

    fn subscribe(&self) -> Feed<ChainEvent> {
        self.0.subscribe()
    }
}
