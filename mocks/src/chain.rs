//! Relay parents with forks, and a runtime that answers questions about them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leaves::{Block, Leaves};
use messages::runtime_api::{Inbox, RuntimeApi};
use messages::{LeavesUpdate, chain_api};
use ports::{RuntimeError, SessionContext};
use primitives::{
    BlockNumber, CandidateEvent, CoreState, Hash, Header, MisbehaviorReport, PersistedValidationData, SessionIndex,
    ValidationCode,
};

use crate::Harness;

/// What is so at one relay parent.
#[derive(Clone, Debug, Default)]
pub struct AtBlock {
    /// Session, validators, groups.
    pub session: Option<Arc<SessionContext>>,
    /// The cores.
    pub cores: Vec<CoreState>,
    /// The inputs of every para's next block.
    pub validation_data: Option<PersistedValidationData>,
    /// The code of every para.
    pub code: Option<ValidationCode>,
    /// What the block did.
    pub events: Vec<CandidateEvent>,
}

#[derive(Default)]
struct State {
    blocks: BTreeMap<Hash, AtBlock>,
    headers: BTreeMap<Hash, Header>,
    reports: Vec<MisbehaviorReport>,
    finalized: Option<(Hash, BlockNumber)>,
}

/// A chain for tests: a tree of relay parents and a stub for runtime-api and chain-api. Clones share it.
#[derive(Clone, Default)]
pub struct TestChain {
    state: Arc<Mutex<State>>,
    leaves: Arc<Mutex<Option<Leaves>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestChain {
    /// A chain that begins with `genesis`, and the update that starts work on it.
    pub fn new(genesis: Hash, session_index: SessionIndex) -> (Self, LeavesUpdate) {
        let chain = Self::default();
        let block = Block { hash: genesis, parent: Hash::from([0; 32]), number: 0, session_index };
        let (leaves, update) = Leaves::start(block, []);
        *lock(&chain.leaves) = Some(leaves);
        lock(&chain.state).finalized = Some((genesis, 0));
        (chain, update)
    }

    /// Says what is so at a block.
    pub fn set(&self, hash: Hash, at: AtBlock) {
        lock(&self.state).blocks.insert(hash, at);
    }

    /// Adds a block; the update is the heartbeat's.
    pub fn import(&self, hash: Hash, parent: Hash, number: BlockNumber, session_index: SessionIndex) -> LeavesUpdate {
        let header = Header {
            parent_hash: parent,
            number,
            state_root: Hash::from([0; 32]),
            extrinsics_root: Hash::from([0; 32]),
            digest: Vec::new(),
        };
        lock(&self.state).headers.insert(hash, header);
        let mut leaves = lock(&self.leaves);
        leaves.as_mut().map(|leaves| leaves.import(Block { hash, parent, number, session_index })).unwrap_or_default()
    }

    /// Finalizes a block.
    pub fn finalize(&self, hash: Hash, number: BlockNumber) -> LeavesUpdate {
        lock(&self.state).finalized = Some((hash, number));
        lock(&self.leaves).as_mut().map(|leaves| leaves.finalize(hash, number)).unwrap_or_default()
    }

    /// Reports submitted so far.
    pub fn reports(&self) -> Vec<MisbehaviorReport> {
        lock(&self.state).reports.clone()
    }

    /// Answers runtime-api and chain-api in the background of a harness.
    pub fn serve(&self, harness: &Harness) {
        let chain = self.clone();
        harness.stub::<RuntimeApi>(move |inbox| {
            chain.answer_runtime(inbox);
            None
        });
        let chain = self.clone();
        harness.stub::<chain_api::ChainApi>(move |inbox| {
            chain.answer_chain(inbox);
            None
        });
    }

    fn at(&self, hash: Hash) -> Result<AtBlock, RuntimeError> {
        lock(&self.state).blocks.get(&hash).cloned().ok_or(RuntimeError::UnknownBlock(hash))
    }

    fn answer_runtime(&self, inbox: Inbox) {
        match inbox {
            Inbox::GetSessionContext(question, reply) => {
                let unknown = RuntimeError::UnknownBlock(question.at);
                let _ = reply.answer(self.at(question.at).and_then(|at| at.session.ok_or(unknown)));
            }
            Inbox::GetAvailabilityCores(question, reply) => {
                let _ = reply.answer(self.at(question.at).map(|at| Arc::new(at.cores)));
            }
            Inbox::GetPersistedValidationData(question, reply) => {
                let _ = reply.answer(self.at(question.at).map(|at| at.validation_data));
            }
            Inbox::GetValidationCode(question, reply) => {
                let _ = reply.answer(self.at(question.at).map(|at| at.code));
            }
            Inbox::GetValidationCodeByHash(question, reply) => {
                let found = self.at(question.at).map(|at| at.code.filter(|code| code.hash() == question.hash));
                let _ = reply.answer(found);
            }
            Inbox::GetCandidateEvents(question, reply) => {
                let _ = reply.answer(self.at(question.at).map(|at| Arc::new(at.events)));
            }
            Inbox::SubmitReport(question, reply) => {
                lock(&self.state).reports.push(question.report);
                let _ = reply.answer(Ok(()));
            }
        }
    }

    fn answer_chain(&self, inbox: chain_api::Inbox) {
        let state = lock(&self.state);
        match inbox {
            chain_api::Inbox::GetHeader(question, reply) => {
                let header = state.headers.get(&question.hash).cloned();
                let _ = reply.answer(header.ok_or(RuntimeError::UnknownBlock(question.hash)));
            }
            chain_api::Inbox::GetAncestors(question, reply) => {
                let mut ancestors = Vec::new();
                let mut at = question.hash;
                while let Some(header) = state.headers.get(&at) {
                    if ancestors.len() >= question.count as usize {
                        break;
                    }
                    at = header.parent_hash;
                    ancestors.push(at);
                }
                let _ = reply.answer(Ok(ancestors));
            }
            chain_api::Inbox::GetFinalized(_, reply) => {
                let _ = reply.answer(state.finalized.ok_or(RuntimeError::NotSupported("no chain")));
            }
        }
    }
}
