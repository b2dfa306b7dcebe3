//! OpenAPI v3 documents: what kubectl reads to explain, validate and apply.
//!
//! One document per group and version, and an index of them. Component schemas of built-in kinds
//! come from the Kubernetes types, those of custom resources from their definition. Operations
//! say what clients ask of them: their kind, and that they take `fieldValidation`.

mod merge_keys;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::schema;
use crate::topology::Gvk;

/// A resource to describe.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// Its kind.
    pub gvk: &'a Gvk,
    /// Plural name in paths.
    pub plural: &'a str,
    /// Whether it lives in namespaces.
    pub namespaced: bool,
    /// Whether it has a status subresource.
    pub has_status: bool,
    /// Whether it can only be read.
    pub read_only: bool,
    /// The OpenAPI v3 schema of a custom resource; `None` for a built-in kind.
    pub schema: Option<&'a Value>,
}

const REFERENCE: &str = "#/components/schemas/";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// The path of a group and version under `/openapi/v3/`: `api/v1`, `apis/batch/v1`.
pub fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// The index at `/openapi/v3`. `documents` are groups and versions with a text that changes when
/// the document does (clients cache by it).
pub fn index<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str, String)>) -> Value {
    let mut paths = Map::new();
    for (group, version, etag) in documents {
        let path = document_path(group, version);
        let url = format!("/openapi/v3/{path}?hash={etag}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

/// A short text that changes when the description of these resources does.
pub fn hash(resources: &[Described<'_>]) -> String {
    // FNV-1a: no secret is involved, and unlike the standard library's it never changes.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut feed = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for resource in resources {
        feed(&resource.gvk.api_version());
        feed(&resource.gvk.kind);
        feed(resource.plural);
        feed(if resource.has_status { "status" } else { "" });
        feed(&resource.schema.map(Value::to_string).unwrap_or_default());
    }
    format!("{hash:016X}")
}

/// The document of a group and version.
pub fn document(group: &str, version: &str, resources: &[Described<'_>]) -> Value {
    let mut paths = Map::new();
    let mut components = Components::default();
    let base = match group {
        "" => format!("/api/{version}"),
        _ => format!("/apis/{group}/{version}"),
    };
    for resource in resources {
        let component = components.add(resource);
        let scope = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let collection = format!("{base}{scope}/{}", resource.plural);
        let (of_one, of_all): (&[&str], &[&str]) = if resource.read_only {
            (&["get"], &["get"])
        } else {
            (
                &["get", "put", "patch", "delete"],
                &["get", "post", "delete"],
            )
        };
        paths.insert(
            format!("{collection}/{{name}}"),
            operations(resource, &component, of_one, true),
        );
        if resource.has_status {
            paths.insert(
                format!("{collection}/{{name}}/status"),
                operations(resource, &component, &["get", "put", "patch"], true),
            );
        }
        paths.insert(collection, operations(resource, &component, of_all, false));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.0"},
        "paths": paths,
        "components": {"schemas": components.finish()},
    })
}

fn gvk_value(gvk: &Gvk) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

fn query(name: &str, schema: &str, description: &str) -> Value {
    json!({
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": schema, "uniqueItems": true},
    })
}

fn operations(resource: &Described<'_>, component: &str, verbs: &[&str], named: bool) -> Value {
    let body = json!({"$ref": format!("{REFERENCE}{component}")});
    let mut operations = Map::new();
    for &verb in verbs {
        let action = match (verb, named) {
            ("get", true) => "get",
            ("get", false) => "list",
            ("delete", false) => "deletecollection",
            (other, _) => other,
        };
        let mut operation = json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk_value(resource.gvk),
            "responses": {
                "200": {"description": "OK", "content": {"application/json": {"schema": body}}},
            },
        });
        if ["post", "put", "patch"].contains(&verb) {
            let mut parameters = vec![
                query(
                    "dryRun",
                    "string",
                    "All: process the request and store nothing.",
                ),
                query("fieldManager", "string", "Who makes the change."),
                query(
                    "fieldValidation",
                    "string",
                    "What to do with unknown and duplicate fields: Ignore, Warn or Strict.",
                ),
            ];
            let content = if verb == "patch" {
                parameters.push(query("force", "boolean", "Take fields over from others."));
                let mut content = Map::new();
                let mut types = vec![
                    "application/apply-patch+yaml",
                    "application/json-patch+json",
                    "application/merge-patch+json",
                ];
                if resource.schema.is_none() {
                    types.push("application/strategic-merge-patch+json");
                }
                for media_type in types {
                    content.insert(media_type.to_owned(), json!({"schema": {"type": "object"}}));
                }
                Value::Object(content)
            } else {
                json!({"application/json": {"schema": body}})
            };
            operation["parameters"] = Value::Array(parameters);
            operation["requestBody"] = json!({"required": true, "content": content});
        }
        operations.insert(verb.to_owned(), operation);
    }
    let mut parameters = Vec::new();
    let mut path = |name: &str| {
        parameters.push(json!({
            "name": name,
            "in": "path",
            "required": true,
            "schema": {"type": "string", "uniqueItems": true},
        }));
    };
    if named {
        path("name");
    }
    if resource.namespaced {
        path("namespace");
    }
    operations.insert("parameters".to_owned(), Value::Array(parameters));
    Value::Object(operations)
}

/// The component schemas of a document, and what they refer to.
#[derive(Default)]
struct Components {
    schemas: BTreeMap<String, Value>,
    wanted: BTreeSet<String>,
}

impl Components {
    /// Adds the kind of a resource and its list, and returns its name.
    fn add(&mut self, resource: &Described<'_>) -> String {
        let gvk = resource.gvk;
        let (name, mut schema) = match (resource.schema, schema::root_of(gvk)) {
            (None, Some(name)) => {
                let raw = schema::definitions().get(name).cloned().unwrap_or_default();
                let mut schema = convert(raw);
                merge_keys::mark(name, &mut schema);
                (name.to_owned(), schema)
            }
            (given, _) => {
                let reversed: Vec<&str> = gvk.group.split('.').rev().collect();
                let name = format!("{}.{}.{}", reversed.join("."), gvk.version, gvk.kind);
                (
                    name,
                    custom(given.cloned().unwrap_or_else(|| json!({"type": "object"}))),
                )
            }
        };
        if let Some(map) = schema.as_object_mut() {
            map.insert(
                "x-kubernetes-group-version-kind".to_owned(),
                json!([gvk_value(gvk)]),
            );
        }
        self.want(&schema);
        self.schemas.insert(name.clone(), schema);
        let mut list_kind = gvk.clone();
        list_kind.kind.push_str("List");
        let list = json!({
            "type": "object",
            "description": format!("{} is a list of {}.", list_kind.kind, gvk.kind),
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"allOf": [{"$ref": format!("{REFERENCE}{LIST_META}")}]},
                "items": {"type": "array", "items": {"$ref": format!("{REFERENCE}{name}")}},
            },
            "x-kubernetes-group-version-kind": [gvk_value(&list_kind)],
        });
        self.schemas.insert(format!("{name}List"), list);
        name
    }

    /// Notes everything a schema refers to.
    fn want(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(target) = map.get("$ref").and_then(Value::as_str)
                    && let Some(name) = target.strip_prefix(REFERENCE)
                    && !self.schemas.contains_key(name)
                {
                    self.wanted.insert(name.to_owned());
                }
                map.values().for_each(|value| self.want(value));
            }
            Value::Array(items) => items.iter().for_each(|value| self.want(value)),
            _ => {}
        }
    }

    fn finish(mut self) -> BTreeMap<String, Value> {
        while let Some(name) = self.wanted.pop_first() {
            if self.schemas.contains_key(&name) {
                continue;
            }
            let raw = schema::definitions().get(&name).cloned();
            let mut schema = convert(raw.unwrap_or_else(|| json!({"type": "object"})));
            merge_keys::mark(&name, &mut schema);
            // Inserted first, so that a schema that refers to itself ends.
            self.schemas.insert(name.clone(), Value::Null);
            self.want(&schema);
            self.schemas.insert(name, schema);
        }
        self.schemas.entry(LIST_META.to_owned()).or_insert_with(|| {
            json!({
                "type": "object",
                "description": "ListMeta describes a list.",
                "properties": {
                    "continue": {"type": "string"},
                    "remainingItemCount": {"type": "integer", "format": "int64"},
                    "resourceVersion": {"type": "string"},
                    "selfLink": {"type": "string"},
                },
            })
        });
        self.schemas
    }
}

/// JSON Schema as generated from types, in the OpenAPI 3.0 dialect: a reference stands alone, so
/// what stands beside it moves around it.
fn convert(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut converted: Map<String, Value> = map
                .into_iter()
                .map(|(key, value)| (key, convert(value)))
                .collect();
            if converted.len() > 1
                && converted.get("$ref").is_some_and(Value::is_string)
                && let Some(target) = converted.remove("$ref")
            {
                converted.insert("allOf".to_owned(), json!([{"$ref": target}]));
            }
            Value::Object(converted)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(convert).collect()),
        other => other,
    }
}

/// A custom resource's schema, with the fields every object has.
fn custom(mut schema: Value) -> Value {
    let Some(map) = schema.as_object_mut() else {
        return json!({"type": "object"});
    };
    let properties = map.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        let text = |description: &str| json!({"type": "string", "description": description});
        properties.entry("apiVersion").or_insert_with(|| {
            text("APIVersion defines the versioned schema of this representation of an object.")
        });
        properties
            .entry("kind")
            .or_insert_with(|| text("Kind is the REST resource this object represents."));
        properties.insert(
            "metadata".to_owned(),
            json!({
                "description": "Standard object's metadata.",
                "allOf": [{"$ref": format!("{REFERENCE}{OBJECT_META}")}],
            }),
        );
    }
    schema
}

#[cfg(test)]
mod tests;
