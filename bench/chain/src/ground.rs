//! A chain of many validators and paras, whose blocks are made and signed here.

use std::time::{Duration, Instant};

use codec::Encode as _;
use primitives::{
    AvailabilityBitfield, BackedCandidate, Bits, CandidateCommitments, CandidateDescriptor, CommittedCandidateReceipt,
    CompactStatement, CoreIndex, Hash, HeadData, Header, HostConfiguration, InherentData, OccupiedCoreAssumption, Pair,
    ParaId, Signature, SignedMessage, SigningContext, SigningPayload as _, UncheckedSigned,
    UncheckedSignedAvailabilityBitfield, ValidatorId, ValidatorIndex, ValidityAttestation, blake2_256,
    crypto::{SeedRng, vrf_input_bytes, vrf_verify},
    descriptor::DescriptorFields,
};
use relay_chain::{
    import::{add_seal, split_seal},
    slots::{SlotContext, secondary_author},
};
use runtime::{Block, Executed, Extrinsic, Genesis, GenesisPara, SlotClaim, State, build_block};

/// Votes behind each candidate.
pub(crate) const VOTES: usize = 5;
/// Wanted share of slots with several authors: an author's claim is checked against it.
pub(crate) const FORKS_PER_MILLION: u32 = 250_000;
/// The first para.
const FIRST_PARA: u32 = 2_000;
/// Size of each para's head, in bytes.
const HEAD_BYTES: usize = 72;

/// A chain at some block.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) genesis: Genesis,
    pub(crate) genesis_hash: Hash,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) state: State,
    pub(crate) header: Header,
}

/// Whether signatures are made, or only room for them is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signing {
    Real,
    Filled,
}

fn sign(pair: &Pair, message: &[u8]) -> Signature {
    pair.sign(message, &mut SeedRng::new(blake2_256(message).0))
}

impl Ground {
    /// At its genesis.
    pub(crate) fn new(validators: usize, paras: u32, session_length: u32) -> Self {
        let pairs: Vec<Pair> = (0..validators).map(|index| Pair::from_name(&format!("validator {index}"))).collect();
        let para = |index: u32| GenesisPara {
            id: ParaId(FIRST_PARA + index),
            is_parachain: true,
            head_data: HeadData(vec![0; HEAD_BYTES]),
            validation_code: vec![index as u8; 64].into(),
        };
        let genesis = Genesis {
            configuration: HostConfiguration {
                minimum_backing_votes: Some(VOTES as u32),
                ..HostConfiguration::for_sessions(session_length)
            },
            validators: pairs.iter().map(|pair| ValidatorId(pair.public())).collect(),
            paras: (0..paras).map(para).collect(),
            stake_per_validator: 1_000_000,
            session_length,
            randomness: [5; 32],
        };
        let (state, header) = runtime::genesis(&genesis).expect("the genesis is within all limits");
        Self { genesis, genesis_hash: header.hash(), pairs, state, header }
    }

    fn pair(&self, validator: ValidatorIndex) -> &Pair {
        &self.pairs[validator.as_usize()]
    }

    fn context(&self) -> SigningContext {
        SigningContext { session_index: self.state.session_index(), parent_hash: self.header.hash() }
    }

    /// A candidate on top of what is pending on its core, backed by the first members of its group.
    fn candidate(&self, core: u32, signing: Signing, signed: &mut Vec<SignedMessage>) -> BackedCandidate {
        let (para, core) = (ParaId(FIRST_PARA + core), CoreIndex(core));
        let state = &self.state;
        let included = match state.pending_candidate(core) {
            Some(_) => OccupiedCoreAssumption::Included,
            None => OccupiedCoreAssumption::Free,
        };
        let data = state.persisted_validation_data(para, included, self.header.number, self.header.state_root);
        let data = data.expect("the para is registered");
        let head = HeadData(blake2_256(&(&data, self.header.number).encode()).0.repeat(3)[..HEAD_BYTES].to_vec());
        let fields = DescriptorFields {
            para_id: para,
            relay_parent: self.header.hash(),
            persisted_validation_data_hash: data.hash(),
            pov_hash: Hash::repeat(1),
            erasure_root: Hash::repeat(2),
            para_head: head.hash(),
            validation_code_hash: state.validation_code_hash(para, included).expect("the para has code"),
        };
        let commitments = CandidateCommitments {
            head_data: head,
            hrmp_watermark: self.header.number,
            ..CandidateCommitments::default()
        };
        let descriptor = CandidateDescriptor::new_v2(fields, core, state.session_index());
        let receipt =
            CommittedCandidateReceipt { descriptor: descriptor.expect("the core's number fits"), commitments };
        let info = state.rotation_info(self.header.number + 1);
        let group = info.group_for_core(core, state.groups().len());
        let members = &state.groups()[group.as_usize()];
        let hash = receipt.hash();
        let seconded = CompactStatement::Seconded(hash).signing_payload(&self.context());
        let valid = CompactStatement::Valid(hash).signing_payload(&self.context());
        let mut indices = Bits::repeat(false, members.len());
        let votes = members.iter().enumerate().take(VOTES).map(|(position, member)| {
            indices.set(position, true);
            match position {
                0 => ValidityAttestation::Implicit(self.signature(*member, &seconded, signing, signed)),
                _ => ValidityAttestation::Explicit(self.signature(*member, &valid, signing, signed)),
            }
        });
        let votes = votes.collect();
        BackedCandidate::new(receipt, votes, indices, core)
    }

    fn signature(
        &self,
        validator: ValidatorIndex,
        message: &[u8],
        signing: Signing,
        signed: &mut Vec<SignedMessage>,
    ) -> Signature {
        if signing == Signing::Filled {
            return Signature::default();
        }
        let pair = self.pair(validator);
        let signature = sign(pair, message);
        signed.push(SignedMessage { public: pair.public(), message: message.to_vec(), signature });
        signature
    }

    /// Every validator says that it has its part of what is on every core.
    pub(crate) fn bitfields(
        &self,
        signing: Signing,
        signed: &mut Vec<SignedMessage>,
    ) -> Vec<UncheckedSignedAvailabilityBitfield> {
        let payload = AvailabilityBitfield(Bits::repeat(true, self.state.groups().len()));
        let message = payload.signing_payload(&self.context());
        let validators = (0..self.state.validators().len() as u32).map(ValidatorIndex);
        let field = |validator| {
            let signature = self.signature(validator, &message, signing, signed);
            UncheckedSigned::new(payload.clone(), validator, signature)
        };
        validators.map(field).collect()
    }

    /// An inherent that backs a candidate on every core.
    pub(crate) fn backing(&self, signing: Signing, signed: &mut Vec<SignedMessage>) -> InherentData {
        let cores = 0..self.state.groups().len() as u32;
        let backed_candidates = cores.map(|core| self.candidate(core, signing, signed)).collect();
        InherentData { backed_candidates, ..InherentData::empty(self.header.clone()) }
    }

    /// A block on top, in a slot, sealed by whose turn it is.
    pub(crate) fn block(&self, inherent: InherentData, slot: u64) -> (Block, Executed) {
        let author = secondary_author(slot, self.state.validators().len()).expect("there are validators");
        let pair = self.pair(author);
        let mut random = SeedRng::new(blake2_256(&slot.encode()).0);
        let (vrf, _) = pair.vrf_sign(vrf_input_bytes(&self.slot_context().vrf_input(slot)), &mut random);
        let digest = vec![SlotClaim { slot, author, vrf }.to_digest_item()];
        let built = build_block(&self.state, &self.header, digest, vec![Extrinsic::Inclusion(inherent)]);
        let (mut block, executed) = built.expect("what was made here is acceptable");
        let seal = sign(pair, &block.header.hash().encode());
        add_seal(&mut block.header, seal);
        (block, executed)
    }

    /// How long the author's two proofs take, one after the other: the seal and the right to the slot.
    pub(crate) fn verify_author(&self, block: &Block) -> Duration {
        let began = Instant::now();
        let (unsealed, seal) = split_seal(block.header.clone()).expect("the block is sealed");
        let claim = SlotClaim::from_digest(&unsealed.digest).expect("the block claims a slot");
        let author = self.state.validators()[claim.author.as_usize()];
        let input = vrf_input_bytes(&self.slot_context().vrf_input(claim.slot));
        assert!(author.verify(&unsealed.hash().encode(), &seal), "the seal holds");
        assert!(vrf_verify(&author.0, input, &claim.vrf).is_some(), "the proof holds");
        began.elapsed()
    }

    fn slot_context(&self) -> SlotContext<'_> {
        SlotContext {
            genesis: self.genesis_hash,
            randomness: self.state.randomness(),
            session: self.state.session_index(),
            validators: self.state.validators(),
            forks_per_million: FORKS_PER_MILLION,
        }
    }

    /// Goes on to a block.
    pub(crate) fn advance(&mut self, block: &Block, executed: Executed) {
        (self.header, self.state) = (block.header.clone(), executed.state);
    }

    /// Goes on by one block without anything.
    pub(crate) fn skip(&mut self) {
        let (block, executed) = self.block(InherentData::empty(self.header.clone()), self.state.slot() + 1);
        self.advance(&block, executed);
    }
}
