//! Writes of the plainest of all kinds.

use serde_json::{Value, json};

use crate::differential::requests::Step;

pub(super) const ALL: &str = "/api/v1/namespaces/{ns}/configmaps";
const ONE: &str = "/api/v1/namespaces/{ns}/configmaps/a";

pub(super) fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// Creating and changing.
pub(super) fn writing() -> Vec<Step> {
    let a = |data| config_map("a", data);
    let with = |more: Value| {
        let mut object = a(json!({"k": "1"}));
        object["metadata"]
            .as_object_mut()
            .into_iter()
            .for_each(|m| m.extend(more.as_object().cloned().unwrap_or_default()));
        object
    };
    let query = |text: &str| format!("{ALL}?{text}");
    let one = |text: &str| format!("{ONE}?{text}");
    vec![
        Step::get("get-missing", ONE),
        Step::post("create-dry", &query("dryRun=All"), a(json!({"k": "1"}))),
        Step::get("dry-left-nothing", ONE),
        Step::post("create-dry-wrong", &query("dryRun=Some"), a(json!({}))),
        Step::post("create", ALL, a(json!({"k": "1"}))).save("old", "/metadata/resourceVersion"),
        Step::post("create-again", ALL, a(json!({"k": "2"}))),
        Step::post(
            "create-no-name",
            ALL,
            json!({"kind": "ConfigMap", "apiVersion": "v1"}),
        ),
        Step::post("create-no-kind", ALL, json!({"metadata": {"name": "bare"}})),
        Step::post(
            "create-generated",
            ALL,
            json!({"metadata": {"generateName": "gen-"}}),
        ),
        Step::post("create-bad-name", ALL, config_map("A_b", json!({}))),
        Step::post("create-bad-key", ALL, config_map("b", json!({"a/b": "1"}))),
        Step::post(
            "create-bad-label",
            ALL,
            json!({"metadata": {"name": "b", "labels": {"a b": "c", "ok": "-"}}}),
        ),
        Step::post(
            "create-bad-annotation",
            ALL,
            json!({"metadata": {"name": "b", "annotations": {"-a": "c"}}}),
        ),
        Step::post(
            "create-bad-finalizer",
            ALL,
            json!({"metadata": {"name": "b", "finalizers": ["bad"]}}),
        ),
        Step::post(
            "create-bad-owner",
            ALL,
            json!({"metadata": {"name": "b", "ownerReferences": [{"kind": "Job", "name": "x"}]}}),
        ),
        Step::post(
            "create-wrong-kind",
            ALL,
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}}),
        ),
        Step::post(
            "create-wrong-namespace",
            ALL,
            json!({"metadata": {"name": "b", "namespace": "other"}}),
        ),
        Step::post("create-wrong-type", ALL, config_map("b", json!({"k": 1}))),
        Step::post("create-no-json", ALL, Value::Null).text("{"),
        Step::post("create-no-object", ALL, json!([1])),
        Step::post(
            "create-with-version",
            ALL,
            json!({"metadata": {"name": "b", "resourceVersion": "7"}}),
        ),
        Step::post(
            "create-in-missing-namespace",
            "/api/v1/namespaces/no-such-namespace/configmaps",
            a(json!({})),
        ),
        Step::post(
            "unknown-field-strict",
            &query("fieldValidation=Strict"),
            json!({"metadata": {"name": "b"}, "dataa": {"k": "1"}}),
        ),
        Step::post(
            "unknown-field-warn",
            &query("fieldValidation=Warn"),
            json!({"metadata": {"name": "warn"}, "dataa": {"k": "1"}}),
        ),
        Step::post(
            "unknown-field-ignore",
            &query("fieldValidation=Ignore"),
            json!({"metadata": {"name": "ignore"}, "dataa": {"k": "1"}}),
        ),
        Step::post(
            "field-validation-wrong",
            &query("fieldValidation=Sometimes"),
            config_map("b", json!({})),
        ),
        Step::put(
            "put-missing",
            &format!("{ALL}/none"),
            config_map("none", json!({})),
        ),
        Step::put("put-same", ONE, with(json!({}))),
        Step::put("put-changed", ONE, a(json!({"k": "2"}))),
        Step::put("put-stale", ONE, with(json!({"resourceVersion": "{old}"}))),
        Step::put("put-other-name", ONE, config_map("z", json!({}))),
        Step::put(
            "put-wrong-uid",
            ONE,
            with(json!({"uid": "0a1b2c3d-0000-4000-8000-0123456789ab"})),
        ),
        Step::put(
            "put-bad-version",
            ONE,
            with(json!({"resourceVersion": "x"})),
        ),
        Step::patch(
            "merge",
            "merge",
            ONE,
            json!({"data": {"l": "1", "k": null}}),
        ),
        Step::patch("merge-missing", "merge", &format!("{ALL}/none"), json!({})),
        Step::patch(
            "merge-labels",
            "merge",
            ONE,
            json!({"metadata": {"labels": {"app": "x"}, "annotations": {"n": "1"}}}),
        ),
        Step::patch("merge-nothing", "merge", ONE, json!({})),
        Step::patch(
            "merge-stale",
            "merge",
            ONE,
            json!({"metadata": {"resourceVersion": "{old}"}, "data": {"x": "1"}}),
        ),
        Step::patch(
            "merge-name",
            "merge",
            ONE,
            json!({"metadata": {"name": "z"}}),
        ),
        Step::patch("merge-type", "merge", ONE, json!({"data": "text"})),
        Step::patch(
            "merge-dry",
            "merge",
            &one("dryRun=All"),
            json!({"data": {"d": "1"}}),
        ),
        Step::patch(
            "json",
            "json",
            ONE,
            json!([{"op": "add", "path": "/data/m", "value": "1"},
                   {"op": "replace", "path": "/data/l", "value": "2"},
                   {"op": "copy", "from": "/data/m", "path": "/data/n"}]),
        ),
        Step::patch(
            "json-test-fails",
            "json",
            ONE,
            json!([{"op": "test", "path": "/data/m", "value": "7"}]),
        ),
        Step::patch(
            "json-missing",
            "json",
            ONE,
            json!([{"op": "remove", "path": "/data/none"}]),
        ),
        Step::patch("json-no-list", "json", ONE, json!({"data": {}})),
        Step::patch(
            "strategic",
            "strategic",
            ONE,
            json!({"data": {"s": "1", "m": null}, "metadata": {"finalizers": ["a.b/c"]}}),
        ),
        Step::patch(
            "strategic-finalizers",
            "strategic",
            ONE,
            json!({"metadata": {"finalizers": ["a.b/d"]}}),
        ),
        Step::patch(
            "strategic-remove",
            "strategic",
            ONE,
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.b/c", "a.b/d"]}}),
        ),
        Step::patch(
            "strategic-replace",
            "strategic",
            ONE,
            json!({"data": {"$patch": "replace", "only": "1"}}),
        ),
        Step::patch("unknown-patch", "none", ONE, json!({})),
        Step::patch("immutable", "merge", ONE, json!({"immutable": true})),
        Step::patch(
            "immutable-changed",
            "merge",
            ONE,
            json!({"data": {"z": "1"}}),
        ),
        Step::patch(
            "immutable-undone",
            "merge",
            ONE,
            json!({"immutable": false}),
        ),
        Step::get("at-last", ONE),
        Step::post("post-to-object", ONE, a(json!({}))),
        Step::put("put-to-collection", ALL, a(json!({}))),
        Step::get("no-such-resource", "/api/v1/namespaces/{ns}/nothings"),
        Step::get(
            "no-such-group",
            "/apis/example.org/v1/namespaces/{ns}/things",
        ),
        Step::get("no-such-subresource", &format!("{ONE}/status")),
    ]
}

/// Server-side apply.
pub(super) fn applying() -> Vec<Step> {
    let by = |manager: &str| format!("{ONE}?fieldManager={manager}");
    let a = |data| config_map("a", data);
    vec![
        Step::patch("no-manager", "apply", ONE, a(json!({"k": "1"}))),
        Step::patch(
            "create",
            "apply",
            &by("one"),
            a(json!({"k": "1", "l": "1"})),
        ),
        Step::patch("same", "apply", &by("one"), a(json!({"k": "1", "l": "1"}))),
        Step::patch("shared", "apply", &by("two"), a(json!({"k": "1"}))),
        Step::patch("conflict", "apply", &by("two"), a(json!({"k": "2"}))),
        Step::patch(
            "force",
            "apply",
            &format!("{}&force=true", by("two")),
            a(json!({"k": "2"})),
        ),
        Step::patch("drops", "apply", &by("one"), a(json!({}))),
        Step::patch(
            "merge-owns",
            "merge",
            &by("three"),
            json!({"data": {"m": "1"}}),
        ),
        Step::patch(
            "conflict-with-update",
            "apply",
            &by("one"),
            a(json!({"m": "2"})),
        ),
        Step::patch(
            "managed-fields",
            "apply",
            &by("one"),
            json!({"apiVersion": "v1", "kind": "ConfigMap",
                   "metadata": {"name": "a", "managedFields": [{"manager": "x"}]}}),
        ),
        Step::patch(
            "no-kind",
            "apply",
            &by("one"),
            json!({"metadata": {"name": "a"}, "data": {}}),
        ),
        Step::patch(
            "other-name",
            "apply",
            &by("one"),
            config_map("b", json!({})),
        ),
        Step::patch(
            "unknown-field",
            "apply",
            &by("one"),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
                   "dataa": {}}),
        ),
        Step::patch(
            "force-with-merge",
            "merge",
            &format!("{ONE}?force=true"),
            json!({}),
        ),
        Step::patch(
            "dry",
            "apply",
            &format!("{}&dryRun=All", by("four")),
            a(json!({"dry": "1"})),
        ),
        Step::patch(
            "clear-managers",
            "merge",
            ONE,
            json!({"metadata": {"managedFields": [{}]}}),
        ),
        Step::get("at-last", ONE),
    ]
}

/// Deleting, finalizers, preconditions.
pub(super) fn deleting() -> Vec<Step> {
    let labelled = |name: &str| json!({"metadata": {"name": name, "labels": {"group": "x"}}});
    let uid = json!({"preconditions": {"uid": "0a1b2c3d-0000-4000-8000-0123456789ab"}});
    vec![
        Step::delete("missing", ONE, Value::Null),
        Step::post("create", ALL, config_map("a", json!({}))).save("uid", "/metadata/uid"),
        Step::delete("wrong-uid", ONE, uid),
        Step::delete(
            "wrong-version",
            ONE,
            json!({"preconditions": {"resourceVersion": "1"}}),
        ),
        Step::delete("dry", ONE, json!({"dryRun": ["All"]})),
        Step::get("still-there", ONE),
        Step::delete("bad-policy", ONE, json!({"propagationPolicy": "Sideways"})),
        Step::delete(
            "two-policies",
            ONE,
            json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
        ),
        Step::delete("right-uid", ONE, json!({"preconditions": {"uid": "{uid}"}})),
        Step::get("gone", ONE),
        Step::post(
            "create-held",
            ALL,
            json!({"metadata": {"name": "a", "finalizers": ["a.b/c"]}}),
        ),
        Step::delete("held", ONE, Value::Null),
        Step::delete("held-again", ONE, Value::Null),
        Step::get("held-is-there", ONE),
        Step::patch(
            "another-finalizer",
            "merge",
            ONE,
            json!({"metadata": {"finalizers": ["a.b/c", "a.b/d"]}}),
        ),
        Step::patch(
            "changed-while-deleted",
            "merge",
            ONE,
            json!({"data": {"k": "1"}}),
        ),
        Step::post("create-over-deleted", ALL, config_map("a", json!({}))),
        Step::patch(
            "let-go",
            "merge",
            ONE,
            json!({"metadata": {"finalizers": null}}),
        ),
        Step::get("let-go-is-gone", ONE),
        Step::post("x1", ALL, labelled("x1")),
        Step::post("x2", ALL, labelled("x2")),
        Step::post("y1", ALL, config_map("y1", json!({}))),
        Step::delete(
            "collection",
            &format!("{ALL}?labelSelector=group%3Dx"),
            Value::Null,
        ),
        Step::get(
            "what-is-left",
            &format!("{ALL}?fieldSelector=metadata.name%3Dy1"),
        ),
        Step::get("none-is-left", &format!("{ALL}?labelSelector=group")),
    ]
}
