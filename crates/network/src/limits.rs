//! Limits and times of both networks, beside those of the port.

use std::time::Duration;

/// An unanswered request is given up after this: long enough for a PoV of 10 MiB over 10 Mbit/s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that one peer may have unanswered at another; further ones wait at the asker, within its time limit.
pub const MAX_REQUESTS_PER_PEER: usize = 32;
/// Requests of one peer served at once. Twice what an honest peer has unanswered: it counts an answer as received
/// before we count it as sent. Those beyond are refused.
pub const MAX_SERVED_REQUESTS_PER_PEER: usize = 2 * MAX_REQUESTS_PER_PEER;
/// How long a protocol's substream stays closed before it is opened again.
pub const REOPEN_BACK_OFF: Duration = Duration::from_millis(250);
/// Longest pause between two attempts to open a substream.
pub const REOPEN_BACK_OFF_MAX: Duration = Duration::from_secs(4);
/// First pause before a lost peer is dialled again.
pub const REDIAL_BACK_OFF: Duration = Duration::from_millis(250);
/// Longest pause between two dials of one peer.
pub const REDIAL_BACK_OFF_MAX: Duration = Duration::from_secs(15);
/// Peers that we keep trying to be connected to.
pub const MAX_WANTED_PEERS: usize = 4096;
/// Peers refused at once; when full, the refusal that ends first makes room.
pub const MAX_REFUSED_PEERS: usize = 4096;

const _: () = assert!(ports::MAX_NOTIFICATION_BYTES <= ports::PROTOCOL_QUEUE_BYTES);
const _: () = assert!(ports::MAX_HANDSHAKE_BYTES <= ports::MAX_NOTIFICATION_BYTES);
