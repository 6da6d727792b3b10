//! Signatures of blocks in batches, on all cores.
//!
//! Signatures are sorted by key, so that a validator who signed twice is cheaper, and split evenly between the threads:
//! one batch each, because what a batch costs beside its signatures is paid once per batch. Only if one fails it is
//! halved until the culprit is found.

use std::num::NonZeroUsize;

use primitives::{KnownKeys, SignedMessage, verify_batch};
use runtime::{SignatureSet, Verifier, VrfDraw};

/// Signatures for which a further thread is started: verifying them takes about fifty times as long as starting one.
pub const SIGNATURES_PER_THREAD_MIN: usize = 128;
/// Draws for which a further thread is started: each costs several signatures.
pub const DRAWS_PER_THREAD_MIN: usize = 16;

/// A [`Verifier`] that batches. It remembers keys, so keep one for as long as the node runs.
///
/// Its answers do not depend on the number of threads, except for which of several culprits is named. Sets that are
/// small, as all are in a simulated network, start no thread.
#[derive(Debug)]
pub struct BatchVerifier {
    threads: NonZeroUsize,
    keys: KnownKeys,
}

impl BatchVerifier {
    /// On as many threads as the machine has cores.
    pub fn on_all_cores() -> Self {
        Self::on(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// On `threads` threads at most, the caller's among them.
    pub fn on(threads: NonZeroUsize) -> Self {
        Self { threads, keys: KnownKeys::default() }
    }

    /// The first item, by position in `items`, that `find` finds in one of the shares of the threads.
    fn search<T: Sync>(
        &self,
        items: &[T],
        per_thread_min: usize,
        find: impl Fn(&[T]) -> Option<usize> + Sync,
    ) -> Option<usize> {
        let threads = self.threads.get().min(items.len() / per_thread_min).max(1);
        let share = items.len().div_ceil(threads).max(1);
        let mut shares = items.chunks(share).zip(0..);
        let (own, _) = shares.next()?;
        let find = &find;
        std::thread::scope(|scope| {
            let others: Vec<_> =
                shares.map(|(items, index)| (index * share, scope.spawn(move || find(items)))).collect();
            let own = find(own);
            let others = others.into_iter().map(|(first, thread)| {
                // A panic on the other thread is this one's.
                let found = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                found.map(|position| first + position)
            });
            own.into_iter().chain(others.flatten()).min()
        })
    }

    /// The position of a signature that does not hold.
    fn culprit(&self, messages: &[&SignedMessage]) -> Option<usize> {
        if verify_batch(messages, &self.keys) {
            return None;
        }
        // Halving ends: a part that holds none is not looked into again.
        let (mut first, mut bad) = (0, messages);
        while bad.len() > 1 {
            let (left, right) = bad.split_at(bad.len() / 2);
            if verify_batch(left, &self.keys) {
                first += left.len();
                bad = right;
            } else {
                bad = left;
            }
        }
        Some(first)
    }
}

impl Verifier for BatchVerifier {
    fn verify(&self, set: &SignatureSet) -> Result<(), usize> {
        let mut order: Vec<usize> = (0..set.0.len()).collect();
        order.sort_by_key(|position| &set.0[*position].public);
        let messages: Vec<&SignedMessage> = order.iter().map(|position| &set.0[*position]).collect();
        let culprit = self.search(&messages, SIGNATURES_PER_THREAD_MIN, |share| self.culprit(share));
        culprit.map_or(Ok(()), |position| Err(order[position]))
    }

    fn verify_draws(&self, draws: &[VrfDraw]) -> Result<(), usize> {
        let find = |share: &[VrfDraw]| share.iter().position(|draw| !draw.holds());
        self.search(draws, DRAWS_PER_THREAD_MIN, find).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{Pair, VrfSignature, crypto::SeedRng};

    fn signed(count: usize) -> SignatureSet {
        let pairs: Vec<_> = (0..8_u8).map(|index| Pair::from_seed(&[index; 32])).collect();
        let sign = |position: usize| {
            let pair = &pairs[position % pairs.len()];
            let message = position.to_le_bytes().to_vec();
            let signature = pair.sign(&message, &mut SeedRng::new([position as u8; 32]));
            SignedMessage { public: pair.public(), message, signature }
        };
        SignatureSet((0..count).map(sign).collect())
    }

    fn verifier(threads: usize) -> BatchVerifier {
        BatchVerifier::on(NonZeroUsize::new(threads).unwrap())
    }

    #[test]
    fn good_signatures_hold_on_any_number_of_threads() {
        for count in [0, 1, 2, SIGNATURES_PER_THREAD_MIN * 3 + 1] {
            let set = signed(count);
            for threads in [1, 2, 3, 16] {
                assert_eq!(verifier(threads).verify(&set), Ok(()), "{count} on {threads}");
            }
        }
    }

    #[test]
    fn the_culprit_is_found_wherever_it_is() {
        let good = signed(SIGNATURES_PER_THREAD_MIN * 2);
        let verifier = verifier(2);
        for culprit in [0, 1, 7, 100, good.0.len() - 1] {
            let mut set = good.clone();
            set.0[culprit].message.push(1);
            assert_eq!(verifier.verify(&set), Err(culprit));
        }
    }

    #[test]
    fn of_several_culprits_one_is_named() {
        let mut set = signed(SIGNATURES_PER_THREAD_MIN * 2);
        let culprits = [3, 130, 131, 250];
        for culprit in culprits {
            set.0[culprit].signature.0[40] ^= 1;
        }
        for threads in [1, 2] {
            let named = verifier(threads).verify(&set).unwrap_err();
            assert!(culprits.contains(&named), "{named}");
        }
    }

    #[test]
    fn the_draw_that_does_not_hold_is_named_on_any_thread() {
        let pair = Pair::from_seed(&[1; 32]);
        let draw = |position: usize| {
            let input = position.to_le_bytes().to_vec();
            let (vrf, _) = pair.vrf_sign(primitives::crypto::vrf_input_bytes(&input), &mut SeedRng::new([1; 32]));
            VrfDraw { public: pair.public(), input, vrf, one_shot: None }
        };
        let mut draws: Vec<_> = (0..DRAWS_PER_THREAD_MIN * 2).map(draw).collect();
        let verifier = verifier(2);
        assert_eq!(verifier.verify_draws(&draws), Ok(()));
        let last = draws.len() - 1;
        draws[last].vrf = VrfSignature { pre_output: [0; 32], proof: [0; 64] };
        assert_eq!(verifier.verify_draws(&draws), Err(last));
    }
}
