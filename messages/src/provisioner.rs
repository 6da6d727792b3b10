//! Step 7: what a block author puts into the inclusion inherent.

use primitives::{BackedCandidate, Hash, InherentData, SignedAvailabilityBitfield};

/// A validator's bitfield, its signature checked.
#[derive(Clone, Debug)]
pub struct Bitfield {
    /// The relay parent it is signed for.
    pub relay_parent: Hash,
    /// The bitfield.
    pub signed: SignedAvailabilityBitfield,
}

/// A candidate with a quorum, backable in a child of the relay parent.
#[derive(Clone, Debug)]
pub struct BackableCandidate {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate with its backing.
    pub backed: BackedCandidate,
}

/// What should go into a block on this parent? The answer is accepted by the runtime's inclusion inherent.
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
    /// The chain did not answer.
    #[error("chain: {0}")]
    Chain(String),
}

overseer::inbox! {
    /// What the provisioner hears.
    pub enum Inbox for Provisioner as "provisioner" {
        tell {
            Bitfield,
            BackableCandidate,
        }
        ask { RequestBlockAuthorshipData -> Result<InherentData, ProvisionError> }
    }
}
