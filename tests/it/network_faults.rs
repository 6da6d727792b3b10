//! Peers that send wrong bytes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use messages::candidate_backing::Second;
use messages::candidate_selection::CandidateSelection;
use messages::network_bridge::{AVAILABILITY_PROTOCOL, POV_PROTOCOL};
use network::{Intercepted, InterceptedKind, Verdict};
use node::local::{FIRST_PARA, LocalConfig, SimulatedNetwork};
use overseer::port::Tapped;
use ports::ProtocolId;
use primitives::{CandidateHash, CoreState, Hash, ParaId};
use whole_node_tests::{events, included, small, started};

/// Flips the last byte: of a chunk's answer that is its proof, of a PoV's its content.
fn flipped(payload: &Bytes) -> Bytes {
    let mut bytes = payload.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes.into()
}

fn is_answer(passing: &Intercepted<'_>, protocol: ProtocolId) -> bool {
    passing.protocol == protocol && passing.kind == InterceptedKind::Response
}

#[test]
fn a_chunk_with_a_wrong_proof_is_dropped_and_had_from_somebody_else() {
    // Two paras: the group of one needs its chunks of the other's candidates from that one's group.
    let network = started(31, small());
    let (cheat, flips) = (network.peer(0), Arc::new(AtomicUsize::new(0)));
    let count = flips.clone();
    network.hub.intercept(move |passing| {
        if is_answer(&passing, AVAILABILITY_PROTOCOL) && *passing.from == cheat {
            count.fetch_add(1, Ordering::Relaxed);
            return Verdict::Replace(flipped(passing.payload));
        }
        Verdict::Deliver
    });
    let all = |network: &SimulatedNetwork| {
        [FIRST_PARA, FIRST_PARA + 1].iter().all(|para| included(network, 1, ParaId(*para)).len() >= 3)
    };
    let done = network.run_slots_until(40, all);
    assert!(done.expect("the simulation runs"), "a cheating peer stopped availability");
    assert!(flips.load(Ordering::Relaxed) > 0, "the cheat was never asked for a chunk");
}

#[test]
fn a_pov_that_does_not_hash_to_its_commitment_is_refused() {
    // One validator only gets to propose, so that the others need the PoV from it.
    let mut network = SimulatedNetwork::new(32, LocalConfig { parachains: 1, ..small() });
    for position in 0..network.len() {
        network
            .start_node_with(position, |builder| match position {
                0 => builder,
                _ => builder.tap::<CandidateSelection, Second>(|_: Second| Tapped::Drop),
            })
            .expect("every node starts");
    }
    let flips = Arc::new(AtomicUsize::new(0));
    let count = flips.clone();
    network.hub.intercept(move |passing| {
        if is_answer(&passing, POV_PROTOCOL) {
            count.fetch_add(1, Ordering::Relaxed);
            return Verdict::Replace(flipped(passing.payload));
        }
        Verdict::Deliver
    });
    network.run_slots_until(12, |_| false).expect("the simulation runs");
    assert!(flips.load(Ordering::Relaxed) > 0, "nobody fetched a PoV");
    assert_eq!(events(&network, 1), [], "a candidate was backed on a false PoV");
}

/// Candidates that were pending availability at the parent of two blocks that stand side by side.
fn pending_at_forks(network: &SimulatedNetwork) -> BTreeSet<CandidateHash> {
    let client = network.node(0).client();
    let look = async {
        let mut children: BTreeMap<Hash, BTreeSet<Hash>> = BTreeMap::new();
        for leaf in client.leaves().await.expect("the chain answers") {
            let mut at = leaf.hash;
            while let Ok(header) = client.header(at).await
                && header.number > 0
                && children.entry(header.parent_hash).or_default().insert(at)
            {
                at = header.parent_hash;
            }
        }
        let mut pending = BTreeSet::new();
        for (parent, _) in children.iter().filter(|(_, siblings)| siblings.len() > 1) {
            let cores = client.availability_cores(*parent).await.expect("the parent is known");
            pending.extend(cores.iter().filter_map(|core| match core {
                CoreState::Occupied(core) => Some(core.candidate_hash),
                _ => None,
            }));
        }
        pending
    };
    network.wait(look).expect("answers come at once")
}

#[test]
fn a_fork_in_the_middle_of_availability_is_survived() {
    let network = started(33, LocalConfig { parachains: 1, fork_probability: 0.9, ..small() });
    let (para, seen) = (ParaId(FIRST_PARA), RefCell::new(BTreeSet::new()));
    let survived = |network: &SimulatedNetwork| {
        seen.borrow_mut().extend(pending_at_forks(network));
        let included = included(network, 0, para);
        included.len() >= 3 && included.iter().any(|candidate| seen.borrow().contains(candidate))
    };
    let done = network.run_slots_until(60, survived).expect("the simulation runs");
    assert!(!seen.borrow().is_empty(), "the chain never forked while a candidate was pending availability");
    assert!(done, "no candidate that was pending at a fork was included");
    whole_node_tests::assert_agreement(&network);
}
