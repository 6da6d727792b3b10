//! A scripted runtime client: for the subsystems that stand in front of the real one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use overseer::Feed;
use ports::{CandidateOfSession, ChainEvent, ImportedBlock, OpenDispute, RuntimeClient, RuntimeError, SessionContext};
use primitives::{
    Account, AccountId, ApprovalStatus, BlockNumber, CandidateEvent, CommittedCandidateReceipt, CoreState,
    DisputeStatementSet, Hash, HeadData, Header, InboundDownwardMessage, InboundHrmpMessage, MisbehaviorReport,
    OccupiedCoreAssumption, ParaId, PersistedValidationData, Revert, SessionIndex, ValidationCode, ValidationCodeHash,
    ValidatorId,
};
use tokio::sync::watch;

use crate::chain::AtBlock;

#[derive(Default)]
struct State {
    blocks: BTreeMap<Hash, AtBlock>,
    headers: BTreeMap<Hash, Header>,
    finalized: Option<(Hash, BlockNumber)>,
    leaves: VecDeque<Vec<ImportedBlock>>,
    calls: Vec<&'static str>,
    reports: Vec<MisbehaviorReport>,
    transactions: Vec<Vec<u8>>,
    panicking: bool,
}

/// Answers what it was told, and nothing for what nobody tells it; remembers each call, and holds all answers back while its gate is shut.
pub struct TestRuntimeClient {
    state: Mutex<State>,
    open: watch::Sender<bool>,
}

impl TestRuntimeClient {
    /// Knows nothing; its gate is open.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), open: watch::Sender::new(true) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is so at a block.
    pub fn set(&self, hash: Hash, at: AtBlock) {
        self.state().blocks.insert(hash, at);
    }

    /// Adds a header.
    pub fn set_header(&self, hash: Hash, parent_hash: Hash, number: BlockNumber) {
        let zero = Hash::ZERO;
        let header = Header { parent_hash, number, state_root: zero, extrinsics_root: zero, digest: Vec::new() };
        self.state().headers.insert(hash, header);
    }

    /// Sets the last finalized block.
    pub fn set_finalized(&self, hash: Hash, number: BlockNumber) {
        self.state().finalized = Some((hash, number));
    }

    /// Sets what the next questions for the leaves are answered, one after the other; the last answer stays.
    pub fn set_leaves(&self, answers: impl IntoIterator<Item = Vec<ImportedBlock>>) {
        self.state().leaves = answers.into_iter().collect();
    }

    /// Shuts or opens the gate.
    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// From now on every call panics, or none does.
    pub fn set_panicking(&self, panicking: bool) {
        self.state().panicking = panicking;
    }

    /// The names of the calls so far, in order; forgets them.
    pub fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state().calls)
    }

    /// Reports submitted so far.
    pub fn reports(&self) -> Vec<MisbehaviorReport> {
        self.state().reports.clone()
    }

    /// Transactions submitted so far.
    pub fn transactions(&self) -> Vec<Vec<u8>> {
        self.state().transactions.clone()
    }

    async fn enter(&self, call: &'static str) {
        {
            let mut state = self.state();
            state.calls.push(call);
            assert!(!state.panicking, "told to panic in {call}");
        }
        // The sender lives as long as this client.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    async fn at(&self, call: &'static str, hash: Hash) -> Result<AtBlock, RuntimeError> {
        self.enter(call).await;
        self.state().blocks.get(&hash).cloned().ok_or(RuntimeError::UnknownBlock(hash))
    }
}

#[async_trait]
impl RuntimeClient for TestRuntimeClient {
    async fn api_version(&self, at: Hash) -> Result<u32, RuntimeError> {
        self.at("api_version", at).await.map(|_| 1)
    }

    async fn header(&self, hash: Hash) -> Result<Header, RuntimeError> {
        self.enter("header").await;
        self.state().headers.get(&hash).cloned().ok_or(RuntimeError::UnknownBlock(hash))
    }

    async fn finalized(&self) -> Result<(Hash, BlockNumber), RuntimeError> {
        self.enter("finalized").await;
        self.state().finalized.ok_or(RuntimeError::NotSupported("finality"))
    }

    async fn leaves(&self) -> Result<Vec<ImportedBlock>, RuntimeError> {
        let mut state = self.state();
        let next = if state.leaves.len() > 1 { state.leaves.pop_front() } else { state.leaves.front().cloned() };
        Ok(next.unwrap_or_default())
    }

    async fn session_context(&self, at: Hash) -> Result<Arc<SessionContext>, RuntimeError> {
        self.at("session_context", at).await?.session.ok_or(RuntimeError::NotSupported("sessions"))
    }

    async fn availability_cores(&self, at: Hash) -> Result<Vec<CoreState>, RuntimeError> {
        Ok(self.at("availability_cores", at).await?.cores)
    }

    async fn persisted_validation_data(
        &self,
        at: Hash,
        _para: ParaId,
        _assumption: OccupiedCoreAssumption,
    ) -> Result<Option<PersistedValidationData>, RuntimeError> {
        Ok(self.at("persisted_validation_data", at).await?.validation_data)
    }

    async fn validation_code(
        &self,
        at: Hash,
        _para: ParaId,
        _assumption: OccupiedCoreAssumption,
    ) -> Result<Option<ValidationCode>, RuntimeError> {
        Ok(self.at("validation_code", at).await?.code)
    }

    async fn validation_code_by_hash(
        &self,
        at: Hash,
        hash: ValidationCodeHash,
    ) -> Result<Option<ValidationCode>, RuntimeError> {
        Ok(self.at("validation_code_by_hash", at).await?.code.filter(|code| code.hash() == hash))
    }

    async fn candidate_events(&self, at: Hash) -> Result<Vec<CandidateEvent>, RuntimeError> {
        Ok(self.at("candidate_events", at).await?.events)
    }

    async fn submit_report(&self, report: MisbehaviorReport) -> Result<(), RuntimeError> {
        self.enter("submit_report").await;
        self.state().reports.push(report);
        Ok(())
    }

    async fn submit_transaction(&self, encoded: Vec<u8>) -> Result<Hash, RuntimeError> {
        self.enter("submit_transaction").await;
        let hash = primitives::blake2_256(&encoded);
        self.state().transactions.push(encoded);
        Ok(hash)
    }

    async fn session_validators(
        &self,
        at: Hash,
        session: SessionIndex,
    ) -> Result<Option<Vec<ValidatorId>>, RuntimeError> {
        let known = self.at("session_validators", at).await?.session;
        Ok(known.filter(|known| known.session_index == session).map(|known| known.validators.clone()))
    }

    async fn next_validators(&self, at: Hash) -> Result<Vec<ValidatorId>, RuntimeError> {
        let known = self.at("next_validators", at).await?.session;
        Ok(known.map(|known| known.validators.clone()).unwrap_or_default())
    }

    async fn paras(&self, at: Hash) -> Result<Vec<ParaId>, RuntimeError> {
        self.at("paras", at).await.map(|_| Vec::new())
    }

    async fn para_head(&self, at: Hash, _para: ParaId) -> Result<Option<HeadData>, RuntimeError> {
        let data = self.at("para_head", at).await?.validation_data;
        Ok(data.map(|data| data.parent_head))
    }

    async fn downward_messages(&self, at: Hash, _para: ParaId) -> Result<Vec<InboundDownwardMessage>, RuntimeError> {
        Ok(self.at("downward_messages", at).await?.downward_messages)
    }

    async fn inbound_horizontal_messages(
        &self,
        at: Hash,
        _para: ParaId,
    ) -> Result<BTreeMap<ParaId, Vec<InboundHrmpMessage>>, RuntimeError> {
        self.at("inbound_horizontal_messages", at).await.map(|_| BTreeMap::new())
    }

    async fn candidate_pending_availability(
        &self,
        at: Hash,
        _para: ParaId,
    ) -> Result<Option<CommittedCandidateReceipt>, RuntimeError> {
        Ok(self.at("candidate_pending_availability", at).await?.pending)
    }

    async fn historical_validation_code(
        &self,
        at: Hash,
        _para: ParaId,
        _relay_parent_number: BlockNumber,
    ) -> Result<Option<ValidationCode>, RuntimeError> {
        Ok(self.at("historical_validation_code", at).await?.code)
    }

    async fn disputes(&self, at: Hash) -> Result<Vec<OpenDispute>, RuntimeError> {
        self.at("disputes", at).await.map(|_| Vec::new())
    }

    async fn dispute_votes(
        &self,
        at: Hash,
        (session, candidate_hash): CandidateOfSession,
    ) -> Result<Option<DisputeStatementSet>, RuntimeError> {
        self.at("dispute_votes", at).await?;
        Ok(Some(DisputeStatementSet { candidate_hash, session, statements: Vec::new() }))
    }

    async fn contested_candidate(
        &self,
        at: Hash,
        _candidate: CandidateOfSession,
    ) -> Result<Option<CommittedCandidateReceipt>, RuntimeError> {
        self.at("contested_candidate", at).await.map(|_| None)
    }

    async fn approval_status(
        &self,
        at: Hash,
        _candidate: CandidateOfSession,
    ) -> Result<Option<ApprovalStatus>, RuntimeError> {
        self.at("approval_status", at).await.map(|_| None)
    }

    async fn blacklist(&self, at: Hash) -> Result<Vec<CandidateOfSession>, RuntimeError> {
        self.at("blacklist", at).await.map(|_| Vec::new())
    }

    async fn reverts(&self, at: Hash) -> Result<Vec<Revert>, RuntimeError> {
        self.at("reverts", at).await.map(|_| Vec::new())
    }

    async fn account(&self, at: Hash, _owner: AccountId) -> Result<Account, RuntimeError> {
        self.at("account", at).await.map(|_| Account::default())
    }

    async fn first_disputed_block(&self, at: Hash) -> Result<Option<BlockNumber>, RuntimeError> {
        self.at("first_disputed_block", at).await.map(|_| None)
    }

    async fn state_proof(&self, at: Hash, keys: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, RuntimeError> {
        self.at("state_proof", at).await.map(|_| keys)
    }

    fn subscribe(&self) -> Feed<ChainEvent> {
        let (sender, feed) = Feed::bounded("subscribe", "mocks", 1);
        sender.end();
        feed
    }
}
