use jobset_api::Feature;
use serde_json::{Value, json};

use crate::fixtures::{
    JobExt, World, condition, conditions, created, job, kinds, now, reasons, rjob, triples,
};
use crate::model::{Action, StepKind};

const KEY: &str = "jobset.sigs.k8s.io/execution-attempt";

fn world(attempts: impl Into<Value>) -> World {
    let mut world = World::new(json!({
        "failurePolicy": { "maxRestarts": 5 },
        "replicatedJobs": [rjob("a", 1)],
    }))
    .status(json!({ "restarts": 0, "executionAttempts": attempts.into() }));
    world.options.gates = world
        .options
        .gates
        .with(Feature::ExecutionAttemptsTracking, true);
    world
}

fn was_suspended(world: World) -> World {
    world.with_status(|status| {
        let c = condition("Suspended", "True", "SuspendedJobs", now());
        status.conditions.push(c);
    })
}

fn attempts(world: &World) -> Option<i32> {
    let written = world.plan().status;
    written.or(world.jobset.status.clone())?.execution_attempts
}

fn carried(body: &Value) -> [Value; 2] {
    ["/metadata", "/spec/template/metadata"]
        .map(|at| body.pointer(at).unwrap()["annotations"][KEY].clone())
}

#[test]
fn the_first_run_is_0_and_its_jobs_say_so() {
    let plan = world(Value::Null).plan();
    assert_eq!(plan.status.as_ref().unwrap().execution_attempts, Some(0));
    assert_eq!(carried(&created(&plan)[0].1), ["0", "0"]);
}

#[test]
fn absent_while_suspended_before_the_first_run() {
    let mut world = world(Value::Null);
    world.jobset.spec.suspend = Some(true);
    assert_eq!(attempts(&world), None);
    let (_, body) = &created(&world.plan())[0];
    assert!(
        body.pointer("/metadata/annotations")
            .unwrap()
            .get(KEY)
            .is_none()
    );
}

#[test]
fn a_resumption_is_stored_before_anything_runs() {
    for (before, after) in [(Value::Null, 0), (0.into(), 1), (6.into(), 7)] {
        let world = was_suspended(world(before)).jobs([job("a", 0).suspended()]);
        let plan = world.plan();
        assert!(kinds(&plan).is_empty());
        assert_eq!(reasons(&plan), ["ResumeJobs"]);
        assert_eq!(
            conditions(&plan),
            triples(&[("Suspended", "False", "ResumeJobs")])
        );
        let status = plan.status.unwrap();
        assert_eq!(status.execution_attempts, Some(after));
        // Then the Jobs are resumed with the new number, and it counts no further.
        let world = world.with_status(|stored| *stored = status);
        let plan = world.plan();
        assert_eq!(kinds(&plan), [StepKind::Resume]);
        assert!(plan.status.is_none());
        let Action::ResumeJob { patch, .. } = plan.actions().next().unwrap() else {
            panic!("{plan:?}");
        };
        let number = after.to_string();
        assert_eq!(carried(patch), [number.as_str(), number.as_str()]);
    }
}

#[test]
fn a_restart_counts_with_its_decision() {
    let failed = || job("a", 0).failed("r", "m", now());
    assert_eq!(attempts(&world(3).jobs([failed()])), Some(4));
    // Running since before the gate was on.
    let old = world(Value::Null)
        .with_status(|status| status.restarts = 2)
        .jobs([failed().attempt(2)]);
    assert_eq!(attempts(&old), Some(3));
}

#[test]
fn already_running_without_the_field_begins_at_the_restarts() {
    let world = world(Value::Null)
        .with_status(|status| status.restarts = 2)
        .jobs([job("a", 0).attempt(2).ready()]);
    assert_eq!(attempts(&world), Some(2));
}

#[test]
fn restarts_of_single_jobs_do_not_count() {
    let mut world = world(3).gate().jobs([job("a", 0).failed("r", "m", now())]);
    world.jobset.spec.failure_policy = serde_json::from_value(json!({
        "maxRestarts": 5, "rules": [{ "name": "r", "action": "RestartJob" }],
    }))
    .unwrap();
    assert_eq!(attempts(&world), Some(3));
}

#[test]
fn gate_off_leaves_everything_as_it_is() {
    let mut world = was_suspended(world(3)).jobs([job("a", 0).suspended()]);
    world.options = crate::PlanOptions::default();
    let plan = world.plan();
    assert_eq!(kinds(&plan), [StepKind::Resume]);
    assert_eq!(attempts(&world), Some(3));
}
