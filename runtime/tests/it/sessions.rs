//! Sessions, rotation, timeouts, and what governance changes at session boundaries.

use crate::support::*;
use primitives::{CandidateEvent, ConfigurationError, CoreIndex, CoreState, GroupIndex, HeadData, ParaId, ValidatorId};
use runtime::{CandidateError, Governance, GovernanceError, ParaError, ParaGenesisArgs};

fn new_para() -> ParaGenesisArgs {
    ParaGenesisArgs { genesis_head: HeadData(vec![5]), validation_code: vec![5; 64].into(), parachain: true }
}

#[test]
fn a_session_ends_between_two_blocks() {
    let mut chain = Chain::new(6);
    chain.skip_to(38);
    assert_eq!(chain.state.session_index(), 0);
    let randomness = chain.state.randomness();
    let executed = chain.push(chain.inherent());
    assert_eq!(executed.new_session, Some(1));
    assert_eq!((chain.state.session_index(), chain.state.session_start_block()), (1, 40));
    assert_ne!(chain.state.randomness(), randomness);
    assert_eq!(chain.push(chain.inherent()).new_session, None);
    chain.skip_to(79);
    assert_eq!(chain.state.session_index(), 2);
}

#[test]
fn groups_are_shuffled_anew_and_hold_everyone_once() {
    let mut chain = Chain::new(10);
    let first = chain.state.groups().to_vec();
    assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [4, 3, 3]);
    chain.skip_to(39);
    let second = chain.state.groups().to_vec();
    assert_ne!(first, second);
    for groups in [first, second] {
        let mut members = groups.concat();
        members.sort();
        assert_eq!(members.len(), 10);
        members.dedup();
        assert_eq!(members.len(), 10);
    }
}

#[test]
fn pending_candidates_do_not_survive_their_session() {
    let mut chain = Chain::new(6);
    chain.skip_to(37);
    chain.push(chain.backing(&[(ONE, CORE_0)]));
    assert!(chain.state.candidate_pending_availability(CORE_0).is_some());
    let head = chain.state.para_head(ONE).cloned();
    chain.skip(1);
    assert!(chain.state.candidate_pending_availability(CORE_0).is_none());
    assert_eq!(chain.state.para_head(ONE).cloned(), head);
}

#[test]
fn a_relay_parent_of_the_session_before_is_refused() {
    let mut chain = Chain::new(6);
    chain.skip_to(38);
    let old = chain.draft(ONE, CORE_0);
    chain.skip(1);
    let draft = Draft { session: 1, ..old };
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back(&draft)];
    let refused = chain.try_block(inherent, Vec::new()).unwrap_err();
    let error = CandidateError::WrongSession { found: 0, expected: 1 };
    assert_eq!(refused, runtime::BlockError::Candidate { para: ONE, error });
    // The last block of the old session is a relay parent of the new one.
    assert_eq!(chain.push(chain.backing(&[(ONE, CORE_0)])).events.len(), 1);
}

#[test]
fn announced_validators_serve_after_the_next_session() {
    let mut chain = Chain::new(6);
    let new: Vec<_> = (0..5).map(|i| primitives::Pair::from_name(&format!("newcomer {i}"))).collect();
    let ids: Vec<_> = new.iter().map(|pair| ValidatorId(pair.public())).collect();
    chain.pairs.extend(new);
    let old = chain.state.validators().to_vec();
    chain.govern(Governance::Validators(ids.clone()));
    assert_eq!(chain.state.next_validators(), old);
    chain.skip_to(39);
    assert_eq!((chain.state.validators(), chain.state.next_validators()), (&old[..], &ids[..]));
    chain.skip_to(79);
    assert_eq!((chain.state.validators(), chain.state.next_validators()), (&ids[..], &ids[..]));
    assert_eq!(chain.state.validators_of(1), Some(&old[..]));
    assert_eq!(chain.state.validators_of(0), None);
    // They can back and attest.
    chain.push(chain.backing(&[(ONE, CORE_0)]));
    assert!(matches!(chain.push(chain.attesting(5, &[0])).events[..], [CandidateEvent::Included(..)]));
    let twice = vec![ids[0]; 2];
    assert!(matches!(chain.state.governed(Governance::Validators(twice)).unwrap_err(), GovernanceError::Validators(_)));
}

#[test]
fn the_configuration_changes_with_the_session_only() {
    let mut chain = Chain::new(6);
    let mut configuration = chain.state.configuration().clone();
    configuration.max_pov_size = 77;
    chain.govern(Governance::Configure(Box::new(configuration.clone())));
    assert_ne!(chain.state.configuration().max_pov_size, 77);
    chain.skip_to(39);
    assert_eq!(chain.state.configuration(), &configuration);
    configuration.thread_availability_period = 0;
    assert_eq!(
        chain.state.governed(Governance::Configure(Box::new(configuration.clone()))).unwrap_err(),
        GovernanceError::Configuration(ConfigurationError::OutOfRange {
            field: "thread_availability_period_blocks",
            found: 0,
            min: 1,
            max: 100_799
        })
    );
    configuration.thread_availability_period = 1;
    configuration.parachain_rotation_frequency = 40;
    assert_eq!(
        chain.state.governed(Governance::Configure(Box::new(configuration.clone()))).unwrap_err(),
        GovernanceError::Configuration(ConfigurationError::RotationTooSlow { rotation: 40, session_length: 40 }),
        "no candidate could time out"
    );
    configuration.parachain_rotation_frequency = 39;
    configuration.parathread_cores = 255;
    assert_eq!(
        chain.state.governed(Governance::Configure(Box::new(configuration))).unwrap_err(),
        GovernanceError::CoreCount(257)
    );
}

#[test]
fn paras_come_and_go_with_the_session() {
    let mut chain = Chain::new(6);
    chain.govern(Governance::InitializePara(ParaId(1000), new_para()));
    chain.govern(Governance::CleanupPara(TWO));
    assert_eq!(chain.state.parachains(), [ONE, TWO]);
    let refused = chain.state.governed(Governance::CleanupPara(TWO)).unwrap_err();
    assert_eq!(refused, GovernanceError::Para(ParaError::NotRegistered(TWO)));
    for para in [ParaId(1000), ONE] {
        let refused = chain.state.governed(Governance::InitializePara(para, new_para())).unwrap_err();
        assert_eq!(refused, GovernanceError::Para(ParaError::AlreadyRegistered(para)));
    }
    let code = chain.state.validation_code_at(TWO, 10, None).unwrap();
    chain.skip_to(39);
    assert_eq!(chain.state.parachains(), [ParaId(1000), ONE]);
    assert_eq!(chain.state.para_head(TWO), None);
    assert_eq!(chain.state.para_head(ParaId(1000)), Some(&HeadData(vec![5])));
    let paras: Vec<_> = chain.state.availability_cores(40).iter().map(CoreState::para_id).collect();
    assert_eq!(paras, [Some(ParaId(1000)), Some(ONE), None], "cores follow the parachains");
    assert_eq!(chain.push(chain.backing(&[(ParaId(1000), CORE_0), (ONE, CORE_1)])).events.len(), 2);
    // The code of a para that is gone can be checked until the acceptance period is over.
    assert_eq!(chain.state.validation_code_at(TWO, 10, None), Some(code));
    chain.skip_to(59);
    assert!(chain.state.validation_code_by_hash(code).is_some());
    chain.skip_to(60);
    assert!(chain.state.validation_code_by_hash(code).is_none());
    assert_eq!(chain.state.validation_code_at(TWO, 10, None), None);
}

#[test]
fn groups_rotate_over_the_cores() {
    let mut chain = Chain::new(6);
    let group = |chain: &Chain, core| chain.group_of(CoreIndex(core));
    assert_eq!([0, 1, 2].map(|core| group(&chain, core)), [0, 1, 2].map(GroupIndex));
    chain.skip_to(9);
    assert_eq!([0, 1, 2].map(|core| group(&chain, core)), [1, 2, 0].map(GroupIndex));
    // A candidate whose relay parent is just before the rotation is backed by the group it was made for.
    chain.skip_to(18);
    let backed = chain.back(&chain.draft(ONE, CORE_0));
    let served = chain.group_of(CORE_0);
    chain.skip(1);
    assert_ne!(chain.group_of(CORE_0), served);
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![backed];
    let events = chain.push(inherent).events;
    assert!(matches!(events[..], [CandidateEvent::Backed(_, _, _, group)] if group == served));
}

#[test]
fn a_candidate_times_out_when_the_cores_say_so() {
    // Blocks 10 to 15 and 20 to 25 are those in which cores can time out: rotation 10, period 6.
    for (backed_in, expected) in [(1, 10), (3, 10), (4, 10), (5, 11), (9, 15), (10, 20), (12, 20), (15, 21)] {
        let mut chain = Chain::new(6);
        chain.skip_to(backed_in - 1);
        chain.push(chain.backing(&[(ONE, CORE_0)]));
        let CoreState::Occupied(core) = &chain.state.availability_cores(backed_in + 1)[0] else {
            panic!("it was backed")
        };
        assert_eq!((core.occupied_since, core.time_out_at), (backed_in, expected));
        let head = chain.state.para_head(ONE).cloned();
        chain.skip_to(expected - 1);
        assert!(chain.state.candidate_pending_availability(CORE_0).is_some());
        let events = chain.push(chain.inherent()).events;
        assert!(matches!(events[..], [CandidateEvent::TimedOut(_, _, CORE_0)]), "backed in {backed_in}");
        assert_eq!(chain.state.para_head(ONE).cloned(), head);
    }
}

#[test]
fn what_is_available_in_time_does_not_time_out() {
    let mut chain = Chain::new(6);
    chain.push(chain.backing(&[(ONE, CORE_0)]));
    chain.skip_to(9);
    let events = chain.push(chain.attesting(6, &[0])).events;
    assert!(matches!(events[..], [CandidateEvent::Included(..)]));
}

#[test]
fn a_chain_without_cores_goes_on() {
    let mut chain = Chain::with(4, |genesis| {
        genesis.paras.retain(|para| !para.is_parachain);
        genesis.configuration.parathread_cores = 0;
    });
    assert!(chain.state.groups().is_empty() && chain.state.availability_cores(1).is_empty());
    // Bitfields are empty, and are signed all the same.
    chain.push(chain.attesting(4, &[]));
    chain.skip_to(39);
    assert_eq!(chain.state.session_index(), 1);
}

#[test]
fn fewer_validators_than_cores_leave_groups_empty() {
    let mut chain = Chain::new(2);
    let sizes: Vec<_> = chain.state.groups().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 1, 0]);
    chain.push(chain.backing(&[(ONE, CORE_0), (TWO, CORE_1)]));
    // Nobody can back on the core of the empty group, not even by saying nothing.
    chain.skip_to(9);
    assert_eq!(chain.members(CORE_1), Vec::<u32>::new());
    let mut inherent = chain.attesting(2, &[0, 1]);
    chain.push(inherent.clone());
    inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back(&chain.draft(TWO, CORE_1))];
    assert!(chain.try_block(inherent, Vec::new()).is_err());
}

#[test]
fn claims_survive_the_session_change_with_their_retries() {
    let mut chain = Chain::with(6, |genesis| genesis.configuration.parathread_retries = 2);
    let collator = primitives::Pair::from_name("collator");
    let claim = runtime::ParathreadClaim { para: THREAD, collator: primitives::CollatorId(collator.public()) };
    chain.skip_to(37);
    chain.govern(Governance::Claim(claim.clone()));
    // One attempt in vain, then a candidate that the session change takes from its core.
    chain.skip(1);
    let receipt = chain.draft(THREAD, THREAD_CORE).receipt_v1(&collator);
    let mut inherent = chain.inherent();
    inherent.backed_candidates = vec![chain.back_with(receipt, THREAD_CORE, usize::MAX)];
    chain.push(inherent);
    assert_eq!(chain.state.session_index(), 1);
    assert!(chain.state.pending_candidate(THREAD_CORE).is_none());
    // The attempt that the session change ended does not count: two are left.
    for _ in 0..2 {
        assert_eq!(chain.state.next_up(THREAD_CORE).map(|next| next.para_id), Some(THREAD));
        chain.skip(1);
    }
    assert_eq!(chain.state.next_up(THREAD_CORE), None);
}
