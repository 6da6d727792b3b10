//! Step 10: a validator says which chunks it holds.
//!
//! Hears the heartbeat only: a while after each active leaf it asks the availability store, signs, and hands the
//! bitfield to [bitfield distribution](crate::bitfield_distribution::DistributeBitfield).

overseer::inbox! {
    /// Nothing is said to bitfield signing: an empty inbox.
    pub enum Inbox for BitfieldSigning as "bitfield-signing" {}
}
