//! Collators that cheat.

use std::sync::Arc;

use async_trait::async_trait;
use collation_generation::{CollationGenerationSubsystem, CollatorConfig};
use messages::candidate_selection::NewCandidate;
use messages::collation_distribution::{CollationDistribution, DistributeCollation};
use messages::collation_generation::CollationGeneration;
use mocks::keystore::TestKeystore;
use node::BurnerCollator;
use node::local::{FIRST_PARA, LocalConfig, SimulatedNetwork};
use overseer::port::Tapped;
use ports::{Collation, CollationContext, Collator};
use primitives::descriptor::DescriptorFields;
use primitives::{CandidateDescriptor, HeadData, Pair, ParaId, PoV};
use whole_node_tests::{Log, events, included, read, small, write};

/// Claims another head than its block leads to.
struct Liar(BurnerCollator);

#[async_trait]
impl Collator for Liar {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        let honest = self.0.collate(context).await?;
        Some(Collation { head_data: HeadData(vec![0xba; 72]), ..honest })
    }
}

/// The collator of the first para, in a network of six validators and one para.
const COLLATOR: usize = 6;

fn one_para() -> LocalConfig {
    LocalConfig { parachains: 1, ..small() }
}

#[test]
fn a_collator_whose_block_is_invalid_is_refused_from_then_on() {
    let para = ParaId(FIRST_PARA);
    let offered: Log<()> = Arc::default();
    let mut network = SimulatedNetwork::new(11, one_para());
    for position in 0..COLLATOR {
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

#[test]
fn a_proof_over_the_limit_is_never_backed() {
    let mut network = SimulatedNetwork::new(12, one_para());
    for position in 0..COLLATOR {
        network.start_node(position).expect("a validator starts");
    }
    network
        .start_node_with(COLLATOR, |builder| {
            builder.tap::<CollationGeneration, DistributeCollation>(|mut made: DistributeCollation| {
                made.pov = PoV::from(vec![7; 10 * 1024 * 1024 + 1]);
                let fields = DescriptorFields { pov_hash: made.pov.hash(), ..made.receipt.descriptor.fields() };
                let (core, session) = (made.core, made.receipt.descriptor.session_index().unwrap_or_default());
                if let Ok(descriptor) = CandidateDescriptor::new_v2(fields, core, session) {
                    made.receipt.descriptor = descriptor;
                }
                Tapped::Pass(made)
            })
        })
        .expect("the collator starts");
    network.run_slots_until(12, |_| false).expect("the simulation runs");
    assert_eq!(events(&network, 0), [], "nothing was backed");
    assert_eq!(included(&network, 0, ParaId(FIRST_PARA)), []);
}
