//! The host functions that parachain code imports from `env`.
//!
//! Real are `ext_allocator_{malloc, free}`, `ext_hashing_{blake2_128, blake2_256, sha2_256, twox_64, twox_128,
//! twox_256}`, `ext_logging_{log, max_level}`, `ext_misc_print_{num, hex, utf8}` (all version 1; what is printed is
//! dropped) and `ext_crypto_sr25519_verify` (version 2). Every other function may be imported, so that code which only carries
//! the import runs, but a call of it is a trap that names it: code whose storage functions were replaced at build
//! time carries them without ever calling them.
//!
//! Pointers and lengths come from hostile code: whatever does not lie within its memory is an error, which makes
//! the block invalid.

pub(crate) mod allocator;
mod crypto;
mod hashing;

use allocator::Allocator;
use wasmtime::{AsContextMut, Caller, Linker, Memory, StoreContextMut};

use crate::engine::shortened;

/// What host functions know of the run that calls them.
#[derive(Default)]
pub(crate) struct HostState {
    /// The code's memory, once it is known.
    pub(crate) memory: Option<Memory>,
    /// Its allocator, once its heap is known: not before start functions have ended.
    pub(crate) allocator: Option<Allocator>,
    /// The last line that the code logged: usually the message of its panic.
    pub(crate) last_log: Option<String>,
    /// Set when the machine, not the code, was why something failed.
    pub(crate) machine_failure: Option<String>,
    /// Whether computing costs fuel.
    pub(crate) metered: bool,
}

/// A host function was called in a way that it cannot answer: the code is at fault.
#[derive(Debug, thiserror::Error)]
#[error("host function {function}: {reason}")]
pub(crate) struct HostError {
    function: &'static str,
    reason: &'static str,
}

/// Fuel of a call by itself, and of each byte that it reads.
const FUEL_PER_CALL: u64 = 1_000;
const FUEL_PER_BYTE: u64 = 8;
/// Fuel of checking one signature.
const FUEL_PER_SIGNATURE: u64 = 200_000;
/// `LogLevelFilter::Error`: code formats the message of a panic and nothing else.
const LOG_LEVEL_ERROR: u32 = 1;

type Result<T> = wasmtime::Result<T>;

/// Defines the host functions that work.
pub(crate) fn link(linker: &mut Linker<HostState>) -> Result<()> {
    hashing::link(linker)?;
    crypto::link(linker)?;
    linker
        .func_wrap("env", "ext_allocator_malloc_version_1", |mut caller: Caller<'_, HostState>, size: u32| {
            let mut call = Call::new("ext_allocator_malloc_version_1", &mut caller)?;
            call.allocate(size)
        })?
        .func_wrap("env", "ext_allocator_free_version_1", |mut caller: Caller<'_, HostState>, pointer: u32| {
            let mut call = Call::new("ext_allocator_free_version_1", &mut caller)?;
            call.free(pointer)
        })?
        .func_wrap(
            "env",
            "ext_logging_log_version_1",
            |mut caller: Caller<'_, HostState>, _level: u32, _target: u64, message: u64| {
                let mut call = Call::new("ext_logging_log_version_1", &mut caller)?;
                let text = shortened(String::from_utf8_lossy(call.read_packed(message)?).into_owned());
                caller.data_mut().last_log = Some(text);
                Ok(())
            },
        )?
        .func_wrap("env", "ext_logging_max_level_version_1", |mut caller: Caller<'_, HostState>| {
            Call::new("ext_logging_max_level_version_1", &mut caller)?;
            Ok(LOG_LEVEL_ERROR)
        })?
        .func_wrap("env", "ext_misc_print_num_version_1", |mut caller: Caller<'_, HostState>, _number: u64| {
            Call::new("ext_misc_print_num_version_1", &mut caller)?;
            Ok(())
        })?;
    for name in ["ext_misc_print_hex_version_1", "ext_misc_print_utf8_version_1"] {
        linker.func_wrap("env", name, move |mut caller: Caller<'_, HostState>, data: u64| {
            Call::new(name, &mut caller)?.read_packed(data)?;
            Ok(())
        })?;
    }
    Ok(())
}

/// One call of a host function.
pub(crate) struct Call<'a> {
    function: &'static str,
    memory: Memory,
    store: StoreContextMut<'a, HostState>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(function: &'static str, caller: &'a mut Caller<'_, HostState>) -> Result<Self> {
        let reason = "called before the code's memory is known";
        let memory = caller.data().memory.ok_or(HostError { function, reason })?;
        let mut call = Self { function, memory, store: caller.as_context_mut() };
        call.charge(FUEL_PER_CALL)?;
        Ok(call)
    }

    fn error(&self, reason: &'static str) -> HostError {
        HostError { function: self.function, reason }
    }

    /// Takes fuel, where computing costs any.
    pub(crate) fn charge(&mut self, fuel: u64) -> Result<()> {
        if !self.store.data().metered {
            return Ok(());
        }
        match self.store.get_fuel()?.checked_sub(fuel) {
            Some(rest) => self.store.set_fuel(rest),
            None => {
                self.store.set_fuel(0)?;
                Err(wasmtime::Trap::OutOfFuel.into())
            }
        }
    }

    /// Bytes that a packed pointer and length name.
    pub(crate) fn read_packed(&mut self, packed: u64) -> Result<&[u8]> {
        self.read(packed as u32, (packed >> 32) as u32)
    }

    /// `len` bytes at `pointer`.
    pub(crate) fn read(&mut self, pointer: u32, len: u32) -> Result<&[u8]> {
        self.charge(u64::from(len) * FUEL_PER_BYTE)?;
        let error = self.error("the data lies outside of the memory");
        let start = pointer as usize;
        Ok(self.memory.data(&self.store).get(start..start.saturating_add(len as usize)).ok_or(error)?)
    }

    /// `N` bytes at `pointer`.
    pub(crate) fn read_array<const N: usize>(&mut self, pointer: u32) -> Result<[u8; N]> {
        let error = self.error("the data lies outside of the memory");
        Ok(self.read(pointer, N as u32)?.try_into().map_err(|_| error)?)
    }

    /// A new block with `bytes` in it; its pointer.
    pub(crate) fn return_bytes(&mut self, bytes: &[u8]) -> Result<u32> {
        let too_large = self.error("the answer is too large");
        let pointer = self.allocate(u32::try_from(bytes.len()).map_err(|_| too_large)?)?;
        self.memory.write(&mut self.store, pointer as usize, bytes)?;
        Ok(pointer)
    }

    fn allocate(&mut self, size: u32) -> Result<u32> {
        self.with_allocator(|allocator, memory| allocator.allocate(memory, size))
    }

    fn free(&mut self, pointer: u32) -> Result<()> {
        self.with_allocator(|allocator, memory| allocator.free(memory, pointer))
    }

    fn with_allocator<T>(
        &mut self,
        operation: impl FnOnce(&mut Allocator, &mut WasmMemory<'_>) -> std::result::Result<T, &'static str>,
    ) -> Result<T> {
        let missing = self.error("called before the code's heap is known");
        let mut allocator = self.store.data_mut().allocator.take().ok_or(missing)?;
        let mut memory = WasmMemory { memory: self.memory, store: self.store.as_context_mut() };
        let result = operation(&mut allocator, &mut memory);
        self.store.data_mut().allocator = Some(allocator);
        Ok(result.map_err(|reason| self.error(reason))?)
    }
}

/// The code's memory, for the allocator.
pub(crate) struct WasmMemory<'a> {
    pub(crate) memory: Memory,
    pub(crate) store: StoreContextMut<'a, HostState>,
}

impl allocator::Memory for WasmMemory<'_> {
    fn bytes(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }

    fn grow(&mut self, pages: u64) -> bool {
        self.memory.grow(&mut self.store, pages).is_ok()
    }
}
