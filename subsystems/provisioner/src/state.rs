//! What was collected for each relay parent in view. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jobs::ScopeView as _;
use messages::provisioner::{BackableCandidate, Bitfield};
use messages::{LeavesState, LeavesUpdate};
use primitives::limits::MAX_VALIDATORS;
use primitives::{CandidateHash, Hash, SignedAvailabilityBitfield, ValidatorIndex};

use crate::DEPTH;
use crate::choice::Offer;

/// Bitfields per leaf: one per validator.
pub const BITFIELDS_MAX: usize = MAX_VALIDATORS;
/// Candidates per relay parent; backing offers at most one per validator, and only with a quorum.
pub const OFFERS_MAX: usize = 1024;

#[derive(Debug, Default)]
struct Collected {
    bitfields: BTreeMap<ValidatorIndex, SignedAvailabilityBitfield>,
    offers: BTreeMap<CandidateHash, Offer>,
}

/// What there is to author from at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) parent: Hash,
    /// The parent's ancestors of the same session, nearest first.
    pub(crate) ancestors: Arc<[Hash]>,
    pub(crate) bitfields: Vec<SignedAvailabilityBitfield>,
    /// In order of arrival.
    pub(crate) offers: Vec<Offer>,
}

/// All relay parents in view.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) view: LeavesState,
    collected: BTreeMap<Hash, Collected>,
    arrivals: u64,
}

impl State {
    pub(crate) fn on_leaves(&mut self, update: &LeavesUpdate) {
        self.view.apply(update);
        let view = &self.view;
        self.collected.retain(|hash, collected| {
            if !view.is_active(hash) {
                // Nobody authors on it any more.
                collected.bitfields.clear();
            }
            view.is_in_view(hash, DEPTH)
        });
    }

    pub(crate) fn on_bitfield(&mut self, message: Bitfield) {
        let Bitfield { relay_parent, signed } = message;
        if !self.view.is_active(&relay_parent) {
            tracing::debug!(?relay_parent, "bitfield for no active leaf");
            return;
        }
        let bitfields = &mut self.collected.entry(relay_parent).or_default().bitfields;
        if bitfields.len() < BITFIELDS_MAX {
            bitfields.entry(signed.validator_index()).or_insert(signed);
        }
    }

    pub(crate) fn on_backable(&mut self, message: BackableCandidate) {
        let BackableCandidate { relay_parent, backed } = message;
        if !self.view.is_in_view(&relay_parent, DEPTH) {
            tracing::debug!(?relay_parent, "candidate for a relay parent not in view");
            return;
        }
        let (candidate, votes) = (backed.hash(), backed.validity_votes().len());
        let offers = &mut self.collected.entry(relay_parent).or_default().offers;
        if let Some(known) = offers.get_mut(&candidate) {
            if votes > known.backed.validity_votes().len() {
                known.backed = Arc::new(backed);
            }
        } else if offers.len() < OFFERS_MAX {
            let arrival = self.arrivals;
            self.arrivals += 1;
            offers.insert(candidate, Offer { arrival, relay_parent, backed: Arc::new(backed) });
        } else {
            tracing::debug!(?relay_parent, ?candidate, "more candidates than are kept");
        }
    }

    /// What there is for a block on an active leaf; `None` if it is not one.
    pub(crate) fn snapshot(&self, parent: Hash) -> Option<Snapshot> {
        let leaf = self.view.leaves.get(&parent)?;
        let relay_parents = std::iter::once(&parent).chain(leaf.ancestors.iter());
        let collected = relay_parents.filter_map(|hash| self.collected.get(hash));
        let mut offers: Vec<Offer> = collected.flat_map(|collected| collected.offers.values().cloned()).collect();
        offers.sort_by_key(|offer| offer.arrival);
        let bitfields = self.collected.get(&parent).map(|collected| collected.bitfields.values().cloned().collect());
        let (ancestors, bitfields) = (leaf.ancestors.clone(), bitfields.unwrap_or_default());
        Some(Snapshot { parent, ancestors, bitfields, offers })
    }
}
