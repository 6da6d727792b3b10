//! Configuration module (RT-2): changes wait until the session changes, so that it is constant within one.
//!
//! Stores: the configuration in force and the pending one.
//!
//! Entry points: one per field ([`crate::ConfigurationChange`]), and one for all fields at once, governance only. A
//! change that breaks an invariant is refused whole.
//!
//! Order: first, at the begin of a block and at a session change; at the begin of a block it has nothing to do.

use codec::{Decode, Encode};
use primitives::{ConfigurationError, HostConfiguration};

/// The configuration in force and the one that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Configuration {
    active: HostConfiguration,
    pending: Option<HostConfiguration>,
}

impl Configuration {
    /// A configuration without changes to come.
    ///
    /// # Errors
    /// Which invariant `active` breaks.
    pub fn new(active: HostConfiguration) -> Result<Self, ConfigurationError> {
        active.check()?;
        Ok(Self { active, pending: None })
    }

    /// What is in force.
    pub const fn active(&self) -> &HostConfiguration {
        &self.active
    }

    /// What the next session starts with.
    pub fn upcoming(&self) -> &HostConfiguration {
        self.pending.as_ref().unwrap_or(&self.active)
    }

    /// Changes the configuration of the next session; changes of one session add up.
    ///
    /// # Errors
    /// Which invariant would break; then nothing changes.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut HostConfiguration)) -> Result<(), ConfigurationError> {
        let mut upcoming = self.upcoming().clone();
        change(&mut upcoming);
        upcoming.check()?;
        self.pending = Some(upcoming);
        Ok(())
    }

    /// Puts pending changes into force and tells what was before.
    pub(crate) fn on_session_change(&mut self) -> HostConfiguration {
        let previous = self.active.clone();
        if let Some(pending) = self.pending.take() {
            self.active = pending;
        }
        previous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_waits_for_the_session_change() {
        let mut configuration = Configuration::new(HostConfiguration::default()).unwrap();
        configuration.update(|c| c.max_pov_size = 7).unwrap();
        configuration.update(|c| c.max_code_size = 99).unwrap();
        assert_eq!(configuration.active(), &HostConfiguration::default());
        let previous = configuration.on_session_change();
        assert_eq!(previous, HostConfiguration::default());
        assert_eq!(configuration.active().max_pov_size, 7);
        assert_eq!(configuration.active().max_code_size, 99);
        assert_eq!(configuration.pending, None);
    }

    #[test]
    fn a_change_that_breaks_an_invariant_is_refused_whole() {
        let mut configuration = Configuration::new(HostConfiguration::default()).unwrap();
        configuration.update(|c| c.max_pov_size = 7).unwrap();
        let before = configuration.clone();
        assert_eq!(
            configuration.update(|c| c.chain_availability_period = 0),
            Err(ConfigurationError::OutOfRange {
                field: "chain_availability_period_blocks",
                found: 0,
                min: 1,
                max: 100_799
            })
        );
        assert!(configuration.update(|c| c.parachain_rotation_frequency = c.chain_availability_period).is_err());
        assert_eq!(configuration, before);
    }
}
