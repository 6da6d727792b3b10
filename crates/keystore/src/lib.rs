//! The node's keys, and the journal that keeps them from contradicting themselves.
//!
//! Role: adapter behind [`ports::Keystore`]. Every signature under a session key that another could contradict
//! (statements, bitfields, block seals, finality votes) is first written to the signing journal and synced;
//! only then does it leave (design §11). An earlier claim that contradicts it is refused, also after any crash
//! and restart, because the journal is all that is asked.
//!
//! Receives: claims from subsystems, block author and finality voter, through the port. Sends: nothing.
//!
//! Invariants:
//! - no signature leaves before its claim is durable;
//! - of one slot ([`ledger::Scope`] under one key) at most one value is ever signed;
//! - what [`Keystore::forget_before`] dropped is refused for good, since nothing could contradict it
//!   any more;
//! - nonces come from the given entropy and from nothing else.
//!
//! Limits: the journal is bounded by [`journal::JOURNAL_BYTES_MAX`] (several hundred thousand claims),
//! and the claims in memory by the journal; when it is full, signing fails until something is forgotten.

pub mod ledger;

use async_trait::async_trait;
use bytes::Bytes;
use codec::Encode;
use deterministic::{Compute, Disk, Entropy, EntropyRng};
use journal::{GroupJournal, Journal, JournalError};
use ledger::{Claimed, ForgetBefore, Ledger, LedgerError, Record};
use ports::{Claim, Keystore, KeystoreError};
use primitives::{
    CollatorId, CollatorSignature, Pair, ValidatorId, ValidatorSignature, VrfSignature, crypto::vrf_input_bytes,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Directory of the journal on the node's disk.
pub const JOURNAL_DIRECTORY: &str = "keystore";
/// The journal on the node's disk.
pub const JOURNAL_PATH: &str = "keystore/signing.journal";
/// Marks the journal's kind and the version of its records.
const JOURNAL_KIND: [u8; 8] = *b"signing2";

/// Why the keystore cannot be opened. Nothing may be signed then.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal's directory cannot be made.
    #[error("cannot create {JOURNAL_DIRECTORY}: {0}")]
    Directory(#[from] std::io::Error),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record of the journal makes no sense.
    #[error("record {position} of {JOURNAL_PATH}: {source}")]
    Record {
        /// Which record, counted from 0.
        position: usize,
        /// What is wrong with it.
        source: LedgerError,
    },
}

/// The secret keys of a node.
#[derive(Debug, Default)]
pub struct Keys {
    /// Session keys.
    pub validators: Vec<Pair>,
    /// The collator's key.
    pub collator: Option<Pair>,
}

/// [`Keystore`] over a signing journal.
pub struct JournalledKeystore {
    validators: BTreeMap<ValidatorId, Pair>,
    collator: Option<Pair>,
    ledger: Arc<Mutex<Ledger>>,
    journal: GroupJournal,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for JournalledKeystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalledKeystore").field("validators", &self.validators.keys()).finish_non_exhaustive()
    }
}

impl JournalledKeystore {
    /// Opens the journal at [`JOURNAL_PATH`] of `disk`, or begins one. Blocks while it reads; there must be one
    /// keystore per disk.
    ///
    /// # Errors
    /// [`OpenError`]; a journal that was cut short by a crash is no error.
    pub fn open(
        disk: Arc<dyn Disk>,
        keys: Keys,
        entropy: Arc<dyn Entropy>,
        compute: Arc<dyn Compute>,
    ) -> Result<Self, OpenError> {
        disk.create_dir_all(JOURNAL_DIRECTORY)?;
        let opened = Journal::open(disk, JOURNAL_PATH, JOURNAL_KIND)?;
        if opened.cut_bytes > 0 {
            tracing::warn!(bytes = opened.cut_bytes, "cut an unfinished claim off the signing journal");
        }
        let mut ledger = Ledger::default();
        for (position, record) in opened.records.iter().enumerate() {
            ledger.replay(record).map_err(|source| OpenError::Record { position, source })?;
        }
        let validators = keys.validators.into_iter().map(|pair| (ValidatorId(pair.public()), pair)).collect();
        Ok(Self {
            validators,
            collator: keys.collator,
            ledger: Arc::new(Mutex::new(ledger)),
            journal: GroupJournal::new(opened.journal, compute),
            entropy,
        })
    }

    /// How many slots are claimed: what a metric of the journal's size shows.
    pub fn claims(&self) -> usize {
        self.ledger().len()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    fn pair(&self, key: &ValidatorId) -> Result<&Pair, KeystoreError> {
        self.validators.get(key).ok_or(KeystoreError::UnknownKey(*key))
    }

    fn nonces(&self) -> EntropyRng {
        EntropyRng(self.entropy.clone())
    }

    /// Returns once the claim is durable.
    async fn record(&self, key: &ValidatorId, claim: &Claim) -> Result<(), KeystoreError> {
        let entries = ledger::entries(key, claim);
        let claimed =
            self.ledger().claim(&entries).map_err(|conflict| KeystoreError::Conflict(conflict.to_string()))?;
        if claimed == Claimed::Durable {
            return Ok(());
        }
        // From here on the slots are held in memory, whatever becomes of this future: at worst a claim that
        // never reached the disk is refused its contradiction until the next start.
        let record = Record::Claim(entries);
        self.journal.append(record.encode().into()).await.map_err(journal_error)?;
        if let Record::Claim(entries) = record {
            self.ledger().mark_durable(&entries);
        }
        Ok(())
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    // The ledger is changed in steps that leave it whole, so a panic elsewhere does not spoil it.
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

fn journal_error(error: JournalError) -> KeystoreError {
    KeystoreError::Journal(error.to_string())
}

#[async_trait]
impl Keystore for JournalledKeystore {
    fn validator_ids(&self) -> Vec<ValidatorId> {
        self.validators.keys().copied().collect()
    }

    fn collator_id(&self) -> Option<CollatorId> {
        self.collator.as_ref().map(|pair| CollatorId(pair.public()))
    }

    async fn sign(&self, key: &ValidatorId, claim: &Claim) -> Result<ValidatorSignature, KeystoreError> {
        let pair = self.pair(key)?;
        self.record(key, claim).await?;
        Ok(pair.sign(&claim.payload(), &mut self.nonces()))
    }

    fn sign_as_collator(&self, payload: &[u8]) -> Result<CollatorSignature, KeystoreError> {
        let pair = self.collator.as_ref().ok_or(KeystoreError::NoCollatorKey)?;
        Ok(pair.sign(payload, &mut self.nonces()))
    }

    fn vrf_sign(&self, key: &ValidatorId, input: &[u8]) -> Result<VrfSignature, KeystoreError> {
        let (signature, _) = self.pair(key)?.vrf_sign(vrf_input_bytes(input), &mut self.nonces());
        Ok(signature)
    }

    /// Rewrites the journal without the old claims. If the future is dropped, it may have been rewritten or not.
    async fn forget_before(&self, before: ForgetBefore) -> Result<(), KeystoreError> {
        // First refuse, then drop: no claim can slip in between and be forgotten.
        self.ledger().refuse_before(before);
        let ledger = self.ledger.clone();
        let survivors = move || -> Vec<Bytes> {
            let mut ledger = lock(&ledger);
            ledger.drop_refused();
            ledger.to_records().map(|record| record.encode().into()).collect()
        };
        self.journal.rewrite(survivors).await.map_err(journal_error)
    }
}
