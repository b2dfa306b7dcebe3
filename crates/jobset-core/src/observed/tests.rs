use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::*;

fn from(value: Value) -> ChildJob {
    let job: Job = serde_json::from_value(value).unwrap();
    ChildJob::from_job(&job)
}

fn with_condition(type_: &str) -> ChildJob {
    from(json!({ "status": { "conditions": [{ "type": type_, "status": "True" }] } }))
}

#[test]
fn jf1_complete_is_finished() {
    assert_eq!(
        with_condition("Complete").outcome_kind(),
        Some(OutcomeKind::Complete)
    );
}

#[test]
fn jf2_failed_is_finished() {
    assert_eq!(
        with_condition("Failed").outcome_kind(),
        Some(OutcomeKind::Failed)
    );
}

#[test]
fn jf3_empty_type_is_not_finished() {
    assert_eq!(with_condition("").outcome_kind(), None);
}

#[test]
fn jf4_suspended_is_not_finished() {
    assert_eq!(with_condition("Suspended").outcome_kind(), None);
}

#[test]
fn jf5_failure_target_is_not_finished() {
    assert_eq!(with_condition("FailureTarget").outcome_kind(), None);
    assert_eq!(with_condition("SuccessCriteriaMet").outcome_kind(), None);
}

#[test]
fn first_true_final_condition_decides() {
    let job = from(json!({ "status": { "conditions": [
        { "type": "Complete", "status": "False" },
        { "type": "Failed", "status": "True", "reason": "r", "message": "m",
          "lastTransitionTime": "2026-01-01T00:00:00Z" },
        { "type": "Complete", "status": "True" },
    ] } }));
    let outcome = job.outcome.unwrap();
    assert_eq!(outcome.kind, OutcomeKind::Failed);
    assert_eq!(
        (outcome.reason.as_str(), outcome.message.as_str()),
        ("r", "m")
    );
    assert_eq!(outcome.time.unwrap().to_string(), "2026-01-01T00:00:00Z");
}

#[test]
fn slim_view_keeps_what_planning_needs() {
    let job = from(json!({
        "metadata": {
            "name": "js-a-0", "namespace": "ns", "uid": "u", "resourceVersion": "7",
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "jobset.sigs.k8s.io/restart-attempt": "3",
                "jobset.sigs.k8s.io/job-restart-attempt": "2",
                "jobset.sigs.k8s.io/replicatedjob-name": "a",
                "jobset.sigs.k8s.io/job-index": "0",
            },
        },
        "spec": { "suspend": true, "parallelism": 4, "completions": 5,
                  "template": { "spec": { "containers": [], "nodeSelector": { "rack": "1" } } } },
        "status": { "active": 1, "ready": 2, "succeeded": 3, "failed": 4,
                    "startTime": "2026-01-01T00:00:00Z" },
    }));
    assert_eq!(
        job,
        ChildJob {
            name: "js-a-0".into(),
            namespace: "ns".into(),
            uid: "u".into(),
            resource_version: "7".into(),
            restart_attempt: Some("3".into()),
            job_restart_attempt: Some("2".into()),
            replicated_job: Some("a".into()),
            job_index: Some("0".into()),
            deleting: true,
            suspend: true,
            marked_suspended: false,
            parallelism: Some(4),
            completions: Some(5),
            node_selector: vec!["rack".into()],
            start_time: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            active: 1,
            ready: 2,
            succeeded: 3,
            failed: 4,
            outcome: None,
            failing: None,
        }
    );
    assert_eq!(from(json!({})), ChildJob::default());
}

#[test]
fn the_mark_of_suspension_is_a_condition() {
    for (status, marked) in [("True", true), ("False", false)] {
        let job: Job = serde_json::from_value(json!({
            "status": { "conditions": [{ "type": "Suspended", "status": status }] },
        }))
        .unwrap();
        assert_eq!(ChildJob::from_job(&job).marked_suspended, marked);
    }
    assert!(!ChildJob::from_job(&Job::default()).marked_suspended);
}

#[test]
fn a_job_bound_to_fail_has_not_failed() {
    let job = with_condition("FailureTarget");
    assert_eq!(job.outcome, None);
    assert_eq!(job.failing.unwrap().kind, OutcomeKind::Failed);
    assert_eq!(with_condition("Failed").failing, None);
}
