//! What this validator may second at a relay parent, and whether a collation is that. Pure.

use messages::runtime_api::SessionContext;
use primitives::{
    CandidateReceipt, CollatorId, CoreIndex, CoreState, DescriptorError, DescriptorVersion, Hash, ParaId, SessionIndex,
    ValidatorId,
};

/// The core that our group serves next, and who may take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) para_id: ParaId,
    pub(crate) core: CoreIndex,
    pub(crate) session_index: SessionIndex,
    /// The only collator allowed, on parathread cores.
    pub(crate) collator: Option<CollatorId>,
}

/// Why a collation cannot be seconded by us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("made for relay parent {found:?}, advertised for {expected:?}")]
    RelayParent { found: Hash, expected: Hash },
    #[error("made for para {found}, core serves para {expected}")]
    Para { found: ParaId, expected: ParaId },
    #[error("made for core {found}, ours is core {expected}")]
    Core { found: CoreIndex, expected: CoreIndex },
    #[error("made for session {found}, relay parent is of session {expected}")]
    Session { found: SessionIndex, expected: SessionIndex },
    #[error("descriptor of version {found:?}, core takes {expected:?}")]
    Version { found: DescriptorVersion, expected: DescriptorVersion },
    #[error("claimed by collator {expected}, made by collator {found}")]
    Claim { found: CollatorId, expected: CollatorId },
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
}

impl Unfit {
    /// Whether an honest collator never makes such a thing. A wrong core is none of its faults: it advertises to the
    /// next group as well, which may serve another core of the same para.
    pub(crate) fn is_fault(&self) -> bool {
        !matches!(self, Self::Core { .. })
    }
}

/// What the holder of `ours` may second on top of the block that session and cores were asked at; `None` if it is no
/// validator, in no group, or its core is nobody's next.
pub(crate) fn assignment(session: &SessionContext, cores: &[CoreState], ours: &[ValidatorId]) -> Option<Assignment> {
    let index = ours.iter().find_map(|key| session.validator_index(key))?;
    let group = session.group_of(index)?;
    let core = session.rotation.core_for_group(group, session.groups.len());
    let scheduled = match cores.get(core.as_usize())? {
        CoreState::Scheduled(scheduled) => scheduled,
        // Whether the candidate there becomes available or times out in the next block is not known yet. Collators
        // count on the first, so that comes first.
        CoreState::Occupied(occupied) => {
            occupied.next_up_on_available.as_ref().or(occupied.next_up_on_time_out.as_ref())?
        }
        CoreState::Free => return None,
    };
    let (para_id, collator) = (scheduled.para_id, scheduled.collator);
    Some(Assignment { para_id, core, session_index: session.session_index, collator })
}

impl Assignment {
    /// Whether a collator may take the core at all.
    pub(crate) fn allows(&self, collator: &CollatorId) -> bool {
        self.collator.as_ref().is_none_or(|claimed| claimed == collator)
    }

    /// Whether a collation is for this core, session and claim (CS-1). Nothing of its execution is looked at.
    pub(crate) fn check(&self, relay_parent: Hash, receipt: &CandidateReceipt) -> Result<(), Unfit> {
        let descriptor = &receipt.descriptor;
        if descriptor.relay_parent() != relay_parent {
            return Err(Unfit::RelayParent { found: descriptor.relay_parent(), expected: relay_parent });
        }
        if descriptor.para_id() != self.para_id {
            return Err(Unfit::Para { found: descriptor.para_id(), expected: self.para_id });
        }
        descriptor.check_version(false)?;
        // A parathread's claim names its collator, so the descriptor must (version 1); all others name core and session.
        let expected = if self.collator.is_some() { DescriptorVersion::V1 } else { DescriptorVersion::V2 };
        if descriptor.version() != expected {
            return Err(Unfit::Version { found: descriptor.version(), expected });
        }
        if let Some(expected) = self.collator {
            let found = descriptor.check_collator_signature()?;
            return if found == expected { Ok(()) } else { Err(Unfit::Claim { found, expected }) };
        }
        if let Some(found) = descriptor.session_index().filter(|found| *found != self.session_index) {
            return Err(Unfit::Session { found, expected: self.session_index });
        }
        if let Some(found) = descriptor.core_index().filter(|found| *found != self.core) {
            return Err(Unfit::Core { found, expected: self.core });
        }
        Ok(())
    }
}
