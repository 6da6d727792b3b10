//! What it does.

use expect_test::expect;
use messages::candidate_backing::{self, CandidateBacking};
use messages::candidate_selection::NewCandidate;
use messages::collation_distribution::{CollationDistribution, FetchedCollation, Inbox};
use mocks::Harness;
use mocks::chain::TestChain;
use mocks::fixtures::{Candidate, CandidateBuilder, hash, peer};
use own_subsystem::Loyal;
use primitives::{CollatorId, Pair};

pub(crate) fn offer(from: u8, candidate: &Candidate) -> NewCandidate {
    NewCandidate {
        relay_parent: candidate.relay_parent(),
        para_id: candidate.committed.descriptor.para_id(),
        collator: CollatorId(Pair::from_name("collator").public()),
        peer: peer(from),
        candidate_hash: candidate.hash(),
    }
}

fn scene(seed: u64) -> (Harness, TestChain, Candidate) {
    let (chain, update) = TestChain::new(hash(0), 1);
    let harness = Harness::new(seed, |_| Loyal { favourite: peer(1) });
    harness.signal(update);
    (harness, chain, CandidateBuilder::new(7, 0, hash(0)).build())
}

#[test]
fn it_seconds_its_favourite_once_and_nobody_else() {
    mocks::schedules(50, |seed| {
        let (harness, _, candidate) = scene(seed);
        harness.tell(offer(2, &candidate));
        harness.expect_nothing();
        harness.tell(offer(1, &candidate));
        harness.tell(offer(1, &candidate));
        let Inbox::FetchCollation(question, reply) = harness.expect::<CollationDistribution>() else { panic!() };
        assert_eq!((question.peer, question.candidate_hash), (peer(1), candidate.hash()));
        reply.answer(Ok(FetchedCollation { receipt: candidate.receipt(), pov: candidate.pov.clone() })).unwrap();
        let candidate_backing::Inbox::Second(second) = harness.expect::<CandidateBacking>() else { panic!() };
        assert_eq!(second.receipt, candidate.receipt());
        harness.finish();
    });
}

#[test]
fn a_leaf_that_stops_takes_its_fetch_with_it() {
    let (harness, chain, candidate) = scene(1);
    harness.tell(offer(1, &candidate));
    let Inbox::FetchCollation(_, reply) = harness.expect::<CollationDistribution>() else { panic!() };
    harness.signal(chain.grow(hash(0), 1).remove(0).update);
    assert!(reply.is_abandoned());
    harness.tell(offer(1, &candidate));
    expect![[r#"
        * starts 0x0000… final 0x0000…
        ← NewCandidate(0x0000…)
        → collation-distribution FetchCollation(0x0000…)
        * stops 0x0000… starts 0x0101…
        ← NewCandidate(0x0000…)
    "#]]
    .assert_eq(&harness.transcript());
    harness.finish();
}
