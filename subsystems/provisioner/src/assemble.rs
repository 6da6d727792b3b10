//! What the runtime's inclusion inherent takes of what was collected. Pure.
//!
//! It follows the order of the runtime: bitfields may make candidates available, what is not available may time out,
//! then each free core takes one candidate of whoever is next.

use std::collections::BTreeMap;
use std::sync::Arc;

use ports::SessionContext;
use primitives::{
    BackedCandidate, Bits, BlockNumber, CoreIndex, CoreState, DescriptorVersion, Hash, Header, OccupiedCore,
    OccupiedCoreAssumption, ParaId, PersistedValidationData, ScheduledCore, SignedAvailabilityBitfield, backing_quorum,
    supermajority_threshold,
};

use crate::choice::{CandidateChoice, Offer};

/// What the chain says of a block's parent.
#[derive(Clone, Debug)]
pub(crate) struct ParentContext {
    pub(crate) hash: Hash,
    pub(crate) session: Arc<SessionContext>,
    pub(crate) cores: Arc<Vec<CoreState>>,
    pub(crate) header: Header,
}

/// A block that candidates may have as relay parent.
#[derive(Clone, Debug)]
pub(crate) struct RelayParent {
    /// As of this block: the group that had to back.
    pub(crate) session: Arc<SessionContext>,
    pub(crate) number: BlockNumber,
    pub(crate) storage_root: Hash,
}

/// A core that will be free when candidates are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FreeCore {
    pub(crate) core: CoreIndex,
    pub(crate) next: ScheduledCore,
    /// What happens to whatever that para has pending.
    pub(crate) assumption: OccupiedCoreAssumption,
}

/// The bitfields that count: of known validators, with a bit per core and none for a core that is not occupied, since
/// the runtime skips those whole. Ascending by validator, one of each.
pub(crate) fn usable_bitfields(
    parent: &ParentContext,
    bitfields: Vec<SignedAvailabilityBitfield>,
) -> Vec<SignedAvailabilityBitfield> {
    let occupied: Bits = parent.cores.iter().map(|core| matches!(core, CoreState::Occupied(_))).collect();
    let mut usable = bitfields;
    usable.retain(|signed| {
        let bits = &signed.payload().0;
        signed.validator_index().as_usize() < parent.session.validators.len()
            && bits.len() == occupied.len()
            && bits.iter_ones().all(|core| occupied[core])
    });
    usable.sort_by_key(SignedAvailabilityBitfield::validator_index);
    usable.dedup_by_key(|signed| signed.validator_index());
    usable
}

/// The cores that are free, or that these bitfields or the time free.
pub(crate) fn free_cores(parent: &ParentContext, bitfields: &[SignedAvailabilityBitfield]) -> Vec<FreeCore> {
    let number = parent.header.number.saturating_add(1);
    let free = |(index, state): (usize, &CoreState)| {
        let core = CoreIndex(index as u32);
        let (next, assumption) = match state {
            CoreState::Free => return None,
            CoreState::Scheduled(next) => (next.clone(), OccupiedCoreAssumption::Free),
            CoreState::Occupied(occupied) => {
                let (next, assumption) = if becomes_available(parent, core, occupied, bitfields) {
                    (occupied.next_up_on_available.clone()?, OccupiedCoreAssumption::Included)
                } else if number >= occupied.time_out_at {
                    (occupied.next_up_on_time_out.clone()?, OccupiedCoreAssumption::TimedOut)
                } else {
                    return None;
                };
                // Another para has nothing pending there.
                let same = next.para_id == occupied.para_id();
                (next, if same { assumption } else { OccupiedCoreAssumption::Free })
            }
        };
        Some(FreeCore { core, next, assumption })
    };
    parent.cores.iter().enumerate().filter_map(free).collect()
}

fn becomes_available(
    parent: &ParentContext,
    core: CoreIndex,
    occupied: &OccupiedCore,
    bitfields: &[SignedAvailabilityBitfield],
) -> bool {
    let validators = parent.session.validators.len();
    let mut holders = occupied.availability.clone();
    holders.resize(validators, false);
    for signed in bitfields {
        if signed.payload().0.get(core.as_usize()).is_some_and(|bit| *bit) {
            holders.set(signed.validator_index().as_usize(), true);
        }
    }
    holders.count_ones() >= supermajority_threshold(validators)
}

/// Whether the runtime takes a candidate on a core. `data` is what the para's next block builds on, as of the parent.
pub(crate) fn is_acceptable(
    parent: &ParentContext,
    relay_parents: &BTreeMap<Hash, RelayParent>,
    free: &FreeCore,
    data: &PersistedValidationData,
    offer: &Offer,
) -> bool {
    let descriptor = offer.backed.descriptor();
    let Some(relay_parent) = relay_parents.get(&descriptor.relay_parent()) else { return false };
    let author_fits = match &free.next.collator {
        None => {
            descriptor.version() == DescriptorVersion::V2
                && descriptor.core_index() == Some(free.core)
                && descriptor.session_index() == Some(parent.session.session_index)
        }
        Some(collator) => descriptor.collator() == Some(*collator),
    };
    let expected = if offer.relay_parent == parent.hash {
        data.hash()
    } else {
        let (relay_parent_number, relay_parent_storage_root) = (relay_parent.number, relay_parent.storage_root);
        PersistedValidationData { relay_parent_number, relay_parent_storage_root, ..data.clone() }.hash()
    };
    descriptor.relay_parent() == offer.relay_parent
        && descriptor.para_id() == free.next.para_id
        && author_fits
        && relay_parent.session.session_index == parent.session.session_index
        && descriptor.persisted_validation_data_hash() == expected
        && has_quorum(parent, relay_parent, free.core, &offer.backed)
}

fn has_quorum(parent: &ParentContext, relay_parent: &RelayParent, core: CoreIndex, backed: &BackedCandidate) -> bool {
    let (indices, named) = backed.validator_indices_and_core_index();
    let Some((_, group)) = relay_parent.session.group_for_core(core) else { return false };
    let votes = backed.validity_votes().len();
    named == Some(core)
        && indices.len() == group.len()
        && indices.count_ones() == votes
        && votes >= backing_quorum(group.len(), parent.session.configuration.minimum_backing_votes)
}

/// One candidate per core, one core per para, ascending by para: the runtime's order.
pub(crate) fn choose(
    choice: &dyn CandidateChoice,
    acceptable: impl IntoIterator<Item = (FreeCore, Vec<Offer>)>,
) -> Vec<BackedCandidate> {
    let mut chosen: BTreeMap<ParaId, Arc<BackedCandidate>> = BTreeMap::new();
    for (free, offers) in acceptable {
        if offers.is_empty() || chosen.contains_key(&free.next.para_id) {
            continue;
        }
        if let Some(offer) = choice.choose(free.core, &offers).and_then(|position| offers.get(position)) {
            chosen.insert(free.next.para_id, offer.backed.clone());
        }
    }
    chosen.into_values().map(|backed| (*backed).clone()).collect()
}
