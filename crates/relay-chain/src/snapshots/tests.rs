use deterministic::{Crash, Disk, MemoryDisk, Simulation};
use primitives::{HostConfiguration, InherentData, Pair, ValidatorId, ValidatorIndex, VrfSignature};
use runtime::{Block, Extrinsic, Genesis, build_block};
use store::Store;

use super::*;
use crate::{
    Error,
    justification::{BlockCommit, Justification},
    load::{Loaded, load},
};

/// A chain of one validator on a disk, all of it final.
struct OnDisk {
    simulation: Simulation,
    disk: Arc<MemoryDisk>,
    genesis: Genesis,
    /// By height.
    blocks: Vec<(StoredBlock, BlockData)>,
}

const LENGTH: u32 = 200;

impl OnDisk {
    fn new() -> Self {
        let genesis = Genesis {
            configuration: HostConfiguration::for_sessions(10),
            validators: vec![ValidatorId(Pair::from_name("only").public())],
            paras: Vec::new(),
            stake_per_validator: 1_000,
            session_length: 10,
            randomness: [5; 32],
        };
        let mut it = Self { simulation: Simulation::new(1), disk: Arc::default(), genesis, blocks: Vec::new() };
        it.write_chain();
        it
    }

    fn storage(&self) -> Storage {
        let compute = self.simulation.environment("node").compute;
        Storage::new(Store::in_memory(self.disk.clone(), compute).unwrap().values)
    }

    fn write_chain(&mut self) {
        let storage = self.storage();
        let (mut state, mut header) = runtime::genesis(&self.genesis).unwrap();
        let mut put = |block: Block, state: State| {
            let stored = StoredBlock { number: block.header.number, hash: block.hash() };
            self.simulation.run_until(storage.put_block(stored.hash, &block)).unwrap().unwrap();
            let (block, state, events) = (Arc::new(block), Arc::new(state), Arc::new([]));
            let data = BlockData { block, state, events, set_id: 0 };
            self.blocks.push((stored, data));
            stored.hash
        };
        let genesis = put(Block { header: header.clone(), extrinsics: Vec::new() }, state.clone());
        for number in 1..=LENGTH {
            let vrf = VrfSignature { pre_output: [number as u8; 32], proof: [0; 64] };
            let claim = SlotClaim { slot: number.into(), author: ValidatorIndex(0), vrf };
            let inherent = Extrinsic::Inclusion(InherentData::empty(header.clone()));
            let (block, executed) = build_block(&state, &header, vec![claim.to_digest_item()], vec![inherent]).unwrap();
            (state, header) = (executed.state, block.header.clone());
            put(block, state.clone());
        }
        let commit = BlockCommit { target_hash: header.hash(), target_number: LENGTH, precommits: Vec::new() };
        let proof = Justification { set_id: 0, round: 1, commit, ancestries: Vec::new() };
        let all = async {
            storage.put_genesis(genesis).await.unwrap();
            storage.put_finalized(&proof).await.unwrap();
        };
        self.simulation.run_until(all).unwrap();
    }

    fn snapshot(&self, number: u32) -> Result<(), SnapshotRefused> {
        self.snapshot_in(&self.storage(), number)
    }

    fn snapshot_in(&self, storage: &Storage, number: u32) -> Result<(), SnapshotRefused> {
        let (block, data) = self.blocks[number as usize].clone();
        let environment = self.simulation.environment("node");
        self.simulation.run_until(write(storage, &environment, block, data)).unwrap()
    }

    fn load(&self) -> Result<Loaded, Error> {
        let environment = self.simulation.environment("node");
        self.simulation.run_until(load(&self.storage(), &environment, &self.genesis, 0)).unwrap()
    }

    /// What was executed: the blocks above the state that the start began with.
    fn loads_without(&self, number: u32) -> bool {
        let storage = self.storage();
        let (stored, data) = self.blocks[number as usize].clone();
        self.simulation.run_until(storage.remove_block(stored)).unwrap().unwrap();
        let loaded = self.load();
        self.simulation.run_until(storage.put_block(stored.hash, &data.block)).unwrap().unwrap();
        match loaded {
            Ok(loaded) => {
                self.assert_whole(&loaded);
                true
            }
            Err(Error::MissingBlock { number: missing }) if missing == number => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn assert_whole(&self, loaded: &Loaded) {
        let (hash, entry) = loaded.tree.finalized();
        let (stored, data) = &self.blocks[LENGTH as usize];
        assert_eq!((hash, entry.header.number, entry.data.set_id), (stored.hash, LENGTH, 0));
        assert_eq!(entry.data.state.root(), data.state.root());
        assert_eq!(entry.data.state.to_snapshot(), data.state.to_snapshot());
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let names = self.disk.list(&format!("values/{folder}")).unwrap_or_default();
        names.into_iter().map(|name| format!("values/{folder}/{name}")).collect()
    }
}

#[test]
fn a_start_from_a_state_gives_what_a_start_from_genesis_gives() {
    let it = OnDisk::new();
    let whole = it.load().unwrap();
    it.assert_whole(&whole);
    assert!(!it.loads_without(50));
    it.snapshot(100).unwrap();
    let loaded = it.load().unwrap();
    it.assert_whole(&loaded);
    assert!(it.loads_without(50), "what is below the state is not looked at");
    assert!(!it.loads_without(101), "what is above it is executed");
    assert_eq!(loaded.tree.oldest().0, whole.tree.oldest().0);
    assert_eq!(loaded.newest_snapshot, 100);
}

#[test]
fn a_state_that_is_too_new_is_taken_if_there_is_no_other() {
    let it = OnDisk::new();
    it.snapshot(180).unwrap();
    assert!(it.loads_without(170));
    it.snapshot(100).unwrap();
    assert!(!it.loads_without(170), "so many blocks must be kept with their states");
    assert!(it.loads_without(90));
}

#[test]
fn two_states_are_kept_and_no_part_of_others() {
    let it = OnDisk::new();
    for number in [20, 60, 100] {
        it.snapshot(number).unwrap();
    }
    assert_eq!((it.files("chain/states").len(), it.files("chain/state-parts").len()), (2, 2));
    let found = it.simulation.run_until(list(&it.storage())).unwrap().unwrap();
    assert_eq!(found.iter().map(|stored| stored.number).collect::<Vec<_>>(), [60, 100]);
}

#[test]
fn a_damaged_state_is_passed_over() {
    for folder in ["chain/states", "chain/state-parts"] {
        let it = OnDisk::new();
        it.snapshot(60).unwrap();
        it.snapshot(100).unwrap();
        for (file, intact) in it.files(folder).into_iter().rev().zip([40, 0]) {
            let length = it.disk.len(&file).unwrap();
            if intact == 40 {
                it.disk.flip_bit(&file, length as usize - 9).unwrap();
            } else {
                it.disk.truncate(&file, length / 2).unwrap();
            }
            assert_eq!(it.loads_without(50), intact == 40, "{file}");
            it.assert_whole(&it.load().unwrap());
        }
    }
}

#[test]
fn a_state_of_another_chain_is_passed_over() {
    let mut it = OnDisk::new();
    it.blocks[100].0.hash = Hash::repeat(7);
    it.snapshot(100).unwrap();
    it.blocks[100].0.hash = it.blocks[100].1.block.hash();
    assert!(!it.loads_without(50));
    it.assert_whole(&it.load().unwrap());
    // The right name, and the state of another block under it.
    it.blocks[100].1.state = it.blocks[101].1.state.clone();
    it.snapshot(100).unwrap();
    assert!(!it.loads_without(50));
}

#[test]
fn a_crash_at_any_write_leaves_a_state_to_start_from() {
    let mut operations = 0;
    loop {
        let it = OnDisk::new();
        it.snapshot(20).unwrap();
        it.snapshot(60).unwrap();
        let storage = it.storage();
        it.disk.fail_after(operations);
        let written = it.snapshot_in(&storage, 100).is_ok();
        let died = it.disk.has_failed();
        it.disk.crash(Crash::Seed(operations));
        assert!(written || died);
        assert!(it.loads_without(10), "write {operations}");
        assert!(!written || it.loads_without(90), "write {operations}: acknowledged is there");
        // What the crash left is no obstacle.
        it.snapshot(120).unwrap();
        assert!(it.loads_without(110), "write {operations}");
        assert!(it.files("chain/states").len() <= SNAPSHOTS_KEPT);
        if !died {
            break;
        }
        operations += 1;
    }
    assert!(operations >= 8, "only {operations} writes");
}
