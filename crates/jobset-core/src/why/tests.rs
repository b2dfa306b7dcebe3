use serde_json::{Value, json};

use super::*;

fn pods(pods: Value) -> Vec<Pod> {
    serde_json::from_value(pods).unwrap()
}

fn ended(name: &str, code: i32, second: u32) -> Value {
    json!({ "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": code, "reason": "Error",
                "finishedAt": format!("2026-01-01T00:00:{second:02}Z") } } })
}

fn pod(name: &str, containers: &[Value]) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "nodeName": "n1", "containers": [] },
            "status": { "phase": "Failed", "containerStatuses": containers } })
}

#[test]
fn the_earliest_bad_end_is_to_blame() {
    let list = pods(json!([
        pod("p0", &[ended("a", 143, 30)]),
        pod("p1", &[ended("a", 0, 1), ended("b", 137, 20)]),
        pod("p2", &[]),
    ]));
    let culprit = Culprit::first_of(&list).unwrap();
    assert_eq!(
        culprit.to_string(),
        "pod p1 on node n1, container b, exit code 137, signal SIGKILL"
    );
    // The order of the list does not matter, nor does a tie.
    let tie = pods(json!([
        pod("p9", &[ended("a", 1, 5)]),
        pod("p3", &[ended("a", 1, 5)])
    ]));
    assert_eq!(Culprit::first_of(&tie).unwrap().pod, "p3");
}

#[test]
fn an_end_before_a_restart_counts() {
    let mut container = ended("a", 1, 9);
    container["lastState"] = container["state"].take();
    container["lastState"]["terminated"]["reason"] = "OOMKilled".into();
    container["state"] = json!({ "running": {} });
    let list = pods(json!([pod("p", &[container])]));
    let culprit = Culprit::first_of(&list).unwrap();
    assert_eq!(culprit.ending, "exit code 1, OOMKilled");
    assert_eq!((culprit.exit_code, culprit.restarted), (Some(1), true));
    assert_eq!(Culprit::all_of(&list[0]), [culprit]);
}

#[test]
fn a_pod_may_fail_as_a_whole_and_none_may_be_known() {
    let evicted = json!({ "metadata": { "name": "p" },
                          "status": { "phase": "Failed", "reason": "Evicted" } });
    let list = pods(json!([evicted]));
    let culprit = Culprit::first_of(&list).unwrap();
    assert_eq!(Culprit::all_of(&list[0]), std::slice::from_ref(&culprit));
    assert_eq!(culprit.to_string(), "pod p, Evicted");
    assert_eq!(Culprit::first_of(&[]), None);
    assert_eq!(Culprit::first_of(&pods(json!([{}]))), None);
}

#[test]
fn a_decision_in_one_line() {
    let decision = Decision {
        attempt: 2,
        rule: Some("maintenance".to_owned()),
        action: "RestartJobSet".to_owned(),
        job: "js-w-3".to_owned(),
        job_uid: "u".to_owned(),
        reason: "BackoffLimitExceeded".to_owned(),
        message: "Job has reached the specified backoff limit".to_owned(),
    };
    assert_eq!(
        decision.tell(None),
        "attempt 2, rule: maintenance, action: RestartJobSet, first failed job: js-w-3 \
         (BackoffLimitExceeded: Job has reached the specified backoff limit)"
    );
    let long = Decision {
        message: "x".repeat(5000),
        ..decision
    };
    assert!(long.tell(None).len() <= crate::note::MAX_BYTES);
}
