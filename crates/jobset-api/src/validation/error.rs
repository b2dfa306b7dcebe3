//! Validation errors and how the API server words them.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusCause, StatusDetails};
use serde_json::Value;

use crate::constants::{GROUP, KIND};

/// What is wrong with a field, in the terms of the Kubernetes API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The value is not acceptable.
    Invalid,
    /// The field may not be set or changed now.
    Forbidden,
    /// The field must have a value.
    Required,
    /// The value is too long.
    TooLong,
    /// A rule that belongs to no single field (see [`FieldError::plain`]), or one that could not be
    /// checked.
    Internal,
}

impl ErrorKind {
    /// `reason` of the cause in the Status.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::Forbidden => "FieldValueForbidden",
            Self::Required => "FieldValueRequired",
            Self::TooLong => "FieldValueTooLong",
            Self::Internal => "InternalError",
        }
    }

    /// The words that open the message.
    fn prefix(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid value",
            Self::Forbidden => "Forbidden",
            Self::Required => "Required value",
            Self::TooLong => "Too long",
            Self::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Path of the field, such as `spec.replicatedJobs[0].name`; empty for a rule that belongs to
    /// no single field.
    pub path: String,
    /// What is wrong.
    pub kind: ErrorKind,
    /// The offending value. Part of the message for [`ErrorKind::Invalid`] only.
    pub value: Value,
    /// An explanation.
    pub detail: String,
}

impl FieldError {
    /// A value that is not acceptable.
    pub fn invalid(
        path: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        let (path, value, detail) = (path.into(), value.into(), detail.into());
        Self {
            path,
            kind: ErrorKind::Invalid,
            value,
            detail,
        }
    }

    /// A field that may not be set or changed now.
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::without_value(path.into(), ErrorKind::Forbidden, detail.into())
    }

    /// A field that must have a value.
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::without_value(path.into(), ErrorKind::Required, detail.into())
    }

    /// A text of more than `limit` bytes.
    pub fn too_long(path: impl Into<String>, limit: usize) -> Self {
        let detail = format!("may not be more than {limit} bytes");
        Self::without_value(path.into(), ErrorKind::TooLong, detail)
    }

    /// A rule that belongs to no single field. Kubernetes' error lists know such errors only as
    /// internal ones, with `<nil>` for the field; clients have come to see them so.
    pub fn plain(detail: impl Into<String>) -> Self {
        Self::without_value(String::new(), ErrorKind::Internal, detail.into())
    }

    /// A field that could not be checked.
    pub fn internal(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::without_value(path.into(), ErrorKind::Internal, detail.into())
    }

    fn without_value(path: String, kind: ErrorKind, detail: String) -> Self {
        Self {
            path,
            kind,
            value: Value::Null,
            detail,
        }
    }

    /// The path as it is shown.
    fn shown_path(&self) -> &str {
        if self.path.is_empty() {
            "<nil>"
        } else {
            &self.path
        }
    }

    /// The message without the path.
    pub fn body(&self) -> String {
        let mut text = self.kind.prefix().to_owned();
        if self.kind == ErrorKind::Invalid {
            text.push_str(": ");
            text.push_str(&self.value.to_string());
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.shown_path(), self.body())
    }
}

/// The message of the API server for an object with these errors. Repeated ones are named once.
pub fn invalid_message(name: &str, errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let joined = match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    format!("{KIND}.{GROUP} {} is invalid: {joined}", Value::from(name))
}

/// The Status (422, `Invalid`) for a JobSet of this name with these errors.
pub fn invalid_status(name: &str, errors: &[FieldError]) -> Status {
    let causes = errors.iter().map(|error| StatusCause {
        field: Some(error.shown_path().to_owned()),
        message: Some(error.body()),
        reason: Some(error.kind.reason().to_owned()),
    });
    Status {
        status: Some("Failure".to_owned()),
        code: Some(422),
        reason: Some("Invalid".to_owned()),
        message: Some(invalid_message(name, errors)),
        details: Some(StatusDetails {
            group: Some(GROUP.to_owned()),
            kind: Some(KIND.to_owned()),
            name: (!name.is_empty()).then(|| name.to_owned()),
            causes: Some(causes.collect()),
            ..StatusDetails::default()
        }),
        ..Status::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_is_worded_like_the_api_server() {
        let table = [
            (
                FieldError::invalid("spec.a", "x\"y", "no"),
                r#"spec.a: Invalid value: "x\"y": no"#,
            ),
            (
                FieldError::invalid("spec.a", Value::Null, "no"),
                "spec.a: Invalid value: null: no",
            ),
            (
                FieldError::invalid("spec.a", 3, "no"),
                "spec.a: Invalid value: 3: no",
            ),
            (
                FieldError::forbidden("spec.a", "no"),
                "spec.a: Forbidden: no",
            ),
            (FieldError::required("spec.a", ""), "spec.a: Required value"),
            (
                FieldError::too_long("spec.a", 63),
                "spec.a: Too long: may not be more than 63 bytes",
            ),
            (FieldError::plain("no"), "<nil>: Internal error: no"),
        ];
        for (error, text) in table {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn one_error_stands_alone_and_several_are_listed_once_each() {
        let (a, b) = (FieldError::plain("a"), FieldError::plain("b"));
        let one = invalid_message("js", std::slice::from_ref(&a));
        let start = r#"JobSet.jobset.x-k8s.io "js" is invalid: "#;
        assert_eq!(one, format!("{start}<nil>: Internal error: a"));
        let several = invalid_message("js", &[a.clone(), b.clone(), a.clone()]);
        assert_eq!(
            several,
            format!("{start}[<nil>: Internal error: a, <nil>: Internal error: b]")
        );
    }

    #[test]
    fn status_has_a_cause_per_error() {
        let errors = [
            FieldError::plain("a"),
            FieldError::required("spec.managedBy", ""),
        ];
        let status = serde_json::to_value(invalid_status("js", &errors)).unwrap();
        assert_eq!(status["kind"], "Status");
        assert_eq!(status["code"], 422);
        assert_eq!(status["reason"], "Invalid");
        assert_eq!(
            status["details"],
            json!({"group": "jobset.x-k8s.io", "kind": "JobSet", "name": "js", "causes": [
                {"reason": "InternalError", "message": "Internal error: a", "field": "<nil>"},
                {"reason": "FieldValueRequired", "message": "Required value",
                 "field": "spec.managedBy"},
            ]})
        );
    }
}
