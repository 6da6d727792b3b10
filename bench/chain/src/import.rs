//! The import of a full block, beside a batch verification of the same signatures.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use codec::Encode as _;
use deterministic::{Environment, FileDisk};
use ports::BlobStore as _;
use primitives::{SignedMessage, crypto::SIGNING_CONTEXT, decode_limited};
use relay_chain::{BatchVerifier, RelayChain, RelayChainConfig, messages::MAX_BLOCK_BYTES, slots::PARTS_PER_MILLION};
use runtime::{Block, SignatureSet, Verifier, VrfDraw};
use store::{FileStore, MemoryIndex};

use crate::{
    doors::{Nobody, Void},
    ground::{FORKS_PER_MILLION, Ground, Signing},
    rows::Row,
    statistics::Summary,
};

/// Validators, cores and candidates of the block, as the mark says.
pub(crate) const VALIDATORS: usize = 1_000;
pub(crate) const CORES: u32 = 100;
/// So many times a batch verification the import of a block may take.
const IMPORT_MAX_RATIO: f64 = 1.15;
/// Threads of the batch verification that import is measured against.
const REFERENCE_THREADS: usize = 2;

/// A chain that imports and does nothing else, on the real clock and the given pools.
pub(crate) async fn importer(
    ground: &Ground,
    verifier: Arc<dyn Verifier + Send + Sync>,
    environment: Environment,
) -> Arc<RelayChain> {
    let config = RelayChainConfig {
        genesis: ground.genesis.clone(),
        slot_ms: 1,
        fork_probability: f64::from(FORKS_PER_MILLION) / f64::from(PARTS_PER_MILLION),
        author: false,
        verifier,
    };
    let started = RelayChain::start(config, environment, Arc::new(Nobody), Arc::new(Void), Arc::new(MemoryIndex::default()), None);
    started.await.expect("an empty disk holds no other chain")
}

/// The real clock, tasks and pools.
pub(crate) fn environment() -> Environment {
    Environment::system().expect("this runs on tokio, and the machine has threads to give")
}

/// The time from a block's bytes to its place in the tree.
pub(crate) async fn import(chain: &RelayChain, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    let block: Block = decode_limited(bytes, MAX_BLOCK_BYTES).expect("a block was encoded");
    chain.import(block).await.expect("the block is good");
    began.elapsed()
}

/// Forgets all keys after each block: the first block of a session, again and again.
struct Forgetful;

impl Verifier for Forgetful {
    fn verify(&self, set: &SignatureSet) -> Result<(), usize> {
        BatchVerifier::on_all_cores().verify(set)
    }

    fn verify_draws(&self, draws: &[VrfDraw]) -> Result<(), usize> {
        BatchVerifier::on_all_cores().verify_draws(draws)
    }
}

/// Believes every signature, so that the rest of an import can be seen.
struct Believing;

impl Verifier for Believing {
    fn verify(&self, _set: &SignatureSet) -> Result<(), usize> {
        Ok(())
    }

    fn verify_draws(&self, _draws: &[VrfDraw]) -> Result<(), usize> {
        Ok(())
    }
}

/// Schnorrkel's own batch verification on two threads: keys and signatures are decoded from bytes within the time.
fn reference(signed: &[SignedMessage]) -> Duration {
    let verify = |share: &[SignedMessage]| {
        let keys = share.iter().map(|message| schnorrkel::PublicKey::from_bytes(&message.public));
        let keys: Vec<_> = keys.collect::<Result<_, _>>().expect("they are keys");
        let signatures = share.iter().map(|message| schnorrkel::Signature::from_bytes(&message.signature.0));
        let signatures: Vec<_> = signatures.collect::<Result<_, _>>().expect("they are signatures");
        let context = schnorrkel::signing_context(SIGNING_CONTEXT);
        let transcripts = share.iter().map(|message| context.bytes(&message.message));
        schnorrkel::verify_batch(transcripts, &signatures, &keys, false).expect("the signatures hold");
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        for share in signed.chunks(signed.len().div_ceil(REFERENCE_THREADS)) {
            scope.spawn(move || verify(share));
        }
    });
    began.elapsed()
}

/// Times of all rounds, in seconds; a round is everybody once, one right after the other.
#[derive(Default)]
struct Rounds {
    reference: Vec<f64>,
    warm: Vec<f64>,
    cold: Vec<f64>,
    unsigned: Vec<f64>,
}

/// What is needed to go on from here: the parent of the full block, and what importing it took.
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    /// The state and header below the full block: all candidates are pending.
    pub(crate) parent: Ground,
    /// Median of the import, in seconds.
    pub(crate) import_seconds: f64,
}

/// Measures in so many rounds.
pub(crate) async fn measure(rounds: usize) -> Measured {
    let mut ground = Ground::new(VALIDATORS, CORES, 600);
    let warm = importer(&ground, Arc::new(BatchVerifier::on_all_cores()), environment()).await;
    let cold = importer(&ground, Arc::new(Forgetful), environment()).await;
    let unsigned = importer(&ground, Arc::new(Believing), environment()).await;
    let (block, executed) = ground.block(ground.backing(Signing::Real, &mut Vec::new()), 1);
    for chain in [&warm, &cold, &unsigned] {
        import(chain, &block.encode()).await;
    }
    ground.advance(&block, executed);
    let mut signed = Vec::new();
    let mut inherent = ground.backing(Signing::Real, &mut signed);
    inherent.bitfields = ground.bitfields(Signing::Real, &mut signed);
    let mut times = Rounds::default();
    let mut bytes = Vec::new();
    // The first round warms up. Each round has a block of its own slot.
    for round in 0..=rounds {
        let (block, _) = ground.block(inherent.clone(), 2 + round as u64);
        bytes = block.encode();
        let reference = reference(&signed).as_secs_f64();
        let mut imported = Vec::new();
        for chain in [&warm, &cold, &unsigned] {
            imported.push(import(chain, &bytes).await.as_secs_f64());
        }
        if round > 0 {
            times.reference.push(reference);
            times.warm.push(imported[0]);
            times.cold.push(imported[1]);
            times.unsigned.push(imported[2]);
        }
    }
    warm.stop();
    cold.stop();
    unsigned.stop();
    let disk = disk(&bytes, rounds).await;
    let import_seconds = median(times.warm.iter().copied());
    let rows = vec![
        Row::marked("block import", ratio(&times.warm, &times.reference), "of the batch", IMPORT_MAX_RATIO),
        Row::plain("block import, keys unknown", ratio(&times.cold, &times.reference), "of the batch"),
        Row::plain("block import, all but signatures", ratio(&times.unsigned, &times.reference), "of the batch"),
        Row::plain("block import, time", import_seconds * 1e3, "ms"),
        Row::plain("batch verification, time", median(times.reference.iter().copied()) * 1e3, "ms"),
        Row::plain("block, encoded", bytes.len() as f64 / 1024.0, "KiB"),
        Row::plain("block, written and synced", disk * 1e3, "ms"),
    ];
    Measured { rows, parent: ground, import_seconds }
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Summary::of(values).map_or(f64::NAN, |summary| summary.median)
}

/// The median of the ratios of each round.
fn ratio(times: &[f64], reference: &[f64]) -> f64 {
    median(times.iter().zip(reference).map(|(time, reference)| time / reference))
}

/// What the disk takes of an import, in seconds.
async fn disk(bytes: &[u8], rounds: usize) -> f64 {
    let directory = tempfile::tempdir().expect("there is a place for temporary files");
    let disk = FileDisk::open(directory.path(), "benchmark").expect("the directory is empty");
    let compute = environment().compute;
    let store = FileStore::open(Arc::new(disk), "blocks", compute).expect("the directory can be written");
    let bytes = Bytes::copy_from_slice(bytes);
    let mut times = Vec::new();
    for round in 0..rounds {
        let began = Instant::now();
        store.put(&format!("block-{round}"), bytes.clone()).await.expect("the disk takes it");
        times.push(began.elapsed().as_secs_f64());
    }
    median(times)
}
