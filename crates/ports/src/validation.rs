use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use primitives::Hash;

/// Computing time of a validation function in backing, measured as CPU time of its process.
pub const BACKING_CPU_TIMEOUT: Duration = Duration::from_secs(2);
/// Computing time in approval and disputes. The gap to [`BACKING_CPU_TIMEOUT`] keeps honest machines of different speed
/// in agreement.
pub const APPROVAL_CPU_TIMEOUT: Duration = Duration::from_secs(12);

/// Why code is run; decides the computing time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExecutionPurpose {
    /// Backing: [`BACKING_CPU_TIMEOUT`].
    Backing,
    /// Approval and disputes: [`APPROVAL_CPU_TIMEOUT`].
    Approval,
}

impl ExecutionPurpose {
    /// The computing time allowed.
    pub fn cpu_timeout(self) -> Duration {
        match self {
            Self::Backing => BACKING_CPU_TIMEOUT,
            Self::Approval => APPROVAL_CPU_TIMEOUT,
        }
    }
}

/// One call of a validation function.
#[derive(Clone, Debug)]
pub struct ExecutionRequest {
    /// The validation code as registered, possibly compressed.
    pub code: Bytes,
    /// blake2b-256 of `code`; the key of the artifact cache.
    pub code_hash: Hash,
    /// SCALE of `ValidationParams`.
    pub params: Bytes,
    /// Why it runs.
    pub purpose: ExecutionPurpose,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidationError {
    /// The code or its output is at fault, the same on every machine: the candidate is invalid.
    #[error("validation function is invalid or failed: {0}")]
    Invalid(String),
    /// More computing time than allowed.
    #[error("validation function used more than {limit_ms} ms of computing time")]
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// The worker died or hung twice; not known whose fault it is. Never a vote in backing.
    #[error("validation worker died or hung: {0}")]
    Ambiguous(String),
    /// Our own fault (disk, spawn, overload). Never a vote.
    #[error("validation is not possible here: {0}")]
    Internal(String),
}

/// Runs validation functions outside the node's process.
#[async_trait]
pub trait ValidationBackend: Send + Sync {
    /// Prepares the code if it is new, runs it, and returns the SCALE of `ValidationResult`, undecoded.
    ///
    /// # Errors
    /// [`Invalid`](ValidationError::Invalid) and [`TimedOut`](ValidationError::TimedOut) are the code's fault;
    /// [`Ambiguous`](ValidationError::Ambiguous) and [`Internal`](ValidationError::Internal) may be ours, and are never
    /// a vote.
    ///
    /// # Cancel safety
    /// Dropping it gives the result up; what runs already may run to its end.
    ///
    /// # Back-pressure
    /// Waits for a free worker, then for the code: seconds. Call it from a job.
    async fn execute(&self, request: ExecutionRequest) -> Result<Bytes, ValidationError>;

    /// Prepares code ahead of its first use, and returns when it is prepared or cannot be. Failures come back from
    /// [`execute`](Self::execute).
    async fn prepare(&self, code: Bytes, code_hash: Hash);
}
