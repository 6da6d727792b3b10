//! Bounded sequences and bounded decoding: what comes from a peer is refused before it costs memory.

use codec::{Compact, Decode, Encode, Error, Input, MemTrackingInput, Output};
use core::ops::Deref;

/// A vector that never holds more than `MAX` items, not even while it is decoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoundedVec<T, const MAX: usize>(Vec<T>);

/// A sequence was longer than its type allows; the sequence is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sequence of {found} items, at most {max} are allowed")]
pub struct TooLong {
    /// How many items there were.
    pub found: usize,
    /// How many there may be.
    pub max: usize,
}

impl<T, const MAX: usize> BoundedVec<T, MAX> {
    /// An empty sequence.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Gives the items away.
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for BoundedVec<T, MAX> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for BoundedVec<T, MAX> {
    type Error = TooLong;

    fn try_from(items: Vec<T>) -> Result<Self, TooLong> {
        if items.len() > MAX {
            return Err(TooLong { found: items.len(), max: MAX });
        }
        Ok(Self(items))
    }
}

impl<T, const MAX: usize> Deref for BoundedVec<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a BoundedVec<T, MAX> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T, const MAX: usize> IntoIterator for BoundedVec<T, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: Encode, const MAX: usize> Encode for BoundedVec<T, MAX> {
    fn size_hint(&self) -> usize {
        self.0.size_hint()
    }

    fn encode_to<O: Output + ?Sized>(&self, dest: &mut O) {
        self.0.encode_to(dest);
    }
}

impl<T: Decode, const MAX: usize> Decode for BoundedVec<T, MAX> {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let len = Compact::<u32>::decode(input)?.0 as usize;
        if len > MAX {
            return Err("sequence is longer than its type allows".into());
        }
        codec::decode_vec_with_len(input, len).map(Self)
    }
}

/// An input that gives out so many bytes and no more.
pub(crate) struct AtMost<'a, I> {
    pub(crate) input: &'a mut I,
    pub(crate) left: usize,
}

impl<I: Input> Input for AtMost<'_, I> {
    fn remaining_len(&mut self) -> Result<Option<usize>, Error> {
        self.input.remaining_len()
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), Error> {
        self.left = self.left.checked_sub(into.len()).ok_or("value is longer than its type allows")?;
        self.input.read(into)
    }

    fn on_before_alloc_mem(&mut self, size: usize) -> Result<(), Error> {
        self.input.on_before_alloc_mem(size)
    }
}

/// Why foreign bytes were not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There were more bytes than such a value may have; nothing was decoded.
    #[error("{found} bytes, at most {max} are allowed")]
    TooLarge {
        /// Size of the input, in bytes.
        found: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The bytes are no such value, or something follows it.
    #[error("malformed bytes: {0}")]
    Malformed(Error),
}

/// How many times the bytes that a value may have on the wire it may have in memory. Lists of long things have twice as
/// many; an empty message is one byte on the wire and 24 in memory, and 20 MiB of those would be half a gigabyte.
pub const MEMORY_PER_WIRE_BYTE: usize = 4;

/// Decodes a value that must fill `bytes` completely and must not be larger than `max_len` bytes, nor take more than
/// [`MEMORY_PER_WIRE_BYTE`] times `max_len` bytes of memory.
///
/// # Errors
/// [`DecodeError`] for oversize input, for malformed input, for trailing bytes, and, before it is allocated, for what
/// takes too much memory.
pub fn decode_limited<T: Decode>(bytes: &[u8], max_len: usize) -> Result<T, DecodeError> {
    if bytes.len() > max_len {
        return Err(DecodeError::TooLarge { found: bytes.len(), max: max_len });
    }
    let mut left = bytes;
    let mut input = MemTrackingInput::new(&mut left, max_len.saturating_mul(MEMORY_PER_WIRE_BYTE));
    let value = T::decode(&mut input).map_err(DecodeError::Malformed)?;
    if !left.is_empty() {
        return Err(DecodeError::Malformed("something follows the value".into()));
    }
    Ok(value)
}
