//! The subsystem alone: the straight path, each refusal, bad input, StopWork and Conclude.

use std::sync::Arc;

use bytes::Bytes;
use codec::Encode as _;
use messages::bitfield_distribution::{DistributeBitfield, NetworkUpdate};
use messages::network_bridge::{
    Inbox as BridgeInbox, NetworkBridge, NetworkBridgeEvent, ObservedRole, PeerConduct, PeerInfo, SendMessage, View,
};
use messages::provisioner::{Inbox as ProvisionerInbox, Provisioner};
use messages::runtime_api::{Inbox as RuntimeInbox, RuntimeApi};
use messages::{ActiveLeaf, LeavesUpdate};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Validators, hash, peer};
use ports::PeerId;
use primitives::{CoreState, Hash, SignedAvailabilityBitfield};

use crate::BitfieldDistributionSubsystem;
use crate::limits::{MESSAGE_BYTES_MAX, SESSION_ATTEMPTS, SESSION_RETRY_MS};
use crate::state::{BitfieldMessage, Effect, LeafInfo, State};

const HEAD: u8 = 1;
const BITS: [bool; 3] = [true, false, true];

fn started(head: u8) -> LeavesUpdate {
    let leaf = ActiveLeaf { hash: hash(head), number: 1, session_index: 1, ancestors: Arc::from([]) };
    LeavesUpdate { started: vec![leaf], ..LeavesUpdate::default() }
}

fn stopped(head: u8) -> LeavesUpdate {
    LeavesUpdate { stopped: vec![hash(head)], ..LeavesUpdate::default() }
}

fn validators() -> Validators {
    Validators::new(6, 3)
}

fn wire(signed: &SignedAvailabilityBitfield) -> Bytes {
    wire_at(hash(HEAD), signed)
}

fn wire_at(relay_parent: Hash, signed: &SignedAvailabilityBitfield) -> Bytes {
    BitfieldMessage { relay_parent, bitfield: signed.as_unchecked().clone() }.encode().into()
}

fn info() -> PeerInfo {
    PeerInfo { role: ObservedRole::Validator, authority: None }
}

fn name(byte: u8) -> String {
    peer(byte).to_string()
}

fn told(effects: &[Effect]) -> Vec<String> {
    let line = |effect: &Effect| match effect {
        Effect::FetchInfo(_) => "info".to_owned(),
        Effect::Verify { batch, .. } => format!("verify {}", batch.len()),
        Effect::Report(peer, conduct) => format!("{peer} {conduct:?}"),
        Effect::Send { validator, peers, .. } => format!("send {validator} to {peers:?}"),
        Effect::Provide(bitfield) => format!("provide {}", bitfield.signed.validator_index()),
    };
    effects.iter().map(line).collect()
}

/// The state machine with one leaf of three cores, and peers 1 to 3 whose view has it.
struct Table {
    state: State,
    validators: Validators,
}

impl Table {
    fn new() -> Self {
        let mut table = Self { state: State::default(), validators: validators() };
        table.state.heartbeat(&started(HEAD));
        let session = Arc::new(table.validators.context.clone());
        table.state.info(hash(HEAD), LeafInfo { session, cores: BITS.len() });
        for byte in 1..=3 {
            table.connect(byte, &[HEAD]);
        }
        table
    }

    fn connect(&mut self, byte: u8, heads: &[u8]) -> Vec<String> {
        self.state.network(NetworkBridgeEvent::PeerConnected(peer(byte), info()));
        self.view(byte, heads)
    }

    fn view(&mut self, byte: u8, heads: &[u8]) -> Vec<String> {
        let view = View(heads.iter().map(|byte| hash(*byte)).collect());
        told(&self.state.network(NetworkBridgeEvent::PeerViewChange(peer(byte), view)))
    }

    fn raw(&mut self, byte: u8, payload: Bytes) -> Vec<Effect> {
        self.state.network(NetworkBridgeEvent::PeerMessage(peer(byte), payload))
    }

    /// A message, and the verifier's honest answer if it is asked.
    fn message(&mut self, byte: u8, payload: Bytes) -> Vec<String> {
        let effects = self.raw(byte, payload);
        match &effects[..] {
            [Effect::Verify { relay_parent, batch }] => {
                let good: Vec<bool> = batch.iter().map(primitives::SignedMessage::verify).collect();
                told(&self.state.verified(*relay_parent, &good))
            }
            other => told(other),
        }
    }

    fn bitfield(&self, index: u32, bits: &[bool]) -> Bytes {
        wire(&self.validators.bitfield(index, hash(HEAD), bits))
    }
}

#[test]
fn bitfield_is_checked_provided_and_sent_to_those_who_lack_it() {
    let mut table = Table::new();
    let bitfield = table.bitfield(0, &BITS);
    assert_eq!(
        table.message(1, bitfield.clone()),
        ["provide 0".to_owned(), format!("send 0 to [{}, {}]", name(2), name(3)), format!("{} BenefitUseful", name(1)),]
    );
    assert_eq!(table.message(2, bitfield.clone()), [format!("{} BenefitDuplicate", name(2))]);
    assert_eq!(table.message(2, bitfield), [format!("{} CostUnneeded", name(2))]);
}

#[test]
fn one_bitfield_per_validator_the_first_stays() {
    let mut table = Table::new();
    table.message(1, table.bitfield(0, &BITS));
    // Who met the other one first is not to blame; who brings both is a nuisance.
    let other = table.bitfield(0, &[true, true, true]);
    assert_eq!(table.message(2, other.clone()), [format!("{} BenefitDuplicate", name(2))]);
    assert_eq!(table.message(1, other), [format!("{} CostUnneeded", name(1))]);
}

#[test]
fn forged_bitfield_does_not_take_the_place_of_the_true_one() {
    let mut table = Table::new();
    let mut forged = table.validators.bitfield(0, hash(HEAD), &[false; 3]).into_unchecked();
    forged.signature.0[3] ^= 1;
    let forged = BitfieldMessage { relay_parent: hash(HEAD), bitfield: forged };
    let first = table.raw(1, forged.encode().into());
    assert_eq!(told(&first), ["verify 1"]);
    let good = table.bitfield(0, &BITS);
    assert!(table.raw(2, good.clone()).is_empty(), "waits for the batch before it");
    assert!(table.raw(3, good).is_empty(), "shares the work with the one from peer 2");
    let lines = told(&table.state.verified(hash(HEAD), &[false]));
    assert_eq!(lines, [format!("{} CostInvalid", name(1)), "verify 1".to_owned()]);
    // The forger is not served: it claimed to have one.
    let lines = told(&table.state.verified(hash(HEAD), &[true]));
    assert_eq!(
        lines,
        ["provide 0".to_owned(), format!("{} BenefitUseful", name(2)), format!("{} BenefitDuplicate", name(3)),]
    );
}

#[test]
fn refusals_cost_what_they_should() {
    let validators = validators();
    let good = validators.bitfield(0, hash(HEAD), &BITS);
    let outside = {
        let mut unchecked = good.clone().into_unchecked();
        unchecked.validator_index.0 = 6;
        BitfieldMessage { relay_parent: hash(HEAD), bitfield: unchecked }.encode().into()
    };
    let elsewhere = wire(&validators.bitfield(0, hash(9), &BITS));
    let mut trailing = wire(&good).to_vec();
    trailing.push(0);
    let table: Vec<(&str, Bytes, &str)> = vec![
        ("garbage", Bytes::from_static(&[1, 2, 3]), "CostMalformed"),
        ("nothing", Bytes::new(), "CostMalformed"),
        ("a byte too many", trailing.into(), "CostMalformed"),
        ("over the limit", vec![0; MESSAGE_BYTES_MAX + 1].into(), "CostMalformed"),
        ("no leaf of ours", wire_at(hash(9), &good), "CostUnneeded"),
        ("validator outside the session", outside, "CostInvalid"),
        ("a bit too few", wire(&validators.bitfield(0, hash(HEAD), &BITS[..2])), "CostInvalid"),
        ("a bit too many", wire(&validators.bitfield(0, hash(HEAD), &[true; 4])), "CostInvalid"),
        ("signed for another relay parent", elsewhere, "CostInvalid"),
    ];
    for (what, payload, cost) in table {
        let mut fresh = Table::new();
        assert_eq!(fresh.message(1, payload), [format!("{} {cost}", name(1))], "{what}");
    }
}

#[test]
fn largest_bitfield_fits_the_limit() {
    let full = validators().bitfield(0, hash(HEAD), &[true; primitives::limits::MAX_CORES]);
    assert!(wire(&full).len() <= MESSAGE_BYTES_MAX);
}

#[test]
fn own_bitfield_is_provided_and_spread_once() {
    let mut table = Table::new();
    let signed = table.validators.bitfield(0, hash(HEAD), &BITS);
    let message = DistributeBitfield { relay_parent: hash(HEAD), signed: signed.clone() };
    let lines = told(&table.state.distribute(message.clone()));
    assert_eq!(lines, ["provide 0".to_owned(), format!("send 0 to [{}, {}, {}]", name(1), name(2), name(3))]);
    assert!(table.state.distribute(message).is_empty());
    assert!(table.state.distribute(DistributeBitfield { relay_parent: hash(9), signed }).is_empty());
}

#[test]
fn peer_gets_bitfields_when_its_view_has_the_leaf() {
    let mut table = Table::new();
    table.message(1, table.bitfield(0, &BITS));
    table.message(1, table.bitfield(1, &BITS));
    let both = [format!("send 0 to [{}]", name(4)), format!("send 1 to [{}]", name(4))];
    assert!(table.connect(4, &[9]).is_empty());
    assert_eq!(table.view(4, &[9, HEAD]), both);
    assert!(table.view(4, &[HEAD]).is_empty());
    table.state.network(NetworkBridgeEvent::PeerDisconnected(peer(4)));
    assert_eq!(table.connect(4, &[HEAD]), both);
    // What was not sent is offered again.
    table.state.not_sent(hash(HEAD), primitives::ValidatorIndex(1), &[peer(4)]);
    assert_eq!(table.view(4, &[HEAD]), [format!("send 1 to [{}]", name(4))]);
}

#[test]
fn nothing_is_kept_of_a_leaf_that_stopped() {
    let mut table = Table::new();
    let bitfield = table.bitfield(0, &BITS);
    table.message(1, bitfield.clone());
    table.state.heartbeat(&stopped(HEAD));
    assert!(table.message(2, bitfield).is_empty(), "was on its way: no cost");
    assert!(table.connect(4, &[HEAD]).is_empty());
}

// With the loop, in a real overseer.

struct Bench {
    harness: Harness,
    validators: Validators,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let harness = Harness::new(seed, |_| BitfieldDistributionSubsystem::new());
        let validators = validators();
        let (chain, update) = TestChain::new(hash(HEAD), 1);
        let session = Some(Arc::new(validators.context.clone()));
        let cores = vec![CoreState::Free; BITS.len()];
        chain.set(hash(HEAD), AtBlock { session, cores, ..AtBlock::default() });
        chain.serve(&harness);
        harness.signal(update);
        let bench = Self { harness, validators };
        for byte in 1..=2 {
            bench.event(NetworkBridgeEvent::PeerConnected(peer(byte), info()));
            bench.event(NetworkBridgeEvent::PeerViewChange(peer(byte), View(vec![hash(HEAD)])));
        }
        bench
    }

    fn event(&self, event: NetworkBridgeEvent) {
        self.harness.tell(NetworkUpdate(event));
    }

    fn provided(&self) -> SignedAvailabilityBitfield {
        match self.harness.expect_any_order::<Provisioner>() {
            ProvisionerInbox::Bitfield(bitfield) => bitfield.signed,
            _ => panic!("not a bitfield"),
        }
    }

    fn sent(&self) -> SendMessage {
        match self.harness.expect_any_order::<NetworkBridge>() {
            BridgeInbox::SendMessage(message) => message,
            _ => panic!("not a message: {:?}", self.harness.pending()),
        }
    }

    fn reported(&self) -> (PeerId, PeerConduct) {
        match self.harness.expect_any_order::<NetworkBridge>() {
            BridgeInbox::ReportPeer(report) => (report.peer, report.conduct),
            _ => panic!("not a report: {:?}", self.harness.pending()),
        }
    }
}

#[test]
fn straight_path_under_several_seeds() {
    for seed in 0..8 {
        let bench = Bench::new(seed);
        let theirs = bench.validators.bitfield(3, hash(HEAD), &BITS);
        bench.event(NetworkBridgeEvent::PeerMessage(peer(1), wire(&theirs)));
        assert_eq!(bench.provided(), theirs);
        let sent = bench.sent();
        assert_eq!((sent.peers, sent.payload), (vec![peer(2)], wire(&theirs)));
        assert_eq!(bench.reported(), (peer(1), PeerConduct::BenefitUseful));

        let ours = bench.validators.bitfield(0, hash(HEAD), &BITS);
        bench.harness.tell(DistributeBitfield { relay_parent: hash(HEAD), signed: ours.clone() });
        assert_eq!(bench.provided(), ours);
        assert_eq!(bench.sent().peers, [peer(1), peer(2)]);
        bench.harness.finish();
    }
}

/// A subject whose question for the session is open, and a bitfield that waits for its answer.
fn waiting(seed: u64) -> (Harness, RuntimeInbox) {
    let harness = Harness::new(seed, |_| BitfieldDistributionSubsystem::new());
    harness.signal(started(HEAD));
    let question = harness.expect::<RuntimeApi>();
    harness.tell(NetworkUpdate(NetworkBridgeEvent::PeerConnected(peer(1), info())));
    let bitfield = wire(&validators().bitfield(0, hash(HEAD), &BITS));
    harness.tell(NetworkUpdate(NetworkBridgeEvent::PeerMessage(peer(1), bitfield)));
    harness.expect_nothing();
    (harness, question)
}

#[test]
fn what_comes_before_the_session_waits_for_it() {
    for seed in 0..4 {
        let (harness, question) = waiting(seed);
        let RuntimeInbox::GetSessionContext(_, reply) = question else { panic!("not the session was asked for") };
        let _ = reply.answer(Ok(Arc::new(validators().context)));
        let RuntimeInbox::GetAvailabilityCores(_, reply) = harness.expect::<RuntimeApi>() else {
            panic!("not the cores were asked for");
        };
        let _ = reply.answer(Ok(Arc::new(vec![CoreState::Free; BITS.len()])));
        assert!(matches!(harness.expect_any_order::<Provisioner>(), ProvisionerInbox::Bitfield(_)));
        assert!(matches!(harness.expect_any_order::<NetworkBridge>(), BridgeInbox::ReportPeer(_)));
        harness.finish();
    }
}

#[test]
fn stop_work_ends_what_waits() {
    for seed in 0..4 {
        let (harness, question) = waiting(seed);
        harness.signal(stopped(HEAD));
        let RuntimeInbox::GetSessionContext(_, reply) = question else { panic!("not the session was asked for") };
        assert!(reply.is_abandoned());
        harness.finish();
    }
}

#[test]
fn session_that_cannot_be_had_is_given_up() {
    let harness = Harness::new(3, |_| BitfieldDistributionSubsystem::new());
    let (chain, update) = TestChain::new(hash(HEAD), 1);
    chain.serve(&harness);
    harness.signal(update);
    for _ in 0..=SESSION_ATTEMPTS {
        harness.run_for(std::time::Duration::from_millis(SESSION_RETRY_MS));
    }
    harness.finish();
}

#[test]
fn conclude_leaves_nothing_behind() {
    let (harness, question) = waiting(9);
    harness.finish();
    let RuntimeInbox::GetSessionContext(_, reply) = question else { panic!("not the session was asked for") };
    assert!(reply.is_abandoned());
}
