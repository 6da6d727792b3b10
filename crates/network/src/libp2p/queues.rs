//! The two queues of a protocol: what waits for its reader, and per peer what waits for the wire.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ports::{NetworkEvent, PROTOCOL_QUEUE_BYTES, PROTOCOL_QUEUE_MESSAGES, SendRefusedReason};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::limits::{EVENT_QUEUE_BYTES, EVENT_QUEUE_EVENTS};

/// The reader is gone.
#[derive(Debug)]
pub(super) struct ReaderGone;

type Queued = (NetworkEvent, OwnedSemaphorePermit);

/// Where all peers' tasks of a protocol put their events.
#[derive(Clone)]
pub(super) struct EventSender {
    sender: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// The reader's end.
pub(super) struct EventReceiver(mpsc::Receiver<Queued>);

pub(super) fn events() -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(EVENT_QUEUE_EVENTS);
    (EventSender { sender, room: Arc::new(Semaphore::new(EVENT_QUEUE_BYTES)) }, EventReceiver(receiver))
}

impl EventSender {
    /// Waits for room. Cancel-safe: an event whose push was dropped was not queued.
    pub(super) async fn push(&self, event: NetworkEvent) -> Result<(), ReaderGone> {
        let bytes = match &event {
            NetworkEvent::Connected { handshake, .. } => handshake.len(),
            NetworkEvent::Disconnected { .. } => 0,
            NetworkEvent::Message { payload, .. } | NetworkEvent::Request { payload, .. } => payload.len(),
        };
        let bytes = u32::try_from(bytes.min(EVENT_QUEUE_BYTES)).expect("the limit fits, asserted beside it");
        let waiting = async {
            let permit = self.room.clone().acquire_many_owned(bytes).await.map_err(|_| ReaderGone)?;
            self.sender.send((event, permit)).await.map_err(|_| ReaderGone)
        };
        tokio::select! {
            biased;
            // A reader that goes away while its queue is full gives no room back.
            () = self.sender.closed() => Err(ReaderGone),
            outcome = waiting => outcome,
        }
    }
}

impl EventReceiver {
    /// The next event. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<NetworkEvent> {
        self.0.recv().await.map(|(event, _room)| event)
    }
}

/// What waits for the wire, of one peer and protocol, during one session.
pub(super) struct Outgoing {
    state: Mutex<OutgoingState>,
    pushed: Notify,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct OutgoingState {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), pushed: Notify::new(), closed: watch::channel(false).0 }
    }

    fn state(&self) -> MutexGuard<'_, OutgoingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message; when it does not fit the queue closes, and all in it is lost.
    pub(super) fn push(&self, payload: Bytes) -> Result<(), (Bytes, SendRefusedReason)> {
        let mut state = self.state();
        if *self.closed.borrow() {
            return Err((payload, SendRefusedReason::NotConnected));
        }
        let bytes = state.bytes + payload.len();
        if bytes > PROTOCOL_QUEUE_BYTES || state.messages.len() >= PROTOCOL_QUEUE_MESSAGES {
            *state = OutgoingState::default();
            self.closed.send_replace(true);
            return Err((payload, SendRefusedReason::QueueFull));
        }
        state.bytes = bytes;
        state.messages.push_back(payload);
        drop(state);
        self.pushed.notify_one();
        Ok(())
    }

    /// Takes the next message if there is one.
    pub(super) fn try_pop(&self) -> Option<Bytes> {
        let mut state = self.state();
        let payload = state.messages.pop_front()?;
        state.bytes -= payload.len();
        Some(payload)
    }

    /// Waits for the next message. Cancel-safe.
    pub(super) async fn pop(&self) -> Bytes {
        loop {
            match self.try_pop() {
                Some(payload) => return payload,
                None => self.pushed.notified().await,
            }
        }
    }

    /// Closes the queue and forgets what is in it.
    pub(super) fn close(&self) {
        let mut state = self.state();
        *state = OutgoingState::default();
        self.closed.send_replace(true);
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Returns once the queue has closed.
    pub(super) async fn closed(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let mut closed = self.closed.subscribe();
        let _closed = closed.wait_for(|closed| *closed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_that_overflows_closes_and_forgets() {
        let queue = Outgoing::new();
        let mebibyte = Bytes::from(vec![0; 1024 * 1024]);
        for _ in 0..8 {
            queue.push(mebibyte.clone()).unwrap();
        }
        assert!(queue.try_pop().is_some());
        queue.push(mebibyte.clone()).unwrap();
        let (payload, reason) = queue.push(Bytes::from_static(b"x")).unwrap_err();
        assert_eq!((&payload[..], reason), (&b"x"[..], SendRefusedReason::QueueFull));
        assert!(queue.is_closed() && queue.try_pop().is_none());
        assert_eq!(queue.push(payload).unwrap_err().1, SendRefusedReason::NotConnected);
    }

    #[test]
    fn queue_is_bounded_in_messages_too() {
        let queue = Outgoing::new();
        for _ in 0..PROTOCOL_QUEUE_MESSAGES {
            queue.push(Bytes::new()).unwrap();
        }
        assert_eq!(queue.push(Bytes::new()).unwrap_err().1, SendRefusedReason::QueueFull);
    }
}
