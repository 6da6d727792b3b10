//! Bytes of the heap in use, counted while somebody asks.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// The system's allocator. Counts only while [`held_by`] runs: a counter shared by all threads would be paid for by
/// those who allocate per message.
pub(crate) struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicI64 = AtomicI64::new(0);

fn count(bytes: i64) {
    if COUNTS.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[allow(unsafe_code, reason = "an allocator is an unsafe trait; every call goes to the system's unchanged")]
// SAFETY: all calls are forwarded to `System` with the arguments they came with; counting touches no memory.
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

/// Time for the threads of what ran before to end and free what they hold.
const QUIET: Duration = Duration::from_millis(50);

/// Bytes allocated, less bytes freed, while `setup` ran.
pub(crate) async fn held_by(setup: impl Future<Output = ()>) -> u64 {
    tokio::time::sleep(QUIET).await;
    BYTES.store(0, Ordering::Relaxed);
    COUNTS.store(true, Ordering::Relaxed);
    setup.await;
    COUNTS.store(false, Ordering::Relaxed);
    u64::try_from(BYTES.load(Ordering::Relaxed)).unwrap_or(0)
}
