//! The controller against the embedded API server, on a paused clock, with the test playing the
//! Job controller and the garbage collector.

#![expect(clippy::unwrap_used, reason = "a test may fail by it")]

mod crash;
mod faults;
mod lifecycle;
mod recovery;
mod short_names;
mod transport;
mod world;
