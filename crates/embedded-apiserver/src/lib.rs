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
//!    webhook, policy   │   the webhooks and policies that are registered, asked about writes
//!    builtin           │   which resources there are, and what is special about each kind
//!    schema, patch, apply, selector, table, openapi: pure functions over JSON
//!                      ▼
//!    store  objects as bytes, one revision, history for watchers
//! ```
//!
//! # Admission
//!
//! A write passes the [`Admission`] that the server was built with, in process, and then the
//! webhooks of `MutatingWebhookConfiguration` and `ValidatingWebhookConfiguration` objects
//! (`admissionregistration.k8s.io/v1`), as at kube-apiserver: rules, selectors and match
//! conditions, `AdmissionReview` v1 over HTTPS with the CA bundle of the configuration, JSON
//! patches, reinvocation, time-outs, failure policies, dry run, warnings. A configuration is in
//! effect when its write is answered. Without any, a write costs one look at a flag more.
//!
//! Between the two, `ValidatingAdmissionPolicy` objects that are bound are evaluated, under the
//! same conditions: variables, message expressions, reasons, the actions `Deny` and `Warn`. Not as
//! there: parameters are refused, and `Audit` leads to nothing.
//!
//! Not as there: a Service can be called only through a [`ServiceResolver`]; match conditions have
//! no `authorizer` and no cost budget; reviews of the version v1beta1 are not spoken; the
//! [`Admission`] in process is not asked again after webhooks; the server's own deletions in a
//! terminating namespace are not reviewed.
//!
//! What holds: revisions only grow; a write that changes nothing does not bump the revision and
//! wakes no watcher; a watch from revision n hears of every change after n exactly once, or is
//! told that it cannot (410); no request, however malformed, panics the server.

// Pure functions over JSON, without I/O; usable by themselves.
pub mod apply;
pub mod openapi;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod table;
pub mod topology;

mod admission;
mod builtin;
mod credentials;
mod metrics;
mod pod_logs;
mod policy;
mod rest;
mod server;
mod serving;
mod stats;
mod status;
mod store;
mod webhook;

pub use admission::{Admission, AdmissionRequest, AdmitAll, Operation, StoredObjects};
pub use credentials::{Credentials, CredentialsError};
pub use metrics::{ContainerUsage, Metrics, PodUsage, Usage};
pub use pod_logs::{LogOptions, LogStream, PodLogs};
pub use server::{ApiServer, ApiServerBuilder, Clock};
pub use stats::Stats;
pub use status::{Cause, Details, EmptyMeta, Outcome, Status};
pub use webhook::ServiceResolver;
