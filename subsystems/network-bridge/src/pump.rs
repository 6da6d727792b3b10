//! Pumps: one per protocol, from the network to the protocol's subsystem, each at its consumer's pace.

use std::collections::BTreeSet;
use std::sync::Arc;

use messages::network_bridge::{NetworkBridgeEvent, PeerConduct, PeerInfo, VIEW_HEADS_MAX, View};
use overseer::message::Post;
use overseer::wiring::{FromJobs, SentBy};
use overseer::{Outlet, Wait};
use ports::{NetworkEvent, PeerId, ProtocolEvents, ProtocolId};
use primitives::bounded::decode_limited;
use tokio::sync::mpsc;

use crate::NetworkBridgeSubsystem;
use crate::board::{Board, News};
use crate::handshake::{Doorkeeper, Rejection};

/// Bytes of the largest view: its length and its heads.
const VIEW_BYTES_MAX: usize = 1 + VIEW_HEADS_MAX * 32;

/// What a pump tells the bridge's loop.
#[derive(Debug)]
pub(crate) enum Notice {
    /// An admitted peer opened the protocol.
    Connected(ProtocolId, PeerId, PeerInfo),
    /// An admitted peer closed it.
    Disconnected(ProtocolId, PeerId),
    /// A peer was not admitted.
    Rejected(PeerId, Rejection),
    /// A peer's view, `None` if what it sent is none.
    PeerView(PeerId, Option<View>),
    /// The pump itself judged a peer.
    Conduct(PeerId, PeerConduct),
}

/// Why a pump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PumpEnd {
    /// The network was shut down.
    NetworkClosed,
    /// The consumer or the loop has ended: the node stops.
    ConsumerGone,
}

/// Reads one protocol.
pub(crate) struct Pump {
    pub(crate) protocol: ProtocolId,
    pub(crate) events: Box<dyn ProtocolEvents>,
    pub(crate) doorkeeper: Arc<Doorkeeper>,
    pub(crate) notices: mpsc::Sender<Notice>,
    /// Admitted peers that have the protocol open.
    pub(crate) open: BTreeSet<PeerId>,
}

impl Pump {
    /// To the loop, which always goes on reading; so this wait ends.
    async fn tell(&mut self, notice: Notice) -> Result<(), PumpEnd> {
        self.notices.send(notice).await.map_err(|_| PumpEnd::ConsumerGone)
    }

    /// Lets a peer in, or tells the loop why not.
    async fn admit(&mut self, peer: &PeerId, handshake: &bytes::Bytes) -> Result<Option<PeerInfo>, PumpEnd> {
        match self.doorkeeper.admit(peer, handshake) {
            Ok(info) => {
                self.open.insert(peer.clone());
                self.tell(Notice::Connected(self.protocol, peer.clone(), info.clone())).await?;
                Ok(Some(info))
            }
            Err(rejection) => {
                self.tell(Notice::Rejected(peer.clone(), rejection)).await?;
                Ok(None)
            }
        }
    }

    /// Feeds a subsystem until the network or the subsystem ends. Reads the network only after the subsystem took what
    /// was read before; views wait on the board meanwhile.
    pub(crate) async fn feed<M, I>(
        mut self,
        board: Arc<Board>,
        reader: usize,
        outlet: Outlet<FromJobs<NetworkBridgeSubsystem>>,
        wrap: fn(NetworkBridgeEvent) -> M,
    ) -> PumpEnd
    where
        M: Post + SentBy<FromJobs<NetworkBridgeSubsystem>, Wait<M>, I>,
    {
        loop {
            let events = tokio::select! {
                biased;
                news = board.next(reader) => self.on_news(news).into_iter().collect(),
                event = self.events.next() => match event {
                    None => return PumpEnd::NetworkClosed,
                    Some(event) => match self.on_event(&board, reader, event).await {
                        Ok(events) => events,
                        Err(end) => return end,
                    },
                },
            };
            for event in events {
                if let Err(error) = outlet.send(wrap(event)).await {
                    tracing::debug!(%error, protocol = ?self.protocol, "pump ends");
                    return PumpEnd::ConsumerGone;
                }
            }
        }
    }

    fn on_news(&self, news: News) -> Option<NetworkBridgeEvent> {
        match news {
            News::Ours(view) => Some(NetworkBridgeEvent::OurViewChange(view)),
            News::Peer(peer, view) => {
                // One that has not opened this protocol yet gets it when it does.
                self.open.contains(&peer).then(|| NetworkBridgeEvent::PeerViewChange(peer, view))
            }
        }
    }

    async fn on_event(
        &mut self,
        board: &Board,
        reader: usize,
        event: NetworkEvent,
    ) -> Result<Vec<NetworkBridgeEvent>, PumpEnd> {
        let mut events = Vec::new();
        match event {
            NetworkEvent::Connected { peer, handshake } => {
                if let Some(info) = self.admit(&peer, &handshake).await? {
                    let view = board.take_peer(reader, &peer);
                    events.push(NetworkBridgeEvent::PeerConnected(peer.clone(), info));
                    events.extend(view.map(|view| NetworkBridgeEvent::PeerViewChange(peer, view)));
                }
            }
            NetworkEvent::Disconnected { peer } => {
                if self.open.remove(&peer) {
                    self.tell(Notice::Disconnected(self.protocol, peer.clone())).await?;
                    events.push(NetworkBridgeEvent::PeerDisconnected(peer));
                }
            }
            // From one that was not admitted nothing is heard; it is being disconnected.
            NetworkEvent::Message { peer, payload } => {
                if self.open.contains(&peer) {
                    events.push(NetworkBridgeEvent::PeerMessage(peer, payload));
                }
            }
            // A request has a stream of its own and may come before the protocol is open in both directions.
            NetworkEvent::Request { peer, payload, respond } => {
                events.push(NetworkBridgeEvent::IncomingRequest(peer, payload, respond));
            }
        }
        Ok(events)
    }

    /// The view protocol, whose consumer is the bridge's loop.
    pub(crate) async fn feed_views(mut self) -> PumpEnd {
        loop {
            let Some(event) = self.events.next().await else { return PumpEnd::NetworkClosed };
            if let Err(end) = self.on_view_event(event).await {
                return end;
            }
        }
    }

    async fn on_view_event(&mut self, event: NetworkEvent) -> Result<(), PumpEnd> {
        match event {
            NetworkEvent::Connected { peer, handshake } => self.admit(&peer, &handshake).await.map(drop),
            NetworkEvent::Disconnected { peer } => {
                if self.open.remove(&peer) {
                    self.tell(Notice::Disconnected(self.protocol, peer)).await?;
                }
                Ok(())
            }
            NetworkEvent::Message { peer, payload } => {
                if self.open.contains(&peer) {
                    let view = decode_limited::<View>(&payload, VIEW_BYTES_MAX).ok();
                    self.tell(Notice::PeerView(peer, view)).await?;
                }
                Ok(())
            }
            // Nothing can be asked here.
            NetworkEvent::Request { peer, .. } => self.tell(Notice::Conduct(peer, PeerConduct::CostUnneeded)).await,
        }
    }
}
