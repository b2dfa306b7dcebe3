//! The fields of an object, and the fields in which two objects differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::ApplyError;
use super::fields::{FieldSet, canonical};
use crate::topology::{ListKind, Topology};

/// Fields that tell what and where an object is, and which the system writes: nobody owns them.
const UNOWNED: &[&str] = &["apiVersion", "kind"];
const UNOWNED_METADATA: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "managedFields",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
];

/// Differences between two objects.
#[derive(Debug, Default)]
pub(super) struct Changes {
    added: FieldSet,
    modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Changes {
    /// What was added or got another value.
    pub(super) fn written(&self) -> FieldSet {
        let mut written = self.added.clone();
        written.add_all(&self.modified);
        written
    }
}

/// The path element of each element of a list; `None` for lists that are one value, and for
/// lists that do not fit their kind, which are treated as one value too.
pub(super) fn elements(list: &[Value], at: Topology<'_>) -> Option<Vec<String>> {
    let names: Vec<String> = match at.list_kind() {
        ListKind::Atomic => return None,
        ListKind::Set => list
            .iter()
            .map(|item| {
                let scalar = !(item.is_object() || item.is_array());
                scalar.then(|| format!("v:{item}"))
            })
            .collect::<Option<_>>()?,
        ListKind::Map(keys) => list
            .iter()
            .map(|item| {
                let id: Option<serde_json::Map<String, Value>> = item
                    .is_object()
                    .then(|| {
                        keys.iter()
                            .map(|key| Some((key.name.to_owned(), key.of(item)?)))
                            .collect()
                    })
                    .flatten();
                id.map(|id| format!("k:{}", canonical(&Value::Object(id))))
            })
            .collect::<Option<_>>()?,
    };
    let distinct: BTreeSet<&String> = names.iter().collect();
    (distinct.len() == names.len()).then_some(names)
}

/// Refuses keyed lists whose elements cannot be told apart.
pub(super) fn check_keys(value: &Value, at: Topology<'_>) -> Result<(), ApplyError> {
    check_keys_at(value, at, "")
}

fn check_keys_at(value: &Value, at: Topology<'_>, path: &str) -> Result<(), ApplyError> {
    match value {
        Value::Object(map) if !at.atomic_map() => {
            for (name, value) in map {
                check_keys_at(value, at.field(name), &format!("{path}.{name}"))?;
            }
        }
        Value::Array(list) => {
            let kind = at.list_kind();
            if kind == ListKind::Atomic {
                return Ok(());
            }
            if let ListKind::Map(keys) = &kind {
                for (index, item) in list.iter().enumerate() {
                    if let Some(key) = keys.iter().find(|key| key.of(item).is_none()) {
                        return Err(ApplyError::Invalid(format!(
                            "{path}: element {index}: associative list with keys has an element \
                             that omits key field {:?} (and doesn't have default value)",
                            key.name
                        )));
                    }
                }
            }
            if elements(list, at).is_none() {
                return Err(ApplyError::Invalid(format!(
                    "{path}: duplicate entries, or entries of the wrong type"
                )));
            }
            for item in list {
                check_keys_at(item, at.item(), path)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Everything an applied configuration says.
pub(super) fn owned_by(object: &Value, at: Topology<'_>) -> FieldSet {
    without_unowned(fields_of(object, at))
}

/// The fields of a value; the value itself is a member if it is one value.
fn fields_of(value: &Value, at: Topology<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    match value {
        Value::Object(map) if !at.atomic_map() => {
            for (name, value) in map {
                set.insert(format!("f:{name}"), fields_of(value, at.field(name)));
            }
            if map.is_empty() {
                set.mark();
            }
        }
        Value::Array(list) => match elements(list, at) {
            None => set.mark(),
            Some(names) => {
                for (name, item) in names.into_iter().zip(list) {
                    let mut child = fields_of(item, at.item());
                    child.mark();
                    set.insert(name, child);
                }
                if list.is_empty() {
                    set.mark();
                }
            }
        },
        _ => set.mark(),
    }
    set
}

/// As [`fields_of`], and every container on the way is a member: what appears or disappears.
fn whole(value: &Value, at: Topology<'_>) -> FieldSet {
    let mut set = FieldSet::leaf();
    match value {
        Value::Object(map) if !at.atomic_map() => {
            for (name, value) in map {
                set.insert(format!("f:{name}"), whole(value, at.field(name)));
            }
        }
        Value::Array(list) => {
            for (name, item) in elements(list, at).unwrap_or_default().into_iter().zip(list) {
                set.insert(name, whole(item, at.item()));
            }
        }
        _ => {}
    }
    set
}

/// Without the fields nobody owns. The object itself and its metadata, which are always there, are
/// no fields either.
fn without_unowned(mut set: FieldSet) -> FieldSet {
    for name in UNOWNED {
        set.remove_child(&format!("f:{name}"));
    }
    if let Some(mut metadata) = set.remove_child("f:metadata") {
        for name in UNOWNED_METADATA {
            metadata.remove_child(&format!("f:{name}"));
        }
        metadata.unmark();
        set.insert("f:metadata".to_owned(), metadata);
    }
    set.unmark();
    set
}

/// In what two objects differ.
pub(super) fn changes(old: &Value, new: &Value, at: Topology<'_>) -> Changes {
    let mut found = compare(old, new, at);
    for set in [&mut found.added, &mut found.modified, &mut found.removed] {
        *set = without_unowned(std::mem::take(set));
    }
    found
}

fn compare(old: &Value, new: &Value, at: Topology<'_>) -> Changes {
    let mut found = Changes::default();
    if old == new {
        return found;
    }
    let mut child = |element: String, old: Option<&Value>, new: Option<&Value>, at| match (old, new)
    {
        (Some(old), Some(new)) => {
            let inner = compare(old, new, at);
            found.added.insert(element.clone(), inner.added);
            found.modified.insert(element.clone(), inner.modified);
            found.removed.insert(element, inner.removed);
        }
        (None, Some(new)) => found.added.insert(element, whole(new, at)),
        (Some(old), None) => found.removed.insert(element, whole(old, at)),
        (None, None) => {}
    };
    let empty = serde_json::Map::new();
    match (old, new) {
        (Value::Object(_) | Value::Null, Value::Object(after)) if !at.atomic_map() => {
            let before = old.as_object().unwrap_or(&empty);
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                child(
                    format!("f:{name}"),
                    before.get(name),
                    after.get(name),
                    at.field(name),
                );
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            match (elements(before, at), elements(after, at)) {
                (Some(old_names), Some(new_names)) => {
                    let before: BTreeMap<String, &Value> =
                        old_names.into_iter().zip(before).collect();
                    let after: BTreeMap<String, &Value> =
                        new_names.into_iter().zip(after).collect();
                    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
                    for name in names {
                        child(
                            name.clone(),
                            before.get(name).copied(),
                            after.get(name).copied(),
                            at.item(),
                        );
                    }
                }
                _ => found.modified.mark(),
            }
        }
        _ => {
            // Another kind of value: what was inside is gone, what is inside is new.
            found.removed = whole(old, at);
            found.added = whole(new, at);
            found.modified.mark();
            let kept = found.added.clone();
            found.removed.remove_all(&kept);
        }
    }
    found
}
