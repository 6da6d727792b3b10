//! A chain whose validators are all in one hand: blocks are forged on whatever parent is wanted and given to a node that
//! only follows.

use codec::Encode;
use deterministic::Clock;
use finality_grandpa::{Commit, Message, Precommit, SignedPrecommit};
use primitives::{
    AvailabilityBitfield, BackedCandidate, Bits, CandidateCommitments, CandidateDescriptor, CandidateHash,
    CommittedCandidateReceipt, CompactStatement, CompactVote, CoreIndex, DisputeStatement, DisputeStatementSet, Hash,
    HeadData, Header, HostConfiguration, InherentData, InvalidDisputeStatementKind, MisbehaviorReport,
    OccupiedCoreAssumption, Pair, ParaId, Signature, SigningContext, SigningPayload, UncheckedSigned,
    ValidDisputeStatementKind, ValidatorId, ValidatorIndex, ValidityAttestation, blake2_256,
    crypto::{SeedRng, vrf_input_bytes},
    descriptor::DescriptorFields,
    misbehavior::SignedVote,
};
use relay_chain::{
    import::add_seal,
    justification::{Justification, vote_payload},
    slots::{SlotContext, secondary_author, slot_at},
};
use runtime::{
    Block, BlockError, Executed, Extrinsic, Genesis, GenesisPara, RemoteAvailability, SlotClaim, State, build_block,
    remote_availability_payload,
};
use std::sync::Arc;

use crate::support::{SLOT_MS, World};

/// Validators: two may be faulty, five decide.
const VALIDATORS: u32 = 7;
/// Blocks in which checks and votes are accepted.
pub(crate) const ACCEPTANCE_PERIOD: u32 = 6;
/// The para that everything is about; its core.
pub(crate) const PARA: ParaId = ParaId(2000);
pub(crate) const CORE: CoreIndex = CoreIndex(0);

pub(crate) struct Forge {
    clock: Arc<dyn Clock>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) world: World,
}

/// A block that was forged and imported.
pub(crate) struct Forged {
    pub(crate) hash: Hash,
    pub(crate) executed: Executed,
}

fn sign(pair: &Pair, message: &[u8]) -> Signature {
    pair.sign(message, &mut SeedRng::new(blake2_256(message).0))
}

fn genesis(pairs: &[Pair]) -> Genesis {
    let para = |id: u32| GenesisPara {
        id: ParaId(id),
        is_parachain: true,
        head_data: HeadData(vec![id as u8]),
        validation_code: vec![id as u8; 32].into(),
    };
    Genesis {
        configuration: HostConfiguration { acceptance_period: ACCEPTANCE_PERIOD, ..HostConfiguration::default() },
        validators: pairs.iter().map(|pair| ValidatorId(pair.public())).collect(),
        paras: vec![para(2000), para(2001), para(2002)],
        stake_per_validator: 1_000_000,
        session_length: 1_000,
        randomness: [5; 32],
    }
}

impl Forge {
    /// The chain at its genesis block.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_sessions(seed, 1_000)
    }

    /// The same with sessions of so many blocks.
    pub(crate) fn with_sessions(seed: u64, session_length: u32) -> Self {
        let pairs: Vec<_> = (0..VALIDATORS).map(|index| Pair::from_name(&format!("judge {index}"))).collect();
        let mut world = World::new(seed, 1, 0.0);
        world.genesis = genesis(&pairs);
        world.set_session_length(session_length);
        world.genesis.configuration.acceptance_period = ACCEPTANCE_PERIOD;
        world.start(0).unwrap();
        Self { clock: world.simulation.environment("forge").clock, pairs, world }
    }

    pub(crate) fn genesis(&self) -> Hash {
        self.world.chain(0).genesis_hash()
    }

    /// The head of the node's best chain.
    pub(crate) fn best(&self) -> Hash {
        self.world.chain(0).status().best.0
    }

    pub(crate) fn state(&self, block: Hash) -> Arc<State> {
        self.world.chain(0).block(&block).expect("the block is in the tree").1
    }

    pub(crate) fn header(&self, block: Hash) -> Header {
        self.world.chain(0).block(&block).expect("the block is in the tree").0.header.clone()
    }

    /// The claim of whose turn the next slot is, on top of `parent`.
    fn claim(&self, parent: &State) -> SlotClaim {
        self.world.run_slots(1);
        self.claim_of(self.slot_now(), parent)
    }

    fn claim_of(&self, slot: u64, parent: &State) -> SlotClaim {
        let author = secondary_author(slot, self.pairs.len()).unwrap();
        let context = SlotContext {
            genesis: self.genesis(),
            randomness: parent.randomness(),
            session: parent.session_index(),
            validators: parent.validators(),
            forks_per_million: 0,
        };
        let input = vrf_input_bytes(&context.vrf_input(slot));
        let (vrf, _) = self.pairs[author.as_usize()].vrf_sign(input, &mut SeedRng::new([4; 32]));
        SlotClaim { slot, author, vrf }
    }

    /// Forges a block on any parent and has the node import it.
    pub(crate) fn block(&self, parent: Hash, inherent: InherentData, transactions: Vec<Extrinsic>) -> Forged {
        let claim = self.claim(&self.state(parent));
        self.claimed(parent, claim, inherent, transactions)
    }

    /// An empty block in the slot of another one, by the same author.
    pub(crate) fn in_slot_of(&self, other: Hash, parent: Hash) -> Forged {
        let slot = SlotClaim::from_digest(&self.header(other).digest).unwrap().slot;
        let claim = self.claim_of(slot, &self.state(parent));
        self.claimed(parent, claim, InherentData::empty(self.header(parent)), Vec::new())
    }

    /// An empty block that the node does not get, in a slot of whose turn it is, `seals` times: each time it has another seal
    /// and so another name.
    pub(crate) fn kept_back(&self, parent: &Header, state: &State, slot: u64, seals: u8) -> (Vec<Block>, Executed) {
        let claim = self.claim_of(slot, state);
        let author = &self.pairs[claim.author.as_usize()];
        let inherent = Extrinsic::Inclusion(InherentData::empty(parent.clone()));
        let (unsealed, executed) = build_block(state, parent, vec![claim.to_digest_item()], vec![inherent]).unwrap();
        let sealed = |seed| {
            let mut block = unsealed.clone();
            let seal = author.sign(&block.header.hash().encode(), &mut SeedRng::new([seed; 32]));
            add_seal(&mut block.header, seal);
            block
        };
        ((0..seals).map(sealed).collect(), executed)
    }

    /// The proof that a block is final.
    pub(crate) fn proof(&self, header: &Header) -> Justification {
        let (target_hash, target_number) = (header.hash(), header.number);
        let precommit = Precommit { target_hash, target_number };
        let payload = vote_payload(0, 1, &Message::Precommit(precommit.clone()));
        let signed = |pair: &Pair| SignedPrecommit {
            precommit: precommit.clone(),
            signature: sign(pair, &payload),
            id: ValidatorId(pair.public()),
        };
        let precommits = self.pairs.iter().map(signed).collect();
        let commit = Commit { target_hash, target_number, precommits };
        Justification { set_id: 0, round: 1, commit, ancestries: Vec::new() }
    }

    /// The slot of a block that the node need not have.
    pub(crate) fn slot_of(&self, header: &Header) -> u64 {
        SlotClaim::from_digest(&header.digest).unwrap().slot
    }

    /// The slot by the node's clock.
    pub(crate) fn slot_now(&self) -> u64 {
        slot_at(self.clock.now().as_millis() as u64, SLOT_MS)
    }

    fn claimed(&self, parent: Hash, claim: SlotClaim, inherent: InherentData, transactions: Vec<Extrinsic>) -> Forged {
        let (header, state) = (self.header(parent), self.state(parent));
        let author = self.pairs[claim.author.as_usize()].clone();
        let extrinsics = std::iter::once(Extrinsic::Inclusion(inherent)).chain(transactions).collect();
        let (mut block, executed) = build_block(&state, &header, vec![claim.to_digest_item()], extrinsics).unwrap();
        let seal = sign(&author, &block.header.hash().encode());
        add_seal(&mut block.header, seal);
        let imported = self.world.simulation.run_until(self.world.chain(0).import(block)).unwrap().unwrap();
        Forged { hash: imported.hash, executed }
    }

    /// A block with transactions only.
    pub(crate) fn with(&self, parent: Hash, transactions: Vec<Extrinsic>) -> Forged {
        self.block(parent, InherentData::empty(self.header(parent)), transactions)
    }

    /// So many empty blocks; the last of them.
    pub(crate) fn empty(&self, parent: Hash, blocks: u32) -> Forged {
        let mut last = self.with(parent, Vec::new());
        for _ in 1..blocks {
            last = self.with(last.hash, Vec::new());
        }
        last
    }

    /// A block that backs a candidate.
    pub(crate) fn backing(&self, parent: Hash, backed: BackedCandidate) -> Forged {
        let inherent = InherentData { backed_candidates: vec![backed], ..InherentData::empty(self.header(parent)) };
        self.block(parent, inherent, Vec::new())
    }

    /// Why no block on top of `parent` may back a candidate.
    pub(crate) fn refused(&self, parent: Hash, backed: BackedCandidate) -> BlockError {
        let (header, state) = (self.header(parent), self.state(parent));
        let inherent = InherentData { backed_candidates: vec![backed], ..InherentData::empty(header.clone()) };
        let digest = vec![self.claim(&state).to_digest_item()];
        build_block(&state, &header, digest, vec![Extrinsic::Inclusion(inherent)]).unwrap_err()
    }

    /// A block in which all validators hold their chunks of what is on the core.
    pub(crate) fn including(&self, parent: Hash) -> Forged {
        self.including_with(parent, Vec::new())
    }

    /// The same, with transactions.
    pub(crate) fn including_with(&self, parent: Hash, transactions: Vec<Extrinsic>) -> Forged {
        let (state, mut inherent) = (self.state(parent), InherentData::empty(self.header(parent)));
        let context = SigningContext { session_index: state.session_index(), parent_hash: parent };
        let mut bits = Bits::repeat(false, state.groups().len());
        bits.set(CORE.as_usize(), true);
        let payload = AvailabilityBitfield(bits);
        let message = payload.signing_payload(&context);
        inherent.bitfields = (0..VALIDATORS)
            .map(|index| {
                let signature = sign(&self.pairs[index as usize], &message);
                UncheckedSigned::new(payload.clone(), ValidatorIndex(index), signature)
            })
            .collect();
        self.block(parent, inherent, transactions)
    }

    /// The proof that a validator seconded two candidates on a relay parent.
    pub(crate) fn double_vote(&self, relay_parent: Hash, validator: u32) -> MisbehaviorReport {
        let context = SigningContext { session_index: 0, parent_hash: relay_parent };
        let second = |candidate: u8| {
            let vote = CompactVote::Seconded(CandidateHash(Hash::repeat(candidate)));
            let signature = sign(&self.pairs[validator as usize], &vote.signing_payload(&context));
            SignedVote { vote, context, signature }
        };
        MisbehaviorReport { validator_index: ValidatorIndex(validator), first: second(1), second: second(2) }
    }

    /// A candidate of the para on top of `relay_parent`. Whether it is valid nobody but the voters knows.
    pub(crate) fn candidate(&self, relay_parent: Hash, head: u8) -> CommittedCandidateReceipt {
        let (header, state) = (self.header(relay_parent), self.state(relay_parent));
        let assumption = OccupiedCoreAssumption::TimedOut;
        let data = state.persisted_validation_data(PARA, assumption, header.number, header.state_root).unwrap();
        let commitments = CandidateCommitments {
            head_data: HeadData(vec![head]),
            hrmp_watermark: header.number,
            ..CandidateCommitments::default()
        };
        let fields = DescriptorFields {
            para_id: PARA,
            relay_parent,
            persisted_validation_data_hash: data.hash(),
            pov_hash: Hash::repeat(1),
            erasure_root: Hash::repeat(2),
            para_head: commitments.head_data.hash(),
            validation_code_hash: state.validation_code_hash(PARA, assumption).unwrap(),
        };
        let descriptor = CandidateDescriptor::new_v2(fields, CORE, state.session_index()).unwrap();
        CommittedCandidateReceipt { descriptor, commitments }
    }

    /// The members of the group that serves the core on top of a block.
    pub(crate) fn group(&self, block: Hash) -> Vec<u32> {
        let state = self.state(block);
        let group = state.rotation_info(state.number() + 1).group_for_core(CORE, state.groups().len());
        state.groups()[group.as_usize()].iter().map(|member| member.0).collect()
    }

    /// The candidate with the first `votes` members of its group behind it.
    pub(crate) fn backed(&self, candidate: &CommittedCandidateReceipt, votes: usize) -> BackedCandidate {
        let relay_parent = candidate.descriptor.relay_parent();
        let context =
            SigningContext { session_index: self.state(relay_parent).session_index(), parent_hash: relay_parent };
        let (group, hash) = (self.group(relay_parent), candidate.hash());
        let mut indices = Bits::repeat(false, group.len());
        indices[..votes].fill(true);
        let attestations = group.iter().enumerate().take(votes).map(|(position, member)| {
            let statement =
                if position == 0 { CompactStatement::Seconded(hash) } else { CompactStatement::Valid(hash) };
            let signature = sign(&self.pairs[*member as usize], &statement.signing_payload(&context));
            if position == 0 {
                ValidityAttestation::Implicit(signature)
            } else {
                ValidityAttestation::Explicit(signature)
            }
        });
        BackedCandidate::new(candidate.clone(), attestations.collect(), indices, CORE)
    }

    fn vote(
        &self,
        candidate: CandidateHash,
        validator: u32,
        statement: DisputeStatement,
    ) -> (DisputeStatement, ValidatorIndex, Signature) {
        let payload = statement.payload(candidate, 0).unwrap();
        let signature = sign(&self.pairs[validator as usize], &payload);
        (statement, ValidatorIndex(validator), signature)
    }

    /// Explicit votes on a candidate.
    pub(crate) fn votes(&self, candidate: CandidateHash, valid: &[u32], invalid: &[u32]) -> DisputeStatementSet {
        let explicit = |is_valid| match is_valid {
            true => DisputeStatement::Valid(ValidDisputeStatementKind::Explicit),
            false => DisputeStatement::Invalid(InvalidDisputeStatementKind::Explicit),
        };
        let valid = valid.iter().map(|validator| self.vote(candidate, *validator, explicit(true)));
        let invalid = invalid.iter().map(|validator| self.vote(candidate, *validator, explicit(false)));
        DisputeStatementSet::new(candidate, 0, valid.chain(invalid).collect())
    }

    /// That `validator` seconded a candidate, as it is told to another fork.
    pub(crate) fn seconded(
        &self,
        candidate: &CommittedCandidateReceipt,
        validator: u32,
    ) -> (DisputeStatement, ValidatorIndex, Signature) {
        let kind = ValidDisputeStatementKind::BackingSeconded(candidate.descriptor.relay_parent());
        self.vote(candidate.hash(), validator, DisputeStatement::Valid(kind))
    }

    /// Validators hold their chunks of a remote dispute's candidate.
    pub(crate) fn available(&self, candidate: CandidateHash, validators: &[u32]) -> Extrinsic {
        let payload = remote_availability_payload(candidate, 0);
        let vote = |index: &u32| (ValidatorIndex(*index), sign(&self.pairs[*index as usize], &payload));
        let votes = validators.iter().map(vote).collect();
        Extrinsic::RemoteAvailability(RemoteAvailability { session: 0, candidate, votes })
    }

    /// All validators but these.
    pub(crate) fn others(&self, group: &[u32]) -> Vec<u32> {
        (0..VALIDATORS).filter(|validator| !group.contains(validator)).collect()
    }
}
