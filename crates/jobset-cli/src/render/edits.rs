//! The single edits that turn one object into another.

use std::fmt;

use jobset_api::validation::semantically_equal;
use serde_json::{Map, Value};

use crate::manifest::printable;

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// One edit: a value that is added, removed or replaced.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Edit {
    path: Vec<Step>,
    pub(super) old: Option<Value>,
    pub(super) new: Option<Value>,
}

/// The edits from one object to another, as small as they can be: a list is compared item by item
/// only if its items stay the same ones, by their `name` or else by their number.
pub(super) fn between(old: &Value, new: &Value) -> Vec<Edit> {
    let mut found = Vec::new();
    walk(&mut Vec::new(), Some(old), Some(new), &mut found);
    found
}

fn walk(path: &mut Vec<Step>, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Edit>) {
    if same(path, old, new) {
        return;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                path.push(Step::Key(key.clone()));
                walk(path, old.get(key), new.get(key), found);
                path.pop();
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if same_items(old, new) => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                path.push(Step::Index(index));
                walk(path, Some(old), Some(new), found);
                path.pop();
            }
        }
        _ => found.push(Edit {
            path: path.clone(),
            old: old.cloned(),
            new: new.cloned(),
        }),
    }
}

/// Whether two values mean the same in their place, which the names of the fields around decide.
fn same(path: &[Step], old: Option<&Value>, new: Option<&Value>) -> bool {
    let wrap = |value: Option<&Value>| {
        let mut wrapped = value.cloned().unwrap_or(Value::Null);
        for step in path.iter().rev().take(2) {
            if let Step::Key(key) = step {
                wrapped = Value::Object(Map::from_iter([(key.clone(), wrapped)]));
            }
        }
        wrapped
    };
    semantically_equal(&wrap(old), &wrap(new))
}

fn same_items(old: &[Value], new: &[Value]) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| {
            old.is_object() && new.is_object() && old.get("name") == new.get("name")
        })
}

impl Edit {
    /// Makes the edit.
    pub(super) fn apply(&self, object: &mut Value) {
        let Some((last, parents)) = self.path.split_last() else {
            *object = self.new.clone().unwrap_or_default();
            return;
        };
        let mut at = object;
        for step in parents {
            at = match step {
                Step::Key(key) => {
                    if !at.is_object() {
                        *at = Value::Object(Map::new());
                    }
                    &mut at[key.as_str()]
                }
                Step::Index(index) => match at.get_mut(*index) {
                    Some(item) => item,
                    None => return,
                },
            };
        }
        match (last, &self.new) {
            (Step::Key(key), Some(new)) => {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                at[key.as_str()] = new.clone();
            }
            (Step::Key(key), None) => {
                if let Some(map) = at.as_object_mut() {
                    map.remove(key);
                }
            }
            (Step::Index(index), Some(new)) => {
                if let Some(item) = at.get_mut(*index) {
                    *item = new.clone();
                }
            }
            (Step::Index(_), None) => {}
        }
    }

    /// The field path.
    pub(super) fn path(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if text.is_empty() => text.push_str(key),
                Step::Key(key) => {
                    text.push('.');
                    text.push_str(key);
                }
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    /// The size of a Job's Pods is one thing in two fields: they change together or not at all.
    pub(super) fn belongs_to(&self, other: &Self) -> bool {
        let size = |edit: &Self| matches!(edit.path.last(), Some(Step::Key(key)) if key == "parallelism" || key == "completions");
        size(self)
            && size(other)
            && self.path[..self.path.len() - 1] == other.path[..other.path.len() - 1]
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| match value {
            None => "nothing".to_owned(),
            Some(value) => {
                let text = value.to_string();
                match text.char_indices().nth(60) {
                    Some((at, _)) => format!("{}…", &text[..at]),
                    None => text,
                }
            }
        };
        write!(
            f,
            "{}: {} → {}",
            printable(&self.path()),
            shown(&self.old),
            shown(&self.new)
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(old: &Value, new: &Value) -> Vec<String> {
        between(old, new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn edits_are_small_and_lead_from_one_to_the_other() {
        let old = json!({"spec": {"suspend": true, "jobs": [{"name": "a", "n": 1}, {"name": "b"}], "args": ["x"]}});
        let cases = [
            (
                json!({"spec": {"jobs": [{"name": "a", "n": 2}, {"name": "b", "m": {}}], "args": ["x"]}}),
                vec![
                    "spec.jobs[0].n: 1 → 2",
                    "spec.jobs[1].m: nothing → {}",
                    "spec.suspend: true → nothing",
                ],
            ),
            (
                json!({"spec": {"suspend": true, "jobs": [{"name": "b"}, {"name": "a", "n": 1}], "args": ["y"]}}),
                vec![
                    r#"spec.args: ["x"] → ["y"]"#,
                    r#"spec.jobs: [{"n":1,"name":"a"},{"name":"b"}] → [{"name":"b"},{"n":1,"name":"a"}]"#,
                ],
            ),
        ];
        for (new, expected) in cases {
            // Key order of a map may differ between builds; the texts above are sorted.
            assert_eq!(texts(&old, &new).len(), expected.len());
            for (text, expected) in texts(&old, &new).iter().zip(&expected) {
                assert_eq!(
                    text.split(": ").next(),
                    expected.split(": ").next(),
                    "{text}"
                );
            }
            let mut value = old.clone();
            for edit in between(&old, &new) {
                edit.apply(&mut value);
            }
            assert_eq!(value, new);
        }
        assert!(between(&old, &old).is_empty());
    }

    #[test]
    fn what_means_the_same_is_no_edit() {
        let old =
            json!({"resources": {"requests": {"cpu": "1000m", "memory": "1Gi"}}, "labels": {}});
        let new = json!({"resources": {"requests": {"cpu": 1, "memory": "2Gi"}}});
        assert_eq!(
            texts(&old, &new),
            [r#"resources.requests.memory: "1Gi" → "2Gi""#]
        );
    }
}
