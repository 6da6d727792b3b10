//! At every write: the machine dies, comes back, and nothing that was signed can be contradicted.

use crate::support::{World, bitfield, context, finality, is_conflict, seal, statement};
use deterministic::memory_disk::{Crash, MemoryDisk};
use ports::{Claim, FinalityStage};
use primitives::CompactVote;

/// What a validator signs, each with what would contradict it.
fn script() -> Vec<(Claim, Claim)> {
    let mut script = Vec::new();
    for parent in 1..=3 {
        let at = context(u32::from(parent), parent);
        script.push((statement(at, CompactVote::Seconded, parent), statement(at, CompactVote::Seconded, 100 + parent)));
        script.push((bitfield(at, &[true, false]), bitfield(at, &[true, true])));
        script.push((statement(at, CompactVote::Valid, 50 + parent), statement(at, CompactVote::Invalid, 50 + parent)));
        script.push((seal(parent.into(), 1), seal(parent.into(), 2)));
        script.push((
            finality(parent.into(), FinalityStage::Precommit, 1),
            finality(parent.into(), FinalityStage::Precommit, 2),
        ));
    }
    script
}

/// The claim of the script before which older sessions are forgotten.
const FORGET_AT: usize = 11;
/// All before it is forgotten then.
const FORGET_BEFORE: u32 = 2;

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// The disk outlived the script.
    completed: bool,
    /// Claims that had been signed and were contradicted after the crash.
    contradicted: usize,
    /// Journals that could not be opened after the crash.
    unopened: usize,
}

/// Runs the script until the disk dies at its write number `write`, crashes, and tries every contradiction of
/// what was signed. `lie` may spoil the disk once the journal exists.
fn crash_at(write: u64, crash: Crash, lie: fn(&MemoryDisk)) -> Outcome {
    let world = World::new();
    world.disk.fail_after(write);
    let script = script();
    let mut signed = 0;
    let mut outcome = Outcome::default();
    if let Ok(keystore) = world.open() {
        lie(&world.disk);
        for (position, (claim, _)) in script.iter().enumerate() {
            let goes_on = position != FORGET_AT || world.forget(&keystore, FORGET_BEFORE).is_ok();
            if !goes_on || world.sign(&keystore, claim).is_err() {
                break;
            }
            signed = position + 1;
        }
        outcome.completed = signed == script.len();
    }
    world.disk.crash(crash);
    match world.open() {
        Ok(keystore) => {
            let accepted = |(_, contradiction): &&(Claim, Claim)| !is_conflict(&world.sign(&keystore, contradiction));
            outcome.contradicted = script[..signed].iter().filter(accepted).count();
        }
        Err(_) => outcome.unopened = 1,
    }
    outcome
}

/// Crashes at every write with every fate of what was not synced; sums up what went wrong.
fn crash_everywhere(lie: fn(&MemoryDisk)) -> Outcome {
    let mut sum = Outcome::default();
    for crash in [Crash::Forget, Crash::Keep].into_iter().chain((0..6).map(Crash::Seed)) {
        for write in 0.. {
            let outcome = crash_at(write, crash, lie);
            sum.contradicted += outcome.contradicted;
            sum.unopened += outcome.unopened;
            if outcome.completed {
                assert!(write > 30, "the script makes more than {write} writes");
                break;
            }
        }
    }
    sum
}

#[test]
fn no_crash_at_any_write_allows_a_contradiction() {
    assert_eq!(crash_everywhere(|_| ()), Outcome::default());
}

#[test]
fn without_a_sync_crashes_allow_contradictions() {
    assert!(crash_everywhere(|disk| disk.ignore_sync(true)).contradicted > 0);
    // The rewrite that forgets gives the journal's name to a new file.
    assert!(crash_everywhere(|disk| disk.ignore_sync_dir(true)).contradicted > 0);
}

#[test]
fn signing_stops_when_the_journal_cannot_be_written() {
    let world = World::new();
    let keystore = world.open().unwrap();
    world.disk.fail_after(0);
    for slot in 1..4 {
        let outcome = world.sign(&keystore, &seal(slot, 1));
        assert!(matches!(outcome, Err(ports::KeystoreError::Journal(_))), "{outcome:?}");
    }
    drop(keystore);
    world.disk.crash(Crash::Keep);
    let keystore = world.open().unwrap();
    world.sign(&keystore, &seal(9, 1)).unwrap();
}
