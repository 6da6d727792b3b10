//! Blocks that were tampered with.

use node::local::{FIRST_PARA, LocalConfig};
use primitives::ParaId;
use runtime::{Block, Extrinsic, extrinsics_root};
use whole_node_tests::{best_chain, included, small, started};

#[test]
fn a_block_whose_inherent_was_tampered_with_is_refused_by_every_node() {
    let network = started(41, LocalConfig { parachains: 1, ..small() });
    let para = ParaId(FIRST_PARA);
    let done = network.run_slots_until(30, |network| !included(network, 0, para).is_empty());
    assert!(done.expect("the simulation runs"));
    let with_bitfields = best_chain(&network, 0)
        .into_iter()
        .filter_map(|(hash, _)| network.node(0).chain().block(&hash))
        .find(|(block, _)| {
            matches!(block.extrinsics.first(), Some(Extrinsic::Inclusion(data)) if !data.bitfields.is_empty())
        })
        .map(|(block, _)| Block::clone(&block))
        .expect("a block with bitfields, or nothing would have been included");

    let mut without_one = with_bitfields.clone();
    if let Some(Extrinsic::Inclusion(data)) = without_one.extrinsics.first_mut() {
        data.bitfields.pop();
    }
    let mut root_mended = without_one.clone();
    root_mended.header.extrinsics_root = extrinsics_root(&root_mended.extrinsics);
    let mut no_inherent = with_bitfields.clone();
    no_inherent.extrinsics.clear();
    no_inherent.header.extrinsics_root = extrinsics_root(&no_inherent.extrinsics);

    for (what, tampered) in
        [("a bitfield removed", without_one), ("its root mended", root_mended), ("no inherent", no_inherent)]
    {
        for (position, node) in network.nodes() {
            let before = node.chain().status();
            let result = network.wait(node.chain().import(tampered.clone())).expect("an answer comes at once");
            assert!(result.is_err(), "node {position} took a block with {what}");
            assert_eq!(node.chain().status().best, before.best);
        }
    }
}
