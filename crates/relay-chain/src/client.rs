//! [`ports::RuntimeClient`] over the tree: every answer comes from a snapshot and waits for nothing.
//!
//! Answered are blocks above the finalized one and the last [`crate::tree::FINALIZED_BLOCKS_KEPT`] finalized ones;
//! anything else is unknown here.

use std::sync::Arc;

use async_trait::async_trait;
use overseer::Feed;
use ports::{ChainEvent, ImportedBlock, RuntimeClient, RuntimeError, SessionContext};
use primitives::{
    BlockNumber, CandidateEvent, CoreState, Hash, Header, MisbehaviorReport, OccupiedCoreAssumption, ParaId,
    PersistedValidationData, ValidationCode, ValidationCodeHash,
};

use crate::{
    chain::{Chain, Snapshot},
    gossip_reports::submit,
};

/// Version of the questions that can be asked.
pub const API_VERSION: u32 = 1;

/// A door to one node's chain.
pub(crate) struct Client(pub(crate) Arc<Chain>);

impl Client {
    fn at(&self, hash: Hash) -> Result<Snapshot, RuntimeError> {
        self.0.snapshot(&hash).ok_or(RuntimeError::UnknownBlock(hash))
    }
}

#[async_trait]
impl RuntimeClient for Client {
    async fn api_version(&self, at: Hash) -> Result<u32, RuntimeError> {
        self.at(at).map(|_| API_VERSION)
    }

    async fn header(&self, hash: Hash) -> Result<Header, RuntimeError> {
        self.at(hash).map(|known| known.header)
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
        let block = self.at(at)?;
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
        let block = self.at(at)?;
        Ok(block.data.state.availability_cores(block.header.number.saturating_add(1)))
    }

    async fn persisted_validation_data(
        &self,
        at: Hash,
        para: ParaId,
        assumption: OccupiedCoreAssumption,
    ) -> Result<Option<PersistedValidationData>, RuntimeError> {
        let block = self.at(at)?;
        let Header { number, state_root, .. } = block.header;
        Ok(block.data.state.persisted_validation_data(para, assumption, number, state_root))
    }

    async fn validation_code(
        &self,
        at: Hash,
        para: ParaId,
        assumption: OccupiedCoreAssumption,
    ) -> Result<Option<ValidationCode>, RuntimeError> {
        Ok(self.at(at)?.data.state.validation_code(para, assumption).cloned())
    }

    async fn validation_code_by_hash(
        &self,
        at: Hash,
        hash: ValidationCodeHash,
    ) -> Result<Option<ValidationCode>, RuntimeError> {
        Ok(self.at(at)?.data.state.validation_code_by_hash(hash).cloned())
    }

    async fn candidate_events(&self, at: Hash) -> Result<Vec<CandidateEvent>, RuntimeError> {
        Ok(self.at(at)?.data.events.to_vec())
    }

    async fn submit_report(&self, report: MisbehaviorReport) -> Result<(), RuntimeError> {
        submit(&self.0, report, None).map(|_| ()).map_err(|error| RuntimeError::Refused(error.to_string()))
    }

    fn subscribe(&self) -> Feed<ChainEvent> {
        self.0.subscribe()
    }
}
