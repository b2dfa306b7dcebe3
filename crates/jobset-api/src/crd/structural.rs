//! From the JSON Schema that the types generate to the structural schema that a CRD holds.
//!
//! A structural schema has no references, no alternatives and no nullable types. The generated
//! one has a definition per type. Each definition is made structural, Kubernetes' own types get
//! what their Rust form does not say ([`super::kubernetes`]), and the references are put in place.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::kubernetes;

/// Where the generator puts definitions.
const REFERENCE_PREFIX: &str = "#/$defs/";

/// Resolves references to these definitions.
pub(super) struct Inliner {
    definitions: Map<String, Value>,
}

impl Inliner {
    pub(super) fn new(definitions: Map<String, Value>) -> Self {
        Self { definitions }
    }

    /// The structural form of a generated schema.
    pub(super) fn structural(&self, schema: &Value) -> Value {
        let Value::Object(schema) = schema else {
            return schema.clone();
        };
        let mut result = Map::new();
        if let Some(target) = non_null_alternative(schema) {
            merge(&mut result, self.structural(target));
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            merge(&mut result, self.resolve(reference));
        }
        for (key, value) in schema {
            match key.as_str() {
                "$ref" | "anyOf" | "title" | "$schema" => {}
                "type" => {
                    result.insert(key.clone(), non_null_type(value));
                }
                "properties" => {
                    let properties = value.as_object().into_iter().flatten();
                    let properties =
                        properties.map(|(name, schema)| (name.clone(), self.structural(schema)));
                    result.insert(key.clone(), Value::Object(properties.collect()));
                }
                "items" | "additionalProperties" => {
                    result.insert(key.clone(), self.structural(value));
                }
                "description" => {
                    let text = value.as_str().unwrap_or_default();
                    result.insert(key.clone(), one_line(text).into());
                }
                _ => {
                    result.insert(key.clone(), value.clone());
                }
            }
        }
        Value::Object(result)
    }

    fn resolve(&self, reference: &str) -> Value {
        let name = reference
            .strip_prefix(REFERENCE_PREFIX)
            .unwrap_or(reference);
        if let Some(schema) = kubernetes::replacement(name) {
            return schema;
        }
        let mut schema = self.structural(self.definitions.get(name).unwrap_or(&Value::Bool(true)));
        match name.strip_prefix(kubernetes::PREFIX) {
            Some(kind) => kubernetes::complete(kind, &mut schema),
            None => drop_decoding_details(&mut schema),
        }
        schema
    }
}

/// `X` of a schema "X or null".
fn non_null_alternative(schema: &Map<String, Value>) -> Option<&Value> {
    let alternatives = schema.get("anyOf")?.as_array()?;
    alternatives
        .iter()
        .find(|alternative| alternative["type"] != "null")
}

/// `X` of a type "X or null".
fn non_null_type(type_: &Value) -> Value {
    let types = type_.as_array().into_iter().flatten();
    types
        .clone()
        .find(|name| *name != "null")
        .unwrap_or(type_)
        .clone()
}

/// What surrounds a reference says more than what it refers to, so that is merged first.
fn merge(into: &mut Map<String, Value>, from: Value) {
    if let Value::Object(from) = from {
        into.extend(from);
    }
}

/// Line breaks inside a paragraph are those of the source file.
fn one_line(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n")
}

/// Removes what only says how the type decodes: defaults for absent values, and attributes that
/// the type has set to null to withdraw what was generated.
fn drop_decoding_details(schema: &mut Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (_, property) in properties.into_iter().flatten() {
        let Some(property) = property.as_object_mut() else {
            continue;
        };
        property.retain(|_, value| !value.is_null());
        if property
            .get("default")
            .is_some_and(|default| *default == "" || *default == 0 || *default == json!({}))
        {
            property.remove("default");
        }
    }
}

/// The same value with the keys of all objects sorted, whatever map the JSON library uses.
pub(super) fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(map) => {
            let map: BTreeMap<String, Value> = map
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Value::Object(map.into_iter().collect())
        }
        other => other,
    }
}
