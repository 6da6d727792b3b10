//! `ext_hashing_*`: bytes in, a block with their hash out.

use sha2::{Digest, Sha256};
use twox_hash::XxHash64;
use wasmtime::{Caller, Linker};

use super::{Call, HostState, Result};

type HashFunction = fn(&[u8]) -> Vec<u8>;

pub(super) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    let functions: [(&'static str, HashFunction); 6] = [
        ("ext_hashing_blake2_128_version_1", |data| blake2(data, 16)),
        ("ext_hashing_blake2_256_version_1", |data| blake2(data, 32)),
        ("ext_hashing_sha2_256_version_1", |data| Sha256::digest(data).to_vec()),
        ("ext_hashing_twox_64_version_1", |data| twox(data, 1)),
        ("ext_hashing_twox_128_version_1", |data| twox(data, 2)),
        ("ext_hashing_twox_256_version_1", |data| twox(data, 4)),
    ];
    for (name, hash) in functions {
        linker.func_wrap("env", name, move |mut caller: Caller<'_, HostState>, data: u64| {
            let mut call = Call::new(name, &mut caller)?;
            let digest = hash(call.read_packed(data)?);
            call.return_bytes(&digest)
        })?;
    }
    Ok(())
}

fn blake2(data: &[u8], len: usize) -> Vec<u8> {
    blake2b_simd::Params::new().hash_length(len).hash(data).as_bytes().to_vec()
}

/// xxHash64 with the seeds 0, 1, …, one after the other.
fn twox(data: &[u8], words: u64) -> Vec<u8> {
    (0..words).flat_map(|seed| XxHash64::oneshot(seed, data).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        // The prefix of every key of the module "System" in a chain's state.
        assert_eq!(hex::encode(twox(b"System", 2)), "26aa394eea5630e07c48ae0c9558cef7");
        assert_eq!(twox(b"System", 4)[..16], twox(b"System", 2));
        assert_eq!(hex::encode(blake2(b"", 32)), "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
        assert_eq!(blake2(b"", 16).len(), 16);
    }
}
