//! Strangers at the sockets of a running network: what they send, or do not send, stops nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;

const VALIDATORS: usize = 4;
/// Beside them the collator of the only para.
const NODES: usize = VALIDATORS + 1;
/// Connections on which nothing is ever said: to the first validator more than may wait for a handshake. Together fewer
/// than a process may usually have open, for all nodes are one.
const IDLE_AT_FIRST: usize = 200;
const IDLE_AT_OTHERS: usize = 20;
/// Blocks that become final while the strangers are there.
const FINAL_UNDER_ATTACK: usize = 5;

/// Where a log line says that a node listens.
fn address_in(line: &str) -> Option<SocketAddr> {
    let logged: Value = serde_json::from_str(line).ok()?;
    let fields = &logged["fields"];
    let address = (fields["message"] == "listening").then(|| fields["address"].as_str())??;
    let (host, port) = address.strip_prefix("/ip4/")?.split_once("/tcp/")?;
    Some(SocketAddr::new(host.parse().expect("an IPv4 address"), port.parse().expect("a port")))
}

/// Comes with garbage, begins handshakes and leaves them, and keeps quiet; returns what it holds open.
fn intrude(address: SocketAddr, idle: usize) -> Vec<TcpStream> {
    let connect = || TcpStream::connect(address).expect("the node listens");
    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let greeting = b"\x13/multistream/1.0.0\n\x07/noise\n";
    let mut open: Vec<_> = (0..idle).map(|_| connect()).collect();
    for said in [&noise[..], b"GET / HTTP/1.1\r\n\r\n", &[&greeting[..], &[0xff; 4_000]].concat(), greeting] {
        let mut socket = connect();
        // It may be closed in the middle of it.
        let _closed = socket.write_all(said);
        open.push(socket);
    }
    let mut half_closed = connect();
    let _closed = half_closed.write_all(&greeting[..9]).and_then(|()| half_closed.shutdown(Shutdown::Write));
    open.push(half_closed);
    open
}

#[test]
fn a_network_goes_on_while_strangers_send_garbage_and_hold_connections() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_parahost"))
        .args(["--log", "network=info", "--log-json", "dev", "--validators", "4", "--parachains", "1", "--json"])
        .args(["--slot-ms", "500", "--pov-size", "1KiB", "--until-included", "6", "--network", "libp2p"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let log = BufReader::new(child.stderr.take().expect("it is a pipe"));
    let mut log = log.lines().map(|line| line.expect("the log is lines"));
    let addresses: Vec<_> = log.by_ref().filter_map(|line| address_in(&line)).take(NODES).collect();
    assert_eq!(addresses.len(), NODES, "each node says where it listens");
    // Nobody waits for a reader of the rest.
    let rest = std::thread::spawn(move || log.count());

    let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let events = output.lines().map(|line| line.expect("the network writes lines"));
    let mut events = events.map(|line| serde_json::from_str::<Value>(&line).expect("each line is an object"));
    assert!(events.any(|event| event["event"] == "finalized"), "the nodes have found each other");
    let mut open = intrude(addresses[0], IDLE_AT_FIRST);
    open.extend(addresses[1..].iter().flat_map(|address| intrude(*address, IDLE_AT_OTHERS)));
    let mut finalized = 0;
    let mut last = Value::Null;
    for event in events {
        finalized += usize::from(event["event"] == "finalized");
        last = event;
    }
    let status = child.wait().expect("it ends");
    assert_eq!((status.code(), &last["ok"]), (Some(0), &Value::from(true)), "{}", last["stuck"]);
    assert!(finalized >= FINAL_UNDER_ATTACK, "only {finalized} blocks became final");
    // They were the node's, and end with it.
    for socket in &mut open {
        let _answer = socket.read_to_end(&mut Vec::new());
    }
    rest.join().expect("it only reads");
}
