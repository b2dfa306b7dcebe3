//! One stored object: its bytes and the head that is read without parsing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::collection::EventKind;

/// Where an object is found within its collection. Cluster-wide objects have an empty namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// A committed object. Never changes.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) key: Key,
    pub(crate) revision: u64,
    pub(crate) labels: BTreeMap<String, String>,
    /// What field selectors of this resource can ask for, beside name and namespace.
    pub(crate) fields: BTreeMap<String, String>,
    /// `{"type":"MODIFIED","object":{…}}\n`: the watch event that announced this state.
    event: Bytes,
    /// The part of `event` that is the object.
    pub(crate) bytes: Bytes,
}

impl Object {
    /// The object as a JSON tree.
    pub(crate) fn value(&self) -> Value {
        // The bytes came from serde_json.
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// An object read back from disk.
    pub(super) fn restore(key: Key, fields: BTreeMap<String, String>, value: &Value) -> Self {
        let revision = value["metadata"]["resourceVersion"].as_str();
        let revision = revision.and_then(|text| text.parse().ok()).unwrap_or(0);
        let (event, bytes) = encode(EventKind::Modified, value);
        Self {
            key,
            revision,
            labels: labels_of(value),
            fields,
            event,
            bytes,
        }
    }

    /// About how many bytes of memory this state takes.
    pub(crate) fn footprint(&self) -> usize {
        // Of each entry two strings' heads and what the allocator adds.
        const ENTRY: usize = 80;
        let entries = self.labels.iter().chain(&self.fields);
        let maps: usize = entries
            .map(|(name, value)| name.len() + value.len() + ENTRY)
            .sum();
        size_of::<Self>() + self.event.len() + maps
    }

    /// The watch event that announced this state, one line of JSON.
    pub(crate) fn event(&self) -> Bytes {
        self.event.clone()
    }
}

/// An object about to be committed.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) key: Key,
    pub(crate) fields: BTreeMap<String, String>,
    /// The object; committing sets its resource version.
    pub(crate) value: &'a mut Value,
}

impl Draft<'_> {
    pub(super) fn commit(self, kind: EventKind, revision: u64) -> Object {
        let Self { key, fields, value } = self;
        if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.insert(
                "resourceVersion".to_owned(),
                Value::String(revision.to_string()),
            );
        }
        let labels = labels_of(value);
        let (event, bytes) = encode(kind, value);
        Object {
            key,
            revision,
            labels,
            fields,
            event,
            bytes,
        }
    }
}

fn labels_of(value: &Value) -> BTreeMap<String, String> {
    let labels = value["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten();
    labels
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// Wraps an object into a watch event, and returns the event and the object's part of it.
fn encode(kind: EventKind, value: &Value) -> (Bytes, Bytes) {
    let mut buffer = Vec::with_capacity(2048);
    buffer.extend_from_slice(kind.prefix());
    let start = buffer.len();
    // Writing a Value into memory cannot fail.
    let _ = serde_json::to_writer(&mut buffer, value);
    let end = buffer.len();
    buffer.extend_from_slice(b"}\n");
    buffer.shrink_to_fit();
    let event = Bytes::from(buffer);
    let bytes = event.slice(start..end);
    (event, bytes)
}
