//! Step 1: a collator's node produces candidates.
//!
//! Hears the heartbeat only: at each active leaf it asks the chain what its para may build on, calls the para's own
//! node, and hands the result to [collation distribution](crate::collation_distribution::DistributeCollation).

overseer::inbox! {
    /// Nothing is said to collation generation: an empty inbox.
    pub enum Inbox for CollationGeneration as "collation-generation" {}
}
