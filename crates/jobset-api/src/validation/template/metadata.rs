//! Labels and annotations.

use serde_json::Value;

use super::text;
use crate::{
    constants::SYSTEM_KEYS,
    validation::{
        error::FieldError,
        text::{label_value, qualified_name},
    },
};

/// Most bytes that the keys and values of an object's annotations may have together.
const MAX_ANNOTATIONS_SIZE: usize = 256 * 1024;

/// Checks the metadata of a template.
pub(super) fn validate(metadata: &Value, path: &str, errors: &mut Vec<FieldError>) {
    labels(&metadata["labels"], &format!("{path}.labels"), errors);
    annotations(
        &metadata["annotations"],
        &format!("{path}.annotations"),
        errors,
    );
}

/// Checks labels, or a node selector, which is made of labels.
pub(super) fn labels(labels: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if SYSTEM_KEYS.contains(&key.as_str()) {
            continue;
        }
        let value = text(value);
        for problem in qualified_name(key) {
            errors.push(FieldError::invalid(path, key.as_str(), problem.explain()));
        }
        for problem in label_value(value) {
            errors.push(FieldError::invalid(path, value, problem.explain()));
        }
    }
}

/// Checks annotations. Case does not matter in their keys.
pub(super) fn annotations(annotations: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        size += key.len() + text(value).len();
        if SYSTEM_KEYS.contains(&key.as_str()) {
            continue;
        }
        for problem in qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path, key.as_str(), problem.explain()));
        }
    }
    if size > MAX_ANNOTATIONS_SIZE {
        errors.push(FieldError::too_long(path, MAX_ANNOTATIONS_SIZE));
    }
}
