//! The largest transactions that the configuration allows.

use codec::Encode;
use primitives::{
    CandidateCommitments, CandidateDescriptor, CommittedCandidateReceipt, CompactStatement, CoreIndex,
    DisputeStatement, DisputeStatementSet, Hash, HeadData, InvalidDisputeStatementKind, ParaId, SigningContext,
    ValidDisputeStatementKind, ValidationCode, ValidatorIndex,
    crypto::SeedRng,
    descriptor::DescriptorFields,
    limits::{MAX_CODE_SIZE, MAX_HEAD_DATA_SIZE},
};
use relay_chain::messages::{MAX_TRANSACTION_BYTES, TRANSACTION_ROOM_BYTES};
use runtime::{Extrinsic, Governance, ParaGenesisArgs, RemoteDispute};

use crate::support::World;

fn code(byte: u8) -> ValidationCode {
    vec![byte; MAX_CODE_SIZE as usize].into()
}

fn head() -> HeadData {
    HeadData(vec![7; MAX_HEAD_DATA_SIZE as usize])
}

fn world(seed: u64) -> World {
    let mut world = World::new(seed, 4, 0.0);
    world.genesis.configuration.max_head_data_size = MAX_HEAD_DATA_SIZE;
    for index in 0..4 {
        world.start(index).unwrap();
    }
    world.run_slots(3);
    world
}

/// Of another fork: the candidate brings new code, and the dispute the code that judges it.
fn remote_dispute(world: &World) -> Extrinsic {
    let fields = DescriptorFields {
        para_id: ParaId(2000),
        relay_parent: Hash::repeat(1),
        persisted_validation_data_hash: Hash::repeat(2),
        pov_hash: Hash::repeat(3),
        erasure_root: Hash::repeat(4),
        para_head: head().hash(),
        validation_code_hash: code(1).hash(),
    };
    let commitments = CandidateCommitments {
        head_data: head(),
        new_validation_code: Some(code(2)),
        ..CandidateCommitments::default()
    };
    let descriptor = CandidateDescriptor::new_v2(fields, CoreIndex(0), 0).unwrap();
    let candidate = CommittedCandidateReceipt { descriptor, commitments };
    let hash = candidate.hash();
    let state = world.best_state(0);
    let vote = |validator: usize, statement: DisputeStatement| {
        let payload = match &statement {
            DisputeStatement::Valid(ValidDisputeStatementKind::BackingSeconded(parent)) => {
                let context = SigningContext { session_index: 0, parent_hash: *parent };
                CompactStatement::Seconded(hash).signing_payload(&context)
            }
            other => other.payload(hash, 0).unwrap(),
        };
        let id = state.validators()[validator];
        let node = world.nodes.iter().find(|node| node.pair.public() == id.0).unwrap();
        let signature = node.pair.sign(&payload, &mut SeedRng::new([validator as u8; 32]));
        (statement, ValidatorIndex(validator as u32), signature)
    };
    let statements = vec![
        vote(0, DisputeStatement::Valid(ValidDisputeStatementKind::BackingSeconded(Hash::repeat(1)))),
        vote(1, DisputeStatement::Invalid(InvalidDisputeStatementKind::Explicit)),
    ];
    let votes = DisputeStatementSet { candidate_hash: hash, session: 0, statements };
    Extrinsic::RemoteDispute(Box::new(RemoteDispute { candidate, validation_code: Some(code(1)), votes }))
}

#[test]
fn the_largest_transaction_travels_and_gets_into_a_block() {
    let world = world(71);
    let transaction = remote_dispute(&world);
    let bytes = transaction.encoded_size();
    assert!(bytes <= MAX_TRANSACTION_BYTES && bytes > MAX_TRANSACTION_BYTES - TRANSACTION_ROOM_BYTES);
    world.simulation.run_until(world.chain(0).submit(transaction)).unwrap().unwrap();
    // A block brings it to nobody's pool: who has it there has it from a peer.
    let mut seen = [false; 4];
    for _ in 0..60 {
        world.simulation.run_for(std::time::Duration::from_millis(100)).unwrap();
        for (index, seen) in seen.iter_mut().enumerate() {
            *seen |= world.chain(index).status().transactions == 1;
        }
    }
    assert_eq!(seen, [true; 4]);
    world.run_slots(6);
    for index in 0..4 {
        assert_eq!(world.best_state(index).disputes().len(), 1, "{:?}", world.statuses());
        assert_eq!(world.chain(index).status().transactions, 0, "it is final: {:?}", world.statuses());
    }
}

#[test]
fn a_para_with_the_largest_code_and_head_is_registered() {
    let world = world(72);
    let arguments = ParaGenesisArgs { genesis_head: head(), validation_code: code(3), parachain: true };
    world.govern(0, Governance::InitializePara(ParaId(2000), arguments));
    world.run_slots(12);
    for index in 0..4 {
        assert_eq!(world.best_state(index).para_head(ParaId(2000)), Some(&head()), "{:?}", world.statuses());
    }
}
