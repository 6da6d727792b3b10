//! Whole nodes that are killed and started again on their disks, in the simulator.

use std::time::Duration;

use deterministic::Crash;
use deterministic::entropy::below;
use node::local::{LocalConfig, SimulatedNetwork};
use primitives::{BlockNumber, Hash, ParaId};

fn finalized(network: &SimulatedNetwork, position: usize) -> (Hash, BlockNumber) {
    network.node(position).chain().status().finalized
}

/// The block at a height below a block of a node's chain: headers are answered as far back as there are any.
fn ancestor(network: &SimulatedNetwork, position: usize, mut hash: Hash, number: BlockNumber) -> Hash {
    let client = network.node(position).client();
    network
        .wait(async {
            loop {
                let header = client.header(hash).await.expect("finalized blocks and their ancestors are known");
                if header.number == number {
                    return hash;
                }
                hash = header.parent_hash;
            }
        })
        .expect("answers come at once")
}

#[test]
fn a_network_that_is_killed_ten_times_loses_nothing_that_was_final_and_goes_on() {
    let config = LocalConfig {
        validators: 4,
        parachains: 1,
        session_blocks: 8,
        pov_size: 512,
        fork_probability: 0.2,
        ..LocalConfig::default()
    };
    let mut network = SimulatedNetwork::new(81, config);
    let moments = network.simulation.environment("moments").entropy;
    let mut before: Vec<Option<(Hash, BlockNumber)>> = vec![None; network.len()];
    for _ in 0..10 {
        network.start_all().expect("every node starts on its disk");
        for (position, before) in before.iter().enumerate() {
            if let Some((hash, number)) = before {
                let now = finalized(&network, position);
                assert!(now.1 >= *number, "node {position} had finalized {number} and has {}", now.1);
                assert_eq!(ancestor(&network, position, now.0, *number), *hash);
            }
        }
        network.run_for(Duration::from_millis(4_000 + below(&*moments, 8_000))).expect("the simulation runs");
        before = (0..network.len()).map(|position| Some(finalized(&network, position))).collect();
        for position in 0..network.len() {
            network.crash_node(position, Crash::Seed(below(&*moments, 1 << 32)));
        }
    }
    network.start_all().expect("every node starts on its disk");
    let highest = before.iter().flatten().map(|(_, number)| *number).max().expect("there are nodes");
    let goes_on = |network: &SimulatedNetwork| (0..network.len()).all(|it| finalized(network, it).1 >= highest + 8);
    assert!(network.run_slots_until(40, goes_on).expect("the simulation runs"), "finality does not go on");
    let lowest = (0..network.len()).map(|it| finalized(&network, it).1).min().expect("there are nodes");
    let hashes = (0..network.len()).map(|it| ancestor(&network, it, finalized(&network, it).0, lowest));
    let hashes: std::collections::BTreeSet<Hash> = hashes.collect();
    assert_eq!(hashes.len(), 1, "all agree");
    let state = network.node(0).chain().block(&finalized(&network, 0).0).expect("the finalized block is kept").1;
    let head = test_parachains::adder::HeadData::decode(&state.para_head(ParaId(2000)).expect("the para").0);
    assert!(head.expect("an adder's head").number >= 3, "candidates were included: {head:?}");
}
