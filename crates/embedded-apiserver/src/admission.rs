//! The admission hook: what a cluster does with webhooks, as plain function calls.

use serde_json::Value;

use crate::status::Status;

/// What kind of write is being admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an object: PUT and every kind of PATCH.
    Update,
    /// A deletion.
    Delete,
}

/// The request an [`Admission`] decides about.
#[derive(Clone, Debug)]
pub struct AdmissionRequest {
    /// API group, empty for the core group.
    pub group: String,
    /// API version, for example `v1`.
    pub version: String,
    /// Plural resource name, for example `jobs`.
    pub resource: String,
    /// Subresource, for example `status`, or empty.
    pub subresource: String,
    /// The write.
    pub operation: Operation,
    /// Namespace, or `None` for cluster-wide objects.
    pub namespace: Option<String>,
    /// Name of the object; empty while `generateName` has not been resolved.
    pub name: String,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// Who asks.
    pub user: String,
}

/// Admission control, called in process for every create and update of every resource.
///
/// Implementations return the warnings to send to the client. They see every resource and must
/// ignore those that are not theirs.
pub trait Admission: Send + Sync {
    /// May change the object. Called before schema defaulting and validation.
    fn mutate(
        &self,
        request: &AdmissionRequest,
        object: &mut Value,
    ) -> Result<Vec<String>, Status> {
        let _ = (request, object);
        Ok(Vec::new())
    }

    /// May refuse the object. Called after schema validation; `old` is the stored object of an
    /// update.
    fn validate(
        &self,
        request: &AdmissionRequest,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<Vec<String>, Status> {
        let _ = (request, object, old);
        Ok(Vec::new())
    }
}

/// Admits everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

impl Admission for AdmitAll {}
