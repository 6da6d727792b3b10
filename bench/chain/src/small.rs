//! What is cheap: bitfields, empty blocks, session changes, forks.

use std::{
    collections::VecDeque,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use codec::Encode as _;
use deterministic::Environment;
use primitives::{InherentData, SignedMessage};
use relay_chain::BatchVerifier;
use runtime::{DirectVerifier, execute_block};

use crate::{
    allocation,
    doors::AtOnce,
    ground::{Ground, Signing},
    import::{CORES, Measured, VALIDATORS, environment, import, importer, median},
    rows::Row,
};

/// Of a block's import its bitfields may take so much, in percent.
const BITFIELDS_MAX_PERCENT: f64 = 1.0;
/// So much more than its share of validators times words of cores the largest case may take.
const LINEARITY_MAX: f64 = 1.25;
/// An empty block may cost so many verifications beyond its own signatures.
const EMPTY_BLOCK_MAX_VERIFICATIONS: f64 = 4.0;
/// A fork of a state may cost so many verifications.
const FORK_MAX_VERIFICATIONS: f64 = 1.0;
/// And so much memory.
const FORK_MAX_KIB: f64 = 64.0;
/// Validators and cores of the smallest and the largest case; both fill their words.
const LINEAR: [(usize, u32); 2] = [(512, 64), (1_024, 192)];
/// Forks that are held at once while their memory is counted.
const FORKS: usize = 64;
/// What is repeated so often is told apart from the clock's grain.
const REPEATED: u32 = 20;

/// Seconds per call.
fn timed(mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..REPEATED {
        work();
    }
    (began.elapsed() / REPEATED).as_secs_f64()
}

/// One verification of one signature, in seconds; key and signature come as bytes.
fn verification(signed: &SignedMessage) -> f64 {
    timed(|| assert!(black_box(signed).verify(), "the signature holds"))
}

/// The state below the full block: all candidates are pending, and some signature.
fn bitfields(ground: &Ground) -> impl FnMut() -> f64 + use<> {
    let bitfields = ground.bitfields(Signing::Filled, &mut Vec::new());
    let state = ground.state.clone();
    move || {
        timed(|| {
            let freed = state.cores_freed_by(black_box(&bitfields)).expect("the bitfields are well-formed");
            assert_eq!(freed.len(), state.groups().len(), "everything becomes available");
        })
    }
}

/// All cores are occupied, by candidates that nobody has signed.
fn occupied(validators: usize, cores: u32) -> Ground {
    let mut ground = Ground::new(validators, cores, 600);
    let (block, executed) = ground.block(ground.backing(Signing::Filled, &mut Vec::new()), 1);
    ground.advance(&block, executed);
    ground
}

/// Measures in so many rounds.
pub(crate) async fn measure(rounds: usize, full: &Measured) -> Vec<Row> {
    let mut signed = Vec::new();
    full.parent.bitfields(Signing::Real, &mut signed);
    let unit = || verification(&signed[0]);
    let mut rows = Vec::new();
    let mut of_block = bitfields(&full.parent);
    let share = median((0..rounds).map(|_| of_block()));
    rows.push(Row::marked("bitfields", share / full.import_seconds * 100.0, "% of the import", BITFIELDS_MAX_PERCENT));
    rows.push(Row::plain("bitfields, time", share * 1e6, "µs"));
    rows.push(linearity(rounds));
    rows.extend(empty_block(rounds, unit).await);
    rows.push(session_change(rounds, unit));
    rows.extend(fork(rounds, unit).await);
    rows.push(Row::plain("verification, time", median((0..rounds).map(|_| unit())) * 1e6, "µs"));
    rows
}

/// Time per validator and word of cores, the largest case beside the smallest.
fn linearity(rounds: usize) -> Row {
    let [mut small, mut large] = LINEAR.map(|(validators, cores)| {
        let mut run = bitfields(&occupied(validators, cores));
        let blocks = (validators * cores.div_ceil(u64::BITS) as usize) as f64;
        move || run() / blocks
    });
    let value = median((0..rounds).map(|_| 1.0 / small() * large()));
    Row::marked("bitfields, growth", value, "of validators × words", LINEARITY_MAX)
}

/// The import of empty blocks by the chain on one thread, less the two proofs of its author.
async fn empty_block(rounds: usize, unit: impl Fn() -> f64) -> Vec<Row> {
    let mut ground = Ground::new(VALIDATORS, CORES, 600);
    let at_once = Environment { compute: Arc::new(AtOnce), ..environment() };
    let chain = importer(&ground, Arc::new(BatchVerifier::on_all_cores()), at_once).await;
    let mut beyond = Vec::new();
    let mut times = Vec::new();
    for _ in 0..rounds {
        let mut time = Duration::ZERO;
        let mut own = Duration::ZERO;
        for _ in 0..REPEATED {
            let inherent = InherentData::empty(ground.header.clone());
            let (block, executed) = ground.block(inherent, ground.state.slot() + 1);
            time += import(&chain, &block.encode()).await;
            own += ground.verify_author(&block);
            ground.advance(&block, executed);
        }
        times.push(time.as_secs_f64() / f64::from(REPEATED));
        beyond.push(time.saturating_sub(own).as_secs_f64() / f64::from(REPEATED) / unit());
    }
    chain.stop();
    vec![
        Row::marked("empty block", median(beyond), "verifications", EMPTY_BLOCK_MAX_VERIFICATIONS),
        Row::plain("empty block, time with own", median(times) * 1e6, "µs"),
    ]
}

/// The execution of a session's last block, beside that of the block before.
fn session_change(rounds: usize, unit: impl Fn() -> f64) -> Row {
    let mut ground = Ground::new(VALIDATORS, CORES, 3);
    ground.skip();
    let (block, executed) = ground.block(InherentData::empty(ground.header.clone()), ground.state.slot() + 1);
    assert!(executed.new_session.is_some(), "the session ends here");
    let run = || {
        timed(|| {
            execute_block(&ground.state, black_box(&block), &DirectVerifier).expect("the block is good");
        })
    };
    Row::plain("session change", median((0..rounds).map(|_| run() / unit())), "verifications")
}

/// A fork: a copy of a state; and what a state holds for itself that an empty block has made of it.
async fn fork(rounds: usize, unit: impl Fn() -> f64) -> Vec<Row> {
    let mut ground = Ground::new(VALIDATORS, CORES, 600);
    for _ in 0..3 {
        ground.skip();
    }
    let time = median((0..rounds).map(|_| timed(|| drop(black_box(black_box(&ground.state).clone()))) / unit()));
    let mut held = VecDeque::with_capacity(FORKS);
    let bytes = allocation::held_by(async {
        for fork in 0..FORKS {
            let inherent = InherentData::empty(ground.header.clone());
            held.push_back(ground.block(inherent, ground.state.slot() + 1 + fork as u64).1.state);
        }
    });
    let bytes = bytes.await;
    let bytes = bytes as f64 / FORKS as f64;
    vec![
        Row::marked("fork of a state", time, "verifications", FORK_MAX_VERIFICATIONS),
        Row::marked("fork of a state, memory", bytes / 1024.0, "KiB", FORK_MAX_KIB),
    ]
}
