//! The state after a block. Copying it copies pointers; what a block changes is copied when it changes.

use codec::{Decode, Encode};
use primitives::{BlockNumber, Hash, SessionIndex};
use std::sync::Arc;

use crate::{
    Configuration,
    balances::Balances,
    governance::Origin,
    inclusion::Inclusion,
    initializer::System,
    messages::Messages,
    paras::Paras,
    registrar::Registrar,
    root::{self, Sealed},
    scheduler::Scheduler,
    session::Session,
    slashing::Slashing,
    validity::Validity,
};

/// A block that candidates may have as relay parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ancestor {
    /// Its hash.
    pub hash: Hash,
    /// Its number.
    pub number: BlockNumber,
    /// Its state root.
    pub storage_root: Hash,
    /// The session of the blocks on top of it.
    pub session: SessionIndex,
}

/// The state after a block, one pointer per module.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) system: Arc<System>,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) session: Arc<Session>,
    pub(crate) paras: Arc<Paras>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) inclusion: Arc<Inclusion>,
    pub(crate) messages: Arc<Messages>,
    pub(crate) slashing: Arc<Slashing>,
    pub(crate) validity: Arc<Validity>,
    pub(crate) balances: Arc<Balances>,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) sealed: Option<Arc<Sealed>>,
    root: Hash,
}

impl State {
    pub(crate) fn new(configuration: Configuration, session: Session, slashing: Slashing) -> Self {
        Self {
            system: Arc::default(),
            configuration: Arc::new(configuration),
            session: Arc::new(session),
            paras: Arc::default(),
            scheduler: Arc::default(),
            inclusion: Arc::default(),
            messages: Arc::default(),
            slashing: Arc::new(slashing),
            validity: Arc::default(),
            balances: Arc::default(),
            registrar: Arc::default(),
            origin: Arc::default(),
            sealed: None,
            root: Hash::ZERO,
        }
    }

    /// Computes the root: the last thing that is done to a state.
    pub(crate) fn seal_root(&mut self) {
        let mut sealed = Sealed::of(self);
        self.root = root::state_root(self, &mut sealed);
        self.sealed = Some(Arc::new(sealed));
    }

    /// The root of the state: that of a Substrate trie over [`State::storage`].
    pub const fn root(&self) -> Hash {
        self.root
    }
}

/// States are equal if their roots are: the root covers all of a state.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

impl Eq for State {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Extrinsic, SlotClaim, build_block, genesis::tests::small_genesis};
    use primitives::{InherentData, ValidatorIndex, VrfSignature};

    #[test]
    fn a_child_shares_with_its_parent_what_it_did_not_change() {
        let (parent, header) = crate::genesis(&small_genesis()).unwrap();
        let vrf = VrfSignature { pre_output: [0; 32], proof: [0; 64] };
        let claim = SlotClaim { slot: 1, author: ValidatorIndex(0), vrf };
        let inherent = Extrinsic::Inclusion(InherentData::empty(header.clone()));
        let digest = vec![claim.to_digest_item()];
        let child = build_block(&parent, &header, digest, vec![inherent]).unwrap().1.state;
        assert_ne!(child, parent);
        assert!(Arc::ptr_eq(&child.configuration, &parent.configuration));
        assert!(Arc::ptr_eq(&child.paras, &parent.paras));
        assert!(Arc::ptr_eq(&child.messages, &parent.messages));
        assert!(Arc::ptr_eq(&child.slashing, &parent.slashing));
        assert!(Arc::ptr_eq(&child.validity, &parent.validity));
        assert!(Arc::ptr_eq(&child.balances, &parent.balances));
        assert!(Arc::ptr_eq(&child.registrar, &parent.registrar));
        assert!(Arc::ptr_eq(&child.origin, &parent.origin));
        assert!(Arc::ptr_eq(&child.session.validators, &parent.session.validators));
    }
}
