//! Step 7: what a block author puts into the inclusion inherent.

use codec::Encode as _;
use primitives::{BackedCandidate, Hash, InherentData, SignedAvailabilityBitfield};

/// A validator's bitfield, its signature checked: a bit per core, in the order of the cores.
///
/// From bitfield distribution, which waits: our own and those of peers.
#[derive(Clone, Debug)]
pub struct Bitfield {
    /// The relay parent it is signed for.
    pub relay_parent: Hash,
    /// The bitfield.
    pub signed: SignedAvailabilityBitfield,
}

/// A candidate with a quorum, backable in a child of the relay parent.
///
/// From candidate backing, which waits; again, with more votes, when another member of the group finds it valid.
#[derive(Clone, Debug)]
pub struct BackableCandidate {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate with its backing.
    pub backed: BackedCandidate,
}

/// What should go into a block on this parent? The answer is accepted by the runtime's inclusion inherent.
///
/// Asked by the block author, from outside the node's subsystems; after the signal of `parent`, or it is
/// [`NotActive`](ProvisionError::NotActive) ([`Handle::wait_until`](overseer::Handle::wait_until)).
#[derive(Clone, Debug)]
pub struct RequestBlockAuthorshipData {
    /// The parent of the block to be authored.
    pub parent: Hash,
}

/// Why there is nothing to author from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// The parent is not an active leaf.
    #[error("parent {0:?} is not an active leaf")]
    NotActive(Hash),
    /// The chain did not answer; what it said.
    #[error("chain: {0}")]
    Chain(String),
}

overseer::inbox! {
    /// What the provisioner hears.
    pub enum Inbox for Provisioner as "provisioner" {
        tell {
            Bitfield,
            BackableCandidate { fn bytes(&self) -> usize { size_of::<Self>() + self.backed.encoded_size() } },
        }
        ask { RequestBlockAuthorshipData -> Result<InherentData, ProvisionError> }
    }
}
