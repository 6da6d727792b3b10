//! Blobs and an index in memory, which can be told to fail, to be damaged and to take their time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use ports::{BlobStore, Index, IndexBatch, StorageError};
use tokio::sync::watch;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(operation: &'static str, key: &str) -> StorageError {
    StorageError::Io { operation, key: key.to_owned(), source: io::Error::other("told to fail") }
}

/// Blobs in memory.
pub struct TestBlobs {
    blobs: Mutex<BTreeMap<String, Result<Bytes, String>>>,
    full: Mutex<bool>,
    held: watch::Sender<bool>,
}

impl TestBlobs {
    /// No blobs.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { blobs: Mutex::default(), full: Mutex::default(), held: watch::Sender::new(false) })
    }

    /// From now on every write fails, or none does.
    pub fn set_full(&self, full: bool) {
        *lock(&self.full) = full;
    }

    /// From now on writes wait, or go on.
    pub fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }

    /// Damages a blob: reading it says so from now on.
    pub fn corrupt(&self, key: &str) {
        lock(&self.blobs).insert(key.to_owned(), Err("told to be corrupt".to_owned()));
    }

    /// The keys of all blobs, in order.
    pub fn keys(&self) -> Vec<String> {
        lock(&self.blobs).keys().cloned().collect()
    }
}

#[async_trait]
impl BlobStore for TestBlobs {
    async fn put(&self, key: &str, value: Bytes) -> Result<(), StorageError> {
        // The sender lives as long as the store.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        if *lock(&self.full) {
            return Err(failed("write", key));
        }
        lock(&self.blobs).insert(key.to_owned(), Ok(value));
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        match lock(&self.blobs).get(key) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value.clone())),
            Some(Err(reason)) => Err(StorageError::Corrupt { key: key.to_owned(), reason: reason.clone() }),
        }
    }

    async fn contains(&self, key: &str) -> Result<bool, StorageError> {
        Ok(lock(&self.blobs).contains_key(key))
    }

    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        lock(&self.blobs).remove(key);
        Ok(())
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let directly = |key: &&String| key.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
        Ok(lock(&self.blobs).keys().filter(directly).cloned().collect())
    }
}

/// An index in memory.
#[derive(Default)]
pub struct TestIndex {
    entries: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    failing: Mutex<bool>,
}

impl TestIndex {
    /// No entries.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on every commit fails, or none does.
    pub fn set_failing(&self, failing: bool) {
        *lock(&self.failing) = failing;
    }

    /// Loses everything, as after a power cut.
    pub fn clear(&self) {
        lock(&self.entries).clear();
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        lock(&self.entries).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Index for TestIndex {
    fn commit(&self, batch: IndexBatch) -> Result<(), StorageError> {
        if *lock(&self.failing) {
            return Err(failed("commit", "index"));
        }
        let mut entries = lock(&self.entries);
        for (key, value) in batch.operations {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(lock(&self.entries).get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StorageError> {
        let entries = lock(&self.entries);
        let from = entries.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(from.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
