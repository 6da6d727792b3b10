//! A disk in memory that knows what was synced, and loses the rest when told to crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::{
    disk::{Disk, cannot_cut, check_directory, check_path, parent},
    entropy::below_with,
    simulation::{derive, lock},
};

/// What a crash does to all that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// It is lost.
    Forget,
    /// It survives, and is still not durable: the process has ended, the machine runs on.
    Keep,
    /// Each change to a file or a name is kept, lost or torn by itself, as the seed decides: later ones may
    /// survive earlier ones, appended bytes may be cut short or read as zeros.
    Seed(u64),
}

/// [`Disk`] in memory.
///
/// Reads see every change at once. On [`MemoryDisk::crash`] what was not made durable meets its fate, see
/// [`Crash`].
#[derive(Default)]
pub struct MemoryDisk(Mutex<State>);

#[derive(Default)]
struct State {
    /// Durable at once, as [`Disk::create_dir_all`] says.
    directories: BTreeSet<String>,
    names: BTreeMap<String, FileRef>,
    durable_names: BTreeMap<String, FileRef>,
    /// Changes of names whose directory was not synced since, in order.
    unsynced_names: Vec<NameChange>,
    /// Bytes in files that have a name.
    used_bytes: u64,
    capacity_bytes: Option<u64>,
    /// Calls that write, so far.
    operations: u64,
    /// The call that dies, counted as `operations`.
    fails_at: Option<u64>,
    ignores_sync: bool,
    ignores_sync_dir: bool,
}

/// A file may have a name in what is seen and another, or none, in what is durable.
type FileRef = Arc<Mutex<Content>>;

#[derive(Clone, Default)]
struct Content {
    current: Vec<u8>,
    /// This many first bytes of `current` are durable, unless `synced` holds what is.
    synced_bytes: usize,
    synced: Option<Vec<u8>>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Append { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// One atomic change of names.
struct NameChange {
    /// Its directory: that of the name that is given, or else taken.
    directory: String,
    taken: Option<String>,
    given: Option<String>,
    file: FileRef,
}

fn not_found(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file or directory {path:?}"))
}

fn dead() -> io::Error {
    io::Error::other("the disk has failed, as it was told to")
}

impl Content {
    fn append(&mut self, bytes: &[u8]) {
        self.unsynced.push(Change::Append { offset: self.current.len(), bytes: bytes.to_vec() });
        self.current.extend_from_slice(bytes);
    }

    fn truncate(&mut self, length: usize) {
        if self.synced.is_none() {
            self.synced = Some(self.current[..self.synced_bytes].to_vec());
        }
        self.unsynced.push(Change::Truncate(length));
        self.current.truncate(length);
    }

    fn sync(&mut self) {
        self.synced_bytes = self.current.len();
        self.synced = None;
        self.unsynced.clear();
    }

    fn crash(&mut self, crash: Crash, draw: &mut dyn FnMut(u64) -> u64) {
        if crash == Crash::Keep {
            return self.sync();
        }
        let changes = std::mem::take(&mut self.unsynced);
        let durable = self.synced.take();
        self.current = durable.unwrap_or_else(|| self.current[..self.synced_bytes].to_vec());
        if let Crash::Seed(_) = crash {
            changes.into_iter().for_each(|change| self.survive(change, draw));
        }
        self.sync();
    }

    /// One change survives the crash, or does not, or in part.
    fn survive(&mut self, change: Change, draw: &mut dyn FnMut(u64) -> u64) {
        let (offset, mut bytes) = match change {
            Change::Truncate(length) => {
                if draw(2) == 0 {
                    self.current.truncate(length);
                }
                return;
            }
            Change::Append { offset, bytes } => (offset, bytes),
        };
        let cut = draw(bytes.len() as u64 + 1) as usize;
        match draw(5) {
            0 => return,
            1 => {}
            2 => bytes.truncate(cut),
            // The file's length was written, its data was not, or only from the middle on.
            3 => bytes.fill(0),
            _ => bytes[..cut].fill(0),
        }
        let end = offset + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(&bytes);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, FileRef>) {
        if let Some(taken) = &self.taken
            && names.get(taken).is_some_and(|file| Arc::ptr_eq(file, &self.file))
        {
            names.remove(taken);
        }
        if let Some(given) = &self.given {
            names.insert(given.clone(), self.file.clone());
        }
    }
}

impl State {
    /// The disk after a crash: what is left is durable, and it is as large and as honest as it was.
    fn after(&self, crash: Crash) -> Self {
        let seed = if let Crash::Seed(seed) = crash { seed } else { 0 };
        let mut random = ChaCha8Rng::from_seed(derive(seed, "crash of a disk", 0));
        let mut draw = |bound| below_with(|| random.next_u64(), bound);
        let mut names = self.durable_names.clone();
        for change in &self.unsynced_names {
            if crash == Crash::Keep || (crash != Crash::Forget && draw(2) == 0) {
                change.apply(&mut names);
            }
        }
        let mut used_bytes = 0;
        for file in names.values_mut() {
            let mut content = lock(file).clone();
            content.crash(crash, &mut draw);
            used_bytes += content.current.len() as u64;
            *file = Arc::new(Mutex::new(content));
        }
        Self {
            directories: self.directories.clone(),
            durable_names: names.clone(),
            names,
            used_bytes,
            operations: self.operations,
            capacity_bytes: self.capacity_bytes,
            ignores_sync: self.ignores_sync,
            ignores_sync_dir: self.ignores_sync_dir,
            ..Self::default()
        }
    }

    fn check_directory(&self, path: &str) -> io::Result<()> {
        if path.is_empty() || self.directories.contains(path) { Ok(()) } else { Err(not_found(path)) }
    }

    fn file(&self, path: &str) -> io::Result<FileRef> {
        self.names.get(path).cloned().ok_or_else(|| not_found(path))
    }

    /// Whether a file may be at this path.
    fn check_place(&self, path: &str) -> io::Result<()> {
        self.check_directory(parent(path))?;
        if self.directories.contains(path) { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
    }

    fn file_or_new(&mut self, path: &str) -> io::Result<FileRef> {
        self.check_place(path)?;
        if let Some(file) = self.names.get(path) {
            return Ok(file.clone());
        }
        let file = FileRef::default();
        self.change_names(None, Some(path), file.clone());
        Ok(file)
    }

    fn change_names(&mut self, taken: Option<&str>, given: Option<&str>, file: FileRef) {
        let directory = parent(given.or(taken).unwrap_or_default()).to_string();
        let change = NameChange { directory, taken: taken.map(str::to_string), given: given.map(str::to_string), file };
        if let Some(replaced) = given.and_then(|given| self.names.get(given)) {
            self.used_bytes -= lock(replaced).current.len() as u64;
        }
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    /// Appends what there is room for: a full disk takes a part and then refuses.
    fn append(&mut self, file: &FileRef, bytes: &[u8]) -> io::Result<()> {
        let room = self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes));
        let fitting = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        lock(file).append(&bytes[..fitting]);
        self.used_bytes += fitting as u64;
        if fitting < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, file: &FileRef, length: usize) {
        let mut content = lock(file);
        self.used_bytes -= content.current.len().saturating_sub(length) as u64;
        content.truncate(length);
    }
}

impl MemoryDisk {
    /// An empty disk without limits or failures.
    pub fn new() -> Self {
        Self::default()
    }

    /// The machine (or, with [`Crash::Keep`], the process) crashes and comes back: what was not durable meets
    /// its fate, and calls succeed again.
    pub fn crash(&self, crash: Crash) {
        let mut state = lock(&self.0);
        state.fails_at = None;
        if crash == Crash::Keep {
            return;
        }
        *state = state.after(crash);
    }

    /// The disk as it would be if the machine crashed now; this one goes on. With [`Crash::Keep`] all that is seen is
    /// durable there.
    pub fn after_crash(&self, crash: Crash) -> Self {
        Self(Mutex::new(lock(&self.0).after(crash)))
    }

    /// Lets the call that writes number `operations` from now (0: the very next) die: it gives an error, though
    /// its effect may be there, and all later ones fail without effect, until [`MemoryDisk::crash`].
    ///
    /// All calls but `read`, `read_range`, `list` and `len` count, syncs as well.
    pub fn fail_after(&self, operations: u64) {
        let mut state = lock(&self.0);
        state.fails_at = Some(state.operations.saturating_add(operations));
    }

    /// The calls that wrote, so far.
    pub fn operations(&self) -> u64 {
        lock(&self.0).operations
    }

    /// Whether the call that [`MemoryDisk::fail_after`] chose has been made.
    pub fn has_failed(&self) -> bool {
        let state = lock(&self.0);
        state.fails_at.is_some_and(|fails_at| state.operations > fails_at)
    }

    /// Gives the disk a size: what does not fit is refused with [`io::ErrorKind::StorageFull`], after a part of
    /// it was written. `None`: no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.0).capacity_bytes = bytes;
    }

    /// Makes [`Disk::sync`] lie: it says yes and does nothing. For tests that show that a sync is needed.
    pub fn ignore_sync(&self, ignore: bool) {
        lock(&self.0).ignores_sync = ignore;
    }

    /// Makes [`Disk::sync_dir`] lie: it says yes and does nothing.
    pub fn ignore_sync_dir(&self, ignore: bool) {
        lock(&self.0).ignores_sync_dir = ignore;
    }

    /// A call that writes. If the machine dies during it, its effect may be there, and the caller sees an error.
    fn change(&self, act: impl FnOnce(&mut State, bool) -> io::Result<()>) -> io::Result<()> {
        let mut state = lock(&self.0);
        let operation = state.operations;
        state.operations += 1;
        if state.fails_at.is_some_and(|fails_at| operation > fails_at) {
            return Err(dead());
        }
        let dies = state.fails_at == Some(operation);
        act(&mut state, dies)?;
        if dies { Err(dead()) } else { Ok(()) }
    }

    /// Flips one bit of a file, durably, as a failing disk would.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] without such a file, [`io::ErrorKind::UnexpectedEof`] without such a byte.
    pub fn flip_bit(&self, path: &str, byte: usize) -> io::Result<()> {
        let file = lock(&self.0).file(path)?;
        let mut content = lock(&file);
        *content.current.get_mut(byte).ok_or(io::ErrorKind::UnexpectedEof)? ^= 1;
        content.sync();
        Ok(())
    }
}

impl std::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = lock(&self.0);
        f.debug_struct("MemoryDisk")
            .field("files", &state.names.keys().collect::<Vec<_>>())
            .field("used_bytes", &state.used_bytes)
            .field("operations", &state.operations)
            .finish()
    }
}

impl Disk for MemoryDisk {
    fn read(&self, path: &str) -> io::Result<Bytes> {
        check_path(path)?;
        let file = lock(&self.0).file(path)?;
        let content = lock(&file);
        Ok(Bytes::copy_from_slice(&content.current))
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> io::Result<Bytes> {
        check_path(path)?;
        let file = lock(&self.0).file(path)?;
        let content = lock(&file);
        let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(length)?));
        let found = range.and_then(|range| content.current.get(range));
        found.map(Bytes::copy_from_slice).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn append(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        check_path(path)?;
        self.change(|state, _| state.file_or_new(path).and_then(|file| state.append(&file, bytes)))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        check_path(path)?;
        self.change(|state, _| {
            let file = state.file_or_new(path)?;
            state.truncate(&file, 0);
            state.append(&file, bytes)
        })
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        check_path(path)?;
        self.change(|state, dies| {
            let file = state.file(path)?;
            if !dies && !state.ignores_sync {
                lock(&file).sync();
            }
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_path(from)?;
        check_path(to)?;
        self.change(|state, _| {
            let file = state.file(from)?;
            state.check_place(to)?;
            if from != to {
                state.change_names(Some(from), Some(to), file);
            }
            Ok(())
        })
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        check_directory(directory)?;
        self.change(|state, dies| {
            state.check_directory(directory)?;
            if !dies && !state.ignores_sync_dir {
                let changes = std::mem::take(&mut state.unsynced_names);
                let (here, elsewhere): (Vec<_>, _) = changes.into_iter().partition(|one| one.directory == directory);
                state.unsynced_names = elsewhere;
                here.iter().for_each(|change| change.apply(&mut state.durable_names));
            }
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        check_path(path)?;
        self.change(|state, _| {
            let file = state.file(path)?;
            state.used_bytes -= lock(&file).current.len() as u64;
            state.change_names(Some(path), None, file);
            Ok(())
        })
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        check_directory(directory)?;
        let state = lock(&self.0);
        state.check_directory(directory)?;
        let paths = state.names.keys().chain(&state.directories);
        let mut names: Vec<String> = paths
            .filter(|path| parent(path) == directory)
            .map(|path| path.rsplit('/').next().unwrap_or_default().to_string())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn len(&self, path: &str) -> io::Result<u64> {
        check_path(path)?;
        let state = lock(&self.0);
        if state.directories.contains(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let file = state.file(path)?;
        let content = lock(&file);
        Ok(content.current.len() as u64)
    }

    fn truncate(&self, path: &str, length: u64) -> io::Result<()> {
        check_path(path)?;
        self.change(|state, _| {
            let file = state.file(path)?;
            let found = lock(&file).current.len();
            let shorter = usize::try_from(length).ok().filter(|length| *length <= found);
            state.truncate(&file, shorter.ok_or_else(|| cannot_cut(path, length, found as u64))?);
            Ok(())
        })
    }

    fn create_dir_all(&self, directory: &str) -> io::Result<()> {
        check_directory(directory)?;
        self.change(|state, _| {
            let mut path = directory;
            while !path.is_empty() {
                if state.names.contains_key(path) {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
                state.directories.insert(path.to_string());
                path = parent(path);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
