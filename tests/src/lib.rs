//! What the tests of whole networks share: looking at chains, waiting for things to happen, misbehaving.
//!
//! **Role**: support for `tests/it`; shipped nowhere. Every test runs whole nodes in the seeded simulator: real
//! subsystems, real runtime, real wasm, virtual time. A failure prints the seed; the same seed fails again.
//!
//! **Limits**: tests wait for a number of slots, never for real time.

#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use node::local::{LocalConfig, SimulatedNetwork};
use primitives::{CandidateEvent, CandidateHash, Hash, Header, ParaId};

/// A list that taps write to and tests read.
pub type Log<T> = Arc<Mutex<Vec<T>>>;

/// What is in a log so far.
pub fn read<T: Clone>(log: &Log<T>) -> Vec<T> {
    log.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Adds to a log.
pub fn write<T>(log: &Log<T>, entry: T) {
    log.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
}

/// Six validators, two paras, small blocks.
pub fn small() -> LocalConfig {
    LocalConfig { pov_size: 2048, slot_ms: 1500, fork_probability: 0.0, ..LocalConfig::default() }
}

/// Starts every node of a network.
pub fn started(seed: u64, config: LocalConfig) -> SimulatedNetwork {
    let mut network = SimulatedNetwork::new(seed, config);
    network.start_all().expect("every node starts");
    network
}

/// The best chain of a node, from its head down to the block after genesis (or as far as headers are kept).
pub fn best_chain(network: &SimulatedNetwork, position: usize) -> Vec<(Hash, Header)> {
    let client = network.node(position).client();
    network
        .wait(async {
            let mut chain = Vec::new();
            let mut at = client.leaves().await.expect("the chain answers")[0].hash;
            while let Ok(header) = client.header(at).await {
                if header.number == 0 {
                    break;
                }
                let parent = header.parent_hash;
                chain.push((at, header));
                at = parent;
            }
            chain
        })
        .expect("answers come at once")
}

/// What happened to candidates along the best chain of a node, oldest first.
pub fn events(network: &SimulatedNetwork, position: usize) -> Vec<CandidateEvent> {
    let client = network.node(position).client();
    let chain = best_chain(network, position);
    network
        .wait(async {
            let mut events = Vec::new();
            for (hash, _) in chain.iter().rev() {
                events.extend(client.candidate_events(*hash).await.expect("a block of the chain"));
            }
            events
        })
        .expect("answers come at once")
}

/// The candidates of a para that were included on the best chain of a node, oldest first.
pub fn included(network: &SimulatedNetwork, position: usize, para: ParaId) -> Vec<CandidateHash> {
    let of_para = |event: &CandidateEvent| match event {
        CandidateEvent::Included(receipt, ..) if receipt.descriptor.para_id() == para => Some(receipt.hash()),
        _ => None,
    };
    events(network, position).iter().filter_map(of_para).collect()
}

/// Height of a node's finalized block.
pub fn finalized(network: &SimulatedNetwork, position: usize) -> u32 {
    network.node(position).chain().status().finalized.1
}

/// The hash of a node's block at a height, on its best chain.
pub fn block_at(network: &SimulatedNetwork, position: usize, number: u32) -> Option<Hash> {
    best_chain(network, position).into_iter().find(|(_, header)| header.number == number).map(|(hash, _)| hash)
}

/// Fails unless all running nodes agree on every block up to the lowest finalized height.
pub fn assert_agreement(network: &SimulatedNetwork) {
    let positions: Vec<usize> = network.nodes().map(|(position, _)| position).collect();
    let lowest = positions.iter().map(|position| finalized(network, *position)).min().unwrap_or(0);
    let expected = block_at(network, positions[0], lowest);
    for position in positions {
        assert_eq!(block_at(network, position, lowest), expected, "node {position} disagrees on block {lowest}");
    }
}
