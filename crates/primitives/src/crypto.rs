//! sr25519 keys, signatures and verifiable random functions, in the context `substrate`.
//!
//! Signing draws from the generator that it is given and from nothing else, so that a seeded run repeats
//! (design §12). Session keys never sign here directly: that is the keystore's part.

use codec::{Decode, Encode};
use core::fmt;
use merlin::Transcript;
use rand_core_06::{CryptoRng, RngCore};
use schnorrkel::{
    ExpansionMode, Keypair, MiniSecretKey, PublicKey, context,
    vrf::{VRFInOut, VRFPreOut, VRFProof},
};

use crate::hash::blake2_256;

/// The signing context of every sr25519 signature of the relay chain.
pub const SIGNING_CONTEXT: &[u8] = b"substrate";

/// An sr25519 signature; may be anything until it is verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Signature(pub [u8; 64]);

/// Signature under a validator's session key.
pub type ValidatorSignature = Signature;
/// Signature under a collator's key.
pub type CollatorSignature = Signature;

impl Default for Signature {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

macro_rules! public_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Whether `signature` over `message` was made with this key; false for a malformed key as well.
            pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
                verify(&self.0, message, signature)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
    };
}

public_key! {
    /// A validator's session key: statements, bitfields, votes.
    ValidatorId
}
public_key! {
    /// A collator's key.
    CollatorId
}
public_key! {
    /// The key with which a validator proves its approval assignments.
    AssignmentId
}

/// A signature with all that it takes to verify it: what the runtime hands to its injected verifier.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedMessage {
    /// The public key.
    pub public: [u8; 32],
    /// The signed bytes.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: Signature,
}

impl SignedMessage {
    /// Verifies this one signature.
    pub fn verify(&self) -> bool {
        verify(&self.public, &self.message, &self.signature)
    }
}

/// Whether somebody, and not everybody, could sign for this key: not all 32 bytes are a point of sr25519, and for the
/// neutral one, whose bytes are all zero, a signature needs no secret.
pub fn is_public_key(public: &[u8; 32]) -> bool {
    public_key(public).is_some()
}

pub(crate) fn public_key(public: &[u8; 32]) -> Option<PublicKey> {
    if *public == [0; 32] { None } else { PublicKey::from_bytes(public).ok() }
}

/// Verifies an sr25519 signature; malformed keys and signatures are simply not valid.
pub fn verify(public: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
    let Some(public) = public_key(public) else {
        return false;
    };
    let Ok(signature) = schnorrkel::Signature::from_bytes(&signature.0) else {
        return false;
    };
    public.verify_simple(SIGNING_CONTEXT, message, &signature).is_ok()
}

/// An sr25519 key pair. The secret is wiped when it is dropped and never printed.
#[derive(Clone)]
pub struct Pair(Keypair);

impl Pair {
    /// The pair that belongs to a 32-byte seed (mini secret), expanded as the relay chain does.
    ///
    /// # Panics
    /// Never: every 32 bytes are a mini secret.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let secret =
            MiniSecretKey::from_bytes(seed).expect("a mini secret is any 32 bytes; their number is the only check");
        Self(secret.expand_to_keypair(ExpansionMode::Ed25519))
    }

    /// A well-known pair for development and tests: its seed is the blake2b-256 of the name.
    pub fn from_name(name: &str) -> Self {
        Self::from_seed(&blake2_256(name.as_bytes()).0)
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.public.to_bytes()
    }

    /// Signs `message`; the same generator state gives the same signature.
    ///
    /// Not journalled: a validator's session key is used through the keystore only.
    pub fn sign<R: RngCore + CryptoRng + ?Sized>(&self, message: &[u8], rng: &mut R) -> Signature {
        let transcript = context::attach_rng(context::signing_context(SIGNING_CONTEXT).bytes(message), rng);
        Signature(self.0.sign(transcript).to_bytes())
    }

    /// Evaluates the verifiable random function on `input` and proves the result.
    pub fn vrf_sign<R: RngCore + CryptoRng + ?Sized>(
        &self,
        input: Transcript,
        rng: &mut R,
    ) -> (VrfSignature, VrfOutput) {
        let extra = context::attach_rng(vrf_extra(), rng);
        let (in_out, proof, _) = self.0.vrf_sign_extra(input, extra);
        let signature = VrfSignature { pre_output: in_out.to_preout().to_bytes(), proof: proof.to_bytes() };
        (signature, VrfOutput(in_out))
    }

    /// Evaluates the verifiable random function on `input` without proving it.
    pub fn vrf_output(&self, input: Transcript) -> VrfOutput {
        VrfOutput(self.0.vrf_create_hash(input))
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair(public 0x{})", hex::encode(self.public()))
    }
}

/// The output of a verifiable random function with its proof.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct VrfSignature {
    /// The output point.
    pub pre_output: [u8; 32],
    /// Proof that it belongs to key and input.
    pub proof: [u8; 64],
}

impl fmt::Debug for VrfSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfSignature(0x{})", hex::encode(self.pre_output))
    }
}

/// An evaluated (by [`Pair::vrf_sign`]) or verified (by [`vrf_verify`]) output, ready to give random bytes.
#[derive(Clone)]
pub struct VrfOutput(VRFInOut);

impl VrfOutput {
    /// Random bytes for one purpose, named by `context`.
    pub fn make_bytes<const N: usize>(&self, context: &[u8]) -> [u8; N]
    where
        [u8; N]: Default,
    {
        self.0.make_bytes(context)
    }
}

impl fmt::Debug for VrfOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfOutput(0x{})", hex::encode(self.0.to_preout().to_bytes()))
    }
}

/// The input of a verifiable random function: a label and named values.
pub fn vrf_input(label: &'static [u8], values: &[(&'static [u8], &[u8])]) -> Transcript {
    let mut transcript = Transcript::new(label);
    for (name, value) in values {
        transcript.append_message(name, value);
    }
    transcript
}

/// The input of a verifiable random function over plain bytes, as the keystore takes them.
pub fn vrf_input_bytes(input: &[u8]) -> Transcript {
    vrf_input(b"parahost-vrf", &[(b"input", input)])
}

/// Verifies output and proof for `input`; `None` if anything about them is wrong.
pub fn vrf_verify(public: &[u8; 32], input: Transcript, signature: &VrfSignature) -> Option<VrfOutput> {
    let public = public_key(public)?;
    let pre_output = VRFPreOut::from_bytes(&signature.pre_output).ok()?;
    let proof = VRFProof::from_bytes(&signature.proof).ok()?;
    public.vrf_verify_extra(input, &pre_output, &proof, vrf_extra()).ok().map(|(in_out, _)| VrfOutput(in_out))
}

fn vrf_extra() -> Transcript {
    Transcript::new(b"VRF")
}

/// A generator over one 32-byte seed: blake2b-256 of seed and counter. It gives nonces from entropy that was
/// drawn elsewhere.
#[derive(Clone)]
pub struct SeedRng {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl SeedRng {
    /// Starts at the beginning of the seed's stream. The seed must not be used twice for different messages.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0, block: [0; 32], used: 32 }
    }
}

impl fmt::Debug for SeedRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeedRng")
    }
}

impl RngCore for SeedRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for byte in dest {
            if self.used == self.block.len() {
                self.block = blake2_256(&(self.seed, self.counter).encode()).0;
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for SeedRng {}
