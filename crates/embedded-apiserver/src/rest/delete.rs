//! delete and deletecollection: preconditions, finalizers, propagation, grace.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::output::{json_response, object_value, to_bytes};
use super::selection::Selection;
use super::webhooks::Question;
use super::{Call, body, object_response, output, protobuf};
use crate::admission::Operation;
use crate::status::Status;
use crate::store::{Draft, Key, Object, Refused};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What became of a deletion.
pub(crate) enum Outcome {
    /// The object is gone; this was its last state.
    Gone(Value),
    /// The object stays until its finalizers or its grace period are through.
    Waiting(Value),
}

/// DeleteOptions from the body, if there is one, and the query.
fn options(call: &Call, bytes: &Bytes) -> Result<Value, Status> {
    let mut options = if bytes.iter().all(u8::is_ascii_whitespace) {
        json!({})
    } else {
        match body::media_type(&call.parts.headers).as_str() {
            "application/json" => body::parse(bytes)?,
            protobuf::MEDIA_TYPE => protobuf_options(bytes)?,
            other => {
                return Err(Status::unsupported_media_type(
                    other,
                    "application/json, application/vnd.kubernetes.protobuf",
                ));
            }
        }
    };
    if !options.is_object() {
        return Err(Status::bad_request("DeleteOptions must be a JSON object"));
    }
    if let Some(seconds) = call.params.number("gracePeriodSeconds")? {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    if let Some(policy) = call.params.get("propagationPolicy") {
        options["propagationPolicy"] = json!(policy);
    }
    if call.params.get("orphanDependents").is_some() {
        options["orphanDependents"] = json!(call.params.flag("orphanDependents"));
    }
    let policy = &options["propagationPolicy"];
    match policy.as_str() {
        None if policy.is_null() => {}
        Some("Background" | "Foreground" | "Orphan") => {}
        _ => {
            return Err(Status::invalid_option(
                "DeleteOptions",
                "propagationPolicy",
                "FieldValueNotSupported",
                &format!(
                    "Unsupported value: {policy}: supported values: \"Background\", \
                     \"Foreground\", \"Orphan\""
                ),
            ));
        }
    }
    if !policy.is_null() && !options["orphanDependents"].is_null() {
        return Err(Status::invalid_option(
            "DeleteOptions",
            "propagationPolicy",
            "FieldValueInvalid",
            "Invalid value: orphanDependents and deletionPropagation cannot be both set",
        ));
    }
    let given = options["dryRun"].as_array().into_iter().flatten();
    let given = given.map(|value| value.as_str().unwrap_or_default());
    if let Some(odd) = given
        .chain(call.params.get("dryRun"))
        .find(|value| *value != "All")
    {
        return Err(Status::invalid_option(
            "DeleteOptions",
            "dryRun",
            "FieldValueNotSupported",
            &format!("Unsupported value: {odd:?}: supported values: \"All\""),
        ));
    }
    let grace = &options["gracePeriodSeconds"];
    if !grace.is_null() && grace.as_i64().is_none() {
        return Err(Status::bad_request("gracePeriodSeconds must be an integer"));
    }
    Ok(options)
}

/// Unlike text, protobuf is always of a definite kind.
fn protobuf_options(bytes: &[u8]) -> Result<Value, Status> {
    let options = body::parse_protobuf(bytes)?;
    match options["kind"].as_str() {
        Some("DeleteOptions") => Ok(options),
        other => Err(Status::bad_request(format!(
            "DeleteOptions are expected, not {}",
            other.unwrap_or_default()
        ))),
    }
}

fn is_dry_run(call: &Call, options: &Value) -> bool {
    call.params.dry_run()
        || options["dryRun"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
}

/// DELETE of one object.
pub(crate) async fn delete(call: &Call, bytes: &Bytes) -> Result<Response, Status> {
    let options = options(call, bytes)?;
    let key = call.key()?;
    let mut warnings = propagation_warning(call, &options);
    let response = remove(call, &key, &options, &mut warnings)
        .await
        .and_then(|outcome| answer(call, &key, outcome));
    Ok(output::with_warnings(response, &warnings))
}

/// Says what becomes of dependents where the kind has its own idea and the client has none.
fn propagation_warning(call: &Call, options: &Value) -> Vec<String> {
    let warning = call.resource.strategy.default_propagation();
    warning
        .filter(|_| options["propagationPolicy"].is_null() && options["orphanDependents"].is_null())
        .map(|(_, warning)| warning.to_owned())
        .into_iter()
        .collect()
}

fn answer(call: &Call, key: &Key, outcome: Outcome) -> Result<Response, Status> {
    match outcome {
        Outcome::Gone(value) => {
            // Pods and a few others answer with what was deleted.
            if matches!(
                call.resource.plural.as_str(),
                "pods" | "services" | "persistentvolumeclaims"
            ) && call.resource.custom.is_none()
            {
                return object_response(call, StatusCode::OK, &value);
            }
            let uid = value["metadata"]["uid"].as_str().unwrap_or_default();
            let status =
                Status::deleted(&call.resource.plural, &call.resource.group, &key.name, uid);
            Ok(json_response(StatusCode::OK, status.to_json()))
        }
        Outcome::Waiting(value) => object_response(call, StatusCode::OK, &value),
    }
}

/// DELETE of all selected objects of a collection.
pub(crate) async fn delete_collection(call: &Call, bytes: &Bytes) -> Result<Response, Status> {
    let options = options(call, bytes)?;
    let resource = &call.resource;
    let selection = Selection::parse(resource, call.namespace.clone(), None, &call.params)?;
    let listed = call
        .core
        .store
        .list(&resource.collection, call.namespace.as_deref(), None);
    let mut items = Vec::new();
    let mut warnings = propagation_warning(call, &options);
    for object in listed
        .objects
        .iter()
        .filter(|object| selection.matches(object))
    {
        let inner = Call {
            core: call.core.clone(),
            resource: call.resource.clone(),
            namespace: Some(object.key.namespace.to_string()).filter(|ns| !ns.is_empty()),
            name: Some(object.key.name.to_string()),
            subresource: String::new(),
            params: call.params.clone(),
            user: call.user.clone(),
            parts: call.parts.clone(),
        };
        match remove(&inner, &object.key, &options, &mut warnings).await {
            Ok(Outcome::Gone(value) | Outcome::Waiting(value)) => items.push(value),
            // Gone in the meantime is what was wanted.
            Err(status) if status.code == 404 => {}
            Err(status) => return Ok(output::with_warnings(Err(status), &warnings)),
        }
    }
    let body = json!({
        "kind": resource.list_kind,
        "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": call.core.store.revision().to_string()},
        "items": items,
    });
    let response = json_response(StatusCode::OK, to_bytes(&body));
    Ok(output::with_warnings(Ok(response), &warnings))
}

/// Deletes one object, or starts its deletion.
async fn remove(
    call: &Call,
    key: &Key,
    options: &Value,
    warnings: &mut Vec<String>,
) -> Result<Outcome, Status> {
    let dry_run = is_dry_run(call, options);
    let question = Question::delete(call, &key.name, options, dry_run);
    loop {
        let (stored, value) = admitted(call, key, options)?;
        question.mutate(None, Some(&value), warnings).await?;
        question.validate(None, Some(&value), warnings).await?;
        if let Some(outcome) = commit(call, &stored, value, options, dry_run)? {
            return Ok(outcome);
        }
    }
}

/// The same for the server's own purposes: webhooks are not asked.
pub(crate) fn remove_unasked(call: &Call, key: &Key, options: &Value) -> Result<Outcome, Status> {
    let dry_run = is_dry_run(call, options);
    loop {
        let (stored, value) = admitted(call, key, options)?;
        if let Some(outcome) = commit(call, &stored, value, options, dry_run)? {
            return Ok(outcome);
        }
    }
}

/// The object to delete, if it may be deleted.
fn admitted(call: &Call, key: &Key, options: &Value) -> Result<(Arc<Object>, Value), Status> {
    let stored = call
        .core
        .store
        .get(&call.resource.collection, key)
        .ok_or_else(|| call.not_found(&key.name))?;
    let value = object_value(&call.resource, &stored);
    check_preconditions(call, &value, &options["preconditions"], &key.name)?;
    let request = call.admission_request(Operation::Delete, &key.name);
    call.core
        .admission
        .validate(&request, &value, Some(&value))?;
    Ok((stored, value))
}

/// Makes a deletion happen. `None` if the object has changed in the meantime.
fn commit(
    call: &Call,
    stored: &Object,
    mut value: Value,
    options: &Value,
    dry_run: bool,
) -> Result<Option<Outcome>, Status> {
    let resource = &call.resource;
    let store = &call.core.store;
    let key = &stored.key;
    let before = value.clone();
    let finished = mark(call, &mut value, options);
    let namespace = resource.plural == "namespaces" && resource.group.is_empty();
    if namespace && matches!(&*key.name, "default" | "kube-system") {
        return Err(Status::forbidden(
            "namespaces",
            "",
            &key.name,
            "this namespace may not be deleted",
        ));
    }
    if finished {
        // What goes at once is shown as it was: nobody ever finds it marked.
        if !resource.strategy.marks_deletion() {
            value = before;
        }
    } else if value == before {
        return Ok(Some(Outcome::Waiting(value)));
    }
    if dry_run {
        return Ok(Some(outcome(finished, value)));
    }
    resource.to_stored(&mut value);
    let draft = Draft {
        key: key.clone(),
        fields: resource.selectable_fields(&value),
        value: &mut value,
    };
    let result = if finished {
        store.delete(&resource.collection, stored.revision, draft)
    } else {
        store.update(&resource.collection, stored.revision, draft)
    };
    match result {
        Ok(_) => {}
        Err(Refused::Missing) => return Err(call.not_found(&key.name)),
        Err(Refused::Disk) => return Err(super::disk_failed()),
        Err(Refused::Changed | Refused::Exists) => return Ok(None),
    }
    if finished {
        super::namespaces::removed(call, &value);
    } else if namespace {
        super::namespaces::terminate(call, &key.name);
    }
    resource.show_stored(&mut value);
    Ok(Some(outcome(finished, value)))
}

fn outcome(finished: bool, value: Value) -> Outcome {
    if finished {
        Outcome::Gone(value)
    } else {
        Outcome::Waiting(value)
    }
}

fn check_preconditions(
    call: &Call,
    value: &Value,
    preconditions: &Value,
    name: &str,
) -> Result<(), Status> {
    for (key, what) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let Some(wanted) = preconditions[key].as_str() else {
            continue;
        };
        let found = value["metadata"][key].as_str().unwrap_or_default();
        if wanted != found {
            // Kubernetes, too, says the kind here and the resource elsewhere.
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record \
                 ({found}). The object might have been deleted and then recreated"
            );
            return Err(Status::conflict(
                &call.resource.kind,
                &call.resource.group,
                name,
                why,
            ));
        }
    }
    Ok(())
}

/// Writes the deletion into the object's metadata. True if nothing holds the object back.
fn mark(call: &Call, value: &mut Value, options: &Value) -> bool {
    let namespace = call.resource.plural == "namespaces" && call.resource.group.is_empty();
    let asked = options["gracePeriodSeconds"].as_i64();
    let grace = call.resource.strategy.grace_period(value, asked);
    let mut finalizers: Vec<Value> = value["metadata"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let policy = match options["propagationPolicy"].as_str() {
        None => match options["orphanDependents"].as_bool() {
            Some(true) => Some("Orphan"),
            Some(false) => Some("Background"),
            None => None,
        },
        some => some,
    };
    let has_policy = [FOREGROUND, ORPHAN]
        .iter()
        .any(|policy| finalizers.iter().any(|finalizer| finalizer == policy));
    // An earlier deletion, or whoever made the object, may have said it.
    let policy = policy.or_else(|| {
        let default = call.resource.strategy.default_propagation();
        default.filter(|_| !has_policy).map(|(policy, _)| policy)
    });
    if let Some(policy) = policy {
        finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
        match policy {
            "Foreground" => finalizers.push(json!(FOREGROUND)),
            "Orphan" => finalizers.push(json!(ORPHAN)),
            _ => {}
        }
    }
    let has_generation = call.resource.has_generation;
    let now = (call.core.clock)();
    let Some(meta) = value["metadata"].as_object_mut() else {
        return true;
    };
    if finalizers.is_empty() {
        meta.remove("finalizers");
    } else {
        meta.insert("finalizers".to_owned(), Value::Array(finalizers.clone()));
    }
    let pending = meta
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_i64);
    match (meta.contains_key("deletionTimestamp"), pending) {
        // A second deletion can only shorten the first one's grace.
        (true, Some(before)) if grace >= before => {}
        (again, _) => {
            let end = now + jiff::SignedDuration::from_secs(grace);
            meta.insert(
                "deletionTimestamp".to_owned(),
                json!(super::format_time(end)),
            );
            meta.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
            if has_generation && !again {
                let generation = meta.get("generation").and_then(Value::as_i64).unwrap_or(0);
                meta.insert("generation".to_owned(), json!(generation + 1));
            }
        }
    }
    let left = meta
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let held = !finalizers.is_empty() || left > 0 || namespace;
    if namespace {
        value["status"]["phase"] = json!("Terminating");
    }
    !held
}
