//! The host's configuration as people write it: each field's name with its unit, what it is for, and its default.
//!
//! What stands here as a comment is what `parahost chain-spec` prints and what the schema and the reference say; a test
//! holds it to the comments of [`HostConfiguration`].

use primitives::HostConfiguration;

/// A field of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in the file, units last.
    pub name: &'static str,
    /// Its name in [`HostConfiguration`].
    pub field: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether it may be left open (`null`).
    pub is_optional: bool,
    get: fn(&HostConfiguration) -> Option<u32>,
    set: fn(&mut HostConfiguration, Option<u32>),
}

impl Field {
    /// Its value; `None` if it is left open.
    pub fn get(&self, configuration: &HostConfiguration) -> Option<u32> {
        (self.get)(configuration)
    }

    /// Sets it. Only an optional field can be left open: of another `None` is ignored.
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

const fn is_optional<T: Value>(_of: fn(&HostConfiguration) -> &T) -> bool {
    T::IS_OPTIONAL
}

macro_rules! fields {
    ($($(#[doc = $help:literal])+ $field:ident as $name:literal in $unit:literal,)+) => {
        /// All fields of the configuration, in its order.
        pub const FIELDS: &[Field] = &[$(Field {
            name: $name,
            field: stringify!($field),
            unit: $unit,
            help: concat!($($help),+),
            is_optional: is_optional(|configuration| &configuration.$field),
            get: |configuration| configuration.$field.read(),
            set: |configuration, value| configuration.$field.write(value),
        },)+];
    };
}

fields! {
    /// Blocks that must pass between two code upgrades of a para.
    validation_upgrade_frequency as "validation_upgrade_frequency_blocks" in "blocks",
    /// Blocks between the inclusion of a code upgrade and its activation.
    validation_upgrade_delay as "validation_upgrade_delay_blocks" in "blocks",
    /// Blocks after inclusion in which secondary checks and reports are accepted.
    acceptance_period as "acceptance_period_blocks" in "blocks",
    /// Largest validation code, in bytes.
    max_code_size as "max_code_size_bytes" in "bytes",
    /// Largest head data, in bytes.
    max_head_data_size as "max_head_data_size_bytes" in "bytes",
    /// Largest proof of validity, in bytes.
    max_pov_size as "max_pov_size_bytes" in "bytes",
    /// Cores for parathreads.
    parathread_cores as "parathread_cores" in "cores",
    /// How often a parathread claim may fail before it is dropped.
    parathread_retries as "parathread_retries" in "times",
    /// Blocks between two rotations of the groups.
    parachain_rotation_frequency as "parachain_rotation_frequency_blocks" in "blocks",
    /// Blocks in which a parachain's candidate must become available.
    chain_availability_period as "chain_availability_period_blocks" in "blocks",
    /// Blocks in which a parathread's candidate must become available.
    thread_availability_period as "thread_availability_period_blocks" in "blocks",
    /// Blocks ahead for which parathreads are scheduled.
    scheduling_lookahead as "scheduling_lookahead_blocks" in "blocks",
    /// Backing votes needed of a group; none means more than half of it.
    minimum_backing_votes as "minimum_backing_votes" in "votes",
    /// How old a candidate's relay parent may be, in blocks before the block that backs it.
    allowed_ancestry_len as "allowed_ancestry_len_blocks" in "blocks",
    /// How long a dispute stays open after its conclusion, in blocks.
    dispute_post_conclusion_period as "dispute_post_conclusion_period_blocks" in "blocks",
    /// Most messages in a para's upward queue.
    max_upward_queue_count as "max_upward_queue_messages" in "messages",
    /// Most bytes in a para's upward queue.
    max_upward_queue_size as "max_upward_queue_size_bytes" in "bytes",
    /// Largest upward message, in bytes.
    max_upward_message_size as "max_upward_message_size_bytes" in "bytes",
    /// Most upward messages of a candidate.
    max_upward_message_num_per_candidate as "max_upward_messages_per_candidate" in "messages",
    /// Largest downward message, in bytes.
    max_downward_message_size as "max_downward_message_size_bytes" in "bytes",
    /// Most horizontal messages of a candidate.
    hrmp_max_message_num_per_candidate as "max_horizontal_messages_per_candidate" in "messages",
    /// Most messages in a horizontal channel.
    hrmp_channel_max_capacity as "horizontal_channel_capacity_messages" in "messages",
    /// Most bytes in a horizontal channel.
    hrmp_channel_max_total_size as "horizontal_channel_size_bytes" in "bytes",
    /// Largest horizontal message, in bytes.
    hrmp_channel_max_message_size as "max_horizontal_message_size_bytes" in "bytes",
}
