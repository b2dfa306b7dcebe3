use serde_json::json;

use super::*;
use crate::fixtures::{JobExt, World, job, now, rjob};

fn world() -> World {
    World::new(json!({ "replicatedJobs": [rjob("one", 3), rjob("two", 5)] }))
}

fn counts(world: &World) -> [Count; 2] {
    let status = world.jobset.status.clone().unwrap_or_default();
    let mut draft = Draft::new(status.clone(), crate::PlanOptions::default(), now());
    let roles = Roles::of(&world.jobset);
    let buckets = Buckets::sort(&world.observed(), &roles, &status, false, &mut draft);
    let counts = Counts::of(&buckets, &roles, &mut draft);
    [counts.get(0), counts.get(1)]
}

fn pods(role: &str, index: usize, p: i32, c: Option<i32>, ready: i32, ok: i32) -> ChildJob {
    ChildJob {
        parallelism: Some(p),
        completions: c,
        ready,
        succeeded: ok,
        ..job(role, index)
    }
}

#[test]
fn rs1_ready_means_ready_or_succeeded_pods_reach_parallelism_or_completions() {
    let world = world().jobs([
        pods("one", 0, 1, Some(2), 1, 1),
        pods("two", 0, 5, None, 2, 3),
        pods("two", 1, 3, Some(2), 1, 1),
        pods("two", 2, 2, Some(3), 2, 1),
        pods("two", 3, 4, Some(5), 2, 1),
    ]);
    assert_eq!(counts(&world).map(|c| c.ready), [1, 3]);
}

#[test]
fn rs2_no_jobs_make_zero_entries() {
    let status = world().plan().status.unwrap();
    let zero = |name: &str| ReplicatedJobStatus {
        name: name.into(),
        ..Default::default()
    };
    assert_eq!(status.replicated_jobs_status, [zero("two"), zero("one")]);
}

#[test]
fn rs3_one_role_with_jobs() {
    let world = world().jobs([pods("one", 0, 2, None, 1, 1)]);
    assert_eq!(counts(&world).map(|c| c.ready), [1, 0]);
}

#[test]
fn rs4_successful_jobs_are_not_ready() {
    let world = world().jobs([
        job("one", 0).succeeded(),
        job("two", 0).succeeded(),
        job("two", 1).succeeded(),
    ]);
    assert_eq!(counts(&world).map(|c| c.succeeded), [1, 2]);
    assert_eq!(counts(&world).map(|c| c.ready), [0, 0]);
}

#[test]
fn rs5_failed_jobs() {
    let fail = |role, i| job(role, i).failed("r", "m", now());
    let world = world().jobs([
        fail("one", 0),
        fail("one", 1),
        fail("one", 2),
        fail("two", 0),
    ]);
    assert_eq!(counts(&world).map(|c| c.failed), [3, 1]);
}

#[test]
fn rs6_active_needs_active_pods() {
    let active = |role, i, n| ChildJob {
        active: n,
        ..job(role, i)
    };
    let world = world().jobs([
        active("one", 0, 5),
        active("two", 0, 1),
        active("two", 1, 0),
    ]);
    assert_eq!(counts(&world).map(|c| c.active), [1, 1]);
}

#[test]
fn rs7_suspended_follows_the_spec() {
    let world = world().jobs([
        job("one", 0).suspended(),
        job("two", 0),
        job("two", 1).suspended(),
    ]);
    assert_eq!(counts(&world).map(|c| c.suspended), [1, 1]);
}

#[test]
fn previous_and_unlabelled_jobs_are_not_counted() {
    let stray = ChildJob {
        replicated_job: None,
        ..job("one", 2)
    };
    let world = world().status(json!({ "restarts": 1 })).jobs([
        job("one", 0).ready(),
        job("one", 1).ready().attempt(1),
        stray.attempt(1),
    ]);
    assert_eq!(counts(&world).map(|c| c.ready), [1, 0]);
}

#[test]
fn order_alone_is_no_change() {
    let entry = |name: &str| {
        json!({ "name": name, "ready": 0, "succeeded": 0, "failed": 0, "active": 0,
                "suspended": 0 })
    };
    let mut world = world().status(json!({
        "restarts": 0, "replicatedJobsStatus": [entry("one"), entry("two")],
    }));
    world.jobset.spec.suspend = Some(false);
    assert!(world.plan().status.is_none());
}

#[test]
fn b_stored_individual_counters_are_kept_with_the_gate_off() {
    let world = world().status(json!({ "restarts": 0, "replicatedJobsStatus": [{
        "name": "one", "ready": 3, "succeeded": 0, "failed": 0, "active": 0, "suspended": 0,
        "jobRestarts": [1, 0, 0], "jobRestartsCountTowardsMax": [1, 0, 0],
    }]}));
    let status = world.plan().status.unwrap();
    assert_eq!(status.replicated_jobs_status[1].job_restarts, [1, 0, 0]);
    assert_eq!(
        status.replicated_jobs_status[1].job_restarts_count_towards_max,
        [1, 0, 0]
    );
}
