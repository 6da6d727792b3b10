//! Requests: a substream each, which carries the request and then the answer. A refused request gets no answer but
//! the end of its substream.

use std::sync::Arc;

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream};
use overseer::Reply;
use ports::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, NetworkEvent, ProtocolId, RequestError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::frame::{self, FrameError};
use super::queues::EventSender;
use super::registry::{Registry, names};
use crate::limits::REQUEST_TIMEOUT;

/// Asks a peer.
pub(super) async fn ask(
    registry: &Registry,
    peer: PeerId,
    protocol: ProtocolId,
    payload: Bytes,
) -> Result<Bytes, RequestError> {
    if payload.len() > MAX_REQUEST_BYTES {
        return Err(RequestError::TooLarge);
    }
    let asking = async {
        let _permit = registry.permit(&peer).await?;
        let [_, name] = names(protocol);
        let mut stream = registry.open_stream(peer, name).await.ok_or(RequestError::Refused)?;
        let exchange = async {
            frame::write(&mut stream, &payload).await?;
            stream.flush().await?;
            registry.count_sent(payload.len());
            frame::read(&mut stream, MAX_RESPONSE_BYTES).await
        };
        let answer = exchange.await.map_err(|error| match error {
            FrameError::TooLarge { .. } => RequestError::TooLarge,
            FrameError::Io(_) => RequestError::Refused,
        })?;
        registry.count_received(answer.len());
        Ok(answer)
    };
    timeout(REQUEST_TIMEOUT, asking).await.unwrap_or(Err(RequestError::TimedOut))
}

/// Serves one request of a peer.
pub(super) async fn serve(
    registry: Arc<Registry>,
    peer: ports::PeerId,
    events: EventSender,
    stream: Stream,
    permit: OwnedSemaphorePermit,
) {
    let serving = answer(&registry, &peer, events, stream);
    if timeout(REQUEST_TIMEOUT, serving).await.is_err() {
        tracing::debug!(%peer, "request was not served in time");
    }
    drop(permit);
}

/// Any failure ends the substream, which the asker takes as a refusal.
async fn answer(registry: &Registry, peer: &ports::PeerId, events: EventSender, mut stream: Stream) -> Option<()> {
    let payload = frame::read(&mut stream, MAX_REQUEST_BYTES).await.ok()?;
    registry.count_received(payload.len());
    let (respond, reply) = Reply::channel("network request", "the protocol's reader");
    events.push(NetworkEvent::Request { peer: peer.clone(), payload, respond }).await.ok()?;
    let mut nothing = [0];
    let answer = tokio::select! {
        biased;
        answer = reply => answer.ok()?,
        // The asker has nothing more to say: it has given up.
        _ = stream.read(&mut nothing) => return None,
    };
    if answer.len() > MAX_RESPONSE_BYTES {
        tracing::warn!(%peer, bytes = answer.len(), "answer is over {MAX_RESPONSE_BYTES} bytes and was dropped");
        return None;
    }
    frame::write(&mut stream, &answer).await.ok()?;
    registry.count_sent(answer.len());
    stream.close().await.ok()
}
