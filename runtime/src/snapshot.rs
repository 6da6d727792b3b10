//! A state as bytes, so that a node need not execute its chain again when it starts.
//!
//! The state root covers long things by hashes that stand for them: receipts, votes, heads, codes, validators. A
//! snapshot holds these things themselves and none of those hashes. Reading one makes the hashes anew, and with them
//! the root: bytes that give another root than the header names are refused.

use codec::{Decode, DecodeAll, Encode};
use primitives::{
    Bits, BlockNumber, CandidateHash, CommittedCandidateReceipt, CoreIndex, DecodeError, GroupIndex, Hash, HeadData,
    ParaId, SessionIndex, Slot, ValidationCode, ValidationCodeHash, ValidatorId, ValidatorIndex, ValidatorSignature,
    messages::UpwardMessage,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    AccountId, Configuration, DisputePhase, DisputeVote, PendingCandidate, Revert, State, Verdict,
    balances::Balances,
    channels::{Channels, Ends},
    governance::Origin,
    inclusion::Inclusion,
    initializer::System,
    messages::Messages,
    paras::Paras,
    queue::{Queue, Sent},
    registrar::Registrar,
    scheduler::Scheduler,
    session::{KnownValue, Session},
    slashing::Slashing,
    validity::{
        Dispute, DisputeKey, IncludedBlock, IncludedCandidate, Validity, disputes::InclusionPlace,
        fishermen::BondedReport, index::Index, remote::Remote,
    },
};

/// Why bytes are not taken for a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They are no snapshot, or too long.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A code is named and not there.
    #[error("validation code {0} is named by a para or a dispute and is not in the snapshot")]
    MissingCode(ValidationCodeHash),
    /// It is the state of another block, or was changed.
    #[error("state root is {found}, expected {expected}")]
    Root {
        /// What the header says.
        expected: Hash,
        /// What the bytes give.
        found: Hash,
    },
}

type Codes = BTreeMap<ValidationCodeHash, ValidationCode>;
type Validators = Arc<Vec<ValidatorId>>;

#[derive(Encode, Decode)]
struct Whole {
    system: Arc<System>,
    configuration: Arc<Configuration>,
    session: WholeSession,
    paras: Arc<Paras>,
    heads: BTreeMap<ParaId, Arc<HeadData>>,
    codes: Vec<ValidationCode>,
    scheduler: Arc<Scheduler>,
    pending: Vec<(CoreIndex, WholePending)>,
    messages: WholeMessages,
    slashing: Arc<Slashing>,
    validity: WholeValidity,
    balances: Arc<Balances>,
    registrar: Arc<Registrar>,
    origin: Arc<Origin>,
}

#[derive(Encode, Decode)]
struct WholeSession {
    index: SessionIndex,
    start_block: BlockNumber,
    length: BlockNumber,
    validators: Validators,
    queued: Validators,
    announced: Option<Validators>,
    previous: Option<Validators>,
    randomness: [u8; 32],
    next_randomness: [u8; 32],
    gathered: [u8; 32],
}

impl WholeSession {
    fn of(session: &Session) -> Self {
        Self {
            index: session.index,
            start_block: session.start_block,
            length: session.length,
            validators: Arc::clone(&session.validators),
            queued: Arc::clone(&session.queued),
            announced: session.announced.clone(),
            previous: session.previous.clone(),
            randomness: session.randomness,
            next_randomness: session.next_randomness,
            gathered: session.gathered,
        }
    }

    fn restore(self) -> Session {
        Session {
            index: self.index,
            start_block: self.start_block,
            length: self.length,
            authorities: KnownValue::of(&self.validators),
            next_authorities: KnownValue::of(&self.queued),
            previous_hash: self.previous.as_ref().map_or(Hash::ZERO, |previous| KnownValue::of(previous).hash),
            validators: self.validators,
            queued: self.queued,
            announced: self.announced,
            previous: self.previous,
            randomness: self.randomness,
            next_randomness: self.next_randomness,
            gathered: self.gathered,
        }
    }
}

#[derive(Encode, Decode)]
struct WholePending {
    receipt: Arc<CommittedCandidateReceipt>,
    availability: Bits,
    relay_parent_number: BlockNumber,
    backed_in_number: BlockNumber,
    backing_group: GroupIndex,
    backers: Vec<DisputeVote>,
}

impl WholePending {
    fn of(pending: &PendingCandidate) -> Self {
        Self {
            receipt: Arc::clone(&pending.receipt),
            availability: pending.availability.clone(),
            relay_parent_number: pending.relay_parent_number,
            backed_in_number: pending.backed_in_number,
            backing_group: pending.backing_group,
            backers: pending.backers.to_vec(),
        }
    }

    fn restore(self) -> PendingCandidate {
        let receipt = self.receipt.to_receipt();
        PendingCandidate {
            hash: receipt.hash(),
            receipt: self.receipt,
            commitments_hash: receipt.commitments_hash,
            availability: self.availability,
            relay_parent_number: self.relay_parent_number,
            backed_in_number: self.backed_in_number,
            backing_group: self.backing_group,
            backing_hash: Hash::of(&self.backers),
            backers: self.backers.into(),
        }
    }
}

#[derive(Encode, Decode)]
struct WholeMessages {
    upward: Vec<(ParaId, Vec<UpwardMessage>)>,
    downward: Vec<(ParaId, WholeQueue)>,
    channels: Vec<(Ends, WholeQueue)>,
    changing: BTreeSet<Ends>,
    watermarks: BTreeMap<ParaId, BlockNumber>,
}

impl WholeMessages {
    fn of(messages: &Messages) -> Self {
        let Channels { open, changing } = &messages.channels;
        Self {
            upward: messages.upward.clone(),
            downward: messages.downward.iter().map(|(para, queue)| (*para, WholeQueue::of(queue))).collect(),
            channels: open.iter().map(|(ends, queue)| (*ends, WholeQueue::of(queue))).collect(),
            changing: changing.clone(),
            watermarks: messages.watermarks.clone(),
        }
    }

    fn restore(self) -> Messages {
        let downward = self.downward.into_iter();
        let open = self.channels.into_iter();
        Messages {
            upward: self.upward,
            downward: downward.map(|(para, queue)| (para, Arc::new(queue.restore()))).collect(),
            channels: Channels {
                open: open.map(|(ends, queue)| (ends, Arc::new(queue.restore()))).collect(),
                changing: self.changing,
            },
            watermarks: self.watermarks,
        }
    }
}

/// The head of the chain follows from its base and the messages.
#[derive(Encode, Decode)]
struct WholeQueue {
    base: Hash,
    messages: Vec<Sent>,
}

impl WholeQueue {
    fn of(queue: &Queue) -> Self {
        Self { base: queue.base(), messages: queue.messages().to_vec() }
    }

    fn restore(self) -> Queue {
        Queue::on(self.base, self.messages)
    }
}

#[derive(Encode, Decode)]
struct WholeValidity {
    blocks: Vec<(BlockNumber, WholeBlock)>,
    disputes: Vec<WholeDispute>,
    settled: BTreeMap<DisputeKey, Verdict>,
    blacklist: BTreeSet<DisputeKey>,
    reverts: Vec<Revert>,
    equivocations: BTreeMap<(ValidatorId, Slot), SessionIndex>,
    early_reports: BTreeMap<DisputeKey, Vec<BondedReport>>,
    reported: BTreeSet<(DisputeKey, AccountId)>,
}

impl WholeValidity {
    fn of(validity: &Validity) -> Self {
        Self {
            blocks: validity.blocks.iter().map(|(number, block)| (*number, WholeBlock::of(block))).collect(),
            disputes: validity.disputes.values().map(|dispute| WholeDispute::of(dispute)).collect(),
            settled: validity.settled.clone(),
            blacklist: validity.blacklist.clone(),
            reverts: validity.reverts.clone(),
            equivocations: validity.equivocations.clone(),
            early_reports: validity.early_reports.clone(),
            reported: validity.reported.clone(),
        }
    }

    fn restore(self, codes: &Codes) -> Result<Validity, SnapshotError> {
        let disputes = self.disputes.into_iter().map(|dispute| dispute.restore(codes));
        let disputes = disputes.map(|dispute| dispute.map(|dispute| (dispute.key(), Arc::new(dispute))));
        let blocks = self.blocks.into_iter().map(|(number, block)| (number, Arc::new(block.restore())));
        let blocks: BTreeMap<_, _> = blocks.collect();
        Ok(Validity {
            index: Index::of(blocks.iter().map(|(number, block)| (*number, &**block))),
            blocks,
            disputes: disputes.collect::<Result<_, _>>()?,
            settled: self.settled,
            blacklist: self.blacklist,
            reverts: self.reverts,
            equivocations: self.equivocations,
            early_reports: self.early_reports,
            reported: self.reported,
            bounties: BTreeMap::new(),
            unsealed: BTreeSet::new(),
        })
    }
}

#[derive(Encode, Decode)]
struct WholeBlock {
    session: SessionIndex,
    hash: Option<Hash>,
    parent_hash: Hash,
    slot: Slot,
    author: ValidatorIndex,
    vrf_output: [u8; 32],
    candidates: Vec<WholeCandidate>,
}

impl WholeBlock {
    fn of(block: &IncludedBlock) -> Self {
        Self {
            session: block.session,
            hash: block.hash,
            parent_hash: block.parent_hash,
            slot: block.slot,
            author: block.author,
            vrf_output: block.vrf_output,
            candidates: block.candidates.iter().map(WholeCandidate::of).collect(),
        }
    }

    fn restore(self) -> IncludedBlock {
        let mut block = IncludedBlock {
            session: self.session,
            hash: self.hash,
            parent_hash: self.parent_hash,
            slot: self.slot,
            author: self.author,
            vrf_output: self.vrf_output,
            candidates: self.candidates.into_iter().map(WholeCandidate::restore).collect(),
            digest: Hash::ZERO,
        };
        block.seal();
        block
    }
}

#[derive(Encode, Decode)]
struct WholeCandidate {
    receipt: Arc<CommittedCandidateReceipt>,
    core: CoreIndex,
    group: GroupIndex,
    group_len: u32,
    votes: Vec<DisputeVote>,
    checks: Bits,
    unavailable: Vec<(ValidatorIndex, ValidatorSignature)>,
    reports: Vec<BondedReport>,
}

impl WholeCandidate {
    fn of(candidate: &IncludedCandidate) -> Self {
        Self {
            receipt: Arc::clone(&candidate.receipt),
            core: candidate.core,
            group: candidate.group,
            group_len: candidate.group_len,
            votes: candidate.votes.clone(),
            checks: candidate.checks.clone(),
            unavailable: candidate.unavailable.clone(),
            reports: candidate.reports.clone(),
        }
    }

    fn restore(self) -> IncludedCandidate {
        IncludedCandidate {
            hash: self.receipt.hash(),
            receipt: self.receipt,
            core: self.core,
            group: self.group,
            group_len: self.group_len,
            votes: self.votes,
            checks: self.checks,
            unavailable: self.unavailable,
            reports: self.reports,
        }
    }
}

/// Bits, disputer and hash of the votes follow from the votes in their order.
#[derive(Encode, Decode)]
struct WholeDispute {
    session: SessionIndex,
    candidate: CandidateHash,
    validators: Validators,
    phase: DisputePhase,
    started_in: BlockNumber,
    place: Option<InclusionPlace>,
    receipt: Option<Arc<CommittedCandidateReceipt>>,
    votes: Vec<DisputeVote>,
    slashed: Bits,
    /// For whom it counts.
    opened_by: Option<ValidatorId>,
    /// Of a remote one, who holds the data.
    remote: Option<Bits>,
    reports: Vec<BondedReport>,
}

impl WholeDispute {
    fn of(dispute: &Dispute) -> Self {
        Self {
            session: dispute.session,
            candidate: dispute.candidate,
            validators: Arc::clone(&dispute.validators),
            phase: dispute.phase,
            started_in: dispute.started_in,
            place: dispute.place,
            receipt: dispute.receipt.clone(),
            votes: dispute.votes.clone(),
            slashed: dispute.slashed.clone(),
            opened_by: dispute.opened_by,
            remote: dispute.remote.as_ref().map(|remote| remote.available.clone()),
            reports: dispute.reports.clone(),
        }
    }

    fn restore(self, codes: &Codes) -> Result<Dispute, SnapshotError> {
        let mut dispute = Dispute::new((self.session, self.candidate), self.validators, self.phase, self.started_in);
        for vote in &self.votes {
            dispute.add(vote);
        }
        dispute.place = self.place;
        dispute.receipt = self.receipt;
        if let Some(hash) = dispute.code_hash() {
            dispute.validation_code = Some(codes.get(&hash).cloned().ok_or(SnapshotError::MissingCode(hash))?);
        }
        dispute.slashed = self.slashed;
        dispute.reports = self.reports;
        dispute.opened_by = self.opened_by;
        dispute.remote = self.remote.map(|available| Remote { available });
        Ok(dispute)
    }
}

impl State {
    /// All of the state, for a disk. The same state gives the same bytes everywhere. It copies every code, so that it
    /// takes time and room in proportion to them.
    pub fn to_snapshot(&self) -> Vec<u8> {
        let pending = &self.inclusion.pending;
        let whole = Whole {
            system: Arc::clone(&self.system),
            configuration: Arc::clone(&self.configuration),
            session: WholeSession::of(&self.session),
            paras: Arc::clone(&self.paras),
            heads: self.paras.heads.clone(),
            codes: self.all_codes().into_values().cloned().collect(),
            scheduler: Arc::clone(&self.scheduler),
            pending: pending.iter().map(|(core, pending)| (*core, WholePending::of(pending))).collect(),
            messages: WholeMessages::of(&self.messages),
            slashing: Arc::clone(&self.slashing),
            validity: WholeValidity::of(&self.validity),
            balances: Arc::clone(&self.balances),
            registrar: Arc::clone(&self.registrar),
            origin: Arc::clone(&self.origin),
        };
        whole.encode()
    }

    /// Those of paras and those of disputed candidates, each once.
    fn all_codes(&self) -> BTreeMap<ValidationCodeHash, &ValidationCode> {
        let disputed = self.validity.disputes.values();
        let disputed = disputed.filter_map(|dispute| Some((dispute.code_hash()?, dispute.validation_code.as_ref()?)));
        self.paras.codes.iter().map(|(hash, code)| (*hash, code)).chain(disputed).collect()
    }

    /// Reads [`State::to_snapshot`] back. What is decoded is bounded by the length of `bytes`.
    ///
    /// # Errors
    /// [`SnapshotError`]: no snapshot, or not that of a state with this `root`.
    pub fn from_snapshot(bytes: &[u8], root: Hash) -> Result<Self, SnapshotError> {
        let whole = Whole::decode_all(&mut &bytes[..]).map_err(DecodeError::Malformed)?;
        let codes: Codes = whole.codes.into_iter().map(|code| (code.hash(), code)).collect();
        let mut paras = Arc::unwrap_or_clone(whole.paras);
        paras.heads = whole.heads;
        let future = paras.future_code.values().map(|(_, hash)| hash);
        let named = paras.current_code.values().chain(paras.past_code.values()).chain(future);
        let code = |hash: &ValidationCodeHash| Some((*hash, codes.get(hash)?.clone()));
        let there = named.map(|hash| code(hash).ok_or(SnapshotError::MissingCode(*hash)));
        paras.codes = there.collect::<Result<_, _>>()?;
        let pending = whole.pending.into_iter();
        let pending = pending.map(|(core, pending)| (core, Arc::new(pending.restore()))).collect();
        let (configuration, slashing) =
            (Arc::unwrap_or_clone(whole.configuration), Arc::unwrap_or_clone(whole.slashing));
        let mut state = Self::new(configuration, whole.session.restore(), slashing);
        state.system = whole.system;
        state.paras = Arc::new(paras);
        state.scheduler = whole.scheduler;
        state.inclusion = Arc::new(Inclusion { pending });
        state.messages = Arc::new(whole.messages.restore());
        state.validity = Arc::new(whole.validity.restore(&codes)?);
        state.balances = whole.balances;
        state.registrar = whole.registrar;
        state.origin = whole.origin;
        state.seal_root();
        let found = state.root();
        if found == root { Ok(state) } else { Err(SnapshotError::Root { expected: root, found }) }
    }
}
