//! Configuration's entry points (RT-2): one per field of [`HostConfiguration`], for governance only.

use codec::{Decode, Encode};
use primitives::{BlockNumber, HostConfiguration};

macro_rules! entry_points {
    ($($(#[$doc:meta])* $index:literal $variant:ident($field:ident: $kind:ty),)*) => {
        /// A new value for one field of the next session's configuration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
        pub enum ConfigurationChange {
            $($(#[$doc])* #[codec(index = $index)] $variant($kind),)*
        }

        impl ConfigurationChange {
            /// The field's name.
            pub const fn field(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($field),)*
                }
            }

            /// Sets the field.
            pub(crate) fn apply(self, configuration: &mut HostConfiguration) {
                match self {
                    $(Self::$variant(value) => configuration.$field = value,)*
                }
            }

            /// Every change that `to` needs, whatever was there before: the compiler misses no field.
            pub fn all(to: &HostConfiguration) -> Vec<Self> {
                let HostConfiguration { $($field,)* } = to.clone();
                vec![$(Self::$variant($field),)*]
            }
        }
    };
}

entry_points! {
    /// Blocks between two code upgrades of a para.
    0 ValidationUpgradeFrequency(validation_upgrade_frequency: BlockNumber),
    /// Blocks between the inclusion of an upgrade and its activation.
    1 ValidationUpgradeDelay(validation_upgrade_delay: BlockNumber),
    /// Blocks in which checks and reports are accepted.
    2 AcceptancePeriod(acceptance_period: BlockNumber),
    /// Largest code, in bytes.
    3 MaxCodeSize(max_code_size: u32),
    /// Largest head, in bytes.
    4 MaxHeadDataSize(max_head_data_size: u32),
    /// Largest proof of validity, in bytes.
    5 MaxPovSize(max_pov_size: u32),
    /// Cores for parathreads.
    6 ParathreadCores(parathread_cores: u32),
    /// How often a claim may fail.
    7 ParathreadRetries(parathread_retries: u32),
    /// Blocks between two rotations.
    8 ParachainRotationFrequency(parachain_rotation_frequency: BlockNumber),
    /// Blocks in which a parachain's candidate must become available.
    9 ChainAvailabilityPeriod(chain_availability_period: BlockNumber),
    /// Blocks in which a parathread's candidate must become available.
    10 ThreadAvailabilityPeriod(thread_availability_period: BlockNumber),
    /// Blocks ahead for which parathreads are scheduled.
    11 SchedulingLookahead(scheduling_lookahead: u32),
    /// Backing votes needed of a group.
    12 MinimumBackingVotes(minimum_backing_votes: Option<u32>),
    /// How old a relay parent may be, in blocks.
    13 AllowedAncestryLen(allowed_ancestry_len: u32),
    /// How long a dispute stays open after its conclusion, in blocks.
    14 DisputePostConclusionPeriod(dispute_post_conclusion_period: BlockNumber),
    /// Most messages in an upward queue.
    15 MaxUpwardQueueCount(max_upward_queue_count: u32),
    /// Most bytes in an upward queue.
    16 MaxUpwardQueueSize(max_upward_queue_size: u32),
    /// Largest upward message, in bytes.
    17 MaxUpwardMessageSize(max_upward_message_size: u32),
    /// Most upward messages of a candidate.
    18 MaxUpwardMessageNumPerCandidate(max_upward_message_num_per_candidate: u32),
    /// Largest downward message, in bytes.
    19 MaxDownwardMessageSize(max_downward_message_size: u32),
    /// Most horizontal messages of a candidate.
    20 HrmpMaxMessageNumPerCandidate(hrmp_max_message_num_per_candidate: u32),
    /// Most messages in a channel.
    21 HrmpChannelMaxCapacity(hrmp_channel_max_capacity: u32),
    /// Most bytes in a channel.
    22 HrmpChannelMaxTotalSize(hrmp_channel_max_total_size: u32),
    /// Largest horizontal message, in bytes.
    23 HrmpChannelMaxMessageSize(hrmp_channel_max_message_size: u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_an_entry_point_that_changes_it_alone() {
        let before = HostConfiguration::default();
        let other = HostConfiguration {
            validation_upgrade_frequency: 901,
            validation_upgrade_delay: 902,
            acceptance_period: 903,
            max_code_size: 904,
            max_head_data_size: 905,
            max_pov_size: 906,
            parathread_cores: 907,
            parathread_retries: 908,
            parachain_rotation_frequency: 909,
            chain_availability_period: 910,
            thread_availability_period: 911,
            scheduling_lookahead: 912,
            minimum_backing_votes: Some(913),
            allowed_ancestry_len: 914,
            dispute_post_conclusion_period: 915,
            max_upward_queue_count: 916,
            max_upward_queue_size: 917,
            max_upward_message_size: 918,
            max_upward_message_num_per_candidate: 919,
            max_downward_message_size: 920,
            hrmp_max_message_num_per_candidate: 921,
            hrmp_channel_max_capacity: 922,
            hrmp_channel_max_total_size: 923,
            hrmp_channel_max_message_size: 924,
        };
        let mut all = before.clone();
        let mut seen = std::collections::BTreeSet::new();
        for change in ConfigurationChange::all(&other) {
            let mut one = before.clone();
            change.apply(&mut one);
            assert_ne!(one, before, "{}", change.field());
            assert!(seen.insert(one.encode()), "{} changes what another one does", change.field());
            change.apply(&mut all);
        }
        assert_eq!(all, other);
    }
}
