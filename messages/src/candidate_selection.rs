//! Step 3: a validator chooses at most one collation per relay parent to second.

use overseer::WhenFull;
use ports::PeerId;
use primitives::{CandidateHash, CandidateReceipt, CollatorId, Hash, ParaId};

/// Places reserved for each of what backing says of candidates we proposed ([`Invalid`], [`Seconded`]): one per relay
/// parent in view, with room.
pub const BACKING_NOTICES_MAX: usize = 64;

/// A declared collator of our para advertises a candidate.
///
/// From collation distribution, which waits. Nothing of the candidate is known yet but its hash: to see it, ask
/// [`FetchCollation`](crate::collation_distribution::FetchCollation); to propose it, send
/// [`Second`](crate::candidate_backing::Second).
#[derive(Clone, Debug)]
pub struct NewCandidate {
    /// The relay parent it is built on.
    pub relay_parent: Hash,
    /// The para, as the collator declared it.
    pub para_id: ParaId,
    /// Who made it.
    pub collator: CollatorId,
    /// The peer it can be fetched from.
    pub peer: PeerId,
    /// Which candidate.
    pub candidate_hash: CandidateHash,
}

/// A candidate that we proposed for seconding is invalid: its collator is to be penalised, and another candidate may be
/// proposed at that relay parent.
///
/// Cast by candidate backing within a budget: never lost.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate.
    pub receipt: CandidateReceipt,
}

/// A candidate that we proposed was seconded: our signature is given, and no other may follow at that relay parent.
///
/// Cast by candidate backing within a budget: never lost.
#[derive(Clone, Debug)]
pub struct Seconded {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate.
    pub candidate_hash: CandidateHash,
}

overseer::inbox! {
    /// What candidate selection hears.
    pub enum Inbox for CandidateSelection as "candidate-selection" {
        tell {
            NewCandidate,
            Invalid { const WHEN_FULL: WhenFull = WhenFull::Budgeted(BACKING_NOTICES_MAX); },
            Seconded { const WHEN_FULL: WhenFull = WhenFull::Budgeted(BACKING_NOTICES_MAX); },
        }
    }
}
