//! What a node keeps on disk, behind the storage ports.
//!
//! Role: adapter. Three kinds of disk, each for what it is good at:
//!
//! - **journals** (crate `journal`): append-only, one sync per group of records;
//! - **values** ([`FileStore`]): PoVs, chunks, blocks, artifacts; one file each, written beside, synced, renamed,
//!   its directory synced;
//! - **indices** ([`SledIndex`], [`MemoryIndex`]): small ordered entries. sled's flush does not outlive a power
//!   cut by itself, so an index holds only what can be rebuilt from journals and values.
//!
//! [`Store::open`] opens all of a node's base path; [`Store::in_memory`] is for the simulator.
//!
//! Receives: calls of [`ports::BlobStore`] and [`ports::Index`]. Sends: nothing.
//!
//! Invariants: a value whose `put` has returned outlives any crash; a value that is read is the one that was
//! written, whole, under that key, or the read is an error; a base path that is not ours is left untouched.
//!
//! Limits: [`VALUE_BYTES_MAX`], [`KEY_BYTES_MAX`], [`INDEX_KEY_BYTES_MAX`], [`ports::MAX_INDEX_VALUE_BYTES`],
//! [`BATCH_OPERATIONS_MAX`], [`INDEX_CACHE_BYTES`].

use std::{path::Path, sync::Arc};

use deterministic::{Compute, Disk, FileDisk, OpenDiskError};
use ports::{Index, StorageError};

mod files;
mod index;

pub use files::{FOLDERS_DEPTH_MAX, FileStore, KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use index::{BATCH_OPERATIONS_MAX, INDEX_CACHE_BYTES, INDEX_KEY_BYTES_MAX, MemoryIndex, SledIndex};

/// Marks a directory as a node's base path; changes with the layout.
const MARK: &str = "parahost base path, layout 1\n";

/// The directory of the values, in the base path.
const VALUES: &str = "values";

/// The directory of journals, in the base path.
const JOURNALS: &str = "journals";

/// The directory of the indices, in the base path; sled's own.
const INDEX: &str = "index";

/// Why a node's storage cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The base path is not ours, not readable, or in use.
    #[error(transparent)]
    BasePath(#[from] OpenDiskError),
    /// It is ours, but what is in it cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// All of a node's storage.
#[derive(Clone)]
pub struct Store {
    /// Where journals go, see [`Store::journal_path`].
    pub disk: Arc<dyn Disk>,
    /// Large values.
    pub values: Arc<FileStore>,
    /// Small ordered entries that can be rebuilt.
    pub index: Arc<dyn Index>,
}

impl Store {
    /// Opens a node's base path, creating it if missing. Blocks; for the start of a node.
    ///
    /// The directory stays locked until the last user of [`Store::disk`] or [`Store::values`] is gone.
    ///
    /// # Errors
    ///
    /// [`OpenError::BasePath`] if it holds other things, is no directory, is in use or cannot be read or
    /// written; [`OpenError::Storage`] if its content cannot be opened.
    pub fn open(base_path: &Path, compute: Arc<dyn Compute>) -> Result<Self, OpenError> {
        let disk = Arc::new(FileDisk::open(base_path, MARK)?);
        // Under the directory's lock, so that no second process touches it.
        let index = Arc::new(open_index(&base_path.join(INDEX))?);
        Ok(Self::over(disk, index, compute)?)
    }

    /// Values and journals on `disk`, and an empty index: what a node finds after a crash of its machine.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub fn in_memory(disk: Arc<dyn Disk>, compute: Arc<dyn Compute>) -> Result<Self, StorageError> {
        Self::over(disk, Arc::new(MemoryIndex::default()), compute)
    }

    fn over(disk: Arc<dyn Disk>, index: Arc<dyn Index>, compute: Arc<dyn Compute>) -> Result<Self, StorageError> {
        disk.create_dir_all(JOURNALS).map_err(|source| StorageError::Io {
            operation: "creation",
            key: JOURNALS.to_string(),
            source,
        })?;
        let values = Arc::new(FileStore::open(disk.clone(), VALUES, compute)?);
        Ok(Self { disk, values, index })
    }

    /// The path on [`Store::disk`] of the journal called `name`.
    pub fn journal_path(name: &str) -> String {
        format!("{JOURNALS}/{name}")
    }
}

/// Opens the index. A damaged one is moved aside and begun anew: what it held is rebuilt from journals and values.
fn open_index(path: &Path) -> Result<SledIndex, StorageError> {
    let damaged = match SledIndex::open(path) {
        Err(error @ StorageError::Corrupt { .. }) => error,
        other => return other,
    };
    let aside = path.with_extension("damaged");
    tracing::warn!(error = %damaged, aside = %aside.display(), "the index is damaged; it is moved aside and rebuilt");
    let failed = |source| StorageError::Io { operation: "moving aside", key: path.display().to_string(), source };
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(failed)?;
    }
    std::fs::rename(path, &aside).map_err(failed)?;
    SledIndex::open(path)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("values", &self.values).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use deterministic::Simulation;
    use journal::Journal;
    use ports::{BlobStore, IndexBatch};

    #[test]
    fn a_damaged_index_is_moved_aside() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("index");
        drop(SledIndex::open(&path).expect("a new index"));
        for entry in std::fs::read_dir(&path).expect("the index is a directory") {
            let file = entry.expect("a readable entry").path();
            if file.is_file() {
                let length = std::fs::metadata(&file).expect("a readable entry").len() as usize;
                std::fs::write(&file, vec![0xaa; length]).expect("the file can be damaged");
            }
        }
        let damaged = SledIndex::open(&path).map(drop);
        assert!(matches!(damaged, Err(StorageError::Corrupt { .. })), "{damaged:?}");
        let index = open_index(&path).expect("begun anew");
        assert_eq!(index.get(b"anything").expect("readable"), None);
        assert!(base.path().join("index.damaged").exists());
    }

    #[test]
    fn base_path_is_locked_and_keeps_everything() {
        let simulation = Simulation::new(1);
        let directory = tempfile::tempdir().unwrap();
        let base_path = directory.path().join("base");
        let open = || Store::open(&base_path, simulation.environment("a").compute);
        let store = open().unwrap();
        assert!(matches!(open(), Err(OpenError::BasePath(OpenDiskError::InUse { .. }))));
        simulation.run_until(store.values.put("povs/1", Bytes::from("pov"))).unwrap().unwrap();
        store.index.commit(IndexBatch { operations: vec![(b"k".to_vec(), Some(b"v".to_vec()))] }).unwrap();
        let path = Store::journal_path("signed");
        let mut journal = Journal::open(store.disk.clone(), &path, *b"signed  ").unwrap().journal;
        journal.commit(&["record"]).unwrap();
        drop((journal, store));
        let store = open().unwrap();
        assert_eq!(simulation.run_until(store.values.get("povs/1")).unwrap().unwrap().unwrap(), "pov");
        assert_eq!(store.index.get(b"k").unwrap().unwrap(), b"v");
        assert_eq!(Journal::open(store.disk.clone(), &path, *b"signed  ").unwrap().records, ["record"]);
    }

    #[test]
    fn foreign_base_paths_are_refused_untouched() {
        let compute = Simulation::new(1).environment("a").compute;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("photo.jpg"), b"x").unwrap();
        let error = Store::open(directory.path(), compute.clone()).unwrap_err();
        assert!(matches!(error, OpenError::BasePath(OpenDiskError::Foreign { .. })), "{error}");
        let error = Store::open(&directory.path().join("photo.jpg"), compute).unwrap_err();
        assert!(matches!(error, OpenError::BasePath(OpenDiskError::NotADirectory { .. })), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
