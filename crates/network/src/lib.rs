//! The network port's two adapters: libp2p over TCP for real nodes, and a network in memory for the simulator.
//!
//! **Role**: carries the 4-byte protocols of the network bridge between peers ([`ports::Network`]); knows no word of
//! what they say. Both adapters pass the same conformance tests.
//!
//! **Receives**: what the node sends and asks; from peers anything at all. **Sends**: [`ports::NetworkEvent`]s, to one
//! reader per protocol.
//!
//! **Invariants**: per peer and protocol there is one substream, ordered, with one bounded queue at its sender; when
//! that is full, or either side closes, both sides hear `Disconnected`, and after a pause `Connected` again. A reader
//! that does not read stops its own protocol only. The reader hears of each `Connected` peer's end before the next
//! `Connected` of the same peer. Requests travel apart and are not ordered against these. Foreign bytes never cause a
//! panic, nor memory without bound.
//!
//! **Limits**: [`limits`], [`Libp2pConfig`]'s neighbours in [`tcp_limits`], and those of the port.

mod libp2p;
pub mod limits;
mod memory;

pub use crate::libp2p::limits as tcp_limits;
pub use crate::libp2p::{Libp2pConfig, Libp2pNetwork, parse_peer_address, peer_id_of_seed};
pub use crate::memory::{Intercepted, InterceptedKind, MemoryConfig, MemoryHub, MemoryNetwork, Verdict};
