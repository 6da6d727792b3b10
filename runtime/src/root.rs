//! The state as parachain code sees it, and its root.

use codec::Encode;
use primitives::{
    Hash, ParaId,
    configuration::{UpgradeGoAhead, UpgradeRestriction},
    well_known_keys as keys,
};
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Configuration, State,
    balances::Balances,
    governance::Origin,
    inclusion::Inclusion,
    initializer::System,
    messages::Messages,
    paras::Paras,
    proof,
    registrar::Registrar,
    scheduler::Scheduler,
    session::{KnownValue, Session},
    slashing::Slashing,
    trie,
    validity::Validity,
};

/// An entry of the state trie.
pub(crate) enum Entry<'a> {
    Bytes(Vec<u8>),
    /// Long, with its hash at hand.
    Known(&'a KnownValue),
}

impl Entry<'_> {
    fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Known(known) => known.bytes.to_vec(),
        }
    }

    fn value(&self) -> trie::Slot<'_> {
        match self {
            Self::Known(known) if trie::is_hashed(&known.bytes) => trie::Slot::Hashed(known.hash),
            Self::Known(known) => trie::Slot::Inline(&known.bytes),
            Self::Bytes(bytes) => trie::Slot::Inline(bytes),
        }
    }
}

macro_rules! sealed {
    ($($module:ident: $kind:ty,)*) => {
        /// The modules as they were when the root was computed, each with its hash: what a block does not change
        /// is not hashed again. It holds the modules, so that none changes in its place.
        #[derive(Clone, Debug)]
        pub(crate) struct Sealed {
            $($module: (Arc<$kind>, Hash),)*
        }

        impl Sealed {
            pub(crate) fn of(state: &State) -> Self {
                let before = state.sealed.as_deref();
                Self {
                    $($module: match before {
                        Some(before) if Arc::ptr_eq(&before.$module.0, &state.$module) => before.$module.clone(),
                        _ => (Arc::clone(&state.$module), Hash::of(&state.$module)),
                    },)*
                }
            }

            fn hash(&self) -> Hash {
                Hash::of(&[$(self.$module.1),*])
            }
        }
    };
}

sealed! {
    system: System,
    configuration: Configuration,
    session: Session,
    paras: Paras,
    scheduler: Scheduler,
    inclusion: Inclusion,
    messages: Messages,
    slashing: Slashing,
    validity: Validity,
    balances: Balances,
    registrar: Registrar,
    origin: Origin,
}

impl State {
    /// The entries of the state trie: the well-known keys that parachain code reads, and one leaf with the
    /// hash of all modules. Heads stand under their well-known keys only; codes are covered by their hashes.
    pub fn storage(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let entries = self.entries(&Sealed::of(self));
        entries.into_iter().map(|(key, entry)| (key, entry.into_bytes())).collect()
    }

    fn entries(&self, sealed: &Sealed) -> BTreeMap<Vec<u8>, Entry<'_>> {
        let session = &self.session;
        let mut entries = BTreeMap::from([
            (keys::storage_prefix("Parahost", "Modules").to_vec(), Entry::Bytes(sealed.hash().encode())),
            (keys::epoch_index().to_vec(), Entry::Bytes(u64::from(session.index).encode())),
            (keys::current_slot().to_vec(), Entry::Bytes(self.system.slot.encode())),
            (keys::current_block_randomness().to_vec(), Entry::Bytes(Some(session.gathered).encode())),
            (keys::one_epoch_ago_randomness().to_vec(), Entry::Bytes(session.next_randomness.encode())),
            (keys::two_epochs_ago_randomness().to_vec(), Entry::Bytes(session.randomness.encode())),
            (keys::authorities().to_vec(), Entry::Known(&session.authorities)),
            (keys::next_authorities().to_vec(), Entry::Known(&session.next_authorities)),
            (keys::active_config().to_vec(), Entry::Bytes(self.configuration().abridged().encode())),
        ]);
        for (para, head) in &self.paras.heads {
            entries.insert(keys::para_head(*para), Entry::Bytes(head.encode()));
            self.para_entries(*para, &mut entries);
        }
        entries
    }

    fn para_entries(&self, para: ParaId, entries: &mut BTreeMap<Vec<u8>, Entry<'_>>) {
        let number = self.number();
        let pending = self.paras.future_code.get(&para);
        if pending.is_some_and(|(expected_at, _)| *expected_at <= number) {
            let key = keys::upgrade_go_ahead_signal(para);
            entries.insert(key, Entry::Bytes(UpgradeGoAhead::GoAhead.encode()));
        }
        let too_soon = self.next_upgrade_at(para).is_some_and(|earliest| number < earliest);
        if pending.is_some() || too_soon {
            let key = keys::upgrade_restriction_signal(para);
            entries.insert(key, Entry::Bytes(UpgradeRestriction::Present.encode()));
        }
        let (count, size) = self.messages.upward_queue(para);
        let remaining = (
            self.configuration().max_upward_queue_count.saturating_sub(count),
            self.configuration().max_upward_queue_size.saturating_sub(size),
        );
        let key = keys::relay_dispatch_queue_remaining_capacity(para);
        entries.insert(key, Entry::Bytes(remaining.encode()));
        entries.insert(keys::relay_dispatch_queue_size(para), Entry::Bytes((count, size).encode()));
    }
}

pub(crate) fn state_root(state: &State, sealed: &Sealed) -> Hash {
    let entries = state.entries(sealed);
    proof::root(entries.iter().map(|(key, entry)| (&key[..], entry.value())))
}
