use jobset_api::JobSet;
use serde_json::{Value, json};

use super::super::testing::{event, job, jobset, pod, snapshot};
use super::*;

fn ended(code: i32, time: &str) -> Value {
    json!({"phase": "Failed", "containerStatuses": [
        {"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
         "state": {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": time}}},
    ]})
}

/// Restarted once, then failed.
fn failed() -> JobSet {
    jobset(
        &json!({"restarts": 1, "restartsCountTowardsMax": 1, "conditions": [
        {"type": "RestartingJobSet", "status": "False", "reason": "JobSetFailed",
         "message": "jobset failed", "lastTransitionTime": "2026-01-01T00:00:40Z"},
        {"type": "Failed", "status": "True", "reason": "ReachedMaxRestarts",
         "message": "no more (first failed job: js-workers-1)",
         "lastTransitionTime": "2026-01-01T00:00:40Z"},
    ], "replicatedJobsStatus": [{"name": "workers", "ready": 0, "active": 1, "succeeded": 0,
        "failed": 1, "suspended": 0}]}),
    )
}

const RESTART: &str =
    "applying RestartJobSet failure policy action (first failed job: js-workers-0)";
const DECISION: &str = "attempt 0, rule: none matched, action: RestartJobSet, first failed job: \
    js-workers-0, pod js-workers-0-0-xyz on node n, container main, exit code 3 (BackoffLimitExceeded: b)";

fn with_events() -> Snapshot {
    let mut worker = pod("workers", 1, 0, &ended(7, "2026-01-01T00:00:39Z"));
    let labels = worker.metadata.labels.as_mut().unwrap();
    labels.insert(keys::RESTART_ATTEMPT_KEY.to_owned(), "1".to_owned());
    let set = ("JobSet", "js");
    let events = vec![
        event(20, set, "Warning", "DefaultFailurePolicy", RESTART),
        event(
            20,
            set,
            "Warning",
            "RestartJobSetFailurePolicyAction",
            RESTART,
        ),
        event(20, set, "Warning", "FailurePolicyDecision", DECISION),
        event(
            40,
            set,
            "Warning",
            "ReachedMaxRestarts",
            "no more (first failed job: js-workers-1)",
        ),
        event(
            19,
            ("Job", "js-workers-0"),
            "Warning",
            "BackoffLimitExceeded",
            "limit",
        ),
        event(
            10,
            ("Pod", "js-workers-0-0-xyz"),
            "Normal",
            "Started",
            "started",
        ),
    ];
    let status = json!({"conditions": [{"type": "Failed", "status": "True",
        "reason": "BackoffLimitExceeded", "message": "limit", "lastTransitionTime": "2026-01-01T00:00:39Z"}]});
    let mut failed_job = job("workers", 1, &status);
    let labels = failed_job.metadata.labels.as_mut().unwrap();
    labels.insert(keys::RESTART_ATTEMPT_KEY.to_owned(), "1".to_owned());
    let mut leaving = job("leader", 0, &json!({}));
    leaving.metadata.deletion_timestamp = Some(Time("2026-01-01T00:09:00Z".parse().unwrap()));
    snapshot(failed(), vec![leaving, failed_job], vec![worker], events)
}

#[test]
fn the_history_tells_causes_before_effects_and_nothing_twice() {
    let explanation = Explanation::of(&with_events());
    let lines: Vec<String> = explanation
        .history
        .iter()
        .map(|entry| {
            format!(
                "{} {} {} {}",
                entry.attempt, entry.kind, entry.name, entry.reason
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "0 JobSet js Created",
            "0 Job js-workers-0 BackoffLimitExceeded",
            "0 JobSet js FailurePolicyDecision",
            "1 Pod js-workers-1-0-abcde ContainerFailed",
            "1 Job js-workers-1 BackoffLimitExceeded",
            "1 JobSet js ReachedMaxRestarts",
            "1 JobSet js JobSetFailed",
        ]
        .map(str::to_owned)
    );
}

#[test]
fn without_this_controllers_decisions_the_others_events_tell() {
    let mut snapshot = with_events();
    snapshot
        .events
        .retain(|event| event.reason.as_deref() != Some(why::EVENT_REASON));
    let history = Explanation::of(&snapshot).history;
    let restart: Vec<&str> = history
        .iter()
        .filter(|entry| entry.message == RESTART)
        .map(|entry| entry.reason.as_str())
        .collect();
    assert_eq!(restart, ["RestartJobSetFailurePolicyAction"]);
}

#[test]
fn conditions_stand_in_for_events_that_are_forgotten() {
    let mut snapshot = with_events();
    snapshot.events.clear();
    let explanation = Explanation::of(&snapshot);
    let reasons: Vec<&str> = explanation
        .history
        .iter()
        .filter(|entry| entry.kind == "JobSet")
        .map(|entry| entry.reason.as_str())
        .collect();
    assert_eq!(reasons, ["Created", "JobSetFailed", "ReachedMaxRestarts"]);
    assert!(
        explanation.notes[0].contains("forgets them"),
        "{:?}",
        explanation.notes
    );
}

#[test]
fn the_text_names_the_first_failure_and_what_is_terminating() {
    let mut explanation = Explanation::of(&with_events());
    assert_eq!(explanation.logs_wanted(3), [0]);
    explanation.failures[0].last_lines = Some(vec!["out of memory".to_owned()]);
    let text = explanation.text(false);
    let expected = "\
JobSet default/js: Failed
  ReachedMaxRestarts: no more (first failed job: js-workers-1)
  created 10m ago, finished 9m20s ago, 1 restart (1 counted of at most 2)

ROLE     JOBS  READY  ACTIVE  SUCCEEDED  FAILED  SUSPENDED  TERMINATING
leader   1     0      0       0          0       0          1
workers  2     0      1       0          1       0          0

First failure
  attempt     1
  job         js-workers-1
  pod         js-workers-1-0-abcde
  node        node-0
  container   main
  ended with  exit code 7
  last log lines
    out of memory

Terminating
  Job js-leader-0 of attempt 0 for 60s, 0 Pods left

What happened
  +0s   JobSet js                 Created
";
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.contains("  +20s  JobSet js                 FailurePolicyDecision: attempt 0, rule: ")
    );
}

#[test]
fn pods_that_wait_for_the_same_are_told_together() {
    let waits = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available"}]});
    let snapshot = snapshot(
        jobset(&json!({})),
        vec![],
        vec![pod("workers", 0, 0, &waits), pod("workers", 1, 0, &waits)],
        vec![],
    );
    let text = Explanation::of(&snapshot).text(false);
    let line = "  js-workers-0-0-abcde and 1 more: Unschedulable: 0/1 nodes are available\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_longer_job_name_is_not_the_same_job() {
    assert!(names_job(
        "x, first failed job: js-a-1, pod",
        "first failed job: js-a-1"
    ));
    assert!(!names_job(
        "x, first failed job: js-a-11, pod",
        "first failed job: js-a-1"
    ));
}

#[test]
fn a_role_that_waits_for_a_pod_that_is_not_ready() {
    let running = |ready: bool| {
        json!({"phase": "Running", "containerStatuses": [
            {"name": "main", "image": "", "imageID": "", "ready": ready, "restartCount": 0,
             "state": {"running": {}}},
        ]})
    };
    let explain = |ready: bool| {
        let status = json!({"restarts": 0, "replicatedJobsStatus": [
            {"name": "leader", "ready": i32::from(ready), "active": 1, "succeeded": 0, "failed": 0,
             "suspended": 0},
        ]});
        let about = ("Pod", "js-leader-0-0-abcde");
        let note = "Readiness probe failed: dial tcp 127.0.0.2:80: refused";
        let snapshot = snapshot(
            jobset(&status),
            vec![job("leader", 0, &json!({"active": 1}))],
            vec![pod("leader", 0, 0, &running(ready))],
            vec![event(5, about, "Warning", "Unhealthy", note)],
        );
        Explanation::of(&snapshot).text(false)
    };
    let waiting = "\nWaiting\n  workers: starts after leader (Ready)\n";
    let probe = "  js-leader-0-0-abcde: not ready: Readiness probe failed: dial tcp 127.0.0.2:80: refused\n";
    let text = explain(false);
    assert!(
        text.contains(&format!("{waiting}{probe}\nWhat happened")),
        "{text}"
    );
    // What was the matter at the start is over.
    let text = explain(true);
    assert!(
        text.contains(&format!("{waiting}\nWhat happened")),
        "{text}"
    );
}
