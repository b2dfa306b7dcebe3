//! The JobSet API: what a `JobSet` *is*.
//!
//! | module | holds |
//! |---|---|
//! | [`types`], [`template`], [`resource`] | the object: `JobSet`, its spec and status, the raw Job and claim templates inside it |
//! | [`constants`] | labels, annotations, condition types, reasons, messages, event reasons |
//! | [`names`] | names, hashes, indices and totals that follow from a `JobSet` |
//! | [`conditions`] | look-ups in `status.conditions` |
//! | [`features`] | feature gates with their stages |
//! | [`defaulting`], [`validation`] | admission as pure functions |
//!
//! The crate does no I/O, has no clock and starts no thread.

pub mod conditions;
pub mod constants;
pub mod crd;
pub mod defaulting;
pub mod features;
pub mod names;
pub mod resource;
pub mod template;
mod text_enum;
pub mod types;
pub mod validation;

pub use features::{Feature, FeatureGates};
pub use resource::JobSet;
pub use template::{ClaimTemplate, JobTemplate};
pub use types::*;
