//! Blocks that were tampered with.

use codec::Encode as _;
use network::Verdict;
use node::local::{FIRST_PARA, LocalConfig, SimulatedNetwork, validator_pair};
use primitives::crypto::SeedRng;
use primitives::{InherentData, ParaId, ValidatorId};
use relay_chain::ImportError;
use relay_chain::import::{add_seal, split_seal};
use relay_chain::messages::FINALITY_PROTOCOL;
use runtime::{Block, BlockError, Extrinsic, SignatureOf, SlotClaim, build_block, extrinsics_root};
use whole_node_tests::{best_chain, included, small, started};

/// Seals a block anew as its true author could, whose key everybody knows here.
fn resealed(network: &SimulatedNetwork, mut block: Block) -> Block {
    let (_, parent_state) = network.node(0).chain().block(&block.header.parent_hash).expect("the parent is known");
    let author = SlotClaim::from_digest(&block.header.digest).expect("the claim was not touched").author;
    let author = parent_state.validators()[author.0 as usize];
    let pair = (0..6).map(validator_pair).find(|pair| ValidatorId(pair.public()) == author).expect("one of the six");
    block.header = split_seal(block.header).expect("it was sealed").0;
    let seal = pair.sign(&block.header.hash().encode(), &mut SeedRng::new([7; 32]));
    add_seal(&mut block.header, seal);
    block
}

/// Both roots as the author would claim them, had the signatures been right.
fn rerooted(network: &SimulatedNetwork, block: Block) -> Block {
    let chain = network.node(0).chain();
    let (parent, parent_state) = chain.block(&block.header.parent_hash).expect("the parent is known");
    let digest = split_seal(block.header).expect("it was sealed").0.digest;
    let (mut built, _) = build_block(&parent_state, &parent.header, digest, block.extrinsics).expect("it can be built");
    add_seal(&mut built.header, Default::default());
    resealed(network, built)
}

fn inherent(block: &Block) -> Option<&InherentData> {
    match block.extrinsics.first() {
        Some(Extrinsic::Inclusion(data)) => Some(data),
        _ => None,
    }
}

fn tampered(block: &Block, tamper: impl FnOnce(&mut InherentData)) -> Block {
    let mut block = block.clone();
    if let Some(Extrinsic::Inclusion(data)) = block.extrinsics.first_mut() {
        tamper(data);
    }
    block
}

#[test]
fn a_block_whose_inherent_was_tampered_with_is_refused_by_every_node() {
    let network = started(41, LocalConfig { parachains: 1, ..small() });
    let para = ParaId(FIRST_PARA);
    // Nothing becomes final: beside a final block every other is refused, whatever is in it.
    network
        .hub
        .intercept(|passing| if passing.protocol == FINALITY_PROTOCOL { Verdict::Drop } else { Verdict::Deliver });
    // The head has bitfields that say that something is available.
    let says_something = |block: &Block| {
        inherent(block).and_then(|data| data.bitfields.iter().position(|signed| signed.payload.0.any()))
    };
    let head = |network: &SimulatedNetwork| network.node(0).chain().block(&best_chain(network, 0)[0].0);
    let ready = |network: &SimulatedNetwork| {
        !included(network, 0, para).is_empty()
            && head(network).is_some_and(|(block, _)| says_something(&block).is_some())
    };
    assert!(network.run_slots_until(30, ready).expect("the simulation runs"));
    let good = head(&network).map(|(block, _)| Block::clone(&block)).expect("the head is known");
    let position = says_something(&good).expect("it was looked for");
    let validator = inherent(&good).expect("it has bitfields").bitfields[position].validator_index;

    let one_less = tampered(&good, |data| drop(data.bitfields.remove(position)));
    let cleared = tampered(&good, |data| data.bitfields[position].payload.0.fill(false));
    let twice = tampered(&good, |data| data.bitfields.insert(position, data.bitfields[position].clone()));
    let mut none = good.clone();
    none.extrinsics.clear();
    let roots = |mut block: Block| {
        block.header.extrinsics_root = extrinsics_root(&block.extrinsics);
        resealed(&network, block)
    };
    type Expected = Box<dyn Fn(&ImportError) -> bool>;
    let cases: [(&str, Block, Expected); 4] = [
        (
            "a bitfield removed",
            resealed(&network, one_less),
            Box::new(|error| matches!(error, ImportError::Block(BlockError::ExtrinsicsRoot { .. }))),
        ),
        (
            "a bitfield twice, extrinsics root mended",
            roots(twice),
            Box::new(|error| matches!(error, ImportError::Block(BlockError::Bitfield(_)))),
        ),
        (
            "no inherent, extrinsics root mended",
            roots(none),
            Box::new(|error| matches!(error, ImportError::Block(BlockError::NoInherent))),
        ),
        (
            "a bitfield cleared, both roots mended",
            rerooted(&network, cleared),
            Box::new(move |error| match error {
                ImportError::Block(BlockError::Signature(SignatureOf::Bitfield(found))) => *found == validator,
                _ => false,
            }),
        ),
    ];
    for (what, block, expected) in cases {
        for (position, node) in network.nodes() {
            let result = network.wait(node.chain().import(block.clone())).expect("an answer comes at once");
            let error = result.expect_err(what);
            assert!(expected(&error), "node {position} refused a block with {what} for another reason: {error}");
            assert!(node.chain().block(&block.hash()).is_none());
        }
    }
    // Nothing but the tampering was wrong: the good block, rebuilt and sealed anew in the same way, is taken.
    let honest = rerooted(&network, good);
    network.wait(network.node(0).chain().import(honest)).expect("an answer comes at once").expect("it is a good block");
}
