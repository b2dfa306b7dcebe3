//! get and list.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::Call;
use super::output::{
    Format, include, json_response, object_bytes, object_value, partial_metadata, to_bytes,
};
use super::selection::Selection;
use crate::status::Status;
use crate::store::{Key, Object};
use crate::table;

/// One object.
pub(crate) fn get(call: &Call) -> Result<Response, Status> {
    let format = Format::negotiate(&call.parts.headers)?;
    let key = call.key()?;
    let object = call
        .core
        .store
        .get(&call.resource.collection, &key)
        .ok_or_else(|| call.not_found(&key.name))?;
    let body = match format {
        Format::Full => object_bytes(&call.resource, &object),
        _ => render_one(call, format, &object_value(&call.resource, &object))?,
    };
    Ok(json_response(StatusCode::OK, body))
}

/// One object in a representation.
pub(crate) fn render_one(call: &Call, format: Format, value: &Value) -> Result<Bytes, Status> {
    Ok(match format {
        Format::Full => to_bytes(value),
        Format::Metadata => to_bytes(&partial_metadata(value)),
        Format::Table => {
            let meta = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
            to_bytes(&render_table(call, &[value], &meta)?)
        }
    })
}

pub(super) fn render_table(call: &Call, objects: &[&Value], meta: &Value) -> Result<Value, Status> {
    let now = (call.core.clock)();
    Ok(table::render(
        call.resource.columns(),
        objects,
        now,
        include(call)?,
        meta,
        true,
    ))
}

/// Where a chunked list continues: the revision of its first chunk and the last key returned.
fn parse_continue(token: &str) -> Result<(u64, Key), Status> {
    let invalid = || Status::bad_request("continue key is not valid");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    let (revision, namespace, name): (u64, String, String) =
        serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    Ok((revision, Key::new(&namespace, &name)))
}

fn continue_token(revision: u64, last: &Object) -> String {
    let token = json!([revision, &*last.key.namespace, &*last.key.name]);
    URL_SAFE_NO_PAD.encode(token.to_string())
}

/// Checks the revision a list asks for against the one there is.
pub(super) fn check_revision(call: &Call, current: u64) -> Result<(), Status> {
    let Some(text) = call.params.get("resourceVersion") else {
        return match call.params.get("resourceVersionMatch") {
            Some(_) if call.params.get("sendInitialEvents").is_none() => {
                Err(Status::invalid_option(
                    "ListOptions",
                    "resourceVersionMatch",
                    "FieldValueForbidden",
                    "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is \
                     provided",
                ))
            }
            _ => Ok(()),
        };
    };
    let asked: u64 = text
        .parse()
        .map_err(|_| Status::bad_request(format!("invalid resourceVersion: {text:?}")))?;
    match call.params.get("resourceVersionMatch") {
        Some("Exact") if asked == 0 => Err(Status::invalid_option(
            "ListOptions",
            "resourceVersionMatch",
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
        )),
        Some("Exact") if asked < current => Err(Status::expired(format!(
            "The provided resource version is too old: {asked}, current: {current}; old states \
             are not kept"
        ))),
        Some("Exact" | "NotOlderThan") | None if asked > current => {
            Err(Status::too_large_revision(asked, current))
        }
        Some("Exact" | "NotOlderThan") | None => Ok(()),
        Some(other) => Err(Status::invalid_option(
            "ListOptions",
            "resourceVersionMatch",
            "FieldValueNotSupported",
            &format!("Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""),
        )),
    }
}

/// The selected objects of a collection.
///
/// Chunks (`limit`, `continue`) are read from the present state; their list keeps the first
/// chunk's revision, so that a watch from there hears of everything that changed in between.
pub(crate) fn list(call: &Call) -> Result<Response, Status> {
    let format = Format::negotiate(&call.parts.headers)?;
    let resource = &call.resource;
    if call.params.get("sendInitialEvents").is_some() {
        return Err(Status::invalid_option(
            "ListOptions",
            "sendInitialEvents",
            "FieldValueForbidden",
            "Forbidden: sendInitialEvents is forbidden for list",
        ));
    }
    let selection = Selection::parse(resource, call.namespace.clone(), None, &call.params)?;
    let limit = match call.params.number("limit")? {
        Some(limit) if limit < 0 => return Err(Status::bad_request("limit must not be negative")),
        Some(limit) if limit > 0 => usize::try_from(limit).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let resume = call
        .params
        .get("continue")
        .map(parse_continue)
        .transpose()?;
    let version = call.params.get("resourceVersion").unwrap_or_default();
    if resume.is_some() && !matches!(version, "" | "0") {
        return Err(Status::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    let listed = call.core.store.list(
        &resource.collection,
        call.namespace.as_deref(),
        resume.as_ref().map(|(_, key)| key),
    );
    if resume.is_none() {
        check_revision(call, listed.revision)?;
    }
    let revision = resume.map_or(listed.revision, |(revision, _)| revision);
    let mut objects = listed.objects;
    objects.retain(|object| selection.matches(object));
    let remaining = objects.len().saturating_sub(limit);
    objects.truncate(limit);

    let mut meta = json!({"resourceVersion": revision.to_string()});
    if resource.custom.is_some() {
        // Lists of custom resources say that they are complete.
        meta["continue"] = json!("");
    }
    if remaining > 0
        && let Some(last) = objects.last()
    {
        meta["continue"] = Value::String(continue_token(revision, last));
        // With a selector Kubernetes does not know how many are left, and so clients must not
        // rely on it.
        let selects = ["labelSelector", "fieldSelector"];
        if selects.iter().all(|key| call.params.get(key).is_none()) {
            meta["remainingItemCount"] = json!(remaining);
        }
    }
    let body = match format {
        Format::Full => {
            let size = objects
                .iter()
                .map(|object| object.bytes.len() + 1)
                .sum::<usize>();
            let mut body = Vec::with_capacity(size + 256);
            let head = format!(
                r#"{{"kind":{},"apiVersion":{},"metadata":{meta},"items":["#,
                Value::from(resource.list_kind.as_str()),
                Value::from(resource.api_version()),
            );
            body.extend_from_slice(head.as_bytes());
            for (index, object) in objects.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(&object_bytes(resource, object));
            }
            body.extend_from_slice(b"]}");
            Bytes::from(body)
        }
        Format::Metadata => {
            let items: Vec<Value> = objects
                .iter()
                .map(|object| partial_metadata(&object_value(resource, object)))
                .collect();
            to_bytes(&json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": meta,
                "items": items,
            }))
        }
        Format::Table => {
            let values: Vec<Value> = objects
                .iter()
                .map(|object| object_value(resource, object))
                .collect();
            let values: Vec<&Value> = values.iter().collect();
            to_bytes(&render_table(call, &values, &meta)?)
        }
    };
    Ok(json_response(StatusCode::OK, body))
}
