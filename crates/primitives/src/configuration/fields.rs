//! The fields of the host's configuration, each with what is known of it: what it is for, its name among people with the
//! unit last, its default and its range. Checks, errors, chain specifications, their schema and their reference all go by
//! this one table.

use codec::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    BlockNumber,
    limits::{
        MAX_ACCEPTANCE_PERIOD, MAX_ANCESTRY_LEN, MAX_CODE_SIZE, MAX_CORES, MAX_DELAY_BLOCKS, MAX_HEAD_DATA_SIZE,
        MAX_POV_SIZE, MAX_QUEUE_BYTES, MAX_QUEUE_MESSAGES, MIN_CODE_SIZE,
    },
};

/// What is known of a field of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in files and errors, units last.
    pub name: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether it may be left open (`null`).
    pub is_optional: bool,
    /// Least that it may be.
    pub min: u32,
    /// Most that it may be.
    pub max: u32,
    get: fn(&HostConfiguration) -> Option<u32>,
    set: fn(&mut HostConfiguration, Option<u32>),
}

impl Field {
    /// Its value; `None` if it is left open.
    pub fn get(&self, configuration: &HostConfiguration) -> Option<u32> {
        (self.get)(configuration)
    }

    /// Sets it, whatever its range. Only an optional field can be left open: of another `None` is ignored.
    pub fn set(&self, configuration: &mut HostConfiguration, value: Option<u32>) {
        (self.set)(configuration, value);
    }

    /// What it is unless told otherwise.
    pub fn default_value(&self) -> Option<u32> {
        self.get(&HostConfiguration::default())
    }

    /// The field of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        FIELDS.iter().find(|field| field.name == name)
    }
}

/// A value that a field can have.
trait Value {
    const IS_OPTIONAL: bool;
    fn read(&self) -> Option<u32>;
    fn write(&mut self, value: Option<u32>);
}

impl Value for u32 {
    const IS_OPTIONAL: bool = false;

    fn read(&self) -> Option<u32> {
        Some(*self)
    }

    fn write(&mut self, value: Option<u32>) {
        if let Some(value) = value {
            *self = value;
        }
    }
}

impl Value for Option<u32> {
    const IS_OPTIONAL: bool = true;

    fn read(&self) -> Option<u32> {
        *self
    }

    fn write(&mut self, value: Option<u32>) {
        *self = value;
    }
}

macro_rules! fields {
    ($(
        $(#[doc = $help:literal])+
        $field:ident: $kind:ty = $default:expr, as $name:literal in $unit:literal from $min:tt to $max:expr;
    )+) => {
        /// Configuration of the parachain host. Changed by governance only, at session boundaries only.
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct HostConfiguration {$(
            $(#[doc = $help])+
            pub $field: $kind,
        )+}

        impl Default for HostConfiguration {
            /// For a development network of a few validators with short slots.
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        /// All fields of the configuration, in its order.
        pub const FIELDS: &[Field] = &[$(Field {
            name: $name,
            unit: $unit,
            help: concat!($($help),+),
            is_optional: <$kind as Value>::IS_OPTIONAL,
            min: $min,
            max: $max,
            get: |configuration| configuration.$field.read(),
            set: |configuration, value| configuration.$field.write(value),
        },)+];
    };
}

fields! {
    /// Blocks that must pass between two code upgrades of a para.
    validation_upgrade_frequency: BlockNumber = 20,
        as "validation_upgrade_frequency_blocks" in "blocks" from 0 to MAX_DELAY_BLOCKS;
    /// Blocks between the inclusion of a code upgrade and its activation.
    validation_upgrade_delay: BlockNumber = 5,
        as "validation_upgrade_delay_blocks" in "blocks" from 1 to MAX_DELAY_BLOCKS;
    /// Blocks after inclusion in which secondary checks and reports are accepted.
    acceptance_period: BlockNumber = 20,
        as "acceptance_period_blocks" in "blocks" from 0 to MAX_ACCEPTANCE_PERIOD;
    /// Largest validation code, in bytes.
    max_code_size: u32 = MAX_CODE_SIZE,
        as "max_code_size_bytes" in "bytes" from MIN_CODE_SIZE to MAX_CODE_SIZE;
    /// Largest head data, in bytes.
    max_head_data_size: u32 = 20 * 1024,
        as "max_head_data_size_bytes" in "bytes" from 1 to MAX_HEAD_DATA_SIZE;
    /// Largest proof of validity, in bytes.
    max_pov_size: u32 = MAX_POV_SIZE,
        as "max_pov_size_bytes" in "bytes" from 1 to MAX_POV_SIZE;
    /// Cores for parathreads.
    parathread_cores: u32 = 0,
        as "parathread_cores" in "cores" from 0 to MAX_CORES as u32;
    /// How often a parathread claim may fail before it is dropped.
    parathread_retries: u32 = 3,
        as "parathread_retries" in "times" from 0 to u32::MAX;
    /// Blocks between two rotations of the groups.
    parachain_rotation_frequency: BlockNumber = 10,
        as "parachain_rotation_frequency_blocks" in "blocks" from 2 to MAX_DELAY_BLOCKS;
    /// Blocks in which a parachain's candidate must become available.
    chain_availability_period: BlockNumber = 6,
        as "chain_availability_period_blocks" in "blocks" from 1 to MAX_DELAY_BLOCKS - 1;
    /// Blocks in which a parathread's candidate must become available.
    thread_availability_period: BlockNumber = 6,
        as "thread_availability_period_blocks" in "blocks" from 1 to MAX_DELAY_BLOCKS - 1;
    /// Blocks ahead for which parathreads are scheduled.
    scheduling_lookahead: u32 = 2,
        as "scheduling_lookahead_blocks" in "blocks" from 0 to u32::MAX;
    /// Backing votes needed of a group; none means more than half of it.
    minimum_backing_votes: Option<u32> = None,
        as "minimum_backing_votes" in "votes" from 1 to u32::MAX;
    /// How old a candidate's relay parent may be, in blocks before the block that backs it.
    allowed_ancestry_len: u32 = 2,
        as "allowed_ancestry_len_blocks" in "blocks" from 0 to MAX_ANCESTRY_LEN;
    /// How long a dispute stays open after its conclusion, in blocks.
    dispute_post_conclusion_period: BlockNumber = 10,
        as "dispute_post_conclusion_period_blocks" in "blocks" from 0 to MAX_DELAY_BLOCKS;
    /// Most messages in a para's upward queue.
    max_upward_queue_count: u32 = 1024,
        as "max_upward_queue_messages" in "messages" from 0 to MAX_QUEUE_MESSAGES;
    /// Most bytes in a para's upward queue.
    max_upward_queue_size: u32 = 1024 * 1024,
        as "max_upward_queue_size_bytes" in "bytes" from 0 to MAX_QUEUE_BYTES;
    /// Largest upward message, in bytes.
    max_upward_message_size: u32 = 50 * 1024,
        as "max_upward_message_size_bytes" in "bytes" from 0 to MAX_QUEUE_BYTES;
    /// Most upward messages of a candidate.
    max_upward_message_num_per_candidate: u32 = 16,
        as "max_upward_messages_per_candidate" in "messages" from 0 to u32::MAX;
    /// Largest downward message, in bytes.
    max_downward_message_size: u32 = 50 * 1024,
        as "max_downward_message_size_bytes" in "bytes" from 0 to MAX_QUEUE_BYTES;
    /// Most horizontal messages of a candidate.
    hrmp_max_message_num_per_candidate: u32 = 10,
        as "max_horizontal_messages_per_candidate" in "messages" from 0 to u32::MAX;
    /// Most messages in a horizontal channel.
    hrmp_channel_max_capacity: u32 = 25,
        as "horizontal_channel_capacity_messages" in "messages" from 0 to MAX_QUEUE_MESSAGES;
    /// Most bytes in a horizontal channel.
    hrmp_channel_max_total_size: u32 = 100 * 1024,
        as "horizontal_channel_size_bytes" in "bytes" from 0 to MAX_QUEUE_BYTES;
    /// Largest horizontal message, in bytes.
    hrmp_channel_max_message_size: u32 = 50 * 1024,
        as "max_horizontal_message_size_bytes" in "bytes" from 0 to MAX_QUEUE_BYTES;
}
