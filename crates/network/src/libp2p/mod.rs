//! The network over TCP: Noise, Yamux, identify, Kademlia for addresses, and a substream per peer and protocol.

mod frame;
pub mod limits;
mod link;
mod queues;
mod registry;
mod request;
mod substreams;
mod swarm;

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use ports::{
    Address, MAX_HANDSHAKE_BYTES, MAX_NOTIFICATION_BYTES, Network, NetworkError, NetworkEvent, NetworkStatistics,
    PeerId, ProtocolEvents, ProtocolId, RequestError, SendRefused, SendRefusedReason,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use limits::{COMMAND_QUEUE, LISTEN_TIMEOUT};
use queues::EventReceiver;
use registry::Registry;

/// What a node tells its network.
#[derive(Clone, Default)]
pub struct Libp2pConfig {
    /// The seed of the ed25519 identity; secret.
    pub identity_seed: [u8; 32],
    /// Where to listen, such as `/ip4/0.0.0.0/tcp/30333`; port 0 picks a free one.
    pub listen: Vec<Address>,
    /// Peers to be connected to from the start.
    pub bootnodes: Vec<(PeerId, Address)>,
    /// Peers whose connections do not count against the limits.
    pub reserved: Vec<PeerId>,
}

impl fmt::Debug for Libp2pConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Libp2pConfig")
            .field("listen", &self.listen)
            .field("bootnodes", &self.bootnodes)
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

/// The peer id that goes with an identity seed.
pub fn peer_id_of_seed(seed: [u8; 32]) -> PeerId {
    port_peer(&keypair(seed).public().to_peer_id())
}

/// Takes apart `/ip4/…/tcp/…/p2p/…`, as peers are written in configuration.
///
/// # Errors
/// [`NetworkError::Address`] if it is no multiaddress or names no peer.
pub fn parse_peer_address(text: &str) -> Result<(PeerId, Address), NetworkError> {
    let mut address = parse(&Address(text.to_string()))?;
    match address.pop() {
        Some(Protocol::P2p(peer)) if !address.is_empty() => Ok((port_peer(&peer), Address(address.to_string()))),
        _ => Err(address_error(text, "expected an address that ends in /p2p/ and a peer id")),
    }
}

fn keypair(mut seed: [u8; 32]) -> Keypair {
    Keypair::ed25519_from_bytes(&mut seed).expect("every 32 bytes are an ed25519 seed")
}

fn port_peer(peer: &libp2p::PeerId) -> PeerId {
    PeerId::new(&peer.to_bytes()).expect("a libp2p peer id takes at most 44 bytes")
}

/// `None` for what is no libp2p identity.
fn wire_peer(peer: &PeerId) -> Option<libp2p::PeerId> {
    libp2p::PeerId::from_bytes(peer.as_bytes()).ok()
}

fn address_error(address: &str, reason: impl ToString) -> NetworkError {
    NetworkError::Address { address: address.to_string(), reason: reason.to_string() }
}

fn parse(address: &Address) -> Result<Multiaddr, NetworkError> {
    address.0.parse().map_err(|error| address_error(&address.0, error))
}

/// Tries to listen as nobody else does: libp2p shares a port with other sockets that do the same, silently.
fn check_port_is_free(address: &Multiaddr) -> Result<(), NetworkError> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Err(address_error(&address.to_string(), "expected /ip4/… or /ip6/…")),
    };
    let Some(Protocol::Tcp(port)) = parts.next() else {
        return Err(address_error(&address.to_string(), "expected /tcp/… after the IP address"));
    };
    TcpListener::bind(SocketAddr::new(ip, port)).map(drop).map_err(|error| address_error(&address.to_string(), error))
}

/// A network over TCP. It ends with its last handle, or by [`shutdown`](Self::shutdown).
pub struct Libp2pNetwork {
    registry: Arc<Registry>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Libp2pNetwork {
    /// Starts listening and dialling, on the runtime of `handle`. Returns once the addresses are known.
    ///
    /// # Errors
    /// [`NetworkError::Address`] names an address that is malformed or cannot be listened on, such as one whose port
    /// is in use.
    pub async fn start(config: Libp2pConfig, handle: Handle) -> Result<Arc<Self>, NetworkError> {
        let addresses = config.listen.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let mut bootnodes = Vec::new();
        for (peer, address) in &config.bootnodes {
            let peer = wire_peer(peer).ok_or_else(|| address_error(&address.0, "peer id is not libp2p's"))?;
            bootnodes.push((peer, parse(address)?));
        }
        let reserved: Vec<_> = config.reserved.iter().filter_map(wire_peer).collect();
        let keypair = keypair(config.identity_seed);
        let (commands, command_receiver) = mpsc::channel(COMMAND_QUEUE);
        let local = keypair.public().to_peer_id();
        let registry = Arc::new(Registry::new(local, handle.clone(), commands));
        let (listening, mut listening_receiver) = watch::channel(0);
        let swarm = {
            let _inside = handle.enter();
            let mut swarm = swarm::build(keypair, registry.clone(), &reserved)
                .map_err(|reason| address_error("transport", reason))?;
            for address in &addresses {
                check_port_is_free(address)?;
                swarm.listen_on(address.clone()).map_err(|error| address_error(&address.to_string(), error))?;
            }
            swarm
        };
        for (peer, address) in bootnodes {
            registry.want(peer, vec![address]);
        }
        let (stop, stop_receiver) = watch::channel(false);
        let task = swarm::Task::new(swarm, registry.clone(), command_receiver, listening);
        let task = handle.spawn(task.run(stop_receiver));
        let network = Arc::new(Self { registry, stop, task: Mutex::new(Some(task)) });
        let all_known = listening_receiver.wait_for(|count| *count >= addresses.len());
        let known = {
            let _inside = handle.enter();
            timeout(LISTEN_TIMEOUT, all_known)
        };
        match known.await {
            Ok(Ok(_)) => {
                for address in network.listen_addresses() {
                    tracing::info!(peer = %network.local_peer(), address = %address.0, "listening");
                }
                Ok(network)
            }
            _ => Err(address_error(&format!("{:?}", config.listen), "not listening in time")),
        }
    }

    /// Closes all connections and stops listening; readers end. Returns once the port is free again.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = match task {
            Some(task) => Some(task.await),
            None => None,
        } {
            tracing::error!(%error, "network task failed");
        }
    }
}

impl Drop for Libp2pNetwork {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

#[async_trait]
impl Network for Libp2pNetwork {
    fn local_peer(&self) -> PeerId {
        port_peer(&self.registry.local)
    }

    fn listen_addresses(&self) -> Vec<Address> {
        self.registry.listen_addresses()
    }

    fn open(&self, protocol: ProtocolId, handshake: Bytes) -> Result<Box<dyn ProtocolEvents>, NetworkError> {
        assert!(handshake.len() <= MAX_HANDSHAKE_BYTES, "our own handshake is within the port's limit");
        let events = self.registry.open(protocol, handshake)?;
        Ok(Box::new(Libp2pEvents { registry: self.registry.clone(), protocol, events }))
    }

    fn send(&self, peer: &PeerId, protocol: ProtocolId, payload: Bytes) -> Result<(), SendRefused> {
        if payload.len() > MAX_NOTIFICATION_BYTES {
            return Err(SendRefused { payload, reason: SendRefusedReason::TooLarge });
        }
        let sent = match wire_peer(peer) {
            Some(peer) => self.registry.send(peer, protocol, payload),
            None => Err((payload, SendRefusedReason::NotConnected)),
        };
        sent.map_err(|(payload, reason)| SendRefused { payload, reason })
    }

    async fn request(&self, peer: &PeerId, protocol: ProtocolId, payload: Bytes) -> Result<Bytes, RequestError> {
        let peer = wire_peer(peer).ok_or(RequestError::NotConnected)?;
        request::ask(&self.registry, peer, protocol, payload).await
    }

    fn connect(&self, peer: &PeerId, addresses: &[Address]) {
        let Some(wire) = wire_peer(peer).filter(|wire| *wire != self.registry.local) else { return };
        let parsed = addresses.iter().take(limits::MAX_ADDRESSES_PER_PEER).filter_map(|address| {
            // Addresses come from others: one that makes no sense is left out.
            parse(address).inspect_err(|error| tracing::debug!(%peer, %error, "address left out")).ok()
        });
        self.registry.want(wire, parsed.collect());
    }

    fn disconnect(&self, peer: &PeerId, refuse_for: Duration) {
        if let Some(peer) = wire_peer(peer) {
            self.registry.refuse(peer, refuse_for);
        }
    }

    fn statistics(&self) -> NetworkStatistics {
        self.registry.statistics()
    }
}

/// The reader of one protocol; dropping it closes the protocol.
struct Libp2pEvents {
    registry: Arc<Registry>,
    protocol: ProtocolId,
    events: EventReceiver,
}

impl Drop for Libp2pEvents {
    fn drop(&mut self) {
        self.registry.close(self.protocol);
    }
}

#[async_trait]
impl ProtocolEvents for Libp2pEvents {
    async fn next(&mut self) -> Option<NetworkEvent> {
        self.events.next().await
    }
}
