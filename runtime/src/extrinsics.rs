//! Transactions: what a block carries behind the inherent, each authenticated by what it holds.

use std::sync::Arc;

use crate::{
    BlockError, DisputeError, EquivocationError, Extrinsic, FishermanError, GovernanceError, RegistrarError,
    SignatureOf, State, Verifier, governance,
    misbehavior::check_report,
    outcome::Outcome,
    registrar,
    validity::{attestations, disputes, equivocation, fishermen, remote, unavailable},
    verifier::Signatures,
};

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtrinsicError {
    /// A governed change.
    #[error("governance: {0}")]
    Governance(#[from] GovernanceError),
    /// A parathread claim.
    #[error("parathread claim: {0}")]
    Claim(#[from] RegistrarError),
    /// Dispute votes, a remote dispute, or whether a candidate is available.
    #[error("dispute: {0}")]
    Dispute(#[from] DisputeError),
    /// A secondary attestation.
    #[error("attestation: {0}")]
    Attestation(#[from] crate::AttestationError),
    /// A report with a bond.
    #[error("report on a candidate: {0}")]
    Fisherman(#[from] FishermanError),
    /// Two blocks in one slot.
    #[error("equivocation: {0}")]
    Equivocation(#[from] EquivocationError),
}

/// Applies one transaction. Signatures are collected, not verified. On an error the state is not to be used.
///
/// `position` counts the extrinsics of the block from 1 on, behind the inherent.
pub(crate) fn apply(
    state: &mut State,
    extrinsic: &Extrinsic,
    position: usize,
    signatures: &mut Signatures,
    outcome: &mut Outcome,
) -> Result<(), BlockError> {
    let result: Result<(), ExtrinsicError> = match extrinsic {
        Extrinsic::Inclusion(_) => return Err(BlockError::SecondInherent(position)),
        Extrinsic::MisbehaviorReport(report) => {
            let position = outcome.offences.len();
            let checked = check_report(state, report).map_err(|error| BlockError::Report { position, error })?;
            for message in checked.signatures {
                signatures.push(SignatureOf::Report(position), message);
            }
            let now = state.number();
            let (session, index) = (checked.session, checked.validator_index);
            let offence =
                Arc::make_mut(&mut state.slashing).slash(session, index, checked.validator, checked.kind, now);
            Arc::make_mut(&mut state.balances).deposit(offence.amount);
            outcome.offences.push(offence);
            Ok(())
        }
        Extrinsic::Governed(signed) => governance::process(state, signed, signatures).map_err(Into::into),
        Extrinsic::Claim(claim) => registrar::signed_claim(state, claim, position, signatures).map_err(Into::into),
        Extrinsic::DisputeVotes(votes) => {
            disputes::process_votes(state, votes, signatures, outcome).map_err(Into::into)
        }
        Extrinsic::RemoteDispute(dispute) => remote::open(state, dispute, signatures, outcome).map_err(Into::into),
        Extrinsic::RemoteAvailability(said) => {
            remote::note_availability(state, said, signatures, outcome).map_err(Into::into)
        }
        Extrinsic::Attestation(attestation) => {
            attestations::process(state, attestation, signatures, outcome).map_err(Into::into)
        }
        Extrinsic::FishermanReport(report) => {
            fishermen::process(state, report, position, signatures, outcome).map_err(Into::into)
        }
        Extrinsic::Equivocation(report) => {
            equivocation::process(state, report, position, signatures, outcome).map_err(Into::into)
        }
        Extrinsic::Unavailable(report) => unavailable::process(state, report, signatures, outcome).map_err(Into::into),
    };
    result.map_err(|error| BlockError::Extrinsic { position, error })
}

/// Applies a transaction with its signatures, or leaves the state as it is.
pub(crate) fn try_apply(state: &mut State, extrinsic: &Extrinsic, verifier: &dyn Verifier) -> Result<(), BlockError> {
    let mut tried = state.clone();
    let (mut signatures, mut outcome) = (Signatures::default(), Outcome::default());
    apply(&mut tried, extrinsic, 1, &mut signatures, &mut outcome)?;
    signatures.verify(verifier)?;
    *state = tried;
    Ok(())
}

impl State {
    /// Whether a block on top may carry a transaction, with its signatures: what a pool asks before it keeps one,
    /// and of those it keeps after each block.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check_extrinsic(&self, extrinsic: &Extrinsic, verifier: &dyn Verifier) -> Result<(), BlockError> {
        try_apply(&mut self.clone(), extrinsic, verifier)
    }
}
