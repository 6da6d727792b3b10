//! Properties over random chains with disputes of this fork and of others, reports of all kinds, claims, upgrades and
//! changes by governance.

use crate::{
    invariants::{QuarrelSeen, QuarrelView},
    support::*,
    transactions::*,
};
use primitives::{CandidateHash, CoreIndex, HeadData, InherentData, ParaId, SessionIndex};
use proptest::prelude::*;
use runtime::{DirectVerifier, Extrinsic, Governance, ParaGenesisArgs, ReportKind, ValidityEvent};
use std::collections::BTreeMap;

const VALIDATORS: usize = 7;
/// A para that comes and goes.
const GUEST: ParaId = ParaId(4000);

/// What one block does.
#[derive(Clone, Debug)]
struct Step {
    back: [bool; 3],
    /// Whether the first parachain's candidate brings new code.
    upgrade: bool,
    /// How many validators hold the chunks.
    attest: u32,
    /// Votes about a candidate in its acceptance period or a dispute: who says what.
    votes: Option<(prop::sample::Index, [Option<bool>; VALIDATORS])>,
    report: Option<(prop::sample::Index, u8, bool)>,
    /// So many validators cannot get hold of a candidate in its acceptance period or of a dispute.
    unavailable: Option<(prop::sample::Index, u32)>,
    /// A dispute of another fork, on a candidate with this head.
    remote: Option<u8>,
    /// Who makes two blocks in one slot.
    equivocate: Option<u32>,
    governed: Option<Change>,
    claim: bool,
}

/// What governance changes.
#[derive(Clone, Copy, Debug)]
enum Change {
    Rotate,
    Register,
    Deregister,
}

fn step() -> impl Strategy<Value = Step> {
    // Two of three votes side with the first voter, so that disputes are decided either way.
    let vote = prop::option::weighted(0.6, prop::bool::weighted(0.3));
    let votes = (any::<prop::sample::Index>(), prop::array::uniform7(vote), any::<bool>());
    let votes = votes.prop_map(|(which, votes, turned)| (which, votes.map(|vote| vote.map(|valid| valid ^ turned))));
    let count = 1..=VALIDATORS as u32;
    let life = (any::<[bool; 3]>(), prop::bool::weighted(0.2), 4..=VALIDATORS as u32, any::<bool>());
    let report = (any::<prop::sample::Index>(), 0..3_u8, any::<bool>());
    let quarrel = (
        prop::option::weighted(0.5, votes),
        prop::option::weighted(0.2, report),
        prop::option::weighted(0.1, (any::<prop::sample::Index>(), count)),
        prop::option::weighted(0.1, 0..VALIDATORS as u8),
        prop::option::weighted(0.1, 0..VALIDATORS as u32),
    );
    let change = prop::sample::select(vec![Change::Rotate, Change::Register, Change::Deregister]);
    (life, quarrel, prop::option::weighted(0.2, change)).prop_map(|(life, quarrel, governed)| {
        let (back, upgrade, attest, claim) = life;
        let (votes, report, unavailable, remote, equivocate) = quarrel;
        Step { back, upgrade, attest, votes, report, unavailable, remote, equivocate, governed, claim }
    })
}

/// The core of parathreads: after those of the parachains.
fn thread_core(chain: &Chain) -> CoreIndex {
    CoreIndex(chain.state.groups().len() as u32 - 1)
}

fn start() -> Chain {
    let mut chain = Chain::with(VALIDATORS, |genesis| {
        genesis.session_length = 11;
        genesis.configuration.parachain_rotation_frequency = 5;
        genesis.configuration.chain_availability_period = 3;
        genesis.configuration.thread_availability_period = 3;
        genesis.configuration.acceptance_period = 6;
        genesis.configuration.dispute_post_conclusion_period = 3;
        genesis.configuration.validation_upgrade_frequency = 4;
        genesis.configuration.validation_upgrade_delay = 2;
    });
    for index in 0..3 {
        chain.govern(Governance::Endow(fisherman(index).public(), 20_000));
    }
    chain.govern(Governance::Endow(collator().public(), 20_000));
    chain.skip(1);
    chain
}

/// Candidates that can be contested.
fn contestable(chain: &Chain) -> Vec<(SessionIndex, CandidateHash)> {
    let accepting = chain.state.accepting().map(|(_, session, candidate)| (session, candidate));
    let disputed = chain.state.disputes().into_iter().map(|dispute| (dispute.session, dispute.candidate));
    accepting.chain(disputed).collect()
}

fn inherent(chain: &Chain, step: &Step) -> InherentData {
    let mut inherent = chain.inherent();
    for ((para, core), wanted) in
        [(ONE, CORE_0), (TWO, CORE_1), (THREAD, thread_core(chain))].into_iter().zip(step.back)
    {
        if !wanted {
            continue;
        }
        let mut draft = chain.draft(para, core);
        if step.upgrade && para == ONE {
            draft.commitments.new_validation_code = Some(vec![chain.header.number as u8; 40].into());
        }
        let receipt = if para == THREAD { draft.receipt_v1(&collator()) } else { draft.receipt() };
        inherent.backed_candidates.push(chain.back_with(receipt, core, usize::MAX));
    }
    let all = 0..chain.state.groups().len() as u32;
    let cores: Vec<_> = all.filter(|core| chain.state.pending_candidate(CoreIndex(*core)).is_some()).collect();
    inherent.bitfields = (0..step.attest).map(|validator| chain.bitfield(validator, &cores)).collect();
    let contestable = contestable(chain);
    if let Some((which, votes)) = &step.votes
        && !contestable.is_empty()
    {
        let (session, candidate) = *which.get(&contestable);
        if chain.state.validators_of(session).is_some() {
            let who = |wanted: bool| {
                let said = votes.iter().zip(0..).filter(move |(vote, _)| **vote == Some(wanted));
                said.map(|(_, index)| index).collect::<Vec<u32>>()
            };
            inherent.disputes.push(chain.votes(session, candidate, &who(true), &who(false)));
        }
    }
    runtime::filter_inherent(&chain.state, &chain.header, inherent, &DirectVerifier)
}

fn transactions(chain: &Chain, step: &Step, inherent: &InherentData) -> Vec<Extrinsic> {
    let mut transactions = Vec::new();
    let contestable = contestable(chain);
    if let Some((which, reporter, is_invalid)) = &step.report
        && !contestable.is_empty()
    {
        let (session, candidate) = *which.get(&contestable);
        let kind = if *is_invalid { ReportKind::Invalid } else { ReportKind::Unavailable };
        transactions.push(fisherman_report(chain, &fisherman(*reporter), (session, candidate), kind));
    }
    if let Some((which, count)) = &step.unavailable
        && !contestable.is_empty()
    {
        transactions.extend(unavailable(chain, *which.get(&contestable), *count));
    }
    transactions.extend(step.remote.map(|head| remote(chain, head)));
    transactions.extend(available(chain, step.attest));
    transactions.extend(step.equivocate.map(|validator| equivocation(chain, validator)));
    if step.claim {
        transactions.push(claim(chain));
    }
    transactions.extend(governed_by_all(chain, step.governed.map(|change| governed(chain, change))));
    runtime::filter_extrinsics(&chain.state, &chain.header, inherent, transactions, &DirectVerifier)
}

fn governed(chain: &Chain, change: Change) -> Governance {
    match change {
        Change::Rotate => {
            let mut validators = chain.state.next_validators().to_vec();
            validators.rotate_left(1);
            Governance::Validators(validators)
        }
        Change::Register => {
            let (genesis_head, validation_code) = (HeadData(vec![4]), vec![4; 32].into());
            Governance::InitializePara(GUEST, ParaGenesisArgs { genesis_head, validation_code, parachain: true })
        }
        Change::Deregister => Governance::CleanupPara(GUEST),
    }
}

/// What is generated is not refused as a matter of course.
#[test]
fn every_kind_of_transaction_is_taken() {
    let mut chain = start();
    let key = (0, chain.include(ONE, CORE_0));
    let unavailable = unavailable(&chain, key, 1).unwrap();
    let transactions = vec![unavailable, remote(&chain, 6), equivocation(&chain, 2), claim(&chain)];
    let executed = chain.push_extrinsics(transactions);
    assert!(matches!(executed.validity_events[..], [ValidityEvent::RemoteOpened { .. }]));
    assert_eq!((executed.penalties.len(), chain.state.account(&collator().public()).reserved), (1, DEPOSIT));
    let executed = chain.push_extrinsics(available(&chain, 5));
    assert!(matches!(executed.validity_events[..], [ValidityEvent::RemoteAvailable { .. }]));
    chain.enact(governed(&chain, Change::Rotate));
    chain.enact(governed(&chain, Change::Register));
    chain.skip_to(11);
    assert_eq!((thread_core(&chain), chain.state.parachains().len()), (CoreIndex(3), 3));
    chain.enact(governed(&chain, Change::Deregister));
    chain.skip_to(22);
    assert_eq!(chain.state.parachains().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn amounts_are_conserved_and_verdicts_are_final(steps in prop::collection::vec(step(), 15..45)) {
        let mut chain = start();
        let mut judged = BTreeMap::new();
        for step in &steps {
            let (before, snapshot) = (QuarrelView::of(&chain), chain.state.to_snapshot());
            let inherent = inherent(&chain, step);
            let transactions = transactions(&chain, step, &inherent);
            let (block, executed) = chain.try_extrinsics(inherent, transactions).unwrap();
            prop_assert!(chain.state.to_snapshot() == snapshot, "executing leaves no trace");
            chain.header = block.header;
            chain.state = executed.state.clone();
            let after = QuarrelView::of(&chain);
            judged = QuarrelSeen { before, after, executed, judged }.check()?;
        }
    }
}
