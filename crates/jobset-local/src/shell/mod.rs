//! What every controller of this crate needs around its pure part.
//!
//! * [`queue`] — one key is never processed twice at once; delays and failure back-off per key.
//! * [`clock`] — where wall-clock time comes from, so that a simulation can replace it.
//! * [`events`] — best-effort core/v1 Events through a bounded queue.
//! * [`mirror`] — an own copy of the objects of one kind that is never behind own writes.
//! * [`pump`] — drives a `kube` watcher into a callback until shutdown.

pub mod clock;
pub mod events;
pub mod mirror;
pub mod pump;
pub mod queue;
