//! What every network does alike. Each test gets two peers that do not know each other yet.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use ports::{
    MAX_NOTIFICATION_BYTES, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, Network, NetworkError, NetworkEvent, PeerId,
    ProtocolEvents, ProtocolId, RequestError, SendRefusedReason,
};

pub(crate) const STATEMENTS: ProtocolId = ProtocolId(*b"stmd");
pub(crate) const BITFIELDS: ProtocolId = ProtocolId(*b"bitf");

pub(crate) type Events = Box<dyn ProtocolEvents>;

pub(crate) async fn next(events: &mut Events) -> NetworkEvent {
    events.next().await.expect("the network is up")
}

pub(crate) async fn connected(events: &mut Events) -> (PeerId, Bytes) {
    match next(events).await {
        NetworkEvent::Connected { peer, handshake } => (peer, handshake),
        other => panic!("expected a connection, got {other:?}"),
    }
}

pub(crate) async fn disconnected(events: &mut Events) -> PeerId {
    match next(events).await {
        NetworkEvent::Disconnected { peer } => peer,
        other => panic!("expected the end of a connection, got {other:?}"),
    }
}

pub(crate) async fn message(events: &mut Events) -> Bytes {
    match next(events).await {
        NetworkEvent::Message { payload, .. } => payload,
        other => panic!("expected a message, got {other:?}"),
    }
}

/// Opens a protocol at both, without connecting.
pub(crate) fn open(a: &dyn Network, b: &dyn Network, protocol: ProtocolId) -> (Events, Events) {
    (a.open(protocol, Bytes::from_static(b"from a")).unwrap(), b.open(protocol, Bytes::from_static(b"from b")).unwrap())
}

/// Opens a protocol at both, and waits until they are connected on it.
pub(crate) async fn link(a: &dyn Network, b: &dyn Network, protocol: ProtocolId) -> (Events, Events) {
    let (mut at_a, mut at_b) = open(a, b, protocol);
    a.connect(&b.local_peer(), &b.listen_addresses());
    let (seen_by_a, seen_by_b) = join(connected(&mut at_a), connected(&mut at_b)).await;
    assert_eq!(seen_by_a, (b.local_peer(), Bytes::from_static(b"from b")));
    assert_eq!(seen_by_b, (a.local_peer(), Bytes::from_static(b"from a")));
    (at_a, at_b)
}

pub(crate) fn numbered(number: u32) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

pub(crate) async fn messages_keep_their_order_both_ways(a: &dyn Network, b: &dyn Network) {
    let (mut at_a, mut at_b) = link(a, b, STATEMENTS).await;
    for number in 0..1000 {
        a.send(&b.local_peer(), STATEMENTS, numbered(number)).unwrap();
        b.send(&a.local_peer(), STATEMENTS, numbered(number + 5000)).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(message(&mut at_b).await, numbered(number));
        assert_eq!(message(&mut at_a).await, numbered(number + 5000));
    }
    for network in [a, b] {
        let statistics = network.statistics();
        assert_eq!((statistics.bytes_received, statistics.bytes_sent, statistics.peers), (4000, 4000, 1));
    }
}

pub(crate) async fn sends_that_cannot_work_hand_the_message_back(a: &dyn Network, b: &dyn Network) {
    let payload = Bytes::from_static(b"hello");
    let refused = a.send(&b.local_peer(), STATEMENTS, payload.clone()).unwrap_err();
    assert_eq!((refused.payload, refused.reason), (payload, SendRefusedReason::NotConnected));
    let (_at_a, mut at_b) = link(a, b, STATEMENTS).await;
    let large = Bytes::from(vec![0; MAX_NOTIFICATION_BYTES + 1]);
    let refused = a.send(&b.local_peer(), STATEMENTS, large.clone()).unwrap_err();
    assert_eq!((refused.payload.len(), refused.reason), (large.len(), SendRefusedReason::TooLarge));
    a.send(&b.local_peer(), STATEMENTS, large.slice(1..)).unwrap();
    a.send(&b.local_peer(), STATEMENTS, Bytes::new()).unwrap();
    assert_eq!(message(&mut at_b).await.len(), MAX_NOTIFICATION_BYTES);
    assert!(message(&mut at_b).await.is_empty());
}

pub(crate) async fn requests_are_answered_refused_or_too_large(a: &dyn Network, b: &dyn Network) {
    let (_at_a, mut at_b) = link(a, b, STATEMENTS).await;
    let peer = b.local_peer();
    let serve = async |events: &mut Events, answer: Option<Bytes>| match next(events).await {
        NetworkEvent::Request { peer, payload, respond } => {
            assert_eq!((peer, &payload[..]), (a.local_peer(), &b"what"[..]));
            if let Some(answer) = answer {
                respond.answer(answer).unwrap();
            }
        }
        other => panic!("expected a request, got {other:?}"),
    };
    let what = Bytes::from_static(b"what");
    // Larger than a PoV of 10 MiB.
    let big = Bytes::from((0..11 * 1024 * 1024_u32).map(|number| (number % 251) as u8).collect::<Vec<_>>());
    for answer in [Bytes::from_static(b"this"), Bytes::new(), big] {
        let asked = a.request(&peer, STATEMENTS, what.clone());
        let (outcome, ()) = join(asked, serve(&mut at_b, Some(answer.clone()))).await;
        assert!(outcome.unwrap() == answer);
    }
    let asked = a.request(&peer, STATEMENTS, what.clone());
    assert_eq!(join(asked, serve(&mut at_b, None)).await.0, Err(RequestError::Refused));
    let over = Bytes::from(vec![0; MAX_RESPONSE_BYTES + 1]);
    let asked = a.request(&peer, STATEMENTS, what.clone());
    let outcome = join(asked, serve(&mut at_b, Some(over))).await.0;
    assert!(matches!(outcome, Err(RequestError::Refused | RequestError::TooLarge)), "{outcome:?}");
    let large = Bytes::from(vec![0; MAX_REQUEST_BYTES + 1]);
    assert_eq!(a.request(&peer, STATEMENTS, large).await, Err(RequestError::TooLarge));
    assert_eq!(a.request(&peer, BITFIELDS, what.clone()).await, Err(RequestError::Refused));
    let stranger = PeerId::new(b"nobody").unwrap();
    assert_eq!(a.request(&stranger, STATEMENTS, what).await, Err(RequestError::NotConnected));
}

pub(crate) async fn many_requests_at_once_are_all_answered(a: &dyn Network, b: &dyn Network) {
    let (_at_a, mut at_b) = link(a, b, STATEMENTS).await;
    let peer = b.local_peer();
    let asking = futures::future::join_all((0..100).map(|number| a.request(&peer, STATEMENTS, numbered(number))));
    let serving = async {
        for _ in 0..100 {
            let NetworkEvent::Request { payload, respond, .. } = next(&mut at_b).await else { panic!("a request") };
            respond.answer(payload).unwrap();
        }
    };
    let answers = join(asking, serving).await.0;
    assert!(answers.into_iter().eq((0..100).map(|number| Ok(numbered(number)))));
}

pub(crate) async fn reader_that_stops_holds_up_its_own_protocol_only(a: &dyn Network, b: &dyn Network) {
    let (_statements_a, mut statements_b) = link(a, b, STATEMENTS).await;
    let (mut bitfields_a, mut bitfields_b) = open(a, b, BITFIELDS);
    join(connected(&mut bitfields_a), connected(&mut bitfields_b)).await;
    let peer = b.local_peer();
    let kibibytes_64 = Bytes::from(vec![1; 64 * 1024]);
    // Nobody reads these.
    for _ in 0..100 {
        a.send(&peer, STATEMENTS, kibibytes_64.clone()).unwrap();
    }
    for number in 0..500 {
        a.send(&peer, BITFIELDS, numbered(number)).unwrap();
        assert_eq!(message(&mut bitfields_b).await, numbered(number));
        b.send(&a.local_peer(), BITFIELDS, numbered(number)).unwrap();
        assert_eq!(message(&mut bitfields_a).await, numbered(number));
    }
    for _ in 0..100 {
        assert_eq!(message(&mut statements_b).await.len(), kibibytes_64.len());
    }
}

pub(crate) async fn overflow_disconnects_both_sides_and_the_protocol_comes_back(a: &dyn Network, b: &dyn Network) {
    let (mut at_a, mut at_b) = link(a, b, STATEMENTS).await;
    let (mut bitfields_a, mut bitfields_b) = open(a, b, BITFIELDS);
    join(connected(&mut bitfields_a), connected(&mut bitfields_b)).await;
    let peer = b.local_peer();
    let mebibyte = Bytes::from(vec![1; MAX_NOTIFICATION_BYTES]);
    let refused = (0..100).find_map(|_| a.send(&peer, STATEMENTS, mebibyte.clone()).err());
    let refused = refused.expect("the queue is far smaller");
    assert_eq!((refused.payload.len(), refused.reason), (mebibyte.len(), SendRefusedReason::QueueFull));
    let refused = a.send(&peer, STATEMENTS, Bytes::new()).unwrap_err();
    assert_eq!(refused.reason, SendRefusedReason::NotConnected);
    assert_eq!(disconnected(&mut at_a).await, peer);
    let read = async {
        loop {
            match next(&mut at_b).await {
                NetworkEvent::Message { .. } => {}
                NetworkEvent::Disconnected { peer } => break assert_eq!(peer, a.local_peer()),
                other => panic!("expected the rest and the end, got {other:?}"),
            }
        }
        connected(&mut at_b).await
    };
    join(read, connected(&mut at_a)).await;
    a.send(&peer, STATEMENTS, numbered(1)).unwrap();
    assert_eq!(message(&mut at_b).await, numbered(1));
    // The neighbour has noticed nothing.
    a.send(&peer, BITFIELDS, numbered(2)).unwrap();
    assert_eq!(message(&mut bitfields_b).await, numbered(2));
}

pub(crate) async fn refused_peer_comes_back_when_its_time_is_over(a: &dyn Network, b: &dyn Network) {
    let (mut at_a, mut at_b) = link(a, b, STATEMENTS).await;
    let refuse_for = Duration::from_millis(400);
    // Once the refused one wants to come back, once the other has changed its mind.
    for (wanting, wanted) in [(b, a), (a, b)] {
        a.disconnect(&b.local_peer(), refuse_for);
        b.disconnect(&a.local_peer(), Duration::ZERO);
        wanting.connect(&wanted.local_peer(), &wanted.listen_addresses());
        let (by_a, by_b) = join(disconnected(&mut at_a), disconnected(&mut at_b)).await;
        assert_eq!((by_a, by_b), (b.local_peer(), a.local_peer()));
        join(connected(&mut at_a), connected(&mut at_b)).await;
        a.send(&b.local_peer(), STATEMENTS, numbered(1)).unwrap();
        assert_eq!(message(&mut at_b).await, numbered(1));
    }
}

pub(crate) async fn protocol_has_one_reader_and_ends_with_it(a: &dyn Network, b: &dyn Network) {
    let (mut at_a, at_b) = link(a, b, STATEMENTS).await;
    let (mut bitfields_a, mut bitfields_b) = open(a, b, BITFIELDS);
    join(connected(&mut bitfields_a), connected(&mut bitfields_b)).await;
    let second = b.open(STATEMENTS, Bytes::new()).err();
    assert!(matches!(second, Some(NetworkError::AlreadyOpen(STATEMENTS))));
    drop(at_b);
    assert_eq!(disconnected(&mut at_a).await, b.local_peer());
    a.send(&b.local_peer(), BITFIELDS, numbered(1)).unwrap();
    assert_eq!(message(&mut bitfields_b).await, numbered(1));
    let mut at_b = b.open(STATEMENTS, Bytes::from_static(b"again")).unwrap();
    let (seen_by_a, _) = join(connected(&mut at_a), connected(&mut at_b)).await;
    assert_eq!(seen_by_a.1, "again");
}

/// Makes a test of each function above, run by `$run`.
macro_rules! conformance {
    ($run:path) => {
        conformance!($run:
            messages_keep_their_order_both_ways
            sends_that_cannot_work_hand_the_message_back
            requests_are_answered_refused_or_too_large
            many_requests_at_once_are_all_answered
            reader_that_stops_holds_up_its_own_protocol_only
            overflow_disconnects_both_sides_and_the_protocol_comes_back
            refused_peer_comes_back_when_its_time_is_over
            protocol_has_one_reader_and_ends_with_it
        );
    };
    ($run:path: $($test:ident)*) => {
        $(#[test]
        fn $test() {
            $run(async |a: &dyn ports::Network, b: &dyn ports::Network| crate::conformance::$test(a, b).await);
        })*
    };
}
pub(crate) use conformance;
