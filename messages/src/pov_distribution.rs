//! Step 6: proofs of validity travel between the validators of a group (`povd`).

use primitives::{CandidateHash, Hash, PoV, ValidatorId};

use crate::network_bridge::NetworkBridgeEvent;

/// Fetch the PoV of a candidate that was seconded. Several askers of one PoV share the work; a PoV that does not hash
/// to `pov_hash` is refused and costs its sender.
///
/// Asked by a job of candidate backing, to check what a member of our group seconded. Peers are asked one after
/// another, in the order of `from`.
#[derive(Clone, Debug)]
pub struct FetchPoV {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// What the PoV must hash to.
    pub pov_hash: Hash,
    /// The largest encoded PoV allowed, in bytes.
    pub max_pov_size: u32,
    /// Who said that they have it, best first.
    pub from: Vec<ValidatorId>,
}

/// Why a PoV was not fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchPoVError {
    /// The relay parent is not worked on.
    #[error("relay parent {0:?} is not in view")]
    NotInView(Hash),
    /// Nobody of those named gave it.
    #[error("none of {0} validators gave the PoV")]
    Unavailable(usize),
}

/// We hold the PoV of a candidate that we seconded or found valid: serve it to those who ask.
///
/// From candidate backing, which waits, and has checked that the PoV is the candidate's.
#[derive(Clone, Debug)]
pub struct DistributePoV {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate.
    pub candidate_hash: CandidateHash,
    /// The PoV.
    pub pov: PoV,
}

/// Something happened on the PoV protocol (`povd`). From the network bridge, whose pump of this protocol waits.
#[derive(Clone, Debug)]
pub struct NetworkUpdate(pub NetworkBridgeEvent);

overseer::inbox! {
    /// What PoV distribution hears.
    pub enum Inbox for PoVDistribution as "pov-distribution" {
        tell {
            DistributePoV { fn bytes(&self) -> usize { size_of::<Self>() + self.pov.encoded_len() } },
            NetworkUpdate { fn bytes(&self) -> usize { self.0.bytes() } },
        }
        ask { FetchPoV -> Result<PoV, FetchPoVError> }
    }
}
