//! Whom to ask next: the plan of one recovery, pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use erasure_coding::ChunkPermutation;
use primitives::{ChunkIndex, ValidatorIndex};

/// Requests for chunks of one recovery that are under way at once.
pub(crate) const PARALLEL_CHUNKS_MAX: usize = 50;
/// Chunks asked for at once beyond those needed: one slow peer then costs no time.
pub(crate) const SPARE_REQUESTS: usize = 2;
/// Backers asked for the whole data before chunks are gathered.
pub(crate) const BACKERS_ASKED_MAX: usize = 3;
/// Times that one validator is asked for its chunk: once hastily, once with patience.
const ATTEMPTS_MAX: u8 = 2;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask a backer for the whole data.
    AskData(ValidatorIndex),
    /// Ask a validator for its chunk; `patient` the second time.
    AskChunk { validator: ValidatorIndex, chunk: ChunkIndex, patient: bool },
    /// Wait for an answer.
    Wait,
    /// Enough chunks are there.
    Recover,
    /// Nobody is left to ask.
    GiveUp,
}

/// How asking a validator for its chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkAnswer {
    /// The right chunk, proven.
    Good,
    /// No answer in time: worth another try when all others were asked.
    Slow,
    /// Not held, refused, unreachable or wrong.
    None,
}

/// The plan: own chunks first, then backers one by one, then chunks, the data chunks before the others.
#[derive(Debug)]
pub(crate) struct Plan {
    needed: usize,
    backers: VecDeque<ValidatorIndex>,
    asking_backer: bool,
    /// Chunks to ask for, with their holders and the number of attempts so far.
    queue: VecDeque<(ChunkIndex, ValidatorIndex, u8)>,
    asked: BTreeMap<ChunkIndex, (ValidatorIndex, u8)>,
    held: BTreeSet<ChunkIndex>,
}

impl Plan {
    /// A plan for `validators` validators of whom any `needed` chunks suffice. `backers` come in the order in which
    /// they are to be asked; those that are no validators are left out.
    pub(crate) fn new(
        validators: u32,
        needed: u32,
        permutation: &ChunkPermutation,
        backers: impl IntoIterator<Item = ValidatorIndex>,
    ) -> Self {
        let holder = |chunk| Some((ChunkIndex(chunk), ValidatorIndex(permutation.validator_index(chunk).ok()?), 0));
        Self {
            needed: needed as usize,
            backers: backers.into_iter().filter(|backer| backer.0 < validators).take(BACKERS_ASKED_MAX).collect(),
            asking_backer: false,
            queue: (0..validators).filter_map(holder).collect(),
            asked: BTreeMap::new(),
            held: BTreeSet::new(),
        }
    }

    /// A proven chunk is there without anybody having been asked.
    pub(crate) fn have(&mut self, chunk: ChunkIndex) {
        self.held.insert(chunk);
        self.queue.retain(|(queued, ..)| *queued != chunk);
    }

    pub(crate) fn next(&mut self) -> Next {
        if self.held.len() >= self.needed {
            return Next::Recover;
        }
        if self.asking_backer {
            return Next::Wait;
        }
        if let Some(backer) = self.backers.pop_front() {
            self.asking_backer = true;
            return Next::AskData(backer);
        }
        let wanted = self.needed - self.held.len() + SPARE_REQUESTS;
        if self.asked.len() >= wanted.min(PARALLEL_CHUNKS_MAX) {
            return Next::Wait;
        }
        match self.queue.pop_front() {
            Some((chunk, validator, attempts)) => {
                self.asked.insert(chunk, (validator, attempts + 1));
                Next::AskChunk { validator, chunk, patient: attempts > 0 }
            }
            None if self.asked.is_empty() => Next::GiveUp,
            None => Next::Wait,
        }
    }

    /// A backer had no data, or wrong data.
    pub(crate) fn on_no_data(&mut self) {
        self.asking_backer = false;
    }

    /// A request for a chunk is over.
    pub(crate) fn on_chunk(&mut self, chunk: ChunkIndex, answer: ChunkAnswer) {
        let Some((validator, attempts)) = self.asked.remove(&chunk) else { return };
        match answer {
            ChunkAnswer::Good => drop(self.held.insert(chunk)),
            ChunkAnswer::Slow if attempts < ATTEMPTS_MAX => self.queue.push_back((chunk, validator, attempts)),
            ChunkAnswer::Slow | ChunkAnswer::None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(validators: u32, needed: u32, backers: &[u32]) -> (Plan, ChunkPermutation) {
        let permutation = ChunkPermutation::new(validators as usize, 3, &[7; 32]).unwrap();
        let backers: Vec<ValidatorIndex> = backers.iter().map(|index| ValidatorIndex(*index)).collect();
        (Plan::new(validators, needed, &permutation, backers), permutation)
    }

    fn asked(plan: &mut Plan) -> Vec<(u32, bool)> {
        let mut asked = Vec::new();
        while let Next::AskChunk { chunk, patient, .. } = plan.next() {
            asked.push((chunk.0, patient));
        }
        asked
    }

    #[test]
    fn backers_one_by_one_then_data_chunks_then_others() {
        let (mut plan, permutation) = plan(10, 4, &[2, 99, 5]);
        assert_eq!(plan.next(), Next::AskData(ValidatorIndex(2)));
        assert_eq!(plan.next(), Next::Wait);
        plan.on_no_data();
        assert_eq!(plan.next(), Next::AskData(ValidatorIndex(5)), "99 is no validator");
        plan.on_no_data();
        let Next::AskChunk { validator, chunk: ChunkIndex(0), patient: false } = plan.next() else { panic!("chunk 0") };
        assert_eq!(permutation.chunk_index(validator.0), Ok(0));
        assert_eq!(asked(&mut plan).len(), 4 + SPARE_REQUESTS - 1);
        assert_eq!(plan.next(), Next::Wait);
        for chunk in 0..3 {
            plan.on_chunk(ChunkIndex(chunk), ChunkAnswer::Good);
        }
        plan.on_chunk(ChunkIndex(3), ChunkAnswer::None);
        assert_eq!(asked(&mut plan), [(6, false)], "one needed, two spare, two under way");
        plan.on_chunk(ChunkIndex(6), ChunkAnswer::Good);
        assert_eq!(plan.next(), Next::Recover);
    }

    #[test]
    fn own_chunks_are_not_asked_for() {
        let (mut plan, _) = plan(10, 4, &[]);
        for chunk in [1, 2, 8] {
            plan.have(ChunkIndex(chunk));
        }
        assert_eq!(asked(&mut plan), [(0, false), (3, false), (4, false)]);
        plan.have(ChunkIndex(9));
        assert_eq!(plan.next(), Next::Recover);
    }

    #[test]
    fn the_slow_are_asked_twice_the_others_once_and_then_it_ends() {
        let (mut plan, _) = plan(4, 2, &[]);
        let mut patient = Vec::new();
        let end = loop {
            match plan.next() {
                Next::AskChunk { chunk, patient: again, .. } => {
                    patient.extend(again.then_some(chunk.0));
                    plan.on_chunk(chunk, if chunk.0 % 2 == 0 { ChunkAnswer::Slow } else { ChunkAnswer::None });
                }
                other => break other,
            }
        };
        assert_eq!((end, patient), (Next::GiveUp, vec![0, 2]));
        plan.on_chunk(ChunkIndex(0), ChunkAnswer::Good);
        assert_eq!(plan.next(), Next::GiveUp, "an answer nobody waits for");
    }

    #[test]
    fn parallel_requests_are_bounded() {
        let (mut plan, _) = plan(1000, 334, &[]);
        assert_eq!(asked(&mut plan).len(), PARALLEL_CHUNKS_MAX);
    }
}
