//! The host's configuration, and what parachain code sees of it.

mod fields;

use codec::{Decode, Encode};

use crate::{BlockNumber, Hash};

pub use fields::{FIELDS, Field, HostConfiguration};

/// Which invariant a configuration breaks (requirement RT-2). Fields are named as in a chain specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// A field is above what the protocol can carry, or below what makes sense.
    #[error("{field} is {found}, expected {min} to {max}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u32,
        /// Least allowed.
        min: u32,
        /// Most allowed.
        max: u32,
    },
    /// Groups would rotate away before a candidate can time out.
    #[error("parachain_rotation_frequency_blocks is {rotation}, expected more than {field}, which is {period}")]
    RotationTooFast {
        /// The rotation frequency, in blocks.
        rotation: BlockNumber,
        /// Which availability period.
        field: &'static str,
        /// It, in blocks.
        period: BlockNumber,
    },
    /// Groups would never rotate, so that no candidate could time out and one group would serve a core throughout.
    #[error(
        "parachain_rotation_frequency_blocks is {rotation}, expected less than the session's {session_length} blocks"
    )]
    RotationTooSlow {
        /// The rotation frequency, in blocks.
        rotation: BlockNumber,
        /// The length of sessions, in blocks.
        session_length: BlockNumber,
    },
    /// There are cores for parathreads, and nobody could wait for them.
    #[error("scheduling_lookahead_blocks is 0, expected at least 1 with parathread_cores, which is {parathread_cores}")]
    NoLookahead {
        /// Cores for parathreads.
        parathread_cores: u32,
    },
}

impl HostConfiguration {
    /// The default, with the periods that must be shorter than a session of so many blocks (3 at least) cut for it.
    pub fn for_sessions(session_length: BlockNumber) -> Self {
        let all = Self::default();
        let parachain_rotation_frequency = all.parachain_rotation_frequency.min(session_length / 2).max(2);
        let cut = |period: BlockNumber| period.min(parachain_rotation_frequency - 1);
        Self {
            parachain_rotation_frequency,
            chain_availability_period: cut(all.chain_availability_period),
            thread_availability_period: cut(all.thread_availability_period),
            ..all
        }
    }

    /// Checks that groups rotate within a session of so many blocks.
    ///
    /// # Errors
    /// [`ConfigurationError::RotationTooSlow`].
    pub const fn check_in_sessions(&self, session_length: BlockNumber) -> Result<(), ConfigurationError> {
        let rotation = self.parachain_rotation_frequency;
        if rotation >= session_length {
            return Err(ConfigurationError::RotationTooSlow { rotation, session_length });
        }
        Ok(())
    }

    /// Checks each field's range, and what holds between the fields.
    ///
    /// # Errors
    /// The first [`ConfigurationError`] found.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        for field in FIELDS {
            let (min, max) = (field.min, field.max);
            if let Some(found) = field.get(self)
                && !(min..=max).contains(&found)
            {
                return Err(ConfigurationError::OutOfRange { field: field.name, found, min, max });
            }
        }
        let rotation = self.parachain_rotation_frequency;
        let periods = [
            ("chain_availability_period_blocks", self.chain_availability_period),
            ("thread_availability_period_blocks", self.thread_availability_period),
        ];
        if let Some((field, period)) = periods.into_iter().find(|(_, period)| rotation <= *period) {
            return Err(ConfigurationError::RotationTooFast { rotation, field, period });
        }
        if self.parathread_cores > 0 && self.scheduling_lookahead == 0 {
            return Err(ConfigurationError::NoLookahead { parathread_cores: self.parathread_cores });
        }
        Ok(())
    }

    /// The part that parachain code reads.
    pub const fn abridged(&self) -> AbridgedHostConfiguration {
        AbridgedHostConfiguration {
            max_code_size: self.max_code_size,
            max_head_data_size: self.max_head_data_size,
            max_upward_queue_count: self.max_upward_queue_count,
            max_upward_queue_size: self.max_upward_queue_size,
            max_upward_message_size: self.max_upward_message_size,
            max_upward_message_num_per_candidate: self.max_upward_message_num_per_candidate,
            hrmp_max_message_num_per_candidate: self.hrmp_max_message_num_per_candidate,
            validation_upgrade_cooldown: self.validation_upgrade_frequency,
            validation_upgrade_delay: self.validation_upgrade_delay,
            async_backing_params: AsyncBackingParams {
                max_candidate_depth: 0,
                allowed_ancestry_len: self.allowed_ancestry_len,
            },
        }
    }
}

/// The configuration as parachain code reads it from the relay chain's state.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AbridgedHostConfiguration {
    /// Largest validation code, in bytes.
    pub max_code_size: u32,
    /// Largest head data, in bytes.
    pub max_head_data_size: u32,
    /// Most messages in a para's upward queue.
    pub max_upward_queue_count: u32,
    /// Most bytes in a para's upward queue.
    pub max_upward_queue_size: u32,
    /// Largest upward message, in bytes.
    pub max_upward_message_size: u32,
    /// Most upward messages of a candidate.
    pub max_upward_message_num_per_candidate: u32,
    /// Most horizontal messages of a candidate.
    pub hrmp_max_message_num_per_candidate: u32,
    /// Blocks that must pass between two code upgrades.
    pub validation_upgrade_cooldown: BlockNumber,
    /// Blocks between a code upgrade and its activation.
    pub validation_upgrade_delay: BlockNumber,
    /// How far backing may run ahead.
    pub async_backing_params: AsyncBackingParams,
}

/// How far backing may run ahead of inclusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AsyncBackingParams {
    /// Candidates between the included head and the newest one, less one.
    pub max_candidate_depth: u32,
    /// How old a relay parent may be, in blocks.
    pub allowed_ancestry_len: u32,
}

/// A horizontal channel as parachain code reads it from the relay chain's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AbridgedHrmpChannel {
    /// Most messages in the channel.
    pub max_capacity: u32,
    /// Most bytes in the channel.
    pub max_total_size: u32,
    /// Largest message, in bytes.
    pub max_message_size: u32,
    /// Messages in the channel.
    pub msg_count: u32,
    /// Bytes in the channel.
    pub total_size: u32,
    /// Head of the chain over its messages; none before the first.
    pub mqc_head: Option<Hash>,
}

/// Why a para may not upgrade its code now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum UpgradeRestriction {
    /// It may not.
    #[codec(index = 0)]
    Present,
}

/// What becomes of a pending code upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum UpgradeGoAhead {
    /// It is dropped.
    #[codec(index = 0)]
    Abort,
    /// It is applied.
    #[codec(index = 1)]
    GoAhead,
}
