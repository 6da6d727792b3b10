//! A disk that says what is durable and what is not.

use std::io;

use bytes::Bytes;

/// The longest path a [`Disk`] takes, in bytes: far below every file system's own limit.
pub const PATH_BYTES_MAX: usize = 1_024;

/// Files under one directory; all calls block, so the node makes them through [`crate::Compute`] with
/// [`crate::ComputeKind::Disk`].
///
/// Paths are relative and slash-separated, without empty parts, `.` or `..`; the empty path is the root
/// directory, where a directory is meant. Others are refused with [`io::ErrorKind::InvalidInput`].
///
/// **Durable** means: still there after a power cut. Nothing is, until it was synced: a file's content by
/// [`Disk::sync`], the fact that a file has (or lost) its name by [`Disk::sync_dir`] on its directory.
///
/// # Errors
///
/// Each call gives the operating system's error; a missing file is [`io::ErrorKind::NotFound`], a full disk
/// [`io::ErrorKind::StorageFull`]. After a failed call that writes, part of its effect may have happened.
pub trait Disk: Send + Sync {
    /// The whole content of a file.
    fn read(&self, path: &str) -> io::Result<Bytes>;

    /// `length` bytes from `offset` on; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_range(&self, path: &str, offset: u64, length: usize) -> io::Result<Bytes>;

    /// Appends to a file, which is created if missing.
    fn append(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Replaces a file's content, in place (a crash can leave any mixture); creates it if missing.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file's content durable.
    fn sync(&self, path: &str) -> io::Result<()>;

    /// Gives a file another name, replacing the file that had it. Atomic: a crash leaves either name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, directory: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// The names in a directory, of files and directories, sorted.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;

    /// A file's length in bytes; [`io::ErrorKind::IsADirectory`] for a directory.
    fn len(&self, path: &str) -> io::Result<u64>;

    /// Cuts a file to `length` bytes; [`io::ErrorKind::InvalidInput`] if it is shorter.
    fn truncate(&self, path: &str, length: u64) -> io::Result<()>;

    /// Creates a directory and those above it, durably.
    fn create_dir_all(&self, directory: &str) -> io::Result<()>;
}

/// Checks the path of a file.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`], naming the path.
pub fn check_path(path: &str) -> io::Result<()> {
    let part_is_bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(['\\', '\0']);
    if path.len() > PATH_BYTES_MAX || path.split('/').any(part_is_bad) {
        let message = format!("path {path:?} is not relative, slash-separated, and at most {PATH_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Checks the path of a directory; the empty one is the root.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`], naming the path.
pub fn check_directory(path: &str) -> io::Result<()> {
    if path.is_empty() { Ok(()) } else { check_path(path) }
}

pub(crate) fn cannot_cut(path: &str, length: u64, found: u64) -> io::Error {
    let message = format!("cannot cut {path:?} to {length} bytes: it has {found}");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The directory that a path is in.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_directory_are_refused() {
        for bad in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a\\b", "a\0", &"x".repeat(PATH_BYTES_MAX + 1)] {
            assert_eq!(check_path(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad:?}");
        }
        for good in ["a", "a/b", "a.b/..c"] {
            check_path(good).unwrap();
        }
        assert_eq!((parent("a"), parent("a/b/c")), ("", "a/b"));
    }

    /// What every disk must do alike, in memory and for real.
    pub(crate) fn check_disk(disk: &dyn Disk) {
        let kind = |outcome: io::Result<()>| outcome.unwrap_err().kind();
        disk.create_dir_all("a/b").unwrap();
        disk.create_dir_all("a/b").unwrap();
        disk.append("a/b/log", b"one").unwrap();
        disk.append("a/b/log", b"two").unwrap();
        disk.sync("a/b/log").unwrap();
        disk.sync_dir("a/b").unwrap();
        assert_eq!(disk.read("a/b/log").unwrap(), "onetwo");
        assert_eq!(disk.read_range("a/b/log", 2, 3).unwrap(), "etw");
        assert_eq!(disk.read_range("a/b/log", 6, 0).unwrap(), "");
        for (offset, length) in [(0, 7), (7, 0), (u64::MAX, 1), (0, usize::MAX)] {
            let error = disk.read_range("a/b/log", offset, length).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        disk.truncate("a/b/log", 4).unwrap();
        assert_eq!(kind(disk.truncate("a/b/log", 5)), io::ErrorKind::InvalidInput);
        assert_eq!(disk.len("a/b/log").unwrap(), 4);
        disk.write("a/b/new", b"fresh").unwrap();
        disk.rename("a/b/new", "a/b/log").unwrap();
        assert_eq!(disk.read("a/b/log").unwrap(), "fresh");
        assert_eq!(kind(disk.len("a/b").map(drop)), io::ErrorKind::IsADirectory);
        disk.write("a/top", b"").unwrap();
        assert_eq!(disk.list("a").unwrap(), ["b", "top"]);
        assert_eq!(disk.list("a/b").unwrap(), ["log"]);
        disk.remove("a/b/log").unwrap();
        assert_eq!(disk.list("a/b").unwrap(), Vec::<String>::new());
        for missing in [
            disk.remove("a/b/log"),
            disk.sync("a/b/log"),
            disk.sync_dir("c"),
            disk.rename("a/b/log", "a/x"),
            disk.truncate("a/b/log", 0),
            disk.append("c/log", b"x"),
            disk.write("c/log", b"x"),
            disk.read("nowhere").map(drop),
            disk.len("nowhere").map(drop),
            disk.list("c").map(drop),
        ] {
            assert_eq!(kind(missing), io::ErrorKind::NotFound);
        }
        assert_eq!(kind(disk.append("../x", b"x")), io::ErrorKind::InvalidInput);
    }
}
