//! Properties over random chains and mutilated blocks.

use crate::support::*;
use codec::{Decode, Encode};
use primitives::{
    BackedCandidate, CandidateEvent, CollatorId, CoreIndex, CoreState, InherentData, OccupiedCoreAssumption, Pair,
    ParaId, SigningContext, ValidationCodeHash, supermajority_threshold,
};
use proptest::prelude::*;
use runtime::{
    Block, DirectVerifier, Executed, Extrinsic, Governance, ParathreadClaim, execute_block, extrinsics_root,
};
use std::collections::BTreeMap;

const VALIDATORS: u32 = 5;
const CORES: [(ParaId, CoreIndex); 3] = [(ONE, CORE_0), (TWO, CORE_1), (THREAD, THREAD_CORE)];

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

fn heads(chain: &Chain) -> BTreeMap<ParaId, Vec<u8>> {
    CORES.iter().map(|(para, _)| (*para, chain.state.para_head(*para).unwrap().0.clone())).collect()
}

fn pending(chain: &Chain) -> BTreeMap<CoreIndex, primitives::CandidateHash> {
    let on = |core: CoreIndex| Some((core, chain.state.pending_candidate(core)?.hash));
    CORES.iter().filter_map(|(_, core)| on(*core)).collect()
}

fn is_claimed(chain: &Chain) -> bool {
    let claim = ParathreadClaim { para: THREAD, collator: CollatorId(collator().public()) };
    chain.state.governed(Governance::Claim(claim)).is_err()
}

/// A claim goes when it is served, or after an attempt in vain; it never comes by itself.
fn check_claim(before: &Chain, after: &Chain, executed: &Executed) {
    let (was, is) = (is_claimed(before), is_claimed(after));
    assert!(was || !is, "nobody claimed");
    let of_thread = |receipt: &primitives::CandidateReceipt| receipt.descriptor.para_id() == THREAD;
    let had = |wanted: fn(&CandidateEvent) -> Option<&primitives::CandidateReceipt>| {
        executed.events.iter().filter_map(wanted).any(of_thread)
    };
    let included = had(|event| if let CandidateEvent::Included(receipt, ..) = event { Some(receipt) } else { None });
    let backed = had(|event| if let CandidateEvent::Backed(receipt, ..) = event { Some(receipt) } else { None });
    let timed_out = had(|event| if let CandidateEvent::TimedOut(receipt, ..) = event { Some(receipt) } else { None });
    assert!(!included || !is, "a claim that was served is used up");
    let was_pending = before.state.pending_candidate(THREAD_CORE).is_some();
    let in_vain = !backed && (!was_pending || timed_out);
    assert!(!was || is || included || in_vain, "a claim got lost");
}

/// The events explain every change of heads and cores, and nothing else changes.
fn check_step(before: &Chain, after: &Chain, executed: &Executed) {
    let (mut heads_now, mut occupied) = (heads(before), pending(before));
    for event in &executed.events {
        match event {
            CandidateEvent::Included(receipt, head, core, _) => {
                assert_eq!(occupied.remove(core), Some(receipt.hash()), "only what was pending is included");
                let old = heads_now.insert(receipt.descriptor.para_id(), head.0.clone()).unwrap();
                assert_eq!(old, head.0[..head.0.len() - 1], "a head advances by one block");
            }
            CandidateEvent::TimedOut(receipt, _, core) => {
                assert_eq!(occupied.remove(core), Some(receipt.hash()), "only what was pending times out");
            }
            CandidateEvent::Backed(receipt, _, core, _) => {
                assert_eq!(occupied.insert(*core, receipt.hash()), None, "no core is occupied twice");
            }
        }
    }
    assert_eq!(heads(after), heads_now);
    if executed.new_session.is_some() {
        occupied.clear();
    }
    assert_eq!(pending(after), occupied);
    assert_eq!(after.state.number(), before.state.number() + 1);
    assert_eq!(after.state.root(), after.header.state_root);
    // The proof builds the trie anew: what the state remembers of its parent has changed no root.
    let head = primitives::well_known_keys::para_head(ONE);
    let proof = after.state.state_proof(std::slice::from_ref(&head));
    assert_eq!(proof.read(after.state.root(), &head), Ok(after.state.storage().get(&head).cloned()));
}

/// Availability bits are those that were there and those of this block's bitfields, unless these name a free core; more
/// than two thirds of them include the candidate, and nothing else does.
fn check_bits(before: &Chain, after: &Chain, executed: &Executed, inherent: &InherentData) {
    let occupied = pending(before);
    let says = |validator: usize, core: CoreIndex| {
        let said = inherent.bitfields.iter().find(|field| field.validator_index.as_usize() == validator);
        said.is_some_and(|field| {
            let free = field.payload.0.iter_ones().any(|core| !occupied.contains_key(&CoreIndex(core as u32)));
            !free && field.payload.0[core.as_usize()]
        })
    };
    for (core, earlier) in CORES.iter().filter_map(|(_, core)| Some((*core, before.state.pending_candidate(*core)?))) {
        let bits = earlier.availability.iter().by_vals().enumerate();
        let count = bits.filter(|(validator, bit)| *bit || says(*validator, core)).count();
        let included = executed
            .events
            .iter()
            .any(|event| matches!(event, CandidateEvent::Included(receipt, ..) if receipt.hash() == earlier.hash));
        assert_eq!(included, count >= supermajority_threshold(VALIDATORS as usize), "{count} bits, core {core}");
    }
    for (_, core) in CORES {
        let Some(now) = after.state.pending_candidate(core) else { continue };
        let earlier = before.state.pending_candidate(core).filter(|earlier| earlier.hash == now.hash);
        assert_eq!(now.availability.len(), VALIDATORS as usize, "a bit per validator");
        for (validator, bit) in now.availability.iter().by_vals().enumerate() {
            let expected = earlier.is_some_and(|it| it.availability[validator] || says(validator, core));
            assert_eq!(bit, expected, "validator {validator}, core {core}");
        }
    }
}

/// Code changes to what an included candidate announced, one at a time, and is there as long as it is named.
fn check_code(announced: &mut Option<ValidationCodeHash>, before: &Chain, after: &Chain, executed: &Executed) {
    let current = |chain: &Chain| chain.state.validation_code_hash(ONE, OccupiedCoreAssumption::TimedOut).unwrap();
    let (was, is) = (current(before), current(after));
    assert!(after.state.validation_code_by_hash(is).is_some());
    let of_one = |event: &&CandidateEvent| matches!(event, CandidateEvent::Included(receipt, ..) if receipt.descriptor.para_id() == ONE);
    let included = executed.events.iter().find(of_one).and(before.state.candidate_pending_availability(CORE_0));
    if let Some(code) = included.and_then(|candidate| candidate.commitments.new_validation_code.as_ref()) {
        assert_eq!(announced.replace(code.hash()), None, "one upgrade at a time");
    }
    if was != is {
        assert!(included.is_some(), "code changes with a block of the para only");
        assert_eq!(announced.take(), Some(is), "what was announced");
        let kept = after.state.past_code_meta(ONE).unwrap().upgrade_times().len();
        assert!(kept > 0 && after.state.validation_code_by_hash(was).is_some(), "the old code is kept for a while");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_explain_every_change(steps in prop::collection::vec(step(), 20..40)) {
        let mut chain = short_sessions();
        let mut announced = None;
        for step in &steps {
            let mut before = chain.clone();
            let (block, executed) = run(&mut chain, step);
            // A claim was put into the state beforehand.
            before.state = chain.state.clone();
            chain.header = block.header.clone();
            chain.state = executed.state.clone();
            check_step(&before, &chain, &executed);
            check_claim(&before, &chain, &executed);
            check_code(&mut announced, &before, &chain, &executed);
            if let (Extrinsic::Inclusion(inherent), None) = (&block.extrinsics[0], executed.new_session) {
                check_bits(&before, &chain, &executed, inherent);
            }
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
