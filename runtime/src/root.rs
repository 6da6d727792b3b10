//! The state as parachain code sees it, and its root.

use codec::Encode;
use primitives::{
    Hash, ParaId,
    configuration::{UpgradeGoAhead, UpgradeRestriction},
    messages::HrmpChannelId,
    well_known_keys as keys,
};
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Configuration, State,
    balances::Balances,
    channels::{self, Ends},
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

/// An entry of the state trie that may change in every block.
enum Entry<'a> {
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
            /// Over the entries that change only when a para, a message or the configuration does. As long as none
            /// does, these nodes stand for the entries, which are not even listed; kept they are not, because those of
            /// a thousand states would take much more room than time.
            settled: Option<Arc<proof::KnownNodes>>,
        }

        impl Sealed {
            pub(crate) fn of(state: &State) -> Self {
                let before = state.sealed.as_deref();
                Self {
                    $($module: match before {
                        Some(before) if Arc::ptr_eq(&before.$module.0, &state.$module) => before.$module.clone(),
                        _ => (Arc::clone(&state.$module), Hash::of(&state.$module)),
                    },)*
                    settled: None,
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
        let changing = self.changing_entries(&Sealed::of(self));
        let changing = changing.into_iter().map(|(key, entry)| (key, entry.into_bytes()));
        changing.chain(self.settled_entries()).collect()
    }

    fn changing_entries(&self, sealed: &Sealed) -> BTreeMap<Vec<u8>, Entry<'_>> {
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
        let upgrading = self.paras.future_code.keys().chain(self.paras.last_upgrade.keys());
        for para in upgrading.filter(|para| self.paras.heads.contains_key(para)) {
            self.upgrade_signals(*para, &mut entries);
        }
        entries
    }

    /// What becomes of a para's upgrade: it depends on the block's number.
    fn upgrade_signals(&self, para: ParaId, entries: &mut BTreeMap<Vec<u8>, Entry<'_>>) {
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
    }

    /// Of each para its head and its queues, and the channels: they depend on paras, messages and configuration only.
    fn settled_entries(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut entries = BTreeMap::new();
        for (para, head) in &self.paras.heads {
            entries.insert(keys::para_head(*para), head.encode());
            let (count, size) = self.messages.upward_queue(*para);
            let remaining = (
                self.configuration().max_upward_queue_count.saturating_sub(count),
                self.configuration().max_upward_queue_size.saturating_sub(size),
            );
            entries.insert(keys::relay_dispatch_queue_remaining_capacity(*para), remaining.encode());
            entries.insert(keys::relay_dispatch_queue_size(*para), (count, size).encode());
            if let Some(queue) = self.messages.downward.get(para) {
                entries.insert(keys::dmq_mqc_head(*para), queue.head().encode());
            }
        }
        self.channel_entries(&mut entries);
        entries
    }

    /// Each channel, and of each para the channels that lead to it and away from it.
    fn channel_entries(&self, entries: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        let (mut ingress, mut egress) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for (Ends { recipient, sender }, queue) in &self.messages.channels.open {
            ingress.entry(*recipient).or_default().push(*sender);
            egress.entry(*sender).or_default().push(*recipient);
            let id = HrmpChannelId { sender: *sender, recipient: *recipient };
            entries.insert(keys::hrmp_channels(id), channels::abridged(queue, self.configuration()).encode());
        }
        let ingress = ingress.iter().map(|(para, ends)| (keys::hrmp_ingress_channel_index(*para), ends.encode()));
        let egress = egress.iter().map(|(para, ends)| (keys::hrmp_egress_channel_index(*para), ends.encode()));
        entries.extend(ingress.chain(egress));
    }
}

/// The root, and what makes the next one cheap.
pub(crate) fn state_root(state: &State, sealed: &mut Sealed) -> Hash {
    let changing = state.changing_entries(sealed);
    let changing = || changing.iter().map(|(key, entry)| (&key[..], entry.value()));
    let unchanged = |before: &&Sealed| {
        Arc::ptr_eq(&before.paras.0, &state.paras)
            && Arc::ptr_eq(&before.messages.0, &state.messages)
            && Arc::ptr_eq(&before.configuration.0, &state.configuration)
    };
    if let Some(known) = state.sealed.as_deref().filter(unchanged).and_then(|before| before.settled.as_ref())
        && let Some(root) = proof::root_from(changing(), known)
    {
        let known = Arc::clone(known);
        sealed.settled = Some(known);
        return root;
    }
    let settled = state.settled_entries();
    let settled = settled.iter().map(|(key, value)| (&key[..], &value[..]));
    let (root, learned) = proof::root(changing(), settled);
    sealed.settled = learned.map(Arc::new);
    root
}

#[cfg(test)]
mod tests {
    use crate::{
        ConfigurationChange, Extrinsic, Governance, SlotClaim, build_block, genesis::tests::small_genesis, trie,
    };
    use primitives::{InherentData, ParaId, ValidatorIndex, VrfSignature, messages::HrmpChannelId};

    /// What is remembered of the last block never changes a root.
    #[test]
    fn a_root_is_that_of_the_trie_over_the_storage_whatever_was_there_before() {
        let mut genesis = small_genesis();
        for index in 1..40 {
            let mut para = genesis.paras[0].clone();
            para.id = ParaId(2000 + index);
            genesis.paras.push(para);
        }
        let channel = HrmpChannelId { sender: ParaId(2002), recipient: ParaId(2003) };
        let (mut state, mut header) = crate::genesis(&genesis).unwrap();
        for number in 1..30 {
            assert_eq!(state.root(), trie::root(state.storage()), "block {number}");
            let governed = match number {
                3 => Some(Governance::Endow([1; 32], 7)),
                5 => Some(Governance::ConfigureField(ConfigurationChange::MaxUpwardQueueCount(3))),
                6 => Some(Governance::OpenChannel(channel)),
                7 => Some(Governance::SendDownward(ParaId(2002), vec![7; 40])),
                9 => Some(Governance::CleanupPara(ParaId(2001))),
                _ => None,
            };
            if let Some(change) = governed {
                state = state.governed(change).unwrap();
                header.state_root = state.root();
                assert_eq!(state.root(), trie::root(state.storage()), "governed before block {number}");
            }
            let vrf = VrfSignature { pre_output: [number; 32], proof: [0; 64] };
            let claim = SlotClaim { slot: number.into(), author: ValidatorIndex(0), vrf };
            let inherent = Extrinsic::Inclusion(InherentData::empty(header.clone()));
            let (block, executed) = build_block(&state, &header, vec![claim.to_digest_item()], vec![inherent]).unwrap();
            (state, header) = (executed.state, block.header);
        }
    }
}
