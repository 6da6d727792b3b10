//! Relay parents with forks, and a runtime that answers questions about them.
//!
//! [`TestChain`] grows blocks and gives the heartbeat's entry for each, to be published with [`Harness::signal`]; as a
//! stub it answers runtime-api and chain-api from what it was told with [`TestChain::set`] and
//! [`TestChain::set_session`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leaves::{Block, Leaves};
use messages::runtime_api::{Inbox, RuntimeApi};
use messages::{LeavesUpdate, chain_api};
use ports::{RuntimeError, SessionContext};
use primitives::{
    BlockNumber, CandidateEvent, CommittedCandidateReceipt, CoreState, Hash, Header, InboundDownwardMessage,
    MisbehaviorReport, PersistedValidationData, SessionIndex, ValidationCode,
};

use crate::Harness;

/// What is so at one relay parent: what the stub of runtime-api answers there.
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
    /// The downward messages that wait for every para.
    pub downward_messages: Vec<InboundDownwardMessage>,
    /// The candidate of every para that waits for its availability.
    pub pending: Option<CommittedCandidateReceipt>,
}

#[derive(Default)]
struct State {
    blocks: BTreeMap<Hash, AtBlock>,
    headers: BTreeMap<Hash, Header>,
    reports: Vec<MisbehaviorReport>,
    finalized: Option<(Hash, BlockNumber)>,
    /// Session contexts that hold at every block of their session which does not say otherwise.
    sessions: BTreeMap<SessionIndex, Arc<SessionContext>>,
    /// Height and session of every block.
    places: BTreeMap<Hash, (BlockNumber, SessionIndex)>,
    grown: u8,
}

/// A block that a chain has grown, and the heartbeat's entry for it.
#[derive(Clone, Debug)]
pub struct Grown {
    /// Its hash.
    pub hash: Hash,
    /// Its height.
    pub number: BlockNumber,
    /// What the heartbeat says of it.
    pub update: LeavesUpdate,
}

/// A chain for tests: a tree of relay parents and a stub for runtime-api and chain-api. Clones share it.
#[derive(Clone, Default)]
pub struct TestChain {
    state: Arc<Mutex<State>>,
    leaves: Arc<Mutex<Option<Leaves>>>,
}

/// What no test tells this chain.
fn not_told<T>(reply: overseer::Responder<Result<T, RuntimeError>>, question: &'static str) {
    let _ = reply.answer(Err(RuntimeError::NotSupported(question)));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestChain {
    /// A chain that begins with `genesis` at height 0, final, and the update that starts work on it.
    pub fn new(genesis: Hash, session_index: SessionIndex) -> (Self, LeavesUpdate) {
        let chain = Self::default();
        let block = Block { hash: genesis, parent: Hash::from([0; 32]), number: 0, session_index };
        let (leaves, update) = Leaves::start(block, []);
        *lock(&chain.leaves) = Some(leaves);
        lock(&chain.state).finalized = Some((genesis, 0));
        lock(&chain.state).places.insert(genesis, (0, session_index));
        (chain, update)
    }

    /// Says what is so at a block; the session set for all its blocks stands in for one that `at` leaves out.
    pub fn set(&self, hash: Hash, at: AtBlock) {
        lock(&self.state).blocks.insert(hash, at);
    }

    /// Adds a block; the update is the heartbeat's: the block starts, its parent stops. For hashes of your own choice;
    /// [`grow`](Self::grow) chooses them.
    pub fn import(&self, hash: Hash, parent: Hash, number: BlockNumber, session_index: SessionIndex) -> LeavesUpdate {
        let header = Header {
            parent_hash: parent,
            number,
            state_root: Hash::from([0; 32]),
            extrinsics_root: Hash::from([0; 32]),
            digest: Vec::new(),
        };
        {
            let mut state = lock(&self.state);
            state.headers.insert(hash, header);
            state.places.insert(hash, (number, session_index));
        }
        let mut leaves = lock(&self.leaves);
        leaves.as_mut().map(|leaves| leaves.import(Block { hash, parent, number, session_index })).unwrap_or_default()
    }

    /// Says what session `context.session_index` is, at every block of it that says nothing else.
    pub fn set_session(&self, context: SessionContext) {
        lock(&self.state).sessions.insert(context.session_index, Arc::new(context));
    }

    /// Adds `blocks` blocks on top of `parent`, in its session. Growing twice on one block makes a fork. The hash of a
    /// grown block begins with its height, then counts, so that test output can be read.
    ///
    /// # Panics
    /// If the chain does not know `parent`, or has grown more than 255 blocks.
    pub fn grow(&self, parent: Hash, blocks: u32) -> Vec<Grown> {
        let (_, session_index) = self.place(parent);
        self.grow_in_session(parent, blocks, session_index)
    }

    /// Like [`grow`](Self::grow), in a session of its own: the ancestry of its leaves ends where it begins.
    ///
    /// # Panics
    /// As [`grow`](Self::grow).
    pub fn grow_in_session(&self, parent: Hash, blocks: u32, session_index: SessionIndex) -> Vec<Grown> {
        let (height, _) = self.place(parent);
        let mut at = parent;
        (height + 1..=height + blocks)
            .map(|number| {
                let count = {
                    let mut state = lock(&self.state);
                    state.grown = state.grown.checked_add(1).expect("a test chain has at most 255 grown blocks");
                    state.grown
                };
                let mut bytes = [0xcc; 32];
                (bytes[0], bytes[1]) = (number.to_le_bytes()[0], count);
                let hash = Hash::from(bytes);
                let update = self.import(hash, at, number, session_index);
                at = hash;
                Grown { hash, number, update }
            })
            .collect()
    }

    fn place(&self, hash: Hash) -> (BlockNumber, SessionIndex) {
        let place = lock(&self.state).places.get(&hash).copied();
        place.unwrap_or_else(|| panic!("the chain has no block {hash:?} to grow on"))
    }

    /// Finalizes a block; the update stops the leaves that can never become final.
    pub fn finalize(&self, hash: Hash, number: BlockNumber) -> LeavesUpdate {
        lock(&self.state).finalized = Some((hash, number));
        lock(&self.leaves).as_mut().map(|leaves| leaves.finalize(hash, number)).unwrap_or_default()
    }

    /// Reports submitted so far.
    pub fn reports(&self) -> Vec<MisbehaviorReport> {
        lock(&self.state).reports.clone()
    }

    /// Answers runtime-api and chain-api in the background of a harness. A block that was never added or told of is
    /// [`RuntimeError::UnknownBlock`].
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
        let state = lock(&self.state);
        let by_session = state.places.get(&hash).and_then(|(_, session)| state.sessions.get(session)).cloned();
        match state.blocks.get(&hash).cloned() {
            Some(at) => Ok(AtBlock { session: at.session.or(by_session), ..at }),
            None => match by_session {
                Some(session) => Ok(AtBlock { session: Some(session), ..AtBlock::default() }),
                None => Err(RuntimeError::UnknownBlock(hash)),
            },
        }
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
            Inbox::GetApiVersion(_, reply) => not_told(reply, "GetApiVersion"),
            Inbox::GetSessionValidators(_, reply) => not_told(reply, "GetSessionValidators"),
            Inbox::GetNextValidators(_, reply) => not_told(reply, "GetNextValidators"),
            Inbox::GetParas(_, reply) => not_told(reply, "GetParas"),
            Inbox::GetParaHead(_, reply) => not_told(reply, "GetParaHead"),
            Inbox::GetDownwardMessages(question, reply) => {
                let _ = reply.answer(self.at(question.at).map(|at| Arc::new(at.downward_messages)));
            }
            Inbox::GetInboundHorizontalMessages(_, reply) => not_told(reply, "GetInboundHorizontalMessages"),
            Inbox::GetCandidatePendingAvailability(question, reply) => {
                let _ = reply.answer(self.at(question.at).map(|at| at.pending.map(Arc::new)));
            }
            Inbox::GetHistoricalValidationCode(_, reply) => not_told(reply, "GetHistoricalValidationCode"),
            Inbox::GetDisputes(_, reply) => not_told(reply, "GetDisputes"),
            Inbox::GetDisputeVotes(_, reply) => not_told(reply, "GetDisputeVotes"),
            Inbox::GetContestedCandidate(_, reply) => not_told(reply, "GetContestedCandidate"),
            Inbox::GetApprovalStatus(_, reply) => not_told(reply, "GetApprovalStatus"),
            Inbox::GetBlacklist(_, reply) => not_told(reply, "GetBlacklist"),
            Inbox::GetReverts(_, reply) => not_told(reply, "GetReverts"),
            Inbox::GetAccount(_, reply) => not_told(reply, "GetAccount"),
            Inbox::GetFirstDisputedBlock(_, reply) => not_told(reply, "GetFirstDisputedBlock"),
            Inbox::GetStateProof(_, reply) => not_told(reply, "GetStateProof"),
            Inbox::SubmitTransaction(_, reply) => not_told(reply, "SubmitTransaction"),
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
