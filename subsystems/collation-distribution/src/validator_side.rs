//! The loop on a validator.

use std::collections::BTreeMap;

use jobs::{Input, Jobs};
use messages::LeavesState;
use messages::collation_distribution::{
    FetchCollation, FetchCollationError, FetchedCollation, Inbox, NetworkUpdate, ReportCollator,
};
use messages::network_bridge::{NetworkBridgeEvent, PeerConduct};
use overseer::{Event, Failure, Responder};
use ports::PeerId;
use primitives::Hash;

use crate::fetch::{Failed, fetch};
use crate::validator::Validator;
use crate::{JOBS_MAX, Loop, follow, report};

type Answer = Responder<Result<FetchedCollation, FetchCollationError>>;

/// The end of a fetch.
struct Fetched {
    id: u64,
    peer: PeerId,
    result: Result<FetchedCollation, Failed>,
}

/// A fetch under way.
struct Asked {
    wanted: FetchCollation,
    answer: Answer,
}

struct Side {
    context: Loop,
    jobs: Jobs<Hash, Fetched>,
    leaves: LeavesState,
    state: Validator,
    /// At most one per task, so at most [`JOBS_MAX`].
    asked: BTreeMap<u64, Asked>,
    next_id: u64,
}

pub(crate) async fn run(context: Loop) -> Result<(), Failure> {
    let jobs = Jobs::new(context.environment().clone(), JOBS_MAX);
    let (leaves, state, asked) = (LeavesState::default(), Validator::default(), BTreeMap::new());
    let mut side = Side { context, jobs, leaves, state, asked, next_id: 0 };
    loop {
        match jobs::next(&mut side.context, &mut side.jobs).await {
            Input::Event(Event::Conclude) => return Ok(()),
            Input::Event(Event::Signal(update)) => {
                for ended in follow(&mut side.leaves, &mut side.jobs, &update) {
                    side.end(&ended);
                }
            }
            Input::Event(Event::Message(Inbox::NetworkUpdate(NetworkUpdate(event)))) => side.network(event).await?,
            Input::Event(Event::Message(Inbox::FetchCollation(wanted, answer))) => side.fetch(wanted, answer),
            Input::Event(Event::Message(Inbox::ReportCollator(ReportCollator { collator }))) => {
                for peer in side.state.refuse(collator) {
                    report(&mut side.context, peer, PeerConduct::Malicious);
                }
            }
            Input::Event(Event::Message(Inbox::DistributeCollation(collation))) => {
                tracing::warn!(relay_parent = ?collation.relay_parent, "a validator distributes no collations: dropped");
            }
            Input::Job(end) => {
                if let Some((_, fetched)) = end.into_result() {
                    side.fetched(fetched);
                }
            }
        }
    }
}

impl Side {
    async fn network(&mut self, event: NetworkBridgeEvent) -> Result<(), Failure> {
        match event {
            NetworkBridgeEvent::PeerConnected(peer, _) => self.state.connected(peer),
            NetworkBridgeEvent::PeerDisconnected(peer) => self.state.disconnected(&peer),
            NetworkBridgeEvent::PeerMessage(peer, payload) => {
                let jobs = &self.jobs;
                match self.state.message(&peer, &payload, |relay_parent| jobs.is_open(relay_parent)) {
                    Ok(Some(candidate)) => self.context.send(candidate).await?,
                    Ok(None) => {}
                    Err(conduct) => report(&mut self.context, peer, conduct),
                }
            }
            // Validators serve no collations; dropping the responder refuses.
            NetworkBridgeEvent::IncomingRequest(peer, ..) => report(&mut self.context, peer, PeerConduct::CostUnneeded),
            NetworkBridgeEvent::PeerViewChange(..) | NetworkBridgeEvent::OurViewChange(_) => {}
        }
        Ok(())
    }

    fn fetch(&mut self, wanted: FetchCollation, answer: Answer) {
        let FetchCollation { relay_parent, peer, candidate_hash } = wanted.clone();
        let Some(declared) = self.state.advertiser(&relay_parent, &peer, &candidate_hash) else {
            refuse(answer, FetchCollationError::NotAdvertised(candidate_hash));
            return;
        };
        let (id, ports, environment) = (self.next_id, self.context.jobs(), self.context.environment().clone());
        self.next_id += 1;
        let question = wanted.clone();
        let work =
            async move { Fetched { id, peer, result: fetch(ports, environment, question, declared.para_id).await } };
        match self.jobs.spawn(&relay_parent, "fetch collation", work) {
            Ok(()) => drop(self.asked.insert(id, Asked { wanted, answer })),
            Err(refused) => refuse(answer, FetchCollationError::Network(refused.to_string())),
        }
    }

    fn fetched(&mut self, fetched: Fetched) {
        let Fetched { id, peer, result } = fetched;
        let result = result.map_err(|Failed { error, conduct }| {
            if let Some(conduct) = conduct {
                report(&mut self.context, peer, conduct);
            }
            error
        });
        if let Some(Asked { answer, .. }) = self.asked.remove(&id) {
            // Whoever asked may have given up meanwhile.
            let _ = answer.answer(result);
        }
    }

    fn end(&mut self, relay_parent: &Hash) {
        self.state.end(relay_parent);
        for (_, asked) in self.asked.extract_if(.., |_, asked| asked.wanted.relay_parent == *relay_parent) {
            refuse(asked.answer, FetchCollationError::NotAdvertised(asked.wanted.candidate_hash));
        }
    }
}

fn refuse(answer: Answer, error: FetchCollationError) {
    // Whoever asked may have given up meanwhile.
    let _ = answer.answer(Err(error));
}
