//! Slashing (RT-8): what misbehavior costs, and what it has cost.
//!
//! Stores: every validator's stake, what each has lost, the proven offences and penalties of the sessions that can
//! still be reported, by the identity of their session, so that any fork can find out what it has yet to impose.
//!
//! Entry points: none of its own. Misbehavior reports, verdicts and equivocations call [`Slashing::slash`] and
//! [`Slashing::penalize`].
//!
//! Order: it learns of a session change after validity; it has nothing to do when a block begins or ends.

use codec::{Decode, Encode};
use primitives::{
    Balance, BlockNumber, CandidateHash, MisbehaviorKind, SessionIndex, Slot, ValidatorId, ValidatorIndex,
};
use std::collections::{BTreeMap, BTreeSet};

use crate::limits::MAX_OFFENCES_PER_SESSION;

/// Thousandths of the stake that a second candidate at one relay parent costs.
const DOUBLE_SECONDED_PERMILLE: Balance = 100;
/// Thousandths of the stake that contradicting oneself about a candidate costs.
const SELF_CONTRADICTION_PERMILLE: Balance = 100;

const _: () = assert!(MAX_OFFENCES_PER_SESSION as Balance * DOUBLE_SECONDED_PERMILLE >= 1000);
const _: () = assert!(MAX_OFFENCES_PER_SESSION as Balance * SELF_CONTRADICTION_PERMILLE >= 1000);

/// Thousandths of the stake that standing behind an invalid candidate costs: all of it.
const FOR_INVALID_PERMILLE: Balance = 1000;
/// Thousandths of the stake that disputing a valid candidate costs.
const AGAINST_VALID_PERMILLE: Balance = 100;
/// Thousandths of the stake that disputing what nobody can get hold of costs.
const UNAVAILABLE_PERMILLE: Balance = 100;
/// Thousandths of the stake that silence in a dispute costs, if there was a supermajority.
const SILENCE_PERMILLE: Balance = 1;
/// Thousandths of the stake that vouching for a candidate costs about which too few could find out.
const DISTRACTION_PERMILLE: Balance = 2;
/// Thousandths of the stake that two blocks in one slot cost.
const EQUIVOCATION_PERMILLE: Balance = 100;

/// Why a validator was slashed or fined, beside the offences of misbehavior reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum PenaltyReason {
    /// Said that the candidate is valid; it was judged invalid.
    ForInvalid(CandidateHash),
    /// Said that the candidate is invalid; it was judged valid.
    AgainstValid(CandidateHash),
    /// Said that the candidate is invalid; nobody could get hold of it.
    Unavailable(CandidateHash),
    /// Said nothing about the candidate while a supermajority did.
    Silence(CandidateHash),
    /// Said that the candidate is valid; too few could find out.
    Distraction(CandidateHash),
    /// Authored two blocks in this slot.
    Equivocation(Slot),
}

impl PenaltyReason {
    const fn permille(self) -> Balance {
        match self {
            Self::ForInvalid(_) => FOR_INVALID_PERMILLE,
            Self::AgainstValid(_) => AGAINST_VALID_PERMILLE,
            Self::Unavailable(_) => UNAVAILABLE_PERMILLE,
            Self::Silence(_) => SILENCE_PERMILLE,
            Self::Distraction(_) => DISTRACTION_PERMILLE,
            Self::Equivocation(_) => EQUIVOCATION_PERMILLE,
        }
    }
}

/// A slash or fine, by the identity that the offender had in the session of the offence.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Penalty {
    /// Session in which the offender validated.
    pub session: SessionIndex,
    /// The offender's position in that session.
    pub validator_index: ValidatorIndex,
    /// The offender.
    pub validator: ValidatorId,
    /// What for.
    pub reason: PenaltyReason,
    /// What was taken.
    pub amount: Balance,
    /// The block that imposed it.
    pub imposed_in: BlockNumber,
}

/// A proven offence and what it cost.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Slashing {
    stake: Balance,
    /// What each validator has lost.
    pub(crate) slashes: BTreeMap<ValidatorId, Balance>,
    /// What has been proven in sessions whose validators are kept.
    pub(crate) offences: Vec<Offence>,
    /// What verdicts and equivocations have cost in those sessions and those of open disputes.
    pub(crate) penalties: Vec<Penalty>,
    known: BTreeSet<(SessionIndex, ValidatorIndex, MisbehaviorKind)>,
    /// Who has paid for what, in those sessions and those of open disputes: a dispute may be opened anew.
    paid: BTreeSet<(SessionIndex, ValidatorIndex, PenaltyReason)>,
}

impl Slashing {
    /// Every validator has the same stake.
    pub(crate) fn genesis(stake: Balance) -> Self {
        Self { stake, ..Self::default() }
    }

    pub(crate) fn is_known(&self, session: SessionIndex, validator: ValidatorIndex, kind: MisbehaviorKind) -> bool {
        self.known.contains(&(session, validator, kind))
    }

    /// How many offences of a validator are proven, of one session.
    pub(crate) fn offences_of(&self, session: SessionIndex, validator: ValidatorIndex) -> usize {
        self.known.iter().filter(|known| (known.0, known.1) == (session, validator)).count()
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
            MisbehaviorKind::DoubleSeconded(_) => DOUBLE_SECONDED_PERMILLE,
            MisbehaviorKind::SelfContradiction(_) => SELF_CONTRADICTION_PERMILLE,
        };
        let amount = self.take(validator, permille);
        self.known.insert((session, validator_index, kind));
        let offence = Offence { session, validator_index, validator, kind, amount, reported_in: now };
        self.offences.push(offence.clone());
        offence
    }

    /// A part of the original stake.
    fn part(&self, permille: Balance) -> Balance {
        // Dividing first cannot overflow, and loses less than a thousandth of a thousand units.
        if permille >= 1000 { self.stake } else { (self.stake / 1000).saturating_mul(permille).max(1) }
    }

    /// Whether a validator has left what so many disputes may cost whoever makes them.
    pub(crate) fn can_pay_for_disputes(&self, validator: &ValidatorId, count: Balance) -> bool {
        let each = self.part(AGAINST_VALID_PERMILLE.max(UNAVAILABLE_PERMILLE));
        self.stake_of(validator) >= each.saturating_mul(count)
    }

    /// Takes a part of the original stake, or what is left of it.
    fn take(&mut self, validator: ValidatorId, permille: Balance) -> Balance {
        let amount = self.part(permille).min(self.stake_of(&validator));
        let lost = self.slashes.entry(validator).or_default();
        *lost = lost.saturating_add(amount);
        amount
    }

    /// Slashes or fines for `reason`; nothing if the validator has paid for it, as far as that is known.
    pub(crate) fn penalize(
        &mut self,
        session: SessionIndex,
        validator_index: ValidatorIndex,
        validator: ValidatorId,
        reason: PenaltyReason,
        now: BlockNumber,
    ) -> Option<Penalty> {
        if !self.paid.insert((session, validator_index, reason)) {
            return None;
        }
        let amount = self.take(validator, reason.permille());
        let penalty = Penalty { session, validator_index, validator, reason, amount, imposed_in: now };
        self.penalties.push(penalty.clone());
        Some(penalty)
    }

    /// Gives back what was taken in a session for `reason` from those that `may`, the oldest first, as long as all of it
    /// is no more than `limit`. Nobody pays for it again.
    pub(crate) fn give_back(
        &mut self,
        session: SessionIndex,
        reason: PenaltyReason,
        limit: Balance,
        may: impl Fn(&Penalty) -> bool,
    ) -> Vec<Penalty> {
        let mut left = limit;
        let mut is_returned = |penalty: &mut Penalty| {
            let is_meant = penalty.session == session && penalty.reason == reason && may(penalty);
            let rest = left.checked_sub(penalty.amount).filter(|_| is_meant);
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        let returned: Vec<_> = self.penalties.extract_if(.., &mut is_returned).collect();
        for penalty in &returned {
            let lost = self.slashes.entry(penalty.validator).or_default();
            *lost = lost.saturating_sub(penalty.amount);
        }
        returned
    }

    /// All that was taken and not given back.
    pub(crate) fn total(&self) -> Balance {
        self.slashes.values().copied().fold(0, Balance::saturating_add)
    }

    /// The smallest bond of a report: what a thousandth of a validator's stake is.
    pub(crate) fn bond_unit(&self) -> Balance {
        (self.stake / 1000).max(1)
    }

    /// Forgets offences that can no longer be reported again, and what was paid in sessions before `oldest_disputed`,
    /// whose verdicts can no longer turn; what was taken stays taken.
    pub(crate) fn on_session_change(&mut self, oldest_session: SessionIndex, oldest_disputed: SessionIndex) {
        self.offences.retain(|offence| offence.session >= oldest_session);
        self.penalties.retain(|penalty| penalty.session >= oldest_disputed);
        self.known.retain(|(session, ..)| *session >= oldest_session);
        self.paid.retain(|(session, ..)| *session >= oldest_disputed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Hash;

    #[test]
    fn an_offence_takes_a_tenth_of_the_stake_until_nothing_is_left() {
        let mut slashing = Slashing::genesis(10_000);
        let validator = ValidatorId([1; 32]);
        let kind = MisbehaviorKind::DoubleSeconded(Hash::ZERO);
        for session in 0..12 {
            slashing.slash(session, ValidatorIndex(0), validator, kind, 1);
        }
        assert_eq!(slashing.offences[0].amount, 1_000);
        assert_eq!(slashing.offences[11].amount, 0);
        assert_eq!(slashing.slashes[&validator], 10_000);
        assert_eq!(slashing.stake_of(&validator), 0);
    }

    #[test]
    fn each_reason_costs_its_part() {
        let candidate = CandidateHash::default();
        let reasons = [
            (PenaltyReason::ForInvalid(candidate), 10_000),
            (PenaltyReason::AgainstValid(candidate), 1_000),
            (PenaltyReason::Unavailable(candidate), 1_000),
            (PenaltyReason::Silence(candidate), 10),
            (PenaltyReason::Distraction(candidate), 20),
            (PenaltyReason::Equivocation(7), 1_000),
        ];
        for (reason, expected) in reasons {
            let mut slashing = Slashing::genesis(10_000);
            let penalty = slashing.penalize(2, ValidatorIndex(3), ValidatorId([1; 32]), reason, 9).unwrap();
            assert_eq!((penalty.amount, penalty.imposed_in, slashing.total()), (expected, 9, expected));
            assert_eq!(slashing.penalties, [penalty]);
            assert_eq!(slashing.penalize(2, ValidatorIndex(3), ValidatorId([1; 32]), reason, 10), None, "it has paid");
            assert_eq!(slashing.total(), expected);
        }
    }

    #[test]
    fn old_sessions_are_forgotten_but_slashes_are_not() {
        let mut slashing = Slashing::genesis(10_000);
        let (validator, index) = (ValidatorId([1; 32]), ValidatorIndex(0));
        let kind = MisbehaviorKind::SelfContradiction(CandidateHash::default());
        slashing.slash(3, index, validator, kind, 1);
        slashing.penalize(3, index, validator, PenaltyReason::Equivocation(7), 1);
        slashing.on_session_change(3, 3);
        assert!(slashing.is_known(3, index, kind));
        slashing.on_session_change(4, 3);
        assert!(!slashing.is_known(3, index, kind) && slashing.offences.is_empty());
        assert_eq!(slashing.penalties.len(), 1, "a dispute of that session is open");
        slashing.on_session_change(4, 4);
        assert!(slashing.penalties.is_empty());
        assert_eq!(slashing.slashes[&validator], 2_000);
    }

    #[test]
    fn what_is_given_back_is_what_was_taken_for_that_and_no_more_than_the_limit() {
        let mut slashing = Slashing::genesis(10_000);
        let reason = PenaltyReason::AgainstValid(CandidateHash::default());
        let validator = |index: u32| ValidatorId([index as u8; 32]);
        for index in 0..4 {
            slashing.penalize(3, ValidatorIndex(index), validator(index), reason, 1);
        }
        slashing.penalize(4, ValidatorIndex(0), validator(0), reason, 2);
        slashing.penalize(3, ValidatorIndex(0), validator(0), PenaltyReason::Equivocation(7), 2);
        let returned = slashing.give_back(3, reason, 2_500, |penalty| penalty.validator_index.0 != 1);
        let who: Vec<_> = returned.iter().map(|penalty| penalty.validator_index.0).collect();
        assert_eq!(who, [0, 2], "the fourth would be too much");
        assert_eq!(slashing.total(), 4_000);
        let left: Vec<_> = [0, 1, 2, 3].map(|index| slashing.stake_of(&validator(index))).to_vec();
        assert_eq!(left, [8_000, 9_000, 10_000, 9_000]);
        assert_eq!(slashing.penalties.len(), 4);
        assert_eq!(slashing.penalize(3, ValidatorIndex(0), validator(0), reason, 3), None, "nobody pays for it again");
    }
}
