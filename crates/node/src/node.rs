//! One node: opened, started, ended in order.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use availability_store::StoreConfig;
use collation_generation::CollatorConfig;
use deterministic::{Disk, Environment};
use keystore::{JournalledKeystore, Keys};
use messages::network_bridge::ObservedRole;
use overseer::{ExitReport, Failure, Handle};
use ports::{Address, Index, Network, PeerId, RuntimeClient, ValidationBackend};
use relay_chain::{BatchVerifier, RelayChain, RelayChainConfig};
use runtime::Genesis;
use store::FileStore;
use tokio::sync::watch;

use crate::heartbeat;
use crate::inherent::ProvisionedInherents;
use crate::wiring::{BlockAuthor, Doors, ParahostBuilder, Settings, wire};

/// What stands behind the doors of one node: real components, or the simulator's.
#[derive(Clone)]
pub struct Ground {
    /// Time, randomness, tasks, computing.
    pub environment: Environment,
    /// The peers.
    pub network: Arc<dyn Network>,
    /// Journal, blocks, PoVs and chunks.
    pub disk: Arc<dyn Disk>,
    /// What can be rebuilt.
    pub index: Arc<dyn Index>,
    /// The wasm workers.
    pub validation: Arc<dyn ValidationBackend>,
}

/// What a node does.
#[derive(Clone)]
pub enum NodeRole {
    /// Validates, authors, finalizes.
    Validator,
    /// Follows the chain and makes candidates.
    Collator(CollatorConfig),
}

/// What a node is told at its start.
pub struct NodeSpec {
    /// Its name in logs and reports.
    pub name: String,
    /// Its secret keys.
    pub keys: Keys,
    /// What it does.
    pub role: NodeRole,
    /// The chain's beginning.
    pub genesis: Genesis,
    /// Length of a slot, in milliseconds.
    pub slot_ms: u64,
    /// Roughly how often two authors meet in a slot, 0 to 1.
    pub fork_probability: f64,
    /// Peers to be connected to always.
    pub reserved_peers: Vec<(PeerId, Vec<Address>)>,
}

/// A node that did not start.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {cause}")]
pub struct NodeError {
    /// Which.
    pub name: String,
    /// Why.
    #[source]
    pub cause: Box<StartFailure>,
}

/// What of a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFailure {
    /// The signing journal.
    #[error(transparent)]
    Keystore(#[from] keystore::OpenError),
    /// The disk.
    #[error(transparent)]
    Storage(#[from] ports::StorageError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] relay_chain::Error),
    /// Settings or wiring.
    #[error("{0}")]
    Wiring(Failure),
}

/// A running node.
pub struct Node {
    name: String,
    handle: Handle,
    chain: Arc<RelayChain>,
    network: Arc<dyn Network>,
    ended: watch::Receiver<Option<Arc<ExitReport>>>,
    /// Why the heartbeat ended before the node was told to.
    heart_failure: Arc<OnceLock<String>>,
}

impl Node {
    /// Opens the disk, starts the chain, wires the subsystems and runs them. `change` may replace subsystems or put taps
    /// on ports before anything runs.
    ///
    /// # Errors
    /// Whatever part of it could not start, by name.
    pub async fn start(
        spec: NodeSpec,
        ground: Ground,
        change: impl FnOnce(ParahostBuilder) -> ParahostBuilder,
    ) -> Result<Self, NodeError> {
        let name = spec.name.clone();
        Self::open(spec, ground, change).await.map_err(|cause| NodeError { name, cause: Box::new(cause) })
    }

    async fn open(
        spec: NodeSpec,
        ground: Ground,
        change: impl FnOnce(ParahostBuilder) -> ParahostBuilder,
    ) -> Result<Self, StartFailure> {
        let NodeSpec { name, keys, role, genesis, slot_ms, fork_probability, reserved_peers } = spec;
        let Ground { environment, network, disk, index, validation } = ground;
        let keystore =
            JournalledKeystore::open(disk.clone(), keys, environment.entropy.clone(), environment.compute.clone())?;
        let keystore: Arc<dyn ports::Keystore> = Arc::new(keystore);
        let files = |directory: &str| FileStore::open(disk.clone(), directory, environment.compute.clone());
        let (blocks, blobs) = (Arc::new(files("blocks")?), Arc::new(files("availability")?));

        let acceptance_blocks = u64::from(genesis.configuration.acceptance_period);
        let acceptance_period = Duration::from_millis(slot_ms.saturating_mul(acceptance_blocks));
        let author = matches!(role, NodeRole::Validator);
        let verifier = Arc::new(BatchVerifier::on_all_cores());
        let config = RelayChainConfig { genesis, slot_ms, fork_probability, author, verifier };
        let signer = author.then(|| keystore.clone());
        let chain =
            RelayChain::start(config, environment.clone(), network.clone(), blocks, index.clone(), signer).await?;

        let client = chain.client();
        let doors = Doors {
            environment: environment.clone(),
            runtime: client.clone(),
            network: network.clone(),
            keystore,
            validation,
            blobs,
            index,
        };
        let (observed, collator) = match role {
            NodeRole::Validator => (ObservedRole::Validator, None),
            NodeRole::Collator(collator) => (ObservedRole::Collator, Some(collator)),
        };
        let settings = Settings {
            genesis_hash: chain.genesis_hash(),
            role: observed,
            collator,
            reserved_peers,
            bitfield_delay: Duration::from_millis(slot_ms / 3),
            store: StoreConfig::new(acceptance_period),
        };
        let builder = change(wire(&doors, &settings).map_err(StartFailure::Wiring)?);
        let overseer = builder.build().map_err(|error| StartFailure::Wiring(error.into()))?;
        let handle = overseer.handle();
        let outlet = handle.outlet::<BlockAuthor>().map_err(|error| StartFailure::Wiring(error.into()))?;
        chain.set_inherent_source(Arc::new(ProvisionedInherents {
            environment: environment.clone(),
            handle: handle.clone(),
            outlet,
        }));

        let (ending, ended) = watch::channel(None);
        environment.spawner.spawn(
            "overseer",
            Box::pin(async move {
                let report = overseer.run().await;
                ending.send_replace(Some(Arc::new(report)));
            }),
        );
        let (watching, looks) = (handle.clone(), environment.clone());
        environment.spawner.spawn("watch", Box::pin(async move { watching.watch(&looks).await }));
        let (heart, mut until) = (handle.clone(), ended.clone());
        let heart_failure = Arc::new(OnceLock::new());
        let failed = heart_failure.clone();
        environment.spawner.spawn(
            "heartbeat",
            Box::pin(async move {
                tokio::select! {
                    biased;
                    _ = until.wait_for(Option::is_some) => {}
                    result = heartbeat::follow(client, heart.clone()) => {
                        let cause = match result {
                            Ok(()) => "the chain tells no events any more".to_owned(),
                            Err(error) => error.to_string(),
                        };
                        tracing::error!(%cause, "the heartbeat ended, and with it the node");
                        let _ = failed.set(cause);
                        heart.stop();
                    }
                }
            }),
        );
        Ok(Self { name, handle, chain, network, ended, heart_failure })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The overseer's handle: counters, queues, requests from outside.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The chain as this node knows it.
    pub fn client(&self) -> Arc<dyn RuntimeClient> {
        self.chain.client()
    }

    /// The chain itself.
    pub fn chain(&self) -> &Arc<RelayChain> {
        &self.chain
    }

    /// The node's network.
    pub fn network(&self) -> &Arc<dyn Network> {
        &self.network
    }

    /// Why the node ended by itself, if it has.
    pub fn end_cause(&self) -> Option<String> {
        let report = self.ended.borrow().clone()?;
        let heart = self.heart_failure.get().map(|cause| format!("heartbeat: {cause}"));
        Some(heart.unwrap_or_else(|| report.cause.to_string()))
    }

    /// Stops subsystems, then the chain; returns how the overseer ended.
    pub async fn stop(mut self) -> Option<Arc<ExitReport>> {
        self.handle.stop();
        // An error says that the overseer's task was dropped with its runtime.
        let report = self.ended.wait_for(Option::is_some).await.map(|report| report.clone()).unwrap_or_default();
        self.chain.stop();
        report
    }
}
