//! A peer that speaks libp2p well, and everything above it badly.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, identity::Keypair, noise, tcp, yamux};
use libp2p_stream::Control;
use network::Libp2pNetwork;
use ports::{Network, NetworkEvent, SendRefusedReason};

use crate::conformance::{Events, STATEMENTS, connected, disconnected, link, message, next, numbered};
use crate::tcp::{ANY_PORT, block_on, start};

const NOTIFICATIONS: StreamProtocol = StreamProtocol::new("/parahost/stmd/1");
const REQUESTS: StreamProtocol = StreamProtocol::new("/parahost/stmd/req/1");

struct Hostile {
    control: Control,
    target: PeerId,
    /// As the target sees it.
    id: ports::PeerId,
}

/// Finds an identity that is to open the substreams, i.e. has the smaller id.
fn smaller_than(target: PeerId) -> Keypair {
    let mut keys = (100..=u8::MAX).map(|seed| Keypair::ed25519_from_bytes([seed; 32]).unwrap());
    keys.find(|key| key.public().to_peer_id().to_bytes() < target.to_bytes()).unwrap()
}

async fn attack(target: &Libp2pNetwork) -> Hostile {
    let target_id = PeerId::from_bytes(target.local_peer().as_bytes()).unwrap();
    let address: Multiaddr = target.listen_addresses()[0].0.parse().unwrap();
    let mut swarm = SwarmBuilder::with_existing_identity(smaller_than(target_id))
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .build();
    let control = swarm.behaviour().new_control();
    let id = ports::PeerId::new(&swarm.local_peer_id().to_bytes()).unwrap();
    swarm.dial(address.with_p2p(target_id).unwrap()).unwrap();
    while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    Hostile { control, target: target_id, id }
}

impl Hostile {
    async fn open(&mut self, protocol: StreamProtocol) -> Stream {
        self.control.open_stream(self.target, protocol).await.unwrap()
    }

    /// Opens the notifications' substream properly.
    async fn link(&mut self, events: &mut Events) -> Stream {
        loop {
            let mut stream = self.open(NOTIFICATIONS).await;
            stream.write_all(&[2, 0, 0, 0, b'h', b'i']).await.unwrap();
            stream.flush().await.unwrap();
            let mut length = [0; 4];
            // While the other pauses it may drop the substream.
            if stream.read_exact(&mut length).await.is_ok() {
                let mut handshake = vec![0; u32::from_le_bytes(length) as usize];
                stream.read_exact(&mut handshake).await.unwrap();
                assert_eq!(connected(events).await, (self.id.clone(), Bytes::from_static(b"hi")));
                return stream;
            }
        }
    }
}

/// Waits until the other has closed the substream.
async fn ended(stream: &mut Stream) {
    let mut sink = [0; 1024];
    while !matches!(stream.read(&mut sink).await, Ok(0) | Err(_)) {}
}

async fn still_works(a: &dyn Network, b: &dyn Network, at_b: &mut Events) {
    for number in 0..50 {
        a.send(&b.local_peer(), STATEMENTS, numbered(number)).unwrap();
        assert_eq!(message(at_b).await, numbered(number));
    }
}

async fn honest() -> (Arc<Libp2pNetwork>, Arc<Libp2pNetwork>, Events, Events) {
    let a = start(1, ANY_PORT).await.unwrap();
    let b = start(2, ANY_PORT).await.unwrap();
    let (at_a, at_b) = link(&*a, &*b, STATEMENTS).await;
    (a, b, at_a, at_b)
}

#[test]
fn frames_over_the_limit_close_the_substream_and_nothing_else() {
    block_on(async {
        let (a, b, _at_a, mut at_b) = honest().await;
        let mut hostile = attack(&b).await;
        // As a handshake.
        let mut stream = hostile.open(NOTIFICATIONS).await;
        stream.write_all(&[0xff; 64]).await.unwrap();
        stream.flush().await.unwrap();
        ended(&mut stream).await;
        still_works(&*a, &*b, &mut at_b).await;
        // As a message, after one that is fine.
        let mut stream = hostile.link(&mut at_b).await;
        stream.write_all(&[1, 0, 0, 0, 42, 0, 0, 0x20, 0, 1, 2, 3]).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(&message(&mut at_b).await[..], [42]);
        assert_eq!(disconnected(&mut at_b).await, hostile.id);
        ended(&mut stream).await;
        // As a request.
        let mut stream = hostile.open(REQUESTS).await;
        stream.write_all(&[0xff; 64]).await.unwrap();
        stream.flush().await.unwrap();
        ended(&mut stream).await;
        still_works(&*a, &*b, &mut at_b).await;
    });
}

#[test]
fn unknown_protocols_are_not_agreed_to() {
    block_on(async {
        let (a, b, _at_a, mut at_b) = honest().await;
        let mut hostile = attack(&b).await;
        for name in ["/parahost/none/1", "/parahost/stmd/2", "/parahost/stmd", "/x"] {
            let opened = hostile.control.open_stream(hostile.target, StreamProtocol::new(name)).await;
            assert!(opened.is_err(), "{name}");
        }
        still_works(&*a, &*b, &mut at_b).await;
    });
}

#[test]
fn substream_that_is_replaced_again_and_again_is_told_in_order() {
    block_on(async {
        let (a, b, _at_a, mut at_b) = honest().await;
        let mut hostile = attack(&b).await;
        let mut kept = Vec::new();
        for round in 0..4 {
            if round > 0 {
                // The new one ends the old one.
                let mut stream = hostile.open(NOTIFICATIONS).await;
                stream.flush().await.unwrap();
                assert_eq!(disconnected(&mut at_b).await, hostile.id);
                drop(stream);
            }
            kept.push(hostile.link(&mut at_b).await);
        }
        still_works(&*a, &*b, &mut at_b).await;
    });
}

#[test]
fn refused_peer_gets_no_substream() {
    block_on(async {
        let (a, b, _at_a, mut at_b) = honest().await;
        let mut hostile = attack(&b).await;
        let _stream = hostile.link(&mut at_b).await;
        b.disconnect(&hostile.id, Duration::from_secs(3600));
        assert_eq!(disconnected(&mut at_b).await, hostile.id);
        // Dials anew, under the same identity.
        for _ in 0..3 {
            let mut again = attack(&b).await;
            assert_eq!(again.id, hostile.id);
            let opened = again.control.open_stream(again.target, NOTIFICATIONS).await;
            assert!(opened.is_err());
        }
        let refused = b.send(&hostile.id, STATEMENTS, Bytes::new()).unwrap_err();
        assert_eq!(refused.reason, SendRefusedReason::NotConnected);
        still_works(&*a, &*b, &mut at_b).await;
    });
}

#[test]
fn flood_of_requests_is_cut_off_at_the_limit() {
    block_on(async {
        let (a, b, _at_a, mut at_b) = honest().await;
        let bob = b.local_peer();
        let mut hostile = attack(&b).await;
        let limit = network::limits::MAX_SERVED_REQUESTS_PER_PEER;
        let mut streams = Vec::new();
        for _ in 0..limit + 20 {
            let mut stream = hostile.open(REQUESTS).await;
            // Refused ones may be closed already.
            let _closed = stream.write_all(&[1, 0, 0, 0, 7]).await;
            let _closed = stream.flush().await;
            streams.push(stream);
        }
        let mut kept = Vec::new();
        while kept.len() < limit {
            let NetworkEvent::Request { peer, respond, .. } = next(&mut at_b).await else { panic!("a request") };
            assert_eq!(peer, hostile.id);
            kept.push(respond);
        }
        for stream in &mut streams[limit..] {
            ended(stream).await;
        }
        // The honest peer has places of its own.
        let serve = async {
            let NetworkEvent::Request { payload, respond, .. } = next(&mut at_b).await else { panic!("a request") };
            respond.answer(payload).unwrap();
        };
        let asked = a.request(&bob, STATEMENTS, numbered(1));
        assert_eq!(join(asked, serve).await.0, Ok(numbered(1)));
        still_works(&*a, &*b, &mut at_b).await;
    });
}

#[test]
fn flood_of_messages_is_held_back_without_harm_to_others() {
    block_on(async {
        let (a, b, mut at_a, mut at_b) = honest().await;
        let mut hostile = attack(&b).await;
        let mut stream = hostile.link(&mut at_b).await;
        let flood = tokio::spawn(async move {
            let mut frame = vec![0; 4 + 100_000];
            frame[..4].copy_from_slice(&100_000_u32.to_le_bytes());
            for _ in 0..500 {
                stream.write_all(&frame).await.unwrap();
            }
            stream.flush().await.unwrap();
            stream
        });
        for number in 0..50 {
            a.send(&b.local_peer(), STATEMENTS, numbered(number)).unwrap();
            b.send(&a.local_peer(), STATEMENTS, numbered(number)).unwrap();
            assert_eq!(message(&mut at_a).await, numbered(number));
        }
        let (mut flooded, mut honest) = (0, 0);
        while flooded < 500 || honest < 50 {
            match next(&mut at_b).await {
                NetworkEvent::Message { peer, .. } if peer == hostile.id => flooded += 1,
                NetworkEvent::Message { payload, .. } => {
                    assert_eq!(payload, numbered(honest));
                    honest += 1;
                }
                other => panic!("expected messages, got {other:?}"),
            }
        }
        drop(flood.await.unwrap());
    });
}
