//! What is on its way to one reader: ordered by arrival, bounded by what the senders' links may hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use overseer::Responder;
use ports::{NetworkEvent, PeerId};
use tokio::sync::Notify;

use crate::limits::MAX_SERVED_REQUESTS_PER_PEER;

/// What a reader finds.
pub(super) enum Next {
    Event(NetworkEvent),
    /// The first arrives then.
    At(Duration),
    Empty,
    Closed,
}

/// Something on its way.
pub(super) enum Item {
    Connected(Bytes),
    Disconnected,
    Message(Bytes),
    Request(Bytes, Responder<Bytes>),
}

/// Something on its way, and from whom.
pub(super) struct Entry {
    pub(super) peer: PeerId,
    /// The link's session; for a request the connection.
    pub(super) session: u64,
    pub(super) item: Item,
}

impl Entry {
    fn is_request(&self) -> bool {
        matches!(self.item, Item::Request(..))
    }
}

/// The inbox of one protocol's reader.
#[derive(Default)]
pub(super) struct Inbox {
    entries: BTreeMap<(Duration, u64), Entry>,
    pub(super) wake: Arc<Notify>,
}

impl Inbox {
    /// Puts something in; `order` tells apart what arrives at the same time.
    pub(super) fn push(&mut self, arrival: Duration, order: u64, entry: Entry) {
        self.entries.insert((arrival, order), entry);
        // A reader that waits for an earlier arrival looks again by itself.
        if self.entries.keys().next() == Some(&(arrival, order)) {
            self.wake.notify_one();
        }
    }

    /// Whether a request of `peer` finds room; forgets those that nobody waits for any more.
    pub(super) fn has_room_for_request(&mut self, peer: &PeerId) -> bool {
        let count =
            |inbox: &Self| inbox.entries.values().filter(|entry| entry.is_request() && entry.peer == *peer).count();
        if count(self) < MAX_SERVED_REQUESTS_PER_PEER {
            return true;
        }
        self.entries.retain(|_, entry| !matches!(&entry.item, Item::Request(_, respond) if respond.is_abandoned()));
        count(self) < MAX_SERVED_REQUESTS_PER_PEER
    }

    /// Forgets all of a link's session that was not read; true if its `Connected` was among it, so that the reader
    /// never hears of the session.
    pub(super) fn forget_session(&mut self, session: u64) -> bool {
        let mut unread = false;
        self.entries.retain(|_, entry| {
            if entry.is_request() || entry.session != session {
                return true;
            }
            unread |= matches!(entry.item, Item::Connected(_));
            false
        });
        unread
    }

    /// Forgets the requests that came over a connection; their askers are told by the loss of the connection.
    pub(super) fn forget_requests(&mut self, connection: u64) {
        self.entries.retain(|_, entry| !(entry.is_request() && entry.session == connection));
    }

    /// Whether the reader has yet to hear that `peer` is gone.
    pub(super) fn owes_disconnected(&self, peer: &PeerId) -> bool {
        self.entries.values().any(|entry| entry.peer == *peer && matches!(entry.item, Item::Disconnected))
    }

    /// The first that has arrived, or when the first arrives (`None`: nothing is on its way).
    pub(super) fn pop(&mut self, now: Duration) -> Result<Entry, Option<Duration>> {
        match self.entries.first_entry() {
            None => Err(None),
            Some(first) if first.key().0 > now => Err(Some(first.key().0)),
            Some(first) => Ok(first.remove()),
        }
    }
}
