//! Equality of JSON objects as the Kubernetes API means it.
//!
//! Absent, `null` and an empty list or map are the same; resource quantities are compared by
//! their amount. A client that reads an object and writes it back may turn the one form into the
//! other, and that is no change.
//!
//! An empty *object* is not always the same as an absent one: `emptyDir: {}` says something. And
//! zero is not always absent: `backoffLimit: 0` says something. So only the fields named below
//! are treated so; they are those that clients leave out when they are empty.

use serde_json::{Map, Value};

use super::quantity::quantities_equal;

/// Maps, and objects that are always there, where `{}` means the same as absent.
const EMPTY_OBJECT_IS_ABSENT: &[&str] = &[
    "annotations",
    "labels",
    "limits",
    "matchLabels",
    "metadata",
    "nodeSelector",
    "options",
    "overhead",
    "requests",
    "resources",
    "spec",
    "status",
    "template",
    "volumeAttributes",
];

/// Plain texts, numbers and booleans, where the zero value means the same as absent.
const ZERO_IS_ABSENT: &[&str] = &[
    "dnsPolicy",
    "failureThreshold",
    "groupName",
    "hostIP",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "hostname",
    "image",
    "imagePullPolicy",
    "initialDelaySeconds",
    "nodeName",
    "periodSeconds",
    "priorityClassName",
    "readOnly",
    "schedulerName",
    "serviceAccount",
    "serviceAccountName",
    "stdin",
    "stdinOnce",
    "subPath",
    "subPathExpr",
    "subdomain",
    "successThreshold",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "timeoutSeconds",
    "tty",
    "workingDir",
];

/// Maps of resource names to quantities.
const QUANTITY_MAPS: &[&str] = &["capacity", "limits", "overhead", "requests"];
/// Fields that are a quantity.
const QUANTITIES: &[&str] = &["divisor", "sizeLimit"];

/// Whether two JSON values mean the same to the Kubernetes API.
pub fn semantically_equal(left: &Value, right: &Value) -> bool {
    equal("", left, right)
}

/// Compares the values of a field of this name.
fn equal(field: &str, left: &Value, right: &Value) -> bool {
    if is_absent(field, left) && is_absent(field, right) {
        return true;
    }
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => objects_equal(field, left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| equal("", left, right))
        }
        _ if QUANTITIES.contains(&field) => quantities_equal(left, right),
        _ => left == right,
    }
}

fn objects_equal(field: &str, left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
    if QUANTITY_MAPS.contains(&field) {
        return left.len() == right.len()
            && left.iter().all(|(key, left)| {
                right
                    .get(key)
                    .is_some_and(|right| quantities_equal(left, right))
            });
    }
    let absent_or_equal = |key: &str| {
        let null = &Value::Null;
        equal(
            key,
            left.get(key).unwrap_or(null),
            right.get(key).unwrap_or(null),
        )
    };
    left.keys().all(|key| absent_or_equal(key))
        && right
            .keys()
            .filter(|key| !left.contains_key(*key))
            .all(|key| absent_or_equal(key))
}

/// Whether the value of a field means the same as no value.
fn is_absent(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => {
            EMPTY_OBJECT_IS_ABSENT.contains(&field)
                && map.iter().all(|(key, value)| is_absent(key, value))
        }
        Value::String(text) => text.is_empty() && ZERO_IS_ABSENT.contains(&field),
        Value::Bool(value) => !value && ZERO_IS_ABSENT.contains(&field),
        Value::Number(number) => number.as_i64() == Some(0) && ZERO_IS_ABSENT.contains(&field),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_and_different() {
        let table = [
            (json!({"a": null}), json!({}), true),
            (json!({"a": []}), json!({}), true),
            (json!({"labels": {}}), json!({}), true),
            (json!({"metadata": {"labels": {}}}), json!({}), true),
            (
                json!({"hostNetwork": false, "image": "", "hostPort": 0}),
                json!({}),
                true,
            ),
            (json!({"backoffLimit": 0}), json!({}), false),
            (json!({"suspend": false}), json!({}), false),
            (json!({"storageClassName": ""}), json!({}), false),
            (json!({"emptyDir": {}}), json!({}), false),
            (json!({"emptyDir": {}}), json!({"emptyDir": null}), false),
            (json!({"a": [1, 2]}), json!({"a": [2, 1]}), false),
            (json!({"a": [1]}), json!({"a": [1, 2]}), false),
            (json!({"a": [null]}), json!({"a": []}), false),
            (
                json!({"limits": {"cpu": "1"}}),
                json!({"limits": {"cpu": "1000m"}}),
                true,
            ),
            (
                json!({"limits": {"cpu": "1"}}),
                json!({"limits": {"cpu": 1}}),
                true,
            ),
            (
                json!({"limits": {"cpu": "1"}}),
                json!({"limits": {"cpu": "2"}}),
                false,
            ),
            (
                json!({"limits": {"cpu": "1"}}),
                json!({"limits": {"memory": "1"}}),
                false,
            ),
            (
                json!({"limits": {"cpu": "0"}}),
                json!({"limits": {}}),
                false,
            ),
            (
                json!({"sizeLimit": "1Gi"}),
                json!({"sizeLimit": "1024Mi"}),
                true,
            ),
            (json!({"env": "1Gi"}), json!({"env": "1024Mi"}), false),
        ];
        for (left, right, expected) in table {
            assert_eq!(
                semantically_equal(&left, &right),
                expected,
                "{left} {right}"
            );
            assert_eq!(
                semantically_equal(&right, &left),
                expected,
                "{right} {left}"
            );
        }
    }
}
