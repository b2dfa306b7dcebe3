//! The resources that are served: what they are called, and what is special about each kind.
//!
//! [`Resource`] is the one description that routing, discovery, storage and strategies share. The
//! built-in ones are listed in `kinds`; those of CustomResourceDefinitions are made by `custom`.
//! What only some kinds need (defaults, rules, side effects of a status write) is a [`Strategy`].

mod config;
mod custom;
mod event;
mod job;
mod kinds;
mod names;
mod node;
mod pod;
mod policy;
mod registry;
mod service;
mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::schema::{self, Schema};
use crate::status::Cause;
use crate::table::Columns;
use crate::topology::{Gvk, Topology};

use self::custom::resources_of_crd;
pub(crate) use self::custom::{CRDS, CustomKind, accept_crd};
pub(crate) use self::event::EVENTS;
pub(crate) use self::names::{dns_label, dns_subdomain, validate_metadata};
pub(crate) use self::registry::Registry;

/// One served resource of one group and version.
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Name of the collection in the store; resources that share objects share it.
    pub(crate) collection: Arc<str>,
    /// `apiVersion` of the stored objects.
    pub(crate) stored_as: String,
    /// Whether status is a subresource: then writes to the object ignore it, and the other way.
    pub(crate) has_status: bool,
    /// Whether its objects are made when they are asked for, and none are stored.
    pub(crate) measured: bool,
    /// Whether `metadata.generation` counts changes of the spec.
    pub(crate) has_generation: bool,
    /// How names are checked.
    pub(crate) name_rule: NameRule,
    pub(crate) strategy: Box<dyn Strategy>,
    /// Schema and columns of a custom resource.
    pub(crate) custom: Option<Arc<CustomKind>>,
    /// How tables show objects; made when first asked for.
    columns: OnceLock<Columns>,
}

/// Which names a kind allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// RFC 1123 subdomain: up to 253 characters, labels joined by dots.
    Subdomain,
    /// RFC 1123 label: up to 63 characters.
    Label,
    /// RFC 1035 label: a label that begins with a letter.
    Label1035,
}

impl Resource {
    /// `batch/v1`, or `v1` for the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether finalizers may have any name. Those of the oldest groups need a domain.
    pub(crate) fn own_finalizers(&self) -> bool {
        self.custom.is_some() || !matches!(&*self.group, "" | "batch" | "discovery.k8s.io")
    }

    /// Whether stored objects must be converted for this version.
    pub(crate) fn converts(&self) -> bool {
        self.stored_as != self.api_version()
    }

    /// Group, version and kind.
    pub(crate) fn gvk(&self) -> Gvk {
        Gvk::new(&self.group, &self.version, &self.kind)
    }

    /// What objects look like.
    pub(crate) fn schema(&self) -> Option<&Schema> {
        match &self.custom {
            Some(custom) => custom.schema(),
            None => schema::built_in(&self.gvk()),
        }
    }

    /// How tables show objects.
    pub(crate) fn columns(&self) -> &Columns {
        self.columns.get_or_init(|| match &self.custom {
            Some(custom) => Columns::custom(&custom.columns),
            None => Columns::built_in(&self.gvk()),
        })
    }

    /// How lists within objects are keyed.
    pub(crate) fn topology(&self) -> Topology<'_> {
        match &self.custom {
            Some(custom) => custom.schema().map_or(Topology::Unknown, Topology::custom),
            None => Topology::built_in(&self.kind),
        }
    }

    /// What field selectors can ask of an object, read from its stored form.
    pub(crate) fn selectable_fields(&self, object: &Value) -> BTreeMap<String, String> {
        let mut fields = self.strategy.fields(object);
        let paths = self.custom.iter().flat_map(|custom| &custom.selectable);
        for path in paths {
            let found = path
                .split('.')
                .try_fold(object, |value, key| value.get(key));
            let text = match found {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            fields.insert(path.clone(), text);
        }
        fields
    }

    /// From the stored form to this version's.
    pub(crate) fn show_stored(&self, value: &mut Value) {
        if self.converts() {
            self.strategy.show_stored(value);
            value["apiVersion"] = Value::String(self.api_version());
        }
    }

    /// From this version's form to the stored one.
    pub(crate) fn to_stored(&self, value: &mut Value) {
        if self.converts() {
            self.strategy.to_stored(value);
            value["apiVersion"] = Value::String(self.stored_as.clone());
        }
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.api_version(), self.plural)
    }
}

/// What is special about a kind. Every method has a default that does nothing.
pub(crate) trait Strategy: Send + Sync {
    /// Fills in what the user left out. Called for every write, before validation; must be
    /// idempotent.
    fn complete(&self, object: &mut Value) {
        let _ = object;
    }

    /// Writes the fields that Kubernetes shows although they are not set. Called after
    /// [`Strategy::complete`] and after what is not set was dropped.
    fn show_unset(&self, object: &mut Value) {
        let _ = object;
    }

    /// What Kubernetes fills in when it reads a stored object back: not yet there when a new
    /// object is checked.
    fn prepare_stored(&self, object: &mut Value) {
        let _ = object;
    }

    /// What becomes of dependents if a deletion does not say, and a warning about that.
    fn default_propagation(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// What only happens to new objects, after defaulting: initial status, derived labels.
    fn prepare_create(&self, object: &mut Value) {
        let _ = object;
    }

    /// What happens on each write to the main resource, before validation.
    fn prepare_update(&self, object: &mut Value, old: &Value) {
        let _ = (object, old);
    }

    /// What a write to the status subresource takes over beside `status` itself.
    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        let _ = (object, old);
    }

    /// Rules of a valid object.
    fn validate(&self, object: &Value) -> Vec<Cause> {
        let _ = object;
        Vec::new()
    }

    /// Rules of a valid change; `validate` runs as well.
    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Cause> {
        let _ = (object, old);
        Vec::new()
    }

    /// What field selectors can ask for beside `metadata.name` and `metadata.namespace`.
    fn fields(&self, object: &Value) -> BTreeMap<String, String> {
        let _ = object;
        BTreeMap::new()
    }

    /// The names of those fields.
    fn selectable(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a deletion is marked in the object even if it does not wait.
    fn marks_deletion(&self) -> bool {
        false
    }

    /// How long a deletion waits for the kubelet, in seconds; 0 removes at once. `asked` is the
    /// caller's wish.
    fn grace_period(&self, object: &Value, asked: Option<i64>) -> i64 {
        let _ = (object, asked);
        0
    }

    /// Converts from the stored form, for resources that share storage with another.
    fn show_stored(&self, object: &mut Value) {
        let _ = object;
    }

    /// Converts to the stored form.
    fn to_stored(&self, object: &mut Value) {
        let _ = object;
    }
}

/// A kind without anything special.
pub(crate) struct Plain;

impl Strategy for Plain {}

/// The field errors that Kubernetes distinguishes, as causes of a 422.
pub(crate) mod field {
    use std::fmt::Display;

    use crate::status::Cause;

    fn cause(reason: &str, path: impl Into<String>, message: String) -> Cause {
        Cause {
            reason: reason.to_owned(),
            field: path.into(),
            message,
        }
    }

    pub(crate) fn required(path: impl Into<String>, why: &str) -> Cause {
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {why}")
        };
        cause("FieldValueRequired", path, format!("Required value{why}"))
    }

    pub(crate) fn invalid(path: impl Into<String>, value: impl Display, why: &str) -> Cause {
        cause(
            "FieldValueInvalid",
            path,
            format!("Invalid value: {value}: {why}"),
        )
    }

    pub(crate) fn forbidden(path: impl Into<String>, why: &str) -> Cause {
        cause("FieldValueForbidden", path, format!("Forbidden: {why}"))
    }

    pub(crate) fn too_long(path: impl Into<String>, limit: usize) -> Cause {
        cause(
            "FieldValueTooLong",
            path,
            format!("Too long: may not be more than {limit} bytes"),
        )
    }

    pub(crate) fn duplicate(path: impl Into<String>, value: impl Display) -> Cause {
        cause(
            "FieldValueDuplicate",
            path,
            format!("Duplicate value: {value}"),
        )
    }

    pub(crate) fn too_many(path: impl Into<String>, count: usize, limit: usize) -> Cause {
        cause(
            "FieldValueTooMany",
            path,
            format!("Too many: {count}: must have at most {limit} items"),
        )
    }

    pub(crate) fn unsupported(
        path: impl Into<String>,
        value: impl Display,
        allowed: &[&str],
    ) -> Cause {
        let allowed: Vec<String> = allowed.iter().map(|a| format!("\"{a}\"")).collect();
        cause(
            "FieldValueNotSupported",
            path,
            format!(
                "Unsupported value: {value}: supported values: {}",
                allowed.join(", ")
            ),
        )
    }
}

/// Reads a string at a path of keys.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter()
        .try_fold(value, |v, key| v.get(key))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Reads an integer at a path of keys.
pub(crate) fn int(value: &Value, path: &[&str]) -> Option<i64> {
    path.iter()
        .try_fold(value, |v, key| v.get(key))
        .and_then(Value::as_i64)
}

/// The elements of a list under a key; none if there is no list. Unlike indexing a mutable value,
/// this leaves no null behind.
pub(crate) fn items_mut<'a>(
    value: &'a mut Value,
    key: &str,
) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    value
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// Shows times of conditions that are not set as null, as Kubernetes does.
pub(crate) fn show_unset_times(object: &mut Value, times: &[&str]) {
    let Some(status) = object.get_mut("status") else {
        return;
    };
    for condition in items_mut(status, "conditions") {
        for time in times {
            fill(condition, time, Value::Null);
        }
    }
}

/// Sets a key that is absent or null.
pub(crate) fn fill(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        let slot = map.entry(key).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value.into();
        }
    }
}

/// The object under a key, made empty if it is absent or null.
pub(crate) fn child<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let map = object.as_object_mut()?;
    let slot = map.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(serde_json::Map::new());
    }
    slot.is_object().then_some(slot)
}
