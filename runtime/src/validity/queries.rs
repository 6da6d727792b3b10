//! What subsystems ask about included candidates and disputes. Finality votes for approved, undisputed ancestors
//! only (AV-7); block authors prefer forks without disputes.

use primitives::{
    ApprovalStatus, BlockNumber, CandidateHash, CommittedCandidateReceipt, DisputeState, DisputeStatementSet, Revert,
    SessionIndex,
};
use std::{collections::BTreeSet, sync::Arc};

use super::{
    Verdict,
    attestations::needed_checks,
    disputes::{Dispute, DisputePhase},
    fishermen::reported_units,
};
use crate::{Account, AccountId, Extrinsic, Issuance, Penalty, RemoteDispute, State, UnavailableReport};

/// A dispute as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeStatus {
    /// The candidate's session.
    pub session: SessionIndex,
    /// The candidate.
    pub candidate: CandidateHash,
    /// How far it is.
    pub phase: DisputePhase,
    /// The block of this chain that included the candidate.
    pub included_in: Option<BlockNumber>,
    /// Votes and times.
    pub votes: DisputeState,
}

impl DisputeStatus {
    /// Whether the block that included the candidate may not be finalized.
    pub const fn forbids_finality(&self) -> bool {
        !matches!(self.phase, DisputePhase::Concluded { verdict: Verdict::Valid, .. })
    }
}

impl State {
    /// How far a candidate's approval is; `None` if it is not in its acceptance period.
    pub fn approval_status(&self, session: SessionIndex, candidate: CandidateHash) -> Option<ApprovalStatus> {
        let key = (session, candidate);
        let (number, _) = self.validity.find(key)?;
        let (_, included) = self.validity.included(key)?;
        let units = reported_units(&included.reports, self.slashing.bond_unit());
        let dispute = self.validity.disputes.get(&key);
        // What is disputed again is not settled.
        let verdict = match dispute {
            Some(dispute) => dispute.concluded(),
            None => self.validity.settled.get(&key).copied(),
        };
        let is_contested = dispute.is_some() || verdict.is_some();
        Some(ApprovalStatus {
            included_in: number,
            core: included.core,
            needed: needed_checks(included.group_len as usize, units, included.checks.len()),
            checks: included.checks.count_ones(),
            disputed: is_contested && verdict != Some(Verdict::Valid),
            judged_valid: verdict == Some(Verdict::Valid),
        })
    }

    /// The candidates in their acceptance period, oldest first: block, session, name.
    pub fn accepting(&self) -> impl Iterator<Item = (BlockNumber, SessionIndex, CandidateHash)> + '_ {
        self.validity.blocks.iter().flat_map(|(number, block)| {
            block.candidates.iter().map(|candidate| (*number, block.session, candidate.hash))
        })
    }

    /// The receipt of a candidate in its acceptance period or of a dispute.
    pub fn contested_candidate(
        &self,
        session: SessionIndex,
        candidate: CandidateHash,
    ) -> Option<&CommittedCandidateReceipt> {
        let key = (session, candidate);
        if let Some((_, included)) = self.validity.included(key) {
            return Some(&included.receipt);
        }
        self.validity.disputes.get(&key)?.receipt.as_deref()
    }

    /// The disputes that take votes.
    pub fn disputes(&self) -> Vec<DisputeStatus> {
        self.validity.disputes.values().map(|dispute| status(dispute)).collect()
    }

    /// One of them.
    pub fn dispute(&self, session: SessionIndex, candidate: CandidateHash) -> Option<DisputeStatus> {
        self.validity.disputes.get(&(session, candidate)).map(|dispute| status(dispute))
    }

    /// How a dispute ended that takes no more votes.
    pub fn settled_dispute(&self, session: SessionIndex, candidate: CandidateHash) -> Option<Verdict> {
        self.validity.settled.get(&(session, candidate)).copied()
    }

    /// All votes of a dispute, so that another fork can be told.
    pub fn dispute_votes(&self, session: SessionIndex, candidate: CandidateHash) -> Option<DisputeStatementSet> {
        let dispute = self.validity.disputes.get(&(session, candidate))?;
        Some(DisputeStatementSet::new(candidate, session, dispute.votes.clone()))
    }

    /// The candidates that were judged invalid, of this session and the one before.
    pub fn blacklist(&self) -> impl Iterator<Item = (SessionIndex, CandidateHash)> + '_ {
        self.validity.blacklist.iter().copied()
    }

    /// The candidates that the block itself included.
    pub fn included_here(&self) -> impl Iterator<Item = (SessionIndex, CandidateHash)> + '_ {
        let block = self.validity.blocks.get(&self.number());
        let candidates = block.map(|block| block.candidates.iter().map(|candidate| (block.session, candidate.hash)));
        candidates.into_iter().flatten()
    }

    /// What is to be told to another fork, if this one is given up, as transactions for it: disputes that are decided
    /// with what decides them, all others as remote disputes, with the candidate's code where the other fork lacks it,
    /// and which candidates nobody could get hold of. Reports come before the votes, so that they earn what they earn here.
    /// Nothing is said of what is closed: whoever keeps the blocks has its votes.
    pub fn disputes_to_tell(&self, other: &Self) -> Vec<Extrinsic> {
        let tell = |dispute: &Arc<Dispute>| {
            let (session, candidate) = dispute.key();
            let votes = self.dispute_votes(session, candidate)?;
            if dispute.is_decided_contradiction() {
                return Some(Extrinsic::DisputeVotes(votes));
            }
            let receipt = self.contested_candidate(session, candidate)?.clone();
            let code = receipt.descriptor.validation_code_hash();
            let known = self.validation_code_by_hash(code);
            let validation_code = known.filter(|_| other.validation_code_by_hash(code).is_none()).cloned();
            Some(Extrinsic::RemoteDispute(Box::new(RemoteDispute { candidate: receipt, validation_code, votes })))
        };
        let disputes = self.validity.disputes.values().filter_map(tell);
        let reports = self.validity.disputes.values().flat_map(|dispute| {
            let key = dispute.key();
            let open = self.validity.included(key).map(|(_, candidate)| &candidate.reports);
            let open = open.or_else(|| self.validity.early_reports.get(&key)).into_iter().flatten();
            dispute.reports.iter().chain(open).map(move |report| Extrinsic::FishermanReport(report.to_report(key)))
        });
        let is_settled = |key| self.validity.settled.get(&key) == Some(&Verdict::Unavailable);
        let included =
            self.validity.blocks.values().flat_map(|block| block.candidates.iter().map(|it| (block.session, it)));
        let unavailable = included.filter(|(session, it)| is_settled((*session, it.hash))).map(|(session, it)| {
            let mut votes = it.unavailable.clone();
            votes.sort_unstable_by_key(|(validator, _)| *validator);
            Extrinsic::Unavailable(UnavailableReport { session, candidate: it.hash, votes })
        });
        reports.chain(disputes).chain(unavailable).collect()
    }

    /// Where this fork is to be given up, oldest signal first; the last [`crate::limits::MAX_REVERTS_KEPT`] signals.
    pub fn reverts(&self) -> &[Revert] {
        &self.validity.reverts
    }

    /// The blocks of this chain that may not be finalized because of a dispute on what they included, as far as the
    /// chain knows, ascending. Of those that are finalized already nothing can be changed: they call for an alarm.
    pub fn disputed_blocks(&self) -> BTreeSet<BlockNumber> {
        let open = self.validity.disputes.values().filter(|dispute| dispute.concluded() != Some(Verdict::Valid));
        let disputed = open.filter_map(|dispute| dispute.place.map(|place| place.number));
        let reverted = self.validity.reverts.iter().map(|revert| revert.last_good_number.saturating_add(1));
        disputed.chain(reverted).collect()
    }

    /// The lowest of [`State::disputed_blocks`].
    pub fn first_disputed_block(&self) -> Option<BlockNumber> {
        self.disputed_blocks().first().copied()
    }

    /// The lowest of [`State::disputed_blocks`] above `finalized`: what is final holds up nothing.
    pub fn first_disputed_block_above(&self, finalized: BlockNumber) -> Option<BlockNumber> {
        self.disputed_blocks().range(finalized.checked_add(1)?..).next().copied()
    }

    /// Slashes and fines of verdicts and equivocations in this session, the one before and those of open disputes, oldest
    /// first, without what was given back.
    pub fn penalties(&self) -> &[Penalty] {
        &self.slashing.penalties
    }

    /// What somebody owns.
    pub fn account(&self, owner: &AccountId) -> Account {
        self.balances.account(owner)
    }

    /// Where all amounts are.
    pub fn issuance(&self) -> Issuance {
        self.balances.issuance(self.slashing.total())
    }
}

fn status(dispute: &Dispute) -> DisputeStatus {
    let concluded_at = match dispute.phase {
        DisputePhase::Concluded { concluded_in, .. } => Some(concluded_in),
        _ => None,
    };
    DisputeStatus {
        session: dispute.session,
        candidate: dispute.candidate,
        phase: dispute.phase,
        included_in: dispute.place.map(|place| place.number),
        votes: DisputeState {
            validators_for: dispute.votes_for.clone(),
            validators_against: dispute.votes_against.clone(),
            start: dispute.started_in,
            concluded_at,
        },
    }
}
