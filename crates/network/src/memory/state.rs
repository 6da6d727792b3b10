//! Who is connected to whom, as a state machine: time comes in as a number, wakes go out through the inboxes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deterministic::{Entropy, below};
use overseer::Reply;
use ports::{
    NetworkError, NetworkEvent, NetworkStatistics, PROTOCOL_QUEUE_BYTES, PROTOCOL_QUEUE_MESSAGES, PeerId, ProtocolId,
    SendRefusedReason,
};
use tokio::sync::{Notify, Semaphore, watch};

use super::MemoryConfig;
use super::inbox::{Entry, Inbox, Item, Next};
use crate::limits::{MAX_REFUSED_PEERS, MAX_REQUESTS_PER_PEER, MAX_WANTED_PEERS, REDIAL_BACK_OFF, REOPEN_BACK_OFF};

/// Two peers, the smaller id first.
type Pair = (PeerId, PeerId);

fn pair(one: &PeerId, other: &PeerId) -> Pair {
    if one <= other { (one.clone(), other.clone()) } else { (other.clone(), one.clone()) }
}

/// Which direction of a pair goes out from `from`.
fn side(pair: &Pair, from: &PeerId) -> usize {
    usize::from(pair.0 != *from)
}

/// One peer that has joined.
struct Member {
    instance: u64,
    slots: BTreeMap<ProtocolId, Slot>,
    wanted: BTreeSet<PeerId>,
    refused: BTreeMap<PeerId, Duration>,
    /// When all that it has sent so far has left it.
    uplink_free: Duration,
    bytes_sent: u64,
    bytes_received: u64,
}

/// A protocol that a member has opened.
struct Slot {
    handshake: Bytes,
    inbox: Inbox,
}

struct Connection {
    id: u64,
    /// Dropped with the connection, which its requests notice.
    alive: watch::Sender<()>,
    links: BTreeMap<ProtocolId, Link>,
    permits: [Arc<Semaphore>; 2],
}

/// The open substream of one protocol.
struct Link {
    session: u64,
    directions: [Direction; 2],
}

/// What one side of a link has sent and the other has not read.
#[derive(Clone, Copy, Default)]
struct Direction {
    messages: usize,
    bytes: usize,
    /// Nothing overtakes.
    last_arrival: Duration,
}

enum Timer {
    Dial(Pair),
    Open(Pair, ProtocolId),
}

/// A request on its way.
pub(super) struct Asked {
    pub(super) reply: Reply<Bytes>,
    /// Fails once the connection is lost.
    pub(super) connection: watch::Receiver<()>,
}

pub(super) struct State {
    pub(super) config: MemoryConfig,
    entropy: Arc<dyn Entropy>,
    members: BTreeMap<PeerId, Member>,
    connections: BTreeMap<Pair, Connection>,
    groups: Vec<BTreeSet<PeerId>>,
    timers: BTreeMap<(Duration, u64), Timer>,
    timers_changed: Arc<Notify>,
    last_number: u64,
}

impl State {
    pub(super) fn new(config: MemoryConfig, entropy: Arc<dyn Entropy>, timers_changed: Arc<Notify>) -> Self {
        Self {
            config,
            entropy,
            members: BTreeMap::new(),
            connections: BTreeMap::new(),
            groups: Vec::new(),
            timers: BTreeMap::new(),
            timers_changed,
            last_number: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn peers(&self) -> Vec<PeerId> {
        self.members.keys().cloned().collect()
    }

    fn member(&mut self, peer: &PeerId, instance: u64) -> Option<&mut Member> {
        self.members.get_mut(peer).filter(|member| member.instance == instance)
    }

    // Who is there.

    pub(super) fn join(&mut self, peer: &PeerId, now: Duration) -> u64 {
        self.leave(peer, None, now);
        let instance = self.number();
        let member = Member {
            instance,
            slots: BTreeMap::new(),
            wanted: BTreeSet::new(),
            refused: BTreeMap::new(),
            uplink_free: now,
            bytes_sent: 0,
            bytes_received: 0,
        };
        self.members.insert(peer.clone(), member);
        self.dial_wanted(now, |(one, other)| one == peer || other == peer);
        instance
    }

    /// Takes a peer out, if it is still in this life.
    pub(super) fn leave(&mut self, peer: &PeerId, instance: Option<u64>, now: Duration) {
        let present = self.members.get(peer).is_some_and(|member| instance.is_none_or(|it| it == member.instance));
        if !present {
            return;
        }
        self.break_all(peer, now);
        if let Some(member) = self.members.remove(peer) {
            // Wakes the readers, which find nothing of theirs left.
            member.slots.values().for_each(|slot| slot.inbox.wake.notify_one());
        }
    }

    pub(super) fn partition(&mut self, groups: Vec<BTreeSet<PeerId>>, now: Duration) {
        self.groups = groups;
        let cut: Vec<Pair> = self.connections.keys().filter(|pair| self.is_cut(pair)).cloned().collect();
        cut.iter().for_each(|pair| self.break_connection(pair, now));
        self.dial_wanted(now, |_| true);
    }

    fn is_cut(&self, pair: &Pair) -> bool {
        let group = |peer: &PeerId| self.groups.iter().position(|group| group.contains(peer));
        group(&pair.0) != group(&pair.1)
    }

    // Connections.

    pub(super) fn connect(&mut self, from: &PeerId, instance: u64, to: &PeerId, now: Duration) {
        let Some(member) = self.member(from, instance) else { return };
        if from == to || member.wanted.len() >= MAX_WANTED_PEERS {
            return;
        }
        member.wanted.insert(to.clone());
        self.schedule_dial(pair(from, to), now + self.config.latency);
    }

    pub(super) fn refuse(&mut self, by: &PeerId, instance: u64, whom: &PeerId, refuse_for: Duration, now: Duration) {
        let Some(member) = self.member(by, instance) else { return };
        member.wanted.remove(whom);
        member.refused.retain(|_, until| *until > now);
        if member.refused.len() >= MAX_REFUSED_PEERS {
            let soonest = member.refused.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| peer.clone());
            soonest.map(|peer| member.refused.remove(&peer));
        }
        let until = now.saturating_add(refuse_for);
        member.refused.insert(whom.clone(), until);
        let pair = pair(by, whom);
        self.break_connection(&pair, now);
        self.schedule_dial(pair, until.saturating_add(REDIAL_BACK_OFF));
    }

    pub(super) fn break_all(&mut self, peer: &PeerId, now: Duration) {
        let pairs: Vec<Pair> =
            self.connections.keys().filter(|(one, other)| one == peer || other == peer).cloned().collect();
        pairs.iter().for_each(|pair| self.break_connection(pair, now));
    }

    fn break_connection(&mut self, pair: &Pair, now: Duration) {
        let Some(mut connection) = self.connections.remove(pair) else { return };
        for (protocol, link) in std::mem::take(&mut connection.links) {
            self.end_link(pair, protocol, link.session, now);
        }
        for peer in [&pair.0, &pair.1] {
            let slots = self.members.get_mut(peer).into_iter().flat_map(|member| member.slots.values_mut());
            slots.for_each(|slot| slot.inbox.forget_requests(connection.id));
        }
        // Those who wait for a permit, or for an answer, learn of it.
        connection.permits.iter().for_each(|permits| permits.close());
        drop(connection.alive);
        self.schedule_dial(pair.clone(), now + REDIAL_BACK_OFF);
    }

    fn schedule(&mut self, at: Duration, timer: Timer) {
        let number = self.number();
        self.timers.insert((at, number), timer);
        if self.timers.keys().next() == Some(&(at, number)) {
            self.timers_changed.notify_one();
        }
    }

    fn schedule_dial(&mut self, pair: Pair, at: Duration) {
        self.schedule(at, Timer::Dial(pair));
    }

    /// Dials every pair of which one wants the other, and that `which` picks.
    fn dial_wanted(&mut self, now: Duration, which: impl Fn(&Pair) -> bool) {
        let wanted = self.members.iter().flat_map(|(peer, member)| member.wanted.iter().map(|to| pair(peer, to)));
        let pairs: BTreeSet<Pair> = wanted.filter(|pair| which(pair) && !self.connections.contains_key(pair)).collect();
        for pair in pairs {
            self.schedule_dial(pair, now + self.config.latency);
        }
    }

    /// Does what is due, and says when the next is.
    pub(super) fn fire(&mut self, now: Duration) -> Option<Duration> {
        loop {
            let first = self.timers.first_entry()?;
            if first.key().0 > now {
                return Some(first.key().0);
            }
            match first.remove() {
                Timer::Dial(pair) => self.dial(pair, now),
                Timer::Open(pair, protocol) => self.open_link(&pair, protocol, now),
            }
        }
    }

    /// A dial that cannot succeed is forgotten: whatever makes it possible dials again.
    fn dial(&mut self, pair: Pair, now: Duration) {
        let (Some(one), Some(other)) = (self.members.get(&pair.0), self.members.get(&pair.1)) else { return };
        let wanted = one.wanted.contains(&pair.1) || other.wanted.contains(&pair.0);
        let refuses = |member: &Member, peer: &PeerId| member.refused.get(peer).is_some_and(|until| *until > now);
        let refused = refuses(one, &pair.1) || refuses(other, &pair.0);
        if !wanted || refused || self.is_cut(&pair) || self.connections.contains_key(&pair) {
            return;
        }
        let protocols: Vec<ProtocolId> = one.slots.keys().filter(|id| other.slots.contains_key(id)).copied().collect();
        let connection = Connection {
            id: self.number(),
            alive: watch::channel(()).0,
            links: BTreeMap::new(),
            permits: [(); 2].map(|()| Arc::new(Semaphore::new(MAX_REQUESTS_PER_PEER))),
        };
        self.connections.insert(pair.clone(), connection);
        for protocol in protocols {
            self.open_link(&pair, protocol, now);
        }
    }

    // Protocols and their substreams.

    pub(super) fn open(
        &mut self,
        peer: &PeerId,
        instance: u64,
        protocol: ProtocolId,
        handshake: Bytes,
        now: Duration,
    ) -> Result<Arc<Notify>, NetworkError> {
        let member = self.member(peer, instance).ok_or(NetworkError::Closed)?;
        if member.slots.contains_key(&protocol) {
            return Err(NetworkError::AlreadyOpen(protocol));
        }
        let slot = Slot { handshake, inbox: Inbox::default() };
        let wake = slot.inbox.wake.clone();
        member.slots.insert(protocol, slot);
        let pairs: Vec<Pair> =
            self.connections.keys().filter(|(one, other)| one == peer || other == peer).cloned().collect();
        for pair in pairs {
            self.open_link(&pair, protocol, now);
        }
        Ok(wake)
    }

    /// The reader is gone.
    pub(super) fn close(&mut self, peer: &PeerId, instance: u64, protocol: ProtocolId, now: Duration) {
        let Some(member) = self.member(peer, instance) else { return };
        member.slots.remove(&protocol);
        let mut ended = Vec::new();
        for (pair, connection) in &mut self.connections {
            if pair.0 == *peer || pair.1 == *peer {
                ended.extend(connection.links.remove(&protocol).map(|link| (pair.clone(), link.session)));
            }
        }
        for (pair, session) in ended {
            self.end_link(&pair, protocol, session, now);
        }
    }

    /// Opens the substream if both sides have the protocol open and have heard of the end of the last one.
    fn open_link(&mut self, pair: &Pair, protocol: ProtocolId, now: Duration) {
        let slot = |peer: &PeerId| self.members.get(peer).and_then(|member| member.slots.get(&protocol));
        let (Some(one), Some(other)) = (slot(&pair.0), slot(&pair.1)) else { return };
        if one.inbox.owes_disconnected(&pair.1) || other.inbox.owes_disconnected(&pair.0) {
            return;
        }
        let handshakes = [one.handshake.clone(), other.handshake.clone()];
        let session = self.number();
        // There and back, as a handshake and its answer take.
        let arrival = now + 2 * self.config.latency;
        let Some(connection) = self.connections.get_mut(pair) else { return };
        if connection.links.contains_key(&protocol) {
            return;
        }
        let direction = Direction { last_arrival: arrival, ..Direction::default() };
        connection.links.insert(protocol, Link { session, directions: [direction; 2] });
        let [first, second] = handshakes;
        self.deliver(
            &pair.0,
            protocol,
            arrival,
            Entry { peer: pair.1.clone(), session, item: Item::Connected(second) },
        );
        self.deliver(&pair.1, protocol, arrival, Entry { peer: pair.0.clone(), session, item: Item::Connected(first) });
    }

    /// Tells both sides of the end of a link that was removed.
    fn end_link(&mut self, pair: &Pair, protocol: ProtocolId, session: u64, now: Duration) {
        let arrival = now + self.config.latency;
        for (peer, other) in [(&pair.0, &pair.1), (&pair.1, &pair.0)] {
            let slot = self.members.get_mut(peer).and_then(|member| member.slots.get_mut(&protocol));
            let Some(slot) = slot else { continue };
            if !slot.inbox.forget_session(session) {
                let entry = Entry { peer: other.clone(), session, item: Item::Disconnected };
                self.deliver(peer, protocol, arrival, entry);
            }
        }
        self.schedule(now + REOPEN_BACK_OFF, Timer::Open(pair.clone(), protocol));
    }

    fn deliver(&mut self, to: &PeerId, protocol: ProtocolId, arrival: Duration, entry: Entry) {
        let number = self.number();
        if let Some(slot) = self.members.get_mut(to).and_then(|member| member.slots.get_mut(&protocol)) {
            slot.inbox.push(arrival, number, entry);
        }
    }

    pub(super) fn next_event(&mut self, peer: &PeerId, instance: u64, protocol: ProtocolId, now: Duration) -> Next {
        let Some(member) = self.member(peer, instance) else { return Next::Closed };
        let Some(slot) = member.slots.get_mut(&protocol) else { return Next::Closed };
        let entry = match slot.inbox.pop(now) {
            Ok(entry) => entry,
            Err(None) => return Next::Empty,
            Err(Some(arrival)) => return Next::At(arrival),
        };
        let from = entry.peer;
        Next::Event(match entry.item {
            Item::Connected(handshake) => NetworkEvent::Connected { peer: from, handshake },
            Item::Disconnected => {
                let pair = pair(peer, &from);
                self.schedule(now + REOPEN_BACK_OFF, Timer::Open(pair, protocol));
                NetworkEvent::Disconnected { peer: from }
            }
            Item::Message(payload) => {
                member.bytes_received += payload.len() as u64;
                self.release(&from, peer, protocol, entry.session, payload.len());
                NetworkEvent::Message { peer: from, payload }
            }
            Item::Request(payload, respond) => {
                member.bytes_received += payload.len() as u64;
                NetworkEvent::Request { peer: from, payload, respond }
            }
        })
    }

    /// Gives back the room that a message took in its sender's queue.
    fn release(&mut self, from: &PeerId, to: &PeerId, protocol: ProtocolId, session: u64, bytes: usize) {
        let pair = pair(from, to);
        let link = self.connections.get_mut(&pair).and_then(|connection| connection.links.get_mut(&protocol));
        if let Some(link) = link.filter(|link| link.session == session) {
            let direction = &mut link.directions[side(&pair, from)];
            direction.messages -= 1;
            direction.bytes -= bytes;
        }
    }

    // Messages.

    /// When `bytes` that leave `from` now arrive.
    pub(super) fn transit(&mut self, from: &PeerId, bytes: usize, now: Duration) -> Duration {
        let config = self.config;
        let mut left = now;
        if let (Some(bandwidth), Some(member)) = (config.bandwidth_bytes_per_second, self.members.get_mut(from)) {
            let nanoseconds = (bytes as u64).saturating_mul(1_000_000_000) / bandwidth.max(1);
            left = now.max(member.uplink_free).saturating_add(Duration::from_nanos(nanoseconds));
            member.uplink_free = left;
        }
        let jitter_ns = u64::try_from(config.jitter.as_nanos()).unwrap_or(u64::MAX);
        let mut arrival = left + config.latency + Duration::from_nanos(below(&*self.entropy, jitter_ns));
        if self.strikes(config.delayed_per_million) {
            arrival += config.delay;
        }
        arrival
    }

    fn strikes(&self, per_million: u32) -> bool {
        per_million > 0 && below(&*self.entropy, 1_000_000) < u64::from(per_million)
    }

    /// Counts a payload that went from one to the other.
    pub(super) fn count(&mut self, from: &PeerId, to: &PeerId, bytes: usize) {
        if let Some(member) = self.members.get_mut(from) {
            member.bytes_sent += bytes as u64;
        }
        if let Some(member) = self.members.get_mut(to) {
            member.bytes_received += bytes as u64;
        }
    }

    /// `payload` is absent if a hook dropped it: the sender does not notice.
    pub(super) fn send(
        &mut self,
        from: &PeerId,
        instance: u64,
        to: &PeerId,
        protocol: ProtocolId,
        payload: Option<Bytes>,
        now: Duration,
    ) -> Result<(), SendRefusedReason> {
        self.member(from, instance).ok_or(SendRefusedReason::NotConnected)?;
        let pair = pair(from, to);
        let side = side(&pair, from);
        let links = self.connections.get_mut(&pair).map(|connection| &mut connection.links);
        let link = links.and_then(|links| links.get(&protocol)).ok_or(SendRefusedReason::NotConnected)?;
        let (session, direction) = (link.session, link.directions[side]);
        let Some(payload) = payload else { return Ok(()) };
        let bytes = direction.bytes + payload.len();
        if direction.messages >= PROTOCOL_QUEUE_MESSAGES || bytes > PROTOCOL_QUEUE_BYTES {
            if let Some(connection) = self.connections.get_mut(&pair) {
                connection.links.remove(&protocol);
            }
            self.end_link(&pair, protocol, session, now);
            return Err(SendRefusedReason::QueueFull);
        }
        if let Some(member) = self.members.get_mut(from) {
            member.bytes_sent += payload.len() as u64;
        }
        if self.strikes(self.config.broken_per_million) {
            self.break_connection(&pair, now);
            return Ok(());
        }
        let arrival = self.transit(from, payload.len(), now).max(direction.last_arrival);
        let link = self.connections.get_mut(&pair).and_then(|connection| connection.links.get_mut(&protocol));
        if let Some(link) = link {
            link.directions[side] = Direction { messages: direction.messages + 1, bytes, last_arrival: arrival };
        }
        self.deliver(to, protocol, arrival, Entry { peer: from.clone(), session, item: Item::Message(payload) });
        Ok(())
    }

    /// The permits for requests from one to the other; `None` without a connection.
    pub(super) fn permits(&mut self, from: &PeerId, instance: u64, to: &PeerId) -> Option<Arc<Semaphore>> {
        self.member(from, instance)?;
        let pair = pair(from, to);
        Some(self.connections.get(&pair)?.permits[side(&pair, from)].clone())
    }

    /// Sends a request; `None` without a connection. A peer that does not speak the protocol, or has no room, drops it.
    pub(super) fn request(
        &mut self,
        from: &PeerId,
        instance: u64,
        to: &PeerId,
        protocol: ProtocolId,
        payload: Bytes,
        now: Duration,
    ) -> Option<Asked> {
        let bytes = payload.len();
        self.member(from, instance)?.bytes_sent += bytes as u64;
        let connection = self.connections.get(&pair(from, to))?;
        let (session, alive) = (connection.id, connection.alive.subscribe());
        let (respond, reply) = Reply::channel("network request", "peer");
        let arrival = self.transit(from, bytes, now);
        let slot = self.members.get_mut(to).and_then(|member| member.slots.get_mut(&protocol));
        if slot.is_some_and(|slot| slot.inbox.has_room_for_request(from)) {
            let item = Item::Request(payload, respond);
            self.deliver(to, protocol, arrival, Entry { peer: from.clone(), session, item });
        }
        Some(Asked { reply, connection: alive })
    }

    pub(super) fn statistics(&self, peer: &PeerId, instance: u64) -> NetworkStatistics {
        let Some(member) = self.members.get(peer).filter(|member| member.instance == instance) else {
            return NetworkStatistics::default();
        };
        let open = |(pair, connection): &(&Pair, &Connection)| {
            (pair.0 == *peer || pair.1 == *peer) && !connection.links.is_empty()
        };
        NetworkStatistics {
            bytes_sent: member.bytes_sent,
            bytes_received: member.bytes_received,
            peers: self.connections.iter().filter(open).count(),
        }
    }
}
