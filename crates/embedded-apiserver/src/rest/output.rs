//! Which representation a client asked for, and how objects are put into it.

use std::collections::HashSet;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::builtin::Resource;
use crate::status::Status;
use crate::store::Object;
use crate::table::Include;

/// A representation of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The objects themselves.
    Full,
    /// `meta.k8s.io/v1 Table`.
    Table,
    /// `meta.k8s.io/v1 PartialObjectMetadata`.
    Metadata,
}

impl Format {
    /// Picks the first acceptable representation.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Self, Status> {
        let Some(accept) = headers.get(ACCEPT) else {
            return Ok(Self::Full);
        };
        let Ok(accept) = accept.to_str() else {
            return Err(Status::not_acceptable());
        };
        for option in accept.split(',') {
            let mut parts = option.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let mut target = None;
            let mut meta = true;
            for part in parts {
                match part.split_once('=') {
                    Some(("as", kind)) => target = Some(kind.trim()),
                    Some(("v", version)) => meta &= version.trim() == "v1",
                    Some(("g", group)) => meta &= group.trim() == "meta.k8s.io",
                    _ => {}
                }
            }
            match (media_type, target) {
                ("application/json", Some("Table")) if meta => return Ok(Self::Table),
                (
                    "application/json",
                    Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                ) if meta => return Ok(Self::Metadata),
                ("application/json" | "application/*" | "*/*" | "", None) => return Ok(Self::Full),
                _ => {}
            }
        }
        Err(Status::not_acceptable())
    }
}

/// The bytes of an object in the form of a resource's version.
pub(crate) fn object_bytes(resource: &Resource, object: &Object) -> Bytes {
    if resource.converts() {
        to_bytes(&object_value(resource, object))
    } else {
        object.bytes.clone()
    }
}

/// An object in the form of a resource's version.
pub(crate) fn object_value(resource: &Resource, object: &Object) -> Value {
    let mut value = object.value();
    resource.show_stored(&mut value);
    value
}

/// The metadata of an object.
pub(crate) fn partial_metadata(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

pub(crate) fn to_bytes(value: &Value) -> Bytes {
    // Writing a Value into memory cannot fail.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

/// A JSON response.
pub(crate) fn json_response(code: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The largest total length of warnings that are sent whole, in characters.
const WARNINGS_LIMIT: usize = 4096;
/// How much of each warning is sent if together they are longer.
const WARNING_LIMIT: usize = 256;

/// The answer to a write, or its failure, with the warnings that came up.
pub(crate) fn with_warnings(result: Result<Response, Status>, warnings: &[String]) -> Response {
    let mut response = result.unwrap_or_else(IntoResponse::into_response);
    add_warnings(&mut response, warnings);
    response
}

/// Adds `Warning` headers (RFC 7234 code 299), which kubectl prints: each text once, and
/// shortened where there is too much to say.
fn add_warnings(response: &mut Response, warnings: &[String]) {
    let mut said = HashSet::new();
    let warnings: Vec<&String> = warnings
        .iter()
        .filter(|warning| !warning.is_empty() && said.insert(warning.as_str()))
        .collect();
    let total: usize = warnings.iter().map(|warning| warning.chars().count()).sum();
    let shortened = total > WARNINGS_LIMIT;
    let keep = if shortened { WARNING_LIMIT } else { total };
    let mut sent = 0;
    for warning in warnings {
        if shortened && sent >= WARNINGS_LIMIT {
            break;
        }
        sent += warning.chars().count().min(keep);
        let text: String = warning
            .chars()
            .take(keep)
            .map(|c| {
                if c.is_control() || !c.is_ascii() {
                    ' '
                } else {
                    c
                }
            })
            .flat_map(|c| {
                if matches!(c, '"' | '\\') {
                    vec!['\\', c]
                } else {
                    vec![c]
                }
            })
            .collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            response.headers_mut().append(http::header::WARNING, value);
        }
    }
}

/// How much of each object a table carries along.
pub(crate) fn include(call: &super::Call) -> Result<Include, Status> {
    Include::parse(call.params.get("includeObject"))
        .ok_or_else(|| Status::bad_request("includeObject must be None, Metadata or Object"))
}
