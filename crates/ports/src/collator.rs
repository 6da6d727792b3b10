use async_trait::async_trait;
use primitives::{Hash, ParaId};
use primitives::{
    HeadData, HorizontalMessages, InboundDownwardMessage, InherentData, PersistedValidationData, PoV, UpwardMessages,
    ValidationCode,
};

/// What a collator builds on.
#[derive(Clone, Debug)]
pub struct CollationContext {
    /// The relay parent.
    pub relay_parent: Hash,
    /// The para whose block is wanted.
    pub para_id: ParaId,
    /// The current head and limits.
    pub validation_data: PersistedValidationData,
    /// The downward messages that wait for the para behind that head, the oldest first. The block may process any number
    /// of them, but at least one if there are any: the relay chain takes no other.
    pub downward_messages: Vec<InboundDownwardMessage>,
}

/// A parachain block, ready to be described by a receipt.
#[derive(Clone, Debug)]
pub struct Collation {
    /// The head after the block.
    pub head_data: HeadData,
    /// A new validation function, if the para upgrades.
    pub new_validation_code: Option<ValidationCode>,
    /// Messages to the relay chain.
    pub upward_messages: UpwardMessages,
    /// Messages to other paras.
    pub horizontal_messages: HorizontalMessages,
    /// How many downward messages were processed.
    pub processed_downward_messages: u32,
    /// Up to which relay block horizontal messages were processed.
    pub hrmp_watermark: u32,
    /// The proof of validity.
    pub proof_of_validity: PoV,
}

/// The para's own node, as the collator function that collation-generation calls.
#[async_trait]
pub trait Collator: Send + Sync {
    /// A block on top of the context's head; `None` when there is nothing to build, or building failed.
    ///
    /// # Cancel safety
    /// Dropped when the relay parent stops being a leaf: it must leave nothing half done.
    ///
    /// # Back-pressure
    /// It may take as long as a block takes; it is called from a job.
    async fn collate(&self, context: CollationContext) -> Option<Collation>;
}

/// Why an author gets no inherent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no inherent data for {parent:?}: {reason}")]
pub struct InherentSourceError {
    /// The parent on which was to be authored.
    pub parent: Hash,
    /// Why.
    pub reason: String,
}

/// Where a block author gets what it puts into the inclusion inherent: the node's provisioner, asked from outside.
#[async_trait]
pub trait InherentSource: Send + Sync {
    /// What to include in a block on `parent`, as the runtime's checks accept it. The header in it is the parent's.
    ///
    /// # Errors
    /// [`InherentSourceError`], with the parent and the reason; a block without an inherent can be authored still.
    ///
    /// # Cancel safety
    /// Dropping it gives the answer up.
    async fn inherent_data(&self, parent: Hash) -> Result<InherentData, InherentSourceError>;
}
