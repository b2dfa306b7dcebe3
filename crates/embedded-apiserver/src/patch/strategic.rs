//! Strategic merge patch: a merge patch that knows how lists are keyed.
//!
//! Directives: `$patch: replace|merge|delete` in an object or as an element of a list,
//! `$retainKeys: [..]`, `$deleteFromPrimitiveList/<field>: [..]`, `$setElementOrder/<field>: [..]`.
//! A null removes a field. Directives never reach the result.

use serde_json::{Map, Value};

use super::PatchError;
use super::order::merge_order;
use crate::topology::{Gvk, MergeRule, Topology};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_SCALARS: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch to an object of a built-in kind.
///
/// # Errors
/// [`PatchError::Malformed`] for unknown directives, directives of the wrong type, and elements of
/// keyed lists without their key.
pub fn strategic_merge(gvk: &Gvk, original: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Some(patch) = patch.as_object() else {
        return Err(malformed("the patch must be a JSON object"));
    };
    let old = original.as_object().cloned().unwrap_or_default();
    merge_object(old, patch, Topology::built_in(&gvk.kind)).map(Value::Object)
}

fn malformed(message: impl Into<String>) -> PatchError {
    PatchError::Malformed(message.into())
}

fn list<'a>(value: &'a Value, directive: &str) -> Result<&'a [Value], PatchError> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Null => Ok(&[]),
        _ => Err(malformed(format!("{directive} must be a list"))),
    }
}

enum Directive {
    Replace,
    Delete,
    Merge,
}

fn directive(patch: &Map<String, Value>) -> Result<Directive, PatchError> {
    match patch.get(DIRECTIVE) {
        None => Ok(Directive::Merge),
        Some(Value::String(text)) => match text.as_str() {
            "replace" => Ok(Directive::Replace),
            "delete" => Ok(Directive::Delete),
            "merge" => Ok(Directive::Merge),
            other => Err(malformed(format!("unknown patch type found: {other}"))),
        },
        Some(_) => Err(malformed("$patch must be a string")),
    }
}

fn is_directive(key: &str) -> bool {
    key == DIRECTIVE
        || key == RETAIN_KEYS
        || key.starts_with(DELETE_SCALARS)
        || key.starts_with(ELEMENT_ORDER)
}

fn merge_object(
    mut old: Map<String, Value>,
    patch: &Map<String, Value>,
    at: Topology<'_>,
) -> Result<Map<String, Value>, PatchError> {
    match directive(patch)? {
        Directive::Delete => return Ok(Map::new()),
        // What replaces is a whole new object: merging into nothing drops nested directives.
        Directive::Replace => old.clear(),
        Directive::Merge => {}
    }
    if let Some(retained) = patch.get(RETAIN_KEYS) {
        let retained = list(retained, RETAIN_KEYS)?;
        for key in patch.keys().filter(|key| !is_directive(key)) {
            if !patch[key].is_null() && !retained.iter().any(|r| r.as_str() == Some(key)) {
                return Err(malformed(format!(
                    "{key} is not in the $retainKeys of its object"
                )));
            }
        }
        old.retain(|key, _| retained.iter().any(|r| r.as_str() == Some(key)));
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_SCALARS) {
            let gone = list(value, key)?;
            if let Some(Value::Array(items)) = old.get_mut(field) {
                items.retain(|item| !gone.contains(item));
            }
        }
    }
    for (key, value) in patch {
        if is_directive(key) {
            continue;
        }
        let here = at.field(key);
        let order = patch.get(&format!("{ELEMENT_ORDER}{key}"));
        match value {
            Value::Null => {
                old.remove(key);
            }
            Value::Object(change) => {
                let delete = matches!(directive(change)?, Directive::Delete);
                let after = match old.remove(key) {
                    Some(Value::Object(_)) if delete => None,
                    Some(Value::Object(before)) => {
                        Some(Value::Object(merge_object(before, change, here)?))
                    }
                    // Odd, but Kubernetes': a directive, even one to replace, where there is
                    // nothing yet takes with it the object that it is in.
                    _ if change.contains_key(DIRECTIVE) => None,
                    _ => Some(Value::Object(merge_object(Map::new(), change, here)?)),
                };
                old.extend(after.map(|after| (key.clone(), after)));
            }
            Value::Array(change) => {
                let before = match old.remove(key) {
                    Some(Value::Array(before)) => before,
                    _ => Vec::new(),
                };
                let order = order.map(|order| list(order, ELEMENT_ORDER)).transpose()?;
                old.insert(
                    key.clone(),
                    Value::Array(merge_list(before, change, order, here)?),
                );
            }
            scalar => {
                old.insert(key.clone(), scalar.clone());
            }
        }
    }
    // An order without a change of elements.
    for (key, order) in patch {
        if let Some(field) = key.strip_prefix(ELEMENT_ORDER)
            && !patch.contains_key(field)
            && let Some(Value::Array(items)) = old.get_mut(field)
        {
            let order = list(order, key)?;
            let before = std::mem::take(items);
            *items = reorder(before.clone(), &before, order, at.field(field).merge_rule());
        }
    }
    Ok(old)
}

fn merge_list(
    old: Vec<Value>,
    patch: &[Value],
    order: Option<&[Value]>,
    at: Topology<'_>,
) -> Result<Vec<Value>, PatchError> {
    let rule = at.merge_rule();
    let mut replace = false;
    let mut change = Vec::with_capacity(patch.len());
    for element in patch {
        // A bare directive concerns the list; with more in it, the element.
        match element.as_object() {
            Some(map) if map.contains_key(DIRECTIVE) => match directive(map)? {
                Directive::Replace if map.len() == 1 => replace = true,
                Directive::Replace => {
                    return Err(malformed("$patch: replace in a list must stand alone"));
                }
                Directive::Delete if map.len() == 1 => {
                    return Err(malformed(
                        "$patch: delete in a list needs the key of an element",
                    ));
                }
                _ => change.push(element),
            },
            _ => change.push(element),
        }
    }
    if replace || rule == MergeRule::Replace {
        return change
            .into_iter()
            .map(|element| clean(element, at.item()))
            .collect();
    }
    let merged = match rule {
        MergeRule::MergeScalars => {
            let mut merged = old.clone();
            for element in change {
                if !merged.contains(element) {
                    merged.push(element.clone());
                }
            }
            merged
        }
        MergeRule::MergeBy(key) => merge_by_key(old.clone(), &change, key, at)?,
        MergeRule::Replace => Vec::new(),
    };
    // Without an order of its own, a patch wants that of its elements.
    Ok(match order {
        Some(order) => reorder(merged, &old, order, rule),
        None => reorder(merged, &old, patch, rule),
    })
}

fn merge_by_key(
    mut merged: Vec<Value>,
    change: &[&Value],
    key: &str,
    at: Topology<'_>,
) -> Result<Vec<Value>, PatchError> {
    for element in change {
        let Some(map) = element.as_object() else {
            return Err(malformed(format!(
                "an element of a list merged by {key} is no object"
            )));
        };
        let Some(id) = map.get(key) else {
            return Err(malformed(format!(
                "map: {element} does not contain declared merge key: {key}"
            )));
        };
        let same = |item: &Value| item.get(key) == Some(id);
        if matches!(directive(map)?, Directive::Delete) {
            merged.retain(|item| !same(item));
            continue;
        }
        match merged.iter_mut().find(|item| same(item)) {
            Some(item) => {
                let before = match item.take() {
                    Value::Object(before) => before,
                    _ => Map::new(),
                };
                *item = Value::Object(merge_object(before, map, at.item())?);
            }
            None => merged.push(Value::Object(merge_object(Map::new(), map, at.item())?)),
        }
    }
    Ok(merged)
}

/// A value of the patch as it is stored: without directives and nulls.
fn clean(value: &Value, at: Topology<'_>) -> Result<Value, PatchError> {
    match value {
        Value::Object(map) => merge_object(Map::new(), map, at).map(Value::Object),
        other => Ok(other.clone()),
    }
}

/// Puts the elements the order names into that order; the others keep their place among them.
fn reorder(items: Vec<Value>, old: &[Value], order: &[Value], rule: MergeRule) -> Vec<Value> {
    let id = |item: &Value| -> Value {
        match rule {
            MergeRule::MergeBy(key) => item.get(key).cloned().unwrap_or_default(),
            _ => item.clone(),
        }
    };
    let rank = |item: &Value| {
        let own = id(item);
        order.iter().position(|entry| id(entry) == own)
    };
    let place = |item: &Value| {
        let own = id(item);
        old.iter().position(|entry| id(entry) == own)
    };
    let mut wanted: Vec<(usize, Value)> = Vec::new();
    let mut others: Vec<(usize, Value)> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        match rank(&item) {
            Some(rank) => wanted.push((rank, item)),
            None => others.push((place(&item).unwrap_or(old.len() + index), item)),
        }
    }
    wanted.sort_by_key(|(rank, _)| *rank);
    others.sort_by_key(|(place, _)| *place);
    merge_order(
        wanted.into_iter().map(|(_, item)| item).collect(),
        others,
        place,
    )
}
