//! Transactions that wait for a block. Pure.
//!
//! They wait in the order in which they came. One that was carried by a block goes on waiting until that block is final:
//! another fork may need it. An author leaves out what does not fit on top of its parent.
//!
//! One peer cannot fill it: a full pool drops the newest of who has most. What was sent here is never dropped for a peer's.
//!
//! **Limits**: [`TRANSACTIONS_MAX`], [`TRANSACTIONS_BYTES_MAX`], [`TRANSACTIONS_BYTES_PER_BLOCK`], and
//! [`MAX_TRANSACTION_BYTES`] each.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use codec::Encode;
use ports::PeerId;
use primitives::Hash;
use runtime::Extrinsic;

use crate::messages::{MAX_TRANSACTION_BYTES, TOLD_WHOLE_BYTES_MAX, TOLD_WHOLE_MAX, TransactionMessage};

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

/// What a transaction takes of the pool, in bytes: its place costs as much as its share of all bytes.
const fn weight(bytes: usize) -> usize {
    bytes + TRANSACTIONS_BYTES_MAX / TRANSACTIONS_MAX
}

struct Waiting {
    hash: Hash,
    /// Who brought it; `None` for what was sent here.
    from: Option<PeerId>,
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

    /// Keeps a transaction that was checked. Returns `None` if there is no room, else whether it is new. Room is made by
    /// dropping what came last from the peer that has most, as long as that is more than `from` has with this one.
    pub fn add(&mut self, extrinsic: Extrinsic, from: Option<&PeerId>) -> Option<bool> {
        let encoded = Bytes::from(extrinsic.encode());
        let hash = primitives::blake2_256(&encoded);
        if self.contains(&hash) {
            return Some(false);
        }
        let mut dropped = Vec::new();
        while self.len() >= TRANSACTIONS_MAX || self.bytes + encoded.len() > TRANSACTIONS_BYTES_MAX {
            let Some(arrival) = self.newest_of_the_largest(from, encoded.len()) else {
                // Nobody goes for one that does not come in.
                dropped.into_iter().for_each(|(arrival, waiting)| self.put(arrival, waiting));
                return None;
            };
            dropped.extend(self.take(arrival).map(|waiting| (arrival, waiting)));
        }
        let (from, extrinsic) = (from.cloned(), Arc::new(extrinsic));
        self.put(self.next, Waiting { hash, from, extrinsic, encoded });
        self.next += 1;
        Some(true)
    }

    fn put(&mut self, arrival: u64, waiting: Waiting) {
        self.bytes += waiting.encoded.len();
        self.arrivals.insert(waiting.hash, arrival);
        self.by_arrival.insert(arrival, waiting);
    }

    fn take(&mut self, arrival: u64) -> Option<Waiting> {
        let waiting = self.by_arrival.remove(&arrival)?;
        self.bytes -= waiting.encoded.len();
        self.arrivals.remove(&waiting.hash);
        Some(waiting)
    }

    /// The arrival of the last transaction of the peer that takes most of the pool; `None` if that is no more than `from`
    /// takes with so many bytes more.
    fn newest_of_the_largest(&self, from: Option<&PeerId>, bytes: usize) -> Option<u64> {
        let mut shares: BTreeMap<&PeerId, (usize, u64)> = BTreeMap::new();
        for (arrival, waiting) in &self.by_arrival {
            if let Some(peer) = &waiting.from {
                let (share, newest) = shares.entry(peer).or_insert((0, *arrival));
                *share += weight(waiting.encoded.len());
                *newest = *arrival;
            }
        }
        let own = from.map_or(0, |from| shares.get(from).map_or(0, |(share, _)| *share) + weight(bytes));
        let (share, newest) = shares.into_values().max_by_key(|(share, _)| *share)?;
        (share > own).then_some(newest)
    }

    /// Forgets transactions, by name.
    pub fn forget(&mut self, settled: &[Hash]) {
        for hash in settled {
            if let Some(arrival) = self.arrivals.get(hash) {
                self.take(*arrival);
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

    /// What a peer is told that has just come, in messages: as many whole as [`TOLD_WHOLE_MAX`] and
    /// [`TOLD_WHOLE_BYTES_MAX`] let through, the first ones first, and the names of the rest.
    pub fn announcements(&self) -> Vec<Vec<u8>> {
        let (mut messages, mut named, mut bytes) = (Vec::new(), Vec::new(), 0);
        for waiting in self.by_arrival.values() {
            let is_room = messages.len() < TOLD_WHOLE_MAX && bytes + waiting.encoded.len() < TOLD_WHOLE_BYTES_MAX;
            match TransactionMessage::whole(&waiting.encoded).filter(|_| is_room) {
                Some(message) => {
                    bytes += message.len();
                    messages.push(message);
                }
                None => named.push(waiting.hash),
            }
        }
        messages.extend(TransactionMessage::have(&named));
        messages
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::messages::MAX_HASHES_PER_MESSAGE;
    use ports::{MAX_NOTIFICATION_BYTES, PROTOCOL_QUEUE_BYTES, PROTOCOL_QUEUE_MESSAGES};
    use primitives::decode_limited;
    use runtime::{Governance, SignedGovernance};

    fn transaction(nonce: u64, bytes: usize) -> Extrinsic {
        let change = Governance::Validators(vec![primitives::ValidatorId([1; 32]); bytes / 32]);
        Extrinsic::Governed(Box::new(SignedGovernance { change, nonce, signatures: Vec::new() }))
    }

    #[test]
    fn they_wait_once_and_in_order() {
        let mut pool = TransactionPool::default();
        for nonce in [2, 1, 3] {
            assert_eq!(pool.add(transaction(nonce, 0), None), Some(true));
        }
        assert_eq!(pool.add(transaction(1, 0), None), Some(false));
        assert!(pool.contains(&transaction_hash(&transaction(3, 0))));
        pool.forget(&[transaction_hash(&transaction(1, 0))]);
        assert!(pool.all().eq([&transaction(2, 0), &transaction(3, 0)]));
        assert!(!pool.contains(&transaction_hash(&transaction(1, 0))));
        assert_eq!(pool.add(transaction(1, 0), None), Some(true), "forgotten is forgotten");
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut pool = TransactionPool::default();
        let added = (0..).take_while(|nonce| pool.add(transaction(*nonce, 0), None).is_some()).count();
        assert_eq!(added, TRANSACTIONS_MAX);
        let mut pool = TransactionPool::default();
        let large = TRANSACTIONS_BYTES_MAX / 4;
        let added = (0..).take_while(|nonce| pool.add(transaction(*nonce, large), None).is_some()).count();
        assert_eq!(added, 3, "encodings are longer than what they hold");
        let all: Vec<Hash> = pool.shared().into_iter().map(|(hash, _)| hash).collect();
        pool.forget(&all);
        assert_eq!(pool.add(transaction(0, large), None), Some(true), "room comes back");
    }

    #[test]
    fn a_peer_that_fills_the_pool_makes_room_for_others_and_for_what_is_sent_here() {
        let mut pool = TransactionPool::default();
        let [flood, honest] = [1, 2].map(|id| PeerId::new(&[id]).unwrap());
        for nonce in 0..TRANSACTIONS_MAX as u64 {
            assert_eq!(pool.add(transaction(nonce, 0), Some(&flood)), Some(true));
        }
        assert_eq!(pool.add(transaction(5_000, 0), Some(&flood)), None, "its own do not make room for its own");
        assert_eq!(pool.add(transaction(6_000, 0), Some(&honest)), Some(true));
        assert_eq!(pool.add(transaction(7_000, TRANSACTIONS_BYTES_MAX / 3), None), Some(true));
        assert!(pool.contains(&transaction_hash(&transaction(0, 0))), "the first stay");
        assert!(!pool.contains(&transaction_hash(&transaction(TRANSACTIONS_MAX as u64 - 1, 0))), "the last went");
        for nonce in 8_000..10_000 {
            pool.add(transaction(nonce, 0), Some(&honest));
        }
        let of = |peer: &PeerId| pool.by_arrival.values().filter(|waiting| waiting.from.as_ref() == Some(peer)).count();
        assert_eq!((of(&flood), of(&honest)), (512, 511), "half each, beside what was sent here");
        let all = |nonce: u64| pool.contains(&transaction_hash(&transaction(nonce, TRANSACTIONS_BYTES_MAX / 3)));
        assert!(all(7_000), "that is never dropped for a peer's");
    }

    #[test]
    fn a_full_pool_is_told_in_half_of_what_a_link_takes() {
        for bytes in [0, TRANSACTIONS_BYTES_MAX / TRANSACTIONS_MAX - 512, 900 * 1024, 2 * 1024 * 1024] {
            let mut pool = TransactionPool::default();
            let hashes: BTreeSet<Hash> = (0..)
                .map(|nonce| transaction(nonce, bytes))
                .take_while(|it| pool.add(it.clone(), None).is_some())
                .map(|it| transaction_hash(&it))
                .collect();
            let messages = pool.announcements();
            assert!(messages.len() <= PROTOCOL_QUEUE_MESSAGES / 2 + TRANSACTIONS_MAX / MAX_HASHES_PER_MESSAGE + 1);
            assert!(messages.iter().map(Vec::len).sum::<usize>() <= PROTOCOL_QUEUE_BYTES * 3 / 4);
            let mut told = BTreeSet::new();
            for message in messages {
                match decode_limited(&message, MAX_NOTIFICATION_BYTES).unwrap() {
                    TransactionMessage::Transaction(transaction) => told.extend([transaction_hash(&transaction)]),
                    TransactionMessage::Have(hashes) => told.extend(hashes),
                }
            }
            assert_eq!(told, hashes);
        }
    }

    #[test]
    fn nobody_goes_for_one_that_does_not_come_in() {
        let mut pool = TransactionPool::default();
        let [many, one] = [1, 2].map(|id| PeerId::new(&[id]).unwrap());
        for nonce in 0..3 {
            assert_eq!(pool.add(transaction(nonce, TRANSACTIONS_BYTES_MAX / 4), Some(&many)), Some(true));
        }
        let held = |pool: &TransactionPool| {
            (pool.bytes, pool.shared().into_iter().map(|(hash, _)| hash).collect::<Vec<_>>(), pool.arrivals.clone())
        };
        let before = held(&pool);
        // With one of the three gone there would still be no room for it, and it would be more than the other two.
        assert_eq!(pool.add(transaction(3, TRANSACTIONS_BYTES_MAX * 5 / 8), Some(&one)), None);
        assert_eq!(held(&pool), before);
    }
}
