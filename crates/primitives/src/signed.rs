//! Something said by a validator, with its signature: not yet checked, or checked.

use codec::{Decode, Encode};

use crate::{Hash, SessionIndex, SignedMessage, ValidatorId, ValidatorIndex, ValidatorSignature};

/// Where a validator says something: protects against replay in another session or on another fork.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct SigningContext {
    /// The session whose validator set the index points into.
    pub session_index: SessionIndex,
    /// The relay parent.
    pub parent_hash: Hash,
}

/// What can be signed by a validator in a context.
pub trait SigningPayload {
    /// The bytes that are signed.
    fn signing_payload(&self, context: &SigningContext) -> Vec<u8>;
}

/// A payload with index and signature of a validator, before the signature is checked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UncheckedSigned<P> {
    /// What is said.
    pub payload: P,
    /// Who says it.
    pub validator_index: ValidatorIndex,
    /// The signature over [`SigningPayload::signing_payload`].
    pub signature: ValidatorSignature,
}

impl<P: SigningPayload> UncheckedSigned<P> {
    /// Puts the parts together, unchecked.
    pub const fn new(payload: P, validator_index: ValidatorIndex, signature: ValidatorSignature) -> Self {
        Self { payload, validator_index, signature }
    }

    /// Whether the signature is `validator`'s.
    pub fn verify(&self, context: &SigningContext, validator: &ValidatorId) -> bool {
        validator.verify(&self.payload.signing_payload(context), &self.signature)
    }

    /// The signature with all that it takes to verify it elsewhere.
    pub fn to_message(&self, context: &SigningContext, validator: &ValidatorId) -> SignedMessage {
        let message = self.payload.signing_payload(context);
        SignedMessage { public: validator.0, message, signature: self.signature }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// Hands the unchecked value back if the signature is not `validator`'s.
    pub fn try_into_checked(self, context: &SigningContext, validator: &ValidatorId) -> Result<Signed<P>, Box<Self>> {
        if self.verify(context, validator) { Ok(Signed(self)) } else { Err(Box::new(self)) }
    }

    /// The same signature over another form of the payload, whose signed bytes are the same.
    pub fn convert<Q: for<'a> From<&'a P>>(&self) -> UncheckedSigned<Q> {
        UncheckedSigned {
            payload: Q::from(&self.payload),
            validator_index: self.validator_index,
            signature: self.signature,
        }
    }
}

/// A payload whose signature has been checked (or made) here. It cannot be decoded: what comes from outside
/// starts as [`UncheckedSigned`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<P>(UncheckedSigned<P>);

impl<P: SigningPayload> Signed<P> {
    /// Checks the signature over the parts; `None` if it is not `validator`'s.
    pub fn new(
        payload: P,
        validator_index: ValidatorIndex,
        signature: ValidatorSignature,
        context: &SigningContext,
        validator: &ValidatorId,
    ) -> Option<Self> {
        UncheckedSigned::new(payload, validator_index, signature).try_into_checked(context, validator).ok()
    }

    /// For a signature that was verified elsewhere, in a batch.
    pub const fn assume_checked(unchecked: UncheckedSigned<P>) -> Self {
        Self(unchecked)
    }

    /// What is said.
    pub const fn payload(&self) -> &P {
        &self.0.payload
    }

    /// Who says it.
    pub const fn validator_index(&self) -> ValidatorIndex {
        self.0.validator_index
    }

    /// The signature.
    pub const fn signature(&self) -> &ValidatorSignature {
        &self.0.signature
    }

    /// As it goes over the wire.
    pub const fn as_unchecked(&self) -> &UncheckedSigned<P> {
        &self.0
    }

    /// As it goes over the wire.
    pub fn into_unchecked(self) -> UncheckedSigned<P> {
        self.0
    }

    /// Gives the payload away.
    pub fn into_payload(self) -> P {
        self.0.payload
    }
}
