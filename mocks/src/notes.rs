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

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn every_message_that_names_a_relay_parent_is_looked_at() {
        let messages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../messages/src");
        let (list, _) = include_str!("notes.rs").split_once("#[cfg(test)]").expect("these tests");
        let mut found = 0;
        for file in std::fs::read_dir(messages).expect("the crate of messages") {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("its text");
            for part in text.split("pub struct ").skip(1).filter(|part| {
                part.split_once('}').is_some_and(|(fields, _)| fields.contains("pub relay_parent: Hash"))
            }) {
                let name = part.split_whitespace().next().expect("a name");
                let listed = list.split(|c: char| !c.is_alphanumeric()).any(|word| word == name);
                assert!(listed, "{name} has a relay parent and is missing in `relay_parent`");
                found += 1;
            }
        }
        assert!(found >= 20, "only {found} found: is this still how messages are written?");
    }
}
