use super::*;
use messages::{ActiveLeaf, FinalizedBlock};
use mocks::fixtures::{Validators, hash};

fn work(byte: u8, ours: Option<u32>) -> Arc<Work> {
    let session = Arc::new(Validators::new(10, 2).context);
    Arc::new(Work {
        candidate: CandidateHash(hash(byte)),
        erasure_root: hash(byte),
        relay_parent: hash(0),
        core: CoreIndex(0),
        group: session.groups[0].clone(),
        session,
        ours: ours.map(ValidatorIndex),
    })
}

/// A head at a height with its ancestors down to genesis; block hashes are their heights.
fn head(number: u8) -> LeavesUpdate {
    let ancestors: Vec<Hash> = (0..number).rev().map(hash).collect();
    let leaf = ActiveLeaf { hash: hash(number), number: number.into(), session_index: 1, ancestors: ancestors.into() };
    let stopped = number.checked_sub(1).map(hash).into_iter().collect();
    LeavesUpdate { started: vec![leaf], stopped, finalized: None }
}

fn finality(number: u8) -> LeavesUpdate {
    let finalized = Some(FinalizedBlock { hash: hash(number), number: number.into() });
    LeavesUpdate { finalized, ..LeavesUpdate::default() }
}

fn block(number: u8, pending: &[&Arc<Work>], included: &[&Arc<Work>]) -> Vec<((BlockNumber, Hash), BlockInfo)> {
    let cloned = |works: &[&Arc<Work>]| works.iter().map(|work| (*work).clone()).collect();
    vec![((number.into(), hash(number)), BlockInfo { pending: cloned(pending), included: cloned(included) })]
}

fn fetch(work: &Arc<Work>, round: u32, pause: bool) -> Effect {
    Effect::Fetch { work: work.clone(), round, pause, network_only: false }
}

/// A head with one pending candidate, being fetched.
fn fetching(work: &Arc<Work>) -> State {
    let mut state = State::default();
    state.on_update(&finality(0));
    state.on_update(&head(1));
    assert_eq!(state.on_loaded(block(1, &[work], &[])), [fetch(work, 0, false)]);
    state
}

#[test]
fn heads_are_read_with_their_ancestors_once() {
    let mut state = State::default();
    state.on_update(&finality(2));
    let blocks = |numbers: &[u8]| numbers.iter().map(|number| (u32::from(*number), hash(*number))).collect();
    assert_eq!(state.on_update(&head(9)), [Effect::Load { blocks: blocks(&[9, 8, 7, 6]), deep: 3 }]);
    state.on_loaded([9, 8, 7, 6].into_iter().flat_map(|number| block(number, &[], &[])).collect());
    assert_eq!(state.on_update(&head(10)), [Effect::Load { blocks: blocks(&[10]), deep: 0 }]);
    assert_eq!(state.on_update(&head(11)), [Effect::Load { blocks: blocks(&[11, 10]), deep: 0 }], "10 was not read");
}

#[test]
fn live_means_pending_in_a_head_or_three_ancestors() {
    let work = work(7, Some(9));
    let mut state = fetching(&work);
    for number in 2..=4 {
        state.on_update(&head(number));
        assert_eq!(state.on_loaded(block(number, &[], &[])), [], "still live at {number}");
    }
    let effects = state.on_update(&head(5));
    assert!(effects.contains(&Effect::Stop(work.candidate)), "neither live nor included: {effects:?}");
    assert_eq!(state.work(&work.candidate), None);
}

#[test]
fn rounds_go_on_and_a_new_head_hurries() {
    let work = work(7, Some(9));
    let mut state = fetching(&work);
    assert_eq!(state.on_missing(&work.candidate), Some(fetch(&work, 1, true)));
    assert_eq!(state.on_missing(&work.candidate), Some(fetch(&work, 2, true)));
    let effects = state.on_update(&head(2));
    assert_eq!(effects[1..], [Effect::Stop(work.candidate), fetch(&work, 3, false)]);
    state.on_held(&work.candidate);
    assert_eq!(state.on_missing(&work.candidate), None);
    assert_eq!(state.on_update(&head(3)).len(), 1, "nothing but reading the head");
}

#[test]
fn own_data_is_encoded_and_bad_data_is_not_tried_twice() {
    let work = work(7, Some(1));
    let mut state = fetching(&work);
    assert_eq!(state.on_have_data(&work.candidate), Some(Effect::Encode(work.clone())));
    assert_eq!(state.on_encoded(&work.candidate), Some(work.clone()));
    assert_eq!(state.on_encoded(&work.candidate), None, "once");
    assert_eq!(state.on_missing(&work.candidate), Some(fetch(&work, 1, true)), "the disk was full");
    state.on_have_data(&work.candidate);
    let expected = |round, pause| Some(Effect::Fetch { work: work.clone(), round, pause, network_only: true });
    assert_eq!(state.on_not_encoded(&work.candidate), expected(1, false));
    assert_eq!(state.on_missing(&work.candidate), expected(2, true));
}

#[test]
fn included_beyond_live_is_recovered_until_it_is_final() {
    let work = work(7, Some(9));
    let mut state = fetching(&work);
    state.on_update(&head(2));
    assert_eq!(state.on_loaded(block(2, &[], &[&work])), [], "still live: fetched");
    for number in 3..=4 {
        state.on_update(&head(number));
    }
    let effects = state.on_update(&head(5));
    assert_eq!(effects[1..], [Effect::Stop(work.candidate), Effect::Recover(work.clone())]);
    assert_eq!(state.on_missing(&work.candidate), None, "not now");
    assert_eq!(state.on_update(&head(6))[2..], [Effect::Recover(work.clone())], "again with the next head");
    state.on_held(&work.candidate);
    assert_eq!(state.on_update(&head(7)).len(), 1);
    assert_eq!(state.on_update(&finality(2)), [Effect::Stop(work.candidate)]);
    assert_eq!(state.work(&work.candidate), None);
}

#[test]
fn included_while_we_were_away_is_recovered() {
    let work = work(7, Some(9));
    let mut state = State::default();
    state.on_update(&head(9));
    let effects = state.on_loaded(block(3, &[], &[&work]));
    assert_eq!(effects, [Effect::Stop(work.candidate), Effect::Recover(work)]);
}

#[test]
fn others_candidates_are_known_but_not_fetched() {
    let work = work(7, None);
    let mut state = State::default();
    state.on_update(&head(1));
    assert_eq!(state.on_loaded(block(1, &[&work], &[])), []);
    assert_eq!(state.work(&work.candidate), Some(work));
}

#[test]
fn group_first_each_from_another_place() {
    let order = |ours, round| work(7, Some(ours)).ask_order(round).iter().map(|(index, _)| index.0).collect::<Vec<_>>();
    assert_eq!(order(6, 0), [1, 2, 3, 4, 0, 7, 8, 9]);
    assert_eq!(order(7, 0), [2, 3, 4, 0, 1, 8, 9, 5]);
    assert_eq!(order(6, 1)[..5], order(7, 0)[..5]);
    assert_eq!(order(2, 0), [3, 4, 0, 1, 5, 6, 7], "not ourselves");
    assert!(work(7, None).ask_order(0).is_empty());
    let mut alone = (*work(7, Some(0))).clone();
    alone.group.clear();
    assert_eq!(alone.ask_order(u32::MAX).len(), OTHERS_ASKED_MAX);
}

#[test]
fn blocks_are_bounded() {
    let mut state = State::default();
    state.on_update(&head(1));
    let many = (0..BLOCKS_MAX as u32 + 9).map(|number| ((number + 1, hash(0)), BlockInfo::default())).collect();
    state.on_loaded(many);
    assert_eq!(state.blocks.len(), BLOCKS_MAX);
}
