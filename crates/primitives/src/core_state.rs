//! What the runtime tells about cores, candidates and sessions.

use codec::{Decode, Encode};

use crate::{
    AssignmentId, Bits, BlockNumber, CandidateDescriptor, CandidateHash, CandidateReceipt, CollatorId, CoreIndex,
    GroupIndex, HeadData, MultiDisputeStatementSet, ParaId, SessionIndex, ValidatorId, ValidatorIndex,
    ValidityAttestation,
};

/// A core and who may use it next.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CoreState {
    /// A candidate is pending availability there.
    #[codec(index = 0)]
    Occupied(Box<OccupiedCore>),
    /// Free, and this para may take it.
    #[codec(index = 1)]
    Scheduled(ScheduledCore),
    /// Free, and nobody's.
    #[codec(index = 2)]
    Free,
}

impl CoreState {
    /// The para that occupies it or may take it.
    pub fn para_id(&self) -> Option<ParaId> {
        match self {
            Self::Occupied(core) => Some(core.para_id()),
            Self::Scheduled(core) => Some(core.para_id),
            Self::Free => None,
        }
    }
}

/// Who may take a core.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ScheduledCore {
    /// The para.
    pub para_id: ParaId,
    /// The only collator that may author the block, on parathread cores.
    pub collator: Option<CollatorId>,
}

/// A core with a candidate that is pending availability.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OccupiedCore {
    /// Who is next if the candidate becomes available.
    pub next_up_on_available: Option<ScheduledCore>,
    /// The block in which the candidate was backed.
    pub occupied_since: BlockNumber,
    /// The block in which it times out.
    pub time_out_at: BlockNumber,
    /// Who is next if it times out.
    pub next_up_on_time_out: Option<ScheduledCore>,
    /// A bit per validator that holds its chunk.
    pub availability: Bits,
    /// The group that backed it and distributes its chunks.
    pub group_responsible: GroupIndex,
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// Its descriptor.
    pub candidate_descriptor: CandidateDescriptor,
}

impl OccupiedCore {
    /// Whose candidate it is.
    pub const fn para_id(&self) -> ParaId {
        self.candidate_descriptor.para_id()
    }
}

/// What to assume of an occupied core when asking what a candidate would build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum OccupiedCoreAssumption {
    /// The candidate becomes available and is included.
    #[codec(index = 0)]
    Included,
    /// It times out.
    #[codec(index = 1)]
    TimedOut,
    /// The core is not occupied.
    #[codec(index = 2)]
    Free,
}

/// What happened to a candidate in a block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CandidateEvent {
    /// It was backed and occupies the core.
    #[codec(index = 0)]
    Backed(CandidateReceipt, HeadData, CoreIndex, GroupIndex),
    /// It became available and the para's head.
    #[codec(index = 1)]
    Included(CandidateReceipt, HeadData, CoreIndex, GroupIndex),
    /// It was not made available in time.
    #[codec(index = 2)]
    TimedOut(CandidateReceipt, HeadData, CoreIndex),
}

/// Backing and dispute votes that a block carried.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ScrapedOnChainVotes {
    /// Session of the block.
    pub session: SessionIndex,
    /// The backers of each candidate.
    pub backing_validators_per_candidate: Vec<(CandidateReceipt, Vec<(ValidatorIndex, ValidityAttestation)>)>,
    /// Dispute votes.
    pub disputes: MultiDisputeStatementSet,
}

/// A session's validators and the parameters of approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SessionInfo {
    /// Positions of the active validators in the whole set of authorities.
    pub active_validator_indices: Vec<ValidatorIndex>,
    /// Randomness of the session.
    pub random_seed: [u8; 32],
    /// How many sessions disputes are kept.
    pub dispute_period: SessionIndex,
    /// The validators.
    pub validators: Vec<ValidatorId>,
    /// Keys under which the validators are found on the network.
    pub discovery_keys: Vec<[u8; 32]>,
    /// Keys for approval assignments.
    pub assignment_keys: Vec<AssignmentId>,
    /// The groups, shuffled, as positions in `validators`.
    pub validator_groups: Vec<Vec<ValidatorIndex>>,
    /// Number of cores.
    pub n_cores: u32,
    /// Width of the zeroth delay tranche, in ticks.
    pub zeroth_delay_tranche_width: u32,
    /// Samples of the one-shot assignment.
    pub relay_vrf_modulo_samples: u32,
    /// Number of delay tranches.
    pub n_delay_tranches: u32,
    /// Slots after which an assigned checker counts as silent.
    pub no_show_slots: u32,
    /// Checkers needed to approve.
    pub needed_approvals: u32,
}
