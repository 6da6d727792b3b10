//! A parachain whose candidates are backed and attested by test keys.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU32, Ordering},
};

use ports::{InherentSource, InherentSourceError};
use primitives::{
    AvailabilityBitfield, BackedCandidate, Bits, CandidateCommitments, CandidateDescriptor, CandidateHash,
    CommittedCandidateReceipt, CompactStatement, CoreIndex, DisputeStatement, DisputeStatementSet, Hash, HeadData,
    Header, InherentData, InvalidDisputeStatementKind, OccupiedCoreAssumption, Pair, ParaId, SessionIndex,
    SigningContext, SigningPayload, UncheckedSigned, ValidatorIndex, ValidityAttestation, crypto::SeedRng,
    descriptor::DescriptorFields,
};
use relay_chain::{RelayChain, VotingRule};
use runtime::{GenesisPara, State};

use crate::support::World;

pub(crate) const PARA: ParaId = ParaId(2000);
pub(crate) const CORE: CoreIndex = CoreIndex(0);
/// The block that backs the candidate.
pub(crate) const BACKED_IN: u32 = 3;

pub(crate) fn para() -> GenesisPara {
    let head_data = HeadData(vec![1]);
    GenesisPara { id: PARA, is_parachain: true, head_data, validation_code: vec![7; 32].into() }
}

fn sign(pair: &Pair, message: &[u8]) -> primitives::Signature {
    pair.sign(message, &mut SeedRng::new(primitives::blake2_256(message).0))
}

/// The key of a validator on top of a state.
fn pair_of<'a>(pairs: &'a [Pair], state: &State, validator: ValidatorIndex) -> &'a Pair {
    let id = state.validators()[validator.as_usize()];
    pairs.iter().find(|pair| pair.public() == id.0).expect("the world has all keys")
}

/// The para's next candidate, with the block as relay parent, backed by two of its group.
fn backed(pairs: &[Pair], header: &Header, state: &State) -> BackedCandidate {
    let (number, root, relay_parent) = (header.number, header.state_root, header.hash());
    let free = OccupiedCoreAssumption::Free;
    let data = state.persisted_validation_data(PARA, free, number, root).unwrap();
    let mut head_data = data.parent_head.clone();
    head_data.0.push(number as u8);
    let fields = DescriptorFields {
        para_id: PARA,
        relay_parent,
        persisted_validation_data_hash: data.hash(),
        pov_hash: Hash::repeat(1),
        erasure_root: Hash::repeat(2),
        para_head: head_data.hash(),
        validation_code_hash: state.validation_code_hash(PARA, free).unwrap(),
    };
    let commitments = CandidateCommitments { head_data, hrmp_watermark: number, ..CandidateCommitments::default() };
    let descriptor = CandidateDescriptor::new_v2(fields, CORE, state.session_index()).unwrap();
    let receipt = CommittedCandidateReceipt { descriptor, commitments };
    let (hash, context) =
        (receipt.hash(), SigningContext { session_index: state.session_index(), parent_hash: relay_parent });
    let group = state.rotation_info(number + 1).group_for_core(CORE, state.groups().len());
    let group = &state.groups()[group.as_usize()];
    let mut indices = Bits::repeat(false, group.len());
    indices[..2].fill(true);
    let seconded = sign(pair_of(pairs, state, group[0]), &CompactStatement::Seconded(hash).signing_payload(&context));
    let valid = sign(pair_of(pairs, state, group[1]), &CompactStatement::Valid(hash).signing_payload(&context));
    let votes = vec![ValidityAttestation::Implicit(seconded), ValidityAttestation::Explicit(valid)];
    BackedCandidate::new(receipt, votes, indices, CORE)
}

/// What the block on top of a state carries: in [`BACKED_IN`] a candidate, and as long as one is pending the word of all
/// validators that they hold it.
fn inherent(pairs: &[Pair], header: &Header, state: &State) -> InherentData {
    let mut inherent = InherentData::empty(header.clone());
    if header.number + 1 == BACKED_IN {
        inherent.backed_candidates.push(backed(pairs, header, state));
    }
    if state.pending_candidate(CORE).is_some() {
        let context = SigningContext { session_index: state.session_index(), parent_hash: header.hash() };
        let validators = (0..state.validators().len() as u32).map(ValidatorIndex);
        inherent.bitfields.extend(validators.map(|validator| {
            let payload = AvailabilityBitfield(Bits::repeat(true, 1));
            let signature = sign(pair_of(pairs, state, validator), &payload.signing_payload(&context));
            UncheckedSigned::new(payload, validator, signature)
        }));
    }
    inherent
}

/// Explicit votes against a candidate by validators, by index in the state's session.
pub(crate) fn votes(
    pairs: &[Pair],
    state: &State,
    session: SessionIndex,
    candidate_hash: CandidateHash,
    against: &[u32],
) -> DisputeStatementSet {
    let vote = |validator: &u32| {
        let statement = DisputeStatement::Invalid(InvalidDisputeStatementKind::Explicit);
        let payload = statement.payload(candidate_hash, session).unwrap();
        let validator = ValidatorIndex(*validator);
        let signature = sign(pair_of(pairs, state, validator), &payload);
        (statement, validator, signature)
    };
    DisputeStatementSet::new(candidate_hash, session, against.iter().map(vote).collect())
}

/// The provisioner of a node.
pub(crate) struct Source {
    chain: Weak<RelayChain>,
    pairs: Vec<Pair>,
}

#[async_trait::async_trait]
impl InherentSource for Source {
    async fn inherent_data(&self, parent: Hash) -> Result<InherentData, InherentSourceError> {
        let found = self.chain.upgrade().and_then(|chain| chain.block(&parent));
        let (block, state) = found.ok_or_else(|| InherentSourceError { parent, reason: "unknown".into() })?;
        Ok(inherent(&self.pairs, &block.header, &state))
    }
}

/// Forbids votes above a height that can be changed.
#[derive(Default)]
pub(crate) struct Held(AtomicU32);

impl Held {
    pub(crate) fn at(height: u32) -> Arc<Self> {
        Arc::new(Self(AtomicU32::new(height)))
    }

    pub(crate) fn release(&self) {
        self.0.store(u32::MAX, Ordering::Relaxed);
    }
}

impl VotingRule for Held {
    fn may_vote(&self, _hash: &Hash, number: u32) -> bool {
        number <= self.0.load(Ordering::Relaxed)
    }
}

/// Starts a node with a provisioner and a voting rule.
pub(crate) fn start(world: &mut World, index: usize, held: &Arc<Held>) {
    world.start(index).unwrap();
    let pairs = world.nodes.iter().map(|node| node.pair.clone()).collect();
    let chain = world.chain(index);
    chain.set_inherent_source(Arc::new(Source { chain: Arc::downgrade(chain), pairs }));
    chain.set_voting_rule(held.clone());
}
