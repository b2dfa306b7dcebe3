use serde_json::{Value, json};

use super::value::escaped;
use super::{Part, Schema};

/// A schema whose `spec` is the given schema.
fn schema(spec: Value) -> Schema {
    let schema = Schema::compile(&json!({"type": "object", "properties": {
        "spec": spec,
        "status": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }}))
    .unwrap();
    assert_eq!(schema.invalid_rules(), []);
    schema
}

fn rules(list: &[&str]) -> Value {
    list.iter().map(|rule| json!({"rule": rule})).collect()
}

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "x.io/v1", "kind": "X",
        "metadata": {"name": "it", "labels": {"a": "b"}}, "spec": spec})
}

fn violations(schema: &Schema, spec: &Value, old: Option<&Value>) -> Vec<String> {
    let old = old.map(object);
    schema
        .violations(&object(spec), old.as_ref(), Part::Whole)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn rules_hold_or_do_not() {
    let fields = json!({
        "n": {"type": "integer"},
        "x": {"type": "number"},
        "s": {"type": "string"},
        "list": {"type": "array", "items": {"type": "integer"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "port": {"x-kubernetes-int-or-string": true},
        "since": {"type": "string", "format": "date-time"},
        "for": {"type": "string", "format": "duration"},
        "data": {"type": "string", "format": "byte"},
        "my-field": {"type": "string"},
        "namespace": {"type": "string"},
        "size": {"type": "string"},
    });
    let cases = [
        ("self.n > 2", json!({"n": 3}), true),
        ("self.n > 2", json!({"n": 2}), false),
        ("self.n == 3", json!({"n": 3.0}), true),
        ("self.x == 1.0", json!({"x": 1}), true),
        ("self.x / 2.0 > 0.4", json!({"x": 1}), true),
        ("has(self.s)", json!({}), false),
        (
            "!has(self.s) || self.s.startsWith('a')",
            json!({"s": "b"}),
            false,
        ),
        ("self.s.matches('^[a-z]+$')", json!({"s": "abc"}), true),
        ("self.s.lowerAscii() == self.s", json!({"s": "Abc"}), false),
        (
            "size(self.list) <= 2 && self.list.all(i, i > 0)",
            json!({"list": [1, 2]}),
            true,
        ),
        (
            "self.list.exists_one(i, i == 1)",
            json!({"list": [1, 1]}),
            false,
        ),
        (
            "self.list.isSorted() && self.list.sum() == 6",
            json!({"list": [1, 2, 3]}),
            true,
        ),
        (
            "self.list.map(i, i * 2) == [2, 4]",
            json!({"list": [1, 2]}),
            true,
        ),
        (
            "'k' in self.map && self.map['k'] == 'v'",
            json!({"map": {"k": "v"}}),
            true,
        ),
        (
            "self.map.all(k, k.size() < 3)",
            json!({"map": {"long": ""}}),
            false,
        ),
        ("self.map['a-b'] == ''", json!({"map": {"a-b": ""}}), true),
        (
            "type(self.port) == int ? self.port > 0 : self.port == 'x'",
            json!({"port": 1}),
            true,
        ),
        (
            "type(self.port) == int ? self.port > 0 : self.port == 'x'",
            json!({"port": "x"}),
            true,
        ),
        (
            "self.since < timestamp('2024-01-01T00:00:00Z')",
            json!({"since": "2023-05-05T00:00:00Z"}),
            true,
        ),
        (
            "self.__for__ <= duration('1h')",
            json!({"for": "90m"}),
            false,
        ),
        ("self.data == b'abc'", json!({"data": "YWJj"}), true),
        ("self.__my__dash__field == ''", json!({}), false),
        (
            "self.my__dash__field == 'x'",
            json!({"my-field": "x"}),
            true,
        ),
        ("self.__namespace__ == 'x'", json!({"namespace": "x"}), true),
        (
            "!has(self.namespace) || size(self.namespace) == 0",
            json!({"namespace": "x"}),
            false,
        ),
        (
            "!has(self.namespace) || size(self.namespace) == 0",
            json!({}),
            true,
        ),
        (
            "quantity(self.size).isLessThan(quantity('2Gi'))",
            json!({"size": "100Mi"}),
            true,
        ),
        ("isQuantity(self.size)", json!({"size": "lots"}), false),
        ("ip.isCanonical(self.s)", json!({"s": "127.0.0.1"}), true),
        (
            "cidr('10.0.0.0/8').containsIP(self.s)",
            json!({"s": "11.0.0.1"}),
            false,
        ),
        (
            "sets.contains([1, 2], self.list)",
            json!({"list": [1]}),
            true,
        ),
    ];
    for (rule, spec, holds) in cases {
        let schema = schema(json!({"type": "object", "properties": fields,
            "x-kubernetes-validations": rules(&[rule])}));
        let found = violations(&schema, &spec, None);
        assert_eq!(found.is_empty(), holds, "{rule} of {spec}: {found:?}");
    }
}

#[test]
fn violations_have_kubernetes_words() {
    let level = |rule: Value| {
        schema(json!({"type": "object",
            "properties": {"n": {"type": "integer"}, "m": {"type": "object",
                "additionalProperties": {"type": "integer"}}},
            "x-kubernetes-validations": [rule]}))
    };
    let cases = [
        (
            json!({"rule": "self.n > 2"}),
            "spec: Invalid value: \"object\": failed rule: self.n > 2",
            "FieldValueInvalid",
        ),
        (
            json!({"rule": "self.n > 2", "message": "too few"}),
            "spec: Invalid value: \"object\": too few",
            "FieldValueInvalid",
        ),
        (
            json!({"rule": "self.n > 2", "message": "too few", "fieldPath": ".n",
                "messageExpression": "'only ' + string(self.n)"}),
            "spec.n: Invalid value: \"object\": only 1",
            "FieldValueInvalid",
        ),
        (
            json!({"rule": "self.n > 2", "message": "no", "messageExpression": "self.gone",
                "fieldPath": ".m['a']", "reason": "FieldValueForbidden"}),
            "spec.m[a]: Forbidden: no",
            "FieldValueForbidden",
        ),
        (
            json!({"rule": "has(self.m)", "message": "m!", "reason": "FieldValueRequired"}),
            "spec: Required value: m!",
            "FieldValueRequired",
        ),
        (
            json!({"rule": "self.n > 2", "message": "twice", "reason": "FieldValueDuplicate"}),
            "spec: Duplicate value: \"object\": twice",
            "FieldValueDuplicate",
        ),
        (
            json!({"rule": "self.m['a'] > 2", "message": "a is small"}),
            "spec: Invalid value: \"object\": no such key: m evaluating rule: a is small",
            "FieldValueInvalid",
        ),
        (
            json!({"rule": "self.n + 1"}),
            "spec: Invalid value: \"object\": no boolean came of evaluating rule: self.n + 1",
            "FieldValueInvalid",
        ),
    ];
    for (rule, expected, reason) in cases {
        let errors = level(rule).violations(&object(&json!({"n": 1})), None, Part::Whole);
        assert_eq!(errors.len(), 1, "{expected}: {errors:?}");
        assert_eq!(errors[0].to_string(), expected);
        assert_eq!(errors[0].kind.reason(), reason);
    }
}

#[test]
fn rules_stand_at_every_level() {
    let schema = schema(json!({"type": "object", "properties": {
        "list": {"type": "array", "items": {
            "type": "integer", "x-kubernetes-validations": rules(&["self > 0"])}},
        "map": {"type": "object", "additionalProperties": {
            "type": "string", "x-kubernetes-validations": rules(&["self != ''"])}},
        "null": {"type": "integer", "nullable": true,
            "x-kubernetes-validations": rules(&["self > 0"])},
    }}));
    let found = violations(
        &schema,
        &json!({"list": [1, 0, 2, -1], "map": {"a": "", "b": "b"}, "null": null}),
        None,
    );
    assert_eq!(
        found,
        [
            "spec.list[1]: Invalid value: \"integer\": failed rule: self > 0",
            "spec.list[3]: Invalid value: \"integer\": failed rule: self > 0",
            "spec.map[a]: Invalid value: \"string\": failed rule: self != ''",
        ]
    );
}

#[test]
fn transition_rules_need_an_old_and_a_new_value() {
    let immutable = json!([{"rule": "self == oldSelf", "message": "immutable"}]);
    let schema = schema(json!({"type": "object", "properties": {
        "field": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "x-kubernetes-validations": immutable},
        "map": {"type": "object", "additionalProperties": {
            "type": "string", "x-kubernetes-validations": immutable}},
        "keyed": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"},
                "v": {"type": "integer", "x-kubernetes-validations": immutable}}}},
        "atomic": {"type": "array", "items": {"type": "integer"},
            "x-kubernetes-validations": immutable},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"},
            "x-kubernetes-validations": immutable},
        "ordered": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"], "x-kubernetes-validations": immutable,
            "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "grows": {"type": "integer", "x-kubernetes-validations": rules(&["self > oldSelf"])},
    }}));
    let cases = [
        (json!({}), json!({"field": {"a": 1}}), vec![]),
        (json!({"field": {"a": 1}}), json!({}), vec![]),
        (json!({"field": null}), json!({"field": {"a": 1}}), vec![]),
        (
            json!({"field": {"a": 1}}),
            json!({"field": {"a": 1}}),
            vec![],
        ),
        (
            json!({"field": {"a": 1}}),
            json!({"field": {"a": 2}}),
            vec!["spec.field"],
        ),
        (
            json!({"field": {"a": 1}}),
            json!({"field": {}}),
            vec!["spec.field"],
        ),
        (
            json!({"map": {"a": "x"}}),
            json!({"map": {"b": "x"}}),
            vec![],
        ),
        (
            json!({"map": {"a": "x"}}),
            json!({"map": {"a": "y"}}),
            vec!["spec.map[a]"],
        ),
        (
            json!({"keyed": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]}),
            json!({"keyed": [{"name": "b", "v": 2}, {"name": "c", "v": 9}, {"name": "a", "v": 1}]}),
            vec![],
        ),
        (
            json!({"keyed": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]}),
            json!({"keyed": [{"name": "b", "v": 3}, {"name": "a"}]}),
            vec!["spec.keyed[0].v"],
        ),
        (
            json!({"atomic": [1, 2]}),
            json!({"atomic": [2, 1]}),
            vec!["spec.atomic"],
        ),
        (json!({"set": [1, 2]}), json!({"set": [2, 1]}), vec![]),
        (
            json!({"set": [1, 2]}),
            json!({"set": [2, 3]}),
            vec!["spec.set"],
        ),
        (
            json!({"ordered": [{"name": "a"}, {"name": "b"}]}),
            json!({"ordered": [{"name": "b"}, {"name": "a"}]}),
            vec![],
        ),
        (
            json!({"ordered": [{"name": "a"}, {"name": "b"}]}),
            json!({"ordered": [{"name": "b"}]}),
            vec!["spec.ordered"],
        ),
        // Transition rules also look at values that stay.
        (json!({"grows": 1}), json!({"grows": 1}), vec!["spec.grows"]),
        (json!({"grows": 1}), json!({"grows": 2}), vec![]),
    ];
    for (old, new, paths) in cases {
        assert_eq!(violations(&schema, &new, None), [""; 0], "create {new}");
        let found = violations(&schema, &new, Some(&old));
        let expected: Vec<String> = paths.iter().map(|path| format!("{path}: ")).collect();
        assert_eq!(found.len(), expected.len(), "{old} to {new}: {found:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.starts_with(expected), "{old} to {new}: {found}");
        }
    }
}

#[test]
fn an_optional_old_self_is_asked_for_on_create_too() {
    let schema = schema(
        json!({"type": "object", "properties": {"n": {"type": "integer",
        "x-kubernetes-validations": [{"optionalOldSelf": true,
            "rule": "oldSelf.hasValue() ? self > oldSelf.value() : self == 0"}]}}}),
    );
    let n = |n: i64| json!({"n": n});
    assert_eq!(violations(&schema, &n(0), None).len(), 0);
    assert_eq!(violations(&schema, &n(1), None).len(), 1);
    assert_eq!(violations(&schema, &n(1), Some(&n(0))).len(), 0);
    assert_eq!(violations(&schema, &n(1), Some(&n(2))).len(), 1);
}

#[test]
fn what_does_not_change_is_not_asked_again() {
    let schema = schema(json!({"type": "object",
    "properties": {
        "a": {"type": "integer", "x-kubernetes-validations": rules(&["self > 5"])},
        "b": {"type": "integer"},
        "list": {"type": "array", "items": {"type": "integer",
            "x-kubernetes-validations": rules(&["self > 5"])}},
    }}));
    let old = json!({"a": 1, "b": 1, "list": [1]});
    let changed = |key: &str, value: Value| {
        let mut new = old.clone();
        new[key] = value;
        violations(&schema, &new, Some(&old)).len()
    };
    assert_eq!(violations(&schema, &old, None).len(), 2);
    assert_eq!(violations(&schema, &old, Some(&old)).len(), 0);
    assert_eq!(changed("b", json!(2)), 0);
    assert_eq!(changed("a", json!(2)), 1);
    assert_eq!(changed("a", json!(6)), 0);
    // Elements of atomic lists are all new when one is.
    assert_eq!(changed("list", json!([1, 7])), 1);
}

#[test]
fn writes_of_the_status_ask_what_concerns_the_status() {
    let schema = Schema::compile(&json!({"type": "object",
    "x-kubernetes-validations": rules(&["self.spec.n == 1", "self.status.n <= self.spec.n"]),
    "properties": {
        "spec": {"type": "object", "properties": {"n": {"type": "integer"}},
            "x-kubernetes-validations": rules(&["self.n == 1"])},
        "status": {"type": "object", "properties": {"n": {"type": "integer"}},
            "x-kubernetes-validations": rules(&["self.n < 5"])},
    }}))
    .unwrap();
    let old = json!({"spec": {"n": 2}, "status": {"n": 0}});
    let new = json!({"spec": {"n": 2}, "status": {"n": 7}});
    let messages: Vec<String> = schema
        .violations(&new, Some(&old), Part::Status)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        messages,
        [
            "<root>: Invalid value: \"object\": failed rule: self.status.n <= self.spec.n",
            "status: Invalid value: \"object\": failed rule: self.n < 5",
        ]
    );
}

#[test]
fn rules_see_the_name_and_no_other_metadata() {
    let schema = |rule: &str| {
        Schema::compile(&json!({"type": "object", "x-kubernetes-validations": rules(&[rule])}))
            .unwrap()
    };
    let object = object(&json!({}));
    let count = |rule: &str| schema(rule).violations(&object, None, Part::Whole).len();
    assert_eq!(count("self.metadata.name == 'it' && self.kind == 'X'"), 0);
    assert_eq!(count("self.metadata.name == 'other'"), 1);
    assert_eq!(count("has(self.metadata.labels)"), 1);
}

#[test]
fn rules_that_do_not_compile_are_named() {
    let cases = [
        (
            json!([{"rule": "self.n >"}]),
            "[0].rule",
            "compilation failed: ERROR: <input>:1:",
        ),
        (
            json!([{"rule": "true"}, {"rule": "unknown > 1"}]),
            "[1].rule",
            "undeclared reference to 'unknown'",
        ),
        (json!([{"rule": " "}]), "[0].rule", "rule is not specified"),
        (json!([{}]), "[0].rule", "rule is not specified"),
        (json!([{"rule": 1}]), "[0]", "invalid type"),
        (json!({"rule": "true"}), "", "must be a list"),
        (
            json!([{"rule": "true", "messageExpression": "'"}]),
            "[0].messageExpression",
            "compilation failed",
        ),
        (
            json!([{"rule": "true", "reason": "Because"}]),
            "[0].reason",
            "supported values",
        ),
        (
            json!([{"rule": "true", "fieldPath": "a"}]),
            "[0].fieldPath",
            "must be a path",
        ),
        (
            json!([{"rule": "true", "message": "two\nlines"}]),
            "[0].message",
            "one line",
        ),
        (
            json!([{"rule": "true", "optionalOldSelf": true}]),
            "[0].optionalOldSelf",
            "not used",
        ),
        (json!([{"rule": "(".repeat(4000)}]), "[0].rule", "too large"),
        (
            json!([{"rule": "a".repeat(40_000)}]),
            "[0].rule",
            "too large",
        ),
        (
            json!([{"rule": format!("self{}", ".a".repeat(4000))}]),
            "[0].rule",
            "too deep",
        ),
        (
            json!([{"rule": format!("1{} == 1", "+1".repeat(4000))}]),
            "[0].rule",
            "too deep",
        ),
        (
            json!([{"rule": "!".repeat(9000)}]),
            "[0].rule",
            "compilation failed",
        ),
        (
            json!([{"rule": format!("true{}", "?true:true".repeat(900))}]),
            "[0].rule",
            "too large",
        ),
    ];
    for (rules, at, detail) in cases {
        let schema = Schema::compile(&json!({"type": "object", "properties": {"spec": {
            "type": "object", "x-kubernetes-validations": rules}}}))
        .unwrap();
        let errors = schema.invalid_rules();
        let short: String = rules.to_string().chars().take(60).collect();
        assert_eq!(errors.len(), 1, "{short}: {errors:?}");
        assert_eq!(
            errors[0].path,
            format!(".properties[spec].x-kubernetes-validations{at}"),
            "{short}"
        );
        assert!(errors[0].message().contains(detail), "{}", errors[0]);
        // Evaluation goes on without it.
        assert_eq!(
            schema.violations(&object(&json!({})), None, Part::Whole),
            []
        );
    }
}

/// Half of what a worker thread has; the rest is for its callers.
const STACK: usize = 1 << 20;

#[test]
fn the_deepest_expressions_are_evaluated_on_a_small_stack() {
    let of_depth = |n: usize| {
        [
            format!("size(self{}) == 1", ".n".repeat(n)),
            format!("1{} == 1", "+1".repeat(n)),
            format!(
                "{}self.n == 1{}",
                "(".repeat(n.min(60)),
                ")".repeat(n.min(60))
            ),
            format!("{}true", "!".repeat(n)),
            format!("true{}", " && true".repeat(n)),
        ]
    };
    for rule in of_depth(14).into_iter().chain(of_depth(240)) {
        let run = move || {
            let schema = schema(json!({"type": "object", "properties": {
                "n": {"type": "integer"}}, "x-kubernetes-validations": rules(&[&rule])}));
            violations(&schema, &json!({"n": 1}), None);
        };
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(run)
            .unwrap()
            .join()
            .unwrap();
    }
}

#[test]
fn old_values_are_not_for_elements_that_cannot_be_told_apart() {
    let immutable = rules(&["self == oldSelf"]);
    for list in [json!({}), json!({"x-kubernetes-list-type": "set"})] {
        let mut node = json!({"type": "array",
            "items": {"type": "integer", "x-kubernetes-validations": immutable}});
        node.as_object_mut()
            .unwrap()
            .extend(list.as_object().unwrap().clone());
        let schema =
            Schema::compile(&json!({"type": "object", "properties": {"l": node}})).unwrap();
        assert!(
            schema.invalid_rules()[0]
                .message()
                .contains("uncorrelatable")
        );
    }
}

#[test]
fn names_that_are_no_identifiers_are_escaped() {
    for (name, expected) in [
        ("plain", None),
        ("with_underscore", None),
        ("a__b", Some("a__underscores__b")),
        ("a.b-c/d", Some("a__dot__b__dash__c__slash__d")),
        ("if", Some("__if__")),
    ] {
        assert_eq!(escaped(name).as_deref(), expected);
    }
}

#[test]
fn the_rules_of_jobsets_are_shallow_and_do_not_concern_the_status() {
    fn count(level: &super::Level) -> usize {
        let below = level.properties.values();
        let below = below
            .chain(level.items.as_deref())
            .chain(level.additional.as_deref());
        level.rules.len() + below.map(count).sum::<usize>()
    }
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../jobset-api/generated/crd.json"
    );
    let crd: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let schema = Schema::compile(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]).unwrap();
    assert_eq!(schema.invalid_rules(), []);
    let rules = schema.compiled_rules();
    assert!(!rules.deep);
    let root = rules.root.as_ref().unwrap();
    assert_eq!(root.properties.keys().collect::<Vec<_>>(), ["spec"]);
    assert!(root.rules.is_empty());
    let count = count(root);
    assert!(count >= 8, "{count}");
}
