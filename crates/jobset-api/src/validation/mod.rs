//! Validation: the rules that admission checks beyond the CRD's schema.
//!
//! [`validate_create`] and [`validate_update`] are pure and collect every error in a fixed order.
//! [`invalid_status`] renders them as the answer of the API server (422, `Invalid`).
//!
//! The rules for the Job and Pod templates inside a JobSet, which an API server would otherwise
//! apply only to the Jobs made from them:
//!
#![doc = include_str!("template/RULES.md")]
//!
//! [`warnings`] tells what is legal, but surely wrong.
//!
//! The comments `C1`, `V3`, ... number the rules as the tests do. The rules about claims
//! that exist already need to look those up; [`validate_claims`] has them.

mod coordinator;
mod create;
mod error;
mod failure_policy;
mod quantity;
mod recovery;
mod semantic;
mod template;
mod text;
mod update;
mod volume_claims;
mod warnings;

#[cfg(test)]
mod create_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod update_tests;
#[cfg(test)]
mod warnings_tests;

pub use create::{validate_create, validation_name};
pub use error::{ErrorKind, FieldError, invalid_message, invalid_status};
pub use quantity::quantities_equal;
pub use semantic::semantically_equal;
pub use update::validate_update;
pub use volume_claims::{claim_names, validate_claims};
pub use warnings::{Warning, warnings};
