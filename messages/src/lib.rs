//! What subsystems say to each other: one module per consumer.
//!
//! **Role**: the interface of every subsystem, apart from any implementation (OV-8). A module holds the consumer's
//! role, its inbox and its messages; whoever sends or consumes them needs this crate and nothing of the other side.
//!
//! **Receives** and **sends**: nothing; types only. **Step**: all; which module belongs to which stands in
//! ARCHITECTURE.md's table.
//!
//! **Kinds**: a message *told* can be sent (the sender waits) or cast (it never waits; the message says what a full
//! queue does); a message *asked* has an answer. Who may send what stands in each subsystem's declaration, and all
//! together in ARCHITECTURE.md, from which `cargo xtask graph` draws.
//!
//! **Invariants**: no message that carries a signature of ours is lossy. Messages with heap data count it in `bytes`.
//! What comes from a peer is unchecked bytes until the consumer has decoded and checked it. A message that names a
//! relay parent is sent only after the signal that announced it, and so arrives after it.
//!
//! **Limits**: the constants that end in `_MAX` beside the messages that they bound.
//!
//! In each module the comment on a message says who sends it, how, and what it asks of its consumer; an answer's error
//! type says what can go wrong. A question whose way back is dropped fails with [`overseer::AskError`] instead.
//!
//! **Deadlines**: no question here sets [`ANSWER_WITHIN`](overseer::Message::ANSWER_WITHIN). How long is worth waiting is
//! the asker's own here: `SendRequest` is asked with patience for a chunk, for whole data and for a collation, an author
//! gives up the signal and the answer together. So each of them has a timer around its question, and what may stand
//! still (runtime, chain, network) bounds its own work and answers with an error that says so.

#![forbid(unsafe_code)]

pub mod availability_distribution;
pub mod availability_recovery;
pub mod availability_store;
pub mod bitfield_distribution;
pub mod bitfield_signing;
pub mod candidate_backing;
pub mod candidate_selection;
pub mod candidate_validation;
pub mod chain_api;
pub mod collation_distribution;
pub mod collation_generation;
pub mod misbehavior_arbitration;
pub mod network_bridge;
pub mod peer_set_manager;
pub mod pov_distribution;
pub mod provisioner;
pub mod runtime_api;
pub mod statement_distribution;

pub use leaves::{ActiveLeaf, FinalizedBlock, LeavesState, LeavesUpdate, RelayParents};

#[cfg(test)]
mod tests {
    use overseer::replay::TapedInbox;

    fn can_be_recorded<I: TapedInbox<()>>() {}

    /// Compiles: whatever subsystem is to be looked at, its messages can be put on a tape.
    #[test]
    fn every_inbox_can_be_recorded() {
        can_be_recorded::<super::availability_distribution::Inbox>();
        can_be_recorded::<super::availability_recovery::Inbox>();
        can_be_recorded::<super::availability_store::Inbox>();
        can_be_recorded::<super::bitfield_distribution::Inbox>();
        can_be_recorded::<super::bitfield_signing::Inbox>();
        can_be_recorded::<super::candidate_backing::Inbox>();
        can_be_recorded::<super::candidate_selection::Inbox>();
        can_be_recorded::<super::candidate_validation::Inbox>();
        can_be_recorded::<super::chain_api::Inbox>();
        can_be_recorded::<super::collation_distribution::Inbox>();
        can_be_recorded::<super::collation_generation::Inbox>();
        can_be_recorded::<super::misbehavior_arbitration::Inbox>();
        can_be_recorded::<super::network_bridge::Inbox>();
        can_be_recorded::<super::peer_set_manager::Inbox>();
        can_be_recorded::<super::pov_distribution::Inbox>();
        can_be_recorded::<super::provisioner::Inbox>();
        can_be_recorded::<super::runtime_api::Inbox>();
        can_be_recorded::<super::statement_distribution::Inbox>();
    }
}
