//! What parachain code reads from the state, and what is asked for a candidate to be made.

use crate::support::*;
use codec::{Decode, Encode};
use primitives::{
    AbridgedHostConfiguration, HeadData, OccupiedCoreAssumption, PersistedValidationData, Slot, well_known_keys as keys,
};

#[test]
fn well_known_keys_hold_what_they_say() {
    let mut chain = Chain::new(6);
    chain.skip(3);
    let storage = chain.state.storage();
    let get = |key: &[u8]| storage.get(key).cloned().unwrap();
    assert_eq!(Slot::decode(&mut &get(&keys::current_slot())[..]), Ok(3));
    assert_eq!(u64::decode(&mut &get(&keys::epoch_index())[..]), Ok(0));
    assert_eq!(HeadData::decode(&mut &get(&keys::para_head(ONE))[..]), Ok(HeadData(vec![1])));
    assert_eq!(
        AbridgedHostConfiguration::decode(&mut &get(&keys::active_config())[..]),
        Ok(chain.state.configuration().abridged())
    );
    let authorities: Vec<([u8; 32], u64)> = Decode::decode(&mut &get(&keys::authorities())[..]).unwrap();
    assert_eq!(authorities.len(), 6);
    assert_eq!(authorities[2], (chain.state.validators()[2].0, 1));
    assert_eq!(get(&keys::two_epochs_ago_randomness()), chain.state.randomness().encode());
}

#[test]
fn upward_messages_use_up_capacity_until_they_are_handed_out() {
    let mut chain = Chain::new(6);
    let key = keys::relay_dispatch_queue_remaining_capacity(ONE);
    let capacity = |chain: &Chain| <(u32, u32)>::decode(&mut &chain.state.storage()[&key][..]).unwrap();
    let full = capacity(&chain);
    let mut draft = chain.draft(ONE, CORE_0);
    draft.commitments.upward_messages = vec![vec![1; 5], vec![2; 6], vec![]].try_into().unwrap();
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back(&draft)];
    chain.push(inherent);
    assert_eq!(capacity(&chain), full);
    chain.push(chain.attesting(6, &[0]));
    assert_eq!(capacity(&chain), (full.0 - 2, full.1 - 11));
    let executed = chain.push(chain.inherent());
    assert_eq!(executed.upward_messages, [(ONE, vec![vec![1; 5], vec![2; 6]])]);
    assert_eq!(capacity(&chain), full);
}

#[test]
fn validation_data_follows_the_assumption() {
    use OccupiedCoreAssumption::{Free, Included, TimedOut};
    let mut chain = Chain::new(6);
    let root = chain.state.root();
    let data = |chain: &Chain, assumption| chain.state.persisted_validation_data(ONE, assumption, 7, root);
    let on = |head: &HeadData| {
        Some(PersistedValidationData {
            parent_head: head.clone(),
            relay_parent_number: 7,
            relay_parent_storage_root: root,
            max_pov_size: primitives::limits::MAX_POV_SIZE,
        })
    };
    let head = chain.state.para_head(ONE).unwrap().clone();
    assert_eq!(data(&chain, Included), None);
    assert_eq!((data(&chain, Free), data(&chain, TimedOut)), (on(&head), on(&head)));
    chain.push(chain.backing(&[(ONE, CORE_0)]));
    let next = chain.state.candidate_pending_availability(CORE_0).unwrap().commitments.head_data.clone();
    assert_eq!(data(&chain, Included), on(&next));
    assert_eq!((data(&chain, Free), data(&chain, TimedOut)), (None, on(&head)));
    assert_eq!(chain.state.validation_code(ONE, Free), None);
    assert!(chain.state.validation_code(ONE, TimedOut).is_some());
    assert_eq!(chain.state.persisted_validation_data(primitives::ParaId(1), TimedOut, 7, root), None);
}

#[test]
fn the_root_covers_every_module() {
    let mut chain = Chain::new(6);
    chain.skip(1);
    let mut roots = vec![chain.state.root()];
    let mut other = chain.clone();
    other.push(other.backing(&[(ONE, CORE_0)]));
    roots.push(other.state.root());
    other.push(other.attesting(1, &[0]));
    roots.push(other.state.root());
    let mut attested = other.clone();
    attested.push(attested.attesting(2, &[0]));
    other.push(other.inherent());
    roots.extend([attested.state.root(), other.state.root()]);
    let mut configuration = chain.state.configuration().clone();
    configuration.dispute_post_conclusion_period = 77;
    let change = runtime::Governance::Configure(Box::new(configuration));
    roots.push(chain.state.governed(change).unwrap().root());
    let count = roots.len();
    roots.sort();
    roots.dedup();
    assert_eq!(roots.len(), count);
}

#[test]
fn the_state_proves_what_parachain_code_reads() {
    let mut chain = Chain::new(6);
    chain.skip(2);
    let storage = chain.state.storage();
    let absent = keys::para_head(primitives::ParaId(9999));
    let wanted = [keys::para_head(ONE), keys::active_config().to_vec(), keys::authorities().to_vec(), absent];
    let proof = chain.state.state_proof(&wanted);
    for key in &wanted {
        assert_eq!(proof.read(chain.state.root(), key), Ok(storage.get(key).cloned()));
    }
    assert!(proof.read(chain.state.root(), &keys::next_authorities()).is_err(), "nobody asked for that");
    assert!(proof.read(primitives::Hash::ZERO, &wanted[0]).is_err());
}

#[test]
fn the_root_changes_when_and_only_when_the_state_does() {
    use runtime::{ConfigurationChange, Governance};
    let chain = Chain::new(6);
    let changed = |change| chain.state.governed(change).unwrap().root();
    let roots = [
        changed(Governance::ConfigureField(ConfigurationChange::MaxPovSize(77))),
        changed(Governance::ConfigureField(ConfigurationChange::AcceptancePeriod(77))),
        changed(Governance::Endow([1; 32], 5)),
        changed(Governance::Endow([1; 32], 6)),
        changed(Governance::CleanupPara(ONE)),
        changed(Governance::Validators(chain.state.validators()[1..].to_vec())),
        chain.state.root(),
    ];
    let distinct: std::collections::BTreeSet<_> = roots.iter().collect();
    assert_eq!(distinct.len(), roots.len());
    assert_eq!(changed(Governance::Endow([1; 32], 0)), chain.state.root(), "nothing was given");
}
