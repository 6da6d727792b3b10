//! The slots of the parachain host's node, in the order of a candidate's life.

use crate::Slots;

/// Puts a captor into every slot that is still empty.
pub(crate) fn mock_all(slots: &mut Slots) {
    slots.mock::<messages::collation_generation::CollationGeneration>();
    slots.mock::<messages::collation_distribution::CollationDistribution>();
    slots.mock::<messages::candidate_selection::CandidateSelection>();
    slots.mock::<messages::candidate_validation::CandidateValidation>();
    slots.mock::<messages::candidate_backing::CandidateBacking>();
    slots.mock::<messages::statement_distribution::StatementDistribution>();
    slots.mock::<messages::pov_distribution::PoVDistribution>();
    slots.mock::<messages::provisioner::Provisioner>();
    slots.mock::<messages::availability_store::AvailabilityStore>();
    slots.mock::<messages::availability_distribution::AvailabilityDistribution>();
    slots.mock::<messages::availability_recovery::AvailabilityRecovery>();
    slots.mock::<messages::bitfield_signing::BitfieldSigning>();
    slots.mock::<messages::bitfield_distribution::BitfieldDistribution>();
    slots.mock::<messages::misbehavior_arbitration::MisbehaviorArbitration>();
    slots.mock::<messages::network_bridge::NetworkBridge>();
    slots.mock::<messages::peer_set_manager::PeerSetManager>();
    slots.mock::<messages::runtime_api::RuntimeApi>();
    slots.mock::<messages::chain_api::ChainApi>();
}
