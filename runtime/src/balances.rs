//! Balances: what collators, fishermen and rewarded validators own, and the pot.
//!
//! Stores: an account per public key, the pot, and how much governance has put into circulation.
//!
//! Entry points: none of its own; governance endows, claims and reports reserve, verdicts move.
//!
//! Order: it has nothing to do at the begin or end of a block.
//!
//! Invariant: what accounts and pot hold is what was endowed and what was taken from stakes, never more or less
//! ([`Issuance::is_conserved`]).

use codec::{Decode, Encode};
use primitives::{Account, AccountId, Balance};
use std::collections::BTreeMap;

/// Why an amount cannot be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BalanceError {
    /// Too little is free.
    #[error("{found} is free, {needed} is needed")]
    TooLittle {
        /// What is free.
        found: Balance,
        /// What it takes.
        needed: Balance,
    },
    /// More than there can be.
    #[error("the chain cannot issue {0} more")]
    Overflow(Balance),
}

/// Where all amounts are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Issuance {
    /// Put into circulation by governance.
    pub endowed: Balance,
    /// Taken from stakes.
    pub slashed: Balance,
    /// Owned by accounts, free or reserved.
    pub accounts: Balance,
    /// In the pot.
    pub pot: Balance,
}

impl Issuance {
    /// Whether nothing was made or lost by slashing, rewarding and reserving.
    pub fn is_conserved(&self) -> bool {
        self.endowed.checked_add(self.slashed) == self.accounts.checked_add(self.pot)
    }
}

/// Accounts and pot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Balances {
    accounts: BTreeMap<AccountId, Account>,
    pot: Balance,
    endowed: Balance,
}

impl Balances {
    pub(crate) fn account(&self, owner: &AccountId) -> Account {
        self.accounts.get(owner).copied().unwrap_or_default()
    }

    /// Makes an amount out of nothing: governance only.
    pub(crate) fn endow(&mut self, owner: AccountId, amount: Balance) -> Result<(), BalanceError> {
        // Half of the number space is left to what stakes bring in.
        let endowed = self.endowed.checked_add(amount).filter(|endowed| *endowed <= Balance::MAX / 2);
        self.endowed = endowed.ok_or(BalanceError::Overflow(amount))?;
        self.credit(owner, amount);
        Ok(())
    }

    /// Gives what was taken elsewhere.
    pub(crate) fn credit(&mut self, owner: AccountId, amount: Balance) {
        if amount > 0 {
            let account = self.accounts.entry(owner).or_default();
            account.free = account.free.saturating_add(amount);
        }
    }

    /// Puts what was taken elsewhere into the pot.
    pub(crate) fn deposit(&mut self, amount: Balance) {
        self.pot = self.pot.saturating_add(amount);
    }

    /// Pays somebody from the pot, as far as it goes.
    pub(crate) fn pay_from_pot(&mut self, owner: AccountId, amount: Balance) {
        let amount = amount.min(self.pot);
        self.pot = self.pot.saturating_sub(amount);
        self.credit(owner, amount);
    }

    pub(crate) fn reserve(&mut self, owner: AccountId, amount: Balance) -> Result<(), BalanceError> {
        let found = self.account(&owner).free;
        let left = found.checked_sub(amount).ok_or(BalanceError::TooLittle { found, needed: amount })?;
        if amount > 0 {
            let account = self.accounts.entry(owner).or_default();
            account.free = left;
            account.reserved = account.reserved.saturating_add(amount);
        }
        Ok(())
    }

    /// Gives a bond back.
    pub(crate) fn release(&mut self, owner: &AccountId, amount: Balance) {
        if let Some(account) = self.accounts.get_mut(owner) {
            let amount = amount.min(account.reserved);
            account.reserved = account.reserved.saturating_sub(amount);
            account.free = account.free.saturating_add(amount);
        }
    }

    /// A bond is lost to the pot.
    pub(crate) fn forfeit(&mut self, owner: &AccountId, amount: Balance) {
        if let Some(account) = self.accounts.get_mut(owner) {
            let amount = amount.min(account.reserved);
            account.reserved = account.reserved.saturating_sub(amount);
            self.deposit(amount);
        }
    }

    /// The owner has signed one more transaction.
    pub(crate) fn use_nonce(&mut self, owner: AccountId) {
        let account = self.accounts.entry(owner).or_default();
        account.nonce = account.nonce.saturating_add(1);
    }

    pub(crate) fn issuance(&self, slashed: Balance) -> Issuance {
        let held = |account: &Account| account.free.saturating_add(account.reserved);
        let accounts = self.accounts.values().map(held).fold(0, Balance::saturating_add);
        Issuance { endowed: self.endowed, slashed, accounts, pot: self.pot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: AccountId = [1; 32];

    #[test]
    fn reserving_releasing_and_forfeiting_move_amounts_only() {
        let mut balances = Balances::default();
        balances.endow(OWNER, 100).unwrap();
        assert_eq!(balances.reserve(OWNER, 101), Err(BalanceError::TooLittle { found: 100, needed: 101 }));
        balances.reserve(OWNER, 60).unwrap();
        balances.release(&OWNER, 20);
        balances.forfeit(&OWNER, 30);
        assert_eq!(balances.account(&OWNER), Account { free: 60, reserved: 10, nonce: 0 });
        // More than is reserved cannot be lost or given back.
        balances.forfeit(&OWNER, 1_000);
        balances.release(&OWNER, 1_000);
        assert_eq!(balances.account(&OWNER), Account { free: 60, reserved: 0, nonce: 0 });
        let issuance = balances.issuance(0);
        assert_eq!((issuance.accounts, issuance.pot), (60, 40));
        assert!(issuance.is_conserved());
    }

    #[test]
    fn endowing_beyond_the_number_space_is_refused() {
        let mut balances = Balances::default();
        balances.endow(OWNER, Balance::MAX / 2).unwrap();
        assert_eq!(balances.endow(OWNER, 1), Err(BalanceError::Overflow(1)));
        assert_eq!(balances.account(&OWNER).free, Balance::MAX / 2);
    }

    #[test]
    fn nothing_is_reserved_for_who_has_no_account() {
        let mut balances = Balances::default();
        assert_eq!(balances.reserve(OWNER, 1), Err(BalanceError::TooLittle { found: 0, needed: 1 }));
        assert_eq!(balances.reserve(OWNER, 0), Ok(()));
        assert_eq!(balances, Balances::default());
    }
}
