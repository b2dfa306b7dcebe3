//! From JSON to the values that rules see, by the types of the schema.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_cel::cel::Value;
use kube_cel::cel::functions::time;
use kube_cel::cel::objects::{Key, Map};
use serde_json::{Number, Value as Json};

use crate::schema::node::{ListType, Node, Schema, Type};

/// The value of `self` or `oldSelf`.
///
/// `like` is the value it will be compared with. The elements of sets and keyed lists are put into
/// that value's order, because such lists are equal in whatever order they are written.
pub(super) fn value(schema: &Schema, node: &Node, json: &Json, like: Option<&Json>) -> Value {
    convert(schema, Some(node), json, like, false)
}

/// The same for a whole resource: of its metadata, rules see the name and nothing else.
pub(super) fn resource(schema: &Schema, node: &Node, json: &Json, like: Option<&Json>) -> Value {
    convert(schema, Some(node), json, like, true)
}

fn convert(
    schema: &Schema,
    node: Option<&Node>,
    json: &Json,
    like: Option<&Json>,
    is_resource: bool,
) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => self::number(node, number),
        Json::String(text) => self::text(node, text),
        Json::Array(items) => {
            let child = node.and_then(|node| schema.item(node));
            let others = like.and_then(Json::as_array).map(Vec::as_slice);
            let embedded = child.is_some_and(|child| child.embedded);
            let list_type = node.map_or(&ListType::Atomic, |node| &node.list_type);
            let paired = pair(list_type, items, others.unwrap_or_default());
            let list = paired
                .into_iter()
                .map(|(item, like)| convert(schema, child, item, like, embedded))
                .collect();
            Value::List(Arc::new(list))
        }
        Json::Object(fields) => {
            let mut map = HashMap::with_capacity(fields.len());
            for (name, json) in fields {
                if is_resource && name == "metadata" {
                    map.insert(key(name), metadata(json));
                    continue;
                }
                let child = node.and_then(|node| schema.field(node, name));
                let embedded = child.is_some_and(|child| child.embedded);
                let like = like.and_then(|like| like.get(name));
                let value = convert(schema, child, json, like, embedded);
                // A property whose name is no identifier is known by an escaped one. Both are
                // there: Kubernetes' own types have a field `namespace`, a reserved word that
                // rules in use write as it is.
                if node.is_some_and(|node| node.properties.contains_key(name))
                    && let Some(escaped) = escaped(name)
                {
                    map.insert(key(&escaped), value.clone());
                }
                map.insert(key(name), value);
            }
            Value::Map(Map { map: Arc::new(map) })
        }
    }
}

/// A value of which nothing is known but its JSON.
pub(super) fn untyped(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => self::number(None, number),
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(untyped).collect())),
        Json::Object(fields) => {
            let map = fields
                .iter()
                .map(|(name, json)| (key(name), untyped(json)))
                .collect();
            Value::Map(Map { map: Arc::new(map) })
        }
    }
}

/// An object with these fields.
pub(super) fn fields(fields: &HashMap<Key, Value>) -> Value {
    let map = Arc::new(fields.clone());
    Value::Map(Map { map })
}

pub(super) fn key(name: &str) -> Key {
    Key::String(Arc::new(name.to_owned()))
}

fn metadata(json: &Json) -> Value {
    let map = ["name", "generateName"]
        .into_iter()
        .filter_map(|name| {
            let text = json.get(name)?.as_str()?;
            Some((key(name), Value::String(Arc::new(text.to_owned()))))
        })
        .collect();
    Value::Map(Map { map: Arc::new(map) })
}

fn number(node: Option<&Node>, number: &Number) -> Value {
    let wanted = node.and_then(|node| node.value_type);
    let float = number.as_f64().unwrap_or(f64::NAN);
    match (wanted, number.as_i64()) {
        (Some(Type::Number), _) => Value::Float(float),
        (_, Some(integer)) => Value::Int(integer),
        // 3.0 is an integer, too.
        (Some(Type::Integer), None) if float.fract() == 0.0 => Value::Int(float as i64),
        _ => number.as_u64().map_or(Value::Float(float), Value::UInt),
    }
}

/// Text that does not have its format's form stays text; validation of formats is not for here.
fn text(node: Option<&Node>, text: &str) -> Value {
    let string = || Arc::new(text.to_owned());
    let format = node
        .filter(|node| !node.int_or_string)
        .and_then(|node| node.limits.as_ref()?.format.as_deref());
    let read = match format {
        Some("byte") => STANDARD
            .decode(text)
            .ok()
            .map(|bytes| Value::Bytes(Arc::new(bytes))),
        Some("date-time") => time::timestamp(string()).ok(),
        Some("date") => time::timestamp(Arc::new(format!("{text}T00:00:00Z"))).ok(),
        Some("duration") => time::duration(string()).ok(),
        _ => None,
    };
    read.unwrap_or_else(|| Value::String(string()))
}

/// What tells an element of a list from the others.
pub(super) fn identity(list_type: &ListType, item: &Json) -> Option<String> {
    match list_type {
        ListType::Atomic => None,
        ListType::Set => Some(item.to_string()),
        ListType::Map(keys) => {
            let values: Vec<&Json> = keys.iter().map(|key| &item[key.as_str()]).collect();
            serde_json::to_string(&values).ok()
        }
    }
}

/// Elements with those of another list that they correspond to, in the order of the other list.
fn pair<'a>(
    list_type: &ListType,
    items: &'a [Json],
    others: &'a [Json],
) -> Vec<(&'a Json, Option<&'a Json>)> {
    if *list_type == ListType::Atomic || others.is_empty() {
        return items.iter().map(|item| (item, None)).collect();
    }
    let places: HashMap<String, usize> = others
        .iter()
        .enumerate()
        .filter_map(|(place, other)| Some((identity(list_type, other)?, place)))
        .collect();
    let mut placed: Vec<(usize, &Json)> = items
        .iter()
        .map(|item| {
            let place = identity(list_type, item).and_then(|id| places.get(&id).copied());
            (place.unwrap_or(usize::MAX), item)
        })
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    placed
        .into_iter()
        .map(|(place, item)| (item, others.get(place)))
        .collect()
}

const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// The identifier that stands for a property's name where it differs from the name.
pub(super) fn escaped(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return None;
    }
    let escaped = name
        .replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__");
    Some(escaped)
}
