//! The crate as its callers see it: the commitment, properties, hostile input.

mod commitment;
mod hostile;
mod permutation;
mod roundtrip;

use bytes::Bytes;
use erasure_coding::Encoded;

/// Reproducible draws (SplitMix64); a failing case prints the seed it was made from.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// `count` distinct numbers below `end`, in random order.
    fn distinct(&mut self, count: usize, end: usize) -> Vec<u32> {
        let mut all: Vec<u32> = (0..end as u32).collect();
        for i in 0..count {
            let other = i + self.below(end - i);
            all.swap(i, other);
        }
        all.truncate(count);
        all
    }
}

/// The chunks of `encoded` at `indices`, as recovery takes them.
fn pick(encoded: &Encoded, indices: &[u32]) -> Vec<(u32, Bytes)> {
    indices.iter().map(|index| (*index, encoded.chunk(*index).expect("index below n"))).collect()
}
