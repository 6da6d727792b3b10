//! The few primitives that everything here is made of: `std`'s in a program, `loom`'s in its models.

#[cfg(loom)]
pub use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
#[cfg(not(loom))]
pub use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

/// Locks; a panic of another holder is no reason to stop, because no invariant here spans a call of foreign code.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A value on cache lines of its own: what one side reads all the time, away from what the other side writes.
#[repr(align(64))]
#[derive(Debug, Default)]
pub struct Apart<T>(pub T);
