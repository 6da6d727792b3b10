//! A network that is killed with SIGKILL, again and again: nothing that was final is lost.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use deterministic::entropy::below;
use deterministic::{Environment, Simulation};
use primitives::Hash;
use relay_chain::storage::{Storage, StoredBlock};
use store::{FileStore, Store};

const VALIDATORS: usize = 4;
const KILLS: usize = 10;
/// Of the moments, counted in lines of output: what the machine does in between nobody can repeat.
const KILLS_SEED: u64 = 4;

/// Starts a network, lets it finalize so many blocks more, then so many lines of output pass, and kills it.
fn run_and_kill(base_path: &Path, finalized: u64, lines: usize) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_parahost"))
        .args(["dev", "--validators", "4", "--parachains", "1", "--until-included", "100000", "--slot-ms", "400"])
        .args(["--session-blocks", "10", "--fork-probability", "0.3", "--pov-size", "1KiB", "--network", "memory"])
        .args(["--json", "--base-path"])
        .arg(base_path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut output = output.lines().map(|line| line.expect("the network writes lines"));
    let finalities = output.by_ref().filter(|line| line.contains("\"finalized\"")).take(finalized as usize).count();
    // Where nothing moves the network ends by itself.
    assert_eq!(finalities as u64, finalized, "the network ended before");
    assert_eq!(output.by_ref().take(lines).count(), lines);
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
}

/// What each validator's disk holds to be final: hashes by height, from block 1 on.
fn finalized(base_path: &Path) -> Vec<Vec<Hash>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let environment = Environment::system().expect("clock and threads");
        let mut chains = Vec::new();
        for validator in 0..VALIDATORS {
            let folder = base_path.join(format!("validator-{validator}"));
            let store = Store::open(&folder, environment.compute.clone()).expect("nobody else has it open");
            let files = FileStore::open(store.disk.clone(), "blocks", environment.compute.clone()).expect("files");
            chains.push(chain(&Storage::new(Arc::new(files))).await);
        }
        chains
    })
}

async fn chain(storage: &Storage) -> Vec<Hash> {
    let proof = storage.finalized().await.expect("a readable disk").expect("something is final");
    let (mut hash, last) = proof.target();
    let mut hashes = Vec::new();
    for number in (1..=last).rev() {
        let block = storage.block(StoredBlock { number, hash }).await.expect("a readable disk").expect("it is final");
        hashes.push(hash);
        hash = block.header.parent_hash;
    }
    assert_eq!(Some(hash), storage.genesis().await.expect("a readable disk"));
    hashes.reverse();
    hashes
}

#[test]
fn a_network_that_is_killed_ten_times_loses_nothing_that_was_final_and_agrees() {
    let base = tempfile::tempdir().expect("a directory");
    let moments = Simulation::new(KILLS_SEED).environment("moments").entropy;
    let mut before: Vec<Vec<Hash>> = vec![Vec::new(); VALIDATORS];
    for kill in 0..KILLS {
        let lines = usize::try_from(below(&*moments, 20)).expect("it is small");
        run_and_kill(base.path(), 1 + below(&*moments, 3), lines);
        let after = finalized(base.path());
        for (before, after) in before.iter().zip(&after) {
            assert!(after.starts_with(before), "kill {kill}: finalized blocks are gone: {before:?}, {after:?}");
        }
        let lowest = after.iter().map(Vec::len).min().unwrap_or_default();
        assert!(after.iter().all(|chain| chain[..lowest] == after[0][..lowest]), "kill {kill}: {after:?}");
        before = after;
    }
    let heights: Vec<usize> = before.iter().map(Vec::len).collect();
    assert!(heights.iter().all(|height| *height >= KILLS), "each run went on: {heights:?}");
}
