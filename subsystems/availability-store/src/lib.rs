//! Keeps the data and the chunks that our signature or our vote has promised to keep, and no longer.
//!
//! **Role**: `availability-store`, the only one that touches stored PoVs and chunks (requirements AS-1, AS-2; seed 001,
//! Availability Store).
//!
//! **Step** 9 of a candidate's way: pending availability; serves steps 5, 10 and 12.
//!
//! **Receives**: `StoreAvailableData` from backing, `StoreChunk` from availability distribution, queries from whoever
//! needs data or only wants to know whether it is there; the heartbeat, for what became of candidates.
//!
//! **Sends**: from jobs only, questions: candidate events and sessions to runtime-api, ancestors to chain-api.
//!
//! **Invariants**: a store request is answered with success only when the part is synced; a failed write (a full disk)
//! is answered with its error and changes nothing. Blobs are the truth, the index holds only records about them and may
//! be lost. A part is removed only when its time is over by what *final* blocks say; as long as any competing block may
//! still lead to inclusion it stays. Writes and removals of one candidate never overlap. A part that turns out damaged
//! is forgotten, so that it can be fetched again.
//!
//! **Times**: see [`StoreConfig`]. Not backed, or certain never to be included (timed out, session over, fork lost):
//! `never_included` after that; otherwise `data` and `chunk` after the finality of an including block. Records lost
//! with the index count as just final. Nothing is pruned between ticks of `prune_interval`.
//!
//! **Limits**: 2²⁰ candidates, 64 chunks and 256 competing blocks per candidate; 32 disk operations at once, 128 waiting
//! (beyond that a store request is refused with its error and a query goes unanswered); walks of at most 4,096 blocks.
//!
//! **Conclude**: returns at once; writes under way are not acknowledged.

#![forbid(unsafe_code)]

mod config;
mod disk;
mod queue;
mod state;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use deterministic::{ComputeKind, Environment};
use jobs::{Ending, Input, JobEnd, Jobs};
use messages::RelayParents;
use messages::availability_store::{AvailabilityStore, Inbox, StoreError};
use messages::chain_api::GetAncestors;
use messages::runtime_api::{GetCandidateEvents, GetSessionContext};
use overseer::{Ask, Context, Event, Failure, Responder, Subsystem};
use ports::{BlobStore, Index};
use primitives::{CandidateHash, ValidatorIndex};

pub use crate::config::{ConfigError, StoreConfig};
use crate::disk::{Content, ReadError};
use crate::queue::{OPERATIONS_MAX, Operation, Queue};
use crate::state::{Block, Effect, Part, Seen, State};

/// Walks, commits and timers beside the disk operations.
const SERVICE_JOBS_MAX: usize = 64;
/// Records committed to the index at once.
const COMMIT_RECORDS_MAX: usize = 1024;
/// The scope of all that is no disk operation; operations have the scope of their number, which begins at 1.
const SERVICE: u64 = 0;

/// The availability store.
pub struct AvailabilityStoreSubsystem {
    blobs: Arc<dyn BlobStore>,
    index: Arc<dyn Index>,
    config: StoreConfig,
}

impl AvailabilityStoreSubsystem {
    /// A store that keeps parts in `blobs` and records of them in `index`.
    ///
    /// # Errors
    /// [`ConfigError`] for times that would break the promises of the store.
    pub fn new(blobs: Arc<dyn BlobStore>, index: Arc<dyn Index>, config: StoreConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { blobs, index, config })
    }
}

/// What jobs bring back.
enum Done {
    Written {
        candidate: CandidateHash,
        part: Part,
        result: Result<(), String>,
        reply: Responder<Result<(), StoreError>>,
    },
    Lost(Vec<(CandidateHash, Part)>),
    LeafWalked(Vec<Seen>),
    FinalWalked {
        target: Block,
        walked: Option<(Vec<Block>, Vec<Seen>)>,
    },
    Committed(Result<(), Vec<CandidateHash>>),
    Tick,
}

impl Subsystem for AvailabilityStoreSubsystem {
    type Role = AvailabilityStore;
    type View = RelayParents;
    type Sends = ();
    type JobSends = (Ask<GetCandidateEvents>, Ask<GetSessionContext>, Ask<GetAncestors>);

    async fn run(self, mut context: Context<Self>) -> Result<(), Failure> {
        let environment = context.environment().clone();
        let found = disk::load(&*self.blobs, self.index.clone(), &*environment.compute).await?;
        let state = State::new(self.config, found.parts, found.records, now_ms(&environment));
        let mut jobs = Jobs::new(environment, OPERATIONS_MAX + SERVICE_JOBS_MAX);
        jobs.open(SERVICE, Ending::UntilFinal(u32::MAX));
        let mut store = Running { ports: self, state, queue: Queue::default(), commits: Commits::Idle };
        store.start_timer(&context, &mut jobs);
        loop {
            store.commit(&context, &mut jobs);
            store.begin_operations(&context, &mut jobs);
            match jobs::next(&mut context, &mut jobs).await {
                Input::Event(Event::Conclude) => return Ok(()),
                Input::Event(Event::Signal(update)) => {
                    let effects = store.state.on_update(&update);
                    store.perform(effects, &context, &mut jobs);
                }
                Input::Event(Event::Message(message)) => store.on_message(message),
                Input::Job(end) => store.on_job(end, &context, &mut jobs),
            }
        }
    }
}

fn now_ms(environment: &Environment) -> u64 {
    u64::try_from(environment.clock.now().as_millis()).unwrap_or(u64::MAX)
}

/// Whether records can be committed to the index now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commits {
    Idle,
    UnderWay,
    /// Waits for the next tick.
    Failed,
}

/// The subsystem while it runs.
struct Running {
    ports: AvailabilityStoreSubsystem,
    state: State,
    queue: Queue,
    commits: Commits,
}

impl Running {
    fn on_message(&mut self, message: Inbox) {
        match message {
            Inbox::StoreAvailableData(message, reply) => {
                self.store(message.candidate_hash, Part::Data, Content::Data(message.available_data), reply);
            }
            Inbox::StoreChunk(message, reply) => {
                let part = Part::Chunk(message.validator_index);
                self.store(message.candidate_hash, part, Content::Chunk(message.chunk), reply);
            }
            // An asker that has gone away makes the answer moot, here and below.
            Inbox::QueryDataAvailability(query, reply) => {
                let _ = reply.answer(self.state.holds(&query.candidate_hash, Part::Data));
            }
            Inbox::QueryChunkAvailability(query, reply) => {
                let _ = reply.answer(self.state.holds(&query.candidate_hash, Part::Chunk(query.validator_index)));
            }
            Inbox::QueryAvailableData(query, reply) => {
                let candidate = query.candidate_hash;
                match self.state.holds(&candidate, Part::Data) {
                    true => self.read(Operation::ReadData { candidate, reply }),
                    false => drop(reply.answer(None)),
                }
            }
            Inbox::QueryChunk(query, reply) => {
                let (candidate, validator) = (query.candidate_hash, query.validator_index);
                match self.state.holds(&candidate, Part::Chunk(validator)) {
                    true => self.read(Operation::ReadChunk { candidate, validator, reply }),
                    false => drop(reply.answer(None)),
                }
            }
            Inbox::QueryAllChunks(query, reply) => {
                let candidate = query.candidate_hash;
                let validators = self.state.chunks(&candidate);
                match validators.is_empty() {
                    true => drop(reply.answer(Vec::new())),
                    false => self.read(Operation::ReadChunks { candidate, validators, reply }),
                }
            }
        }
    }

    fn read(&mut self, operation: Operation) {
        if self.queue.has_room() {
            self.queue.push(operation);
        } else {
            // Dropping it tells the asker so; "not held" would be a lie.
            tracing::warn!("query dropped: too many operations wait for the disk");
        }
    }

    fn store(
        &mut self,
        candidate: CandidateHash,
        part: Part,
        content: Content,
        reply: Responder<Result<(), StoreError>>,
    ) {
        if self.state.holds(&candidate, part) {
            let _ = reply.answer(Ok(()));
            return;
        }
        let refused = match self.queue.has_room() {
            true => self.state.admit(&candidate, part).err(),
            false => Some("too many operations wait for the disk".to_owned()),
        };
        match refused {
            None => self.queue.push(Operation::Write { candidate, part, content, reply }),
            Some(reason) => {
                tracing::warn!(?candidate, reason, "store request refused");
                let _ = reply.answer(Err(StoreError(reason)));
            }
        }
    }

    fn on_job(
        &mut self,
        end: JobEnd<u64, Done>,
        context: &Context<AvailabilityStoreSubsystem>,
        jobs: &mut Jobs<u64, Done>,
    ) {
        if end.scope != SERVICE {
            jobs.end(&end.scope);
            self.queue.end(end.scope);
        }
        let now = now_ms(context.environment());
        let Some((_, done)) = end.into_result() else { return };
        let effects: Vec<Effect> = match done {
            Done::Written { candidate, part, result, reply } => {
                if result.is_ok() {
                    self.state.stored(candidate, part, now);
                }
                let _ = reply.answer(result.map_err(|reason| {
                    tracing::error!(?candidate, ?part, reason, "part was not stored");
                    StoreError(reason)
                }));
                Vec::new()
            }
            Done::Lost(parts) => {
                // What was pruned meanwhile is no news.
                let held = parts.into_iter().filter(|(candidate, part)| self.state.holds(candidate, *part));
                let lost: Vec<(CandidateHash, Part)> = held.collect();
                lost.iter().for_each(|(candidate, part)| self.state.forget(*candidate, *part));
                let remove = |(candidate, part)| Effect::Remove { candidate, parts: vec![part] };
                lost.into_iter().map(remove).collect()
            }
            Done::LeafWalked(blocks) => {
                self.state.on_leaf_walked(blocks, now);
                Vec::new()
            }
            Done::FinalWalked { target, walked } => {
                self.state.on_final_walked(target, walked, now).into_iter().collect()
            }
            Done::Committed(result) => {
                match result {
                    Ok(()) => self.commits = Commits::Idle,
                    // Not before the next tick: a disk that is full now is full at once again.
                    Err(candidates) => {
                        self.state.not_committed(candidates);
                        self.commits = Commits::Failed;
                    }
                }
                Vec::new()
            }
            Done::Tick => {
                self.start_timer(context, jobs);
                if self.commits == Commits::Failed {
                    self.commits = Commits::Idle;
                }
                // A walk that failed is tried again here.
                let mut effects = self.state.prune(now);
                effects.extend(self.state.follow_finality());
                effects
            }
        };
        self.perform(effects, context, jobs);
    }

    fn perform(
        &mut self,
        effects: Vec<Effect>,
        context: &Context<AvailabilityStoreSubsystem>,
        jobs: &mut Jobs<u64, Done>,
    ) {
        for effect in effects {
            let outbox = context.jobs();
            let started = match effect {
                Effect::Remove { candidate, parts } => {
                    self.queue.push(Operation::Remove { candidate, parts });
                    continue;
                }
                Effect::WalkLeaf { leaf, above, parent_seen } => {
                    let known = self.state.seen();
                    jobs.spawn(&SERVICE, "read events of a leaf", async move {
                        let walked = async {
                            let path = if parent_seen { vec![leaf] } else { walk::path(&outbox, leaf, above).await? };
                            walk::events(&outbox, &path, &known).await
                        };
                        // The next leaf covers what this one could not read.
                        Done::LeafWalked(walked.await.unwrap_or_else(|error| {
                            tracing::debug!(?leaf, %error, "events cannot be read now");
                            Vec::new()
                        }))
                    })
                }
                Effect::WalkFinal { target, above } => {
                    let known = self.state.seen();
                    jobs.spawn(&SERVICE, "follow finality", async move {
                        let walked = async {
                            let path = walk::path(&outbox, target, above).await?;
                            let events = walk::events(&outbox, &path, &known).await?;
                            Ok::<_, walk::WalkError>((path, events))
                        };
                        let walked = walked.await.inspect_err(|error| {
                            tracing::debug!(?target, %error, "final chain cannot be read now");
                        });
                        Done::FinalWalked { target, walked: walked.ok() }
                    })
                }
            };
            if let Err(error) = started {
                tracing::warn!(%error, "availability store falls behind the chain");
            }
        }
    }

    fn start_timer(&self, context: &Context<AvailabilityStoreSubsystem>, jobs: &mut Jobs<u64, Done>) {
        let (clock, interval) = (context.environment().clock.clone(), self.ports.config.prune_interval);
        let timer = async move {
            clock.sleep(interval).await;
            Done::Tick
        };
        jobs.spawn(&SERVICE, "prune timer", timer)
            .unwrap_or_else(|error| tracing::error!(%error, "no pruning any more"));
    }

    /// Writes changed records to the index, one batch at a time so that an older record never replaces a newer one.
    fn commit(&mut self, context: &Context<AvailabilityStoreSubsystem>, jobs: &mut Jobs<u64, Done>) {
        if self.commits != Commits::Idle {
            return;
        }
        let changes = self.state.take_changes(COMMIT_RECORDS_MAX);
        if changes.is_empty() {
            return;
        }
        let (index, compute) = (self.ports.index.clone(), context.environment().compute.clone());
        let candidates: Vec<CandidateHash> = changes.iter().map(|(candidate, _)| *candidate).collect();
        let work = async move {
            let batch = disk::index_batch(&changes);
            let commit = move || index.commit(batch).map_err(|error| error.to_string());
            let result = deterministic::compute(&*compute, ComputeKind::Disk, changes.len(), commit).await;
            Done::Committed(match result {
                Ok(Ok(())) => Ok(()),
                // Nothing is lost by it but what a power cut would lose as well. Tried again at the next tick.
                failed => {
                    tracing::error!(?failed, "records were not committed to the index");
                    Err(changes.into_iter().map(|(candidate, _)| candidate).collect())
                }
            })
        };
        match jobs.spawn(&SERVICE, "commit records", work) {
            Ok(()) => self.commits = Commits::UnderWay,
            Err(_) => self.state.not_committed(candidates),
        }
    }

    fn begin_operations(&mut self, context: &Context<AvailabilityStoreSubsystem>, jobs: &mut Jobs<u64, Done>) {
        while let Some((number, operation)) = self.queue.begin() {
            let blobs = self.ports.blobs.clone();
            let compute = context.environment().compute.clone();
            jobs.open(number, Ending::UntilFinal(u32::MAX));
            if let Err(error) = jobs.spawn(&number, "disk operation", operate(blobs, compute, operation)) {
                tracing::error!(%error, "disk operation was not started");
                jobs.end(&number);
                self.queue.end(number);
            }
        }
    }
}

async fn operate(blobs: Arc<dyn BlobStore>, compute: Arc<dyn deterministic::Compute>, operation: Operation) -> Done {
    match operation {
        Operation::Write { candidate, part, content, reply } => {
            let result = disk::put(&*blobs, &*compute, &disk::blob_key(&candidate, part), content).await;
            Done::Written { candidate, part, result, reply }
        }
        Operation::Remove { candidate, parts } => {
            for part in parts {
                if let Err(error) = blobs.remove(&disk::blob_key(&candidate, part)).await {
                    // Found again as a part without a record at the next start.
                    tracing::warn!(%error, "part that outlived its time was not removed");
                }
            }
            Done::Lost(Vec::new())
        }
        Operation::ReadData { candidate, reply } => {
            let (data, lost) = read_part(&*blobs, candidate, Part::Data).await;
            let _ = reply.answer(data.map(Arc::new));
            Done::Lost(lost)
        }
        Operation::ReadChunk { candidate, validator, reply } => {
            let (chunk, lost) = read_part(&*blobs, candidate, Part::Chunk(validator)).await;
            let _ = reply.answer(chunk);
            Done::Lost(lost)
        }
        Operation::ReadChunks { candidate, validators, reply } => {
            let (mut chunks, mut all_lost): (Vec<(ValidatorIndex, _)>, _) = (Vec::new(), Vec::new());
            for validator in validators {
                let (chunk, lost) = read_part(&*blobs, candidate, Part::Chunk(validator)).await;
                chunks.extend(chunk.map(|chunk| (validator, chunk)));
                all_lost.extend(lost);
            }
            let _ = reply.answer(chunks);
            Done::Lost(all_lost)
        }
    }
}

/// A part, or that it is lost.
async fn read_part<T: codec::Decode>(
    blobs: &dyn BlobStore,
    candidate: CandidateHash,
    part: Part,
) -> (Option<T>, Vec<(CandidateHash, Part)>) {
    match disk::get(blobs, &disk::blob_key(&candidate, part)).await {
        Ok(value) => (Some(value), Vec::new()),
        Err(ReadError::Lost) => (None, vec![(candidate, part)]),
        Err(ReadError::Failed(reason)) => {
            tracing::warn!(?candidate, ?part, reason, "part cannot be read now");
            (None, Vec::new())
        }
    }
}
