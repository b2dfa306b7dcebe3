//! `kubectl auth can-i`: everybody who is let in may do everything.

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::body;
use super::output::json_response;
use super::path::ResourcePath;
use crate::status::Status;

/// The kind of review that is posted to a path, if it is one.
pub(crate) fn review(path: &ResourcePath) -> Option<&'static str> {
    if path.group != "authorization.k8s.io"
        || path.version != "v1"
        || path.namespace.is_some()
        || path.name.is_some()
    {
        return None;
    }
    match path.plural.as_str() {
        "selfsubjectaccessreviews" => Some("SelfSubjectAccessReview"),
        "selfsubjectrulesreviews" => Some("SelfSubjectRulesReview"),
        _ => None,
    }
}

/// Answers a review: the question, and a status that allows it.
pub(crate) fn answer(
    kind: &str,
    method: &Method,
    headers: &HeaderMap,
    bytes: &Bytes,
) -> Result<Response, Status> {
    if method != Method::POST {
        return Err(Status::method_not_allowed(method.as_str()));
    }
    let mut review = body::object(headers, bytes)?;
    let given = &review["kind"];
    if given != kind {
        return Err(Status::bad_request(format!(
            "a {kind} is expected, not {given}"
        )));
    }
    if !review["spec"].is_object() {
        return Err(Status::bad_request("spec is required"));
    }
    review["status"] = status(kind);
    Ok(json_response(StatusCode::CREATED, review.to_string()))
}

fn status(kind: &str) -> Value {
    if kind == "SelfSubjectRulesReview" {
        json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        })
    } else {
        json!({"allowed": true, "reason": "this server knows one user, who may do everything"})
    }
}
