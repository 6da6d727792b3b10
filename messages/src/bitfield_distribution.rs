//! Step 10: bitfields travel to block authors (`bitd`).

use primitives::{Hash, SignedAvailabilityBitfield};

use crate::network_bridge::NetworkBridgeEvent;

/// A bitfield that we signed, to be spread.
///
/// From a job of bitfield signing, which waits: it carries our signature and is never lost on the way here. It goes on
/// to peers and, as [`Bitfield`](crate::provisioner::Bitfield), to our own provisioner.
#[derive(Clone, Debug)]
pub struct DistributeBitfield {
    /// The relay parent it is signed for.
    pub relay_parent: Hash,
    /// The bitfield.
    pub signed: SignedAvailabilityBitfield,
}

/// Something happened on the bitfield protocol (`bitd`). From the network bridge, whose pump of this protocol waits.
#[derive(Clone, Debug)]
pub struct NetworkUpdate(pub NetworkBridgeEvent);

overseer::inbox! {
    /// What bitfield distribution hears.
    pub enum Inbox for BitfieldDistribution as "bitfield-distribution" {
        tell {
            DistributeBitfield,
            NetworkUpdate { fn bytes(&self) -> usize { self.0.bytes() } },
        }
    }
}
