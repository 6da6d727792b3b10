//! What only the wasm build has: the entry point's plumbing, an allocator, the panic handler.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;

const PAGE: usize = 64 * 1024;
/// Pages asked for at least when the allocator runs dry, so that small allocations do not grow memory one by one.
const GROW_PAGES_MIN: usize = 16;

/// Hands out memory that it grew itself and never takes any back: a call validates one block and ends.
/// It keeps away from `__heap_base`, because that is where the host puts the parameters.
struct BumpAllocator {
    next: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: this wasm has one thread (the threads feature is off in every host that runs it).
unsafe impl Sync for BumpAllocator {}

// SAFETY: every block lies within pages that this allocator obtained from `memory.grow`, is aligned as
// asked, and is never handed out twice because `next` only rises.
unsafe impl GlobalAlloc for BumpAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let align_mask = layout.align() - 1;
        let place = |from: usize| {
            let start = from.checked_add(align_mask)? & !align_mask;
            Some((start, start.checked_add(layout.size())?))
        };
        if let Some((start, end)) = place(self.next.get())
            && end <= self.end.get()
        {
            self.next.set(end);
            return start as *mut u8;
        }
        let pages = (layout.size() + align_mask).div_ceil(PAGE).max(GROW_PAGES_MIN);
        let grown = core::arch::wasm32::memory_grow(0, pages);
        if grown == usize::MAX {
            return core::ptr::null_mut();
        }
        let from = grown * PAGE;
        // When nobody else grew memory in between, the new pages follow the old ones.
        let from = if from == self.end.get() { self.next.get() } else { from };
        self.end.set((grown + pages) * PAGE);
        match place(from) {
            Some((start, end)) => {
                self.next.set(end);
                start as *mut u8
            }
            None => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: BumpAllocator = BumpAllocator {
    next: Cell::new(0),
    end: Cell::new(0),
};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Runs `validate` over the parameters that the host put at `ptr`, and packs where its result lies as
/// the ABI wants it: pointer in the low half, length in the high half. No result means a trap.
///
/// # Safety
/// `ptr` and `len` name bytes within the memory, as the host passed them to `validate_block`.
pub(crate) unsafe fn run(ptr: *const u8, len: usize, validate: fn(&[u8]) -> Option<Vec<u8>>) -> u64 {
    // SAFETY: the caller's promise.
    let params = unsafe { core::slice::from_raw_parts(ptr, len) };
    match validate(params) {
        Some(result) => {
            let result = result.leak();
            (result.as_ptr() as usize as u64) | ((result.len() as u64) << 32)
        }
        None => core::arch::wasm32::unreachable(),
    }
}
