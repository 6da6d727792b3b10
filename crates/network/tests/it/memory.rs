//! The network in memory, under virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deterministic::Simulation;
use futures::future::{join, join_all};
use network::{InterceptedKind, MemoryConfig, MemoryHub, MemoryNetwork, Verdict};
use ports::{Network, NetworkEvent, RequestError, SendRefusedReason};

use crate::conformance::{
    self, Events, STATEMENTS, conformance, connected, disconnected, link, message, next, numbered, open,
};

fn world(seed: u64, config: MemoryConfig) -> (Simulation, MemoryHub, [Arc<MemoryNetwork>; 3]) {
    let simulation = Simulation::new(seed);
    let hub = MemoryHub::new(simulation.environment("network"), config);
    let peers = ["alice", "bob", "carol"].map(|name| hub.join(MemoryHub::peer(name)));
    (simulation, hub, peers)
}

fn run(test: impl AsyncFn(&dyn Network, &dyn Network)) {
    let slow = MemoryConfig {
        latency: Duration::from_millis(80),
        jitter: Duration::from_millis(40),
        bandwidth_bytes_per_second: Some(20_000_000),
        delayed_per_million: 50_000,
        ..MemoryConfig::default()
    };
    for (seed, config) in [(1, MemoryConfig::default()), (2, slow), (3, slow)] {
        let (simulation, _hub, [a, b, _]) = world(seed, config);
        simulation.run_until(test(&*a, &*b)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

conformance!(run);

#[test]
fn partition_cuts_and_heals() {
    let (simulation, hub, [a, b, c]) = world(1, MemoryConfig::default());
    let bob = b.local_peer();
    let (mut at_a, mut at_b, mut at_c) = simulation
        .run_until(async {
            let (mut at_a, mut at_b) = link(&*a, &*b, STATEMENTS).await;
            let mut at_c = c.open(STATEMENTS, Bytes::new()).unwrap();
            c.connect(&b.local_peer(), &[]);
            join(connected(&mut at_c), connected(&mut at_b)).await;
            a.send(&b.local_peer(), STATEMENTS, numbered(1)).unwrap();
            hub.partition(&[vec![a.local_peer()]]);
            let refused = a.send(&b.local_peer(), STATEMENTS, numbered(2)).unwrap_err();
            assert_eq!(refused.reason, SendRefusedReason::NotConnected);
            join(disconnected(&mut at_a), disconnected(&mut at_b)).await;
            // Bob and Carol are in the rest together.
            b.send(&c.local_peer(), STATEMENTS, numbered(3)).unwrap();
            assert_eq!(message(&mut at_c).await, numbered(3));
            assert_eq!(a.request(&bob, STATEMENTS, numbered(1)).await, Err(RequestError::NotConnected));
            (at_a, at_b, at_c)
        })
        .unwrap();
    simulation.run_for(Duration::from_secs(3600)).unwrap();
    assert_eq!((a.statistics().peers, b.statistics().peers), (0, 1));
    hub.heal();
    let healed = async {
        join(connected(&mut at_a), connected(&mut at_b)).await;
        b.send(&a.local_peer(), STATEMENTS, numbered(4)).unwrap();
        assert_eq!(message(&mut at_a).await, numbered(4));
        b.send(&c.local_peer(), STATEMENTS, numbered(5)).unwrap();
        assert_eq!(message(&mut at_c).await, numbered(5));
    };
    simulation.run_until(healed).unwrap();
}

#[test]
fn crashed_peer_is_gone_and_comes_back_as_another_life() {
    let (simulation, hub, [a, b, _]) = world(1, MemoryConfig::default());
    let bob = b.local_peer();
    let test = async {
        let (mut at_a, mut at_b) = link(&*a, &*b, STATEMENTS).await;
        let asked = a.request(&bob, STATEMENTS, numbered(1));
        let crash = async {
            let NetworkEvent::Request { respond, .. } = next(&mut at_b).await else { panic!("a request") };
            hub.crash(&b.local_peer());
            respond
        };
        let (outcome, _kept) = join(asked, crash).await;
        assert_eq!(outcome, Err(RequestError::Refused));
        assert!(at_b.next().await.is_none());
        assert!(b.open(STATEMENTS, Bytes::new()).is_err());
        assert_eq!(disconnected(&mut at_a).await, b.local_peer());
        let reborn = hub.join(b.local_peer());
        // The old life's handle does no harm any more.
        b.shutdown();
        let mut at_reborn = reborn.open(STATEMENTS, Bytes::from_static(b"reborn")).unwrap();
        let (seen, _) = join(connected(&mut at_a), connected(&mut at_reborn)).await;
        assert_eq!(seen.1, "reborn");
        assert!(b.send(&a.local_peer(), STATEMENTS, numbered(1)).is_err());
        drop(reborn);
        assert_eq!(disconnected(&mut at_a).await, b.local_peer());
    };
    simulation.run_until(test).unwrap();
}

#[test]
fn refused_peer_stays_out_for_its_time() {
    let (simulation, _hub, [a, b, _]) = world(1, MemoryConfig::default());
    let hour = Duration::from_secs(3600);
    let (mut at_a, mut at_b) = simulation
        .run_until(async {
            let (mut at_a, mut at_b) = link(&*a, &*b, STATEMENTS).await;
            b.connect(&a.local_peer(), &[]);
            a.disconnect(&b.local_peer(), hour);
            join(disconnected(&mut at_a), disconnected(&mut at_b)).await;
            b.connect(&a.local_peer(), &[]);
            (at_a, at_b)
        })
        .unwrap();
    simulation.run_for(hour - Duration::from_secs(1)).unwrap();
    assert_eq!(a.statistics().peers, 0);
    simulation.run_until(join(connected(&mut at_a), connected(&mut at_b))).unwrap();
}

#[test]
fn hook_drops_and_replaces() {
    let (simulation, hub, [a, b, _]) = world(1, MemoryConfig::default());
    let bob = b.local_peer();
    let victim = b.local_peer();
    hub.intercept(move |passing| match (passing.kind, &passing.payload[..]) {
        (InterceptedKind::Notification, b"drop") => Verdict::Drop,
        (InterceptedKind::Notification, b"replace") => Verdict::Replace(Bytes::from_static(b"forged")),
        (InterceptedKind::Request, b"unheard") => Verdict::Drop,
        (InterceptedKind::Response, _) if *passing.from == victim => Verdict::Replace(Bytes::from_static(b"lie")),
        _ => Verdict::Deliver,
    });
    let test = async {
        let (_at_a, mut at_b) = link(&*a, &*b, STATEMENTS).await;
        for payload in ["drop", "replace", "deliver"] {
            a.send(&b.local_peer(), STATEMENTS, Bytes::from(payload)).unwrap();
        }
        assert_eq!((message(&mut at_b).await, message(&mut at_b).await), ("forged".into(), "deliver".into()));
        let asked = a.request(&bob, STATEMENTS, Bytes::from_static(b"question"));
        let serve = async {
            let NetworkEvent::Request { respond, .. } = next(&mut at_b).await else { panic!("a request") };
            respond.answer(Bytes::from_static(b"truth")).unwrap();
        };
        assert_eq!(join(asked, serve).await.0, Ok(Bytes::from_static(b"lie")));
        let unheard = a.request(&bob, STATEMENTS, Bytes::from_static(b"unheard"));
        assert_eq!(unheard.await, Err(RequestError::TimedOut));
    };
    simulation.run_until(test).unwrap();
}

#[test]
fn request_that_nobody_reads_times_out_and_frees_its_place() {
    let (simulation, _hub, [a, b, _]) = world(1, MemoryConfig::default());
    let bob = b.local_peer();
    let test = async {
        let (_at_a, mut at_b) = link(&*a, &*b, STATEMENTS).await;
        for _ in 0..5 {
            let asked = join_all((0..50).map(|_| a.request(&bob, STATEMENTS, numbered(1)))).await;
            assert!(asked.iter().all(|outcome| *outcome == Err(RequestError::TimedOut)));
        }
        let asked = a.request(&bob, STATEMENTS, numbered(2));
        let serve = async {
            let mut abandoned = 0;
            loop {
                let NetworkEvent::Request { payload, respond, .. } = next(&mut at_b).await else { panic!("a request") };
                if payload == numbered(2) {
                    respond.answer(payload).unwrap();
                    return abandoned;
                }
                abandoned += 1;
            }
        };
        let (outcome, abandoned) = join(asked, serve).await;
        assert_eq!(outcome, Ok(numbered(2)));
        assert!(abandoned <= network::limits::MAX_SERVED_REQUESTS_PER_PEER, "{abandoned} are kept");
    };
    simulation.run_until(test).unwrap();
}

/// Sends until the other has seen a number of messages, through losses; gives what was seen.
async fn persist(a: &dyn Network, b: &dyn Network, at_a: &mut Events, at_b: &mut Events) -> (Vec<Bytes>, usize) {
    let mut seen = Vec::new();
    let mut breaks = 0;
    for number in 0..300 {
        while a.send(&b.local_peer(), STATEMENTS, numbered(number)).is_err() {
            join(disconnected(at_a), conformance_drain(at_b, &mut seen)).await;
            breaks += 1;
            join(connected(at_a), connected(at_b)).await;
        }
    }
    (seen, breaks)
}

async fn conformance_drain(events: &mut Events, seen: &mut Vec<Bytes>) {
    loop {
        match next(events).await {
            NetworkEvent::Message { payload, .. } => seen.push(payload),
            NetworkEvent::Disconnected { .. } => return,
            other => panic!("expected messages and an end, got {other:?}"),
        }
    }
}

#[test]
fn lossy_network_breaks_connections_and_one_seed_gives_one_run() {
    let lossy = MemoryConfig { broken_per_million: 50_000, delayed_per_million: 100_000, ..MemoryConfig::default() };
    let run = |seed| {
        let (simulation, _hub, [a, b, _]) = world(seed, lossy);
        let test = async {
            let (mut at_a, mut at_b) = link(&*a, &*b, STATEMENTS).await;
            persist(&*a, &*b, &mut at_a, &mut at_b).await
        };
        let (seen, breaks) = simulation.run_until(test).unwrap();
        assert!(breaks > 0, "seed {seed}");
        assert!(seen.is_sorted(), "seed {seed}: nothing overtakes");
        simulation.trace_hash()
    };
    let hashes: BTreeSet<u64> = (0..5)
        .map(|seed| {
            let hash = run(seed);
            assert_eq!(hash, run(seed), "seed {seed}");
            hash
        })
        .collect();
    assert_eq!(hashes.len(), 5);
}

#[test]
fn bandwidth_is_shared_by_all_that_a_peer_sends() {
    let config = MemoryConfig {
        latency: Duration::from_millis(10),
        jitter: Duration::ZERO,
        bandwidth_bytes_per_second: Some(1_000_000),
        ..MemoryConfig::default()
    };
    let (simulation, _hub, [a, b, c]) = world(1, config);
    let test = async {
        let (_at_a, mut at_b) = link(&*a, &*b, STATEMENTS).await;
        let mut at_c = c.open(STATEMENTS, Bytes::new()).unwrap();
        a.connect(&c.local_peer(), &[]);
        connected(&mut at_c).await;
        let began = simulation.now();
        for to in [&b, &c] {
            a.send(&to.local_peer(), STATEMENTS, Bytes::from(vec![0; 500_000])).unwrap();
        }
        message(&mut at_b).await;
        let first = simulation.now() - began;
        message(&mut at_c).await;
        (first, simulation.now() - began)
    };
    let (first, second) = simulation.run_until(test).unwrap();
    assert_eq!((first, second), (Duration::from_millis(510), Duration::from_millis(1010)));
}

#[test]
fn idle_network_comes_to_rest() {
    let (simulation, _hub, [a, b, _]) = world(1, MemoryConfig::default());
    let (at_a, at_b) = open(&*a, &*b, conformance::BITFIELDS);
    a.connect(&b.local_peer(), &[]);
    simulation.run_until_idle().unwrap();
    assert_eq!(a.statistics().peers, 1);
    drop((at_a, at_b));
    simulation.run_until_idle().unwrap();
    assert_eq!(a.statistics().peers, 0);
}
