//! The rules of the decision, one case each.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::backoff::{BackoffLimits, BackoffRecord};
use super::decide::{Decision, decide};
use super::view::{JobView, PodView};

const LIMITS: BackoffLimits = BackoffLimits {
    base: Duration::from_secs(10),
    cap: Duration::from_mins(6),
};
/// 2026-01-01T00:01:40Z; Jobs start at 00:00:00.
const NOW: i64 = 1_767_225_700;
const START: &str = "2026-01-01T00:00:00Z";

fn job(spec: Value, status: Value) -> JobView {
    let mut spec = spec;
    spec["template"] = json!({"spec": {
        "containers": [{"name": "main"}],
        "restartPolicy": spec.get("restart").cloned().unwrap_or_else(|| "Never".into()),
    }});
    serde_json::from_value(json!({
        "metadata": {"name": "j", "namespace": "ns", "uid": "J", "resourceVersion": "1"},
        "spec": spec,
        "status": status,
    }))
    .unwrap()
}

/// A Pod in few words: `index phase [flag...]`, e.g. `0 Failed exit=42`.
fn pod(uid: usize, text: &str) -> Arc<PodView> {
    let mut words = text.split(' ');
    let index = words.next().unwrap();
    let phase = words.next().unwrap();
    let mut value = json!({
        "metadata": {
            "name": format!("j-{uid}"), "namespace": "ns", "uid": format!("P{uid}"),
            "finalizers": ["batch.kubernetes.io/job-tracking"],
            "annotations": {},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j",
                                 "uid": "J", "controller": true}],
        },
        "spec": {"nodeName": "n"},
        "status": {"phase": phase, "conditions": []},
    });
    if index != "-" {
        value["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] = index.into();
    }
    let mut status = json!({"name": "main", "restartCount": 0});
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("ready", _) => {
                value["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            }
            ("deleting", _) => value["metadata"]["deletionTimestamp"] = START.into(),
            ("counted", _) => value["metadata"]["finalizers"] = json!([]),
            ("nowhere", _) => value["spec"] = json!({}),
            ("exit", code) => {
                status["state"]["terminated"]["exitCode"] = code.parse::<i32>().unwrap().into();
            }
            ("ended", ago) => {
                let at = Timestamp::from_second(NOW - ago.parse::<i64>().unwrap()).unwrap();
                status["state"]["terminated"]["finishedAt"] = at.to_string().into();
                status["state"]["terminated"]["exitCode"] = 1.into();
            }
            ("restarts", count) => status["restartCount"] = count.parse::<i32>().unwrap().into(),
            ("failures", count) => {
                value["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] =
                    count.into();
            }
            ("disrupted", _) => {
                value["status"]["conditions"] =
                    json!([{"type": "DisruptionTarget", "status": "True"}]);
            }
            (other, _) => panic!("{other}"),
        }
    }
    value["status"]["containerStatuses"] = json!([status]);
    Arc::new(serde_json::from_value(value).unwrap())
}

fn run(spec: Value, status: Value, pods: &[&str]) -> Decision {
    let pods: Vec<_> = pods
        .iter()
        .enumerate()
        .map(|(uid, text)| pod(uid, text))
        .collect();
    decide(
        &job(spec, status),
        &pods,
        Some(BackoffRecord::default()),
        LIMITS,
        Timestamp::from_second(NOW).unwrap(),
    )
}

fn started() -> Value {
    json!({"startTime": START, "ready": 0, "terminating": 0})
}

/// The written status as JSON, conditions as `Type=Status:Reason`.
fn status(decision: &Decision) -> Value {
    let Some(status) = &decision.status else {
        return Value::Null;
    };
    let mut value = serde_json::to_value(status).unwrap();
    if let Some(conditions) = &status.conditions {
        value["conditions"] = conditions
            .iter()
            .map(|c| format!("{}={}:{}", c.type_, c.status, c.reason.as_deref().unwrap()))
            .collect();
    }
    value
}

fn indexes(decision: &Decision) -> Vec<u32> {
    decision
        .create
        .iter()
        .map(|pod| pod.index.unwrap())
        .collect()
}

fn deleted(decision: &Decision) -> Vec<&str> {
    decision
        .delete
        .iter()
        .map(|removal| removal.pod.uid())
        .collect()
}

fn released(decision: &Decision) -> Vec<&str> {
    decision.release.iter().map(|pod| pod.uid()).collect()
}

#[test]
fn a_new_job_starts_its_pods_and_its_clock() {
    let d = run(json!({"completions": 5, "parallelism": 3}), json!({}), &[]);
    assert_eq!(d.create.len(), 3);
    assert!(d.create.iter().all(|pod| pod.index.is_none()));
    assert_eq!(
        status(&d),
        json!({"ready": 0, "terminating": 0, "startTime": "2026-01-01T00:01:40Z"})
    );
    let indexed = json!({"completions": 5, "parallelism": 3, "completionMode": "Indexed"});
    assert_eq!(indexes(&run(indexed, json!({}), &[])), [0, 1, 2]);
    // Neither field: one Pod; no completions: as many as are parallel.
    assert_eq!(run(json!({}), json!({}), &[]).create.len(), 1);
    assert_eq!(
        run(json!({"parallelism": 4}), json!({}), &[]).create.len(),
        4
    );
    assert_eq!(
        run(json!({"parallelism": 0, "completions": 1}), json!({}), &[])
            .create
            .len(),
        0
    );
}

#[test]
fn a_job_of_another_controller_is_left_alone() {
    let d = run(
        json!({"managedBy": "example.com/other"}),
        json!({}),
        &["- Failed"],
    );
    assert!(d.create.is_empty() && d.status.is_none() && d.release.is_empty());
    let own = run(
        json!({"managedBy": "kubernetes.io/job-controller"}),
        json!({}),
        &[],
    );
    assert_eq!(own.create.len(), 1);
}

#[test]
fn pods_are_counted_once() {
    let spec = json!({"completions": 9, "parallelism": 1});
    let d = run(
        spec.clone(),
        started(),
        &["- Succeeded", "- Failed", "- Running ready"],
    );
    assert_eq!(
        status(&d),
        json!({
            "active": 1, "ready": 1, "succeeded": 1, "failed": 1, "terminating": 0,
            "startTime": START,
            "uncountedTerminatedPods": {"succeeded": ["P0"], "failed": ["P1"]},
        })
    );
    assert_eq!(released(&d), ["P0", "P1"]);
    // Written, but the finalizers are still there (stale cache, or a crash).
    let written = serde_json::to_value(d.status.unwrap()).unwrap();
    let d = run(
        spec.clone(),
        written.clone(),
        &["- Succeeded", "- Failed", "- Running ready"],
    );
    assert_eq!(status(&d), Value::Null);
    assert_eq!(released(&d), ["P0", "P1"]);
    // The finalizers are gone.
    let pods = ["- Succeeded counted", "- Failed counted", "- Running ready"];
    let d = run(spec, written, &pods);
    assert_eq!(status(&d), Value::Null);
    assert!(d.release.is_empty());
}

#[test]
fn all_completions_end_the_job_in_one_write() {
    let spec = json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed"});
    let d = run(spec.clone(), started(), &["0 Succeeded", "1 Succeeded"]);
    assert_eq!(
        status(&d),
        json!({
            "succeeded": 2, "completedIndexes": "0,1", "ready": 0, "terminating": 0,
            "startTime": START, "completionTime": "2026-01-01T00:01:40Z",
            "conditions": [
                "SuccessCriteriaMet=True:CompletionsReached", "Complete=True:CompletionsReached"
            ],
        })
    );
    assert_eq!(d.notes[0].reason, "Completed");
    assert_eq!(released(&d), ["P0", "P1"]);
    // A Pod that still terminates holds the last condition back.
    let d = run(
        spec,
        started(),
        &["0 Succeeded", "1 Succeeded", "1 Running deleting counted"],
    );
    assert_eq!(
        status(&d)["conditions"],
        json!(["SuccessCriteriaMet=True:CompletionsReached"])
    );
    assert_eq!(status(&d)["terminating"], 1);
    assert!(d.notes.is_empty());
}

#[test]
fn a_work_queue_drains_after_its_first_success() {
    let spec = json!({"parallelism": 3});
    let d = run(spec.clone(), started(), &["- Succeeded", "- Running"]);
    assert!(d.create.is_empty() && d.delete.is_empty());
    assert_eq!(status(&d)["conditions"], Value::Null);
    let d = run(spec, started(), &["- Succeeded", "- Succeeded"]);
    assert_eq!(
        status(&d)["conditions"][1],
        "Complete=True:CompletionsReached"
    );
}

#[test]
fn a_finished_job_only_lets_go() {
    let done = json!({"conditions": [{"type": "Failed", "status": "True"}], "failed": 1});
    let d = run(
        json!({}),
        done,
        &["- Failed", "- Failed counted", "- Running"],
    );
    assert!(d.create.is_empty() && d.status.is_none());
    assert_eq!(released(&d), ["P0"]);
    assert_eq!(deleted(&d), ["P2"]);
}

#[test]
fn the_backoff_limit_fails_the_job() {
    let spec = json!({"backoffLimit": 1, "parallelism": 2, "completions": 4});
    let d = run(spec.clone(), started(), &["- Failed ended=0"]);
    assert!(d.create.is_empty());
    assert_eq!(d.requeue_after, Some(Duration::from_secs(10)));
    let d = run(
        spec.clone(),
        started(),
        &["- Failed", "- Failed", "- Running ready"],
    );
    assert_eq!(deleted(&d), ["P2"]);
    assert!(!d.delete[0].uncounted);
    assert_eq!(
        status(&d)["conditions"],
        json!(["FailureTarget=True:BackoffLimitExceeded"])
    );
    assert!(d.notes.is_empty());
    // The last one still terminates, then has ended.
    let failing = serde_json::to_value(d.status.unwrap()).unwrap();
    let d = run(
        spec.clone(),
        failing.clone(),
        &["- Failed counted", "- Failed counted", "- Running deleting"],
    );
    assert_eq!(
        status(&d)["conditions"],
        json!(["FailureTarget=True:BackoffLimitExceeded"])
    );
    assert_eq!(
        (&status(&d)["failed"], &status(&d)["terminating"]),
        (&json!(3), &json!(1))
    );
    let d = run(
        spec,
        failing,
        &["- Failed counted", "- Failed counted", "- Failed deleting"],
    );
    assert_eq!(
        status(&d)["conditions"],
        json!([
            "FailureTarget=True:BackoffLimitExceeded",
            "Failed=True:BackoffLimitExceeded"
        ])
    );
    assert_eq!(
        d.notes[0].message,
        "Job has reached the specified backoff limit"
    );
    assert_eq!(status(&d)["uncountedTerminatedPods"], Value::Null);
}

#[test]
fn a_single_failure_without_retries_ends_the_job_in_one_write() {
    let d = run(json!({"backoffLimit": 0}), started(), &["- Failed"]);
    assert_eq!(
        status(&d)["conditions"],
        json!([
            "FailureTarget=True:BackoffLimitExceeded",
            "Failed=True:BackoffLimitExceeded"
        ])
    );
    assert_eq!(released(&d), ["P0"]);
}

#[test]
fn restarts_in_place_count_towards_the_limit() {
    for (limit, restarts, fails) in [(3, 2, false), (3, 3, true), (0, 0, false), (0, 1, true)] {
        let pod = format!("- Running restarts={restarts}");
        let spec = json!({"backoffLimit": limit, "restart": "OnFailure"});
        assert_eq!(
            !run(spec, started(), &[&pod]).delete.is_empty(),
            fails,
            "{limit} {restarts}"
        );
        let never = json!({"backoffLimit": limit});
        assert!(run(never, started(), &[&pod]).delete.is_empty());
    }
}

#[test]
fn the_deadline_fails_the_job() {
    let spec = |seconds: i64| json!({"activeDeadlineSeconds": seconds});
    let d = run(spec(130), started(), &["- Running"]);
    assert_eq!(d.requeue_after, Some(Duration::from_secs(30)));
    let d = run(spec(100), started(), &["- Running"]);
    assert_eq!(
        status(&d)["conditions"],
        json!(["FailureTarget=True:DeadlineExceeded"])
    );
    assert_eq!(deleted(&d), ["P0"]);
    let suspended = json!({"activeDeadlineSeconds": 100, "suspend": true});
    let d = run(suspended, started(), &[]);
    assert_eq!(
        status(&d)["conditions"],
        json!(["Suspended=True:JobSuspended"])
    );
}

#[test]
fn suspending_deletes_pods_without_counting_them() {
    let spec = json!({"suspend": true, "parallelism": 2, "completions": 2});
    let d = run(spec.clone(), started(), &["- Running ready", "- Pending"]);
    assert_eq!(d.delete.len(), 2);
    assert!(d.delete.iter().all(|removal| removal.uncounted));
    assert_eq!(d.notes[0].reason, "Suspended");
    // Afterwards: terminating Pods that were let go do not count.
    let d = run(spec.clone(), started(), &["- Running deleting counted"]);
    assert_eq!(
        status(&d),
        json!({"startTime": START, "ready": 0, "terminating": 1,
               "conditions": ["Suspended=True:JobSuspended"]})
    );
    // Created suspended: no start time.
    let d = run(spec, json!({}), &[]);
    assert_eq!(status(&d)["startTime"], Value::Null);
    assert!(d.create.is_empty());
}

#[test]
fn resuming_starts_anew() {
    let suspended = json!({
        "startTime": START, "ready": 0, "terminating": 0,
        "conditions": [{"type": "Suspended", "status": "True", "reason": "JobSuspended"}],
    });
    let d = run(json!({"suspend": false}), suspended, &[]);
    assert_eq!(d.create.len(), 1);
    assert_eq!(status(&d)["startTime"], "2026-01-01T00:01:40Z");
    assert_eq!(
        status(&d)["conditions"],
        json!(["Suspended=False:JobResumed"])
    );
    assert_eq!(d.notes[0].reason, "Resumed");
}

#[test]
fn the_failure_policy_fails_ignores_and_counts() {
    let spec = json!({"backoffLimit": 0, "parallelism": 2, "completions": 3, "podFailurePolicy": {
    "rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
    ]}});
    let d = run(spec.clone(), started(), &["- Failed exit=42", "- Running"]);
    assert_eq!(
        status(&d)["conditions"],
        json!(["FailureTarget=True:PodFailurePolicy"])
    );
    assert_eq!(
        d.status.unwrap().conditions.unwrap()[0].message.as_deref(),
        Some(
            "Container main for pod ns/j-0 failed with exit code 42 matching FailJob rule at \
             index 0"
        )
    );
    let d = run(
        spec.clone(),
        started(),
        &["- Failed disrupted", "- Running"],
    );
    assert_eq!(status(&d)["failed"], Value::Null);
    assert_eq!(released(&d), ["P0"]);
    // With a policy a Pod is judged, counted and replaced only when it has ended.
    let d = run(
        spec.clone(),
        started(),
        &["- Running deleting", "- Running"],
    );
    assert!(d.create.is_empty() && d.release.is_empty());
    assert_eq!(status(&d)["terminating"], 1);
    // Nobody ends a Pod without a node, so its deletion is its end.
    let d = run(
        spec,
        started(),
        &["- Pending deleting nowhere", "- Running"],
    );
    assert_eq!(
        status(&d)["conditions"],
        json!(["FailureTarget=True:BackoffLimitExceeded"])
    );
}

#[test]
fn replacement_waits_for_the_end_or_not() {
    let spec = |policy: &str| {
        json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed",
               "podReplacementPolicy": policy})
    };
    let pods = ["0 Running deleting ended=50", "1 Running"];
    let d = run(spec("TerminatingOrFailed"), started(), &pods);
    assert_eq!(indexes(&d), [0]);
    assert_eq!(status(&d)["failed"], 1);
    let d = run(spec("Failed"), started(), &pods);
    assert!(d.create.is_empty());
    assert_eq!(status(&d)["failed"], Value::Null);
}

#[test]
fn each_index_has_its_own_limit_and_backoff() {
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed",
                      "backoffLimitPerIndex": 1});
    // First failure of 0, second of 1; 2 runs.
    let pods = [
        "0 Failed ended=30",
        "1 Failed failures=1 ended=30",
        "2 Running",
    ];
    let d = run(spec.clone(), started(), &pods);
    assert_eq!(indexes(&d), [0]);
    assert_eq!(d.create[0].failures, Some((1, 0)));
    assert_eq!(status(&d)["failedIndexes"], "1");
    assert_eq!(status(&d)["failed"], 2);
    // The failed Pod of 0 tells its successor's count, so it is held.
    assert_eq!(released(&d), ["P1"]);
    let d = run(
        spec.clone(),
        started(),
        &["0 Failed ended=3", "1 Running", "2 Running"],
    );
    assert!(d.create.is_empty());
    assert_eq!(d.requeue_after, Some(Duration::from_secs(7)));
    let pods = [
        "0 Failed ended=30",
        "0 Running failures=1",
        "1 Running",
        "2 Running",
    ];
    assert_eq!(released(&run(spec.clone(), started(), &pods)), ["P0"]);
    // Every index has ended.
    let pods = ["0 Succeeded", "1 Failed failures=1", "2 Succeeded"];
    let d = run(spec, started(), &pods);
    assert_eq!(
        status(&d)["conditions"],
        json!([
            "FailureTarget=True:FailedIndexes",
            "Failed=True:FailedIndexes"
        ])
    );
    assert_eq!(status(&d)["completedIndexes"], "0,2");
}

#[test]
fn too_many_failed_indexes_or_a_rule_fail_early() {
    let spec = json!({"completions": 4, "parallelism": 4, "completionMode": "Indexed",
        "backoffLimitPerIndex": 5, "maxFailedIndexes": 1, "podFailurePolicy": {"rules": [
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [7]}}]}});
    let d = run(
        spec.clone(),
        started(),
        &["0 Failed exit=7", "1 Running", "2 Running"],
    );
    assert_eq!(status(&d)["failedIndexes"], "0");
    assert_eq!(indexes(&d), [3]);
    let d = run(
        spec,
        started(),
        &["0 Failed exit=7", "1 Failed exit=7", "2 Running"],
    );
    assert_eq!(
        status(&d)["conditions"],
        json!(["FailureTarget=True:MaxFailedIndexesExceeded"])
    );
}

#[test]
fn the_success_policy_ends_the_job_early() {
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed",
        "successPolicy": {"rules": [{"succeededIndexes": "0"}]}});
    let d = run(
        spec.clone(),
        started(),
        &["0 Succeeded", "1 Running", "2 Running"],
    );
    assert_eq!(deleted(&d), ["P1", "P2"]);
    assert_eq!(
        status(&d)["conditions"],
        json!(["SuccessCriteriaMet=True:SuccessPolicy"])
    );
    let met = serde_json::to_value(d.status.unwrap()).unwrap();
    let d = run(
        spec,
        met,
        &[
            "0 Succeeded counted",
            "1 Failed deleting",
            "2 Failed deleting",
        ],
    );
    assert_eq!(
        status(&d)["conditions"],
        json!([
            "SuccessCriteriaMet=True:SuccessPolicy",
            "Complete=True:SuccessPolicy"
        ])
    );
}

#[test]
fn an_elastic_job_gives_up_and_takes_indexes() {
    let spec = |n: i32| json!({"completions": n, "parallelism": n, "completionMode": "Indexed"});
    let status_now = json!({"startTime": START, "ready": 0, "terminating": 0, "active": 2,
                            "completedIndexes": "0,3", "succeeded": 2});
    let pods = ["1 Running", "2 Running"];
    let d = run(spec(2), status_now.clone(), &pods);
    assert_eq!(deleted(&d), ["P1"]);
    assert_eq!(
        (&status(&d)["completedIndexes"], &status(&d)["succeeded"]),
        (&json!("0"), &json!(1))
    );
    assert_eq!(indexes(&run(spec(6), status_now, &pods)), [4, 5]);
}

#[test]
fn surplus_pods_go_uncounted() {
    let spec = json!({"completions": 5, "parallelism": 1});
    let d = run(spec, started(), &["- Running ready", "- Pending nowhere"]);
    assert_eq!(deleted(&d), ["P1"]);
    assert!(d.delete[0].uncounted);
}

#[test]
fn a_job_that_is_deleted_lets_all_pods_go() {
    let mut job = job(json!({"parallelism": 2}), started());
    job.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        Timestamp::UNIX_EPOCH,
    ));
    let pods = [
        pod(0, "- Running"),
        pod(1, "- Failed"),
        pod(2, "- Failed counted"),
    ];
    let d = decide(
        &job,
        &pods,
        None,
        LIMITS,
        Timestamp::from_second(NOW).unwrap(),
    );
    assert_eq!(released(&d), ["P0", "P1"]);
    assert!(d.create.is_empty() && d.status.is_none() && d.delete.is_empty());
}

#[test]
fn after_a_restart_the_backoff_is_recalled_from_the_pods() {
    let pods = [
        pod(0, "- Failed counted ended=5"),
        pod(1, "- Failed counted ended=12"),
    ];
    let job = job(
        json!({"completions": 1}),
        json!({"startTime": START, "failed": 2}),
    );
    let d = decide(
        &job,
        &pods,
        None,
        LIMITS,
        Timestamp::from_second(NOW).unwrap(),
    );
    assert_eq!(d.requeue_after, Some(Duration::from_secs(15)));
    assert!(d.create.is_empty());
}
