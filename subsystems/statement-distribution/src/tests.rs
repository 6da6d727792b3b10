//! The subsystem alone: the straight path, each refusal, bad input, StopWork and Conclude.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use codec::Encode as _;
use messages::network_bridge::{
    Inbox as BridgeInbox, NetworkBridge, NetworkBridgeEvent, ObservedRole, PeerConduct, PeerInfo, SendMessage, View,
};
use messages::statement_distribution::{NetworkUpdate, Share};
use messages::{LeavesUpdate, candidate_backing, misbehavior_arbitration, runtime_api};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash, peer};
use overseer::Responder;
use ports::PeerId;
use primitives::{CompactVote, Hash, MisbehaviorKind, SignedFullStatement, Statement};

use crate::StatementDistributionSubsystem;
use crate::limits::{MESSAGES_PER_PEER_MIN, SESSION_ATTEMPTS};
use crate::state::{Effect, State, StatementMessage};

/// The leaf of most tests.
const HEAD: u8 = 1;

fn started(head: u8, ancestors: &[u8]) -> LeavesUpdate {
    let leaf = messages::ActiveLeaf {
        hash: hash(head),
        number: u32::from(head),
        session_index: 1,
        ancestors: ancestors.iter().map(|byte| hash(*byte)).collect(),
    };
    LeavesUpdate { started: vec![leaf], ..LeavesUpdate::default() }
}

/// Two groups of three: validators 0 to 2 serve core 0, validators 3 to 5 serve core 1.
fn validators() -> Validators {
    Validators::new(6, 2)
}

fn candidate(core: u32, block_data: u8) -> Candidate {
    CandidateBuilder::new(100 + core, core, hash(HEAD)).block_data(vec![block_data; 10]).build()
}

fn wire(signed: &SignedFullStatement) -> Bytes {
    wire_at(hash(HEAD), signed)
}

fn wire_at(relay_parent: Hash, signed: &SignedFullStatement) -> Bytes {
    StatementMessage { relay_parent, statement: signed.as_unchecked().clone() }.encode().into()
}

/// What effects say, in words short enough for tables.
fn told(effects: &[Effect]) -> Vec<String> {
    let vote = |vote: CompactVote| match vote {
        CompactVote::Seconded(_) => "Seconded",
        CompactVote::Valid(_) => "Valid",
        CompactVote::Invalid(_) => "Invalid",
    };
    let line = |effect: &Effect| match effect {
        Effect::FetchSession(_) => "session".to_owned(),
        Effect::Verify { batch, .. } => format!("verify {}", batch.len()),
        Effect::Report(peer, conduct) => format!("{peer} {conduct:?}"),
        Effect::Send { peers, payload, .. } => {
            let message: StatementMessage = primitives::decode_limited(payload, 1 << 20).unwrap();
            let statement = message.statement;
            format!("send {} {} to {peers:?}", statement.validator_index, vote(statement.payload.to_vote()))
        }
        Effect::Import(statement) => {
            let signed = &statement.signed;
            format!("import {} {}", signed.validator_index(), vote(signed.payload().to_vote()))
        }
        Effect::Misbehavior { report, .. } => format!("accuse {} {:?}", report.validator_index, report.kind().unwrap()),
    };
    effects.iter().map(line).collect()
}

/// The state machine with one relay parent in view, its session known, and peers 1 to 3 whose view has it.
struct Table {
    state: State,
    validators: Validators,
}

impl Table {
    fn new() -> Self {
        let mut table = Self { state: State::default(), validators: validators() };
        table.state.heartbeat(&started(HEAD, &[]));
        let session = Arc::new(table.validators.context.clone());
        table.state.session(hash(HEAD), session);
        for byte in 1..=3 {
            table.connect(byte, &[HEAD]);
        }
        table
    }

    fn connect(&mut self, byte: u8, heads: &[u8]) -> Vec<String> {
        let info = PeerInfo { role: ObservedRole::Validator, authority: None };
        self.state.network(NetworkBridgeEvent::PeerConnected(peer(byte), info));
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
        self.settle(effects)
    }

    fn settle(&mut self, effects: Vec<Effect>) -> Vec<String> {
        let mut lines = Vec::new();
        let mut effects = effects;
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects {
                if let Effect::Verify { relay_parent, batch } = &effect {
                    let good: Vec<bool> = batch.iter().map(primitives::SignedMessage::verify).collect();
                    next.extend(self.state.verified(*relay_parent, &good));
                } else {
                    lines.extend(told(&[effect]));
                }
            }
            effects = next;
        }
        lines
    }

    fn seconded(&self, index: u32, block_data: u8) -> Bytes {
        wire(&self.validators.seconded(index, &candidate(0, block_data)))
    }

    fn valid(&self, index: u32, block_data: u8) -> Bytes {
        wire(&self.validators.valid(index, &candidate(0, block_data)))
    }
}

fn name(byte: u8) -> String {
    peer(byte).to_string()
}

#[test]
fn statement_is_checked_imported_and_sent_to_those_who_lack_it() {
    let mut table = Table::new();
    let seconded = table.seconded(0, 7);
    let lines = table.message(1, seconded.clone());
    assert_eq!(
        lines,
        [
            "import 0 Seconded".to_owned(),
            format!("send 0 Seconded to [{}, {}]", name(2), name(3)),
            format!("{} BenefitUseful", name(1)),
        ]
    );
    // The same from another peer is fine once, and a nuisance the second time.
    assert_eq!(table.message(2, seconded.clone()), [format!("{} BenefitDuplicate", name(2))]);
    assert_eq!(table.message(2, seconded), [format!("{} CostUnneeded", name(2))]);
    let valid = table.valid(1, 7);
    let lines = table.message(3, valid);
    assert_eq!(lines[0], "import 1 Valid");
    assert_eq!(lines[1], format!("send 1 Valid to [{}, {}]", name(1), name(2)));
}

#[test]
fn same_statement_in_flight_is_checked_once_for_all_who_brought_it() {
    let mut table = Table::new();
    let seconded = table.seconded(0, 7);
    let first = table.raw(1, seconded.clone());
    assert_eq!(told(&first), ["verify 1"]);
    assert!(told(&table.raw(2, seconded)).is_empty());
    // What depends on a statement still being checked is queued behind it.
    let valid = table.valid(1, 7);
    assert!(told(&table.raw(1, valid)).is_empty());
    let lines = table.settle(first);
    assert_eq!(
        lines,
        [
            "import 0 Seconded".to_owned(),
            format!("send 0 Seconded to [{}]", name(3)),
            format!("{} BenefitUseful", name(1)),
            format!("{} BenefitDuplicate", name(2)),
            "import 1 Valid".to_owned(),
            format!("send 1 Valid to [{}, {}]", name(2), name(3)),
            format!("{} BenefitUseful", name(1)),
        ]
    );
}

#[test]
fn refusals_cost_what_they_should() {
    let validators = validators();
    let mine = candidate(0, 7);
    let forged = {
        let mut unchecked = validators.seconded(0, &mine).into_unchecked();
        unchecked.signature.0[5] ^= 1;
        StatementMessage { relay_parent: hash(HEAD), statement: unchecked }.encode().into()
    };
    let unknown_validator = {
        let mut unchecked = validators.seconded(0, &mine).into_unchecked();
        unchecked.validator_index.0 = 6;
        StatementMessage { relay_parent: hash(HEAD), statement: unchecked }.encode().into()
    };
    let elsewhere = CandidateBuilder::new(100, 0, hash(9)).build();
    let wrong_parent = validators.statement(0, hash(HEAD), Statement::Seconded(Box::new(elsewhere.committed.clone())));
    let no_core = CandidateBuilder::new(100, 40, hash(HEAD)).build();
    let mut trailing = wire(&validators.seconded(0, &mine)).to_vec();
    trailing.push(0);
    let table: Vec<(&str, Bytes, &str)> = vec![
        ("garbage", Bytes::from_static(&[1, 2, 3]), "CostMalformed"),
        ("nothing", Bytes::new(), "CostMalformed"),
        ("a byte too many", trailing.into(), "CostMalformed"),
        ("relay parent nobody knows", wire_at(hash(9), &validators.seconded(0, &elsewhere)), "CostUnneeded"),
        ("valid before seconded", wire(&validators.valid(1, &mine)), "CostUnneeded"),
        ("invalid before seconded", wire(&validators.invalid(1, &mine)), "CostUnneeded"),
        ("validator outside the session", unknown_validator, "CostInvalid"),
        ("validator of another group", wire(&validators.seconded(3, &mine)), "CostInvalid"),
        ("core without a group", wire(&validators.seconded(0, &no_core)), "CostInvalid"),
        ("candidate of another relay parent", wire(&wrong_parent), "CostInvalid"),
        ("wrong signature", forged, "CostInvalid"),
    ];
    for (what, payload, cost) in table {
        let mut fresh = Table::new();
        assert_eq!(fresh.message(1, payload), [format!("{} {cost}", name(1))], "{what}");
    }
}

#[test]
fn candidate_without_a_core_belongs_to_the_group_of_its_seconder() {
    let (validators, mut mine) = (validators(), candidate(1, 7));
    let collator = primitives::Pair::from_name("collator");
    let fields = mine.committed.descriptor.fields();
    mine.committed.descriptor =
        primitives::CandidateDescriptor::sign_v1(fields, &collator, &mut mocks::fixtures::rng());
    assert_eq!(mine.committed.descriptor.core_index(), None);
    let mut table = Table::new();
    assert_eq!(table.message(1, wire(&validators.seconded(4, &mine)))[0], "import 4 Seconded");
    assert_eq!(table.message(1, wire(&validators.valid(3, &mine)))[0], "import 3 Valid");
    assert_eq!(table.message(1, wire(&validators.valid(0, &mine))), [format!("{} CostInvalid", name(1))]);
}

#[test]
fn own_statement_that_no_peer_would_take_is_not_sent() {
    let mut table = Table::new();
    let mut builder = CandidateBuilder::new(100, 0, hash(HEAD));
    builder.head = primitives::HeadData(vec![0; crate::limits::MESSAGE_BYTES_MAX]);
    let signed = table.validators.seconded(0, &builder.build());
    assert!(table.state.share(Share { relay_parent: hash(HEAD), signed }).is_empty());
}

#[test]
fn only_the_group_may_speak_of_its_candidate() {
    let mut table = Table::new();
    let seconded = table.seconded(0, 7);
    table.message(1, seconded);
    let stranger = wire(&table.validators.valid(4, &candidate(0, 7)));
    assert_eq!(table.message(1, stranger), [format!("{} CostInvalid", name(1))]);
}

#[test]
fn double_seconded_is_proved_relayed_once_and_ends_the_validators_word() {
    let mut table = Table::new();
    let (first, second, third) = (table.seconded(0, 7), table.seconded(0, 8), table.seconded(0, 9));
    table.message(1, first);
    let effects = table.raw(2, second);
    let Effect::Verify { relay_parent, .. } = effects[0] else { panic!("not verified") };
    let effects = table.state.verified(relay_parent, &[true]);
    let Effect::Misbehavior { report, .. } = &effects[0] else { panic!("not accused: {:?}", told(&effects)) };
    assert_eq!(report.verify(&table.validators.id(0)), Ok(MisbehaviorKind::DoubleSeconded(hash(HEAD))));
    // Relayed for others to see, not given to backing.
    let lines = told(&effects);
    assert_eq!(lines[1], format!("send 0 Seconded to [{}, {}]", name(1), name(3)));
    assert!(!lines.iter().any(|line| line.starts_with("import")), "{lines:?}");
    // Nothing more of this validator is taken, and nobody pays for having brought it.
    assert!(table.message(3, third).is_empty());
    assert!(table.message(3, table.valid(0, 8)).is_empty());
    // An honest `Valid` on the second candidate waits until somebody else has seconded it.
    let lines = table.message(3, table.valid(1, 8));
    assert!(!lines.iter().any(|line| line.starts_with("import")), "{lines:?}");
    let lines = table.message(3, table.seconded(2, 8));
    assert_eq!(lines[..2], ["import 2 Seconded".to_owned(), "import 1 Valid".to_owned()]);
}

#[test]
fn two_different_words_on_one_candidate_are_a_self_contradiction() {
    let (validators, mine) = (validators(), candidate(0, 7));
    let words = [validators.seconded(0, &mine), validators.valid(0, &mine), validators.invalid(0, &mine)]
        .map(|word| wire(&word));
    for (one, two) in [(0, 1), (0, 2), (1, 2), (2, 1)] {
        let mut table = Table::new();
        // Somebody else seconds, so that the order of the words under test is free.
        table.message(1, table.seconded(1, 7));
        table.message(1, words[one].clone());
        let lines = table.message(2, words[two].clone());
        assert_eq!(
            lines[0],
            format!("accuse 0 {:?}", MisbehaviorKind::SelfContradiction(mine.hash())),
            "{one} then {two}"
        );
    }
}

#[test]
fn repeated_statements_with_fresh_signatures_are_no_contradiction() {
    let mut table = Table::new();
    table.message(1, table.seconded(0, 7));
    assert_eq!(table.message(2, table.seconded(0, 7)), [format!("{} BenefitDuplicate", name(2))]);
}

#[test]
fn own_statement_is_spread_and_not_given_back() {
    let mut table = Table::new();
    let seconded = table.validators.seconded(0, &candidate(0, 7));
    let effects = table.state.share(Share { relay_parent: hash(HEAD), signed: seconded.clone() });
    assert_eq!(told(&effects), [format!("send 0 Seconded to [{}, {}, {}]", name(1), name(2), name(3))]);
    assert!(told(&table.state.share(Share { relay_parent: hash(HEAD), signed: seconded })).is_empty());
    // Others' statements on it go to backing, which has the candidate.
    assert_eq!(table.message(1, table.valid(1, 7))[0], "import 1 Valid");
    let stray = table.validators.seconded(0, &CandidateBuilder::new(100, 0, hash(9)).build());
    assert!(told(&table.state.share(Share { relay_parent: hash(9), signed: stray })).is_empty());
}

#[test]
fn peer_gets_what_its_view_reaches_seconded_first() {
    let mut table = Table::new();
    table.message(1, table.seconded(0, 7));
    table.message(1, table.valid(1, 7));
    let both = [format!("send 0 Seconded to [{}]", name(4)), format!("send 1 Valid to [{}]", name(4))];
    assert!(table.connect(4, &[]).is_empty());
    assert!(table.view(4, &[9]).is_empty(), "a head that we know nothing of");
    assert_eq!(table.view(4, &[9, HEAD]), both);
    assert!(table.view(4, &[HEAD]).is_empty(), "once is enough");
    // A peer that comes back has forgotten.
    assert_eq!(table.connect(4, &[HEAD]), both);
    // A full node is served as well, a collator is not.
    let info = PeerInfo { role: ObservedRole::Collator, authority: None };
    table.state.network(NetworkBridgeEvent::PeerConnected(peer(5), info));
    assert!(table.view(5, &[HEAD]).is_empty());
}

#[test]
fn view_reaches_as_far_back_as_work_does() {
    let mut table = Table::new();
    table.message(1, table.seconded(0, 7));
    // Blocks 11 to 14 on top of HEAD, which is at last the third ancestor, then the fourth.
    let chain = [HEAD, 11, 12, 13, 14];
    for length in 1..chain.len() {
        let ancestors: Vec<u8> = chain[..length].iter().rev().copied().collect();
        let mut update = started(chain[length], &ancestors);
        update.stopped = vec![hash(chain[length - 1])];
        table.state.heartbeat(&update);
        let lines = table.connect(4, &[chain[length]]);
        assert_eq!(lines.len(), usize::from(length <= 3), "at depth {length}: {lines:?}");
    }
    // Gone now: dropped without a cost, for it may have been on its way.
    assert!(table.message(2, table.valid(1, 7)).is_empty());
}

#[test]
fn head_too_far_above_is_not_served_though_another_leaf_keeps_the_relay_parent_in_view() {
    let mut table = Table::new();
    table.message(1, table.seconded(0, 7));
    let mut update = started(12, &[11, HEAD]);
    update.started.extend(started(25, &[24, 23, 22, 21, HEAD]).started);
    update.stopped = vec![hash(HEAD)];
    table.state.heartbeat(&update);
    for (head, served) in [(25, false), (24, false), (23, true), (21, true), (12, true), (11, true)] {
        let lines = table.connect(4, &[head]);
        assert_eq!(!lines.is_empty(), served, "head {head}: {lines:?}");
    }
}

#[test]
fn new_leaf_opens_the_way_to_peers_that_were_ahead() {
    let mut table = Table::new();
    table.message(1, table.seconded(0, 7));
    assert!(table.connect(4, &[11]).is_empty(), "whose child 11 is cannot be known yet");
    let mut update = started(11, &[HEAD]);
    update.stopped = vec![hash(HEAD)];
    let lines = told(&table.state.heartbeat(&update));
    assert!(lines.contains(&format!("send 0 Seconded to [{}]", name(4))), "{lines:?}");
}

#[test]
fn refused_cast_is_offered_again() {
    let mut table = Table::new();
    table.message(1, table.seconded(0, 7));
    table.state.not_sent(hash(HEAD), 0, &[peer(2)]);
    // Nothing overtakes what was not sent.
    let lines = table.message(1, table.valid(1, 7));
    assert!(lines.contains(&format!("send 1 Valid to [{}]", name(3))), "{lines:?}");
    let expected = [format!("send 0 Seconded to [{}]", name(2)), format!("send 1 Valid to [{}]", name(2))];
    assert_eq!(table.view(2, &[HEAD]), expected);
}

#[test]
fn flood_of_one_peer_is_cut_off() {
    let mut table = Table::new();
    let session = &table.validators.context;
    let allowed = (session.validators.len() * 5).max(MESSAGES_PER_PEER_MIN);
    let mut unchecked = table.validators.valid(0, &candidate(0, 7)).into_unchecked();
    let mut queued = 0;
    for number in 0..=allowed + 5 {
        // Different every time, so that repetition is not what stops it; nobody seconded these.
        unchecked.payload = Statement::Valid(primitives::CandidateHash(Hash::of(&(number as u64))));
        let message = StatementMessage { relay_parent: hash(HEAD), statement: unchecked.clone() };
        queued += usize::from(table.message(1, message.encode().into()).is_empty());
    }
    assert_eq!(queued, 0);
    let good = table.seconded(0, 7);
    assert_eq!(table.message(1, good.clone()), [format!("{} CostUnneeded", name(1))]);
    assert_eq!(table.message(2, good)[0], "import 0 Seconded", "others are not punished for it");
}

#[test]
fn what_comes_before_the_session_waits_within_bounds() {
    let mut state = State::default();
    let validators = validators();
    state.heartbeat(&started(HEAD, &[]));
    let info = PeerInfo { role: ObservedRole::Validator, authority: None };
    state.network(NetworkBridgeEvent::PeerConnected(peer(1), info));
    let message = wire(&validators.seconded(0, &candidate(0, 7)));
    for _ in 0..10_000 {
        let effects = state.network(NetworkBridgeEvent::PeerMessage(peer(1), message.clone()));
        assert!(effects.is_empty());
    }
    let effects = state.session(hash(HEAD), Arc::new(validators.context.clone()));
    let lines = told(&effects);
    assert_eq!(lines[0], "verify 1");
    assert_eq!(lines.len(), crate::limits::HELD_PER_PEER_MAX, "the repetitions cost");
}

// With the loop, in a real overseer.

struct Bench {
    harness: Harness,
    validators: Validators,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let harness = Harness::new(seed, |_| StatementDistributionSubsystem::new());
        let validators = validators();
        let (chain, update) = TestChain::new(hash(HEAD), 1);
        let session = Some(Arc::new(validators.context.clone()));
        chain.set(hash(HEAD), AtBlock { session, ..AtBlock::default() });
        chain.serve(&harness);
        harness.signal(update);
        let bench = Self { harness, validators };
        for byte in 1..=2 {
            let info = PeerInfo { role: ObservedRole::Validator, authority: None };
            bench.event(NetworkBridgeEvent::PeerConnected(peer(byte), info));
            bench.event(NetworkBridgeEvent::PeerViewChange(peer(byte), View(vec![hash(HEAD)])));
        }
        bench
    }

    fn event(&self, event: NetworkBridgeEvent) {
        self.harness.tell(NetworkUpdate(event));
    }

    fn message(&self, byte: u8, payload: Bytes) {
        self.event(NetworkBridgeEvent::PeerMessage(peer(byte), payload));
    }

    fn sent(&self) -> SendMessage {
        match self.harness.expect_any_order::<NetworkBridge>() {
            BridgeInbox::SendMessage(message) => message,
            _ => panic!("something else was sent to the bridge: {:?}", self.harness.pending()),
        }
    }

    fn reported(&self) -> (PeerId, PeerConduct) {
        match self.harness.expect_any_order::<NetworkBridge>() {
            BridgeInbox::ReportPeer(report) => (report.peer, report.conduct),
            _ => panic!("something else was sent to the bridge: {:?}", self.harness.pending()),
        }
    }

    fn imported(&self) -> SignedFullStatement {
        match self.harness.expect_any_order::<candidate_backing::CandidateBacking>() {
            candidate_backing::Inbox::Statement(statement) => statement.signed,
            _ => panic!("something else was sent to backing"),
        }
    }
}

#[test]
fn straight_path_under_several_seeds() {
    for seed in 0..8 {
        let bench = Bench::new(seed);
        let mine = candidate(0, 7);
        let seconded = bench.validators.seconded(0, &mine);
        bench.message(1, wire(&seconded));
        assert_eq!(bench.imported(), seconded);
        let sent = bench.sent();
        assert_eq!((sent.peers, sent.payload), (vec![peer(2)], wire(&seconded)));
        assert_eq!(bench.reported(), (peer(1), PeerConduct::BenefitUseful));

        let own = bench.validators.valid(1, &mine);
        bench.harness.tell(Share { relay_parent: hash(HEAD), signed: own.clone() });
        let sent = bench.sent();
        assert_eq!((sent.peers, sent.payload), (vec![peer(1), peer(2)], wire(&own)));
        bench.harness.finish();
    }
}

#[test]
fn contradictions_go_to_misbehavior_arbitration() {
    for seed in 0..4 {
        let bench = Bench::new(seed);
        bench.message(1, wire(&bench.validators.seconded(0, &candidate(0, 7))));
        bench.imported();
        bench.message(1, wire(&bench.validators.seconded(0, &candidate(0, 8))));
        match bench.harness.expect_any_order::<misbehavior_arbitration::MisbehaviorArbitration>() {
            misbehavior_arbitration::Inbox::DoubleVote(vote) => {
                assert_eq!(
                    vote.report.verify(&bench.validators.id(0)),
                    Ok(MisbehaviorKind::DoubleSeconded(hash(HEAD)))
                );
            }
            _ => panic!("not a double vote"),
        }
        bench.message(1, wire(&bench.validators.seconded(1, &candidate(0, 7))));
        bench.imported();
        bench.message(1, wire(&bench.validators.invalid(1, &candidate(0, 7))));
        match bench.harness.expect_any_order::<misbehavior_arbitration::MisbehaviorArbitration>() {
            misbehavior_arbitration::Inbox::SelfContradiction(word) => {
                let expected = MisbehaviorKind::SelfContradiction(candidate(0, 7).hash());
                assert_eq!(word.report.verify(&bench.validators.id(1)), Ok(expected));
            }
            _ => panic!("not a self-contradiction"),
        }
        while bench.harness.try_expect::<NetworkBridge>().is_some() {}
        bench.harness.finish();
    }
}

/// A subject whose session question is open, and a statement that waits for its answer.
fn waiting_for_session(seed: u64) -> (Harness, Responder<Result<Arc<ports::SessionContext>, ports::RuntimeError>>) {
    let harness = Harness::new(seed, |_| StatementDistributionSubsystem::new());
    harness.signal(started(HEAD, &[]));
    let runtime_api::Inbox::GetSessionContext(question, responder) = harness.expect::<runtime_api::RuntimeApi>() else {
        panic!("not the session was asked for");
    };
    assert_eq!(question.at, hash(HEAD));
    let info = PeerInfo { role: ObservedRole::Validator, authority: None };
    harness.tell(NetworkUpdate(NetworkBridgeEvent::PeerConnected(peer(1), info)));
    let message = wire(&validators().seconded(0, &candidate(0, 7)));
    harness.tell(NetworkUpdate(NetworkBridgeEvent::PeerMessage(peer(1), message)));
    harness.expect_nothing();
    (harness, responder)
}

#[test]
fn stop_work_ends_what_waits() {
    for seed in 0..4 {
        let (harness, responder) = waiting_for_session(seed);
        let other = LeavesUpdate { stopped: vec![hash(HEAD)], ..started(50, &[]) };
        harness.signal(other);
        assert!(responder.is_abandoned());
        let runtime_api::Inbox::GetSessionContext(question, _other) = harness.expect::<runtime_api::RuntimeApi>()
        else {
            panic!("not the session was asked for");
        };
        assert_eq!(question.at, hash(50));
        drop(responder);
        harness.finish();
    }
}

#[test]
fn session_that_cannot_be_had_is_given_up() {
    let harness = Harness::new(3, |_| StatementDistributionSubsystem::new());
    let (chain, update) = TestChain::new(hash(HEAD), 1);
    chain.serve(&harness);
    harness.signal(update);
    for _ in 0..=SESSION_ATTEMPTS {
        harness.run_for(Duration::from_millis(crate::limits::SESSION_RETRY_MS));
    }
    harness.finish();
}

#[test]
fn conclude_leaves_nothing_behind() {
    let (harness, responder) = waiting_for_session(11);
    harness.finish();
    assert!(responder.is_abandoned());
}
