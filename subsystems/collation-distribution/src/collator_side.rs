//! The loop on a collator.

use std::sync::Arc;

use bytes::Bytes;
use codec::Encode as _;
use jobs::{Input, Jobs};
use messages::LeavesState;
use messages::collation_distribution::{DistributeCollation, FetchCollationError, Inbox, NetworkUpdate};
use messages::network_bridge::{COLLATION_PROTOCOL, NetworkBridgeEvent, PeerConduct, SendMessage};
use messages::runtime_api::{GetSessionContext, SessionContext};
use overseer::{Event, Failure};
use ports::{Keystore, KeystoreError, PeerId};
use primitives::{CollatorId, Hash, ParaId};

use crate::collator::{Collator, Due};
use crate::wire::{self, Advertise, Declare, Message};
use crate::{JOBS_MAX, Loop, Ports, follow, report};

type Session = Result<Arc<SessionContext>, Failure>;

struct Side {
    context: Loop,
    jobs: Jobs<Hash, Session>,
    leaves: LeavesState,
    state: Collator,
    keystore: Arc<dyn Keystore>,
    collator: CollatorId,
    para_id: ParaId,
    local_peer: PeerId,
}

pub(crate) async fn run(
    context: Loop,
    para_id: ParaId,
    keystore: Arc<dyn Keystore>,
    local_peer: PeerId,
) -> Result<(), Failure> {
    let collator = keystore.collator_id().ok_or(KeystoreError::NoCollatorKey)?;
    let jobs = Jobs::new(context.environment().clone(), JOBS_MAX);
    let (leaves, state) = (LeavesState::default(), Collator::new(para_id));
    let mut side = Side { context, jobs, leaves, state, keystore, collator, para_id, local_peer };
    loop {
        match jobs::next(&mut side.context, &mut side.jobs).await {
            Input::Event(Event::Conclude) => return Ok(()),
            Input::Event(Event::Signal(update)) => {
                for ended in follow(&mut side.leaves, &mut side.jobs, &update) {
                    side.state.end(&ended);
                }
            }
            Input::Event(Event::Message(Inbox::NetworkUpdate(NetworkUpdate(event)))) => side.network(event)?,
            Input::Event(Event::Message(Inbox::DistributeCollation(collation))) => side.distribute(collation)?,
            Input::Event(Event::Message(Inbox::FetchCollation(wanted, answer))) => {
                // Whoever asked may have given up meanwhile.
                let _ = answer.answer(Err(FetchCollationError::NotAdvertised(wanted.candidate_hash)));
            }
            Input::Event(Event::Message(Inbox::ReportCollator(found))) => {
                tracing::debug!(collator = %found.collator, "a collator refuses no collators");
            }
            Input::Job(end) => match end.into_result() {
                Some((relay_parent, Ok(session))) => {
                    let due = side.state.session(&relay_parent, session);
                    side.advertise(due)?;
                }
                Some((relay_parent, Err(error))) => {
                    tracing::warn!(?relay_parent, %error, "collation is not advertised: its group is not known");
                }
                None => {}
            },
        }
    }
}

async fn session(ask: Ports, at: Hash) -> Session {
    Ok(ask.ask(GetSessionContext { at }).await??)
}

impl Side {
    fn network(&mut self, event: NetworkBridgeEvent) -> Result<(), Failure> {
        match event {
            NetworkBridgeEvent::PeerConnected(peer, info) => {
                if self.state.connected(peer.clone(), &info) {
                    self.declare(peer.clone())?;
                }
                let due = self.state.due(Some(&peer));
                self.advertise(due)?;
            }
            NetworkBridgeEvent::PeerDisconnected(peer) => self.state.disconnected(&peer),
            NetworkBridgeEvent::PeerViewChange(peer, view) => {
                let due = self.state.view_changed(&peer, view);
                self.advertise(due)?;
            }
            NetworkBridgeEvent::IncomingRequest(peer, payload, respond) => match self.state.request(&peer, &payload) {
                // The peer may be gone meanwhile.
                Ok(response) => drop(respond.answer(response)),
                Err(conduct) => report(&mut self.context, peer, conduct),
            },
            // Nobody has anything to say to a collator.
            NetworkBridgeEvent::PeerMessage(peer, _) => report(&mut self.context, peer, PeerConduct::CostUnneeded),
            NetworkBridgeEvent::OurViewChange(_) => {}
        }
        Ok(())
    }

    fn distribute(&mut self, collation: DistributeCollation) -> Result<(), Failure> {
        let relay_parent = collation.relay_parent;
        if !self.jobs.is_open(&relay_parent) {
            tracing::debug!(?relay_parent, "collation is for a relay parent out of view: dropped");
            return Ok(());
        }
        match self.state.distribute(collation) {
            Ok(due) => self.advertise(due)?,
            Err(error) => tracing::warn!(?relay_parent, %error, "collation is dropped"),
        }
        if self.state.needs_session(&relay_parent) {
            let work = session(self.context.jobs(), relay_parent);
            if let Err(refused) = self.jobs.spawn(&relay_parent, "session of a collation", work) {
                tracing::warn!(?relay_parent, %refused, "collation is not advertised");
            }
        }
        Ok(())
    }

    fn declare(&mut self, peer: PeerId) -> Result<(), KeystoreError> {
        let payload = wire::declare_payload(&self.local_peer, self.para_id);
        let signature = self.keystore.sign_as_collator(&payload)?;
        let declare = Declare { collator: self.collator, para_id: self.para_id, signature };
        self.say(vec![peer], &Message::Declare(declare));
        Ok(())
    }

    fn advertise(&mut self, due: Vec<Due>) -> Result<(), KeystoreError> {
        for Due { peers, relay_parent, candidate_hash, core } in due {
            let signature = self.keystore.sign_as_collator(&wire::advertise_payload(relay_parent, candidate_hash))?;
            self.say(peers, &Message::Advertise(Advertise { relay_parent, candidate_hash, core, signature }));
        }
        Ok(())
    }

    fn say(&mut self, peers: Vec<PeerId>, message: &Message) {
        let payload = Bytes::from(message.encode());
        if let Err(refused) = self.context.cast(SendMessage { peers, protocol: COLLATION_PROTOCOL, payload }) {
            tracing::warn!(%refused, "message was not taken");
        }
    }
}
