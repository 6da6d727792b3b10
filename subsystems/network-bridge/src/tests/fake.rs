//! A network that does what the test says and remembers what it was told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mocks::fixtures::peer;
use ports::{
    Address, Network, NetworkError, NetworkEvent, NetworkStatistics, PeerId, ProtocolEvents, ProtocolId, RequestError,
    SendRefused, SendRefusedReason,
};
use tokio::sync::{mpsc, oneshot};

/// Events that may lie unread per protocol.
const EVENTS_MAX: usize = 8192;

/// What the bridge told the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Sent(PeerId, ProtocolId, Bytes),
    Connect(PeerId, Vec<Address>),
    Disconnect(PeerId, Duration),
}

pub(super) struct Asked {
    pub(super) peer: PeerId,
    pub(super) payload: Bytes,
    pub(super) answer: oneshot::Sender<Result<Bytes, RequestError>>,
}

#[derive(Default)]
struct State {
    protocols: BTreeMap<ProtocolId, mpsc::Sender<NetworkEvent>>,
    handshakes: BTreeMap<ProtocolId, Bytes>,
    told: Vec<Told>,
    asked: Vec<Asked>,
    refusing: Option<SendRefusedReason>,
}

#[derive(Default)]
pub(super) struct FakeNetwork {
    state: Mutex<State>,
}

struct Events(mpsc::Receiver<NetworkEvent>);

#[async_trait]
impl ProtocolEvents for Events {
    async fn next(&mut self) -> Option<NetworkEvent> {
        self.0.recv().await
    }
}

impl FakeNetwork {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn event(&self, protocol: ProtocolId, event: NetworkEvent) {
        self.state().protocols[&protocol].try_send(event).expect("fewer events than the fake holds");
    }

    /// Events that nobody has read.
    pub(super) fn unread(&self, protocol: ProtocolId) -> usize {
        let state = self.state();
        let sender = &state.protocols[&protocol];
        sender.max_capacity() - sender.capacity()
    }

    pub(super) fn handshakes(&self) -> BTreeMap<ProtocolId, Bytes> {
        self.state().handshakes.clone()
    }

    pub(super) fn take_told(&self) -> Vec<Told> {
        std::mem::take(&mut self.state().told)
    }

    pub(super) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    pub(super) fn refuse(&self, reason: SendRefusedReason) {
        self.state().refusing = Some(reason);
    }

    pub(super) fn shut_down(&self) {
        self.state().protocols.clear();
    }
}

#[async_trait]
impl Network for FakeNetwork {
    fn local_peer(&self) -> PeerId {
        peer(0)
    }

    fn listen_addresses(&self) -> Vec<Address> {
        Vec::new()
    }

    fn open(&self, protocol: ProtocolId, handshake: Bytes) -> Result<Box<dyn ProtocolEvents>, NetworkError> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let mut state = self.state();
        if state.protocols.insert(protocol, sender).is_some() {
            return Err(NetworkError::AlreadyOpen(protocol));
        }
        state.handshakes.insert(protocol, handshake);
        Ok(Box::new(Events(receiver)))
    }

    fn send(&self, peer: &PeerId, protocol: ProtocolId, payload: Bytes) -> Result<(), SendRefused> {
        let mut state = self.state();
        if let Some(reason) = state.refusing {
            return Err(SendRefused { payload, reason });
        }
        state.told.push(Told::Sent(peer.clone(), protocol, payload));
        Ok(())
    }

    async fn request(&self, peer: &PeerId, _protocol: ProtocolId, payload: Bytes) -> Result<Bytes, RequestError> {
        let (answer, answered) = oneshot::channel();
        self.state().asked.push(Asked { peer: peer.clone(), payload, answer });
        answered.await.unwrap_or(Err(RequestError::TimedOut))
    }

    fn connect(&self, peer: &PeerId, addresses: &[Address]) {
        self.state().told.push(Told::Connect(peer.clone(), addresses.to_vec()));
    }

    fn disconnect(&self, peer: &PeerId, refuse_for: Duration) {
        self.state().told.push(Told::Disconnect(peer.clone(), refuse_for));
    }

    fn statistics(&self) -> NetworkStatistics {
        NetworkStatistics::default()
    }
}
