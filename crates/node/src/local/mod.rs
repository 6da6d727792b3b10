//! A whole network in one process: validators that each hold a chain of their own, and collators for each para.

mod progress;
mod real;
mod simulated;
mod summary;

use std::sync::Arc;

use collation_generation::CollatorConfig;
use keystore::Keys;
use ports::{Address, Collator, PeerId};
use primitives::{HeadData, HostConfiguration, Pair, ParaId, ValidationCode, ValidatorId};
use runtime::{Genesis, GenesisPara};
use test_parachains::{adder, burner};

use crate::collators::{AdderCollator, BurnerCollator};
use crate::node::{NodeRole, NodeSpec};

pub use progress::{ParaCount, Progress, ProgressEvent, Step};
pub use real::{LocalNetwork, LocalNetworkError, NetworkKind};
pub use simulated::{SimulatedError, SimulatedNetwork};
pub use summary::{EdgeSummary, ParaSummary, Summary};

/// The id of the first para; the others follow.
pub const FIRST_PARA: u32 = 2000;
/// Rounds of computing in each burner block.
const BURNER_ITERATIONS: u64 = 10_000;

/// What kind of network is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalConfig {
    /// Number of validators.
    pub validators: u32,
    /// Number of parachains: adders and burners in turn.
    pub parachains: u32,
    /// Collators of each para.
    pub collators_per_para: u32,
    /// Length of a slot, in milliseconds.
    pub slot_ms: u64,
    /// Size of each proof of validity, in bytes.
    pub pov_size: usize,
    /// How often two authors meet in a slot, 0 to 1.
    pub fork_probability: f64,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            validators: 6,
            parachains: 2,
            collators_per_para: 1,
            slot_ms: 1500,
            pov_size: 64 * 1024,
            fork_probability: 0.1,
        }
    }
}

/// A wish that no network can fulfil.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {found}, expected {expected}")]
pub struct ConfigError {
    /// Which wish.
    pub what: &'static str,
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
        let refuse = |what, found: String, expected| Err(ConfigError { what, found, expected });
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
        Ok(())
    }

    /// The paras' ids.
    pub fn para_ids(&self) -> impl Iterator<Item = ParaId> + use<> {
        (FIRST_PARA..FIRST_PARA + self.parachains).map(ParaId)
    }

    /// The chain's beginning, the same bytes everywhere.
    pub fn genesis(&self) -> Genesis {
        let paras = self.para_ids().map(|id| {
            let (head, code) = match is_burner(id) {
                true => (burner::genesis_head(), burner::WASM),
                false => (adder::genesis_head(), adder::WASM),
            };
            GenesisPara {
                id,
                is_parachain: true,
                head_data: HeadData(head),
                validation_code: ValidationCode(bytes::Bytes::from_static(code)),
            }
        });
        Genesis {
            configuration: HostConfiguration::default(),
            validators: (0..self.validators).map(|index| ValidatorId(validator_pair(index).public())).collect(),
            paras: paras.collect(),
            stake_per_validator: 1_000_000,
            session_length: 100,
            randomness: [0x42; 32],
        }
    }

    /// The nodes' names: validators first.
    pub fn node_names(&self) -> Vec<String> {
        let validators = (0..self.validators).map(|index| format!("validator-{index}"));
        let collators = self
            .para_ids()
            .flat_map(|para| (0..self.collators_per_para).map(move |index| format!("collator-{}-{index}", para.0)));
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

    fn collator(&self, para: ParaId) -> Arc<dyn Collator> {
        match is_burner(para) {
            true => Arc::new(BurnerCollator { payload_bytes: self.pov_size, iterations: BURNER_ITERATIONS }),
            false => Arc::new(AdderCollator { padding_bytes: self.pov_size }),
        }
    }
}

fn is_burner(para: ParaId) -> bool {
    para.0 % 2 == 1
}

/// The session key of a validator of the local network: known to everybody.
pub fn validator_pair(index: u32) -> Pair {
    Pair::from_name(&format!("//validator//{index}"))
}
