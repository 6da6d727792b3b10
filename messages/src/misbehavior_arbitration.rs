//! Step 13, first half: proofs of misbehavior on their way to the chain.

use primitives::{CandidateReceipt, Hash, MisbehaviorReport, SignedFullStatement};

/// Validators disagree on a candidate, or we disagree with them.
#[derive(Clone, Debug)]
pub struct CandidateValidityDisagreement {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate.
    pub receipt: CandidateReceipt,
    /// Statements that do not agree, in any order.
    pub statements: Vec<SignedFullStatement>,
}

/// A validator said two different things of one candidate.
#[derive(Clone, Debug)]
pub struct SelfContradiction {
    /// The relay parent at which it was noticed.
    pub relay_parent: Hash,
    /// The proof.
    pub report: MisbehaviorReport,
}

/// A validator seconded two candidates at one relay parent.
#[derive(Clone, Debug)]
pub struct DoubleVote {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The proof.
    pub report: MisbehaviorReport,
}

overseer::inbox! {
    /// What misbehavior arbitration hears.
    pub enum Inbox for MisbehaviorArbitration as "misbehavior-arbitration" {
        tell { CandidateValidityDisagreement, SelfContradiction, DoubleVote }
    }
}
