//! What is held, and until when: pure. Times are milliseconds since the Unix epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use codec::{Decode, Encode};
use messages::LeavesUpdate;
use primitives::{BlockNumber, CandidateHash, Hash, SessionIndex, ValidatorIndex};

use crate::config::StoreConfig;

/// Candidates remembered, with or without anything stored of them.
pub(crate) const RECORDS_MAX: usize = 1 << 20;
/// Chunks kept of one candidate: one per key of ours, with room for those of an earlier session.
pub(crate) const CHUNKS_PER_CANDIDATE_MAX: usize = 64;
/// Competing blocks remembered that backed, included or timed out one candidate.
pub(crate) const BLOCKS_PER_CANDIDATE_MAX: usize = 256;
/// Blocks above the final one whose events are remembered as applied.
pub(crate) const SEEN_BLOCKS_MAX: usize = 8192;
/// Blocks that one walk goes back; what lies deeper below a new final block is taken for canonical.
pub(crate) const WALK_MAX: u32 = 4096;

/// A block by height, then hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) struct Block {
    pub(crate) number: BlockNumber,
    pub(crate) hash: Hash,
}

/// What a block did to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Backed,
    Included,
    TimedOut,
}

/// A block's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) block: Block,
    /// The session of its children.
    pub(crate) session: SessionIndex,
    pub(crate) events: Vec<(CandidateHash, Happened)>,
}

/// One stored thing of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Data,
    Chunk(ValidatorIndex),
}

/// What the chain did with a candidate, as far as it matters for how long we keep its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Fate {
    /// When the first part was stored, or since when it is certain that no block includes it.
    since_ms: u64,
    /// Blocks that backed it and may still lead to inclusion, with the session of their children.
    backed_in: BTreeMap<Block, SessionIndex>,
    /// Competing blocks that included it.
    included_in: BTreeSet<Block>,
    /// Blocks in which it timed out.
    timed_out_in: BTreeSet<Block>,
    /// When a block that included it was seen to be final.
    final_at_ms: Option<u64>,
}

/// What the finality of a block says of those at or below it.
struct Verdict<'a> {
    finalized: Block,
    session: SessionIndex,
    path: &'a BTreeMap<BlockNumber, Hash>,
}

impl Verdict<'_> {
    fn decided(&self, block: &Block) -> bool {
        block.number <= self.finalized.number
    }

    /// Whether a decided block is final. Where the walk did not reach, it is taken for final: that keeps things longer.
    fn canonical(&self, block: &Block) -> bool {
        self.path.get(&block.number).is_none_or(|hash| *hash == block.hash)
    }
}

impl Fate {
    /// Whether a block that is not final yet decides what becomes of it.
    fn is_open(&self) -> bool {
        self.final_at_ms.is_none() && !(self.backed_in.is_empty() && self.included_in.is_empty())
    }

    fn apply(&mut self, block: Block, session: SessionIndex, happened: Happened) {
        let blocks = self.backed_in.len() + self.included_in.len() + self.timed_out_in.len();
        if self.final_at_ms.is_some() || blocks >= BLOCKS_PER_CANDIDATE_MAX {
            return;
        }
        match happened {
            Happened::Backed => drop(self.backed_in.insert(block, session)),
            Happened::Included => drop(self.included_in.insert(block)),
            Happened::TimedOut => drop(self.timed_out_in.insert(block)),
        }
    }

    fn settle(&mut self, verdict: &Verdict<'_>, now_ms: u64) {
        if self.included_in.iter().any(|block| verdict.decided(block) && verdict.canonical(block)) {
            *self = Self { since_ms: self.since_ms, final_at_ms: Some(now_ms), ..Self::default() };
            return;
        }
        self.included_in.retain(|block| !verdict.decided(block));
        let decided = |block: &&Block| verdict.decided(block) && verdict.canonical(block);
        let timed_out = self.timed_out_in.iter().filter(decided).map(|block| block.number).max();
        self.timed_out_in.retain(|block| !verdict.decided(block));
        // Candidates that wait for availability do not outlive their session. After a time-out a candidate can be
        // backed again.
        self.backed_in.retain(|block, session| {
            let waits = timed_out.is_none_or(|number| block.number >= number) && *session >= verdict.session;
            !verdict.decided(block) || (verdict.canonical(block) && waits)
        });
        if !self.is_open() {
            self.since_ms = now_ms;
        }
    }

    fn deadline(&self, never_included: Duration, after_finality: Duration) -> Option<u64> {
        if self.is_open() {
            return None;
        }
        let (since, kept) = self.final_at_ms.map_or((self.since_ms, never_included), |at| (at, after_finality));
        Some(since.saturating_add(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX)))
    }

    fn lowest_block(&self) -> Option<BlockNumber> {
        let backed = self.backed_in.keys().next().map(|block| block.number);
        let included = self.included_in.first().map(|block| block.number);
        backed.into_iter().chain(included).min()
    }
}

/// What is known and held of one candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Record {
    pub(crate) has_data: bool,
    pub(crate) chunks: BTreeSet<ValidatorIndex>,
    pub(crate) fate: Fate,
}

impl Record {
    fn holds_nothing(&self) -> bool {
        !self.has_data && self.chunks.is_empty()
    }

    fn drop_part(&mut self, part: Part) {
        match part {
            Part::Data => self.has_data = false,
            Part::Chunk(validator) => drop(self.chunks.remove(&validator)),
        }
    }
}

/// What the loop is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Read the events of a leaf and of its ancestors above a height.
    WalkLeaf { leaf: Block, above: BlockNumber, parent_seen: bool },
    /// Find the path from a final block down to a height, and the events of blocks on it that were not seen.
    WalkFinal { target: Block, above: BlockNumber },
    /// Remove what has outlived its time.
    Remove { candidate: CandidateHash, parts: Vec<Part> },
}

/// The records, and how far the chain was followed.
pub(crate) struct State {
    config: StoreConfig,
    records: BTreeMap<CandidateHash, Record>,
    /// Candidates whose fate blocks that are not final will decide.
    open: BTreeSet<CandidateHash>,
    /// Blocks whose events were applied, with the session of their children.
    seen: BTreeMap<Block, SessionIndex>,
    /// The last final block that was applied.
    applied: Option<Block>,
    /// The last final block heard of.
    finalized: Option<Block>,
    walking: bool,
    dirty: BTreeSet<CandidateHash>,
}

impl State {
    /// Starts with what the disk holds: parts found, and the records that the index had of them. Parts without a
    /// record (the index was lost) are kept as if their candidate had just become final: nobody knows any more what
    /// became of it, and too long costs only disk.
    pub(crate) fn new(
        config: StoreConfig,
        found: BTreeMap<CandidateHash, BTreeSet<Part>>,
        mut indexed: BTreeMap<CandidateHash, Record>,
        now_ms: u64,
    ) -> Self {
        let mut dirty: BTreeSet<CandidateHash> =
            indexed.keys().filter(|candidate| !found.contains_key(candidate)).copied().collect();
        let mut records = BTreeMap::new();
        for (candidate, parts) in found {
            let known = indexed.remove(&candidate);
            let unknown = Fate { since_ms: now_ms, final_at_ms: Some(now_ms), ..Fate::default() };
            let mut record = Record {
                has_data: false,
                chunks: BTreeSet::new(),
                fate: known.as_ref().map_or(unknown, |record| record.fate.clone()),
            };
            for part in parts {
                match part {
                    Part::Data => record.has_data = true,
                    Part::Chunk(validator) => drop(record.chunks.insert(validator)),
                }
            }
            if known.as_ref() != Some(&record) {
                dirty.insert(candidate);
            }
            records.insert(candidate, record);
        }
        let open = records.iter().filter(|(_, record)| record.fate.is_open()).map(|(hash, _)| *hash).collect();
        Self { config, records, open, seen: BTreeMap::new(), applied: None, finalized: None, walking: false, dirty }
    }

    pub(crate) fn holds(&self, candidate: &CandidateHash, part: Part) -> bool {
        self.records.get(candidate).is_some_and(|record| match part {
            Part::Data => record.has_data,
            Part::Chunk(validator) => record.chunks.contains(&validator),
        })
    }

    /// Whose chunks of a candidate are held.
    pub(crate) fn chunks(&self, candidate: &CandidateHash) -> Vec<ValidatorIndex> {
        self.records.get(candidate).map(|record| record.chunks.iter().copied().collect()).unwrap_or_default()
    }

    /// Whether there is room for another part, or why not.
    pub(crate) fn admit(&self, candidate: &CandidateHash, part: Part) -> Result<(), String> {
        match self.records.get(candidate) {
            None if self.records.len() >= RECORDS_MAX => Err(format!("{RECORDS_MAX} candidates are kept already")),
            Some(record) if matches!(part, Part::Chunk(_)) && record.chunks.len() >= CHUNKS_PER_CANDIDATE_MAX => {
                Err(format!("{CHUNKS_PER_CANDIDATE_MAX} chunks of {candidate:?} are kept already"))
            }
            _ => Ok(()),
        }
    }

    /// A part is on disk and synced.
    pub(crate) fn stored(&mut self, candidate: CandidateHash, part: Part, now_ms: u64) {
        let record = self
            .records
            .entry(candidate)
            .or_insert_with(|| Record { fate: Fate { since_ms: now_ms, ..Fate::default() }, ..Record::default() });
        match part {
            Part::Data => record.has_data = true,
            Part::Chunk(validator) => drop(record.chunks.insert(validator)),
        }
        self.dirty.insert(candidate);
    }

    /// A part turned out to be damaged or gone.
    pub(crate) fn forget(&mut self, candidate: CandidateHash, part: Part) {
        if let Some(record) = self.records.get_mut(&candidate) {
            record.drop_part(part);
            self.dirty.insert(candidate);
        }
    }

    /// The heartbeat.
    pub(crate) fn on_update(&mut self, update: &LeavesUpdate) -> Vec<Effect> {
        if let Some(finalized) = update.finalized {
            self.finalized = Some(Block { number: finalized.number, hash: finalized.hash });
        }
        let floor = self.finalized.map(|block| block.number);
        let mut effects = Vec::new();
        for leaf in &update.started {
            let block = Block { number: leaf.number, hash: leaf.hash };
            if self.seen.contains_key(&block) || floor.is_some_and(|floor| leaf.number <= floor) {
                continue;
            }
            let parent = leaf.ancestors.first().zip(leaf.number.checked_sub(1));
            // A seen block's ancestors were seen as well: a walk counts as a whole or not at all.
            let parent_seen =
                parent.is_some_and(|(hash, number)| self.seen.contains_key(&Block { number, hash: *hash }));
            let above = floor.unwrap_or(leaf.number.saturating_sub(WALK_MAX)).max(leaf.number.saturating_sub(WALK_MAX));
            effects.push(Effect::WalkLeaf { leaf: block, above, parent_seen });
        }
        effects.extend(self.follow_finality());
        effects
    }

    /// Begins the walk to the newest final block, unless one is under way or nothing is new.
    pub(crate) fn follow_finality(&mut self) -> Option<Effect> {
        let target = self.finalized.filter(|target| self.applied != Some(*target) && !self.walking)?;
        // After a start: as deep as any record that is still open.
        let lowest_open =
            self.open.iter().filter_map(|candidate| self.records.get(candidate)?.fate.lowest_block()).min();
        let above = match self.applied {
            Some(applied) => applied.number,
            None => lowest_open.map_or(target.number, |lowest| lowest.min(target.number)).saturating_sub(1),
        };
        self.walking = true;
        Some(Effect::WalkFinal { target, above: above.max(target.number.saturating_sub(WALK_MAX)) })
    }

    /// Which blocks' events were applied.
    pub(crate) fn seen(&self) -> BTreeSet<Block> {
        self.seen.keys().copied().collect()
    }

    /// The events of blocks above the final one.
    pub(crate) fn on_leaf_walked(&mut self, blocks: Vec<Seen>, now_ms: u64) {
        let floor = self.applied.map_or(0, |block| block.number);
        let above = |seen: &Seen| self.applied.is_none() || seen.block.number > floor;
        let blocks: Vec<Seen> = blocks.into_iter().filter(above).collect();
        self.apply(blocks, now_ms);
    }

    fn apply(&mut self, blocks: Vec<Seen>, now_ms: u64) {
        for seen in blocks {
            if self.seen.insert(seen.block, seen.session).is_some() {
                continue;
            }
            for (candidate, happened) in seen.events {
                if self.records.len() >= RECORDS_MAX && !self.records.contains_key(&candidate) {
                    tracing::warn!(?candidate, "more candidates than the store remembers");
                    continue;
                }
                let record = self.records.entry(candidate).or_insert_with(|| Record {
                    fate: Fate { since_ms: now_ms, ..Fate::default() },
                    ..Record::default()
                });
                record.fate.apply(seen.block, seen.session, happened);
                if record.fate.is_open() {
                    self.open.insert(candidate);
                }
                if !record.holds_nothing() {
                    self.dirty.insert(candidate);
                }
            }
        }
        while self.seen.len() > SEEN_BLOCKS_MAX {
            self.seen.pop_first();
        }
    }

    /// The walk to a final block came to its end; `None` if it failed and is to be tried again.
    pub(crate) fn on_final_walked(
        &mut self,
        target: Block,
        walked: Option<(Vec<Block>, Vec<Seen>)>,
        now_ms: u64,
    ) -> Option<Effect> {
        self.walking = false;
        let (path, blocks) = walked?;
        let session = blocks.iter().find(|seen| seen.block == target).map(|seen| seen.session);
        self.apply(blocks, now_ms);
        let session = session.or_else(|| self.seen.get(&target).copied()).unwrap_or(0);
        let path: BTreeMap<BlockNumber, Hash> = path.into_iter().map(|block| (block.number, block.hash)).collect();
        let verdict = Verdict { finalized: target, session, path: &path };
        for candidate in std::mem::take(&mut self.open) {
            let Some(record) = self.records.get_mut(&candidate) else { continue };
            let before = record.fate.clone();
            record.fate.settle(&verdict, now_ms);
            if record.fate.is_open() {
                self.open.insert(candidate);
            }
            if record.fate != before && !record.holds_nothing() {
                self.dirty.insert(candidate);
            }
        }
        self.seen.retain(|block, _| block.number > target.number);
        self.applied = Some(target);
        self.follow_finality()
    }

    /// Takes out what has outlived its time.
    pub(crate) fn prune(&mut self, now_ms: u64) -> Vec<Effect> {
        let StoreConfig { never_included, data, chunk, .. } = self.config;
        let mut effects = Vec::new();
        let dirty = &mut self.dirty;
        self.records.retain(|candidate, record| {
            let over = |kept| record.fate.deadline(never_included, kept).is_some_and(|deadline| deadline <= now_ms);
            if record.holds_nothing() {
                // Remembered a while longer, for a part that comes late.
                return !over(never_included);
            }
            let (data_over, chunks_over) = (over(data), over(chunk));
            let mut parts = Vec::new();
            if record.has_data && data_over {
                parts.push(Part::Data);
            }
            if chunks_over {
                parts.extend(record.chunks.iter().map(|validator| Part::Chunk(*validator)));
            }
            if parts.is_empty() {
                return true;
            }
            parts.iter().for_each(|part| record.drop_part(*part));
            dirty.insert(*candidate);
            effects.push(Effect::Remove { candidate: *candidate, parts });
            !(record.holds_nothing() && chunks_over)
        });
        effects
    }

    /// The records that changed since the last call, `None` for those that are gone; at most `limit`.
    pub(crate) fn take_changes(&mut self, limit: usize) -> Vec<(CandidateHash, Option<Record>)> {
        let mut changes = Vec::new();
        while changes.len() < limit
            && let Some(candidate) = self.dirty.pop_first()
        {
            let record = self.records.get(&candidate).filter(|record| !record.holds_nothing()).cloned();
            changes.push((candidate, record));
        }
        changes
    }

    /// Changes that could not be committed are due again.
    pub(crate) fn not_committed(&mut self, candidates: Vec<CandidateHash>) {
        self.dirty.extend(candidates);
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
