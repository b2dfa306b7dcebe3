//! What is wrong with a field.

use serde_json::Value;

/// The kinds of field errors that Kubernetes distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A field that must be there is not.
    Required,
    /// The value breaks a rule.
    Invalid,
    /// The value is of another type than the schema's.
    TypeInvalid,
    /// The value is none of the allowed ones.
    NotSupported,
    /// An element of a set or keyed list occurs twice.
    Duplicate,
    /// What is asked for is not allowed.
    Forbidden,
    /// Too many elements or properties.
    TooMany,
    /// Too long a string.
    TooLong,
}

impl ErrorKind {
    /// Whether rules cannot be evaluated on an object with such an error.
    pub(crate) fn blocks_rules(self) -> bool {
        !matches!(self, Self::Invalid | Self::Duplicate | Self::Forbidden)
    }

    /// The `reason` of a status cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooMany => "FieldValueTooMany",
            Self::TooLong => "FieldValueTooLong",
        }
    }
}

/// A field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Path of the field, such as `spec.replicatedJobs[0].name`.
    pub path: String,
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// The offending value, where it is shown.
    pub value: Option<Value>,
    /// What would be right; may be empty.
    pub detail: String,
}

impl FieldError {
    pub(crate) fn new(
        path: &str,
        kind: ErrorKind,
        value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            value,
            detail: detail.into(),
        }
    }

    /// The message without the path, as in the causes of a 422.
    pub fn message(&self) -> String {
        let what = match self.kind {
            ErrorKind::Required => "Required value",
            ErrorKind::Invalid | ErrorKind::TypeInvalid => "Invalid value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooMany => "Too many",
            ErrorKind::TooLong => "Too long",
        };
        let mut message = what.to_owned();
        if let Some(value) = &self.value {
            message.push_str(": ");
            message.push_str(&value.to_string());
        }
        if !self.detail.is_empty() {
            message.push_str(": ");
            message.push_str(&self.detail);
        }
        message
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message())
    }
}
