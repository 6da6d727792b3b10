//! Bits by validator and core, 64 by 64 at a time (RT-10): a thousand validators and a hundred cores are 32 blocks.

use bitvec::{domain::Domain, field::BitField};
use primitives::{BitSlice, limits::MAX_CORES};

/// Bits of a word.
pub(crate) const WORD_BITS: usize = u64::BITS as usize;
const WORD_BYTES: usize = size_of::<u64>();

/// A bit per core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CoreMask([u64; MAX_CORES / WORD_BITS]);

impl CoreMask {
    /// The first [`MAX_CORES`] of some bits.
    pub(crate) fn of(bits: &BitSlice) -> Self {
        let mut mask = Self::default();
        match bits.domain() {
            // Bits that begin with a byte, as all do that were decoded.
            Domain::Region { head: None, body, tail } => {
                for (word, new) in mask.0.iter_mut().zip(words(body)) {
                    *word = new;
                }
                let last = tail.map_or(0, |tail| u64::from(tail.load_value()));
                if let Some(word) = mask.0.get_mut(body.len() / WORD_BYTES) {
                    *word |= last.wrapping_shl((body.len() % WORD_BYTES).saturating_mul(8) as u32);
                }
            }
            _ => {
                for (word, bits) in mask.0.iter_mut().zip(bits.chunks(WORD_BITS)) {
                    *word = bits.load_le();
                }
            }
        }
        mask
    }

    pub(crate) fn set(&mut self, core: usize) {
        if let Some(word) = self.0.get_mut(core / WORD_BITS) {
            *word |= 1_u64.wrapping_shl((core % WORD_BITS) as u32);
        }
    }

    /// Whether every bit is one of `other`.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own & !other == 0)
    }
}

/// What 64 validators say about all cores: first a row per validator, then, transposed, a row per core.
#[derive(Clone, Debug)]
pub(crate) struct Rows([[u64; WORD_BITS]; MAX_CORES / WORD_BITS]);

impl Rows {
    /// Nobody says anything.
    pub(crate) const EMPTY: Self = Self([[0; WORD_BITS]; MAX_CORES / WORD_BITS]);

    /// What one of the validators, counted from the first of the 64, says.
    pub(crate) fn set(&mut self, validator: usize, cores: &CoreMask) {
        for (block, word) in self.0.iter_mut().zip(cores.0) {
            if let Some(row) = block.get_mut(validator) {
                *row = word;
            }
        }
    }

    /// Makes it a row per core, of the first `cores`.
    pub(crate) fn transpose(&mut self, cores: usize) {
        for block in self.0.iter_mut().take(cores.div_ceil(WORD_BITS)) {
            swap::<32>(block, 0x0000_0000_ffff_ffff);
            swap::<16>(block, 0x0000_ffff_0000_ffff);
            swap::<8>(block, 0x00ff_00ff_00ff_00ff);
            swap::<4>(block, 0x0f0f_0f0f_0f0f_0f0f);
            swap::<2>(block, 0x3333_3333_3333_3333);
            swap::<1>(block, 0x5555_5555_5555_5555);
        }
    }

    /// Who of the 64 says so about a core, once it is transposed.
    pub(crate) fn of_core(&self, core: usize) -> u64 {
        self.0.get(core / WORD_BITS).and_then(|block| block.get(core % WORD_BITS)).copied().unwrap_or(0)
    }
}

/// Swaps the upper right with the lower left quarter of every square of twice `WIDTH` rows and columns; `mask` has the
/// columns of the left halves.
fn swap<const WIDTH: usize>(block: &mut [u64; WORD_BITS], mask: u64) {
    let width = WIDTH as u32;
    for square in block.chunks_exact_mut(WIDTH << 1) {
        let (upper, lower) = square.split_at_mut(WIDTH);
        for (upper, lower) in upper.iter_mut().zip(lower) {
            let differing = (upper.wrapping_shr(width) ^ *lower) & mask;
            *upper ^= differing.wrapping_shl(width);
            *lower ^= differing;
        }
    }
}

/// Bytes as words, the last one filled up with zeros.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks(WORD_BYTES).map(|chunk| match <[u8; WORD_BYTES]>::try_from(chunk) {
        Ok(whole) => u64::from_le_bytes(whole),
        Err(_) => {
            let bytes = chunk.iter().zip(0_u32..);
            bytes.fold(0, |word, (byte, at)| word | u64::from(*byte).wrapping_shl(at.wrapping_mul(8)))
        }
    })
}

/// How many bits there are in `bytes` or `new`, and whether `new` has one that `bytes` lack.
pub(crate) fn union(bytes: &[u8], new: impl Iterator<Item = u64>) -> (usize, bool) {
    let both = words(bytes).zip(new);
    both.fold((0, false), |(count, is_new), (old, new)| {
        (count.saturating_add((old | new).count_ones() as usize), is_new || new & !old != 0)
    })
}

/// Sets the bits of words, the first of them the first eight bytes; what is beyond `bytes` is dropped.
pub(crate) fn add(bytes: &mut [u8], words: impl Iterator<Item = u64>) {
    for (chunk, word) in bytes.chunks_mut(WORD_BYTES).zip(words) {
        for (byte, new) in chunk.iter_mut().zip(word.to_le_bytes()) {
            *byte |= new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Bits;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_become_columns(fields in prop::collection::vec(any::<[u64; 4]>(), 0..=WORD_BITS), cores in 1..=MAX_CORES) {
            let mut rows = Rows::EMPTY;
            for (validator, words) in fields.iter().enumerate() {
                rows.set(validator, &CoreMask(*words));
            }
            rows.transpose(cores);
            for core in 0..cores {
                let column = fields.iter().zip(0..).fold(0_u64, |column, (words, validator)| {
                    column | (words[core / 64] >> (core % 64) & 1) << validator
                });
                prop_assert_eq!(rows.of_core(core), column);
            }
        }

        #[test]
        fn masks_hold_the_bits(bits in prop::collection::vec(any::<bool>(), 0..=MAX_CORES), skipped in 0..9_usize) {
            let all: Bits = bits.iter().collect();
            // Bits that do not begin with a byte.
            let bits = all.get(skipped..).unwrap_or_default();
            let mut expected = CoreMask::default();
            bits.iter_ones().for_each(|core| expected.set(core));
            let mask = CoreMask::of(bits);
            prop_assert_eq!(mask, expected);
            prop_assert!(mask.is_within(&expected));
            prop_assert_eq!(mask.is_within(&CoreMask::default()), bits.not_any());
        }

        #[test]
        fn words_are_added_to_bytes(before in prop::collection::vec(any::<u8>(), 0..20), new in any::<[u64; 3]>()) {
            let mut after = before.clone();
            add(&mut after, new.into_iter());
            for (index, (before, after)) in before.iter().zip(&after).enumerate() {
                prop_assert_eq!(*after, before | new[index / 8].to_le_bytes()[index % 8]);
            }
            // Bits beyond the last byte are none of a validator's.
            let within = |index: usize, word: u64| words(&vec![0xff; before.len()]).nth(index).unwrap_or(0) & word;
            let new = [within(0, new[0]), within(1, new[1]), within(2, new[2])];
            let count: u32 = after.iter().map(|byte| byte.count_ones()).sum();
            prop_assert_eq!(union(&before, new.into_iter()), (count as usize, before != after));
            prop_assert_eq!(union(&after, new.into_iter()), (count as usize, false));
        }
    }
}
