use serde_json::{Value, json};

use super::*;

fn view(pod: Value) -> ChildPod {
    ChildPod::from_pod(&serde_json::from_value(pod).unwrap())
}

fn counts(init: &[i32], main: &[i32]) -> i32 {
    let list = |counts: &[i32]| -> Vec<Value> {
        let status = |n| {
            json!({ "name": "c", "image": "", "imageID": "", "ready": true,
                                 "restartCount": n })
        };
        counts.iter().map(status).collect()
    };
    view(json!({ "status": {
        "initContainerStatuses": list(init), "containerStatuses": list(main),
    } }))
    .restarts
}

#[test]
fn ic1_one_container() {
    assert_eq!(counts(&[], &[5]), 5);
}

#[test]
fn ic2_the_most_of_several_containers() {
    assert_eq!(counts(&[], &[1, 4, 2]), 4);
}

#[test]
fn ic3_init_containers_count_too() {
    assert_eq!(counts(&[10], &[5]), 10);
}

#[test]
fn what_is_absent_stays_absent() {
    assert_eq!(view(json!({})), ChildPod::default());
}

#[test]
fn only_a_controlling_owner_counts() {
    let owner = |uid: &str, controller: bool| {
        json!({ "apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": uid,
                "controller": controller })
    };
    let pod = view(json!({
        "metadata": {
            "name": "p", "uid": "u", "deletionTimestamp": "2027-01-15T08:00:00Z",
            "annotations": { "jobset.sigs.k8s.io/in-place-restart-attempt": "3" },
            "ownerReferences": [owner("other", false), owner("job", true)],
        },
        "spec": { "nodeName": "n", "containers": [] },
        "status": { "phase": "Failed" },
    }));
    assert_eq!(pod.job_uid.as_deref(), Some("job"));
    assert_eq!(pod.in_place_attempt.as_deref(), Some("3"));
    assert_eq!(
        (pod.phase, pod.node.as_deref()),
        (PodPhase::Failed, Some("n"))
    );
    assert_eq!(pod.deletion.unwrap().as_second(), 1_800_000_000);
}
