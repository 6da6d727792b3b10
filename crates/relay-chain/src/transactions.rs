//! Transactions that wait for a block. Pure.
//!
//! They wait in the order in which they came. One that was carried by a block goes on waiting until that block is final:
//! another fork may need it. An author leaves out what does not fit on top of its parent.
//!
//! **Limits**: [`TRANSACTIONS_MAX`], [`TRANSACTIONS_BYTES_MAX`], [`TRANSACTIONS_BYTES_PER_BLOCK`], and
//! [`MAX_TRANSACTION_BYTES`] each.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use codec::Encode;
use primitives::Hash;
use runtime::Extrinsic;

use crate::messages::{MAX_TRANSACTION_BYTES, TransactionMessage};

/// Transactions that wait at once.
pub const TRANSACTIONS_MAX: usize = 1024;
/// Their encodings together, in bytes: two of the largest.
pub const TRANSACTIONS_BYTES_MAX: usize = 2 * MAX_TRANSACTION_BYTES;
/// What a block has of them, in bytes: at least the first one.
pub const TRANSACTIONS_BYTES_PER_BLOCK: usize = MAX_TRANSACTION_BYTES;

/// The name of a transaction: the hash of its encoding.
pub fn transaction_hash(extrinsic: &Extrinsic) -> Hash {
    primitives::blake2_256(&extrinsic.encode())
}

struct Waiting {
    hash: Hash,
    extrinsic: Arc<Extrinsic>,
    encoded: Bytes,
}

/// Transactions that wait.
#[derive(Default)]
pub struct TransactionPool {
    by_arrival: BTreeMap<u64, Waiting>,
    arrivals: BTreeMap<Hash, u64>,
    next: u64,
    bytes: usize,
}

impl TransactionPool {
    /// Whether a transaction waits.
    pub fn contains(&self, hash: &Hash) -> bool {
        self.arrivals.contains_key(hash)
    }

    /// Keeps a transaction that was checked. Returns `None` if there is no room, else whether it is new.
    pub fn add(&mut self, extrinsic: Extrinsic) -> Option<bool> {
        let encoded = Bytes::from(extrinsic.encode());
        let hash = primitives::blake2_256(&encoded);
        if self.contains(&hash) {
            return Some(false);
        }
        if self.len() >= TRANSACTIONS_MAX || self.bytes + encoded.len() > TRANSACTIONS_BYTES_MAX {
            return None;
        }
        self.bytes += encoded.len();
        self.arrivals.insert(hash, self.next);
        self.by_arrival.insert(self.next, Waiting { hash, extrinsic: Arc::new(extrinsic), encoded });
        self.next += 1;
        Some(true)
    }

    /// Forgets transactions, by name.
    pub fn forget(&mut self, settled: &[Hash]) {
        for arrival in settled.iter().filter_map(|hash| self.arrivals.remove(hash)) {
            if let Some(waiting) = self.by_arrival.remove(&arrival) {
                self.bytes -= waiting.encoded.len();
            }
        }
    }

    /// All that wait with their names, to be looked at without the pool.
    pub fn shared(&self) -> Vec<(Hash, Arc<Extrinsic>)> {
        self.by_arrival.values().map(|waiting| (waiting.hash, waiting.extrinsic.clone())).collect()
    }

    /// All that wait, in the order in which they came.
    pub fn all(&self) -> impl Iterator<Item = &Extrinsic> {
        self.by_arrival.values().map(|waiting| &*waiting.extrinsic)
    }

    /// Their announcements: for a peer that has just come.
    pub fn announcements(&self) -> impl Iterator<Item = Vec<u8>> {
        self.by_arrival.values().map(|waiting| TransactionMessage::announce(&waiting.encoded, waiting.hash))
    }

    /// The encoding of one.
    pub fn encoded(&self, hash: &Hash) -> Option<&Bytes> {
        self.by_arrival.get(self.arrivals.get(hash)?).map(|waiting| &waiting.encoded)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.by_arrival.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.by_arrival.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::{Governance, SignedGovernance};

    fn transaction(nonce: u64, bytes: usize) -> Extrinsic {
        let change = Governance::Validators(vec![primitives::ValidatorId([1; 32]); bytes / 32]);
        Extrinsic::Governed(Box::new(SignedGovernance { change, nonce, signatures: Vec::new() }))
    }

    #[test]
    fn they_wait_once_and_in_order() {
        let mut pool = TransactionPool::default();
        for nonce in [2, 1, 3] {
            assert_eq!(pool.add(transaction(nonce, 0)), Some(true));
        }
        assert_eq!(pool.add(transaction(1, 0)), Some(false));
        assert!(pool.contains(&transaction_hash(&transaction(3, 0))));
        pool.forget(&[transaction_hash(&transaction(1, 0))]);
        assert!(pool.all().eq([&transaction(2, 0), &transaction(3, 0)]));
        assert!(!pool.contains(&transaction_hash(&transaction(1, 0))));
        assert_eq!(pool.add(transaction(1, 0)), Some(true), "forgotten is forgotten");
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut pool = TransactionPool::default();
        let added = (0..).take_while(|nonce| pool.add(transaction(*nonce, 0)).is_some()).count();
        assert_eq!(added, TRANSACTIONS_MAX);
        let mut pool = TransactionPool::default();
        let large = TRANSACTIONS_BYTES_MAX / 4;
        let added = (0..).take_while(|nonce| pool.add(transaction(*nonce, large)).is_some()).count();
        assert_eq!(added, 3, "encodings are longer than what they hold");
        let all: Vec<Hash> = pool.shared().into_iter().map(|(hash, _)| hash).collect();
        pool.forget(&all);
        assert_eq!(pool.add(transaction(0, large)), Some(true), "room comes back");
    }
}
