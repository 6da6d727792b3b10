//! Validators that misbehave or are away.

use deterministic::Crash;
use messages::candidate_backing::CandidateBacking;
use messages::statement_distribution::Share;
use node::local::{FIRST_PARA, LocalConfig, SimulatedNetwork, validator_pair};
use overseer::port::Tapped;
use primitives::crypto::SeedRng;
use primitives::{
    CommittedCandidateReceipt, HeadData, ParaId, Signed, SigningContext, SigningPayload as _, Statement,
    UncheckedSigned, ValidatorId,
};
use whole_node_tests::{assert_agreement, finalized, included, small, started};

/// A second `Seconded` by the same validator at the same relay parent, for a candidate that does not exist.
fn double_vote(position: u32, share: &Share) -> Option<Share> {
    let Statement::Seconded(receipt) = share.signed.payload() else { return None };
    let mut other = CommittedCandidateReceipt::clone(receipt);
    other.commitments.head_data = HeadData(vec![0xdd; 8]);
    let session_index = other.descriptor.session_index()?;
    let statement = Statement::Seconded(Box::new(other));
    let context = SigningContext { session_index, parent_hash: share.relay_parent };
    let payload = statement.signing_payload(&context);
    let signature = validator_pair(position).sign(&payload, &mut SeedRng::new([1; 32]));
    let signed = UncheckedSigned::new(statement, share.signed.validator_index(), signature);
    Some(Share { relay_parent: share.relay_parent, signed: Signed::assume_checked(signed) })
}

#[test]
fn two_seconded_candidates_by_one_validator_are_reported_on_chain_and_slashed() {
    const OFFENDER: usize = 2;
    let mut network = SimulatedNetwork::new(21, small());
    for position in 0..network.len() {
        network
            .start_node_with(position, |builder| match position {
                OFFENDER => {
                    builder.tap::<CandidateBacking, Share>(|share: Share| match double_vote(OFFENDER as u32, &share) {
                        Some(second) => Tapped::Duplicate(share, second),
                        None => Tapped::Pass(share),
                    })
                }
                _ => builder,
            })
            .expect("every node starts");
    }
    let offender = ValidatorId(validator_pair(OFFENDER as u32).public());
    let slashed = |network: &SimulatedNetwork, position: usize| {
        let chain = network.node(position).chain();
        let best = chain.status().best.0;
        chain.block(&best).is_some_and(|(_, state)| state.slashes().contains_key(&offender))
    };
    let done = network
        .run_slots_until(30, |network| (0..6).all(|position| slashed(network, position)))
        .expect("the simulation runs");
    assert!(done, "the double vote was not slashed on every chain");
    let (_, state) = {
        let chain = network.node(0).chain();
        chain.block(&chain.status().best.0).expect("the best block has a state")
    };
    assert_eq!(state.slashes().len(), 1, "an innocent validator was slashed: {:?}", state.slashes());
}

#[test]
fn one_validator_of_the_group_offline() {
    let mut network = SimulatedNetwork::new(22, small());
    for position in (0..network.len()).filter(|position| *position != 5) {
        network.start_node(position).expect("every other node starts");
    }
    let both = |network: &SimulatedNetwork| {
        [FIRST_PARA, FIRST_PARA + 1].iter().all(|para| included(network, 0, ParaId(*para)).len() >= 2)
    };
    assert!(network.run_slots_until(40, both).expect("the simulation runs"), "a para stands still");
    assert!(finalized(&network, 0) > 0, "nothing is final");
}

#[test]
fn a_node_stopped_and_started_again_from_its_disk_catches_up() {
    let para = ParaId(FIRST_PARA);
    let mut network = started(23, small());
    let first = network.run_slots_until(30, |network| !included(network, 2, para).is_empty());
    assert!(first.expect("the simulation runs"));
    network.stop_node(2).expect("it stops in order");
    network.run_slots_until(6, |_| false).expect("the simulation runs");
    let (others, before) = (network.node(0).chain().status().best.1, included(&network, 0, para).len());
    network.start_node(2).expect("it starts on its disk");
    let caught_up = |network: &SimulatedNetwork| {
        network.node(2).chain().status().best.1 >= others && included(network, 2, para).len() > before
    };
    assert!(network.run_slots_until(30, caught_up).expect("the simulation runs"), "it did not catch up");
    assert_agreement(&network);
}

#[test]
fn a_node_whose_power_was_cut_comes_back_with_every_finalized_block() {
    let mut network = started(24, LocalConfig { parachains: 1, ..small() });
    let enough = |network: &SimulatedNetwork| finalized(network, 1) >= 4;
    assert!(network.run_slots_until(30, enough).expect("the simulation runs"), "nothing becomes final");
    for fate in [Crash::Forget, Crash::Seed(3), Crash::Keep] {
        let was_final = finalized(&network, 1);
        network.crash_node(1, fate);
        network.start_node(1).expect("it starts on what is left of its disk");
        assert!(finalized(&network, 1) >= was_final, "a finalized block was lost");
        network.run_slots_until(4, |_| false).expect("the simulation runs");
    }
    let head = network.node(0).chain().status().best.1;
    let together = |network: &SimulatedNetwork| network.node(1).chain().status().best.1 >= head;
    assert!(network.run_slots_until(20, together).expect("the simulation runs"));
    assert_agreement(&network);
}
