//! Compiled artifacts on disk, one file each, named by what they were compiled from and for which engine. A file is
//! written beside, synced and renamed; it begins with a hash of its content, which is checked whenever it is read.
//! All of it can be made again: a file that cannot be read, or is damaged, is as good as none.
//!
//! These calls block; the pool makes them off its loop.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use primitives::Hash;

use crate::limits::MAX_ARTIFACT_BYTES;

const DIGEST_BYTES: usize = 32;
const EXTENSION: &str = "artifact";

/// A folder of artifacts for one engine.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    fingerprint: u64,
    max_bytes: u64,
}

impl Cache {
    /// Opens a folder, makes it if need be, and removes what other engines and interrupted writes left there.
    pub(crate) fn open(folder: &Path, fingerprint: u64, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let cache = Self { folder: folder.to_path_buf(), fingerprint, max_bytes };
        let ours = cache.suffix();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let foreign = name.ends_with(EXTENSION) && !name.ends_with(&ours);
            if entry.file_type()?.is_file() && (foreign || name.ends_with(".new")) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(cache)
    }

    fn suffix(&self) -> String {
        format!("-{:016x}.{EXTENSION}", self.fingerprint)
    }

    fn path(&self, code: Hash) -> PathBuf {
        self.folder.join(format!("{}{}", hex::encode(code.0), self.suffix()))
    }

    /// The artifact of `code`, if it is here and whole.
    pub(crate) fn get(&self, code: Hash) -> Option<Vec<u8>> {
        let path = self.path(code);
        let artifact = read_checked(&path);
        match &artifact {
            // The time of the last change is what pruning goes by.
            Some(_) => drop(File::options().append(true).open(&path).and_then(|file| file.set_modified(now()))),
            None => drop(fs::remove_file(&path)),
        }
        artifact
    }

    /// Whether there seems to be an artifact of `code`; [`get`](Self::get) may still find it damaged.
    pub(crate) fn contains(&self, code: Hash) -> bool {
        self.path(code).exists()
    }

    /// Keeps the artifact of `code`, and removes those that were not used for longest if there are too many.
    pub(crate) fn put(&self, code: Hash, artifact: &[u8]) -> io::Result<()> {
        let path = self.path(code);
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(blake2b_simd::Params::new().hash_length(DIGEST_BYTES).hash(artifact).as_bytes())?;
        file.write_all(artifact)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(&self.folder)?.sync_all()?;
        self.prune(&path)
    }

    fn prune(&self, keep: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                files.push((metadata.modified()?, entry.path(), metadata.len()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, _, len)| len).sum();
        for (_, path, len) in files {
            if total <= self.max_bytes {
                break;
            }
            if path != keep {
                fs::remove_file(&path)?;
                total -= len;
            }
        }
        Ok(())
    }
}

fn now() -> SystemTime {
    SystemTime::now()
}

fn read_checked(path: &Path) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let limit = (MAX_ARTIFACT_BYTES + DIGEST_BYTES) as u64;
    File::open(path).ok()?.take(limit).read_to_end(&mut content).ok()?;
    let artifact = content.split_off_checked(DIGEST_BYTES)?;
    let digest = blake2b_simd::Params::new().hash_length(DIGEST_BYTES).hash(&artifact);
    (digest.as_bytes() == content).then_some(artifact)
}

/// `Vec::split_off` that does not panic.
trait SplitOff: Sized {
    fn split_off_checked(&mut self, at: usize) -> Option<Self>;
}

impl SplitOff for Vec<u8> {
    fn split_off_checked(&mut self, at: usize) -> Option<Self> {
        (at <= self.len()).then(|| self.split_off(at))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hash(byte: u8) -> Hash {
        Hash([byte; 32])
    }

    #[test]
    fn what_was_put_comes_back_also_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1, 1_000).unwrap();
        assert_eq!(cache.get(hash(1)), None);
        cache.put(hash(1), b"artifact").unwrap();
        assert_eq!(cache.get(hash(1)).unwrap(), b"artifact");
        fs::write(folder.path().join("interrupted.new"), b"x").unwrap();
        let cache = Cache::open(folder.path(), 1, 1_000).unwrap();
        assert!(cache.contains(hash(1)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let other_engine = Cache::open(folder.path(), 2, 1_000).unwrap();
        assert!(!other_engine.contains(hash(1)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nobody will ask for it again");
    }

    #[test]
    fn damaged_files_are_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1, 1_000).unwrap();
        for damage in [|content: &mut Vec<u8>| content[40] ^= 1, |content: &mut Vec<u8>| content.truncate(10)] {
            cache.put(hash(1), b"an artifact").unwrap();
            let path = cache.path(hash(1));
            let mut content = fs::read(&path).unwrap();
            damage(&mut content);
            fs::write(&path, content).unwrap();
            assert_eq!(cache.get(hash(1)), None);
            assert!(!cache.contains(hash(1)), "removed, so that it is made again");
        }
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1, 300).unwrap();
        for byte in 1..=2 {
            cache.put(hash(byte), &[byte; 100]).unwrap();
            let old = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(byte));
            let file = File::options().append(true).open(cache.path(hash(byte))).unwrap();
            file.set_modified(old).unwrap();
        }
        cache.get(hash(1)).unwrap();
        cache.put(hash(3), &[3; 100]).unwrap();
        let present: Vec<bool> = (1..=3).map(|byte| cache.contains(hash(byte))).collect();
        assert_eq!(present, [true, false, true]);
    }
}
