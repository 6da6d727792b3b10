//! Random bytes, and what is drawn from them.

use std::sync::Arc;

use rand_core_06::{CryptoRng, RngCore};

/// A source of random bytes fit for keys and nonces (in the simulator: fit to be repeated from a seed).
pub trait Entropy: Send + Sync {
    /// Fills `out` with random bytes.
    ///
    /// # Panics
    ///
    /// The real source panics when the operating system has no randomness to give: nothing may be signed then.
    fn fill(&self, out: &mut [u8]);
}

/// Eight random bytes as a number.
pub fn u64(entropy: &dyn Entropy) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A number in `0..bound`, each equally likely; 0 if `bound` is 0.
pub fn below(entropy: &dyn Entropy, bound: u64) -> u64 {
    below_with(|| u64(entropy), bound)
}

/// [`below`] over any source of 64-bit draws.
///
/// Multiplies a draw by the bound and takes the high half; draws from the short last stretch, which would make
/// some results likelier, are thrown away (fewer than half of them for any bound).
pub(crate) fn below_with(mut draw: impl FnMut() -> u64, bound: u64) -> u64 {
    if bound == 0 {
        return 0;
    }
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(draw()) * u128::from(bound);
        if product as u64 >= threshold {
            return (product >> 64) as u64;
        }
    }
}

/// An [`Entropy`] as the random number generator that `schnorrkel` and friends take (`rand_core` 0.6).
#[derive(Clone)]
pub struct EntropyRng(pub Arc<dyn Entropy>);

impl std::fmt::Debug for EntropyRng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EntropyRng")
    }
}

impl RngCore for EntropyRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        u64(&*self.0)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl CryptoRng for EntropyRng {}
