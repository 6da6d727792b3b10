//! A small network of relay chains.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use deterministic::{BoxFuture, Compute, ComputeKind, Crash, Disk, MemoryDisk, Simulation, simulation::CostTable};
use keystore::{JournalledKeystore, Keys};
use network::{MemoryConfig, MemoryHub, MemoryNetwork};
use ports::{Index, Network, PeerId, RuntimeClient};
use primitives::{BlockNumber, Hash, HostConfiguration, Pair, ValidatorId, ValidatorIndex, crypto::SeedRng};
use relay_chain::{ChainStatus, Error, RelayChain, RelayChainConfig, justification::Vote, messages::FinalityMessage};
use runtime::{DirectVerifier, Extrinsic, Genesis, Governance, SignedGovernance, State, governance_payload};
use store::Store;

use crate::album::Album;

pub(crate) const SLOT_MS: u64 = 1_000;

/// Computes as another does, but drops what verifies signatures while it is told to fail.
pub(crate) struct Failing {
    inner: Arc<dyn Compute>,
    fails: AtomicBool,
}

impl Failing {
    pub(crate) fn over(inner: Arc<dyn Compute>) -> Arc<Self> {
        Arc::new(Self { inner, fails: AtomicBool::new(false) })
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }
}

impl Compute for Failing {
    fn run(&self, kind: ComputeKind, bytes: usize, work: Box<dyn FnOnce() + Send>) -> BoxFuture<()> {
        if kind == ComputeKind::VerifySignatures && self.fails.load(Ordering::Relaxed) {
            return Box::pin(async {});
        }
        self.inner.run(kind, bytes, work)
    }
}

/// One node, running or not.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) pair: Pair,
    pub(crate) disk: Arc<MemoryDisk>,
    pub(crate) chain: Option<Arc<RelayChain>>,
    pub(crate) network: Option<Arc<MemoryNetwork>>,
    pub(crate) keystore: Option<Arc<JournalledKeystore>>,
    /// That of the last start.
    pub(crate) index: Option<Arc<dyn Index>>,
}

impl Node {
    pub(crate) fn peer(&self) -> PeerId {
        MemoryHub::peer(&self.name)
    }
}

/// The simulation with its nodes. Fields are dropped in order: the simulation last.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) hub: MemoryHub,
    pub(crate) genesis: Genesis,
    pub(crate) fork_probability: f64,
    /// Takes pictures of the first node's disk.
    pub(crate) album_of_first: Option<Arc<Album>>,
    /// What the first node computes with, if not as the others do.
    pub(crate) compute_of_first: Option<Arc<Failing>>,
    pub(crate) simulation: Simulation,
}

/// Of the small chains, in blocks.
const SESSION_LENGTH: u32 = 10;

pub(crate) fn genesis(pairs: &[Pair]) -> Genesis {
    Genesis {
        configuration: HostConfiguration::for_sessions(SESSION_LENGTH),
        validators: pairs.iter().map(|pair| ValidatorId(pair.public())).collect(),
        paras: Vec::new(),
        stake_per_validator: 1_000,
        session_length: SESSION_LENGTH,
        randomness: [5; 32],
    }
}

impl World {
    /// Sessions of so many blocks, for a chain that has not begun.
    pub(crate) fn set_session_length(&mut self, blocks: u32) {
        self.genesis.session_length = blocks;
        self.genesis.configuration = HostConfiguration::for_sessions(blocks);
    }

    /// So many validators, none of them started.
    pub(crate) fn new(seed: u64, validators: usize, fork_probability: f64) -> Self {
        let simulation = Simulation::new(seed);
        simulation.set_costs(CostTable::default());
        let hub = MemoryHub::new(simulation.environment("network"), MemoryConfig::default());
        let nodes: Vec<Node> = (0..validators)
            .map(|index| {
                let name = format!("node-{index}");
                Node {
                    pair: Pair::from_name(&name),
                    name,
                    disk: Arc::default(),
                    chain: None,
                    network: None,
                    keystore: None,
                    index: None,
                }
            })
            .collect();
        let pairs: Vec<Pair> = nodes.iter().map(|node| node.pair.clone()).collect();
        let genesis = genesis(&pairs);
        Self { nodes, hub, genesis, fork_probability, album_of_first: None, compute_of_first: None, simulation }
    }

    /// The same, all started.
    pub(crate) fn started(seed: u64, validators: usize, fork_probability: f64) -> Self {
        let mut world = Self::new(seed, validators, fork_probability);
        for index in 0..validators {
            world.start(index).unwrap();
        }
        world
    }

    pub(crate) fn start(&mut self, index: usize) -> Result<(), Error> {
        let node = &self.nodes[index];
        let mut environment = self.simulation.environment(&node.name);
        if let Some(compute) = self.compute_of_first.clone().filter(|_| index == 0) {
            environment.compute = compute;
        }
        let album = self.album_of_first.clone().filter(|_| index == 0);
        let disk: Arc<dyn Disk> = album.clone().map_or_else(|| node.disk.clone() as _, |album| album as _);
        let store = Store::in_memory(disk.clone(), environment.compute.clone())?;
        let keys = Keys { validators: vec![node.pair.clone()], collator: None };
        let keystore = JournalledKeystore::open(disk, keys, environment.entropy.clone(), environment.compute.clone());
        let network = self.hub.join(node.peer());
        for other in self.nodes.iter().filter(|other| other.name != node.name) {
            network.connect(&other.peer(), &[]);
        }
        let config = RelayChainConfig {
            genesis: self.genesis.clone(),
            slot_ms: SLOT_MS,
            fork_probability: self.fork_probability,
            author: true,
            verifier: Arc::new(DirectVerifier),
        };
        let keystore = Arc::new(keystore.unwrap());
        let starting = RelayChain::start(
            config,
            environment,
            network.clone(),
            store.values.clone(),
            store.index.clone(),
            Some(keystore.clone()),
        );
        let chain = self.simulation.run_until(starting).unwrap()?;
        if let Some(album) = album {
            album.belongs_to(&chain);
        }
        let node = &mut self.nodes[index];
        (node.chain, node.network, node.keystore) = (Some(chain), Some(network), Some(keystore));
        node.index = Some(store.index);
        Ok(())
    }

    /// Power cut.
    pub(crate) fn crash(&mut self, index: usize, crash: Crash) {
        let node = &mut self.nodes[index];
        self.simulation.kill(&node.name);
        self.hub.crash(&MemoryHub::peer(&node.name));
        (node.chain, node.network, node.keystore) = (None, None, None);
        node.disk.crash(crash);
    }

    pub(crate) fn run_slots(&self, slots: u64) {
        self.simulation.run_for(Duration::from_millis(slots * SLOT_MS)).unwrap();
    }

    pub(crate) fn chain(&self, index: usize) -> &Arc<RelayChain> {
        self.nodes[index].chain.as_ref().expect("the node runs")
    }

    pub(crate) fn client(&self, index: usize) -> Arc<dyn RuntimeClient> {
        self.chain(index).client()
    }

    pub(crate) fn best_state(&self, index: usize) -> Arc<State> {
        let chain = self.chain(index);
        chain.block(&chain.status().best.0).expect("the best block is in the tree").1
    }

    /// A change, signed by all of the session's validators that this world has.
    pub(crate) fn signed(&self, state: &State, change: Governance) -> Extrinsic {
        signed_by(self.nodes.iter().map(|node| &node.pair), state, change)
    }

    /// Has validators elected, by index; asked of a running node.
    pub(crate) fn elect(&self, asked: usize, validators: &[usize]) {
        let ids = validators.iter().map(|index| ValidatorId(self.nodes[*index].pair.public()));
        self.govern(asked, Governance::Validators(ids.collect()));
    }

    /// What all its chains begin with.
    pub(crate) fn genesis_hash(&self) -> Hash {
        runtime::genesis(&self.genesis).unwrap().1.hash()
    }

    /// Hands a signed change to a running node.
    pub(crate) fn govern(&self, index: usize, change: Governance) {
        let submitted = self.chain(index).submit(self.signed(&self.best_state(index), change));
        self.simulation.run_until(submitted).unwrap().unwrap();
    }

    pub(crate) fn statuses(&self) -> Vec<ChainStatus> {
        self.nodes.iter().filter_map(|node| node.chain.as_ref()).map(|chain| chain.status()).collect()
    }

    /// The ancestor at a height of a block in a node's tree.
    pub(crate) fn ancestor(&self, index: usize, mut hash: Hash, number: BlockNumber) -> Hash {
        loop {
            let (block, _) = self.chain(index).block(&hash).expect("the block is in the tree");
            if block.header.number == number {
                return hash;
            }
            hash = block.header.parent_hash;
        }
    }

    /// All running nodes agree on the chain up to the lowest finalized height, which is returned.
    pub(crate) fn agreed(&self) -> BlockNumber {
        let running: Vec<usize> = (0..self.nodes.len()).filter(|index| self.nodes[*index].chain.is_some()).collect();
        let finalized: Vec<_> = running.iter().map(|index| self.chain(*index).status().finalized).collect();
        let lowest = finalized.iter().map(|(_, number)| *number).min().unwrap();
        let hashes: Vec<Hash> =
            running.iter().zip(&finalized).map(|(index, (hash, _))| self.ancestor(*index, *hash, lowest)).collect();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "finalized chains differ: {:?}", self.statuses());
        lowest
    }
}

/// A change, signed by all of the session's validators that are among these.
pub(crate) fn signed_by<'a>(
    pairs: impl Iterator<Item = &'a Pair> + Clone,
    state: &State,
    change: Governance,
) -> Extrinsic {
    let nonce = state.governance_nonce();
    let payload = governance_payload(state.chain_id(), nonce, &change);
    let signatures = state.validators().iter().zip(0..).filter_map(|(validator, position)| {
        let pair = pairs.clone().find(|pair| pair.public() == validator.0)?;
        Some((ValidatorIndex(position), pair.sign(&payload, &mut SeedRng::new([9; 32]))))
    });
    let signed = SignedGovernance { change, nonce, signatures: signatures.collect() };
    Extrinsic::Governed(Box::new(signed))
}

/// The message that says one vote.
pub(crate) fn told(vote: Vote) -> Bytes {
    FinalityMessage::pack(&[vote]).next().unwrap().into()
}
