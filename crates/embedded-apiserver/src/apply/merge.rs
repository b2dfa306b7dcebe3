//! Laying an applied configuration over an object.

use serde_json::{Map, Value};

use super::compare::elements;
use crate::patch::merge_order;
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
            let position = |name: &String| old_names.iter().position(|old| old == name);
            let merged = names
                .iter()
                .zip(wanted)
                .map(|(name, value)| {
                    let value = match position(name) {
                        Some(index) => merge(&before[index], value, at.item()),
                        None => value.clone(),
                    };
                    (name.clone(), value)
                })
                .collect();
            let others = old_names
                .iter()
                .zip(before)
                .enumerate()
                .filter(|(_, (name, _))| !names.contains(name))
                .map(|(index, (name, value))| (index, (name.clone(), value.clone())))
                .collect();
            let ordered = merge_order(merged, others, |(name, _)| position(name));
            Value::Array(ordered.into_iter().map(|(_, value)| value).collect())
        }
        _ => applied.clone(),
    }
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
