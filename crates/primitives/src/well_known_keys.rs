//! Storage keys under which parachain code looks up things in the relay chain's state (design §9).
//!
//! A value lies under twox-128 of the module's name and twox-128 of the item's; a map appends twox-64 of the
//! key and the key itself.

use codec::Encode;

use crate::{
    ParaId,
    hash::{twox_64, twox_128},
    messages::HrmpChannelId,
};

/// Key of a plain value, or prefix of a map.
pub fn storage_prefix(module: &str, item: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&twox_128(module.as_bytes()));
    key[16..].copy_from_slice(&twox_128(item.as_bytes()));
    key
}

fn map_key(module: &str, item: &str, key: &impl Encode) -> Vec<u8> {
    let key = key.encode();
    [&storage_prefix(module, item)[..], &twox_64(&key), &key].concat()
}

/// The current epoch: `u64`.
pub fn epoch_index() -> [u8; 32] {
    storage_prefix("Babe", "EpochIndex")
}

/// The current slot: [`crate::Slot`].
pub fn current_slot() -> [u8; 32] {
    storage_prefix("Babe", "CurrentSlot")
}

/// Randomness of the current block: `Option<[u8; 32]>`.
pub fn current_block_randomness() -> [u8; 32] {
    storage_prefix("Babe", "AuthorVrfRandomness")
}

/// Randomness of one epoch ago: `[u8; 32]`.
pub fn one_epoch_ago_randomness() -> [u8; 32] {
    storage_prefix("Babe", "NextRandomness")
}

/// Randomness of two epochs ago: `[u8; 32]`.
pub fn two_epochs_ago_randomness() -> [u8; 32] {
    storage_prefix("Babe", "Randomness")
}

/// Block authors with their weights: `Vec<([u8; 32], u64)>`.
pub fn authorities() -> [u8; 32] {
    storage_prefix("Babe", "Authorities")
}

/// Block authors of the next epoch: `Vec<([u8; 32], u64)>`.
pub fn next_authorities() -> [u8; 32] {
    storage_prefix("Babe", "NextAuthorities")
}

/// The active configuration: [`crate::AbridgedHostConfiguration`].
pub fn active_config() -> [u8; 32] {
    storage_prefix("Configuration", "ActiveConfig")
}

/// Head of a para: [`crate::HeadData`].
pub fn para_head(para: ParaId) -> Vec<u8> {
    map_key("Paras", "Heads", &para)
}

/// Whether a pending code upgrade goes ahead: [`crate::configuration::UpgradeGoAhead`].
pub fn upgrade_go_ahead_signal(para: ParaId) -> Vec<u8> {
    map_key("Paras", "UpgradeGoAheadSignal", &para)
}

/// Whether a para may not upgrade now: [`crate::configuration::UpgradeRestriction`].
pub fn upgrade_restriction_signal(para: ParaId) -> Vec<u8> {
    map_key("Paras", "UpgradeRestrictionSignal", &para)
}

/// Head of the chain over a para's downward messages: [`crate::Hash`].
pub fn dmq_mqc_head(para: ParaId) -> Vec<u8> {
    map_key("Dmp", "DownwardMessageQueueHeads", &para)
}

/// A channel between two paras: [`crate::configuration::AbridgedHrmpChannel`].
pub fn hrmp_channels(channel: HrmpChannelId) -> Vec<u8> {
    map_key("Hrmp", "HrmpChannels", &channel)
}

/// Senders of the channels that end at a para: `Vec<ParaId>`.
pub fn hrmp_ingress_channel_index(para: ParaId) -> Vec<u8> {
    map_key("Hrmp", "HrmpIngressChannelsIndex", &para)
}

/// Recipients of the channels that begin at a para: `Vec<ParaId>`.
pub fn hrmp_egress_channel_index(para: ParaId) -> Vec<u8> {
    map_key("Hrmp", "HrmpEgressChannelsIndex", &para)
}

/// Number and size of the messages in a para's upward queue: `(u32, u32)`. Superseded by
/// [`relay_dispatch_queue_remaining_capacity`], which older validation functions do not read.
pub fn relay_dispatch_queue_size(para: ParaId) -> Vec<u8> {
    map_key("Ump", "RelayDispatchQueueSize", &para)
}

/// How many upward messages, and bytes of them, still fit: `(u32, u32)`.
pub fn relay_dispatch_queue_remaining_capacity(para: ParaId) -> Vec<u8> {
    (b":relay_dispatch_queue_remaining_capacity", para).encode()
}
