//! Transactions that wait for a block. Pure.
//!
//! They wait in the order in which they came. One that a block of the best chain carries is kept until that block is final,
//! because another fork may need it, but takes no place: the checks of one block by a thousand validators are a thousand
//! transactions, and those of the next one come before the first are final. Nor does one that the best block refuses, such
//! as the second of two for one place. On another best chain both have their places again.
//! An author leaves out what does not fit on top of its parent.
//!
//! One peer cannot fill it: a full pool drops the newest of who has most. What was sent here is never dropped for a peer's.
//!
//! **Limits**: [`TRANSACTIONS_MAX`], [`TRANSACTIONS_BYTES_MAX`], [`TRANSACTIONS_BYTES_PER_BLOCK`], [`ASIDE_MAX`],
//! [`ASIDE_BYTES_MAX`], and [`MAX_TRANSACTION_BYTES`] each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use codec::Encode;
use ports::PeerId;
use primitives::Hash;
use runtime::{Block, Extrinsic, limits::MAX_TRANSACTIONS_PER_BLOCK};

use crate::messages::{MAX_TRANSACTION_BYTES, TOLD_WHOLE_BYTES_MAX, TOLD_WHOLE_MAX, TransactionMessage};

/// Transactions that wait at once: those of two full blocks.
pub const TRANSACTIONS_MAX: usize = 2 * MAX_TRANSACTIONS_PER_BLOCK;
/// Their encodings together, in bytes: two of the largest.
pub const TRANSACTIONS_BYTES_MAX: usize = 2 * MAX_TRANSACTION_BYTES;
/// Transactions kept that the best chain carries or refuses; of more the oldest are forgotten.
pub const ASIDE_MAX: usize = 8 * MAX_TRANSACTIONS_PER_BLOCK;
/// Their encodings together, in bytes.
pub const ASIDE_BYTES_MAX: usize = 2 * TRANSACTIONS_BYTES_MAX;
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
    /// Why it takes no place now.
    aside: Option<Aside>,
}

/// What keeps a transaction out of the next block, on the best chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aside {
    /// This block carries it.
    Carried(Hash),
    /// The best block's state refuses it.
    Unfit,
}

impl Waiting {
    const fn is_carried(&self) -> bool {
        matches!(self.aside, Some(Aside::Carried(_)))
    }

    /// Puts it aside, or back, and counts it where it is.
    fn put(&mut self, aside: Option<Aside>, open: &mut Taken, taken_aside: &mut Taken) {
        let bytes = self.encoded.len();
        match (self.aside.is_some(), aside.is_some()) {
            (false, true) => {
                open.remove(bytes);
                taken_aside.add(bytes);
            }
            (true, false) => {
                taken_aside.remove(bytes);
                open.add(bytes);
            }
            _ => {}
        }
        self.aside = aside;
    }
}

/// What a peer takes, and the arrivals and bytes of its transactions.
type Share = (usize, Vec<(u64, usize)>);

/// How many there are, and their encodings together in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    count: usize,
    bytes: usize,
}

impl Taken {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.count -= 1;
        self.bytes -= bytes;
    }

    fn exceeds(&self, count: usize, bytes: usize) -> bool {
        self.count > count || self.bytes > bytes
    }
}

/// Transactions that wait.
#[derive(Default)]
pub struct TransactionPool {
    by_arrival: BTreeMap<u64, Waiting>,
    arrivals: BTreeMap<Hash, u64>,
    next: u64,
    /// Those that take a place.
    open: Taken,
    /// Those that take none: the best chain carries or refuses them.
    aside: Taken,
    /// The blocks of the best chain, as far as they were looked at.
    followed: BTreeSet<Hash>,
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
        for arrival in self.to_be_dropped(from, encoded.len())? {
            self.take(arrival);
        }
        let (from, extrinsic) = (from.cloned(), Arc::new(extrinsic));
        self.open.add(encoded.len());
        self.arrivals.insert(hash, self.next);
        self.by_arrival.insert(self.next, Waiting { hash, from, extrinsic, encoded, aside: None });
        self.next += 1;
        Some(true)
    }

    fn take(&mut self, arrival: u64) {
        if let Some(waiting) = self.by_arrival.remove(&arrival) {
            self.arrivals.remove(&waiting.hash);
            let taken = if waiting.aside.is_some() { &mut self.aside } else { &mut self.open };
            taken.remove(waiting.encoded.len());
        }
    }

    /// The arrivals of those that make room for one of so many bytes, the last ones of whoever takes most each time; `None`
    /// if that is no more than `from` takes with it.
    fn to_be_dropped(&self, from: Option<&PeerId>, bytes: usize) -> Option<Vec<u64>> {
        let (mut with, mut dropped) = (self.open, Vec::new());
        with.add(bytes);
        if !with.exceeds(TRANSACTIONS_MAX, TRANSACTIONS_BYTES_MAX) {
            return Some(dropped);
        }
        let mut shares: BTreeMap<&PeerId, Share> = BTreeMap::new();
        for (arrival, waiting) in self.by_arrival.iter().filter(|(_, waiting)| waiting.aside.is_none()) {
            if let Some(peer) = &waiting.from {
                let (share, of_peer) = shares.entry(peer).or_default();
                *share += weight(waiting.encoded.len());
                of_peer.push((*arrival, waiting.encoded.len()));
            }
        }
        let own = from.map_or(0, |from| shares.get(from).map_or(0, |(share, _)| *share) + weight(bytes));
        while with.exceeds(TRANSACTIONS_MAX, TRANSACTIONS_BYTES_MAX) {
            let (share, of_peer) = shares.values_mut().max_by_key(|(share, _)| *share)?;
            let (arrival, bytes) = of_peer.pop().filter(|_| *share > own)?;
            *share -= weight(bytes);
            with.remove(bytes);
            dropped.push(arrival);
        }
        Some(dropped)
    }

    /// Says what the best chain is, as far as it is in memory: what it carries takes no place, and what it carries no more
    /// takes one again, even if that is one too many.
    pub fn follow(&mut self, chain: &BTreeMap<Hash, Arc<Block>>) {
        for waiting in self.by_arrival.values_mut() {
            if let Some(Aside::Carried(block)) = waiting.aside
                && !chain.contains_key(&block)
            {
                waiting.put(None, &mut self.open, &mut self.aside);
            }
        }
        for (hash, block) in chain.iter().filter(|(hash, _)| !self.followed.contains(hash)) {
            if self.by_arrival.values().all(Waiting::is_carried) {
                break;
            }
            for name in block.extrinsics.iter().skip(1).map(transaction_hash) {
                let arrival = self.arrivals.get(&name);
                let waiting = arrival.and_then(|arrival| self.by_arrival.get_mut(arrival));
                if let Some(waiting) = waiting.filter(|waiting| !waiting.is_carried()) {
                    waiting.put(Some(Aside::Carried(*hash)), &mut self.open, &mut self.aside);
                }
            }
        }
        self.followed = chain.keys().copied().collect();
        self.bound_aside();
    }

    /// Says which of those that the best chain does not carry its best block refuses: they take no place, and those that
    /// it takes do. What was not looked at stays as it is.
    pub fn set_unfit(&mut self, looked_at: &[(Hash, bool)]) {
        for (hash, is_unfit) in looked_at {
            let arrival = self.arrivals.get(hash);
            let waiting = arrival.and_then(|arrival| self.by_arrival.get_mut(arrival));
            if let Some(waiting) = waiting.filter(|waiting| !waiting.is_carried()) {
                waiting.put(is_unfit.then_some(Aside::Unfit), &mut self.open, &mut self.aside);
            }
        }
        self.bound_aside();
    }

    fn bound_aside(&mut self) {
        while self.aside.exceeds(ASIDE_MAX, ASIDE_BYTES_MAX) {
            let mut oldest = self.by_arrival.iter().filter(|(_, waiting)| waiting.aside.is_some());
            let Some((&arrival, _)) = oldest.next() else { break };
            self.take(arrival);
        }
    }

    /// Forgets transactions, by name.
    pub fn forget(&mut self, settled: &[Hash]) {
        for hash in settled {
            if let Some(&arrival) = self.arrivals.get(hash) {
                self.take(arrival);
            }
        }
    }

    /// All that wait with their names, to be looked at without the pool.
    pub fn shared(&self) -> Vec<(Hash, Arc<Extrinsic>)> {
        self.by_arrival.values().map(|waiting| (waiting.hash, waiting.extrinsic.clone())).collect()
    }

    /// The same of those that the best chain does not carry.
    pub fn uncarried(&self) -> Vec<(Hash, Arc<Extrinsic>)> {
        let uncarried = self.by_arrival.values().filter(|waiting| !waiting.is_carried());
        uncarried.map(|waiting| (waiting.hash, waiting.extrinsic.clone())).collect()
    }

    /// Those that the best chain neither carries nor refuses, in the order in which they came.
    pub fn open(&self) -> impl Iterator<Item = &Extrinsic> {
        self.by_arrival.values().filter(|waiting| waiting.aside.is_none()).map(|waiting| &*waiting.extrinsic)
    }

    /// All that are kept, in the order in which they came.
    pub fn all(&self) -> impl Iterator<Item = &Extrinsic> {
        self.by_arrival.values().map(|waiting| &*waiting.extrinsic)
    }

    /// What a peer is told that has just come, and does not get with the best chain, in messages: as many whole as
    /// [`TOLD_WHOLE_MAX`] and [`TOLD_WHOLE_BYTES_MAX`] let through, the first ones first, and the names of the rest.
    pub fn announcements(&self) -> Vec<Vec<u8>> {
        let (mut messages, mut named, mut bytes) = (Vec::new(), Vec::new(), 0);
        for waiting in self.by_arrival.values().filter(|waiting| waiting.aside.is_none()) {
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

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.by_arrival.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.by_arrival.is_empty()
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(pool.add(transaction(50_000, 0), Some(&flood)), None, "its own do not make room for its own");
        assert_eq!(pool.add(transaction(60_000, 0), Some(&honest)), Some(true));
        assert_eq!(pool.add(transaction(70_000, TRANSACTIONS_BYTES_MAX / 3), None), Some(true));
        assert!(pool.contains(&transaction_hash(&transaction(0, 0))), "the first stay");
        assert!(!pool.contains(&transaction_hash(&transaction(TRANSACTIONS_MAX as u64 - 1, 0))), "the last went");
        for nonce in 80_000..80_000 + 2 * TRANSACTIONS_MAX as u64 {
            pool.add(transaction(nonce, 0), Some(&honest));
        }
        let of = |peer: &PeerId| pool.by_arrival.values().filter(|waiting| waiting.from.as_ref() == Some(peer)).count();
        assert_eq!(
            (of(&flood), of(&honest)),
            (TRANSACTIONS_MAX / 2, TRANSACTIONS_MAX / 2 - 1),
            "half each, beside what was sent here"
        );
        let all = |nonce: u64| pool.contains(&transaction_hash(&transaction(nonce, TRANSACTIONS_BYTES_MAX / 3)));
        assert!(all(70_000), "that is never dropped for a peer's");
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
            (pool.open, pool.shared().into_iter().map(|(hash, _)| hash).collect::<Vec<_>>(), pool.arrivals.clone())
        };
        let before = held(&pool);
        // With one of the three gone there would still be no room for it, and it would be more than the other two.
        assert_eq!(pool.add(transaction(3, TRANSACTIONS_BYTES_MAX * 5 / 8), Some(&one)), None);
        assert_eq!(held(&pool), before);
    }

    fn block(number: u32, transactions: Vec<Extrinsic>) -> (Hash, Arc<Block>) {
        let header = primitives::Header {
            parent_hash: Hash::ZERO,
            number,
            state_root: Hash::ZERO,
            extrinsics_root: Hash::ZERO,
            digest: Vec::new(),
        };
        let inherent = Extrinsic::Inclusion(primitives::InherentData::empty(header.clone()));
        let extrinsics = std::iter::once(inherent).chain(transactions).collect();
        let block = Block { header, extrinsics };
        (block.hash(), Arc::new(block))
    }

    #[test]
    fn what_the_best_chain_carries_takes_no_place_until_another_one_is_best() {
        let mut pool = TransactionPool::default();
        let of_block = |number: u64| -> Vec<Extrinsic> {
            let first = number * TRANSACTIONS_MAX as u64;
            (first..first + TRANSACTIONS_MAX as u64).map(|nonce| transaction(nonce, 0)).collect()
        };
        let mut chain = BTreeMap::new();
        for number in 0..3 {
            for transaction in of_block(number) {
                assert_eq!(pool.add(transaction, None), Some(true));
            }
            assert_eq!(pool.add(transaction(u64::MAX, 0), None), None);
            chain.extend([block(number as u32, of_block(number))]);
            pool.follow(&chain);
            assert_eq!((pool.open().count(), pool.announcements().len()), (0, 0));
        }
        assert_eq!(pool.len(), 3 * TRANSACTIONS_MAX);
        // The last two blocks are left for another one.
        let mut other = BTreeMap::from([block(0, of_block(0))]);
        other.extend([block(9, vec![transaction(2 * TRANSACTIONS_MAX as u64, 0)])]);
        pool.follow(&other);
        assert_eq!((pool.len(), pool.open().count()), (3 * TRANSACTIONS_MAX, 2 * TRANSACTIONS_MAX - 1));
        assert_eq!(pool.add(transaction(u64::MAX, 0), None), None, "those come first");
        let names: Vec<Hash> = pool.shared().into_iter().map(|(hash, _)| hash).collect();
        pool.forget(&names);
        assert_eq!((pool.open, pool.aside), (Taken::default(), Taken::default()));
    }

    #[test]
    fn what_the_best_block_refuses_takes_no_place_until_it_is_taken_again() {
        let mut pool = TransactionPool::default();
        let of = |nonce| transaction(nonce, 0);
        for nonce in 0..TRANSACTIONS_MAX as u64 {
            assert_eq!(pool.add(of(nonce), None), Some(true));
        }
        let names = [0, 1, 2].map(|nonce| transaction_hash(&of(nonce)));
        pool.set_unfit(&names.map(|name| (name, true)));
        let [first, second] = [10_000, 10_001].map(of);
        assert_eq!((pool.add(first, None), pool.add(second, None)), (Some(true), Some(true)));
        assert_eq!(pool.open().next(), Some(&of(3)));
        // One of them is carried by another best chain, one fits there, one is refused still.
        let chain = BTreeMap::from([block(1, vec![of(0)])]);
        pool.follow(&chain);
        pool.set_unfit(&[(names[0], false), (names[1], false), (names[2], true)]);
        assert_eq!(pool.open().next(), Some(&of(1)));
        assert!(pool.uncarried().iter().map(|(name, _)| *name).take(2).eq([names[1], names[2]]));
        assert_eq!((pool.open.count, pool.aside.count), (TRANSACTIONS_MAX, 2));
        pool.follow(&BTreeMap::new());
        assert_eq!((pool.open.count, pool.aside.count), (TRANSACTIONS_MAX + 1, 1));
    }

    #[test]
    fn of_what_is_carried_the_oldest_is_forgotten() {
        let mut pool = TransactionPool::default();
        let mut chain = BTreeMap::new();
        for number in 0..6_u64 {
            let large = transaction(number, TRANSACTIONS_BYTES_MAX * 2 / 5);
            assert_eq!(pool.add(large.clone(), None), Some(true));
            chain.extend([block(number as u32, vec![large])]);
            pool.follow(&chain);
        }
        assert!(!pool.aside.exceeds(ASIDE_MAX, ASIDE_BYTES_MAX));
        assert!(pool.all().eq([2, 3, 4, 5].map(|nonce| transaction(nonce, TRANSACTIONS_BYTES_MAX * 2 / 5)).iter()));
    }
}
