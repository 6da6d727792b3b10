use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use overseer::Responder;

/// Longest peer id accepted, in bytes (a libp2p ed25519 identity takes 38).
pub const MAX_PEER_ID_BYTES: usize = 64;
/// Longest handshake accepted when a substream opens, in bytes.
pub const MAX_HANDSHAKE_BYTES: usize = 1024;
/// Largest gossip message, in bytes. Bulk data goes by request and response.
pub const MAX_NOTIFICATION_BYTES: usize = 1024 * 1024;
/// Largest request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// Largest response, in bytes: a PoV of 10 MiB with its validation data and envelope, or a block of 16 MiB with proofs.
pub const MAX_RESPONSE_BYTES: usize = 24 * 1024 * 1024;
/// Outgoing queue per peer and protocol, in bytes. More closes that substream.
pub const PROTOCOL_QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// Outgoing queue per peer and protocol, in messages.
pub const PROTOCOL_QUEUE_MESSAGES: usize = 4096;

/// A peer's identity on the network: opaque bytes, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(Arc<[u8]>);

impl PeerId {
    /// Wraps the network's identity; `None` if it is empty or longer than [`MAX_PEER_ID_BYTES`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty() && bytes.len() <= MAX_PEER_ID_BYTES).then(|| Self(bytes.into()))
    }

    /// The identity as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PeerId {
    /// The last four bytes in hex: identities share their first bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("peer:")?;
        let tail = self.0.len().saturating_sub(4);
        self.0[tail..].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The four bytes that name a protocol, such as `stmd` (seed 001, Network Bridge).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolId(pub [u8; 4]);

impl fmt::Debug for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Where a peer can be reached, in the network's own notation (a multiaddress for libp2p).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub String);

/// What happens on one protocol. Events of one peer come in order: `Connected` first, `Disconnected` last.
#[derive(Debug)]
pub enum NetworkEvent {
    /// Both directions of this protocol's substream are open; `handshake` is what the peer sent, unchecked.
    Connected {
        /// Who.
        peer: PeerId,
        /// The peer's handshake, at most [`MAX_HANDSHAKE_BYTES`].
        handshake: Bytes,
    },
    /// The protocol's substream is gone; all that we had queued for the peer is lost.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// A gossip message, at most [`MAX_NOTIFICATION_BYTES`].
    Message {
        /// Who sent it.
        peer: PeerId,
        /// The foreign bytes.
        payload: Bytes,
    },
    /// A request; dropping `respond` refuses it.
    Request {
        /// Who asks.
        peer: PeerId,
        /// The foreign bytes, at most [`MAX_REQUEST_BYTES`].
        payload: Bytes,
        /// Where the answer goes, at most [`MAX_RESPONSE_BYTES`].
        respond: Responder<Bytes>,
    },
}

/// Events of one protocol. There is one reader; while it does not read, the network stops reading that protocol only.
#[async_trait]
pub trait ProtocolEvents: Send {
    /// Waits for the next event; `None` once the network is shut down.
    ///
    /// # Cancel safety
    /// Nothing is lost: an event is taken only when it is returned.
    ///
    /// # Back-pressure
    /// While nobody calls it, peers' messages stay on the wire; a peer that goes on sending is held up on this protocol
    /// alone.
    async fn next(&mut self) -> Option<NetworkEvent>;
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendRefusedReason {
    /// The peer has no open substream of this protocol.
    #[error("peer is not connected on this protocol")]
    NotConnected,
    /// The outgoing queue is full; the substream is closed and `Disconnected` follows.
    #[error("outgoing queue of {PROTOCOL_QUEUE_BYTES} bytes is full")]
    QueueFull,
    /// The message is larger than [`MAX_NOTIFICATION_BYTES`].
    #[error("message is larger than {MAX_NOTIFICATION_BYTES} bytes")]
    TooLarge,
}

/// A message that was not queued, handed back.
#[derive(Debug, thiserror::Error)]
#[error("message of {} bytes refused: {reason}", payload.len())]
pub struct SendRefused {
    /// The refused message.
    pub payload: Bytes,
    /// Why.
    pub reason: SendRefusedReason,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No connection to the peer.
    #[error("peer is not connected")]
    NotConnected,
    /// No answer within the network's limit.
    #[error("no answer within the time limit")]
    TimedOut,
    /// The peer declined, does not speak the protocol or closed the stream.
    #[error("request was refused by the peer")]
    Refused,
    /// Request or answer over its limit.
    #[error("request or answer is over its size limit")]
    TooLarge,
}

/// Failures of the network itself.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The protocol was opened before; it has one reader.
    #[error("protocol {0:?} is open already")]
    AlreadyOpen(ProtocolId),
    /// An address that cannot be parsed or listened on.
    #[error("address {address}: {reason}")]
    Address {
        /// The offending address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network was shut down.
    #[error("network is shut down")]
    Closed,
}

/// Totals since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkStatistics {
    /// Payload bytes handed to the wire.
    pub bytes_sent: u64,
    /// Payload bytes taken from the wire.
    pub bytes_received: u64,
    /// Peers with at least one open protocol.
    pub peers: usize,
}

/// A network of peers: per peer and protocol one ordered, bounded substream, and requests for bulk data.
#[async_trait]
pub trait Network: Send + Sync {
    /// Our own identity.
    fn local_peer(&self) -> PeerId;

    /// Where we can be reached.
    fn listen_addresses(&self) -> Vec<Address>;

    /// Opens a protocol, with what we say first on each substream (at most [`MAX_HANDSHAKE_BYTES`]). Substreams open
    /// with every connected peer that has opened the protocol as well.
    ///
    /// # Errors
    /// [`NetworkError::AlreadyOpen`] for a second reader.
    fn open(&self, protocol: ProtocolId, handshake: Bytes) -> Result<Box<dyn ProtocolEvents>, NetworkError>;

    /// Queues a message for one peer; never waits.
    ///
    /// # Errors
    /// Hands the message back with the reason.
    fn send(&self, peer: &PeerId, protocol: ProtocolId, payload: Bytes) -> Result<(), SendRefused>;

    /// Asks one peer and waits for the answer, within the network's time limit.
    ///
    /// # Errors
    /// [`RequestError`]: not connected, too late, refused, or request or answer over its limit ([`MAX_REQUEST_BYTES`],
    /// [`MAX_RESPONSE_BYTES`]).
    ///
    /// # Cancel safety
    /// Dropping it forgets the answer; the peer may have worked for it.
    async fn request(&self, peer: &PeerId, protocol: ProtocolId, payload: Bytes) -> Result<Bytes, RequestError>;

    /// Keeps trying to be connected to the peer at these addresses (empty: those already known), until
    /// [`disconnect`](Self::disconnect).
    fn connect(&self, peer: &PeerId, addresses: &[Address]);

    /// Closes all connections to the peer and refuses it for `refuse_for`.
    fn disconnect(&self, peer: &PeerId, refuse_for: Duration);

    /// Totals since start.
    fn statistics(&self) -> NetworkStatistics;
}
