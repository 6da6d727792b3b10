//! What the scenario may pull on nodes that are otherwise as they are: collators that wait, a collator that upgrades its
//! para, bitfields that nobody gets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use messages::bitfield_distribution::DistributeBitfield;
use messages::bitfield_signing::BitfieldSigning;
use overseer::port::Tapped;
use ports::{Collation, CollationContext, Collator};
use primitives::{ParaId, ValidationCode};
use test_parachains::burner::BlockPlan;

use crate::collators::burner_block;
use crate::node::{NodeRole, NodeSpec};
use crate::wiring::ParahostBuilder;

/// Shared by all nodes of a network.
#[derive(Debug, Default)]
pub(crate) struct Levers {
    /// Parathreads' collators make nothing.
    parathreads_wait: AtomicBool,
    /// What validators have signed about availability is lost.
    bitfields_lost: AtomicBool,
    /// The upgrading para's next blocks announce this code.
    new_code: Mutex<Option<ValidationCode>>,
}

impl Levers {
    pub(super) fn set_parathreads_wait(&self, wait: bool) {
        self.parathreads_wait.store(wait, Ordering::Relaxed);
    }

    pub(super) fn set_bitfields_lost(&self, lost: bool) {
        self.bitfields_lost.store(lost, Ordering::Relaxed);
    }

    pub(super) fn set_new_code(&self, code: Option<ValidationCode>) {
        *self.new_code.lock().unwrap_or_else(PoisonError::into_inner) = code;
    }

    fn new_code(&self) -> Option<ValidationCode> {
        self.new_code.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts the levers that are on collators into what a node is told.
    pub(crate) fn rig(self: &Arc<Self>, mut spec: NodeSpec, upgrading: ParaId, is_parathread: bool) -> NodeSpec {
        if let NodeRole::Collator(config) = &mut spec.role {
            let levers = self.clone();
            if is_parathread {
                config.collator = Arc::new(Waiting { levers, inner: config.collator.clone() });
            } else if config.para_id == upgrading {
                config.collator = Arc::new(Upgrading { levers, inner: config.collator.clone() });
            }
        }
        spec
    }

    /// Puts the levers that are in the wiring into it.
    pub(crate) fn wire(self: &Arc<Self>, builder: ParahostBuilder) -> ParahostBuilder {
        let levers = self.clone();
        builder.tap::<BitfieldSigning, DistributeBitfield>(move |bitfield: DistributeBitfield| {
            match levers.bitfields_lost.load(Ordering::Relaxed) {
                true => Tapped::Drop,
                false => Tapped::Pass(bitfield),
            }
        })
    }
}

/// Makes nothing while the lever is pulled.
struct Waiting {
    levers: Arc<Levers>,
    inner: Arc<dyn Collator>,
}

#[async_trait]
impl Collator for Waiting {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        if self.levers.parathreads_wait.load(Ordering::Relaxed) {
            return None;
        }
        self.inner.collate(context).await
    }
}

/// Makes a small block with new code in it while there is any.
struct Upgrading {
    levers: Arc<Levers>,
    inner: Arc<dyn Collator>,
}

#[async_trait]
impl Collator for Upgrading {
    async fn collate(&self, context: CollationContext) -> Option<Collation> {
        let Some(code) = self.levers.new_code() else { return self.inner.collate(context).await };
        let plan = BlockPlan { iterations: 1, new_code: Some(&code.0), ..BlockPlan::default() };
        let collation = burner_block(&context, plan)?;
        Some(Collation { new_validation_code: Some(code), ..collation })
    }
}
