//! Executing and building blocks: one path for both.

use codec::Encode;
use primitives::{
    CandidateEvent, Hash, Header, InherentData, ParaId, SessionIndex, limits::MAX_HEADER_BYTES, messages::UpwardMessage,
};

use crate::{
    Block, BlockError, Digest, Extrinsic, Offence, Penalty, SlotClaim, State, ValidityEvent, Verifier,
    extrinsics::apply as apply_extrinsic,
    extrinsics_root, inherent, initializer,
    limits::{MAX_EXTRINSICS, MAX_REPORTS_PER_BLOCK, MAX_TRANSACTIONS_PER_BLOCK},
    outcome::Outcome,
    verifier::Signatures,
};

/// What a block led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The state after it.
    pub state: State,
    /// What happened to candidates: first included, then timed out, then backed.
    pub events: Vec<CandidateEvent>,
    /// What was proven and slashed in this block.
    pub offences: Vec<Offence>,
    /// Slashes and fines by verdicts, time-outs and equivocations.
    pub penalties: Vec<Penalty>,
    /// What happened to included candidates and disputes, the signal to abandon this fork among it.
    pub validity_events: Vec<ValidityEvent>,
    /// Messages of the candidates that the parent block included.
    pub upward_messages: Vec<(ParaId, Vec<UpwardMessage>)>,
    /// The session that begins with the next block, if it is a new one.
    pub new_session: Option<SessionIndex>,
}

/// Executes `block` on the state of its parent. Slot claim and seal have been verified by the caller.
///
/// # Errors
/// The check that the block failed.
pub fn execute_block(parent_state: &State, block: &Block, verifier: &dyn Verifier) -> Result<Executed, BlockError> {
    let header = &block.header;
    check_size(header)?;
    let number = next_number(parent_state)?;
    if header.number != number {
        return Err(BlockError::Number { expected: number, found: header.number });
    }
    let (inherent, transactions) = split(&block.extrinsics)?;
    let parent_hash = inherent.parent_header.hash();
    if header.parent_hash != parent_hash {
        return Err(BlockError::ParentHash { expected: parent_hash, found: header.parent_hash });
    }
    let expected = extrinsics_root(&block.extrinsics);
    if header.extrinsics_root != expected {
        return Err(BlockError::ExtrinsicsRoot { expected, found: header.extrinsics_root });
    }
    let claim = SlotClaim::from_digest(&header.digest)?;
    let executed = apply(parent_state, inherent, parent_hash, &claim, transactions, Some(verifier))?;
    if header.state_root != executed.state.root() {
        return Err(BlockError::StateRoot { expected: executed.state.root(), found: header.state_root });
    }
    Ok(executed)
}

/// Builds a block on `parent_header`, whose state `parent_state` is, and executes it on the way. The digest
/// must hold the slot claim; the seal is the caller's to add. The inherent must name `parent_header`.
///
/// Signatures are not verified again: those of the inherent were by [`crate::filter_inherent`], those of
/// transactions by [`crate::filter_extrinsics`], those of reports when they were received. Whoever imports the block verifies them all.
///
/// # Errors
/// The check that the block would fail; nothing is dropped (see [`crate::filter_inherent`] and
/// [`State::check_report`]).
pub fn build_block(
    parent_state: &State,
    parent_header: &Header,
    digest: Digest,
    extrinsics: Vec<Extrinsic>,
) -> Result<(Block, Executed), BlockError> {
    let number = next_number(parent_state)?;
    let (inherent, transactions) = split(&extrinsics)?;
    let parent_hash = parent_header.hash();
    let named = inherent.parent_header.hash();
    if named != parent_hash {
        return Err(BlockError::ParentHash { expected: named, found: parent_hash });
    }
    let claim = SlotClaim::from_digest(&digest)?;
    let executed = apply(parent_state, inherent, parent_hash, &claim, transactions, None)?;
    let header = Header {
        parent_hash,
        number,
        state_root: executed.state.root(),
        extrinsics_root: extrinsics_root(&extrinsics),
        digest,
    };
    check_size(&header)?;
    Ok((Block { header, extrinsics }, executed))
}

pub(crate) fn next_number(parent_state: &State) -> Result<u32, BlockError> {
    let parent = parent_state.number();
    parent.checked_add(1).ok_or(BlockError::LastNumber(parent))
}

/// Refuses what [`Header`] would not be decoded from.
fn check_size(header: &Header) -> Result<(), BlockError> {
    let (found, max) = (header.encoded_size(), MAX_HEADER_BYTES);
    if found > max { Err(BlockError::HeaderTooLarge { found, max }) } else { Ok(()) }
}

/// The inherent and what follows it.
fn split(extrinsics: &[Extrinsic]) -> Result<(&InherentData, &[Extrinsic]), BlockError> {
    if extrinsics.len() > MAX_EXTRINSICS {
        return Err(BlockError::TooManyExtrinsics { found: extrinsics.len(), max: MAX_EXTRINSICS });
    }
    let Some((Extrinsic::Inclusion(inherent), rest)) = extrinsics.split_first() else {
        return Err(BlockError::NoInherent);
    };
    if let Some(position) = rest.iter().position(|extrinsic| matches!(extrinsic, Extrinsic::Inclusion(_))) {
        return Err(BlockError::SecondInherent(position.saturating_add(1)));
    }
    let is_report = |extrinsic: &&Extrinsic| matches!(extrinsic, Extrinsic::MisbehaviorReport(_));
    let reports = rest.iter().filter(is_report).count();
    for (found, max) in
        [(reports, MAX_REPORTS_PER_BLOCK), (rest.len().saturating_sub(reports), MAX_TRANSACTIONS_PER_BLOCK)]
    {
        if found > max {
            return Err(BlockError::TooManyExtrinsics { found, max });
        }
    }
    Ok((inherent, rest))
}

/// The state transition: initialization, extrinsics, signatures, finalization.
fn apply(
    parent_state: &State,
    inherent: &InherentData,
    parent_hash: Hash,
    claim: &SlotClaim,
    transactions: &[Extrinsic],
    verifier: Option<&dyn Verifier>,
) -> Result<Executed, BlockError> {
    let parent_header = &inherent.parent_header;
    if parent_header.state_root != parent_state.root() {
        return Err(BlockError::ParentState { expected: parent_state.root(), found: parent_header.state_root });
    }
    if parent_header.number != parent_state.number() {
        return Err(BlockError::Number { expected: parent_state.number(), found: parent_header.number });
    }
    let number = next_number(parent_state)?;
    let mut state = parent_state.clone();
    let (mut signatures, mut outcome) = (Signatures::default(), Outcome::default());
    initializer::note_slot(&mut state, claim)?;
    let upward_messages = initializer::initialize(&mut state, number, parent_header, parent_hash, &mut outcome);
    inherent::process(&mut state, inherent, &mut signatures, &mut outcome)?;
    for (extrinsic, position) in transactions.iter().zip(1..) {
        apply_extrinsic(&mut state, extrinsic, position, &mut signatures, &mut outcome)?;
    }
    if let Some(verifier) = verifier {
        signatures.verify(verifier)?;
    }
    let new_session = initializer::finalize(&mut state, &mut outcome)?;
    state.seal_root();
    let Outcome { events, offences, penalties, validity: validity_events } = outcome;
    Ok(Executed { state, events, offences, penalties, validity_events, upward_messages, new_session })
}
