//! Where things lie: names of blobs, entries of the index, and what is found at a start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use codec::{DecodeAll as _, Encode as _};
use deterministic::{Compute, ComputeKind};
use messages::availability_store::ErasureChunk;
use ports::{BlobStore, Index, IndexBatch, StorageError};
use primitives::{AvailableData, CandidateHash, Hash, ValidatorIndex};

use crate::state::{Part, RECORDS_MAX, Record};

/// Folder of all blobs of this subsystem.
const FOLDER: &str = "availability";
/// Folders below it, one per first hexadecimal digit of the candidate's hash, so that none grows too large to list.
const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
/// Ending of whole data.
const DATA: &str = "data";
/// Ending of chunks, before the validator's index.
const CHUNK: &str = "chunk-";
/// What keys of the index begin with.
const INDEX_PREFIX: &[u8] = b"availability/";

/// The key of a part: `availability/<digit>/<hash>.data` or `….chunk-<validator>`.
pub(crate) fn blob_key(candidate: &CandidateHash, part: Part) -> String {
    let digits: String = candidate.0.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = &digits[..1];
    match part {
        Part::Data => format!("{FOLDER}/{folder}/{digits}.{DATA}"),
        Part::Chunk(validator) => format!("{FOLDER}/{folder}/{digits}.{CHUNK}{}", validator.0),
    }
}

/// The inverse of [`blob_key`]; `None` for names that are not ours.
pub(crate) fn parse_blob_key(key: &str) -> Option<(CandidateHash, Part)> {
    let (digits, ending) = key.rsplit('/').next()?.split_once('.')?;
    let candidate = CandidateHash(digits.parse::<Hash>().ok()?);
    let part = match ending.strip_prefix(CHUNK) {
        Some(index) => Part::Chunk(ValidatorIndex(index.parse().ok()?)),
        None if ending == DATA => Part::Data,
        None => return None,
    };
    // One spelling per part, so that nothing is counted twice.
    (blob_key(&candidate, part) == key).then_some((candidate, part))
}

fn index_key(candidate: &CandidateHash) -> Vec<u8> {
    [INDEX_PREFIX, candidate.0.as_bytes()].concat()
}

/// Changed records as a batch of the index.
pub(crate) fn index_batch(changes: &[(CandidateHash, Option<Record>)]) -> IndexBatch {
    let operation = |(candidate, record): &(CandidateHash, Option<Record>)| {
        (index_key(candidate), record.as_ref().map(|record| record.encode()))
    };
    IndexBatch { operations: changes.iter().map(operation).collect() }
}

/// What a start finds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) parts: BTreeMap<CandidateHash, BTreeSet<Part>>,
    pub(crate) records: BTreeMap<CandidateHash, Record>,
}

/// Lists all blobs and reads all records. Records that cannot be read count as lost.
pub(crate) async fn load(
    blobs: &dyn BlobStore,
    index: Arc<dyn Index>,
    compute: &dyn Compute,
) -> Result<Found, StorageError> {
    let mut found = Found::default();
    for digit in DIGITS {
        for key in blobs.list(&format!("{FOLDER}/{digit}")).await? {
            match parse_blob_key(&key) {
                Some((candidate, part)) => drop(found.parts.entry(candidate).or_default().insert(part)),
                None => tracing::warn!(key, "file in the availability store that is not its own"),
            }
        }
    }
    let scan =
        deterministic::compute(compute, ComputeKind::Disk, 0, move || index.scan(INDEX_PREFIX, RECORDS_MAX)).await;
    let entries = match scan {
        Ok(Ok(entries)) => entries,
        // The index can be rebuilt: go on without it.
        Ok(Err(error)) => {
            tracing::warn!(%error, "index of the availability store cannot be read");
            Vec::new()
        }
        Err(error) => {
            tracing::warn!(%error, "index of the availability store cannot be read");
            Vec::new()
        }
    };
    for (key, value) in entries {
        let hash = key.strip_prefix(INDEX_PREFIX).and_then(|hash| <[u8; 32]>::try_from(hash).ok());
        match (hash, Record::decode_all(&mut value.as_slice())) {
            (Some(hash), Ok(record)) => drop(found.records.insert(CandidateHash(Hash(hash)), record)),
            _ => tracing::warn!("record in the availability store's index that cannot be read"),
        }
    }
    Ok(found)
}

/// SCALE of what is stored.
pub(crate) enum Content {
    Data(Arc<AvailableData>),
    Chunk(ErasureChunk),
}

impl Content {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.encoded_size(),
            Self::Chunk(chunk) => chunk.encoded_size(),
        }
    }

    fn encode(&self) -> Bytes {
        match self {
            Self::Data(data) => data.encode().into(),
            Self::Chunk(chunk) => chunk.encode().into(),
        }
    }
}

/// Writes a part; when it returns without an error the part is synced.
pub(crate) async fn put(
    blobs: &dyn BlobStore,
    compute: &dyn Compute,
    key: &str,
    content: Content,
) -> Result<(), String> {
    let encoded = deterministic::compute(compute, ComputeKind::Disk, content.len(), move || content.encode()).await;
    blobs.put(key, encoded.map_err(|error| error.to_string())?).await.map_err(|error| error.to_string())
}

/// Why a part that should be there cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// It is damaged or gone, and should be forgotten.
    Lost,
    /// The disk did not answer now.
    Failed(String),
}

/// Reads a part.
pub(crate) async fn get<T: codec::Decode>(blobs: &dyn BlobStore, key: &str) -> Result<T, ReadError> {
    match blobs.get(key).await {
        // From `Bytes`, so that the large part is shared with the buffer and not copied.
        Ok(Some(bytes)) => codec::decode_from_bytes(bytes).map_err(|error| {
            tracing::warn!(key, %error, "stored part cannot be decoded");
            ReadError::Lost
        }),
        Ok(None) => Err(ReadError::Lost),
        Err(StorageError::Corrupt { reason, .. }) => {
            tracing::warn!(key, reason, "stored part is damaged");
            Err(ReadError::Lost)
        }
        Err(error) => Err(ReadError::Failed(error.to_string())),
    }
}
