//! What jobs do: read blocks, fetch, recover and encode, answer peers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use codec::Encode as _;
use deterministic::{ComputeKind, Environment};
use erasure_coding::{Codec, Encoded};
use messages::availability_distribution::{AvailabilityRequest, AvailableDataResponse, ChunkResponse};
use messages::availability_recovery::RecoverAvailableData;
use messages::availability_store::{
    ErasureChunk, QueryAvailableData, QueryChunk, QueryChunkAvailability, QueryDataAvailability, StoreChunk,
    chunk_permutation, erasure_code,
};
use messages::chain_api::GetAncestors;
use messages::network_bridge::{AVAILABILITY_PROTOCOL, PeerConduct, Recipient, ReportPeer, SendRequest};
use messages::runtime_api::{GetAvailabilityCores, GetCandidateEvents, GetSessionContext, SessionContext};
use overseer::wiring::FromJobs;
use overseer::{AskError, Outlet, Responder};
use ports::{MAX_RESPONSE_BYTES, PeerId, RequestError, RuntimeError};
use primitives::{
    BlockNumber, CandidateEvent, CandidateHash, ChunkIndex, CoreIndex, CoreState, GroupIndex, Hash, ValidatorId,
    ValidatorIndex,
};

use crate::AvailabilityDistributionSubsystem;
use crate::serving::Asker;
use crate::state::{BlockInfo, Work};

/// Rest between two rounds of asking everybody.
pub(crate) const ROUND_PAUSE: Duration = Duration::from_millis(500);
/// How long one validator may take before the next is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The ports of jobs.
pub(crate) type Outbox = Outlet<FromJobs<AvailabilityDistributionSubsystem>>;

/// Why a block could not be read.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Reads blocks; what cannot be read now is left out.
pub(crate) struct Loader {
    pub(crate) outbox: Outbox,
    /// Our validator keys.
    pub(crate) keys: Vec<ValidatorId>,
    /// Sessions by the relay parents of candidates: few, and the same again and again.
    pub(crate) sessions: BTreeMap<Hash, Arc<SessionContext>>,
}

impl Loader {
    /// These blocks, and `deep` ancestors of the last.
    pub(crate) async fn load(
        &mut self,
        mut blocks: Vec<(BlockNumber, Hash)>,
        deep: u32,
    ) -> Vec<((BlockNumber, Hash), BlockInfo)> {
        if deep > 0
            && let Some((number, hash)) = blocks.last().copied()
            && let Ok(Ok(ancestors)) = self.outbox.ask(GetAncestors { hash, count: deep }).await
        {
            blocks.extend((0..number).rev().zip(ancestors).take(deep as usize));
        }
        let mut loaded = Vec::new();
        for block in blocks {
            match self.read(block.1).await {
                Ok(info) => loaded.push((block, info)),
                Err(error) => tracing::debug!(?block, %error, "cannot read what is pending availability"),
            }
        }
        loaded
    }

    async fn read(&mut self, at: Hash) -> Result<BlockInfo, LoadError> {
        let mut info = BlockInfo::default();
        let cores = self.outbox.ask(GetAvailabilityCores { at }).await??;
        for (index, core) in cores.iter().enumerate() {
            let CoreState::Occupied(core) = core else { continue };
            let (root, parent) = (core.candidate_descriptor.erasure_root(), core.candidate_descriptor.relay_parent());
            let index = CoreIndex(u32::try_from(index).unwrap_or(u32::MAX));
            info.pending.push(self.work(core.candidate_hash, root, parent, index, core.group_responsible).await?);
        }
        for event in self.outbox.ask(GetCandidateEvents { at }).await??.iter() {
            let CandidateEvent::Included(receipt, _, core, group) = event else { continue };
            let (root, parent) = (receipt.descriptor.erasure_root(), receipt.descriptor.relay_parent());
            info.included.push(self.work(receipt.hash(), root, parent, *core, *group).await?);
        }
        Ok(info)
    }

    async fn work(
        &mut self,
        candidate: CandidateHash,
        erasure_root: Hash,
        relay_parent: Hash,
        core: CoreIndex,
        group: GroupIndex,
    ) -> Result<Arc<Work>, LoadError> {
        // The candidate's own session: on the border of two, the head's may be the next.
        let session = match self.sessions.get(&relay_parent) {
            Some(session) => session.clone(),
            None => {
                let session = self.outbox.ask(GetSessionContext { at: relay_parent }).await??;
                self.sessions.insert(relay_parent, session.clone());
                session
            }
        };
        let ours = self.keys.iter().find_map(|key| session.validator_index(key));
        let group = session.groups.get(group.0 as usize).cloned().unwrap_or_default();
        Ok(Arc::new(Work { candidate, erasure_root, relay_parent, core, session, group, ours }))
    }
}

/// How looking for our chunk ended.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// It is in the store.
    Held,
    /// The whole data is in the store.
    HaveData,
    /// Nobody had it.
    Missing,
}

/// What fetching, recovering and serving need; cheap to clone.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) outbox: Outbox,
    pub(crate) environment: Environment,
}

/// The index of a validator's chunk of a candidate.
fn chunk_index(work: &Work, validator: ValidatorIndex) -> Option<ChunkIndex> {
    let permutation = chunk_permutation(work.session.validators.len(), work.core, &work.relay_parent).ok()?;
    permutation.chunk_index(validator.0).ok().map(ChunkIndex)
}

impl Tools {
    /// One round: the store, then everybody in `order`, with the peer to blame where it is known.
    pub(crate) async fn fetch(
        &self,
        work: &Work,
        order: Vec<(ValidatorId, Option<PeerId>)>,
        pause: bool,
        network_only: bool,
    ) -> Fetched {
        if pause {
            self.environment.clock.sleep(ROUND_PAUSE).await;
        }
        let Some(ours) = work.ours else { return Fetched::Missing };
        let candidate_hash = work.candidate;
        let held = self.outbox.ask(QueryChunkAvailability { candidate_hash, validator_index: ours }).await;
        if held == Ok(true) {
            return Fetched::Held;
        }
        if !network_only && self.outbox.ask(QueryDataAvailability { candidate_hash }).await == Ok(true) {
            return Fetched::HaveData;
        }
        for (authority, peer) in order {
            if let Some(chunk) = self.ask_one(work, ours, authority, peer).await {
                return self.store(work, ours, chunk).await;
            }
        }
        Fetched::Missing
    }

    async fn ask_one(
        &self,
        work: &Work,
        ours: ValidatorIndex,
        authority: ValidatorId,
        peer: Option<PeerId>,
    ) -> Option<ErasureChunk> {
        let question = self.outbox.ask(SendRequest {
            to: Recipient::Authority(authority),
            protocol: AVAILABILITY_PROTOCOL,
            payload: AvailabilityRequest::Chunk(work.candidate, ours).to_bytes(),
        });
        let report = |conduct| {
            tracing::debug!(?peer, ?conduct, candidate = ?work.candidate, "answer to a request for our chunk");
            if let Some(peer) = &peer {
                // A bridge that takes no more notices has many already.
                let _ = self.outbox.cast(ReportPeer::new(peer.clone(), conduct));
            }
        };
        let bytes = match deterministic::timeout(&*self.environment.clock, ANSWER_TIMEOUT, question).await {
            Some(Ok(Ok(bytes))) if bytes.len() <= MAX_RESPONSE_BYTES => bytes,
            Some(Ok(Ok(_))) => {
                report(PeerConduct::CostMalformed);
                return None;
            }
            Some(Ok(Err(RequestError::TimedOut))) => {
                report(PeerConduct::CostTimeout);
                return None;
            }
            // Not reachable, not willing, or slow by our measure alone.
            Some(_) | None => return None,
        };
        let chunk = match decode_response(&bytes) {
            Ok(ChunkResponse::Chunk(chunk)) => chunk,
            Ok(ChunkResponse::NoSuchChunk) => return None,
            Err(error) => {
                tracing::debug!(%error, "malformed answer");
                report(PeerConduct::CostMalformed);
                return None;
            }
        };
        let (codec, index) = (Codec::new(work.session.validators.len()).ok()?, chunk_index(work, ours)?);
        let (root, size) = (work.erasure_root, chunk.chunk.len());
        let check = move || chunk.check(&codec, &root, index).map(|()| chunk);
        match deterministic::compute(&*self.environment.compute, ComputeKind::Hash, size, check).await {
            Ok(Ok(chunk)) => {
                report(PeerConduct::BenefitUseful);
                Some(chunk)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "wrong chunk");
                report(PeerConduct::CostInvalid);
                None
            }
            Err(error) => {
                tracing::error!(%error, "chunk could not be checked");
                None
            }
        }
    }

    async fn store(&self, work: &Work, ours: ValidatorIndex, chunk: ErasureChunk) -> Fetched {
        let message = StoreChunk { candidate_hash: work.candidate, validator_index: ours, chunk };
        match self.outbox.ask(message).await {
            Ok(Ok(())) => Fetched::Held,
            failed => {
                tracing::warn!(candidate = ?work.candidate, ?failed, "our chunk was not stored");
                Fetched::Missing
            }
        }
    }

    /// Keeps our chunk of what we encoded ourselves.
    pub(crate) async fn store_own(&self, work: &Work, encoded: &Encoded) -> Fetched {
        let Some((ours, index)) = work.ours.and_then(|ours| Some((ours, chunk_index(work, ours)?))) else {
            return Fetched::Missing;
        };
        match ErasureChunk::of(encoded, index) {
            Ok(chunk) => self.store(work, ours, chunk).await,
            Err(error) => {
                tracing::error!(%error, "own encoding has no chunk for us");
                Fetched::Missing
            }
        }
    }

    /// The encoding of the data that the store holds, if it has the candidate's root.
    pub(crate) async fn encode(&self, work: &Work) -> Option<Encoded> {
        let query = QueryAvailableData { candidate_hash: work.candidate };
        let data = self.outbox.ask(query).await.ok().flatten()?;
        self.encode_data(work, data).await
    }

    async fn encode_data(&self, work: &Work, data: Arc<primitives::AvailableData>) -> Option<Encoded> {
        let (validators, size) = (work.session.validators.len(), data.encoded_size());
        let encode = move || erasure_code(validators, &data);
        match deterministic::compute(&*self.environment.compute, ComputeKind::ErasureEncode, size, encode).await {
            Ok(Ok(encoded)) if encoded.erasure_root() == *work.erasure_root.as_bytes() => return Some(encoded),
            Ok(Ok(_)) => tracing::warn!(candidate = ?work.candidate, "stored data does not encode to the erasure root"),
            Ok(Err(error)) => tracing::warn!(candidate = ?work.candidate, %error, "stored data cannot be encoded"),
            Err(error) => tracing::error!(%error, "data could not be encoded"),
        }
        None
    }

    /// Recovers the data of an included candidate and keeps our chunk of it (requirement AD-5).
    pub(crate) async fn recover(&self, work: &Work) -> Fetched {
        let Some(ours) = work.ours else { return Fetched::Missing };
        let candidate_hash = work.candidate;
        if self.outbox.ask(QueryChunkAvailability { candidate_hash, validator_index: ours }).await == Ok(true) {
            return Fetched::Held;
        }
        let recovered = self.outbox.ask(RecoverAvailableData {
            candidate_hash,
            erasure_root: work.erasure_root,
            relay_parent: work.relay_parent,
            session_index: work.session.session_index,
            core: work.core,
            backers: work.group.clone(),
        });
        let data = match recovered.await {
            Ok(Ok(data)) => data,
            failed => {
                tracing::debug!(candidate = ?candidate_hash, ?failed, "our chunk cannot be recovered now");
                return Fetched::Missing;
            }
        };
        match self.encode_data(work, data).await {
            Some(encoded) => self.store_own(work, &encoded).await,
            None => Fetched::Missing,
        }
    }

    /// Answers a request for a chunk from the store; hands the way back if the chunk is not there.
    pub(crate) async fn serve_chunk(
        &self,
        candidate_hash: CandidateHash,
        validator_index: ValidatorIndex,
        reply: Responder<Bytes>,
    ) -> Option<Responder<Bytes>> {
        match self.outbox.ask(QueryChunk { candidate_hash, validator_index }).await {
            Ok(Some(chunk)) => answer(reply, &ChunkResponse::Chunk(chunk)),
            Ok(None) | Err(_) => return Some(reply),
        }
        None
    }

    /// Answers a request for the whole data.
    pub(crate) async fn serve_data(&self, candidate_hash: CandidateHash, reply: Responder<Bytes>) {
        let data = self.outbox.ask(QueryAvailableData { candidate_hash }).await.ok().flatten();
        // Encoded by reference: `AvailableDataResponse` would want a copy of its own.
        match data {
            Some(data) => {
                let mut bytes = Vec::with_capacity(1 + data.encoded_size());
                bytes.push(AVAILABLE_DATA_VARIANT);
                data.encode_to(&mut bytes);
                let _ = reply.answer(bytes.into());
            }
            None => answer(reply, &AvailableDataResponse::NoSuchData),
        }
    }
}

/// The index of [`AvailableDataResponse::AvailableData`] on the wire.
pub(crate) const AVAILABLE_DATA_VARIANT: u8 = 1;

fn decode_response(bytes: &Bytes) -> Result<ChunkResponse, codec::Error> {
    // The chunk is stored: a copy that does not hold the answer's buffer is made by decoding from a slice.
    codec::DecodeAll::decode_all(&mut bytes.as_ref())
}

/// Answers; a peer that has gone away needs nothing.
pub(crate) fn answer(reply: Responder<Bytes>, response: &impl codec::Encode) {
    let _ = reply.answer(response.encode().into());
}

/// Answers somebody who waited for an encoding, with the chunk cut from it or that there is none.
pub(crate) fn answer_asker(cut: Option<(Arc<Work>, Encoded)>, asker: Asker<Responder<Bytes>>) {
    let chunk = cut.and_then(|(work, encoded)| ErasureChunk::of(&encoded, chunk_index(&work, asker.validator)?).ok());
    answer(asker.reply, &chunk.map_or(ChunkResponse::NoSuchChunk, ChunkResponse::Chunk));
}
