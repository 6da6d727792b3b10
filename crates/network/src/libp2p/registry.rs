//! What the network's handle, its readers, and its tasks share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use ports::{Address, NetworkError, NetworkStatistics, ProtocolId, RequestError, SendRefusedReason};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::limits::MAX_ADDRESSES_PER_PEER;
use super::link::{self, Link};
use super::queues::{EventReceiver, EventSender, events};
use super::substreams::Opened;
use super::{port_peer, request};
use crate::limits::{MAX_REFUSED_PEERS, MAX_REQUESTS_PER_PEER, MAX_SERVED_REQUESTS_PER_PEER, MAX_WANTED_PEERS};

/// The name of a protocol's long-lived substream, and that of its requests.
pub(super) fn names(protocol: ProtocolId) -> [StreamProtocol; 2] {
    let plain = protocol.0.iter().all(u8::is_ascii_alphanumeric);
    let text = if plain {
        String::from_utf8_lossy(&protocol.0).into_owned()
    } else {
        // A name with a slash in it would be another name.
        protocol.0.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    [format!("/parahost/{text}/1"), format!("/parahost/{text}/req/1")]
        .map(|name| StreamProtocol::try_from_owned(name).expect("begins with a slash"))
}

/// An order to the task that owns the connections.
pub(super) struct Command {
    pub(super) peer: PeerId,
    pub(super) protocol: StreamProtocol,
    pub(super) opened: Opened,
}

/// A protocol that is open.
#[derive(Clone)]
pub(super) struct Protocol {
    pub(super) id: ProtocolId,
    /// Of its long-lived substreams, and of its requests.
    pub(super) names: [StreamProtocol; 2],
    pub(super) handshake: Bytes,
    pub(super) events: EventSender,
}

/// A connected peer.
struct Peer {
    /// For our requests.
    asking: Arc<Semaphore>,
    /// For its requests.
    served: Arc<Semaphore>,
}

#[derive(Default)]
struct Tables {
    closed: bool,
    protocols: BTreeMap<ProtocolId, Protocol>,
    names: Vec<StreamProtocol>,
    peers: BTreeMap<PeerId, Peer>,
    links: BTreeMap<(PeerId, ProtocolId), Arc<Link>>,
    wanted: BTreeMap<PeerId, Vec<Multiaddr>>,
    refused: BTreeMap<PeerId, Instant>,
    to_disconnect: BTreeSet<PeerId>,
    listen_addresses: Vec<Address>,
}

pub(super) struct Registry {
    pub(super) local: PeerId,
    handle: Handle,
    commands: mpsc::Sender<Command>,
    tables: Mutex<Tables>,
    /// Who is wanted or refused has changed.
    pub(super) changed: Notify,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

impl Registry {
    pub(super) fn new(local: PeerId, handle: Handle, commands: mpsc::Sender<Command>) -> Self {
        Self {
            local,
            handle,
            commands,
            tables: Mutex::default(),
            changed: Notify::new(),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn statistics(&self) -> NetworkStatistics {
        let tables = self.tables();
        let open = tables.links.iter().filter(|(_, link)| link.is_open()).map(|((peer, _), _)| peer);
        NetworkStatistics {
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            bytes_received: self.bytes_received.load(Ordering::Relaxed),
            peers: open.collect::<BTreeSet<_>>().len(),
        }
    }

    pub(super) fn listen_addresses(&self) -> Vec<Address> {
        self.tables().listen_addresses.clone()
    }

    pub(super) fn set_listen_addresses(&self, addresses: Vec<Address>) {
        self.tables().listen_addresses = addresses;
    }

    // Protocols.

    pub(super) fn protocol_names(&self) -> Vec<StreamProtocol> {
        self.tables().names.clone()
    }

    pub(super) fn open(self: &Arc<Self>, id: ProtocolId, handshake: Bytes) -> Result<EventReceiver, NetworkError> {
        let mut tables = self.tables();
        if tables.closed {
            return Err(NetworkError::Closed);
        }
        if tables.protocols.contains_key(&id) {
            return Err(NetworkError::AlreadyOpen(id));
        }
        let (sender, receiver) = events();
        let protocol = Protocol { id, names: names(id), handshake, events: sender };
        tables.protocols.insert(id, protocol.clone());
        tables.names.extend(protocol.names.clone());
        let peers: Vec<PeerId> = tables.peers.keys().copied().collect();
        for peer in peers {
            self.ensure_link(&mut tables, peer, &protocol);
        }
        Ok(receiver)
    }

    /// The reader is gone.
    pub(super) fn close(&self, id: ProtocolId) {
        let mut tables = self.tables();
        let Some(gone) = tables.protocols.remove(&id) else { return };
        tables.names.retain(|name| !gone.names.contains(name));
        tables.links.retain(|(_, protocol), link| {
            let stays = *protocol != id;
            if !stays {
                link.set_connected(false);
            }
            stays
        });
    }

    /// The task that owns the connections has ended: everything ends.
    pub(super) fn shut_down(&self) {
        let mut tables = self.tables();
        tables.links.values().for_each(|link| link.set_connected(false));
        tables.peers.values().for_each(|peer| peer.asking.close());
        *tables = Tables { closed: true, ..Tables::default() };
    }

    // Peers and their links.

    pub(super) fn peer_connected(self: &Arc<Self>, peer: PeerId) {
        let mut tables = self.tables();
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let entry = Peer { asking: semaphore(MAX_REQUESTS_PER_PEER), served: semaphore(MAX_SERVED_REQUESTS_PER_PEER) };
        tables.peers.insert(peer, entry);
        let protocols: Vec<Protocol> = tables.protocols.values().cloned().collect();
        for protocol in &protocols {
            self.ensure_link(&mut tables, peer, protocol);
        }
    }

    pub(super) fn peer_disconnected(&self, peer: &PeerId) {
        let mut tables = self.tables();
        if let Some(entry) = tables.peers.remove(peer) {
            entry.asking.close();
        }
        let (first, last) = (ProtocolId([0; 4]), ProtocolId([u8::MAX; 4]));
        tables.links.range((*peer, first)..=(*peer, last)).for_each(|(_, link)| link.set_connected(false));
    }

    /// Starts a link's task, or tells one that has not ended yet to go on.
    fn ensure_link(self: &Arc<Self>, tables: &mut Tables, peer: PeerId, protocol: &Protocol) {
        if let Some(link) = tables.links.get(&(peer, protocol.id)) {
            link.set_connected(true);
            return;
        }
        let (link, inbound) = Link::new(peer, protocol.id);
        tables.links.insert((peer, protocol.id), link.clone());
        self.handle.spawn(link::run(link, self.clone(), protocol.clone(), inbound));
    }

    /// Takes out the link of a task that wants to end; false if it has been told to go on.
    pub(super) fn retire(&self, link: &Arc<Link>) -> bool {
        let mut tables = self.tables();
        if link.is_connected() {
            return false;
        }
        let key = (link.peer, link.protocol);
        // After the protocol was closed and opened again there is another link of that name.
        if tables.links.get(&key).is_some_and(|entry| Arc::ptr_eq(entry, link)) {
            tables.links.remove(&key);
        }
        true
    }

    pub(super) fn send(
        &self,
        peer: PeerId,
        protocol: ProtocolId,
        payload: Bytes,
    ) -> Result<(), (Bytes, SendRefusedReason)> {
        let outgoing = self.tables().links.get(&(peer, protocol)).and_then(|link| link.outgoing());
        match outgoing {
            Some(outgoing) => outgoing.push(payload),
            None => Err((payload, SendRefusedReason::NotConnected)),
        }
    }

    /// A substream that a peer has opened; dropped when nobody has room for it.
    pub(super) fn inbound(self: &Arc<Self>, peer: PeerId, name: &StreamProtocol, stream: Stream) {
        let tables = self.tables();
        for protocol in tables.protocols.values() {
            let [notifications, requests] = &protocol.names;
            if name == notifications {
                if let Some(link) = tables.links.get(&(peer, protocol.id)) {
                    link.offer(stream);
                }
                return;
            }
            if name == requests {
                let served = tables.peers.get(&peer).and_then(|entry| entry.served.clone().try_acquire_owned().ok());
                if let Some(permit) = served {
                    let serving =
                        request::serve(self.clone(), port_peer(&peer), protocol.events.clone(), stream, permit);
                    self.handle.spawn(serving);
                }
                return;
            }
        }
    }

    /// Opens a substream to a connected peer; `None` if that fails.
    pub(super) async fn open_stream(&self, peer: PeerId, protocol: StreamProtocol) -> Option<Stream> {
        let (opened, receiver) = oneshot::channel();
        self.commands.send(Command { peer, protocol, opened }).await.ok()?;
        receiver.await.ok()
    }

    /// Waits for its turn to ask a connected peer.
    pub(super) async fn permit(&self, peer: &PeerId) -> Result<OwnedSemaphorePermit, RequestError> {
        let permits = self.tables().peers.get(peer).map(|entry| entry.asking.clone());
        permits.ok_or(RequestError::NotConnected)?.acquire_owned().await.map_err(|_| RequestError::NotConnected)
    }

    // Who is wanted and who is refused.

    pub(super) fn want(&self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let mut tables = self.tables();
        if tables.wanted.len() >= MAX_WANTED_PEERS && !tables.wanted.contains_key(&peer) {
            tracing::warn!(%peer, "peer is not dialled: {MAX_WANTED_PEERS} others are wanted");
            return;
        }
        let known = tables.wanted.entry(peer).or_default();
        for address in addresses {
            if !known.contains(&address) {
                // The newest first, and the oldest makes room.
                known.insert(0, address);
                known.truncate(MAX_ADDRESSES_PER_PEER);
            }
        }
        drop(tables);
        self.changed.notify_one();
    }

    pub(super) fn refuse(&self, peer: PeerId, refuse_for: Duration) {
        let mut tables = self.tables();
        tables.wanted.remove(&peer);
        let now = Instant::now();
        tables.refused.retain(|_, until| *until > now);
        if tables.refused.len() >= MAX_REFUSED_PEERS {
            let soonest = tables.refused.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer);
            soonest.map(|peer| tables.refused.remove(&peer));
        }
        // A time too far away to be told is as good as for ever.
        const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        tables.refused.insert(peer, now + refuse_for.min(FOR_EVER));
        tables.to_disconnect.insert(peer);
        drop(tables);
        self.changed.notify_one();
    }

    pub(super) fn is_refused(&self, peer: &PeerId) -> bool {
        self.tables().refused.get(peer).is_some_and(|until| *until > Instant::now())
    }

    /// Takes the peers whose connections are to be closed.
    pub(super) fn take_to_disconnect(&self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.tables().to_disconnect)
    }

    /// The peers that we want and that are not connected.
    pub(super) fn missing_peers(&self) -> BTreeMap<PeerId, Missing> {
        let tables = self.tables();
        let now = Instant::now();
        let wanted = tables.wanted.iter().filter(|(peer, _)| !tables.peers.contains_key(peer));
        let missing = wanted.map(|(peer, addresses)| {
            let not_before = tables.refused.get(peer).copied().unwrap_or(now);
            (*peer, Missing { addresses: addresses.clone(), not_before })
        });
        missing.collect()
    }
}

/// A peer to be dialled.
pub(super) struct Missing {
    pub(super) addresses: Vec<Multiaddr>,
    /// Until then it is refused.
    pub(super) not_before: Instant,
}

/// Whether a link's peer is connected, as seen by its task.
pub(super) type Connected = watch::Receiver<bool>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_named_by_their_four_letters() {
        let [notifications, requests] = names(ProtocolId(*b"stmd"));
        assert_eq!(notifications, "/parahost/stmd/1");
        assert_eq!(requests, "/parahost/stmd/req/1");
        let [odd, _] = names(ProtocolId([b'a', b'/', 0, 255]));
        assert_eq!(odd, "/parahost/612f00ff/1");
    }
}
