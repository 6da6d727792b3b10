//! The task that owns the connections: dials, refuses, opens substreams, keeps the address book.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, kad, noise, ping, tcp, yamux};
use ports::Address;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::limits::{
    IDLE_CONNECTION_TIMEOUT, MAX_ADDRESSES_PER_PEER, MAX_CONNECTIONS_PER_PEER, MAX_INBOUND_CONNECTIONS,
    MAX_NEGOTIATING_SUBSTREAMS, MAX_OUTBOUND_CONNECTIONS, MAX_PENDING_CONNECTIONS, MAX_SUBSTREAMS_PER_CONNECTION,
};
use super::registry::{Command, Registry};
use super::substreams;
use crate::limits::{REDIAL_BACK_OFF, REDIAL_BACK_OFF_MAX};

const IDENTIFY_PROTOCOL: &str = "/parahost/1";
const KADEMLIA_PROTOCOL: StreamProtocol = StreamProtocol::new("/parahost/kad/1");

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    /// First: what it denies the others do not see.
    limits: connection_limits::Behaviour,
    substreams: substreams::Behaviour,
    identify: identify::Behaviour,
    kademlia: kad::Behaviour<MemoryStore>,
    ping: ping::Behaviour,
}

/// Builds the swarm, inside a tokio runtime. `reserved` peers do not count against the limits on connections.
pub(super) fn build(
    keypair: Keypair,
    registry: Arc<Registry>,
    reserved: &[PeerId],
) -> Result<Swarm<Behaviour>, String> {
    let multiplexer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(MAX_SUBSTREAMS_PER_CONNECTION);
        config
    };
    let mut limits = connection_limits::Behaviour::new(
        ConnectionLimits::default()
            .with_max_pending_incoming(Some(MAX_PENDING_CONNECTIONS))
            .with_max_pending_outgoing(Some(MAX_PENDING_CONNECTIONS))
            .with_max_established_incoming(Some(MAX_INBOUND_CONNECTIONS))
            .with_max_established_outgoing(Some(MAX_OUTBOUND_CONNECTIONS))
            .with_max_established_per_peer(Some(MAX_CONNECTIONS_PER_PEER)),
    );
    reserved.iter().for_each(|peer| limits.bypass_peer_id(peer));
    let public = keypair.public();
    let local = public.to_peer_id();
    let mut kademlia = kad::Config::new(KADEMLIA_PROTOCOL);
    // Nothing that others send is stored unseen.
    kademlia.set_record_filtering(kad::StoreInserts::FilterBoth);
    let mut kademlia = kad::Behaviour::with_config(local, MemoryStore::new(local), kademlia);
    kademlia.set_mode(Some(kad::Mode::Server));
    let behaviour = Behaviour {
        limits,
        substreams: substreams::Behaviour::new(registry),
        identify: identify::Behaviour::new(
            identify::Config::new(IDENTIFY_PROTOCOL.to_string(), public)
                .with_agent_version(format!("parahost/{}", env!("CARGO_PKG_VERSION"))),
        ),
        kademlia,
        ping: ping::Behaviour::default(),
    };
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, multiplexer)
        .map_err(|error| error.to_string())?
        .with_behaviour(|_| behaviour)
        .map_err(|error| error.to_string())?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE_CONNECTION_TIMEOUT)
                .with_max_negotiating_inbound_streams(MAX_NEGOTIATING_SUBSTREAMS)
        })
        .build();
    Ok(swarm)
}

/// When a missing peer is dialled next.
struct Redial {
    at: Instant,
    back_off: Duration,
}

pub(super) struct Task {
    swarm: Swarm<Behaviour>,
    registry: Arc<Registry>,
    commands: mpsc::Receiver<Command>,
    /// How many addresses we listen on; a change is told to those who wait for it.
    listening: watch::Sender<usize>,
    redials: BTreeMap<PeerId, Redial>,
}

impl Task {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        registry: Arc<Registry>,
        commands: mpsc::Receiver<Command>,
        listening: watch::Sender<usize>,
    ) -> Self {
        Self { swarm, registry, commands, listening, redials: BTreeMap::new() }
    }

    /// Runs until `stop` says so or is gone.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut next_dial = None;
        loop {
            let dial = async {
                match next_dial {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.registry.changed.notified() => next_dial = self.reconcile(),
                () = dial => next_dial = self.reconcile(),
                Some(Command { peer, protocol, opened }) = self.commands.recv() => {
                    self.swarm.behaviour_mut().substreams.open(peer, protocol, opened);
                }
                event = self.swarm.select_next_some() => self.on_event(event),
            }
        }
        self.registry.shut_down();
    }

    /// Closes what is to be closed, dials who is missing; says when to look again.
    fn reconcile(&mut self) -> Option<Instant> {
        for peer in self.registry.take_to_disconnect() {
            // An error says that it is not connected.
            let _absent = self.swarm.disconnect_peer_id(peer);
        }
        let missing = self.registry.missing_peers();
        self.redials.retain(|peer, _| missing.contains_key(peer));
        let now = Instant::now();
        for (peer, missing) in missing {
            let redial = self.redials.entry(peer).or_insert(Redial { at: now, back_off: REDIAL_BACK_OFF });
            redial.at = redial.at.max(missing.not_before);
            if redial.at <= now {
                *redial =
                    Redial { at: now + redial.back_off, back_off: (redial.back_off * 2).min(REDIAL_BACK_OFF_MAX) };
                self.dial(peer, missing.addresses);
            }
        }
        self.redials.values().map(|redial| redial.at).min()
    }

    fn dial(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .extend_addresses_through_behaviour()
            // From the port we listen on, two peers that dial each other at once would meet half-way.
            .allocate_new_port()
            .build();
        match self.swarm.dial(options) {
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(DialError::NoAddresses) => {
                self.swarm.behaviour_mut().kademlia.get_closest_peers(peer);
            }
            Err(error) => tracing::debug!(%peer, %error, "peer was not dialled"),
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, num_established, .. } if num_established.get() == 1 => {
                self.redials.remove(&peer_id);
                self.registry.peer_connected(peer_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "connection closed");
                self.registry.peer_disconnected(&peer_id);
                // Pauses also before the first dial: we may have been refused.
                let redial = Redial { at: Instant::now() + REDIAL_BACK_OFF, back_off: REDIAL_BACK_OFF };
                self.redials.insert(peer_id, redial);
                self.registry.changed.notify_one();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Substreams(inbound)) => {
                self.registry.inbound(inbound.peer, &inbound.protocol, inbound.stream);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                for address in info.listen_addrs.into_iter().take(MAX_ADDRESSES_PER_PEER) {
                    self.swarm.behaviour_mut().kademlia.add_address(&peer_id, address);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, connection, result: Err(error) })) => {
                // Not every peer has to speak it.
                if matches!(error, ping::Failure::Unsupported) {
                    return;
                }
                tracing::debug!(%peer, %error, "peer does not answer");
                // False says that it has just closed by itself.
                let _closed = self.swarm.close_connection(connection);
            }
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => {
                let addresses: Vec<Address> = self.swarm.listeners().map(|it| Address(it.to_string())).collect();
                let count = addresses.len();
                self.registry.set_listen_addresses(addresses);
                // Last: who waits for it reads them next.
                self.listening.send_replace(count);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(peer = ?peer_id, %error, "no connection");
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "inbound connection failed");
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "not listening any more");
            }
            _ => {}
        }
    }
}
