//! The CustomResourceDefinition of JobSet.
//!
//! [`generate`] makes it from the types: their schema is completed with what Kubernetes' own
//! types do not say in Rust (`kubernetes`), and put into the form that a CRD demands
//! (`structural`). `cargo xtask generate` writes the result into the manifests and, as compact
//! JSON, into this crate, so that a program that needs the CRD at run time only parses a text.
//! Tests hold the files and the types together.

mod generate;
mod kubernetes;
mod structural;

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize;
use serde_json::Value;

pub use generate::generate;

/// The CustomResourceDefinition as compact JSON.
pub const CRD_JSON: &str = include_str!("../../generated/crd.json");

/// The CustomResourceDefinition as JSON value. Parsed once, on first use.
#[expect(clippy::expect_used, reason = "a test parses the very same text")]
pub fn crd_value() -> &'static Value {
    static CRD: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(CRD_JSON).expect("the generated file is JSON"));
    &CRD
}

/// The CustomResourceDefinition, ready to be created on a cluster. It is larger than what
/// client-side `kubectl apply` can store in its annotation; use server-side apply.
#[expect(clippy::expect_used, reason = "a test parses the very same text")]
pub fn crd() -> CustomResourceDefinition {
    CustomResourceDefinition::deserialize(crd_value()).expect("the generated file is a CRD")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema of a path like `spec/replicatedJobs/[]/name`.
    fn schema(path: &str) -> &'static Value {
        let root = &crd_value()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        path.split('/').fold(root, |schema, part| match part {
            "[]" => &schema["items"],
            name => &schema["properties"][name],
        })
    }

    #[test]
    fn generated_file_is_what_the_types_generate() {
        assert!(
            generate() == *crd_value(),
            "generated/crd.json is out of date: run `cargo xtask generate`"
        );
    }

    #[test]
    fn generated_file_is_a_crd() {
        let crd = crd();
        assert_eq!(
            crd.metadata.name.as_deref(),
            Some(crate::constants::CRD_NAME)
        );
        assert_eq!(crd.spec.group, crate::constants::GROUP);
        assert_eq!(crd.spec.versions[0].name, crate::constants::VERSION);
        assert!(crd.spec.conversion.is_none());
    }

    /// Walks the schema and checks each node for what makes a schema structural.
    #[test]
    fn schema_is_structural() {
        fn walk(path: &str, schema: &Value) {
            let schema = schema
                .as_object()
                .unwrap_or_else(|| panic!("{path}: not an object"));
            for key in [
                "$ref", "$schema", "oneOf", "allOf", "not", "nullable", "title", "const",
            ] {
                assert!(!schema.contains_key(key), "{path}: {key}");
            }
            let int_or_string = schema.contains_key("x-kubernetes-int-or-string");
            assert_eq!(schema.contains_key("anyOf"), int_or_string, "{path}");
            assert_eq!(
                schema.get("type").is_some_and(Value::is_string),
                !int_or_string,
                "{path}"
            );
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                walk(&format!("{path}/{name}"), property);
            }
            for key in ["items", "additionalProperties"] {
                if let Some(schema) = schema.get(key) {
                    walk(&format!("{path}/{key}"), schema);
                }
            }
            let required = schema.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                assert!(
                    properties.is_some_and(|p| p.contains_key(name)),
                    "{path}: {name}"
                );
            }
        }
        walk("", schema_root());
    }

    fn schema_root() -> &'static Value {
        &crd_value()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    }

    /// An API server refuses a CRD whose list items cannot be told apart.
    #[test]
    fn keys_of_lists_are_scalars_and_always_there() {
        fn walk(path: &str, schema: &Value) {
            let items = &schema["items"];
            let scalar = |schema: &Value| {
                matches!(
                    schema["type"].as_str(),
                    Some("string" | "integer" | "boolean")
                )
            };
            match schema["x-kubernetes-list-type"].as_str() {
                None | Some("atomic") => {}
                Some("set") => assert!(scalar(items), "{path}"),
                Some("map") => {
                    let keys = schema["x-kubernetes-list-map-keys"].as_array().unwrap();
                    assert!(!keys.is_empty(), "{path}");
                    for key in keys {
                        let property = &items["properties"][key.as_str().unwrap()];
                        assert!(scalar(property), "{path}: {key}");
                        let required = items["required"].as_array();
                        let required = required.is_some_and(|names| names.contains(key));
                        assert!(required || !property["default"].is_null(), "{path}: {key}");
                    }
                }
                Some(other) => panic!("{path}: list type {other}"),
            }
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                walk(&format!("{path}/{name}"), property);
            }
            if items.is_object() {
                walk(&format!("{path}/[]"), items);
            }
        }
        walk("", schema_root());
    }

    #[test]
    fn every_own_field_is_described() {
        fn walk(path: &str, schema: &Value) {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}/{name}");
                let described = property["description"]
                    .as_str()
                    .is_some_and(|d| !d.is_empty());
                assert!(
                    described || path == "/metadata",
                    "{path} has no description"
                );
                if !matches!(name.as_str(), "template" | "templates" | "metadata") {
                    walk(&path, property);
                    walk(&path, &property["items"]);
                }
            }
        }
        walk("", schema_root());
    }

    #[test]
    fn list_types_defaults_rules_and_bounds() {
        let jobs = schema("spec/replicatedJobs");
        assert_eq!(
            jobs["x-kubernetes-list-map-keys"],
            serde_json::json!(["name"])
        );
        assert_eq!(schema("spec/replicatedJobs/[]/replicas")["default"], 1);
        assert_eq!(schema("spec/replicatedJobs/[]/replicas")["minimum"], 0);
        assert_eq!(
            schema("spec/replicatedJobs/[]/groupName")["default"],
            "default"
        );
        assert_eq!(schema("spec/replicatedJobs/[]/dependsOn")["maxItems"], 5);
        assert_eq!(
            schema("spec/failurePolicy/restartStrategy")["default"],
            "Recreate"
        );
        let containers = schema("spec/replicatedJobs/[]/template/spec/template/spec/containers");
        assert_eq!(containers["x-kubernetes-list-type"], "map");
        let rule = &schema("spec/network")["x-kubernetes-validations"][0];
        assert_eq!(rule["rule"], "self == oldSelf");
        assert_eq!(rule["message"], "Value is immutable");
    }
}
