//! Limits and times of the TCP network.

use std::time::Duration;

/// Connections that others may open to us; peers in the configuration's reserved list do not count.
pub const MAX_INBOUND_CONNECTIONS: u32 = 512;
/// Connections that we may open.
pub const MAX_OUTBOUND_CONNECTIONS: u32 = 512;
/// Connections being set up, in each direction.
pub const MAX_PENDING_CONNECTIONS: u32 = 128;
/// Connections to one peer: two when both dial at once, and two more while they are replaced.
pub const MAX_CONNECTIONS_PER_PEER: u32 = 4;
/// Substreams of one connection, each of which may hold 256 KiB that we have not read.
pub const MAX_SUBSTREAMS_PER_CONNECTION: usize = 256;
/// Substreams of one connection whose protocol is being agreed on; more are dropped.
pub const MAX_NEGOTIATING_SUBSTREAMS: usize = 128;
/// A connection without a substream is closed after this.
pub const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// A handshake must be answered within this.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Setting up to listen must end within this.
pub const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses kept of what one peer says about itself, or of what we were told for it.
pub const MAX_ADDRESSES_PER_PEER: usize = 8;
/// Events that wait for one protocol's reader.
pub const EVENT_QUEUE_EVENTS: usize = 256;
/// Payload bytes that wait for one protocol's reader.
pub const EVENT_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Orders to the task that owns the connections; senders wait while it is full.
pub const COMMAND_QUEUE: usize = 256;
/// First piece in which a frame is read: a length that is claimed costs no memory before its bytes are there.
pub const FRAME_PIECE_BYTES: usize = 64 * 1024;

const _: () = assert!(ports::MAX_NOTIFICATION_BYTES <= EVENT_QUEUE_BYTES);
const _: () = assert!(EVENT_QUEUE_BYTES <= u32::MAX as usize);
const _: () = assert!(ports::MAX_RESPONSE_BYTES <= u32::MAX as usize);
