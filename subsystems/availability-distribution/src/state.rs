//! Which candidates are live, and whether we hold our chunk of them: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jobs::ScopeView as _;
use messages::runtime_api::SessionContext;
use messages::{LeavesState, LeavesUpdate};
use primitives::{BlockNumber, CandidateHash, CoreIndex, Hash, ValidatorId, ValidatorIndex};

/// Ancestors of a head whose pending candidates are live (seed 001, Availability Distribution: K).
pub(crate) const LIVE_DEPTH: u32 = 3;
/// Blocks above the final one that are remembered; of more the lowest are forgotten.
pub(crate) const BLOCKS_MAX: usize = 4096;
/// Ancestors looked at for included candidates when a head comes whose parent is not known.
pub(crate) const CATCH_UP_BLOCKS_MAX: u32 = 64;
/// Validators outside the group that are asked in one round, after the whole group.
pub(crate) const OTHERS_ASKED_MAX: usize = 3;

/// A candidate as distribution sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) candidate: CandidateHash,
    pub(crate) erasure_root: Hash,
    pub(crate) relay_parent: Hash,
    pub(crate) core: CoreIndex,
    /// The candidate's session.
    pub(crate) session: Arc<SessionContext>,
    /// Who has backed it and holds the whole data.
    pub(crate) group: Vec<ValidatorIndex>,
    /// Who we are in that session.
    pub(crate) ours: Option<ValidatorIndex>,
}

impl Work {
    /// Whom to ask for our chunk, in order: the group, then some others. Begins elsewhere for each validator and each
    /// round, so that the load spreads.
    pub(crate) fn ask_order(&self, round: u32) -> Vec<(ValidatorIndex, ValidatorId)> {
        let Some(ours) = self.ours else { return Vec::new() };
        let validators = &self.session.validators;
        let start = ours.as_usize().wrapping_add(round as usize);
        let rotated = |length: usize| (0..length).map(move |step| (start % length + step) % length);
        let group = rotated(self.group.len()).map(|position| self.group[position]).filter(|member| *member != ours);
        let others = rotated(validators.len()).map(|index| ValidatorIndex(index as u32));
        let others = others.filter(|other| *other != ours && !self.group.contains(other)).take(OTHERS_ASKED_MAX);
        group.chain(others).filter_map(|index| Some((index, *validators.get(index.as_usize())?))).collect()
    }
}

/// What a block says of candidates.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockInfo {
    /// Pending availability for work on top of it.
    pub(crate) pending: Vec<Arc<Work>>,
    /// Included by it.
    pub(crate) included: Vec<Arc<Work>>,
}

/// How far we are with our chunk of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// We are no validator of its session.
    NotOurs,
    /// Nothing is under way; the next head tries again.
    Idle,
    /// The first round is under way.
    Fetching,
    /// An earlier round found nothing; the next waits for its time or is under way.
    Pausing,
    /// Our own data is being encoded.
    Encoding,
    /// Recovery is asked for the whole data.
    Recovering,
    /// It is in the store.
    Held,
}

#[derive(Clone, Debug)]
struct Want {
    work: Arc<Work>,
    live: bool,
    status: Status,
    round: u32,
    /// Our data does not encode to the root: no use to try again.
    network_only: bool,
}

/// What the loop is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Read what these blocks say of candidates, and, `deep` below the last, of so many ancestors more.
    Load { blocks: Vec<(BlockNumber, Hash)>, deep: u32 },
    /// Look for our chunk: in the store, in our data (not if `network_only`), at the others. After a pause if `pause`.
    Fetch { work: Arc<Work>, round: u32, pause: bool, network_only: bool },
    /// Encode the data that we hold.
    Encode(Arc<Work>),
    /// Recover the data, and keep our chunk of it.
    Recover(Arc<Work>),
    /// Stop whatever is under way for our chunk.
    Stop(CandidateHash),
}

/// The live candidates.
#[derive(Default)]
pub(crate) struct State {
    view: LeavesState,
    blocks: BTreeMap<(BlockNumber, Hash), BlockInfo>,
    wants: BTreeMap<CandidateHash, Want>,
}

impl State {
    /// A candidate that is live, or included and not final.
    pub(crate) fn work(&self, candidate: &CandidateHash) -> Option<Arc<Work>> {
        self.wants.get(candidate).map(|want| want.work.clone())
    }

    fn set(&mut self, candidate: &CandidateHash, status: Status) {
        if let Some(want) = self.wants.get_mut(candidate) {
            want.status = status;
        }
    }

    /// The heartbeat.
    pub(crate) fn on_update(&mut self, update: &LeavesUpdate) -> Vec<Effect> {
        self.view.apply(update);
        let finalized = self.view.finalized_height();
        let mut effects = Vec::new();
        for leaf in &update.started {
            let ancestors = leaf.ancestors.iter().take(LIVE_DEPTH as usize);
            let heights = (0..=leaf.number).rev();
            let chain: Vec<(BlockNumber, Hash)> = heights
                .zip(std::iter::once(&leaf.hash).chain(ancestors))
                .map(|(number, hash)| (number, *hash))
                .collect();
            let lowest = chain.last().map_or(leaf.number, |(number, _)| *number);
            // None of them known means that heads were missed: candidates may have been included meanwhile.
            let missed = !chain.iter().skip(1).any(|block| self.blocks.contains_key(block));
            let deep = if missed { lowest.saturating_sub(finalized + 1).min(CATCH_UP_BLOCKS_MAX) } else { 0 };
            let blocks: Vec<_> = chain.into_iter().filter(|block| !self.blocks.contains_key(block)).collect();
            if !blocks.is_empty() {
                effects.push(Effect::Load { blocks, deep });
            }
        }
        if !update.started.is_empty() {
            effects.extend(self.hurry());
        }
        let view = &self.view;
        self.blocks.retain(|(number, hash), _| *number > finalized || view.is_in_view(hash, LIVE_DEPTH));
        effects.extend(self.refresh());
        effects
    }

    /// A new head ends the pause of those who wait for the next round.
    fn hurry(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (candidate, want) in self.wants.iter_mut().filter(|(_, want)| want.status == Status::Pausing) {
            // Rounds may take longer than a block: begin with the next member, not again with a slow one.
            want.round = want.round.wrapping_add(1);
            want.status = Status::Idle;
            effects.push(Effect::Stop(*candidate));
        }
        effects
    }

    /// Blocks were read.
    pub(crate) fn on_loaded(&mut self, blocks: Vec<((BlockNumber, Hash), BlockInfo)>) -> Vec<Effect> {
        let finalized = self.view.finalized_height();
        for (block, info) in blocks {
            if block.0 > finalized || self.view.is_in_view(&block.1, LIVE_DEPTH) {
                self.blocks.insert(block, info);
            }
        }
        while self.blocks.len() > BLOCKS_MAX {
            self.blocks.pop_first();
        }
        self.refresh()
    }

    /// Compares what is wanted with what the blocks say.
    fn refresh(&mut self) -> Vec<Effect> {
        let finalized = self.view.finalized_height();
        let mut live: BTreeMap<CandidateHash, &Arc<Work>> = BTreeMap::new();
        let mut included: BTreeMap<CandidateHash, &Arc<Work>> = BTreeMap::new();
        for ((number, hash), info) in &self.blocks {
            if self.view.is_in_view(hash, LIVE_DEPTH) {
                live.extend(info.pending.iter().map(|work| (work.candidate, work)));
            }
            if *number > finalized {
                included.extend(info.included.iter().map(|work| (work.candidate, work)));
            }
        }
        let mut effects = Vec::new();
        self.wants.retain(|candidate, want| {
            let keep = live.contains_key(candidate) || included.contains_key(candidate);
            if !keep {
                effects.push(Effect::Stop(*candidate));
            }
            want.live = live.contains_key(candidate);
            keep
        });
        for (candidate, work) in included.iter().chain(&live) {
            self.wants.entry(*candidate).or_insert_with(|| Want {
                work: (*work).clone(),
                live: live.contains_key(candidate),
                status: if work.ours.is_some() { Status::Idle } else { Status::NotOurs },
                round: 0,
                network_only: false,
            });
        }
        for (candidate, want) in &mut self.wants {
            match (want.live, want.status) {
                (true, Status::Idle) => {
                    want.status = Status::Fetching;
                    effects.push(want.fetch(false));
                }
                // Included, and no longer pending in any head or its last ancestors: the group owes us nothing more.
                (false, Status::Idle | Status::Fetching | Status::Pausing | Status::Encoding) => {
                    effects.push(Effect::Stop(*candidate));
                    effects.push(Effect::Recover(want.work.clone()));
                    want.status = Status::Recovering;
                }
                _ => {}
            }
        }
        effects
    }

    /// Our chunk is in the store.
    pub(crate) fn on_held(&mut self, candidate: &CandidateHash) {
        self.set(candidate, Status::Held);
    }

    /// The store has the whole data, so that our chunk can be made.
    pub(crate) fn on_have_data(&mut self, candidate: &CandidateHash) -> Option<Effect> {
        let want = self.wants.get_mut(candidate).filter(|want| want.is_fetching())?;
        want.status = Status::Encoding;
        Some(Effect::Encode(want.work.clone()))
    }

    /// Our data was encoded. Returns the candidate if our chunk is to be stored from it.
    pub(crate) fn on_encoded(&mut self, candidate: &CandidateHash) -> Option<Arc<Work>> {
        let want = self.wants.get_mut(candidate).filter(|want| want.status == Status::Encoding)?;
        want.status = Status::Fetching;
        Some(want.work.clone())
    }

    /// Our data could not be encoded to the candidate's root: ask the others.
    pub(crate) fn on_not_encoded(&mut self, candidate: &CandidateHash) -> Option<Effect> {
        let want = self.wants.get_mut(candidate).filter(|want| want.status == Status::Encoding)?;
        want.status = Status::Fetching;
        want.network_only = true;
        Some(want.fetch(false))
    }

    /// A round found nothing.
    pub(crate) fn on_missing(&mut self, candidate: &CandidateHash) -> Option<Effect> {
        let want = self.wants.get_mut(candidate)?;
        match want.status {
            Status::Fetching | Status::Pausing if want.live => {
                want.round = want.round.wrapping_add(1);
                want.status = Status::Pausing;
                Some(want.fetch(true))
            }
            Status::Held | Status::NotOurs => None,
            _ => {
                want.status = Status::Idle;
                None
            }
        }
    }

    /// A job was not started for lack of room: the next head tries again.
    pub(crate) fn on_refused(&mut self, candidate: &CandidateHash) {
        self.set(candidate, Status::Idle);
    }

    /// Candidates whose encoding may still be asked for.
    pub(crate) fn known(&self) -> BTreeSet<CandidateHash> {
        self.wants.keys().copied().collect()
    }
}

impl Want {
    fn is_fetching(&self) -> bool {
        matches!(self.status, Status::Fetching | Status::Pausing)
    }

    fn fetch(&self, pause: bool) -> Effect {
        let (work, network_only) = (self.work.clone(), self.network_only);
        Effect::Fetch { work, round: self.round, pause, network_only }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
