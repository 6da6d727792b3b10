//! Identifiers and indices: one type each, so that a validator cannot be taken for a core.

use codec::{Decode, Encode};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Height of a relay-chain block; the genesis block has 0.
pub type BlockNumber = u32;
/// Counts sessions from genesis.
pub type SessionIndex = u32;
/// Counts slots of fixed length from the epoch of the relay chain.
pub type Slot = u64;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// As a position in a slice.
            pub const fn as_usize(self) -> usize {
                self.0 as usize
            }
        }

        impl From<u32> for $name {
            fn from(index: u32) -> Self {
                Self(index)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

index! {
    /// Names a parachain or parathread.
    ParaId
}
index! {
    /// Position of a validator in the validator set of a session.
    ValidatorIndex
}
index! {
    /// Names an availability core of a session.
    CoreIndex
}
index! {
    /// Position of a group of validators among the groups of a session.
    GroupIndex
}
index! {
    /// Position of a chunk in the erasure code; the validator that holds it may have another index.
    ChunkIndex
}
