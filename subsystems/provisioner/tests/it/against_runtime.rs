//! The provisioner against the real runtime: whatever was collected, the answer makes a block that executes (PV-2).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use leaves::{ActiveLeaf, LeavesUpdate};
use messages::chain_api::{self, ChainApi};
use messages::provisioner::{BackableCandidate, Bitfield, RequestBlockAuthorshipData};
use messages::runtime_api::{Inbox as Questions, RuntimeApi};
use mocks::Harness;
use mocks::fixtures::{Validators, rng};
use ports::SessionContext;
use primitives::descriptor::DescriptorFields;
use primitives::{
    BackedCandidate, Bits, CandidateCommitments, CandidateDescriptor, CandidateEvent, CommittedCandidateReceipt,
    CompactStatement, CoreIndex, CoreState, Hash, HeadData, Header, HostConfiguration, InherentData,
    OccupiedCoreAssumption, ParaId, SigningContext, ValidationCode, ValidatorIndex, ValidityAttestation,
};
use provisioner::{MostVotes, ProvisionerSubsystem};
use runtime::{
    DirectVerifier, Extrinsic, Genesis, GenesisPara, SlotClaim, State, build_block, execute_block, filter_inherent,
    genesis,
};

const VALIDATORS: u32 = 6;
const PARAS: [u32; 2] = [2001, 2000];
const BLOCKS: u32 = 24;

/// The chain's states by block, and where it stands.
struct Chain {
    validators: Validators,
    known: Arc<Mutex<BTreeMap<Hash, (State, Header)>>>,
    head: Hash,
    draws: u64,
}

impl Chain {
    fn new(seed: u64) -> Self {
        let validators = Validators::new(VALIDATORS, PARAS.len() as u32);
        let para = |id| GenesisPara {
            id: ParaId(id),
            is_parachain: true,
            head_data: HeadData(vec![1]),
            validation_code: code(),
        };
        let start = Genesis {
            // Short, so that time-outs, rotations and session changes all happen.
            configuration: HostConfiguration {
                chain_availability_period: 2,
                thread_availability_period: 2,
                parachain_rotation_frequency: 3,
                ..HostConfiguration::default()
            },
            validators: validators.context.validators.clone(),
            paras: PARAS.map(para).to_vec(),
            stake_per_validator: 1_000,
            session_length: 9,
            randomness: [5; 32],
        };
        let (state, header) = genesis(&start).unwrap();
        let head = header.hash();
        let known = Arc::new(Mutex::new(BTreeMap::from([(head, (state, header))])));
        Self { validators, known, head, draws: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    fn at(&self, hash: Hash) -> (State, Header) {
        self.known.lock().unwrap()[&hash].clone()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draws ^= self.draws << 13;
        self.draws ^= self.draws >> 7;
        self.draws ^= self.draws << 17;
        self.draws % bound
    }

    fn serve(&self, harness: &Harness) {
        let known = self.known.clone();
        harness.stub::<RuntimeApi>(move |question| {
            let known = known.lock().unwrap();
            match question {
                Questions::GetSessionContext(question, reply) => {
                    drop(reply.answer(Ok(Arc::new(context(&known[&question.at].0)))));
                }
                Questions::GetAvailabilityCores(question, reply) => {
                    let state = &known[&question.at].0;
                    drop(reply.answer(Ok(Arc::new(state.availability_cores(state.number() + 1)))));
                }
                Questions::GetPersistedValidationData(question, reply) => {
                    let (state, header) = &known[&question.at];
                    let (number, root) = (header.number, header.state_root);
                    let data = state.persisted_validation_data(question.para_id, question.assumption, number, root);
                    drop(reply.answer(Ok(data)));
                }
                other => return Some(other),
            }
            None
        });
        let known = self.known.clone();
        harness.stub::<ChainApi>(move |question| match question {
            chain_api::Inbox::GetHeader(question, reply) => {
                drop(reply.answer(Ok(known.lock().unwrap()[&question.hash].1.clone())));
                None
            }
            other => Some(other),
        });
    }

    fn leaf(&self) -> ActiveLeaf {
        let (state, header) = self.at(self.head);
        let session_index = state.session_index();
        let mut ancestors = Vec::new();
        let mut next = header.parent_hash;
        while let Some((state, header)) = self.known.lock().unwrap().get(&next) {
            if state.session_index() != session_index || ancestors.len() >= leaves::ANCESTRY_MAX {
                break;
            }
            ancestors.push(next);
            next = header.parent_hash;
        }
        ActiveLeaf { hash: self.head, number: header.number, session_index, ancestors: ancestors.into() }
    }

    /// A candidate for a core at the head, backed by some of its group, on what a draw assumes.
    fn backable(&mut self, core: CoreIndex) -> Option<BackableCandidate> {
        let (state, header) = self.at(self.head);
        let cores = state.availability_cores(header.number + 1);
        let para_id = cores[core.as_usize()].para_id()?;
        let assumption = match self.below(3) {
            0 => OccupiedCoreAssumption::Free,
            1 => OccupiedCoreAssumption::TimedOut,
            _ => OccupiedCoreAssumption::Included,
        };
        let data = state.persisted_validation_data(para_id, assumption, header.number, header.state_root)?;
        let commitments = CandidateCommitments {
            head_data: HeadData(vec![self.below(256) as u8]),
            hrmp_watermark: header.number,
            ..CandidateCommitments::default()
        };
        let fields = DescriptorFields {
            para_id,
            relay_parent: self.head,
            persisted_validation_data_hash: data.hash(),
            para_head: commitments.head_data.hash(),
            validation_code_hash: code().hash(),
            ..DescriptorFields::default()
        };
        let descriptor = CandidateDescriptor::new_v2(fields, core, state.session_index()).unwrap();
        let committed = CommittedCandidateReceipt { descriptor, commitments };
        let session = context(&state);
        let (_, group) = session.group_for_core(core)?;
        let mut bits = Bits::repeat(false, group.len());
        let mut votes = Vec::new();
        for (position, member) in group.iter().enumerate() {
            if self.below(4) > 0 {
                bits.set(position, true);
                let statement = CompactStatement::Valid(committed.hash());
                let context = SigningContext { session_index: session.session_index, parent_hash: self.head };
                let payload = statement.signing_payload(&context);
                votes.push(ValidityAttestation::Explicit(self.pair(&session, *member).sign(&payload, &mut rng())));
            }
        }
        let backed = BackedCandidate::new(committed, votes, bits, core);
        Some(BackableCandidate { relay_parent: self.head, backed })
    }

    fn pair(&self, session: &SessionContext, index: ValidatorIndex) -> &primitives::Pair {
        let id = session.validators[index.as_usize()];
        self.validators.pairs.iter().find(|pair| pair.public() == id.0).unwrap()
    }

    /// A validator's bitfield at the head: for the occupied cores mostly, sometimes for a free one.
    fn bitfield(&mut self, validator: u32) -> Bitfield {
        let (state, header) = self.at(self.head);
        let cores = state.availability_cores(header.number + 1);
        let mut validators = self.validators.clone();
        validators.context = context(&state);
        let bits: Vec<bool> = cores
            .iter()
            .map(|core| match core {
                CoreState::Occupied(_) => self.below(6) > 0,
                CoreState::Scheduled(_) | CoreState::Free => self.below(20) == 0,
            })
            .collect();
        let id = validators.context.validators[validator as usize];
        let position = self.validators.pairs.iter().position(|pair| pair.public() == id.0).unwrap();
        validators.pairs.swap(validator as usize, position);
        Bitfield { relay_parent: self.head, signed: validators.bitfield(validator, self.head, &bits) }
    }

    /// Authors and executes a block; returns what happened to candidates.
    fn author(&mut self, inherent: InherentData) -> Vec<CandidateEvent> {
        let (state, header) = self.at(self.head);
        let filtered = filter_inherent(&state, &header, inherent.clone(), &DirectVerifier);
        assert_eq!(inherent, filtered, "the runtime would refuse a part of it");
        let (vrf, _) = self.validators.pairs[0].vrf_sign(primitives::crypto::vrf_input_bytes(b"slot"), &mut rng());
        let claim = SlotClaim { slot: u64::from(header.number) + 1, author: ValidatorIndex(0), vrf };
        let extrinsics = vec![Extrinsic::Inclusion(inherent)];
        let (block, _) = build_block(&state, &header, vec![claim.to_digest_item()], extrinsics).unwrap();
        let executed = execute_block(&state, &block, &DirectVerifier).unwrap();
        self.head = block.hash();
        self.known.lock().unwrap().insert(self.head, (executed.state, block.header));
        executed.events
    }
}

fn code() -> ValidationCode {
    ValidationCode::from(vec![7; 16])
}

fn context(state: &State) -> SessionContext {
    SessionContext {
        session_index: state.session_index(),
        validators: state.validators().to_vec(),
        groups: state.groups().to_vec(),
        rotation: state.rotation_info(state.number() + 1),
        configuration: state.configuration().clone(),
    }
}

#[test]
fn every_answer_makes_a_block() {
    let (mut backed, mut included, mut timed_out, mut older) = (0, 0, 0, 0);
    for seed in 0..12 {
        let mut chain = Chain::new(seed);
        let harness = Harness::new(seed, |_| ProvisionerSubsystem::with_choice(Arc::new(MostVotes)));
        chain.serve(&harness);
        let mut stopped = Vec::new();
        for _ in 0..BLOCKS {
            let head = chain.head;
            harness.signal(LeavesUpdate { stopped, started: vec![chain.leaf()], finalized: None });
            for core in 0..PARAS.len() as u32 {
                for _ in 0..chain.below(3) {
                    if let Some(backable) = chain.backable(CoreIndex(core)) {
                        harness.tell(backable);
                    }
                }
            }
            for validator in 0..VALIDATORS {
                if chain.below(8) > 0 {
                    harness.tell(chain.bitfield(validator));
                }
            }
            let answer = harness.ask(RequestBlockAuthorshipData { parent: head }).take().unwrap().unwrap().unwrap();
            older += answer
                .backed_candidates
                .iter()
                .filter(|candidate| candidate.descriptor().relay_parent() != head)
                .count();
            for event in chain.author(answer) {
                match event {
                    CandidateEvent::Backed(..) => backed += 1,
                    CandidateEvent::Included(..) => included += 1,
                    CandidateEvent::TimedOut(..) => timed_out += 1,
                }
            }
            stopped = vec![head];
        }
        harness.finish();
    }
    println!("{backed} backed, {included} included, {timed_out} timed out, {older} at older relay parents");
    assert!(backed > 0 && included > 0 && timed_out > 0 && older > 0, "every case has happened");
}
