//! The choice at each leaf: offers in, at most one proposal at a time out. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use messages::candidate_backing::Second;
use messages::candidate_selection::{Invalid, NewCandidate, Seconded};
use messages::collation_distribution::{FetchCollation, FetchedCollation};
use primitives::{CandidateHash, CollatorId, Hash};

use crate::assignment::Assignment;
use crate::policy::{Choice, Offers, SelectionPolicy};
use crate::{BLACKLIST_MAX, OFFERS_MAX, PROPOSALS_MAX};

/// What the loop has to do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Call [`State::woken`] at this time of the clock.
    Sleep { relay_parent: Hash, until: Duration },
    /// Fetch, then call [`State::fetched`].
    Fetch(FetchCollation),
    /// Propose to backing.
    Second(Box<Second>),
    /// Have the collator disconnected and refused.
    Report(CollatorId),
}

enum Phase {
    /// Which core is ours is not known yet; offers are held.
    Unassigned,
    Choosing(Assignment),
    Fetching(Assignment, NewCandidate),
    /// Backing has it; more is chosen only if it proves invalid.
    Proposed(Assignment, CandidateHash),
    /// One was seconded.
    Done,
}

struct Offer {
    arrived: Duration,
    candidate: NewCandidate,
}

struct Leaf {
    started: Duration,
    random: u64,
    phase: Phase,
    offers: Vec<Offer>,
    /// Since the start; set while a sleep runs.
    timer: Option<Duration>,
}

/// A candidate that backing has from us. It may judge after the leaf is gone.
struct Proposal {
    relay_parent: Hash,
    candidate_hash: CandidateHash,
    collator: CollatorId,
}

/// What is offered, chosen, proposed and refused.
pub(crate) struct State {
    policy: Box<dyn SelectionPolicy>,
    leaves: BTreeMap<Hash, Leaf>,
    proposals: VecDeque<Proposal>,
    blacklist: VecDeque<CollatorId>,
}

impl State {
    pub(crate) fn new(policy: Box<dyn SelectionPolicy>) -> Self {
        Self { policy, leaves: BTreeMap::new(), proposals: VecDeque::new(), blacklist: VecDeque::new() }
    }

    /// Work on a leaf begins; offers are held until [`Self::assigned`].
    pub(crate) fn start(&mut self, relay_parent: Hash, now: Duration, random: u64) {
        let leaf = Leaf { started: now, random, phase: Phase::Unassigned, offers: Vec::new(), timer: None };
        self.leaves.insert(relay_parent, leaf);
    }

    pub(crate) fn stop(&mut self, relay_parent: &Hash) {
        self.leaves.remove(relay_parent);
    }

    /// What is to be seconded there is known; nothing, if `None`.
    pub(crate) fn assigned(&mut self, at: Hash, assignment: Option<Assignment>, now: Duration) -> Option<Effect> {
        let Some(assignment) = assignment else {
            self.leaves.remove(&at);
            return None;
        };
        let leaf = self.leaves.get_mut(&at)?;
        leaf.offers.retain(|offer| concerns(&assignment, &offer.candidate));
        leaf.phase = Phase::Choosing(assignment);
        self.choose(at, now)
    }

    /// A collator advertises.
    pub(crate) fn offered(&mut self, candidate: NewCandidate, now: Duration) -> Option<Effect> {
        let at = candidate.relay_parent;
        if self.blacklist.contains(&candidate.collator) {
            return None;
        }
        let leaf = self.leaves.get_mut(&at)?;
        let wanted = match &leaf.phase {
            Phase::Unassigned => true,
            Phase::Choosing(assignment) | Phase::Fetching(assignment, _) | Phase::Proposed(assignment, _) => {
                concerns(assignment, &candidate)
            }
            Phase::Done => false,
        };
        let same =
            |known: &NewCandidate| known.peer == candidate.peer && known.candidate_hash == candidate.candidate_hash;
        let in_hand = matches!(&leaf.phase, Phase::Fetching(_, fetching) if same(fetching));
        if !wanted
            || in_hand
            || leaf.offers.len() >= OFFERS_MAX
            || leaf.offers.iter().any(|offer| same(&offer.candidate))
        {
            tracing::debug!(relay_parent = ?at, candidate = ?candidate.candidate_hash, "advertisement passed over");
            return None;
        }
        leaf.offers.push(Offer { arrived: now.saturating_sub(leaf.started), candidate });
        self.choose(at, now)
    }

    /// A sleep is over.
    pub(crate) fn woken(&mut self, at: Hash, now: Duration) -> Option<Effect> {
        self.leaves.get_mut(&at)?.timer = None;
        self.choose(at, now)
    }

    /// The end of a fetch; `None` if it failed, then the next is chosen.
    pub(crate) fn fetched(&mut self, at: Hash, fetched: Option<FetchedCollation>, now: Duration) -> Vec<Effect> {
        let Some(leaf) = self.leaves.get_mut(&at) else { return Vec::new() };
        let (assignment, candidate) = match std::mem::replace(&mut leaf.phase, Phase::Unassigned) {
            Phase::Fetching(assignment, candidate) => (assignment, candidate),
            other => {
                leaf.phase = other;
                return Vec::new();
            }
        };
        let checked = fetched.map(|fetched| (assignment.check(at, &fetched.receipt), fetched));
        let mut effects = Vec::new();
        match checked {
            // The collator may have been refused while the fetch ran.
            Some((Ok(()), FetchedCollation { receipt, pov })) if !self.blacklist.contains(&candidate.collator) => {
                leaf.phase = Phase::Proposed(assignment, candidate.candidate_hash);
                self.remember(Proposal {
                    relay_parent: at,
                    candidate_hash: candidate.candidate_hash,
                    collator: candidate.collator,
                });
                return vec![Effect::Second(Box::new(Second { relay_parent: at, receipt, pov }))];
            }
            Some((Err(unfit), _)) => {
                tracing::debug!(relay_parent = ?at, collator = ?candidate.collator, %unfit, "collation passed over");
                leaf.phase = Phase::Choosing(assignment);
                if unfit.is_fault() {
                    effects.push(self.refuse(candidate.collator));
                }
            }
            _ => leaf.phase = Phase::Choosing(assignment),
        }
        effects.extend(self.choose(at, now));
        effects
    }

    /// Backing found a proposal of ours invalid: its collator is refused, and the leaf may try another.
    pub(crate) fn invalid(&mut self, invalid: &Invalid, now: Duration) -> Vec<Effect> {
        let (at, hash) = (invalid.relay_parent, invalid.receipt.hash());
        let known = |known: &Proposal| known.relay_parent == at && known.candidate_hash == hash;
        let Some(proposal) = self.proposals.iter().position(known).and_then(|index| self.proposals.remove(index))
        else {
            tracing::debug!(relay_parent = ?at, candidate = ?hash, "invalid candidate is none of our proposals");
            return Vec::new();
        };
        let mut effects = vec![self.refuse(proposal.collator)];
        if let Some(leaf) = self.leaves.get_mut(&at) {
            leaf.offers.retain(|offer| offer.candidate.candidate_hash != hash);
            leaf.phase = match std::mem::replace(&mut leaf.phase, Phase::Done) {
                Phase::Proposed(assignment, proposed) if proposed == hash => Phase::Choosing(assignment),
                other => other,
            };
            effects.extend(self.choose(at, now));
        }
        effects
    }

    /// A proposal was seconded: nothing more is chosen there.
    pub(crate) fn seconded(&mut self, seconded: &Seconded) {
        let ours = |known: &Proposal| {
            known.relay_parent == seconded.relay_parent && known.candidate_hash == seconded.candidate_hash
        };
        self.proposals.retain(|known| !ours(known));
        if let Some(leaf) = self.leaves.get_mut(&seconded.relay_parent) {
            leaf.phase = Phase::Done;
            leaf.offers.clear();
        }
    }

    fn choose(&mut self, at: Hash, now: Duration) -> Option<Effect> {
        let leaf = self.leaves.get_mut(&at)?;
        let Phase::Choosing(assignment) = &leaf.phase else { return None };
        let elapsed = now.saturating_sub(leaf.started);
        let arrivals: Vec<Duration> = leaf.offers.iter().map(|offer| offer.arrived).collect();
        match self.policy.choose(&Offers { random: leaf.random, elapsed, arrivals: &arrivals }) {
            Choice::Take(position) if position < leaf.offers.len() => {
                let candidate = leaf.offers.remove(position).candidate;
                let (peer, candidate_hash) = (candidate.peer.clone(), candidate.candidate_hash);
                leaf.phase = Phase::Fetching(assignment.clone(), candidate);
                Some(Effect::Fetch(FetchCollation { relay_parent: at, peer, candidate_hash }))
            }
            Choice::WaitUntil(time) if time > elapsed && leaf.timer != Some(time) => {
                leaf.timer = Some(time);
                Some(Effect::Sleep { relay_parent: at, until: leaf.started.saturating_add(time) })
            }
            Choice::Take(_) | Choice::WaitUntil(_) | Choice::WaitForMore => None,
        }
    }

    /// Nothing by this collator is chosen any more. The oldest entry makes room for the newest.
    fn refuse(&mut self, collator: CollatorId) -> Effect {
        if !self.blacklist.contains(&collator) {
            self.blacklist.push_back(collator);
        }
        if self.blacklist.len() > BLACKLIST_MAX {
            self.blacklist.pop_front();
        }
        for leaf in self.leaves.values_mut() {
            leaf.offers.retain(|offer| offer.candidate.collator != collator);
        }
        Effect::Report(collator)
    }

    fn remember(&mut self, proposal: Proposal) {
        self.proposals.push_back(proposal);
        if self.proposals.len() > PROPOSALS_MAX {
            self.proposals.pop_front();
        }
    }
}

fn concerns(assignment: &Assignment, candidate: &NewCandidate) -> bool {
    candidate.para_id == assignment.para_id && assignment.allows(&candidate.collator)
}
