//! The few primitives that everything here is made of: `std`'s in a program, `loom`'s in its models, counted ones in
//! this crate's own tests.

#[cfg(loom)]
pub use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use std::sync::PoisonError;
#[cfg(not(any(loom, test)))]
pub use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};
#[cfg(not(loom))]
pub use std::sync::{MutexGuard, TryLockError, atomic::Ordering};

#[cfg(all(test, not(loom)))]
pub use crate::tests::{AtomicBool, AtomicU64, Mutex};

/// Looks at a taken lock before this thread sleeps for it.
#[cfg(not(loom))]
const LOOKS: u32 = 8;
/// Pauses between two looks: about as long as a holder takes, and long enough to leave it the cache line.
#[cfg(not(loom))]
const PAUSES: u32 = 32;

/// Locks; a panic of another holder is no reason to stop, because no invariant here spans a call of foreign code.
#[inline]
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(not(loom))]
    match mutex.try_lock() {
        Ok(guard) => return guard,
        Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {}
    }
    lock_taken(mutex)
}

/// `std`'s own lock looks again at once, and so many times, that it takes the cache line away from the holder. Waiting a
/// little before each look lets the holder finish, and spares the system call in nearly all cases.
#[cold]
fn lock_taken<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(not(loom))]
    for _ in 0..LOOKS {
        for _ in 0..PAUSES {
            std::hint::spin_loop();
        }
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value on cache lines of its own: what one side reads all the time, away from what the other side writes.
#[repr(align(64))]
#[derive(Debug, Default)]
pub struct Apart<T>(pub T);
