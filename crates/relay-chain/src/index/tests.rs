use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use deterministic::{MemoryDisk, Simulation};
use ports::BlobStore;
use primitives::Header;
use runtime::Block;
use store::{FileStore, MemoryIndex, Store};

use super::*;

/// Two whole folders of final blocks, and some of a third.
const LENGTH: BlockNumber = 2 * BLOCKS_PER_BUCKET + 100;

/// Files that count how often a folder is listed.
struct Counting(Arc<FileStore>, AtomicUsize);

#[async_trait]
impl BlobStore for Counting {
    async fn put(&self, key: &str, value: Bytes) -> Result<(), StorageError> {
        self.0.put(key, value).await
    }
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        self.0.get(key).await
    }
    async fn contains(&self, key: &str) -> Result<bool, StorageError> {
        self.0.contains(key).await
    }
    async fn remove(&self, key: &str) -> Result<(), StorageError> {
        self.0.remove(key).await
    }
    async fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.list(folder).await
    }
}

/// A long chain on disk, with what it has of an index.
struct Ground {
    simulation: Simulation,
    counting: Arc<Counting>,
    storage: Storage,
    memory: Arc<MemoryIndex>,
    index: BlockIndex,
    /// By height.
    chain: Vec<StoredBlock>,
}

fn block(parent_hash: Hash, number: BlockNumber, fork: u8) -> Block {
    let (state_root, extrinsics_root) = (Hash::repeat(fork), Hash::ZERO);
    let header = Header { parent_hash, number, state_root, extrinsics_root, digest: Vec::new() };
    Block { header, extrinsics: Vec::new() }
}

impl Ground {
    fn new() -> Self {
        let simulation = Simulation::new(1);
        let environment = simulation.environment("node");
        let store = Store::in_memory(Arc::new(MemoryDisk::default()), environment.compute.clone()).unwrap();
        let counting = Arc::new(Counting(store.values, AtomicUsize::new(0)));
        let memory = Arc::new(MemoryIndex::default());
        let index = BlockIndex::new(memory.clone(), environment);
        let storage = Storage::new(counting.clone());
        let mut it = Self { simulation, counting, storage, memory, index, chain: Vec::new() };
        let mut parent = Hash::ZERO;
        for number in 0..=LENGTH {
            parent = it.put(&block(parent, number, 0));
            it.chain.push(StoredBlock { number, hash: parent });
        }
        it
    }

    fn put(&self, block: &Block) -> Hash {
        self.simulation.run_until(self.storage.put_block(block.hash(), block)).unwrap().unwrap();
        block.hash()
    }

    /// Everything up to a height became final.
    fn finalize(&self, number: BlockNumber) {
        self.simulation.run_until(self.index.extend(&self.storage, self.chain[number as usize])).unwrap();
    }

    /// Where a block is, and how many folders were listed for that.
    fn find(&self, hash: Hash) -> (Option<BlockNumber>, usize) {
        self.counting.1.store(0, Ordering::Relaxed);
        let finding = self.index.find(&self.storage, self.chain[LENGTH as usize], hash);
        let found = self.simulation.run_until(finding).unwrap().unwrap();
        (found.map(|found| found.number), self.counting.1.load(Ordering::Relaxed))
    }

    /// Heights that are indexed.
    fn entries(&self) -> u32 {
        let keys = self.memory.scan(HEIGHTS, usize::MAX).unwrap();
        keys.iter().map(|(_, value)| Vec::<Height>::decode_all(&mut &value[..]).unwrap().len() as u32).sum()
    }

    /// What is said of a block, and of all others under its key.
    fn say(&self, hash: Hash, number: Option<BlockNumber>) {
        let (key, bits) = place(hash);
        self.change(key, number.map(|number| vec![(bits, number)].encode()));
    }

    fn change(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.memory.commit(IndexBatch { operations: vec![(key, value)] }).unwrap();
    }
}

#[test]
fn what_is_indexed_is_found_without_a_look_at_the_folders() {
    let ground = Ground::new();
    ground.finalize(INDEX_PERIOD - 1);
    assert_eq!(ground.entries(), 0, "too few for a batch");
    for height in [INDEX_PERIOD, INDEX_PERIOD + 1, LENGTH] {
        ground.finalize(height);
        let indexed = if height == LENGTH { LENGTH } else { INDEX_PERIOD };
        assert_eq!(ground.entries(), indexed, "all below the finalized block, after {height}");
    }
    for number in [0, 1, BLOCKS_PER_BUCKET - 1, BLOCKS_PER_BUCKET, LENGTH - 1] {
        assert_eq!(ground.find(ground.chain[number as usize].hash), (Some(number), 0));
    }
    let (never, listed) = ground.find(Hash::repeat(9));
    assert!(never.is_none() && listed > 0, "what is not indexed is looked for");
}

#[test]
fn an_index_that_lost_its_newest_batches_goes_on_from_what_it_has_and_an_empty_one_begins_anew() {
    let ground = Ground::new();
    ground.finalize(BLOCKS_PER_BUCKET / 2);
    let early = ground.chain[7].hash;
    let before = ground.entries();
    ground.say(early, None);
    let lost = before - ground.entries();
    ground.finalize(LENGTH);
    assert_eq!((lost > 0, ground.entries()), (true, LENGTH - lost), "what was done before is not done again");
    for key in ground.memory.scan(b"chain/", usize::MAX).unwrap() {
        ground.change(key.0, None);
    }
    assert_eq!(ground.find(early).0, Some(7));
    ground.finalize(LENGTH);
    assert_eq!((ground.entries(), ground.find(early)), (LENGTH, (Some(7), 0)));
}

#[test]
fn an_index_that_is_wrong_is_not_believed_and_made_anew() {
    let ground = Ground::new();
    ground.finalize(LENGTH);
    let early = ground.chain[7].hash;
    let saying = |number: BlockNumber| Some(vec![(place(early).1, number)].encode());
    for wrong in [None, saying(8), saying(LENGTH), Some(vec![1])] {
        ground.change(place(early).0, wrong.clone());
        assert_eq!(ground.find(early).0, Some(7), "{wrong:?}");
        ground.finalize(LENGTH);
        assert_eq!((ground.find(early), ground.entries()), ((Some(7), 0), LENGTH), "after {wrong:?}");
    }
    // One that says it knows more than there is.
    let beyond = Hash::repeat(3);
    ground.say(beyond, Some(LENGTH + 5));
    ground.change(INDEXED.to_vec(), Some((LENGTH + 5, beyond).encode()));
    ground.say(early, None);
    ground.finalize(LENGTH);
    assert_eq!((ground.find(early), ground.find(beyond).0), ((Some(7), 0), None));
}

#[test]
fn of_blocks_whose_hashes_are_alike_each_is_found() {
    let ground = Ground::new();
    ground.finalize(LENGTH);
    let [one, other] = [7, 900].map(|number| ground.chain[number].hash);
    let (key, bits) = place(one);
    let heights: Vec<Height> = vec![(bits, 900), (place(other).1, 7), (bits, LENGTH + 9), (bits, 7)];
    ground.change(key, Some(heights.encode()));
    assert_eq!((ground.find(one), ground.find(other)), ((Some(7), 0), (Some(900), 0)));
}

#[test]
fn of_more_blocks_than_a_key_has_room_for_the_newest_are_kept() {
    let ground = Ground::new();
    ground.finalize(BLOCKS_PER_BUCKET);
    let newest = ground.chain[BLOCKS_PER_BUCKET as usize + 5].hash;
    let full: Vec<Height> = vec![([0; 4], 1); BLOCKS_PER_KEY_MAX];
    ground.change(place(newest).0, Some(full.encode()));
    ground.finalize(LENGTH);
    let value = ground.memory.get(&place(newest).0).unwrap().unwrap();
    assert_eq!(Vec::<Height>::decode_all(&mut &value[..]).unwrap().len(), BLOCKS_PER_KEY_MAX);
    assert_eq!(ground.find(newest), (Some(BLOCKS_PER_BUCKET + 5), 0));
}

#[test]
fn a_block_of_a_dead_fork_is_neither_indexed_nor_found_and_goes() {
    let ground = Ground::new();
    let dead = ground.put(&block(ground.chain[6].hash, 7, 1));
    let stored = || {
        ground.simulation.run_until(ground.storage.has_block(StoredBlock { number: 7, hash: dead })).unwrap().unwrap()
    };
    assert_eq!((ground.find(dead).0, stored()), (None, true));
    ground.finalize(LENGTH);
    assert_eq!((ground.find(dead).0, ground.find(ground.chain[7].hash)), (None, (Some(7), 0)));
    assert_eq!((ground.entries(), stored()), (LENGTH, false));
}
