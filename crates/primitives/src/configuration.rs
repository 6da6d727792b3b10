//! The host's configuration, and what parachain code sees of it.

use codec::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    BlockNumber, Hash,
    limits::{
        MAX_ACCEPTANCE_PERIOD, MAX_ANCESTRY_LEN, MAX_CODE_SIZE, MAX_CORES, MAX_DELAY_BLOCKS, MAX_HEAD_DATA_SIZE,
        MAX_POV_SIZE, MAX_QUEUE_BYTES, MAX_QUEUE_MESSAGES, MIN_CODE_SIZE,
    },
};

/// Configuration of the parachain host. Changed by governance only, at session boundaries only.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfiguration {
    /// Blocks that must pass between two code upgrades of a para.
    pub validation_upgrade_frequency: BlockNumber,
    /// Blocks between the inclusion of a code upgrade and its activation.
    pub validation_upgrade_delay: BlockNumber,
    /// Blocks after inclusion in which secondary checks and reports are accepted.
    pub acceptance_period: BlockNumber,
    /// Largest validation code, in bytes.
    pub max_code_size: u32,
    /// Largest head data, in bytes.
    pub max_head_data_size: u32,
    /// Largest proof of validity, in bytes.
    pub max_pov_size: u32,
    /// Cores for parathreads.
    pub parathread_cores: u32,
    /// How often a parathread claim may fail before it is dropped.
    pub parathread_retries: u32,
    /// Blocks between two rotations of the groups.
    pub parachain_rotation_frequency: BlockNumber,
    /// Blocks in which a parachain's candidate must become available.
    pub chain_availability_period: BlockNumber,
    /// Blocks in which a parathread's candidate must become available.
    pub thread_availability_period: BlockNumber,
    /// Blocks ahead for which parathreads are scheduled.
    pub scheduling_lookahead: u32,
    /// Backing votes needed of a group; none means more than half of it.
    pub minimum_backing_votes: Option<u32>,
    /// How old a candidate's relay parent may be, in blocks before the block that backs it.
    pub allowed_ancestry_len: u32,
    /// How long a dispute stays open after its conclusion, in blocks.
    pub dispute_post_conclusion_period: BlockNumber,
    /// Most messages in a para's upward queue.
    pub max_upward_queue_count: u32,
    /// Most bytes in a para's upward queue.
    pub max_upward_queue_size: u32,
    /// Largest upward message, in bytes.
    pub max_upward_message_size: u32,
    /// Most upward messages of a candidate.
    pub max_upward_message_num_per_candidate: u32,
    /// Largest downward message, in bytes.
    pub max_downward_message_size: u32,
    /// Most horizontal messages of a candidate.
    pub hrmp_max_message_num_per_candidate: u32,
    /// Most messages in a horizontal channel.
    pub hrmp_channel_max_capacity: u32,
    /// Most bytes in a horizontal channel.
    pub hrmp_channel_max_total_size: u32,
    /// Largest horizontal message, in bytes.
    pub hrmp_channel_max_message_size: u32,
}

impl Default for HostConfiguration {
    /// For a development network of a few validators with short slots.
    fn default() -> Self {
        Self {
            validation_upgrade_frequency: 20,
            validation_upgrade_delay: 5,
            acceptance_period: 20,
            max_code_size: MAX_CODE_SIZE,
            max_head_data_size: 20 * 1024,
            max_pov_size: MAX_POV_SIZE,
            parathread_cores: 0,
            parathread_retries: 3,
            parachain_rotation_frequency: 10,
            chain_availability_period: 6,
            thread_availability_period: 6,
            scheduling_lookahead: 2,
            minimum_backing_votes: None,
            allowed_ancestry_len: 2,
            dispute_post_conclusion_period: 10,
            max_upward_queue_count: 1024,
            max_upward_queue_size: 1024 * 1024,
            max_upward_message_size: 50 * 1024,
            max_upward_message_num_per_candidate: 16,
            max_downward_message_size: 50 * 1024,
            hrmp_max_message_num_per_candidate: 10,
            hrmp_channel_max_capacity: 25,
            hrmp_channel_max_total_size: 100 * 1024,
            hrmp_channel_max_message_size: 50 * 1024,
        }
    }
}

/// Which invariant a configuration breaks (requirement RT-2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// A number that must not be zero is.
    #[error("{0} must not be 0")]
    Zero(&'static str),
    /// A limit is above what the protocol can carry, or below what makes sense.
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
    #[error("parachain_rotation_frequency {rotation} must be greater than {field} {period}")]
    RotationTooFast {
        /// The rotation frequency, in blocks.
        rotation: BlockNumber,
        /// Which availability period.
        field: &'static str,
        /// It, in blocks.
        period: BlockNumber,
    },
    /// Groups would never rotate, so that no candidate could time out and one group would serve a core throughout.
    #[error("parachain_rotation_frequency {rotation} must be less than the session length {session_length}")]
    RotationTooSlow {
        /// The rotation frequency, in blocks.
        rotation: BlockNumber,
        /// The length of sessions, in blocks.
        session_length: BlockNumber,
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

    /// Checks the invariants that hold between the fields.
    ///
    /// # Errors
    /// The first [`ConfigurationError`] found.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        let periods = [
            ("chain_availability_period", self.chain_availability_period),
            ("thread_availability_period", self.thread_availability_period),
        ];
        for (field, period) in periods {
            if period == 0 {
                return Err(ConfigurationError::Zero(field));
            }
            let rotation = self.parachain_rotation_frequency;
            if rotation <= period {
                return Err(ConfigurationError::RotationTooFast { rotation, field, period });
            }
        }
        let ranges = [
            ("acceptance_period", self.acceptance_period, 0, MAX_ACCEPTANCE_PERIOD),
            ("allowed_ancestry_len", self.allowed_ancestry_len, 0, MAX_ANCESTRY_LEN),
            ("dispute_post_conclusion_period", self.dispute_post_conclusion_period, 0, MAX_DELAY_BLOCKS),
            ("validation_upgrade_delay", self.validation_upgrade_delay, 1, MAX_DELAY_BLOCKS),
            ("validation_upgrade_frequency", self.validation_upgrade_frequency, 0, MAX_DELAY_BLOCKS),
            // The availability periods are below it.
            ("parachain_rotation_frequency", self.parachain_rotation_frequency, 2, MAX_DELAY_BLOCKS),
            ("max_upward_queue_count", self.max_upward_queue_count, 0, MAX_QUEUE_MESSAGES),
            ("max_upward_queue_size", self.max_upward_queue_size, 0, MAX_QUEUE_BYTES),
            ("max_upward_message_size", self.max_upward_message_size, 0, MAX_QUEUE_BYTES),
            ("max_downward_message_size", self.max_downward_message_size, 0, MAX_QUEUE_BYTES),
            ("hrmp_channel_max_capacity", self.hrmp_channel_max_capacity, 0, MAX_QUEUE_MESSAGES),
            ("hrmp_channel_max_total_size", self.hrmp_channel_max_total_size, 0, MAX_QUEUE_BYTES),
            ("hrmp_channel_max_message_size", self.hrmp_channel_max_message_size, 0, MAX_QUEUE_BYTES),
            ("max_code_size", self.max_code_size, MIN_CODE_SIZE, MAX_CODE_SIZE),
            ("max_head_data_size", self.max_head_data_size, 1, MAX_HEAD_DATA_SIZE),
            ("max_pov_size", self.max_pov_size, 1, MAX_POV_SIZE),
            ("parathread_cores", self.parathread_cores, 0, MAX_CORES as u32),
        ];
        for (field, found, min, max) in ranges {
            if found < min || found > max {
                return Err(ConfigurationError::OutOfRange { field, found, min, max });
            }
        }
        if self.parathread_cores > 0 && self.scheduling_lookahead == 0 {
            // Nobody could wait for the cores.
            let (field, found) = ("scheduling_lookahead", self.scheduling_lookahead);
            return Err(ConfigurationError::OutOfRange { field, found, min: 1, max: u32::MAX });
        }
        if self.minimum_backing_votes == Some(0) {
            return Err(ConfigurationError::Zero("minimum_backing_votes"));
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
