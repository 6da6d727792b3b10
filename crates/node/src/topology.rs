//! The graph of the node as it is wired.

use overseer::Failure;
use overseer::topology::Topology;

use crate::local::{LocalConfig, SimulatedNetwork};

/// The graph of the default wiring, read off a node of the simulator.
///
/// # Errors
/// If that node cannot be started.
pub fn topology() -> Result<Topology, Failure> {
    let mut network = SimulatedNetwork::new(0, LocalConfig::default());
    network.start_node(0)?;
    Ok(network.node(0).handle().topology().clone())
}
