use finality_grandpa::Precommit;
use primitives::{DigestItem, Pair, crypto::SeedRng};

use super::*;

const SET: u64 = 7;
const ROUND: u64 = 4;

fn pairs() -> Vec<Pair> {
    (0..4).map(|index| Pair::from_name(&format!("voter {index}"))).collect()
}

fn ids(pairs: &[Pair]) -> Vec<ValidatorId> {
    pairs.iter().map(|pair| ValidatorId(pair.public())).collect()
}

fn header(parent: Hash, number: BlockNumber) -> Header {
    Header { parent_hash: parent, number, state_root: Hash::ZERO, extrinsics_root: Hash::ZERO, digest: Vec::new() }
}

fn precommit(pair: &Pair, target: &Header) -> SignedPrecommit<Hash, BlockNumber, Signature, ValidatorId> {
    let precommit = Precommit { target_hash: target.hash(), target_number: target.number };
    let payload = vote_payload(SET, ROUND, &Message::Precommit(precommit.clone()));
    let signature = pair.sign(&payload, &mut SeedRng::new([1; 32]));
    SignedPrecommit { precommit, signature, id: ValidatorId(pair.public()) }
}

/// Two vote for the block, one for its child.
fn good() -> (Justification, Header, Header) {
    let pairs = pairs();
    let target = header(Hash::repeat(1), 5);
    let child = header(target.hash(), 6);
    let precommits = vec![precommit(&pairs[0], &target), precommit(&pairs[1], &child), precommit(&pairs[2], &target)];
    let commit = BlockCommit { target_hash: target.hash(), target_number: 5, precommits };
    (Justification { set_id: SET, round: ROUND, commit, ancestries: vec![child.clone()] }, target, child)
}

#[test]
fn more_than_two_thirds_prove() {
    let (proof, ..) = good();
    assert_eq!(proof.verify(&voters(&ids(&pairs())).unwrap()), Ok(()));
    let bytes = proof.encode();
    assert_eq!(primitives::decode_limited::<Justification>(&bytes, MAX_JUSTIFICATION_BYTES), Ok(proof));
}

#[test]
fn a_vote_has_the_size_that_the_largest_set_is_reckoned_with() {
    let (proof, ..) = good();
    let precommit = &proof.commit.precommits[0];
    let message = Message::Precommit(precommit.precommit.clone());
    let signed = SignedVoteMessage { message, signature: precommit.signature, id: precommit.id };
    assert_eq!(signed.encoded_size(), VOTE_BYTES);
}

#[test]
fn two_votes_of_one_voter_in_one_stage_of_one_round_prove_that_it_voted_twice() {
    let pairs = pairs();
    let (_, target, child) = good();
    let vote = |pair: &Pair, target: &Header, round| {
        let (target_hash, target_number) = (target.hash(), target.number);
        let message = Message::Precommit(Precommit { target_hash, target_number });
        let signature = pair.sign(&vote_payload(SET, round, &message), &mut SeedRng::new([1; 32]));
        Vote { set_id: SET, round, signed: SignedVoteMessage { message, signature, id: ValidatorId(pair.public()) } }
    };
    let first = vote(&pairs[0], &target, ROUND);
    let proves = |second: Vote| DoubleVote { first: first.clone(), second }.verify();
    assert!(proves(vote(&pairs[0], &child, ROUND)));
    assert!(!proves(first.clone()), "said again");
    assert!(!proves(vote(&pairs[0], &child, ROUND + 1)), "of another round");
    assert!(!proves(vote(&pairs[1], &child, ROUND)), "of somebody else");
    let mut unsigned = vote(&pairs[0], &child, ROUND);
    unsigned.signed.signature = first.signed.signature;
    assert!(!proves(unsigned));
}

#[test]
fn anything_less_proves_nothing() {
    let pairs = pairs();
    let all = ids(&pairs);
    let set = voters(&all).unwrap();
    let (proof, target, child) = good();
    let not_enough = Err(JustificationError::NotEnough(target.hash()));

    let mut two = proof.clone();
    two.commit.precommits.pop();
    assert_eq!(two.verify(&set), not_enough);

    let mut twice = proof.clone();
    twice.commit.precommits[2] = proof.commit.precommits[0].clone();
    assert_eq!(twice.verify(&set), not_enough, "one voter counts once");

    let mut unconnected = proof.clone();
    unconnected.ancestries.clear();
    assert_eq!(unconnected.verify(&set), not_enough);

    let mut child_of_it = proof.clone();
    child_of_it.commit.target_hash = child.hash();
    child_of_it.commit.target_number = 6;
    assert_eq!(child_of_it.verify(&set), Err(JustificationError::NotEnough(child.hash())), "only one voted for it");

    let mut other_round = proof.clone();
    other_round.round += 1;
    assert_eq!(other_round.verify(&set), Err(JustificationError::Signature(all[0])));
    let mut other_set = proof.clone();
    other_set.set_id += 1;
    assert_eq!(other_set.verify(&set), Err(JustificationError::Signature(all[0])));

    let stranger = Pair::from_name("stranger");
    let mut strange = proof.clone();
    strange.commit.precommits.push(precommit(&stranger, &target));
    assert_eq!(strange.verify(&set), Err(JustificationError::NoVoter(ValidatorId(stranger.public()))));

    let mut many = proof.clone();
    many.commit.precommits = vec![proof.commit.precommits[0].clone(); 9];
    assert_eq!(many.verify(&set), Err(JustificationError::TooManyVotes { found: 9, max: 8 }));

    let mut large = proof.clone();
    let stuffed = Header { digest: vec![DigestItem::Other(vec![0; 4_000])], ..child.clone() };
    large.ancestries = vec![stuffed; MAX_JUSTIFICATION_BYTES / 4_000];
    assert_eq!(large.verify(&set), Err(JustificationError::TooLarge { found: large.encoded_size() }));

    assert!(voters(&[]).is_none());
}
