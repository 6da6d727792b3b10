//! The order of reads and writes: several at once, but per candidate one write alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use messages::availability_store::{ErasureChunk, StoreError};
use overseer::Responder;
use primitives::{AvailableData, CandidateHash, ValidatorIndex};

use crate::disk::Content;
use crate::state::Part;

/// Reads and writes under way at once.
pub(crate) const OPERATIONS_MAX: usize = 32;
/// Reads and writes that wait for their turn; more are refused. A waiting write holds its data.
pub(crate) const WAITING_MAX: usize = 128;
/// Removals among those under way: pruning must not keep requests waiting.
const REMOVALS_MAX: usize = 8;

/// Something to do on disk.
pub(crate) enum Operation {
    Write {
        candidate: CandidateHash,
        part: Part,
        content: Content,
        reply: Responder<Result<(), StoreError>>,
    },
    Remove {
        candidate: CandidateHash,
        parts: Vec<Part>,
    },
    ReadData {
        candidate: CandidateHash,
        reply: Responder<Option<Arc<AvailableData>>>,
    },
    ReadChunk {
        candidate: CandidateHash,
        validator: ValidatorIndex,
        reply: Responder<Option<ErasureChunk>>,
    },
    ReadChunks {
        candidate: CandidateHash,
        validators: Vec<ValidatorIndex>,
        reply: Responder<Vec<(ValidatorIndex, ErasureChunk)>>,
    },
}

impl Operation {
    fn candidate(&self) -> CandidateHash {
        match self {
            Self::Write { candidate, .. }
            | Self::Remove { candidate, .. }
            | Self::ReadData { candidate, .. }
            | Self::ReadChunk { candidate, .. }
            | Self::ReadChunks { candidate, .. } => *candidate,
        }
    }

    fn writes(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Remove { .. })
    }
}

/// Operations that wait, and those under way by number. Per candidate: readers together or one writer, first come,
/// first served, and removals before all else, so that what was forgotten is gone before it is stored anew.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Operation>,
    removals: BTreeMap<CandidateHash, Vec<Part>>,
    /// With the candidate and whether its parts are changed.
    running: BTreeMap<u64, (CandidateHash, bool)>,
    removing: BTreeSet<u64>,
    next: u64,
}

impl Queue {
    /// Whether another request can wait.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    pub(crate) fn push(&mut self, operation: Operation) {
        match operation {
            // Not counted against the room: their number is that of the records.
            Operation::Remove { candidate, parts } => self.removals.entry(candidate).or_default().extend(parts),
            request => self.waiting.push_back(request),
        }
    }

    fn is_free(&self, candidate: CandidateHash, writes: bool) -> bool {
        self.running.values().all(|(busy, changed)| *busy != candidate || !(writes || *changed))
    }

    /// The next operation to begin, with its number.
    pub(crate) fn begin(&mut self) -> Option<(u64, Operation)> {
        if self.running.len() >= OPERATIONS_MAX {
            return None;
        }
        let operation = self.next_removal().or_else(|| self.next_request())?;
        self.next += 1;
        self.running.insert(self.next, (operation.candidate(), operation.writes()));
        if matches!(operation, Operation::Remove { .. }) {
            self.removing.insert(self.next);
        }
        Some((self.next, operation))
    }

    fn next_removal(&mut self) -> Option<Operation> {
        if self.removing.len() >= REMOVALS_MAX {
            return None;
        }
        let candidate = self.removals.keys().find(|candidate| self.is_free(**candidate, true)).copied()?;
        let parts = self.removals.remove(&candidate)?;
        Some(Operation::Remove { candidate, parts })
    }

    fn next_request(&mut self) -> Option<Operation> {
        let mut blocked = BTreeSet::new();
        let position = self.waiting.iter().position(|operation| {
            let candidate = operation.candidate();
            let free = !blocked.contains(&candidate)
                && !self.removals.contains_key(&candidate)
                && self.is_free(candidate, operation.writes());
            if !free {
                blocked.insert(candidate);
            }
            free
        })?;
        self.waiting.remove(position)
    }

    /// An operation is over.
    pub(crate) fn end(&mut self, number: u64) {
        self.running.remove(&number);
        self.removing.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use overseer::Reply;
    use primitives::Hash;

    const ONE: CandidateHash = CandidateHash(Hash::repeat(1));
    const TWO: CandidateHash = CandidateHash(Hash::repeat(2));

    fn write(candidate: CandidateHash) -> Operation {
        let reply = Reply::channel("write", "test").0;
        Operation::Write { candidate, part: Part::Data, content: Content::Data(Arc::default()), reply }
    }

    fn read(candidate: CandidateHash) -> Operation {
        Operation::ReadData { candidate, reply: Reply::channel("read", "test").0 }
    }

    fn remove(candidate: CandidateHash) -> Operation {
        Operation::Remove { candidate, parts: vec![Part::Data] }
    }

    fn name(operation: &Operation) -> &'static str {
        match operation {
            Operation::Write { .. } => "write",
            Operation::Remove { .. } => "remove",
            _ => "read",
        }
    }

    /// What begins one after another until nothing can.
    fn begin(queue: &mut Queue) -> Vec<(u64, &'static str, CandidateHash)> {
        let begun = std::iter::from_fn(|| queue.begin());
        begun.map(|(number, operation)| (number, name(&operation), operation.candidate())).collect()
    }

    #[test]
    fn readers_share_and_writers_are_alone_in_order() {
        let mut queue = Queue::default();
        [read(ONE), read(ONE), write(ONE), read(ONE), write(TWO)].into_iter().for_each(|next| queue.push(next));
        assert_eq!(begin(&mut queue), [(1, "read", ONE), (2, "read", ONE), (3, "write", TWO)]);
        queue.end(1);
        assert_eq!(begin(&mut queue), []);
        queue.end(2);
        assert_eq!(begin(&mut queue), [(4, "write", ONE)]);
        queue.end(4);
        assert_eq!(begin(&mut queue), [(5, "read", ONE)]);
    }

    #[test]
    fn what_was_pruned_is_gone_before_it_is_stored_anew() {
        let mut queue = Queue::default();
        queue.push(read(ONE));
        assert_eq!(begin(&mut queue).len(), 1);
        queue.push(write(ONE));
        queue.push(remove(ONE));
        queue.end(1);
        assert_eq!(begin(&mut queue), [(2, "remove", ONE)]);
        queue.end(2);
        assert_eq!(begin(&mut queue), [(3, "write", ONE)]);
    }

    #[test]
    fn pruning_leaves_room_for_requests() {
        let mut queue = Queue::default();
        (0..200).for_each(|byte| queue.push(remove(CandidateHash(Hash::repeat(byte)))));
        assert!(queue.has_room());
        queue.push(write(CandidateHash(Hash::repeat(250))));
        assert_eq!(begin(&mut queue).len(), REMOVALS_MAX + 1);
        (0..2 * WAITING_MAX).for_each(|_| queue.push(read(TWO)));
        assert!(!queue.has_room() && begin(&mut queue).is_empty(), "a removal of it waits");
    }
}
