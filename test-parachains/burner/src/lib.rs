//! The test parachain *burner* as wasm: [`chain`] is the parachain, the rest is what makes it a validation function.
#![no_std]

extern crate alloc;

#[path = "../../support/abi.rs"]
pub mod abi;
pub mod chain;
#[path = "../../support/keccak.rs"]
pub mod keccak;
#[cfg(target_arch = "wasm32")]
#[path = "../../support/wasm.rs"]
mod wasm;

/// The export that hosts call.
///
/// # Safety
/// `params` and `len` name the parameters within this module's memory.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn validate_block(params: *const u8, len: usize) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { wasm::run(params, len, chain::validate) }
}
