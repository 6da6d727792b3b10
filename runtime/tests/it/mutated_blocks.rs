//! Importer against author, on blocks that somebody has tampered with.
//!
//! [`check`] is the body of the fuzz target in `fuzz/`, too: a plain function of bytes. The bytes choose a state with a
//! good block on top, and what is done to that block.

use crate::support::*;
use codec::Encode;
use primitives::{CollatorId, Hash, InherentData, Pair, decode_limited};
use runtime::{
    Block, BlockError, DirectVerifier, Extrinsic, Governance, ParathreadClaim, SignatureSet, State, Verifier, VrfDraw,
    build_block, execute_block, extrinsics_root, limits::MAX_BLOCK_SIZE,
};
use std::{collections::BTreeMap, sync::OnceLock};

/// Most changes to one block.
const MAX_CHANGES: usize = 16;
/// Bytes that tell one change.
const CHANGE_BYTES: usize = 4;

/// A state with a good block on top.
struct Stage {
    chain: Chain,
    block: Block,
    storage: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Makes what a block on top of a chain carries.
type Step = fn(&Chain) -> (InherentData, Vec<Extrinsic>);

/// One of each kind of block: empty, backing, including, with votes, with transactions, the last of a session.
fn stages() -> &'static [Stage] {
    static STAGES: OnceLock<Vec<Stage>> = OnceLock::new();
    STAGES.get_or_init(|| {
        let mut stages = Vec::new();
        let mut chain = Chain::with(7, |genesis| {
            genesis.session_length = 9;
            genesis.configuration.parachain_rotation_frequency = 8;
        });
        let claim = ParathreadClaim { para: THREAD, collator: CollatorId(Pair::from_name("collator").public()) };
        let steps: [Step; 6] = [
            |chain| (chain.inherent(), Vec::new()),
            |chain| (chain.backing(&[(ONE, CORE_0), (TWO, CORE_1)]), Vec::new()),
            |chain| (InherentData { bitfields: chain.attesting(6, &[0, 1]).bitfields, ..chain.inherent() }, Vec::new()),
            |chain| {
                let (_, session, candidate) = chain.state.accepting().next().expect("two were included");
                (chain.disputing(vec![chain.votes(session, candidate, &[0, 1], &[2, 3])]), Vec::new())
            },
            |chain| {
                let vote = |byte| primitives::CompactVote::Seconded(Hash::repeat(byte).into());
                let report = chain.report(1, vote(1), vote(2));
                let signed = chain.governance(Governance::Endow([1; 32], 7), &[0, 1, 2, 3, 4]);
                let transactions =
                    vec![Extrinsic::MisbehaviorReport(Box::new(report)), Extrinsic::Governed(Box::new(signed))];
                (chain.backing(&[(ONE, CORE_0)]), transactions)
            },
            |chain| (InherentData { bitfields: chain.attesting(3, &[0]).bitfields, ..chain.inherent() }, Vec::new()),
        ];
        chain.govern(Governance::Claim(claim));
        for step in steps.into_iter().chain([steps[0], steps[0]]) {
            let (inherent, transactions) = step(&chain);
            let (block, executed) = chain.try_extrinsics(inherent, transactions).expect("a good block");
            let storage = chain.state.storage();
            stages.push(Stage { chain: chain.clone(), block: block.clone(), storage });
            (chain.header, chain.state) = (block.header, executed.state);
        }
        stages
    })
}

/// Believes every signature: what is left are the rules.
struct Trusting;

impl Verifier for Trusting {
    fn verify(&self, _set: &SignatureSet) -> Result<(), usize> {
        Ok(())
    }

    fn verify_draws(&self, _draws: &[VrfDraw]) -> Result<(), usize> {
        Ok(())
    }
}

/// Changes an encoded block: bits, bytes, lengths, repeated and missing pieces.
fn tamper(bytes: &mut Vec<u8>, change: [u8; CHANGE_BYTES]) {
    let [kind, value, high, low] = change;
    let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len().max(1);
    let until = at.saturating_add(usize::from(value)).min(bytes.len());
    match kind % 6 {
        0 if at < bytes.len() => bytes[at] ^= value,
        1 if at < bytes.len() => bytes[at] = value,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..until)),
        4 => {
            let piece = bytes[at..until].to_vec();
            bytes.splice(at..at, piece);
        }
        // A length as long as lengths get.
        _ => drop(bytes.splice(at..until.min(at + 4), [0xfe, 0xff, 0xff, 0xff])),
    }
}

/// Tampers with a good block, and compares whoever imports it with whoever could have made it. Panics if they differ.
pub(crate) fn check(data: &[u8]) {
    let Some((choice, changes)) = data.split_first() else {
        return;
    };
    let stages = stages();
    let stage = &stages[usize::from(*choice >> 1) % stages.len()];
    let mut bytes = stage.block.encode();
    if *choice & 1 == 0 {
        for change in changes.chunks_exact(CHANGE_BYTES).take(MAX_CHANGES) {
            tamper(&mut bytes, change.try_into().expect("chunks have this length"));
        }
    } else {
        // Bytes that were never a block.
        bytes = changes.to_vec();
    }
    if let Ok(block) = decode_limited::<Block>(&bytes, MAX_BLOCK_SIZE) {
        assert_eq!(block.encode().len(), bytes.len(), "nothing of it was left out");
        as_it_is(stage, &block);
        mended(stage, block);
    }
    assert_eq!(stage.chain.state.storage(), stage.storage, "a block leaves no trace in its parent's state");
}

/// The importer takes nothing but what execution gives.
fn as_it_is(stage: &Stage, block: &Block) {
    let parent = &stage.chain.state;
    match execute_block(parent, block, &DirectVerifier) {
        Ok(executed) => {
            assert_eq!(executed.state.root(), block.header.state_root);
            assert_eq!(block.header.extrinsics_root, extrinsics_root(&block.extrinsics));
            assert_eq!(execute_block(parent, block, &DirectVerifier), Ok(executed), "again, and the same");
        }
        Err(_) => assert!(*block != stage.block, "nobody has changed it"),
    }
}

/// Somebody authors a block with these extrinsics and this digest: the importer takes it with the same outcome, or
/// refuses it for a signature, which authors check beforehand; what cannot be authored is refused.
fn mended(stage: &Stage, mut block: Block) {
    let Chain { state: parent, header, .. } = &stage.chain;
    let built = build_block(parent, header, block.header.digest.clone(), block.extrinsics.clone());
    match built {
        Ok((built, executed)) => {
            assert_eq!(execute_block(parent, &built, &Trusting), Ok(executed.clone()), "importer and author agree");
            match execute_block(parent, &built, &DirectVerifier) {
                Ok(imported) => assert_eq!(imported, executed),
                Err(BlockError::Signature(_)) => {}
                Err(other) => panic!("refused after it was built: {other}"),
            }
            sound(&executed.state);
        }
        Err(error) => {
            block.header.parent_hash = header.hash();
            block.header.number = header.number + 1;
            block.header.extrinsics_root = extrinsics_root(&block.extrinsics);
            let imported = execute_block(parent, &block, &Trusting).expect_err("what cannot be built is refused");
            assert_eq!(imported, error, "importer and author agree");
        }
    }
}

/// What holds of every state.
fn sound(state: &State) {
    assert!(state.issuance().is_conserved(), "{:?}", state.issuance());
    let storage = state.storage();
    let key = primitives::well_known_keys::para_head(ONE);
    let proof = state.state_proof(std::slice::from_ref(&key));
    assert_eq!(proof.read(state.root(), &key), Ok(storage.get(&key).cloned()), "the root is that of the storage");
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{DecodeError, DigestItem, limits::MAX_DIGEST_ITEMS};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn importer_and_author_agree_on_every_block(
            choice in any::<u8>(),
            changes in prop::collection::vec(any::<[u8; CHANGE_BYTES]>(), 0..4),
        ) {
            // One or two changes leave a block that can be decoded often enough.
            check(&[&[choice & !1][..], &changes.concat()].concat());
        }

        #[test]
        fn bytes_that_were_never_a_block_are_no_block(data in prop::collection::vec(any::<u8>(), 0..600)) {
            check(&[&[1][..], &data].concat());
        }
    }

    #[test]
    fn every_bit_of_a_block_counts() {
        for (stage, good) in stages().iter().enumerate() {
            let bytes = good.block.encode();
            // One bit of each byte, another one each time; the largest block has some thousand bytes.
            for at in (0..bytes.len().min(4_000)).step_by(3) {
                let [high, low] = u16::try_from(at).unwrap().to_be_bytes();
                check(&[(stage as u8) << 1, 0, 1 << (at % 8), high, low]);
            }
        }
    }

    fn refused(bytes: &[u8]) {
        assert!(matches!(decode_limited::<Block>(bytes, MAX_BLOCK_SIZE), Err(DecodeError::Malformed(_))));
    }

    /// Lengths that promise much, wherever there is one: nothing is set aside for what is not there.
    #[test]
    fn lengths_that_lie_are_refused() {
        let huge = codec::Compact(u32::MAX).encode();
        let good = &stages()[1].block;
        let header = good.header.encode();
        refused(&[&header[..], &huge].concat());
        // The inherent is the first of one: its bitfields.
        refused(&[&header[..], &[4, 0], &huge].concat());
        // One bitfield with so many bits.
        refused(&[&header[..], &[4, 0, 4], &huge].concat());
        let bytes = good.encode();
        for at in 0..bytes.len() {
            let lying = [&bytes[..at], &huge, &bytes[at..]].concat();
            if let Ok(block) = decode_limited::<Block>(&lying, MAX_BLOCK_SIZE) {
                assert_eq!(block.encode(), lying, "at byte {at}");
            }
        }
    }

    #[test]
    fn what_is_short_on_the_wire_and_long_in_memory_is_refused() {
        let mut block = stages()[0].block.clone();
        block.header.digest = vec![DigestItem::RuntimeEnvironmentUpdated; MAX_DIGEST_ITEMS];
        assert_eq!(decode_limited::<Block>(&block.encode(), MAX_BLOCK_SIZE).as_ref(), Ok(&block));
        block.header.digest.push(DigestItem::RuntimeEnvironmentUpdated);
        refused(&block.encode());
    }

    #[test]
    fn too_many_bytes_are_not_looked_at() {
        let bytes = vec![0; MAX_BLOCK_SIZE + 1];
        let refused = decode_limited::<Block>(&bytes, MAX_BLOCK_SIZE);
        assert_eq!(refused, Err(DecodeError::TooLarge { found: MAX_BLOCK_SIZE + 1, max: MAX_BLOCK_SIZE }));
    }
}
