//! The parachain validation ABI, as far as the test parachains need it: SCALE of the parameters and of
//! the result. Written out by hand so that the validation functions depend on no crate at all, which
//! keeps the committed wasm small and its build reproducible.

use alloc::vec::Vec;

/// What a validation function is called with (SCALE `ValidationParams`), borrowed from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidationParams<'a> {
    /// Head data of the parent block.
    pub parent_head: &'a [u8],
    /// The block to check.
    pub block_data: &'a [u8],
    /// Number of the relay-chain block that the candidate is built on.
    pub relay_parent_number: u32,
    /// State root of that relay-chain block.
    pub relay_parent_storage_root: [u8; 32],
}

impl<'a> ValidationParams<'a> {
    /// Reads the parameters; `None` when the bytes are no `ValidationParams`. Bytes after them are left alone.
    pub fn decode(input: &'a [u8]) -> Option<Self> {
        let mut input = Input(input);
        Some(Self {
            parent_head: input.bytes()?,
            block_data: input.bytes()?,
            relay_parent_number: u32::from_le_bytes(input.array()?),
            relay_parent_storage_root: input.array()?,
        })
    }
}

/// SCALE `ValidationResult` of a block that sends no messages and has no new code: its head data, how many downward
/// messages it has processed, and the HRMP watermark at the relay parent.
pub fn encode_result(head_data: &[u8], processed_downward: u32, relay_parent_number: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(head_data.len() + 16);
    encode_compact_len(head_data.len(), &mut out);
    out.extend_from_slice(head_data);
    out.push(0); // no new validation code
    out.push(0); // no upward messages
    out.push(0); // no horizontal messages
    out.extend_from_slice(&processed_downward.to_le_bytes());
    out.extend_from_slice(&relay_parent_number.to_le_bytes());
    out
}

/// Appends SCALE's compact encoding of a length.
///
/// # Panics
/// Never below 2^30 bytes, the most that SCALE's four-byte mode holds; a longer one is cut to it, and no
/// 32-bit wasm memory that lives through the copy reaches it.
pub fn encode_compact_len(len: usize, out: &mut Vec<u8>) {
    let len = len.min((1 << 30) - 1) as u32;
    match len {
        0..=0x3f => out.push((len as u8) << 2),
        0x40..=0x3fff => out.extend_from_slice(&(((len as u16) << 2) | 1).to_le_bytes()),
        _ => out.extend_from_slice(&((len << 2) | 2).to_le_bytes()),
    }
}

/// A reader over SCALE bytes that never panics.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The next eight bytes as a little-endian number.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A byte vector: compact length, then the bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.compact_len()?;
        self.take(len)
    }

    /// A compact length; only the shortest form of a number is accepted, and none above `u32::MAX`.
    fn compact_len(&mut self) -> Option<usize> {
        let first = *self.0.first()?;
        let value = match first & 3 {
            0 => u32::from(self.array::<1>()?[0] >> 2),
            1 => u32::from(u16::from_le_bytes(self.array()?) >> 2),
            2 => u32::from_le_bytes(self.array()?) >> 2,
            _ if first == 3 => {
                self.take(1)?;
                u32::from_le_bytes(self.array()?)
            }
            _ => return None,
        };
        let shortest = match first & 3 {
            0 => true,
            1 => value > 0x3f,
            2 => value > 0x3fff,
            _ => value > 0x3fff_ffff,
        };
        shortest.then_some(value as usize)
    }
}
