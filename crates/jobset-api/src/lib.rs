//! The JobSet API: what a `JobSet` *is*.
//!
//! A JobSet is a set of Kubernetes Jobs with different roles that live, fail and restart together:
//! a driver with its workers, a parameter server with its trainers. This crate holds the type of
//! the object and everything that follows from an object alone. It serves the controller, the
//! command line and any other Rust program that talks to a cluster where JobSets run.
//!
//! | module | holds |
//! |---|---|
//! | [`resource`], [`types`], [`template`] | the object: [`JobSet`], its spec and status, the raw Job and claim templates inside it |
//! | [`constants`] | labels, annotations, condition types, reasons, messages, event reasons |
//! | [`names`] | names, hashes, indices and totals that follow from a JobSet |
//! | [`recovery`] | optional behaviour that annotations ask for: back-off, refill, stuck Pods |
//! | [`conditions`] | look-ups in `status.conditions` |
//! | [`features`] | feature gates with their stages |
//! | [`admission`], over [`defaulting`] and [`validation`] | what a new or changed object must be |
//! | [`crd`] | the CustomResourceDefinition, generated from the types |
//!
//! The crate does no I/O, has no clock and starts no thread. It decides nothing about what to do
//! with a JobSet.
//!
//! # For a Rust client
//!
//! [`JobSet`] implements [`kube::Resource`], so `kube::Api<JobSet>` lists, watches, creates and
//! patches it. Where an object that some other client stored must not stop a watch, watch
//! `kube::core::DeserializeGuard<JobSet>` instead.
//!
//! ```
//! use jobset_api::{JobSet, JobSetSpec, ReplicatedJob, conditions, names};
//! use k8s_openapi::api::batch::v1::JobTemplateSpec;
//!
//! // A template is written as the Kubernetes type, or as JSON when that lacks a field.
//! let template: JobTemplateSpec = serde_json::from_value(serde_json::json!({
//!     "spec": { "parallelism": 4, "completions": 4, "template": { "spec": {
//!         "containers": [{ "name": "main", "image": "busybox", "command": ["true"] }],
//!     }}},
//! }))?;
//! let workers = ReplicatedJob {
//!     name: "workers".into(),
//!     replicas: Some(2),
//!     template: template.into(),
//!     ..ReplicatedJob::default()
//! };
//! let spec = JobSetSpec { replicated_jobs: vec![workers], ..JobSetSpec::default() };
//! let jobset = JobSet::new("training", spec);
//!
//! // let jobset = kube::Api::namespaced(client, "default").create(&params, &jobset).await?;
//! assert_eq!(names::job_name(jobset.name(), "workers", 1), "training-workers-1");
//! assert_eq!(names::global_replicas(&jobset), 2);
//! assert!(!conditions::is_finished(&jobset));
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod admission;
pub mod conditions;
pub mod constants;
pub mod crd;
pub mod defaulting;
pub mod features;
pub mod names;
pub mod recovery;
pub mod resource;
pub mod template;
mod text_enum;
pub mod types;
pub mod validation;

pub use features::{Feature, FeatureGates};
pub use resource::JobSet;
pub use template::{ClaimTemplate, JobTemplate};
pub use types::*;
