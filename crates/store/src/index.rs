//! Small ordered entries: in memory, and on sled.

use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ports::{Index, IndexBatch, MAX_INDEX_VALUE_BYTES, StorageError};

/// The longest key, in bytes: sled copies keys into its nodes.
pub const INDEX_KEY_BYTES_MAX: usize = 512;

/// Operations in one batch; a block's worth is a few thousand.
pub const BATCH_OPERATIONS_MAX: usize = 65_536;

/// Memory for sled's cache, in bytes: its own default is 1 GiB.
pub const INDEX_CACHE_BYTES: u64 = 32 * 1024 * 1024;

fn check_batch(batch: &IndexBatch) -> Result<(), StorageError> {
    let too_large = |what: &str, size, limit| {
        if size > limit { Err(StorageError::TooLarge { what: what.to_string(), size, limit }) } else { Ok(()) }
    };
    too_large("the number of operations in a batch", batch.operations.len(), BATCH_OPERATIONS_MAX)?;
    batch.operations.iter().try_for_each(|(key, value)| {
        too_large("the length of an index key in bytes", key.len(), INDEX_KEY_BYTES_MAX)?;
        let value_bytes = value.as_ref().map_or(0, Vec::len);
        too_large("the length of an index value in bytes", value_bytes, MAX_INDEX_VALUE_BYTES)
    })
}

/// [`Index`] in memory, for tests and the simulator.
#[derive(Debug, Default)]
pub struct MemoryIndex(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl MemoryIndex {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index for MemoryIndex {
    fn commit(&self, batch: IndexBatch) -> Result<(), StorageError> {
        check_batch(&batch)?;
        let mut entries = self.entries();
        for (key, value) in batch.operations {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.entries().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StorageError> {
        let entries = self.entries();
        let matching = entries.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(matching.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// [`Index`] on one sled tree.
///
/// A batch that was committed outlives the end of the process, but not surely a power cut.
#[derive(Debug)]
pub struct SledIndex {
    tree: sled::Db,
    name: String,
}

impl SledIndex {
    /// Opens the index in the directory at `path`, creating it if missing. Blocks.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`]; [`StorageError::Corrupt`] when sled cannot read what is there: remove the directory
    /// then, and rebuild.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let name = path.display().to_string();
        let config = sled::Config::new().path(path).cache_capacity(INDEX_CACHE_BYTES).flush_every_ms(None);
        // sled asserts on some kinds of damage; for a node that is one more unreadable index.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()))
            .unwrap_or_else(|_| Err(sled::Error::ReportableBug("it panicked while opening".to_string())));
        let tree = opened.map_err(|error| storage_error("opening", &name, error))?;
        Ok(Self { tree, name })
    }

    fn failed(&self, operation: &'static str) -> impl Fn(sled::Error) -> StorageError {
        let name = self.name.clone();
        move |error| storage_error(operation, &name, error)
    }
}

fn storage_error(operation: &'static str, name: &str, error: sled::Error) -> StorageError {
    let key = name.to_string();
    match error {
        sled::Error::Io(source) => StorageError::Io { operation, key, source },
        // Unsupported: what sled says of a configuration file that is not its own.
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) | sled::Error::Unsupported(_) => {
            StorageError::Corrupt { key, reason: error.to_string() }
        }
        other => StorageError::Io { operation, key, source: io::Error::other(other) },
    }
}

impl Index for SledIndex {
    fn commit(&self, batch: IndexBatch) -> Result<(), StorageError> {
        check_batch(&batch)?;
        let mut changes = sled::Batch::default();
        for (key, value) in batch.operations {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        self.tree.apply_batch(changes).map_err(self.failed("commit"))?;
        // Else the batch would sit in this process's memory, and end with it.
        self.tree.flush().map_err(self.failed("flush"))?;
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.tree.get(key).map_err(self.failed("read"))?.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StorageError> {
        let entries = self.tree.scan_prefix(prefix).take(limit);
        let owned = entries.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())));
        owned.collect::<Result<_, _>>().map_err(self.failed("scan"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(operations: &[(&[u8], Option<&[u8]>)]) -> IndexBatch {
        let owned = operations.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
        IndexBatch { operations: owned.collect() }
    }

    fn check(index: &dyn Index) {
        index.commit(batch(&[(b"a1", Some(b"x")), (b"a2", Some(b"y")), (b"b", Some(b""))])).unwrap();
        index.commit(batch(&[(b"a1", None), (b"a3", Some(b"1")), (b"a3", Some(b"2")), (b"c", None)])).unwrap();
        assert_eq!(index.get(b"a1").unwrap(), None);
        assert_eq!(index.get(b"b").unwrap().unwrap(), b"");
        let entry = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
        assert_eq!(index.scan(b"a", 9).unwrap(), [entry(b"a2", b"y"), entry(b"a3", b"2")]);
        assert_eq!(index.scan(b"a", 1).unwrap(), [entry(b"a2", b"y")]);
        assert_eq!(index.scan(b"", 9).unwrap().len(), 3);
        let long_key = vec![0; INDEX_KEY_BYTES_MAX + 1];
        let large_value = vec![0; MAX_INDEX_VALUE_BYTES + 1];
        let key: &[u8] = b"new";
        for bad in [(&long_key[..], None), (key, Some(&large_value[..]))] {
            let error = index.commit(batch(&[(b"b", None), bad])).unwrap_err();
            assert!(matches!(error, StorageError::TooLarge { .. }));
        }
        // All or nothing.
        assert!(index.get(b"b").unwrap().is_some());
        index.commit(batch(&[(b"new", Some(&large_value[1..]))])).unwrap();
        assert_eq!(index.get(b"new").unwrap().unwrap().len(), MAX_INDEX_VALUE_BYTES);
    }

    #[test]
    fn both_do_what_the_port_says_and_sled_remembers() {
        check(&MemoryIndex::default());
        let directory = tempfile::tempdir().unwrap();
        check(&SledIndex::open(directory.path()).unwrap());
        let again = SledIndex::open(directory.path()).unwrap();
        assert_eq!(again.get(b"a3").unwrap().unwrap(), b"2");
        // A second opener is refused.
        assert!(matches!(SledIndex::open(directory.path()), Err(StorageError::Io { .. })));
    }

    #[test]
    fn unreadable_path_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        assert!(matches!(SledIndex::open(&file), Err(StorageError::Io { .. })));
        assert!(matches!(SledIndex::open(&file.join("below")), Err(StorageError::Io { .. })));
    }

    #[test]
    fn damaged_index_gives_errors_or_less_but_no_panic_and_no_wrong_value() {
        let key = |number: u32| number.to_be_bytes().to_vec();
        let value = |number: u32| vec![number as u8; 100];
        let directory = tempfile::tempdir().unwrap();
        let operations = (0..300).map(|number| (key(number), Some(value(number)))).collect();
        SledIndex::open(directory.path()).unwrap().commit(IndexBatch { operations }).unwrap();
        let whole = std::fs::read(directory.path().join("db")).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
        for place in (0..used).step_by(used / 40) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x55;
            std::fs::write(directory.path().join("db"), damaged).unwrap();
            let Ok(index) = SledIndex::open(directory.path()) else {
                continue;
            };
            for number in 0..300 {
                assert!(index.get(&key(number)).is_ok_and(|found| found.is_none_or(|found| found == value(number))));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn sled_agrees_with_memory(
            batches in prop::collection::vec(
                prop::collection::vec((prop::collection::vec(0_u8..3, 0..4), any::<Option<Vec<u8>>>()), 0..8),
                0..5,
            ),
            prefix in prop::collection::vec(0_u8..3, 0..3),
            limit in 0_usize..10,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let (real, memory) = (SledIndex::open(directory.path()).unwrap(), MemoryIndex::default());
            for operations in batches {
                real.commit(IndexBatch { operations: operations.clone() }).unwrap();
                memory.commit(IndexBatch { operations }).unwrap();
            }
            prop_assert_eq!(real.scan(&prefix, limit).unwrap(), memory.scan(&prefix, limit).unwrap());
            prop_assert_eq!(real.scan(b"", 1_000).unwrap(), memory.scan(b"", 1_000).unwrap());
        }
    }
}
