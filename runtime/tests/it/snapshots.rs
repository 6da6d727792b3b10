//! States as bytes. That every state of every other test survives the way to disk and back, [`stored`] sees to.

use crate::{remote_disputes::from_elsewhere, support::*};
use codec::Encode;
use primitives::Hash;
use proptest::prelude::*;
use runtime::{Extrinsic, Governance, SnapshotError, State};
use std::sync::LazyLock;

/// A state that has something of most things: a dispute, a pending candidate, coming validators and a coming para.
fn busy() -> Chain {
    let mut chain = Chain::new(7);
    let candidate = chain.include(ONE, CORE_0);
    chain.dispute(chain.votes(0, candidate, &[], &[6]));
    chain.push(chain.backing(&[(TWO, CORE_1)]));
    let mut validators = chain.state.validators().to_vec();
    validators.pop();
    chain.enact(Governance::Validators(validators));
    chain.enact(Governance::CleanupPara(TWO));
    chain
}

#[test]
fn a_state_that_was_read_back_goes_on_as_the_one_that_was_written() {
    let mut one = busy();
    let mut other = one.clone();
    one.state = stored(&one.state);
    let step = |chain: &mut Chain| {
        let (block, executed) = chain.try_block(chain.inherent(), Vec::new()).unwrap();
        (chain.header, chain.state) = (block.header, executed.state);
        executed.events
    };
    let mut events = 0;
    for _ in 0..50 {
        let happened = step(&mut one);
        assert_eq!(happened, step(&mut other));
        assert_eq!(one.header, other.header);
        events += happened.len();
    }
    assert!(events > 0, "what was pending timed out");
}

#[test]
fn the_state_of_another_block_is_refused() {
    let chain = busy();
    let bytes = chain.state.to_snapshot();
    let error = State::from_snapshot(&bytes, Hash::repeat(7)).unwrap_err();
    assert_eq!(error, SnapshotError::Root { expected: Hash::repeat(7), found: chain.state.root() });
}

#[test]
fn a_snapshot_that_was_cut_short_or_goes_on_is_refused() {
    let chain = busy();
    let (mut bytes, root) = (chain.state.to_snapshot(), chain.state.root());
    for length in (0..bytes.len()).step_by(7) {
        assert!(matches!(State::from_snapshot(&bytes[..length], root), Err(SnapshotError::Decode(_))), "{length}");
    }
    bytes.push(0);
    assert!(matches!(State::from_snapshot(&bytes, root), Err(SnapshotError::Decode(_))));
}

#[test]
fn a_snapshot_without_a_code_is_refused() {
    let chain = busy();
    let code = chain.state.validation_code(ONE, primitives::OccupiedCoreAssumption::Free).unwrap();
    let (found, mut bytes) = (code.encode(), chain.state.to_snapshot());
    let position = bytes.windows(found.len()).position(|window| window == found).unwrap();
    bytes[position + 5] ^= 1;
    let error = State::from_snapshot(&bytes, chain.state.root()).unwrap_err();
    assert_eq!(error, SnapshotError::MissingCode(code.hash()));
    // Nor one that only a dispute needs.
    let (mut chain, remote, _) = from_elsewhere();
    chain.push_extrinsics(vec![Extrinsic::RemoteDispute(Box::new(remote.clone()))]);
    let code = remote.validation_code.unwrap();
    let (found, mut bytes) = (code.encode(), chain.state.to_snapshot());
    let position = bytes.windows(found.len()).position(|window| window == found).unwrap();
    bytes[position + 5] ^= 1;
    let error = State::from_snapshot(&bytes, chain.state.root()).unwrap_err();
    assert_eq!(error, SnapshotError::MissingCode(code.hash()));
}

static WRITTEN: LazyLock<(Vec<u8>, Hash)> = LazyLock::new(|| {
    let state = busy().state;
    (state.to_snapshot(), state.root())
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is on the disk, reading it ends, and what is taken has the root that was asked for.
    #[test]
    fn damaged_bytes_are_refused_or_have_the_root(changes in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4)) {
        let (mut bytes, root) = WRITTEN.clone();
        for (at, change) in changes {
            let at = at.index(bytes.len());
            bytes[at] ^= change;
        }
        if let Ok(state) = State::from_snapshot(&bytes, root) {
            prop_assert_eq!(state.root(), root);
        }
    }
}
