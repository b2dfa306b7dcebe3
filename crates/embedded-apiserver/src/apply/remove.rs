//! Removing what a manager applied before and no longer applies.

use serde_json::Value;

use super::compare::elements;
use super::fields::FieldSet;
use crate::topology::{ListKind, Topology};

/// Removes the fields in `previous` that are not in `wanted`, except those in `others`.
pub(super) fn remove(
    value: &mut Value,
    previous: &FieldSet,
    wanted: &FieldSet,
    others: &FieldSet,
    at: Topology<'_>,
) {
    remove_at(value, previous, Some(wanted), Some(others), at, &[]);
}

/// `keys` are the fields by which the object is found in its list: they stay as long as it does.
fn remove_at(
    value: &mut Value,
    previous: &FieldSet,
    wanted: Option<&FieldSet>,
    others: Option<&FieldSet>,
    at: Topology<'_>,
    keys: &[String],
) {
    let goes = |element: &str, set: &FieldSet| -> bool {
        let wanted = wanted.and_then(|wanted| wanted.child(element));
        let others = others.and_then(|others| others.child(element));
        set.is_member() && wanted.is_none() && others.is_none()
    };
    let inner = |element: &str| {
        (
            wanted.and_then(|wanted| wanted.child(element)),
            others.and_then(|others| others.child(element)),
        )
    };
    match value {
        Value::Object(map) if !at.atomic_map() => {
            for (element, set) in previous.children() {
                let Some(name) = element.strip_prefix("f:") else {
                    continue;
                };
                if keys.iter().any(|key| key == name) {
                    continue;
                }
                let Some(child) = map.get_mut(name) else {
                    continue;
                };
                if goes(element, set) {
                    map.remove(name);
                    continue;
                }
                let (wanted, others) = inner(element);
                let was_empty = is_empty(child);
                remove_at(child, set, wanted, others, at.field(name), &[]);
                // A container that only held what is gone goes with it.
                if !was_empty && is_empty(child) && wanted.is_none() && others.is_none() {
                    map.remove(name);
                }
            }
        }
        Value::Array(list) => {
            let Some(names) = elements(list, at) else {
                return;
            };
            let keys: Vec<String> = match at.list_kind() {
                ListKind::Map(keys) => keys.iter().map(|key| key.name.to_owned()).collect(),
                _ => Vec::new(),
            };
            let mut names = names.into_iter();
            list.retain_mut(|item| {
                let Some(element) = names.next() else {
                    return true;
                };
                let Some(set) = previous.child(&element) else {
                    return true;
                };
                if goes(&element, set) {
                    return false;
                }
                let (wanted, others) = inner(&element);
                remove_at(item, set, wanted, others, at.item(), &keys);
                true
            });
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
