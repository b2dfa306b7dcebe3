//! `metadata.managedFields`: who owns which fields.

use serde_json::{Map, Value, json};

use super::error::Conflict;
use super::fields::FieldSet;

/// Updaters kept one by one; older ones are recorded together, as Kubernetes does.
const MOST_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// What tells entries of the record apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) manager: String,
    pub(super) operation: Operation,
    pub(super) subresource: String,
}

#[derive(Clone, Debug)]
struct Entry {
    owner: Owner,
    api_version: String,
    time: Option<String>,
    fields: FieldSet,
}

/// The record of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers(Vec<Entry>);

/// Takes the record off an object.
pub(super) fn strip(object: &mut Value) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
    }
}

impl Managers {
    /// Reads the record of an object; entries that make no sense are left out.
    pub(super) fn read(object: &Value) -> Self {
        let list = object["metadata"]["managedFields"].as_array();
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let entries = list.into_iter().flatten().filter_map(|entry| {
            let operation = match entry["operation"].as_str()? {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let fields = FieldSet::from_fields_v1(&entry["fieldsV1"]);
            Some(Entry {
                owner: Owner {
                    manager: text(entry, "manager"),
                    operation,
                    subresource: text(entry, "subresource"),
                },
                api_version: text(entry, "apiVersion"),
                time: entry["time"].as_str().map(str::to_owned),
                fields,
            })
        });
        Self(entries.collect())
    }

    /// Whether there was anything to read.
    pub(super) fn readable(&self) -> bool {
        !self.0.is_empty()
    }

    /// Writes the record into an object.
    pub(super) fn write(mut self, object: &mut Value) {
        self.0.retain(|entry| !entry.fields.is_empty());
        self.cap();
        // Appliers first, then by time: the order Kubernetes keeps.
        self.0.sort_by(|a, b| {
            let key = |entry: &Entry| {
                (
                    entry.owner.operation,
                    entry.time.clone(),
                    entry.owner.manager.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        if self.0.is_empty() {
            strip(object);
            return;
        }
        let list: Vec<Value> = self.0.iter().map(Entry::to_value).collect();
        if let Some(map) = object.as_object_mut() {
            let meta = map
                .entry("metadata")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(meta) = meta.as_object_mut() {
                meta.insert("managedFields".to_owned(), Value::Array(list));
            }
        }
    }

    /// Folds the oldest updaters into one entry when there are too many.
    fn cap(&mut self) {
        loop {
            let mut updaters: Vec<usize> = (0..self.0.len())
                .filter(|&index| self.0[index].owner.operation == Operation::Update)
                .collect();
            if updaters.len() <= MOST_UPDATERS {
                return;
            }
            updaters.sort_by_key(|&index| self.0[index].time.clone());
            let (first, second) = (updaters[0], updaters[1]);
            let newer = self.0[second].clone();
            let oldest = &mut self.0[first];
            oldest.fields.add_all(&newer.fields);
            oldest.owner.manager = ANCIENT.to_owned();
            oldest.owner.subresource = String::new();
            oldest.time = newer.time;
            self.0.remove(second);
        }
    }

    pub(super) fn fields(&self, owner: &Owner) -> Option<&FieldSet> {
        self.0
            .iter()
            .find(|entry| entry.owner == *owner)
            .map(|entry| &entry.fields)
    }

    /// Everything that others own.
    pub(super) fn union_of_others(&self, owner: &Owner) -> FieldSet {
        let mut union = FieldSet::default();
        for entry in self.0.iter().filter(|entry| entry.owner != *owner) {
            union.add_all(&entry.fields);
        }
        union
    }

    /// The fields that a write changes although others own them.
    pub(super) fn conflicts(&self, owner: &Owner, written: &FieldSet) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        for entry in self.0.iter().filter(|entry| entry.owner != *owner) {
            let mut paths = Vec::new();
            entry.fields.common(written, "", &mut paths);
            conflicts.extend(paths.into_iter().map(|field| {
                Conflict {
                    manager: entry.owner.manager.clone(),
                    api_version: entry.api_version.clone(),
                    subresource: entry.owner.subresource.clone(),
                    updated_at: (entry.owner.operation == Operation::Update)
                        .then(|| entry.time.clone().unwrap_or_default()),
                    field,
                }
            }));
        }
        conflicts
    }

    /// Takes fields away from everybody but one.
    pub(super) fn take_away(&mut self, owner: &Owner, fields: &FieldSet) {
        if fields.is_empty() {
            return;
        }
        for entry in self.0.iter_mut().filter(|entry| entry.owner != *owner) {
            entry.fields.remove_all(fields);
        }
        self.0
            .retain(|entry| entry.owner == *owner || !entry.fields.is_empty());
    }

    /// Says what one owns. The time changes only when the fields do.
    pub(super) fn set(&mut self, owner: Owner, fields: FieldSet, api_version: &str, now: &str) {
        let time = Some(now.to_owned());
        match self.0.iter_mut().find(|entry| entry.owner == owner) {
            Some(entry) => {
                // An updater's time is that of its last write.
                if entry.fields != fields || owner.operation == Operation::Update {
                    entry.time = time;
                }
                entry.fields = fields;
                entry.api_version = api_version.to_owned();
            }
            None => self.0.push(Entry {
                owner,
                api_version: api_version.to_owned(),
                time,
                fields,
            }),
        }
    }

    /// Whether two records say the same, whenever it was written.
    pub(super) fn same_fields(&self, other: &Self) -> bool {
        let kept = |managers: &Self| -> Vec<(Owner, FieldSet, String)> {
            let mut list: Vec<_> = managers
                .0
                .iter()
                .filter(|entry| !entry.fields.is_empty())
                .map(|e| (e.owner.clone(), e.fields.clone(), e.api_version.clone()))
                .collect();
            list.sort_by(|(a, ..), (b, ..)| {
                (&a.manager, a.operation, &a.subresource).cmp(&(
                    &b.manager,
                    b.operation,
                    &b.subresource,
                ))
            });
            list
        };
        kept(self) == kept(other)
    }
}

impl Entry {
    fn to_value(&self) -> Value {
        let operation = match self.owner.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut value = json!({
            "manager": self.owner.manager,
            "operation": operation,
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_fields_v1(),
        });
        if let Some(map) = value.as_object_mut() {
            if let Some(time) = &self.time {
                map.insert("time".to_owned(), Value::from(time.as_str()));
            }
            if !self.owner.subresource.is_empty() {
                map.insert(
                    "subresource".to_owned(),
                    Value::from(self.owner.subresource.as_str()),
                );
            }
        }
        value
    }
}
