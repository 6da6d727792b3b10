//! What is given up: blocks that include a candidate which was judged invalid (MS-5, RT-7).
//!
//! The first state in the tree that judges a candidate invalid condemns it, for the node as a whole: the verdict rests on
//! votes of the candidate's session, and those hold on every fork. So every block above the finalized one that includes
//! the candidate is given up with all that descends from it, whatever its own fork says, and so is every one that comes
//! later. The chain goes on from the last good ancestor, with all paras and queues as they were then; whoever authors
//! there brings the votes along, so that the fork judges as well and frees the core. What is final stays: then only people
//! can help, and an alarm is raised. A candidate that nobody could get hold of is no better on the fork that says so, and
//! may be available on others: only that fork is given up.
//!
//! **Limits**: [`CONDEMNED_MAX`] candidates; they are forgotten with their sessions.

use std::collections::{BTreeMap, BTreeSet};

use primitives::{BlockNumber, CandidateHash, DisputeStatementSet, Hash, InherentData, SessionIndex};
use runtime::{State, Verdict, limits::PAST_SESSIONS_KEPT};

use crate::{chain::BlockData, tree::Tree};

/// Condemned candidates that are remembered, the newest sessions first.
pub const CONDEMNED_MAX: usize = 256;

type Key = (SessionIndex, CandidateHash);

/// Candidates that were judged invalid on some fork, each with the votes that show it.
#[derive(Debug, Default)]
pub(crate) struct Condemned {
    votes: BTreeMap<Key, DisputeStatementSet>,
}

impl Condemned {
    /// Whether a state's own block includes one of them.
    pub(crate) fn is_in(&self, state: &State) -> bool {
        !self.votes.is_empty() && state.included_here().any(|key| self.votes.contains_key(&key))
    }

    /// Their names.
    pub(crate) fn names(&self) -> BTreeSet<Key> {
        self.votes.keys().copied().collect()
    }

    /// Puts the votes on candidates of which `parent` does not know yet before those that the inherent has.
    pub(crate) fn tell(&self, parent: &State, inherent: &mut InherentData) {
        let unknown =
            self.votes.iter().filter(|((session, candidate), _)| !parent.is_blacklisted(*session, *candidate));
        let mut sets: Vec<_> = unknown.map(|(_, votes)| votes.clone()).collect();
        if !sets.is_empty() {
            sets.append(&mut inherent.disputes);
            inherent.disputes = sets;
        }
    }

    /// What a state judges invalid and nobody did before. That nobody could get hold of a candidate says nothing about
    /// it on other forks.
    fn learn(&mut self, state: &State) -> Vec<Key> {
        let is_invalid =
            |(session, candidate): &Key| state.settled_dispute(*session, *candidate) != Some(Verdict::Unavailable);
        let new = state.blacklist().filter(|key| !self.votes.contains_key(key));
        let new: Vec<Key> = new.filter(is_invalid).collect();
        for (session, candidate) in &new {
            let none = || DisputeStatementSet { candidate_hash: *candidate, session: *session, statements: Vec::new() };
            let votes = state.dispute_votes(*session, *candidate).unwrap_or_else(none);
            self.votes.insert((*session, *candidate), votes);
        }
        new
    }

    /// Forgets what no block can include any more: `finalized` is the state of the finalized block.
    pub(crate) fn forget(&mut self, finalized: &State) {
        let oldest = finalized.session_index().saturating_sub(PAST_SESSIONS_KEPT);
        self.votes.retain(|(session, _), _| *session >= oldest);
        while self.votes.len() > CONDEMNED_MAX {
            self.votes.pop_first();
        }
    }
}

/// What came of a block's verdicts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The first blocks of the forks that are given up now.
    pub(crate) abandoned: Vec<Hash>,
    /// Candidates judged whose block is final: alarms.
    pub(crate) too_late: usize,
}

/// Gives up what the verdicts in the state of a new block, or those known before, say is to be given up.
pub(crate) fn judge(tree: &mut Tree<BlockData>, condemned: &mut Condemned, hash: &Hash) -> Judged {
    let Some(entry) = tree.get(hash) else { return Judged::default() };
    let state = entry.data.state.clone();
    let new = condemned.learn(&state);
    let floor = tree.finalized().1.header.number;
    let mut bad: Vec<(BlockNumber, Hash)> = Vec::new();
    if !new.is_empty() {
        let includes = |state: &State| state.included_here().any(|key| new.contains(&key));
        let found = tree.entries().filter(|entry| entry.header.number > floor && includes(&entry.data.state));
        bad.extend(found.map(|entry| (entry.header.number, entry.header.hash())));
    }
    if condemned.is_in(&state) {
        bad.push((state.number(), *hash));
    }
    let mut judged = Judged::default();
    for revert in state.reverts().iter().filter(|revert| revert.signalled_in == state.number()) {
        let (candidate, last_good) = (revert.candidate, revert.last_good_number);
        if last_good < floor {
            tracing::error!(last_good, finalized = floor, ?candidate, "a candidate in a finalized block was judged");
            judged.too_late += 1;
        } else if let Some(first_bad) = tree.ancestor_at(hash, last_good.saturating_add(1)) {
            bad.push((last_good.saturating_add(1), first_bad));
        }
    }
    bad.sort_unstable();
    for (number, bad) in bad {
        if tree.get(&bad).is_some_and(|entry| !entry.is_given_up) {
            tracing::warn!(number, hash = ?bad, judged_in = ?hash, "a fork is given up for what it includes");
            tree.give_up(&bad);
            judged.abandoned.push(bad);
        }
    }
    judged
}
