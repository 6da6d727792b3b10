//! A network in memory: the same behaviour as over TCP, with the time, the losses and the partitions that it is told.
//!
//! There is no task per connection. What is sent lies in its receiver's inbox at once, stamped with the time at which
//! it arrives; the reader waits for that. One task of the hub dials and opens substreams when their time has come.

mod inbox;
mod state;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use deterministic::{Environment, timeout};
use ports::{
    Address, MAX_HANDSHAKE_BYTES, MAX_NOTIFICATION_BYTES, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, Network, NetworkError,
    NetworkEvent, NetworkStatistics, PeerId, ProtocolEvents, ProtocolId, RequestError, SendRefused, SendRefusedReason,
};
use tokio::sync::Notify;

use crate::limits::REQUEST_TIMEOUT;
use inbox::Next;
use state::State;

/// How the wire behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Time from one peer to another.
    pub latency: Duration,
    /// Added to the latency of each message, drawn anew from zero up to this. Order is kept.
    pub jitter: Duration,
    /// What each peer can send per second, to all others together; `None`: no limit.
    pub bandwidth_bytes_per_second: Option<u64>,
    /// Of a million messages, how many are held up by [`delay`](Self::delay), as by a lost packet.
    pub delayed_per_million: u32,
    /// See [`delayed_per_million`](Self::delayed_per_million).
    pub delay: Duration,
    /// Of a million messages, how many are lost with their whole connection (it is dialled again).
    pub broken_per_million: u32,
}

impl Default for MemoryConfig {
    /// A fast and faultless network: 2 to 4 ms.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(2),
            jitter: Duration::from_millis(2),
            bandwidth_bytes_per_second: None,
            delayed_per_million: 0,
            delay: Duration::from_millis(200),
            broken_per_million: 0,
        }
    }
}

/// What kind of message passes a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterceptedKind {
    /// A gossip message.
    Notification,
    /// A request.
    Request,
    /// The answer to a request.
    Response,
}

/// A message on its way, shown to a hook.
#[derive(Clone, Copy, Debug)]
pub struct Intercepted<'a> {
    /// The sender.
    pub from: &'a PeerId,
    /// The receiver.
    pub to: &'a PeerId,
    /// The protocol.
    pub protocol: ProtocolId,
    /// The kind.
    pub kind: InterceptedKind,
    /// The content.
    pub payload: &'a Bytes,
}

/// What becomes of an intercepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on unchanged.
    Deliver,
    /// It never arrives; a request or answer that never arrives times out.
    Drop,
    /// This arrives instead, of any size.
    Replace(Bytes),
}

type Hook = Arc<dyn Fn(Intercepted<'_>) -> Verdict + Send + Sync>;

/// A network in memory that peers join. Clones are handles to the same one; its task ends with the last handle.
#[derive(Clone)]
pub struct MemoryHub(Arc<Shared>);

struct Shared {
    environment: Environment,
    state: Mutex<State>,
    hook: Mutex<Option<Hook>>,
    timers: Arc<Notify>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.timers.notify_one();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.environment.clock.now()
    }

    /// `None`: the hook dropped it.
    fn pass(
        &self,
        from: &PeerId,
        to: &PeerId,
        protocol: ProtocolId,
        kind: InterceptedKind,
        payload: Bytes,
    ) -> Option<Bytes> {
        // Called outside of the lock: the hook may set another hook.
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(hook) = hook else { return Some(payload) };
        match hook(Intercepted { from, to, protocol, kind, payload: &payload }) {
            Verdict::Deliver => Some(payload),
            Verdict::Drop => None,
            Verdict::Replace(other) => Some(other),
        }
    }
}

impl fmt::Debug for MemoryHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHub").field("peers", &self.0.state().peers()).finish()
    }
}

impl MemoryHub {
    /// A network without peers. Its one task and its randomness are `environment`'s: give it a label of its own, so
    /// that it outlives each node.
    pub fn new(environment: Environment, config: MemoryConfig) -> Self {
        let timers = Arc::new(Notify::new());
        let state = State::new(config, environment.entropy.clone(), timers.clone());
        let shared =
            Arc::new(Shared { environment, state: Mutex::new(state), hook: Mutex::new(None), timers: timers.clone() });
        let task = drive(Arc::downgrade(&shared), timers);
        shared.environment.spawner.spawn("memory-network", Box::pin(task));
        Self(shared)
    }

    /// A peer id made from a name, of which the first 64 bytes count; an empty name is taken as `peer`.
    pub fn peer(name: &str) -> PeerId {
        let name = if name.is_empty() { "peer" } else { name };
        let bytes = name.as_bytes();
        PeerId::new(&bytes[..bytes.len().min(ports::MAX_PEER_ID_BYTES)]).expect("between one byte and the limit")
    }

    /// Joins as `peer`. Whoever joined under that name before is out, as after a [`crash`](Self::crash); peers that
    /// want to be connected to this one dial it.
    pub fn join(&self, peer: PeerId) -> Arc<MemoryNetwork> {
        let instance = self.0.state().join(&peer, self.0.now());
        Arc::new(MemoryNetwork { shared: self.0.clone(), peer, instance })
    }

    /// Breaks the connections between the groups, until [`heal`](Self::heal). Peers that are in no group form one more.
    pub fn partition(&self, groups: &[Vec<PeerId>]) {
        let groups: Vec<BTreeSet<PeerId>> = groups.iter().map(|group| group.iter().cloned().collect()).collect();
        self.0.state().partition(groups, self.0.now());
    }

    /// Ends a partition; peers that want each other dial.
    pub fn heal(&self) {
        self.0.state().partition(Vec::new(), self.0.now());
    }

    /// Breaks all connections of a peer once; they are dialled again by those who want them.
    pub fn disconnect(&self, peer: &PeerId) {
        self.0.state().break_all(peer, self.0.now());
    }

    /// Takes a peer out: its readers end, the others see it disconnected.
    pub fn crash(&self, peer: &PeerId) {
        self.0.state().leave(peer, None, self.0.now());
    }

    /// Sets the hook that every message passes; replaces an earlier one.
    pub fn intercept(&self, hook: impl Fn(Intercepted<'_>) -> Verdict + Send + Sync + 'static) {
        *self.0.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// Changes how the wire behaves from now on.
    pub fn configure(&self, config: MemoryConfig) {
        self.0.state().config = config;
    }
}

/// Fires the state's timers when they are due.
async fn drive(shared: Weak<Shared>, timers: Arc<Notify>) {
    loop {
        let sleep = {
            let Some(shared) = shared.upgrade() else { return };
            let next = shared.state().fire(shared.now());
            next.map(|at| shared.environment.clock.sleep_until(at))
        };
        match sleep {
            None => timers.notified().await,
            Some(sleep) => tokio::select! {
                biased;
                () = timers.notified() => {}
                () = sleep => {}
            },
        }
    }
}

/// One peer's side of a [`MemoryHub`]. The peer leaves when the last handle is dropped.
pub struct MemoryNetwork {
    shared: Arc<Shared>,
    peer: PeerId,
    /// Tells this life of the peer from earlier and later ones.
    instance: u64,
}

impl MemoryNetwork {
    /// Leaves the network: readers end, the others see a disconnected peer.
    pub fn shutdown(&self) {
        self.shared.state().leave(&self.peer, Some(self.instance), self.shared.now());
    }

    async fn ask(&self, to: &PeerId, protocol: ProtocolId, payload: Bytes) -> Result<Bytes, RequestError> {
        let from = &self.peer;
        let clock = &self.shared.environment.clock;
        let permits = self.shared.state().permits(from, self.instance, to).ok_or(RequestError::NotConnected)?;
        let _permit = permits.acquire_owned().await.map_err(|_| RequestError::NotConnected)?;
        let Some(payload) = self.shared.pass(from, to, protocol, InterceptedKind::Request, payload) else {
            return std::future::pending().await;
        };
        let asked = self.shared.state().request(from, self.instance, to, protocol, payload, self.shared.now());
        let asked = asked.ok_or(RequestError::NotConnected)?;
        let mut broken = asked.connection;
        let answer = tokio::select! {
            biased;
            answer = asked.reply => answer.ok(),
            _ = broken.changed() => return Err(RequestError::Refused),
        };
        let answer = match answer {
            None => None,
            Some(answer) => match self.shared.pass(to, from, protocol, InterceptedKind::Response, answer) {
                None => return std::future::pending().await,
                passed => passed,
            },
        };
        let bytes = answer.as_ref().map_or(0, Bytes::len);
        let arrival = self.shared.state().transit(to, bytes, self.shared.now());
        tokio::select! {
            biased;
            () = clock.sleep_until(arrival) => {}
            _ = broken.changed() => return Err(RequestError::Refused),
        }
        let answer = answer.ok_or(RequestError::Refused)?;
        if bytes > MAX_RESPONSE_BYTES {
            return Err(RequestError::TooLarge);
        }
        self.shared.state().count(to, from, bytes);
        Ok(answer)
    }
}

impl Drop for MemoryNetwork {
    fn drop(&mut self) {
        self.shutdown();
    }
}

#[async_trait]
impl Network for MemoryNetwork {
    fn local_peer(&self) -> PeerId {
        self.peer.clone()
    }

    fn listen_addresses(&self) -> Vec<Address> {
        vec![Address(format!("/memory/{}", String::from_utf8_lossy(self.peer.as_bytes())))]
    }

    fn open(&self, protocol: ProtocolId, handshake: Bytes) -> Result<Box<dyn ProtocolEvents>, NetworkError> {
        assert!(handshake.len() <= MAX_HANDSHAKE_BYTES, "our own handshake is within the port's limit");
        let wake = self.shared.state().open(&self.peer, self.instance, protocol, handshake, self.shared.now())?;
        Ok(Box::new(MemoryEvents {
            shared: self.shared.clone(),
            peer: self.peer.clone(),
            instance: self.instance,
            protocol,
            wake,
        }))
    }

    fn send(&self, peer: &PeerId, protocol: ProtocolId, payload: Bytes) -> Result<(), SendRefused> {
        if payload.len() > MAX_NOTIFICATION_BYTES {
            return Err(SendRefused { payload, reason: SendRefusedReason::TooLarge });
        }
        let original = payload.clone();
        let passed = self.shared.pass(&self.peer, peer, protocol, InterceptedKind::Notification, payload);
        self.shared
            .state()
            .send(&self.peer, self.instance, peer, protocol, passed, self.shared.now())
            .map_err(|reason| SendRefused { payload: original, reason })
    }

    async fn request(&self, peer: &PeerId, protocol: ProtocolId, payload: Bytes) -> Result<Bytes, RequestError> {
        if payload.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge);
        }
        let clock = &*self.shared.environment.clock;
        timeout(clock, REQUEST_TIMEOUT, self.ask(peer, protocol, payload)).await.unwrap_or(Err(RequestError::TimedOut))
    }

    fn connect(&self, peer: &PeerId, _addresses: &[Address]) {
        self.shared.state().connect(&self.peer, self.instance, peer, self.shared.now());
    }

    fn disconnect(&self, peer: &PeerId, refuse_for: Duration) {
        self.shared.state().refuse(&self.peer, self.instance, peer, refuse_for, self.shared.now());
    }

    fn statistics(&self) -> NetworkStatistics {
        self.shared.state().statistics(&self.peer, self.instance)
    }
}

/// The reader of one protocol; dropping it closes the protocol.
struct MemoryEvents {
    shared: Arc<Shared>,
    peer: PeerId,
    instance: u64,
    protocol: ProtocolId,
    wake: Arc<Notify>,
}

impl Drop for MemoryEvents {
    fn drop(&mut self) {
        self.shared.state().close(&self.peer, self.instance, self.protocol, self.shared.now());
    }
}

#[async_trait]
impl ProtocolEvents for MemoryEvents {
    async fn next(&mut self) -> Option<NetworkEvent> {
        loop {
            let next = self.shared.state().next_event(&self.peer, self.instance, self.protocol, self.shared.now());
            match next {
                Next::Closed => return None,
                Next::Event(event) => return Some(event),
                Next::Empty => self.wake.notified().await,
                Next::At(arrival) => tokio::select! {
                    biased;
                    () = self.wake.notified() => {}
                    () = self.shared.environment.clock.sleep_until(arrival) => {}
                },
            }
        }
    }
}
