//! Relay parents with forks and sessions.

use std::sync::Arc;

use messages::runtime_api::{GetAvailabilityCores, GetSessionContext};
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Validators, hash};
use primitives::{CoreState, Hash};

fn started(grown: &mocks::chain::Grown) -> Vec<Hash> {
    grown.update.started.iter().map(|leaf| leaf.hash).collect()
}

#[test]
fn a_chain_grows_forks_and_sessions() {
    let (chain, genesis) = TestChain::new(hash(0), 1);
    assert_eq!(genesis.started[0].hash, hash(0));
    let trunk = chain.grow(hash(0), 2);
    assert_eq!((started(&trunk[0]), &trunk[0].update.stopped), (vec![trunk[0].hash], &vec![hash(0)]));
    let fork = chain.grow(trunk[0].hash, 1);
    assert_eq!((started(&fork[0]), fork[0].update.stopped.len()), (vec![fork[0].hash], 0), "its parent is no leaf");
    assert_eq!(fork[0].number, trunk[1].number);
    assert_ne!(fork[0].hash, trunk[1].hash);
    let next = chain.grow_in_session(fork[0].hash, 2, 2);
    assert_eq!(next[1].update.started[0].ancestors.as_ref(), [next[0].hash], "ancestry ends with the session");
    assert_eq!(next[1].update.started[0].session_index, 2);
    let finalized = chain.finalize(fork[0].hash, fork[0].number);
    assert_eq!(finalized.stopped, [trunk[1].hash], "the other fork");
}

#[test]
fn a_session_is_known_at_all_its_blocks_and_a_block_may_say_otherwise() {
    let (chain, genesis) = TestChain::new(hash(0), 1);
    let validators = Validators::new(4, 2);
    chain.set_session(validators.context.clone());
    let trunk = chain.grow(hash(0), 2);
    let other = Validators::new(2, 1).context;
    chain.set(
        trunk[1].hash,
        AtBlock { session: Some(Arc::new(other)), cores: vec![CoreState::Free], ..AtBlock::default() },
    );
    let outside = chain.grow_in_session(trunk[1].hash, 1, 2)[0].hash;

    // The chain's own answers, through the slot it serves.
    let harness = mocks::node_with(1, |_| {});
    chain.serve(&harness);
    harness.signal(genesis);
    let validators_at =
        |at| harness.ask(GetSessionContext { at }).take().unwrap().unwrap().map(|it| it.validators.len());
    assert_eq!(validators_at(trunk[0].hash).unwrap(), 4);
    assert_eq!(validators_at(trunk[1].hash).unwrap(), 2);
    assert!(validators_at(outside).is_err(), "nobody said what that session is");
    let cores = harness.ask(GetAvailabilityCores { at: trunk[1].hash }).take().unwrap().unwrap().unwrap();
    assert_eq!(cores.len(), 1);
    harness.finish();
}

#[test]
fn growing_on_an_unknown_block_is_told() {
    let (chain, _) = TestChain::new(hash(0), 1);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| chain.grow(hash(9), 1))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("no block"), "it says which");
}
