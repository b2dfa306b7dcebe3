//! Names, label keys and label values: the syntax rules of object metadata.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::{NameRule, field};
use crate::status::Cause;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters \
    or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', \
    regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or \
    '-', start with an alphabetic character, and end with an alphanumeric character (e.g. \
    'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

fn is_label(text: &str) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
        && bytes.iter().all(|b| inner(b) || *b == b'-')
}

/// Why a text is not an RFC 1123 label, if it is not.
pub(crate) fn dns_label(text: &str) -> Option<&'static str> {
    if text.len() > 63 {
        Some("must be no more than 63 characters")
    } else if !is_label(text) {
        Some(LABEL)
    } else {
        None
    }
}

/// Why a text is not an RFC 1123 subdomain, if it is not.
pub(crate) fn dns_subdomain(text: &str) -> Option<&'static str> {
    if text.len() > 253 {
        Some("must be no more than 253 characters")
    } else if !text.split('.').all(is_label) {
        Some(SUBDOMAIN)
    } else {
        None
    }
}

/// Why a text is not an RFC 1035 label, if it is not.
pub(super) fn dns_label_1035(text: &str) -> Option<&'static str> {
    match dns_label(text) {
        Some(_) if text.len() > 63 => Some("must be no more than 63 characters"),
        Some(_) => Some(LABEL_1035),
        None if !text.starts_with(|c: char| c.is_ascii_lowercase()) => Some(LABEL_1035),
        None => None,
    }
}

static NAME_PART: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$").ok());

fn is_name_part(text: &str) -> bool {
    NAME_PART.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Why a text is not a qualified name (`prefix/name`), if it is not.
pub(super) fn qualified_name(text: &str) -> Option<&'static str> {
    let name = match text.split_once('/') {
        Some((prefix, name)) => {
            if prefix.is_empty() || dns_subdomain(prefix).is_some() {
                return Some("prefix part must be a lowercase RFC 1123 subdomain");
            }
            name
        }
        None => text,
    };
    if name.is_empty() {
        Some("name part must be non-empty")
    } else if name.len() > 63 {
        Some("name part must be no more than 63 characters")
    } else if !is_name_part(name) {
        Some(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start \
             and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc')",
        )
    } else {
        None
    }
}

/// Why a text is not a label key, if it is not.
fn label_key(text: &str) -> Option<&'static str> {
    qualified_name(text)
}

/// Why a text is not a label value, if it is not.
fn label_value(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        None
    } else if text.len() > 63 {
        Some("must be no more than 63 characters")
    } else if !is_name_part(text) {
        Some(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' \
             or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
             'my_value',  or '12345')",
        )
    } else {
        None
    }
}

/// The largest total size of an object's annotations, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 << 10;

/// The finalizers that have no domain.
const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// Checks `metadata` of an object that is about to be stored.
///
/// With `own_finalizers` a finalizer may have any name; else those of Kubernetes need no domain.
pub(crate) fn validate_metadata(
    object: &Value,
    rule: NameRule,
    own_finalizers: bool,
) -> Vec<Cause> {
    let mut errors = Vec::new();
    let meta = &object["metadata"];
    let name = meta["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        errors.push(field::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        let wrong = match rule {
            NameRule::Subdomain => dns_subdomain(name),
            NameRule::Label => dns_label(name),
            NameRule::Label1035 => dns_label_1035(name),
        };
        if let Some(why) = wrong {
            errors.push(field::invalid("metadata.name", format!("{name:?}"), why));
        }
    }
    validate_labels(&meta["labels"], "metadata.labels", &mut errors);
    if let Some(annotations) = meta["annotations"].as_object() {
        let mut size = 0;
        for (key, value) in annotations {
            if let Some(why) = qualified_name(&key.to_lowercase()) {
                errors.push(field::invalid(
                    "metadata.annotations",
                    format!("{key:?}"),
                    why,
                ));
            }
            size += key.len() + value.as_str().map_or(0, str::len);
        }
        if size > ANNOTATIONS_LIMIT {
            errors.push(field::too_long("metadata.annotations", ANNOTATIONS_LIMIT));
        }
    }
    if let Some(owners) = meta["ownerReferences"].as_array() {
        for (index, owner) in owners.iter().enumerate() {
            for key in ["apiVersion", "kind", "name", "uid"] {
                if owner[key].as_str().unwrap_or_default().is_empty() {
                    let path = format!("metadata.ownerReferences[{index}].{key}");
                    errors.push(field::required(path, "must not be empty"));
                }
            }
        }
        if owners
            .iter()
            .filter(|owner| owner["controller"] == true)
            .count()
            > 1
        {
            errors.push(field::invalid(
                "metadata.ownerReferences",
                "[]",
                "Only one reference can have Controller set to true",
            ));
        }
    }
    if let Some(finalizers) = meta["finalizers"].as_array() {
        for (index, finalizer) in finalizers.iter().enumerate() {
            let text = finalizer.as_str().unwrap_or_default();
            if let Some(why) = qualified_name(text) {
                errors.push(field::invalid(
                    "metadata.finalizers",
                    format!("{text:?}"),
                    why,
                ));
            }
            if !own_finalizers && !text.contains('/') && !STANDARD_FINALIZERS.contains(&text) {
                errors.push(field::invalid(
                    format!("metadata.finalizers[{index}]"),
                    format!("{text:?}"),
                    "name is neither a standard finalizer name nor is it fully qualified",
                ));
            }
        }
    }
    errors
}

/// Checks a map of labels.
pub(crate) fn validate_labels(labels: &Value, path: &str, errors: &mut Vec<Cause>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if let Some(why) = label_key(key) {
            errors.push(field::invalid(path, format!("{key:?}"), why));
        }
        match value.as_str() {
            Some(value) => {
                if let Some(why) = label_value(value) {
                    errors.push(field::invalid(path, format!("{value:?}"), why));
                }
            }
            None => errors.push(field::invalid(path, value, "must be a string")),
        }
    }
}
