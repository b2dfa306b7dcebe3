//! ConfigMap, Secret and Namespace.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Strategy, child, field, fill, text};
use crate::status::Cause;

/// `core/v1 ConfigMap`.
pub(super) struct ConfigMap;

/// `core/v1 Secret`.
pub(super) struct Secret;

/// `core/v1 Namespace`.
pub(super) struct Namespace;

fn check_key(path: &str, key: &str, errors: &mut Vec<Cause>) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.is_empty() || key.len() > 253 || !key.chars().all(allowed) || key == "." || key == ".." {
        errors.push(field::invalid(
            format!("{path}[{key}]"),
            format!("{key:?}"),
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        ));
    }
}

fn check_base64(path: &str, object: &Value, errors: &mut Vec<Cause>) {
    for (key, value) in object[path].as_object().into_iter().flatten() {
        check_key(path, key, errors);
        let at = format!("{path}[{key}]");
        match value.as_str() {
            Some(value) if STANDARD.decode(value).is_ok() => {}
            Some(value) => {
                errors.push(field::invalid(
                    at,
                    format!("{value:?}"),
                    "must be base64-encoded",
                ));
            }
            None if value.is_null() => {}
            None => errors.push(field::invalid(at, value, "must be a base64-encoded string")),
        }
    }
}

fn immutable(object: &Value, old: &Value, keys: &[&str]) -> Vec<Cause> {
    let mut errors = Vec::new();
    if old["immutable"] == true {
        for &key in keys.iter().chain(&["immutable"]) {
            if object[key] != old[key] {
                errors.push(field::forbidden(
                    key,
                    "field is immutable when `immutable` is set",
                ));
            }
        }
    }
    errors
}

impl Strategy for ConfigMap {
    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        for (key, value) in object["data"].as_object().into_iter().flatten() {
            check_key("data", key, &mut errors);
            if !value.is_string() {
                errors.push(field::invalid(
                    format!("data[{key}]"),
                    value,
                    "must be a string",
                ));
            }
            if object["binaryData"].get(key).is_some() {
                errors.push(field::invalid(
                    format!("data[{key}]"),
                    format!("{key:?}"),
                    "duplicate of key present in binaryData",
                ));
            }
        }
        check_base64("binaryData", object, &mut errors);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Cause> {
        immutable(object, old, &["data", "binaryData"])
    }
}

impl Strategy for Secret {
    fn complete(&self, object: &mut Value) {
        fill(object, "type", "Opaque");
        let plain = object
            .as_object_mut()
            .and_then(|map| map.remove("stringData"));
        let Some(Value::Object(plain)) = plain else {
            return;
        };
        let Some(data) = child(object, "data") else {
            return;
        };
        for (key, value) in plain {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            data[&key] = Value::String(STANDARD.encode(text));
        }
    }

    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        check_base64("data", object, &mut errors);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = immutable(object, old, &["data"]);
        if object["type"] != old["type"] {
            errors.push(field::invalid(
                "type",
                &object["type"],
                "field is immutable",
            ));
        }
        errors
    }

    fn fields(&self, object: &Value) -> BTreeMap<String, String> {
        BTreeMap::from([("type".to_owned(), text(object, &["type"]).to_owned())])
    }

    fn selectable(&self) -> &'static [&'static str] {
        &["type"]
    }
}

impl Strategy for Namespace {
    fn complete(&self, object: &mut Value) {
        let name = text(object, &["metadata", "name"]).to_owned();
        if !name.is_empty()
            && let Some(labels) = child(object, "metadata").and_then(|meta| child(meta, "labels"))
        {
            labels["kubernetes.io/metadata.name"] = Value::String(name);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["spec"] = json!({"finalizers": ["kubernetes"]});
        object["status"] = json!({"phase": "Active"});
    }

    fn fields(&self, object: &Value) -> BTreeMap<String, String> {
        BTreeMap::from([(
            "status.phase".to_owned(),
            text(object, &["status", "phase"]).to_owned(),
        )])
    }

    fn selectable(&self) -> &'static [&'static str] {
        &["status.phase"]
    }
}
