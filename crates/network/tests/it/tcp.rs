//! The network over TCP, on the loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use network::{Libp2pConfig, Libp2pNetwork, parse_peer_address, peer_id_of_seed};
use ports::{Address, Network, NetworkError};
use tokio::runtime::{Builder, Handle};

use crate::conformance::{STATEMENTS, conformance, connected, disconnected, link, message, numbered};

/// A test that hangs ends here; none should come near.
const HANGS: Duration = Duration::from_secs(120);

pub(crate) async fn start(seed: u8, listen: &str) -> Result<Arc<Libp2pNetwork>, NetworkError> {
    let config = Libp2pConfig {
        identity_seed: [seed; 32],
        listen: vec![Address(listen.to_string())],
        ..Libp2pConfig::default()
    };
    Libp2pNetwork::start(config, Handle::current()).await
}

pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(HANGS, test).await.expect("no test hangs") });
}

pub(crate) const ANY_PORT: &str = "/ip4/127.0.0.1/tcp/0";

fn run(test: impl AsyncFn(&dyn Network, &dyn Network)) {
    // Whoever has the smaller id opens the substreams: both ways round.
    for seeds in [[1, 2], [2, 1]] {
        block_on(async {
            let (a, b) = join(start(seeds[0], ANY_PORT), start(seeds[1], ANY_PORT)).await;
            let (a, b) = (a.unwrap(), b.unwrap());
            test(&*a, &*b).await;
            join(a.shutdown(), b.shutdown()).await;
        });
    }
}

conformance!(run);

pub(crate) fn socket_address(network: &dyn Network) -> SocketAddr {
    let address = network.listen_addresses().remove(0).0;
    let port = address.rsplit('/').next().unwrap().parse().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn identity_comes_from_the_seed_and_addresses_say_where() {
    block_on(async {
        let network = start(7, ANY_PORT).await.unwrap();
        assert_eq!(network.local_peer(), peer_id_of_seed([7; 32]));
        assert_ne!(network.local_peer(), peer_id_of_seed([8; 32]));
        assert_ne!(socket_address(&*network).port(), 0);
    });
}

#[test]
fn port_in_use_is_an_error_that_names_the_address() {
    block_on(async {
        let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
        let network = start(1, ANY_PORT).await.unwrap();
        for port in [foreign.local_addr().unwrap().port(), socket_address(&*network).port()] {
            let address = format!("/ip4/127.0.0.1/tcp/{port}");
            let error = start(2, &address).await.err().expect("the port is taken").to_string();
            assert!(error.contains(&address) && error.contains("in use"), "{error}");
        }
        for address in ["nonsense", "/ip4/127.0.0.1/udp/1", "/dns4/example.org/tcp/1", ""] {
            let error = start(2, address).await.err();
            assert!(matches!(error, Some(NetworkError::Address { address: named, .. }) if named.contains(address)));
        }
    });
}

#[test]
fn peer_addresses_are_taken_apart() {
    let id = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
    let (_, address) = parse_peer_address(&format!("/ip4/10.0.0.1/tcp/30333/p2p/{id}")).unwrap();
    assert_eq!(address, Address("/ip4/10.0.0.1/tcp/30333".to_string()));
    for bad in [String::new(), "/ip4/10.0.0.1/tcp/30333".to_string(), format!("/p2p/{id}"), "x".to_string()] {
        assert!(matches!(parse_peer_address(&bad), Err(NetworkError::Address { .. })), "{bad}");
    }
}

#[test]
fn shutdown_ends_readers_and_frees_the_port_and_the_peer_dials_again() {
    block_on(async {
        let a = start(1, ANY_PORT).await.unwrap();
        let b = start(2, ANY_PORT).await.unwrap();
        let (mut at_a, mut at_b) = link(&*a, &*b, STATEMENTS).await;
        let address = b.listen_addresses().remove(0).0;
        b.shutdown().await;
        assert_eq!(disconnected(&mut at_a).await, b.local_peer());
        assert_eq!(disconnected(&mut at_b).await, a.local_peer());
        assert!(at_b.next().await.is_none());
        assert!(matches!(b.open(STATEMENTS, Bytes::new()).err(), Some(NetworkError::Closed)));
        assert_eq!(b.statistics().peers, 0);
        let b = start(2, &address).await.unwrap();
        let mut at_b = b.open(STATEMENTS, Bytes::from_static(b"again")).unwrap();
        let (seen, _) = join(connected(&mut at_a), connected(&mut at_b)).await;
        assert_eq!(seen.1, "again");
    });
}

#[test]
fn bootnodes_are_dialled_and_lead_to_others() {
    block_on(async {
        let hub = start(1, ANY_PORT).await.unwrap();
        let mut at_hub = hub.open(STATEMENTS, Bytes::new()).unwrap();
        let mut peers = Vec::new();
        for seed in [2, 3] {
            let config = Libp2pConfig {
                identity_seed: [seed; 32],
                listen: vec![Address(ANY_PORT.to_string())],
                bootnodes: vec![(hub.local_peer(), hub.listen_addresses().remove(0))],
                reserved: vec![hub.local_peer()],
            };
            let network = Libp2pNetwork::start(config, Handle::current()).await.unwrap();
            let mut events = network.open(STATEMENTS, Bytes::new()).unwrap();
            join(connected(&mut events), connected(&mut at_hub)).await;
            peers.push((network, events));
        }
        // No address given: the address book has to know it from the bootnode.
        let [(b, at_b), (c, at_c)] = &mut peers[..] else { panic!("two peers") };
        b.connect(&c.local_peer(), &[]);
        let (seen_by_b, seen_by_c) = join(connected(at_b), connected(at_c)).await;
        assert_eq!((seen_by_b.0, seen_by_c.0), (c.local_peer(), b.local_peer()));
    });
}

#[test]
fn peers_that_dial_each_other_at_once_are_connected_once() {
    block_on(async {
        let a = start(1, ANY_PORT).await.unwrap();
        let b = start(2, ANY_PORT).await.unwrap();
        let mut at_a = a.open(STATEMENTS, Bytes::new()).unwrap();
        let mut at_b = b.open(STATEMENTS, Bytes::new()).unwrap();
        a.connect(&b.local_peer(), &b.listen_addresses());
        b.connect(&a.local_peer(), &a.listen_addresses());
        join(connected(&mut at_a), connected(&mut at_b)).await;
        for number in 0..100 {
            a.send(&b.local_peer(), STATEMENTS, numbered(number)).unwrap();
            assert_eq!(message(&mut at_b).await, numbered(number));
        }
    });
}

#[test]
fn garbage_on_the_listening_socket_disturbs_nobody() {
    block_on(async {
        let a = start(1, ANY_PORT).await.unwrap();
        let b = start(2, ANY_PORT).await.unwrap();
        let (_at_a, mut at_b) = link(&*a, &*b, STATEMENTS).await;
        let target = socket_address(&*b);
        let attack = tokio::task::spawn_blocking(move || {
            let mut open = Vec::new();
            for round in 0..50_u8 {
                let mut socket = TcpStream::connect(target).unwrap();
                let garbage: Vec<u8> = match round % 4 {
                    0 => Vec::new(),
                    1 => (0..10_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
                    2 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                    // A greeting, then nonsense where keys are exchanged.
                    _ => [&b"\x13/multistream/1.0.0\n\x07/noise\n"[..], &[0xff; 4000]].concat(),
                };
                // It may be closed in the middle of it.
                let _closed = socket.write_all(&garbage);
                if round % 2 == 0 {
                    open.push(socket);
                } else {
                    socket.shutdown(std::net::Shutdown::Write).unwrap_or_default();
                    let _rest = socket.read(&mut [0; 1024]);
                }
            }
            open
        });
        let _open = attack.await.unwrap();
        for number in 0..100 {
            a.send(&b.local_peer(), STATEMENTS, numbered(number)).unwrap();
            assert_eq!(message(&mut at_b).await, numbered(number));
        }
        // A newcomer gets in as well.
        let c = start(3, ANY_PORT).await.unwrap();
        let mut at_c = c.open(STATEMENTS, Bytes::new()).unwrap();
        c.connect(&b.local_peer(), &b.listen_addresses());
        join(connected(&mut at_c), connected(&mut at_b)).await;
    });
}
