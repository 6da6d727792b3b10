//! Slots and what fills them, in the order of a candidate's life. Replacing a part is one line:
//! `wire(&doors, &settings)?.candidate_selection(Mine::new())`.

use std::sync::Arc;
use std::time::Duration;

use availability_distribution::AvailabilityDistributionSubsystem;
use availability_recovery::AvailabilityRecoverySubsystem;
use availability_store::{AvailabilityStoreSubsystem, StoreConfig};
use bitfield_distribution::BitfieldDistributionSubsystem;
use bitfield_signing::BitfieldSigningSubsystem;
use candidate_backing::CandidateBackingSubsystem;
use candidate_selection::{CandidateSelectionSubsystem, FirstValid};
use candidate_validation::CandidateValidationSubsystem;
use chain_api::ChainApiSubsystem;
use collation_distribution::{CollationDistributionSubsystem, Side};
use collation_generation::{CollationGenerationSubsystem, CollatorConfig};
use messages::network_bridge::ObservedRole;
use messages::provisioner::RequestBlockAuthorshipData;
use misbehavior_arbitration::MisbehaviorArbitrationSubsystem;
use network_bridge::{NetworkBridgeConfig, NetworkBridgeSubsystem};
use overseer::{Ask, Environment, Failure, Outside};
use peer_set_manager::{PeerSetConfig, PeerSetManagerSubsystem};
use ports::{Address, BlobStore, Index, Keystore, Network, PeerId, RuntimeClient, ValidationBackend};
use pov_distribution::PoVDistributionSubsystem;
use primitives::Hash;
use provisioner::ProvisionerSubsystem;
use runtime_api::RuntimeApiSubsystem;
use statement_distribution::StatementDistributionSubsystem;

overseer::node! {
    /// The parachain host's node, by slots.
    pub struct Parahost, built by ParahostBuilder {
        /// 1: a candidate is produced.
        collation_generation: messages::collation_generation::CollationGeneration,
        /// 2: advertised and fetched.
        collation_distribution: messages::collation_distribution::CollationDistribution,
        /// 3: chosen.
        candidate_selection: messages::candidate_selection::CandidateSelection,
        /// 4: checked.
        candidate_validation: messages::candidate_validation::CandidateValidation,
        /// 5: seconded.
        candidate_backing: messages::candidate_backing::CandidateBacking,
        /// 6: statements to a quorum.
        statement_distribution: messages::statement_distribution::StatementDistribution,
        /// 6: proofs of validity to the group.
        pov_distribution: messages::pov_distribution::PoVDistribution,
        /// 7: offered to authors.
        provisioner: messages::provisioner::Provisioner,
        /// 9: kept.
        availability_store: messages::availability_store::AvailabilityStore,
        /// 9: chunks to everybody.
        availability_distribution: messages::availability_distribution::AvailabilityDistribution,
        /// 9: whole data from chunks.
        availability_recovery: messages::availability_recovery::AvailabilityRecovery,
        /// 10: attested.
        bitfield_signing: messages::bitfield_signing::BitfieldSigning,
        /// 10: attestations to authors.
        bitfield_distribution: messages::bitfield_distribution::BitfieldDistribution,
        /// 13: misbehavior to the chain.
        misbehavior_arbitration: messages::misbehavior_arbitration::MisbehaviorArbitration,
        /// Peers and protocols.
        network_bridge: messages::network_bridge::NetworkBridge,
        /// Whom to be connected to.
        peer_set_manager: messages::peer_set_manager::PeerSetManager,
        /// The chain's state.
        runtime_api: messages::runtime_api::RuntimeApi,
        /// The block tree.
        chain_api: messages::chain_api::ChainApi,
    }
}

/// Step 8: whoever authors blocks on this node asks for an inherent.
pub enum BlockAuthor {}

impl Outside for BlockAuthor {
    const NAME: &'static str = "block-author";
    type Sends = (Ask<RequestBlockAuthorshipData>,);
}

/// The doors to the outside that subsystems are given.
#[derive(Clone)]
pub struct Doors {
    /// Time, randomness, tasks, computing.
    pub environment: Environment,
    /// The chain.
    pub runtime: Arc<dyn RuntimeClient>,
    /// The peers.
    pub network: Arc<dyn Network>,
    /// The session keys.
    pub keystore: Arc<dyn Keystore>,
    /// The wasm workers.
    pub validation: Arc<dyn ValidationBackend>,
    /// PoVs and chunks on disk.
    pub blobs: Arc<dyn BlobStore>,
    /// Their pruning records.
    pub index: Arc<dyn Index>,
}

/// What an operator may choose.
#[derive(Clone)]
pub struct Settings {
    /// The chain's first block; peers of another chain are refused.
    pub genesis_hash: Hash,
    /// What this node says it is.
    pub role: ObservedRole,
    /// The collator, on a collator's node.
    pub collator: Option<CollatorConfig>,
    /// Peers to be connected to always.
    pub reserved_peers: Vec<(PeerId, Vec<Address>)>,
    /// How long to wait for chunks before a bitfield is signed.
    pub bitfield_delay: Duration,
    /// How long data is kept.
    pub store: StoreConfig,
}

/// Every slot filled with the subsystem of this repository.
///
/// # Errors
/// If a setting is refused by the subsystem it is for.
pub fn wire(doors: &Doors, settings: &Settings) -> Result<ParahostBuilder, Failure> {
    let Doors { environment, runtime, network, keystore, validation, blobs, index } = doors;
    let side = match &settings.collator {
        Some(collator) => Side::Collator { para_id: collator.para_id },
        None => Side::Validator,
    };
    let bridge = NetworkBridgeConfig { role: settings.role, genesis_hash: settings.genesis_hash };
    let peers = PeerSetConfig { reserved: settings.reserved_peers.clone(), ..PeerSetConfig::default() };
    let builder = ParahostBuilder::new(environment.clone())
        .collation_generation(CollationGenerationSubsystem::new(settings.collator.clone(), keystore.clone()))
        .collation_distribution(CollationDistributionSubsystem::new(side, keystore.clone(), network.local_peer()))
        .candidate_selection(CandidateSelectionSubsystem::new(Box::new(FirstValid), keystore.clone()))
        .candidate_validation(CandidateValidationSubsystem::new(validation.clone()))
        .candidate_backing(CandidateBackingSubsystem::new(keystore.clone()))
        .statement_distribution(StatementDistributionSubsystem::new())
        .pov_distribution(PoVDistributionSubsystem::new())
        .provisioner(ProvisionerSubsystem::new())
        .availability_store(AvailabilityStoreSubsystem::new(blobs.clone(), index.clone(), settings.store)?)
        .availability_distribution(AvailabilityDistributionSubsystem::new(keystore.clone()))
        .availability_recovery(AvailabilityRecoverySubsystem::new())
        .bitfield_signing(BitfieldSigningSubsystem::new(keystore.clone(), settings.bitfield_delay))
        .bitfield_distribution(BitfieldDistributionSubsystem::new())
        .misbehavior_arbitration(MisbehaviorArbitrationSubsystem::new())
        .network_bridge(NetworkBridgeSubsystem::new(network.clone(), keystore.clone(), bridge))
        .peer_set_manager(PeerSetManagerSubsystem::new(peers))
        .runtime_api(RuntimeApiSubsystem::new(runtime.clone()))
        .chain_api(ChainApiSubsystem::new(runtime.clone()))
        .outside::<BlockAuthor>();
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use overseer::replay::Recordable;

    fn can_be_recorded<S: Recordable>() {}

    /// Compiles: any slot can be filled with `recorded` in place of its own line.
    #[test]
    fn every_subsystem_can_be_recorded() {
        can_be_recorded::<AvailabilityDistributionSubsystem>();
        can_be_recorded::<AvailabilityRecoverySubsystem>();
        can_be_recorded::<AvailabilityStoreSubsystem>();
        can_be_recorded::<BitfieldDistributionSubsystem>();
        can_be_recorded::<BitfieldSigningSubsystem>();
        can_be_recorded::<CandidateBackingSubsystem>();
        can_be_recorded::<CandidateSelectionSubsystem>();
        can_be_recorded::<CandidateValidationSubsystem>();
        can_be_recorded::<ChainApiSubsystem>();
        can_be_recorded::<CollationDistributionSubsystem>();
        can_be_recorded::<CollationGenerationSubsystem>();
        can_be_recorded::<MisbehaviorArbitrationSubsystem>();
        can_be_recorded::<NetworkBridgeSubsystem>();
        can_be_recorded::<PeerSetManagerSubsystem>();
        can_be_recorded::<PoVDistributionSubsystem>();
        can_be_recorded::<ProvisionerSubsystem>();
        can_be_recorded::<RuntimeApiSubsystem>();
        can_be_recorded::<StatementDistributionSubsystem>();
    }
}
