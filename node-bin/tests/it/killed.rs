//! A network that is killed with SIGKILL, again and again: nothing that was final is lost.

use std::collections::BTreeMap;
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

/// How often the network goes on after the last kill at most, until all have more than was ever said to be final.
const RUNS_AFTER: usize = 5;

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

/// Blocks that a network has said to be final, by height.
type Said = BTreeMap<u32, Hash>;

/// What a line of output says to be final. The last line before a kill may be cut off.
fn said_in(line: &str) -> Option<(u32, Hash)> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let number = (event["event"] == "finalized").then(|| event["number"].as_u64())??;
    let hash = event["hash"].as_str().expect("a finalized block has a name").parse().expect("it is a hash");
    Some((u32::try_from(number).expect("it is small"), hash))
}

/// Adds what a network says; of one height it never says two things.
fn hear(said: &mut Said, (number, hash): (u32, Hash)) {
    assert_eq!(*said.entry(number).or_insert(hash), hash, "two final blocks of height {number}");
}

/// Starts a network, lets it finalize so many blocks more, then so many lines of output pass, and kills it. With
/// neither it is killed as it starts. All that it said until its death to be final counts.
fn run_and_kill(base_path: &Path, finalized: u64, lines: usize, said: &mut Said) {
    let mut child = network(base_path, "100000").spawn().expect("the binary starts");
    let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut output = output.lines().map(|line| line.expect("the network writes lines"));
    let finalities = output.by_ref().filter_map(|line| said_in(&line)).take(finalized as usize);
    let finalities = finalities.map(|block| hear(said, block)).count();
    // Where nothing moves the network ends by itself.
    assert_eq!(finalities as u64, finalized, "the network ended before");
    let passed = output.by_ref().take(lines).inspect(|line| said_in(line).into_iter().for_each(|it| hear(said, it)));
    assert_eq!(passed.count(), lines);
    child.kill().expect("it runs");
    // What the pipe still holds was said before.
    output.filter_map(|line| said_in(&line)).for_each(|block| hear(said, block));
    child.wait().expect("it was killed");
}

/// Goes on until a candidate is included, and ends by itself.
fn run(base_path: &Path, said: &mut Said) {
    let output = network(base_path, "1").output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(0), "it goes on after the last kill and ends by itself");
    let text = String::from_utf8(output.stdout).expect("it writes text");
    text.lines().filter_map(said_in).for_each(|block| hear(said, block));
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

/// That each disk has what it had, that all agree, and that what was said to be final is so: the first validator's chain is
/// the one that is told about. Returns what they have.
fn check(base_path: &Path, before: &[Vec<Hash>], said: &Said) -> Vec<Vec<Hash>> {
    let after = finalized(base_path);
    for (before, after) in before.iter().zip(&after) {
        assert!(after.starts_with(before), "finalized blocks are gone: {before:?}, {after:?}");
    }
    let longest = after.iter().max_by_key(|chain| chain.len()).expect("there are validators");
    assert!(after.iter().all(|chain| longest.starts_with(chain)), "they do not agree: {after:?}");
    for (number, hash) in said {
        let found = after[0].get(*number as usize - 1);
        assert_eq!(found, Some(hash), "block {number} was said to be final: {said:?}, {after:?}");
    }
    after
}

#[test]
fn a_network_that_is_killed_ten_times_loses_nothing_that_was_final_and_agrees() {
    let base = tempfile::tempdir().expect("a directory");
    let moments = Simulation::new(KILLS_SEED).environment("moments").entropy;
    let mut said = Said::new();
    run_and_kill(base.path(), 2, 0, &mut said);
    let mut before = check(base.path(), &vec![Vec::new(); VALIDATORS], &said);
    for _ in 1..KILLS {
        let blocks = below(&*moments, 4);
        let lines = usize::try_from(below(&*moments, 12)).expect("it is small");
        run_and_kill(base.path(), blocks, if blocks == 0 { 0 } else { lines }, &mut said);
        before = check(base.path(), &before, &said);
    }
    let highest = *said.keys().next_back().expect("something was final");
    for _ in 0..RUNS_AFTER {
        run(base.path(), &mut said);
        before = check(base.path(), &before, &said);
        if before.iter().all(|chain| chain.len() > highest as usize) {
            break;
        }
    }
    for chain in &before {
        assert!(chain.len() > highest as usize, "it did not get beyond block {highest}: {before:?}");
        let kept = said.range(..=highest).all(|(number, hash)| chain[*number as usize - 1] == *hash);
        assert!(kept, "{said:?}, {chain:?}");
    }
}
