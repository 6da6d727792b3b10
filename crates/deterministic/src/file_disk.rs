//! A directory of the real disk.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::disk::{Disk, cannot_cut, check_directory, check_path};

/// The file that marks a directory as ours, and whose lock keeps a second process out.
pub const LOCK_FILE: &str = "LOCK";

/// The longest mark: more in a [`LOCK_FILE`] is not ours.
const MARK_BYTES_MAX: u64 = 256;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenDiskError {
    /// A second process (or a second [`FileDisk`] in this one) has it open.
    #[error("directory {path} is in use by another process")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// There is something at the path that is not a directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It holds other things: it has entries, but not our mark.
    #[error(
        "directory {path} holds other things (such as {entry:?}): expected an empty one or one made by this program"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the entries.
        entry: String,
    },
    /// It was made by another program or version.
    #[error("directory {path} is marked {found:?}, expected {expected:?}")]
    OtherMark {
        /// The directory.
        path: PathBuf,
        /// Its mark.
        found: String,
        /// The mark that was expected.
        expected: String,
    },
    /// The operating system refused: no permission, read-only, no space.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

/// [`Disk`] over a directory of the real one; the directory is locked as long as this lives.
#[derive(Debug)]
pub struct FileDisk {
    root: PathBuf,
    /// Its lock ends when it is closed, also by a crash.
    _lock: File,
}

impl FileDisk {
    /// Opens `root`, creating it if missing; `mark` names program and layout, such as `"my node, layout 1"`.
    ///
    /// An empty directory is marked; one with entries must bear the same mark.
    ///
    /// # Errors
    ///
    /// See [`OpenDiskError`]; nothing that was there has been changed then.
    pub fn open(root: &Path, mark: &str) -> Result<Self, OpenDiskError> {
        let fail = |operation, path: &Path| {
            let path = path.to_path_buf();
            move |source| OpenDiskError::Io { operation, path, source }
        };
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_durably(root).map_err(fail("create directory", root))?;
            }
            Err(error) if error.kind() != io::ErrorKind::NotADirectory => return Err(fail("look at", root)(error)),
            Ok(_) | Err(_) => return Err(OpenDiskError::NotADirectory { path: root.to_path_buf() }),
        }
        let lock_path = root.join(LOCK_FILE);
        let entry = first_foreign_entry(root).map_err(fail("read directory", root))?;
        if let Some(entry) = &entry
            && !lock_path.is_file()
        {
            return Err(OpenDiskError::Foreign { path: root.to_path_buf(), entry: entry.clone() });
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(fail("open", &lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenDiskError::InUse { path: root.to_path_buf() },
            TryLockError::Error(source) => fail("lock", &lock_path)(source),
        })?;
        let mut found = Vec::new();
        Read::by_ref(&mut lock).take(MARK_BYTES_MAX).read_to_end(&mut found).map_err(fail("read", &lock_path))?;
        if found != mark.as_bytes() {
            // A crash while the mark was written leaves a beginning of it in an otherwise empty directory.
            if entry.is_some() || !mark.as_bytes().starts_with(&found) {
                let found = String::from_utf8_lossy(&found).into_owned();
                return Err(OpenDiskError::OtherMark { path: root.to_path_buf(), found, expected: mark.to_string() });
            }
            lock.seek(SeekFrom::Start(0))
                .and_then(|_| lock.write_all(mark.as_bytes()))
                .and_then(|()| lock.sync_all())
                .and_then(|()| File::open(root)?.sync_all())
                .map_err(fail("mark", &lock_path))?;
        }
        Ok(Self { root: root.to_path_buf(), _lock: lock })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn file(&self, path: &str) -> io::Result<PathBuf> {
        check_path(path)?;
        if path == LOCK_FILE {
            let message = format!("path {path:?} is the directory's own lock file");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(self.root.join(path))
    }

    fn directory(&self, path: &str) -> io::Result<PathBuf> {
        check_directory(path)?;
        Ok(if path.is_empty() { self.root.clone() } else { self.root.join(path) })
    }
}

/// An entry other than the lock file, if there is one.
fn first_foreign_entry(root: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        if name != LOCK_FILE {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// Creates a directory and those above it, syncing each directory that got a new entry.
fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    // A relative path of one part lies in the current directory.
    let above = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_durably(above)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    File::open(above)?.sync_all().inspect_err(|_| {
        // Else the next call would find it there and take it for durable.
        let _left = fs::remove_dir(path);
    })
}

impl Disk for FileDisk {
    fn read(&self, path: &str) -> io::Result<Bytes> {
        fs::read(self.file(path)?).map(Bytes::from)
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut file = File::open(self.file(path)?)?;
        // Looked at first, so that a wrong length is an error, not an allocation.
        let end = offset.checked_add(length as u64).filter(|end| file.metadata().is_ok_and(|data| *end <= data.len()));
        if end.is_none() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.seek(SeekFrom::Start(offset))?;
        let mut out = vec![0; length];
        file.read_exact(&mut out)?;
        Ok(out.into())
    }

    fn append(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).open(self.file(path)?)?.write_all(bytes)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        fs::write(self.file(path)?, bytes)
    }

    fn sync(&self, path: &str) -> io::Result<()> {
        File::open(self.file(path)?)?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from)?, self.file(to)?)
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        File::open(self.directory(directory)?)?.sync_all()
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.file(path)?)
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.directory(directory)?)? {
            // Names that are not text were not given by us.
            if let Ok(name) = entry?.file_name().into_string()
                && !(directory.is_empty() && name == LOCK_FILE)
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn len(&self, path: &str) -> io::Result<u64> {
        let metadata = fs::metadata(self.file(path)?)?;
        if metadata.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(metadata.len()) }
    }

    fn truncate(&self, path: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.file(path)?)?;
        let found = file.metadata()?.len();
        if found < length {
            return Err(cannot_cut(path, length, found));
        }
        file.set_len(length)
    }

    fn create_dir_all(&self, directory: &str) -> io::Result<()> {
        create_durably(&self.directory(directory)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "test, layout 1";

    #[test]
    fn second_opener_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("deep/base");
        let first = FileDisk::open(&root, MARK).unwrap();
        assert!(matches!(FileDisk::open(&root, MARK), Err(OpenDiskError::InUse { .. })));
        first.write("kept", b"1").unwrap();
        drop(first);
        let second = FileDisk::open(&root, MARK).unwrap();
        assert_eq!(second.list("").unwrap(), ["kept"]);
        assert!(second.remove(LOCK_FILE).is_err());
    }

    #[test]
    fn foreign_paths_are_refused_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("letter.txt"), b"dear").unwrap();
        assert!(
            matches!(FileDisk::open(root, MARK), Err(OpenDiskError::Foreign { entry, .. }) if entry == "letter.txt")
        );
        assert_eq!(fs::read_dir(root).unwrap().count(), 1);
        let file = root.join("letter.txt");
        assert!(matches!(FileDisk::open(&file, MARK), Err(OpenDiskError::NotADirectory { .. })));
        assert!(matches!(FileDisk::open(&file.join("below"), MARK), Err(OpenDiskError::NotADirectory { .. })));
        // Not readable by anyone: a path with a NUL byte.
        assert!(matches!(FileDisk::open(Path::new("a\0b"), MARK), Err(OpenDiskError::Io { .. })));
    }

    #[test]
    fn other_mark_is_refused_and_a_torn_one_is_mended() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join(LOCK_FILE), b"test, la").unwrap();
        FileDisk::open(root, MARK).unwrap().write("a", b"").unwrap();
        let error = FileDisk::open(root, "test, layout 2").unwrap_err();
        assert!(matches!(&error, OpenDiskError::OtherMark { found, .. } if found == MARK), "{error}");
        fs::write(root.join(LOCK_FILE), b"test, la").unwrap();
        assert!(matches!(FileDisk::open(root, MARK), Err(OpenDiskError::OtherMark { .. })));
    }

    #[test]
    fn does_what_the_port_says() {
        let directory = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(directory.path(), MARK).unwrap();
        crate::disk::tests::check_disk(&disk);
    }
}
