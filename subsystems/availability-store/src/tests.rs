use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use messages::availability_store::{
    ErasureChunk, QueryAllChunks, QueryAvailableData, QueryChunk, QueryChunkAvailability, QueryDataAvailability,
    StoreAvailableData, StoreChunk,
};
use mocks::Harness;
use mocks::chain::{AtBlock, TestChain};
use mocks::fixtures::{Candidate, CandidateBuilder, Validators, hash};
use mocks::storage::{TestBlobs, TestIndex};
use primitives::{CandidateEvent, ChunkIndex, CoreIndex, GroupIndex, HeadData, ValidatorIndex};

use crate::disk::{blob_key, parse_blob_key};
use crate::state::Part;
use crate::{AvailabilityStoreSubsystem, ConfigError, StoreConfig};

const HOUR: Duration = Duration::from_secs(60 * 60);

struct Disk {
    blobs: Arc<TestBlobs>,
    index: Arc<TestIndex>,
}

impl Disk {
    fn new() -> Self {
        Self { blobs: TestBlobs::new(), index: TestIndex::new() }
    }

    fn start(&self, seed: u64) -> Harness {
        let (blobs, index) = (self.blobs.clone(), self.index.clone());
        let mut config = StoreConfig::new(Duration::ZERO);
        config.prune_interval = Duration::from_secs(600);
        Harness::new(seed, |_| AvailabilityStoreSubsystem::new(blobs, index, config).unwrap())
    }
}

fn candidate() -> Candidate {
    CandidateBuilder::new(1, 0, hash(1)).build()
}

fn store_data(candidate: &Candidate) -> StoreAvailableData {
    StoreAvailableData {
        candidate_hash: candidate.hash(),
        relay_parent: candidate.relay_parent(),
        available_data: candidate.available_data(),
    }
}

fn store_chunk(candidate: &Candidate, validator: u32) -> StoreChunk {
    let chunk = ErasureChunk {
        index: ChunkIndex(validator),
        data_len: 10,
        chunk: Bytes::from_static(b"chunk"),
        proof: Bytes::from_static(b"proof"),
    };
    StoreChunk { candidate_hash: candidate.hash(), validator_index: ValidatorIndex(validator), chunk }
}

fn data_held(harness: &Harness, candidate: &Candidate) -> bool {
    let candidate_hash = candidate.hash();
    let existence = harness.ask(QueryDataAvailability { candidate_hash }).take().unwrap().unwrap();
    let data = harness.ask(QueryAvailableData { candidate_hash }).take().unwrap().unwrap();
    assert_eq!(data.is_some(), existence);
    existence
}

fn chunk_held(harness: &Harness, candidate: &Candidate, validator: u32) -> bool {
    let (candidate_hash, validator_index) = (candidate.hash(), ValidatorIndex(validator));
    harness.ask(QueryChunkAvailability { candidate_hash, validator_index }).take().unwrap().unwrap()
}

#[test]
fn stores_and_answers() {
    for seed in 0..8 {
        let (disk, candidate) = (Disk::new(), candidate());
        let harness = disk.start(seed);
        assert!(!data_held(&harness, &candidate));
        assert_eq!(harness.ask(store_data(&candidate)).take(), Some(Ok(Ok(()))));
        assert_eq!(harness.ask(store_data(&candidate)).take(), Some(Ok(Ok(()))), "again");
        for validator in [3, 5] {
            assert_eq!(harness.ask(store_chunk(&candidate, validator)).take(), Some(Ok(Ok(()))));
        }
        let candidate_hash = candidate.hash();
        let data = harness.ask(QueryAvailableData { candidate_hash }).take().unwrap().unwrap().unwrap();
        assert_eq!(*data, *candidate.available_data());
        let query = QueryChunk { candidate_hash, validator_index: ValidatorIndex(3) };
        assert_eq!(harness.ask(query).take(), Some(Ok(Some(store_chunk(&candidate, 3).chunk))));
        let query = QueryChunk { candidate_hash, validator_index: ValidatorIndex(4) };
        assert_eq!(harness.ask(query).take(), Some(Ok(None)));
        let all = harness.ask(QueryAllChunks { candidate_hash }).take().unwrap().unwrap();
        assert_eq!(all.iter().map(|(validator, _)| validator.0).collect::<Vec<_>>(), [3, 5]);
        assert_eq!((disk.blobs.keys().len(), disk.index.len()), (3, 1));
        harness.finish();
    }
}

#[test]
fn acknowledges_only_what_is_synced() {
    let (disk, candidate) = (Disk::new(), candidate());
    let harness = disk.start(1);
    disk.blobs.hold(true);
    let waiting = harness.ask(store_data(&candidate));
    let queued = harness.ask(store_chunk(&candidate, 0));
    assert!(waiting.take().is_none() && queued.take().is_none());
    assert!(!data_held(&harness, &candidate), "not before it is synced");
    disk.blobs.hold(false);
    harness.settle();
    assert_eq!((waiting.take(), queued.take()), (Some(Ok(Ok(()))), Some(Ok(Ok(())))));
    disk.blobs.hold(true);
    let never = harness.ask(store_chunk(&candidate, 1));
    assert!(never.take().is_none());
    harness.finish();
    assert!(!matches!(never.take(), Some(Ok(_))), "concluded before it was written");
}

#[test]
fn a_full_disk_is_an_answer_and_no_end() {
    let (disk, candidate) = (Disk::new(), candidate());
    let harness = disk.start(2);
    disk.blobs.set_full(true);
    let refused = harness.ask(store_data(&candidate)).take().unwrap().unwrap();
    assert!(refused.unwrap_err().to_string().contains("write of availability/"));
    assert!(!data_held(&harness, &candidate));
    disk.blobs.set_full(false);
    assert_eq!(harness.ask(store_data(&candidate)).take(), Some(Ok(Ok(()))));
    disk.index.set_failing(true);
    assert_eq!(harness.ask(store_chunk(&candidate, 0)).take(), Some(Ok(Ok(()))), "the index can be rebuilt");
    assert_eq!(disk.index.len(), 1, "as it was before");
    disk.index.set_failing(false);
    disk.index.clear();
    harness.run_for(Duration::from_secs(601));
    assert_eq!(disk.index.len(), 1, "tried again");
    harness.finish();
}

#[test]
fn too_many_requests_are_refused_with_an_error() {
    let (disk, candidate) = (Disk::new(), candidate());
    let harness = disk.start(3);
    disk.blobs.hold(true);
    let asked: Vec<_> = (0..200).map(|validator| harness.ask(store_chunk(&candidate, validator))).collect();
    assert!(asked.iter().any(|waiting| matches!(waiting.take(), Some(Ok(Err(_))))));
    disk.blobs.hold(false);
    harness.finish();
}

#[test]
fn a_damaged_part_is_forgotten_and_can_be_stored_again() {
    let (disk, candidate) = (Disk::new(), candidate());
    let harness = disk.start(4);
    harness.ask(store_data(&candidate));
    disk.blobs.corrupt(&blob_key(&candidate.hash(), Part::Data));
    let candidate_hash = candidate.hash();
    assert_eq!(harness.ask(QueryAvailableData { candidate_hash }).take(), Some(Ok(None)));
    assert!(!data_held(&harness, &candidate));
    assert!(disk.blobs.keys().is_empty());
    assert_eq!(harness.ask(store_data(&candidate)).take(), Some(Ok(Ok(()))));
    assert!(data_held(&harness, &candidate));
    harness.finish();
}

/// A chain of genesis and one block that backs the candidate, one that includes it.
fn follow_to_inclusion(harness: &Harness, candidate: &Candidate) -> TestChain {
    let session = Some(Arc::new(Validators::new(4, 2).context));
    let (chain, update) = TestChain::new(hash(10), 1);
    chain.serve(harness);
    let (head, receipt) = (HeadData(vec![2]), candidate.receipt());
    let backed = CandidateEvent::Backed(receipt.clone(), head.clone(), CoreIndex(0), GroupIndex(0));
    let included = CandidateEvent::Included(receipt, head, CoreIndex(0), GroupIndex(0));
    for (block, events) in [(10, vec![]), (11, vec![backed]), (12, vec![included]), (13, vec![])] {
        chain.set(hash(block), AtBlock { session: session.clone(), events, ..AtBlock::default() });
    }
    harness.signal(update);
    chain.import(hash(11), hash(10), 1, 1);
    // The update of block 11 was missed: its events are read on the way.
    harness.signal(chain.import(hash(12), hash(11), 2, 1));
    chain
}

#[test]
fn follows_the_chain_and_prunes() {
    for seed in 0..4 {
        let (disk, candidate) = (Disk::new(), candidate());
        let other = CandidateBuilder::new(2, 1, hash(1)).block_data(vec![1]).build();
        let harness = disk.start(seed);
        for stored in [&candidate, &other] {
            harness.ask(store_data(stored));
            harness.ask(store_chunk(stored, 0));
        }
        let chain = follow_to_inclusion(&harness, &candidate);
        harness.run_for(2 * HOUR);
        assert!(data_held(&harness, &candidate) && chunk_held(&harness, &candidate, 0));
        assert!(!data_held(&harness, &other) && !chunk_held(&harness, &other, 0), "never backed");
        harness.signal(chain.import(hash(13), hash(12), 3, 1));
        harness.signal(chain.finalize(hash(12), 2));
        harness.run_for(24 * HOUR - Duration::from_secs(1000));
        assert!(data_held(&harness, &candidate));
        harness.run_for(Duration::from_secs(2000));
        assert!(!data_held(&harness, &candidate) && chunk_held(&harness, &candidate, 0));
        harness.run_for(HOUR);
        assert!(!chunk_held(&harness, &candidate, 0));
        assert!(disk.blobs.keys().is_empty() && disk.index.is_empty());
        harness.finish();
    }
}

#[test]
fn a_restart_goes_on_and_rebuilds_a_lost_index() {
    for lost in [false, true] {
        let (disk, candidate) = (Disk::new(), candidate());
        let harness = disk.start(5);
        harness.ask(store_data(&candidate));
        follow_to_inclusion(&harness, &candidate);
        harness.finish();
        if lost {
            disk.index.clear();
        }
        let harness = disk.start(6);
        harness.run_for(2 * HOUR);
        assert!(data_held(&harness, &candidate), "known as included, or unknown: never an hour only");
        assert_eq!(disk.index.len(), 1);
        harness.finish();
    }
}

#[test]
fn names_are_read_back_and_others_are_ignored() {
    let candidate = candidate().hash();
    for part in [Part::Data, Part::Chunk(ValidatorIndex(0)), Part::Chunk(ValidatorIndex(1023))] {
        assert_eq!(parse_blob_key(&blob_key(&candidate, part)), Some((candidate, part)));
    }
    let key = blob_key(&candidate, Part::Chunk(ValidatorIndex(7)));
    for foreign in
        ["", "availability/0/readme", "availability/0/00.data", &format!("{key}x"), &key.replace("-7", "-07")]
    {
        assert_eq!(parse_blob_key(foreign), None, "{foreign}");
    }
}

#[test]
fn times_below_the_acceptance_period_are_refused() {
    assert_eq!(StoreConfig::new(HOUR).check(), Ok(()));
    let error = StoreConfig::new(2 * HOUR).check().unwrap_err();
    assert!(matches!(error, ConfigError::BelowAcceptancePeriod { what: "never_included", .. }), "{error}");
    let mut config = StoreConfig::new(HOUR);
    config.data = Duration::from_secs(1);
    let refused = AvailabilityStoreSubsystem::new(TestBlobs::new(), TestIndex::new(), config);
    assert!(matches!(refused.err(), Some(ConfigError::BelowAcceptancePeriod { what: "data", .. })));
}
