//! Step 10: a validator says which chunks it holds. Hears the heartbeat only.

overseer::inbox! {
    /// Nothing is said to bitfield signing.
    pub enum Inbox for BitfieldSigning as "bitfield-signing" {}
}
