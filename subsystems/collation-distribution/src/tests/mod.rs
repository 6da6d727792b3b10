mod collator;
mod validator;

use bytes::Bytes;
use codec::Encode as _;
use messages::collation_distribution::NetworkUpdate;
use messages::network_bridge::{
    self, NetworkBridge, NetworkBridgeEvent, ObservedRole, PeerConduct, PeerInfo, SendMessage, SendRequest, View,
};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, hash, peer, rng};
use overseer::Responder;
use overseer::answer::Reply;
use overseer::message::Inbox as _;
use ports::{PeerId, RequestError};
use primitives::{CollatorId, CoreIndex, Hash, Pair, ParaId, Signature, ValidatorId};

use crate::wire::{self, Advertise, Declare, Message};

const PARA: ParaId = ParaId(7);

fn pair(name: &str) -> Pair {
    Pair::from_name(name)
}

fn collator(name: &str) -> CollatorId {
    CollatorId(pair(name).public())
}

fn candidate(number: u8) -> Candidate {
    CandidateBuilder::new(PARA.0, 1, hash(1)).block_data(vec![number; 50]).build()
}

fn declare(name: &str, from: &PeerId, para_id: ParaId) -> Message {
    let signature = pair(name).sign(&wire::declare_payload(from, para_id), &mut rng());
    Message::Declare(Declare { collator: collator(name), para_id, signature })
}

fn advertise(name: &str, relay_parent: Hash, candidate: &Candidate) -> Message {
    let candidate_hash = candidate.hash();
    let signature = pair(name).sign(&wire::advertise_payload(relay_parent, candidate_hash), &mut rng());
    Message::Advertise(Advertise { relay_parent, candidate_hash, core: CoreIndex(1), signature })
}

fn spoilt(message: Message) -> Message {
    let spoil = |signature: Signature| {
        let mut bytes = signature.0;
        bytes[5] ^= 1;
        Signature(bytes)
    };
    match message {
        Message::Declare(said) => Message::Declare(Declare { signature: spoil(said.signature), ..said }),
        Message::Advertise(said) => Message::Advertise(Advertise { signature: spoil(said.signature), ..said }),
    }
}

/// A subject that works on `hash(1)`, child of `hash(0)`.
struct Bench {
    harness: Harness,
    chain: TestChain,
}

impl Bench {
    fn begin(harness: Harness, at: AtBlock) -> Self {
        let (chain, genesis) = TestChain::new(hash(0), 1);
        chain.serve(&harness);
        chain.set(hash(1), at);
        harness.signal(genesis);
        harness.signal(chain.import(hash(1), hash(0), 1, 1));
        Self { harness, chain }
    }

    /// Adds blocks on top of `hash(1)` until it is out of view.
    fn move_on(&self) {
        for byte in 2..6 {
            self.harness.signal(self.chain.import(hash(byte), hash(byte - 1), u32::from(byte), 1));
        }
    }

    fn network(&self, event: NetworkBridgeEvent) {
        self.harness.tell(NetworkUpdate(event));
    }

    fn connect(&self, byte: u8, role: ObservedRole, authority: Option<ValidatorId>) {
        self.network(NetworkBridgeEvent::PeerConnected(peer(byte), PeerInfo { role, authority }));
    }

    fn view(&self, byte: u8, heads: &[Hash]) {
        self.network(NetworkBridgeEvent::PeerViewChange(peer(byte), View(heads.to_vec())));
    }

    fn hear(&self, byte: u8, message: &Message) {
        self.hear_bytes(byte, message.encode());
    }

    fn hear_bytes(&self, byte: u8, payload: Vec<u8>) {
        self.network(NetworkBridgeEvent::PeerMessage(peer(byte), payload.into()));
    }

    /// Puts a request from a peer to the subject.
    fn request(&self, byte: u8, payload: Vec<u8>) -> Reply<Bytes> {
        let (respond, reply) = Reply::channel("request", "subject");
        self.network(NetworkBridgeEvent::IncomingRequest(peer(byte), payload.into(), respond));
        reply
    }

    fn expect_report(&self, byte: u8, conduct: PeerConduct) {
        match self.harness.expect::<NetworkBridge>() {
            network_bridge::Inbox::ReportPeer(found) => {
                assert_eq!((found.peer, found.conduct, found.count), (peer(byte), conduct, 1));
            }
            other => panic!("expected {conduct:?}, not {}", other.message_name()),
        }
    }

    fn expect_message(&self) -> SendMessage {
        match self.harness.expect::<NetworkBridge>() {
            network_bridge::Inbox::SendMessage(message) => message,
            other => panic!("expected a message, not {}", other.message_name()),
        }
    }

    fn expect_request(&self) -> (SendRequest, Responder<Result<Bytes, RequestError>>) {
        match self.harness.expect::<NetworkBridge>() {
            network_bridge::Inbox::SendRequest(request, answer) => (request, answer),
            other => panic!("expected a request, not {}", other.message_name()),
        }
    }
}

#[test]
fn messages_keep_their_sizes_and_payloads_their_domains() {
    let (declaration, advertisement) = (declare("a", &peer(1), PARA), advertise("a", hash(1), &candidate(1)));
    assert_eq!(declaration.encode().len(), 1 + 32 + 4 + 64);
    assert_eq!(advertisement.encode().len(), 1 + 32 + 32 + 4 + 64);
    assert!(wire::declare_payload(&peer(1), PARA).ends_with(&[1, 1, 1, 1, 7, 0, 0, 0]));
    assert!(wire::advertise_payload(hash(1), candidate(1).hash()).starts_with(b"\x50parahost-coll-advert"));
}

/// What a reply holds now, if it is there.
fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
