//! What becomes of candidates, as one node's chain tells it, and which step is stuck when nothing moves.

use std::collections::BTreeMap;

use overseer::port::EdgeSnapshot;
use primitives::{BlockNumber, CandidateEvent, CandidateHash, Hash, Header, ParaId};

/// Blocks whose counts are remembered: forks are shorter.
const BLOCKS_MAX: usize = 4096;
/// Delays remembered for the median.
const DELAYS_MAX: usize = 65_536;

/// The steps of a candidate's way that can be told apart by what crosses the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 1
    Produced,
    /// 2
    Advertised,
    /// 3
    Chosen,
    /// 4
    Checked,
    /// 5
    Seconded,
    /// 6
    Backable,
    /// 7
    Offered,
    /// 8
    Backed,
    /// 9
    Stored,
    /// 10
    Attested,
    /// 11
    Included,
}

impl Step {
    /// The message that shows that the step is done; backing and inclusion show in the chain.
    const MESSAGES: [(Self, &'static str); 9] = [
        (Self::Produced, "DistributeCollation"),
        (Self::Advertised, "NewCandidate"),
        (Self::Chosen, "Second"),
        (Self::Checked, "ValidateFromChainState"),
        (Self::Seconded, "Share"),
        (Self::Backable, "BackableCandidate"),
        (Self::Offered, "RequestBlockAuthorshipData"),
        (Self::Stored, "StoreChunk"),
        (Self::Attested, "DistributeBitfield"),
    ];

    /// Its number and name in the table of ARCHITECTURE.md.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Produced => "1 produced (collation-generation)",
            Self::Advertised => "2 advertised (collation-distribution)",
            Self::Chosen => "3 chosen (candidate-selection)",
            Self::Checked => "4 checked (candidate-validation)",
            Self::Seconded => "5 seconded (candidate-backing)",
            Self::Backable => "6 backable (statement-distribution, pov-distribution)",
            Self::Offered => "7 offered (provisioner)",
            Self::Backed => "8 backed (relay chain)",
            Self::Stored => "9 pending availability (availability-distribution)",
            Self::Attested => "10 attested (bitfield-signing)",
            Self::Included => "11 included (relay chain)",
        }
    }
}

/// Something to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressEvent {
    /// A block entered the tree.
    Block {
        /// Its height.
        number: BlockNumber,
        /// Its hash.
        hash: Hash,
        /// Whether another block of that height was there before.
        is_fork: bool,
    },
    /// A block is final.
    Finalized {
        /// Its height.
        number: BlockNumber,
        /// Its hash.
        hash: Hash,
    },
    /// A candidate was backed in a block.
    Backed {
        /// Its para.
        para: ParaId,
        /// The candidate.
        candidate: CandidateHash,
        /// In which block.
        number: BlockNumber,
    },
    /// A candidate was included in a block.
    Included {
        /// Its para.
        para: ParaId,
        /// The candidate.
        candidate: CandidateHash,
        /// In which block.
        number: BlockNumber,
    },
    /// A candidate was not available in time.
    TimedOut {
        /// Its para.
        para: ParaId,
        /// The candidate.
        candidate: CandidateHash,
        /// In which block.
        number: BlockNumber,
    },
}

/// What a para has reached on one fork.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParaCount {
    /// Candidates backed.
    pub backed: u64,
    /// Candidates included.
    pub included: u64,
    /// Candidates that were not available in time.
    pub timed_out: u64,
    /// Blocks in which no candidate of the para was backed.
    pub skipped: u64,
}

#[derive(Clone)]
struct BlockRecord {
    number: BlockNumber,
    /// None for genesis.
    slot: Option<u64>,
    counts: BTreeMap<ParaId, ParaCount>,
}

/// Counts along every fork, so that what is shown is true of the best one.
pub struct Progress {
    blocks: BTreeMap<Hash, BlockRecord>,
    best: Hash,
    finalized: BlockNumber,
    imported: u64,
    forks: u64,
    delays_slots: Vec<u64>,
    /// Last known state of each para's candidate, on whatever fork.
    paras: BTreeMap<ParaId, &'static str>,
}

impl Progress {
    /// Starts at genesis (or at the finalized block of a restarted chain).
    pub fn new(start: Hash, number: BlockNumber, slot: Option<u64>, paras: impl IntoIterator<Item = ParaId>) -> Self {
        let paras: BTreeMap<ParaId, &'static str> = paras.into_iter().map(|para| (para, "waiting")).collect();
        let counts = paras.keys().map(|para| (*para, ParaCount::default())).collect();
        Self {
            blocks: BTreeMap::from([(start, BlockRecord { number, slot, counts })]),
            best: start,
            finalized: number,
            imported: 0,
            forks: 0,
            delays_slots: Vec::new(),
            paras,
        }
    }

    /// Whether a block is counted.
    pub fn knows(&self, hash: &Hash) -> bool {
        self.blocks.contains_key(hash)
    }

    /// A block was imported, with what it did to candidates. Counts begin anew on a parent that is not known.
    pub fn import(
        &mut self,
        hash: Hash,
        header: &Header,
        slot: Option<u64>,
        is_best: bool,
        events: &[CandidateEvent],
    ) -> Vec<ProgressEvent> {
        let mut counts = match self.blocks.get(&header.parent_hash) {
            Some(parent) => parent.counts.clone(),
            None => self.paras.keys().map(|para| (*para, ParaCount::default())).collect(),
        };
        counts.values_mut().for_each(|count| count.skipped += 1);
        let number = header.number;
        let is_fork = self.blocks.values().any(|block| block.number == number);
        self.imported += 1;
        self.forks += u64::from(is_fork);
        let mut shown = vec![ProgressEvent::Block { number, hash, is_fork }];
        for event in events {
            let (receipt, state) = match event {
                CandidateEvent::Backed(receipt, ..) => (receipt, "pending availability"),
                CandidateEvent::Included(receipt, ..) => (receipt, "included"),
                CandidateEvent::TimedOut(receipt, ..) => (receipt, "timed out"),
            };
            let (para, candidate) = (receipt.descriptor.para_id(), receipt.hash());
            let count = counts.entry(para).or_default();
            self.paras.insert(para, state);
            shown.push(match event {
                CandidateEvent::Backed(..) => {
                    count.backed += 1;
                    count.skipped = count.skipped.saturating_sub(1);
                    ProgressEvent::Backed { para, candidate, number }
                }
                CandidateEvent::Included(..) => {
                    count.included += 1;
                    let produced = self.blocks.get(&receipt.descriptor.relay_parent()).and_then(|block| block.slot);
                    if let (Some(produced), Some(slot)) = (produced, slot)
                        && self.delays_slots.len() < DELAYS_MAX
                    {
                        self.delays_slots.push(slot.saturating_sub(produced));
                    }
                    ProgressEvent::Included { para, candidate, number }
                }
                CandidateEvent::TimedOut(..) => {
                    count.timed_out += 1;
                    ProgressEvent::TimedOut { para, candidate, number }
                }
            });
        }
        self.blocks.insert(hash, BlockRecord { number, slot, counts });
        if is_best {
            self.best = hash;
        }
        if self.blocks.len() > BLOCKS_MAX {
            let oldest = self.blocks.iter().min_by_key(|(_, block)| block.number).map(|(hash, _)| *hash);
            oldest.map(|hash| self.blocks.remove(&hash));
        }
        shown
    }

    /// A block became final.
    pub fn finalize(&mut self, number: BlockNumber, hash: Hash) -> ProgressEvent {
        self.finalized = self.finalized.max(number);
        ProgressEvent::Finalized { number, hash }
    }

    /// Counts per para on the best fork.
    pub fn counts(&self) -> BTreeMap<ParaId, ParaCount> {
        self.blocks.get(&self.best).map(|block| block.counts.clone()).unwrap_or_default()
    }

    /// The last thing that happened to each para's candidate.
    pub fn states(&self) -> &BTreeMap<ParaId, &'static str> {
        &self.paras
    }

    /// Whether every para has at least so many candidates included.
    pub fn reached(&self, goal: u64) -> bool {
        self.counts().values().all(|count| count.included >= goal)
    }

    /// Height of the best block.
    pub fn best_number(&self) -> BlockNumber {
        self.blocks.get(&self.best).map_or(0, |block| block.number)
    }

    /// Height of the last final block.
    pub fn finalized(&self) -> BlockNumber {
        self.finalized
    }

    /// Blocks imported, and how many of them were a second one of their height.
    pub fn blocks_and_forks(&self) -> (u64, u64) {
        (self.imported, self.forks)
    }

    /// Median slots from relay parent to inclusion.
    pub fn median_delay_slots(&self) -> Option<u64> {
        let mut delays = self.delays_slots.clone();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied()
    }
}

/// How often each message has crossed the bus, over all nodes.
pub(super) type MessageCounts = BTreeMap<&'static str, u64>;

/// Sums counters of all nodes by message.
pub(super) fn message_counts<'a>(edges: impl IntoIterator<Item = &'a EdgeSnapshot>) -> MessageCounts {
    let mut counts = MessageCounts::new();
    for edge in edges {
        *counts.entry(edge.declared.message).or_default() += edge.sent;
    }
    counts
}

/// The first step that has not moved between two counts; all moved means that the chain itself backs or includes
/// nothing.
pub(super) fn stuck_step(before: &MessageCounts, after: &MessageCounts, backed_since: bool) -> Step {
    let moved = |message: &str| after.get(message) > before.get(message);
    let stuck =
        |steps: &[(Step, &'static str)]| steps.iter().find(|(_, message)| !moved(message)).map(|(step, _)| *step);
    let (to_offered, from_stored) = Step::MESSAGES.split_at(7);
    if backed_since {
        return stuck(from_stored).unwrap_or(Step::Included);
    }
    stuck(to_offered).unwrap_or(Step::Backed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(parent: Hash, number: u32) -> Header {
        Header { parent_hash: parent, number, state_root: Hash::ZERO, extrinsics_root: Hash::ZERO, digest: Vec::new() }
    }

    #[test]
    fn forks_are_counted_and_the_best_one_is_shown() {
        let hash = |byte| Hash::from([byte; 32]);
        let mut progress = Progress::new(hash(0), 0, None, [ParaId(7)]);
        progress.import(hash(1), &header(hash(0), 1), Some(10), true, &[]);
        progress.import(hash(2), &header(hash(0), 1), Some(11), false, &[]);
        assert_eq!((progress.best_number(), progress.blocks_and_forks()), (1, (2, 1)));
        assert!(progress.knows(&hash(2)) && !progress.knows(&hash(3)));
    }

    #[test]
    fn a_block_on_an_unknown_parent_is_counted_from_nothing() {
        let hash = |byte| Hash::from([byte; 32]);
        let mut progress = Progress::new(hash(0), 0, None, [ParaId(7)]);
        progress.import(hash(5), &header(hash(4), 5), Some(10), true, &[]);
        assert_eq!(progress.best_number(), 5);
        assert_eq!(progress.counts()[&ParaId(7)], ParaCount { skipped: 1, ..ParaCount::default() });
    }

    #[test]
    fn the_first_step_that_stands_still_is_named() {
        let counts = |names: &[&'static str]| names.iter().map(|name| (*name, 1)).collect::<MessageCounts>();
        let none = MessageCounts::new();
        assert_eq!(stuck_step(&none, &none, false), Step::Produced);
        assert_eq!(stuck_step(&none, &counts(&["DistributeCollation", "NewCandidate"]), false), Step::Chosen);
        assert_eq!(stuck_step(&none, &counts(&["StoreChunk"]), true), Step::Attested);
        let all: Vec<&'static str> = Step::MESSAGES.iter().map(|(_, message)| *message).collect();
        assert_eq!(stuck_step(&none, &counts(&all), false), Step::Backed);
        assert_eq!(stuck_step(&none, &counts(&all), true), Step::Included);
        assert_eq!(stuck_step(&counts(&all), &counts(&all), false), Step::Produced);
    }
}
