//! Sets of fields, in memory and as `FieldsV1`.
//!
//! A path element is kept in its written form: `f:<name>`, `k:<keys as JSON>`, `v:<value as
//! JSON>`, `i:<index>`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of field paths, as a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Whether the path that leads here is in the set.
    member: bool,
    children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// Reads `fieldsV1`. What is not in its format is left out.
    pub fn from_fields_v1(value: &Value) -> Self {
        let mut set = Self::read(value);
        set.member = false;
        set
    }

    fn read(value: &Value) -> Self {
        let mut set = Self::default();
        let Some(map) = value.as_object() else {
            return set;
        };
        for (key, value) in map {
            if key == "." {
                set.member = true;
            } else if ["f:", "k:", "v:", "i:"]
                .iter()
                .any(|prefix| key.starts_with(prefix))
            {
                set.children.insert(normal(key), Self::read(value));
            }
        }
        set.member |= set.children.is_empty();
        set
    }

    /// Writes `fieldsV1`.
    pub fn to_fields_v1(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (key, child) in &self.children {
            map.insert(key.clone(), child.to_fields_v1());
        }
        Value::Object(map)
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    pub(super) fn leaf() -> Self {
        Self {
            member: true,
            children: BTreeMap::new(),
        }
    }

    pub(super) fn is_member(&self) -> bool {
        self.member
    }

    pub(super) fn mark(&mut self) {
        self.member = true;
    }

    pub(super) fn unmark(&mut self) {
        self.member = false;
    }

    pub(super) fn child(&self, element: &str) -> Option<&Self> {
        self.children.get(element)
    }

    pub(super) fn children(&self) -> impl Iterator<Item = (&String, &Self)> {
        self.children.iter()
    }

    pub(super) fn insert(&mut self, element: String, set: Self) {
        if !set.is_empty() {
            self.children.insert(element, set);
        }
    }

    pub(super) fn remove_child(&mut self, element: &str) -> Option<Self> {
        self.children.remove(element)
    }

    /// Union, in place.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.member |= other.member;
        for (element, child) in &other.children {
            self.children
                .entry(element.clone())
                .or_default()
                .add_all(child);
        }
    }

    /// Difference, in place.
    pub(super) fn remove_all(&mut self, other: &Self) {
        if other.member {
            self.member = false;
        }
        for (element, gone) in &other.children {
            if let Some(child) = self.children.get_mut(element) {
                child.remove_all(gone);
                if child.is_empty() {
                    self.children.remove(element);
                }
            }
        }
    }

    /// The paths in both sets, printed.
    pub(super) fn common(&self, other: &Self, path: &str, found: &mut Vec<String>) {
        if self.member && other.member {
            found.push(path.to_owned());
        }
        for (element, child) in &self.children {
            if let Some(same) = other.children.get(element) {
                child.common(same, &format!("{path}{}", shown(element)), found);
            }
        }
    }
}

/// Keys and values are compared by their text, so the text must not depend on who wrote it.
fn normal(element: &str) -> String {
    let (prefix, rest) = element.split_at(2);
    match serde_json::from_str::<Value>(rest) {
        Ok(value) if prefix == "k:" || prefix == "v:" => format!("{prefix}{}", canonical(&value)),
        _ => element.to_owned(),
    }
}

/// JSON with sorted keys. Key and set elements are flat.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let parts: Vec<String> = sorted
                .iter()
                .map(|(key, value)| {
                    format!("{}:{}", Value::String((*key).clone()), canonical(value))
                })
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        other => other.to_string(),
    }
}

/// A path element as people read it.
fn shown(element: &str) -> String {
    let (prefix, rest) = element.split_at(2);
    match prefix {
        "f:" => format!(".{rest}"),
        "v:" => format!("[={rest}]"),
        "k:" => match serde_json::from_str::<Map<String, Value>>(rest) {
            Ok(keys) => {
                let parts: Vec<String> = keys
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                format!("[{}]", parts.join(","))
            }
            Err(_) => format!("[{rest}]"),
        },
        _ => format!("[{rest}]"),
    }
}
