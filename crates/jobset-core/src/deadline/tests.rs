use jobset_api::Feature;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::fixtures::{JobExt, World, ago, conditions, job, kinds, names, now, rjob, triples};
use crate::model::{Plan, StepKind};

/// A JobSet with two Jobs and a deadline of a minute, started so many seconds ago.
fn world(started: Option<i64>) -> World {
    let mut world = World::new(json!({
        "activeDeadlineSeconds": 60,
        "failurePolicy": { "maxRestarts": 5 },
        "replicatedJobs": [rjob("a", 2)],
    }))
    .with_status(|status| status.start_time = started.map(|s| Time(ago(s))))
    .jobs([job("a", 0).ready(), job("a", 1).ready()]);
    let gates = world.options.gates;
    world.options.gates = gates.with(Feature::JobSetActiveDeadlineSeconds, true);
    world
}

fn start(plan: &Plan) -> Option<Timestamp> {
    plan.status
        .as_ref()
        .unwrap()
        .start_time
        .as_ref()
        .map(|t| t.0)
}

const EXCEEDED: &[(&str, &str, &str)] = &[("Failed", "True", "DeadlineExceeded")];

#[test]
fn time_begins_with_the_first_plan_and_is_waited_for() {
    let plan = world(None).plan();
    assert_eq!(start(&plan), Some(now()));
    assert_eq!(plan.requeue_after, Some(Duration::from_mins(1)));
    let plan = world(Some(59)).plan();
    assert_eq!(start(&plan), Some(ago(59)));
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(1)));
}

#[test]
fn when_it_is_over_the_jobset_fails_and_its_jobs_are_deleted() {
    let world = world(Some(60));
    let plan = world.plan();
    assert_eq!(conditions(&plan), triples(EXCEEDED));
    assert!(kinds(&plan).is_empty());
    let world = world.with_status(|status| *status = plan.status.unwrap());
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::DeleteActive).len(), 2);
    assert!(plan.requeue_after.is_none());
}

#[test]
fn success_comes_before_the_deadline_and_the_deadline_before_the_failure_policy() {
    let done = world(Some(99)).jobs([job("a", 0).succeeded(), job("a", 1).succeeded()]);
    assert_eq!(
        conditions(&done.plan()),
        triples(&[("Completed", "True", "AllJobsCompleted")])
    );
    let failed = world(Some(99)).jobs([job("a", 0).failed("r", "m", now()), job("a", 1)]);
    let plan = failed.plan();
    assert_eq!(conditions(&plan), triples(EXCEEDED));
    assert_eq!(plan.status.unwrap().restarts, 0);
}

#[test]
fn it_does_not_run_while_suspended() {
    let mut world = world(Some(99)).jobs([job("a", 0).suspended(), job("a", 1).suspended()]);
    world.jobset.spec.suspend = Some(true);
    let plan = world.plan();
    assert_eq!(start(&plan), None);
    assert!(plan.requeue_after.is_none());
    let mut world = world.with_status(|status| *status = plan.status.unwrap());
    world.jobset.spec.suspend = Some(false);
    assert_eq!(start(&world.plan()), Some(now()), "set anew on resumption");
}

#[test]
fn a_full_restart_begins_anew_and_a_single_one_does_not() {
    let failed = || [job("a", 0).failed("r", "m", now()), job("a", 1)];
    let plan = world(Some(30)).jobs(failed()).plan();
    assert_eq!(start(&plan), Some(now()));
    let mut single = world(Some(30)).gate().jobs(failed());
    single.jobset.spec.failure_policy = serde_json::from_value(json!({
        "maxRestarts": 5, "rules": [{ "name": "r", "action": "RestartJob" }],
    }))
    .unwrap();
    assert_eq!(start(&single.plan()), Some(ago(30)));
}

#[test]
fn gate_off_keeps_no_start_time_and_no_deadline() {
    let mut world = world(Some(99));
    world.options = crate::PlanOptions::default();
    let plan = world.plan();
    assert_eq!(start(&plan), None);
    assert!(conditions(&plan).is_empty() && plan.requeue_after.is_none());
}
