//! What forks cost in memory, in bytes of the heap that are in use.

use crate::support::*;
use primitives::{CoreIndex, HeadData, ParaId};
use runtime::{Block, Extrinsic, GenesisPara, State, build_block};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator, which counts for each thread what it has in use: tests run side by side.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static IN_USE: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    // A thread that ends allocates after its counter is gone.
    let _uncounted = IN_USE.try_with(|in_use| in_use.set(in_use.get() + bytes));
}

#[allow(unsafe_code, reason = "an allocator is an unsafe trait; every call goes to the system's unchanged")]
// SAFETY: all calls are forwarded to `System` with the arguments they came with; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

const PARAS: u32 = 100;
/// Cores of the first paras, which make blocks.
const CORES_USED: u32 = 7;
const FORKS: usize = 32;
const BLOCKS_PER_FORK: usize = 32;
/// What a block with its state may add to what its parent holds.
const BYTES_PER_BLOCK: i64 = 64 * 1024;

/// A hundred parachains with code and heads as large as a chain's own block may be.
fn many_paras() -> Chain {
    Chain::with(9, |genesis| {
        let para = |id| GenesisPara {
            id: ParaId(id),
            is_parachain: true,
            head_data: HeadData(vec![id as u8; 200]),
            validation_code: vec![id as u8; 4096].into(),
        };
        genesis.paras = (2000..2000 + PARAS).map(para).collect();
        genesis.configuration.parathread_cores = 0;
        // Of a hundred groups nine have a member: theirs are the first cores throughout.
        genesis.configuration.parachain_rotation_frequency = genesis.session_length - 1;
    })
}

/// A chain goes on for as long as a fork lives; what it made stays in use.
fn run_fork(mut chain: Chain, fork: usize) -> Vec<(Block, State)> {
    let mut held = Vec::new();
    for number in 0..BLOCKS_PER_FORK {
        // What one block backs, the next includes.
        let core = ((fork + number) / 2) as u32 % CORES_USED;
        let inherent = match (fork + number) % 2 {
            0 => chain.backing(&[(ParaId(2000 + core), CoreIndex(core))]),
            _ => chain.attesting(9, &[core]),
        };
        let extrinsics = vec![Extrinsic::Inclusion(inherent)];
        let (block, executed) = build_block(&chain.state, &chain.header, chain.digest(), extrinsics).unwrap();
        (chain.header, chain.state) = (block.header.clone(), executed.state);
        held.push((block, chain.state.clone()));
    }
    held
}

#[test]
fn a_thousand_blocks_of_forks_share_what_they_did_not_change() {
    let root = many_paras();
    root.state.root();
    let alone = i64::try_from(root.state.to_snapshot().len()).unwrap();
    let before = IN_USE.get();
    let forks: Vec<_> = (0..FORKS).map(|fork| run_fork(root.clone(), fork)).collect();
    let blocks = forks.iter().map(Vec::len).sum::<usize>() as i64;
    let per_block = (IN_USE.get() - before) / blocks;
    assert!(blocks >= 1_000);
    assert!(alone > 4 * BYTES_PER_BLOCK, "a copy of the state would not be seen: {alone} bytes");
    assert!(per_block <= BYTES_PER_BLOCK, "{per_block} bytes");
    drop(forks);
    let left = IN_USE.get() - before;
    assert!(left < BYTES_PER_BLOCK, "{left} bytes stay in use when all forks are gone");
}
