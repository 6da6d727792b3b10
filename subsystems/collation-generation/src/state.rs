//! Which cores a para may take next, and whether a collation can be accepted at all. Pure.

use ports::Collation;
use primitives::{CollatorId, CoreIndex, CoreState, HostConfiguration, OccupiedCoreAssumption, ParaId, ScheduledCore};

/// A core that a block of the para may take after this leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) core: CoreIndex,
    /// What must become of the core's present candidate for that.
    pub(crate) assumption: OccupiedCoreAssumption,
    /// The only collator allowed, on parathread cores.
    pub(crate) collator: Option<CollatorId>,
}

/// A part of a collation over its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) what: &'static str,
    pub(crate) size: usize,
    pub(crate) limit: u32,
}

/// The cores that the para may take, in order. A parathread's core counts only for the collator whose claim it is.
pub(crate) fn slots(para: ParaId, cores: &[CoreState], ours: Option<&CollatorId>) -> Vec<Slot> {
    let fits = |scheduled: &ScheduledCore| {
        scheduled.para_id == para && scheduled.collator.as_ref().is_none_or(|claimed| Some(claimed) == ours)
    };
    let slot = |(index, core): (usize, &CoreState)| {
        let (scheduled, assumption) = match core {
            CoreState::Scheduled(scheduled) => (scheduled, OccupiedCoreAssumption::Free),
            CoreState::Occupied(core) => (core.next_up_on_available.as_ref()?, OccupiedCoreAssumption::Included),
            CoreState::Free => return None,
        };
        fits(scheduled).then_some(Slot { core: CoreIndex(index as u32), assumption, collator: scheduled.collator })
    };
    cores.iter().enumerate().filter_map(slot).collect()
}

/// Whether validators would take the collation, by size.
pub(crate) fn check(collation: &Collation, configuration: &HostConfiguration) -> Result<(), Refused> {
    let within = |what, size: usize, limit: u32| {
        if size > limit as usize { Err(Refused { what, size, limit }) } else { Ok(()) }
    };
    within("proof of validity", collation.proof_of_validity.encoded_len(), configuration.max_pov_size)?;
    within("head data", collation.head_data.0.len(), configuration.max_head_data_size)?;
    let code = collation.new_validation_code.as_ref().map_or(0, |code| code.0.len());
    within("validation code", code, configuration.max_code_size)
}
