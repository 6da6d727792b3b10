//! What is said of messages in transcripts, and which relay parent they are about.

use std::any::Any;

use messages::LeavesUpdate;
use primitives::Hash;

/// The first two bytes of a hash: enough to tell the blocks of a test apart.
pub(crate) fn short(hash: &Hash) -> String {
    let [first, second, ..] = hash.as_bytes();
    format!("0x{first:02x}{second:02x}…")
}

/// An entry of the heartbeat in one line.
pub(crate) fn heartbeat(update: &LeavesUpdate) -> String {
    let stopped = update.stopped.iter().map(|hash| format!(" stops {}", short(hash)));
    let started = update.started.iter().map(|leaf| format!(" starts {}", short(&leaf.hash)));
    let finalized = update.finalized.iter().map(|block| format!(" final {}", short(&block.hash)));
    let line: String = stopped.chain(started).chain(finalized).collect();
    format!("*{}", if line.is_empty() { " nothing" } else { &line })
}

macro_rules! relay_parents {
    ($inbox:ident: $( $module:ident { $($message:ident),* } )*) => { $(
        {
            use messages::$module::Inbox;
            if let Some(inbox) = $inbox.downcast_ref::<Inbox>() {
                #[allow(unreachable_patterns, reason = "in some inboxes every message names a relay parent")]
                return match inbox {
                    $( Inbox::$message(message, ..) => Some(message.relay_parent), )*
                    _ => None,
                };
            }
        }
    )* };
}

/// The relay parent that a message of this repository is about, where it says so in a field.
pub(crate) fn relay_parent(inbox: &dyn Any) -> Option<Hash> {
    relay_parents! { inbox:
        availability_recovery { RecoverAvailableData }
        availability_store { StoreAvailableData }
        bitfield_distribution { DistributeBitfield }
        candidate_backing { Second, Statement, RegisterBackingWatcher }
        candidate_selection { NewCandidate, Invalid, Seconded }
        candidate_validation { ValidateFromChainState }
        collation_distribution { DistributeCollation, FetchCollation }
        misbehavior_arbitration { CandidateValidityDisagreement, SelfContradiction, DoubleVote }
        pov_distribution { FetchPoV, DistributePoV }
        provisioner { Bitfield, BackableCandidate }
        statement_distribution { Share }
    }
    None
}
