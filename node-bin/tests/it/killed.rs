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

/// A network that ends when so many candidates are included.
fn network(base_path: &Path, until_included: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parahost"));
    command
        .args(["dev", "--validators", "4", "--parachains", "1", "--until-included", until_included, "--slot-ms", "400"])
        .args(["--session-blocks", "10", "--fork-probability", "0.3", "--pov-size", "1KiB", "--network", "memory"])
        .args(["--json", "--base-path"])
        .arg(base_path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Starts a network, lets it finalize so many blocks more, then so many lines of output pass, and kills it. With
/// neither it is killed as it starts.
fn run_and_kill(base_path: &Path, finalized: u64, lines: usize) {
    let mut child = network(base_path, "100000").spawn().expect("the binary starts");
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

/// That each disk has what it had, and that all agree. Returns what they have.
fn check(base_path: &Path, before: &[Vec<Hash>]) -> Vec<Vec<Hash>> {
    let after = finalized(base_path);
    for (before, after) in before.iter().zip(&after) {
        assert!(after.starts_with(before), "finalized blocks are gone: {before:?}, {after:?}");
    }
    let lowest = after.iter().map(Vec::len).min().unwrap_or_default();
    assert!(after.iter().all(|chain| chain[..lowest] == after[0][..lowest]), "they do not agree: {after:?}");
    after
}

#[test]
fn a_network_that_is_killed_ten_times_loses_nothing_that_was_final_and_agrees() {
    let base = tempfile::tempdir().expect("a directory");
    let moments = Simulation::new(KILLS_SEED).environment("moments").entropy;
    run_and_kill(base.path(), 2, 0);
    let mut before = check(base.path(), &vec![Vec::new(); VALIDATORS]);
    let mut seen = 2;
    for _ in 1..KILLS {
        let blocks = below(&*moments, 4);
        let lines = usize::try_from(below(&*moments, 12)).expect("it is small");
        run_and_kill(base.path(), blocks, if blocks == 0 { 0 } else { lines });
        before = check(base.path(), &before);
        seen += blocks;
    }
    let status = network(base.path(), "1").status().expect("the binary starts");
    assert_eq!(status.code(), Some(0), "it goes on after the last kill and ends by itself");
    let after = check(base.path(), &before);
    assert!(after.iter().all(|chain| chain.len() as u64 >= seen), "each run went on: {seen}, {after:?}");
}
