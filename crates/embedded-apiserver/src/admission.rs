//! The admission hook: what a cluster does with webhooks, as plain function calls.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::status::Status;
use crate::store::{Key, Store};

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
    /// What else there is.
    pub objects: StoredObjects,
}

/// A view of the stored objects: every answer is the state at the moment of asking. Cheap to
/// clone.
///
/// Resources are named as in `kubectl get`: `pods`, `jobs.batch`. Objects come as the JSON that
/// clients get, so that a caller decodes what it needs and no more.
#[derive(Clone)]
pub struct StoredObjects(pub(crate) Arc<Store>);

impl StoredObjects {
    /// One object. The namespace is empty for cluster-wide ones.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Bytes> {
        let object = self.0.get(resource, &Key::new(namespace, name))?;
        Some(object.bytes.clone())
    }

    /// The objects of a namespace whose names begin with `prefix`, in order. Costs as much as there
    /// are of them, however many others there are.
    pub fn named(&self, resource: &str, namespace: &str, prefix: &str) -> Vec<Bytes> {
        let found = self.0.list_named(resource, namespace, prefix);
        found.iter().map(|object| object.bytes.clone()).collect()
    }
}

impl fmt::Debug for StoredObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredObjects")
    }
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
