//! patch, by media type; server-side apply also creates.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::ownership::{self, Ownership};
use super::params::Options;
use super::{Call, body, create, object_response, output, prepare, update};
use crate::patch::{self, PatchError};
use crate::status::Status;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// PATCH of an object or of its status.
pub(crate) async fn patch(call: &Call, bytes: &Bytes) -> Result<Response, Status> {
    let mut warnings = Vec::new();
    let warn = &mut warnings;
    let media_type = body::media_type(&call.parts.headers);
    let custom = call.resource.custom.is_some();
    let mut code = StatusCode::OK;
    call.params.check(if media_type == APPLY {
        Options::Apply
    } else {
        Options::Patch
    })?;
    let value = match media_type.as_str() {
        JSON => {
            let patch = body::parse(bytes)?;
            change(call, warn, |old| patch::json_patch(old, &patch)).await
        }
        MERGE => {
            let patch = body::parse(bytes)?;
            change(call, warn, |old| patch::merge_patch(old, &patch)).await
        }
        STRATEGIC if !custom => {
            let patch = body::parse(bytes)?;
            let gvk = call.resource.gvk();
            change(call, warn, |old| patch::strategic_merge(&gvk, old, &patch)).await
        }
        APPLY => apply(call, bytes, warn).await.map(|(created, value)| {
            if created {
                code = StatusCode::CREATED;
            }
            value
        }),
        other => {
            let supported = if custom {
                [JSON, MERGE, APPLY].join(", ")
            } else {
                [JSON, MERGE, STRATEGIC, APPLY].join(", ")
            };
            let status = Status::unsupported_media_type(other, &supported);
            return Err(if custom {
                status
            } else {
                status.without_details()
            });
        }
    };
    let response = value.and_then(|value| object_response(call, code, &value));
    Ok(output::with_warnings(response, &warnings))
}

/// A patch whose result decides which fields are unknown.
async fn change(
    call: &Call,
    warnings: &mut Vec<String>,
    patch: impl Fn(&Value) -> Result<Value, PatchError> + Send + Sync,
) -> Result<Value, Status> {
    update::write(
        call,
        "patch",
        Ownership::Changed,
        warnings,
        |old, warnings| {
            let new = patch(old).map_err(|error| refused(&error))?;
            prepare::check_fields(call, &new, None, warnings)?;
            Ok(new)
        },
    )
    .await
}

fn refused(error: &PatchError) -> Status {
    match error {
        PatchError::Malformed(message) => Status::bad_request(message),
        PatchError::DoesNotApply(message) => {
            Status::failure(422, "Invalid", message).without_details()
        }
    }
}

/// Server-side apply: says everything its manager wants. True if the object was created.
async fn apply(
    call: &Call,
    bytes: &Bytes,
    warnings: &mut Vec<String>,
) -> Result<(bool, Value), Status> {
    let mut wanted = body::parse_yaml(bytes)?;
    if wanted["apiVersion"].is_null() || wanted["kind"].is_null() {
        return Err(Status::bad_request(
            "apiVersion and kind must be set in an apply patch",
        ));
    }
    prepare::check_type(call, &mut wanted)?;
    prepare::check_fields(call, &wanted, Some(bytes), warnings)?;
    let key = call.key()?;
    match wanted["metadata"]["name"].as_str() {
        None | Some("") => wanted["metadata"]["name"] = Value::String(key.name.to_string()),
        Some(_) => {}
    }
    keep_own_part(call, &mut wanted);
    loop {
        let result = update::write(call, "patch", Ownership::Applied, warnings, |old, _| {
            let mut wanted = wanted.clone();
            // A precondition is not something to own.
            let version = wanted["metadata"].as_object_mut().and_then(|meta| {
                meta.remove("uid")
                    .filter(|uid| *uid != old["metadata"]["uid"])
            });
            let mut new = ownership::applied(call, Some(old), &wanted)?;
            if let Some(uid) = version {
                new["metadata"]["uid"] = uid;
            }
            Ok(new)
        });
        match result.await {
            Err(status) if status.code == 404 && call.subresource.is_empty() => {}
            result => return Ok((false, result?)),
        }
        if wanted["metadata"]["uid"]
            .as_str()
            .is_some_and(|uid| !uid.is_empty())
        {
            return Err(call.conflict(&key.name, "uid mismatch: the object does not exist"));
        }
        let object = ownership::applied(call, None, &wanted)?;
        match create::store(call, object, Ownership::Applied, warnings).await {
            // Somebody was faster: there is something to apply to now.
            Err(status) if status.reason == "AlreadyExists" => {}
            result => return Ok((true, result?)),
        }
    }
}

/// Drops what the endpoint ignores: status of the main resource, everything else of the status.
fn keep_own_part(call: &Call, wanted: &mut Value) {
    let Some(map) = wanted.as_object_mut() else {
        return;
    };
    if call.subresource == "status" {
        map.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
        if let Some(meta) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.retain(|key, _| {
                matches!(
                    key.as_str(),
                    "name" | "namespace" | "uid" | "resourceVersion"
                )
            });
        }
    } else if call.resource.has_status {
        map.remove("status");
    }
}
