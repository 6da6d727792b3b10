//! Questions about the block tree. Asked by jobs of the provisioner, the availability store and availability
//! distribution; a block that is not known is [`RuntimeError::UnknownBlock`].

use ports::RuntimeError;
use primitives::{BlockNumber, Hash, Header};

/// Ancestors that one question may ask for.
pub const ANCESTORS_MAX: u32 = 256;

/// A block's header.
#[derive(Clone, Debug)]
pub struct GetHeader {
    /// The block.
    pub hash: Hash,
}

/// A block's ancestors, nearest first; fewer if the chain begins or was pruned.
#[derive(Clone, Debug)]
pub struct GetAncestors {
    /// The block, itself not in the answer.
    pub hash: Hash,
    /// How many, at most [`ANCESTORS_MAX`].
    pub count: u32,
}

/// The last finalized block.
#[derive(Clone, Debug)]
pub struct GetFinalized;

overseer::inbox! {
    /// What chain-api is asked.
    pub enum Inbox for ChainApi as "chain-api" {
        ask {
            GetHeader -> Result<Header, RuntimeError>,
            GetAncestors -> Result<Vec<Hash>, RuntimeError>,
            GetFinalized -> Result<(Hash, BlockNumber), RuntimeError>,
        }
    }
}
