//! What people own on the relay chain.

use codec::{Decode, Encode};

/// An amount of the chain's smallest unit.
pub type Balance = u128;

/// Whose account it is: a public key of a collator, fisherman or validator.
pub type AccountId = [u8; 32];

/// What somebody owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Account {
    /// Free to be used.
    pub free: Balance,
    /// Held as a bond or deposit.
    pub reserved: Balance,
    /// How many transactions the owner has signed: the next one carries this number.
    pub nonce: u32,
}
