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
//! | [`scheduler`] | simulated nodes with topology labels; binds Pods to them |
//! | [`node`] | runs bound Pods as processes, or only pretends to, and reports their status |
//! | [`names`] | what headless Services make resolvable inside Pods |
//! | [`launcher`] | what runs in the re-executed binary around each container's command |
//! | [`supervisor`] | makes sure nothing outlives the cluster, even when it is killed |
//! | [`cluster`] | starts and stops all of it together, with an API server |
//! | [`client`] | a client whose transport is the API server itself, without a socket |
//! | [`shell`] | what the parts share: keyed work queue, clock, event recorder, watch pump |

pub mod client;
pub mod cluster;
pub mod garbage_collector;
pub mod job_controller;
pub mod launcher;
pub mod names;
pub mod node;
pub mod scheduler;
pub mod shell;
pub mod supervisor;

mod crds;
mod sandbox;
