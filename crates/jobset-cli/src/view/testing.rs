//! Objects for the tests of the views.

use std::sync::Arc;

use jobset_api::JobSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::Snapshot;

/// Ten minutes after the creation of everything.
pub(crate) fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

/// A leader and two workers.
pub(crate) fn jobset(status: &Value) -> JobSet {
    serde_json::from_value(json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": "js", "namespace": "default", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"failurePolicy": {"maxRestarts": 2}, "replicatedJobs": [
            {"name": "leader", "template": {}},
            {"name": "workers", "replicas": 2, "template": {},
             "dependsOn": [{"name": "leader", "status": "Ready"}]},
        ]},
        "status": status,
    }))
    .unwrap()
}

fn meta(name: &str, role: &str, index: i64) -> Value {
    json!({
        "name": name, "namespace": "default", "uid": format!("uid-{name}"),
        "creationTimestamp": "2026-01-01T00:00:01Z",
        "labels": {
            "jobset.sigs.k8s.io/jobset-name": "js",
            "jobset.sigs.k8s.io/jobset-uid": "u",
            "jobset.sigs.k8s.io/replicatedjob-name": role,
            "jobset.sigs.k8s.io/job-index": index.to_string(),
            "jobset.sigs.k8s.io/restart-attempt": "0",
            "batch.kubernetes.io/job-name": format!("js-{role}-{index}"),
        },
    })
}

/// A Job with two Pods.
pub(crate) fn job(role: &str, index: i64, status: &Value) -> Job {
    let mut meta = meta(&format!("js-{role}-{index}"), role, index);
    meta["ownerReferences"] = json!([{"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "name": "js", "uid": "u", "controller": true}]);
    serde_json::from_value(json!({
        "metadata": meta, "status": status,
        "spec": {"parallelism": 2, "completions": 2, "template": {}},
    }))
    .unwrap()
}

/// A Pod with one container.
pub(crate) fn pod(role: &str, job: i64, index: i64, status: &Value) -> Pod {
    let mut meta = meta(&format!("js-{role}-{job}-{index}-abcde"), role, job);
    meta["annotations"] = json!({"batch.kubernetes.io/job-completion-index": index.to_string()});
    serde_json::from_value(json!({
        "metadata": meta, "status": status,
        "spec": {"nodeName": "node-0", "containers": [{"name": "main"}]},
    }))
    .unwrap()
}

/// An event of a second after the creation.
pub(crate) fn event(
    second: u32,
    about: (&str, &str),
    type_: &str,
    reason: &str,
    note: &str,
) -> Event {
    let uid = if about.0 == "JobSet" {
        "u".to_owned()
    } else {
        format!("uid-{}", about.1)
    };
    serde_json::from_value(json!({
        "metadata": {"name": format!("{reason}-{second}"), "namespace": "default"},
        "eventTime": format!("2026-01-01T00:00:{second:02}.000000Z"),
        "regarding": {"kind": about.0, "name": about.1, "namespace": "default", "uid": uid},
        "type": type_, "reason": reason, "note": note,
    }))
    .unwrap()
}

pub(crate) fn snapshot(
    jobset: JobSet,
    jobs: Vec<Job>,
    pods: Vec<Pod>,
    events: Vec<Event>,
) -> Snapshot {
    Snapshot::new(
        jobset,
        jobs.into_iter().map(Arc::new),
        pods.into_iter().map(Arc::new),
        events.into_iter().map(Arc::new).collect(),
        now(),
    )
}
