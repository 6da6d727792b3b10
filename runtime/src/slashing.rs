//! Slashing: what misbehaviour costs, and what it has cost.

use codec::Encode;
use primitives::{BlockNumber, MisbehaviorKind, SessionIndex, ValidatorId, ValidatorIndex};
use std::collections::{BTreeMap, BTreeSet};

/// An amount at stake, in the chain's smallest unit.
pub type Balance = u128;

/// Thousandths of the stake that a second candidate at one relay parent costs.
const DOUBLE_SECONDED_PERMILLE: Balance = 100;
/// Thousandths of the stake that contradicting oneself about a candidate costs.
const SELF_CONTRADICTION_PERMILLE: Balance = 100;

/// A proven offence and what it cost.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct Offence {
    /// Session in which the offender validated.
    pub session: SessionIndex,
    /// The offender's position in that session.
    pub validator_index: ValidatorIndex,
    /// The offender.
    pub validator: ValidatorId,
    /// What was proven.
    pub kind: MisbehaviorKind,
    /// What was taken.
    pub amount: Balance,
    /// The block that carried the proof.
    pub reported_in: BlockNumber,
}

/// Stakes and slashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode)]
pub(crate) struct Slashing {
    stake: Balance,
    /// What each validator has lost.
    pub(crate) slashes: BTreeMap<ValidatorId, Balance>,
    /// What has been proven in sessions whose validators are kept.
    pub(crate) offences: Vec<Offence>,
    known: BTreeSet<(SessionIndex, ValidatorIndex, MisbehaviorKind)>,
}

impl Slashing {
    /// Every validator has the same stake.
    pub(crate) fn genesis(stake: Balance) -> Self {
        Self { stake, ..Self::default() }
    }

    pub(crate) fn is_known(&self, session: SessionIndex, validator: ValidatorIndex, kind: MisbehaviorKind) -> bool {
        self.known.contains(&(session, validator, kind))
    }

    /// What is left of a validator's stake.
    pub(crate) fn stake_of(&self, validator: &ValidatorId) -> Balance {
        let lost = self.slashes.get(validator).copied().unwrap_or(0);
        self.stake.saturating_sub(lost)
    }

    /// Takes a part of the original stake, or what is left of it, and records why.
    pub(crate) fn slash(
        &mut self,
        session: SessionIndex,
        validator_index: ValidatorIndex,
        validator: ValidatorId,
        kind: MisbehaviorKind,
        now: BlockNumber,
    ) -> Offence {
        let permille = match kind {
            MisbehaviorKind::DoubleSeconded => DOUBLE_SECONDED_PERMILLE,
            MisbehaviorKind::SelfContradiction => SELF_CONTRADICTION_PERMILLE,
        };
        // Dividing first cannot overflow, and loses less than a thousandth of a thousand units.
        let amount = (self.stake / 1000).saturating_mul(permille).max(1).min(self.stake_of(&validator));
        let lost = self.slashes.entry(validator).or_default();
        *lost = lost.saturating_add(amount);
        self.known.insert((session, validator_index, kind));
        let offence = Offence { session, validator_index, validator, kind, amount, reported_in: now };
        self.offences.push(offence.clone());
        offence
    }

    /// Forgets offences that can no longer be reported again; what was taken stays taken.
    pub(crate) fn on_session_change(&mut self, oldest_session: SessionIndex) {
        self.offences.retain(|offence| offence.session >= oldest_session);
        self.known.retain(|(session, ..)| *session >= oldest_session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offence_takes_a_tenth_of_the_stake_until_nothing_is_left() {
        let mut slashing = Slashing::genesis(10_000);
        let validator = ValidatorId([1; 32]);
        for session in 0..12 {
            slashing.slash(session, ValidatorIndex(0), validator, MisbehaviorKind::DoubleSeconded, 1);
        }
        assert_eq!(slashing.offences[0].amount, 1_000);
        assert_eq!(slashing.offences[11].amount, 0);
        assert_eq!(slashing.slashes[&validator], 10_000);
        assert_eq!(slashing.stake_of(&validator), 0);
    }

    #[test]
    fn old_sessions_are_forgotten_but_slashes_are_not() {
        let mut slashing = Slashing::genesis(10_000);
        let (validator, index) = (ValidatorId([1; 32]), ValidatorIndex(0));
        let kind = MisbehaviorKind::SelfContradiction;
        slashing.slash(3, index, validator, kind, 1);
        slashing.on_session_change(3);
        assert!(slashing.is_known(3, index, kind));
        slashing.on_session_change(4);
        assert!(!slashing.is_known(3, index, kind) && slashing.offences.is_empty());
        assert_eq!(slashing.slashes[&validator], 1_000);
    }
}
