//! Step 6: statements travel between validators (`stmd`).

use codec::Encode as _;
use overseer::WhenFull;
use primitives::{Hash, SignedFullStatement};

use crate::network_bridge::NetworkBridgeEvent;

/// Places reserved for our own statements ([`Share`]): two per candidate that our group handles in the view, with room.
pub const SHARED_STATEMENTS_MAX: usize = 256;

/// A statement that we signed, to be spread to the validators of the session.
///
/// Cast by candidate backing within a budget: it carries our signature and is never lost.
#[derive(Clone, Debug)]
pub struct Share {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The statement.
    pub signed: SignedFullStatement,
}

/// Something happened on the statement protocol (`stmd`). From the network bridge, whose pump of this protocol waits.
#[derive(Clone, Debug)]
pub struct NetworkUpdate(pub NetworkBridgeEvent);

overseer::inbox! {
    /// What statement distribution hears.
    pub enum Inbox for StatementDistribution as "statement-distribution" {
        tell {
            Share {
                const WHEN_FULL: WhenFull = WhenFull::Budgeted(SHARED_STATEMENTS_MAX);
                fn bytes(&self) -> usize { size_of::<Self>() + self.signed.as_unchecked().encoded_size() }
            },
            NetworkUpdate { fn bytes(&self) -> usize { self.0.bytes() } },
        }
    }
}
