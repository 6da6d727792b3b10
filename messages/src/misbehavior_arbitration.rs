//! Step 13, first half: proofs of misbehavior on their way to the chain.
//!
//! Every sender here waits, so no proof is lost while the node runs.

use codec::Encode as _;
use primitives::{CandidateReceipt, Hash, MisbehaviorReport, SignedFullStatement};

/// Validators disagree on a candidate, or we disagree with them. From candidate backing, which waits.
#[derive(Clone, Debug)]
pub struct CandidateValidityDisagreement {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The candidate.
    pub receipt: CandidateReceipt,
    /// Statements that do not agree, in any order.
    pub statements: Vec<SignedFullStatement>,
}

/// A validator said two different things of one candidate. From statement distribution, which waits.
#[derive(Clone, Debug)]
pub struct SelfContradiction {
    /// The relay parent at which it was noticed.
    pub relay_parent: Hash,
    /// The proof.
    pub report: MisbehaviorReport,
}

/// A validator seconded two candidates at one relay parent. From statement distribution, which waits.
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
        tell {
            CandidateValidityDisagreement {
                fn bytes(&self) -> usize {
                    let signed = |signed: &SignedFullStatement| size_of_val(signed) + signed.as_unchecked().encoded_size();
                    size_of::<Self>() + self.statements.iter().map(signed).sum::<usize>()
                }
            },
            SelfContradiction { fn bytes(&self) -> usize { size_of::<Self>() + self.report.encoded_size() } },
            DoubleVote { fn bytes(&self) -> usize { size_of::<Self>() + self.report.encoded_size() } },
        }
    }
}
