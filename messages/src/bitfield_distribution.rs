//! Step 10: bitfields travel to block authors (`bitd`).

use primitives::{Hash, SignedAvailabilityBitfield};

use crate::network_bridge::NetworkBridgeEvent;

/// A bitfield that we signed, to be spread.
#[derive(Clone, Debug)]
pub struct DistributeBitfield {
    /// The relay parent it is signed for.
    pub relay_parent: Hash,
    /// The bitfield.
    pub signed: SignedAvailabilityBitfield,
}

/// Something happened on the bitfield protocol (`bitd`).
#[derive(Debug)]
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
