use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::patch::tests::any_json;
use crate::topology::Gvk;

fn compile(properties: Value) -> Schema {
    let spec = json!({"type": "object", "properties": properties});
    Schema::compile(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

fn errors(properties: Value, spec: Value) -> Vec<String> {
    compile(properties)
        .validate(&json!({"spec": spec}))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn validation_messages() {
    let list_map = json!({"type": "array", "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object",
        "properties": {"name": {"type": "string"}}}});
    for (schema, value, expected) in [
        (
            json!({"type": "integer"}),
            json!("x"),
            "spec.a: Invalid value: \"string\": spec.a in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "string"}),
            json!(null),
            "spec.a: Invalid value: \"null\": spec.a in body must be of type string: \"null\"",
        ),
        (
            json!({"type": "string", "enum": ["x", "y"]}),
            json!("z"),
            "spec.a: Unsupported value: \"z\": supported values: \"x\", \"y\"",
        ),
        (
            json!({"type": "integer", "minimum": 0}),
            json!(-1),
            "spec.a: Invalid value: -1: spec.a in body should be greater than or equal to 0",
        ),
        (
            json!({"type": "integer", "maximum": 5, "exclusiveMaximum": true}),
            json!(5),
            "spec.a: Invalid value: 5: spec.a in body should be less than 5",
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            "spec.a: Invalid value: \"b\": spec.a in body should match '^a+$'",
        ),
        (
            json!({"type": "string", "minLength": 1}),
            json!(""),
            "spec.a: Invalid value: \"\": spec.a in body should be at least 1 chars long",
        ),
        (
            json!({"type": "string", "maxLength": 1}),
            json!("ab"),
            "spec.a: Too long: may not be more than 1 bytes",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "spec.a: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"type": "object", "required": ["b"]}),
            json!({}),
            "spec.a.b: Required value",
        ),
        (
            list_map,
            json!([{"name": "x"}, {"name": "x"}]),
            "spec.a[1]: Duplicate value: {\"name\":\"x\"}",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["x", "x"]),
            "spec.a[1]: Duplicate value: \"x\"",
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            "spec.a: Invalid value: \"boolean\": spec.a in body must be of type integer or string: \"boolean\"",
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000_i64),
            "spec.a: Invalid value: 3000000000: spec.a in body must be of type int32: 3000000000",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("yesterday"),
            "spec.a: Invalid value: \"yesterday\": spec.a in body must be of type date-time: \"yesterday\"",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"k": 1}),
            "spec.a.k: Invalid value: \"integer\": spec.a.k in body must be of type string: \"integer\"",
        ),
    ] {
        assert_eq!(
            errors(json!({"a": schema}), json!({"a": value})),
            [expected],
            "{schema}"
        );
    }
}

#[test]
fn valid_values_pass() {
    for (schema, value) in [
        (json!({"type": "integer"}), json!(3.0)),
        (json!({"type": "string", "nullable": true}), json!(null)),
        (json!({"x-kubernetes-int-or-string": true}), json!("50%")),
        (
            json!({"x-kubernetes-preserve-unknown-fields": true}),
            json!({"any": [1]}),
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("2026-01-01T00:00:00Z"),
        ),
        (
            json!({"type": "string", "anyOf": [{"enum": ["a"]}, {"enum": ["b"]}]}),
            json!("b"),
        ),
        (
            json!({"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}),
            json!({"b": ""}),
        ),
    ] {
        assert_eq!(
            errors(json!({"a": schema}), json!({"a": value})),
            [""; 0],
            "{schema}"
        );
    }
}

#[test]
fn pruning_and_unknown_fields_agree() {
    let schema = compile(json!({
        "known": {"type": "string"},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"closed": {"type": "object"}}},
        "map": {"type": "object", "additionalProperties": {"type": "object"}},
        "list": {"type": "array", "items": {"type": "object",
            "properties": {"a": {"type": "string"}}}},
        "pod": {"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object"}}},
    }));
    let mut object = json!({
        "apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "whatever": 1}, "top": 1,
        "spec": {
            "known": "x", "unknown": {"deep": 1},
            "open": {"free": 1, "closed": {"no": 1}},
            "map": {"k": {"no": 1}},
            "list": [{"a": "x"}, {"b": "y"}],
            "pod": {"apiVersion": "v1", "metadata": {"x": 1}, "spec": {"no": 1}, "status": {}},
        },
    });
    let mut unknown = schema.unknown_fields(&object);
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "spec.list[1].b",
            "spec.map.k.no",
            "spec.open.closed.no",
            "spec.pod.spec.no",
            "spec.pod.status",
            "spec.unknown",
            "top",
        ]
    );
    schema.prune(&mut object);
    assert_eq!(
        object["spec"],
        json!({
            "known": "x", "open": {"free": 1, "closed": {}}, "map": {"k": {}},
            "list": [{"a": "x"}, {}],
            "pod": {"apiVersion": "v1", "metadata": {"x": 1}, "spec": {}},
        })
    );
    assert_eq!(schema.unknown_fields(&object), [""; 0]);
}

#[test]
fn defaults_fill_in() {
    let schema = compile(json!({
        "replicas": {"type": "integer", "default": 1},
        "nested": {"type": "object", "default": {},
            "properties": {"mode": {"type": "string", "default": "Any"}}},
        "maybe": {"type": "string", "nullable": true, "default": "x"},
        "list": {"type": "array", "items": {"type": "object",
            "properties": {"protocol": {"type": "string", "default": "TCP"}}}},
    }));
    let mut object = json!({"spec": {"replicas": null, "maybe": null, "list": [{}]}});
    schema.default(&mut object);
    assert_eq!(
        object["spec"],
        json!({
            "replicas": 1, "nested": {"mode": "Any"}, "maybe": null, "list": [{"protocol": "TCP"}],
        })
    );
    let mut kept = json!({"spec": {"replicas": 0, "nested": {"mode": "All"}, "maybe": "y"}});
    let before = kept.clone();
    schema.default(&mut kept);
    assert_eq!(kept, before);
}

#[test]
fn nulls_that_stand_for_absence_go() {
    let schema = compile(json!({
        "plain": {"type": "string"},
        "maybe": {"type": "string", "nullable": true},
        "list": {"type": "array", "items": {"type": "string"}},
    }));
    let mut object = json!({"spec": {"plain": null, "maybe": null, "list": [null], "x": null}});
    schema.drop_nulls(&mut object);
    assert_eq!(
        object["spec"],
        json!({"maybe": null, "list": [null], "x": null})
    );
}

#[test]
fn duplicate_fields_are_found() {
    let text = br#"{"a": 1, "b": {"c": 1, "c": 2, "c": 3}, "l": [{}, {"x": 1, "x": 1}], "a": 2}"#;
    assert_eq!(duplicate_fields(text).unwrap(), ["b.c", "l[1].x", "a"]);
    assert!(duplicate_fields(b"{").is_err());
    assert!(duplicate_fields(b"{} x").is_err());
}

#[test]
fn malformed_schemas_are_refused() {
    for schema in [
        json!(3),
        json!({"type": "thing"}),
        json!({"properties": []}),
        json!({"properties": {"a": {"pattern": "("}}}),
        json!({"items": 1}),
        json!({"x-kubernetes-list-type": "map"}),
        json!({"required": [1]}),
    ] {
        assert!(Schema::compile(&schema).is_err(), "{schema}");
    }
}

#[test]
fn built_in_kinds_know_their_fields() {
    let job = built_in(&Gvk::new("batch", "v1", "Job")).unwrap();
    let mut object = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "x", "labls": {}, "labels": {"any/thing": "x"}},
        "spec": {"parallelism": 2, "paralelism": 2, "template": {"spec": {
            "containers": [{"name": "c", "imge": "x", "resources": {"limits": {"cpu": "1"}},
                "ports": [{"containerPort": 80}]}],
            "nodeSelector": {"a": "b"},
        }}},
    });
    let mut unknown = job.unknown_fields(&object);
    unknown.sort();
    assert_eq!(
        unknown,
        [
            "metadata.labls",
            "spec.paralelism",
            "spec.template.spec.containers[0].imge",
        ]
    );
    job.prune(&mut object);
    assert_eq!(job.unknown_fields(&object), [""; 0]);
    assert_eq!(job.type_errors(&object), []);
    object["spec"]["parallelism"] = json!("two");
    let found: Vec<String> = job
        .type_errors(&object)
        .into_iter()
        .map(|e| e.path)
        .collect();
    assert_eq!(found, ["spec.parallelism"]);
}

#[test]
fn every_built_in_kind_compiles_and_recursion_ends() {
    for (group, version, kind, definition) in builtin::ROOTS {
        let gvk = Gvk::new(group, version, kind);
        let schema = built_in(&gvk).unwrap();
        assert!(definitions().contains_key(*definition), "{definition}");
        let unknown = schema.unknown_fields(&json!({"metadata": {}, "nonsense": 1}));
        assert_eq!(unknown, ["nonsense"], "{kind}");
    }
    let crd = built_in(&Gvk::new(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
    ))
    .unwrap();
    let mut deep = json!({"type": "object"});
    for _ in 0..40 {
        deep = json!({"type": "object", "properties": {"a": deep}, "required": ["a"]});
    }
    let object = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": deep}}]}});
    assert_eq!(crd.unknown_fields(&object), [""; 0]);
}

#[test]
fn quantities_and_numbers_are_both_fine() {
    let pod = built_in(&Gvk::new("", "v1", "Pod")).unwrap();
    for cpu in [json!("500m"), json!(1), json!(0.5)] {
        let object = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}});
        assert_eq!(pod.type_errors(&object), [], "{cpu}");
    }
}

fn some_schema() -> Schema {
    Schema::compile(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "name": {"type": "string", "default": "n"},
            "ports": {"type": "array", "items": {"type": "object", "properties": {
                "containerPort": {"type": "integer"}, "type": {"type": "string", "default": "t"},
            }}},
            "x": {"type": "object", "default": {}, "properties": {
                "name": {"type": "string", "default": "deep"}}},
            "labels": {"type": "object", "additionalProperties": {"type": "object",
                "properties": {"env": {"x-kubernetes-preserve-unknown-fields": true}}}},
        }},
        "status": {"x-kubernetes-preserve-unknown-fields": true, "type": "object"},
    }}))
    .unwrap()
}

proptest! {
    #[test]
    fn pruning_is_idempotent_and_agrees(object in any_json()) {
        let schema = some_schema();
        let mut once = object.clone();
        schema.prune(&mut once);
        prop_assert_eq!(schema.unknown_fields(&once), Vec::<String>::new());
        prop_assert_eq!(schema.unknown_fields(&object).is_empty(), once == object);
        let mut twice = once.clone();
        schema.prune(&mut twice);
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn defaulting_is_idempotent(object in any_json()) {
        let schema = some_schema();
        let mut once = object;
        schema.default(&mut once);
        let mut twice = once.clone();
        schema.default(&mut twice);
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn never_panics(schema in any_json(), object in any_json()) {
        let pod = built_in(&Gvk::new("", "v1", "Pod")).unwrap();
        let _ = (pod.validate(&object), pod.type_errors(&object), pod.unknown_fields(&object));
        let _ = some_schema().validate(&object);
        if let Ok(schema) = Schema::compile(&schema) {
            let _ = schema.validate(&object);
        }
        let _ = duplicate_fields(object.to_string().as_bytes());
    }
}
