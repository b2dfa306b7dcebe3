//! Jobs that nobody manages, and Services.

use serde_json::{Value, json};

use crate::differential::requests::Step;

const JOBS: &str = "/apis/batch/v1/namespaces/{ns}/jobs";
const JOB: &str = "/apis/batch/v1/namespaces/{ns}/jobs/j";
const STATUS: &str = "/apis/batch/v1/namespaces/{ns}/jobs/j/status";

fn job(name: &str, spec: Value) -> Value {
    let mut object = json!({
        "metadata": {"name": name},
        "spec": {
            "managedBy": "example.com/nobody",
            "template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
            }},
        },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

pub(super) fn jobs() -> Vec<Step> {
    let template = |spec: Value| json!({"template": {"spec": spec}});
    let container = json!([{"name": "c", "image": "i"}]);
    let refused = |name, spec| Step::post(name, JOBS, job(name, spec));
    let patched = |name, spec: Value| Step::patch(name, "merge", JOB, json!({"spec": spec}));
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": "R", "message": "m",
               "lastProbeTime": "2026-01-01T00:00:00Z",
               "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    vec![
        Step::post("create", JOBS, job("j", json!({}))),
        Step::post(
            "create-indexed",
            JOBS,
            job(
                "k",
                json!({
                    "completionMode": "Indexed", "completions": 3, "parallelism": 2, "suspend": true,
                    "backoffLimitPerIndex": 1,
                    "podFailurePolicy": {"rules": [
                        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
                    ]},
                }),
            ),
        ),
        Step::post(
            "create-labelled",
            JOBS,
            json!({
                "metadata": {"name": "l", "labels": {"a": "b"}},
                "spec": {"managedBy": "example.com/nobody", "template": {
                    "metadata": {"labels": {"c": "d"}, "annotations": {"e": "f"}},
                    "spec": {"restartPolicy": "OnFailure", "containers": [{
                        "name": "c", "image": "i:1", "command": ["a"], "args": ["b"],
                        "env": [{"name": "E", "value": "1"},
                                {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                        "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}},
                        "readinessProbe": {"httpGet": {"port": 80}},
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    }], "volumes": [{"name": "v", "configMap": {"name": "m"}}]},
                }},
            }),
        ),
        Step::post("no-spec", JOBS, json!({"metadata": {"name": "bad"}})),
        refused("no-containers", template(json!({"restartPolicy": "Never"}))),
        refused(
            "restarts-always",
            template(json!({"restartPolicy": "Always", "containers": container})),
        ),
        refused(
            "no-restart-policy",
            template(json!({"containers": container})),
        ),
        refused("negative-parallelism", json!({"parallelism": -1})),
        refused("negative-completions", json!({"completions": -1})),
        refused("negative-backoff", json!({"backoffLimit": -1})),
        refused(
            "indexed-without-completions",
            json!({"completionMode": "Indexed"}),
        ),
        refused("unknown-mode", json!({"completionMode": "Sometimes"})),
        refused(
            "own-selector",
            json!({"selector": {"matchLabels": {"a": "b"}}}),
        ),
        refused("per-index-not-indexed", json!({"backoffLimitPerIndex": 1})),
        refused(
            "success-policy-not-indexed",
            json!({
                "completions": 2, "successPolicy": {"rules": [{"succeededCount": 1}]},
            }),
        ),
        refused(
            "empty-failure-policy",
            json!({"podFailurePolicy": {"rules": [
                {"action": "FailJob"},
            ]}}),
        ),
        refused("managed-by-no-path", json!({"managedBy": "nobody"})),
        refused(
            "replacement-policy",
            json!({"podReplacementPolicy": "Maybe"}),
        ),
        refused("wrong-type", json!({"parallelism": "two"})),
        Step::post("long-name", JOBS, job(&"a".repeat(64), json!({}))),
        patched("suspend", json!({"suspend": true})),
        patched("parallelism", json!({"parallelism": 3})),
        patched("completions", json!({"completions": 3})),
        patched("completion-mode", json!({"completionMode": "Indexed"})),
        patched("manager", json!({"managedBy": null})),
        patched("backoff", json!({"backoffLimit": 1})),
        patched(
            "deadline",
            json!({"activeDeadlineSeconds": 100, "ttlSecondsAfterFinished": 5}),
        ),
        patched(
            "selector-while-suspended",
            template(json!({"nodeSelector": {"a": "b"}})),
        ),
        patched(
            "image-while-suspended",
            template(json!({
                "containers": [{"name": "c", "image": "other"}],
            })),
        ),
        patched("resume", json!({"suspend": false})),
        patched(
            "selector-while-running",
            template(json!({"nodeSelector": {"a": "c"}})),
        ),
        Step::patch(
            "status-in-spec",
            "merge",
            JOB,
            json!({"status": {"active": 9}}),
        ),
        Step::patch(
            "spec-in-status",
            "merge",
            STATUS,
            json!({
                "spec": {"parallelism": 9}, "status": {"active": 1, "ready": 1,
                "startTime": "2026-01-01T00:00:00Z"},
            }),
        ),
        Step::get("status", STATUS),
        Step::patch(
            "bad-status",
            "merge",
            &format!("{STATUS}?dryRun=All"),
            json!({"status": {"active": -1}}),
        ),
        Step::patch(
            "strategic-conditions",
            "strategic",
            STATUS,
            json!({
                "status": {"conditions": [condition("Custom")]},
            }),
        ),
        Step::patch(
            "strategic-second-condition",
            "strategic",
            STATUS,
            json!({
                "status": {"conditions": [condition("Other")]},
            }),
        ),
        Step::patch(
            "strategic-env",
            "strategic",
            JOB,
            json!({"metadata": {"labels": {"x": "y"}}}),
        ),
        Step::patch(
            "failed-without-target",
            "merge",
            &format!("{STATUS}?dryRun=All"),
            json!({
                "status": {"conditions": [condition("Failed")]},
            }),
        ),
        Step::get("at-last", JOB),
        Step::get(
            "by-type",
            &format!("{JOBS}?fieldSelector=status.successful%3D0"),
        ),
        Step::delete(
            "delete-foreground",
            JOB,
            json!({"propagationPolicy": "Orphan"}),
        ),
        Step::delete(
            "delete-default",
            &format!("{JOBS}/l?dryRun=All"),
            Value::Null,
        ),
    ]
}

pub(super) fn services() -> Vec<Step> {
    let all = "/api/v1/namespaces/{ns}/services";
    let service = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let port = json!([{"port": 80}]);
    vec![
        Step::post(
            "headless",
            all,
            service(
                "h",
                json!({
                    "clusterIP": "None", "selector": {"a": "b"}, "publishNotReadyAddresses": true,
                }),
            ),
        ),
        Step::post(
            "cluster-ip",
            all,
            service("c", json!({"ports": port, "selector": {"a": "b"}})),
        ),
        Step::post(
            "no-ports",
            all,
            service("n", json!({"selector": {"a": "b"}})),
        ),
        Step::post("bad-name", all, service("1a", json!({"clusterIP": "None"}))),
        Step::post(
            "dotted-name",
            all,
            service("a.b", json!({"clusterIP": "None"})),
        ),
        Step::post(
            "bad-type",
            all,
            service("t", json!({"type": "Odd", "ports": port})),
        ),
        Step::post(
            "bad-port",
            all,
            service("p", json!({"ports": [{"port": 0}]})),
        ),
        Step::post(
            "unnamed-ports",
            all,
            service(
                "u",
                json!({
                    "ports": [{"port": 80}, {"port": 81}],
                }),
            ),
        ),
        Step::patch(
            "change-selector",
            "merge",
            &format!("{all}/h"),
            json!({
                "spec": {"selector": {"a": "c"}},
            }),
        ),
        Step::patch(
            "change-ip",
            "merge",
            &format!("{all}/h"),
            json!({
                "spec": {"clusterIP": "10.96.7.7"},
            }),
        ),
        Step::get("get", &format!("{all}/h")),
        Step::delete("delete", &format!("{all}/h"), Value::Null),
    ]
}
