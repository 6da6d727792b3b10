//! The life of one peer's substream of one protocol.
//!
//! The peer with the smaller id opens it, so that both never do so at once; both send and receive on it. It begins
//! with both handshakes: the opener's, then the answer. The opener tries until it has that answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream};
use ports::{MAX_HANDSHAKE_BYTES, MAX_NOTIFICATION_BYTES, NetworkEvent, ProtocolId};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::frame::{self, FrameError};
use super::limits::HANDSHAKE_TIMEOUT;
use super::port_peer;
use super::queues::{EventSender, Outgoing};
use super::registry::{Connected, Protocol, Registry};
use crate::limits::{REOPEN_BACK_OFF, REOPEN_BACK_OFF_MAX};

/// What others see of a link.
pub(super) struct Link {
    pub(super) peer: PeerId,
    pub(super) protocol: ProtocolId,
    connected: watch::Sender<bool>,
    /// Substreams that the peer has opened: one waits, more are dropped.
    offered: mpsc::Sender<Stream>,
    outgoing: Mutex<Option<Arc<Outgoing>>>,
}

impl Link {
    /// A link to a connected peer, and what its task needs.
    pub(super) fn new(peer: PeerId, protocol: ProtocolId) -> (Arc<Self>, mpsc::Receiver<Stream>) {
        let (offered, inbound) = mpsc::channel(1);
        let link = Self { peer, protocol, connected: watch::channel(true).0, offered, outgoing: Mutex::default() };
        (Arc::new(link), inbound)
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.connected.send_replace(connected);
    }

    pub(super) fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Hands over a substream that the peer has opened.
    pub(super) fn offer(&self, stream: Stream) {
        // With one waiting already the opener gets no answer and tries again.
        let _full = self.offered.try_send(stream);
    }

    /// The queue of the session that is open.
    pub(super) fn outgoing(&self) -> Option<Arc<Outgoing>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_open(&self) -> bool {
        self.outgoing().is_some_and(|outgoing| !outgoing.is_closed())
    }

    fn begin(&self) -> Arc<Outgoing> {
        let outgoing = Arc::new(Outgoing::new());
        *self.outgoing.lock().unwrap_or_else(PoisonError::into_inner) = Some(outgoing.clone());
        outgoing
    }

    fn end(&self) {
        if let Some(outgoing) = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            outgoing.close();
        }
    }
}

/// Returns once the peer is gone.
async fn gone(connected: &mut Connected) {
    // An error means that the link itself is gone, which its task holds.
    let _gone = connected.wait_for(|connected| !connected).await;
}

/// The task of a link: ends when the peer or the reader is gone.
pub(super) async fn run(
    link: Arc<Link>,
    registry: Arc<Registry>,
    protocol: Protocol,
    mut inbound: mpsc::Receiver<Stream>,
) {
    let mut connected = link.connected.subscribe();
    let peer = port_peer(&link.peer);
    let mut back_off = REOPEN_BACK_OFF;
    let mut offered = None;
    loop {
        if !link.is_connected() {
            if registry.retire(&link) {
                return;
            }
            continue;
        }
        let attempt = establish(&link, &registry, &protocol, &mut inbound, offered.take());
        let established = tokio::select! {
            biased;
            () = gone(&mut connected) => continue,
            established = attempt => established,
        };
        let (stream, handshake) = match established {
            Ok(established) => established,
            Err(error) => {
                tracing::debug!(%peer, protocol = ?protocol.id, %error, "no substream yet");
                pause(&mut connected, back_off).await;
                back_off = (back_off * 2).min(REOPEN_BACK_OFF_MAX);
                continue;
            }
        };
        back_off = REOPEN_BACK_OFF;
        let outgoing = link.begin();
        let announced = tokio::select! {
            biased;
            () = gone(&mut connected) => Ok(false),
            outcome = protocol.events.push(NetworkEvent::Connected { peer: peer.clone(), handshake }) =>
                outcome.map(|()| true),
        };
        if let Ok(true) = announced {
            offered = tokio::select! {
                biased;
                () = gone(&mut connected) => None,
                () = outgoing.closed() => None,
                // The opener opens anew only once it has given up the old one.
                stream = inbound.recv() => stream,
                () = session(stream, &link, &registry, &protocol.events, &outgoing) => None,
            };
        }
        link.end();
        let told = match announced {
            Ok(true) => protocol.events.push(NetworkEvent::Disconnected { peer: peer.clone() }).await,
            other => other.map(|_| ()),
        };
        if told.is_err() {
            // The reader is gone, and with it the protocol.
            link.set_connected(false);
        }
        pause(&mut connected, REOPEN_BACK_OFF).await;
    }
}

/// Waits, but no longer than the peer is there.
async fn pause(connected: &mut Connected, duration: Duration) {
    tokio::select! {
        biased;
        () = gone(connected) => {}
        () = sleep(duration) => {}
    }
}

/// Why a substream was not established.
#[derive(Debug, thiserror::Error)]
enum EstablishError {
    #[error("peer does not open the substream")]
    NotOpened,
    #[error("handshake took longer than {HANDSHAKE_TIMEOUT:?}")]
    TimedOut,
    #[error("handshake failed: {0}")]
    Frame(#[from] FrameError),
}

/// Opens a substream or takes the one the peer has opened, and exchanges handshakes.
async fn establish(
    link: &Link,
    registry: &Registry,
    protocol: &Protocol,
    inbound: &mut mpsc::Receiver<Stream>,
    offered: Option<Stream>,
) -> Result<(Stream, Bytes), EstablishError> {
    let opens = registry.local.to_bytes() < link.peer.to_bytes();
    let stream = if opens {
        registry.open_stream(link.peer, protocol.names[0].clone()).await
    } else if offered.is_some() {
        offered
    } else {
        inbound.recv().await
    };
    let mut stream = stream.ok_or(EstablishError::NotOpened)?;
    let handshakes = async {
        if opens {
            frame::write(&mut stream, &protocol.handshake).await?;
            stream.flush().await?;
        }
        let theirs = frame::read(&mut stream, MAX_HANDSHAKE_BYTES).await?;
        if !opens {
            frame::write(&mut stream, &protocol.handshake).await?;
            stream.flush().await?;
        }
        Ok::<Bytes, FrameError>(theirs)
    };
    let theirs = timeout(HANDSHAKE_TIMEOUT, handshakes).await.map_err(|_| EstablishError::TimedOut)??;
    Ok((stream, theirs))
}

/// Carries messages both ways until the substream fails or the reader is gone.
async fn session(stream: Stream, link: &Link, registry: &Registry, events: &EventSender, outgoing: &Outgoing) {
    let peer = port_peer(&link.peer);
    let (mut reader, mut writer) = stream.split();
    let receiving = async {
        loop {
            let payload = frame::read(&mut reader, MAX_NOTIFICATION_BYTES).await?;
            registry.count_received(payload.len());
            if events.push(NetworkEvent::Message { peer: peer.clone(), payload }).await.is_err() {
                return Ok::<(), FrameError>(());
            }
        }
    };
    let sending = async {
        loop {
            let payload = match outgoing.try_pop() {
                Some(payload) => payload,
                None => {
                    writer.flush().await?;
                    outgoing.pop().await
                }
            };
            frame::write(&mut writer, &payload).await?;
            registry.count_sent(payload.len());
        }
    };
    let ended: Result<(), FrameError> = tokio::select! {
        biased;
        ended = receiving => ended,
        ended = sending => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, protocol = ?link.protocol, %error, "substream ended");
    }
}
