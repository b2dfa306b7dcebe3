//! Tests of the built `jobset-agent` against the embedded API server: its exit codes, what it
//! writes, what it does when the server is away, and a group of agents with the real controller.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod api;
mod barrier;
mod cluster;
mod group;
mod process;
mod requests;
mod worker;
