//! Steps 5 and 6: seconding, and counting statements to a quorum.

use codec::Encode as _;
use overseer::Feed;
use primitives::{BackedCandidate, CandidateReceipt, Hash, PoV, SignedFullStatement};

/// Backable candidates that a watcher of [`RegisterBackingWatcher`] may be behind by; then its feed ends as lagged.
pub const BACKING_FEED_MAX: usize = 64;

/// Second this candidate, unless something contradicting was signed at this relay parent. Backing validates it, stores
/// its data, then signs and shares the statement.
///
/// From candidate selection, which waits. The outcome comes back as [`Seconded`](crate::candidate_selection::Seconded)
/// or [`Invalid`](crate::candidate_selection::Invalid), or not at all if the relay parent goes out of view.
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
///
/// From statement distribution, which waits. A candidate's `Seconded` comes before anything else about it; of two
/// statements by one validator that contradict each other only the first comes.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The statement.
    pub signed: SignedFullStatement,
}

/// Watch what becomes backable at a relay parent; what is backable already comes first.
///
/// For tools and tests, from outside. The feed ends when the relay parent goes out of view, or at once if it is not in
/// view; it lags after [`BACKING_FEED_MAX`] unread values.
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
            Statement { fn bytes(&self) -> usize { size_of::<Self>() + self.signed.as_unchecked().encoded_size() } },
        }
        ask { RegisterBackingWatcher -> Feed<BackedCandidate> }
    }
}
