//! JobSets that nobody manages: a custom resource with defaults, rules and a status.

use serde_json::{Value, json};

use crate::differential::requests::Step;

const ALL: &str = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{ns}/jobsets";
const ONE: &str = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{ns}/jobsets/js";
const STATUS: &str = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{ns}/jobsets/js/status";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

fn jobset(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name},
        "spec": {
            "managedBy": "example.com/nobody",
            "replicatedJobs": [role("w")],
        },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

fn role(name: &str) -> Value {
    json!({
        "name": name,
        "template": {"spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{
                "name": "c", "image": "i", "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": 1}},
            }],
        }}}},
    })
}

pub(super) fn steps() -> Vec<Step> {
    let refused = |name, spec| Step::post(name, ALL, jobset(name, spec));
    let merge = |name, spec: Value| Step::patch(name, "merge", ONE, json!({"spec": spec}));
    let counts = json!({"name": "w", "ready": 0, "succeeded": 0, "failed": 0, "active": 1,
                        "suspended": 0});
    let six = ["a", "b", "c", "d", "e", "f"].map(|name| json!({"name": name, "status": "Ready"}));
    let by = |manager: &str| format!("{ONE}?fieldManager={manager}");
    let applied = |image: &str| {
        let mut object = jobset("js", json!({}));
        object["spec"] = json!({"replicatedJobs": [{"name": "w", "template": {"spec": {
            "template": {"spec": {"containers": [{"name": "c", "image": image}]}},
        }}}]});
        object
    };
    vec![
        Step::post(
            "create",
            ALL,
            jobset("js", json!({"failurePolicy": {"maxRestarts": 2}})),
        ),
        Step::post(
            "no-spec",
            ALL,
            json!({
                "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
                "metadata": {"name": "empty", "generateName": "g-"},
            }),
        ),
        Step::post("generated", ALL, {
            let mut object = jobset("x", json!({}));
            object["metadata"] = json!({"generateName": "gen-"});
            object
        }),
        Step::post(
            "no-kind",
            ALL,
            json!({"metadata": {"name": "bare"}, "spec": {}}),
        ),
        Step::post("wrong-version", ALL, {
            let mut object = jobset("x", json!({}));
            object["apiVersion"] = json!("jobset.x-k8s.io/v1");
            object
        }),
        refused(
            "same-role-twice",
            json!({"replicatedJobs": [role("w"), role("w")]}),
        ),
        refused(
            "no-role-name",
            json!({"replicatedJobs": [{"template": {}}]}),
        ),
        refused("wrong-type", json!({"suspend": "yes"})),
        refused(
            "wrong-enum",
            json!({"startupPolicy": {"startupPolicyOrder": "Some"}}),
        ),
        refused("negative-ttl", json!({"ttlSecondsAfterFinished": -1})),
        refused(
            "two-orders",
            json!({
                "startupPolicy": {"startupPolicyOrder": "InOrder"},
                "replicatedJobs": [role("a"), {
                    "name": "b", "template": role("b")["template"],
                    "dependsOn": [{"name": "a", "status": "Ready"}],
                }],
            }),
        ),
        refused(
            "claim-with-namespace",
            json!({"volumeClaimPolicies": [{"templates": [{
                "metadata": {"name": "c", "namespace": "n"}, "spec": {},
            }]}]}),
        ),
        refused(
            "too-many-dependencies",
            json!({"replicatedJobs": [{
                "name": "b", "template": role("b")["template"],
                "dependsOn": six,
            }]}),
        ),
        Step::post(
            "unknown-field-strict",
            &format!("{ALL}?fieldValidation=Strict"),
            jobset("bad", json!({"unknown": 1})),
        ),
        Step::post(
            "unknown-field-warn",
            &format!("{ALL}?fieldValidation=Warn"),
            jobset("warned", json!({"unknown": 1, "network": {"also": 2}})),
        ),
        Step::post(
            "unknown-field",
            ALL,
            jobset("pruned", json!({"unknown": 1})),
        ),
        merge("suspend", json!({"suspend": true})),
        merge("immutable", json!({"failurePolicy": {"maxRestarts": 3}})),
        merge("immutable-removed", json!({"failurePolicy": null})),
        merge("nothing", json!({"suspend": true})),
        Step::patch(
            "json",
            "json",
            ONE,
            json!([
                {"op": "replace", "path": "/spec/suspend", "value": false},
                {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}},
            ]),
        ),
        Step::patch(
            "strategic",
            "strategic",
            ONE,
            json!({"spec": {"suspend": true}}),
        ),
        Step::patch(
            "status-in-spec",
            "merge",
            ONE,
            json!({"status": {"restarts": 9}}),
        ),
        Step::patch(
            "spec-in-status",
            "merge",
            STATUS,
            json!({
                "spec": {"suspend": false}, "metadata": {"labels": {"c": "d"}},
                "status": {"restarts": 1, "replicatedJobsStatus": [counts], "unknown": 1},
            }),
        ),
        Step::patch(
            "bad-status",
            "merge",
            STATUS,
            json!({"status": {"restarts": "one"}}),
        ),
        Step::patch(
            "bad-condition",
            "merge",
            STATUS,
            json!({"status": {"restarts": 1, "conditions": [
                {"type": "A", "status": "Perhaps", "reason": "", "message": ""},
            ]}}),
        ),
        Step::get("status", STATUS),
        Step::get("table", ONE).accept(TABLE),
        Step::patch("apply-conflict", "apply", &by("one"), applied("other")),
        Step::patch("apply-same", "apply", &by("one"), applied("i")),
        Step::patch(
            "apply-forced",
            "apply",
            &format!("{}&force=true", by("two")),
            applied("j"),
        ),
        Step::patch(
            "apply-new",
            "apply",
            &format!("{ALL}/fresh?fieldManager=one"),
            {
                let mut object = applied("i");
                object["metadata"]["name"] = json!("fresh");
                object["spec"]["managedBy"] = json!("example.com/nobody");
                object
            },
        ),
        Step::get(
            "by-name",
            &format!("{ALL}?fieldSelector=metadata.name%3Djs"),
        ),
        Step::get(
            "by-field",
            &format!("{ALL}?fieldSelector=spec.suspend%3Dtrue"),
        ),
        Step::get("no-scale", &format!("{ONE}/scale")),
        Step::delete(
            "delete-orphan",
            &format!("{ALL}/pruned?dryRun=All"),
            json!({"propagationPolicy": "Orphan"}),
        ),
        Step::delete("delete", ONE, Value::Null),
    ]
}
