//! A generic in-memory Kubernetes API server that kube clients and kubectl can talk to.
//!
//! It serves the resources that workloads of one machine need, and any CustomResourceDefinition,
//! with the semantics clients rely on: optimistic locking, watches with resource versions,
//! finalizers, graceful deletion, patches, server-side apply. It runs no controller and it never
//! will: Jobs create no Pods here, owners are not followed, nothing is scheduled. Whoever wants
//! that runs controllers against it, as against any cluster.
//!
//! ```text
//!            kube::Client (in process)     kubectl, any client (TLS, bearer token)
//!                      │                                │
//!                      ▼                                ▼
//!                 [`ApiServer::router`]  ◄──  [`ApiServer::serve`]
//!                      │
//!    rest   path, query, body → one of the verbs → representation
//!                      │
//!    builtin           │   which resources there are, and what is special about each kind
//!    schema, patch, apply, selector, table, openapi: pure functions over JSON
//!                      ▼
//!    store  objects as bytes, one revision, history for watchers
//! ```
//!
//! What holds: revisions only grow; a write that changes nothing does not bump the revision and
//! wakes no watcher; a watch from revision n hears of every change after n exactly once, or is
//! told that it cannot (410); no request, however malformed, panics the server.

// Pure functions over JSON, without I/O; usable by themselves.
pub mod apply;
pub mod openapi;
pub mod patch;
pub mod schema;
pub mod selector;
pub mod table;
pub mod topology;

mod admission;
mod builtin;
mod credentials;
mod pod_logs;
mod rest;
mod server;
mod serving;
mod stats;
mod status;
mod store;

pub use admission::{Admission, AdmissionRequest, AdmitAll, Operation, StoredObjects};
pub use credentials::{Credentials, CredentialsError};
pub use pod_logs::{LogOptions, LogStream, PodLogs};
pub use server::{ApiServer, ApiServerBuilder, Clock};
pub use stats::Stats;
pub use status::{Cause, Details, EmptyMeta, Outcome, Status};
