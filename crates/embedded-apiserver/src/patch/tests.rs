use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::topology::Gvk;

fn gvk(kind: &str) -> Gvk {
    Gvk::new("", "v1", kind)
}

fn pod(spec: Value) -> Value {
    json!({"spec": spec})
}

/// Kind, object, patch, result.
fn check(kind: &str, old: Value, patch: Value, expected: Value) {
    let result = strategic_merge(&gvk(kind), &old, &patch);
    assert_eq!(result, Ok(expected), "{old} + {patch}");
}

#[test]
fn maps_merge_and_null_removes() {
    check(
        "ConfigMap",
        json!({"data": {"a": "1", "b": "2"}}),
        json!({"data": {"a": null, "c": "3", "gone": null}}),
        json!({"data": {"b": "2", "c": "3"}}),
    );
}

#[test]
fn containers_merge_by_name() {
    check(
        "Pod",
        pod(json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}]})),
        pod(json!({"containers": [{"name": "b", "image": "2"}, {"name": "c"}]})),
        pod(json!({"containers": [
            {"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"},
        ]})),
    );
}

#[test]
fn nested_lists_have_their_own_keys() {
    let job = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
    check(
        "Job",
        job(json!({"containers": [{
            "name": "a",
            "env": [{"name": "X", "value": "1"}],
            "ports": [{"containerPort": 80}],
            "volumeMounts": [{"mountPath": "/a", "name": "v"}],
            "command": ["a", "b"],
        }]})),
        job(json!({"containers": [{
            "name": "a",
            "env": [{"name": "Y", "value": "2"}, {"name": "X", "$patch": "delete"}],
            "ports": [{"containerPort": 80, "protocol": "UDP"}],
            "volumeMounts": [{"mountPath": "/a", "readOnly": true}],
            "command": ["c"],
        }]})),
        job(json!({"containers": [{
            "name": "a",
            "env": [{"name": "Y", "value": "2"}],
            "ports": [{"containerPort": 80, "protocol": "UDP"}],
            "volumeMounts": [{"mountPath": "/a", "name": "v", "readOnly": true}],
            "command": ["c"],
        }]})),
    );
}

#[test]
fn service_ports_merge_by_port() {
    check(
        "Service",
        pod(json!({"ports": [{"port": 80, "name": "a"}]})),
        pod(json!({"ports": [{"port": 80, "targetPort": 8080}, {"port": 81}]})),
        pod(json!({"ports": [{"port": 80, "name": "a", "targetPort": 8080}, {"port": 81}]})),
    );
}

#[test]
fn atomic_lists_are_replaced() {
    check(
        "Pod",
        pod(json!({"tolerations": [{"key": "a"}], "x": 1})),
        pod(json!({"tolerations": [{"key": "b"}]})),
        pod(json!({"tolerations": [{"key": "b"}], "x": 1})),
    );
}

#[test]
fn directives_replace_and_delete() {
    check(
        "Pod",
        pod(json!({"nodeSelector": {"a": "1"}, "schedulingGates": [{"name": "x"}]})),
        pod(json!({
            "nodeSelector": {"$patch": "replace", "b": "2"},
            "schedulingGates": [{"$patch": "replace"}, {"name": "y"}],
        })),
        pod(json!({"nodeSelector": {"b": "2"}, "schedulingGates": [{"name": "y"}]})),
    );
    check(
        "Pod",
        pod(json!({"nodeSelector": {"a": "1"}, "schedulingGates": [{"name": "x"}]})),
        pod(json!({
            "nodeSelector": {"$patch": "delete"},
            "schedulingGates": [{"$patch": "replace"}],
        })),
        pod(json!({"schedulingGates": []})),
    );
}

#[test]
fn directives_do_not_reach_new_fields() {
    check(
        "Pod",
        json!({}),
        pod(json!({
            "nodeSelector": {"$patch": "replace", "b": "2", "n": null},
            "schedulingGates": [{"$patch": "replace"}, {"name": "y"}],
            "tolerations": [{"$patch": "replace"}],
            "containers": [{"name": "a", "$patch": "merge", "x": null}],
        })),
        pod(json!({
            "schedulingGates": [{"name": "y"}],
            "tolerations": [],
            "containers": [{"name": "a"}],
        })),
    );
}

#[test]
fn scalars_are_added_and_deleted() {
    let meta = |meta: Value| json!({"metadata": meta});
    check(
        "Pod",
        meta(json!({"finalizers": ["a", "b"]})),
        meta(json!({"finalizers": ["b", "c"], "$deleteFromPrimitiveList/finalizers": ["a"]})),
        meta(json!({"finalizers": ["b", "c"]})),
    );
    check(
        "Pod",
        meta(json!({"finalizers": ["a", "b"]})),
        meta(json!({"$deleteFromPrimitiveList/finalizers": ["b"]})),
        meta(json!({"finalizers": ["a"]})),
    );
}

#[test]
fn element_order_is_set() {
    check(
        "Pod",
        pod(json!({"containers": [{"name": "a"}, {"name": "server"}, {"name": "b"}]})),
        pod(json!({
            "$setElementOrder/containers": [{"name": "b"}, {"name": "new"}, {"name": "a"}],
            "containers": [{"name": "new"}],
        })),
        pod(json!({"containers": [
            {"name": "server"}, {"name": "b"}, {"name": "new"}, {"name": "a"},
        ]})),
    );
    check(
        "Pod",
        pod(json!({"containers": [{"name": "a"}, {"name": "b"}]})),
        pod(json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]})),
        pod(json!({"containers": [{"name": "b"}, {"name": "a"}]})),
    );
}

#[test]
fn retain_keys_drops_the_rest() {
    check(
        "Pod",
        pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]})),
        pod(json!({"volumes": [
            {"name": "v", "emptyDir": {}, "$retainKeys": ["name", "emptyDir"]},
        ]})),
        pod(json!({"volumes": [{"name": "v", "emptyDir": {}}]})),
    );
}

#[test]
fn malformed_patches_are_refused() {
    for patch in [
        json!([]),
        json!("x"),
        json!({"spec": {"$patch": "explode"}}),
        json!({"spec": {"$patch": 3}}),
        json!({"spec": {"containers": [{"image": "x"}]}}),
        json!({"spec": {"containers": ["x"]}}),
        json!({"spec": {"containers": [{"$patch": "delete"}]}}),
        json!({"spec": {"$retainKeys": "x"}}),
        json!({"spec": {"$retainKeys": ["a"], "b": 1}}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": 3}}),
    ] {
        let result = strategic_merge(&gvk("Pod"), &json!({"spec": {}, "metadata": {}}), &patch);
        assert!(
            matches!(result, Err(PatchError::Malformed(_))),
            "{patch}: {result:?}"
        );
    }
}

#[test]
fn json_patch_is_all_or_nothing() {
    let old = json!({"a": 1});
    let patch =
        json!([{"op": "add", "path": "/b", "value": 2}, {"op": "test", "path": "/a", "value": 9}]);
    assert!(matches!(
        json_patch(&old, &patch),
        Err(PatchError::DoesNotApply(_))
    ));
    assert!(matches!(
        json_patch(&old, &json!({})),
        Err(PatchError::Malformed(_))
    ));
    let patch = json!([{"op": "remove", "path": "/a"}]);
    assert_eq!(json_patch(&old, &patch), Ok(json!({})));
}

#[test]
fn merge_patch_wants_an_object() {
    assert_eq!(
        merge_patch(&json!({"a": {"b": 1}}), &json!({"a": {"b": null}})),
        Ok(json!({"a": {}}))
    );
    assert!(matches!(
        merge_patch(&json!({}), &json!(3)),
        Err(PatchError::Malformed(_))
    ));
}

/// JSON with the names and directives that matter.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        prop::sample::select(vec!["a", "b", "replace", "delete", "merge", "TCP"])
            .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "spec",
        "metadata",
        "containers",
        "env",
        "name",
        "ports",
        "containerPort",
        "finalizers",
        "nodeSelector",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "labels",
        "$deleteFromPrimitiveList/finalizers",
        "status",
        "conditions",
        "type",
        "managedFields",
        "x",
    ]);
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|entries| {
                Value::Object(
                    entries
                        .into_iter()
                        .map(|(k, v)| (k.to_owned(), v))
                        .collect(),
                )
            }),
        ]
    })
}

fn has_directive(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(k, v)| k.starts_with('$') || has_directive(v)),
        Value::Array(items) => items.iter().any(has_directive),
        _ => false,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(key, value)| !value.is_null() && !key.starts_with('$'))
                .map(|(k, v)| (k, without_nulls(v)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

proptest! {
    #[test]
    fn never_panics(old in any_json(), patch in any_json()) {
        let _ = strategic_merge(&gvk("Pod"), &old, &patch);
        let _ = json_patch(&old, &patch);
        let _ = merge_patch(&old, &patch);
    }

    #[test]
    fn an_empty_patch_changes_nothing(old in any_json()) {
        if old.is_object() {
            prop_assert_eq!(strategic_merge(&gvk("Pod"), &old, &json!({})), Ok(old));
        }
    }

    #[test]
    fn patching_twice_is_patching_once(old in any_json(), patch in any_json()) {
        let old = without_nulls(old);
        if has_directive(&patch) {
            return Ok(());
        }
        if let Ok(once) = strategic_merge(&gvk("Pod"), &old, &patch) {
            prop_assert_eq!(strategic_merge(&gvk("Pod"), &once, &patch), Ok(once));
        }
    }

    #[test]
    fn directives_never_stay_in_objects(patch in any_json()) {
        if let Ok(result) = strategic_merge(&gvk("Pod"), &json!({}), &patch) {
            // Lists of lists have no meaning in the API and are kept as they are.
            fn lists_in_lists(value: &Value) -> bool {
                match value {
                    Value::Array(items) => items.iter().any(|i| i.is_array() || lists_in_lists(i)),
                    Value::Object(map) => map.values().any(lists_in_lists),
                    _ => false,
                }
            }
            prop_assert!(lists_in_lists(&patch) || !has_directive(&result), "{}", result);
        }
    }
}
