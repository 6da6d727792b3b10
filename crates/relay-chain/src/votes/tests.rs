use finality_grandpa::{Message, Precommit, Prevote};
use primitives::Signature;

use super::*;
use crate::justification::voters;

fn id(index: u8) -> ValidatorId {
    ValidatorId([index; 32])
}

fn prevote(round: u64, voter: u8, target: u8) -> Vote {
    let message =
        Message::Prevote(Prevote { target_hash: Hash::repeat(target), target_number: BlockNumber::from(target) });
    Vote { set_id: 3, round, signed: SignedVoteMessage { message, signature: Signature::default(), id: id(voter) } }
}

#[test]
fn a_voter_contradicts_itself_in_one_stage_of_one_round_only() {
    let voters = voters(&[id(1), id(2)]).unwrap();
    let mut votes = Votes::new(3, 5);
    votes.hold(prevote(5, 1, 9), &voters);
    assert_eq!(votes.contradicted_by(&prevote(5, 1, 8)), Some(prevote(5, 1, 9)));
    let mut precommit = prevote(5, 1, 8);
    let (target_hash, target_number) = (Hash::repeat(8), 8);
    precommit.signed.message = Message::Precommit(Precommit { target_hash, target_number });
    for honest in [prevote(5, 1, 9), prevote(6, 1, 8), prevote(5, 2, 8), precommit] {
        assert_eq!(votes.contradicted_by(&honest), None, "{honest:?}");
    }
}

#[test]
fn votes_are_held_once_within_the_window() {
    let voters = voters(&[id(1), id(2)]).unwrap();
    let mut votes = Votes::new(3, 0);
    votes.begin(5);
    for (vote, expected) in [
        (prevote(5, 1, 9), Offered::New),
        (prevote(5, 1, 9), Offered::Known),
        (prevote(5, 1, 8), Offered::New),
        (prevote(5, 1, 7), Offered::Known),
        (prevote(5, 2, 7), Offered::New),
        (prevote(5, 3, 7), Offered::NoVoter),
        (prevote(5 + ROUNDS_AHEAD, 1, 9), Offered::New),
        (prevote(6 + ROUNDS_AHEAD, 1, 9), Offered::Ahead),
        (prevote(5 - ROUNDS_BEHIND, 1, 9), Offered::New),
        (prevote(4 - ROUNDS_BEHIND, 1, 9), Offered::Old),
        (prevote(u64::MAX, 1, 9), Offered::Ahead),
    ] {
        assert_eq!(votes.hold(vote.clone(), &voters), expected, "{vote:?}");
    }
    assert_eq!(votes.recent().len(), 3, "of this round and the last one");
    votes.begin(6 + ROUNDS_BEHIND);
    assert_eq!(votes.recent().len(), 0);
    assert_eq!(votes.hold(prevote(5, 1, 9), &voters), Offered::Old);
}

#[test]
fn votes_wait_for_their_blocks_and_come_again_with_a_new_begin() {
    let voters = voters(&[id(1), id(2)]).unwrap();
    let mut votes = Votes::new(3, 1);
    votes.begin(1);
    votes.hold(prevote(1, 1, 4), &voters);
    votes.hold(prevote(1, 2, 5), &voters);
    let only_4 = |hash: &Hash, number: BlockNumber| *hash == Hash::repeat(4) && number == 4;
    let targets = |ready: Vec<(u64, SignedVoteMessage)>| {
        ready.iter().map(|(round, vote)| (*round, vote.target().1)).collect::<Vec<_>>()
    };
    assert_eq!(targets(votes.deliverable(only_4)), [(1, 4)]);
    assert_eq!(targets(votes.deliverable(only_4)), []);
    assert_eq!(targets(votes.deliverable(|_, _| true)), [(1, 5)]);
    votes.begin(1);
    assert_eq!(targets(votes.deliverable(|_, _| true)), [(1, 4), (1, 5)]);
}
