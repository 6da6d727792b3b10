//! Which claims contradict each other, and that none of them is signed.

use crate::support::{World, alice, bitfield, bob, context, finality, is_conflict, seal, statement};
use deterministic::{Disk, Simulation};
use futures::future::join_all;
use keystore::{JOURNAL_PATH, OpenError, ledger::ForgetBefore};
use ports::{Claim, FinalityStage, Keystore, KeystoreError};
use primitives::{
    CollatorId, CompactVote, Pair, ValidatorId,
    crypto::{vrf_input_bytes, vrf_verify},
};

/// Two claims; whether the second is refused after the first.
fn pairs() -> Vec<(&'static str, Claim, Claim, bool)> {
    use CompactVote::{Invalid, Seconded, Valid};
    use FinalityStage::{Precommit, Prevote};
    let (here, there) = (context(1, 10), context(1, 11));
    let s = statement;
    vec![
        ("two seconded here", s(here, Seconded, 1), s(here, Seconded, 2), true),
        ("seconded on two forks", s(here, Seconded, 1), s(there, Seconded, 2), false),
        ("seconded, then valid", s(here, Seconded, 1), s(here, Valid, 1), true),
        ("valid, then seconded", s(here, Valid, 1), s(here, Seconded, 1), true),
        ("seconded, then invalid", s(here, Seconded, 1), s(here, Invalid, 1), true),
        ("valid, then invalid", s(here, Valid, 1), s(here, Invalid, 1), true),
        ("invalid, then valid", s(here, Invalid, 1), s(here, Valid, 1), true),
        ("invalid elsewhere", s(here, Valid, 1), s(there, Invalid, 1), true),
        ("seconded one, valid another", s(here, Seconded, 1), s(here, Valid, 2), false),
        ("valid on two", s(here, Valid, 1), s(here, Valid, 2), false),
        ("two bitfields here", bitfield(here, &[true]), bitfield(here, &[false]), true),
        ("longer bitfield", bitfield(here, &[true]), bitfield(here, &[true, false]), true),
        ("bitfields on two forks", bitfield(here, &[true]), bitfield(there, &[false]), false),
        ("two seals of a slot", seal(7, 1), seal(7, 2), true),
        ("seals of two slots", seal(7, 1), seal(8, 2), false),
        ("two prevotes", finality(3, Prevote, 1), finality(3, Prevote, 2), true),
        ("prevote, precommit", finality(3, Prevote, 1), finality(3, Precommit, 2), false),
        ("two rounds", finality(3, Prevote, 1), finality(4, Prevote, 2), false),
        ("bitfield, statement", bitfield(here, &[true]), s(here, Valid, 1), false),
    ]
}

#[test]
fn contradictions_are_refused_and_nothing_else_is() {
    for (what, first, second, refused) in pairs() {
        for restart in [false, true] {
            let world = World::new();
            let mut keystore = world.open().unwrap();
            let signature = world.sign(&keystore, &first).unwrap();
            let key = ValidatorId(alice().public());
            assert!(key.verify(&first.payload(), &signature), "{what}");
            if restart {
                drop(keystore);
                keystore = world.open().unwrap();
            }
            let outcome = world.sign(&keystore, &second);
            assert_eq!(is_conflict(&outcome), refused, "{what}, restart {restart}: {outcome:?}");
            assert_eq!(outcome.is_ok(), !refused, "{what}");
            let again = world.sign(&keystore, &first).unwrap();
            assert!(key.verify(&first.payload(), &again), "{what}: repeated");
            // Another key contradicts nobody.
            world.sign_as(&keystore, &bob(), &second).unwrap();
        }
    }
}

#[test]
fn a_refused_claim_takes_no_slot() {
    let world = World::new();
    let keystore = world.open().unwrap();
    let here = context(1, 10);
    world.sign(&keystore, &statement(here, CompactVote::Seconded, 1)).unwrap();
    let refused = statement(here, CompactVote::Seconded, 2);
    assert!(is_conflict(&world.sign(&keystore, &refused)));
    // Had it left a trace on candidate 2, this would be refused.
    world.sign(&keystore, &statement(here, CompactVote::Invalid, 2)).unwrap();
}

#[test]
fn a_repeated_claim_is_not_written_again() {
    let world = World::new();
    let keystore = world.open().unwrap();
    world.sign(&keystore, &seal(1, 1)).unwrap();
    let length = world.disk.len(JOURNAL_PATH).unwrap();
    world.sign(&keystore, &seal(1, 1)).unwrap();
    let identity = Claim::PeerIdentity { peer: vec![1], session: 2 };
    world.sign(&keystore, &identity).unwrap();
    assert_eq!(world.disk.len(JOURNAL_PATH).unwrap(), length);
    assert_eq!(keystore.claims(), 1);
}

#[test]
fn of_contradictions_under_way_together_one_is_signed() {
    let world = World::new();
    let keystore = world.open().unwrap();
    let key = ValidatorId(alice().public());
    let claims: Vec<Claim> = (0..10).map(|block| seal(5, block)).collect();
    let attempts = claims.iter().map(|claim| keystore.sign(&key, claim));
    let outcomes = world.simulation.run_until(join_all(attempts)).unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| is_conflict(outcome)).count(), 9);
}

#[test]
fn an_abandoned_claim_still_refuses_its_contradiction() {
    let world = World::new();
    let keystore = world.open().unwrap();
    let key = ValidatorId(alice().public());
    let claim = seal(5, 1);
    {
        let mut abandoned = Box::pin(keystore.sign(&key, &claim));
        let mut context = std::task::Context::from_waker(futures::task::noop_waker_ref());
        let _pending_or_done = abandoned.as_mut().poll(&mut context);
    }
    assert!(is_conflict(&world.sign(&keystore, &seal(5, 2))));
    world.sign(&keystore, &claim).unwrap();
}

#[test]
fn what_is_forgotten_is_refused_for_good() {
    let world = World::new();
    let keystore = world.open().unwrap();
    let claim = |session, candidate| statement(context(session, 10), CompactVote::Valid, candidate);
    for session in 1..=4 {
        world.sign(&keystore, &claim(session, session as u8)).unwrap();
    }
    world.sign(&keystore, &seal(1, 1)).unwrap();
    let (length, claims) = (world.disk.len(JOURNAL_PATH).unwrap(), keystore.claims());
    world.forget(&keystore, 3).unwrap();
    world.forget(&keystore, 2).unwrap();
    assert!(world.disk.len(JOURNAL_PATH).unwrap() < length);
    assert_eq!(keystore.claims(), claims - 4, "two slots each of sessions 1 and 2");
    drop(keystore);
    let keystore = world.open().unwrap();
    assert_eq!(keystore.claims(), claims - 4);
    let error = world.sign(&keystore, &claim(2, 2)).unwrap_err();
    assert!(error.to_string().contains("session 2, which is forgotten"), "{error}");
    assert!(is_conflict(&world.sign(&keystore, &claim(1, 9))), "nobody knows what was said then");
    world.sign(&keystore, &claim(3, 3)).unwrap();
    let contradiction = statement(context(3, 10), CompactVote::Invalid, 3);
    assert!(is_conflict(&world.sign(&keystore, &contradiction)));
    assert!(is_conflict(&world.sign(&keystore, &seal(1, 2))), "slots are forgotten by themselves");
    let slots = ForgetBefore { slot: 2, ..ForgetBefore::default() };
    world.simulation.run_until(keystore.forget_before(slots)).unwrap().unwrap();
    assert!(is_conflict(&world.sign(&keystore, &seal(1, 1))));
}

#[test]
fn a_statement_repeated_in_a_later_session_is_kept_for_that_session() {
    let world = World::new();
    let keystore = world.open().unwrap();
    world.sign(&keystore, &statement(context(1, 10), CompactVote::Valid, 1)).unwrap();
    world.sign(&keystore, &statement(context(2, 20), CompactVote::Valid, 1)).unwrap();
    drop(keystore);
    let keystore = world.open().unwrap();
    world.forget(&keystore, 2).unwrap();
    let contradiction = statement(context(2, 20), CompactVote::Invalid, 1);
    assert!(is_conflict(&world.sign(&keystore, &contradiction)));
}

#[test]
fn unknown_keys_sign_nothing_and_take_no_slot() {
    let world = World::new();
    let keystore = world.open().unwrap();
    let stranger = Pair::from_name("stranger");
    let outcome = world.sign_as(&keystore, &stranger, &seal(1, 1));
    assert!(matches!(outcome, Err(KeystoreError::UnknownKey(_))));
    assert_eq!(keystore.claims(), 0);
    assert_eq!(keystore.validator_ids().len(), 2);
}

#[test]
fn collator_signatures_and_lots_verify() {
    let world = World::new();
    let keystore = world.open().unwrap();
    let collator: CollatorId = keystore.collator_id().unwrap();
    let signature = keystore.sign_as_collator(b"collation").unwrap();
    assert!(collator.verify(b"collation", &signature));
    let key = ValidatorId(alice().public());
    let (one, two) = (keystore.vrf_sign(&key, b"slot").unwrap(), keystore.vrf_sign(&key, b"slot").unwrap());
    assert_eq!(one.pre_output, two.pre_output);
    assert_ne!(one.proof, two.proof, "each proof has its own nonce");
    assert!(vrf_verify(&key.0, vrf_input_bytes(b"slot"), &two).is_some());
    assert!(vrf_verify(&key.0, vrf_input_bytes(b"other"), &two).is_none());
}

#[test]
fn signatures_repeat_with_the_seed() {
    let sign = |seed| {
        let world = World { simulation: Simulation::new(seed), ..World::new() };
        let keystore = world.open().unwrap();
        world.sign(&keystore, &seal(1, 1)).unwrap()
    };
    assert_eq!(sign(1), sign(1));
    assert_ne!(sign(1), sign(2));
}

#[test]
fn a_damaged_journal_is_not_opened() {
    let world = World::new();
    let keystore = world.open().unwrap();
    for slot in 0..3 {
        world.sign(&keystore, &seal(slot, 1)).unwrap();
    }
    drop(keystore);
    world.disk.flip_bit(JOURNAL_PATH, 40).unwrap();
    assert!(matches!(world.open(), Err(OpenError::Journal(_))));
    world.disk.write(JOURNAL_PATH, b"something else").unwrap();
    assert!(matches!(world.open(), Err(OpenError::Journal(_))));
}
