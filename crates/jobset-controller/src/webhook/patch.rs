//! What an object was given, as a JSON patch (RFC 6902) of `add` operations.
//!
//! `add` sets a member of an object whether it was there or not, and appends to an array at `-`.
//! That is all that defaulting needs. A patch of nothing else cannot remove what the user wrote,
//! and its order follows from the object, so that the same object always gets the same patch.

use serde::Serialize;
use serde_json::Value;

/// One operation: set what is at `path`, or append it where the path ends in `-`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename = "add")]
pub struct Add<'a> {
    /// JSON pointer (RFC 6901).
    pub path: String,
    /// The value to be there.
    pub value: &'a Value,
}

/// The operations that turn `before` into `after`, none when they are equal.
///
/// Only what was added is sent. Where something was taken away or shortened, the nearest object
/// member around it is set as a whole; nothing in this crate does so.
pub fn additions<'a>(before: &Value, after: &'a Value) -> Vec<Add<'a>> {
    let mut adds = Vec::new();
    let mut path = String::new();
    if !extend(before, after, &mut path, &mut adds) {
        adds = vec![Add {
            path: String::new(),
            value: after,
        }];
    }
    adds
}

/// Adds the operations for one place in the object. `false`: operations within cannot express the
/// change, the place has to be set as a whole; `adds` is then as it was.
fn extend<'a>(
    before: &Value,
    after: &'a Value,
    path: &mut String,
    adds: &mut Vec<Add<'a>>,
) -> bool {
    let (start, depth) = (adds.len(), path.len());
    let possible = match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            if !old.keys().all(|key| new.contains_key(key)) {
                return false;
            }
            for (key, value) in new {
                push_key(path, key);
                let same = old
                    .get(key)
                    .is_some_and(|old| extend(old, value, path, adds));
                if !same {
                    adds.push(Add {
                        path: path.clone(),
                        value,
                    });
                }
                path.truncate(depth);
            }
            true
        }
        (Value::Array(old), Value::Array(new)) if old.len() <= new.len() => {
            let kept = old.iter().zip(new).enumerate().all(|(index, (old, new))| {
                path.push_str(&format!("/{index}"));
                let kept = extend(old, new, path, adds);
                path.truncate(depth);
                kept
            });
            if kept {
                adds.extend(new[old.len()..].iter().map(|value| Add {
                    path: format!("{path}/-"),
                    value,
                }));
            }
            kept
        }
        _ => before == after,
    };
    if !possible {
        adds.truncate(start);
    }
    possible
}

/// Appends a member to a JSON pointer.
fn push_key(path: &mut String, key: &str) {
    path.push('/');
    for c in key.chars() {
        match c {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            c => path.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::webhook::testing::any_json;

    /// Checks what holds for every patch and returns it as JSON.
    fn patch(before: &Value, after: &Value) -> Value {
        let adds = additions(before, after);
        let patch = serde_json::to_value(&adds).unwrap();
        for operation in patch.as_array().unwrap() {
            assert_eq!(operation["op"], "add");
        }
        let operations: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
        let mut patched = before.clone();
        json_patch::patch(&mut patched, &operations).unwrap();
        assert_eq!(&patched, after, "{patch}");
        patch
    }

    #[test]
    fn additions_are_minimal() {
        let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
        for (before, after, expected) in [
            (json!({"a": 1}), json!({"a": 1}), vec![]),
            (
                json!({"a": {}}),
                json!({"a": {"b": {"c": 1}}}),
                vec![add("/a/b", json!({"c": 1}))],
            ),
            (
                json!({"labels": {"x": "y"}}),
                json!({"labels": {"x": "y", "a.b/c~d": "e"}}),
                vec![add("/labels/a.b~1c~0d", json!("e"))],
            ),
            (
                json!({"a": [{"x": 1}, {}]}),
                json!({"a": [{"x": 1}, {"y": 2}, 3, 4]}),
                vec![
                    add("/a/1/y", json!(2)),
                    add("/a/-", json!(3)),
                    add("/a/-", json!(4)),
                ],
            ),
            // An explicit null counts as absent to defaulting.
            (
                json!({"a": null, "b": ""}),
                json!({"a": true, "b": "x"}),
                vec![add("/a", json!(true)), add("/b", json!("x"))],
            ),
            // An array cannot have an element replaced by `add`.
            (
                json!({"o": {"a": [1, 2]}, "z": 0}),
                json!({"o": {"a": [1, 3]}, "z": 1}),
                vec![add("/o/a", json!([1, 3])), add("/z", json!(1))],
            ),
            (json!([1]), json!([2]), vec![add("", json!([2]))]),
            (json!({"a": 1}), json!({}), vec![add("", json!({}))]),
        ] {
            assert_eq!(patch(&before, &after), Value::Array(expected));
        }
    }

    proptest! {
        #[test]
        fn any_two_values(before in any_json(), after in any_json()) {
            patch(&before, &after);
            prop_assert_eq!(patch(&before, &before), json!([]));
        }
    }
}
