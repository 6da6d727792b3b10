//! Verdicts: who wins, when, what it costs, and what becomes of the chain.

use codec::{Decode, Encode};
use primitives::{BlockNumber, CandidateHash, CoreIndex, Revert, SessionIndex, ValidatorIndex};
use std::sync::Arc;

use super::{
    Dispute, DisputeKey,
    disputes::{self, DisputePhase, InclusionPlace},
    fishermen::{self, BondedReport, Fate, ReportKind},
};
use crate::{
    AccountId, Balance, FreedReason, Penalty, PenaltyReason, State, limits::MAX_REVERTS_KEPT, outcome::Outcome,
};

/// Of what the losers pay, the winners share one part in this many.
const REWARD_SHARE: Balance = 2;
/// Of what the losers pay, who proved it gets one part in this many.
const BOUNTY_SHARE: Balance = 10;

/// What is thought of a candidate in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Verdict {
    /// Valid.
    Valid,
    /// Invalid, or treated so.
    Invalid,
    /// Nobody could get hold of it: in a dispute of another fork its data did not become available here, or so many
    /// validators of its session say so of an included one.
    Unavailable,
    /// A dispute of another fork in which too few voted: whoever brings the missing votes can have it decided.
    Undecided,
}

/// What happened in a block between a candidate's inclusion and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidityEvent {
    /// There are votes for and against: all validators of the session check and vote.
    Escalated {
        /// The candidate's session.
        session: SessionIndex,
        /// The candidate.
        candidate: CandidateHash,
    },
    /// A dispute of another fork waits for the candidate's data.
    RemoteOpened {
        /// The candidate's session.
        session: SessionIndex,
        /// The candidate.
        candidate: CandidateHash,
    },
    /// The data of a remote dispute's candidate is available: all validators of the session check and vote.
    RemoteAvailable {
        /// The candidate's session.
        session: SessionIndex,
        /// The candidate.
        candidate: CandidateHash,
    },
    /// A dispute is decided.
    Concluded {
        /// The candidate's session.
        session: SessionIndex,
        /// The candidate.
        candidate: CandidateHash,
        /// How.
        verdict: Verdict,
        /// With slashes; or else at the time-out.
        by_supermajority: bool,
    },
    /// A dispute timed out with too few votes; its block cannot be finalized until there are more.
    Unresolved {
        /// The candidate's session.
        session: SessionIndex,
        /// The candidate.
        candidate: CandidateHash,
    },
    /// A dispute takes no more votes.
    Closed {
        /// The candidate's session.
        session: SessionIndex,
        /// The candidate.
        candidate: CandidateHash,
        /// How it was decided.
        verdict: Verdict,
    },
    /// A candidate judged invalid was pending availability; its core is free.
    Freed {
        /// The core.
        core: CoreIndex,
        /// The candidate.
        candidate: CandidateHash,
    },
    /// This fork is to be abandoned, or, if the block is finalized already, an alarm is to be raised.
    Reverted(Revert),
    /// A verdict has turned: what it had cost somebody who was right is given back.
    PenaltyReturned(Penalty),
    /// A report has raised the number of checks.
    MoreChecks {
        /// The candidate.
        candidate: CandidateHash,
        /// Distinct checks that it takes now.
        needed: usize,
    },
    /// A bond came back, was lost, or earned a bounty.
    ReportSettled {
        /// Whose report.
        reporter: AccountId,
        /// On which candidate.
        candidate: CandidateHash,
        /// What became of it.
        fate: Fate,
    },
}

/// Blocks that validators of the session have to vote, from the begin of a dispute on.
pub(super) fn voting_period(state: &State) -> BlockNumber {
    state.configuration().acceptance_period
}

/// Looks whether the votes decide a dispute, or add to the losers of one that is decided.
pub(super) fn evaluate(state: &mut State, key: DisputeKey, outcome: &mut Outcome) {
    let Some(dispute) = state.validity.disputes.get(&key).map(Arc::clone) else {
        return;
    };
    let (votes_for, against) = (dispute.votes_for.count_ones(), dispute.votes_against.count_ones());
    let needed = dispute.supermajority();
    match dispute.phase {
        // More than a third have said both. What so many call invalid does not stay, and who vouched for it pays.
        DisputePhase::Concluded { verdict: Verdict::Valid, by_supermajority: true, .. } if against >= needed => {
            if let Some(dispute) = Arc::make_mut(&mut state.validity).disputes.get_mut(&key) {
                Arc::make_mut(dispute).slashed.fill(false);
            }
            conclude(state, key, Verdict::Invalid, true, outcome);
        }
        DisputePhase::Concluded { verdict, by_supermajority: true, .. } => {
            // Late and on the wrong side: nobody is rewarded for that any more.
            let taken = slash_losers(state, &dispute, verdict, outcome);
            state.deposit(taken);
        }
        DisputePhase::Concluded { .. } => {}
        _ if against >= needed => conclude(state, key, Verdict::Invalid, true, outcome),
        _ if votes_for >= needed => conclude(state, key, Verdict::Valid, true, outcome),
        // The fork that included it was given up by the same votes. Here nothing hangs on it yet, and it is not to be
        // included once more.
        _ if state.pending_core(key).is_some() && by_thirds(&dispute) == Some(Verdict::Invalid) => {
            conclude(state, key, Verdict::Invalid, false, outcome);
        }
        DisputePhase::Unresolved => {
            if let Some(verdict) = by_thirds(&dispute) {
                conclude(state, key, verdict, false, outcome);
            }
        }
        DisputePhase::AwaitingAvailability { .. } | DisputePhase::Voting { .. } => {}
    }
}

/// The outcome at the time-out, if more than two thirds have voted: valid only if more than a third say so and not
/// more than a third the contrary.
fn by_thirds(dispute: &Dispute) -> Option<Verdict> {
    let n = dispute.validators.len();
    let exceeds = |count: usize, thirds: usize| count.saturating_mul(3) > n.saturating_mul(thirds);
    let (votes_for, against) = (&dispute.votes_for, &dispute.votes_against);
    let voters = votes_for.iter().zip(against).filter(|(one, other)| **one || **other).count();
    if !exceeds(voters, 2) {
        return None;
    }
    let is_valid = exceeds(votes_for.count_ones(), 1) && !exceeds(against.count_ones(), 1);
    Some(if is_valid { Verdict::Valid } else { Verdict::Invalid })
}

/// Initialization: disputes whose time is over.
pub(super) fn time_outs(state: &mut State, outcome: &mut Outcome) {
    let now = state.number();
    let disputes: Vec<_> = state.validity.disputes.values().map(Arc::clone).collect();
    for dispute in disputes {
        let key = dispute.key();
        match dispute.phase {
            DisputePhase::AwaitingAvailability { until } if until < now => unavailable(state, &dispute, outcome),
            DisputePhase::Voting { until } if until < now => match by_thirds(&dispute) {
                Some(verdict) => conclude(state, key, verdict, false, outcome),
                None => unresolved(state, &dispute, outcome),
            },
            DisputePhase::Concluded { verdict, by_supermajority, open_until, .. } if open_until < now => {
                if by_supermajority {
                    fine_silence(state, &dispute, outcome);
                }
                close(state, &dispute, verdict, outcome);
            }
            _ => {}
        }
    }
}

/// Who disputed what nobody can get hold of pays; any fork to which the dispute is brought finds the same.
fn unavailable(state: &mut State, dispute: &Dispute, outcome: &mut Outcome) {
    let reason = PenaltyReason::Unavailable(dispute.candidate);
    let mut taken: Balance = 0;
    for validator in voters(&dispute.votes_against) {
        taken = taken.saturating_add(state.penalize(dispute, validator, reason, outcome));
    }
    state.deposit(taken);
    close(state, dispute, Verdict::Unavailable, outcome);
}

fn unresolved(state: &mut State, dispute: &Dispute, outcome: &mut Outcome) {
    let reason = PenaltyReason::Distraction(dispute.candidate);
    let mut taken: Balance = 0;
    for validator in voters(&dispute.votes_for) {
        taken = taken.saturating_add(state.penalize(dispute, validator, reason, outcome));
    }
    state.deposit(taken);
    if dispute.place.is_none() {
        // Nothing here hangs on it.
        return close(state, dispute, Verdict::Undecided, outcome);
    }
    set_phase(state, dispute.key(), DisputePhase::Unresolved);
    outcome.validity.push(ValidityEvent::Unresolved { session: dispute.session, candidate: dispute.candidate });
}

/// Who said nothing at all, although a supermajority did.
fn fine_silence(state: &mut State, dispute: &Dispute, outcome: &mut Outcome) {
    let reason = PenaltyReason::Silence(dispute.candidate);
    let mut taken: Balance = 0;
    let silent = dispute.votes_for.iter().zip(&dispute.votes_against).zip(0_u32..);
    for (_, index) in silent.filter(|((one, other), _)| !**one && !**other) {
        taken = taken.saturating_add(state.penalize(dispute, ValidatorIndex(index), reason, outcome));
    }
    state.deposit(taken);
}

fn close(state: &mut State, dispute: &Dispute, verdict: Verdict, outcome: &mut Outcome) {
    let validity = Arc::make_mut(&mut state.validity);
    validity.disputes.remove(&dispute.key());
    validity.settled.insert(dispute.key(), verdict);
    let (session, candidate) = dispute.key();
    outcome.validity.push(ValidityEvent::Closed { session, candidate, verdict });
}

fn set_phase(state: &mut State, key: DisputeKey, phase: DisputePhase) {
    if let Some(dispute) = Arc::make_mut(&mut state.validity).disputes.get_mut(&key) {
        Arc::make_mut(dispute).phase = phase;
    }
}

/// Decides a dispute: slashes and rewards if there is a supermajority, and what it means for the chain.
fn conclude(state: &mut State, key: DisputeKey, verdict: Verdict, by_supermajority: bool, outcome: &mut Outcome) {
    let Some(dispute) = state.validity.disputes.get(&key).map(Arc::clone) else {
        return;
    };
    let now = state.number();
    let open_until = now.saturating_add(state.configuration().dispute_post_conclusion_period);
    set_phase(state, key, DisputePhase::Concluded { verdict, by_supermajority, concluded_in: now, open_until });
    let (session, candidate) = key;
    outcome.validity.push(ValidityEvent::Concluded { session, candidate, verdict, by_supermajority });
    let reports = take_reports(state, key);
    let mut taken = 0;
    if by_supermajority {
        taken = slash_losers(state, &dispute, verdict, outcome);
    }
    if dispute.concluded() == Some(Verdict::Valid) {
        taken = taken.saturating_sub(pay_back(state, &dispute, taken, outcome));
    }
    let all_reports = [&dispute.reports[..], &reports].concat();
    let left = share(state, &dispute, verdict, taken, &all_reports);
    state.deposit(left);
    if let Some(dispute) = Arc::make_mut(&mut state.validity).disputes.get_mut(&key) {
        Arc::make_mut(dispute).reports.extend(reports.iter().cloned());
    }
    let fate = if verdict == Verdict::Valid { Fate::Lost } else { Fate::Returned };
    fishermen::settle(state, key, &reports, fate, outcome);
    if verdict == Verdict::Invalid {
        judged_invalid(state, &dispute, outcome);
    }
}

/// Slashes who is on the wrong side and has not paid yet. Returns what was taken.
fn slash_losers(state: &mut State, dispute: &Dispute, verdict: Verdict, outcome: &mut Outcome) -> Balance {
    let (losers, reason) = match verdict {
        Verdict::Valid => (&dispute.votes_against, PenaltyReason::AgainstValid(dispute.candidate)),
        Verdict::Invalid => (&dispute.votes_for, PenaltyReason::ForInvalid(dispute.candidate)),
        Verdict::Unavailable | Verdict::Undecided => return 0,
    };
    let unpaid: Vec<_> = voters(losers)
        .filter(|validator| dispute.slashed.get(validator.as_usize()).is_some_and(|paid| !*paid))
        .collect();
    let mut taken: Balance = 0;
    for validator in &unpaid {
        taken = taken.saturating_add(state.penalize(dispute, *validator, reason, outcome));
    }
    if let Some(dispute) = Arc::make_mut(&mut state.validity).disputes.get_mut(&dispute.key()) {
        for validator in unpaid {
            super::mark(&mut Arc::make_mut(dispute).slashed, validator);
        }
    }
    taken
}

/// The dispute was decided the other way round before: who was right all along gets back what that has cost. Slashes
/// come back out of what the losers of this verdict pay, as far as that goes, and bonds out of the pot, where they went.
/// Returns what is used up of `taken`.
fn pay_back(state: &mut State, dispute: &Dispute, taken: Balance, outcome: &mut Outcome) -> Balance {
    let is_right = |penalty: &Penalty| {
        dispute.votes_for.get(penalty.validator_index.as_usize()).is_some_and(|both_sides| !*both_sides)
    };
    let reason = PenaltyReason::AgainstValid(dispute.candidate);
    let returned = Arc::make_mut(&mut state.slashing).give_back(dispute.session, reason, taken, is_right);
    let used = returned.iter().map(|penalty| penalty.amount).fold(0, Balance::saturating_add);
    outcome.validity.extend(returned.into_iter().map(ValidityEvent::PenaltyReturned));
    let (candidate, fate) = (dispute.candidate, Fate::Returned);
    for BondedReport { reporter, bond, .. } in &dispute.reports {
        Arc::make_mut(&mut state.balances).pay_from_pot(*reporter, *bond);
        outcome.validity.push(ValidityEvent::ReportSettled { reporter: *reporter, candidate, fate });
    }
    used
}

/// Gives the winners their reward and who proved an invalid candidate the bounty. Returns what is left.
fn share(state: &mut State, dispute: &Dispute, verdict: Verdict, taken: Balance, reports: &[BondedReport]) -> Balance {
    if taken == 0 {
        return 0;
    }
    let (winners, losers) = match verdict {
        Verdict::Valid => (&dispute.votes_for, &dispute.votes_against),
        _ => (&dispute.votes_against, &dispute.votes_for),
    };
    // Who stood on both sides has won nothing.
    let winners = voters(winners).filter(|winner| losers.get(winner.as_usize()).is_some_and(|lost| !*lost));
    let winners: Vec<AccountId> = winners.filter_map(|winner| account_of(dispute, winner)).collect();
    let each = (taken / REWARD_SHARE).checked_div(winners.len() as Balance).unwrap_or(0);
    let mut left = taken;
    for winner in winners {
        Arc::make_mut(&mut state.balances).credit(winner, each);
        left = left.saturating_sub(each);
    }
    if verdict == Verdict::Valid {
        return left;
    }
    let bounty = taken / BOUNTY_SHARE;
    let first = reports.iter().find(|report| report.kind == ReportKind::Invalid);
    if let Some(first) = first {
        Arc::make_mut(&mut state.balances).credit(first.reporter, bounty);
    } else if dispute.place.is_some() {
        pay_bounty(state, dispute.key(), bounty);
    } else {
        Arc::make_mut(&mut state.validity).bounties.insert(dispute.key(), bounty);
    }
    left.saturating_sub(bounty)
}

fn account_of(dispute: &Dispute, validator: ValidatorIndex) -> Option<AccountId> {
    dispute.validators.get(validator.as_usize()).map(|public| public.0)
}

/// Bounties that no report of this block has earned go to whoever was the first to vote against the candidate.
pub(super) fn pay_bounties(state: &mut State) {
    if state.validity.bounties.is_empty() {
        return;
    }
    for (key, bounty) in std::mem::take(&mut Arc::make_mut(&mut state.validity).bounties) {
        pay_bounty(state, key, bounty);
    }
}

fn pay_bounty(state: &mut State, key: DisputeKey, bounty: Balance) {
    let dispute = state.validity.disputes.get(&key);
    match dispute.and_then(|dispute| account_of(dispute, dispute.disputer?)) {
        Some(disputer) => Arc::make_mut(&mut state.balances).credit(disputer, bounty),
        None => Arc::make_mut(&mut state.balances).deposit(bounty),
    }
}

/// All reports on a candidate, wherever they wait.
fn take_reports(state: &mut State, key: DisputeKey) -> Vec<BondedReport> {
    let mut reports = fishermen::take_early(state, std::iter::once(key)).pop().unwrap_or_default();
    let has_any = state.validity.included(key).is_some_and(|(_, candidate)| !candidate.reports.is_empty());
    if has_any && let Some(candidate) = Arc::make_mut(&mut state.validity).included_mut(key) {
        reports.append(&mut candidate.reports);
    }
    reports
}

/// The candidate is never backed again, loses its core if it has one, and if it was included, its block and all
/// that follow are to be abandoned: with all paras and queues (MS-5).
fn judged_invalid(state: &mut State, dispute: &Dispute, outcome: &mut Outcome) {
    Arc::make_mut(&mut state.validity).blacklist.insert(dispute.key());
    take_core(state, dispute.key(), FreedReason::Concluded, outcome);
    if let Some(place) = dispute.place {
        signal_revert(state, dispute.key(), place, outcome);
    }
}

/// A candidate that is pending here is not to be included.
fn take_core(state: &mut State, key: DisputeKey, reason: FreedReason, outcome: &mut Outcome) {
    if let Some(core) = state.pending_core(key) {
        Arc::make_mut(&mut state.inclusion).pending.remove(&core);
        Arc::make_mut(&mut state.scheduler).free(core, reason);
        outcome.validity.push(ValidityEvent::Freed { core, candidate: key.1 });
    }
}

/// Says that this fork is to be abandoned from the block on that included the candidate.
fn signal_revert(state: &mut State, key: DisputeKey, place: InclusionPlace, outcome: &mut Outcome) {
    let (session, candidate) = key;
    let revert = Revert {
        session,
        candidate,
        last_good_number: place.number.saturating_sub(1),
        last_good_hash: place.parent_hash,
        signalled_in: state.number(),
    };
    let reverts = &mut Arc::make_mut(&mut state.validity).reverts;
    if reverts.len() >= MAX_REVERTS_KEPT {
        reverts.remove(0);
    }
    reverts.push(revert.clone());
    outcome.validity.push(ValidityEvent::Reverted(revert));
}

/// Nobody pays for what cannot be had. So who reported it first gets as much as the smallest bond from the pot, as far
/// as that goes.
fn reward_report_of_unavailable(state: &mut State, reports: &[BondedReport]) {
    if let Some(first) = reports.iter().find(|report| report.kind == ReportKind::Unavailable) {
        let bounty = state.slashing.bond_unit();
        Arc::make_mut(&mut state.balances).pay_from_pot(first.reporter, bounty);
    }
}

/// So many validators could not get hold of a candidate that nobody can judge it: without anybody's fault being proven,
/// it loses its core, and if it was included its block is to be abandoned as if it were invalid (MS-5).
pub(super) fn judged_unavailable(state: &mut State, key: DisputeKey, outcome: &mut Outcome) {
    let reports = take_reports(state, key);
    reward_report_of_unavailable(state, &reports);
    fishermen::settle(state, key, &reports, Fate::Returned, outcome);
    let validity = Arc::make_mut(&mut state.validity);
    validity.disputes.remove(&key);
    validity.settled.insert(key, Verdict::Unavailable);
    validity.blacklist.insert(key);
    let (session, candidate) = key;
    outcome.validity.push(ValidityEvent::Closed { session, candidate, verdict: Verdict::Unavailable });
    take_core(state, key, FreedReason::TimedOut, outcome);
    if let Some(place) = disputes::inclusion_place(state, key) {
        signal_revert(state, key, place, outcome);
    }
}

fn voters(bits: &primitives::Bits) -> impl Iterator<Item = ValidatorIndex> + '_ {
    // There are at most `MAX_VALIDATORS` bits.
    bits.iter_ones().map(|index| ValidatorIndex(index as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::tests::small_genesis;

    /// A third of six and of nine is a whole number: neither more than it nor less.
    #[test]
    fn exactly_a_third_is_not_more_than_a_third() {
        let cases = [
            // Validators, those for it, those against it.
            (6, 0..3, 3..4, None, "two thirds have spoken"),
            (6, 0..3, 2..4, None, "who says both has spoken once"),
            (6, 0..3, 3..5, Some(Verdict::Valid), "a third against it"),
            (6, 0..4, 3..5, Some(Verdict::Valid), "a third against it, one of them on both sides"),
            (6, 0..2, 2..5, Some(Verdict::Invalid), "a third for it"),
            (6, 0..3, 3..6, Some(Verdict::Invalid), "more than a third on both sides"),
            (9, 0..5, 5..6, None, "two thirds have spoken"),
            (9, 0..4, 4..7, Some(Verdict::Valid), "a third against it"),
            (9, 0..3, 3..7, Some(Verdict::Invalid), "a third for it"),
            (9, 0..4, 4..8, Some(Verdict::Invalid), "more than a third on both sides"),
        ];
        for (n, votes_for, against, expected, why) in cases {
            let key = (0, CandidateHash::default());
            let validators = Arc::new(vec![primitives::ValidatorId([0; 32]); n]);
            let mut dispute = Dispute::new(key, validators, DisputePhase::Unresolved, 1);
            dispute.votes_for[votes_for].fill(true);
            dispute.votes_against[against].fill(true);
            assert_eq!(by_thirds(&dispute), expected, "{n}: {why}");
        }
    }

    #[test]
    fn the_oldest_signals_are_forgotten() {
        let (mut state, _) = crate::genesis(&small_genesis()).unwrap();
        for number in 1..=MAX_REVERTS_KEPT as u32 + 2 {
            let place = InclusionPlace { number, parent_hash: primitives::Hash::ZERO };
            signal_revert(&mut state, (0, CandidateHash::default()), place, &mut Outcome::default());
        }
        let kept: Vec<_> = state.reverts().iter().map(|revert| revert.last_good_number).collect();
        assert_eq!((kept.len(), kept[0]), (MAX_REVERTS_KEPT, 2));
    }
}
