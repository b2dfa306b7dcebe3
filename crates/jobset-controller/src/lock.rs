//! One way to take a mutex.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, also when a thread panicked while it held it.
///
/// Every critical section of this crate leaves its data consistent before it calls anything that
/// could panic, so a poisoned lock carries no information and must not stop the controller.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
