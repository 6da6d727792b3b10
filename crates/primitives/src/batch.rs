//! Verifying many sr25519 signatures at once: about twice as fast as one after the other.
//!
//! The equations of all signatures are added up, each times a random factor, and checked as one. The factors are drawn
//! from a hash over keys, messages and whole signatures: nobody can choose signatures that are wrong one by one and
//! right together, and every run gives the same answer without a source of randomness.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use schnorrkel::{PublicKey, signing_context, verify_batch_rng};

use crate::{
    SignedMessage,
    crypto::{SIGNING_CONTEXT, SeedRng, public_key},
    hash::blake2_256,
};

/// Decompressed keys that are remembered: those of some sessions of a thousand validators. They take about 250 bytes
/// each.
pub const KNOWN_KEYS_MAX: usize = 4_096;

/// Public keys in the form that verification works on, kept because the same validators sign in every block and
/// decompressing a key costs about a fifth of a signature in a batch.
///
/// When it is full it starts again from nothing. Cheap to share between threads.
#[derive(Debug, Default)]
pub struct KnownKeys(RwLock<BTreeMap<[u8; 32], PublicKey>>);

impl KnownKeys {
    /// The keys of all messages; `None` if one is malformed.
    fn of(&self, messages: &[&SignedMessage]) -> Option<Vec<PublicKey>> {
        let mut keys = Vec::with_capacity(messages.len());
        let mut missing = Vec::new();
        {
            // What panicked while holding it has left whole entries.
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            for message in messages {
                match (keys.last(), known.get(&message.public)) {
                    (_, Some(key)) => keys.push(*key),
                    (Some(last), None) if last.as_compressed().as_bytes() == &message.public => keys.push(*last),
                    (_, None) => {
                        let key = public_key(&message.public)?;
                        missing.push(key);
                        keys.push(key);
                    }
                }
            }
        }
        self.remember(missing);
        Some(keys)
    }

    fn remember(&self, keys: Vec<PublicKey>) {
        if keys.is_empty() {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if known.len() >= KNOWN_KEYS_MAX {
                known.clear();
            }
            known.insert(key.to_bytes(), key);
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether all signatures hold; true without any. Malformed keys and signatures do not.
///
/// Neighbours under one key are cheaper than strangers: sort by key.
pub fn verify_batch(messages: &[&SignedMessage], keys: &KnownKeys) -> bool {
    if let [message] = messages {
        return message.verify();
    }
    let Some(keys) = keys.of(messages) else {
        return false;
    };
    let decoded = messages.iter().map(|message| schnorrkel::Signature::from_bytes(&message.signature.0).ok());
    let Some(signatures) = decoded.collect::<Option<Vec<_>>>() else {
        return false;
    };
    let context = signing_context(SIGNING_CONTEXT);
    let transcripts = messages.iter().map(|message| context.bytes(&message.message));
    // The batch itself commits to keys, messages and the first half of each signature.
    let whole: Vec<u8> = messages.iter().flat_map(|message| message.signature.0).collect();
    let random = SeedRng::new(blake2_256(&whole).0);
    verify_batch_rng(transcripts, &signatures, &keys, true, random).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pair, Signature};

    fn signed(signers: &[u8]) -> Vec<SignedMessage> {
        let sign = |(signer, position): (&u8, usize)| {
            let pair = Pair::from_seed(&[*signer; 32]);
            let message = vec![position as u8; position % 7];
            let signature = pair.sign(&message, &mut SeedRng::new([position as u8; 32]));
            SignedMessage { public: pair.public(), message, signature }
        };
        signers.iter().zip(0..).map(sign).collect()
    }

    fn verify(messages: &[SignedMessage], keys: &KnownKeys) -> bool {
        verify_batch(&messages.iter().collect::<Vec<_>>(), keys)
    }

    #[test]
    fn a_batch_holds_if_and_only_if_every_signature_does() {
        let good = signed(&[0, 1, 1, 2, 3, 2, 4]);
        for count in 0..=good.len() {
            let keys = KnownKeys::default();
            for known in [false, true] {
                assert!(verify(&good[..count], &keys), "{count} signatures, keys known: {known}");
            }
        }
        for (which, byte) in (0..good.len()).flat_map(|which| [0, 31, 32, 62, 63].map(|byte| (which, byte))) {
            let keys = KnownKeys::default();
            let mut bad = good.clone();
            bad[which].signature.0[byte] ^= 1;
            assert!(!verify(&bad, &keys) && !verify(&bad, &keys), "byte {byte} of signature {which}");
            let mut bad = good.clone();
            bad[which].message.push(1);
            assert!(!verify(&bad, &keys), "message {which}");
            let mut bad = good.clone();
            bad[which].public = Pair::from_seed(&[9; 32]).public();
            assert!(!verify(&bad, &keys), "key {which}");
        }
    }

    #[test]
    fn keys_are_remembered_up_to_a_limit() {
        let keys = KnownKeys::default();
        assert!(verify(&signed(&[1, 2, 2, 1, 3]), &keys));
        assert_eq!(keys.len(), 3);
        let key = |index: u16| {
            let pair = Pair::from_seed(&[(index + 10_000).to_le_bytes(); 16].concat().try_into().unwrap());
            PublicKey::from_bytes(&pair.public()).unwrap()
        };
        keys.remember((0..KNOWN_KEYS_MAX as u16 - 3).map(key).collect());
        assert_eq!(keys.len(), KNOWN_KEYS_MAX);
        assert!(verify(&signed(&[1, 2, 2, 1, 9]), &keys));
        assert_eq!(keys.len(), 1, "it has started again");
    }

    #[test]
    fn a_malformed_key_or_signature_fails_the_batch() {
        let good = signed(&[1, 2, 3]);
        let mut bad = good.clone();
        bad[1].public = [0xff; 32];
        assert!(!verify(&bad, &KnownKeys::default()));
        bad = good;
        bad[2].signature = Signature([0xff; 64]);
        assert!(!verify(&bad, &KnownKeys::default()));
    }
}
