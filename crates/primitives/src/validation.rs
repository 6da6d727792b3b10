//! Input and output of a validation function, as they cross into wasm (design §8).

use codec::{Decode, Encode};

use crate::{
    BlockData, BlockNumber, CandidateCommitments, Hash, HeadData, PersistedValidationData, PoV, ValidationCode,
    messages::{HorizontalMessages, UpwardMessages},
};

/// What `validate_block` gets.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ValidationParams {
    /// The head that the block builds on.
    pub parent_head: HeadData,
    /// The block and its proof.
    pub block_data: BlockData,
    /// Height of the relay parent.
    pub relay_parent_number: BlockNumber,
    /// State root of the relay parent.
    pub relay_parent_storage_root: Hash,
}

impl ValidationParams {
    /// The parameters for a candidate's data; shares the PoV's bytes.
    pub fn new(pov: &PoV, data: &PersistedValidationData) -> Self {
        Self {
            parent_head: data.parent_head.clone(),
            block_data: pov.block_data.clone(),
            relay_parent_number: data.relay_parent_number,
            relay_parent_storage_root: data.relay_parent_storage_root,
        }
    }
}

/// What `validate_block` returns for a valid block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ValidationResult {
    /// The new head.
    pub head_data: HeadData,
    /// New code, if any.
    pub new_validation_code: Option<ValidationCode>,
    /// Messages to the relay chain.
    pub upward_messages: UpwardMessages,
    /// Messages to other parachains.
    pub horizontal_messages: HorizontalMessages,
    /// How many downward messages were processed.
    pub processed_downward_messages: u32,
    /// The block up to which horizontal messages were processed.
    pub hrmp_watermark: BlockNumber,
}

impl From<ValidationResult> for CandidateCommitments {
    fn from(result: ValidationResult) -> Self {
        Self {
            upward_messages: result.upward_messages,
            horizontal_messages: result.horizontal_messages,
            new_validation_code: result.new_validation_code,
            head_data: result.head_data,
            processed_downward_messages: result.processed_downward_messages,
            hrmp_watermark: result.hrmp_watermark,
        }
    }
}
