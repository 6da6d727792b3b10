use super::*;
use messages::{ActiveLeaf, FinalizedBlock};
use primitives::Hash;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn hash(byte: u8) -> Hash {
    Hash::repeat(byte)
}

fn candidate(byte: u8) -> CandidateHash {
    CandidateHash(hash(byte))
}

fn block(byte: u8, number: BlockNumber) -> Block {
    Block { number, hash: hash(byte) }
}

fn seen(block: Block, session: SessionIndex, events: &[(u8, Happened)]) -> Seen {
    Seen { block, session, events: events.iter().map(|(byte, happened)| (candidate(*byte), *happened)).collect() }
}

fn empty() -> State {
    let mut state = State::new(StoreConfig::new(Duration::ZERO), BTreeMap::new(), BTreeMap::new(), 0);
    state.on_update(&finality(0, 0));
    state.on_final_walked(block(0, 0), Some((vec![block(0, 0)], vec![])), 0);
    state
}

fn finality(byte: u8, number: BlockNumber) -> LeavesUpdate {
    let finalized = Some(FinalizedBlock { hash: hash(byte), number });
    LeavesUpdate { finalized, ..LeavesUpdate::default() }
}

/// Stores data and one chunk of candidate 1 at time 0.
fn stored() -> State {
    let mut state = empty();
    state.stored(candidate(1), Part::Data, 0);
    state.stored(candidate(1), Part::Chunk(ValidatorIndex(3)), 0);
    state
}

/// Finality reaches the last block of the path.
fn finalize(state: &mut State, path: &[Block], session: SessionIndex, now_ms: u64) {
    let target = *path.last().unwrap();
    let effects = state.on_update(&finality(target.hash.0[0], target.number));
    assert!(matches!(effects.as_slice(), [Effect::WalkFinal { .. }]), "{effects:?}");
    let unseen = path.iter().filter(|block| !state.seen().contains(*block));
    let blocks = unseen.map(|block| seen(*block, session, &[])).collect();
    assert_eq!(state.on_final_walked(target, Some((path.to_vec(), blocks)), now_ms), None);
}

/// When data and chunk of candidate 1 go, if nothing else happens.
fn removals(state: &mut State) -> (Option<u64>, Option<u64>) {
    let (mut data, mut chunk) = (None, None);
    for now_ms in (0..).map(|half| half * HOUR_MS / 2).take(200) {
        for effect in state.prune(now_ms) {
            let Effect::Remove { parts, .. } = effect else { panic!("not a removal") };
            for part in parts {
                match part {
                    Part::Data => data = data.or(Some(now_ms)),
                    Part::Chunk(_) => chunk = chunk.or(Some(now_ms)),
                }
            }
        }
    }
    (data, chunk)
}

#[test]
fn what_nobody_backs_goes_after_an_hour() {
    let mut state = stored();
    assert!(state.prune(HOUR_MS - 1).is_empty());
    let parts = vec![Part::Data, Part::Chunk(ValidatorIndex(3))];
    assert_eq!(state.prune(HOUR_MS), [Effect::Remove { candidate: candidate(1), parts }]);
    assert!(!state.holds(&candidate(1), Part::Data));
    assert_eq!(state.take_changes(9), [(candidate(1), None)]);
}

#[test]
fn included_and_final_stays_a_day_and_chunks_an_hour_more() {
    let mut state = stored();
    state.on_leaf_walked(vec![seen(block(1, 1), 0, &[(1, Happened::Backed)])], 5);
    state.on_leaf_walked(vec![seen(block(2, 2), 0, &[(1, Happened::Included)])], 6);
    assert_eq!(removals(&mut state), (None, None), "not final: kept without limit");
    finalize(&mut state, &[block(1, 1), block(2, 2)], 0, HOUR_MS);
    assert_eq!(removals(&mut state), (Some(DAY_MS + HOUR_MS), Some(DAY_MS + 2 * HOUR_MS)));
}

#[test]
fn backed_before_anything_was_stored_counts() {
    let mut state = empty();
    state.on_leaf_walked(vec![seen(block(1, 1), 0, &[(1, Happened::Backed)])], 5);
    state.stored(candidate(1), Part::Chunk(ValidatorIndex(0)), 6);
    assert!(state.prune(10 * DAY_MS).is_empty());
}

#[test]
fn every_competing_including_block_is_tracked() {
    for (winner, loser) in [(block(2, 2), block(3, 2)), (block(3, 2), block(2, 2))] {
        let mut state = stored();
        state.on_leaf_walked(vec![seen(block(1, 1), 0, &[(1, Happened::Backed)])], 0);
        state.on_leaf_walked(vec![seen(winner, 0, &[(1, Happened::Included)])], 0);
        state.on_leaf_walked(vec![seen(loser, 0, &[(1, Happened::Included)])], 0);
        finalize(&mut state, &[block(1, 1), winner], 0, 0);
        assert_eq!(removals(&mut state), (Some(DAY_MS), Some(DAY_MS + HOUR_MS)));
    }
}

#[test]
fn a_fork_that_lost_leaves_an_hour_from_when_it_is_certain() {
    let mut state = stored();
    let fork = [Happened::Backed, Happened::Included];
    state.on_leaf_walked(vec![seen(block(8, 1), 0, &[(1, fork[0])]), seen(block(9, 2), 0, &[(1, fork[1])])], 0);
    finalize(&mut state, &[block(1, 1)], 0, 2 * HOUR_MS);
    // The including block at height 2 is not decided yet as far as the store can tell.
    assert!(state.prune(9 * HOUR_MS).is_empty());
    finalize(&mut state, &[block(2, 2)], 0, 10 * HOUR_MS);
    assert_eq!(removals(&mut state), (Some(11 * HOUR_MS), Some(11 * HOUR_MS)));
}

#[test]
fn timed_out_is_certain_when_final_and_backed_again_counts_again() {
    let backed = seen(block(1, 1), 0, &[(1, Happened::Backed)]);
    let timed_out = seen(block(3, 3), 0, &[(1, Happened::TimedOut)]);
    let mut state = stored();
    state.on_leaf_walked(vec![backed.clone(), timed_out.clone()], 0);
    finalize(&mut state, &[block(1, 1), block(2, 2)], 0, HOUR_MS);
    assert!(state.prune(9 * HOUR_MS).is_empty(), "the time-out can still be reverted");
    finalize(&mut state, &[block(3, 3)], 0, 10 * HOUR_MS);
    assert_eq!(removals(&mut state).0, Some(11 * HOUR_MS));

    let mut state = stored();
    let again = seen(block(4, 4), 0, &[(1, Happened::Backed)]);
    state.on_leaf_walked(vec![backed, timed_out, again], 0);
    finalize(&mut state, &[block(1, 1), block(2, 2), block(3, 3), block(4, 4)], 0, HOUR_MS);
    assert_eq!(removals(&mut state), (None, None));
}

#[test]
fn a_session_that_is_over_ends_the_wait() {
    let mut state = stored();
    state.on_leaf_walked(vec![seen(block(1, 1), 7, &[(1, Happened::Backed)])], 0);
    finalize(&mut state, &[block(1, 1), block(2, 2)], 7, HOUR_MS);
    assert!(state.prune(9 * HOUR_MS).is_empty());
    finalize(&mut state, &[block(3, 3)], 8, 10 * HOUR_MS);
    assert_eq!(removals(&mut state), (Some(11 * HOUR_MS), Some(11 * HOUR_MS)));
}

#[test]
fn finality_waits_for_a_walk_that_failed() {
    let mut state = stored();
    state.on_leaf_walked(vec![seen(block(2, 2), 0, &[(1, Happened::Included)])], 0);
    assert_eq!(state.on_update(&finality(2, 2)), [Effect::WalkFinal { target: block(2, 2), above: 0 }]);
    assert_eq!(state.on_update(&finality(3, 3)), [], "one walk at a time");
    assert_eq!(state.on_final_walked(block(2, 2), None, 0), None);
    assert!(state.prune(9 * DAY_MS).is_empty());
    let again = Effect::WalkFinal { target: block(3, 3), above: 0 };
    assert_eq!(state.follow_finality(), Some(again));
    let path = vec![block(3, 3), block(2, 2), block(1, 1)];
    state.on_final_walked(block(3, 3), Some((path, vec![])), 0);
    assert_eq!(removals(&mut state).0, Some(DAY_MS));
}

#[test]
fn leaves_are_walked_from_what_was_seen() {
    let mut state = empty();
    let leaf = |byte, number, ancestors: &[u8]| LeavesUpdate {
        started: vec![ActiveLeaf {
            hash: hash(byte),
            number,
            session_index: 0,
            ancestors: ancestors.iter().map(|byte| hash(*byte)).collect::<Vec<_>>().into(),
        }],
        ..LeavesUpdate::default()
    };
    let walk = |leaf, parent_seen| [Effect::WalkLeaf { leaf, above: 0, parent_seen }];
    assert_eq!(state.on_update(&leaf(2, 2, &[1, 0])), walk(block(2, 2), false));
    state.on_leaf_walked(vec![seen(block(2, 2), 0, &[]), seen(block(1, 1), 0, &[])], 0);
    assert_eq!(state.on_update(&leaf(3, 3, &[2, 1])), walk(block(3, 3), true));
    assert_eq!(state.on_update(&leaf(2, 2, &[1, 0])), [], "seen");
}

#[test]
fn a_start_trusts_blobs_and_keeps_what_it_knows_nothing_of() {
    let mut state = stored();
    state.on_leaf_walked(vec![seen(block(5, 5), 3, &[(1, Happened::Included)])], 0);
    let mut indexed: BTreeMap<CandidateHash, Record> =
        state.take_changes(9).into_iter().filter_map(|(candidate, record)| Some((candidate, record?))).collect();
    let record = indexed[&candidate(1)].clone();
    assert_eq!(Record::decode(&mut record.encode().as_slice()), Ok(record.clone()));
    indexed.insert(candidate(7), record);
    // The chunk's file is gone, candidate 7's as well; candidate 2 has no record.
    let found = BTreeMap::from([
        (candidate(1), BTreeSet::from([Part::Data])),
        (candidate(2), BTreeSet::from([Part::Chunk(ValidatorIndex(4))])),
    ]);
    let mut state = State::new(StoreConfig::new(Duration::ZERO), found, indexed, HOUR_MS);
    let changed: Vec<(CandidateHash, bool)> =
        state.take_changes(9).into_iter().map(|(candidate, record)| (candidate, record.is_some())).collect();
    assert_eq!(changed, [(candidate(1), true), (candidate(2), true), (candidate(7), false)]);
    assert_eq!(state.chunks(&candidate(2)), [ValidatorIndex(4)]);
    assert!(state.chunks(&candidate(1)).is_empty() && state.holds(&candidate(1), Part::Data));
    // The first walk reaches down to what the record waits for.
    let effects = state.on_update(&finality(9, 9));
    assert_eq!(effects, [Effect::WalkFinal { target: block(9, 9), above: 4 }]);
    assert!(state.prune(DAY_MS + 2 * HOUR_MS - 1).is_empty(), "the orphan and the open candidate");
    assert_eq!(state.prune(DAY_MS + 2 * HOUR_MS).len(), 1);
}

#[test]
fn limits_hold() {
    let mut state = stored();
    for index in 0..CHUNKS_PER_CANDIDATE_MAX as u32 {
        state.stored(candidate(1), Part::Chunk(ValidatorIndex(index)), 0);
    }
    assert!(state.admit(&candidate(1), Part::Chunk(ValidatorIndex(100))).is_err());
    assert!(state.admit(&candidate(1), Part::Data).is_ok());
    let many = 0..2 * BLOCKS_PER_CANDIDATE_MAX as u32;
    state.on_leaf_walked(many.map(|number| seen(block(1, number + 1), 0, &[(1, Happened::Included)])).collect(), 0);
    assert_eq!(state.records[&candidate(1)].fate.included_in.len(), BLOCKS_PER_CANDIDATE_MAX);
}
