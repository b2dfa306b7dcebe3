//! The program against the embedded API server over TLS: as it is started, killed, stopped and asked
//! on a cluster.

#![expect(clippy::unwrap_used, reason = "a test may fail by it")]

mod certificates;
mod cluster;
mod command_line;
mod leadership;
mod replica;
mod serving;
