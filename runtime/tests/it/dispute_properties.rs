//! Properties over random chains with disputes, checks, reports and changes by governance.

use crate::support::*;
use primitives::{CandidateHash, InherentData, Pair, SessionIndex};
use proptest::prelude::*;
use runtime::{
    DirectVerifier, DisputePhase, Executed, Extrinsic, FishermanReport, Governance, ReportKind, ValidityEvent, Verdict,
    fisherman_payload,
};
use std::collections::BTreeMap;

const VALIDATORS: usize = 7;
const STAKE: u128 = 1_000_000;

/// What one block does.
#[derive(Clone, Debug)]
struct Step {
    back: [bool; 2],
    /// How many validators hold the chunks.
    attest: u32,
    /// Votes about a candidate in its acceptance period or a dispute: who says what.
    votes: Option<(prop::sample::Index, [Option<bool>; VALIDATORS])>,
    report: Option<(prop::sample::Index, u8)>,
    rotate: bool,
}

fn step() -> impl Strategy<Value = Step> {
    // Two of three votes side with the first voter, so that disputes are decided either way.
    let vote = prop::option::weighted(0.6, prop::bool::weighted(0.3));
    let votes = (any::<prop::sample::Index>(), prop::array::uniform7(vote), any::<bool>());
    let votes = votes.prop_map(|(which, votes, turned)| (which, votes.map(|vote| vote.map(|valid| valid ^ turned))));
    (
        any::<[bool; 2]>(),
        4..=VALIDATORS as u32,
        prop::option::weighted(0.5, votes),
        prop::option::weighted(0.2, (any::<prop::sample::Index>(), 0..3_u8)),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(back, attest, votes, report, rotate)| Step { back, attest, votes, report, rotate })
}

fn fisherman(index: u8) -> Pair {
    Pair::from_name(&format!("fisherman {index}"))
}

fn start() -> Chain {
    let mut chain = Chain::with(VALIDATORS, |genesis| {
        genesis.session_length = 11;
        genesis.configuration.parachain_rotation_frequency = 5;
        genesis.configuration.chain_availability_period = 3;
        genesis.configuration.thread_availability_period = 3;
        genesis.configuration.acceptance_period = 6;
        genesis.configuration.dispute_post_conclusion_period = 3;
    });
    for index in 0..3 {
        chain.govern(Governance::Endow(fisherman(index).public(), 20_000));
    }
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
    for ((para, core), wanted) in [(ONE, CORE_0), (TWO, CORE_1)].into_iter().zip(step.back) {
        if wanted {
            inherent.backed_candidates.push(chain.back(&chain.draft(para, core)));
        }
    }
    let occupied: Vec<_> =
        [CORE_0, CORE_1].into_iter().filter(|core| chain.state.pending_candidate(*core).is_some()).collect();
    let cores: Vec<_> = occupied.iter().map(|core| core.0).collect();
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
    if let Some((which, reporter)) = &step.report
        && !contestable.is_empty()
    {
        let (session, candidate) = *which.get(&contestable);
        let (pair, kind, bond) = (fisherman(*reporter), ReportKind::Invalid, 1_500);
        let signature = sign(&pair, &fisherman_payload(session, candidate, kind, bond));
        let report = FishermanReport { reporter: pair.public(), session, candidate, kind, bond, signature };
        transactions.push(Extrinsic::FishermanReport(report));
    }
    if step.rotate {
        let mut validators = chain.state.next_validators().to_vec();
        validators.rotate_left(1);
        let all: Vec<_> = (0..VALIDATORS as u32).collect();
        let signed = chain.governance(Governance::Validators(validators), &all);
        transactions.push(Extrinsic::Governed(Box::new(signed)));
    }
    runtime::filter_extrinsics(&chain.state, &chain.header, inherent, transactions, &DirectVerifier)
}

fn check(before: &Chain, after: &Chain, executed: &Executed) {
    let state = &after.state;
    let issuance = state.issuance();
    assert!(issuance.is_conserved(), "{issuance:?}");
    let taken: u128 = executed.penalties.iter().map(|penalty| penalty.amount).sum();
    assert_eq!(issuance.slashed, before.state.issuance().slashed + taken, "every slash is told");
    assert!(state.slashes().values().all(|lost| *lost <= STAKE), "nobody loses what is not his");
    for core in [CORE_0, CORE_1] {
        if let Some(pending) = state.pending_candidate(core) {
            assert!(!state.is_blacklisted(state.session_index(), pending.hash), "judged invalid, yet on a core");
        }
    }
    // In one block, nobody pays twice for the same.
    let mut seen = std::collections::BTreeSet::new();
    for penalty in state.penalties() {
        assert!(seen.insert((penalty.session, penalty.validator_index, penalty.reason)), "{penalty:?} again");
    }
    let mut verdicts = BTreeMap::new();
    for event in &executed.validity_events {
        if let ValidityEvent::Concluded { session, candidate, verdict, by_supermajority } = event {
            assert_eq!(verdicts.insert((*session, *candidate), *verdict), None, "judged once");
            let status = state.dispute(*session, *candidate).expect("open for late votes");
            let (votes_for, against) = (&status.votes.validators_for, &status.votes.validators_against);
            let winners = if *verdict == Verdict::Valid { votes_for } else { against };
            assert!(!by_supermajority || winners.count_ones() >= 5);
        }
    }
    for dispute in state.disputes() {
        if let DisputePhase::Concluded { verdict: Verdict::Invalid, .. } = dispute.phase {
            assert!(
                state.is_blacklisted(dispute.session, dispute.candidate) || dispute.session + 1 < state.session_index()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn amounts_are_conserved_and_verdicts_are_final(steps in prop::collection::vec(step(), 15..45)) {
        let mut chain = start();
        let mut judged: BTreeMap<(SessionIndex, CandidateHash), Verdict> = BTreeMap::new();
        for step in &steps {
            let before = chain.clone();
            let inherent = inherent(&chain, step);
            let transactions = transactions(&chain, step, &inherent);
            let (block, executed) = chain.try_extrinsics(inherent, transactions).unwrap();
            prop_assert_eq!(before.state.root(), before.header.state_root, "executing leaves no trace");
            chain.header = block.header;
            chain.state = executed.state.clone();
            check(&before, &chain, &executed);
            for event in executed.validity_events {
                if let ValidityEvent::Concluded { session, candidate, verdict, .. } = event {
                    prop_assert_eq!(judged.insert((session, candidate), verdict), None, "a verdict is final");
                }
            }
        }
    }
}
