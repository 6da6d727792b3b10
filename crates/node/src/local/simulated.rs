//! The local network on the simulator's components: virtual time, one seed, memory for wire and disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deterministic::{Crash, MemoryDisk, Simulation, SimulationError};
use futures::FutureExt;
use network::{MemoryConfig, MemoryHub};
use ports::{Address, PeerId, ValidationBackend};
use store::MemoryIndex;
use validation_executor::InProcess;

use super::LocalConfig;
use super::scenario::{Scenario, SightSummary, levers::Levers};
use crate::node::{Ground, Node, NodeError};
use crate::wiring::ParahostBuilder;

/// How often the scenario looks at the chain in each slot.
const PLAYS_PER_SLOT: u64 = 4;
/// Steps of one run: a minute of a dozen nodes takes a few million.
const STEPS_MAX: u64 = 2_000_000_000;

/// Why a simulated network did not get where it was to get.
#[derive(Debug, thiserror::Error)]
pub enum SimulatedError {
    /// The simulation.
    #[error("seed {seed}: {source}")]
    Simulation {
        /// The seed.
        seed: u64,
        /// The cause.
        source: SimulationError,
    },
    /// A node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The wasm engine.
    #[error(transparent)]
    Engine(#[from] validation_executor::PoolError),
}

/// A network of whole nodes in one seeded world. Nodes can be stopped, killed and started again on their disks.
pub struct SimulatedNetwork {
    /// The world.
    pub simulation: Simulation,
    /// The wire.
    pub hub: MemoryHub,
    /// The disks, by node.
    pub disks: Vec<Arc<MemoryDisk>>,
    config: LocalConfig,
    levers: Arc<Levers>,
    names: Vec<String>,
    nodes: BTreeMap<usize, Node>,
    networks: BTreeMap<usize, Arc<network::MemoryNetwork>>,
    validation: Option<Arc<dyn ValidationBackend>>,
}

impl SimulatedNetwork {
    /// A world without running nodes.
    pub fn new(seed: u64, config: LocalConfig) -> Self {
        let simulation = Simulation::new(seed);
        simulation.set_step_limit(STEPS_MAX);
        let hub = MemoryHub::new(simulation.environment("wire"), MemoryConfig::default());
        let names = config.node_names();
        let disks = names.iter().map(|_| Arc::new(MemoryDisk::default())).collect();
        let (nodes, networks) = (BTreeMap::new(), BTreeMap::new());
        Self { simulation, hub, disks, config, levers: Arc::default(), names, nodes, networks, validation: None }
    }

    /// How many nodes there can be: validators, then collators.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The peer that a node is.
    pub fn peer(&self, position: usize) -> PeerId {
        MemoryHub::peer(&self.names[position])
    }

    /// Starts a node as it is wired in `wiring.rs`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_node(&mut self, position: usize) -> Result<(), SimulatedError> {
        self.start_node_with(position, |builder| builder)
    }

    /// Starts a node after a change of its wiring: another subsystem in a slot, or a tap on a port.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_node_with(
        &mut self,
        position: usize,
        change: impl FnOnce(ParahostBuilder) -> ParahostBuilder,
    ) -> Result<(), SimulatedError> {
        let environment = self.simulation.environment(&self.names[position]);
        let validation = match &self.validation {
            Some(validation) => validation.clone(),
            None => {
                let engine: Arc<dyn ValidationBackend> =
                    Arc::new(InProcess::new(self.simulation.environment("wasm").compute)?);
                self.validation.insert(engine).clone()
            }
        };
        let network = self.hub.join(self.peer(position));
        self.networks.insert(position, network.clone());
        let ground = Ground {
            environment,
            network,
            disk: self.disks[position].clone(),
            index: Arc::new(MemoryIndex::default()),
            validation,
        };
        let peers: Vec<(PeerId, Vec<Address>)> = (0..self.len()).map(|other| (self.peer(other), Vec::new())).collect();
        let spec = self.config.rigged_spec(position, &peers, &self.levers);
        let (levers, is_rigged) = (self.levers.clone(), self.config.scenario.is_some());
        let change = |builder| change(if is_rigged { levers.wire(builder) } else { builder });
        let started = self.simulation.run_until(Node::start(spec, ground, change));
        let node = started.map_err(|source| SimulatedError::Simulation { seed: self.simulation.seed(), source })??;
        self.nodes.insert(position, node);
        Ok(())
    }

    /// Starts every node.
    ///
    /// # Errors
    /// If one does not start.
    pub fn start_all(&mut self) -> Result<(), SimulatedError> {
        (0..self.len())
            .filter(|position| !self.nodes.contains_key(position))
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|position| self.start_node(position))
    }

    /// A running node.
    ///
    /// # Panics
    /// If it was not started.
    pub fn node(&self, position: usize) -> &Node {
        self.nodes.get(&position).expect("the caller started this node")
    }

    /// The running nodes, by position.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().map(|(position, node)| (*position, node))
    }

    /// Ends a node in order; its disk stays.
    ///
    /// # Errors
    /// If the simulation does not get there.
    pub fn stop_node(&mut self, position: usize) -> Result<(), SimulatedError> {
        if let Some(node) = self.nodes.remove(&position) {
            let stopped = self.simulation.run_until(node.stop());
            stopped.map_err(|source| SimulatedError::Simulation { seed: self.simulation.seed(), source })?;
        }
        self.leave(position);
        Ok(())
    }

    /// Ends a node as a power cut does: its tasks vanish, its disk forgets, tears or reorders what was not synced.
    pub fn crash_node(&mut self, position: usize, fate: Crash) {
        self.leave(position);
        self.nodes.remove(&position);
        self.disks[position].crash(fate);
    }

    fn leave(&mut self, position: usize) {
        self.hub.crash(&self.peer(position));
        self.networks.remove(&position);
        self.simulation.kill(&self.names[position]);
    }

    /// Lets virtual time pass.
    ///
    /// # Errors
    /// If a task panics or nothing ends.
    pub fn run_for(&self, duration: Duration) -> Result<(), SimulatedError> {
        self.simulation
            .run_for(duration)
            .map_err(|source| SimulatedError::Simulation { seed: self.simulation.seed(), source })
    }

    /// Lets slots pass until the condition holds, at most `slots`; returns whether it does.
    ///
    /// # Errors
    /// As [`run_for`](Self::run_for).
    pub fn run_slots_until(&self, slots: u64, condition: impl Fn(&Self) -> bool) -> Result<bool, SimulatedError> {
        for _ in 0..slots {
            if condition(self) {
                return Ok(true);
            }
            self.run_for(Duration::from_millis(self.config.slot_ms))?;
        }
        Ok(condition(self))
    }

    /// Plays the scenario on all running nodes, watched on a node's chain, for at most so many slots. Returns what was
    /// seen, and whether that is everything.
    ///
    /// # Errors
    /// As [`run_for`](Self::run_for).
    ///
    /// # Panics
    /// If that node was not started.
    pub fn play(&self, position: usize, slots: u64) -> Result<(Vec<SightSummary>, bool), SimulatedError> {
        let mut scenario = Scenario::new(self.config.clone(), self.levers.clone());
        let mut feed = self.node(position).client().subscribe();
        for _ in 0..slots.saturating_mul(PLAYS_PER_SLOT) {
            if scenario.is_complete() {
                break;
            }
            self.run_for(Duration::from_millis(self.config.slot_ms / PLAYS_PER_SLOT))?;
            let chain = self.node(position).chain();
            self.wait(async {
                while let Some(Ok(Some(event))) = feed.next().now_or_never() {
                    scenario.hear(chain, &event).await;
                }
            })?;
        }
        Ok((scenario.summary(), scenario.is_complete()))
    }

    /// Answers a question about a node's chain.
    ///
    /// # Errors
    /// If the simulation does not get there.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, SimulatedError> {
        self.simulation
            .run_until(future)
            .map_err(|source| SimulatedError::Simulation { seed: self.simulation.seed(), source })
    }
}
