use std::time::Duration;

use messages::network_bridge::{self, NetworkBridge, ObservedRole};
use messages::peer_set_manager::PeerStatus;
use mocks::Harness;
use mocks::fixtures::peer;
use ports::Address;

use super::*;

fn start(seed: u64) -> Harness {
    let reserved = vec![(peer(1), vec![Address("one".to_owned())])];
    let config = PeerSetConfig { reserved, full_slots: 1, ..PeerSetConfig::default() };
    Harness::new(seed, |_| PeerSetManagerSubsystem::new(config))
}

fn decided(harness: &Harness) -> SetConnected {
    let network_bridge::Inbox::SetConnected(decision) = harness.expect::<NetworkBridge>() else {
        panic!("only decisions are sent")
    };
    decision
}

fn status(byte: u8, connected: bool) -> PeerStatus {
    PeerStatus { peer: peer(byte), role: ObservedRole::Full, connected, reputation: 0 }
}

#[test]
fn a_reserved_peer_is_dialled_at_start_and_after_it_was_lost() {
    for seed in [1, 2, 3] {
        let harness = start(seed);
        let first = decided(&harness);
        assert_eq!((first.peer, first.connected, first.addresses.len()), (peer(1), true, 1));
        harness.tell(status(1, true));
        harness.run_for(STABLE_AFTER);
        harness.expect_nothing();
        harness.tell(status(1, false));
        harness.run_for(BACK_OFF_MIN - Duration::from_millis(1));
        harness.expect_nothing();
        harness.run_for(Duration::from_millis(1));
        assert_eq!(decided(&harness).peer, peer(1));
        harness.finish();
    }
}

#[test]
fn a_peer_without_a_slot_is_sent_away() {
    for seed in [1, 2, 3] {
        let harness = start(seed);
        decided(&harness);
        harness.tell(status(1, true));
        harness.tell(status(2, true));
        harness.expect_nothing();
        harness.tell(status(3, true));
        let decision = decided(&harness);
        assert_eq!((decision.peer, decision.connected), (peer(3), false));
        harness.tell(status(2, false));
        harness.tell(status(3, true));
        harness.finish();
    }
}

#[test]
fn concluding_while_a_dial_is_due_leaves_nothing_behind() {
    let harness = start(1);
    decided(&harness);
    harness.finish();
}
