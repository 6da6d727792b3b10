//! Limits of the state machine, beside those of [`primitives::limits`].

use crate::Balance;

/// Most extrinsics of a block: the inherent, misbehavior reports, and other transactions.
pub const MAX_EXTRINSICS: usize = 1 + MAX_REPORTS_PER_BLOCK + MAX_TRANSACTIONS_PER_BLOCK;
/// Most transactions of a block beside misbehavior reports: a secondary check of each of 100 candidates by ten
/// validators, and as much again.
pub const MAX_TRANSACTIONS_PER_BLOCK: usize = 2048;
/// Most misbehavior reports of a block: each costs two signature checks.
pub const MAX_REPORTS_PER_BLOCK: usize = 64;
/// Most proven offences of one validator in one session: they take all of its stake, more would take nothing.
pub const MAX_OFFENCES_PER_SESSION: usize = 10;
/// Most relay parents that the state remembers, whatever the configuration allows.
pub const MAX_ANCESTORS: usize = 256;
/// Most past codes kept per para: an acceptance period holds no more upgrades in practice, and each may be
/// several megabytes. Beyond it the para must wait with its next upgrade.
pub const MAX_PAST_CODES: usize = 8;
/// Most parathread claims that wait, whatever the configuration allows.
pub const MAX_PARATHREAD_QUEUE: usize = 4096;
/// Most dispute votes in one set: each validator on both sides.
pub const MAX_VOTES_PER_SET: usize = 2 * primitives::limits::MAX_VALIDATORS;
/// Most sets of dispute votes in the inherent.
pub const MAX_DISPUTE_SETS_PER_BLOCK: usize = 256;
/// Most remote disputes that are open at once: each may bring along a code of several megabytes.
pub const MAX_REMOTE_DISPUTES: usize = 16;
/// Of these, those that count for one validator that disputes: whoever makes them up leaves room for others.
pub const MAX_REMOTE_DISPUTES_PER_VALIDATOR: usize = 2;
/// Most reports with a bond on one candidate.
pub const MAX_REPORTS_PER_CANDIDATE: usize = 32;
/// Most reports with a bond that wait for a candidate which is not included, all candidates together.
pub const MAX_EARLY_REPORTS: usize = 256;
/// Of these, those of one reporter.
pub const MAX_EARLY_REPORTS_PER_REPORTER: usize = 16;
/// Most revert signals that the state remembers: the fork of each is dead, or its block was final and people must help.
pub const MAX_REVERTS_KEPT: usize = 64;
/// Smallest deposit of a parathread claim that governance does not make.
pub const MIN_CLAIM_DEPOSIT: Balance = 1;
/// Sessions whose validators can still be reported: the current one and this many before it.
pub const PAST_SESSIONS_KEPT: u32 = 1;
/// Shortest session, in blocks: a candidate is backed in one block and included in a later one of the same session, and
/// groups rotate within it, not with every block.
pub const MIN_SESSION_LENGTH: u32 = 3;
/// Longest session, in blocks: one more than the longest rotation of groups. What waits for the next session, and what is
/// kept until then, ends.
pub const MAX_SESSION_LENGTH: u32 = primitives::limits::MAX_DELAY_BLOCKS + 1;
/// Largest stake of a validator: half of the number space is that of endowed amounts, the other half that of stakes.
pub const MAX_STAKE: Balance = Balance::MAX / 2 / primitives::limits::MAX_VALIDATORS as Balance;
/// Most downward messages that wait for a para.
pub const MAX_DOWNWARD_MESSAGES: usize = 1024;
/// Most bytes of downward messages that wait for a para.
pub const MAX_DOWNWARD_QUEUE_SIZE: usize = 1024 * 1024;
/// Most horizontal channels that lead to a para, and most that lead away from it.
pub const MAX_CHANNELS_PER_PARA: usize = 64;
/// Most bytes that may wait in all channels together, each as full as the configuration allows: half of what a snapshot of
/// the state may have.
pub const MAX_CHANNELS_BYTES: u64 = 512 * 1024 * 1024;
/// What a message in a channel takes beside its bytes: when it was sent, and how long it is.
pub const CHANNEL_MESSAGE_OVERHEAD: u32 = 8;
/// Largest encoded block that is worth decoding, in bytes: all cores with ordinary commitments, or some with
/// new code.
pub const MAX_BLOCK_SIZE: usize = 64 * 1024 * 1024;

const _: () = assert!(MAX_BLOCK_SIZE > primitives::limits::MAX_COMMITMENTS_SIZE);
