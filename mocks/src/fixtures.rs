//! Validators, sessions, candidates, PoVs: small, consistent, and the same in every run.
//!
//! ```
//! use mocks::fixtures::{CandidateBuilder, Validators, hash};
//! let validators = Validators::new(6, 2);
//! let candidate = CandidateBuilder::new(7, 0, hash(1)).coded_for(6).build();
//! let statement = validators.seconded(3, &candidate);
//! assert_eq!(candidate.receipt().hash(), candidate.hash());
//! # let _ = statement;
//! ```

use std::sync::Arc;

use codec::Encode as _;
use ports::SessionContext;
use primitives::crypto::SeedRng;
use primitives::descriptor::DescriptorFields;
use primitives::{
    AvailabilityBitfield, AvailableData, BackedCandidate, Bits, BlockData, CandidateCommitments, CandidateDescriptor,
    CandidateHash, CandidateReceipt, CommittedCandidateReceipt, CompactStatement, CoreIndex, GroupRotationInfo, Hash,
    HeadData, HostConfiguration, Pair, ParaId, PersistedValidationData, PoV, SessionIndex, Signed,
    SignedAvailabilityBitfield, SignedFullStatement, SigningContext, SigningPayload as _, Statement, UncheckedSigned,
    ValidationCode, ValidatorId, ValidatorIndex, ValidityAttestation,
};

/// A generator for nonces: the same every time, which is fine for keys that are known to everybody.
pub fn rng() -> SeedRng {
    SeedRng::new([7; 32])
}

/// A hash that tells in test output what it stands for: 32 times the byte.
pub fn hash(byte: u8) -> Hash {
    Hash::from([byte; 32])
}

/// A peer that tells in test output which it is.
pub fn peer(byte: u8) -> ports::PeerId {
    ports::PeerId::new(&[byte; 4]).expect("four bytes are a peer id")
}

/// Validators of one session, in groups, with their keys.
#[derive(Clone)]
pub struct Validators {
    /// The keys, by validator index.
    pub pairs: Vec<Pair>,
    /// What the runtime says of the session.
    pub context: SessionContext,
}

impl Validators {
    /// `count` validators dealt in order into `groups` groups, one core per group; session 1, no rotation.
    pub fn new(count: u32, groups: u32) -> Self {
        let pairs: Vec<Pair> = (0..count).map(|index| Pair::from_name(&format!("validator {index}"))).collect();
        let mut members = vec![Vec::new(); groups as usize];
        for index in 0..count {
            members[(index * groups / count) as usize].push(ValidatorIndex(index));
        }
        let context = SessionContext {
            session_index: 1,
            validators: pairs.iter().map(|pair| ValidatorId(pair.public())).collect(),
            groups: members,
            rotation: GroupRotationInfo { session_start_block: 0, group_rotation_frequency: 0, now: 1 },
            configuration: HostConfiguration::default(),
        };
        Self { pairs, context }
    }

    /// The session of all fixtures.
    pub fn session_index(&self) -> SessionIndex {
        self.context.session_index
    }

    /// A validator's public key.
    ///
    /// # Panics
    /// If there are not so many validators; so do all methods here that take an index.
    pub fn id(&self, index: u32) -> ValidatorId {
        self.context.validators[index as usize]
    }

    /// What statements and bitfields at a relay parent are signed in.
    pub fn signing_context(&self, relay_parent: Hash) -> SigningContext {
        SigningContext { session_index: self.context.session_index, parent_hash: relay_parent }
    }

    /// A statement by one validator.
    pub fn statement(&self, index: u32, relay_parent: Hash, statement: Statement) -> SignedFullStatement {
        let payload = statement.signing_payload(&self.signing_context(relay_parent));
        let signature = self.pairs[index as usize].sign(&payload, &mut rng());
        Signed::assume_checked(UncheckedSigned::new(statement, ValidatorIndex(index), signature))
    }

    /// `Seconded` by one validator.
    pub fn seconded(&self, index: u32, candidate: &Candidate) -> SignedFullStatement {
        let statement = Statement::Seconded(Box::new(candidate.committed.clone()));
        self.statement(index, candidate.relay_parent(), statement)
    }

    /// `Valid` by one validator.
    pub fn valid(&self, index: u32, candidate: &Candidate) -> SignedFullStatement {
        self.statement(index, candidate.relay_parent(), Statement::Valid(candidate.hash()))
    }

    /// `Invalid` by one validator.
    pub fn invalid(&self, index: u32, candidate: &Candidate) -> SignedFullStatement {
        self.statement(index, candidate.relay_parent(), Statement::Invalid(candidate.hash()))
    }

    /// A bitfield by one validator.
    pub fn bitfield(&self, index: u32, relay_parent: Hash, bits: &[bool]) -> SignedAvailabilityBitfield {
        let bitfield = AvailabilityBitfield(bits.iter().copied().collect::<Bits>());
        let payload = bitfield.signing_payload(&self.signing_context(relay_parent));
        let signature = self.pairs[index as usize].sign(&payload, &mut rng());
        Signed::assume_checked(UncheckedSigned::new(bitfield, ValidatorIndex(index), signature))
    }

    /// A candidate backed by the members of a group at these positions; the first seconds, the others find it valid.
    pub fn backed(&self, candidate: &Candidate, core: CoreIndex, group: usize, positions: &[usize]) -> BackedCandidate {
        let members = &self.context.groups[group];
        let context = self.signing_context(candidate.relay_parent());
        let mut bits = Bits::repeat(false, members.len());
        let mut votes = Vec::new();
        for (rank, position) in positions.iter().enumerate() {
            bits.set(*position, true);
            let pair = &self.pairs[members[*position].0 as usize];
            let hash = candidate.hash();
            votes.push(if rank == 0 {
                let payload = CompactStatement::Seconded(hash).signing_payload(&context);
                ValidityAttestation::Implicit(pair.sign(&payload, &mut rng()))
            } else {
                let payload = CompactStatement::Valid(hash).signing_payload(&context);
                ValidityAttestation::Explicit(pair.sign(&payload, &mut rng()))
            });
        }
        BackedCandidate::new(candidate.committed.clone(), votes, bits, core)
    }
}

/// A candidate with all that belongs to it, consistent as an honest collator makes it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The receipt with commitments.
    pub committed: CommittedCandidateReceipt,
    /// What it builds on.
    pub validation_data: PersistedValidationData,
    /// Its proof of validity.
    pub pov: PoV,
    /// Its code.
    pub code: ValidationCode,
}

impl Candidate {
    /// The candidate's hash.
    pub fn hash(&self) -> CandidateHash {
        self.committed.hash()
    }

    /// Its receipt.
    pub fn receipt(&self) -> CandidateReceipt {
        self.committed.to_receipt()
    }

    /// The relay parent it names.
    pub fn relay_parent(&self) -> Hash {
        self.committed.descriptor.relay_parent()
    }

    /// PoV and validation data together.
    pub fn available_data(&self) -> Arc<AvailableData> {
        Arc::new(AvailableData { pov: self.pov.clone(), validation_data: self.validation_data.clone() })
    }
}

/// Builds a [`Candidate`].
#[derive(Clone, Debug)]
pub struct CandidateBuilder {
    /// The para.
    pub para_id: ParaId,
    /// The relay parent.
    pub relay_parent: Hash,
    /// The core.
    pub core: CoreIndex,
    /// The session of the relay parent.
    pub session_index: SessionIndex,
    /// The head before.
    pub parent_head: HeadData,
    /// The head after.
    pub head: HeadData,
    /// The block.
    pub block_data: Vec<u8>,
    /// How many validators the data is coded for; with 0 the erasure root is a made-up hash.
    pub validators: usize,
}

impl CandidateBuilder {
    /// A small candidate of a para on a core at a relay parent; session 1.
    pub fn new(para: u32, core: u32, relay_parent: Hash) -> Self {
        Self {
            para_id: ParaId(para),
            relay_parent,
            core: CoreIndex(core),
            session_index: 1,
            parent_head: HeadData(vec![1]),
            head: HeadData(vec![2]),
            block_data: vec![9; 100],
            validators: 0,
        }
    }

    /// Sets the number of validators for a real erasure root.
    pub fn coded_for(mut self, validators: usize) -> Self {
        self.validators = validators;
        self
    }

    /// Sets the block's bytes; other bytes make another candidate.
    pub fn block_data(mut self, block_data: Vec<u8>) -> Self {
        self.block_data = block_data;
        self
    }

    /// Puts everything together: the descriptor's hashes are those of what it comes with.
    ///
    /// # Panics
    /// For a number of validators that no code serves.
    pub fn build(self) -> Candidate {
        let validation_data = PersistedValidationData {
            parent_head: self.parent_head,
            relay_parent_number: 1,
            relay_parent_storage_root: hash(0xee),
            max_pov_size: 10 * 1024 * 1024,
        };
        let pov = PoV { block_data: BlockData(self.block_data.into()) };
        let code = ValidationCode(vec![0xc0, 0xde].into());
        let data = AvailableData { pov: pov.clone(), validation_data: validation_data.clone() };
        let erasure_root = match self.validators {
            0 => hash(0xe5),
            validators => {
                let codec = erasure_coding::Codec::new(validators).expect("a number of validators in bounds");
                Hash::from(codec.encode(&data.encode()).expect("data of test size").erasure_root())
            }
        };
        let commitments = CandidateCommitments { head_data: self.head, ..CandidateCommitments::default() };
        let fields = DescriptorFields {
            para_id: self.para_id,
            relay_parent: self.relay_parent,
            persisted_validation_data_hash: validation_data.hash(),
            pov_hash: pov.hash(),
            erasure_root,
            para_head: commitments.head_data.hash(),
            validation_code_hash: code.hash(),
        };
        let descriptor = CandidateDescriptor::new_v2(fields, self.core, self.session_index)
            .expect("a core that fits the descriptor");
        Candidate { committed: CommittedCandidateReceipt { descriptor, commitments }, validation_data, pov, code }
    }
}
