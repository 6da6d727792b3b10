//! Reports by collators and fishermen (AV-9): whoever puts a bond behind it can have a candidate checked more often.
//!
//! A report counts on every fork, so that whoever was right is paid wherever the slash lands. Where the candidate is not
//! included it waits, with its bond: for the candidate, for a verdict, or for the end of what is known of its session.

use codec::{Decode, Encode};
use primitives::{CandidateHash, Hash, SessionIndex, Signature, SignedMessage};
use std::sync::Arc;

use super::{DisputeKey, ValidityEvent};
use crate::{
    AccountId, Balance, BalanceError, SignatureOf, State,
    limits::{MAX_EARLY_REPORTS, MAX_EARLY_REPORTS_PER_REPORTER, MAX_REPORTS_PER_CANDIDATE},
    outcome::Outcome,
    verifier::Signatures,
};

/// Stands before what a reporter signs.
const REPORT_MAGIC: [u8; 4] = *b"FISH";

/// What is wrong with the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ReportKind {
    /// It is invalid.
    #[codec(index = 0)]
    Invalid,
    /// Its data cannot be had.
    #[codec(index = 1)]
    Unavailable,
}

/// A report with a bond.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FishermanReport {
    /// Whose account the bond comes from.
    pub reporter: AccountId,
    /// The candidate's session.
    pub session: SessionIndex,
    /// The candidate.
    pub candidate: CandidateHash,
    /// What is wrong with it.
    pub kind: ReportKind,
    /// Lost if nothing is wrong.
    pub bond: Balance,
    /// The reporter's, over [`fisherman_payload`].
    pub signature: Signature,
}

/// What a reporter signs for a chain. No nonce: one report per reporter and candidate counts, on every fork, as long as
/// the candidate's session is known.
pub fn fisherman_payload(
    chain: Hash,
    session: SessionIndex,
    candidate: CandidateHash,
    kind: ReportKind,
    bond: Balance,
) -> Vec<u8> {
    (REPORT_MAGIC, chain, session, candidate, kind, bond).encode()
}

/// Why a report is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FishermanError {
    /// Of a session that is over for good, or has not been.
    #[error("candidates of session {0} cannot be reported")]
    UnknownSession(SessionIndex),
    /// It has been judged.
    #[error("candidate {0} has been judged")]
    Judged(CandidateHash),
    /// The reporter has reported it.
    #[error("the reporter has reported candidate {0} already")]
    Known(CandidateHash),
    /// Too many have.
    #[error("{MAX_REPORTS_PER_CANDIDATE} reports on candidate {0} already")]
    TooMany(CandidateHash),
    /// Too many wait for candidates that are not included.
    #[error("{MAX_EARLY_REPORTS} reports on candidates that are not included wait already")]
    TooManyEarly,
    /// Too many of them are the reporter's.
    #[error(
        "{MAX_EARLY_REPORTS_PER_REPORTER} reports of the reporter on candidates that are not included wait already"
    )]
    TooManyEarlyOfReporter,
    /// The bond is too small.
    #[error("bond is {found}, expected at least {needed}")]
    BondSize {
        /// The bond.
        found: Balance,
        /// The least.
        needed: Balance,
    },
    /// The bond cannot be held.
    #[error("bond: {0}")]
    Bond(#[from] BalanceError),
}

impl BondedReport {
    /// As it was sent, for other forks.
    pub(super) fn to_report(&self, (session, candidate): DisputeKey) -> FishermanReport {
        let Self { reporter, kind, bond, signature } = self.clone();
        FishermanReport { reporter, session, candidate, kind, bond, signature }
    }
}

/// A report that counts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct BondedReport {
    pub(crate) reporter: AccountId,
    pub(crate) kind: ReportKind,
    pub(crate) bond: Balance,
    /// For other forks.
    pub(crate) signature: Signature,
}

/// What becomes of a bond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was right, or nobody knows: the bond comes back.
    Returned,
    /// It was wrong: the bond is in the pot.
    Lost,
}

/// How many more checks the bonds of a candidate are good for.
pub(crate) fn reported_units(reports: &[BondedReport], unit: Balance) -> usize {
    let staked = reports.iter().map(|report| report.bond).fold(0, Balance::saturating_add);
    usize::try_from(staked.checked_div(unit).unwrap_or(0)).unwrap_or(usize::MAX)
}

/// Records a report and holds its bond. The signature is collected, not verified.
pub(crate) fn process(
    state: &mut State,
    report: &FishermanReport,
    position: usize,
    signatures: &mut Signatures,
    outcome: &mut Outcome,
) -> Result<(), FishermanError> {
    let key = (report.session, report.candidate);
    let candidate = report.candidate;
    let bonded =
        BondedReport { reporter: report.reporter, kind: report.kind, bond: report.bond, signature: report.signature };
    let message = fisherman_payload(state.chain_id(), report.session, candidate, report.kind, report.bond);
    let message = SignedMessage { public: report.reporter, message, signature: report.signature };
    let dispute = state.validity.disputes.get(&key);
    if state.validity.settled.contains_key(&key) || dispute.is_some_and(|dispute| dispute.concluded().is_some()) {
        earn_bounty(state, key, bonded)?;
        signatures.push(SignatureOf::Fisherman(position), message);
        return Ok(());
    }
    let included = state.validity.included(key).map(|(_, included)| &included.reports);
    let early = state.validity.early_reports.get(&key);
    let known = included.or(early).map_or(&[][..], |reports| &reports[..]);
    if state.validity.reported.contains(&(key, report.reporter)) {
        return Err(FishermanError::Known(candidate));
    }
    if known.len() >= MAX_REPORTS_PER_CANDIDATE {
        return Err(FishermanError::TooMany(candidate));
    }
    if included.is_none() {
        state.session.validators_of(key.0).ok_or(FishermanError::UnknownSession(key.0))?;
        check_room(state, report.reporter)?;
    }
    let (found, needed) = (report.bond, state.slashing.bond_unit());
    if found < needed {
        return Err(FishermanError::BondSize { found, needed });
    }
    Arc::make_mut(&mut state.balances).reserve(report.reporter, report.bond)?;
    signatures.push(SignatureOf::Fisherman(position), message);
    let validity = Arc::make_mut(&mut state.validity);
    validity.reported.insert((key, report.reporter));
    match validity.included_mut(key) {
        Some(included) => included.reports.push(bonded),
        None => validity.early_reports.entry(key).or_default().push(bonded),
    }
    if let Some(status) = state.approval_status(key.0, candidate) {
        outcome.validity.push(ValidityEvent::MoreChecks { candidate, needed: status.needed });
    }
    Ok(())
}

/// Whether one more report of this reporter may wait for a candidate that is not included.
fn check_room(state: &State, reporter: AccountId) -> Result<(), FishermanError> {
    let waiting = || state.validity.early_reports.values().flatten();
    if waiting().count() >= MAX_EARLY_REPORTS {
        return Err(FishermanError::TooManyEarly);
    }
    if waiting().filter(|report| report.reporter == reporter).count() >= MAX_EARLY_REPORTS_PER_REPORTER {
        return Err(FishermanError::TooManyEarlyOfReporter);
    }
    Ok(())
}

/// The block itself has judged the candidate invalid and it is not included here: the first report that it is earns the
/// bounty, and needs no bond any more.
fn earn_bounty(state: &mut State, key: DisputeKey, report: BondedReport) -> Result<(), FishermanError> {
    if report.kind != ReportKind::Invalid || !state.validity.bounties.contains_key(&key) {
        return Err(FishermanError::Judged(key.1));
    }
    let validity = Arc::make_mut(&mut state.validity);
    let bounty = validity.bounties.remove(&key).unwrap_or(0);
    Arc::make_mut(&mut state.balances).credit(report.reporter, bounty);
    if let Some(dispute) = validity.disputes.get_mut(&key) {
        Arc::make_mut(dispute).reports.push(report);
    }
    Ok(())
}

/// What waits for candidates that are included now, in their order.
pub(super) fn take_early(state: &mut State, keys: impl Iterator<Item = DisputeKey>) -> Vec<Vec<BondedReport>> {
    let has_any = !state.validity.early_reports.is_empty();
    let take = |key| {
        let taken = has_any.then(|| Arc::make_mut(&mut state.validity).early_reports.remove(&key));
        taken.flatten().unwrap_or_default()
    };
    keys.map(take).collect()
}

/// Sessions before `oldest` are over for good: nobody has brought up what was reported of them, so bonds come back.
pub(super) fn forget_early(state: &mut State, oldest: SessionIndex, outcome: &mut Outcome) {
    let old: Vec<_> =
        state.validity.early_reports.keys().copied().take_while(|(session, _)| *session < oldest).collect();
    let reports = take_early(state, old.iter().copied());
    for (key, reports) in old.into_iter().zip(reports) {
        settle(state, key, &reports, Fate::Returned, outcome);
    }
}

/// Gives bonds back or takes them.
pub(super) fn settle(state: &mut State, key: DisputeKey, reports: &[BondedReport], fate: Fate, outcome: &mut Outcome) {
    if reports.is_empty() {
        return;
    }
    let balances = Arc::make_mut(&mut state.balances);
    for report in reports {
        match fate {
            Fate::Returned => balances.release(&report.reporter, report.bond),
            Fate::Lost => balances.forfeit(&report.reporter, report.bond),
        }
        outcome.validity.push(ValidityEvent::ReportSettled { reporter: report.reporter, candidate: key.1, fate });
    }
}
