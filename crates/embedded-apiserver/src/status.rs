//! `metav1.Status`: the body of every failed request, and of some that succeed.
//!
//! A [`Status`] is also this crate's error type: whatever goes wrong while a request is served is
//! one of the reasons Kubernetes defines, with the same HTTP code and the same details.

use std::collections::HashSet;
use std::fmt;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::schema::FieldError;

/// A `metav1.Status` object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    pub api_version: String,
    /// Always empty; present because clients expect it.
    #[serde(default)]
    pub metadata: EmptyMeta,
    /// Whether the request succeeded.
    pub status: Outcome,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Machine-readable reason, for example `NotFound`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the message is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    /// HTTP status code; 0, which is not written, in the answer to a deletion.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code: u16,
}

/// Whether a request succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It did.
    Success,
    /// It did not.
    Failure,
}

/// The empty `metadata` of a [`Status`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyMeta {}

/// `details` of a [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind, or plural resource name, of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// UID of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One entry for each thing that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// One cause within [`Details`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cause {
    /// Machine-readable, for example `FieldValueInvalid`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field, for example `spec.template.spec.containers[0].name`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(code: &u16) -> bool {
    *code == 0
}

impl From<&FieldError> for Cause {
    fn from(error: &FieldError) -> Self {
        Self {
            reason: error.kind.reason().to_owned(),
            message: error.message(),
            field: error.path.clone(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.message, self.code, self.reason)
    }
}

impl std::error::Error for Status {}

impl Status {
    /// A failure of any kind.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind: "Status".to_owned(),
            api_version: "v1".to_owned(),
            metadata: EmptyMeta {},
            status: Outcome::Failure,
            message: message.into(),
            reason: reason.to_owned(),
            details: None,
            code,
        }
    }

    /// A success that has nothing more to say.
    pub fn success(code: u16) -> Self {
        Self {
            status: Outcome::Success,
            ..Self::failure(code, "", "")
        }
    }

    /// The success answer of a delete that removed the object at once.
    pub fn deleted(resource: &str, group: &str, name: &str, uid: &str) -> Self {
        let mut status = Self::success(0);
        status.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: resource.to_owned(),
            uid: uid.to_owned(),
            ..Details::default()
        }));
        status
    }

    /// Refuses an option of a request, given in its query or body.
    pub fn invalid_option(options: &str, field: &str, reason: &str, message: &str) -> Self {
        Self::failure(
            422,
            "Invalid",
            format!("{options}.meta.k8s.io \"\" is invalid: {field}: {message}"),
        )
        .about(options, "meta.k8s.io", "")
        .cause(reason, field, message)
    }

    /// Names the object that a failure is about.
    pub fn about(mut self, resource: &str, group: &str, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        details.kind = resource.to_owned();
        details.group = group.to_owned();
        details.name = name.to_owned();
        self
    }

    /// With details that say nothing, as some failures have them.
    pub fn without_details(mut self) -> Self {
        self.details = Some(Box::default());
        self
    }

    /// Adds one cause.
    pub fn cause(mut self, reason: &str, field: &str, message: impl Into<String>) -> Self {
        self.details.get_or_insert_default().causes.push(Cause {
            reason: reason.to_owned(),
            message: message.into(),
            field: field.to_owned(),
        });
        self
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 401: no valid credentials.
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 403: understood and refused.
    pub fn forbidden(resource: &str, group: &str, name: &str, why: impl fmt::Display) -> Self {
        let message = format!(
            "{} \"{name}\" is forbidden: {why}",
            qualified(resource, group)
        );
        Self::failure(403, "Forbidden", message).about(resource, group, name)
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &str, group: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(resource, group));
        Self::failure(404, "NotFound", message).about(resource, group, name)
    }

    /// 404: there is no such resource or path.
    pub fn no_such_path() -> Self {
        Self::failure(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
        .without_details()
    }

    /// 405: the resource exists and does not offer this.
    pub fn method_not_allowed(verb: &str) -> Self {
        Self::failure(
            405,
            "MethodNotAllowed",
            format!("the server does not allow this method on the requested resource: {verb}"),
        )
        .without_details()
    }

    /// 406: none of the media types asked for can be produced.
    pub fn not_acceptable() -> Self {
        Self::failure(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json",
        )
        .without_details()
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &str, group: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(resource, group));
        Self::failure(409, "AlreadyExists", message).about(resource, group, name)
    }

    /// 409: a precondition does not hold.
    pub fn conflict(resource: &str, group: &str, name: &str, why: impl fmt::Display) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            qualified(resource, group)
        );
        Self::failure(409, "Conflict", message).about(resource, group, name)
    }

    /// 409: the object changed since the caller read it.
    pub fn stale(resource: &str, group: &str, name: &str) -> Self {
        Self::conflict(
            resource,
            group,
            name,
            "the object has been modified; please apply your changes to the latest version and \
             try again",
        )
    }

    /// 410: the revision asked for is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 413: the body is larger than the server reads.
    pub fn too_large(limit: usize) -> Self {
        Self::failure(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// 415: the body has a media type the server does not read.
    pub fn unsupported_media_type(got: &str, supported: &str) -> Self {
        Self::failure(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format ({got}) - accepted media types \
                 include: {supported}"
            ),
        )
    }

    /// 422: the object is well-formed and breaks a rule. `errors` become causes.
    pub fn invalid(kind: &str, group: &str, name: &str, mut errors: Vec<Cause>) -> Self {
        let mut seen = HashSet::new();
        errors.retain(|error| seen.insert(error.clone()));
        let listed: Vec<String> = errors
            .iter()
            .map(|e| format!("{}: {}", e.field, e.message))
            .collect();
        let text = match listed.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{name}\" is invalid: {text}", qualified(kind, group));
        let mut status = Self::failure(422, "Invalid", message).about(kind, group, name);
        status.details.get_or_insert_default().causes = errors;
        status
    }

    /// 500: a fault of the server.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::failure(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// 501: known and deliberately not offered.
    pub fn not_implemented(what: impl fmt::Display) -> Self {
        Self::failure(
            501,
            "NotImplemented",
            format!("{what} is not implemented by this server"),
        )
    }

    /// 504: the revision asked for lies in the future.
    pub fn too_large_revision(asked: u64, current: u64) -> Self {
        let mut status = Self::failure(
            504,
            "Timeout",
            format!("Too large resource version: {asked}, current: {current}"),
        )
        .cause("ResourceVersionTooLarge", "", "Too large resource version");
        status.details.get_or_insert_default().retry_after_seconds = Some(1);
        status
    }

    /// The JSON body.
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of strings and numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() =
            StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(seconds) = self.details.as_ref().and_then(|d| d.retry_after_seconds) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// `jobs.batch`, or `pods` for the core group.
fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}
