//! What a block leads to beside its state, collected while it is executed.

use primitives::{CandidateEvent, CandidateHash, CoreIndex};
use std::collections::BTreeSet;

use crate::{Offence, Penalty, ValidityEvent};

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<CandidateEvent>,
    pub(crate) offences: Vec<Offence>,
    pub(crate) penalties: Vec<Penalty>,
    pub(crate) validity: Vec<ValidityEvent>,
}

impl Outcome {
    /// Cores whose candidates this block has judged invalid: the authors of its bitfields could not know.
    pub(crate) fn freed_cores(&self) -> BTreeSet<CoreIndex> {
        let freed = |event: &ValidityEvent| match event {
            ValidityEvent::Freed { core, candidate: CandidateHash(_) } => Some(*core),
            _ => None,
        };
        self.validity.iter().filter_map(freed).collect()
    }
}
