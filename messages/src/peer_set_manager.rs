//! Who we are connected to, and why.

use overseer::WhenFull;
use ports::PeerId;

use crate::network_bridge::{ObservedRole, PEER_NOTICES_MAX};

/// A peer came, went, or was judged. Cast by the network bridge; the newest of a peer counts.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Who.
    pub peer: PeerId,
    /// What it says it is.
    pub role: ObservedRole,
    /// Whether it is connected.
    pub connected: bool,
    /// Its reputation: the sum of what [`PeerConduct`](crate::network_bridge::PeerConduct) is worth to the bridge.
    pub reputation: i32,
}

overseer::inbox! {
    /// What the peer set manager hears.
    pub enum Inbox for PeerSetManager as "peer-set-manager" {
        tell {
            PeerStatus {
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
    }
}
