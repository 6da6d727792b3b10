use async_trait::async_trait;
use bytes::Bytes;

/// Largest value of an [`Index`], in bytes: larger ones are never synced by the indexing store.
pub const MAX_INDEX_VALUE_BYTES: usize = 64 * 1024;

/// Why a call to storage failed. After a failed write the old value or the new one is there, whole; nothing was
/// acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("{operation} of {key}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        key: String,
        /// The cause.
        source: std::io::Error,
    },
    /// What is on disk is not what was written there.
    #[error("{key} is corrupt: {reason}")]
    Corrupt {
        /// Which entry.
        key: String,
        /// What does not fit.
        reason: String,
    },
    /// A key or value outside its limit.
    #[error("{what} is {size}, at most {limit} is allowed")]
    TooLarge {
        /// The offending thing.
        what: String,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

/// Large values, one file each (PoVs, chunks, blocks). Keys are slash-separated names of `[a-z0-9._-]`.
///
/// # Errors
/// Every method: [`StorageError::Io`] if the operating system refuses, [`StorageError::TooLarge`] for a key or value
/// outside its limit.
///
/// # Cancel safety
/// A dropped `put` or `remove` may have happened or not; a value is never there in part.
///
/// # Back-pressure
/// Each call waits for the disk, off the loop ([`deterministic::Compute`]): call it from a job.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Writes a value; when it returns, the value survives a power cut. Replaces an old value atomically.
    ///
    /// # Errors
    /// Nothing is acknowledged then, and nothing may be signed on the strength of it.
    async fn put(&self, key: &str, value: Bytes) -> Result<(), StorageError>;
    /// Reads a value; `None` if there is none.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if what is on disk is not what was written there.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError>;
    /// Whether there is a value, without reading it.
    async fn contains(&self, key: &str) -> Result<bool, StorageError>;
    /// Removes a value; absent is fine.
    async fn remove(&self, key: &str) -> Result<(), StorageError>;
    /// The whole keys directly under a folder, in order; none for a folder that is not there. The empty folder is the
    /// root.
    async fn list(&self, folder: &str) -> Result<Vec<String>, StorageError>;
}

/// Changes committed together.
#[derive(Clone, Debug, Default)]
pub struct IndexBatch {
    /// In order: a key with its value, or `None` to remove it.
    pub operations: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A key with its value.
pub type IndexEntry = (Vec<u8>, Vec<u8>);

/// Small ordered values that can be rebuilt from blobs and journal, so none of it need be synced.
///
/// # Errors
/// Every method: [`StorageError::Io`] or [`StorageError::Corrupt`].
pub trait Index: Send + Sync {
    /// Commits a batch: all of it or nothing, also across a crash, after which the newest batches may be missing.
    ///
    /// # Errors
    /// [`StorageError::TooLarge`] for a value above [`MAX_INDEX_VALUE_BYTES`]; nothing was changed then.
    fn commit(&self, batch: IndexBatch) -> Result<(), StorageError>;
    /// Reads a value; `None` if there is none.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;
    /// Up to `limit` entries whose key starts with `prefix`, in the order of their keys.
    fn scan(&self, prefix: &[u8], limit: usize) -> Result<Vec<IndexEntry>, StorageError>;
}
