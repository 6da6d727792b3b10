//! What the properties over random chains demand of every block, as functions of what was seen before and after it; and
//! for each demand a block that breaks it and nothing before it, so that none is an empty phrase.

use crate::{
    support::*,
    transactions::{DEPOSIT, Key, collator, thread_claim},
};
use primitives::{
    CandidateEvent, CandidateHash, CoreIndex, Hash, InherentData, OccupiedCoreAssumption, ParaId, ValidationCodeHash,
    ValidatorId, supermajority_threshold, well_known_keys,
};
use proptest::{prelude::*, test_runner::TestCaseError};
use runtime::{
    DisputePhase, DisputeStatus, Executed, Governance, Issuance, Penalty, PendingCandidate, ValidityEvent, Verdict,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const CORES: [(ParaId, CoreIndex); 3] = [(ONE, CORE_0), (TWO, CORE_1), (THREAD, THREAD_CORE)];

type Checked<T = ()> = Result<T, TestCaseError>;

/// What there is to see of a chain that lives on without disputes.
#[derive(Clone)]
pub(crate) struct View {
    number: u32,
    root: Hash,
    header_root: Hash,
    validators: usize,
    heads: BTreeMap<ParaId, Vec<u8>>,
    /// The head of parachain one: as it is stored, and as the proof says.
    stored_head: Option<Vec<u8>>,
    proven_head: Option<Vec<u8>>,
    pending: BTreeMap<CoreIndex, PendingCandidate>,
    is_claimed: bool,
    /// Current code of parachain one.
    pub(crate) code: ValidationCodeHash,
    is_code_there: bool,
    is_earlier_code_there: bool,
    past_codes: usize,
}

impl View {
    pub(crate) fn of(chain: &Chain, earlier_code: Option<ValidationCodeHash>) -> Self {
        let state = &chain.state;
        let code = state.validation_code_hash(ONE, OccupiedCoreAssumption::TimedOut).unwrap();
        let key = well_known_keys::para_head(ONE);
        // The proof builds the trie anew: what the state remembers of its parent has changed no root.
        let proof = state.state_proof(std::slice::from_ref(&key));
        let head = |para: ParaId| (para, state.para_head(para).unwrap().0.clone());
        let pending = |core: CoreIndex| Some((core, state.pending_candidate(core)?.clone()));
        let is_there = |code| state.validation_code_by_hash(code).is_some();
        Self {
            number: state.number(),
            root: state.root(),
            header_root: chain.header.state_root,
            validators: state.validators().len(),
            heads: CORES.iter().map(|(para, _)| head(*para)).collect(),
            stored_head: state.storage().get(&key).cloned(),
            proven_head: proof.read(state.root(), &key).unwrap(),
            pending: CORES.iter().filter_map(|(_, core)| pending(*core)).collect(),
            is_claimed: state.governed(Governance::Claim(thread_claim())).is_err(),
            code,
            is_code_there: is_there(code),
            is_earlier_code_there: earlier_code.is_some_and(is_there),
            past_codes: state.past_code_meta(ONE).map_or(0, |meta| meta.upgrade_times().len()),
        }
    }
}

/// A block, and what was seen around it.
#[derive(Clone)]
pub(crate) struct BlockSeen {
    pub(crate) before: View,
    pub(crate) after: View,
    pub(crate) executed: Executed,
    pub(crate) inherent: InherentData,
    /// The code that a block of parachain one has announced and that is not in force.
    pub(crate) announced: Option<ValidationCodeHash>,
}

impl BlockSeen {
    /// All demands. Returns the code that is announced now.
    pub(crate) fn check(&self) -> Checked<Option<ValidationCodeHash>> {
        self.check_step()?;
        self.check_claim()?;
        if self.executed.new_session.is_none() {
            self.check_bits()?;
        }
        self.check_code()
    }

    /// The events explain every change of heads and cores, and nothing else changes.
    fn check_step(&self) -> Checked {
        let Self { before, after, executed, .. } = self;
        let mut heads = before.heads.clone();
        let mut occupied: BTreeMap<_, _> = before.pending.iter().map(|(core, it)| (*core, it.hash)).collect();
        for event in &executed.events {
            match event {
                CandidateEvent::Included(receipt, head, core, _) => {
                    prop_assert_eq!(occupied.remove(core), Some(receipt.hash()), "only what was pending is included");
                    let old = heads.insert(receipt.descriptor.para_id(), head.0.clone()).unwrap();
                    prop_assert_eq!(&old[..], &head.0[..head.0.len() - 1], "a head advances by one block");
                }
                CandidateEvent::TimedOut(receipt, _, core) => {
                    prop_assert_eq!(occupied.remove(core), Some(receipt.hash()), "only what was pending times out");
                }
                CandidateEvent::Backed(receipt, _, core, _) => {
                    prop_assert_eq!(occupied.insert(*core, receipt.hash()), None, "no core is occupied twice");
                }
            }
        }
        prop_assert_eq!(&after.heads, &heads, "heads change with what is included");
        if executed.new_session.is_some() {
            occupied.clear();
        }
        let pending: BTreeMap<_, _> = after.pending.iter().map(|(core, it)| (*core, it.hash)).collect();
        prop_assert_eq!(pending, occupied, "cores change with what happens to candidates");
        prop_assert_eq!(after.number, before.number + 1, "numbers follow each other");
        prop_assert_eq!(after.root, after.header_root, "the header names the state");
        prop_assert_eq!(&after.proven_head, &after.stored_head, "a proof says what is stored");
        Ok(())
    }

    /// A claim goes when it is served, or after an attempt in vain; it never comes by itself.
    fn check_claim(&self) -> Checked {
        let (was, is) = (self.before.is_claimed, self.after.is_claimed);
        prop_assert!(was || !is, "nobody claimed");
        let of_thread = |receipt: &primitives::CandidateReceipt| receipt.descriptor.para_id() == THREAD;
        let had = |wanted: fn(&CandidateEvent) -> Option<&primitives::CandidateReceipt>| {
            self.executed.events.iter().filter_map(wanted).any(of_thread)
        };
        let included = had(|event| if let CandidateEvent::Included(it, ..) = event { Some(it) } else { None });
        let backed = had(|event| if let CandidateEvent::Backed(it, ..) = event { Some(it) } else { None });
        let timed_out = had(|event| if let CandidateEvent::TimedOut(it, ..) = event { Some(it) } else { None });
        prop_assert!(!included || !is, "a claim that was served is used up");
        let was_pending = self.before.pending.contains_key(&THREAD_CORE);
        let in_vain = !backed && (!was_pending || timed_out);
        prop_assert!(!was || is || included || in_vain, "no claim gets lost");
        Ok(())
    }

    /// Availability bits are those that were there and those of this block's bitfields, unless these name a free core;
    /// more than two thirds of them include the candidate, and nothing else does.
    fn check_bits(&self) -> Checked {
        let Self { before, after, executed, inherent, .. } = self;
        let says = |validator: usize, core: CoreIndex| {
            let said = inherent.bitfields.iter().find(|field| field.validator_index.as_usize() == validator);
            said.is_some_and(|field| {
                let mut named = field.payload.0.iter_ones().map(|core| CoreIndex(core as u32));
                field.payload.0[core.as_usize()] && named.all(|core| before.pending.contains_key(&core))
            })
        };
        for (core, earlier) in &before.pending {
            let bits = earlier.availability.iter().by_vals().enumerate();
            let count = bits.filter(|(validator, bit)| *bit || says(*validator, *core)).count();
            let is_it =
                |event: &CandidateEvent| matches!(event, CandidateEvent::Included(it, ..) if it.hash() == earlier.hash);
            let included = executed.events.iter().any(is_it);
            let enough = count >= supermajority_threshold(before.validators);
            prop_assert_eq!(included, enough, "more than two thirds include it: {} on core {}", count, core);
        }
        for (core, now) in &after.pending {
            let earlier = before.pending.get(core).filter(|earlier| earlier.hash == now.hash);
            prop_assert_eq!(now.availability.len(), before.validators, "there is a bit per validator");
            for (validator, bit) in now.availability.iter().by_vals().enumerate() {
                let expected = earlier.is_some_and(|it| it.availability[validator] || says(validator, *core));
                prop_assert_eq!(bit, expected, "bits are what was said: validator {}, core {}", validator, core);
            }
        }
        Ok(())
    }

    /// Code changes to what an included candidate announced, one at a time, and is there as long as it is named.
    fn check_code(&self) -> Checked<Option<ValidationCodeHash>> {
        let Self { before, after, executed, mut announced, .. } = self.clone();
        prop_assert!(after.is_code_there, "the code in force is there");
        let of_one = |event: &&CandidateEvent| matches!(event, CandidateEvent::Included(it, ..) if it.descriptor.para_id() == ONE);
        let included = executed.events.iter().find(of_one).and(before.pending.get(&CORE_0));
        if let Some(code) = included.and_then(|it| it.receipt.commitments.new_validation_code.as_ref()) {
            prop_assert_eq!(announced.replace(code.hash()), None, "one upgrade at a time");
        }
        if before.code != after.code {
            prop_assert!(included.is_some(), "code changes with a block of the para only");
            prop_assert_eq!(announced.take(), Some(after.code), "code changes to what was announced");
            prop_assert!(after.past_codes > 0 && after.is_earlier_code_there, "the old code is kept for a while");
        }
        Ok(announced)
    }
}

/// What there is to see of a chain with disputes.
#[derive(Clone)]
pub(crate) struct QuarrelView {
    session: u32,
    issuance: Issuance,
    slashes: BTreeMap<ValidatorId, u128>,
    penalties: Vec<Penalty>,
    on_cores: Vec<CandidateHash>,
    blacklist: BTreeSet<Key>,
    is_claimed: bool,
    /// What is held of the collator's.
    held: u128,
    disputes: BTreeMap<Key, DisputeStatus>,
    /// Of each candidate in its acceptance period the first block that included it, and the one that is found.
    places: BTreeMap<Key, (u32, Option<u32>)>,
}

impl QuarrelView {
    pub(crate) fn of(chain: &Chain) -> Self {
        let state = &chain.state;
        let all_cores = (0..state.groups().len() as u32).map(CoreIndex);
        let disputes = state.disputes().into_iter();
        let mut places = BTreeMap::new();
        for (number, session, candidate) in state.accepting() {
            let found = state.approval_status(session, candidate).map(|status| status.included_in);
            places.entry((session, candidate)).or_insert((number, found));
        }
        Self {
            session: state.session_index(),
            issuance: state.issuance(),
            slashes: state.slashes().clone(),
            penalties: state.penalties().to_vec(),
            on_cores: all_cores.filter_map(|core| Some(state.pending_candidate(core)?.hash)).collect(),
            blacklist: state.blacklist().collect(),
            is_claimed: state.governed(Governance::Claim(thread_claim())).is_err(),
            held: state.account(&collator().public()).reserved,
            disputes: disputes.map(|it| ((it.session, it.candidate), it)).collect(),
            places,
        }
    }
}

/// A block, and what was seen around it.
#[derive(Clone)]
pub(crate) struct QuarrelSeen {
    pub(crate) before: QuarrelView,
    pub(crate) after: QuarrelView,
    pub(crate) executed: Executed,
    /// The verdicts until then.
    pub(crate) judged: BTreeMap<Key, Verdict>,
}

/// What each validator has at stake in these chains.
const STAKE: u128 = 1_000_000;

impl QuarrelSeen {
    /// All demands. Returns the verdicts with those of this block.
    pub(crate) fn check(&self) -> Checked<BTreeMap<Key, Verdict>> {
        self.check_amounts()?;
        let after = &self.after;
        for (key, (first, found)) in &after.places {
            prop_assert_eq!(Some(*first), *found, "{:?} is found where it was included first", key);
        }
        let on_core = after.on_cores.iter().find(|it| after.blacklist.contains(&(after.session, **it)));
        prop_assert_eq!(on_core, None, "nothing on a core was judged invalid");
        for (key, dispute) in &after.disputes {
            let is_invalid = matches!(dispute.phase, DisputePhase::Concluded { verdict: Verdict::Invalid, .. });
            let is_out = after.blacklist.contains(key) || key.0 + 1 < after.session;
            prop_assert!(!is_invalid || is_out, "what was judged invalid is never backed");
        }
        self.check_verdicts()
    }

    fn check_amounts(&self) -> Checked {
        let Self { before, after, executed, .. } = self;
        prop_assert!(after.issuance.is_conserved(), "amounts are conserved: {:?}", after.issuance);
        let taken: u128 = executed.penalties.iter().map(|penalty| penalty.amount).sum();
        let given_back = executed.validity_events.iter().map(|event| match event {
            ValidityEvent::PenaltyReturned(penalty) => penalty.amount,
            _ => 0,
        });
        let (slashed, was) = (after.issuance.slashed, before.issuance.slashed);
        prop_assert_eq!(slashed + given_back.sum::<u128>(), was + taken, "every slash is told");
        prop_assert!(after.slashes.values().all(|lost| *lost <= STAKE), "nobody loses what is not his");
        prop_assert_eq!(after.held, if after.is_claimed { DEPOSIT } else { 0 }, "there is a deposit per claim");
        // Whatever place the key has in which session.
        let mut seen = BTreeSet::new();
        for penalty in &after.penalties {
            prop_assert!(seen.insert((penalty.validator, penalty.reason)), "nobody pays twice for the same");
        }
        Ok(())
    }

    fn check_verdicts(&self) -> Checked<BTreeMap<Key, Verdict>> {
        let mut judged = self.judged.clone();
        let mut here = BTreeSet::new();
        for event in &self.executed.validity_events {
            let ValidityEvent::Concluded { session, candidate, verdict, by_supermajority } = event else { continue };
            let key = (*session, *candidate);
            prop_assert!(here.insert(key), "a block judges a candidate once");
            let status = self.after.disputes.get(&key);
            prop_assert!(status.is_some(), "a dispute that is decided is open for late votes");
            let votes = status.map(|status| &status.votes).unwrap();
            let winners = if *verdict == Verdict::Valid { &votes.validators_for } else { &votes.validators_against };
            let enough = winners.count_ones() >= supermajority_threshold(winners.len());
            prop_assert!(!by_supermajority || enough, "slashes take a supermajority");
            let earlier = judged.insert(key, *verdict);
            let turned = *verdict == Verdict::Invalid && earlier == Some(Verdict::Valid);
            prop_assert!(earlier.is_none() || turned, "a verdict is final, unless as many say the contrary");
        }
        Ok(judged)
    }
}

/// A demand that is broken, and how.
type Break<T> = (&'static str, fn(&mut T));

/// Each of `breaks` is reported by its name.
fn each_is_noticed<T: Clone, O>(good: &T, check: impl Fn(&T) -> Checked<O>, breaks: &[Break<T>]) {
    check(good).map(|_| ()).unwrap();
    for (demand, broken) in breaks {
        let mut seen = good.clone();
        broken(&mut seen);
        match check(&seen) {
            Ok(_) => panic!("nobody noticed that it does not hold any more: {demand}"),
            Err(error) => assert!(error.to_string().contains(demand), "{demand} was broken, found: {error}"),
        }
    }
}

/// Parachain one is included, with new code; the candidate of parachain two lacks chunks.
fn good_block() -> BlockSeen {
    let mut chain = Chain::new(5);
    let mut draft = chain.draft(ONE, CORE_0);
    draft.commitments.new_validation_code = Some(vec![9; 40].into());
    let backed_candidates = vec![chain.back(&draft), chain.back(&chain.draft(TWO, CORE_1))];
    chain.push(InherentData { backed_candidates, ..chain.inherent() });
    let before = View::of(&chain, None);
    let mut inherent = chain.attesting(4, &[0]);
    inherent.bitfields[0] = chain.bitfield(0, &[0, 1]);
    let executed = chain.push(inherent.clone());
    let after = View::of(&chain, Some(before.code));
    BlockSeen { before, after, executed, inherent, announced: None }
}

fn included(seen: &mut BlockSeen) -> (&mut primitives::CandidateReceipt, &mut primitives::HeadData) {
    match &mut seen.executed.events[..] {
        [CandidateEvent::Included(receipt, head, ..)] => (receipt, head),
        other => panic!("one is included: {other:?}"),
    }
}

#[test]
fn a_block_that_breaks_a_demand_is_noticed() {
    let good = good_block();
    let announced = good.check().unwrap();
    assert!(announced.is_some(), "its code was announced");
    let steps: [Break<BlockSeen>; 9] = [
        ("only what was pending is included", |seen| _ = seen.before.pending.remove(&CORE_0)),
        ("a head advances by one block", |seen| included(seen).1.0.push(7)),
        ("only what was pending times out", |seen| {
            let (receipt, head) = included(seen);
            let event = CandidateEvent::TimedOut(receipt.clone(), head.clone(), CORE_1);
            seen.executed.events.push(event);
        }),
        ("no core is occupied twice", |seen| {
            let (receipt, head) = included(seen);
            let event = CandidateEvent::Backed(receipt.clone(), head.clone(), CORE_1, primitives::GroupIndex(0));
            seen.executed.events.push(event);
        }),
        ("heads change with what is included", |seen| seen.after.heads.get_mut(&TWO).unwrap().push(7)),
        ("cores change with what happens to candidates", |seen| _ = seen.after.pending.remove(&CORE_1)),
        ("numbers follow each other", |seen| seen.after.number += 1),
        ("the header names the state", |seen| seen.after.header_root = Hash::repeat(7)),
        ("a proof says what is stored", |seen| seen.after.proven_head = None),
    ];
    each_is_noticed(&good, BlockSeen::check_step, &steps);
    let claims: [Break<BlockSeen>; 3] = [
        ("nobody claimed", |seen| seen.after.is_claimed = true),
        ("a claim that was served is used up", |seen| {
            (seen.before.is_claimed, seen.after.is_claimed) = (true, true);
            *included(seen).0 = Chain::new(5).draft(THREAD, THREAD_CORE).receipt().to_receipt();
        }),
        ("no claim gets lost", |seen| {
            seen.before.is_claimed = true;
            let pending = seen.before.pending[&CORE_1].clone();
            seen.before.pending.insert(THREAD_CORE, pending);
        }),
    ];
    each_is_noticed(&good, BlockSeen::check_claim, &claims);
    let bits: [Break<BlockSeen>; 4] = [
        ("more than two thirds include it", |seen| seen.executed.events.clear()),
        ("more than two thirds include it", |seen| _ = seen.inherent.bitfields.pop()),
        ("there is a bit per validator", |seen| {
            seen.after.pending.get_mut(&CORE_1).unwrap().availability.push(false);
        }),
        ("bits are what was said", |seen| {
            seen.after.pending.get_mut(&CORE_1).unwrap().availability.set(1, true);
        }),
    ];
    each_is_noticed(&good, BlockSeen::check_bits, &bits);
    let codes: [Break<BlockSeen>; 2] = [
        ("the code in force is there", |seen| seen.after.is_code_there = false),
        ("one upgrade at a time", |seen| seen.announced = Some(seen.before.code)),
    ];
    each_is_noticed(&good, BlockSeen::check_code, &codes);
    // The code that was announced has come into force.
    let mut upgraded = good;
    (upgraded.after.code, upgraded.after.past_codes) = (announced.unwrap(), 1);
    let codes: [Break<BlockSeen>; 4] = [
        ("code changes with a block of the para only", |seen| seen.executed.events.clear()),
        ("code changes to what was announced", |seen| seen.after.code = primitives::ValidationCodeHash(Hash::ZERO)),
        ("the old code is kept for a while", |seen| seen.after.is_earlier_code_there = false),
        ("the old code is kept for a while", |seen| seen.after.past_codes = 0),
    ];
    each_is_noticed(&upgraded, BlockSeen::check_code, &codes);
}

/// Parachain one's candidate is judged invalid, while that of parachain two is on its core.
fn good_quarrel() -> QuarrelSeen {
    let mut chain = Chain::new(7);
    let backers = chain.members(CORE_0);
    let candidate = chain.include(ONE, CORE_0);
    chain.push(chain.backing(&[(TWO, CORE_1)]));
    let before = QuarrelView::of(&chain);
    let disputing: Vec<u32> = (0..7).filter(|it| !backers.contains(it)).chain([backers[0]]).collect();
    let executed = chain.dispute(chain.votes(0, candidate, &[], &disputing));
    QuarrelSeen { before, after: QuarrelView::of(&chain), executed, judged: BTreeMap::new() }
}

impl QuarrelSeen {
    fn disputed(&self) -> Key {
        *self.after.disputes.keys().next().unwrap()
    }

    fn dispute(&mut self) -> &mut DisputeStatus {
        self.after.disputes.values_mut().next().unwrap()
    }
}

#[test]
fn a_verdict_that_breaks_a_demand_is_noticed() {
    let breaks: [Break<QuarrelSeen>; 14] = [
        ("amounts are conserved", |seen| seen.after.issuance.pot += 1),
        ("amounts are conserved", |seen| seen.after.issuance.accounts -= 1),
        ("every slash is told", |seen| _ = seen.executed.penalties.pop()),
        ("every slash is told", |seen| {
            let returned = ValidityEvent::PenaltyReturned(seen.executed.penalties[0].clone());
            seen.executed.validity_events.push(returned);
        }),
        ("nobody loses what is not his", |seen| *seen.after.slashes.values_mut().next().unwrap() += 1),
        ("there is a deposit per claim", |seen| seen.after.held = DEPOSIT),
        ("there is a deposit per claim", |seen| seen.after.is_claimed = true),
        ("nobody pays twice for the same", |seen| {
            let again = Penalty { session: 1, ..seen.after.penalties[0].clone() };
            seen.after.penalties.push(again);
        }),
        ("is found where it was included first", |seen| seen.after.places.values_mut().next().unwrap().1 = None),
        ("nothing on a core was judged invalid", |seen| _ = seen.after.blacklist.insert((0, seen.after.on_cores[0]))),
        ("what was judged invalid is never backed", |seen| seen.after.blacklist.clear()),
        ("a block judges a candidate once", |seen| {
            let events = seen.executed.validity_events.clone();
            seen.executed.validity_events.extend(events);
        }),
        ("a dispute that is decided is open for late votes", |seen| seen.after.disputes.clear()),
        ("slashes take a supermajority", |seen| seen.dispute().votes.validators_against.fill(false)),
    ];
    let good = good_quarrel();
    each_is_noticed(&good, QuarrelSeen::check, &breaks);
    let settled: [Break<QuarrelSeen>; 2] = [
        ("a verdict is final", |seen| _ = seen.judged.insert(seen.disputed(), Verdict::Invalid)),
        ("a verdict is final", |seen| _ = seen.judged.insert(seen.disputed(), Verdict::Unavailable)),
    ];
    each_is_noticed(&good, QuarrelSeen::check, &settled);
    let turned = QuarrelSeen { judged: BTreeMap::from([(good.disputed(), Verdict::Valid)]), ..good };
    assert!(turned.check().is_ok(), "as many may say the contrary");
}
