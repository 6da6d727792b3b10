//! A keystore with known keys, on a disk and in a world of its own.

use deterministic::{Disk, MemoryDisk, Simulation};
use keystore::{JournalledKeystore, Keys, OpenError};
use ports::{Claim, FinalityStage, Keystore, KeystoreError};
use primitives::{
    AvailabilityBitfield, Bits, CandidateHash, CompactVote, Hash, Pair, SessionIndex, SigningContext, ValidatorId,
    ValidatorSignature,
};
use std::sync::Arc;

pub(crate) struct World {
    pub(crate) simulation: Simulation,
    pub(crate) disk: Arc<MemoryDisk>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { simulation: Simulation::new(1), disk: Arc::new(MemoryDisk::new()) }
    }

    pub(crate) fn open(&self) -> Result<JournalledKeystore, OpenError> {
        let environment = self.simulation.environment("node");
        let keys = Keys { validators: vec![alice(), bob()], collator: Some(Pair::from_name("carol")) };
        let disk: Arc<dyn Disk> = self.disk.clone();
        JournalledKeystore::open(disk, keys, environment.entropy, environment.compute)
    }

    pub(crate) fn sign(
        &self,
        keystore: &JournalledKeystore,
        claim: &Claim,
    ) -> Result<ValidatorSignature, KeystoreError> {
        self.sign_as(keystore, &alice(), claim)
    }

    pub(crate) fn sign_as(
        &self,
        keystore: &JournalledKeystore,
        pair: &Pair,
        claim: &Claim,
    ) -> Result<ValidatorSignature, KeystoreError> {
        let key = ValidatorId(pair.public());
        self.simulation.run_until(keystore.sign(&key, claim)).unwrap()
    }

    pub(crate) fn forget(&self, keystore: &JournalledKeystore, session: SessionIndex) -> Result<(), KeystoreError> {
        let before = keystore::ledger::ForgetBefore { session, ..Default::default() };
        self.simulation.run_until(keystore.forget_before(before)).unwrap()
    }
}

pub(crate) fn alice() -> Pair {
    Pair::from_name("alice")
}

pub(crate) fn bob() -> Pair {
    Pair::from_name("bob")
}

pub(crate) fn context(session_index: SessionIndex, parent: u8) -> SigningContext {
    SigningContext { session_index, parent_hash: Hash::repeat(parent) }
}

pub(crate) fn statement(context: SigningContext, vote: fn(CandidateHash) -> CompactVote, candidate: u8) -> Claim {
    Claim::Statement { context, vote: vote(CandidateHash(Hash::repeat(candidate))) }
}

pub(crate) fn bitfield(context: SigningContext, bits: &[bool]) -> Claim {
    let bits: Bits = bits.iter().copied().collect();
    Claim::Bitfield { context, bitfield: AvailabilityBitfield(bits) }
}

pub(crate) fn seal(slot: u64, block: u8) -> Claim {
    Claim::BlockSeal { slot, pre_seal_hash: Hash::repeat(block) }
}

pub(crate) fn finality(round: u64, stage: FinalityStage, target: u8) -> Claim {
    Claim::FinalityVote { set_id: 4, round, stage, payload: vec![target; 50] }
}

pub(crate) fn is_conflict<T: std::fmt::Debug>(outcome: &Result<T, KeystoreError>) -> bool {
    matches!(outcome, Err(KeystoreError::Conflict(_)))
}
