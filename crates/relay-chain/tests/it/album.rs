//! A disk that keeps a picture of what a crash would leave before each of its writes.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
use deterministic::{Crash, Disk, MemoryDisk};
use primitives::{BlockNumber, Hash};
use relay_chain::RelayChain;

/// A disk as crashes before a write would leave it: one that loses all that was not synced, one with a fate of its own.
pub(crate) struct Picture {
    pub(crate) disks: [Arc<MemoryDisk>; 2],
    /// What the chain had said to be final by then.
    pub(crate) finalized: Option<(Hash, BlockNumber)>,
}

/// Takes the pictures.
pub(crate) struct Album {
    disk: Arc<MemoryDisk>,
    /// Whose disk it is, once it runs.
    chain: Mutex<Weak<RelayChain>>,
    pictures: Mutex<Vec<Picture>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Album {
    pub(crate) fn of(disk: Arc<MemoryDisk>) -> Arc<Self> {
        Arc::new(Self { disk, chain: Mutex::default(), pictures: Mutex::default() })
    }

    pub(crate) fn belongs_to(&self, chain: &Arc<RelayChain>) {
        *lock(&self.chain) = Arc::downgrade(chain);
    }

    pub(crate) fn take(&self) -> Vec<Picture> {
        std::mem::take(&mut lock(&self.pictures))
    }

    /// To be called before each write.
    fn picture(&self) {
        let finalized = lock(&self.chain).upgrade().map(|chain| chain.status().finalized);
        let mut pictures = lock(&self.pictures);
        let seed = pictures.len() as u64;
        let disks = [Crash::Forget, Crash::Seed(seed)].map(|crash| Arc::new(self.disk.after_crash(crash)));
        pictures.push(Picture { disks, finalized });
    }
}

impl Disk for Album {
    fn read(&self, path: &str) -> io::Result<Bytes> {
        self.disk.read(path)
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> io::Result<Bytes> {
        self.disk.read_range(path, offset, length)
    }

    fn append(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.picture();
        self.disk.append(path, bytes)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.picture();
        self.disk.write(path, bytes)
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        self.picture();
        self.disk.sync(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.picture();
        self.disk.rename(from, to)
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        self.picture();
        self.disk.sync_dir(directory)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.picture();
        self.disk.remove(path)
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.disk.list(directory)
    }

    fn len(&self, path: &str) -> io::Result<u64> {
        self.disk.len(path)
    }

    fn truncate(&self, path: &str, length: u64) -> io::Result<()> {
        self.picture();
        self.disk.truncate(path, length)
    }

    fn create_dir_all(&self, directory: &str) -> io::Result<()> {
        self.picture();
        self.disk.create_dir_all(directory)
    }
}
