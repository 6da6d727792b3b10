//! Who may back what at one relay parent. Pure.

use std::sync::Arc;

use ports::SessionContext;
use primitives::{
    CandidateDescriptor, CoreIndex, CoreState, DescriptorVersion, ScheduledCore, SigningContext, ValidatorId,
    ValidatorIndex, backing_quorum,
};

/// The validator whose key we hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) key: ValidatorId,
    pub(crate) index: ValidatorIndex,
    /// The core that its group serves; `None` if there is no such core.
    pub(crate) core: Option<CoreIndex>,
}

/// Validators, groups and cores for a child of a relay parent.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) session: Arc<SessionContext>,
    cores: Arc<Vec<CoreState>>,
    pub(crate) local: Option<Local>,
}

impl Assignment {
    /// `keys` are those that we hold; the first that is in the validator set is the local one.
    pub(crate) fn new(session: Arc<SessionContext>, cores: Arc<Vec<CoreState>>, keys: &[ValidatorId]) -> Self {
        let local = keys.iter().find_map(|key| {
            let index = session.validator_index(key)?;
            let core = session
                .group_of(index)
                .map(|group| session.rotation.core_for_group(group, session.groups.len()))
                .filter(|core| core.as_usize() < cores.len());
            Some(Local { key: *key, index, core })
        });
        Self { session, cores, local }
    }

    /// The core on which a candidate may be backed: the one it names, or for version 1 the one that waits for it. `None`
    /// if nobody may back it here.
    pub(crate) fn core_of(&self, descriptor: &CandidateDescriptor) -> Option<CoreIndex> {
        let core = match descriptor.version() {
            DescriptorVersion::V1 => {
                let position = self.cores.iter().position(|core| admits(core, descriptor))?;
                CoreIndex(position as u32)
            }
            _ => descriptor.core_index()?,
        };
        let same_session = descriptor.session_index().is_none_or(|session| session == self.session.session_index);
        (same_session && self.cores.get(core.as_usize()).is_some_and(|state| admits(state, descriptor))).then_some(core)
    }

    /// The members of the group that serves a core.
    pub(crate) fn group(&self, core: CoreIndex) -> &[ValidatorIndex] {
        self.session.group_for_core(core).map_or(&[], |(_, members)| members)
    }

    /// Votes that make a candidate on a core backable.
    pub(crate) fn quorum(&self, core: CoreIndex) -> usize {
        backing_quorum(self.group(core).len(), self.session.configuration.minimum_backing_votes)
    }
}

/// Whether the core may take the candidate, now or once it is free.
fn admits(core: &CoreState, descriptor: &CandidateDescriptor) -> bool {
    let fits = |next: &ScheduledCore| {
        next.para_id == descriptor.para_id()
            && next.collator.is_none_or(|collator| descriptor.collator() == Some(collator))
    };
    match core {
        CoreState::Free => false,
        CoreState::Scheduled(next) => fits(next),
        CoreState::Occupied(core) => {
            core.next_up_on_available.as_ref().is_some_and(fits) || core.next_up_on_time_out.as_ref().is_some_and(fits)
        }
    }
}

/// In what statements at a relay parent are signed.
pub(crate) fn signing_context(session: &SessionContext, relay_parent: primitives::Hash) -> SigningContext {
    SigningContext { session_index: session.session_index, parent_hash: relay_parent }
}
