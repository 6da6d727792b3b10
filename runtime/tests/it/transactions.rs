//! Transactions of every kind, signed by whom they need.

use crate::support::*;
use codec::Encode;
use primitives::{
    CandidateHash, CollatorId, CoreIndex, DigestItem, DisputeStatement, DisputeStatementSet, Hash, HeadData, Header,
    Pair, SessionIndex, ValidDisputeStatementKind, ValidatorIndex,
    crypto::{SeedRng, vrf_input_bytes},
    dispute::approval_payload,
};
use runtime::{
    Assignment, AssignmentKind, DisputePhase, EquivocationReport, Extrinsic, FishermanReport, Governance,
    ParathreadClaim, RemoteAvailability, RemoteDispute, ReportKind, SLOT_ENGINE_ID, SecondaryAttestation, SignedClaim,
    SignedGovernance, UnavailableReport, assignment_input, claim_payload, fisherman_payload, governance_payload,
    remote_availability_payload, unavailable_payload,
};

/// What a claim of a parathread costs until it is served.
pub(crate) const DEPOSIT: u128 = 10;
/// The bond of a report.
pub(crate) const BOND: u128 = 1_500;

/// A candidate in its session.
pub(crate) type Key = (SessionIndex, CandidateHash);

pub(crate) fn collator() -> Pair {
    Pair::from_name("collator")
}

pub(crate) fn fisherman(index: u8) -> Pair {
    Pair::from_name(&format!("fisherman {index}"))
}

/// Changes that all validators want, one after the other.
pub(crate) fn governed_by_all(chain: &Chain, changes: impl IntoIterator<Item = Governance>) -> Vec<Extrinsic> {
    let signed = changes.into_iter().zip(chain.state.governance_nonce()..).map(|(change, nonce)| {
        let payload = governance_payload(chain.state.chain_id(), nonce, &change);
        let all = (0..chain.state.validators().len() as u32).map(ValidatorIndex);
        let signatures = all.map(|validator| (validator, sign(chain.pair_of(validator), &payload))).collect();
        Extrinsic::Governed(Box::new(SignedGovernance { change, nonce, signatures }))
    });
    signed.collect()
}

pub(crate) fn fisherman_report(
    chain: &Chain,
    reporter: &Pair,
    (session, candidate): Key,
    kind: ReportKind,
) -> Extrinsic {
    let signature = sign(reporter, &fisherman_payload(chain.state.chain_id(), session, candidate, kind, BOND));
    let reporter = reporter.public();
    Extrinsic::FishermanReport(FishermanReport { reporter, session, candidate, kind, bond: BOND, signature })
}

pub(crate) fn unavailable(chain: &Chain, (session, candidate): Key, count: u32) -> Option<Extrinsic> {
    chain.state.validators_of(session)?;
    let payload = unavailable_payload(candidate, session);
    let vote = |validator| (ValidatorIndex(validator), sign(chain.pair_in(session, validator), &payload));
    Some(Extrinsic::Unavailable(UnavailableReport { session, candidate, votes: (0..count).map(vote).collect() }))
}

/// A candidate that another fork has backed, seconded by one validator and disputed by the next.
pub(crate) fn remote(chain: &Chain, head: u8) -> Extrinsic {
    let mut draft = chain.draft(ONE, CORE_0);
    draft.commitments.head_data = HeadData(vec![0xee, head]);
    let (candidate, session) = (draft.receipt(), chain.state.session_index());
    let hash = candidate.hash();
    let (seconder, opponent) = (u32::from(head), (u32::from(head) + 1) % chain.state.validators().len() as u32);
    let mut votes = chain.votes(session, hash, &[], &[opponent]);
    let seconded = DisputeStatement::Valid(ValidDisputeStatementKind::BackingSeconded(draft.relay_parent));
    let signature = sign(chain.pair_in(session, seconder), &seconded.payload(hash, session).unwrap());
    votes.statements.push((seconded, ValidatorIndex(seconder), signature));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    Extrinsic::RemoteDispute(Box::new(RemoteDispute { candidate, validation_code: None, votes }))
}

/// So many validators hold their chunks of whatever waits for them.
pub(crate) fn available(chain: &Chain, count: u32) -> Vec<Extrinsic> {
    let disputes = chain.state.disputes().into_iter();
    let waiting = disputes.filter(|it| matches!(it.phase, DisputePhase::AwaitingAvailability { .. }));
    let known = waiting.filter(|it| chain.state.validators_of(it.session).is_some());
    known
        .map(|it| {
            let payload = remote_availability_payload(it.candidate, it.session);
            let vote = |validator| (ValidatorIndex(validator), sign(chain.pair_in(it.session, validator), &payload));
            let votes = (0..count).map(vote).collect();
            Extrinsic::RemoteAvailability(RemoteAvailability { session: it.session, candidate: it.candidate, votes })
        })
        .collect()
}

/// Two blocks in one slot; the same slot comes again, so that it is reported again.
pub(crate) fn equivocation(chain: &Chain, by: u32) -> Extrinsic {
    let (slot, number) = (chain.state.slot() / 8, chain.state.number() + 1);
    let [first, second] = [1, 2].map(|salt| numbered(chain, by, slot, salt, number));
    let (session, validator) = (chain.state.session_index(), ValidatorIndex(by));
    Extrinsic::Equivocation(Box::new(EquivocationReport { session, validator, first, second }))
}

pub(crate) fn thread_claim() -> ParathreadClaim {
    ParathreadClaim { para: THREAD, collator: CollatorId(collator().public()) }
}

pub(crate) fn claim(chain: &Chain) -> Extrinsic {
    let nonce = chain.state.account(&collator().public()).nonce;
    let payload = claim_payload(chain.state.chain_id(), &thread_claim(), DEPOSIT, nonce);
    let signature = sign(&collator(), &payload);
    Extrinsic::Claim(SignedClaim { claim: thread_claim(), deposit: DEPOSIT, nonce, signature })
}

/// A sealed header.
pub(crate) fn numbered(chain: &Chain, by: u32, slot: u64, salt: u8, number: u32) -> Header {
    let mut header = Header {
        parent_hash: Hash::repeat(salt),
        number,
        state_root: Hash::ZERO,
        extrinsics_root: Hash::ZERO,
        digest: digest(slot, by),
    };
    let seal = sign(chain.pair_of(ValidatorIndex(by)), &header.hash().encode());
    header.digest.push(DigestItem::Seal(SLOT_ENGINE_ID, seal.encode()));
    header
}

/// A secondary check of a candidate of this session.
pub(crate) fn attest(
    chain: &Chain,
    candidate: CandidateHash,
    validator: u32,
    kind: AssignmentKind,
    input: &[u8],
) -> SecondaryAttestation {
    let session = chain.state.session_index();
    let pair = chain.pair_in(session, validator);
    let (vrf, _) = pair.vrf_sign(vrf_input_bytes(input), &mut SeedRng::new([1; 32]));
    SecondaryAttestation {
        session,
        candidate,
        validator: ValidatorIndex(validator),
        assignment: Assignment { kind, equivocated: false, vrf },
        signature: sign(pair, &approval_payload(&[candidate], session)),
    }
}

/// The draw on top of those that everybody makes.
pub(crate) fn extra(
    chain: &Chain,
    candidate: CandidateHash,
    validator: u32,
    vrf: &[u8; 32],
    core: CoreIndex,
) -> SecondaryAttestation {
    let input = assignment_input(AssignmentKind::Extra, vrf, core, None);
    attest(chain, candidate, validator, AssignmentKind::Extra, &input)
}
