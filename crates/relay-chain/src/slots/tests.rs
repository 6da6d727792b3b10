use primitives::{
    Pair,
    crypto::{SeedRng, vrf_input_bytes},
};

use super::*;

fn pairs(count: u32) -> Vec<Pair> {
    (0..count).map(|index| Pair::from_name(&format!("validator {index}"))).collect()
}

fn claim(pairs: &[Pair], context: &SlotContext<'_>, slot: Slot, author: u32) -> SlotClaim {
    let mut rng = SeedRng::new([author as u8; 32]);
    let (vrf, _) = pairs[author as usize].vrf_sign(vrf_input_bytes(&context.vrf_input(slot)), &mut rng);
    SlotClaim { slot, author: ValidatorIndex(author), vrf }
}

fn ids(pairs: &[Pair]) -> Vec<ValidatorId> {
    pairs.iter().map(|pair| ValidatorId(pair.public())).collect()
}

#[test]
fn thresholds_are_exact_at_the_ends_and_grow_between() {
    for (forks, validators, expected) in [
        (0, 6, 0),
        (500_000, 1, 0),
        (500_000, 0, 0),
        (PARTS_PER_MILLION, 6, LOTS),
        (500_000, 2, LOTS / 2),
        (1 << 30, 3, LOTS),
    ] {
        assert_eq!(primary_threshold(forks, validators), expected, "{forks} of a million, {validators} validators");
    }
    // A tenth among six: 1 - 0.9^(1/5), within the rounding of 32 bits.
    let expected = (1.0 - 0.9_f64.powf(0.2)) * LOTS as f64;
    assert!((primary_threshold(100_000, 6) as f64 - expected).abs() < 16.0);
    let by_share: Vec<u64> = (0..=10).map(|tenth| primary_threshold(tenth * 100_000, 10)).collect();
    assert!(by_share.is_sorted_by(|left, right| left < right));
    let by_validators: Vec<u64> = (2..50).map(|validators| primary_threshold(100_000, validators)).collect();
    assert!(by_validators.is_sorted_by(|left, right| left > right));
}

#[test]
fn without_forks_exactly_one_author_per_slot() {
    let pairs = pairs(4);
    let validators = ids(&pairs);
    let context = SlotContext {
        genesis: Hash::from([1; 32]),
        randomness: [7; 32],
        session: 0,
        validators: &validators,
        forks_per_million: 0,
    };
    for slot in 100..108 {
        let eligible: Vec<u32> =
            (0..4).filter(|author| context.check(&claim(&pairs, &context, slot, *author)).is_ok()).collect();
        assert_eq!(eligible, vec![(slot % 4) as u32]);
    }
}

#[test]
fn the_share_of_slots_with_two_authors_is_what_was_asked_for() {
    let pairs = pairs(5);
    let validators = ids(&pairs);
    let context = SlotContext {
        genesis: Hash::from([2; 32]),
        randomness: [7; 32],
        session: 3,
        validators: &validators,
        forks_per_million: 300_000,
    };
    let slots = 400;
    let mut forks = 0;
    for slot in 0..slots {
        let eligible = (0..5).filter(|author| context.check(&claim(&pairs, &context, slot, *author)).is_ok()).count();
        assert!(eligible >= 1, "slot {slot} has an author");
        forks += u32::from(eligible > 1);
    }
    // 120 expected, with a standard deviation of 9; the draw is fixed by the keys.
    assert!((90..150).contains(&forks), "{forks} of {slots} slots have two authors");
}

#[test]
fn claims_that_are_refused() {
    let pairs = pairs(3);
    let validators = ids(&pairs);
    let context = SlotContext {
        genesis: Hash::from([1; 32]),
        randomness: [7; 32],
        session: 0,
        validators: &validators,
        forks_per_million: 0,
    };
    let good = claim(&pairs, &context, 9, 0);
    assert_eq!(context.check(&good), Ok(Right::Secondary));
    let all_win = SlotContext { forks_per_million: PARTS_PER_MILLION, ..context };
    assert_eq!(all_win.check(&good), Ok(Right::Primary));

    let foreign = SlotClaim { author: ValidatorIndex(3), ..good.clone() };
    let expected = SlotError::NoSuchAuthor { author: ValidatorIndex(3), slot: 9, validators: 3 };
    assert_eq!(context.check(&foreign), Err(expected));

    let out_of_turn = claim(&pairs, &context, 9, 1);
    let expected = SlotError::NotTheirTurn { slot: 9, found: ValidatorIndex(1), expected: ValidatorIndex(0) };
    assert_eq!(context.check(&out_of_turn), Err(expected));

    let barely = SlotContext { forks_per_million: 1, ..context };
    assert!(matches!(barely.check(&out_of_turn), Err(SlotError::NotWon { slot: 9, .. })));

    let other_slot = SlotClaim { slot: 12, ..good.clone() };
    assert_eq!(context.check(&other_slot), Err(SlotError::Proof(12)));
    let other_chain = SlotContext { genesis: Hash::from([3; 32]), ..context };
    assert_eq!(other_chain.check(&good), Err(SlotError::Proof(9)));
    let other_session = SlotContext { session: 1, ..context };
    assert_eq!(other_session.check(&good), Err(SlotError::Proof(9)));
    let other_randomness = SlotContext { randomness: [8; 32], ..context };
    assert_eq!(other_randomness.check(&good), Err(SlotError::Proof(9)));
    let mut forged = good;
    forged.vrf.proof[0] ^= 1;
    assert_eq!(context.check(&forged), Err(SlotError::Proof(9)));
}
