//! The collators of the two test parachains.

use async_trait::async_trait;
use ports::{Collation, CollationContext, Collator};
use primitives::{HeadData, HorizontalMessages, PoV, UpwardMessages};
use test_parachains::{
    CollateError, adder,
    burner::{self, BlockPlan},
};

/// Makes blocks of `adder`: the head is a running sum. That chain processes no messages, so that one downward message
/// stops it for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdderCollator {
    /// Bytes that each block carries beside its addition.
    pub padding_bytes: usize,
}

/// Makes blocks of `burner`: a payload of the given size, and so much computing. Each processes all downward messages
/// that wait.
#[derive(Clone, Copy, Debug)]
pub struct BurnerCollator {
    /// Bytes of payload in each block.
    pub payload_bytes: usize,
    /// Rounds of computing in each block.
    pub iterations: u64,
}

fn collation(context: &CollationContext, head: Vec<u8>, block: Vec<u8>, processed_downward: u32) -> Collation {
    Collation {
        head_data: HeadData(head),
        new_validation_code: None,
        upward_messages: UpwardMessages::default(),
        horizontal_messages: HorizontalMessages::default(),
        processed_downward_messages: processed_downward,
        hrmp_watermark: context.validation_data.relay_parent_number,
        proof_of_validity: PoV::from(block),
    }
}

/// A block whose maker says how many downward messages it processes.
fn made(
    context: &CollationContext,
    result: Result<(Vec<u8>, Vec<u8>), CollateError>,
    processed_downward: u32,
) -> Option<Collation> {
    match result {
        Ok((head, block)) => Some(collation(context, head, block, processed_downward)),
        Err(error) => {
            tracing::warn!(para = ?context.para_id, %error, "the collator made no block");
            None
        }
    }
}

/// A block of `burner` that processes all downward messages.
pub(crate) fn burner_block(context: &CollationContext, plan: BlockPlan<'_>) -> Option<Collation> {
    let processed_downward = u32::try_from(context.downward_messages.len()).unwrap_or(u32::MAX);
    let plan = BlockPlan { processed_downward, ..plan };
    made(context, burner::collate_as(&context.validation_data.parent_head.0, plan), processed_downward)
}

#[async_trait]
impl Collator for AdderCollator {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        let result = adder::collate(&context.validation_data.parent_head.0, self.padding_bytes);
        made(&context, result, 0)
    }
}

#[async_trait]
impl Collator for BurnerCollator {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        let Self { payload_bytes, iterations } = *self;
        burner_block(&context, BlockPlan { payload_bytes, iterations, ..BlockPlan::default() })
    }
}
