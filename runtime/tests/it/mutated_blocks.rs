//! Importer against author, on blocks that somebody has tampered with.
//!
//! [`check`] is the body of the fuzz target in `fuzz/`, too: a plain function of bytes. The bytes choose a state with a
//! good block on top, and what is done to that block.

use crate::{support::*, transactions::*};
use codec::Encode;
use primitives::{
    CompactVote, Hash, HeadData, InherentData, OutboundHrmpMessage, ParaId, decode_limited, messages::HrmpChannelId,
};
use runtime::{
    Block, BlockError, ConfigurationChange, DirectVerifier, Extrinsic, GenesisPara, Governance, ParaGenesisArgs,
    ParathreadClaim, ReportKind, SignatureSet, SlotClaim, State, Verifier, VrfDraw, build_block, execute_block,
    extrinsics_root, limits::MAX_BLOCK_SIZE,
};
use std::{collections::BTreeMap, sync::OnceLock};

/// Most changes to one block.
const MAX_CHANGES: usize = 16;
/// Bytes that tell one change.
const CHANGE_BYTES: usize = 4;

/// A second parathread.
const SECOND: ParaId = ParaId(3001);

/// A state with a good block on top.
struct Stage {
    chain: Chain,
    block: Block,
    storage: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Makes what a block on top of a chain carries.
type Step = fn(&Chain) -> (InherentData, Vec<Extrinsic>);

/// One of each kind of block: empty, backing with messages and code, including, with transactions of every kind, with
/// disputes on their way and judged, the last of a session and the first of the next.
fn stages() -> &'static [Stage] {
    static STAGES: OnceLock<Vec<Stage>> = OnceLock::new();
    STAGES.get_or_init(|| {
        let mut stages = Vec::new();
        let mut chain = start();
        let empty: Step = |chain| (chain.inherent(), Vec::new());
        let steps: [Step; 10] = [empty, back, include, transact, govern, dispute, judge, empty, empty, empty];
        for step in steps {
            let (inherent, transactions) = step(&chain);
            let (block, executed) = chain.try_extrinsics(inherent, transactions).expect("a good block");
            let storage = chain.state.storage();
            stages.push(Stage { chain: chain.clone(), block: block.clone(), storage });
            (chain.header, chain.state) = (block.header, executed.state);
        }
        stages
    })
}

/// The second session, with a channel, a message, a claim, and money for everybody.
fn start() -> Chain {
    let mut chain = Chain::with(7, |genesis| {
        genesis.session_length = 10;
        genesis.configuration.parachain_rotation_frequency = 8;
        genesis.paras.push(GenesisPara { id: SECOND, ..genesis.paras[2].clone() });
    });
    chain.govern(Governance::OpenChannel(HrmpChannelId { sender: ONE, recipient: TWO }));
    chain.govern(Governance::SendDownward(TWO, vec![1, 2, 3]));
    for rich in [collator(), fisherman(0)] {
        chain.govern(Governance::Endow(rich.public(), 20_000));
    }
    chain.skip_to(10);
    chain.govern(Governance::Claim(thread_claim()));
    chain
}

fn back(chain: &Chain) -> (InherentData, Vec<Extrinsic>) {
    let mut sender = chain.draft(ONE, CORE_0);
    let commitments = &mut sender.commitments;
    commitments.horizontal_messages =
        vec![OutboundHrmpMessage { recipient: TWO, data: vec![4, 5] }].try_into().expect("one");
    commitments.upward_messages = vec![vec![6, 7]].try_into().expect("one");
    commitments.new_validation_code = Some(vec![9; 40].into());
    let mut reader = chain.draft(TWO, CORE_1);
    reader.commitments.processed_downward_messages = 1;
    let thread = chain.draft(THREAD, THREAD_CORE).receipt_v1(&collator());
    let thread = chain.back_with(thread, THREAD_CORE, usize::MAX);
    let backed_candidates = vec![chain.back(&sender), chain.back(&reader), thread];
    (InherentData { backed_candidates, ..chain.inherent() }, Vec::new())
}

fn include(chain: &Chain) -> (InherentData, Vec<Extrinsic>) {
    (chain.attesting(6, &[0, 1, 2]), Vec::new())
}

/// What was included, by core.
fn included(chain: &Chain) -> Vec<Key> {
    chain.state.accepting().map(|(_, session, candidate)| (session, candidate)).collect()
}

fn transact(chain: &Chain) -> (InherentData, Vec<Extrinsic>) {
    let vote = |byte| CompactVote::Seconded(Hash::repeat(byte).into());
    let keys = included(chain);
    let vrf = SlotClaim::from_digest(&chain.header.digest).expect("a block has one").vrf.pre_output;
    // Who has backed a candidate does not check it.
    let checks = (0..7).map(|validator| extra(chain, keys[0].1, validator, &vrf, CORE_0));
    let checks = checks.map(|check| Extrinsic::Attestation(Box::new(check)));
    let checks = checks.filter(|check| chain.state.check_extrinsic(check, &DirectVerifier).is_ok());
    let mut transactions = vec![
        Extrinsic::MisbehaviorReport(Box::new(chain.report(1, vote(1), vote(2)))),
        claim(chain),
        Extrinsic::DisputeVotes(chain.votes(keys[1].0, keys[1].1, &[0, 1], &[2, 3])),
        remote(chain, 3),
        fisherman_report(chain, &fisherman(0), keys[0], ReportKind::Invalid),
        equivocation(chain, 2),
    ];
    transactions.extend(checks.take(2));
    transactions.extend(unavailable(chain, keys[2], 2));
    (chain.backing(&[(TWO, CORE_1)]), transactions)
}

/// Every kind of change.
fn govern(chain: &Chain) -> (InherentData, Vec<Extrinsic>) {
    let mut configuration = chain.state.configuration().clone();
    configuration.parathread_retries += 1;
    let mut validators = chain.state.next_validators().to_vec();
    validators.rotate_left(1);
    let genesis_head = HeadData(vec![4]);
    let new = ParaGenesisArgs { genesis_head, validation_code: vec![4; 32].into(), parachain: true };
    let second = ParathreadClaim { para: SECOND, ..thread_claim() };
    let changes = [
        Governance::Configure(Box::new(configuration)),
        Governance::Validators(validators),
        Governance::InitializePara(ParaId(4000), new),
        Governance::CleanupPara(THREAD),
        Governance::Claim(second),
        Governance::ConfigureField(ConfigurationChange::AcceptancePeriod(21)),
        Governance::Endow(fisherman(1).public(), 7),
        Governance::SendDownward(ONE, vec![8]),
        Governance::OpenChannel(HrmpChannelId { sender: TWO, recipient: ONE }),
        Governance::CloseChannel(HrmpChannelId { sender: ONE, recipient: TWO }),
    ];
    (chain.attesting(3, &[1]), governed_by_all(chain, changes))
}

fn dispute(chain: &Chain) -> (InherentData, Vec<Extrinsic>) {
    let (session, candidate) = included(chain)[0];
    (chain.disputing(vec![chain.votes(session, candidate, &[0, 1], &[2, 3])]), available(chain, 5))
}

fn judge(chain: &Chain) -> (InherentData, Vec<Extrinsic>) {
    let (session, candidate) = included(chain)[0];
    (chain.disputing(vec![chain.votes(session, candidate, &[], &[4, 5, 6])]), Vec::new())
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
    use codec::Decode;
    use primitives::{
        DecodeError, DigestItem,
        limits::{MAX_DIGEST_ITEMS, MAX_HEADER_BYTES},
    };
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
            for at in (0..bytes.len().min(4_000)).step_by(7) {
                let [high, low] = u16::try_from(at).unwrap().to_be_bytes();
                check(&[(stage as u8) << 1, 0, 1 << (at % 8), high, low]);
            }
        }
    }

    /// The first byte of an enum's encoding tells the kind; the one behind the last tells none.
    fn every_kind<T: Encode + Decode>(found: impl Iterator<Item = T>) {
        let kinds: BTreeSet<u8> = found.map(|it| it.encode()[0]).collect();
        let count = u8::try_from(kinds.len()).unwrap();
        assert_eq!(kinds, (0..count).collect());
        let unknown = T::decode(&mut &[count][..]).err().unwrap().to_string();
        assert!(unknown.contains("variant doesn't exist"), "kind {count} is in no block: {unknown}");
    }

    #[test]
    fn the_blocks_carry_every_kind_of_transaction_and_change() {
        let extrinsics = || stages().iter().flat_map(|stage| stage.block.extrinsics.clone());
        every_kind(extrinsics());
        every_kind(extrinsics().filter_map(|extrinsic| match extrinsic {
            Extrinsic::Governed(signed) => Some(signed.change),
            _ => None,
        }));
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

    /// Each child carries the header: without a limit nobody could build on the largest.
    #[test]
    fn a_header_that_no_child_could_carry_is_refused() {
        let mut block = stages()[0].block.clone();
        let room = MAX_HEADER_BYTES - block.header.encoded_size() - 3;
        block.header.digest.push(DigestItem::Other(vec![7; room]));
        assert_eq!(block.header.encoded_size(), MAX_HEADER_BYTES);
        assert_eq!(decode_limited::<Block>(&block.encode(), MAX_BLOCK_SIZE).as_ref(), Ok(&block));
        for longer in [room + 1, MAX_BLOCK_SIZE - 64 * 1024] {
            block.header.digest.pop();
            block.header.digest.push(DigestItem::Other(vec![7; longer]));
            let Err(DecodeError::Malformed(error)) = decode_limited::<Block>(&block.encode(), MAX_BLOCK_SIZE) else {
                panic!("a header of {} bytes was taken", block.header.encoded_size());
            };
            assert!(error.to_string().contains("longer than its type allows"), "{error}");
        }
    }

    #[test]
    fn too_many_bytes_are_not_looked_at() {
        let bytes = vec![0; MAX_BLOCK_SIZE + 1];
        let refused = decode_limited::<Block>(&bytes, MAX_BLOCK_SIZE);
        assert_eq!(refused, Err(DecodeError::TooLarge { found: MAX_BLOCK_SIZE + 1, max: MAX_BLOCK_SIZE }));
    }
}
