//! The state as parachain code sees it, and its root.

use codec::Encode;
use primitives::{
    Hash, ParaId,
    configuration::{UpgradeGoAhead, UpgradeRestriction},
    well_known_keys as keys,
};
use std::collections::BTreeMap;

use crate::{State, trie};

/// Each block author weighs the same.
const AUTHORITY_WEIGHT: u64 = 1;

impl State {
    /// The entries of the state trie: the well-known keys that parachain code reads, and one leaf with the
    /// hash of all modules. Heads stand under their well-known keys only; codes are covered by their hashes.
    pub fn storage(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let session = &self.session;
        let mut entries = BTreeMap::from([
            (keys::storage_prefix("Parahost", "Modules").to_vec(), self.modules_hash().encode()),
            (keys::epoch_index().to_vec(), u64::from(session.index).encode()),
            (keys::current_slot().to_vec(), self.system.slot.encode()),
            (keys::current_block_randomness().to_vec(), Some(session.gathered).encode()),
            (keys::one_epoch_ago_randomness().to_vec(), session.next_randomness.encode()),
            (keys::two_epochs_ago_randomness().to_vec(), session.randomness.encode()),
            (keys::authorities().to_vec(), authorities(&session.validators)),
            (keys::next_authorities().to_vec(), authorities(&session.queued)),
            (keys::active_config().to_vec(), self.configuration().abridged().encode()),
        ]);
        for (para, head) in &self.paras.heads {
            entries.insert(keys::para_head(*para), head.encode());
            self.para_entries(*para, &mut entries);
        }
        entries
    }

    fn para_entries(&self, para: ParaId, entries: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        let number = self.number();
        let pending = self.paras.future_code.get(&para);
        if pending.is_some_and(|(expected_at, _)| *expected_at <= number) {
            let key = keys::upgrade_go_ahead_signal(para);
            entries.insert(key, UpgradeGoAhead::GoAhead.encode());
        }
        let too_soon = self.next_upgrade_at(para).is_some_and(|earliest| number < earliest);
        if pending.is_some() || too_soon {
            let key = keys::upgrade_restriction_signal(para);
            entries.insert(key, UpgradeRestriction::Present.encode());
        }
        let (count, size) = self.messages.upward_queue(para);
        let remaining = (
            self.configuration().max_upward_queue_count.saturating_sub(count),
            self.configuration().max_upward_queue_size.saturating_sub(size),
        );
        let key = keys::relay_dispatch_queue_remaining_capacity(para);
        entries.insert(key, remaining.encode());
        entries.insert(keys::relay_dispatch_queue_size(para), (count, size).encode());
    }

    fn modules_hash(&self) -> Hash {
        let modules = [
            Hash::of(&self.system),
            Hash::of(&self.configuration),
            Hash::of(&self.session),
            Hash::of(&self.paras),
            Hash::of(&self.scheduler),
            Hash::of(&self.inclusion),
            Hash::of(&self.messages),
            Hash::of(&self.slashing),
        ];
        Hash::of(&modules)
    }
}

fn authorities(validators: &[primitives::ValidatorId]) -> Vec<u8> {
    let weighted = validators.iter().map(|validator| (validator.0, AUTHORITY_WEIGHT));
    weighted.collect::<Vec<_>>().encode()
}

pub(crate) fn state_root(state: &State) -> Hash {
    trie::root(state.storage())
}
