//! Every bound of this crate, with its reason.

/// Jobs at once: each checks and submits one accusation, or checks one disagreement.
pub const JOBS_MAX: usize = 256;

/// Accusations remembered, so that none is submitted twice. The oldest sessions go first.
pub const REPORTS_MAX: usize = 4096;

/// Sessions before the newest for which accusations and disagreements are kept.
pub const SESSIONS_KEPT: u32 = 6;

/// Attempts to submit one report.
pub const SUBMIT_ATTEMPTS: u32 = 5;

/// Attempts to learn the session of a relay parent.
pub const SESSION_ATTEMPTS: u32 = 5;

/// Pause between two attempts, in milliseconds.
pub const RETRY_MS: u64 = 1000;

/// Time for all of one job, in milliseconds.
pub const JOB_TIME_MAX_MS: u64 = 60_000;

/// Candidates in disagreement kept for disputes later.
pub const DISAGREEMENTS_MAX: usize = 256;

/// Candidates in disagreement that one validator may have called invalid: an unproven accusation is free, so that their
/// number must not be.
pub const DISAGREEMENTS_PER_ACCUSER_MAX: usize = 8;

/// Statements kept on one candidate in disagreement.
pub const STATEMENTS_MAX: usize = 256;

const _: () = assert!(DISAGREEMENTS_PER_ACCUSER_MAX <= DISAGREEMENTS_MAX);
const _: () = assert!(JOBS_MAX <= jobs::SCOPES_MAX);
