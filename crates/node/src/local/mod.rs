//! A whole network in one process: validators that each hold a chain of their own, and collators for each para.

mod progress;
mod real;
mod scenario;
mod simulated;
mod summary;

use std::collections::BTreeMap;
use std::sync::Arc;

use collation_generation::CollatorConfig;
use keystore::Keys;
use ports::{Address, Collator, PeerId};
use primitives::crypto::SeedRng;
use primitives::{HeadData, HostConfiguration, Pair, ParaId, ValidationCode, ValidatorId, ValidatorIndex};
use relay_chain::{slots::PARTS_PER_MILLION, spec::ChainSpec};
use runtime::{Extrinsic, Genesis, GenesisPara, Governance, SignedGovernance, State, governance_payload};
use test_parachains::{adder, burner};

use crate::collators::{AdderCollator, BurnerCollator};
use crate::node::{NodeRole, NodeSpec};
use scenario::levers::Levers;

pub use progress::{ParaCount, Progress, ProgressEvent, Step};
pub use real::{LocalNetwork, LocalNetworkError, NetworkKind};
pub use scenario::SightSummary;
pub use simulated::{SimulatedError, SimulatedNetwork};
pub use summary::{EdgeSummary, ParaSummary, Summary};

/// The id of the first para; the others follow.
pub const FIRST_PARA: u32 = 2000;
/// Rounds of computing in each burner block.
const BURNER_ITERATIONS: u64 = 10_000;

/// Something to be lived through, beside candidates being included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScenarioKind {
    /// Validators that come and go, parathreads, a code upgrade, a time-out, forks.
    Sessions,
}

/// What kind of network is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalConfig {
    /// Number of validators.
    pub validators: u32,
    /// Number of parachains: adders and burners in turn.
    pub parachains: u32,
    /// Number of parathreads, whose ids follow: a scenario claims blocks for them.
    pub parathreads: u32,
    /// Collators of each para.
    pub collators_per_para: u32,
    /// Length of a slot, in milliseconds.
    pub slot_ms: u64,
    /// Length of a session, in blocks.
    pub session_blocks: u32,
    /// What is to happen.
    pub scenario: Option<ScenarioKind>,
    /// Size of each proof of validity, in bytes.
    pub pov_size: usize,
    /// How often two authors meet in a slot, 0 to 1.
    pub fork_probability: f64,
    /// The chain's beginning, if it is not the usual one; see [`follow`](Self::follow).
    pub given_genesis: Option<Box<Genesis>>,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            validators: 6,
            parachains: 2,
            parathreads: 0,
            collators_per_para: 1,
            slot_ms: 1500,
            session_blocks: 100,
            scenario: None,
            pov_size: 64 * 1024,
            fork_probability: 0.1,
            given_genesis: None,
        }
    }
}

/// A wish that no network can fulfil.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {found}, expected {expected}")]
pub struct ConfigError {
    /// Which wish.
    pub what: String,
    /// What was wished.
    pub found: String,
    /// What is possible.
    pub expected: &'static str,
}

impl LocalConfig {
    /// Checks everything at once.
    ///
    /// # Errors
    /// The first wish that cannot be fulfilled, with what is possible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |what: &str, found: String, expected| Err(ConfigError { what: what.to_owned(), found, expected });
        if !(1..=100).contains(&self.validators) {
            return refuse("number of validators", self.validators.to_string(), "1 to 100");
        }
        if !(1..=20).contains(&self.parachains) || self.parachains > self.validators {
            return refuse("number of parachains", self.parachains.to_string(), "1 to 20, no more than validators");
        }
        if !(1..=8).contains(&self.collators_per_para) {
            return refuse("number of collators per para", self.collators_per_para.to_string(), "1 to 8");
        }
        if !(200..=60_000).contains(&self.slot_ms) {
            return refuse("slot length", format!("{} ms", self.slot_ms), "200 to 60000 ms");
        }
        let largest = HostConfiguration::default().max_pov_size as usize - 1024;
        if !(1..=largest).contains(&self.pov_size) {
            return refuse("PoV size", format!("{} bytes", self.pov_size), "1 byte to 10 MiB less 1 KiB");
        }
        if !(0.0..=1.0).contains(&self.fork_probability) {
            return refuse("fork probability", self.fork_probability.to_string(), "0 to 1");
        }
        if !(5..=10_000).contains(&self.session_blocks) {
            return refuse("session length", format!("{} blocks", self.session_blocks), "5 to 10000 blocks");
        }
        match self.scenario {
            Some(ScenarioKind::Sessions) => self.check_sessions(),
            None if self.parathreads > 0 => {
                refuse("number of parathreads", self.parathreads.to_string(), "0 without a scenario")
            }
            None => Ok(()),
        }
    }

    /// What the scenario `sessions` needs to show everything.
    fn check_sessions(&self) -> Result<(), ConfigError> {
        let refuse = |what: &str, found: String, expected| Err(ConfigError { what: what.to_owned(), found, expected });
        let (shortest, longest) = (scenario::SESSION_BLOCKS_MIN, scenario::SESSION_BLOCKS_MAX);
        if !(shortest..=longest).contains(&self.session_blocks) {
            let found = format!("{} blocks", self.session_blocks);
            return refuse("session length of the scenario", found, "16 to 200 blocks");
        }
        if self.validators < 5 || self.parachains < 2 || !(1..=8).contains(&self.parathreads) {
            let Self { validators, parachains, parathreads, .. } = self;
            let found = format!("{validators} validators, {parachains} parachains, {parathreads} parathreads");
            return refuse("network of the scenario", found, "at least 5, at least 2, 1 to 8");
        }
        if self.parachains >= self.validators - 1 {
            return refuse("number of parachains", self.parachains.to_string(), "fewer than validators with a seat");
        }
        if self.fork_probability == 0.0 {
            return refuse("fork probability", "0".to_owned(), "more than 0, or no fork can be resolved");
        }
        Ok(())
    }

    /// The paras' ids, parachains first.
    pub fn para_ids(&self) -> impl Iterator<Item = ParaId> + use<> {
        (FIRST_PARA..FIRST_PARA + self.parachains + self.parathreads).map(ParaId)
    }

    /// The parathreads' ids.
    pub fn parathread_ids(&self) -> impl Iterator<Item = ParaId> + use<> {
        self.para_ids().skip(self.parachains as usize)
    }

    fn is_parathread(&self, para: ParaId) -> bool {
        para.0 >= FIRST_PARA + self.parachains
    }

    /// The chain's beginning, the same bytes everywhere.
    pub fn genesis(&self) -> Genesis {
        if let Some(genesis) = &self.given_genesis {
            return Genesis::clone(genesis);
        }
        let upgrades = |id| self.scenario.is_some() && id == scenario::UPGRADING_PARA;
        let paras = self.para_ids().map(|id| {
            let (head, code) = match is_burner(id) {
                true => (burner::genesis_head(), burner::WASM),
                false => (adder::genesis_head(), adder::WASM),
            };
            GenesisPara {
                id,
                is_parachain: !self.is_parathread(id),
                head_data: HeadData(head),
                validation_code: match upgrades(id) {
                    true => scenario::upgradable_code(1),
                    false => ValidationCode(bytes::Bytes::from_static(code)),
                },
            }
        });
        let (configuration, validators) = match self.scenario {
            Some(ScenarioKind::Sessions) => (scenario::configuration(self), scenario::seated(self.validators, 0)),
            None => {
                let all = (0..self.validators).map(|index| ValidatorId(validator_pair(index).public()));
                (HostConfiguration::for_sessions(self.session_blocks), all.collect())
            }
        };
        Genesis {
            configuration,
            validators,
            paras: paras.collect(),
            stake_per_validator: 1_000_000,
            session_length: self.session_blocks,
            randomness: [0x42; 32],
        }
    }

    /// The same as a file would say it.
    pub fn chain_spec(&self, name: &str) -> ChainSpec {
        let forks_per_million = (self.fork_probability * f64::from(PARTS_PER_MILLION)).round() as u32;
        ChainSpec { name: name.to_owned(), slot_ms: self.slot_ms, forks_per_million, genesis: self.genesis() }
    }

    /// Takes everything that a specification says from it: who validates, which paras there are, slots and sessions.
    ///
    /// # Errors
    /// If it is not of the kind that [`chain_spec`](Self::chain_spec) makes: with keys and paras that this machine has.
    pub fn follow(&mut self, spec: &ChainSpec) -> Result<(), ConfigError> {
        let refuse = |what: &str, found: String, expected| Err(ConfigError { what: what.to_owned(), found, expected });
        let genesis = &spec.genesis;
        self.validators = u32::try_from(genesis.validators.len()).unwrap_or(u32::MAX);
        (self.slot_ms, self.fork_probability) = (spec.slot_ms, spec.fork_probability());
        self.session_blocks = genesis.session_length;
        self.parachains = u32::try_from(genesis.paras.len()).unwrap_or(u32::MAX);
        self.parathreads = 0;
        self.check()?;
        for (index, key) in (0..self.validators).zip(&genesis.validators) {
            if *key != ValidatorId(validator_pair(index).public()) {
                let expected = "the key of the local network in that place, as `chain-spec new` lists them";
                return refuse(&format!("validators[{index}]"), key.to_string(), expected);
            }
        }
        for (index, (id, para)) in self.para_ids().zip(&genesis.paras).enumerate() {
            let what = |field| format!("paras[{index}].{field}");
            if para.id != id {
                return refuse(&what("id"), para.id.0.to_string(), "the ids from 2000 on, in their order");
            }
            if !para.is_parachain {
                return refuse(&what("kind"), "\"parathread\"".to_owned(), "\"parachain\"");
            }
        }
        self.given_genesis = Some(Box::new(genesis.clone()));
        Ok(())
    }

    /// The nodes' names: validators first.
    pub fn node_names(&self) -> Vec<String> {
        let validators = (0..self.validators).map(|index| format!("validator-{index}"));
        let collators =
            self.para_ids().flat_map(|para| (0..self.collators_per_para).map(move |index| collator_name(para, index)));
        validators.chain(collators).collect()
    }

    /// What node `position` (by [`node_names`](Self::node_names)) is told; `peers` are all nodes' addresses in the same
    /// order. Every node keeps a connection to every validator.
    pub fn node_spec(&self, position: usize, peers: &[(PeerId, Vec<Address>)]) -> NodeSpec {
        let validators = self.validators as usize;
        let name = self.node_names().swap_remove(position);
        let (keys, role) = match position.checked_sub(validators) {
            None => {
                let keys = Keys { validators: vec![validator_pair(position as u32)], collator: None };
                (keys, NodeRole::Validator)
            }
            Some(collator) => {
                let para_id = ParaId(FIRST_PARA + collator as u32 / self.collators_per_para);
                let keys = Keys { validators: Vec::new(), collator: Some(Pair::from_name(&name)) };
                (keys, NodeRole::Collator(CollatorConfig { para_id, collator: self.collator(para_id) }))
            }
        };
        let others = peers.iter().take(validators).enumerate().filter(|(other, _)| *other != position);
        NodeSpec {
            name,
            keys,
            role,
            genesis: self.genesis(),
            slot_ms: self.slot_ms,
            fork_probability: self.fork_probability,
            reserved_peers: others.map(|(_, peer)| peer.clone()).collect(),
        }
    }

    /// The same, with the levers that a scenario pulls.
    fn rigged_spec(&self, position: usize, peers: &[(PeerId, Vec<Address>)], levers: &Arc<Levers>) -> NodeSpec {
        let spec = self.node_spec(position, peers);
        match (&self.scenario, &spec.role) {
            (Some(ScenarioKind::Sessions), NodeRole::Collator(collator)) => {
                let is_parathread = self.is_parathread(collator.para_id);
                levers.rig(spec, scenario::UPGRADING_PARA, is_parathread)
            }
            _ => spec,
        }
    }

    fn collator(&self, para: ParaId) -> Arc<dyn Collator> {
        match is_burner(para) {
            true => Arc::new(BurnerCollator { payload_bytes: self.pov_size, iterations: BURNER_ITERATIONS }),
            false => Arc::new(AdderCollator { padding_bytes: self.pov_size }),
        }
    }
}

/// A change by governance with the signatures of all that validate in a state, of the first `validators` of a local
/// network.
pub fn governed(validators: u32, state: &State, change: Governance) -> Extrinsic {
    let nonce = state.governance_nonce();
    let payload = governance_payload(state.chain_id(), nonce, &change);
    let pairs: BTreeMap<[u8; 32], Pair> = (0..validators).map(validator_pair).map(|it| (it.public(), it)).collect();
    let mut random = SeedRng::new(primitives::blake2_256(&payload).0);
    let signatures = state.validators().iter().zip(0..).filter_map(|(validator, index)| {
        let pair = pairs.get(&validator.0)?;
        Some((ValidatorIndex(index), pair.sign(&payload, &mut random)))
    });
    let signatures = signatures.collect();
    Extrinsic::Governed(Box::new(SignedGovernance { change, nonce, signatures }))
}

fn is_burner(para: ParaId) -> bool {
    para.0 % 2 == 1
}

/// Name of a para's collator; its key comes from it.
fn collator_name(para: ParaId, index: u32) -> String {
    format!("collator-{}-{index}", para.0)
}

/// The session key of a validator of the local network: known to everybody.
pub fn validator_pair(index: u32) -> Pair {
    Pair::from_name(&format!("//validator//{index}"))
}
