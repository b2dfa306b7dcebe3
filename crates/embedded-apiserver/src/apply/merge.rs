//! Laying an applied configuration over an object.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::compare::elements;
use crate::topology::Topology;

/// The old object with everything the configuration says. Nothing is removed here.
pub(super) fn merge(old: &Value, applied: &Value, at: Topology<'_>) -> Value {
    match (old, applied) {
        (Value::Object(before), Value::Object(wanted)) if !at.atomic_map() => {
            let mut merged = before.clone();
            for (name, value) in wanted {
                let here = at.field(name);
                let value = match before.get(name) {
                    Some(before) => merge(before, value, here),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(before), Value::Array(wanted)) => {
            let (Some(old_names), Some(names)) = (elements(before, at), elements(wanted, at))
            else {
                return applied.clone();
            };
            merge_lists((&old_names, before), (&names, wanted), at)
        }
        _ => applied.clone(),
    }
}

/// Merges keyed lists, given as the names of their elements and the elements.
///
/// The configuration's order holds for its own elements. An element only the object has stays after
/// the one it followed; new elements come after those the object had at that place.
fn merge_lists(
    (old_names, old): (&[String], &[Value]),
    (names, wanted): (&[String], &[Value]),
    at: Topology<'_>,
) -> Value {
    let positions: HashMap<&String, usize> = old_names
        .iter()
        .enumerate()
        .map(|(index, name)| (name, index))
        .collect();
    let named: HashSet<&String> = names.iter().collect();
    let mut merged = Vec::with_capacity(old.len() + wanted.len());
    let mut done = HashSet::new();
    let mut next = 0;
    let mut take_others = |merged: &mut Vec<Value>, done: &HashSet<&String>| {
        while let Some(name) = old_names.get(next) {
            if !named.contains(name) {
                merged.push(old[next].clone());
            } else if !done.contains(name) {
                return;
            }
            next += 1;
        }
    };
    for (name, value) in names.iter().zip(wanted) {
        take_others(&mut merged, &done);
        merged.push(match positions.get(name) {
            Some(&index) => merge(&old[index], value, at.item()),
            None => value.clone(),
        });
        done.insert(name);
    }
    take_others(&mut merged, &done);
    Value::Array(merged)
}

/// A null in a configuration means that the field is not applied, unless null is a value there.
pub(super) fn drop_nulls(value: &mut Value, at: Topology<'_>) {
    match value {
        Value::Object(map) => {
            let taken: Map<String, Value> = std::mem::take(map);
            for (name, mut value) in taken {
                let here = at.field(&name);
                if value.is_null() && !here.keeps_null() {
                    continue;
                }
                drop_nulls(&mut value, here);
                map.insert(name, value);
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| drop_nulls(item, at.item())),
        _ => {}
    }
}
