//! Misbehavior reports: self-contained proofs that a validator contradicted itself, each contradiction slashed once.
//!
//! Stores: nothing. What is known stands in slashing.
//!
//! Entry points: the report, as an extrinsic. Anybody may bring one; both statements carry the accused's signature.
//!
//! Order: where it stands among the extrinsics. Validators of this session and of the one before can be reported.

use primitives::{
    MisbehaviorError, MisbehaviorKind, MisbehaviorReport, SessionIndex, SignedMessage, ValidatorId, ValidatorIndex,
};

use crate::{State, limits::MAX_OFFENCES_PER_SESSION};

/// Why a report is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The two statements prove nothing.
    #[error(transparent)]
    NoProof(#[from] MisbehaviorError),
    /// The session is too long ago, or has not been.
    #[error("validators of session {0} are not known")]
    UnknownSession(SessionIndex),
    /// There is no such validator in that session.
    #[error("session {session} has no validator {validator}")]
    UnknownValidator {
        /// The session.
        session: SessionIndex,
        /// The accused.
        validator: ValidatorIndex,
    },
    /// This has been slashed already.
    #[error("{kind:?} of validator {validator} in session {session} is already known")]
    AlreadyReported {
        /// The session.
        session: SessionIndex,
        /// The accused.
        validator: ValidatorIndex,
        /// What was proven.
        kind: MisbehaviorKind,
    },
    /// What has been proven has taken all of the stake.
    #[error("{MAX_OFFENCES_PER_SESSION} offences of validator {validator} in session {session} are known")]
    Enough {
        /// The session.
        session: SessionIndex,
        /// The accused.
        validator: ValidatorIndex,
    },
}

/// A report that needs only its signatures to hold.
pub(crate) struct CheckedReport {
    pub(crate) session: SessionIndex,
    pub(crate) validator_index: ValidatorIndex,
    pub(crate) validator: ValidatorId,
    pub(crate) kind: MisbehaviorKind,
    pub(crate) signatures: [SignedMessage; 2],
}

/// Checks all of a report but its signatures.
pub(crate) fn check_report(state: &State, report: &MisbehaviorReport) -> Result<CheckedReport, ReportError> {
    let kind = report.kind()?;
    let session = report.session_index();
    let validator_index = report.validator_index;
    let validators = state.session.validators_of(session).ok_or(ReportError::UnknownSession(session))?;
    let validator = *validators
        .get(validator_index.as_usize())
        .ok_or(ReportError::UnknownValidator { session, validator: validator_index })?;
    if state.slashing.is_known(session, validator_index, kind) {
        return Err(ReportError::AlreadyReported { session, validator: validator_index, kind });
    }
    if state.slashing.offences_of(session, validator_index) >= MAX_OFFENCES_PER_SESSION {
        return Err(ReportError::Enough { session, validator: validator_index });
    }
    let signatures = report.messages(&validator);
    Ok(CheckedReport { session, validator_index, validator, kind, signatures })
}
