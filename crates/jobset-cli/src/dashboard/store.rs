//! What a view consists of, and what of it has changed since a viewer was told last.
//!
//! Pure. A view is a set of parts, each a JSON document under a key. Every change has a number, so a
//! viewer that is late is told only what each part has become, however often it changed meanwhile:
//! nothing has to be kept for anyone.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

/// JSON documents by their keys.
pub(super) type Parts = BTreeMap<String, String>;

/// Parts that have gone and are remembered. Whoever has missed more is told everything.
const REMEMBERED: usize = 10_000;

/// The parts with the numbers of their last changes.
#[derive(Debug, Default)]
pub(super) struct Store {
    version: u64,
    parts: BTreeMap<String, Part>,
    /// Keys of parts that have gone, with the numbers of those changes, oldest first.
    gone: VecDeque<(u64, String)>,
    /// What has gone before this number, or with it, is not remembered.
    forgotten: u64,
    remembered: usize,
}

#[derive(Debug)]
struct Part {
    json: String,
    changed: u64,
}

/// What a viewer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    /// What the viewer knows afterwards.
    pub(super) version: u64,
    /// Whether it is everything, and what the viewer knew before is void.
    pub(super) full: bool,
    /// The document that tells it.
    pub(super) json: String,
}

impl Store {
    /// An empty store that remembers what has gone.
    pub(super) fn new() -> Self {
        Self {
            remembered: REMEMBERED,
            ..Self::default()
        }
    }

    /// The number of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Replaces all parts; `false` if they are what they were.
    pub(super) fn replace(&mut self, parts: Parts) -> bool {
        let next = self.version + 1;
        let left: Vec<String> = self
            .parts
            .keys()
            .filter(|key| !parts.contains_key(*key))
            .cloned()
            .collect();
        let mut changed = !left.is_empty();
        for key in left {
            self.parts.remove(&key);
            self.gone.push_back((next, key));
        }
        for (key, json) in parts {
            changed |= self.put(key, json, next);
        }
        while self.gone.len() > self.remembered {
            if let Some((version, _)) = self.gone.pop_front() {
                self.forgotten = version;
            }
        }
        if changed {
            self.version = next;
        }
        changed
    }

    /// Sets one part; `false` if it is what it was.
    pub(super) fn set(&mut self, key: &str, json: String) -> bool {
        let changed = self.put(key.to_owned(), json, self.version + 1);
        if changed {
            self.version += 1;
        }
        changed
    }

    fn put(&mut self, key: String, json: String, version: u64) -> bool {
        match self.parts.get_mut(&key) {
            Some(part) if part.json == json => false,
            Some(part) => {
                part.json = json;
                part.changed = version;
                true
            }
            None => {
                let changed = version;
                self.parts.insert(key, Part { json, changed });
                true
            }
        }
    }

    /// What has changed since a viewer was told; everything if it has been told nothing yet, or missed
    /// too much. `None` if it knows all there is.
    pub(super) fn since(&self, known: Option<u64>) -> Option<Delta> {
        if known == Some(self.version) || self.version == 0 {
            return None;
        }
        let known = known.filter(|known| *known >= self.forgotten);
        let full = known.is_none();
        let mut json = format!("{{\"version\":{},\"full\":{full},\"set\":{{", self.version);
        let mut first = true;
        let changed = self
            .parts
            .iter()
            .filter(|(_, part)| known.is_none_or(|known| part.changed > known));
        for (key, part) in changed {
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(json, "{comma}{}:{}", quoted(key), part.json);
        }
        json.push_str("},\"gone\":[");
        first = true;
        let gone = self.gone.iter().filter(|(version, key)| {
            known.is_some_and(|known| *version > known) && !self.parts.contains_key(key)
        });
        for (_, key) in gone {
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            let _ = write!(json, "{comma}{}", quoted(key));
        }
        json.push_str("]}");
        Some(Delta {
            version: self.version,
            full,
            json,
        })
    }
}

fn quoted(key: &str) -> String {
    serde_json::Value::from(key).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parts(list: &[(&str, i32)]) -> Parts {
        list.iter()
            .map(|(key, value)| ((*key).to_owned(), value.to_string()))
            .collect()
    }

    fn told(store: &Store, known: Option<u64>) -> Value {
        let delta = store.since(known).unwrap();
        let document: Value = serde_json::from_str(&delta.json).unwrap();
        assert_eq!(document["version"], delta.version);
        assert_eq!(document["full"], delta.full);
        document
    }

    #[test]
    fn a_viewer_is_told_what_has_changed_since() {
        let mut store = Store::new();
        assert_eq!(store.since(None), None, "nothing is known yet");
        assert!(store.replace(parts(&[("a", 1), ("b", 1), ("c \"", 1)])));
        let all = told(&store, None);
        assert_eq!(all["set"], json!({"a": 1, "b": 1, "c \"": 1}));
        assert_eq!((&all["full"], &all["gone"]), (&json!(true), &json!([])));
        let first = store.version();
        assert_eq!(store.since(Some(first)), None);
        assert!(!store.replace(parts(&[("a", 1), ("b", 1), ("c \"", 1)])));
        assert_eq!(store.since(Some(first)), None, "the same again is no news");

        assert!(store.replace(parts(&[("a", 1), ("b", 2)])));
        assert!(store.replace(parts(&[("a", 1), ("b", 3)])));
        let late = told(&store, Some(first));
        assert_eq!(late["set"], json!({"b": 3}), "only what it has become");
        assert_eq!(late["gone"], json!(["c \""]));
        assert_eq!(late["full"], false);
        // What comes back is not gone.
        store.replace(parts(&[("a", 1), ("b", 3), ("c \"", 4)]));
        let back = told(&store, Some(first));
        assert_eq!(back["set"], json!({"b": 3, "c \"": 4}));
        assert_eq!(back["gone"], json!([]));
        let second = store.version();
        assert!(store.set("link", "\"lost\"".to_owned()));
        assert!(!store.set("link", "\"lost\"".to_owned()));
        assert_eq!(told(&store, Some(second))["set"], json!({"link": "lost"}));
    }

    #[test]
    fn whoever_has_missed_too_much_is_told_everything() {
        let mut store = Store {
            remembered: 2,
            ..Store::default()
        };
        store.replace(parts(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]));
        let first = store.version();
        store.replace(parts(&[("b", 1), ("c", 1), ("d", 1)]));
        let second = store.version();
        store.replace(parts(&[("d", 1)]));
        assert_eq!(told(&store, Some(first))["full"], true);
        assert_eq!(told(&store, Some(second))["gone"], json!(["b", "c"]));
        assert_eq!(store.gone.len(), 2);
    }

    proptest! {
        /// Viewers that look whenever they like end with what is there.
        #[test]
        fn every_viewer_catches_up(
            steps in prop::collection::vec((prop::collection::btree_map(0..8_u8, 0..3_u8, 0..8), any::<bool>()), 1..30),
            remembered in 0..6_usize,
        ) {
            let mut store = Store { remembered, ..Store::default() };
            let mut known = None;
            let mut seen: BTreeMap<String, Value> = BTreeMap::new();
            let mut truth = BTreeMap::new();
            let last = steps.len() - 1;
            for (at, (step, looks)) in steps.into_iter().enumerate() {
                truth = step.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
                store.replace(step.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect());
                if !looks && at != last {
                    continue;
                }
                if let Some(delta) = store.since(known) {
                    let document: Value = serde_json::from_str(&delta.json).unwrap();
                    if delta.full {
                        seen.clear();
                    }
                    for (key, value) in document["set"].as_object().unwrap() {
                        seen.insert(key.clone(), value.clone());
                    }
                    for key in document["gone"].as_array().unwrap() {
                        seen.remove(key.as_str().unwrap());
                    }
                    known = Some(delta.version);
                }
            }
            prop_assert_eq!(seen, truth);
        }
    }
}
