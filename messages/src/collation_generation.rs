//! Step 1: a collator's node produces candidates. Hears the heartbeat only.

overseer::inbox! {
    /// Nothing is said to collation generation.
    pub enum Inbox for CollationGeneration as "collation-generation" {}
}
