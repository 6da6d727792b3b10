//! One candidate through all rows of the table in ARCHITECTURE.md.

use std::sync::Arc;

use messages::availability_distribution::AvailabilityDistribution;
use messages::availability_store::{StoreAvailableData, StoreChunk};
use messages::bitfield_distribution::{BitfieldDistribution, DistributeBitfield};
use messages::bitfield_signing::BitfieldSigning;
use messages::candidate_backing::{CandidateBacking, Second, Statement};
use messages::candidate_selection::{CandidateSelection, NewCandidate};
use messages::candidate_validation::ValidateFromChainState;
use messages::collation_distribution::{CollationDistribution, DistributeCollation, FetchCollation};
use messages::collation_generation::CollationGeneration;
use messages::provisioner::{BackableCandidate, Bitfield};
use messages::statement_distribution::{Share, StatementDistribution};
use node::local::SimulatedNetwork;
use overseer::Message;
use overseer::port::Tapped;
use primitives::{CandidateEvent, CandidateHash, ParaId};
use whole_node_tests::{Log, events, read, small, write};

/// A message that names its candidate, seen on one edge.
type Seen = (&'static str, Option<CandidateHash>);

/// Writes down the candidate of each message that a role sends.
fn watch<M: Message>(
    log: &Log<Seen>,
    candidate: impl Fn(&M) -> Option<CandidateHash> + Send + Sync + 'static,
) -> impl Fn(M) -> Tapped<M> + Send + Sync + 'static {
    let log = log.clone();
    move |message| {
        write(&log, (M::name(), candidate(&message)));
        Tapped::Pass(message)
    }
}

fn started_with_taps(seed: u64, log: &Log<Seen>) -> SimulatedNetwork {
    let mut network = SimulatedNetwork::new(seed, small());
    for position in 0..network.len() {
        let started = network.start_node_with(position, |builder| {
            builder
                .tap::<CollationGeneration, DistributeCollation>(watch::<DistributeCollation>(log, |m| {
                    Some(m.receipt.hash())
                }))
                .tap::<CollationDistribution, NewCandidate>(watch::<NewCandidate>(log, |m| Some(m.candidate_hash)))
                .tap::<CandidateSelection, FetchCollation>(watch::<FetchCollation>(log, |m| Some(m.candidate_hash)))
                .tap::<CandidateSelection, Second>(watch::<Second>(log, |m| Some(m.receipt.hash())))
                .tap::<CandidateBacking, ValidateFromChainState>(watch::<ValidateFromChainState>(log, |m| {
                    Some(m.receipt.hash())
                }))
                .tap::<CandidateBacking, StoreAvailableData>(watch::<StoreAvailableData>(log, |m| {
                    Some(m.candidate_hash)
                }))
                .tap::<CandidateBacking, Share>(watch::<Share>(log, |m| Some(m.signed.payload().candidate_hash())))
                .tap::<StatementDistribution, Statement>(watch::<Statement>(log, |m| {
                    Some(m.signed.payload().candidate_hash())
                }))
                .tap::<CandidateBacking, BackableCandidate>(watch::<BackableCandidate>(log, |m| Some(m.backed.hash())))
                .tap::<AvailabilityDistribution, StoreChunk>(watch::<StoreChunk>(log, |m| Some(m.candidate_hash)))
                .tap::<BitfieldSigning, DistributeBitfield>(watch::<DistributeBitfield>(log, |_| None))
                .tap::<BitfieldDistribution, Bitfield>(watch::<Bitfield>(log, |_| None))
        });
        started.expect("every node starts");
    }
    network
}

#[test]
fn one_candidate_passes_every_row_in_order() {
    let log: Log<Seen> = Arc::default();
    let network = started_with_taps(1, &log);
    let para = ParaId(node::local::FIRST_PARA);
    let done = network.run_slots_until(30, |network| whole_node_tests::included(network, 0, para).len() >= 2);
    assert!(done.expect("the simulation runs"), "no candidate of {para} was included; seen: {:?}", summary(&log));

    let candidate = whole_node_tests::included(&network, 0, para)[0];
    let seen = read(&log);
    let first = |name: &str, of: Option<CandidateHash>| {
        seen.iter()
            .position(|entry| entry.0 == name && entry.1 == of)
            .unwrap_or_else(|| panic!("{name} was never sent for the candidate; seen: {:?}", summary(&log)))
    };
    let rows = [
        ("DistributeCollation", Some(candidate)),    // 1 produced
        ("NewCandidate", Some(candidate)),           // 2 advertised
        ("FetchCollation", Some(candidate)),         // 2 fetched
        ("Second", Some(candidate)),                 // 3 chosen
        ("ValidateFromChainState", Some(candidate)), // 4 checked
        ("StoreAvailableData", Some(candidate)),     // 5 its data stored
        ("Share", Some(candidate)),                  // 5 seconded
        ("Statement", Some(candidate)),              // 6 counted
        ("BackableCandidate", Some(candidate)),      // 6 backable, 7 offered
        ("StoreChunk", Some(candidate)),             // 9 pending availability
    ];
    let order: Vec<usize> = rows.iter().map(|(name, of)| first(name, *of)).collect();
    assert!(order.is_sorted(), "rows out of order: {order:?}");
    // 8 backed, 11 included: in the chain, in that order, with bitfields between.
    let on_chain: Vec<&'static str> = events(&network, 0)
        .iter()
        .filter_map(|event| match event {
            CandidateEvent::Backed(receipt, ..) if receipt.hash() == candidate => Some("backed"),
            CandidateEvent::Included(receipt, ..) if receipt.hash() == candidate => Some("included"),
            _ => None,
        })
        .collect();
    assert_eq!(on_chain, ["backed", "included"]);
    // 10 attested.
    assert!(seen.iter().any(|entry| entry.0 == "DistributeBitfield"));
    assert!(seen.iter().any(|entry| entry.0 == "Bitfield"));
}

#[test]
fn the_same_seed_gives_the_same_network() {
    let run = || {
        let log: Log<Seen> = Arc::default();
        let network = started_with_taps(5, &log);
        network.run_slots_until(6, |_| false).expect("the simulation runs");
        (network.simulation.trace_hash(), read(&log))
    };
    let (first, second) = (run(), run());
    assert_eq!(first.0, second.0, "two runs of one seed differ");
    assert_eq!(first.1, second.1);
}

/// How often each message was seen.
fn summary(log: &Log<Seen>) -> std::collections::BTreeMap<&'static str, usize> {
    read(log).into_iter().fold(Default::default(), |mut counts, (name, _)| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}
