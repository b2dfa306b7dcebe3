//! `admission.k8s.io/v1 AdmissionReview`: what is asked, and what the answers mean.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::status::{Details, Status};

const API_VERSION: &str = "admission.k8s.io/v1";

/// `metav1.GroupVersionKind`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct GroupVersionKind<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
}

/// `metav1.GroupVersionResource`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct GroupVersionResource<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) resource: &'a str,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct UserInfo<'a> {
    pub(crate) username: &'a str,
    pub(crate) groups: &'a [&'a str],
}

/// Everything about a request but the objects; match conditions see it as `request`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attributes<'a> {
    pub(crate) kind: GroupVersionKind<'a>,
    pub(crate) resource: GroupVersionResource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) sub_resource: &'a str,
    /// What the client asked for, where the webhook is asked in terms of another version.
    pub(crate) request_kind: GroupVersionKind<'a>,
    pub(crate) request_resource: GroupVersionResource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) request_sub_resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) namespace: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) user_info: UserInfo<'a>,
    pub(crate) dry_run: bool,
    pub(crate) options: &'a Value,
}

/// A question to a webhook.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Review<'a> {
    pub(crate) uid: &'a str,
    #[serde(flatten)]
    pub(crate) attributes: Attributes<'a>,
    pub(crate) object: Option<&'a Value>,
    pub(crate) old_object: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    kind: &'a str,
    api_version: &'a str,
    request: Review<'a>,
}

impl Review<'_> {
    /// The body of the call.
    pub(crate) fn to_bytes(self) -> Bytes {
        let envelope = Envelope {
            kind: "AdmissionReview",
            api_version: API_VERSION,
            request: self,
        };
        // Strings and JSON values always serialise.
        Bytes::from(serde_json::to_vec(&envelope).unwrap_or_default())
    }
}

/// What a webhook answered.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) allowed: bool,
    /// A `metav1.Status`, or null.
    pub(crate) result: Value,
    pub(crate) patch: Option<Vec<u8>>,
    pub(crate) warnings: Vec<String>,
}

impl Verdict {
    /// Reads an answer to the question with this uid, or says what is wrong with it.
    pub(crate) fn read(mut answer: Value, uid: &str) -> Result<Self, String> {
        let invalid = |what: String| format!("received invalid webhook response: {what}");
        if answer["apiVersion"] != API_VERSION || answer["kind"] != "AdmissionReview" {
            let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
            return Err(invalid(format!(
                "expected webhook response of {API_VERSION}, Kind=AdmissionReview, got {}, Kind={}",
                text("apiVersion"),
                text("kind")
            )));
        }
        let mut response = answer["response"].take();
        if !response.is_object() {
            return Err(invalid("webhook response was absent".to_owned()));
        }
        if response["uid"] != uid {
            let found = response["uid"].as_str().unwrap_or_default();
            return Err(invalid(format!(
                "expected response.uid={uid:?}, got {found:?}"
            )));
        }
        let Some(allowed) = response.get("allowed").map_or(Some(false), Value::as_bool) else {
            return Err(invalid("response.allowed is not a boolean".to_owned()));
        };
        let patch_type = response["patchType"].as_str().unwrap_or_default();
        let patch = match response["patch"].as_str() {
            None | Some("") => None,
            Some(text) => Some(
                STANDARD
                    .decode(text)
                    .map_err(|error| invalid(format!("response.patch is not base64: {error}")))?,
            ),
        };
        match (&patch, patch_type) {
            (Some(_), "JSONPatch") | (None, "") => {}
            (Some(_), "") => {
                return Err(invalid(
                    "webhook returned response.patch but not response.patchType".to_owned(),
                ));
            }
            (Some(_), other) => {
                return Err(invalid(format!(
                    "webhook returned invalid response.patchType of {other:?}"
                )));
            }
            (None, _) => {
                return Err(invalid(
                    "webhook returned response.patchType but not response.patch".to_owned(),
                ));
            }
        }
        let warnings = response["warnings"].as_array().into_iter().flatten();
        Ok(Self {
            allowed,
            patch,
            warnings: warnings
                .filter_map(|warning| warning.as_str().map(str::to_owned))
                .collect(),
            result: response["status"].take(),
        })
    }
}

/// What a patch makes of an object.
#[derive(Debug, PartialEq)]
pub(crate) enum Patched {
    /// The new object.
    Object(Value),
    /// It cannot be read, which is a failure of the webhook.
    Unreadable(String),
    /// It does not fit the object.
    DoesNotApply(String),
}

impl Patched {
    /// Applies a JSON patch.
    pub(crate) fn of(object: &Value, patch: &[u8]) -> Self {
        let patch: json_patch::Patch = match serde_json::from_slice(patch) {
            Ok(patch) => patch,
            Err(error) => {
                return Self::Unreadable(format!(
                    "received undecodable patch in webhook response: {error}"
                ));
            }
        };
        let mut patched = object.clone();
        match json_patch::patch(&mut patched, &patch) {
            Ok(()) => Self::Object(patched),
            Err(error) => Self::DoesNotApply(error.to_string()),
        }
    }
}

/// The answer to a client whose request a webhook has denied.
pub(crate) fn denied(webhook: &str, result: &Value) -> Status {
    let text = |key: &str| result[key].as_str().unwrap_or_default();
    let by = format!("admission webhook {webhook:?} denied the request");
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    // A denial is an error, whatever the webhook says of it.
    let code = result["code"]
        .as_u64()
        .filter(|code| (400..600).contains(code));
    let code = code
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(400);
    let mut status = Status::failure(code, text("reason"), message);
    let details: Option<Details> = serde_json::from_value(result["details"].clone()).ok();
    status.details = details.map(Box::new);
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn denials() {
        for (result, code, reason, message) in [
            (json!(null), 400, "", "without explanation"),
            (json!({"code": 200}), 400, "", "without explanation"),
            (json!({"code": 9999}), 400, "", "without explanation"),
            (
                json!({"reason": "Forbidden", "code": 403}),
                403,
                "Forbidden",
                ": Forbidden",
            ),
            (
                json!({"message": "no", "reason": "Invalid", "code": 422}),
                422,
                "Invalid",
                ": no",
            ),
        ] {
            let status = denied("a.b.c", &result);
            assert_eq!(
                (status.code, status.reason.as_str()),
                (code, reason),
                "{result}"
            );
            let start = "admission webhook \"a.b.c\" denied the request";
            assert!(status.message.starts_with(start), "{}", status.message);
            assert!(status.message.ends_with(message), "{}", status.message);
        }
        let result = json!({"details": {"name": "x", "causes": [{"field": "f"}]}});
        let details = denied("a.b.c", &result).details.unwrap();
        assert_eq!((details.name.as_str(), details.causes.len()), ("x", 1));
    }

    #[test]
    fn answers_must_fit_the_question() {
        let good = json!({
            "apiVersion": API_VERSION, "kind": "AdmissionReview",
            "response": {"uid": "u", "allowed": true, "warnings": ["w"]},
        });
        let verdict = Verdict::read(good.clone(), "u").unwrap();
        assert!(verdict.allowed && verdict.patch.is_none());
        assert_eq!(verdict.warnings, ["w"]);
        for (pointer, value, problem) in [
            (
                "/apiVersion",
                json!("admission.k8s.io/v2"),
                "expected webhook response",
            ),
            ("/kind", json!(null), "expected webhook response"),
            ("/response", json!(null), "absent"),
            ("/response/uid", json!("v"), "response.uid"),
            ("/response/allowed", json!("yes"), "boolean"),
            ("/response/warnings", json!(null), ""),
        ] {
            let mut answer = good.clone();
            *answer.pointer_mut(pointer).unwrap() = value;
            match Verdict::read(answer, "u") {
                Ok(_) => assert!(problem.is_empty(), "{pointer}"),
                Err(error) => assert!(!problem.is_empty() && error.contains(problem), "{error}"),
            }
        }
        for (patch, patch_type, fits) in [
            ("W10=", "JSONPatch", true),
            ("W10=", "", false),
            ("W10=", "MergePatch", false),
            ("", "JSONPatch", false),
            ("%", "JSONPatch", false),
        ] {
            let mut answer = good.clone();
            answer["response"]["patch"] = json!(patch);
            answer["response"]["patchType"] = json!(patch_type);
            assert_eq!(
                Verdict::read(answer, "u").is_ok(),
                fits,
                "{patch} {patch_type}"
            );
        }
    }

    #[test]
    fn patches() {
        let object = json!({"a": 1});
        let patched = Patched::of(&object, br#"[{"op":"replace","path":"/a","value":2}]"#);
        assert_eq!(patched, Patched::Object(json!({"a": 2})));
        let patched = Patched::of(&object, br#"[{"op":"remove","path":"/b"}]"#);
        assert!(matches!(patched, Patched::DoesNotApply(_)), "{patched:?}");
        let patched = Patched::of(&object, b"{}");
        assert!(matches!(patched, Patched::Unreadable(_)), "{patched:?}");
    }
}
