//! The local network on real components: libp2p over loopback (or memory), worker processes, files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deterministic::Environment;
use network::{Libp2pConfig, Libp2pNetwork, MemoryConfig, MemoryHub};
use overseer::Feed;
use overseer::answer::FeedError;
use overseer::port::EdgeSnapshot;
use ports::{Address, ChainEvent, ImportedBlock, Network, PeerId, RuntimeClient, RuntimeError, ValidationBackend};
use primitives::{Header, blake2_256};
use store::Store;
use validation_executor::{WorkerPool, WorkerPoolConfig};

use super::progress::{MessageCounts, Progress, ProgressEvent, message_counts, stuck_step};
use super::scenario::{Scenario, levers::Levers};
use super::summary::{ParaSummary, Summary, sum_edges};
use super::{ConfigError, LocalConfig};
use crate::node::{Ground, Node, NodeError};

/// The file that marks a directory as a local network's.
const BASE_PATH_MARK: &str = "parahost-dev";

/// Blocks that are looked up behind one that was announced.
const MISSED_BLOCKS_MAX: usize = 4096;
/// How often counters are compared to see what stands still.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What carries the messages between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// TCP on the loopback interface, Noise, Yamux.
    Libp2p,
    /// Memory.
    Memory,
}

/// Why a local network did not start or run.
#[derive(Debug, thiserror::Error)]
pub enum LocalNetworkError {
    /// A wish that cannot be fulfilled.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The base path cannot be made.
    #[error("base path {path}: {source}")]
    BasePath {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The base path holds other things.
    #[error("base path {path} holds other things: expected an empty directory, or one that `parahost dev` made")]
    ForeignBasePath {
        /// The path.
        path: PathBuf,
    },
    /// A node's directory cannot be opened.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// Clock, entropy, computing threads.
    #[error(transparent)]
    System(#[from] deterministic::SystemError),
    /// Listening.
    #[error(transparent)]
    Network(#[from] ports::NetworkError),
    /// The wasm workers.
    #[error(transparent)]
    Workers(#[from] validation_executor::PoolError),
    /// A node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The watched chain does not answer.
    #[error(transparent)]
    Chain(#[from] RuntimeError),
    /// A node ended by itself.
    #[error("{node} ended: {cause}")]
    NodeEnded {
        /// Which.
        node: String,
        /// Why.
        cause: String,
    },
}

/// A running local network.
pub struct LocalNetwork {
    config: LocalConfig,
    environment: Environment,
    nodes: Vec<Node>,
    wires: Vec<Arc<Libp2pNetwork>>,
    progress: Progress,
    scenario: Option<Scenario>,
    feed: Feed<ChainEvent>,
    began: Duration,
    stuck: Option<&'static str>,
    reached: bool,
    /// Removed with the network, unless the operator named a path.
    _scratch: Option<tempfile::TempDir>,
}

impl LocalNetwork {
    /// Starts every node. Without a base path everything is written to a directory that is removed in the end.
    ///
    /// # Errors
    /// Whatever could not start, by name.
    pub async fn start(
        config: LocalConfig,
        kind: NetworkKind,
        base_path: Option<&Path>,
    ) -> Result<Self, LocalNetworkError> {
        config.check()?;
        let (base, scratch) = base_directory(base_path)?;
        let environment = Environment::system()?;
        let began = environment.clock.now();
        let pool = WorkerPool::new(WorkerPoolConfig::new(base.join("artifacts")))?;
        let validation: Arc<dyn ValidationBackend> = Arc::new(pool);
        let names = config.node_names();
        let (networks, wires) = networks(&names, kind, &environment).await?;
        let peers: Vec<(PeerId, Vec<Address>)> =
            networks.iter().map(|network| (network.local_peer(), network.listen_addresses())).collect();
        let levers = Arc::new(Levers::default());
        let mut nodes = Vec::new();
        for (position, (name, network)) in names.iter().zip(networks).enumerate() {
            let store = Store::open(&base.join(name), environment.compute.clone())?;
            let ground = Ground {
                environment: environment.clone(),
                network,
                disk: store.disk,
                index: store.index,
                validation: validation.clone(),
            };
            let spec = config.rigged_spec(position, &peers, &levers);
            let wired = |builder| if config.scenario.is_some() { levers.wire(builder) } else { builder };
            nodes.push(Node::start(spec, ground, wired).await?);
        }
        let client = nodes[0].client();
        let feed = client.subscribe();
        let (hash, number) = client.finalized().await?;
        let slot = slot_of(&client.header(hash).await?);
        let progress = Progress::new(hash, number, slot, config.para_ids());
        let scenario = config.scenario.map(|_| Scenario::new(config.clone(), levers));
        Ok(Self {
            config,
            environment,
            nodes,
            wires,
            progress,
            scenario,
            feed,
            began,
            stuck: None,
            reached: false,
            _scratch: scratch,
        })
    }

    /// What has been reached so far.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The nodes, validators first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Peers that the first node is connected to.
    pub fn peers(&self) -> usize {
        self.nodes[0].network().statistics().peers
    }

    /// Watches the first validator's chain until every para has `goal` candidates included and the scenario has shown
    /// everything (true), or until nothing has moved for `patience` or the scenario is over (false). `show` is called for all that happens.
    ///
    /// # Errors
    /// If a node ends by itself, or the chain does not answer.
    ///
    /// # Cancel safety
    /// Dropping it loses at most the events of one block from what is counted.
    pub async fn run(
        &mut self,
        goal: u64,
        patience: Duration,
        mut show: impl FnMut(&ProgressEvent, &Self),
    ) -> Result<bool, LocalNetworkError> {
        let client = self.nodes[0].client();
        let mut counts_then = message_counts(&self.edges());
        let (mut backed, mut moved_at) = (0, self.environment.clock.now());
        while !self.progress.reached(goal) || self.scenario.as_ref().is_some_and(|it| !it.is_complete()) {
            self.check_nodes()?;
            if self.scenario.as_ref().is_some_and(Scenario::is_over) {
                return Ok(false);
            }
            let now = self.environment.clock.now();
            let total: u64 = self.progress.counts().values().map(|count| count.backed + count.included).sum();
            if total > backed {
                (backed, moved_at) = (total, now);
                counts_then = message_counts(&self.edges());
            } else if now.saturating_sub(moved_at) > patience {
                self.stuck = Some(self.stuck_since(&counts_then));
                return Ok(false);
            }
            for event in self.next_events(&*client).await? {
                show(&event, self);
            }
        }
        self.reached = true;
        Ok(true)
    }

    fn stuck_since(&self, then: &MessageCounts) -> &'static str {
        let pending = self.progress.counts().values().any(|count| count.backed > count.included + count.timed_out);
        stuck_step(then, &message_counts(&self.edges()), pending).describe()
    }

    /// The next thing that happens, or nothing for a while.
    async fn next_events(&mut self, client: &dyn RuntimeClient) -> Result<Vec<ProgressEvent>, LocalNetworkError> {
        let clock = self.environment.clock.clone();
        let event = match deterministic::timeout(&*clock, CHECK_INTERVAL, self.feed.next()).await {
            None => return Ok(Vec::new()),
            Some(Ok(Some(event))) => event,
            Some(end @ (Ok(None) | Err(FeedError::Dropped { .. }))) => {
                let node = self.nodes[0].name().to_owned();
                let cause = end.err().map_or_else(|| "its chain ended".to_owned(), |error| error.to_string());
                return Err(LocalNetworkError::NodeEnded { node, cause });
            }
            Some(Err(lagged @ FeedError::Lagged(_))) => {
                tracing::warn!(%lagged, "the view of the network lost events");
                self.feed = client.subscribe();
                return Ok(Vec::new());
            }
        };
        if let Some(scenario) = &mut self.scenario {
            scenario.hear(self.nodes[0].chain(), &event).await;
        }
        match event {
            ChainEvent::Imported(block) => self.import(client, block).await,
            ChainEvent::Finalized { hash, number, .. } => Ok(vec![self.progress.finalize(number, hash)]),
            ChainEvent::Reverted { .. } => Ok(Vec::new()),
        }
    }

    /// Counts a block, and first those between it and the nearest block that is counted: blocks that were imported
    /// before anybody watched, or while the feed lagged.
    async fn import(
        &mut self,
        client: &dyn RuntimeClient,
        block: ImportedBlock,
    ) -> Result<Vec<ProgressEvent>, LocalNetworkError> {
        if self.progress.knows(&block.hash) {
            return Ok(Vec::new());
        }
        let mut path = vec![(block.hash, block.header)];
        while let Some((_, youngest)) = path.last() {
            let parent = youngest.parent_hash;
            if self.progress.knows(&parent) || path.len() > MISSED_BLOCKS_MAX {
                break;
            }
            match client.header(parent).await {
                Ok(header) => path.push((parent, header)),
                Err(RuntimeError::UnknownBlock(_) | RuntimeError::Pruned(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let mut shown = Vec::new();
        while let Some((hash, header)) = path.pop() {
            let is_best = block.is_best && path.is_empty();
            match client.candidate_events(hash).await {
                Ok(events) => shown.extend(self.progress.import(hash, &header, slot_of(&header), is_best, &events)),
                // What was pruned meanwhile cannot be counted; what comes after it can.
                Err(RuntimeError::UnknownBlock(_) | RuntimeError::Pruned(_)) => {
                    shown.extend(self.progress.import(hash, &header, slot_of(&header), is_best, &[]));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(shown)
    }

    fn check_nodes(&self) -> Result<(), LocalNetworkError> {
        for node in &self.nodes {
            if let Some(cause) = node.end_cause() {
                let node = node.name().to_owned();
                return Err(LocalNetworkError::NodeEnded { node, cause });
            }
        }
        Ok(())
    }

    fn edges(&self) -> Vec<EdgeSnapshot> {
        self.nodes.iter().flat_map(|node| node.handle().edges()).collect()
    }

    /// Ends every node in order, all at once, and sums up.
    pub async fn stop(self) -> Summary {
        let edges = sum_edges(self.edges());
        let subsystems = self.nodes[0].handle().topology().slots.clone();
        let bytes_on_the_wire = self.nodes.iter().map(|node| node.network().statistics().bytes_sent).sum();
        let elapsed = self.environment.clock.now().saturating_sub(self.began);
        let reports = futures::future::join_all(self.nodes.into_iter().map(Node::stop)).await;
        let clean = reports.iter().all(|report| report.as_ref().is_some_and(|report| report.is_clean()));
        futures::future::join_all(self.wires.iter().map(|wire| wire.shutdown())).await;
        let (blocks, forks) = self.progress.blocks_and_forks();
        let counts = self.progress.counts();
        let para = |id: primitives::ParaId| {
            let count = counts.get(&id).copied().unwrap_or_default();
            ParaSummary { para: id.0, included: count.included, skipped: count.skipped }
        };
        Summary {
            event: "summary",
            ok: self.reached && clean,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            blocks,
            forks,
            finalized: self.progress.finalized(),
            paras: self.config.para_ids().map(para).collect(),
            median_slots_to_inclusion: self.progress.median_delay_slots(),
            bytes_on_the_wire,
            scenario: self.scenario.as_ref().map(Scenario::summary).unwrap_or_default(),
            stuck: self.stuck,
            edges,
            subsystems,
        }
    }
}

fn base_directory(wished: Option<&Path>) -> Result<(PathBuf, Option<tempfile::TempDir>), LocalNetworkError> {
    let Some(path) = wished else {
        let failed = |source| LocalNetworkError::BasePath { path: std::env::temp_dir(), source };
        let scratch = tempfile::Builder::new().prefix("parahost-dev-").tempdir().map_err(failed)?;
        return Ok((scratch.path().to_owned(), Some(scratch)));
    };
    let failed = |source| LocalNetworkError::BasePath { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(failed)?;
    let mark = path.join(BASE_PATH_MARK);
    if !mark.exists() {
        if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(LocalNetworkError::ForeignBasePath { path: path.to_owned() });
        }
        std::fs::write(&mark, "The base path of a local network of parahost.\n").map_err(failed)?;
    }
    Ok((path.to_owned(), None))
}

type Networks = (Vec<Arc<dyn Network>>, Vec<Arc<Libp2pNetwork>>);

async fn networks(
    names: &[String],
    kind: NetworkKind,
    environment: &Environment,
) -> Result<Networks, LocalNetworkError> {
    let mut networks: Vec<Arc<dyn Network>> = Vec::new();
    let mut wires = Vec::new();
    match kind {
        NetworkKind::Memory => {
            let hub = MemoryHub::new(environment.clone(), MemoryConfig::default());
            for name in names {
                networks.push(hub.join(MemoryHub::peer(name)));
            }
        }
        NetworkKind::Libp2p => {
            for name in names {
                let config = Libp2pConfig {
                    identity_seed: blake2_256(name.as_bytes()).0,
                    listen: vec![Address("/ip4/127.0.0.1/tcp/0".to_owned())],
                    ..Libp2pConfig::default()
                };
                let wire = Libp2pNetwork::start(config, tokio::runtime::Handle::current()).await?;
                networks.push(wire.clone());
                wires.push(wire);
            }
        }
    }
    Ok((networks, wires))
}

/// The slot that a block was authored in; genesis has none.
fn slot_of(header: &Header) -> Option<u64> {
    runtime::SlotClaim::from_digest(&header.digest).ok().map(|claim| claim.slot)
}
