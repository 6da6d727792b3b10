//! Reports by collators and fishermen (AV-9): whoever puts a bond behind it can have a candidate checked more often.

use codec::{Decode, Encode};
use primitives::{CandidateHash, SessionIndex, Signature, SignedMessage};
use std::sync::Arc;

use super::{DisputeKey, ValidityEvent};
use crate::{
    AccountId, Balance, BalanceError, SignatureOf, State, limits::MAX_REPORTS_PER_CANDIDATE, outcome::Outcome,
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

/// What a reporter signs. No nonce: one report per reporter and candidate counts, on every fork.
pub fn fisherman_payload(session: SessionIndex, candidate: CandidateHash, kind: ReportKind, bond: Balance) -> Vec<u8> {
    (REPORT_MAGIC, session, candidate, kind, bond).encode()
}

/// Why a report is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FishermanError {
    /// Not included, or its acceptance is over.
    #[error("candidate {0} is not in its acceptance period")]
    NotAccepting(CandidateHash),
    /// It has been judged.
    #[error("candidate {0} has been judged")]
    Judged(CandidateHash),
    /// The reporter has reported it.
    #[error("the reporter has reported candidate {0} already")]
    Known(CandidateHash),
    /// Too many have.
    #[error("{MAX_REPORTS_PER_CANDIDATE} reports on candidate {0} already")]
    TooMany(CandidateHash),
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

/// A report that counts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct BondedReport {
    pub(crate) reporter: AccountId,
    pub(crate) kind: ReportKind,
    pub(crate) bond: Balance,
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
    let (_, included) = state.validity.included(key).ok_or(FishermanError::NotAccepting(candidate))?;
    let dispute = state.validity.disputes.get(&key);
    if state.validity.settled.contains_key(&key) || dispute.is_some_and(|dispute| dispute.concluded().is_some()) {
        return Err(FishermanError::Judged(candidate));
    }
    if included.reports.iter().any(|known| known.reporter == report.reporter) {
        return Err(FishermanError::Known(candidate));
    }
    if included.reports.len() >= MAX_REPORTS_PER_CANDIDATE {
        return Err(FishermanError::TooMany(candidate));
    }
    let (found, needed) = (report.bond, state.slashing.bond_unit());
    if found < needed {
        return Err(FishermanError::BondSize { found, needed });
    }
    Arc::make_mut(&mut state.balances).reserve(report.reporter, report.bond)?;
    let message = fisherman_payload(report.session, candidate, report.kind, report.bond);
    let message = SignedMessage { public: report.reporter, message, signature: report.signature };
    signatures.push(SignatureOf::Fisherman(position), message);
    if let Some(included) = Arc::make_mut(&mut state.validity).included_mut(key) {
        included.reports.push(BondedReport { reporter: report.reporter, kind: report.kind, bond: report.bond });
    }
    if let Some(status) = state.approval_status(key.0, candidate) {
        outcome.validity.push(ValidityEvent::MoreChecks { candidate, needed: status.needed });
    }
    Ok(())
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
