//! Validation: the rules that admission checks beyond the CRD's schema.
//!
//! [`validate_create`] and [`validate_update`] are pure and collect every error in a fixed order.
//! [`invalid_status`] renders them as the answer of the API server (422, `Invalid`).
//!
//! The comments `C1`, `V3`, ... number the rules as the tests do. Rules that need to look up
//! objects in the cluster (whether a claim exists already) are not here.

mod coordinator;
mod create;
mod error;
mod failure_policy;
mod quantity;
mod semantic;
mod text;
mod update;
mod volume_claims;

#[cfg(test)]
mod create_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod update_tests;

pub use create::{validate_create, validation_name};
pub use error::{ErrorKind, FieldError, invalid_message, invalid_status};
pub use quantity::quantities_equal;
pub use semantic::semantically_equal;
pub use update::validate_update;
