//! What backing knows of each relay parent in view, and what follows from what happens. Pure: events in, effects out.

use std::collections::BTreeMap;
use std::sync::Arc;

use messages::candidate_backing::{Second, Statement as StatementMessage};
use messages::misbehavior_arbitration::CandidateValidityDisagreement;
use ports::SessionContext;
use primitives::{
    BackedCandidate, CandidateCommitments, CandidateHash, CandidateReceipt, CommittedCandidateReceipt, CoreState, Hash,
    PoV, SignedFullStatement, SigningContext, Statement, ValidatorId, ValidatorIndex,
};

use crate::assignment::{Assignment, Local, signing_context};
use crate::table::Table;

/// Statements kept per relay parent until its validators and groups are known.
pub const EARLY_STATEMENTS_MAX: usize = 1024;
/// Times that one candidate is checked anew after a check that came to nothing: each needs a new statement on it.
pub const CHECKS_PER_CANDIDATE_MAX: u32 = 3;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Have a candidate checked; answered by [`State::checked`].
    Check(Box<Check>),
    /// Have a statement signed; answered by [`State::signed`].
    Sign(Box<Sign>),
    /// Spread our statement.
    Share(Hash, SignedFullStatement),
    /// Serve the PoV to the group.
    DistributePoV(Hash, CandidateHash, PoV),
    /// Selection's candidate was seconded.
    TellSeconded(Hash, CandidateHash),
    /// Selection's candidate is invalid.
    TellInvalid(Hash, CandidateReceipt),
    /// A quorum, or more votes on top of it.
    Backable(Hash, BackedCandidate),
    /// Validators disagree.
    Disagreement(CandidateValidityDisagreement),
}

/// A candidate to be checked.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) relay_parent: Hash,
    pub(crate) candidate_hash: CandidateHash,
    pub(crate) receipt: CandidateReceipt,
    pub(crate) source: PovSource,
    /// For how many its data is coded.
    pub(crate) validators: usize,
    /// Largest PoV, in bytes.
    pub(crate) max_pov_size: u32,
}

/// Where the PoV is.
#[derive(Clone, Debug)]
pub(crate) enum PovSource {
    /// Here.
    Given(PoV),
    /// At these validators, best first.
    Holders(Vec<ValidatorId>),
}

/// A statement to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Sign {
    pub(crate) relay_parent: Hash,
    pub(crate) candidate_hash: CandidateHash,
    pub(crate) statement: Statement,
    pub(crate) context: SigningContext,
    pub(crate) key: ValidatorId,
    pub(crate) index: ValidatorIndex,
}

/// How a check ended.
#[derive(Clone, Debug)]
pub(crate) enum Checked {
    /// Valid, and its data is stored.
    Valid(Box<CandidateCommitments>, PoV),
    /// Invalid on every machine.
    Invalid(String),
    /// Not for us to stand for, but no proof that it is invalid: the proposed PoV is not the candidate's, or our machine
    /// is too slow for it.
    Refused(String),
    /// Nothing was found out.
    Failed(String),
}

/// How far we are with a candidate ourselves.
#[derive(Clone, Debug)]
enum Stage {
    /// Nothing is under way.
    Idle,
    /// It is being checked.
    Checking,
    /// Found invalid before anybody else seconded it: there is nothing to contradict yet.
    FoundInvalid,
    /// A statement is being signed; with the PoV if it is in favour.
    Signing(Option<PoV>),
    /// We have spoken, or must be silent.
    Done,
}

#[derive(Clone, Debug)]
struct Work {
    stage: Stage,
    checks: u32,
    /// Selection proposed it, and its receipt.
    proposed: Option<CandidateReceipt>,
}

impl Default for Work {
    fn default() -> Self {
        Self { stage: Stage::Idle, checks: 0, proposed: None }
    }
}

/// What arrived before the context of its relay parent.
#[derive(Debug, Default)]
struct Early {
    second: Option<Box<Second>>,
    statements: Vec<SignedFullStatement>,
}

#[derive(Debug)]
enum Parent {
    Fetching(Early),
    Ready(Box<Ready>),
}

/// All relay parents in view.
#[derive(Debug)]
pub(crate) struct State {
    keys: Vec<ValidatorId>,
    parents: BTreeMap<Hash, Parent>,
}

impl State {
    /// With the session keys that we hold.
    pub(crate) fn new(keys: Vec<ValidatorId>) -> Self {
        Self { keys, parents: BTreeMap::new() }
    }

    pub(crate) fn open(&mut self, relay_parent: Hash) {
        self.parents.entry(relay_parent).or_insert_with(|| Parent::Fetching(Early::default()));
    }

    pub(crate) fn close(&mut self, relay_parent: &Hash) {
        self.parents.remove(relay_parent);
    }

    /// Validators, groups and cores are known: what came early is handled now.
    pub(crate) fn context(
        &mut self,
        relay_parent: Hash,
        session: Arc<SessionContext>,
        cores: Arc<Vec<CoreState>>,
    ) -> Vec<Effect> {
        let Some(parent) = self.parents.get_mut(&relay_parent) else { return Vec::new() };
        let Parent::Fetching(early) = parent else { return Vec::new() };
        let early = std::mem::take(early);
        let mut ready = Box::new(Ready {
            relay_parent,
            assignment: Assignment::new(session, cores, &self.keys),
            table: Table::default(),
            work: BTreeMap::new(),
            seconding: None,
        });
        let mut effects = Vec::new();
        for signed in early.statements {
            ready.statement(&signed, &mut effects);
        }
        // Only now: our own statement from before a restart may have been among them.
        if let Some(second) = early.second {
            ready.second(*second, &mut effects);
        }
        *parent = Parent::Ready(ready);
        effects
    }

    /// Selection proposes a candidate.
    pub(crate) fn second(&mut self, second: Second) -> Vec<Effect> {
        let mut effects = Vec::new();
        match self.parents.get_mut(&second.relay_parent) {
            Some(Parent::Ready(ready)) => ready.second(second, &mut effects),
            Some(Parent::Fetching(early)) if early.second.is_none() => early.second = Some(Box::new(second)),
            Some(Parent::Fetching(_)) => {
                tracing::debug!(relay_parent = ?second.relay_parent, "a second proposal came before the context");
            }
            None => tracing::debug!(relay_parent = ?second.relay_parent, "proposal for a relay parent not in view"),
        }
        effects
    }

    /// Somebody's statement.
    pub(crate) fn statement(&mut self, message: StatementMessage) -> Vec<Effect> {
        let mut effects = Vec::new();
        let StatementMessage { relay_parent, signed } = message;
        match self.parents.get_mut(&relay_parent) {
            Some(Parent::Ready(ready)) => ready.statement(&signed, &mut effects),
            Some(Parent::Fetching(early)) if early.statements.len() < EARLY_STATEMENTS_MAX => {
                early.statements.push(signed);
            }
            Some(Parent::Fetching(_)) => tracing::debug!(?relay_parent, "too many statements before the context"),
            None => tracing::debug!(?relay_parent, "statement for a relay parent not in view"),
        }
        effects
    }

    /// A check has ended.
    pub(crate) fn checked(&mut self, relay_parent: Hash, candidate: CandidateHash, checked: Checked) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(Parent::Ready(ready)) = self.parents.get_mut(&relay_parent) {
            ready.checked(candidate, checked, &mut effects);
        }
        effects
    }

    /// A statement was signed, or the keystore refused; then we are silent on this candidate for good.
    pub(crate) fn signed(
        &mut self,
        relay_parent: Hash,
        candidate: CandidateHash,
        signed: Option<SignedFullStatement>,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(Parent::Ready(ready)) = self.parents.get_mut(&relay_parent) {
            ready.signed(candidate, signed, &mut effects);
        }
        effects
    }

    /// What is backable at a relay parent; `None` if it is not in view.
    pub(crate) fn backable(&self, relay_parent: &Hash) -> Option<Vec<BackedCandidate>> {
        match self.parents.get(relay_parent)? {
            Parent::Fetching(_) => Some(Vec::new()),
            Parent::Ready(ready) => Some(ready.table.offered(&ready.assignment)),
        }
    }
}

/// A relay parent whose validators, groups and cores are known.
#[derive(Debug)]
struct Ready {
    relay_parent: Hash,
    assignment: Assignment,
    table: Table,
    work: BTreeMap<CandidateHash, Work>,
    /// What we second here, or have seconded: one at most.
    seconding: Option<CandidateHash>,
}

impl Ready {
    fn second(&mut self, second: Second, effects: &mut Vec<Effect>) {
        let Second { relay_parent, receipt, pov } = second;
        let candidate = receipt.hash();
        let core = self.assignment.core_of(&receipt.descriptor);
        let ours = self.assignment.local.is_some_and(|local| core.is_some() && local.core == core);
        if !ours || receipt.descriptor.relay_parent() != relay_parent {
            tracing::debug!(?relay_parent, ?candidate, "proposal is not for the core that we serve");
            return;
        }
        let started = self.work.get(&candidate).is_some_and(|work| !matches!(work.stage, Stage::Idle));
        if self.seconding.is_some() || started {
            tracing::debug!(?relay_parent, ?candidate, "proposal contradicts what we signed or are about to sign");
            return;
        }
        self.seconding = Some(candidate);
        let check = self.check(candidate, receipt.clone(), PovSource::Given(pov));
        let work = self.work.entry(candidate).or_default();
        work.stage = Stage::Checking;
        work.proposed = Some(receipt);
        effects.push(Effect::Check(check));
    }

    fn check(&self, candidate_hash: CandidateHash, receipt: CandidateReceipt, source: PovSource) -> Box<Check> {
        Box::new(Check {
            relay_parent: self.relay_parent,
            candidate_hash,
            receipt,
            source,
            validators: self.assignment.session.validators.len(),
            max_pov_size: self.assignment.session.configuration.max_pov_size,
        })
    }

    fn statement(&mut self, signed: &SignedFullStatement, effects: &mut Vec<Effect>) {
        let Some(candidate) = self.import(signed, effects) else { return };
        if self.assignment.local.is_some_and(|local| local.index == signed.validator_index()) {
            // Ours from before a restart, come back through the network: we must not speak again.
            self.work.entry(candidate).or_default().stage = Stage::Done;
            if matches!(signed.payload(), Statement::Seconded(_)) {
                self.seconding = Some(candidate);
            }
            return;
        }
        self.attest(candidate, effects);
    }

    /// Counts a statement, with what follows for the outside.
    fn import(&mut self, signed: &SignedFullStatement, effects: &mut Vec<Effect>) -> Option<CandidateHash> {
        let candidate = match self.table.import(self.relay_parent, &self.assignment, signed) {
            Ok(candidate) => candidate,
            Err(ignored) => {
                tracing::debug!(relay_parent = ?self.relay_parent, validator = %signed.validator_index(), %ignored);
                return None;
            }
        };
        if let Some(backed) = self.table.offer(&candidate, &self.assignment) {
            effects.push(Effect::Backable(self.relay_parent, backed));
        }
        if let Some(disagreement) = self.table.disagreement(self.relay_parent, &candidate) {
            effects.push(Effect::Disagreement(disagreement));
        }
        Some(candidate)
    }

    /// Somebody of our group stands for a candidate: find out what we say of it.
    fn attest(&mut self, candidate: CandidateHash, effects: &mut Vec<Effect>) {
        let Some(local) = self.assignment.local else { return };
        let Some(entry) = self.table.get(&candidate) else { return };
        if local.core != Some(entry.core) || entry.has_vote_of(local.index) {
            return;
        }
        let work = self.work.get(&candidate);
        match work.map_or(&Stage::Idle, |work| &work.stage) {
            Stage::FoundInvalid => self.sign(local, candidate, Statement::Invalid(candidate), None, effects),
            Stage::Checking | Stage::Signing(_) | Stage::Done => {}
            Stage::Idle => {
                if work.is_some_and(|work| work.checks >= CHECKS_PER_CANDIDATE_MAX) {
                    return;
                }
                let holders = PovSource::Holders(entry.holders(&self.assignment));
                let check = self.check(candidate, entry.committed.to_receipt(), holders);
                let work = self.work.entry(candidate).or_default();
                work.stage = Stage::Checking;
                work.checks += 1;
                effects.push(Effect::Check(check));
            }
        }
    }

    fn checked(&mut self, candidate: CandidateHash, checked: Checked, effects: &mut Vec<Effect>) {
        let Some(local) = self.assignment.local else { return };
        let Some(work) = self.work.get_mut(&candidate) else { return };
        if !matches!(work.stage, Stage::Checking) {
            return;
        }
        let proposed = work.proposed.take();
        let refused = matches!(checked, Checked::Refused(_));
        match checked {
            Checked::Valid(commitments, pov) => {
                let statement = match proposed {
                    Some(CandidateReceipt { descriptor, .. }) => {
                        let commitments = *commitments;
                        Statement::Seconded(Box::new(CommittedCandidateReceipt { descriptor, commitments }))
                    }
                    None => Statement::Valid(candidate),
                };
                self.sign(local, candidate, statement, Some(pov), effects);
            }
            Checked::Invalid(reason) => {
                tracing::debug!(relay_parent = ?self.relay_parent, ?candidate, reason, "candidate is invalid");
                work.stage = Stage::FoundInvalid;
                if let Some(receipt) = proposed {
                    self.seconding = None;
                    effects.push(Effect::TellInvalid(self.relay_parent, receipt));
                }
                self.attest(candidate, effects);
            }
            Checked::Refused(reason) | Checked::Failed(reason) => {
                tracing::debug!(relay_parent = ?self.relay_parent, ?candidate, reason, "no vote on candidate");
                work.stage = Stage::Idle;
                if let Some(receipt) = proposed {
                    self.seconding = None;
                    if refused {
                        effects.push(Effect::TellInvalid(self.relay_parent, receipt));
                    }
                    // Somebody else may have seconded it meanwhile.
                    self.attest(candidate, effects);
                }
            }
        }
    }

    fn sign(
        &mut self,
        local: Local,
        candidate_hash: CandidateHash,
        statement: Statement,
        pov: Option<PoV>,
        effects: &mut Vec<Effect>,
    ) {
        self.work.entry(candidate_hash).or_default().stage = Stage::Signing(pov);
        effects.push(Effect::Sign(Box::new(Sign {
            relay_parent: self.relay_parent,
            candidate_hash,
            statement,
            context: signing_context(&self.assignment.session, self.relay_parent),
            key: local.key,
            index: local.index,
        })));
    }

    fn signed(&mut self, candidate: CandidateHash, signed: Option<SignedFullStatement>, effects: &mut Vec<Effect>) {
        let Some(work) = self.work.get_mut(&candidate) else { return };
        let Stage::Signing(pov) = std::mem::replace(&mut work.stage, Stage::Done) else { return };
        let Some(signed) = signed else { return };
        effects.push(Effect::Share(self.relay_parent, signed.clone()));
        if let Some(pov) = pov {
            effects.push(Effect::DistributePoV(self.relay_parent, candidate, pov));
        }
        if matches!(signed.payload(), Statement::Seconded(_)) {
            effects.push(Effect::TellSeconded(self.relay_parent, candidate));
        }
        self.import(&signed, effects);
    }
}
