//! What validators said of the candidates at one relay parent. Pure.

use std::collections::BTreeMap;

use messages::misbehavior_arbitration::CandidateValidityDisagreement;
use primitives::{
    BackedCandidate, Bits, CandidateHash, CommittedCandidateReceipt, CoreIndex, Hash, Signed, SignedFullStatement,
    Statement, UncheckedSigned, ValidatorId, ValidatorIndex, ValidatorSignature, ValidityAttestation,
};

use crate::assignment::Assignment;

/// What a validator said of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Seconded,
    Valid,
    Invalid,
}

/// A candidate that somebody of its group seconded.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) committed: CommittedCandidateReceipt,
    pub(crate) core: CoreIndex,
    /// The first thing that each validator said.
    votes: BTreeMap<ValidatorIndex, (Position, ValidatorSignature)>,
    /// Backing votes in what was offered last.
    offered: usize,
    disagreement_told: bool,
}

/// Why a statement counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ignored {
    #[error("candidate names another relay parent")]
    OtherRelayParent,
    #[error("candidate fits no core at this relay parent")]
    NoCore,
    #[error("candidate was not seconded by anybody")]
    Unknown,
    #[error("validator is not in the group of the candidate's core")]
    NotAssigned,
    #[error("validator seconded another candidate at this relay parent")]
    SecondedOther,
    #[error("validator has spoken of this candidate before")]
    Repeated,
}

/// All candidates at one relay parent. At most as many as there are validators, since of each one `Seconded` counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    entries: BTreeMap<CandidateHash, Entry>,
    seconded_by: BTreeMap<ValidatorIndex, CandidateHash>,
}

impl Table {
    pub(crate) fn get(&self, candidate: &CandidateHash) -> Option<&Entry> {
        self.entries.get(candidate)
    }

    /// Counts a statement; returns its candidate.
    pub(crate) fn import(
        &mut self,
        relay_parent: Hash,
        assignment: &Assignment,
        signed: &SignedFullStatement,
    ) -> Result<CandidateHash, Ignored> {
        let validator = signed.validator_index();
        let candidate = signed.payload().candidate_hash();
        let (position, core) = match signed.payload() {
            Statement::Seconded(committed) => {
                if committed.descriptor.relay_parent() != relay_parent {
                    return Err(Ignored::OtherRelayParent);
                }
                (Position::Seconded, assignment.core_of(&committed.descriptor).ok_or(Ignored::NoCore)?)
            }
            Statement::Valid(_) => (Position::Valid, self.core(&candidate)?),
            Statement::Invalid(_) => (Position::Invalid, self.core(&candidate)?),
        };
        if !assignment.group(core).contains(&validator) {
            return Err(Ignored::NotAssigned);
        }
        if let Statement::Seconded(committed) = signed.payload() {
            if *self.seconded_by.entry(validator).or_insert(candidate) != candidate {
                return Err(Ignored::SecondedOther);
            }
            self.entries.entry(candidate).or_insert_with(|| Entry {
                committed: (**committed).clone(),
                core,
                votes: BTreeMap::new(),
                offered: 0,
                disagreement_told: false,
            });
        }
        let entry = self.entries.get_mut(&candidate).ok_or(Ignored::Unknown)?;
        if entry.votes.contains_key(&validator) {
            return Err(Ignored::Repeated);
        }
        entry.votes.insert(validator, (position, *signed.signature()));
        Ok(candidate)
    }

    fn core(&self, candidate: &CandidateHash) -> Result<CoreIndex, Ignored> {
        self.entries.get(candidate).map(|entry| entry.core).ok_or(Ignored::Unknown)
    }

    /// The candidate with its backing, if it has a quorum and more votes than when it was offered last.
    pub(crate) fn offer(&mut self, candidate: &CandidateHash, assignment: &Assignment) -> Option<BackedCandidate> {
        let entry = self.entries.get_mut(candidate)?;
        let votes = entry.backing_votes();
        if votes < assignment.quorum(entry.core) || votes <= entry.offered {
            return None;
        }
        entry.offered = votes;
        Some(entry.backed(assignment))
    }

    /// Everything that was offered, as it is now.
    pub(crate) fn offered(&self, assignment: &Assignment) -> Vec<BackedCandidate> {
        self.entries.values().filter(|entry| entry.offered > 0).map(|entry| entry.backed(assignment)).collect()
    }

    /// Both sides of a disagreement, once per candidate.
    pub(crate) fn disagreement(
        &mut self,
        relay_parent: Hash,
        candidate: &CandidateHash,
    ) -> Option<CandidateValidityDisagreement> {
        let entry = self.entries.get_mut(candidate)?;
        let backing = entry.backing_votes();
        if entry.disagreement_told || backing == 0 || backing == entry.votes.len() {
            return None;
        }
        entry.disagreement_told = true;
        let statements = entry.statements(*candidate);
        Some(CandidateValidityDisagreement { relay_parent, receipt: entry.committed.to_receipt(), statements })
    }
}

impl Entry {
    pub(crate) fn has_vote_of(&self, validator: ValidatorIndex) -> bool {
        self.votes.contains_key(&validator)
    }

    /// Who should have the PoV, best first: those that seconded, then those that found it valid.
    pub(crate) fn holders(&self, assignment: &Assignment) -> Vec<ValidatorId> {
        let with = |position| {
            let said = move |(_, (found, _)): &(&ValidatorIndex, &(Position, _))| *found == position;
            self.votes.iter().filter(said).map(|(index, _)| index)
        };
        let holders = with(Position::Seconded).chain(with(Position::Valid));
        holders.filter_map(|index| assignment.session.validators.get(index.as_usize()).copied()).collect()
    }

    fn backing_votes(&self) -> usize {
        self.votes.values().filter(|(position, _)| *position != Position::Invalid).count()
    }

    fn backed(&self, assignment: &Assignment) -> BackedCandidate {
        let group = assignment.group(self.core);
        let mut attestations = Vec::new();
        let mut bits = Bits::repeat(false, group.len());
        for (position, member) in group.iter().enumerate() {
            let attestation = match self.votes.get(member) {
                Some((Position::Seconded, signature)) => ValidityAttestation::Implicit(*signature),
                Some((Position::Valid, signature)) => ValidityAttestation::Explicit(*signature),
                Some((Position::Invalid, _)) | None => continue,
            };
            attestations.push(attestation);
            bits.set(position, true);
        }
        BackedCandidate::new(self.committed.clone(), attestations, bits, self.core)
    }

    fn statements(&self, candidate: CandidateHash) -> Vec<SignedFullStatement> {
        let statement = |(index, (position, signature)): (&ValidatorIndex, &(Position, ValidatorSignature))| {
            let statement = match position {
                Position::Seconded => Statement::Seconded(Box::new(self.committed.clone())),
                Position::Valid => Statement::Valid(candidate),
                Position::Invalid => Statement::Invalid(candidate),
            };
            Signed::assume_checked(UncheckedSigned::new(statement, *index, *signature))
        };
        self.votes.iter().map(statement).collect()
    }
}
