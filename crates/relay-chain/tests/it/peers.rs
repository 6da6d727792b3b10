//! Peers that send garbage, other chains, and reports.

use bytes::Bytes;
use codec::Encode;
use finality_grandpa::{Commit, Message, Prevote};
use network::MemoryHub;
use ports::{Network, RuntimeError};
use primitives::{
    CandidateDescriptor, CandidateEvent, CandidateHash, CompactVote, CoreState, DisputeStatementSet, Hash, HeadData,
    MisbehaviorKind, MisbehaviorReport, OccupiedCoreAssumption, ParaId, SigningContext, SigningPayload, ValidatorId,
    ValidatorIndex, crypto::SeedRng, descriptor::DescriptorFields, messages::HrmpChannelId, misbehavior::SignedVote,
};
use relay_chain::{
    MAX_OFFENCES,
    import::{add_seal, split_seal},
    justification::{DoubleVote, Justification, SignedVoteMessage, Vote, vote_payload},
    messages::{
        BLOCK_PROTOCOL, FINALITY_PROTOCOL, FinalityMessage, Handshake, PROTOCOL_VERSION, REPORT_PROTOCOL,
        TRANSACTION_PROTOCOL,
    },
};
use runtime::{
    Extrinsic, GenesisPara, Governance, PenaltyReason, RemoteDispute, SignedGovernance, SlotClaim, build_block,
};
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    forge::{CORE, Forge, PARA},
    parachain::para,
    support::{Failing, SLOT_MS, World, told},
};

const PROTOCOLS: [ports::ProtocolId; 4] = [BLOCK_PROTOCOL, FINALITY_PROTOCOL, REPORT_PROTOCOL, TRANSACTION_PROTOCOL];

fn handshake(world: &World) -> Bytes {
    let genesis = world.chain(0).genesis_hash();
    Handshake { version: PROTOCOL_VERSION, genesis, slot_ms: SLOT_MS, forks_per_million: 0 }.encode().into()
}

#[test]
fn garbage_costs_the_peer_and_stops_nothing() {
    for protocol in PROTOCOLS {
        let world = World::started(41, 2, 0.0);
        let stranger = world.hub.join(MemoryHub::peer("stranger"));
        let _events = PROTOCOLS.map(|protocol| stranger.open(protocol, handshake(&world)).unwrap());
        let victim = world.nodes[0].peer();
        stranger.connect(&victim, &[]);
        world.run_slots(2);
        assert_eq!(world.chain(0).status().peers, 2);
        for length in [0, 1, 2, 100, 10_000] {
            stranger.send(&victim, protocol, vec![0xff; length].into()).unwrap();
        }
        world.run_slots(4);
        assert_eq!(world.chain(0).status().peers, 1, "{protocol:?}: refused");
        assert!(world.agreed() >= 3, "{:?}", world.statuses());
    }
}

#[test]
fn a_proof_that_proves_nothing_costs_the_peer_whether_or_not_its_block_is_here() {
    let world = World::started(40, 2, 0.0);
    let stranger = world.hub.join(MemoryHub::peer("stranger"));
    let _events = PROTOCOLS.map(|protocol| stranger.open(protocol, handshake(&world)).unwrap());
    let victim = world.nodes[0].peer();
    stranger.connect(&victim, &[]);
    world.run_slots(2);
    assert_eq!(world.chain(0).held().offenders, 0);
    let commit = Commit { target_hash: Hash::repeat(9), target_number: 1_000, precommits: Vec::new() };
    let proof = Justification { set_id: 0, round: 1, commit, ancestries: Vec::new() };
    let message = FinalityMessage::Justification(Box::new(proof)).encode();
    stranger.send(&victim, FINALITY_PROTOCOL, message.into()).unwrap();
    world.run_slots(2);
    assert_eq!(world.chain(0).held().offenders, 1);
    assert!(world.agreed() >= 2, "{:?}", world.statuses());
}

#[test]
fn a_voter_that_votes_twice_is_counted_once_with_the_proof() {
    // The last validator does not run: somebody else votes with its key.
    let mut world = World::new(47, 4, 0.0);
    for index in 0..3 {
        world.start(index).unwrap();
    }
    let stranger = world.hub.join(MemoryHub::peer("stranger"));
    let _events = PROTOCOLS.map(|protocol| stranger.open(protocol, handshake(&world)).unwrap());
    let victim = world.nodes[0].peer();
    stranger.connect(&victim, &[]);
    world.run_slots(5);
    assert_eq!(world.chain(0).status().double_votes, 0);
    let pair = &world.nodes[3].pair;
    let vote = |round, target_hash, target_number| {
        let message = Message::Prevote(Prevote { target_hash, target_number });
        let signature = pair.sign(&vote_payload(0, round, &message), &mut SeedRng::new([1; 32]));
        let signed = SignedVoteMessage { message, signature, id: ValidatorId(pair.public()) };
        told(Vote { set_id: 0, round, signed })
    };
    let (best, number) = world.chain(0).status().best;
    // Which round it is nobody says; votes of others are of no interest.
    for round in 1..20 {
        for _ in 0..2 {
            for (hash, number) in [(best, number), (Hash::repeat(9), number)] {
                stranger.send(&victim, FINALITY_PROTOCOL, vote(round, hash, number)).unwrap();
            }
        }
    }
    world.run_slots(3);
    let proofs = world.chain(0).double_votes();
    let rounds: BTreeSet<u64> = proofs.iter().map(|proof| proof.second.round).collect();
    assert!(!proofs.is_empty() && proofs.iter().all(DoubleVote::verify), "{proofs:?}");
    assert_eq!((rounds.len(), world.chain(0).status().double_votes), (proofs.len(), proofs.len() as u64));
    assert!(world.chain(1).status().double_votes > 0, "both votes are passed on");
    assert!(world.agreed() >= 5, "finality goes on: {:?}", world.statuses());
}

#[test]
fn a_message_of_bad_votes_is_one_offence_and_the_good_ones_before_them_count() {
    let mut world = World::new(49, 4, 0.0);
    for index in 0..3 {
        world.start(index).unwrap();
    }
    let stranger = world.hub.join(MemoryHub::peer("stranger"));
    let _events = PROTOCOLS.map(|protocol| stranger.open(protocol, handshake(&world)).unwrap());
    stranger.connect(&world.nodes[0].peer(), &[]);
    world.run_slots(5);
    let peers = world.chain(0).status().peers;
    let pair = &world.nodes[3].pair;
    let vote = |round, byte: u8| {
        let message = Message::Prevote(Prevote { target_hash: Hash::repeat(byte), target_number: 1_000 });
        let signature = pair.sign(&vote_payload(0, round, &message), &mut SeedRng::new([byte; 32]));
        Vote { set_id: 0, round, signed: SignedVoteMessage { message, signature, id: ValidatorId(pair.public()) } }
    };
    // Which round it is nobody says: one of these it will be.
    let good = (1..20).flat_map(|round| [vote(round, 1), vote(round, 2)]);
    let bad = (0..3).map(|_| {
        let mut vote = vote(1_000, 3);
        vote.signed.id = ValidatorId([3; 32]);
        vote
    });
    let message = Bytes::from(FinalityMessage::pack(&good.chain(bad).collect::<Vec<_>>()).next().unwrap());
    for _ in 1..MAX_OFFENCES {
        stranger.send(&world.nodes[0].peer(), FINALITY_PROTOCOL, message.clone()).unwrap();
    }
    world.run_slots(1);
    assert!(world.chain(0).status().double_votes > 0);
    assert_eq!((world.chain(0).held().offenders, world.chain(0).status().peers), (1, peers));
    stranger.send(&world.nodes[0].peer(), FINALITY_PROTOCOL, message).unwrap();
    world.run_slots(1);
    assert_eq!(world.chain(0).status().peers, peers - 1, "refused");
}

#[test]
fn peers_that_do_not_answer_keep_nobody_from_finding_the_round() {
    let mut world = World::new(48, 4, 0.0);
    for index in 0..3 {
        world.start(index).unwrap();
    }
    world.run_slots(20);
    world.start(3).unwrap();
    let victim = world.nodes[3].peer();
    // A validator that nobody may trust has given them a vote of a round far ahead.
    let pair = &world.nodes[0].pair;
    let (target_hash, target_number) = (Hash::repeat(1), 1_000);
    let message = Message::Prevote(Prevote { target_hash, target_number });
    let signature = pair.sign(&vote_payload(0, 1_000, &message), &mut SeedRng::new([1; 32]));
    let signed = SignedVoteMessage { message, signature, id: ValidatorId(pair.public()) };
    let vote = told(Vote { set_id: 0, round: 1_000, signed });
    let strangers: Vec<_> = (0..3)
        .map(|index| {
            let stranger = world.hub.join(MemoryHub::peer(&format!("stranger {index}")));
            let mut events = stranger.open(FINALITY_PROTOCOL, handshake(&world)).unwrap();
            let mut kept = Vec::new();
            let keeps = async move {
                while let Some(event) = events.next().await {
                    kept.push(event);
                }
            };
            let spawner = world.simulation.environment(&format!("stranger {index}")).spawner;
            spawner.spawn("keeps", Box::pin(keeps));
            stranger.connect(&victim, &[]);
            stranger
        })
        .collect();
    let run = |slots: u64| {
        for _ in 0..slots * SLOT_MS / 10 {
            for stranger in &strangers {
                // It may not be connected yet.
                let _refused = stranger.send(&victim, FINALITY_PROTOCOL, vote.clone());
            }
            world.simulation.run_for(std::time::Duration::from_millis(10)).unwrap();
        }
    };
    // They are there first. Then the only way to the round leads through a node that answers, and without this one the
    // others finalize nothing.
    let honest = world.nodes[..3].iter().map(|node| node.peer()).collect();
    let others = strangers.iter().map(|stranger| stranger.local_peer()).chain([victim.clone()]).collect();
    world.hub.partition(&[honest, others]);
    run(2);
    world.hub.heal();
    let before = world.chain(1).status().finalized.1;
    world.chain(0).stop();
    run(60);
    assert!(world.chain(3).status().finalized.1 >= before + 5, "{:?}", world.statuses());
}

#[test]
fn requests_of_strangers_are_answered_within_limits() {
    let world = World::started(42, 2, 0.0);
    let stranger = world.hub.join(MemoryHub::peer("stranger"));
    let _events = PROTOCOLS.map(|protocol| stranger.open(protocol, handshake(&world)).unwrap());
    let victim = world.nodes[0].peer();
    stranger.connect(&victim, &[]);
    world.run_slots(5);
    let best = world.chain(0).status().best.0;
    for request in [(best, 0_u32, u32::MAX), (best, u32::MAX, u32::MAX), (Hash::repeat(1), 1, 5)] {
        let answer = stranger.request(&victim, BLOCK_PROTOCOL, request.encode().into());
        assert!(world.simulation.run_until(answer).unwrap().is_ok(), "{request:?}");
    }
    for request in [(0_u64, 0_u64), (u64::MAX, u64::MAX)] {
        let answer = stranger.request(&victim, FINALITY_PROTOCOL, request.encode().into());
        assert!(world.simulation.run_until(answer).unwrap().is_ok());
    }
    for (protocol, request) in [(REPORT_PROTOCOL, Vec::new()), (TRANSACTION_PROTOCOL, Hash::repeat(1).encode())] {
        let answer = stranger.request(&victim, protocol, request.into());
        assert!(world.simulation.run_until(answer).unwrap().is_err());
    }
    assert_eq!(world.chain(0).status().peers, 2);
}

#[test]
fn other_chains_are_refused() {
    let world = World::started(43, 2, 0.0);
    let stranger = world.hub.join(MemoryHub::peer("stranger"));
    let other =
        Handshake { version: PROTOCOL_VERSION, genesis: Hash::repeat(1), slot_ms: SLOT_MS, forks_per_million: 0 };
    let _events = PROTOCOLS.map(|protocol| stranger.open(protocol, other.encode().into()).unwrap());
    stranger.connect(&world.nodes[0].peer(), &[]);
    world.run_slots(3);
    assert_eq!(world.chain(0).status().peers, 1);
    assert_eq!(stranger.statistics().peers, 0);
}

#[test]
fn a_double_vote_reaches_the_chain_and_is_slashed() {
    let world = World::started(44, 4, 0.0);
    world.run_slots(3);
    let client = world.client(0);
    let best = world.chain(0).status().best.0;
    let session = world.simulation.run_until(client.session_context(best)).unwrap().unwrap();
    let context = SigningContext { session_index: session.session_index, parent_hash: best };
    let second = |candidate: u8| {
        let vote = CompactVote::Seconded(CandidateHash(Hash::repeat(candidate)));
        let signature = world.nodes[2].pair.sign(&vote.signing_payload(&context), &mut SeedRng::new([candidate; 32]));
        SignedVote { vote, context, signature }
    };
    let report = MisbehaviorReport { validator_index: ValidatorIndex(2), first: second(1), second: second(2) };
    assert_eq!(report.kind(), Ok(MisbehaviorKind::DoubleSeconded(best)));

    let mut forged = report.clone();
    forged.second.signature.0[0] ^= 1;
    let refused = world.simulation.run_until(client.submit_report(forged)).unwrap();
    assert!(matches!(refused, Err(RuntimeError::Refused(_))), "{refused:?}");

    world.simulation.run_until(client.submit_report(report)).unwrap().unwrap();
    world.run_slots(2);
    assert!((1..4).all(|index| world.chain(index).status().reports <= 1));
    world.run_slots(6);
    for index in 0..4 {
        let (_, state) = world.chain(index).block(&world.chain(index).status().best.0).unwrap();
        assert_eq!(state.offences().len(), 1, "once, on every node");
        assert!(state.slashes().contains_key(&session.validators[2]));
    }
}

#[test]
fn many_contradictions_of_one_validator_take_its_stake_and_no_more_room() {
    let mut world = World::new(44, 4, 0.0);
    world.set_session_length(100);
    for index in 0..4 {
        world.start(index).unwrap();
    }
    world.run_slots(3);
    let client = world.client(0);
    let best = world.chain(0).status().best.0;
    let session = world.simulation.run_until(client.session_context(best)).unwrap().unwrap();
    let context = SigningContext { session_index: session.session_index, parent_hash: best };
    let submit = |candidate: u8| {
        let said = [CompactVote::Valid, CompactVote::Invalid].map(|vote| {
            let vote = vote(CandidateHash(Hash::repeat(candidate)));
            let random = &mut SeedRng::new([candidate; 32]);
            SignedVote { vote, context, signature: world.nodes[2].pair.sign(&vote.signing_payload(&context), random) }
        });
        let report = MisbehaviorReport { validator_index: ValidatorIndex(2), first: said[0], second: said[1] };
        world.simulation.run_until(client.submit_report(report)).unwrap()
    };
    let offences = |index| {
        let (_, state) = world.chain(index).block(&world.chain(index).status().best.0).unwrap();
        (state.offences().len(), state.stake_of(&session.validators[2]))
    };
    for candidate in 0..6 {
        submit(candidate).unwrap();
    }
    world.run_slots(16);
    assert_eq!(offences(1).0, 6, "each is an offence of its own");
    // More than the chain takes, all at once: no author puts so many into a block that it is none.
    for candidate in 10..20 {
        submit(candidate).unwrap();
    }
    assert!(matches!(submit(20), Err(RuntimeError::Refused(_))), "others have reports as well");
    let before = world.chain(1).status().best.1;
    world.run_slots(16);
    assert!(world.chain(1).status().best.1 > before + 10);
    for index in 0..4 {
        assert_eq!(offences(index), (10, 0));
        assert_eq!(world.chain(index).status().reports, 0, "what nobody takes is forgotten");
    }
}

#[test]
fn the_client_answers_from_snapshots() {
    let world = World::started(45, 4, 0.0);
    world.run_slots(6);
    let client = world.client(0);
    let status = world.chain(0).status();
    world
        .simulation
        .run_until(async {
            let best = status.best.0;
            assert_eq!(client.header(best).await.unwrap().number, status.best.1);
            assert_eq!(client.finalized().await.unwrap(), status.finalized);
            assert_eq!(client.leaves().await.unwrap()[0].hash, best);
            assert!(client.api_version(best).await.unwrap() >= 1);
            assert_eq!(client.availability_cores(best).await.unwrap(), []);
            assert_eq!(client.candidate_events(best).await.unwrap(), []);
            let nothing = client.persisted_validation_data(best, ParaId(1), OccupiedCoreAssumption::Free).await;
            assert_eq!(nothing, Ok(None));
            let unknown = Hash::repeat(3);
            assert_eq!(client.header(unknown).await, Err(RuntimeError::UnknownBlock(unknown)));
            assert!(client.session_context(unknown).await.is_err());
        })
        .unwrap();
}

#[test]
fn an_author_of_two_blocks_in_one_slot_is_slashed_once_on_every_node() {
    let world = World::started(46, 4, 0.0);
    world.run_slots(6);
    let chain = world.chain(0);
    // Until a block has just come, so that nothing of its height is final.
    let before = chain.status().best;
    while chain.status().best == before {
        world.simulation.run_for(std::time::Duration::from_millis(10)).unwrap();
    }
    let (best, _) = chain.block(&chain.status().best.0).unwrap();
    let claim = SlotClaim::from_digest(&best.header.digest).unwrap();
    let author = &world.nodes[claim.author.0 as usize];
    let (parent, state) = chain.block(&best.header.parent_hash).unwrap();
    let inherent = Extrinsic::Inclusion(primitives::InherentData::empty(parent.header.clone()));
    let gift = world.signed(&state, Governance::Endow([7; 32], 5));
    let digest = vec![claim.to_digest_item()];
    let (mut second, _) = build_block(&state, &parent.header, digest, vec![inherent, gift]).unwrap();
    let seal = author.pair.sign(&second.header.hash().encode(), &mut SeedRng::new([3; 32]));
    add_seal(&mut second.header, seal);
    assert!(split_seal(second.header.clone()).is_ok());
    // Two nodes see it, and both report.
    for index in 0..2 {
        world.simulation.run_until(world.chain(index).import(second.clone())).unwrap().unwrap();
    }
    world.run_slots(8);
    let accused = primitives::ValidatorId(author.pair.public());
    for index in 0..4 {
        let state = world.best_state(index);
        let is_it = |reason| matches!(reason, PenaltyReason::Equivocation(slot) if slot == claim.slot);
        let found: Vec<_> = state.penalties().iter().filter(|penalty| is_it(penalty.reason)).collect();
        assert_eq!(found.len(), 1, "{:?}", state.penalties());
        assert!(state.slashes().contains_key(&accused));
        assert_eq!(world.chain(index).status().transactions, 0, "what is final waits no longer");
    }
}

#[test]
fn transactions_are_checked_before_they_are_kept_and_passed_on() {
    let world = World::started(47, 4, 0.0);
    world.run_slots(3);
    let client = world.client(0);
    let submit = |encoded: Vec<u8>| world.simulation.run_until(client.submit_transaction(encoded)).unwrap();
    assert!(matches!(submit(vec![0xff; 7]), Err(RuntimeError::Refused(_))));
    let best = world.chain(0).block(&world.chain(0).status().best.0).unwrap().0;
    let inherent = Extrinsic::Inclusion(primitives::InherentData::empty(best.header.clone()));
    assert!(matches!(submit(inherent.encode()), Err(RuntimeError::Refused(reason)) if reason.contains("inherent")));
    let unsigned = SignedGovernance { change: Governance::Endow([7; 32], 5), nonce: 0, signatures: Vec::new() };
    let unsigned = Extrinsic::Governed(Box::new(unsigned));
    assert!(matches!(submit(unsigned.encode()), Err(RuntimeError::Refused(reason)) if reason.contains("are needed")));
    assert_eq!(world.chain(0).status().transactions, 0);

    world.govern(0, Governance::Endow([7; 32], 5));
    assert_eq!(world.chain(0).status().transactions, 1);
    world.run_slots(8);
    for index in 0..4 {
        assert_eq!(world.best_state(index).account(&[7; 32]).free, 5, "once");
        assert_eq!(world.chain(index).status().transactions, 0);
    }
}

#[test]
fn of_a_block_whose_state_is_gone_the_header_is_known_and_nothing_else() {
    let world = World::started(48, 1, 0.0);
    world.run_slots(4);
    let early = world.chain(0).status().finalized;
    world.run_slots(relay_chain::tree::FINALIZED_BLOCKS_KEPT as u64 + 4);
    assert!(world.chain(0).block(&early.0).is_none());
    let heights = world.nodes[0].index.as_ref().unwrap().scan(b"chain/heights/", usize::MAX).unwrap();
    let entry = [&early.0.0[2..6], &early.1.encode()].concat();
    assert!(heights.iter().any(|(_, value)| value.windows(8).any(|found| found == entry)), "it is found by its hash");
    let client = world.client(0);
    let answers = async {
        assert_eq!(client.header(early.0).await.unwrap().number, early.1);
        assert_eq!(client.session_context(early.0).await.unwrap_err(), RuntimeError::Pruned(early.0));
        assert_eq!(client.next_validators(early.0).await.unwrap_err(), RuntimeError::Pruned(early.0));
        let genesis = world.chain(0).genesis_hash();
        assert_eq!(client.header(genesis).await.unwrap().number, 0);
        let never = Hash::repeat(3);
        assert_eq!(client.session_context(never).await.unwrap_err(), RuntimeError::UnknownBlock(never));
    };
    world.simulation.run_until(answers).unwrap();
}

#[test]
fn every_question_is_answered_at_the_best_block() {
    // A candidate is included and disputed, the next one of its para is pending.
    let forge = Forge::new(49);
    let common = forge.empty(forge.genesis(), 1).hash;
    let first = forge.candidate(common, 66);
    let backed_in = forge.backing(common, forge.backed(&first, 3)).hash;
    let included_in = forge.including(backed_in).hash;
    let votes = forge.votes(first.hash(), &[], &forge.others(&forge.group(common))[..1]);
    let disputed = forge.with(included_in, vec![Extrinsic::DisputeVotes(votes)]).hash;
    let second = forge.candidate(disputed, 67);
    let at = forge.backing(disputed, forge.backed(&second, 3)).hash;
    let (client, state) = (forge.world.client(0), forge.state(at));
    let code = primitives::ValidationCode::from(vec![PARA.0 as u8; 32]);
    let included = OccupiedCoreAssumption::Included;
    let answers = async {
        assert_eq!(client.next_validators(at).await.unwrap(), state.validators());
        assert_eq!(client.session_validators(at, 0).await.unwrap().unwrap(), state.validators());
        assert_eq!(client.session_validators(at, 1).await.unwrap(), None);
        assert_eq!(client.session_context(at).await.unwrap().groups, state.groups());
        assert_eq!(client.paras(at).await.unwrap(), [ParaId(2000), ParaId(2001), ParaId(2002)]);
        assert_eq!(client.para_head(at, PARA).await.unwrap(), Some(HeadData(vec![66])));
        assert_eq!(client.para_head(at, ParaId(1)).await.unwrap(), None);
        assert_eq!(client.candidate_pending_availability(at, PARA).await.unwrap(), Some(second.clone()));
        assert_eq!(client.candidate_pending_availability(included_in, PARA).await.unwrap(), None);
        assert!(matches!(client.availability_cores(at).await.unwrap()[CORE.as_usize()], CoreState::Occupied(_)));
        assert!(matches!(client.candidate_events(included_in).await.unwrap()[..], [CandidateEvent::Included(..)]));
        assert_eq!(client.validation_code(at, PARA, included).await.unwrap(), Some(code.clone()));
        assert_eq!(client.validation_code_by_hash(at, code.hash()).await.unwrap(), Some(code.clone()));
        assert_eq!(client.historical_validation_code(at, PARA, 1).await.unwrap(), Some(code.clone()));
        assert_eq!(client.historical_validation_code(at, ParaId(1), 1).await.unwrap(), None);
        let data = client.persisted_validation_data(at, PARA, included).await.unwrap();
        assert_eq!(data.unwrap().parent_head, HeadData(vec![67]));
        let disputes = client.disputes(at).await.unwrap();
        assert_eq!(
            disputes.iter().map(|(session, hash, _)| (*session, *hash)).collect::<Vec<_>>(),
            [(0, first.hash())]
        );
        let (contested, nobody) = ((0, first.hash()), (1, first.hash()));
        let votes = client.dispute_votes(at, contested).await.unwrap().unwrap();
        assert_eq!((votes.session, votes.candidate_hash, votes.statements.len()), (0, first.hash(), 4));
        assert_eq!(client.dispute_votes(at, nobody).await.unwrap(), None);
        assert_eq!(client.contested_candidate(at, contested).await.unwrap(), Some(first.clone()));
        assert_eq!(client.contested_candidate(at, nobody).await.unwrap(), None);
        let approval = client.approval_status(at, contested).await.unwrap().unwrap();
        assert_eq!((approval.included_in, approval.core, approval.needed, approval.checks), (3, CORE, 5, 3));
        assert!(approval.disputed && !approval.is_approved());
        assert_eq!(client.approval_status(at, nobody).await.unwrap(), None);
        assert_eq!((client.blacklist(at).await.unwrap(), client.reverts(at).await.unwrap()), (vec![], vec![]));
        assert_eq!(client.first_disputed_block(at).await.unwrap(), Some(3));
        let (key, value) = state.storage().into_iter().next().unwrap();
        let proof = runtime::StateProof(client.state_proof(at, vec![key.clone()]).await.unwrap());
        assert_eq!(proof.read(state.root(), &key), Ok(Some(value)));
    };
    forge.world.simulation.run_until(answers).unwrap();
}

#[test]
fn a_verdict_can_be_asked_for_on_the_fork_that_it_ends_and_on_the_one_that_is_told() {
    let forge = Forge::new(51);
    let common = forge.empty(forge.genesis(), 1).hash;
    let bad = forge.candidate(common, 66);
    let backed_in = forge.backing(common, forge.backed(&bad, 3)).hash;
    let included_in = forge.including(backed_in).hash;
    let group = forge.group(common);
    let against = [&forge.others(&group)[..], &group[..1]].concat();
    let verdict = forge.votes(bad.hash(), &[], &against);
    let judged = forge.with(included_in, vec![Extrinsic::DisputeVotes(verdict)]).hash;
    // The other fork hears of the judged one and of one that is open, whose code it has never seen.
    let (sibling, other_code) = (forge.empty(common, 2).hash, primitives::ValidationCode::from(vec![9; 40]));
    let mut invented = forge.candidate(common, 99);
    let fields = DescriptorFields { validation_code_hash: other_code.hash(), ..invented.descriptor.fields() };
    invented.descriptor = CandidateDescriptor::new_v2(fields, CORE, 0).unwrap();
    let mut votes = forge.votes(invented.hash(), &[], &group[..1]);
    votes.statements.push(forge.seconded(&invented, group[1]));
    votes.statements.sort_by_key(DisputeStatementSet::place);
    let validation_code = Some(other_code.clone());
    let remote =
        Extrinsic::RemoteDispute(Box::new(RemoteDispute { candidate: invented.clone(), validation_code, votes }));
    let transactions = [vec![remote], forge.state(judged).disputes_to_tell(&forge.state(sibling))].concat();
    let told = forge.with(sibling, transactions).hash;
    let (client, winner) = (forge.world.client(0), forge.state(judged).validators()[against[0] as usize]);
    let answers = async {
        for at in [judged, told] {
            assert_eq!(client.blacklist(at).await.unwrap(), [(0, bad.hash())]);
            let account = client.account(at, winner.0).await.unwrap();
            assert!(account.free > 0 && account.nonce == 0, "who was right earns: {account:?}");
        }
        assert_eq!(client.account(judged, [8; 32]).await.unwrap(), primitives::Account::default());
        let reverts = client.reverts(judged).await.unwrap();
        assert_eq!(reverts.len(), 1);
        assert_eq!((reverts[0].candidate, reverts[0].last_good_hash), (bad.hash(), backed_in));
        assert_eq!(client.reverts(told).await.unwrap(), []);
        let elsewhere = (0, invented.hash());
        assert_eq!(client.validation_code_by_hash(judged, other_code.hash()).await.unwrap(), None);
        assert_eq!(client.validation_code_by_hash(told, other_code.hash()).await.unwrap(), Some(other_code));
        assert_eq!(client.contested_candidate(told, elsewhere).await.unwrap(), Some(invented));
        assert_eq!(client.approval_status(told, elsewhere).await.unwrap(), None);
        let unknown = primitives::Hash::from([77; 32]);
        assert_eq!(client.reverts(unknown).await, Err(RuntimeError::UnknownBlock(unknown)));
    };
    forge.world.simulation.run_until(answers).unwrap();
}

#[test]
fn what_cannot_be_checked_here_is_held_against_nobody() {
    let mut world = World::new(50, 4, 0.0);
    let compute = Failing::over(world.simulation.environment("node-0").compute);
    world.compute_of_first = Some(compute.clone());
    for index in 0..4 {
        world.start(index).unwrap();
    }
    world.run_slots(4);
    compute.fail(true);
    world.run_slots(6);
    assert_eq!(world.chain(0).status().peers, 3, "nobody is refused");
    compute.fail(false);
    let before = world.chain(0).status().finalized.1;
    world.run_slots(8);
    assert!(world.chain(0).status().finalized.1 > before + 4, "{:?}", world.statuses());
}

#[test]
fn what_waits_for_a_para_is_told_at_each_block() {
    let mut world = World::new(50, 1, 0.0);
    world.set_session_length(4);
    let (sender, recipient) = (ParaId(2001), PARA);
    world.genesis.paras = vec![para(), GenesisPara { id: sender, ..para() }];
    world.start(0).unwrap();
    world.run_slots(1);
    let early = world.chain(0).status().best.0;
    world.govern(0, Governance::OpenChannel(HrmpChannelId { sender, recipient }));
    world.run_slots(2);
    world.govern(0, Governance::SendDownward(PARA, vec![7]));
    world.run_slots(5);
    let (client, at) = (world.client(0), world.chain(0).status().best.0);
    let answers = async {
        assert_eq!(client.downward_messages(early, PARA).await.unwrap(), []);
        let messages = client.downward_messages(at, PARA).await.unwrap();
        assert_eq!(messages.into_iter().map(|message| message.msg).collect::<Vec<_>>(), [[7]]);
        assert_eq!(client.inbound_horizontal_messages(early, PARA).await.unwrap(), BTreeMap::new());
        let channels = client.inbound_horizontal_messages(at, PARA).await.unwrap();
        assert_eq!(channels, BTreeMap::from([(sender, Vec::new())]));
    };
    world.simulation.run_until(answers).unwrap();
}
