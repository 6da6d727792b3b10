//! Collators that cheat.

use std::sync::Arc;

use async_trait::async_trait;
use codec::Encode as _;
use collation_distribution::wire::{Declare, Message, declare_payload};
use collation_distribution::{CollationDistributionSubsystem, Side};
use collation_generation::{CollationGenerationSubsystem, CollatorConfig};
use messages::availability_store::erasure_code;
use messages::candidate_backing::{CandidateBacking, Second};
use messages::candidate_selection::{CandidateSelection, Invalid, NewCandidate};
use messages::collation_distribution::{CollationDistribution, DistributeCollation, FetchCollation};
use messages::collation_generation::CollationGeneration;
use messages::network_bridge::COLLATION_PROTOCOL;
use mocks::keystore::TestKeystore;
use network::{InterceptedKind, Verdict};
use node::local::{FIRST_PARA, LocalConfig, SimulatedNetwork, governed};
use node::{AdderCollator, BurnerCollator};
use overseer::port::Tapped;
use ports::{Collation, CollationContext, Collator};
use primitives::crypto::SeedRng;
use primitives::descriptor::DescriptorFields;
use primitives::limits::MAX_POV_SIZE;
use primitives::{
    AvailableData, CandidateDescriptor, CandidateHash, HeadData, OccupiedCoreAssumption, Pair, ParaId, PoV,
    decode_limited,
};
use runtime::Governance;
use whole_node_tests::{Log, events, included, read, small, started, write};

/// Claims another head than its block leads to.
struct Liar(BurnerCollator);

#[async_trait]
impl Collator for Liar {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        let honest = self.0.collate(context).await?;
        Some(Collation { head_data: HeadData(vec![0xba; 72]), ..honest })
    }
}

/// How many validators there are; they come first.
const VALIDATORS: usize = 6;
/// The collator of the only para.
const COLLATOR: usize = VALIDATORS;

fn one_para() -> LocalConfig {
    LocalConfig { parachains: 1, ..small() }
}

#[test]
fn a_collator_whose_block_is_invalid_is_refused_from_then_on() {
    let para = ParaId(FIRST_PARA);
    let offered: Log<()> = Arc::default();
    let mut network = SimulatedNetwork::new(11, one_para());
    for position in 0..VALIDATORS {
        let offered = offered.clone();
        network
            .start_node_with(position, |builder| {
                builder.tap::<CollationDistribution, NewCandidate>(move |offer: NewCandidate| {
                    write(&offered, ());
                    Tapped::Pass(offer)
                })
            })
            .expect("a validator starts");
    }
    network
        .start_node_with(COLLATOR, |builder| {
            let liar = Liar(BurnerCollator { payload_bytes: 64, iterations: 1 });
            let config = CollatorConfig { para_id: para, collator: Arc::new(liar) };
            let keystore = TestKeystore::collator(Pair::from_name("collator-2000-0"));
            builder.collation_generation(CollationGenerationSubsystem::new(Some(config), keystore))
        })
        .expect("the collator starts");
    network.run_slots_until(10, |_| false).expect("the simulation runs");
    let offers = read(&offered).len();
    assert!(offers > 0, "the cheating collator never got to offer anything");
    network.run_slots_until(10, |_| false).expect("the simulation runs");
    assert_eq!(read(&offered).len(), offers, "the collator was listened to again");
    assert_eq!(events(&network, 0), [], "nothing was backed or included");
}

/// Makes the honest block with so much padding that its proof has `pov_bytes` encoded, and shows collation-generation,
/// which would drop a large one, the same block with an empty proof: head and commitments are those of the large one.
struct Padded {
    pov_bytes: usize,
    made: Log<AvailableData>,
}

#[async_trait]
impl Collator for Padded {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        let validation_data = context.validation_data.clone();
        let honest = AdderCollator { padding_bytes: 0 }.collate(context).await?;
        let mut block = honest.proof_of_validity.block_data.0.to_vec();
        // The length before the bytes takes four of them.
        block.resize(self.pov_bytes - 4, 0);
        let pov = PoV::from(block);
        assert_eq!(pov.encoded_len(), self.pov_bytes);
        write(&self.made, AvailableData { pov, validation_data });
        Some(Collation { proof_of_validity: PoV::default(), ..honest })
    }
}

/// The candidate with the large proof in place of the empty one, and everything that commits to it made to fit.
fn with_large_proof(mut candidate: DistributeCollation, made: &[AvailableData]) -> DistributeCollation {
    let fields = candidate.receipt.descriptor.fields();
    let data = made
        .iter()
        .find(|data| data.validation_data.hash() == fields.persisted_validation_data_hash)
        .expect("the collator made it");
    let erasure_root = erasure_code(VALIDATORS, data).expect("six validators have a code").erasure_root().into();
    let fields = DescriptorFields { pov_hash: data.pov.hash(), erasure_root, ..fields };
    let session = candidate.receipt.descriptor.session_index().expect("the descriptor has version 2");
    candidate.receipt.descriptor =
        CandidateDescriptor::new_v2(fields, candidate.core, session).expect("the core was named before");
    candidate.pov = data.pov.clone();
    candidate
}

/// One para whose only collator makes valid blocks with proofs of `pov_bytes`; what validators chose (with the size of
/// its proof), and what backing called invalid.
fn with_proofs_of(pov_bytes: usize) -> (SimulatedNetwork, Log<(CandidateHash, usize)>, Log<CandidateHash>) {
    let (chosen, invalid) = (Log::default(), Log::default());
    let mut network = SimulatedNetwork::new(12, one_para());
    for position in 0..VALIDATORS {
        let (chosen, invalid): (Log<_>, Log<_>) = (Arc::clone(&chosen), Arc::clone(&invalid));
        network
            .start_node_with(position, |builder| {
                builder
                    .tap::<CandidateSelection, Second>(move |second: Second| {
                        write(&chosen, (second.receipt.hash(), second.pov.encoded_len()));
                        Tapped::Pass(second)
                    })
                    .tap::<CandidateBacking, Invalid>(move |found: Invalid| {
                        write(&invalid, found.receipt.hash());
                        Tapped::Pass(found)
                    })
            })
            .expect("a validator starts");
    }
    let made: Log<AvailableData> = Arc::default();
    let collator = Padded { pov_bytes, made: made.clone() };
    let config = CollatorConfig { para_id: ParaId(FIRST_PARA), collator: Arc::new(collator) };
    let keystore = TestKeystore::collator(Pair::from_name("collator-2000-0"));
    network
        .start_node_with(COLLATOR, |builder| {
            builder
                .collation_generation(CollationGenerationSubsystem::new(Some(config), keystore))
                .tap::<CollationGeneration, DistributeCollation>(move |candidate: DistributeCollation| {
                    Tapped::Pass(with_large_proof(candidate, &read(&made)))
                })
        })
        .expect("the collator starts");
    (network, chosen, invalid)
}

#[test]
fn a_valid_block_whose_proof_is_a_byte_over_the_limit_is_refused() {
    let (network, chosen, invalid) = with_proofs_of(MAX_POV_SIZE as usize + 1);
    let refused = |_: &SimulatedNetwork| !read(&invalid).is_empty();
    assert!(network.run_slots_until(10, refused).expect("the simulation runs"), "nobody refused it");
    network.run_slots_until(4, |_| false).expect("the simulation runs");
    let chosen = read(&chosen);
    assert!(chosen.iter().all(|(_, size)| *size == MAX_POV_SIZE as usize + 1));
    for candidate in read(&invalid) {
        assert!(chosen.iter().any(|(hash, _)| *hash == candidate), "what was not chosen was refused");
    }
    assert_eq!(events(&network, 0), [], "it was backed");
}

#[test]
fn a_valid_block_whose_proof_is_of_the_largest_size_is_included() {
    let (network, chosen, invalid) = with_proofs_of(MAX_POV_SIZE as usize);
    let done = network.run_slots_until(20, |network| !included(network, 0, ParaId(FIRST_PARA)).is_empty());
    assert!(done.expect("the simulation runs"), "what is within the limit was not included");
    let first = included(&network, 0, ParaId(FIRST_PARA))[0];
    assert!(read(&chosen).contains(&(first, MAX_POV_SIZE as usize)), "another candidate was included");
    assert_eq!(read(&invalid), []);
}

/// A para that nobody registered.
const UNKNOWN: ParaId = ParaId(9999);

/// What validators did with offers: the paras of those that reached selection, who fetched, who chose.
#[derive(Clone, Default)]
struct Traces {
    offered: Log<ParaId>,
    fetched: Log<usize>,
    chosen: Log<usize>,
}

/// The only collator makes blocks of the first para whose descriptors name `named`, and declares itself, in signed
/// words on the wire, as a collator of `declared`.
fn collating_as(declared: ParaId, named: ParaId) -> (SimulatedNetwork, Traces) {
    let traces = Traces::default();
    let mut network = SimulatedNetwork::new(13, one_para());
    for position in 0..VALIDATORS {
        let Traces { offered, fetched, chosen } = traces.clone();
        network
            .start_node_with(position, |builder| {
                builder
                    .tap::<CollationDistribution, NewCandidate>(move |offer: NewCandidate| {
                        write(&offered, offer.para_id);
                        Tapped::Pass(offer)
                    })
                    .tap::<CandidateSelection, FetchCollation>(move |question: FetchCollation| {
                        write(&fetched, position);
                        Tapped::Pass(question)
                    })
                    .tap::<CandidateSelection, Second>(move |second: Second| {
                        write(&chosen, position);
                        Tapped::Pass(second)
                    })
            })
            .expect("a validator starts");
    }
    let (pair, peer) = (Pair::from_name("collator-2000-0"), network.peer(COLLATOR));
    // A collator's own node would not distribute candidates of another para than it declares.
    let keystore = TestKeystore::collator(pair.clone());
    let distribution = CollationDistributionSubsystem::new(Side::Collator { para_id: named }, keystore, peer.clone());
    network.hub.intercept(move |passing| {
        if passing.protocol != COLLATION_PROTOCOL || passing.kind != InterceptedKind::Notification {
            return Verdict::Deliver;
        }
        let Ok(Message::Declare(said)) = decode_limited(passing.payload, passing.payload.len()) else {
            return Verdict::Deliver;
        };
        let signature = pair.sign(&declare_payload(&peer, declared), &mut SeedRng::new([5; 32]));
        Verdict::Replace(Message::Declare(Declare { para_id: declared, signature, ..said }).encode().into())
    });
    network
        .start_node_with(COLLATOR, |builder| {
            builder.collation_distribution(distribution).tap::<CollationGeneration, DistributeCollation>(
                move |mut candidate: DistributeCollation| {
                    let descriptor = &candidate.receipt.descriptor;
                    let fields = DescriptorFields { para_id: named, ..descriptor.fields() };
                    let session = descriptor.session_index().expect("the descriptor has version 2");
                    candidate.receipt.descriptor = CandidateDescriptor::new_v2(fields, candidate.core, session)
                        .expect("the core was named before");
                    Tapped::Pass(candidate)
                },
            )
        })
        .expect("the collator starts");
    (network, traces)
}

#[test]
fn nothing_of_a_para_that_nobody_registered_is_chosen() {
    let para = ParaId(FIRST_PARA);
    // The same construction with the names it should have comes through.
    let (network, traces) = collating_as(para, para);
    let done = network.run_slots_until(10, |network| !included(network, 0, para).is_empty());
    assert!(done.expect("the simulation runs") && !read(&traces.chosen).is_empty(), "the control gets nowhere");

    let (network, traces) = collating_as(UNKNOWN, UNKNOWN);
    network.run_slots_until(10, |_| false).expect("the simulation runs");
    let offers = read(&traces.offered);
    assert!(!offers.is_empty() && offers.iter().all(|para| *para == UNKNOWN), "offered were {offers:?}");
    assert_eq!(read(&traces.fetched), [0; 0], "a candidate of an unknown para was asked for");
    assert_eq!(events(&network, 0), []);

    // It declares itself for the para that is due, but its candidates are of the unknown one.
    let (network, traces) = collating_as(para, UNKNOWN);
    network.run_slots_until(10, |_| false).expect("the simulation runs");
    assert!(!read(&traces.fetched).is_empty(), "nobody looked at the candidates");
    assert_eq!(read(&traces.chosen), [0; 0], "a candidate of an unknown para was chosen");
    assert_eq!(events(&network, 0), []);
}

#[test]
fn the_chain_knows_nothing_of_a_para_that_nobody_registered() {
    let network = started(14, one_para());
    network.run_slots_until(3, |_| false).expect("the simulation runs");
    let (client, at) = (network.node(0).client(), network.node(0).chain().status().best.0);
    let answers = |para| {
        let client = client.clone();
        let questions = async move {
            let mut answers = Vec::new();
            for assumption in
                [OccupiedCoreAssumption::Free, OccupiedCoreAssumption::Included, OccupiedCoreAssumption::TimedOut]
            {
                let data = client.persisted_validation_data(at, para, assumption).await.expect("the chain answers");
                let code = client.validation_code(at, para, assumption).await.expect("the chain answers");
                answers.push((data.is_some(), code.is_some()));
            }
            answers
        };
        network.wait(questions).expect("answers come at once")
    };
    assert!(answers(ParaId(FIRST_PARA)).contains(&(true, true)), "not even the registered para is known");
    assert_eq!(answers(UNKNOWN), [(false, false); 3]);
}

#[test]
fn downward_messages_are_processed_by_the_paras_collator_and_the_para_goes_on() {
    let config = LocalConfig { parachains: 2, ..small() };
    // The burner: of the two chains it is the one that processes messages.
    let (validators, para) = (config.validators, ParaId(FIRST_PARA + 1));
    let network = started(15, config);
    let state = || {
        let chain = network.node(0).chain();
        chain.block(&chain.status().best.0).expect("the best block is in the tree").1
    };
    for message in 1..=3 {
        let change = Governance::SendDownward(para, vec![message; 100]);
        let sent = network.wait(network.node(0).chain().submit(governed(validators, &state(), change)));
        sent.expect("answers come at once").expect("all validators signed it");
        let waits = |_: &SimulatedNetwork| !state().downward_messages(para).is_empty();
        assert!(network.run_slots_until(10, waits).expect("the simulation runs"), "message {message} waits");
    }
    let emptied = |_: &SimulatedNetwork| state().downward_messages(para).is_empty();
    assert!(network.run_slots_until(30, emptied).expect("the simulation runs"), "the queue was emptied");
    let before = included(&network, 0, para).len();
    let goes_on = |network: &SimulatedNetwork| included(network, 0, para).len() >= before + 2;
    assert!(network.run_slots_until(30, goes_on).expect("the simulation runs"), "the para goes on");
}
