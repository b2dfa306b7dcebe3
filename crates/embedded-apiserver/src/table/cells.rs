//! Cells that several kinds share.

use jiff::Timestamp;
use serde_json::Value;

use super::{Column, since};

/// A string at a JSON pointer.
pub(super) fn at<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A list at a JSON pointer.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// `<none>` for nothing.
pub(super) fn or_none(text: impl Into<String>) -> Value {
    let text = text.into();
    Value::from(if text.is_empty() {
        "<none>".to_owned()
    } else {
        text
    })
}

pub(super) fn name() -> Column {
    Column::new("Name", 0, |object, _| {
        Value::from(at(object, "/metadata/name"))
    })
}

pub(super) fn age() -> Column {
    Column::new("Age", 0, |object, now| {
        Value::from(since(at(object, "/metadata/creationTimestamp"), now))
    })
}

/// Whether a condition is true.
pub(super) fn condition(object: &Value, kind: &str) -> bool {
    list(object, "/status/conditions")
        .iter()
        .any(|c| c["type"] == kind && c["status"] == "True")
}

/// One field of all containers, joined by commas.
pub(super) fn containers(object: &Value, pointer: &str, field: &str) -> Value {
    let names: Vec<&str> = list(object, pointer)
        .iter()
        .map(|c| c[field].as_str().unwrap_or_default())
        .collect();
    Value::from(names.join(","))
}

/// `a=1,b=2`.
pub(super) fn pairs(map: Option<&Value>) -> String {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    let parts: Vec<String> = entries
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    parts.join(",")
}

/// A label selector in its text form.
pub(super) fn selector(object: &Value, pointer: &str) -> Value {
    let selector = object.pointer(pointer).unwrap_or(&Value::Null);
    or_none(
        crate::selector::LabelSelector::from_value(selector)
            .unwrap_or_default()
            .to_string(),
    )
}

/// How many entries an object or list has.
pub(super) fn count(value: Option<&Value>) -> usize {
    match value {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    }
}

/// Seconds between two times, or until now.
pub(super) fn span(start: &str, end: &str, now: Timestamp) -> String {
    let Ok(start) = start.parse::<Timestamp>() else {
        return String::new();
    };
    let end = end.parse::<Timestamp>().unwrap_or(now);
    super::human_duration(end.as_second() - start.as_second())
}
