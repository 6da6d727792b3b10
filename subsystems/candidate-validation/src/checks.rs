//! What makes a candidate invalid on every machine, before and after its code ran. Pure; hashes whole PoVs and codes, so
//! it belongs on the compute port.

use bytes::Bytes;
use codec::Encode as _;
use messages::candidate_validation::{InvalidReason, Verdict};
use ports::{ExecutionPurpose, ExecutionRequest, SessionContext, ValidationError};
use primitives::limits::{MAX_CODE_SIZE, MAX_COMMITMENTS_SIZE, MAX_HEAD_DATA_SIZE, MAX_HORIZONTAL_MESSAGES};
use primitives::limits::{MAX_POV_SIZE, MAX_UPWARD_MESSAGES};
use primitives::{
    CandidateCommitments, CandidateReceipt, DecodeError, DescriptorVersion, PersistedValidationData, PoV, SessionIndex,
    ValidationCode, ValidationParams, ValidationResult, decode_limited,
};

use crate::ValidationFailed;

/// Descriptors of version 3 are not in use on this network.
const V3_ENABLED: bool = false;

/// Everything that it takes to judge a candidate.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub(crate) receipt: CandidateReceipt,
    pub(crate) validation_data: PersistedValidationData,
    pub(crate) validation_code: ValidationCode,
    pub(crate) pov: PoV,
    pub(crate) purpose: ExecutionPurpose,
    pub(crate) limits: Limits,
}

/// What outputs may be, and the session that the descriptor must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    session_index: Option<SessionIndex>,
    max_pov_size: u64,
    max_head_data_size: u64,
    max_code_size: u64,
    max_upward_messages: u64,
    max_upward_message_size: u64,
    max_horizontal_messages: u64,
    max_horizontal_message_size: u64,
}

impl Limits {
    /// Those of the protocol, which no configuration exceeds. For a candidate whose relay parent's state is gone: if a
    /// block included it, the runtime has held it to the configuration already.
    pub(crate) fn of_protocol() -> Self {
        Self {
            session_index: None,
            max_pov_size: u64::from(MAX_POV_SIZE),
            max_head_data_size: u64::from(MAX_HEAD_DATA_SIZE),
            max_code_size: u64::from(MAX_CODE_SIZE),
            max_upward_messages: MAX_UPWARD_MESSAGES as u64,
            max_upward_message_size: MAX_COMMITMENTS_SIZE as u64,
            max_horizontal_messages: MAX_HORIZONTAL_MESSAGES as u64,
            max_horizontal_message_size: MAX_COMMITMENTS_SIZE as u64,
        }
    }

    /// Those in force at the relay parent.
    pub(crate) fn of_session(session: &SessionContext) -> Self {
        let configuration = &session.configuration;
        Self {
            session_index: Some(session.session_index),
            max_pov_size: u64::from(configuration.max_pov_size),
            max_head_data_size: u64::from(configuration.max_head_data_size),
            max_code_size: u64::from(configuration.max_code_size),
            max_upward_messages: u64::from(configuration.max_upward_message_num_per_candidate),
            max_upward_message_size: u64::from(configuration.max_upward_message_size),
            max_horizontal_messages: u64::from(configuration.hrmp_max_message_num_per_candidate),
            max_horizontal_message_size: u64::from(configuration.hrmp_channel_max_message_size),
        }
    }
}

/// The checks that need no execution; then what is to be executed.
pub(crate) fn before(inputs: &Inputs) -> Result<ExecutionRequest, InvalidReason> {
    let descriptor = &inputs.receipt.descriptor;
    check_descriptor(inputs)?;
    if inputs.validation_data.hash() != descriptor.persisted_validation_data_hash() {
        return Err(InvalidReason::ValidationData);
    }
    // The hash first: the size of some other PoV says nothing of the candidate.
    if inputs.pov.hash() != descriptor.pov_hash() {
        return Err(InvalidReason::PovHash);
    }
    let limit = u64::from(inputs.validation_data.max_pov_size).min(inputs.limits.max_pov_size);
    let size = inputs.pov.encoded_len() as u64;
    if size > limit {
        return Err(InvalidReason::PovTooLarge { size, limit });
    }
    if inputs.validation_code.hash() != descriptor.validation_code_hash() {
        return Err(InvalidReason::CodeHash);
    }
    Ok(ExecutionRequest {
        code: inputs.validation_code.0.clone(),
        code_hash: descriptor.validation_code_hash().0,
        params: Bytes::from(ValidationParams::new(&inputs.pov, &inputs.validation_data).encode()),
        purpose: inputs.purpose,
    })
}

fn check_descriptor(inputs: &Inputs) -> Result<(), InvalidReason> {
    let descriptor = &inputs.receipt.descriptor;
    let refused = |why: String| Err(InvalidReason::Descriptor(why));
    if let Err(error) = descriptor.check_version(V3_ENABLED) {
        return refused(error.to_string());
    }
    match descriptor.version() {
        DescriptorVersion::V1 => {
            if let Err(error) = descriptor.check_collator_signature() {
                return refused(error.to_string());
            }
        }
        DescriptorVersion::V2 => {}
        other => return refused(format!("version {other:?}, expected V1 or V2")),
    }
    match (descriptor.session_index(), inputs.limits.session_index) {
        (Some(named), Some(expected)) if named != expected => {
            refused(format!("session {named}, expected that of the relay parent, {expected}"))
        }
        _ => Ok(()),
    }
}

/// Judges what execution returned.
pub(crate) fn after(inputs: &Inputs, output: &[u8]) -> Result<CandidateCommitments, InvalidReason> {
    let result: ValidationResult = decode_limited(output, MAX_COMMITMENTS_SIZE).map_err(|error| match error {
        DecodeError::TooLarge { found, max } => {
            InvalidReason::OutputTooLarge { what: "result", size: found as u64, limit: max as u64 }
        }
        DecodeError::Malformed(error) => InvalidReason::Execution(format!("returned no result: {error}")),
    })?;
    check_sizes(&result, &inputs.limits)?;
    if result.head_data.hash() != inputs.receipt.descriptor.para_head() {
        return Err(InvalidReason::ParaHead);
    }
    let commitments = CandidateCommitments::from(result);
    if commitments.hash() != inputs.receipt.commitments_hash {
        return Err(InvalidReason::Commitments);
    }
    let signals = commitments.ump_signals().map_err(|error| InvalidReason::Execution(error.to_string()))?;
    if inputs.receipt.descriptor.version() == DescriptorVersion::V1 && !signals.is_empty() {
        return Err(InvalidReason::Descriptor("version V1 cannot carry signals".to_owned()));
    }
    Ok(commitments)
}

fn check_sizes(result: &ValidationResult, limits: &Limits) -> Result<(), InvalidReason> {
    let check = |what: &'static str, size: usize, limit: u64| {
        let size = size as u64;
        if size > limit { Err(InvalidReason::OutputTooLarge { what, size, limit }) } else { Ok(()) }
    };
    check("head data", result.head_data.0.len(), limits.max_head_data_size)?;
    if let Some(code) = &result.new_validation_code {
        check("new validation code", code.0.len(), limits.max_code_size)?;
    }
    // Behind the first empty message stand signals, which have limits of their own.
    let upward = result.upward_messages.iter().take_while(|message| !message.is_empty());
    check("number of upward messages", upward.clone().count(), limits.max_upward_messages)?;
    for message in upward {
        check("upward message", message.len(), limits.max_upward_message_size)?;
    }
    check("number of horizontal messages", result.horizontal_messages.len(), limits.max_horizontal_messages)?;
    for message in &result.horizontal_messages {
        check("horizontal message", message.data.len(), limits.max_horizontal_message_size)?;
    }
    Ok(())
}

/// What a failed execution says of the candidate; nothing, where the fault may be ours.
pub(crate) fn failed_execution(error: ValidationError) -> Result<Verdict, ValidationFailed> {
    match error {
        ValidationError::Invalid(reason) => Ok(Verdict::Invalid(InvalidReason::Execution(reason))),
        ValidationError::TimedOut { limit_ms } => Ok(Verdict::Invalid(InvalidReason::Timeout { limit_ms })),
        error @ (ValidationError::Ambiguous(_) | ValidationError::Internal(_)) => {
            Err(ValidationFailed(error.to_string()))
        }
    }
}
