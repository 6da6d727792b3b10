//! Sees to it that every validator ends up with its chunk of every live candidate (`avad`).
//!
//! **Role**: `availability-distribution` (requirements AD-1, AD-2, AD-3, AD-5; seed 001, Availability Distribution).
//! Chunks are fetched by those who need them instead of gossiped: whoever lacks its chunk asks the group that has
//! backed the candidate; whoever holds the data encodes it once and answers.
//!
//! **Step** 9 of a candidate's way: pending availability.
//!
//! **Receives**: the heartbeat, and what happens on `avad`: who is connected, and requests for chunks and data, from
//! other nodes' distribution and recovery alike.
//!
//! **Sends**: from jobs, questions: cores, events and sessions to runtime-api, ancestors to chain-api, stored parts and
//! the storing of our chunk to availability-store, requests to the network bridge, recoveries to availability-recovery;
//! `ReportPeer` is cast from loop and jobs.
//!
//! **Live** is a candidate that is pending availability in a head or one of its last three ancestors. A live candidate
//! whose chunk we lack is looked for in rounds until we have it: our own data, then the group from a member that
//! differs for each validator and round, then some others; a new head ends the pause between rounds. Included but not
//! final, no longer live and still without our chunk: recovered.
//!
//! **Invariants**: only a chunk with the right index and a proof that leads to the receipt's erasure root is stored; a
//! wrong one costs its sender. Chunks are made only for candidates we know from the chain, at most once at a time for
//! each. Requests are answered whatever is live, from the store. Nothing is gossiped here: a gossip message costs.
//!
//! **Limits**: 128 requests answered at once, 32 of one peer, 1,024 of one peer between two heads; four encodings at
//! once and four kept; 4,096 blocks remembered, 64 caught up; one second per validator asked.
//!
//! **Conclude**: returns at once; requests under way are refused by dropping them.

#![forbid(unsafe_code)]

mod serving;
mod state;
mod tasks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use erasure_coding::Encoded;
use jobs::{Ending, Input, JobEnd, Jobs};
use messages::RelayParents;
use messages::availability_distribution::{
    AvailabilityDistribution, AvailabilityRequest, ChunkResponse, Inbox, NetworkUpdate,
};
use messages::availability_recovery::RecoverAvailableData;
use messages::availability_store::{
    QueryAvailableData, QueryChunk, QueryChunkAvailability, QueryDataAvailability, StoreChunk,
};
use messages::chain_api::GetAncestors;
use messages::network_bridge::{NetworkBridgeEvent, PeerConduct, ReportPeer, SendRequest};
use messages::runtime_api::{GetAvailabilityCores, GetCandidateEvents, GetSessionContext};
use overseer::{Ask, Cast, Context, Event, Failure, Responder, Subsystem};
use ports::{Keystore, PeerId};
use primitives::{BlockNumber, CandidateHash, Hash, ValidatorIndex, decode_limited};

use crate::serving::{Asker, Chunk, ENCODINGS_MAX, REQUESTS_MAX, Serving};
use crate::state::{BlockInfo, Effect, State, Work};
use crate::tasks::{Fetched, Loader, Tools};

/// Longest request of a peer, in bytes: a variant, a hash, an index.
const REQUEST_BYTES_MAX: usize = 37;
/// Searches for our own chunks under way at once: every core of a few heads.
const OWN_CHUNKS_MAX: usize = 512;
/// Readings of blocks under way at once.
const LOADS_MAX: usize = 16;

/// Availability distribution.
pub struct AvailabilityDistributionSubsystem {
    keystore: Arc<dyn Keystore>,
}

impl AvailabilityDistributionSubsystem {
    /// Distribution for the validator keys in `keystore`; without any it only serves.
    pub fn new(keystore: Arc<dyn Keystore>) -> Self {
        Self { keystore }
    }
}

/// What a job belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Load,
    /// Our own chunk of a candidate.
    Own(CandidateHash),
    Encode(CandidateHash),
    /// A request of a peer.
    Serve(u64),
}

/// What jobs bring back.
enum Done {
    Loaded(Vec<((BlockNumber, Hash), BlockInfo)>),
    Fetched(Fetched),
    Encoded(Option<Encoded>),
    Served,
    NotStored { candidate: CandidateHash, validator: ValidatorIndex, reply: Responder<Bytes> },
}

impl Subsystem for AvailabilityDistributionSubsystem {
    type Role = AvailabilityDistribution;
    type View = RelayParents;
    type Sends = (Cast<ReportPeer>,);
    type JobSends = (
        Ask<GetAvailabilityCores>,
        Ask<GetCandidateEvents>,
        Ask<GetSessionContext>,
        Ask<GetAncestors>,
        Ask<QueryAvailableData>,
        Ask<QueryDataAvailability>,
        Ask<QueryChunk>,
        Ask<QueryChunkAvailability>,
        Ask<StoreChunk>,
        Ask<RecoverAvailableData>,
        Ask<SendRequest>,
        Cast<ReportPeer>,
    );

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let environment = context.environment().clone();
        let limit = OWN_CHUNKS_MAX + REQUESTS_MAX + ENCODINGS_MAX + LOADS_MAX;
        let mut jobs = Jobs::new(environment.clone(), limit);
        jobs.open(Scope::Load, Ending::UntilFinal(u32::MAX));
        let mut distribution = Running {
            keystore: self.keystore,
            tools: Tools { outbox: context.jobs(), environment },
            state: State::default(),
            serving: Serving::default(),
            jobs,
        };
        loop {
            distribution.begin_encodings();
            match jobs::next(&mut context, &mut distribution.jobs).await {
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Event(Event::Signal(update)) => {
                    if !update.started.is_empty() {
                        distribution.serving.on_head();
                    }
                    let effects = distribution.state.on_update(&update);
                    distribution.perform(effects);
                    distribution.serving.keep_only(&distribution.state.known());
                }
                Input::Event(Event::Message(Inbox::NetworkUpdate(NetworkUpdate(event)))) => {
                    if let Some((peer, conduct)) = distribution.on_network(event)
                        && let Err(error) = context.cast(ReportPeer::new(peer, conduct))
                    {
                        tracing::debug!(?error, "report was not taken");
                    }
                }
                Input::Job(end) => distribution.on_job(end),
            }
        }
    }
}

/// The subsystem while it runs.
struct Running {
    keystore: Arc<dyn Keystore>,
    tools: Tools,
    state: State,
    serving: Serving<Responder<Bytes>>,
    jobs: Jobs<Scope, Done>,
}

impl Running {
    /// Returns what a peer's conduct was, where it counts.
    fn on_network(&mut self, event: NetworkBridgeEvent) -> Option<(PeerId, PeerConduct)> {
        match event {
            NetworkBridgeEvent::PeerConnected(peer, info) => self.serving.connected(peer, info.authority),
            NetworkBridgeEvent::PeerDisconnected(peer) => self.serving.disconnected(&peer),
            // Who needs something asks for it: views decide nothing here, and the heartbeat has ours.
            NetworkBridgeEvent::PeerViewChange(..) | NetworkBridgeEvent::OurViewChange(_) => {}
            NetworkBridgeEvent::PeerMessage(peer, _) => return Some((peer, PeerConduct::CostMalformed)),
            NetworkBridgeEvent::IncomingRequest(peer, bytes, reply) => {
                let Ok(request) = decode_limited::<AvailabilityRequest>(&bytes, REQUEST_BYTES_MAX) else {
                    return Some((peer, PeerConduct::CostMalformed));
                };
                // Dropping the way back refuses the request.
                return match self.serving.admit(&peer) {
                    Ok(number) => {
                        self.serve(number, request, reply);
                        None
                    }
                    Err(conduct) => conduct.map(|conduct| (peer, conduct)),
                };
            }
        }
        None
    }

    fn serve(&mut self, number: u64, request: AvailabilityRequest, reply: Responder<Bytes>) {
        let (tools, scope) = (self.tools.clone(), Scope::Serve(number));
        self.jobs.open(scope, Ending::UntilFinal(u32::MAX));
        let started = self.jobs.spawn(&scope, "serve", async move {
            match request {
                AvailabilityRequest::AvailableData(candidate) => tools.serve_data(candidate, reply).await,
                AvailabilityRequest::Chunk(candidate, validator) => {
                    if let Some(reply) = tools.serve_chunk(candidate, validator, reply).await {
                        return Done::NotStored { candidate, validator, reply };
                    }
                }
            }
            Done::Served
        });
        if let Err(error) = started {
            tracing::warn!(%error, "request of a peer was refused");
            self.served(number);
        }
    }

    fn served(&mut self, number: u64) {
        self.jobs.end(&Scope::Serve(number));
        self.serving.over(number);
    }

    fn on_job(&mut self, end: JobEnd<Scope, Done>) {
        let scope = end.scope;
        let done = end.into_result().map(|(_, done)| done);
        match (scope, done) {
            (Scope::Load, Some(Done::Loaded(blocks))) => {
                let effects = self.state.on_loaded(blocks);
                self.perform(effects);
            }
            (Scope::Own(candidate), done) => {
                let effect = match done {
                    Some(Done::Fetched(Fetched::Held)) => {
                        self.state.on_held(&candidate);
                        None
                    }
                    Some(Done::Fetched(Fetched::HaveData)) => self.state.on_have_data(&candidate),
                    _ => self.state.on_missing(&candidate),
                };
                self.perform(effect.into_iter().collect());
            }
            (Scope::Encode(candidate), done) => {
                self.jobs.end(&scope);
                let encoded = match done {
                    Some(Done::Encoded(encoded)) => encoded,
                    _ => None,
                };
                self.on_encoded(candidate, encoded);
            }
            (Scope::Serve(number), Some(Done::NotStored { candidate, validator, reply })) => {
                match self.state.work(&candidate) {
                    // Candidates that the chain does not know are not encoded for anybody.
                    None => {
                        tasks::answer(reply, &ChunkResponse::NoSuchChunk);
                        self.served(number);
                    }
                    Some(work) => match self.serving.chunk(&work, Asker { request: number, validator, reply }) {
                        Chunk::From(encoded, asker) => self.answer(Some((&work, &encoded)), vec![asker]),
                        Chunk::Later => {}
                    },
                }
            }
            (Scope::Serve(number), _) => self.served(number),
            (Scope::Load, _) => {}
        }
    }

    /// Answers those who waited for an encoding, each in its job: chunks of few validators are large.
    fn answer(&mut self, cut: Option<(&Arc<Work>, &Encoded)>, askers: Vec<Asker<Responder<Bytes>>>) {
        for asker in askers {
            let (number, scope) = (asker.request, Scope::Serve(asker.request));
            let cut = cut.map(|(work, encoded)| (work.clone(), encoded.clone()));
            let task = async move {
                tasks::answer_asker(cut, asker);
                Done::Served
            };
            if let Err(error) = self.jobs.spawn(&scope, "answer from an encoding", task) {
                tracing::warn!(%error, "request of a peer was refused");
                self.served(number);
            }
        }
    }

    fn on_encoded(&mut self, candidate: CandidateHash, encoded: Option<Encoded>) {
        let (work, askers) = (self.state.work(&candidate), self.serving.encoded(&candidate, encoded.clone()));
        self.answer(work.as_ref().zip(encoded.as_ref()), askers);
        match encoded {
            Some(encoded) => self.store_own(candidate, encoded),
            None => {
                let effect = self.state.on_not_encoded(&candidate);
                self.perform(effect.into_iter().collect());
            }
        }
    }

    /// Stores our chunk of our own encoding, if that is what it was made for.
    fn store_own(&mut self, candidate: CandidateHash, encoded: Encoded) {
        if let Some(work) = self.state.on_encoded(&candidate) {
            let tools = self.tools.clone();
            self.spawn_own(candidate, "store own chunk", async move { tools.store_own(&work, &encoded).await });
        }
    }

    fn spawn_own(
        &mut self,
        candidate: CandidateHash,
        name: &'static str,
        task: impl Future<Output = Fetched> + Send + 'static,
    ) {
        let scope = Scope::Own(candidate);
        let open = self.jobs.open(scope, Ending::UntilFinal(u32::MAX));
        let task = async move { Done::Fetched(task.await) };
        if !open || self.jobs.spawn(&scope, name, task).is_err() {
            tracing::warn!(?candidate, "search for our chunk is put off");
            self.state.on_refused(&candidate);
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let tools = self.tools.clone();
            match effect {
                Effect::Stop(candidate) => self.jobs.end(&Scope::Own(candidate)),
                Effect::Load { blocks, deep } => {
                    let keys = self.keystore.validator_ids();
                    let mut loader = Loader { outbox: tools.outbox, keys, sessions: BTreeMap::new() };
                    let task = async move { Done::Loaded(loader.load(blocks, deep).await) };
                    if let Err(error) = self.jobs.spawn(&Scope::Load, "read blocks", task) {
                        tracing::warn!(%error, "blocks are not read");
                    }
                }
                Effect::Fetch { work, round, pause, network_only } => {
                    let authorities = work.ask_order(round).into_iter().map(|(_, authority)| authority);
                    let order = authorities.map(|authority| (authority, self.serving.peer_of(&authority))).collect();
                    self.spawn_own(work.candidate, "fetch own chunk", async move {
                        tools.fetch(&work, order, pause, network_only).await
                    });
                }
                Effect::Encode(work) => match self.serving.cached(&work.candidate) {
                    Some(encoded) => self.store_own(work.candidate, encoded),
                    None => self.serving.want(&work),
                },
                Effect::Recover(work) => {
                    self.spawn_own(work.candidate, "recover own chunk", async move { tools.recover(&work).await });
                }
            }
        }
    }

    fn begin_encodings(&mut self) {
        while let Some(work) = self.serving.begin() {
            let (tools, candidate) = (self.tools.clone(), work.candidate);
            let scope = Scope::Encode(candidate);
            let open = self.jobs.open(scope, Ending::UntilFinal(u32::MAX));
            let task = async move { Done::Encoded(tools.encode(&work).await) };
            if !open || self.jobs.spawn(&scope, "encode", task).is_err() {
                self.jobs.end(&scope);
                self.on_encoded(candidate, None);
            }
        }
    }
}
