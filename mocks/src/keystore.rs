//! A keystore without a journal: it signs whatever it is asked, and remembers it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ports::{Claim, Keystore, KeystoreError};
use primitives::{CollatorId, CollatorSignature, Pair, ValidatorId, ValidatorSignature, VrfSignature};

use crate::fixtures::rng;

/// Signs with the given pairs; can be told to refuse, as the journal does after a conflict.
pub struct TestKeystore {
    pairs: Vec<Pair>,
    collator: Option<Pair>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    refusing: bool,
    signed: Vec<Claim>,
}

impl TestKeystore {
    /// Holds these validator keys.
    pub fn new(pairs: Vec<Pair>) -> Arc<Self> {
        Arc::new(Self { pairs, collator: None, state: Mutex::default() })
    }

    /// Holds a collator key.
    pub fn collator(pair: Pair) -> Arc<Self> {
        Arc::new(Self { pairs: Vec::new(), collator: Some(pair), state: Mutex::default() })
    }

    /// From now on every claim conflicts with an earlier one ([`KeystoreError::Conflict`]), or none does.
    pub fn refuse(&self, refusing: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).refusing = refusing;
    }

    /// What was signed so far, in order, with the session keys.
    pub fn signed(&self) -> Vec<Claim> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).signed.clone()
    }

    fn pair(&self, key: &ValidatorId) -> Result<&Pair, KeystoreError> {
        self.pairs.iter().find(|pair| pair.public() == key.0).ok_or(KeystoreError::UnknownKey(*key))
    }
}

#[async_trait]
impl Keystore for TestKeystore {
    fn validator_ids(&self) -> Vec<ValidatorId> {
        self.pairs.iter().map(|pair| ValidatorId(pair.public())).collect()
    }

    fn collator_id(&self) -> Option<CollatorId> {
        self.collator.as_ref().map(|pair| CollatorId(pair.public()))
    }

    async fn sign(&self, key: &ValidatorId, claim: &Claim) -> Result<ValidatorSignature, KeystoreError> {
        let signature = self.pair(key)?.sign(&claim.payload(), &mut rng());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.refusing {
            return Err(KeystoreError::Conflict("told to refuse".to_owned()));
        }
        state.signed.push(claim.clone());
        Ok(signature)
    }

    fn sign_as_collator(&self, payload: &[u8]) -> Result<CollatorSignature, KeystoreError> {
        let pair = self.collator.as_ref().ok_or(KeystoreError::NoCollatorKey)?;
        Ok(pair.sign(payload, &mut rng()))
    }

    fn vrf_sign(&self, key: &ValidatorId, input: &[u8]) -> Result<VrfSignature, KeystoreError> {
        Ok(self.pair(key)?.vrf_sign(primitives::crypto::vrf_input_bytes(input), &mut rng()).0)
    }
}
