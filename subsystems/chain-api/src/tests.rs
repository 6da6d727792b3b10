use std::sync::Arc;

use messages::chain_api::{GetAncestors, GetFinalized, GetHeader};
use mocks::Harness;
use mocks::fixtures::hash;
use mocks::runtime_client::TestRuntimeClient;

use super::*;

/// Blocks 10 to 14 of heights 0 to 4.
fn start(seed: u64) -> (Harness, Arc<TestRuntimeClient>) {
    let client = TestRuntimeClient::new();
    for number in 0..5_u8 {
        client.set_header(hash(10 + number), hash(9 + number), number.into());
    }
    let subject = ChainApiSubsystem::new(client.clone());
    (Harness::new(seed, |_| subject), client)
}

fn ancestors(harness: &Harness, from: u8, count: u32) -> Result<Vec<Hash>, RuntimeError> {
    harness.ask(GetAncestors { hash: hash(from), count }).take().unwrap().unwrap()
}

#[test]
fn ancestors_come_nearest_first_and_end_at_genesis() {
    for seed in [1, 2, 3] {
        let (harness, client) = start(seed);
        assert_eq!(ancestors(&harness, 14, 2).unwrap(), [hash(13), hash(12)]);
        assert_eq!(client.take_calls().len(), 2);
        assert_eq!(ancestors(&harness, 14, u32::MAX).unwrap(), [hash(13), hash(12), hash(11), hash(10)]);
        assert_eq!(client.take_calls().len(), 3, "two headers were known");
        assert!(ancestors(&harness, 10, 3).unwrap().is_empty());
        assert!(ancestors(&harness, 14, 0).unwrap().is_empty());
        assert_eq!(ancestors(&harness, 99, 3), Err(RuntimeError::UnknownBlock(hash(99))));
        harness.finish();
    }
}

#[test]
fn ancestors_end_where_the_chain_was_pruned() {
    let (harness, client) = start(1);
    client.set_header(hash(21), hash(20), 7);
    assert_eq!(ancestors(&harness, 21, 5).unwrap(), [hash(20)]);
    harness.finish();
}

#[test]
fn no_question_reaches_further_than_the_limit() {
    let (harness, client) = start(1);
    for number in 1..=ANCESTORS_MAX + 5 {
        client.set_header(Hash::of(&number), Hash::of(&(number - 1)), number);
    }
    let from = Hash::of(&(ANCESTORS_MAX + 5));
    let found = harness.ask(GetAncestors { hash: from, count: u32::MAX }).take().unwrap().unwrap().unwrap();
    assert_eq!(found.len(), ANCESTORS_MAX as usize);
    harness.finish();
}

#[test]
fn headers_are_asked_once_and_errors_again() {
    for seed in [1, 2, 3] {
        let (harness, client) = start(seed);
        client.set_open(false);
        let waiting: Vec<_> = (0..3).map(|_| harness.ask(GetHeader { hash: hash(12) })).collect();
        client.set_open(true);
        harness.settle();
        assert!(waiting.iter().all(|answer| answer.take().unwrap().unwrap().unwrap().number == 2));
        assert_eq!(harness.ask(GetHeader { hash: hash(12) }).take().unwrap().unwrap().unwrap().number, 2);
        assert_eq!(client.take_calls(), ["header"]);
        let unknown = Some(Ok(Err(RuntimeError::UnknownBlock(hash(20)))));
        assert_eq!(harness.ask(GetHeader { hash: hash(20) }).take(), unknown);
        client.set_header(hash(20), hash(12), 3);
        assert!(matches!(harness.ask(GetHeader { hash: hash(20) }).take(), Some(Ok(Ok(_)))));
        harness.finish();
    }
}

#[test]
fn the_finalized_block_is_asked_each_time() {
    let (harness, client) = start(1);
    let none = Some(Ok(Err(RuntimeError::NotSupported("finality"))));
    assert_eq!(harness.ask(GetFinalized).take(), none);
    for number in [1, 2] {
        client.set_finalized(hash(10 + number), number.into());
        assert_eq!(harness.ask(GetFinalized).take(), Some(Ok(Ok((hash(10 + number), number.into())))));
    }
    harness.finish();
}

#[test]
fn a_client_that_panics_or_hangs_costs_its_askers_an_error_only() {
    let (harness, client) = start(1);
    client.set_panicking(true);
    assert!(matches!(ancestors(&harness, 14, 2), Err(RuntimeError::Unreachable(_))));
    client.set_panicking(false);
    client.set_open(false);
    let hanging = harness.ask(GetHeader { hash: hash(12) });
    harness.run_for(CALL_LIMIT);
    assert!(matches!(hanging.take(), Some(Ok(Err(RuntimeError::Unreachable(_))))));
    let waiting = harness.ask(GetHeader { hash: hash(12) });
    assert!(waiting.take().is_none());
    harness.finish();
    assert!(matches!(waiting.take(), Some(Err(_))));
}
