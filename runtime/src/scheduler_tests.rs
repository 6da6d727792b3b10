//! The scheduler by itself: groups, rotation, predicate, queue.

use super::*;
use primitives::ValidatorId;
use proptest::prelude::*;
use std::sync::Arc;

fn configuration() -> HostConfiguration {
    HostConfiguration {
        parathread_cores: 2,
        scheduling_lookahead: 2,
        parathread_retries: 1,
        chain_availability_period: 3,
        thread_availability_period: 5,
        ..HostConfiguration::default()
    }
}

fn change(first_block: BlockNumber, validators: usize, previous: HostConfiguration) -> SessionChange {
    SessionChange {
        first_block,
        validators: Arc::new((0..validators).map(|i| ValidatorId([i as u8; 32])).collect()),
        previous_configuration: previous,
        configuration: configuration(),
        random_seed: [first_block as u8; 32],
    }
}

/// One parachain, two parathread cores, session from block 100 on.
fn scheduler() -> Scheduler {
    let mut scheduler = Scheduler::default();
    scheduler.on_session_change(&change(100, 7, configuration()), &[ParaId(1)], |_| true);
    scheduler
}

fn claim(para: u32) -> ParathreadClaim {
    ParathreadClaim { para: ParaId(para), collator: CollatorId([para as u8; 32]) }
}

fn scheduled(scheduler: &Scheduler) -> Vec<(u32, u32)> {
    scheduler.scheduled.values().map(|assignment| (assignment.core.0, assignment.para_id.0)).collect()
}

fn occupy(scheduler: &mut Scheduler, cores: &[u32]) -> Result<(), CoreIndex> {
    scheduler.occupied(&cores.iter().copied().map(CoreIndex).collect())
}

#[test]
fn the_first_groups_are_larger_by_one() {
    for (validators, cores, expected) in
        [(7, 3, vec![3, 2, 2]), (6, 3, vec![2, 2, 2]), (2, 3, vec![1, 1, 0]), (0, 2, vec![0, 0]), (5, 0, vec![])]
    {
        let groups = groups(validators, cores, [1; 32]);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), expected);
        let members: BTreeSet<_> = groups.concat().into_iter().collect();
        assert_eq!(members.len(), if cores == 0 { 0 } else { validators });
    }
}

#[test]
fn groups_follow_the_seed_and_nothing_else() {
    assert_eq!(groups(40, 4, [1; 32]), groups(40, 4, [1; 32]));
    assert_ne!(groups(40, 4, [1; 32]), groups(40, 4, [2; 32]));
    // A change of this order would fork the chain.
    let order: Vec<_> = groups(8, 1, [0; 32]).concat().iter().map(|index| index.0).collect();
    assert_eq!(order, [5, 1, 2, 4, 3, 0, 6, 7]);
}

#[test]
fn every_place_is_equally_likely() {
    let mut counts = [[0_u32; 5]; 5];
    for seed in 0..2_000_u32 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        for (place, index) in groups(5, 1, bytes)[0].iter().enumerate() {
            counts[place][index.as_usize()] += 1;
        }
    }
    // Expected 400 each; five standard deviations are about 90.
    assert!(counts.as_flattened().iter().all(|count| (310..490).contains(count)), "{counts:?}");
}

#[test]
fn the_group_of_an_assignment_is_that_of_the_rotation() {
    let mut scheduler = scheduler();
    for (now, group) in [(100, 0), (109, 0), (110, 1), (120, 2), (130, 0)] {
        scheduler.schedule(&BTreeMap::new(), &configuration(), now);
        assert_eq!(scheduler.scheduled[&CoreIndex(0)].group_idx, GroupIndex(group));
        scheduler.finalize(&configuration());
    }
}

#[test]
fn cores_time_out_only_in_the_first_blocks_after_a_rotation() {
    let scheduler = scheduler();
    let over = |now, core, since| {
        scheduler.availability_timeout_predicate(&configuration(), now).map(|is_over| is_over(CoreIndex(core), since))
    };
    // Core 0 is a parachain's, period 3: blocks 110 to 112.
    assert_eq!(over(110, 0, 107), Some(true));
    assert_eq!(over(110, 0, 108), Some(false));
    assert_eq!(over(112, 0, 109), Some(true));
    assert_eq!(over(113, 0, 101), Some(false));
    // Core 1 takes parathreads, period 5: blocks 110 to 114.
    assert_eq!(over(114, 1, 109), Some(true));
    assert_eq!(over(114, 1, 110), Some(false));
    // From the longer period on there is no predicate.
    assert_eq!(over(115, 1, 101), None);
    assert_eq!(over(119, 0, 101), None);
    // The start of the session counts as a rotation.
    assert_eq!(over(104, 1, 100), Some(false));
}

#[test]
fn the_announced_time_out_is_the_first_for_which_the_predicate_holds() {
    let scheduler = scheduler();
    let configuration = configuration();
    for core in [CoreIndex(0), CoreIndex(1)] {
        for since in 100..140 {
            for now in since + 1..since + 20 {
                let found = (now..).find(|block| {
                    scheduler
                        .availability_timeout_predicate(&configuration, *block)
                        .is_some_and(|is_over| is_over(core, since))
                });
                assert_eq!(Some(scheduler.time_out_at(core, since, &configuration, now)), found);
            }
        }
    }
}

#[test]
fn claims_are_spread_over_the_parathread_cores_in_turn() {
    let mut scheduler = scheduler();
    for para in 10..14 {
        scheduler.add_parathread_claim(claim(para), true, &configuration()).unwrap();
    }
    assert_eq!(
        scheduler.add_parathread_claim(claim(14), true, &configuration()),
        Err(ClaimError::QueueFull { max: 4 })
    );
    scheduler.schedule(&BTreeMap::new(), &configuration(), 100);
    assert_eq!(scheduled(&scheduler), [(0, 1), (1, 10), (2, 11)]);
    assert_eq!(
        scheduler.add_parathread_claim(claim(10), true, &configuration()),
        Err(ClaimError::AlreadyClaimed(ParaId(10))),
        "what is scheduled is still indexed"
    );
}

#[test]
fn occupied_cores_are_not_scheduled_and_unscheduled_ones_cannot_be_occupied() {
    let mut scheduler = scheduler();
    scheduler.schedule(&BTreeMap::new(), &configuration(), 100);
    assert_eq!(occupy(&mut scheduler, &[0]), Ok(()));
    assert_eq!(scheduler.core_para(CoreIndex(0)), Some(ParaId(1)));
    scheduler.schedule(&BTreeMap::new(), &configuration(), 101);
    assert_eq!(scheduled(&scheduler), []);
    for core in [0, 1, 9] {
        assert_eq!(occupy(&mut scheduler, &[core]), Err(CoreIndex(core)));
    }
}

#[test]
fn a_core_has_a_para_while_it_is_scheduled_and_while_it_is_occupied() {
    let mut scheduler = scheduler();
    scheduler.add_parathread_claim(claim(10), true, &configuration()).unwrap();
    let paras =
        |scheduler: &Scheduler| [0, 1, 2, 9].map(|core| scheduler.core_para(CoreIndex(core)).map(|para| para.0));
    assert_eq!(paras(&scheduler), [None; 4], "free");
    scheduler.schedule(&BTreeMap::new(), &configuration(), 100);
    assert_eq!(paras(&scheduler), [Some(1), Some(10), None, None], "scheduled");
    occupy(&mut scheduler, &[0, 1]).unwrap();
    assert_eq!(paras(&scheduler), [Some(1), Some(10), None, None], "occupied");
}

#[test]
fn a_group_that_is_not_there_has_no_validators() {
    let scheduler = scheduler();
    let sizes = [0, 1, 2, 3].map(|group| scheduler.group_validators(GroupIndex(group)).map(<[_]>::len));
    assert_eq!(sizes, [Some(3), Some(2), Some(2), None]);
}

#[test]
fn freed_cores_are_scheduled_in_the_same_block() {
    let mut scheduler = scheduler();
    scheduler.add_parathread_claim(claim(10), true, &configuration()).unwrap();
    scheduler.schedule(&BTreeMap::new(), &configuration(), 100);
    occupy(&mut scheduler, &[0, 1]).unwrap();
    let concluded = BTreeMap::from([(CoreIndex(0), FreedReason::Concluded), (CoreIndex(1), FreedReason::Concluded)]);
    let mut done = scheduler.clone();
    done.schedule(&concluded, &configuration(), 101);
    assert_eq!(scheduled(&done), [(0, 1)]);
    assert!(done.claim_index.is_empty());
    let timed_out = BTreeMap::from([(CoreIndex(1), FreedReason::TimedOut)]);
    scheduler.schedule(&timed_out, &configuration(), 101);
    assert_eq!(scheduled(&scheduler), [(1, 10)]);
    assert_eq!(scheduler.scheduled[&CoreIndex(1)].claim.as_ref().unwrap().retries, 0);
}

#[test]
fn retries_are_counted_and_end() {
    let mut scheduler = scheduler();
    scheduler.add_parathread_claim(claim(10), true, &configuration()).unwrap();
    for expected in [0, 1] {
        scheduler.schedule(&BTreeMap::new(), &configuration(), 100);
        assert_eq!(scheduler.scheduled[&CoreIndex(1)].claim.as_ref().unwrap().retries, expected);
        scheduler.finalize(&configuration());
        assert!(scheduler.scheduled.is_empty());
    }
    assert!(scheduler.queue.is_empty() && scheduler.claim_index.is_empty());
}

#[test]
fn a_session_change_returns_claims_and_spreads_them_if_cores_changed() {
    let mut scheduler = scheduler();
    for para in 10..14 {
        scheduler.add_parathread_claim(claim(para), true, &configuration()).unwrap();
    }
    scheduler.schedule(&BTreeMap::new(), &configuration(), 100);
    occupy(&mut scheduler, &[1, 2]).unwrap();
    let fewer = HostConfiguration { parathread_cores: 1, ..configuration() };
    let mut change = change(200, 4, configuration());
    change.configuration = fewer.clone();
    scheduler.on_session_change(&change, &[ParaId(1), ParaId(2)], |para| para != ParaId(12));
    assert_eq!(scheduler.cores, [None, None, None]);
    let queue: Vec<_> = scheduler.queue.iter().map(|queued| (queued.entry.claim.para.0, queued.core)).collect();
    assert_eq!(queue, [(13, 0), (10, 0), (11, 0)]);
    assert_eq!(scheduler.next_core, 0);
    assert!(!scheduler.claim_index.contains(&ParaId(12)));
    assert_eq!(scheduler.rotation_info(&fewer, 200).rotations(), 0);

    let none = HostConfiguration { parathread_cores: 0, ..configuration() };
    change.previous_configuration = fewer;
    change.configuration = none;
    scheduler.on_session_change(&change, &[], |_| true);
    assert!(scheduler.cores.is_empty() && scheduler.groups.is_empty());
    assert_eq!(scheduler.queue.len(), 3, "claims wait for cores to come back");
    scheduler.schedule(&BTreeMap::new(), &configuration(), 200);
    assert!(scheduler.scheduled.is_empty());
}

#[test]
fn claims_keep_their_cores_through_a_session_change_that_leaves_the_number_of_cores() {
    let mut scheduler = scheduler();
    for para in 10..14 {
        scheduler.add_parathread_claim(claim(para), true, &configuration()).unwrap();
    }
    scheduler.schedule(&BTreeMap::new(), &configuration(), 100);
    occupy(&mut scheduler, &[1, 2]).unwrap();
    scheduler.free(CoreIndex(1), FreedReason::Concluded);
    scheduler.on_session_change(&change(200, 4, configuration()), &[ParaId(1)], |_| true);
    let queue: Vec<_> = scheduler.queue.iter().map(|queued| (queued.entry.claim.para.0, queued.core)).collect();
    assert_eq!(queue, [(12, 0), (13, 1), (11, 1)], "by turns the last would be for the first core");
    assert_eq!(scheduler.next_core, 0);
}

#[test]
fn a_session_change_drops_claims_beyond_the_new_number_of_retries() {
    let mut scheduler = scheduler();
    scheduler.add_parathread_claim(claim(10), true, &configuration()).unwrap();
    scheduler.schedule(&BTreeMap::new(), &configuration(), 100);
    scheduler.finalize(&configuration());
    let mut change = change(200, 4, configuration());
    change.configuration.parathread_retries = 0;
    scheduler.on_session_change(&change, &[ParaId(1)], |_| true);
    assert!(scheduler.queue.is_empty() && scheduler.claim_index.is_empty());
}

/// Every claim that is somewhere, as often as it is: in the queue, scheduled, on a core.
fn claims(scheduler: &Scheduler) -> Vec<ParaId> {
    let queued = scheduler.queue.iter().map(|queued| &queued.entry);
    let scheduled = scheduler.scheduled.values().filter_map(|assignment| assignment.claim.as_ref());
    let on_cores = scheduler.cores.iter().flatten().filter_map(|occupied| match occupied {
        CoreOccupied::Parathread(entry) => Some(entry),
        CoreOccupied::Parachain => None,
    });
    let mut claims: Vec<_> = queued.chain(scheduled).chain(on_cores).map(|entry| entry.claim.para).collect();
    claims.sort_unstable();
    claims
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn claims_are_never_duplicated_or_lost(steps in prop::collection::vec((0..7_u8, any::<u32>()), 1..80)) {
        let mut scheduler = scheduler();
        let (mut configuration, mut now) = (configuration(), 100);
        for (kind, number) in steps {
            let before = claims(&scheduler);
            let cores = (0..scheduler.cores.len() as u32).filter(|core| number >> core & 1 == 1).map(CoreIndex);
            let cores: BTreeSet<_> = cores.collect();
            match kind {
                0 | 1 => {
                    let added = scheduler.add_parathread_claim(claim(10 + number % 6), number % 7 != 0, &configuration);
                    prop_assert_eq!(claims(&scheduler).len(), before.len() + usize::from(added.is_ok()));
                }
                2 => {
                    let reason = if number % 3 == 0 { FreedReason::TimedOut } else { FreedReason::Concluded };
                    let freed = cores.into_iter().map(|core| (core, reason)).collect();
                    scheduler.schedule(&freed, &configuration, now);
                }
                3 => {
                    let scheduled = cores.into_iter().filter(|core| scheduler.scheduled.contains_key(core)).collect();
                    prop_assert_eq!(scheduler.occupied(&scheduled), Ok(()));
                    prop_assert_eq!(claims(&scheduler), before);
                }
                4 => {
                    scheduler.finalize(&configuration);
                    now += 1;
                    prop_assert!(scheduler.scheduled.is_empty());
                }
                5 => cores.into_iter().for_each(|core| scheduler.free(core, FreedReason::Concluded)),
                _ => {
                    // Sessions change between blocks.
                    scheduler.finalize(&configuration);
                    let previous = configuration.clone();
                    configuration.parathread_cores = number % 4;
                    let change = SessionChange { configuration: configuration.clone(), ..change(now, 7, previous) };
                    scheduler.on_session_change(&change, &[ParaId(1)], |para| para.0 % 5 != number % 9);
                }
            }
            let claims = claims(&scheduler);
            prop_assert!(claims.is_sorted_by(|one, next| one < next), "twice after {kind}: {claims:?}");
            let index: Vec<_> = scheduler.claim_index.iter().copied().collect();
            prop_assert_eq!(claims, index, "what is claimed is somewhere, after {}", kind);
        }
    }
}
