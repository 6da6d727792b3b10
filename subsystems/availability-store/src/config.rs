//! How long things are kept.

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Times of the store (requirement AS-2; seed 001, Availability Store).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// How long things are kept that no block backs, counted from the moment they were stored, or from the moment it
    /// is certain that no block will include them.
    pub never_included: Duration,
    /// How long the whole data is kept after a block that included the candidate became final.
    pub data: Duration,
    /// How long chunks are kept after that.
    pub chunk: Duration,
    /// How long after inclusion checks and reports are accepted: no time may be shorter.
    pub acceptance_period: Duration,
    /// The pace of the timer that looks for what has outlived its time.
    pub prune_interval: Duration,
}

/// Times that would break the store's promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Something would be gone while others may still have to check it.
    #[error("{what} is {found:?}, expected at least the acceptance period of {acceptance_period:?}")]
    BelowAcceptancePeriod {
        /// Which time.
        what: &'static str,
        /// Its value.
        found: Duration,
        /// The least allowed.
        acceptance_period: Duration,
    },
    /// The timer would never rest.
    #[error("prune_interval is zero, expected more")]
    NoInterval,
}

impl StoreConfig {
    /// The times of requirement AS-2 (one hour, one day, one day and one hour) for a chain with this acceptance period.
    pub const fn new(acceptance_period: Duration) -> Self {
        Self {
            never_included: HOUR,
            data: DAY,
            chunk: DAY.saturating_add(HOUR),
            acceptance_period,
            prune_interval: Duration::from_secs(60),
        }
    }

    /// Checks the times against the acceptance period.
    ///
    /// # Errors
    /// [`ConfigError`] names the first time that is too short.
    pub fn check(&self) -> Result<(), ConfigError> {
        let times = [("never_included", self.never_included), ("data", self.data), ("chunk", self.chunk)];
        for (what, found) in times {
            if found < self.acceptance_period {
                let acceptance_period = self.acceptance_period;
                return Err(ConfigError::BelowAcceptancePeriod { what, found, acceptance_period });
            }
        }
        if self.prune_interval.is_zero() {
            return Err(ConfigError::NoInterval);
        }
        Ok(())
    }
}
