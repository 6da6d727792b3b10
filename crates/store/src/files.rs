//! One file per value.
//!
//! Layout, numbers little-endian: `"value" 1 0 0`, length (u64), checksum (u64, XXH3 of the value, seeded with
//! that of the key), value. While it is written a file is called by its key, `~` and a number; keys have no `~`.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use deterministic::{Compute, ComputeError, ComputeKind, Disk, compute, disk::parent};
use ports::{BlobStore, StorageError};
use twox_hash::XxHash3_64;

/// The largest value, in bytes: several times the largest PoV or block.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest key, in bytes: leaves room for the directory and the name while writing.
pub const KEY_BYTES_MAX: usize = 512;

/// The longest part of a key, in bytes: file systems take 255 with what is added while writing.
const KEY_PART_BYTES_MAX: usize = 200;

/// How deep folders in a key may nest.
pub const FOLDERS_DEPTH_MAX: usize = 8;

const MAGIC: [u8; 8] = *b"value\x01\0\0";
const HEADER_BYTES: usize = 24;

/// What a name has while its file is written.
const UNFINISHED: char = '~';

/// [`BlobStore`] over a directory of a [`Disk`]. Clones share it.
///
/// A value that was removed may be back after a power cut: removing is not synced.
#[derive(Clone)]
pub struct FileStore {
    files: Arc<Files>,
    compute: Arc<dyn Compute>,
}

struct Files {
    disk: Arc<dyn Disk>,
    directory: String,
    /// Makes the names of unfinished files differ.
    written: AtomicU64,
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStore").field("directory", &self.files.directory).finish_non_exhaustive()
    }
}

impl FileStore {
    /// Opens the store in `directory`, creating it if missing. Removes unfinished files, and syncs every folder,
    /// so that what is found now outlives the next crash. Blocks; for the start of a node.
    ///
    /// # Errors
    ///
    /// [`StorageError::Io`] from the disk.
    pub fn open(disk: Arc<dyn Disk>, directory: &str, compute: Arc<dyn Compute>) -> Result<Self, StorageError> {
        let files = Files { disk, directory: directory.to_string(), written: AtomicU64::new(0) };
        files.disk.create_dir_all(directory).map_err(|error| failed("creation", directory, error))?;
        files.tidy(directory, 0)?;
        Ok(Self { files: Arc::new(files), compute })
    }

    /// Runs a call of the disk on its pool.
    async fn on_disk<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        bytes: usize,
        call: impl FnOnce(&Files, &str) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (files, owned_key) = (self.files.clone(), key.to_string());
        let outcome = compute(&*self.compute, ComputeKind::Disk, bytes, move || call(&files, &owned_key)).await;
        outcome.unwrap_or_else(|error: ComputeError| Err(failed(operation, key, io::Error::other(error))))
    }
}

fn failed(operation: &'static str, key: &str, source: io::Error) -> StorageError {
    StorageError::Io { operation, key: key.to_string(), source }
}

/// Checks a key: parts of `[a-z0-9._-]`, slash-separated.
fn check_key(key: &str) -> Result<(), StorageError> {
    let parts = key.split('/');
    let largest_part = parts.clone().map(str::len).max().unwrap_or_default();
    let limits = [
        ("the length of a key in bytes", key.len(), KEY_BYTES_MAX),
        ("the length of a part of a key in bytes", largest_part, KEY_PART_BYTES_MAX),
        ("the number of folders of a key", parts.clone().count() - 1, FOLDERS_DEPTH_MAX),
    ];
    if let Some((what, size, limit)) = limits.into_iter().find(|(_, size, limit)| size > limit) {
        return Err(StorageError::TooLarge { what: what.to_string(), size, limit });
    }
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let mut parts = parts;
    if parts.any(|part| part.is_empty() || part == "." || part == ".." || !part.bytes().all(allowed)) {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "a key is slash-separated names of [a-z0-9._-]");
        return Err(failed("use", key, error));
    }
    Ok(())
}

fn header(key: &str, value: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&(value.len() as u64).to_le_bytes());
    header[16..].copy_from_slice(&checksum(key, value).to_le_bytes());
    header
}

/// Bound to the key, so that a file that got another name is not taken for that value.
fn checksum(key: &str, value: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key.as_bytes()), value)
}

/// The value in a file, or what does not fit.
fn parse(key: &str, mut file: Bytes) -> Result<Bytes, String> {
    if file.len() < HEADER_BYTES || !file.starts_with(&MAGIC) {
        return Err("expected a file that begins with this store's header".to_string());
    }
    file.advance(MAGIC.len());
    let (length, expected) = (file.get_u64_le(), file.get_u64_le());
    if length != file.len() as u64 {
        return Err(format!("expected {length} bytes, found {}", file.len()));
    }
    let found = checksum(key, &file);
    if found == expected { Ok(file) } else { Err(format!("expected checksum {expected:016x}, found {found:016x}")) }
}

impl Files {
    fn path(&self, key: &str) -> String {
        format!("{}/{key}", self.directory)
    }

    /// Removes unfinished files and makes the rest durable, folder by folder.
    fn tidy(&self, folder: &str, depth: usize) -> Result<(), StorageError> {
        for (path, is_folder) in self.entries(folder)? {
            if is_folder {
                // Deeper ones were not made by this store.
                if depth < FOLDERS_DEPTH_MAX {
                    self.tidy(&path, depth + 1)?;
                }
            } else if path.contains(UNFINISHED) {
                self.disk.remove(&path).map_err(|error| failed("removal", &path, error))?;
            }
        }
        self.disk.sync_dir(folder).map_err(|error| failed("sync", folder, error))
    }

    /// The paths in a folder, and which of them are folders; nothing if there is no such folder.
    fn entries(&self, folder: &str) -> Result<Vec<(String, bool)>, StorageError> {
        let names = match self.disk.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| failed("listing", folder, error))?,
        };
        let mut entries = Vec::with_capacity(names.len());
        for path in names.into_iter().map(|name| format!("{folder}/{name}")) {
            match self.disk.len(&path) {
                Ok(_) => entries.push((path, false)),
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => entries.push((path, true)),
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("listing", &path, error)),
            }
        }
        Ok(entries)
    }

    fn put(&self, key: &str, value: &Bytes) -> Result<(), StorageError> {
        let path = self.path(key);
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let beside = format!("{path}{UNFINISHED}{number}");
        let folder = parent(&path);
        self.disk.create_dir_all(folder).map_err(|error| failed("creation of the folder", key, error))?;
        self.disk
            .write(&beside, &header(key, value))
            .and_then(|()| self.disk.append(&beside, value))
            .and_then(|()| self.disk.sync(&beside))
            .and_then(|()| self.disk.rename(&beside, &path))
            .map_err(|error| {
                // Frees the space at once; what cannot be removed now goes on the next opening.
                let _left = self.disk.remove(&beside);
                failed("write", key, error)
            })?;
        self.disk.sync_dir(folder).map_err(|error| failed("sync of the folder", key, error))
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        let path = self.path(key);
        let length = match self.disk.len(&path) {
            Err(error) if is_absent(&error) => return Ok(None),
            other => other.map_err(|error| failed("read", key, error))?,
        };
        let corrupt = |reason| StorageError::Corrupt { key: key.to_string(), reason };
        let limit = (VALUE_BYTES_MAX + HEADER_BYTES) as u64;
        if length > limit {
            return Err(corrupt(format!("expected at most {limit} bytes, found {length}")));
        }
        match self.disk.read(&path) {
            // Removed since it was looked at.
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed("read", key, error)),
            Ok(file) => parse(key, file).map(Some).map_err(corrupt),
        }
    }

    fn contains(&self, key: &str) -> Result<bool, StorageError> {
        match self.disk.len(&self.path(key)) {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(failed("look-up", key, error)),
        }
    }

    fn remove(&self, key: &str) -> Result<(), StorageError> {
        match self.disk.remove(&self.path(key)) {
            Err(error) if !is_absent(&error) => Err(failed("removal", key, error)),
            _ => Ok(()),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let directory = if folder.is_empty() { self.directory.clone() } else { self.path(folder) };
        let entries = self.entries(&directory)?.into_iter();
        let files = entries.filter(|(path, is_folder)| !is_folder && !path.contains(UNFINISHED));
        Ok(files.map(|(path, _)| path[self.directory.len() + 1..].to_string()).collect())
    }
}

/// No such file: also when what should be its folder is a value, or it is itself a folder.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

#[async_trait]
impl BlobStore for FileStore {
    async fn put(&self, key: &str, value: Bytes) -> Result<(), StorageError> {
        check_key(key)?;
        if value.len() > VALUE_BYTES_MAX {
            let what = format!("the value of {key} in bytes");
            return Err(StorageError::TooLarge { what, size: value.len(), limit: VALUE_BYTES_MAX });
        }
        self.on_disk("write", key, value.len(), move |files, key| files.put(key, &value)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        check_key(key)?;
        self.on_disk("read", key, 0, Files::get).await
    }

    async fn contains(&self, key: &str) -> Result<bool, StorageError> {
        check_key(key)?;
        self.on_disk("look-up", key, 0, Files::contains).await
    }

    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        check_key(key)?;
        self.on_disk("removal", key, 0, Files::remove).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        if !folder.is_empty() {
            check_key(folder)?;
        }
        self.on_disk("listing", folder, 0, Files::list).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use deterministic::{Crash, MemoryDisk, Simulation, simulation::CostTable};
    use proptest::prelude::*;

    use super::*;

    struct World {
        simulation: Simulation,
        disk: Arc<MemoryDisk>,
    }

    impl World {
        fn new() -> Self {
            let simulation = Simulation::new(0);
            simulation.set_costs(CostTable::free());
            Self { simulation, disk: Arc::new(MemoryDisk::new()) }
        }

        fn open(&self) -> Result<FileStore, StorageError> {
            FileStore::open(self.disk.clone(), "values", self.simulation.environment("a").compute)
        }

        fn run<T>(&self, future: impl Future<Output = T>) -> T {
            self.simulation.run_until(future).unwrap()
        }

        fn content(&self) -> Result<BTreeMap<String, Bytes>, StorageError> {
            let store = self.open()?;
            let mut content = BTreeMap::new();
            for folder in ["", "a"] {
                for key in self.run(store.list(folder))? {
                    let value = self.run(store.get(&key))?.expect("listed values are there");
                    content.insert(key, value);
                }
            }
            Ok(content)
        }

        /// Writes, replaces and removes until the disk fails. What is acknowledged, and what was under way.
        fn write_until_failure(&self) -> (BTreeMap<String, Bytes>, BTreeMap<String, Bytes>) {
            let mut done = BTreeMap::new();
            let Ok(store) = self.open() else {
                return (done.clone(), done);
            };
            let steps = [("one", 1), ("a/two", 2), ("one", 3), ("a/three", 4), ("a/two", 5)];
            for (key, byte) in steps {
                let value = Bytes::from(vec![byte; 50]);
                let mut next: BTreeMap<String, Bytes> = done.clone();
                next.insert(key.to_string(), value.clone());
                if self.run(store.put(key, value)).is_err() {
                    return (done, next);
                }
                done = next;
            }
            (done.clone(), done)
        }
    }

    /// Crashes at every call that writes, in many ways; counts lost, mixed-up and unreadable values.
    fn broken_promises(prepare: impl Fn(&MemoryDisk)) -> usize {
        let world = World::new();
        world.write_until_failure();
        let total = world.disk.operations();
        assert!(total > 20);
        let mut broken = 0;
        for crash in (0..40).map(Crash::Seed).chain([Crash::Forget, Crash::Keep]) {
            for operation in 0..=total {
                let world = World::new();
                prepare(&world.disk);
                world.disk.fail_after(operation);
                let (done, next) = world.write_until_failure();
                world.disk.crash(crash);
                let first = world.content();
                world.disk.crash(Crash::Forget);
                let second = world.content();
                let kept = |content: &Result<BTreeMap<String, Bytes>, StorageError>| {
                    content.as_ref().is_ok_and(|content| *content == done || *content == next)
                };
                let same = matches!((&first, &second), (Ok(first), Ok(second)) if first == second);
                if !kept(&first) || !same {
                    broken += 1;
                }
            }
        }
        broken
    }

    #[test]
    fn no_crash_at_any_write_loses_or_tears_a_value() {
        assert_eq!(broken_promises(|_| ()), 0);
    }

    #[test]
    fn without_a_sync_crashes_lose_values() {
        assert!(broken_promises(|disk| disk.ignore_sync(true)) > 0);
        assert!(broken_promises(|disk| disk.ignore_sync_dir(true)) > 0);
    }

    #[test]
    fn values_are_put_replaced_listed_and_removed() {
        let world = World::new();
        let store = world.open().unwrap();
        for (key, value) in [("top", ""), ("a/x", "1"), ("a/x", "2"), ("a/b/deep", "3")] {
            world.run(store.put(key, Bytes::from(value))).unwrap();
        }
        assert_eq!(world.run(store.get("top")).unwrap().unwrap(), "");
        assert_eq!(world.run(store.get("a/x")).unwrap().unwrap(), "2");
        assert_eq!(world.run(store.list("")).unwrap(), ["top"]);
        assert_eq!(world.run(store.list("a")).unwrap(), ["a/x"]);
        assert_eq!(world.run(store.list("nowhere")).unwrap(), Vec::<String>::new());
        for absent in ["b", "a", "top/x"] {
            assert_eq!(world.run(store.get(absent)).unwrap(), None);
            assert!(!world.run(store.contains(absent)).unwrap());
            world.run(store.remove(absent)).unwrap();
        }
        assert!(world.run(store.contains("a/x")).unwrap());
        world.run(store.remove("a/x")).unwrap();
        assert!(!world.run(store.contains("a/x")).unwrap());
    }

    #[test]
    fn changed_or_foreign_files_are_corrupt() {
        let world = World::new();
        let store = world.open().unwrap();
        world.run(store.put("a", Bytes::from("value"))).unwrap();
        for byte in 0..HEADER_BYTES + 5 {
            world.disk.flip_bit("values/a", byte).unwrap();
            assert!(matches!(world.run(store.get("a")), Err(StorageError::Corrupt { .. })), "byte {byte}");
            world.disk.flip_bit("values/a", byte).unwrap();
        }
        let file = world.disk.read("values/a").unwrap();
        for foreign in [&file[..10], &file[..file.len() - 1], b""] {
            world.disk.write("values/a", foreign).unwrap();
            assert!(matches!(world.run(store.get("a")), Err(StorageError::Corrupt { .. })));
        }
        // A good file under another name is not that value.
        world.disk.write("values/b", &file).unwrap();
        assert!(matches!(world.run(store.get("b")), Err(StorageError::Corrupt { .. })));
    }

    #[test]
    fn full_disk_refuses_keeps_the_old_and_leaves_nothing_behind() {
        let world = World::new();
        let store = world.open().unwrap();
        world.run(store.put("a", Bytes::from("old"))).unwrap();
        world.disk.set_capacity(Some(100));
        let error = world.run(store.put("a", Bytes::from(vec![0; 200]))).unwrap_err();
        assert!(matches!(&error, StorageError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull));
        assert_eq!(world.disk.list("values").unwrap(), ["a"]);
        assert_eq!(world.run(store.get("a")).unwrap().unwrap(), "old");
        world.run(store.put("a", Bytes::from("new"))).unwrap();
    }

    #[test]
    fn bad_keys_and_oversized_values_are_refused() {
        let world = World::new();
        let store = world.open().unwrap();
        let deep = ["x"; FOLDERS_DEPTH_MAX + 2].join("/");
        let (long, long_part) = ("x/".repeat(KEY_BYTES_MAX), "x".repeat(KEY_PART_BYTES_MAX + 1));
        for bad in ["", "/", "a/", "..", "a/../b", "A", "a b", "a~1", "a\0", &deep, &long, &long_part] {
            assert!(world.run(store.put(bad, Bytes::new())).is_err(), "{bad:?}");
            assert!(world.run(store.get(bad)).is_err(), "{bad:?}");
        }
        let huge = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
        assert!(matches!(world.run(store.put("a", huge)), Err(StorageError::TooLarge { .. })));
        let deepest = ["x"; FOLDERS_DEPTH_MAX + 1].join("/");
        world.run(store.put(&deepest, Bytes::new())).unwrap();
    }

    proptest! {
        #[test]
        fn garbage_never_panics_nor_passes(garbage: Vec<u8>) {
            prop_assert!(parse("key", Bytes::from(garbage)).is_err());
        }
    }
}
