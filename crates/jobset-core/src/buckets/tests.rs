use serde_json::json;

use crate::fixtures::{JobExt, World, job, now, rjob};
use crate::model::ChildJob;

fn one_of_each() -> World {
    World::new(json!({ "replicatedJobs": [rjob("a", 9)] }))
}

#[test]
fn buckets_by_attempt_then_outcome() {
    let world = one_of_each().status(json!({ "restarts": 1 })).jobs([
        job("a", 0),
        job("a", 1).failed("r", "m", now()),
        job("a", 2).attempt(1),
        job("a", 3).attempt(1).succeeded(),
        job("a", 4).attempt(1).failed("r", "m", now()),
        job("a", 5).attempt(7).deleting(),
    ]);
    let name = |i: usize| format!("test-jobset-a-{i}");
    assert_eq!(
        world.buckets(),
        [
            vec![name(0), name(1)],
            vec![name(2), name(5)],
            vec![name(3)],
            vec![name(4)]
        ],
        "a larger attempt and a deletion in progress count as current"
    );
}

#[test]
fn b_broken_restart_attempt_label_is_attempt_zero() {
    for label in [None, Some("one".to_owned()), Some(String::new())] {
        let broken = ChildJob {
            restart_attempt: label,
            ..job("a", 0)
        };
        let world = one_of_each().jobs([broken.clone()]);
        assert_eq!(world.buckets()[1].len(), 1, "current before any restart");
        let plan = world.plan();
        assert_eq!(plan.warnings.len(), 1);
        assert!(plan.error.is_none());

        let world = one_of_each()
            .status(json!({ "restarts": 1 }))
            .jobs([broken]);
        assert_eq!(world.buckets()[0].len(), 1, "previous after one");
    }
}

#[test]
fn individual_attempts_count_only_with_the_gate() {
    let status = json!({ "restarts": 0, "replicatedJobsStatus": [{
        "name": "a", "ready": 0, "succeeded": 0, "failed": 0, "active": 0, "suspended": 0,
        "jobRestarts": [1, 0],
    }]});
    let jobs = || [job("a", 0), job("a", 1)];
    let world = one_of_each().status(status.clone()).jobs(jobs());
    assert_eq!(world.buckets()[0].len(), 0);
    let world = one_of_each().gate().status(status).jobs(jobs());
    assert_eq!(world.buckets()[0], ["test-jobset-a-0"]);
}

#[test]
fn b_job_without_individual_attempt_label_is_attempt_zero() {
    let status = json!({ "restarts": 0, "replicatedJobsStatus": [{
        "name": "a", "ready": 0, "succeeded": 0, "failed": 0, "active": 0, "suspended": 0,
        "jobRestarts": [1],
    }]});
    let unlabelled = ChildJob {
        job_restart_attempt: None,
        ..job("a", 0)
    };
    let world = one_of_each().gate().status(status).jobs([unlabelled]);
    assert_eq!(world.buckets()[0], ["test-jobset-a-0"]);
}

#[test]
fn b_negative_or_foreign_index_does_not_panic() {
    for index in ["-1", "99999999999999999999", "x", ""] {
        let odd = ChildJob {
            job_index: Some(index.to_owned()),
            ..job("a", 0)
        };
        let world = one_of_each().gate().jobs([odd]);
        assert_eq!(world.buckets()[1].len(), 1, "{index}");
        assert!(!world.plan().warnings.is_empty());
    }
}

#[test]
fn warnings_are_bounded() {
    let jobs = (0..1000).map(|i| ChildJob {
        restart_attempt: None,
        ..job("a", i)
    });
    let plan = one_of_each().jobs(jobs).plan();
    assert_eq!(plan.warnings.len(), 17);
    assert_eq!(plan.warnings[16], "… and 984 more warnings");
}
