//! Availability: what is kept, and the bits by which validators say that they keep their part.

use codec::{Decode, Encode};

use crate::{Bits, PersistedValidationData, PoV, Signed, SigningContext, SigningPayload, UncheckedSigned};

/// A bit per availability core: set when the validator holds its chunk of the candidate on that core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AvailabilityBitfield(pub Bits);

impl From<Bits> for AvailabilityBitfield {
    fn from(bits: Bits) -> Self {
        Self(bits)
    }
}

impl SigningPayload for AvailabilityBitfield {
    fn signing_payload(&self, context: &SigningContext) -> Vec<u8> {
        (self, context).encode()
    }
}

/// A bitfield whose signature has been checked.
pub type SignedAvailabilityBitfield = Signed<AvailabilityBitfield>;
/// A bitfield whose signature has not been checked.
pub type UncheckedSignedAvailabilityBitfield = UncheckedSigned<AvailabilityBitfield>;

/// What must stay available of a candidate: its SCALE encoding is what is erasure-coded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AvailableData {
    /// The proof of validity.
    pub pov: PoV,
    /// The inputs of validation that came from the relay chain.
    pub validation_data: PersistedValidationData,
}
