//! An append-only file of checksummed records over any [`Disk`].
//!
//! Role: keeps what must not be forgotten once it was said, such as what a validator has signed. [`Journal`] writes on the
//! caller's thread; [`GroupJournal`] lets many async callers share its syncs.
//!
//! Receives: records of bytes. Sends: nothing.
//!
//! Invariants: what a commit has returned for is there after a crash, whole and in order; nothing that was synced is ever
//! cut off. All records of one [`Journal::commit`] make one frame, which is appended and synced before the commit
//! returns. So at most the last frame can be torn by a crash: on opening, a bad end of the file is cut off, as
//! long as it can have been one unfinished frame; a bad frame with a good one behind it is
//! [`JournalError::Corrupt`], and nothing is cut.
//!
//! Layout, numbers little-endian: `"journal" 1` and 8 bytes that name what is kept, then frames of
//! `"JFRM"`, payload length (u32), frame number (u64), checksum (u64, XXH3 of payload, seeded with number and
//! place) and payload; a payload is records of length (u32) and bytes.
//!
//! Limits: [`FRAME_BYTES_MAX`], [`JOURNAL_BYTES_MAX`], [`PENDING_RECORDS_MAX`].
#![forbid(unsafe_code)]

use std::{io, sync::Arc};

use bytes::{Buf, Bytes};
use twox_hash::XxHash3_64;

use deterministic::{
    ComputeError, Disk,
    disk::{check_path, parent},
};

mod group;
#[cfg(test)]
mod tests;

pub use group::GroupJournal;

/// The longest payload of a frame, in bytes: what one commit may hold, with 4 bytes per record.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest journal, in bytes. Its owner rewrites it long before; it is read whole on opening.
pub const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Records that may wait to be committed in one frame by [`GroupJournal`]; more wait for their turn.
pub const PENDING_RECORDS_MAX: usize = 1_024;

const MAGIC: [u8; 8] = *b"journal\x01";
const HEADER_BYTES: usize = 16;
const FRAME_MAGIC: [u8; 4] = *b"JFRM";
const FRAME_HEADER_BYTES: usize = 24;
const LENGTH_BYTES: usize = 4;

/// Why a journal cannot be opened or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refused.
    #[error("cannot {operation} journal {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The journal.
        path: String,
        /// The disk's error; shared, because a group commit fails for several callers.
        source: Arc<io::Error>,
    },
    /// It is not a journal, or keeps something else.
    #[error("{path} is not a journal of kind {expected:?}")]
    Foreign {
        /// The file.
        path: String,
        /// The kind that was expected.
        expected: String,
    },
    /// A frame that was once synced cannot be read.
    #[error("journal {path} is corrupt at byte {offset}: {reason}")]
    Corrupt {
        /// The journal.
        path: String,
        /// Where the bad frame begins.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// One commit is too large.
    #[error("a commit of {bytes} bytes to journal {path} is over the limit of {FRAME_BYTES_MAX}")]
    TooLarge {
        /// The journal.
        path: String,
        /// The size of the commit.
        bytes: usize,
    },
    /// It would grow over [`JOURNAL_BYTES_MAX`].
    #[error("journal {path} is full: {JOURNAL_BYTES_MAX} bytes are allowed")]
    Full {
        /// The journal.
        path: String,
    },
    /// An earlier write failed in a way that leaves open what is on disk; only opening it anew tells.
    #[error("journal {path} must be opened anew: an earlier write failed")]
    Poisoned {
        /// The journal.
        path: String,
    },
    /// The pool that was to write it did not.
    #[error("journal {path} was not written")]
    Compute {
        /// The journal.
        path: String,
        /// Why.
        #[source]
        source: ComputeError,
    },
}

/// A journal that was opened, and what it held.
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// Its records, in order; slices of one buffer.
    pub records: Vec<Bytes>,
    /// Bytes that were cut off at its end: an unfinished, never acknowledged commit. Worth a line in a log.
    pub cut_bytes: u64,
}

/// An open journal. There must be one per file.
pub struct Journal {
    disk: Arc<dyn Disk>,
    path: String,
    header: [u8; HEADER_BYTES],
    length: u64,
    next_frame: u64,
    poisoned: bool,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("path", &self.path).field("length", &self.length).finish_non_exhaustive()
    }
}

/// What was found in a journal's bytes.
struct Scan {
    records: Vec<Bytes>,
    /// The end of the last good frame.
    end: usize,
    frames: u64,
}

impl Journal {
    /// Opens the journal at `path`, creating it if missing; its directory must exist. `kind` names what it
    /// keeps, so that one journal is not taken for another.
    ///
    /// What it returns is durable, also if its writer ended before syncing it.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`], [`JournalError::Foreign`], [`JournalError::Corrupt`], [`JournalError::Full`] if it
    /// is over the limit.
    pub fn open(disk: Arc<dyn Disk>, path: &str, kind: [u8; 8]) -> Result<Opened, JournalError> {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..].copy_from_slice(&kind);
        let mut journal = Self { disk, path: path.to_string(), header, length: 0, next_frame: 0, poisoned: false };
        journal.io("name", |_, path| check_path(path))?;
        match journal.disk.len(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                journal.replace(&[])?;
                return Ok(Opened { journal, records: Vec::new(), cut_bytes: 0 });
            }
            Err(error) => return Err(journal.failed("look at", error)),
            Ok(length) if length > JOURNAL_BYTES_MAX => {
                return Err(JournalError::Full { path: journal.path });
            }
            Ok(_) => {}
        }
        let bytes = journal.io("read", Disk::read)?;
        if !bytes.starts_with(&journal.header) {
            let expected = String::from_utf8_lossy(&kind).into_owned();
            return Err(JournalError::Foreign { path: journal.path, expected });
        }
        let scan = scan(&bytes).map_err(|(offset, reason)| JournalError::Corrupt {
            path: path.to_string(),
            offset: offset as u64,
            reason,
        })?;
        journal.length = scan.end as u64;
        journal.next_frame = scan.frames;
        let cut_bytes = bytes.len() as u64 - journal.length;
        if cut_bytes > 0 {
            let length = journal.length;
            journal.io("cut", |disk, path| disk.truncate(path, length))?;
        }
        // What was read may sit in the system's cache only; whoever acts on it must find it again.
        journal.io("sync", Disk::sync)?;
        journal.io("sync the directory of", |disk, path| disk.sync_dir(parent(path)))?;
        Ok(Opened { journal, records: scan.records, cut_bytes })
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends `records`, all or none of them. When it returns they are durable.
    ///
    /// # Errors
    ///
    /// [`JournalError::TooLarge`] and [`JournalError::Full`] change nothing. After [`JournalError::Io`] the
    /// records may be found on the next opening, or not; if the write could not be undone, further commits are
    /// [`JournalError::Poisoned`].
    pub fn commit<R: AsRef<[u8]>>(&mut self, records: &[R]) -> Result<(), JournalError> {
        self.check_not_poisoned()?;
        if records.is_empty() {
            return Ok(());
        }
        let payload_bytes = records.iter().map(|record| framed_bytes(record.as_ref())).sum();
        if payload_bytes > FRAME_BYTES_MAX {
            return Err(JournalError::TooLarge { path: self.path.clone(), bytes: payload_bytes });
        }
        let frame = frame(self.next_frame, self.length, records, payload_bytes);
        if self.length + frame.len() as u64 > JOURNAL_BYTES_MAX {
            return Err(JournalError::Full { path: self.path.clone() });
        }
        if let Err(error) = self.io("append to", |disk, path| disk.append(path, &frame)) {
            // A full disk may get room again: nothing is lost if the part that was written is taken back.
            let length = self.length;
            let undone =
                self.io("cut", |disk, path| disk.truncate(path, length)).and_then(|()| self.io("sync", Disk::sync));
            self.poisoned = undone.is_err();
            return Err(error);
        }
        if let Err(error) = self.io("sync", Disk::sync) {
            // Whether the data reached the disk is unknown, and a second sync would not tell.
            self.poisoned = true;
            return Err(error);
        }
        self.length += frame.len() as u64;
        self.next_frame += 1;
        Ok(())
    }

    /// Replaces all that it holds by `records`, atomically: a crash leaves the old or the new. When it returns
    /// the new is durable.
    ///
    /// # Errors
    ///
    /// [`JournalError::TooLarge`] and [`JournalError::Full`] change nothing, nor does [`JournalError::Io`] if the new could
    /// not be written beside the old, as on a full disk. If it could, either may be there after [`JournalError::Io`] and
    /// further commits are [`JournalError::Poisoned`].
    pub fn rewrite<R: AsRef<[u8]>>(&mut self, records: &[R]) -> Result<(), JournalError> {
        self.check_not_poisoned()?;
        let records: Vec<&[u8]> = records.iter().map(AsRef::as_ref).collect();
        let too_large = records.iter().map(|record| framed_bytes(record)).find(|bytes| *bytes > FRAME_BYTES_MAX);
        if let Some(bytes) = too_large {
            return Err(JournalError::TooLarge { path: self.path.clone(), bytes });
        }
        self.replace(&records)
    }

    /// Writes a whole journal beside the place and moves it there.
    fn replace(&mut self, records: &[&[u8]]) -> Result<(), JournalError> {
        let mut bytes = self.header.to_vec();
        let mut frames = 0;
        let mut rest = records;
        while !rest.is_empty() {
            let mut payload_bytes = 0;
            let fitting = |record: &&&[u8]| {
                payload_bytes += framed_bytes(record);
                payload_bytes <= FRAME_BYTES_MAX
            };
            let (now, later) = rest.split_at(rest.iter().take_while(fitting).count());
            let payload_bytes = now.iter().map(|record| framed_bytes(record)).sum();
            bytes.extend_from_slice(&frame(frames, bytes.len() as u64, now, payload_bytes));
            frames += 1;
            rest = later;
        }
        if bytes.len() as u64 > JOURNAL_BYTES_MAX {
            return Err(JournalError::Full { path: self.path.clone() });
        }
        let beside = format!("{}~", self.path);
        let written = self
            .io("write beside", |disk, _| disk.write(&beside, &bytes))
            .and_then(|()| self.io("sync beside", |disk, _| disk.sync(&beside)));
        if let Err(error) = written {
            // What it holds is as it was, and goes on; a part beside it would only keep a full disk full.
            let _no_room_either = self.disk.remove(&beside);
            return Err(error);
        }
        self.poisoned = true;
        self.io("replace", |disk, path| disk.rename(&beside, path))?;
        self.io("sync the directory of", |disk, path| disk.sync_dir(parent(path)))?;
        self.poisoned = false;
        self.length = bytes.len() as u64;
        self.next_frame = frames;
        Ok(())
    }

    fn check_not_poisoned(&self) -> Result<(), JournalError> {
        if self.poisoned { Err(JournalError::Poisoned { path: self.path.clone() }) } else { Ok(()) }
    }

    fn io<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&(dyn Disk + 'static), &str) -> io::Result<T>,
    ) -> Result<T, JournalError> {
        call(&*self.disk, &self.path).map_err(|error| self.failed(operation, error))
    }

    fn failed(&self, operation: &'static str, error: io::Error) -> JournalError {
        JournalError::Io { operation, path: self.path.clone(), source: Arc::new(error) }
    }
}

fn framed_bytes(record: &[u8]) -> usize {
    record.len().saturating_add(LENGTH_BYTES)
}

/// Bound to number and place, so that a frame from elsewhere (an old block of the disk, a record that looks
/// like a frame) is not taken for one of this journal.
fn checksum(number: u64, offset: u64, payload: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(number ^ offset.rotate_left(32), payload)
}

fn frame<R: AsRef<[u8]>>(number: u64, offset: u64, records: &[R], payload_bytes: usize) -> Vec<u8> {
    let mut out = vec![0; FRAME_HEADER_BYTES];
    out.reserve(payload_bytes);
    for record in records {
        // Both lengths fit: callers hold them to `FRAME_BYTES_MAX`.
        out.extend_from_slice(&(record.as_ref().len() as u32).to_le_bytes());
        out.extend_from_slice(record.as_ref());
    }
    let checksum = checksum(number, offset, &out[FRAME_HEADER_BYTES..]);
    out[..4].copy_from_slice(&FRAME_MAGIC);
    out[4..8].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    out[8..16].copy_from_slice(&number.to_le_bytes());
    out[16..24].copy_from_slice(&checksum.to_le_bytes());
    out
}

/// The payload of the frame at `offset`, if there is a good one, and its number.
fn frame_at(bytes: &Bytes, offset: usize) -> Option<(u64, Bytes)> {
    let mut rest = bytes.slice(offset..);
    if rest.len() < FRAME_HEADER_BYTES || !rest.starts_with(&FRAME_MAGIC) {
        return None;
    }
    rest.advance(FRAME_MAGIC.len());
    let (length, number, expected) = (rest.get_u32_le() as usize, rest.get_u64_le(), rest.get_u64_le());
    if length > FRAME_BYTES_MAX || length > rest.len() {
        return None;
    }
    let payload = rest.split_to(length);
    (checksum(number, offset as u64, &payload) == expected).then_some((number, payload))
}

/// The records of a payload whose checksum is right; `None` if they do not fill it exactly.
fn records_of(mut payload: Bytes) -> Option<Vec<Bytes>> {
    let mut records = Vec::new();
    while !payload.is_empty() {
        let length = payload.try_get_u32_le().ok()? as usize;
        if length > payload.len() {
            return None;
        }
        records.push(payload.split_to(length));
    }
    Some(records)
}

/// Reads a journal's frames. A bad frame that cannot be an unfinished last one: its place and what is wrong.
fn scan(bytes: &Bytes) -> Result<Scan, (usize, &'static str)> {
    let mut scan = Scan { records: Vec::new(), end: HEADER_BYTES, frames: 0 };
    while scan.end < bytes.len() {
        let Some((number, payload)) = frame_at(bytes, scan.end) else {
            return if bytes.len() - scan.end > FRAME_HEADER_BYTES + FRAME_BYTES_MAX {
                Err((scan.end, "more than one commit cannot be read"))
            } else if good_frame_behind(bytes, scan.end, scan.frames) {
                Err((scan.end, "a commit cannot be read, but a later one can"))
            } else {
                Ok(scan)
            };
        };
        if number != scan.frames {
            return Err((scan.end, "a commit is out of order"));
        }
        let next = scan.end + FRAME_HEADER_BYTES + payload.len();
        scan.records.extend(records_of(payload).ok_or((scan.end, "a commit does not divide into records"))?);
        scan.frames += 1;
        scan.end = next;
    }
    Ok(scan)
}

/// Whether a frame later than number `frames` begins anywhere behind `offset`: it was only written once the
/// frame at `offset` was durable.
fn good_frame_behind(bytes: &Bytes, offset: usize, frames: u64) -> bool {
    bytes[offset..]
        .windows(FRAME_MAGIC.len())
        .enumerate()
        .skip(1)
        .filter(|(_, window)| *window == FRAME_MAGIC)
        .any(|(ahead, _)| frame_at(bytes, offset + ahead).is_some_and(|(number, _)| number > frames))
}
