//! Properties over random chains and mutilated blocks.

use crate::{
    invariants::{BlockSeen, CORES, View},
    support::*,
};
use codec::{Decode, Encode};
use primitives::{BackedCandidate, CollatorId, CoreIndex, CoreState, InherentData, Pair, ParaId, SigningContext};
use proptest::prelude::*;
use runtime::{
    Block, DirectVerifier, Executed, Extrinsic, Governance, ParathreadClaim, execute_block, extrinsics_root,
};

const VALIDATORS: u32 = 5;

/// What one block does.
#[derive(Clone, Debug)]
struct Step {
    /// Cores to back on, if it is their turn.
    back: [bool; 3],
    /// For each validator the cores it attests, if occupied.
    attest: Vec<[bool; 3]>,
    /// Who attests all free cores as well, so that nothing of it counts.
    stray: Option<u32>,
    claim: bool,
    report: Option<u32>,
    /// Whether the first parachain's candidate brings new code.
    upgrade: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let attest = prop::collection::vec(any::<[bool; 3]>(), VALIDATORS as usize);
    let report = prop::option::weighted(0.1, 0..VALIDATORS);
    let stray = prop::option::weighted(0.3, 0..VALIDATORS);
    let steps = (any::<[bool; 3]>(), (attest, stray), any::<bool>(), report, prop::bool::weighted(0.3));
    steps.prop_map(|(back, (attest, stray), claim, report, upgrade)| Step {
        back,
        attest,
        stray,
        claim,
        report,
        upgrade,
    })
}

fn collator() -> Pair {
    Pair::from_name("collator")
}

fn short_sessions() -> Chain {
    Chain::with(VALIDATORS as usize, |genesis| {
        genesis.session_length = 13;
        genesis.configuration.parachain_rotation_frequency = 4;
        genesis.configuration.chain_availability_period = 3;
        genesis.configuration.thread_availability_period = 2;
        genesis.configuration.validation_upgrade_frequency = 4;
        genesis.configuration.validation_upgrade_delay = 2;
        genesis.configuration.acceptance_period = 5;
    })
}

fn back(chain: &Chain, para: ParaId, core: CoreIndex, upgrade: bool) -> BackedCandidate {
    let mut draft = chain.draft(para, core);
    if upgrade {
        draft.commitments.new_validation_code = Some(vec![chain.header.number as u8; 40].into());
    }
    let receipt = if para == THREAD { draft.receipt_v1(&collator()) } else { draft.receipt() };
    chain.back_with(receipt, core, usize::MAX)
}

/// The inherent of a step, as an author would propose it: what the state does not take is filtered out.
fn inherent(chain: &Chain, step: &Step) -> InherentData {
    let mut inherent = chain.inherent();
    for ((para, core), wanted) in CORES.into_iter().zip(step.back) {
        if wanted {
            let backed = back(chain, para, core, step.upgrade && para == ONE);
            inherent.backed_candidates.push(backed);
        }
    }
    let cores = chain.state.availability_cores(chain.state.number() + 1);
    for (validator, wanted) in (0..).zip(&step.attest) {
        let is_occupied = |core: u32| matches!(cores[core as usize], CoreState::Occupied(_));
        let held = (0..3).filter(|core| match is_occupied(*core) {
            true => wanted[*core as usize],
            false => step.stray == Some(validator),
        });
        inherent.bitfields.push(chain.bitfield(validator, &held.collect::<Vec<_>>()));
    }
    runtime::filter_inherent(&chain.state, &chain.header, inherent, &DirectVerifier)
}

fn run(chain: &mut Chain, step: &Step) -> (Block, Executed) {
    let claim = ParathreadClaim { para: THREAD, collator: CollatorId(collator().public()) };
    if step.claim && chain.state.governed(Governance::Claim(claim.clone())).is_ok() {
        chain.govern(Governance::Claim(claim));
    }
    let vote = |byte| primitives::CompactVote::Seconded(primitives::Hash::repeat(byte).into());
    let report = step.report.map(|validator| chain.report(validator, vote(1), vote(2)));
    let report = report.filter(|report| chain.state.check_report(report).is_ok());
    chain.try_block(inherent(chain, step), report.into_iter().collect()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_explain_every_change(steps in prop::collection::vec(step(), 20..40)) {
        let mut chain = short_sessions();
        let mut announced = None;
        for step in &steps {
            let (block, executed) = run(&mut chain, step);
            let before = View::of(&chain, None);
            chain.header = block.header.clone();
            chain.state = executed.state.clone();
            let Extrinsic::Inclusion(inherent) = block.extrinsics[0].clone() else { panic!("it comes first") };
            let after = View::of(&chain, Some(before.code));
            announced = BlockSeen { before, after, executed, inherent, announced }.check()?;
        }
    }

    #[test]
    fn mutilated_blocks_are_refused_without_panic_or_trace(
        steps in prop::collection::vec(step(), 2..8),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
        seed in any::<u64>(),
    ) {
        let mut chain = short_sessions();
        for step in &steps {
            let (block, executed) = run(&mut chain, step);
            let before = chain.state.storage();
            let mut bytes = block.encode();
            for (position, flip) in &flips {
                let position = position.index(bytes.len());
                bytes[position] ^= flip;
            }
            if let Ok(mut mutilated) = Block::decode(&mut &bytes[..])
                && mutilated != block
            {
                // Flipping twice or in the digest's free parts may leave the transition as it was.
                let same = mutilated.extrinsics == block.extrinsics;
                let direct = execute_block(&chain.state, &mutilated, &DirectVerifier);
                prop_assert!(direct.is_err() || same);
                // With its roots mended, deeper checks are reached; the result is never another state
                // under the old root.
                mutilated.header.number = block.header.number;
                mutilated.header.parent_hash = block.header.parent_hash;
                mutilated.header.extrinsics_root = extrinsics_root(&mutilated.extrinsics);
                if let Ok(other) = execute_block(&chain.state, &mutilated, &DirectVerifier) {
                    prop_assert_eq!(other.state.root(), executed.state.root());
                }
            }
            prop_assert_eq!(chain.state.storage(), before);
            chain.header = block.header;
            chain.state = executed.state;
        }
        // Bytes that were never a block.
        let garbage: Vec<u8> = (0..400_u64).map(|i| (seed.rotate_left(i as u32) ^ i.wrapping_mul(seed)) as u8).collect();
        if let Ok(block) = Block::decode(&mut &garbage[..]) {
            prop_assert!(execute_block(&chain.state, &block, &DirectVerifier).is_err());
        }
    }

    #[test]
    fn hostile_inherents_never_panic(
        steps in prop::collection::vec(step(), 1..6),
        choices in prop::collection::vec((0..9_u8, any::<prop::sample::Index>(), any::<u32>()), 1..4),
    ) {
        let mut chain = short_sessions();
        for step in &steps {
            let (block, executed) = run(&mut chain, step);
            let mut hostile = inherent(&chain, step);
            let mut reversed = hostile.clone();
            reversed.bitfields.reverse();
            prop_assert!(reversed.bitfields.len() < 2 || chain.try_block(reversed, Vec::new()).is_err(), "out of order");
            for (kind, position, number) in &choices {
                mutilate(&chain, &mut hostile, *kind, *position, *number);
            }
            let filtered = runtime::filter_inherent(&chain.state, &chain.header, hostile.clone(), &DirectVerifier);
            prop_assert!(chain.try_block(filtered, Vec::new()).is_ok(), "what is filtered is accepted");
            let in_order = is_ascending(hostile.bitfields.iter().map(|field| field.validator_index))
                && is_ascending(hostile.backed_candidates.iter().map(|backed| backed.descriptor().para_id()));
            let result = chain.try_block(hostile, Vec::new());
            prop_assert!(in_order || result.is_err(), "taken out of order, or twice");
            chain.header = block.header;
            chain.state = executed.state;
        }
    }
}

fn is_ascending<T: Ord>(mut items: impl Iterator<Item = T>) -> bool {
    let mut last = items.next();
    items.all(|item| last.replace(item) < last)
}

/// One well-formed lie: signed by those who could sign it.
fn mutilate(chain: &Chain, inherent: &mut InherentData, kind: u8, at: prop::sample::Index, number: u32) {
    let (fields, candidates) = (&mut inherent.bitfields, &mut inherent.backed_candidates);
    match kind {
        0 if !fields.is_empty() => fields.push(at.get(fields).clone()),
        1 if !candidates.is_empty() => candidates.push(at.get(candidates).clone()),
        2 => {
            let bits = primitives::Bits::repeat(true, number as usize % 600);
            fields.push(chain.signed_bitfield(number % VALIDATORS, bits, &chain.context()));
        }
        3 => {
            let context = SigningContext { session_index: number, ..chain.context() };
            fields.push(chain.signed_bitfield(number % VALIDATORS, primitives::Bits::repeat(true, 3), &context));
        }
        4 => {
            let (para, core) = *at.get(&CORES);
            let mut draft = chain.draft(para, core);
            draft.commitments.hrmp_watermark = number;
            draft.commitments.processed_downward_messages = number % 2;
            candidates.push(chain.back(&draft));
        }
        5 => {
            let (para, _) = *at.get(&CORES);
            let core = CoreIndex(number % 300);
            let receipt = Draft { core, ..chain.draft(para, CORE_0) }.receipt();
            candidates.push(chain.back_with(receipt, CORE_1, number as usize % 4));
        }
        6 => candidates.reverse(),
        7 => fields.reverse(),
        _ => inherent.parent_header.number = number,
    }
}
