//! `ext_crypto_*`: signatures.

use schnorrkel::{PublicKey, Signature};
use wasmtime::{Caller, Linker};

use super::{Call, FUEL_PER_SIGNATURE, HostState, Result};

/// What the network signs with sr25519 in.
const CONTEXT: &[u8] = b"substrate";

pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    let name = "ext_crypto_sr25519_verify_version_2";
    linker.func_wrap(
        "env",
        name,
        move |mut caller: Caller<'_, HostState>, signature: u32, message: u64, public: u32| {
            let mut call = Call::new(name, &mut caller)?;
            call.charge(FUEL_PER_SIGNATURE)?;
            let signature: [u8; 64] = call.read_array(signature)?;
            let public: [u8; 32] = call.read_array(public)?;
            Ok(u32::from(sr25519_verify(&signature, call.read_packed(message)?, &public)))
        },
    )?;
    Ok(())
}

fn sr25519_verify(signature: &[u8; 64], message: &[u8], public: &[u8; 32]) -> bool {
    let (Ok(signature), Ok(public)) = (Signature::from_bytes(signature), PublicKey::from_bytes(public)) else {
        return false;
    };
    public.verify_simple(CONTEXT, message, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use schnorrkel::{ExpansionMode, MiniSecretKey};

    use super::*;

    #[test]
    fn sr25519_takes_right_signatures_only() {
        let pair = MiniSecretKey::from_bytes(&[7; 32]).unwrap().expand_to_keypair(ExpansionMode::Ed25519);
        let signature = pair.sign_simple(CONTEXT, b"message").to_bytes();
        let public = pair.public.to_bytes();
        assert!(sr25519_verify(&signature, b"message", &public));
        assert!(!sr25519_verify(&signature, b"another", &public));
        assert!(!sr25519_verify(&[0xff; 64], b"message", &public));
        assert!(!sr25519_verify(&signature, b"message", &[0xff; 32]));
    }
}
