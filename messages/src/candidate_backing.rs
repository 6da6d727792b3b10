//! Step 5: seconding, and counting statements to a quorum.

use overseer::Feed;
use primitives::{BackedCandidate, CandidateReceipt, Hash, PoV, SignedFullStatement};

/// Backable candidates that a watcher may be behind by.
pub const BACKING_FEED_MAX: usize = 64;

/// Second this candidate, unless something contradicting was signed at this relay parent. Backing validates it, stores
/// its data, then signs.
#[derive(Clone, Debug)]
pub struct Second {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate.
    pub receipt: CandidateReceipt,
    /// Its proof of validity.
    pub pov: PoV,
}

/// A validator's statement, its signature checked.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The statement.
    pub signed: SignedFullStatement,
}

/// Watch what becomes backable at a relay parent; what is backable already comes first.
#[derive(Clone, Debug)]
pub struct RegisterBackingWatcher {
    /// The relay parent.
    pub relay_parent: Hash,
}

overseer::inbox! {
    /// What candidate backing hears.
    pub enum Inbox for CandidateBacking as "candidate-backing" {
        tell {
            Second { fn bytes(&self) -> usize { size_of::<Self>() + self.pov.encoded_len() } },
            Statement,
        }
        ask { RegisterBackingWatcher -> Feed<BackedCandidate> }
    }
}
