//! Blocks that must be refused, each with one thing wrong and everything around it made to fit.

use codec::Encode;
use network::{InterceptedKind, Verdict};
use primitives::{
    DigestItem, Hash, Pair, Signature, UncheckedSignedAvailabilityBitfield, ValidatorIndex,
    crypto::{SeedRng, vrf_input_bytes},
};
use relay_chain::{
    ImportError,
    import::{add_seal, split_seal},
    messages::{BLOCK_PROTOCOL, BlockMessage, BlockResponse, MAX_BLOCK_BYTES},
    slots::{SlotContext, SlotError},
    tree::TreeError,
};
use runtime::{Block, BlockError, Extrinsic, SlotClaim, extrinsics_root};

use crate::support::World;

/// Makes roots and seal fit the changed block, as its author could.
fn reseal(mut block: Block, pair: &Pair) -> Block {
    block.header.extrinsics_root = extrinsics_root(&block.extrinsics);
    block.header = split_seal(block.header).unwrap().0;
    let seal = pair.sign(&block.header.hash().encode(), &mut SeedRng::new([3; 32]));
    add_seal(&mut block.header, seal);
    block
}

/// Puts something into the inherent that no block may carry.
fn tamper_inherent(block: &mut Block) {
    if let Some(Extrinsic::Inclusion(inherent)) = block.extrinsics.first_mut() {
        inherent.bitfields.push(UncheckedSignedAvailabilityBitfield {
            payload: primitives::Bits::repeat(true, 1).into(),
            validator_index: ValidatorIndex(0),
            signature: Signature::default(),
        });
    }
}

fn with_claim(mut block: Block, claim: &SlotClaim) -> Block {
    block.header.digest.retain(|item| !matches!(item, DigestItem::PreRuntime(..)));
    block.header.digest.insert(0, claim.to_digest_item());
    block
}

#[test]
fn every_check_refuses_and_leaves_no_trace() {
    let world = World::started(31, 3, 0.0);
    world.run_slots(6);
    let chain = world.chain(1);
    let (best, number) = chain.status().best;
    let (good, _) = chain.block(&best).unwrap();
    let good = Block::clone(&good);
    let (_, parent_state) = chain.block(&good.header.parent_hash).unwrap();
    let claim = SlotClaim::from_digest(&good.header.digest).unwrap();
    let author = world.nodes[claim.author.0 as usize].pair.clone();
    let context = SlotContext {
        genesis: chain.genesis_hash(),
        randomness: parent_state.randomness(),
        session: parent_state.session_index(),
        validators: parent_state.validators(),
        forks_per_million: 0,
    };
    let claimed = |slot, index: u32| {
        let input = vrf_input_bytes(&context.vrf_input(slot));
        let (vrf, _) = world.nodes[index as usize].pair.vrf_sign(input, &mut SeedRng::new([4; 32]));
        SlotClaim { slot, author: ValidatorIndex(index), vrf }
    };
    let changed = |change: &dyn Fn(&mut Block)| {
        let mut block = good.clone();
        change(&mut block);
        reseal(block, &author)
    };
    let status = chain.status();
    let import = |block| world.simulation.run_until(chain.import(block)).unwrap().unwrap_err();

    let error = import(good.clone());
    assert!(matches!(error, ImportError::Tree(TreeError::Known(hash)) if hash == best), "{error}");
    let error = import(changed(&tamper_inherent));
    assert!(matches!(error, ImportError::Block(BlockError::Bitfield(_))), "{error}");
    let error = import(changed(&|block| block.extrinsics.clear()));
    assert!(matches!(error, ImportError::Block(BlockError::NoInherent)), "{error}");
    let error = import(changed(&|block| block.header.state_root = Hash::repeat(9)));
    assert!(matches!(error, ImportError::Block(BlockError::StateRoot { .. })), "{error}");
    // Whoever built on it would have to carry it: an author of one such block would have stopped the chain.
    let error =
        import(changed(&|block| block.header.digest.insert(0, DigestItem::Other(vec![0; MAX_BLOCK_BYTES - 4096]))));
    assert!(matches!(error, ImportError::Block(BlockError::HeaderTooLarge { .. })), "{error}");
    let error = import(changed(&|block| block.header.number += 1));
    assert!(matches!(error, ImportError::Tree(TreeError::Number { .. })), "{error}");
    let error = import(changed(&|block| block.header.parent_hash = Hash::repeat(7)));
    assert!(matches!(error, ImportError::Tree(TreeError::UnknownParent { .. })), "{error}");

    let mut unsealed = good.clone();
    unsealed.header = split_seal(unsealed.header).unwrap().0;
    assert!(matches!(import(unsealed), ImportError::NotSealed(_)));
    let stranger = reseal(changed(&|block| block.header.state_root = Hash::repeat(8)), &Pair::from_name("stranger"));
    assert!(matches!(import(stranger), ImportError::Seal { .. }));

    let other = (claim.author.0 + 1) % 3;
    let out_of_turn = reseal(with_claim(good.clone(), &claimed(claim.slot, other)), &world.nodes[other as usize].pair);
    assert!(matches!(import(out_of_turn), ImportError::Slot(SlotError::NotTheirTurn { .. })));
    let stolen = SlotClaim { slot: claim.slot + 3, ..claim.clone() };
    let stolen = reseal(with_claim(good.clone(), &stolen), &author);
    assert!(matches!(import(stolen), ImportError::Future { .. } | ImportError::Slot(SlotError::Proof(_))));
    let early = reseal(with_claim(good.clone(), &claimed(claim.slot + 30, claim.author.0)), &author);
    assert!(matches!(import(early), ImportError::Future { .. }));
    let late = reseal(with_claim(good.clone(), &claimed(claim.slot - 3, claim.author.0)), &author);
    assert!(matches!(import(late), ImportError::Tree(TreeError::Slot { .. })));

    assert_eq!(chain.status(), status, "nothing has changed");
    assert_eq!(chain.status().best, (best, number));
}

#[test]
fn a_tampered_inherent_is_refused_by_all_and_costs_its_author_the_connection() {
    let world = World::started(32, 4, 0.0);
    let (hostile, pair) = (world.nodes[3].peer(), world.nodes[3].pair.clone());
    let key = 3;
    world.hub.intercept({
        let hostile = hostile.clone();
        move |message| {
            let from_hostile = *message.from == hostile && message.protocol == BLOCK_PROTOCOL;
            match message.kind {
                // It does not give out what it really has.
                InterceptedKind::Response if from_hostile => {
                    return Verdict::Replace(BlockResponse::default().encode().into());
                }
                InterceptedKind::Notification if from_hostile => {}
                _ => return Verdict::Deliver,
            }
            match primitives::decode_limited(message.payload, message.payload.len()) {
                Ok(BlockMessage::Block(mut block)) => {
                    let author = SlotClaim::from_digest(&block.header.digest).unwrap().author;
                    if author != ValidatorIndex(key) {
                        return Verdict::Deliver;
                    }
                    tamper_inherent(&mut block);
                    Verdict::Replace(BlockMessage::Block(reseal(block, &pair)).encode().into())
                }
                _ => Verdict::Deliver,
            }
        }
    });
    world.run_slots(24);
    for index in 0..3 {
        let status = world.chain(index).status();
        assert!(status.refused >= 3, "{status:?}");
        assert_eq!(status.peers, 2, "the hostile peer is refused: {status:?}");
        assert!(status.best.1 >= 16 && status.finalized.1 >= 13, "the others go on: {status:?}");
        let mut hash = status.best.0;
        while let Some((block, _)) = world.chain(index).block(&hash).filter(|(block, _)| block.header.number > 0) {
            let claim = SlotClaim::from_digest(&block.header.digest).unwrap();
            assert_ne!(claim.author, ValidatorIndex(key), "nothing of its author got in");
            hash = block.header.parent_hash;
        }
    }
}
