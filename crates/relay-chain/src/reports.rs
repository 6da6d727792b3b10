//! Misbehavior reports that wait for a block. Pure.
//!
//! **Limits**: [`REPORTS_MAX`] reports, one per session, validator and contradiction; of one validator in one session no
//! more than the chain takes.

use std::collections::BTreeMap;

use primitives::{MisbehaviorError, MisbehaviorKind, MisbehaviorReport, SessionIndex, ValidatorId, ValidatorIndex};
use runtime::limits::MAX_OFFENCES_PER_SESSION;

/// Reports that wait at once.
pub const REPORTS_MAX: usize = 256;

/// Why a report is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefused {
    /// It proves nothing.
    #[error(transparent)]
    NoProof(#[from] MisbehaviorError),
    /// Its session is too long ago, or has not been.
    #[error("validators of session {0} are not known")]
    UnknownSession(SessionIndex),
    /// There is no such validator in its session.
    #[error("session {session} has no validator {validator}")]
    UnknownValidator {
        /// The session.
        session: SessionIndex,
        /// The accused.
        validator: ValidatorIndex,
    },
    /// Too many of one validator wait.
    #[error("{MAX_OFFENCES_PER_SESSION} reports of validator {validator} in session {session} wait already")]
    Enough {
        /// The session.
        session: SessionIndex,
        /// The accused.
        validator: ValidatorIndex,
    },
    /// Too many wait.
    #[error("{REPORTS_MAX} reports wait already")]
    Full,
}

impl ReportRefused {
    /// Whether whoever sent the report is to blame; sessions are seen at different times by different nodes.
    pub fn is_offence(&self) -> bool {
        matches!(self, Self::NoProof(_))
    }
}

type Key = (SessionIndex, ValidatorIndex, MisbehaviorKind);

/// Reports that wait.
#[derive(Clone, Debug, Default)]
pub struct ReportPool {
    waiting: BTreeMap<Key, MisbehaviorReport>,
}

impl ReportPool {
    /// Checks a report against the validators of its session (`None` if they are not known) and keeps it. Returns
    /// whether it was new.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn add(
        &mut self,
        report: MisbehaviorReport,
        validators: Option<&[ValidatorId]>,
    ) -> Result<bool, ReportRefused> {
        let kind = report.kind()?;
        let (session, validator) = (report.session_index(), report.validator_index);
        let key = (session, validator, kind);
        if self.waiting.contains_key(&key) {
            return Ok(false);
        }
        let validators = validators.ok_or(ReportRefused::UnknownSession(session))?;
        let accused =
            validators.get(validator.as_usize()).ok_or(ReportRefused::UnknownValidator { session, validator })?;
        let of_the_same = self.waiting.keys().filter(|key| (key.0, key.1) == (session, validator)).count();
        if of_the_same >= MAX_OFFENCES_PER_SESSION {
            return Err(ReportRefused::Enough { session, validator });
        }
        if self.waiting.len() >= REPORTS_MAX {
            return Err(ReportRefused::Full);
        }
        report.verify(accused)?;
        self.waiting.insert(key, report);
        Ok(true)
    }

    /// Forgets the reports that are not wanted any more.
    pub fn retain(&mut self, wanted: impl Fn(&MisbehaviorReport) -> bool) {
        self.waiting.retain(|_, report| wanted(report));
    }

    /// All that wait, in the order of their keys.
    pub fn all(&self) -> impl Iterator<Item = &MisbehaviorReport> {
        self.waiting.values()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
