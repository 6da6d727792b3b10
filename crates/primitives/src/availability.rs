//! Availability: what is kept, and the bits by which validators say that they keep their part.

use bitvec::domain::Domain;
use codec::{Compact, Decode, Encode, Output};

use crate::{BitSlice, Bits, PersistedValidationData, PoV, Signed, SigningContext, SigningPayload, UncheckedSigned};

/// A bit per availability core: set when the validator holds its chunk of the candidate on that core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Decode)]
pub struct AvailabilityBitfield(pub Bits);

impl Encode for AvailabilityBitfield {
    fn encode_to<O: Output + ?Sized>(&self, dest: &mut O) {
        encode_bits(&self.0, dest);
    }
}

/// Encodes bits as their own type does, and many times as fast if they begin with a byte: a block has a thousand
/// bitfields.
pub fn encode_bits<O: Output + ?Sized>(bits: &BitSlice, dest: &mut O) {
    // Codec knows no longer sequences.
    let (Ok(len), Domain::Region { head: None, body, tail }) = (u32::try_from(bits.len()), bits.domain()) else {
        return bits.encode_to(dest);
    };
    Compact(len).encode_to(dest);
    dest.write(body);
    if let Some(tail) = tail {
        dest.push_byte(tail.load_value());
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_encoded_as_their_type_does() {
        for (skipped, len) in (0..10).flat_map(|skipped| (skipped..40).map(move |len| (skipped, len))) {
            let all: Bits = (0..len).map(|bit| bit % 3 == 0 || bit % 7 == 2).collect();
            let mut encoded = Vec::new();
            encode_bits(&all[skipped..], &mut encoded);
            assert_eq!(encoded, all[skipped..].encode(), "{skipped}..{len}");
            assert_eq!(AvailabilityBitfield(all.clone()).encode(), all.encode());
        }
        // Storage may hold anything behind the last bit.
        let mut dirty = Bits::repeat(true, 16);
        dirty.truncate(11);
        let mut encoded = Vec::new();
        encode_bits(&dirty, &mut encoded);
        assert_eq!(encoded, [11 << 2, 0xff, 0b111]);
    }
}
