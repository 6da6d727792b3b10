mod fake;

use codec::Decode as _;
use messages::network_bridge::{
    PeerConduct, PeerInfo, Recipient, ReportPeer, SendMessage, SendRequest, SetConnected, View,
};
use messages::peer_set_manager::{self, PeerSetManager};
use messages::statement_distribution::StatementDistribution;
use messages::{LeavesUpdate, pov_distribution::PoVDistribution};
use mocks::Harness;
use mocks::chain::TestChain;
use mocks::fixtures::{hash, peer};
use mocks::keystore::TestKeystore;
use overseer::{Reply, Responder};
use ports::NetworkEvent;
use primitives::{Pair, ValidatorId};

use super::*;
use fake::{FakeNetwork, Told};
use handshake::Handshake;

const SEEDS: [u64; 3] = [1, 2, 3];
const PROTOCOLS: [ProtocolId; 6] =
    [STATEMENT_PROTOCOL, POV_PROTOCOL, AVAILABILITY_PROTOCOL, BITFIELD_PROTOCOL, COLLATION_PROTOCOL, VIEW_PROTOCOL];

fn start(seed: u64) -> (Harness, Arc<FakeNetwork>) {
    let network = FakeNetwork::new();
    let config = NetworkBridgeConfig { role: ObservedRole::Validator, genesis_hash: hash(1) };
    let keystore = TestKeystore::new(vec![Pair::from_name("us")]);
    let subject = NetworkBridgeSubsystem::new(network.clone(), keystore, config);
    (Harness::new(seed, |_| subject), network)
}

/// A handshake of a validator with this network identity.
fn shown_by(byte: u8) -> Bytes {
    let keystore = TestKeystore::new(vec![key(byte)]);
    let local = peer(byte);
    let handshake = handshake::ours(&*keystore, &local, hash(1), ObservedRole::Validator);
    futures::FutureExt::now_or_never(handshake).expect("the test's keystore does not wait")
}

fn key(byte: u8) -> Pair {
    Pair::from_name(&format!("peer {byte}"))
}

fn authority(byte: u8) -> ValidatorId {
    ValidatorId(key(byte).public())
}

fn connected(byte: u8) -> NetworkEvent {
    NetworkEvent::Connected { peer: peer(byte), handshake: shown_by(byte) }
}

fn message(byte: u8, payload: Bytes) -> NetworkEvent {
    NetworkEvent::Message { peer: peer(byte), payload }
}

fn view(bytes: &[u8]) -> View {
    View(bytes.iter().map(|byte| hash(*byte)).collect())
}

/// What statement distribution heard, as one line per event.
fn heard(harness: &Harness) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(inbox) = harness.try_expect::<StatementDistribution>() {
        let statement_distribution::Inbox::NetworkUpdate(update) = inbox else { panic!("only network updates") };
        lines.push(match update.0 {
            NetworkBridgeEvent::PeerConnected(peer, info) => format!("{peer} {:?}", info.role),
            NetworkBridgeEvent::PeerDisconnected(peer) => format!("{peer} gone"),
            NetworkBridgeEvent::PeerViewChange(peer, view) => format!("{peer} view {}", view.0.len()),
            NetworkBridgeEvent::OurViewChange(view) => format!("our view {}", view.0.len()),
            NetworkBridgeEvent::PeerMessage(peer, payload) => format!("{peer} said {}", payload.len()),
            NetworkBridgeEvent::IncomingRequest(peer, payload, _) => format!("{peer} asked {}", payload.len()),
        });
    }
    lines
}

/// The statuses told, and everything for other protocols, are not of interest.
fn ignore_rest(harness: &Harness) {
    harness.stub::<PeerSetManager>(|_| None);
    harness.stub::<PoVDistribution>(|_| None);
    harness.stub::<messages::availability_distribution::AvailabilityDistribution>(|_| None);
    harness.stub::<messages::bitfield_distribution::BitfieldDistribution>(|_| None);
    harness.stub::<messages::collation_distribution::CollationDistribution>(|_| None);
}

#[test]
fn all_protocols_open_with_a_proof_of_our_key() {
    let (harness, network) = start(1);
    let handshakes = network.handshakes();
    assert_eq!(handshakes.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from(PROTOCOLS));
    for bytes in handshakes.values() {
        let handshake = Handshake::decode(&mut &bytes[..]).unwrap();
        assert_eq!((handshake.version, handshake.genesis_hash), (PROTOCOL_VERSION, hash(1)));
        let info = Doorkeeper::new(hash(1)).admit(&peer(0), bytes).unwrap();
        assert_eq!(info.authority, Some(ValidatorId(Pair::from_name("us").public())));
    }
    harness.finish();
}

#[test]
fn of_a_peer_a_subsystem_hears_first_that_it_is_there_then_its_view_then_its_messages() {
    for seed in SEEDS {
        let (harness, network) = start(seed);
        ignore_rest(&harness);
        network.event(VIEW_PROTOCOL, connected(1));
        network.event(VIEW_PROTOCOL, message(1, view(&[3]).encode().into()));
        harness.settle();
        assert!(heard(&harness).is_empty(), "it has not opened this protocol");
        network.event(STATEMENT_PROTOCOL, connected(1));
        network.event(STATEMENT_PROTOCOL, message(1, Bytes::from_static(b"abc")));
        harness.settle();
        network.event(VIEW_PROTOCOL, message(1, view(&[3, 4]).encode().into()));
        harness.settle();
        network.event(STATEMENT_PROTOCOL, NetworkEvent::Disconnected { peer: peer(1) });
        network.event(STATEMENT_PROTOCOL, message(1, Bytes::from_static(b"late")));
        let (respond, reply): (Responder<Bytes>, _) = Reply::channel("request", "test");
        network.event(
            STATEMENT_PROTOCOL,
            NetworkEvent::Request { peer: peer(1), payload: Bytes::from_static(b"ab"), respond },
        );
        let expected = [
            "peer:01010101 Validator",
            "peer:01010101 view 1",
            "peer:01010101 said 3",
            "peer:01010101 view 2",
            "peer:01010101 gone",
            "peer:01010101 asked 2",
        ];
        assert_eq!(heard(&harness), expected, "seed {seed}");
        drop(reply);
        harness.finish();
    }
}

#[test]
fn our_view_goes_to_every_subsystem_and_peer_when_it_changes_and_when_one_connects() {
    for seed in SEEDS {
        let (harness, network) = start(seed);
        ignore_rest(&harness);
        let (chain, update) = TestChain::new(hash(10), 1);
        harness.signal(update);
        network.event(VIEW_PROTOCOL, connected(1));
        harness.settle();
        harness.signal(chain.import(hash(11), hash(10), 1, 1));
        harness.signal(LeavesUpdate::default());
        let sent = |heads: &[u8]| Told::Sent(peer(1), VIEW_PROTOCOL, view(heads).encode().into());
        assert_eq!(network.take_told(), [sent(&[10]), sent(&[11])]);
        assert_eq!(heard(&harness), ["our view 1", "our view 1"]);
        harness.finish();
    }
}

#[test]
fn a_slow_subsystem_stops_its_own_protocol_only_and_then_hears_the_newest_view() {
    for seed in SEEDS {
        let (harness, network) = start(seed);
        ignore_rest(&harness);
        for protocol in [STATEMENT_PROTOCOL, POV_PROTOCOL, VIEW_PROTOCOL] {
            network.event(protocol, connected(1));
        }
        harness.settle();
        harness.pause::<StatementDistribution>(true);
        // Its mailbox takes 64 MiB.
        let large = Bytes::from(vec![0; 1024 * 1024]);
        for _ in 0..100 {
            network.event(STATEMENT_PROTOCOL, message(1, large.clone()));
            network.event(POV_PROTOCOL, message(1, large.clone()));
        }
        harness.settle();
        let unread = network.unread(STATEMENT_PROTOCOL);
        assert!((36..=40).contains(&unread), "about 64 of 100 were read, {unread} were not");
        assert_eq!(network.unread(POV_PROTOCOL), 0);
        for heads in 1..=4 {
            let heads: Vec<u8> = (0..heads).collect();
            network.event(VIEW_PROTOCOL, message(1, view(&heads).encode().into()));
            harness.settle();
        }
        assert_eq!(network.unread(VIEW_PROTOCOL), 0);
        assert!(harness.ask(to(Recipient::Peer(peer(0)))).take().is_some(), "the loop goes on");
        harness.pause::<StatementDistribution>(false);
        harness.settle();
        let heard = heard(&harness);
        assert_eq!(heard.iter().filter(|line| line.contains("said")).count(), 100);
        let views: Vec<&String> = heard.iter().filter(|line| line.contains("view")).collect();
        assert_eq!(views, ["peer:01010101 view 4"]);
        harness.finish();
    }
}

#[test]
fn peers_of_another_chain_liars_and_babblers_are_disconnected_unheard() {
    for seed in SEEDS {
        let (harness, network) = start(seed);
        let foreign = Handshake { version: 1, genesis_hash: hash(2), role: ObservedRole::Full, authority: None };
        let shows = |byte, handshake| NetworkEvent::Connected { peer: peer(byte), handshake };
        network.event(STATEMENT_PROTOCOL, shows(1, foreign.encode().into()));
        network.event(STATEMENT_PROTOCOL, message(1, Bytes::from_static(b"abc")));
        harness.settle();
        assert_eq!(network.take_told(), [Told::Disconnect(peer(1), UNWANTED_REFUSAL)]);
        // Peer 3's proof, shown by peer 2.
        network.event(POV_PROTOCOL, shows(2, shown_by(3)));
        harness.settle();
        assert_eq!(network.take_told(), [Told::Disconnect(peer(2), BAN)]);
        network.event(VIEW_PROTOCOL, shows(4, Bytes::from_static(&[1, 0, 0, 0, 9])));
        harness.settle();
        assert_eq!(network.take_told(), [Told::Disconnect(peer(4), UNWANTED_REFUSAL)]);
        let status: peer_set_manager::Inbox = harness.expect::<PeerSetManager>();
        let peer_set_manager::Inbox::PeerStatus(status) = status;
        assert_eq!((status.peer, status.connected, status.reputation), (peer(2), false, REPUTATION_MIN));
        harness.finish();
    }
}

#[test]
fn bad_views_end_with_a_ban() {
    let (harness, network) = start(1);
    ignore_rest(&harness);
    network.event(STATEMENT_PROTOCOL, connected(1));
    network.event(VIEW_PROTOCOL, connected(1));
    for bad in [view(&[2, 1]).encode(), view(&[1, 2, 3, 4, 5, 6]).encode(), vec![0xff; 3]].iter().cycle().take(10) {
        network.event(VIEW_PROTOCOL, message(1, bad.clone().into()));
    }
    harness.settle();
    network.take_told().into_iter().find(|told| *told == Told::Disconnect(peer(1), BAN)).expect("ten were too many");
    assert_eq!(heard(&harness), ["peer:01010101 Validator"], "no view was passed on");
    harness.finish();
}

#[test]
fn reputation_reaches_the_peer_set_manager_and_a_bad_one_bans() {
    for seed in SEEDS {
        let (harness, network) = start(seed);
        network.event(STATEMENT_PROTOCOL, connected(1));
        harness.settle();
        heard(&harness);
        harness.tell(ReportPeer::new(peer(1), PeerConduct::BenefitUseful));
        harness.tell(ReportPeer { peer: peer(1), conduct: PeerConduct::CostInvalid, count: 5 });
        assert_eq!(network.take_told(), [Told::Disconnect(peer(1), BAN)]);
        network.event(STATEMENT_PROTOCOL, NetworkEvent::Disconnected { peer: peer(1) });
        harness.settle();
        heard(&harness);
        network.event(STATEMENT_PROTOCOL, connected(1));
        harness.settle();
        assert_eq!(network.take_told(), [Told::Disconnect(peer(1), BAN)], "it came back through another door");
        heard(&harness);
        let mut statuses = Vec::new();
        while let Some(peer_set_manager::Inbox::PeerStatus(status)) = harness.try_expect::<PeerSetManager>() {
            assert_eq!(status.peer, peer(1));
            statuses.push((status.connected, status.reputation));
        }
        let low = BENEFIT_USEFUL + 5 * COST_INVALID;
        assert_eq!(statuses, [(true, 0), (true, BENEFIT_USEFUL), (true, low), (false, low)]);
        harness.finish();
    }
}

#[test]
fn messages_go_to_each_peer_named_and_refusals_harm_nobody() {
    let (harness, network) = start(1);
    let payload = Bytes::from_static(b"abc");
    let message = SendMessage { peers: vec![peer(1), peer(2)], protocol: POV_PROTOCOL, payload: payload.clone() };
    harness.tell(message.clone());
    let sent = |byte| Told::Sent(peer(byte), POV_PROTOCOL, payload.clone());
    assert_eq!(network.take_told(), [sent(1), sent(2)]);
    for reason in [SendRefusedReason::NotConnected, SendRefusedReason::QueueFull, SendRefusedReason::TooLarge] {
        network.refuse(reason);
        harness.tell(message.clone());
    }
    harness.finish();
}

#[test]
fn the_peer_set_manager_decides_whom_to_dial() {
    let (harness, network) = start(1);
    let addresses = vec![ports::Address("here".to_owned())];
    harness.tell(SetConnected { peer: peer(1), addresses: addresses.clone(), connected: true });
    harness.tell(SetConnected { peer: peer(1), addresses: Vec::new(), connected: false });
    harness.tell(SetConnected { peer: peer(0), addresses: Vec::new(), connected: true });
    let told = [Told::Connect(peer(1), addresses), Told::Disconnect(peer(1), UNWANTED_REFUSAL)];
    assert_eq!(network.take_told(), told, "and never ourselves");
    harness.finish();
}

fn to(recipient: Recipient) -> SendRequest {
    SendRequest { to: recipient, protocol: AVAILABILITY_PROTOCOL, payload: Bytes::from_static(b"chunk?") }
}

#[test]
fn requests_reach_peers_and_authorities_and_always_have_an_answer() {
    for seed in SEEDS {
        let (harness, network) = start(seed);
        ignore_rest(&harness);
        let nobody = harness.ask(to(Recipient::Authority(authority(1))));
        assert_eq!(nobody.take(), Some(Ok(Err(RequestError::NotConnected))));
        network.event(STATEMENT_PROTOCOL, connected(1));
        harness.settle();
        assert_eq!(heard(&harness), ["peer:01010101 Validator"]);
        let first = harness.ask(to(Recipient::Authority(authority(1))));
        let second = harness.ask(to(Recipient::Peer(peer(2))));
        let mut asked = network.take_asked();
        assert_eq!(asked.iter().map(|asked| asked.peer.clone()).collect::<Vec<_>>(), [peer(1), peer(2)]);
        assert_eq!(asked[0].payload, Bytes::from_static(b"chunk?"));
        asked.pop().unwrap().answer.send(Err(RequestError::TimedOut)).unwrap();
        asked.pop().unwrap().answer.send(Ok(Bytes::from_static(b"chunk"))).unwrap();
        harness.settle();
        assert_eq!(first.take(), Some(Ok(Ok(Bytes::from_static(b"chunk")))));
        assert_eq!(second.take(), Some(Ok(Err(RequestError::TimedOut))));
        assert_eq!(harness.ask(to(Recipient::Peer(peer(0)))).take(), Some(Ok(Err(RequestError::Refused))));
        let mut large = to(Recipient::Peer(peer(2)));
        large.payload = vec![0; MAX_REQUEST_BYTES + 1].into();
        assert_eq!(harness.ask(large).take(), Some(Ok(Err(RequestError::TooLarge))));
        harness.finish();
    }
}

#[test]
fn requests_to_one_peer_are_bounded_and_their_places_come_back() {
    let (harness, network) = start(1);
    let waiting: Vec<_> = (0..REQUESTS_PER_PEER_MAX).map(|_| harness.ask(to(Recipient::Peer(peer(1))))).collect();
    let refused = Some(Ok(Err(RequestError::Refused)));
    assert_eq!(harness.ask(to(Recipient::Peer(peer(1)))).take(), refused);
    assert!(harness.ask(to(Recipient::Peer(peer(2)))).take().is_none());
    drop(network.take_asked());
    harness.settle();
    assert!(waiting.iter().all(|answer| answer.take() == Some(Ok(Err(RequestError::TimedOut)))));
    assert!(harness.ask(to(Recipient::Peer(peer(1)))).take().is_none());
    // Conclude drops what is in flight.
    harness.finish();
}

#[test]
fn a_network_that_is_shut_down_ends_the_bridge_with_that_cause() {
    let (harness, network) = start(1);
    network.shut_down();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        harness.settle();
        harness.settle();
    }));
    let message = *ended.expect_err("the harness reports an end of the subject").downcast::<String>().unwrap();
    assert!(message.contains("network was shut down"), "{message}");
}

#[test]
fn roles_of_unproven_validators_are_told_as_claimed_to_subsystems_only() {
    let (harness, network) = start(1);
    let claim = Handshake { version: 1, genesis_hash: hash(1), role: ObservedRole::Validator, authority: None };
    network.event(POV_PROTOCOL, NetworkEvent::Connected { peer: peer(5), handshake: claim.encode().into() });
    let pov = harness.expect_any_order::<PoVDistribution>();
    let pov_distribution::Inbox::NetworkUpdate(update) = pov else { panic!("a network update") };
    let info = PeerInfo { role: ObservedRole::Validator, authority: None };
    assert!(matches!(update.0, NetworkBridgeEvent::PeerConnected(_, said) if said == info));
    let peer_set_manager::Inbox::PeerStatus(status) = harness.expect::<PeerSetManager>();
    assert_eq!(status.role, ObservedRole::Full);
    harness.finish();
}
