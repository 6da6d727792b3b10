//! Hard limits of the protocol. The configuration can only set lower ones.

/// Largest proof of validity, in bytes (encoded block data).
pub const MAX_POV_SIZE: u32 = 10 * 1024 * 1024;
/// Largest validation code, in bytes.
pub const MAX_CODE_SIZE: u32 = 5 * 1024 * 1024;
/// Smallest thing that can be a wasm module at all, in bytes.
pub const MIN_CODE_SIZE: u32 = 9;
/// Largest head data, in bytes.
pub const MAX_HEAD_DATA_SIZE: u32 = 1024 * 1024;
/// Most validators of one session: all that they can say in a round of finality fits into one message.
pub const MAX_VALIDATORS: usize = 1_200;
/// Most chunks but one of an erasure code over 16-bit symbols.
pub const MAX_CHUNK_INDEX: usize = 65_535;
/// Most availability cores: a backed candidate carries its core in one byte, so core 255 is the last.
pub const MAX_CORES: usize = 256;
/// Longest acceptance period, in blocks: what each of so many blocks included is kept for secondary checks, and all of
/// it ends with the session after theirs in any case.
pub const MAX_ACCEPTANCE_PERIOD: u32 = 600;
/// Longest delay that a configuration may ask for, in blocks: a week of six-second ones. What waits for longer would keep
/// its place in the state as good as for ever.
pub const MAX_DELAY_BLOCKS: u32 = 100_800;
/// Most bytes that a configuration may allow in one queue of messages between paras, or between a para and the relay
/// chain: each is in memory, in every state that differs in it, and in the snapshots on disk.
pub const MAX_QUEUE_BYTES: u32 = 4 * 1024 * 1024;
/// Most messages that a configuration may allow in one such queue: empty ones take room as well.
pub const MAX_QUEUE_MESSAGES: u32 = 256 * 1024;
/// Oldest relay parent that a configuration may allow, in blocks: more are not remembered.
pub const MAX_ANCESTRY_LEN: u32 = 255;
/// Most upward messages in the commitments of one candidate.
pub const MAX_UPWARD_MESSAGES: usize = 16 * 1024;
/// Most horizontal messages in the commitments of one candidate.
pub const MAX_HORIZONTAL_MESSAGES: usize = 16 * 1024;
/// Most candidates approved by a single signature.
pub const MAX_COALESCED_APPROVALS: usize = 16;
/// Longest peer id that a parachain may approve, in bytes.
pub const MAX_APPROVED_PEER_ID: usize = 64;
/// Most signals behind the separator in the upward messages.
pub const MAX_UMP_SIGNALS: usize = 2;
/// Most items of a header's digest: many times what slots, seals and finality need.
pub const MAX_DIGEST_ITEMS: usize = 64;
/// Largest encoded header, in bytes: more than ten times what claim and seal need. Each block carries its parent's header,
/// so that one without a limit could be built on by nobody.
pub const MAX_HEADER_BYTES: usize = 4096;
/// Room that an encoded candidate needs beside its proof of validity: receipt, head data, new code, messages.
pub const MAX_COMMITMENTS_SIZE: usize = 16 * 1024 * 1024;

const _: () = assert!(MAX_COMMITMENTS_SIZE > (MAX_CODE_SIZE + MAX_HEAD_DATA_SIZE) as usize);
const _: () = assert!(MAX_CORES == u8::MAX as usize + 1);
