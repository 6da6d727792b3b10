//! What is said of messages in transcripts, and which relay parent they are about.

use messages::{LeavesUpdate, RelayParents};
use primitives::Hash;

use crate::desk::Desk;

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
    ($desk:ident: $( $module:ident::$role:ident { $($message:ident),* } )*) => { $(
        $desk.set_about::<messages::$module::$role, Hash>(
            #[allow(unreachable_patterns, reason = "in some inboxes every message names a relay parent")]
            |inbox| match inbox {
                $( messages::$module::Inbox::$message(message, ..) => Some(message.relay_parent), )*
                _ => None,
            },
            short,
        );
    )* };
}

/// What the messages of the parachain host are about: the relay parent, where it says so in a field; and which entries of
/// the heartbeat announce one, with the ancestors named then.
pub(crate) fn of_the_host(desk: &mut Desk) {
    relay_parents! { desk:
        availability_recovery::AvailabilityRecovery { RecoverAvailableData }
        availability_store::AvailabilityStore { StoreAvailableData }
        bitfield_distribution::BitfieldDistribution { DistributeBitfield }
        candidate_backing::CandidateBacking { Second, Statement, RegisterBackingWatcher }
        candidate_selection::CandidateSelection { NewCandidate, Invalid, Seconded }
        candidate_validation::CandidateValidation { ValidateFromChainState }
        collation_distribution::CollationDistribution { DistributeCollation, FetchCollation }
        misbehavior_arbitration::MisbehaviorArbitration { CandidateValidityDisagreement, SelfContradiction, DoubleVote }
        pov_distribution::PoVDistribution { FetchPoV, DistributePoV }
        provisioner::Provisioner { Bitfield, BackableCandidate }
        statement_distribution::StatementDistribution { Share }
    }
    desk.set_announces::<RelayParents, Hash>(|update| {
        let started = update.started.iter().flat_map(|leaf| leaf.ancestors.iter().chain([&leaf.hash]));
        started.chain(update.finalized.iter().map(|block| &block.hash)).copied().collect()
    });
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
                assert!(listed, "{name} has a relay parent and is missing in `of_the_host`");
                found += 1;
            }
        }
        assert!(found >= 20, "only {found} found: is this still how messages are written?");
    }
}
