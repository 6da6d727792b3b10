//! Network bridge: between the network's peers and the subsystems that speak a protocol each.
//!
//! **Role**: tells each protocol's subsystem who is there, what they work on and what they sent (NB-1, NB-2); sends for
//! them (NB-4); keeps every peer's reputation (NB-3).
//!
//! **Step**: a service for steps 2, 6, 9 and 10.
//!
//! **Receives**: `SendMessage`, `ReportPeer`, `SetConnected`, `SendRequest` ([`messages::network_bridge`]); the
//! heartbeat, from which our view is made; events of the [`Network`].
//!
//! **Sends**: `NetworkUpdate` to the subsystem of each protocol, from a pump that waits for it; `PeerStatus` to the
//! peer set manager.
//!
//! **Invariants**: a subsystem hears of a peer's view or messages only after `PeerConnected`, and of our view only after
//! the heartbeat it was made from. A slow subsystem stops the reading of its own protocol and of nothing else: newer
//! views replace older ones on the board, and the loop waits for no pump. A peer is a validator only by a signature of
//! its session key over its network identity. What is malformed costs the peer; a wrong proof ends it.
//!
//! **Limits**: [`PEERS_MAX`] peers, [`REQUESTS_MAX`] requests in flight ([`REQUESTS_PER_PEER_MAX`] per peer; more are
//! refused), [`REPUTATIONS_MAX`] reputations, [`NOTICES_MAX`] notices of pumps; views have at most
//! [`VIEW_HEADS_MAX`](messages::network_bridge::VIEW_HEADS_MAX) heads. Outgoing messages are bounded by the network, per
//! peer and protocol: one too many closes that substream, which its subsystem hears as `PeerDisconnected`.
//!
//! **Conclude**: returns at once. Pumps and requests are dropped; askers are told so.

#![forbid(unsafe_code)]

mod board;
mod handshake;
mod pump;
mod reputation;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use codec::Encode as _;
use deterministic::Environment;
use jobs::{Ending, JobEnd, Jobs, Outcome};
use messages::network_bridge::{
    AVAILABILITY_PROTOCOL, BITFIELD_PROTOCOL, COLLATION_PROTOCOL, Inbox, NetworkBridge, NetworkBridgeEvent,
    ObservedRole, POV_PROTOCOL, STATEMENT_PROTOCOL, SendMessage, SendRequest, VIEW_PROTOCOL,
};
use messages::peer_set_manager::PeerStatus;
use messages::{
    LeavesState, RelayParents, availability_distribution, bitfield_distribution, collation_distribution,
    pov_distribution, statement_distribution,
};
use overseer::message::Post;
use overseer::wiring::{FromJobs, SentBy};
use overseer::{Cast, Context, Event, Failure, Outlet, Responder, Subsystem, Wait};
use ports::{Keystore, MAX_REQUEST_BYTES, Network, NetworkError, PeerId, ProtocolId, RequestError, SendRefusedReason};
use primitives::Hash;
use tokio::sync::mpsc;

use board::{Board, READERS};
use handshake::Doorkeeper;
pub use handshake::PROTOCOL_VERSION;
use pump::{Notice, Pump, PumpEnd};
pub use reputation::{
    BAN, BENEFIT_DUPLICATE, BENEFIT_USEFUL, COST_INVALID, COST_MALFORMED, COST_TIMEOUT, COST_UNNEEDED,
    DECAY_PER_SECOND, REPUTATION_MAX, REPUTATION_MIN, REPUTATION_THRESHOLD, REPUTATIONS_MAX,
};
use state::{Effect, State};
pub use state::{PEERS_MAX, REQUESTS_MAX, REQUESTS_PER_PEER_MAX, UNWANTED_REFUSAL};

/// Notices of pumps that the loop has not read yet.
pub const NOTICES_MAX: usize = 256;

/// What the bridge says of this node.
#[derive(Clone, Debug)]
pub struct NetworkBridgeConfig {
    /// Its role.
    pub role: ObservedRole,
    /// The chain it follows; peers of another are not spoken to.
    pub genesis_hash: Hash,
}

/// Why the bridge ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum NetworkBridgeError {
    /// A protocol could not be opened.
    #[error("protocol {protocol:?} could not be opened: {source}")]
    Open {
        /// Which.
        protocol: ProtocolId,
        /// Why.
        source: NetworkError,
    },
    /// The network was shut down under the running node.
    #[error("network was shut down")]
    NetworkClosed,
    /// A pump panicked; the message was logged.
    #[error("a pump panicked: {0}")]
    PumpPanicked(String),
}

/// Bridges peers and subsystems.
pub struct NetworkBridgeSubsystem {
    network: Arc<dyn Network>,
    keystore: Arc<dyn Keystore>,
    config: NetworkBridgeConfig,
}

impl NetworkBridgeSubsystem {
    /// Over this network; proves the first validator key in the keystore, if there is one.
    pub fn new(network: Arc<dyn Network>, keystore: Arc<dyn Keystore>, config: NetworkBridgeConfig) -> Self {
        Self { network, keystore, config }
    }
}

/// What work belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// The reading of protocols, for ever.
    Pumps,
    /// Requests to one peer.
    Requests(PeerId),
}

/// What work brings back.
#[derive(Clone, Copy, Debug)]
enum Done {
    Pump(PumpEnd),
    Request,
}

impl Subsystem for NetworkBridgeSubsystem {
    type Role = NetworkBridge;
    type View = RelayParents;
    type Sends = (Cast<PeerStatus>,);
    type JobSends = (
        Wait<statement_distribution::NetworkUpdate>,
        Wait<pov_distribution::NetworkUpdate>,
        Wait<availability_distribution::NetworkUpdate>,
        Wait<bitfield_distribution::NetworkUpdate>,
        Wait<collation_distribution::NetworkUpdate>,
    );

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let Self { network, keystore, config } = self;
        let local = network.local_peer();
        let handshake = handshake::ours(&*keystore, &local, config.genesis_hash, config.role).await;
        let mut bridge = Bridge::new(network, context.environment().clone(), local, config.genesis_hash);
        let mut notices = bridge.start_pumps(handshake, &context.jobs())?;
        let mut leaves = LeavesState::default();
        loop {
            let effects = tokio::select! {
                biased;
                end = bridge.jobs.next() => {
                    bridge.on_end(end)?;
                    Vec::new()
                }
                event = context.recv() => match event {
                    Event::Signal(update) => {
                        leaves.apply(&update);
                        bridge.state.leaves(&leaves)
                    }
                    Event::Message(message) => bridge.on_message(message),
                    Event::Conclude => return Ok(()),
                },
                // The context yields now and then, so a busy node still hears its peers.
                Some(notice) = notices.recv() => bridge.on_notice(notice),
            };
            for effect in effects {
                bridge.perform(&mut context, effect);
            }
        }
    }
}

/// How pumps reach their subsystems.
type PumpOutlet = Outlet<FromJobs<NetworkBridgeSubsystem>>;

/// The loop's belongings.
struct Bridge {
    network: Arc<dyn Network>,
    environment: Environment,
    state: State,
    board: Arc<Board>,
    doorkeeper: Arc<Doorkeeper>,
    jobs: Jobs<Scope, Done>,
}

impl Bridge {
    fn new(network: Arc<dyn Network>, environment: Environment, local: PeerId, genesis_hash: Hash) -> Self {
        Self {
            network,
            state: State::new(local),
            board: Arc::default(),
            doorkeeper: Arc::new(Doorkeeper::new(genesis_hash)),
            jobs: Jobs::new(environment.clone(), REQUESTS_MAX + READERS + 1),
            environment,
        }
    }

    /// Opens all protocols and starts their pumps; what these tell the loop comes out of the channel.
    fn start_pumps(
        &mut self,
        handshake: Bytes,
        outlet: &PumpOutlet,
    ) -> Result<mpsc::Receiver<Notice>, NetworkBridgeError> {
        self.jobs.open(Scope::Pumps, Ending::UntilStop);
        let (notices, receiver) = mpsc::channel(NOTICES_MAX);
        let start = Start { handshake, notices };
        self.feed(&start, outlet, 0, STATEMENT_PROTOCOL, statement_distribution::NetworkUpdate)?;
        self.feed(&start, outlet, 1, POV_PROTOCOL, pov_distribution::NetworkUpdate)?;
        self.feed(&start, outlet, 2, AVAILABILITY_PROTOCOL, availability_distribution::NetworkUpdate)?;
        self.feed(&start, outlet, 3, BITFIELD_PROTOCOL, bitfield_distribution::NetworkUpdate)?;
        self.feed(&start, outlet, 4, COLLATION_PROTOCOL, collation_distribution::NetworkUpdate)?;
        let views = self.open(&start, VIEW_PROTOCOL)?;
        self.spawn(Scope::Pumps, "view-pump", async move { Done::Pump(views.feed_views().await) });
        Ok(receiver)
    }

    fn open(&self, start: &Start, protocol: ProtocolId) -> Result<Pump, NetworkBridgeError> {
        let events = self
            .network
            .open(protocol, start.handshake.clone())
            .map_err(|source| NetworkBridgeError::Open { protocol, source })?;
        let (doorkeeper, notices) = (self.doorkeeper.clone(), start.notices.clone());
        Ok(Pump { protocol, events, doorkeeper, notices, open: BTreeSet::new() })
    }

    fn feed<M, I: 'static>(
        &mut self,
        start: &Start,
        outlet: &PumpOutlet,
        reader: usize,
        protocol: ProtocolId,
        wrap: fn(NetworkBridgeEvent) -> M,
    ) -> Result<(), NetworkBridgeError>
    where
        M: Post + SentBy<FromJobs<NetworkBridgeSubsystem>, Wait<M>, I>,
    {
        let pump = self.open(start, protocol)?;
        let (board, outlet) = (self.board.clone(), outlet.clone());
        self.spawn(Scope::Pumps, "pump", async move { Done::Pump(pump.feed(board, reader, outlet, wrap).await) });
        Ok(())
    }

    fn spawn(&mut self, scope: Scope, name: &'static str, work: impl Future<Output = Done> + Send + 'static) {
        self.jobs
            .spawn(&scope, name, work)
            .expect("scopes are opened first, and there is a place for each pump and request");
    }

    fn now(&self) -> Duration {
        self.environment.clock.now()
    }

    fn on_end(&mut self, end: JobEnd<Scope, Done>) -> Result<(), NetworkBridgeError> {
        match (end.scope, end.outcome) {
            (Scope::Pumps, Outcome::Panicked(message)) => return Err(NetworkBridgeError::PumpPanicked(message)),
            (Scope::Pumps, Outcome::Done(Done::Pump(PumpEnd::NetworkClosed))) => {
                return Err(NetworkBridgeError::NetworkClosed);
            }
            // A consumer that has ended takes the node down itself.
            (Scope::Pumps, _) => {}
            (Scope::Requests(peer), outcome) => {
                if let Outcome::Panicked(message) = outcome {
                    tracing::error!(%peer, message, "request panicked");
                }
                if self.state.end_request(&peer) {
                    self.jobs.end(&Scope::Requests(peer));
                }
            }
        }
        Ok(())
    }

    fn on_message(&mut self, message: Inbox) -> Vec<Effect> {
        match message {
            Inbox::SendMessage(message) => {
                self.send(&message);
                Vec::new()
            }
            Inbox::ReportPeer(report) => self.state.report(self.now(), &report),
            Inbox::SetConnected(wanted) => self.state.set_connected(self.now(), wanted),
            Inbox::SendRequest(request, responder) => {
                self.request(request, responder);
                Vec::new()
            }
        }
    }

    fn on_notice(&mut self, notice: Notice) -> Vec<Effect> {
        let now = self.now();
        match notice {
            Notice::Connected(protocol, peer, info) => self.state.connected(now, protocol, peer, info),
            Notice::Disconnected(protocol, peer) => self.state.disconnected(protocol, &peer),
            Notice::Rejected(peer, rejection) => {
                tracing::debug!(%peer, %rejection, "peer refused");
                self.state.rejected(now, &peer, &rejection)
            }
            Notice::PeerView(peer, view) => self.state.peer_view(now, &peer, view),
            Notice::Conduct(peer, conduct) => {
                self.state.report(now, &messages::network_bridge::ReportPeer::new(peer, conduct))
            }
        }
    }

    fn perform(&mut self, context: &mut Context<NetworkBridgeSubsystem>, effect: Effect) {
        match effect {
            Effect::OurView(view, peers) => {
                let payload = Bytes::from(view.encode());
                self.board.post_ours(view);
                self.send(&SendMessage { peers, protocol: VIEW_PROTOCOL, payload });
            }
            Effect::SendView(peer) => {
                let payload = Bytes::from(self.state.our_view().encode());
                self.send(&SendMessage { peers: vec![peer], protocol: VIEW_PROTOCOL, payload });
            }
            Effect::PeerView(peer, view) => self.board.post_peer(&peer, view),
            Effect::Forget(peer) => {
                self.board.forget(&peer);
                self.doorkeeper.forget(&peer);
            }
            Effect::Connect(peer, addresses) => self.network.connect(&peer, &addresses),
            Effect::Disconnect(peer, refuse_for) => self.network.disconnect(&peer, refuse_for),
            Effect::Status(peer) => {
                if let Err(error) = context.cast(self.state.status(self.now(), &peer)) {
                    tracing::warn!(%error, "peer set manager does not hear of a peer");
                }
            }
        }
    }

    /// To each peer that has the protocol open. One whose queue overflows is disconnected by the network.
    fn send(&self, message: &SendMessage) {
        for peer in &message.peers {
            let Err(refused) = self.network.send(peer, message.protocol, message.payload.clone()) else { continue };
            match refused.reason {
                // It left while the message was on its way here.
                SendRefusedReason::NotConnected => {
                    tracing::trace!(%peer, protocol = ?message.protocol, "message to a peer that is gone");
                }
                SendRefusedReason::QueueFull => {
                    tracing::debug!(%peer, protocol = ?message.protocol, "peer reads too slowly");
                }
                SendRefusedReason::TooLarge => {
                    tracing::warn!(protocol = ?message.protocol, bytes = message.payload.len(), "message of ours too large");
                    return;
                }
            }
        }
    }

    fn request(&mut self, request: SendRequest, responder: Responder<Result<Bytes, RequestError>>) {
        let SendRequest { to, protocol, payload } = request;
        let admitted = match self.state.recipient(&to) {
            None => Err(RequestError::NotConnected),
            Some(_) if payload.len() > MAX_REQUEST_BYTES => Err(RequestError::TooLarge),
            Some(peer) if self.state.is_local(&peer) || !self.state.begin_request(&peer) => Err(RequestError::Refused),
            Some(peer) => Ok(peer),
        };
        let peer = match admitted {
            Ok(peer) => peer,
            Err(refusal) => {
                // An asker who gave up needs no answer; so below.
                let _ = responder.answer(Err(refusal));
                return;
            }
        };
        let network = self.network.clone();
        let scope = Scope::Requests(peer.clone());
        self.jobs.open(scope.clone(), Ending::UntilStop);
        self.spawn(scope, "request", async move {
            let _ = responder.answer(network.request(&peer, protocol, payload).await);
            Done::Request
        });
    }
}

/// What all pumps start with.
struct Start {
    handshake: Bytes,
    notices: mpsc::Sender<Notice>,
}
