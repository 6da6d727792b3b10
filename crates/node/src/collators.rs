//! The collators of the two test parachains.

use async_trait::async_trait;
use ports::{Collation, CollationContext, Collator};
use primitives::{HeadData, HorizontalMessages, PoV, UpwardMessages};
use test_parachains::{adder, burner};

/// Makes blocks of `adder`: the head is a running sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdderCollator {
    /// Bytes that each block carries beside its addition.
    pub padding_bytes: usize,
}

/// Makes blocks of `burner`: a payload of the given size, and so much computing.
#[derive(Clone, Copy, Debug)]
pub struct BurnerCollator {
    /// Bytes of payload in each block.
    pub payload_bytes: usize,
    /// Rounds of computing in each block.
    pub iterations: u64,
}

fn collation(context: &CollationContext, head: Vec<u8>, block: Vec<u8>) -> Collation {
    Collation {
        head_data: HeadData(head),
        new_validation_code: None,
        upward_messages: UpwardMessages::default(),
        horizontal_messages: HorizontalMessages::default(),
        processed_downward_messages: 0,
        hrmp_watermark: context.validation_data.relay_parent_number,
        proof_of_validity: PoV::from(block),
    }
}

pub(crate) fn made<E: std::fmt::Display>(
    context: &CollationContext,
    result: Result<(Vec<u8>, Vec<u8>), E>,
) -> Option<Collation> {
    match result {
        Ok((head, block)) => Some(collation(context, head, block)),
        Err(error) => {
            tracing::warn!(para = ?context.para_id, %error, "the collator made no block");
            None
        }
    }
}

#[async_trait]
impl Collator for AdderCollator {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        let result = adder::collate(&context.validation_data.parent_head.0, self.padding_bytes);
        made(&context, result)
    }
}

#[async_trait]
impl Collator for BurnerCollator {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        let parent = &context.validation_data.parent_head.0;
        let result = burner::collate(parent, self.payload_bytes, self.iterations);
        made(&context, result)
    }
}
