//! One recovery, from the first question to the data.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use deterministic::{ComputeKind, Environment};
use erasure_coding::{Codec, Error};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use messages::availability_distribution::{AvailabilityRequest, AvailableDataResponse, ChunkResponse};
use messages::availability_recovery::{RecoverAvailableData, RecoveryError};
use messages::availability_store::{
    ErasureChunk, MAX_AVAILABLE_DATA_SIZE, QueryAllChunks, QueryAvailableData, chunk_permutation, erasure_code,
};
use messages::network_bridge::{AVAILABILITY_PROTOCOL, Recipient, SendRequest};
use messages::runtime_api::{GetSessionContext, SessionContext};
use overseer::Outlet;
use overseer::wiring::FromJobs;
use ports::{MAX_RESPONSE_BYTES, RequestError};
use primitives::{AvailableData, ChunkIndex, ValidatorIndex, decode_limited};

use crate::AvailabilityRecoverySubsystem;
use crate::requests::Recovered;
use crate::state::{ChunkAnswer, Next, Plan};

/// How long a backer may take to send the whole data before the next is asked.
const DATA_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a validator may take to send its chunk before others are asked. The second time the network's own limit
/// holds.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(1);

type Outbox = Outlet<FromJobs<AvailabilityRecoverySubsystem>>;

/// What an answer brought.
enum Came {
    Data(Option<Arc<AvailableData>>),
    Chunk(ChunkIndex, ChunkAnswer, Option<ErasureChunk>),
}

/// All that the steps of one recovery need; cheap to clone into each question.
#[derive(Clone)]
struct Recovery {
    outbox: Outbox,
    environment: Environment,
    request: Arc<RecoverAvailableData>,
    session: Arc<SessionContext>,
    codec: Codec,
}

/// Runs a recovery to its end.
pub(crate) async fn recover(outbox: Outbox, environment: Environment, request: RecoverAvailableData) -> Recovered {
    let candidate = request.candidate_hash;
    let query = outbox.ask(QueryAvailableData { candidate_hash: candidate });
    if let Ok(Some(data)) = query.await {
        return Ok(data);
    }
    let no_session = |reason: String| RecoveryError::Session(candidate, reason);
    let answer = outbox.ask(GetSessionContext { at: request.relay_parent }).await;
    let session =
        answer.map_err(|error| no_session(error.to_string()))?.map_err(|error| no_session(error.to_string()))?;
    if session.session_index != request.session_index {
        let (found, expected) = (session.session_index, request.session_index);
        return Err(no_session(format!("relay parent is of session {found}, expected session {expected}")));
    }
    let codec = Codec::new(session.validators.len()).map_err(|error| no_session(error.to_string()))?;
    let recovery = Recovery { outbox, environment, request: Arc::new(request), session, codec };
    recovery.run().await
}

impl Recovery {
    async fn run(&self) -> Recovered {
        let validators = self.session.validators.len();
        let permutation = chunk_permutation(validators, self.request.core, &self.request.relay_parent)
            .map_err(|error| RecoveryError::Session(self.request.candidate_hash, error.to_string()))?;
        let mut backers = self.request.backers.clone();
        self.shuffle(&mut backers);
        // Both fit: the codec has bounded them.
        let mut plan = Plan::new(validators as u32, self.codec.k() as u32, &permutation, backers);
        let mut chunks = self.own_chunks().await;
        chunks.iter().for_each(|chunk| plan.have(chunk.index));
        let mut questions: FuturesUnordered<BoxFuture<'_, Came>> = FuturesUnordered::new();
        loop {
            match plan.next() {
                Next::AskData(backer) => questions.push(self.ask_data(backer).map(Came::Data).boxed()),
                Next::AskChunk { validator, chunk, patient } => {
                    let question = self.ask_chunk(validator, chunk, patient);
                    questions.push(question.map(move |(answer, got)| Came::Chunk(chunk, answer, got)).boxed());
                }
                Next::Wait => match questions.next().await {
                    Some(Came::Data(Some(data))) => return Ok(data),
                    Some(Came::Data(None)) => plan.on_no_data(),
                    Some(Came::Chunk(index, answer, chunk)) => {
                        plan.on_chunk(index, answer);
                        chunks.extend(chunk);
                    }
                    // A plan that waits has asked somebody.
                    None => return Err(RecoveryError::Unavailable(self.request.candidate_hash)),
                },
                Next::Recover => return self.put_together(chunks).await,
                Next::GiveUp => return Err(RecoveryError::Unavailable(self.request.candidate_hash)),
            }
        }
    }

    fn shuffle(&self, items: &mut [ValidatorIndex]) {
        for last in (1..items.len()).rev() {
            let chosen = deterministic::below(&*self.environment.entropy, last as u64 + 1);
            items.swap(last, chosen as usize);
        }
    }

    async fn own_chunks(&self) -> Vec<ErasureChunk> {
        let query = QueryAllChunks { candidate_hash: self.request.candidate_hash };
        let stored = self.outbox.ask(query).await.unwrap_or_default();
        let mut chunks: Vec<ErasureChunk> = Vec::new();
        for (_, chunk) in stored {
            let index = chunk.index;
            let known = chunks.iter().any(|other| other.index == index);
            if !known && let Some(chunk) = self.checked(chunk, index).await {
                chunks.push(chunk);
            }
        }
        chunks
    }

    async fn ask(
        &self,
        validator: ValidatorIndex,
        request: AvailabilityRequest,
        limit: Option<Duration>,
    ) -> Result<Bytes, RequestError> {
        let Some(authority) = self.session.validators.get(validator.as_usize()) else {
            return Err(RequestError::NotConnected);
        };
        let question = self.outbox.ask(SendRequest {
            to: Recipient::Authority(*authority),
            protocol: AVAILABILITY_PROTOCOL,
            payload: request.to_bytes(),
        });
        let answer = match limit {
            Some(limit) => deterministic::timeout(&*self.environment.clock, limit, question).await,
            None => Some(question.await),
        };
        // A bridge that drops the question is as good as one that cannot reach the peer.
        answer.ok_or(RequestError::TimedOut)?.unwrap_or(Err(RequestError::NotConnected))
    }

    /// The whole data from a backer, if it encodes to the erasure root.
    async fn ask_data(&self, backer: ValidatorIndex) -> Option<Arc<AvailableData>> {
        let request = AvailabilityRequest::AvailableData(self.request.candidate_hash);
        let answer = self.ask(backer, request, Some(DATA_TIMEOUT)).await;
        let bytes = answer.inspect_err(|error| tracing::debug!(%backer, %error, "no data from backer")).ok()?;
        let (validators, root, size) = (self.session.validators.len(), self.request.erasure_root, bytes.len());
        let check = move || {
            // One byte names the variant.
            match decode_limited(&bytes, MAX_AVAILABLE_DATA_SIZE + 1).ok()? {
                AvailableDataResponse::AvailableData(data) => {
                    let encoded = erasure_code(validators, &data).ok()?;
                    (encoded.erasure_root() == *root.as_bytes()).then(|| Arc::new(data))
                }
                AvailableDataResponse::NoSuchData => None,
            }
        };
        let data = deterministic::compute(&*self.environment.compute, ComputeKind::ErasureEncode, size, check).await;
        let data = data.ok().flatten();
        if data.is_none() {
            tracing::debug!(%backer, candidate = ?self.request.candidate_hash, "backer sent no data, or wrong data");
        }
        data
    }

    async fn ask_chunk(
        &self,
        validator: ValidatorIndex,
        chunk: ChunkIndex,
        patient: bool,
    ) -> (ChunkAnswer, Option<ErasureChunk>) {
        let request = AvailabilityRequest::Chunk(self.request.candidate_hash, validator);
        let limit = (!patient).then_some(CHUNK_TIMEOUT);
        let bytes = match self.ask(validator, request, limit).await {
            Ok(bytes) => bytes,
            Err(RequestError::TimedOut) => return (ChunkAnswer::Slow, None),
            Err(error) => {
                tracing::trace!(%validator, %error, "no chunk from validator");
                return (ChunkAnswer::None, None);
            }
        };
        // From `Bytes`: the chunk is shared with the answer's buffer, which holds little else.
        let decoded = (bytes.len() <= MAX_RESPONSE_BYTES).then(|| codec::decode_from_bytes::<ChunkResponse>(bytes));
        let checked = match decoded {
            Some(Ok(ChunkResponse::Chunk(found))) => self.checked(found, chunk).await,
            _ => None,
        };
        match checked {
            Some(chunk) => (ChunkAnswer::Good, Some(chunk)),
            None => {
                tracing::debug!(%validator, candidate = ?self.request.candidate_hash, "no chunk, or a wrong chunk");
                (ChunkAnswer::None, None)
            }
        }
    }

    /// The chunk, if it is the one expected and the erasure root commits to it.
    async fn checked(&self, chunk: ErasureChunk, index: ChunkIndex) -> Option<ErasureChunk> {
        let (codec, root, size) = (self.codec, self.request.erasure_root, chunk.chunk.len());
        let check = move || chunk.check(&codec, &root, index).is_ok().then_some(chunk);
        deterministic::compute(&*self.environment.compute, ComputeKind::Hash, size, check).await.ok().flatten()
    }

    /// The data from at least k proven chunks.
    async fn put_together(&self, chunks: Vec<ErasureChunk>) -> Recovered {
        let candidate = self.request.candidate_hash;
        // The root commits to the length: proven chunks of one root all name the same.
        let data_len = chunks.first().map_or(0, |chunk| chunk.data_len);
        let (codec, root) = (self.codec, self.request.erasure_root);
        let size = usize::try_from(data_len).unwrap_or(usize::MAX);
        let work = move || {
            let chunks = chunks.into_iter().map(|chunk| (chunk.index.0, chunk.chunk));
            let data = codec.recover(chunks, data_len, root.as_bytes())?;
            // What is coded but is no such value is as invalid as what is no code: all who recover it agree.
            decode_limited(&data, MAX_AVAILABLE_DATA_SIZE).map_err(|_| Error::InvalidEncoding)
        };
        match deterministic::compute(&*self.environment.compute, ComputeKind::ErasureRecover, size, work).await {
            Ok(Ok(data)) => Ok(Arc::new(data)),
            Ok(Err(Error::InvalidEncoding)) => Err(RecoveryError::InvalidEncoding(candidate)),
            Ok(Err(error)) => {
                tracing::error!(?candidate, %error, "proven chunks were refused");
                Err(RecoveryError::Unavailable(candidate))
            }
            Err(error) => {
                tracing::error!(?candidate, %error, "recovery could not be computed");
                Err(RecoveryError::Unavailable(candidate))
            }
        }
    }
}
