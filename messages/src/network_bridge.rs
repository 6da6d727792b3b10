//! The bridge between peers and subsystems: protocols, views, reputation.
//!
//! Each protocol's subsystem is sent [`NetworkBridgeEvent`]s, in a message of its own, and sends [`SendMessage`],
//! [`SendRequest`] and [`ReportPeer`] back.

use bytes::Bytes;
use overseer::{Responder, WhenFull};
use ports::{PeerId, ProtocolId, RequestError};
use primitives::{Hash, ValidatorId};

/// Statements between validators.
pub const STATEMENT_PROTOCOL: ProtocolId = ProtocolId(*b"stmd");
/// Proofs of validity between validators of a group.
pub const POV_PROTOCOL: ProtocolId = ProtocolId(*b"povd");
/// Chunks and whole data.
pub const AVAILABILITY_PROTOCOL: ProtocolId = ProtocolId(*b"avad");
/// Availability bitfields.
pub const BITFIELD_PROTOCOL: ProtocolId = ProtocolId(*b"bitd");
/// Between collators and validators.
pub const COLLATION_PROTOCOL: ProtocolId = ProtocolId(*b"coll");
/// Views, between the bridges themselves.
pub const VIEW_PROTOCOL: ProtocolId = ProtocolId(*b"view");

/// Heads in a view (seed 001: N).
pub const VIEW_HEADS_MAX: usize = 5;
/// [`SendMessage`]s that a subsystem may have waiting in its outbox for a full bridge.
pub const OUTBOX_MAX: usize = 4096;
/// Peers that may be named at once beyond a full queue, in each kind of message that is merged by peer.
pub const PEER_NOTICES_MAX: usize = 1024;

/// Up to [`VIEW_HEADS_MAX`] heads that a node works on, in the order of their hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, codec::Encode, codec::Decode)]
pub struct View(pub Vec<Hash>);

impl View {
    /// Whether the head is in the view.
    pub fn contains(&self, head: &Hash) -> bool {
        self.0.contains(head)
    }
}

/// What a peer says it is; being a validator is proven by [`PeerInfo::authority`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, codec::Encode, codec::Decode)]
pub enum ObservedRole {
    /// A full node.
    Full,
    /// A light client.
    Light,
    /// A validator.
    Validator,
    /// A collator.
    Collator,
}

/// What is known of a connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its role.
    pub role: ObservedRole,
    /// The session key that signed its network identity, checked by the bridge.
    pub authority: Option<ValidatorId>,
}

/// What happens on one protocol. For each peer: `PeerConnected` first, then views and messages.
#[derive(Debug)]
pub enum NetworkBridgeEvent {
    /// A peer speaks this protocol with us.
    PeerConnected(PeerId, PeerInfo),
    /// It does not any more; what it knew of ours is to be forgotten.
    PeerDisconnected(PeerId),
    /// A peer works on other heads now.
    PeerViewChange(PeerId, View),
    /// We work on other heads now. The heartbeat came before it.
    OurViewChange(View),
    /// A gossip message, unchecked.
    PeerMessage(PeerId, Bytes),
    /// A request, unchecked; dropping the responder refuses it.
    IncomingRequest(PeerId, Bytes, Responder<Bytes>),
}

/// For recordings: the copy of a request has a way back that leads to nobody.
impl Clone for NetworkBridgeEvent {
    fn clone(&self) -> Self {
        match self {
            Self::PeerConnected(peer, info) => Self::PeerConnected(peer.clone(), info.clone()),
            Self::PeerDisconnected(peer) => Self::PeerDisconnected(peer.clone()),
            Self::PeerViewChange(peer, view) => Self::PeerViewChange(peer.clone(), view.clone()),
            Self::OurViewChange(view) => Self::OurViewChange(view.clone()),
            Self::PeerMessage(peer, bytes) => Self::PeerMessage(peer.clone(), bytes.clone()),
            Self::IncomingRequest(peer, bytes, _) => {
                Self::IncomingRequest(peer.clone(), bytes.clone(), Responder::to_nobody())
            }
        }
    }
}

impl NetworkBridgeEvent {
    /// Memory held, for mailboxes.
    pub fn bytes(&self) -> usize {
        let heap = match self {
            Self::PeerMessage(_, payload) | Self::IncomingRequest(_, payload, _) => payload.len(),
            Self::PeerViewChange(_, view) | Self::OurViewChange(view) => view.0.len() * size_of::<Hash>(),
            Self::PeerConnected(..) | Self::PeerDisconnected(_) => 0,
        };
        size_of::<Self>() + heap
    }
}

/// Why a peer gains or loses reputation; each has its value in the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerConduct {
    /// First to bring something we needed.
    BenefitUseful,
    /// Brought what we knew already.
    BenefitDuplicate,
    /// Not needed, out of view, or again and again.
    CostUnneeded,
    /// Cannot be decoded, or breaks the protocol's rules.
    CostMalformed,
    /// A wrong signature or proof.
    CostInvalid,
    /// Did not answer, or answered too late.
    CostTimeout,
    /// Proven malice: disconnected at once.
    Malicious,
}

/// A peer's conduct is to be counted.
///
/// Cast by every subsystem that hears from peers; those of the same peer and conduct are merged, their counts added.
#[derive(Clone, Debug)]
pub struct ReportPeer {
    /// Who.
    pub peer: PeerId,
    /// What for.
    pub conduct: PeerConduct,
    /// How many times.
    pub count: u32,
}

impl ReportPeer {
    /// Once.
    pub fn new(peer: PeerId, conduct: PeerConduct) -> Self {
        Self { peer, conduct, count: 1 }
    }
}

/// A gossip message to several peers. A peer whose queue overflows is disconnected on this protocol.
///
/// Cast by the subsystem of the protocol, through its outbox: [`OUTBOX_MAX`].
#[derive(Clone, Debug)]
pub struct SendMessage {
    /// To whom.
    pub peers: Vec<PeerId>,
    /// On which protocol.
    pub protocol: ProtocolId,
    /// The message.
    pub payload: Bytes,
}

/// Who is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// A peer.
    Peer(PeerId),
    /// Whoever proved to hold this session key.
    Authority(ValidatorId),
}

/// A request for bulk data. The network bounds its time.
///
/// Asked by jobs only: of collation, PoV and availability distribution and of recovery. Answered with the response's
/// bytes, unchecked.
#[derive(Clone, Debug)]
pub struct SendRequest {
    /// Whom.
    pub to: Recipient,
    /// On which protocol.
    pub protocol: ProtocolId,
    /// The request.
    pub payload: Bytes,
}

/// The peer set manager wants to be connected to a peer, or not to be. Cast by it; the newest of a peer counts.
#[derive(Clone, Debug)]
pub struct SetConnected {
    /// Whom.
    pub peer: PeerId,
    /// Where it can be reached; empty if the network knows.
    pub addresses: Vec<ports::Address>,
    /// Whether to be connected.
    pub connected: bool,
}

overseer::inbox! {
    /// What the network bridge hears.
    pub enum Inbox for NetworkBridge as "network-bridge" {
        tell {
            SendMessage {
                const WHEN_FULL: WhenFull = WhenFull::Outbox(OUTBOX_MAX);
                fn bytes(&self) -> usize { size_of::<Self>() + self.payload.len() }
            },
            ReportPeer {
                const WHEN_FULL: WhenFull = WhenFull::Merged(PEER_NOTICES_MAX);
                fn merge(&mut self, newer: Self) -> Option<Self> {
                    if self.peer != newer.peer || self.conduct != newer.conduct {
                        return Some(newer);
                    }
                    self.count = self.count.saturating_add(newer.count);
                    None
                }
            },
            SetConnected {
                const WHEN_FULL: WhenFull = WhenFull::Merged(PEER_NOTICES_MAX);
                fn merge(&mut self, newer: Self) -> Option<Self> {
                    if self.peer != newer.peer {
                        return Some(newer);
                    }
                    *self = newer;
                    None
                }
            },
        }
        ask {
            SendRequest -> Result<Bytes, RequestError> {
                fn bytes(&self) -> usize { size_of::<Self>() + self.payload.len() }
            }
        }
    }
}
