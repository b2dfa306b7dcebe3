//! Structural schemas: what an object of a kind looks like.
//!
//! A schema is compiled once from its OpenAPI v3 form (of a custom resource's version) or taken
//! from the Kubernetes types (built-in kinds). It then prunes unknown fields, fills in defaults,
//! validates with field paths, and reports unknown fields. Definitions that a schema refers to
//! are compiled when they are first needed, so recursive schemas end.
//!
//! The CEL rules of custom resources are compiled once per schema and evaluated on writes.

mod builtin;
mod cel;
mod duplicate;
mod error;
mod fields;
mod node;
mod shape;
mod typed;
mod validate;

pub use builtin::built_in;
pub(crate) use builtin::{definitions, root_of};
pub use cel::Part;
pub(crate) use cel::{Answer, Expression, evaluate, evaluate_with};
pub use duplicate::duplicate_fields;
pub use error::{ErrorKind, FieldError};
pub use node::{Node, Schema, SchemaError};
pub(crate) use typed::drop_nulls;

/// Appends a field name to a path.
pub(crate) fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

/// Appends a map key to a path.
pub(crate) fn join_key(path: &str, key: &str) -> String {
    format!("{path}[{key}]")
}

#[cfg(test)]
mod tests;
