//! One AdmissionReview (`admission.k8s.io/v1`): bytes in, bytes out.
//!
//! Whatever comes in, an AdmissionReview goes out, and the HTTP status is 200: the verdict is in
//! the body. No input makes this panic, and a panic of what it calls becomes a verdict too.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Hook;
use super::patch::{Add, additions};
use crate::admission::{Admission, ClaimLookup};

/// Larger reviews are refused.
pub const MAX_BODY: usize = 7 << 20;

const CONTENT_TYPE: &str = "application/json";
const KIND: &str = "AdmissionReview";
const VERSION: &str = "admission.k8s.io/v1";
/// Same form in all that is used here; some old clients still send it.
const OLD_VERSION: &str = "admission.k8s.io/v1beta1";

/// What to send back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// An AdmissionReview.
    pub body: Vec<u8>,
    /// Whether admission panicked and the verdict is that it did.
    pub panicked: bool,
}

/// Answers a review. `content_type` is the value of the header, `claims` looks up the claims that
/// [`Review::claims`] names.
pub fn review(
    hook: Hook,
    content_type: Option<&[u8]>,
    body: &[u8],
    admission: &Admission,
    claims: &ClaimLookup<'_>,
) -> Answer {
    match Review::decode(content_type, body) {
        Ok(review) => review.answer(hook, admission, claims),
        Err(answer) => answer,
    }
}

/// The answer to a body that is longer than [`MAX_BODY`].
pub fn too_large() -> Answer {
    let message = format!("the request body is larger than {MAX_BODY} bytes");
    refused(failure(413, "RequestEntityTooLarge", message))
}

/// The answer to a body that could not be read to its end.
pub fn unreadable(error: &str) -> Answer {
    bad_request(format!("cannot read the request body: {error}"))
}

/// A review that has been decoded. What it asks is not looked at yet.
#[derive(Debug)]
pub struct Review {
    version: &'static str,
    uid: String,
    operation: String,
    object: Value,
    old_object: Value,
}

#[derive(Deserialize)]
struct Received {
    #[serde(rename = "apiVersion")]
    version: Option<String>,
    kind: Option<String>,
    request: Option<ReceivedRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceivedRequest {
    uid: Option<String>,
    operation: Option<String>,
    namespace: Option<String>,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    old_object: Value,
}

#[derive(Serialize)]
struct Sent<'a> {
    #[serde(rename = "apiVersion")]
    version: &'a str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    status: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Verdict {
    Allowed { code: u16 },
    Refused(Box<Status>),
}

/// What was decided.
enum Decision {
    Allowed {
        warnings: Vec<String>,
    },
    /// The patch, encoded as JSON.
    Patched(Vec<u8>),
    Refused(Box<Status>),
}

impl From<Result<Vec<String>, Box<Status>>> for Decision {
    fn from(result: Result<Vec<String>, Box<Status>>) -> Self {
        match result {
            Ok(warnings) => Self::Allowed { warnings },
            Err(status) => Self::Refused(status),
        }
    }
}

impl Decision {
    const ALLOWED: Self = Self::Allowed {
        warnings: Vec::new(),
    };

    fn bad_request(message: impl Into<String>) -> Self {
        Self::Refused(failure(400, "BadRequest", message))
    }
}

impl Review {
    /// Decodes a review.
    ///
    /// # Errors
    /// The answer, when it is none.
    pub fn decode(content_type: Option<&[u8]>, body: &[u8]) -> Result<Self, Answer> {
        if body.is_empty() {
            return Err(bad_request("the request body is empty"));
        }
        if body.len() > MAX_BODY {
            return Err(too_large());
        }
        if content_type != Some(CONTENT_TYPE.as_bytes()) {
            let found = content_type.unwrap_or_default();
            return Err(bad_request(format!(
                "the content type has to be {CONTENT_TYPE}, not {:?}",
                String::from_utf8_lossy(found)
            )));
        }
        let received: Received = serde_json::from_slice(body).map_err(|error| {
            bad_request(format!("the request body is no AdmissionReview: {error}"))
        })?;
        let version = match received.version.as_deref() {
            None | Some("" | VERSION) => VERSION,
            Some(OLD_VERSION) => OLD_VERSION,
            Some(other) => {
                return Err(bad_request(format!(
                    "reviews of version {other:?} are not known, only those of {VERSION}"
                )));
            }
        };
        if !matches!(received.kind.as_deref(), None | Some("" | KIND)) {
            let kind = received.kind.unwrap_or_default();
            return Err(bad_request(format!("expected {KIND}, not {kind:?}")));
        }
        let Some(request) = received.request else {
            return Err(bad_request("the AdmissionReview has no request"));
        };
        let mut object = request.object;
        if let Some(namespace) = request.namespace {
            set_namespace(&mut object, namespace);
        }
        Ok(Self {
            version,
            uid: request.uid.unwrap_or_default(),
            operation: request.operation.unwrap_or_default(),
            object,
            old_object: request.old_object,
        })
    }

    /// Namespace and names of the claims that the answer depends on; none, mostly.
    pub fn claims(&self, hook: Hook, admission: &Admission) -> Option<(&str, Vec<String>)> {
        if hook != Hook::ValidateJobSet || self.operation != "CREATE" {
            return None;
        }
        let namespace = self.object.pointer("/metadata/namespace")?.as_str()?;
        let find = AssertUnwindSafe(|| admission.claims_of(&self.object));
        // A panic here is met again, and reported, when the JobSet is checked.
        let names = catch_unwind(find).unwrap_or_default();
        (!names.is_empty()).then_some((namespace, names))
    }

    /// Answers it. `claims` looks up what [`Review::claims`] names.
    pub fn answer(&self, hook: Hook, admission: &Admission, claims: &ClaimLookup<'_>) -> Answer {
        let decide = AssertUnwindSafe(|| self.decide(hook, admission, claims));
        let (decision, panicked) = match catch_unwind(decide) {
            Ok(decision) => (decision, false),
            Err(panic) => (Decision::Refused(panic_status(&*panic)), true),
        };
        let (mut patch, mut warnings) = (None, Vec::new());
        let status = match decision {
            Decision::Refused(status) => Verdict::Refused(status),
            Decision::Allowed { warnings: given } => {
                warnings = given;
                Verdict::Allowed { code: 200 }
            }
            Decision::Patched(operations) => {
                patch = Some(STANDARD.encode(operations));
                Verdict::Allowed { code: 200 }
            }
        };
        let response = Response {
            uid: &self.uid,
            allowed: matches!(status, Verdict::Allowed { .. }),
            status,
            patch_type: patch.as_ref().map(|_| "JSONPatch"),
            patch,
            warnings,
        };
        Answer {
            body: encode(self.version, response),
            panicked,
        }
    }

    fn decide(&self, hook: Hook, admission: &Admission, claims: &ClaimLookup<'_>) -> Decision {
        match (self.operation.as_str(), hook) {
            ("CREATE", _) | ("UPDATE", Hook::ValidateJobSet) => {}
            // Nothing is asked of these, and their objects may be absent.
            ("UPDATE" | "DELETE", _) => return Decision::ALLOWED,
            (other, _) => {
                return Decision::bad_request(format!("the operation {other:?} is not known"));
            }
        }
        if !self.object.is_object() {
            return Decision::bad_request("the request's object is missing or no object");
        }
        match hook {
            Hook::MutateJobSet => self.patched(|jobset| {
                admission.default_jobset(jobset);
                Ok(())
            }),
            Hook::MutatePod => self.patched(|pod| admission.mutate_pod(pod)),
            Hook::ValidateJobSet if self.operation == "UPDATE" => {
                if !self.old_object.is_object() {
                    return Decision::bad_request(
                        "the request's oldObject is missing or no object",
                    );
                }
                let checked = admission.update_jobset(&self.old_object, &self.object);
                checked.map(|()| Vec::new()).into()
            }
            Hook::ValidateJobSet => admission.create_jobset(&self.object, claims).into(),
            Hook::ValidatePod => {
                let checked = admission.validate_pod(&self.object);
                checked.map(|()| Vec::new()).into()
            }
        }
    }

    /// The patch that makes of the object what `mutate` does.
    fn patched(&self, mutate: impl FnOnce(&mut Value) -> Result<(), Box<Status>>) -> Decision {
        let mut after = self.object.clone();
        if let Err(status) = mutate(&mut after) {
            return Decision::Refused(status);
        }
        let adds = additions(&self.object, &after);
        if adds.is_empty() {
            return Decision::ALLOWED;
        }
        match serde_json::to_vec::<[Add<'_>]>(&adds) {
            Ok(patch) => Decision::Patched(patch),
            Err(error) => Decision::Refused(failure(500, "InternalError", error.to_string())),
        }
    }
}

/// The request says which namespace an object goes to, also where the object itself does not. It
/// is no part of any patch: the object is compared with itself.
fn set_namespace(object: &mut Value, namespace: String) {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        let own = metadata.entry("namespace").or_insert(Value::Null);
        if own.is_null() || own == "" {
            *own = namespace.into();
        }
    }
}

fn failure(code: i32, reason: &str, message: impl Into<String>) -> Box<Status> {
    Box::new(Status {
        status: Some("Failure".to_owned()),
        code: Some(code),
        reason: Some(reason.to_owned()),
        message: Some(message.into()),
        ..Status::default()
    })
}

fn panic_status(panic: &(dyn Any + Send)) -> Box<Status> {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    failure(500, "InternalError", format!("admission panicked: {text}"))
}

fn bad_request(message: impl Into<String>) -> Answer {
    refused(failure(400, "BadRequest", message))
}

/// Refuses what is no review, so that there is no uid to name.
fn refused(status: Box<Status>) -> Answer {
    let response = Response {
        uid: "",
        allowed: false,
        status: Verdict::Refused(status),
        patch: None,
        patch_type: None,
        warnings: Vec::new(),
    };
    Answer {
        body: encode(VERSION, response),
        panicked: false,
    }
}

fn encode(version: &str, response: Response<'_>) -> Vec<u8> {
    let sent = Sent {
        version,
        kind: KIND,
        response,
    };
    // Strings, numbers and lists of them: there is nothing that could fail to encode.
    serde_json::to_vec(&sent).unwrap_or_default()
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
