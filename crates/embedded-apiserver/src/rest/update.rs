//! update (PUT), and the loop that changes stored objects.
//!
//! All of them are one loop: read, change, check, commit if nobody else committed in between,
//! otherwise again. A caller who names a resource version gets a conflict instead of the retry.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::output::object_value;
use super::ownership::Ownership;
use super::params::Options;
use super::webhooks::Question;
use super::{Call, body, object_response, output, prepare};
use crate::admission::Operation;
use crate::builtin::Resource;
use crate::status::Status;
use crate::store::{Draft, Object, Refused};

/// Retries when other writers are faster; each of them made progress, so this is generous.
const ATTEMPTS: usize = 64;

/// PUT.
pub(crate) async fn replace(call: &Call, bytes: &Bytes) -> Result<Response, Status> {
    call.params.check(Options::Update)?;
    let mut object = body::object(&call.parts.headers, bytes)?;
    let mut warnings = Vec::new();
    prepare::check_type(call, &mut object)?;
    prepare::check_fields(call, &object, Some(bytes), &mut warnings)?;
    let name = call.key()?.name;
    let given = object["metadata"]["name"].as_str().unwrap_or_default();
    if given.is_empty() {
        object["metadata"]["name"] = Value::String(name.to_string());
    }
    let value = write(call, "update", Ownership::Changed, &mut warnings, |_, _| {
        Ok(object.clone())
    });
    let response = value
        .await
        .and_then(|value| object_response(call, StatusCode::OK, &value));
    Ok(output::with_warnings(response, &warnings))
}

/// Changes an object by a function from its old to its wanted state, both in the call's version,
/// and returns what is stored now.
pub(crate) async fn write(
    call: &Call,
    verb: &str,
    ownership: Ownership,
    warnings: &mut Vec<String>,
    change: impl Fn(&Value, &mut Vec<String>) -> Result<Value, Status> + Send,
) -> Result<Value, Status> {
    let resource = &call.resource;
    let key = call.key()?;
    let dry_run = call.params.dry_run();
    for _ in 0..ATTEMPTS {
        let stored = call
            .core
            .store
            .get(&resource.collection, &key)
            .ok_or_else(|| call.not_found(&key.name))?;
        let old = object_value(resource, &stored);
        let mut fresh_warnings = Vec::new();
        let mut new = change(&old, &mut fresh_warnings)?;
        let prepared = prepare_update(
            call,
            &mut new,
            &old,
            ownership,
            &key.name,
            &mut fresh_warnings,
        );
        if let Err(refused) = prepared.await {
            warnings.append(&mut fresh_warnings);
            return Err(refused);
        }
        ownership.record(call, Some(&old), &mut new);
        if new == old {
            warnings.append(&mut fresh_warnings);
            if !dry_run {
                call.core.counters.noop_write(verb, &call.counted_as());
            }
            return Ok(new);
        }
        if dry_run {
            warnings.append(&mut fresh_warnings);
            return Ok(new);
        }
        match commit(call, &stored, &mut new, &old) {
            Ok(()) => {
                warnings.append(&mut fresh_warnings);
                return Ok(new);
            }
            Err(Refused::Changed | Refused::Exists) => {}
            Err(Refused::Missing) => return Err(call.not_found(&key.name)),
            Err(Refused::Disk) => return Err(super::disk_failed()),
        }
    }
    Err(call.stale(&key.name))
}

/// Stores a changed object, or removes it if the change was the last thing its deletion waited
/// for.
fn commit(call: &Call, stored: &Arc<Object>, new: &mut Value, old: &Value) -> Result<(), Refused> {
    let resource = &call.resource;
    let store = &call.core.store;
    if deletion_is_due(new, old) {
        // Watchers see the state that was stored last; the caller, what became of the change.
        let mut last = stored.value();
        let draft = Draft {
            key: stored.key.clone(),
            fields: stored.fields.clone(),
            value: &mut last,
        };
        store.delete(&resource.collection, stored.revision, draft)?;
        super::namespaces::removed(call, &last);
        new["metadata"]["resourceVersion"] = last["metadata"]["resourceVersion"].take();
        return Ok(());
    }
    resource.to_stored(new);
    let draft = Draft {
        key: stored.key.clone(),
        fields: resource.selectable_fields(new),
        value: new,
    };
    store.update(&resource.collection, stored.revision, draft)?;
    super::namespaces::stored(call, new);
    resource.show_stored(new);
    Ok(())
}

/// An object that is being deleted goes with its last finalizer, unless it has a grace period:
/// then the kubelet's own delete ends it.
fn deletion_is_due(new: &Value, old: &Value) -> bool {
    new["metadata"]["finalizers"]
        .as_array()
        .is_none_or(Vec::is_empty)
        && old["metadata"].get("deletionTimestamp").is_some()
        && old["metadata"]["deletionGracePeriodSeconds"] == 0
}

/// What only the server writes.
const SYSTEM_FIELDS: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "resourceVersion",
    "namespace",
    "generateName",
];

async fn prepare_update(
    call: &Call,
    new: &mut Value,
    old: &Value,
    ownership: Ownership,
    name: &str,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let resource = &call.resource;
    prepare::check_type(call, new)?;
    check_identity(call, new, old, name)?;
    restore_system_fields(new, old);
    keep_to_part(call, new, old, ownership);
    prepare::shape(call, new)?;
    prepare::mutate(call, Operation::Update, name, new, warnings)?;
    let question = Question::write(call, Operation::Update, name);
    if question.mutate(Some(new), Some(old), warnings).await? {
        new["metadata"]["name"] = Value::String(name.to_owned());
        keep_to_part(call, new, old, ownership);
    }
    restore_system_fields(new, old);
    prepare::shape(call, new)?;
    if call.subresource == "status" {
        resource.strategy.prepare_status_update(new, old);
    } else {
        resource.strategy.prepare_update(new, old);
        bump_generation(resource, new, old);
        if resource.plural == "customresourcedefinitions" {
            crate::builtin::accept_crd(new, &call.core.now());
        }
    }
    prepare::validate(call, Operation::Update, name, new, Some(old), warnings)?;
    question.validate(Some(new), Some(old), warnings).await
}

/// A write to the object leaves its status alone, and the other way.
fn keep_to_part(call: &Call, new: &mut Value, old: &Value, ownership: Ownership) {
    if call.subresource == "status" {
        *new = with_status_of(old, new, ownership);
    } else if call.resource.has_status {
        copy(new, old, "status");
    }
}

/// The preconditions a body can carry: name, namespace, uid and resource version.
fn check_identity(call: &Call, new: &Value, old: &Value, name: &str) -> Result<(), Status> {
    let meta = &new["metadata"];
    let given = |key: &str| meta[key].as_str().unwrap_or_default();
    if given("name") != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            given("name")
        )));
    }
    let namespace = call.namespace.as_deref().unwrap_or_default();
    if !given("namespace").is_empty() && given("namespace") != namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({}) does not match the namespace on the URL ({namespace})",
            given("namespace")
        )));
    }
    let uid = old["metadata"]["uid"].as_str().unwrap_or_default();
    if !given("uid").is_empty() && given("uid") != uid {
        return Err(call.conflict(
            name,
            format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {uid}",
                given("uid")
            ),
        ));
    }
    let version = given("resourceVersion");
    if !version.is_empty() && version.parse::<u64>().is_err() {
        return Err(Status::bad_request(format!(
            "invalid resourceVersion: {version:?}"
        )));
    }
    if !version.is_empty()
        && version != "0"
        && meta["resourceVersion"] != old["metadata"]["resourceVersion"]
    {
        return Err(call.stale(name));
    }
    Ok(())
}

fn restore_system_fields(new: &mut Value, old: &Value) {
    let before = &old["metadata"];
    if let Some(meta) = new["metadata"].as_object_mut() {
        for &key in SYSTEM_FIELDS {
            match before.get(key) {
                Some(value) => meta.insert(key.to_owned(), value.clone()),
                None => meta.remove(key),
            };
        }
        meta.retain(|_, value| !value.is_null());
    }
}

/// A write to the status subresource changes nothing else.
fn with_status_of(old: &Value, new: &Value, ownership: Ownership) -> Value {
    let mut merged = old.clone();
    copy(&mut merged, new, "status");
    if ownership == Ownership::Applied {
        copy(&mut merged["metadata"], &new["metadata"], "managedFields");
    }
    merged
}

fn copy(to: &mut Value, from: &Value, key: &str) {
    if let Some(map) = to.as_object_mut() {
        match from.get(key) {
            Some(value) => map.insert(key.to_owned(), value.clone()),
            None => map.remove(key),
        };
    }
}

/// Counts changes of what the user wants: everything but metadata and status.
fn bump_generation(resource: &Resource, new: &mut Value, old: &Value) {
    if !resource.has_generation {
        return;
    }
    let wanted = |value: &Value| -> Map<String, Value> {
        let mut map = value.as_object().cloned().unwrap_or_default();
        map.remove("metadata");
        if resource.has_status {
            map.remove("status");
        }
        map
    };
    if wanted(new) != wanted(old) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        new["metadata"]["generation"] = json!(generation);
    }
}
