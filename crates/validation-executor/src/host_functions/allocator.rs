//! The allocator that parachain code imports: blocks of eight bytes times a power of two, bumped from the heap's
//! start and kept in one free list per size. The header before each block lies in the code's own memory, so it
//! may say anything: each is checked before it is believed.

use crate::limits::{MAX_ALLOCATION_BYTES, MAX_MEMORY_PAGES};

const HEADER_BYTES: u32 = 8;
const MIN_BLOCK_BYTES: u32 = 8;
/// Sizes from [`MIN_BLOCK_BYTES`] to [`MAX_ALLOCATION_BYTES`].
const ORDERS: usize = (MAX_ALLOCATION_BYTES / MIN_BLOCK_BYTES).ilog2() as usize + 1;
/// Set in the header of a block that is in use; the lower half then names its order, else the next free block.
const OCCUPIED: u64 = 1 << 32;
/// End of a free list.
const NONE: u32 = u32::MAX;
const PAGE_BYTES: u64 = 64 * 1024;

/// The memory that blocks are in.
pub(crate) trait Memory {
    /// All of it.
    fn bytes(&mut self) -> &mut [u8];
    /// Adds pages; false when there can be no more.
    fn grow(&mut self, pages: u64) -> bool;
}

/// State of the allocator; see the module's text.
#[derive(Debug)]
pub(crate) struct Allocator {
    bump: u32,
    free: [u32; ORDERS],
    poisoned: bool,
}

impl Allocator {
    /// An allocator whose blocks begin at `heap_base`.
    pub(crate) fn new(heap_base: u32) -> Self {
        Self { bump: heap_base.saturating_add(7) & !7, free: [NONE; ORDERS], poisoned: false }
    }

    /// A block of at least `size` bytes, aligned to eight.
    pub(crate) fn allocate(&mut self, memory: &mut impl Memory, size: u32) -> Result<u32, &'static str> {
        self.guarded(|allocator| allocator.try_allocate(memory, size))
    }

    /// Takes back the block at `pointer`.
    pub(crate) fn free(&mut self, memory: &mut impl Memory, pointer: u32) -> Result<(), &'static str> {
        self.guarded(|allocator| allocator.try_free(memory, pointer))
    }

    /// After an error nothing can be believed any more, so that code cannot go on as if it had not happened.
    fn guarded<T>(&mut self, operation: impl FnOnce(&mut Self) -> Result<T, &'static str>) -> Result<T, &'static str> {
        if self.poisoned {
            return Err("the allocator failed before");
        }
        let result = operation(self);
        self.poisoned = result.is_err();
        result
    }

    fn try_allocate(&mut self, memory: &mut impl Memory, size: u32) -> Result<u32, &'static str> {
        if size > MAX_ALLOCATION_BYTES {
            return Err("an allocation is larger than allowed");
        }
        let block_bytes = size.max(MIN_BLOCK_BYTES).next_power_of_two();
        let order = (block_bytes / MIN_BLOCK_BYTES).ilog2();
        let list = &mut self.free[order as usize];
        let header = if *list == NONE {
            let header = self.bump;
            let end = u64::from(header) + u64::from(HEADER_BYTES) + u64::from(block_bytes);
            make_room(memory, end)?;
            self.bump = u32::try_from(end).map_err(|_| "the heap is full")?;
            header
        } else {
            let header = *list;
            let word = read_header(memory, header)?;
            if word & OCCUPIED != 0 {
                return Err("a free block was overwritten");
            }
            *list = word as u32;
            header
        };
        write_header(memory, header, OCCUPIED | u64::from(order))?;
        Ok(header + HEADER_BYTES)
    }

    fn try_free(&mut self, memory: &mut impl Memory, pointer: u32) -> Result<(), &'static str> {
        let header = pointer.checked_sub(HEADER_BYTES).ok_or("a pointer was freed that is none")?;
        let word = read_header(memory, header)?;
        if word & OCCUPIED == 0 {
            return Err("a block was freed that is not in use");
        }
        let list = self.free.get_mut(word as u32 as usize).ok_or("a block was freed that was overwritten")?;
        let next = std::mem::replace(list, header);
        write_header(memory, header, u64::from(next))
    }
}

fn make_room(memory: &mut impl Memory, end: u64) -> Result<(), &'static str> {
    let present = memory.bytes().len() as u64;
    if end <= present {
        return Ok(());
    }
    let pages = present / PAGE_BYTES;
    let needed = end.div_ceil(PAGE_BYTES);
    if needed > MAX_MEMORY_PAGES {
        return Err("the heap is full");
    }
    // Doubling keeps the number of times small; when that is too much, what is needed must do.
    let generous = (pages * 2).clamp(needed, MAX_MEMORY_PAGES);
    if memory.grow(generous - pages) || memory.grow(needed - pages) { Ok(()) } else { Err("the heap is full") }
}

fn header_bytes(memory: &mut impl Memory, header: u32) -> Result<&mut [u8; 8], &'static str> {
    let start = header as usize;
    memory
        .bytes()
        .get_mut(start..start.saturating_add(HEADER_BYTES as usize))
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or("a block lies outside of the memory")
}

fn read_header(memory: &mut impl Memory, header: u32) -> Result<u64, &'static str> {
    header_bytes(memory, header).map(|bytes| u64::from_le_bytes(*bytes))
}

fn write_header(memory: &mut impl Memory, header: u32, word: u64) -> Result<(), &'static str> {
    *header_bytes(memory, header)? = word.to_le_bytes();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pages(Vec<u8>, u64);

    impl Memory for Pages {
        fn bytes(&mut self) -> &mut [u8] {
            &mut self.0
        }

        fn grow(&mut self, pages: u64) -> bool {
            let wanted = self.0.len() as u64 / PAGE_BYTES + pages;
            let fits = wanted <= self.1;
            if fits {
                self.0.resize((wanted * PAGE_BYTES) as usize, 0);
            }
            fits
        }
    }

    #[test]
    fn blocks_follow_each_other_and_are_used_again() {
        let mut memory = Pages(vec![0; PAGE_BYTES as usize], 4);
        let mut allocator = Allocator::new(13);
        let first = allocator.allocate(&mut memory, 1).unwrap();
        let second = allocator.allocate(&mut memory, 9).unwrap();
        assert_eq!((first, second), (24, 40), "aligned start, header, then a block of 8 and its header");
        let third = allocator.allocate(&mut memory, 8).unwrap();
        allocator.free(&mut memory, first).unwrap();
        allocator.free(&mut memory, third).unwrap();
        assert_eq!(allocator.allocate(&mut memory, 3), Ok(third), "last freed, first used");
        assert_eq!(allocator.allocate(&mut memory, 8), Ok(first));
    }

    #[test]
    fn memory_grows_up_to_its_limit() {
        let mut memory = Pages(vec![0; PAGE_BYTES as usize], 3);
        let mut allocator = Allocator::new(0);
        allocator.allocate(&mut memory, 64 * 1024).unwrap();
        assert_eq!(memory.0.len() as u64, 2 * PAGE_BYTES);
        allocator.allocate(&mut memory, 32 * 1024).unwrap();
        assert!(allocator.allocate(&mut memory, 128 * 1024).is_err());
        assert!(allocator.allocate(&mut memory, 1).is_err(), "poisoned");
        let mut endless = Pages(vec![0; PAGE_BYTES as usize], u64::MAX);
        let mut allocator = Allocator::new(0);
        let blocks = (0..10).take_while(|_| allocator.allocate(&mut endless, MAX_ALLOCATION_BYTES).is_ok()).count();
        assert_eq!(blocks, 4, "{MAX_MEMORY_PAGES} pages hold four of the largest blocks");
    }

    #[test]
    fn lies_in_headers_are_found() {
        let fresh = || (Pages(vec![0; PAGE_BYTES as usize], 1), Allocator::new(0));
        let (mut memory, mut allocator) = fresh();
        let pointer = allocator.allocate(&mut memory, 8).unwrap();
        allocator.free(&mut memory, pointer).unwrap();
        assert!(allocator.free(&mut memory, pointer).is_err(), "freed twice");

        let (mut memory, mut allocator) = fresh();
        let pointer = allocator.allocate(&mut memory, 8).unwrap();
        memory.0[pointer as usize - 8] = 99;
        assert!(allocator.free(&mut memory, pointer).is_err(), "no such order");

        let (mut memory, mut allocator) = fresh();
        let pointer = allocator.allocate(&mut memory, 8).unwrap();
        allocator.free(&mut memory, pointer).unwrap();
        memory.0[pointer as usize - 8..pointer as usize].copy_from_slice(&0xffff_fff0u64.to_le_bytes());
        allocator.allocate(&mut memory, 8).unwrap();
        assert!(allocator.allocate(&mut memory, 8).is_err(), "the list leads out of the memory");

        for pointer in [0, 7, u32::MAX] {
            let (mut memory, mut allocator) = fresh();
            assert!(allocator.free(&mut memory, pointer).is_err());
        }
        let (mut memory, mut allocator) = fresh();
        assert!(allocator.allocate(&mut memory, MAX_ALLOCATION_BYTES + 1).is_err());
        assert!(Allocator::new(u32::MAX).allocate(&mut memory, 8).is_err());
    }
}
