//! Long chains of one validator, who finalizes each block: their memory, and how they start again from disk.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use deterministic::{FileDisk, Simulation};
use keystore::{JournalledKeystore, Keys};
use primitives::{Pair, ValidatorId};
use relay_chain::{BatchVerifier, RelayChain, RelayChainConfig};
use store::{FileStore, SledIndex};
use tempfile::TempDir;

use crate::{doors::Nobody, ground::Ground, rows::Row};

/// Length of a slot, in milliseconds of virtual time.
const SLOT_MS: u64 = 1_000;
/// Slots between two looks.
const SLOTS_PER_STEP: u64 = 100;
/// Resident memory after all blocks may be so many times that after a fifth of them.
const GROWTH_MAX: f64 = 1.1;
/// Files in memory are not the process's own, and synced at once.
const MEMORY_FILES: &str = "/dev/shm";

/// A node of one validator in virtual time, on a real directory.
struct Alone {
    simulation: Simulation,
    chain: Arc<RelayChain>,
}

impl Alone {
    /// Starts on what is in the directory.
    fn start(directory: &Path) -> Self {
        let mut genesis = Ground::new(1, 0, 100).genesis;
        let pair = Pair::from_name("validator 0");
        genesis.validators = vec![ValidatorId(pair.public())];
        let simulation = Simulation::new(7);
        let environment = simulation.environment("alone");
        let disk = Arc::new(FileDisk::open(directory, "benchmark").expect("the directory is this benchmark's"));
        let blobs = FileStore::open(disk.clone(), "blocks", environment.compute.clone()).expect("it can be written");
        let keys = Keys { validators: vec![pair], collator: None };
        let keystore = JournalledKeystore::open(disk, keys, environment.entropy.clone(), environment.compute.clone());
        let keystore = Arc::new(keystore.expect("the journal is whole"));
        let config = RelayChainConfig {
            genesis,
            slot_ms: SLOT_MS,
            fork_probability: 0.0,
            author: true,
            verifier: Arc::new(BatchVerifier::on_all_cores()),
        };
        let index = SledIndex::open(&directory.join("index")).expect("it can be written");
        let (blobs, index) = (Arc::new(blobs), Arc::new(index));
        let starting = RelayChain::start(config, environment, Arc::new(Nobody), blobs, index, Some(keystore));
        let chain = simulation.run_until(starting).expect("nothing waits for ever").expect("the chain starts");
        Self { simulation, chain }
    }

    /// Goes on to a height; finality follows.
    fn run_to(&self, height: u32) {
        while self.chain.status().best.1 < height {
            let step = Duration::from_millis(SLOTS_PER_STEP * SLOT_MS);
            self.simulation.run_for(step).expect("the chain runs");
        }
        let status = self.chain.status();
        assert!(status.best.1 - status.finalized.1 < 16, "finality follows: {status:?}");
    }
}

fn directory() -> TempDir {
    let in_memory = tempfile::tempdir_in(MEMORY_FILES);
    in_memory.or_else(|_| tempfile::tempdir()).expect("there is a place for temporary files")
}

/// The start of a chain of so many blocks.
pub(crate) fn restart(blocks: u32) -> Row {
    let directory = directory();
    let before = Alone::start(directory.path());
    before.run_to(blocks);
    let finalized = before.chain.status().finalized.1;
    drop(before);
    let began = Instant::now();
    let after = Alone::start(directory.path());
    let time = began.elapsed();
    assert!(after.chain.status().finalized.1 >= finalized, "nothing final is lost");
    Row::plain("restart from disk", time.as_secs_f64() * 1e3, if blocks == 10_000 { "ms, 10,000 blocks" } else { "ms" })
}

/// Resident memory after so many blocks beside that after a fifth of them.
pub(crate) fn memory(blocks: u32, tell: impl Fn(String)) -> Vec<Row> {
    let directory = directory();
    let alone = Alone::start(directory.path());
    let mut resident = Vec::new();
    for fifth in 1..=5 {
        alone.run_to(blocks / 5 * fifth);
        resident.push(resident_bytes());
        tell(format!("{} blocks: {:.1} MiB resident", blocks / 5 * fifth, mebibytes(resident_bytes())));
    }
    let (first, last) = (resident[0], resident[resident.len() - 1]);
    let unit = if blocks == 100_000 { "of that after 20,000" } else { "of that after a fifth" };
    vec![
        Row::marked("memory after 100,000 blocks", last / first, unit, GROWTH_MAX),
        Row::plain("memory, resident", mebibytes(last), "MiB"),
    ]
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / 1024.0 / 1024.0
}

/// Resident memory of this process, in bytes; not a number where the kernel does not tell.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kibibytes.map_or(f64::NAN, |kibibytes| kibibytes * 1024.0)
}
