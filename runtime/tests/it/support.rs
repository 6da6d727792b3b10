//! A small chain with keys of its own, and candidates for it.

use codec::Encode;
use primitives::{
    AvailabilityBitfield, BackedCandidate, Bits, CandidateCommitments, CandidateDescriptor, CandidateHash,
    CommittedCandidateReceipt, CompactStatement, CompactVote, CoreIndex, DisputeStatement, DisputeStatementSet,
    GroupIndex, Hash, HeadData, Header, HostConfiguration, InherentData, InvalidDisputeStatementKind,
    MisbehaviorReport, OccupiedCoreAssumption, Pair, ParaId, PersistedValidationData, SessionIndex, SigningContext,
    SigningPayload, UncheckedSigned, UncheckedSignedAvailabilityBitfield, ValidDisputeStatementKind,
    ValidationCodeHash, ValidatorId, ValidatorIndex, ValidityAttestation, VrfSignature, blake2_256, crypto::SeedRng,
    descriptor::DescriptorFields, misbehavior::SignedVote,
};
use runtime::{
    Block, BlockError, Digest, DirectVerifier, Executed, Extrinsic, ExtrinsicError, Genesis, GenesisPara, Governance,
    SignatureOf, SignedGovernance, SlotClaim, State, build_block, execute_block, genesis, governance_payload,
};

pub(crate) const ONE: ParaId = ParaId(2000);
pub(crate) const TWO: ParaId = ParaId(2001);
pub(crate) const THREAD: ParaId = ParaId(3000);
pub(crate) const CORE_0: CoreIndex = CoreIndex(0);
pub(crate) const CORE_1: CoreIndex = CoreIndex(1);
pub(crate) const THREAD_CORE: CoreIndex = CoreIndex(2);

/// A signature that depends on key and message only.
pub(crate) fn sign(pair: &Pair, message: &[u8]) -> primitives::Signature {
    pair.sign(message, &mut SeedRng::new(blake2_256(message).0))
}

/// The state as a node has it that was started on its disk: every test goes on with what came back.
pub(crate) fn stored(state: &State) -> State {
    let bytes = state.to_snapshot();
    let read = State::from_snapshot(&bytes, state.root()).unwrap();
    assert_eq!(read.to_snapshot(), bytes, "what is read back is all of it");
    read
}

/// Two parachains, a parathread with a core for it, sessions of 40 blocks.
pub(crate) fn small(validators: usize) -> (Genesis, Vec<Pair>) {
    let pairs: Vec<_> = (0..validators).map(|i| Pair::from_name(&format!("validator {i}"))).collect();
    let para = |id, is_parachain, head: u8| GenesisPara {
        id,
        is_parachain,
        head_data: HeadData(vec![head]),
        validation_code: vec![head; 32].into(),
    };
    let genesis = Genesis {
        configuration: HostConfiguration {
            parathread_cores: 1,
            scheduling_lookahead: 3,
            parathread_retries: 1,
            ..HostConfiguration::default()
        },
        validators: pairs.iter().map(|pair| ValidatorId(pair.public())).collect(),
        paras: vec![para(TWO, true, 2), para(ONE, true, 1), para(THREAD, false, 3)],
        stake_per_validator: 1_000_000,
        session_length: 40,
        randomness: [5; 32],
    };
    (genesis, pairs)
}

#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) state: State,
    pub(crate) header: Header,
    pub(crate) pairs: Vec<Pair>,
}

impl Chain {
    pub(crate) fn new(validators: usize) -> Self {
        Self::with(validators, |_| {})
    }

    pub(crate) fn with(validators: usize, change: impl FnOnce(&mut Genesis)) -> Self {
        let (mut specification, pairs) = small(validators);
        change(&mut specification);
        let (state, header) = genesis(&specification).unwrap();
        Self { state, header, pairs }
    }

    /// Replaces the state by a governed one, as if its header had said so.
    pub(crate) fn govern(&mut self, change: runtime::Governance) {
        self.state = self.state.governed(change).unwrap();
        self.header.state_root = self.state.root();
    }

    pub(crate) fn pair_of(&self, validator: ValidatorIndex) -> &Pair {
        let id = self.state.validators()[validator.as_usize()];
        self.pairs.iter().find(|pair| pair.public() == id.0).unwrap()
    }

    pub(crate) fn digest(&self) -> Digest {
        digest(self.state.slot() + 1, 0)
    }

    pub(crate) fn inherent(&self) -> InherentData {
        InherentData::empty(self.header.clone())
    }

    /// Builds the block and executes it once more, with its signatures.
    pub(crate) fn try_block(
        &self,
        inherent: InherentData,
        reports: Vec<MisbehaviorReport>,
    ) -> Result<(Block, Executed), BlockError> {
        let reports = reports.into_iter().map(|report| Extrinsic::MisbehaviorReport(Box::new(report)));
        let extrinsics = std::iter::once(Extrinsic::Inclusion(inherent)).chain(reports).collect();
        let (block, built) = build_block(&self.state, &self.header, self.digest(), extrinsics)?;
        let executed = execute_block(&self.state, &block, &DirectVerifier)?;
        assert_eq!(built, executed, "building and executing agree");
        Ok((block, executed))
    }

    /// The same with any transactions.
    pub(crate) fn try_extrinsics(
        &self,
        inherent: InherentData,
        transactions: Vec<Extrinsic>,
    ) -> Result<(Block, Executed), BlockError> {
        let extrinsics = std::iter::once(Extrinsic::Inclusion(inherent)).chain(transactions).collect();
        let (block, built) = build_block(&self.state, &self.header, self.digest(), extrinsics)?;
        let executed = execute_block(&self.state, &block, &DirectVerifier)?;
        assert_eq!(built, executed, "building and executing agree");
        Ok((block, executed))
    }

    pub(crate) fn push_extrinsics(&mut self, transactions: Vec<Extrinsic>) -> Executed {
        let (block, executed) = self.try_extrinsics(self.inherent(), transactions).unwrap();
        self.header = block.header;
        self.state = stored(&executed.state);
        assert!(self.state.issuance().is_conserved(), "{:?}", self.state.issuance());
        executed
    }

    /// Why a block with this transaction is refused.
    pub(crate) fn refused(&self, transaction: Extrinsic) -> ExtrinsicError {
        match self.try_extrinsics(self.inherent(), vec![transaction.clone()]).unwrap_err() {
            BlockError::Extrinsic { position: 1, error } => {
                let alone = self.state.check_extrinsic(&transaction, &DirectVerifier);
                assert!(alone.is_err(), "a pool would refuse it as well");
                error
            }
            other => panic!("refused for another reason: {other}"),
        }
    }

    /// Whose signature of a transaction is said to be wrong.
    pub(crate) fn wrong_signature(&self, transaction: Extrinsic) -> SignatureOf {
        match self.try_extrinsics(self.inherent(), vec![transaction]).unwrap_err() {
            BlockError::Signature(source) => source,
            other => panic!("refused for another reason: {other}"),
        }
    }

    /// A change with these validators behind it.
    pub(crate) fn governance(&self, change: Governance, signers: &[u32]) -> SignedGovernance {
        let nonce = self.state.governance_nonce();
        let payload = governance_payload(self.state.chain_id(), nonce, &change);
        let sign =
            |validator: &u32| (ValidatorIndex(*validator), sign(self.pair_of(ValidatorIndex(*validator)), &payload));
        SignedGovernance { change, nonce, signatures: signers.iter().map(sign).collect() }
    }

    /// Makes a change in a block, as all validators want it.
    pub(crate) fn enact(&mut self, change: Governance) -> Executed {
        let all: Vec<_> = (0..self.state.validators().len() as u32).collect();
        let signed = self.governance(change, &all);
        self.push_extrinsics(vec![Extrinsic::Governed(Box::new(signed))])
    }

    /// Backs a candidate and includes it with the next block.
    pub(crate) fn include(&mut self, para: ParaId, core: CoreIndex) -> CandidateHash {
        self.push(self.backing(&[(para, core)]));
        let hash = self.state.pending_candidate(core).unwrap().hash;
        let all = self.state.validators().len() as u32;
        self.push(self.attesting(all, &[core.0]));
        assert!(self.state.pending_candidate(core).is_none());
        hash
    }

    pub(crate) fn pair_in(&self, session: SessionIndex, validator: u32) -> &Pair {
        let id = self.state.validators_of(session).unwrap()[validator as usize];
        self.pairs.iter().find(|pair| pair.public() == id.0).unwrap()
    }

    /// Explicit votes.
    pub(crate) fn votes(
        &self,
        session: SessionIndex,
        candidate: CandidateHash,
        valid: &[u32],
        invalid: &[u32],
    ) -> DisputeStatementSet {
        let vote = |validator: &u32, is_valid| {
            let statement = if is_valid {
                DisputeStatement::Valid(ValidDisputeStatementKind::Explicit)
            } else {
                DisputeStatement::Invalid(InvalidDisputeStatementKind::Explicit)
            };
            let payload = statement.payload(candidate, session).unwrap();
            let signature = sign(self.pair_in(session, *validator), &payload);
            (statement, ValidatorIndex(*validator), signature)
        };
        let valid = valid.iter().map(|validator| vote(validator, true));
        let statements = valid.chain(invalid.iter().map(|validator| vote(validator, false))).collect();
        DisputeStatementSet::new(candidate, session, statements)
    }

    /// An inherent with these votes.
    pub(crate) fn disputing(&self, sets: Vec<DisputeStatementSet>) -> InherentData {
        InherentData { disputes: sets, ..self.inherent() }
    }

    /// Pushes a block with votes; amounts are conserved.
    pub(crate) fn dispute(&mut self, set: DisputeStatementSet) -> Executed {
        let executed = self.push(self.disputing(vec![set]));
        assert!(self.state.issuance().is_conserved(), "{:?}", self.state.issuance());
        executed
    }

    /// The members of the group that serves a core on top of the tip.
    pub(crate) fn members(&self, core: CoreIndex) -> Vec<u32> {
        self.state.groups()[self.group_of(core).as_usize()].iter().map(|member| member.0).collect()
    }

    pub(crate) fn push_with(&mut self, inherent: InherentData, reports: Vec<MisbehaviorReport>) -> Executed {
        let (block, executed) = self.try_block(inherent, reports).unwrap();
        self.header = block.header;
        self.state = stored(&executed.state);
        executed
    }

    pub(crate) fn push(&mut self, inherent: InherentData) -> Executed {
        self.push_with(inherent, Vec::new())
    }

    pub(crate) fn skip(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.push(self.inherent());
        }
    }

    pub(crate) fn skip_to(&mut self, number: u32) {
        while self.state.number() < number {
            self.skip(1);
        }
    }

    /// A candidate that is right in all respects, with the tip as relay parent.
    pub(crate) fn draft(&self, para: ParaId, core: CoreIndex) -> Draft {
        let data = self
            .state
            .persisted_validation_data(
                para,
                OccupiedCoreAssumption::TimedOut,
                self.header.number,
                self.header.state_root,
            )
            .unwrap();
        let code_hash = self.state.validation_code_hash(para, OccupiedCoreAssumption::TimedOut).unwrap();
        let mut head = data.parent_head.clone();
        head.0.push(self.header.number as u8);
        Draft {
            para,
            core,
            relay_parent: self.header.hash(),
            session: self.state.session_index(),
            data_hash: data.hash(),
            data,
            code_hash,
            commitments: CandidateCommitments {
                head_data: head,
                hrmp_watermark: self.header.number,
                ..CandidateCommitments::default()
            },
            head_hash: None,
        }
    }

    pub(crate) fn group_of(&self, core: CoreIndex) -> GroupIndex {
        let info = self.state.rotation_info(self.state.number() + 1);
        info.group_for_core(core, self.state.groups().len())
    }

    pub(crate) fn context(&self) -> SigningContext {
        SigningContext { session_index: self.state.session_index(), parent_hash: self.header.hash() }
    }

    /// Backs with the first `votes` members of the group that serves the core on top of the tip.
    pub(crate) fn back_with(
        &self,
        receipt: CommittedCandidateReceipt,
        core: CoreIndex,
        votes: usize,
    ) -> BackedCandidate {
        let context = SigningContext { parent_hash: receipt.descriptor.relay_parent(), ..self.context() };
        let group = &self.state.groups()[self.group_of(core).as_usize()];
        let hash = receipt.hash();
        let mut indices = Bits::repeat(false, group.len());
        let mut attestations = Vec::new();
        for (position, member) in group.iter().enumerate().take(votes) {
            indices.set(position, true);
            let (statement, attest): (_, fn(_) -> _) = if position == 0 {
                (CompactStatement::Seconded(hash), ValidityAttestation::Implicit)
            } else {
                (CompactStatement::Valid(hash), ValidityAttestation::Explicit)
            };
            let message = statement.signing_payload(&context);
            attestations.push(attest(sign(self.pair_of(*member), &message)));
        }
        BackedCandidate::new(receipt, attestations, indices, core)
    }

    pub(crate) fn back(&self, draft: &Draft) -> BackedCandidate {
        self.back_with(draft.receipt(), draft.core, usize::MAX)
    }

    /// An inherent that backs a new candidate of each para.
    pub(crate) fn backing(&self, paras: &[(ParaId, CoreIndex)]) -> InherentData {
        let mut inherent = self.inherent();
        inherent.backed_candidates = paras.iter().map(|(para, core)| self.back(&self.draft(*para, *core))).collect();
        inherent
    }

    pub(crate) fn bitfield(&self, validator: u32, cores: &[u32]) -> UncheckedSignedAvailabilityBitfield {
        let mut bits = Bits::repeat(false, self.state.groups().len());
        for core in cores {
            bits.set(*core as usize, true);
        }
        self.signed_bitfield(validator, bits, &self.context())
    }

    pub(crate) fn signed_bitfield(
        &self,
        validator: u32,
        bits: Bits,
        context: &SigningContext,
    ) -> UncheckedSignedAvailabilityBitfield {
        let index = ValidatorIndex(validator);
        let payload = AvailabilityBitfield(bits);
        let signature = sign(self.pair_of(index), &payload.signing_payload(context));
        UncheckedSigned::new(payload, index, signature)
    }

    /// An inherent in which the first validators have the chunks of these cores.
    pub(crate) fn attesting(&self, validators: u32, cores: &[u32]) -> InherentData {
        let mut inherent = self.inherent();
        inherent.bitfields = (0..validators).map(|validator| self.bitfield(validator, cores)).collect();
        inherent
    }

    pub(crate) fn report(&self, validator: u32, first: CompactVote, second: CompactVote) -> MisbehaviorReport {
        let signed = |vote: CompactVote| {
            let context = self.context();
            let message = vote.signing_payload(&context);
            let signature = sign(self.pair_of(ValidatorIndex(validator)), &message);
            SignedVote { vote, context, signature }
        };
        MisbehaviorReport { validator_index: ValidatorIndex(validator), first: signed(first), second: signed(second) }
    }
}

pub(crate) fn digest(slot: u64, author: u32) -> Digest {
    let pre_output = blake2_256(&slot.encode()).0;
    let claim = SlotClaim { slot, author: ValidatorIndex(author), vrf: VrfSignature { pre_output, proof: [0; 64] } };
    vec![claim.to_digest_item()]
}

/// A candidate before it is put together.
pub(crate) struct Draft {
    pub(crate) para: ParaId,
    pub(crate) core: CoreIndex,
    pub(crate) relay_parent: Hash,
    pub(crate) session: u32,
    pub(crate) data: PersistedValidationData,
    pub(crate) data_hash: Hash,
    pub(crate) code_hash: ValidationCodeHash,
    pub(crate) commitments: CandidateCommitments,
    pub(crate) head_hash: Option<Hash>,
}

impl Draft {
    pub(crate) fn fields(&self) -> DescriptorFields {
        DescriptorFields {
            para_id: self.para,
            relay_parent: self.relay_parent,
            persisted_validation_data_hash: self.data_hash,
            pov_hash: Hash::repeat(1),
            erasure_root: Hash::repeat(2),
            para_head: self.head_hash.unwrap_or_else(|| self.commitments.head_data.hash()),
            validation_code_hash: self.code_hash,
        }
    }

    pub(crate) fn with(&self, descriptor: CandidateDescriptor) -> CommittedCandidateReceipt {
        CommittedCandidateReceipt { descriptor, commitments: self.commitments.clone() }
    }

    pub(crate) fn receipt(&self) -> CommittedCandidateReceipt {
        self.with(CandidateDescriptor::new_v2(self.fields(), self.core, self.session).unwrap())
    }

    /// As a parathread's collator would make it.
    pub(crate) fn receipt_v1(&self, collator: &Pair) -> CommittedCandidateReceipt {
        let mut random = SeedRng::new(self.data_hash.0);
        self.with(CandidateDescriptor::sign_v1(self.fields(), collator, &mut random))
    }
}
