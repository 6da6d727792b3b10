//! Signatures are checked by whoever runs the state machine (design §9).

use primitives::{
    SignedMessage, VrfSignature,
    crypto::{vrf_input_bytes, vrf_verify},
};

use crate::{BlockError, SignatureOf, one_shot_position, validity::attestations::ASSIGNMENT_CONTEXT};

/// Signatures that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureSet(pub Vec<SignedMessage>);

/// A draw by a verifiable random function that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfDraw {
    /// Who drew.
    pub public: [u8; 32],
    /// On what.
    pub input: Vec<u8>,
    /// Output and proof.
    pub vrf: VrfSignature,
    /// For a one-shot draw the position that must come out, and of how many.
    pub one_shot: Option<(usize, usize)>,
}

impl VrfDraw {
    /// Verifies the proof, and that the draw names what it should.
    pub fn holds(&self) -> bool {
        let Some(output) = vrf_verify(&self.public, vrf_input_bytes(&self.input), &self.vrf) else {
            return false;
        };
        self.one_shot.is_none_or(|(position, candidates)| {
            one_shot_position(output.make_bytes(ASSIGNMENT_CONTEXT), candidates) == Some(position)
        })
    }
}

/// Verifies signatures for the state machine: one after the other, in batches on all cores, from a memo.
pub trait Verifier {
    /// Verifies all of `set`.
    ///
    /// # Errors
    /// The position of a signature that does not hold. It need not be the first.
    fn verify(&self, set: &SignatureSet) -> Result<(), usize>;

    /// Verifies all of `draws`, one after the other unless the implementation knows better.
    ///
    /// # Errors
    /// The position of one that does not hold.
    fn verify_draws(&self, draws: &[VrfDraw]) -> Result<(), usize> {
        draws.iter().position(|draw| !draw.holds()).map_or(Ok(()), Err)
    }
}

/// Verifies one signature after the other, on the spot.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectVerifier;

impl Verifier for DirectVerifier {
    fn verify(&self, set: &SignatureSet) -> Result<(), usize> {
        match set.0.iter().position(|message| !message.verify()) {
            Some(culprit) => Err(culprit),
            None => Ok(()),
        }
    }
}

/// Marks all groups of signatures in which one does not hold, by bisection: one call if all are good.
pub(crate) fn bad_groups(verifier: &dyn Verifier, groups: &[Vec<SignedMessage>]) -> Vec<bool> {
    let set = SignatureSet(groups.concat());
    if set.0.is_empty() || verifier.verify(&set).is_ok() {
        return vec![false; groups.len()];
    }
    if groups.len() == 1 {
        return vec![true];
    }
    let (first, second) = groups.split_at(groups.len() / 2);
    [bad_groups(verifier, first), bad_groups(verifier, second)].concat()
}

/// The signatures of a block with what they are under, so that a culprit can be named.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    set: SignatureSet,
    sources: Vec<SignatureOf>,
    draws: Vec<VrfDraw>,
    draw_sources: Vec<SignatureOf>,
}

impl Signatures {
    pub(crate) fn push(&mut self, source: SignatureOf, message: SignedMessage) {
        self.set.0.push(message);
        self.sources.push(source);
    }

    pub(crate) fn push_draw(&mut self, source: SignatureOf, draw: VrfDraw) {
        self.draws.push(draw);
        self.draw_sources.push(source);
    }

    pub(crate) fn into_messages(self) -> Vec<SignedMessage> {
        self.set.0
    }

    /// Has them all verified at once.
    pub(crate) fn verify(&self, verifier: &dyn Verifier) -> Result<(), BlockError> {
        if let Some(last) = self.sources.last() {
            verifier
                .verify(&self.set)
                .map_err(|culprit| BlockError::Signature(self.sources.get(culprit).copied().unwrap_or(*last)))?;
        }
        let Some(last) = self.draw_sources.last() else {
            return Ok(());
        };
        verifier
            .verify_draws(&self.draws)
            .map_err(|culprit| BlockError::Signature(self.draw_sources.get(culprit).copied().unwrap_or(*last)))
    }
}
