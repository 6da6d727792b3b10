//! Step 2: candidates travel from collators to the validators of their group (`coll`).
//!
//! One role with two sides: on a collator's node it advertises and serves, on a validator's it collects advertisements
//! and fetches what candidate selection chose.

use overseer::WhenFull;
use ports::PeerId;
use primitives::{CandidateHash, CandidateReceipt, CollatorId, CoreIndex, Hash, PoV};

use crate::network_bridge::NetworkBridgeEvent;

/// Bad collators that may be named at once beyond a full queue: [`ReportCollator`] is merged by collator.
pub const COLLATOR_REPORTS_MAX: usize = 64;

/// Collator's side: a candidate of ours is to be advertised to the group of its core, and served to those who fetch it.
///
/// From a job of collation generation, which waits. The receipt's descriptor names the same relay parent, and its hash
/// of the PoV is that of `pov`.
#[derive(Clone, Debug)]
pub struct DistributeCollation {
    /// The relay parent it was built on.
    pub relay_parent: Hash,
    /// The core it is for.
    pub core: CoreIndex,
    /// The receipt.
    pub receipt: CandidateReceipt,
    /// The proof of validity.
    pub pov: PoV,
}

/// Validator's side: fetch an advertised collation.
///
/// Asked by a job of candidate selection, which has had [`NewCandidate`](crate::candidate_selection::NewCandidate) of
/// it. Answered with [`FetchedCollation`] or [`FetchCollationError`].
#[derive(Clone, Debug)]
pub struct FetchCollation {
    /// The relay parent it was advertised for.
    pub relay_parent: Hash,
    /// Who advertised it.
    pub peer: PeerId,
    /// Which candidate.
    pub candidate_hash: CandidateHash,
}

/// A collation as fetched: it hashes to what was advertised, nothing else is checked yet.
#[derive(Clone, Debug)]
pub struct FetchedCollation {
    /// The receipt.
    pub receipt: CandidateReceipt,
    /// The proof of validity; its hash is the one in the receipt.
    pub pov: PoV,
}

/// Why a collation could not be fetched. Another peer may have the same candidate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchCollationError {
    /// It was never advertised by that peer, or its relay parent left the view.
    #[error("candidate {0:?} is not advertised by that peer")]
    NotAdvertised(CandidateHash),
    /// The peer did not answer; how the request ended.
    #[error("fetching failed: {0}")]
    Network(String),
    /// The answer cannot be decoded or is not the advertised collation; the peer was reported.
    #[error("collation is not what was advertised: {0}")]
    Mismatch(String),
}

/// Validator's side: a collator's candidate proved invalid. Disconnect it and refuse it from now on.
///
/// Cast by candidate selection; one of a collator that is named already is dropped.
#[derive(Clone, Debug)]
pub struct ReportCollator {
    /// The collator's key, as declared.
    pub collator: CollatorId,
}

/// Something happened on the collation protocol (`coll`). From the network bridge, whose pump of this protocol waits.
#[derive(Clone, Debug)]
pub struct NetworkUpdate(pub NetworkBridgeEvent);

overseer::inbox! {
    /// What collation distribution hears.
    pub enum Inbox for CollationDistribution as "collation-distribution" {
        tell {
            DistributeCollation {
                fn bytes(&self) -> usize { size_of::<Self>() + self.pov.encoded_len() }
            },
            ReportCollator {
                const WHEN_FULL: WhenFull = WhenFull::Merged(COLLATOR_REPORTS_MAX);
                fn merge(&mut self, newer: Self) -> Option<Self> {
                    (self.collator != newer.collator).then_some(newer)
                }
            },
            NetworkUpdate { fn bytes(&self) -> usize { self.0.bytes() } },
        }
        ask { FetchCollation -> Result<FetchedCollation, FetchCollationError> }
    }
}
