use futures::future::join_all;
use proptest::prelude::*;

use super::*;
use deterministic::{Crash, MemoryDisk, Simulation, simulation::CostTable};

const KIND: [u8; 8] = *b"testing ";

fn open(disk: &Arc<MemoryDisk>) -> Result<Opened, JournalError> {
    Journal::open(disk.clone(), "log", KIND)
}

fn held(disk: &Arc<MemoryDisk>) -> Vec<Bytes> {
    open(disk).unwrap().records
}

/// Opens a journal and commits, rewrites and commits again, until the disk fails. What it says was done, and
/// what it was about to do.
fn write_until_failure(disk: &Arc<MemoryDisk>) -> (Vec<Bytes>, Vec<Bytes>) {
    let mut done: Vec<Bytes> = Vec::new();
    let Ok(Opened { mut journal, .. }) = open(disk) else {
        return (done.clone(), done);
    };
    for round in 0_u8..4 {
        let mut next = done.clone();
        let more: Vec<Bytes> = (0..=round).map(|index| Bytes::from(vec![round * 16 + index; 40])).collect();
        let outcome = if round == 2 {
            next = more.clone();
            journal.rewrite(&more)
        } else {
            next.extend(more.clone());
            journal.commit(&more)
        };
        if outcome.is_err() {
            return (done, next);
        }
        done = next;
    }
    (done.clone(), done)
}

/// Crashes at every call that writes, in many ways; counts the times that an acknowledged record is lost, one
/// appears that was never asked for, or the journal cannot be opened.
fn broken_promises(prepare: impl Fn(&MemoryDisk)) -> usize {
    let total = {
        let disk = Arc::new(MemoryDisk::new());
        write_until_failure(&disk);
        disk.operations()
    };
    assert!(total > 10);
    let crashes = (0..60).map(Crash::Seed).chain([Crash::Forget, Crash::Keep]);
    let mut broken = 0;
    for crash in crashes {
        for operation in 0..=total {
            let disk = Arc::new(MemoryDisk::new());
            prepare(&disk);
            disk.fail_after(operation);
            let (done, next) = write_until_failure(&disk);
            disk.crash(crash);
            // Opened, crashed again and opened again: what was once read stays.
            let first = open(&disk).ok().map(|opened| opened.records);
            disk.crash(Crash::Forget);
            let mut expected = first.clone();
            let second = open(&disk).ok();
            let same = second.as_ref().map(|opened| &opened.records) == first.as_ref();
            let kept = first.is_some_and(|records| records == done || records == next);
            // It goes on where it ended.
            let goes_on = second.is_some_and(|mut opened| opened.journal.commit(&["more"]).is_ok());
            expected.iter_mut().for_each(|records| records.push(Bytes::from("more")));
            disk.crash(Crash::Forget);
            let third = open(&disk).ok().map(|opened| opened.records);
            if !(kept && same && goes_on && third == expected) {
                broken += 1;
            }
        }
    }
    broken
}

#[test]
fn no_crash_at_any_write_loses_what_was_acknowledged() {
    assert_eq!(broken_promises(|_| ()), 0);
}

#[test]
fn without_a_sync_crashes_lose_what_was_acknowledged() {
    assert!(broken_promises(|disk| disk.ignore_sync(true)) > 0);
    assert!(broken_promises(|disk| disk.ignore_sync_dir(true)) > 0);
}

#[test]
fn records_come_back_in_order_and_the_journal_goes_on() {
    let disk = Arc::new(MemoryDisk::new());
    let mut journal = open(&disk).unwrap().journal;
    journal.commit(&[b"one".as_slice(), b"", b"three"]).unwrap();
    journal.commit::<Bytes>(&[]).unwrap();
    drop(journal);
    open(&disk).unwrap().journal.commit(&["four"]).unwrap();
    assert_eq!(held(&disk), ["one", "", "three", "four"]);
    let mut journal = open(&disk).unwrap().journal;
    journal.rewrite(&["three"]).unwrap();
    journal.commit(&["five"]).unwrap();
    assert_eq!(held(&disk), ["three", "five"]);
    assert_eq!(journal.length(), disk.len("log").unwrap());
}

#[test]
fn flipped_bit_in_the_middle_is_an_error_and_cuts_nothing() {
    let disk = Arc::new(MemoryDisk::new());
    let mut journal = open(&disk).unwrap().journal;
    let first_end = {
        journal.commit(&["first"]).unwrap();
        journal.length() as usize
    };
    journal.commit(&["second"]).unwrap();
    let whole = disk.read("log").unwrap();
    for byte in 0..first_end {
        disk.flip_bit("log", byte).unwrap();
        let error = open(&disk).map(|opened| opened.records).unwrap_err();
        let header = byte < HEADER_BYTES;
        assert!(matches!(error, JournalError::Foreign { .. }) == header, "byte {byte}: {error}");
        assert!(matches!(error, JournalError::Corrupt { offset: 16, .. }) != header, "byte {byte}: {error}");
        disk.flip_bit("log", byte).unwrap();
    }
    assert_eq!(disk.read("log").unwrap(), whole);
    // In the last frame it cannot be told from a torn write.
    disk.flip_bit("log", whole.len() - 1).unwrap();
    let opened = open(&disk).unwrap();
    assert_eq!((opened.records, opened.cut_bytes), (vec![Bytes::from("first")], (whole.len() - first_end) as u64));
}

#[test]
fn other_files_are_foreign() {
    let disk = Arc::new(MemoryDisk::new());
    for content in [&b""[..], b"dear diary", b"journal\x01another "] {
        disk.write("log", content).unwrap();
        assert!(matches!(open(&disk), Err(JournalError::Foreign { .. })), "{content:?}");
        assert_eq!(disk.read("log").unwrap(), content);
    }
    assert!(matches!(Journal::open(disk, "../log", KIND), Err(JournalError::Io { .. })));
}

#[test]
fn full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = Arc::new(MemoryDisk::new());
    let mut journal = open(&disk).unwrap().journal;
    journal.commit(&["kept"]).unwrap();
    disk.set_capacity(Some(journal.length() + 30));
    assert!(matches!(journal.commit(&[[7; 100]]), Err(JournalError::Io { .. })));
    disk.set_capacity(None);
    journal.commit(&["more"]).unwrap();
    assert_eq!(held(&disk), ["kept", "more"]);
}

#[test]
fn full_disk_that_takes_no_rewrite_leaves_the_journal_as_it_was() {
    let disk = Arc::new(MemoryDisk::new());
    let mut journal = open(&disk).unwrap().journal;
    journal.commit(&["old", "kept"]).unwrap();
    disk.set_capacity(Some(journal.length() + 20));
    assert!(matches!(journal.rewrite(&["kept"]), Err(JournalError::Io { operation: "write beside", .. })));
    assert_eq!(disk.list("").unwrap(), ["log"], "no part takes the room that is left");
    disk.set_capacity(None);
    journal.commit(&["more"]).unwrap();
    assert_eq!(held(&disk), ["old", "kept", "more"]);
    journal.rewrite(&["kept", "more"]).unwrap();
    assert_eq!(held(&disk), ["kept", "more"]);
}

#[test]
fn failed_rename_poisons() {
    // Of a rewrite's writes the third is the rename, the fourth the sync of the directory.
    for (writes, operation) in [(2, "replace"), (3, "sync the directory of")] {
        let disk = Arc::new(MemoryDisk::new());
        let mut journal = open(&disk).unwrap().journal;
        journal.commit(&["old"]).unwrap();
        disk.fail_after(writes);
        let error = journal.rewrite(&["new"]).unwrap_err();
        assert!(matches!(error, JournalError::Io { operation: found, .. } if found == operation), "{error}");
        disk.crash(Crash::Keep);
        assert!(matches!(journal.commit(&["never"]), Err(JournalError::Poisoned { .. })));
    }
}

#[test]
fn failed_sync_poisons() {
    let disk = Arc::new(MemoryDisk::new());
    let mut journal = open(&disk).unwrap().journal;
    disk.fail_after(1);
    assert!(matches!(journal.commit(&["maybe"]), Err(JournalError::Io { operation: "sync", .. })));
    disk.crash(Crash::Keep);
    assert!(matches!(journal.commit(&["never"]), Err(JournalError::Poisoned { .. })));
    assert!(matches!(journal.rewrite(&["never"]), Err(JournalError::Poisoned { .. })));
    assert_eq!(held(&disk), ["maybe"]);
}

#[test]
fn oversized_commits_are_refused_and_large_rewrites_are_split() {
    let disk = Arc::new(MemoryDisk::new());
    let mut journal = open(&disk).unwrap().journal;
    let big = vec![1; FRAME_BYTES_MAX - LENGTH_BYTES];
    assert!(matches!(journal.commit(&[&big[..], &[]]), Err(JournalError::TooLarge { .. })));
    journal.commit(&[&big[..]]).unwrap();
    journal.rewrite(&[&big[..], b"small", &big[..]]).unwrap();
    let lengths: Vec<usize> = held(&disk).iter().map(Bytes::len).collect();
    assert_eq!(lengths, [big.len(), 5, big.len()]);
}

#[test]
fn frames_inside_of_records_are_not_taken_for_frames() {
    let disk = Arc::new(MemoryDisk::new());
    let mut journal = open(&disk).unwrap().journal;
    journal.commit(&["first"]).unwrap();
    let trap = frame(9, 0, &["trap"], 8);
    let before = journal.length();
    journal.commit(&[&trap]).unwrap();
    // Tear the frame that holds the trap.
    disk.flip_bit("log", before as usize).unwrap();
    assert_eq!(held(&disk), ["first"]);
}

#[test]
fn group_commits_all_and_shares_syncs() {
    let simulation = Simulation::new(5);
    simulation.set_costs(CostTable::default());
    let disk = Arc::new(MemoryDisk::new());
    let group = GroupJournal::new(open(&disk).unwrap().journal, simulation.environment("a").compute);
    let appends = (0_u8..20).map(|index| group.append(Bytes::from(vec![index])));
    let outcomes = simulation.run_until(join_all(appends)).unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(held(&disk).len(), 20);

    // Three who wait while the journal is busy are committed with one sync, the one who left is not.
    let wait = |record| group.shared.enqueue(Bytes::from_static(record));
    let (_first, _second, third) = (wait(b"x"), wait(b"y"), wait(b"gone"));
    drop(third);
    let before = disk.operations();
    simulation.run_until(group.append(Bytes::from("z"))).unwrap().unwrap();
    assert_eq!(disk.operations() - before, 2);
    assert_eq!(held(&disk)[20..], ["x", "y", "z"]);
    simulation.run_until(group.rewrite(|| vec![Bytes::from("left")])).unwrap().unwrap();
    assert_eq!(held(&disk), ["left"]);
}

#[test]
fn group_tells_everyone_of_a_failure() {
    let simulation = Simulation::new(5);
    let disk = Arc::new(MemoryDisk::new());
    let group = GroupJournal::new(open(&disk).unwrap().journal, simulation.environment("a").compute);
    disk.fail_after(0);
    let outcomes = simulation.run_until(join_all(["a", "b"].map(|text| group.append(Bytes::from(text))))).unwrap();
    assert!(outcomes.iter().all(Result::is_err));
}

proptest! {
    #[test]
    fn garbage_never_panics(garbage: Vec<u8>, cut in 0_usize..200, commits in 0_u8..4) {
        let disk = Arc::new(MemoryDisk::new());
        let mut journal = open(&disk).unwrap().journal;
        for index in 0..commits {
            journal.commit(&[[index; 20]]).unwrap();
        }
        let length = disk.len("log").unwrap();
        disk.truncate("log", length - length.min(cut as u64)).unwrap();
        disk.append("log", &garbage).unwrap();
        if let Ok(opened) = open(&disk) {
            // What was opened once is whole: the bad end is gone.
            prop_assert_eq!(open(&disk).unwrap().records, opened.records);
        }
    }
}
