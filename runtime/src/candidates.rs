//! What a backed candidate must be so that it may occupy its core (RT-5).

use primitives::{
    BackedCandidate, BackingError, BlockNumber, CandidateCommitments, CandidateDescriptor, CandidateHash, CollatorId,
    CoreIndex, DescriptorError, DescriptorVersion, DisputeStatement, GroupIndex, Hash, HostConfiguration, ParaId,
    SessionIndex, SignedMessage, SigningContext, ValidDisputeStatementKind, ValidationCodeHash, ValidityAttestation,
    backing::backing_signatures, backing_quorum, candidate::ClaimQueueByPara, descriptor::collator_signature_payload,
    limits::MIN_CODE_SIZE, messages::UmpSignalError,
};
use std::collections::{BTreeMap, BTreeSet};

use crate::{Ancestor, CoreAssignment, DisputeVote, MessageError, SignatureOf, State, verifier::Signatures};

/// Why a candidate may not be backed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// The validator bits have no room for a core.
    #[error("backing names no core")]
    NoCore,
    /// The core is occupied, has nobody's turn, or does not exist.
    #[error("core {0} is not scheduled")]
    CoreNotScheduled(CoreIndex),
    /// It is another para's turn.
    #[error("core {core} is assigned to para {expected}")]
    NotAssigned {
        /// The core.
        core: CoreIndex,
        /// Whose turn it is.
        expected: ParaId,
    },
    /// It has been judged invalid.
    #[error("candidate {0} has been judged invalid")]
    JudgedInvalid(CandidateHash),
    /// The bytes mean different things to different nodes.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// Parachains use version 2, parathreads version 1.
    #[error("descriptor has version {found:?}, expected {expected:?}")]
    Version {
        /// In the descriptor.
        found: DescriptorVersion,
        /// What the core takes.
        expected: DescriptorVersion,
    },
    /// The descriptor is for another core.
    #[error("descriptor names core {found:?}, the backing core {expected}")]
    WrongCore {
        /// In the descriptor.
        found: Option<CoreIndex>,
        /// In the backing.
        expected: CoreIndex,
    },
    /// The candidate is of another session.
    #[error("candidate is of session {found}, expected {expected}")]
    WrongSession {
        /// The candidate's, by descriptor or relay parent.
        found: SessionIndex,
        /// The block's.
        expected: SessionIndex,
    },
    /// The claim is another collator's.
    #[error("collator is {found}, the claim is that of {expected}")]
    WrongCollator {
        /// In the descriptor.
        found: CollatorId,
        /// The claim's.
        expected: CollatorId,
    },
    /// The relay parent is not on this fork, or too old.
    #[error("relay parent {0} is not allowed")]
    RelayParent(Hash),
    /// It was not executed on the para's current head at that relay parent.
    #[error("validation data hash is {found}, expected {expected}")]
    ValidationData {
        /// In the descriptor.
        found: Hash,
        /// Of the current head.
        expected: Hash,
    },
    /// It was validated by other code than the para has.
    #[error("validation code hash is {found}, expected {expected:?}")]
    CodeHash {
        /// In the descriptor.
        found: ValidationCodeHash,
        /// The para's.
        expected: Option<ValidationCodeHash>,
    },
    /// The descriptor's head is not that of the commitments.
    #[error("para head hash is {found}, that of the commitments {expected}")]
    HeadHash {
        /// In the descriptor.
        found: Hash,
        /// Of the commitments' head.
        expected: Hash,
    },
    /// The head is too large.
    #[error("head data has {found} bytes, at most {max} are allowed")]
    HeadSize {
        /// Size, in bytes.
        found: usize,
        /// Most, in bytes.
        max: u32,
    },
    /// The new code is too large, or too small to be code.
    #[error("new code has {found} bytes, expected {MIN_CODE_SIZE} to {max}")]
    CodeSize {
        /// Size, in bytes.
        found: usize,
        /// Most, in bytes.
        max: u32,
    },
    /// One upgrade at a time.
    #[error("an upgrade is pending, expected at block {0}")]
    UpgradePending(BlockNumber),
    /// Upgrades may not follow each other too closely.
    #[error("no upgrade before relay parent {0}")]
    UpgradeTooSoon(BlockNumber),
    /// Too many past codes are kept for the para.
    #[error("too many past codes are still kept")]
    TooManyPastCodes,
    /// Its messages.
    #[error(transparent)]
    Messages(#[from] MessageError),
    /// Its signals.
    #[error(transparent)]
    Signals(#[from] UmpSignalError),
    /// Its backing.
    #[error(transparent)]
    Backing(#[from] BackingError),
    /// Too few members of the group stand behind it.
    #[error("{found} members of group {group} back it, {needed} are needed")]
    TooFewVotes {
        /// The group.
        group: GroupIndex,
        /// How many.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
}

/// A candidate that needs only its signatures to hold.
pub(crate) struct CheckedCandidate {
    pub(crate) core: CoreIndex,
    pub(crate) group: GroupIndex,
    pub(crate) relay_parent_number: BlockNumber,
    pub(crate) backers: Vec<DisputeVote>,
}

/// Checks all of a candidate but its signatures, which are collected, against the cores scheduled in `state`.
pub(crate) fn check_candidate(
    state: &State,
    backed: &BackedCandidate,
    signatures: &mut Signatures,
) -> Result<CheckedCandidate, CandidateError> {
    let (_, core) = backed.validator_indices_and_core_index();
    let core = core.ok_or(CandidateError::NoCore)?;
    let assignment = state.scheduler.scheduled.get(&core).ok_or(CandidateError::CoreNotScheduled(core))?;
    let descriptor = backed.descriptor();
    if assignment.para_id != descriptor.para_id() {
        return Err(CandidateError::NotAssigned { core, expected: assignment.para_id });
    }
    let collator_signature = check_author(descriptor, assignment, state.session_index())?;
    let hash = backed.hash();
    if state.is_blacklisted(state.session_index(), hash) {
        return Err(CandidateError::JudgedInvalid(hash));
    }
    let relay_parent = check_relay_parent(state, descriptor)?;
    check_inputs(state, descriptor, relay_parent)?;
    let commitments = &backed.candidate().commitments;
    check_outputs(state, descriptor, commitments, relay_parent.number)?;
    check_signals(backed, core, state.configuration())?;
    let (group, backers) = check_backing(state, backed, core, relay_parent, signatures)?;
    if let Some(message) = collator_signature {
        signatures.push(SignatureOf::Collator(core), message);
    }
    Ok(CheckedCandidate { core, group, relay_parent_number: relay_parent.number, backers })
}

/// Version, core, session; on a parathread core the claim's own collator, whose signature is returned.
fn check_author(
    descriptor: &CandidateDescriptor,
    assignment: &CoreAssignment,
    session: SessionIndex,
) -> Result<Option<SignedMessage>, CandidateError> {
    descriptor.check_version(false)?;
    let found = descriptor.version();
    let Some(expected) = assignment.collator() else {
        if found != DescriptorVersion::V2 {
            let expected = DescriptorVersion::V2;
            return Err(CandidateError::Version { found, expected });
        }
        if descriptor.core_index() != Some(assignment.core) {
            return Err(CandidateError::WrongCore { found: descriptor.core_index(), expected: assignment.core });
        }
        let found = descriptor.session_index().unwrap_or(SessionIndex::MAX);
        if found != session {
            return Err(CandidateError::WrongSession { found, expected: session });
        }
        return Ok(None);
    };
    let (Some(collator), Some(signature)) = (descriptor.collator(), descriptor.collator_signature()) else {
        let expected = DescriptorVersion::V1;
        return Err(CandidateError::Version { found, expected });
    };
    if collator != *expected {
        return Err(CandidateError::WrongCollator { found: collator, expected: *expected });
    }
    let message = collator_signature_payload(&descriptor.fields());
    Ok(Some(SignedMessage { public: collator.0, message, signature }))
}

/// The relay parent is the block's parent or a recent ancestor, and not from another session.
fn check_relay_parent<'a>(state: &'a State, descriptor: &CandidateDescriptor) -> Result<&'a Ancestor, CandidateError> {
    let hash = descriptor.relay_parent();
    let ancestors = &state.system.ancestors;
    let relay_parent =
        ancestors.iter().find(|ancestor| ancestor.hash == hash).ok_or(CandidateError::RelayParent(hash))?;
    if relay_parent.session != state.session_index() {
        return Err(CandidateError::WrongSession { found: relay_parent.session, expected: state.session_index() });
    }
    Ok(relay_parent)
}

/// It was executed on the current head, by the current code.
fn check_inputs(
    state: &State,
    descriptor: &CandidateDescriptor,
    relay_parent: &Ancestor,
) -> Result<(), CandidateError> {
    let para = descriptor.para_id();
    let head = state.para_head(para).cloned().unwrap_or_default();
    let data = state.data_on_head(head, relay_parent.number, relay_parent.storage_root);
    let (found, expected) = (descriptor.persisted_validation_data_hash(), data.hash());
    if found != expected {
        return Err(CandidateError::ValidationData { found, expected });
    }
    let found = descriptor.validation_code_hash();
    let expected = state.paras.current_code.get(&para).copied();
    if Some(found) != expected {
        return Err(CandidateError::CodeHash { found, expected });
    }
    Ok(())
}

/// What it leaves behind is within the limits.
fn check_outputs(
    state: &State,
    descriptor: &CandidateDescriptor,
    commitments: &CandidateCommitments,
    relay_parent_number: BlockNumber,
) -> Result<(), CandidateError> {
    let configuration = state.configuration();
    let para = descriptor.para_id();
    let found = commitments.head_data.0.len();
    if found > configuration.max_head_data_size as usize {
        let max = configuration.max_head_data_size;
        return Err(CandidateError::HeadSize { found, max });
    }
    let (found, expected) = (descriptor.para_head(), commitments.head_data.hash());
    if found != expected {
        return Err(CandidateError::HeadHash { found, expected });
    }
    if let Some(code) = &commitments.new_validation_code {
        let found = code.0.len();
        if found < MIN_CODE_SIZE as usize || found > configuration.max_code_size as usize {
            let max = configuration.max_code_size;
            return Err(CandidateError::CodeSize { found, max });
        }
        check_upgrade(state, para, relay_parent_number)?;
    }
    let messages = &state.messages;
    messages.check(para, commitments, relay_parent_number, configuration)?;
    Ok(())
}

/// One upgrade at a time, and not too soon after the last.
fn check_upgrade(state: &State, para: ParaId, relay_parent_number: BlockNumber) -> Result<(), CandidateError> {
    if let Some((expected_at, _)) = state.paras.future_code.get(&para) {
        return Err(CandidateError::UpgradePending(*expected_at));
    }
    if let Some(earliest) = state.next_upgrade_at(para)
        && relay_parent_number < earliest
    {
        return Err(CandidateError::UpgradeTooSoon(earliest));
    }
    if state.paras.past_codes_full(para) {
        return Err(CandidateError::TooManyPastCodes);
    }
    Ok(())
}

/// The signals of the commitments select the core that it is backed on.
fn check_signals(
    backed: &BackedCandidate,
    core: CoreIndex,
    configuration: &HostConfiguration,
) -> Result<(), UmpSignalError> {
    let lookahead = u8::try_from(configuration.scheduling_lookahead.max(1)).unwrap_or(u8::MAX);
    let offsets: BTreeMap<_, _> = (0..lookahead).map(|offset| (offset, BTreeSet::from([core]))).collect();
    let para = backed.descriptor().para_id();
    let queue = ClaimQueueByPara::from([(para, offsets)]);
    backed.candidate().check_signals(&queue).map(|_| ())
}

/// Enough members of the group that served the core on top of the relay parent stand behind it.
fn check_backing(
    state: &State,
    backed: &BackedCandidate,
    core: CoreIndex,
    relay_parent: &Ancestor,
    signatures: &mut Signatures,
) -> Result<(GroupIndex, Vec<DisputeVote>), CandidateError> {
    let configuration = state.configuration();
    let scheduler = &state.scheduler;
    let group = scheduler
        .rotation_info(configuration, relay_parent.number.saturating_add(1))
        .group_for_core(core, scheduler.cores.len());
    let members = scheduler.group_validators(group).unwrap_or_default();
    let (indices, _) = backed.validator_indices_and_core_index();
    let context = SigningContext { session_index: state.session_index(), parent_hash: relay_parent.hash };
    let votes = backed.validity_votes();
    let signed = backing_signatures(backed.hash(), votes, indices, &context, members.len(), |position| {
        let validator = members.get(position)?;
        state.validators().get(validator.as_usize()).copied()
    })?;
    let needed = backing_quorum(members.len(), configuration.minimum_backing_votes);
    if signed.len() < needed {
        return Err(CandidateError::TooFewVotes { group, found: signed.len(), needed });
    }
    let mut backers = Vec::with_capacity(signed.len());
    for ((position, message), vote) in signed.into_iter().zip(votes) {
        let statement = match vote {
            ValidityAttestation::Implicit(_) => ValidDisputeStatementKind::BackingSeconded(relay_parent.hash),
            ValidityAttestation::Explicit(_) => ValidDisputeStatementKind::BackingValid(relay_parent.hash),
        };
        if let Some(validator) = members.get(position) {
            backers.push((DisputeStatement::Valid(statement), *validator, *vote.signature()));
        }
        signatures.push(SignatureOf::Backing(core, position), message);
    }
    Ok((group, backers))
}
