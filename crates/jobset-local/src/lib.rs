//! The rest of a one-machine cluster, beside the API server.
//!
//! Everything here is an ordinary client of the Kubernetes API: each part takes a
//! [`kube::Client`], watches what it needs, decides in pure functions and writes through the same
//! verbs that outside clients use. Nothing in this crate knows what a JobSet is.
//!
//! | module | does |
//! |---|---|
//! | [`job_controller`] | batch/v1 Job: creates, counts and deletes Pods; decides success and failure |
//! | [`garbage_collector`] | owner references: background, foreground and orphan deletion |
//! | [`launcher`] | what runs in the re-executed binary around each container's command |
//! | [`shell`] | what the parts share: keyed work queue, clock, event recorder, watch pump |

pub mod garbage_collector;
pub mod job_controller;
pub mod launcher;
pub mod shell;

mod sandbox;
