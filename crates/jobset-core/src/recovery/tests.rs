use std::time::Duration;

use jobset_api::recovery::{RESTART_BACKOFF_KEY, RESTART_BUDGET_REFILL_KEY};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::fixtures::{JobExt, World, ago, condition, job, kinds, now, reasons, rjob};
use crate::model::StepKind;

/// Restarted so often, the last time so many seconds ago.
fn world(restarts: i32, last: Option<i64>) -> World {
    World::new(json!({
        "failurePolicy": { "maxRestarts": 2 },
        "replicatedJobs": [rjob("a", 1)],
    }))
    .status(json!({ "restarts": restarts, "restartsCountTowardsMax": restarts }))
    .with_status(|status| {
        if let Some(last) = last {
            let recovery = status.recovery.get_or_insert_default();
            recovery.last_restart_time = Some(Time(ago(last)));
        }
    })
}

fn backoff(world: World) -> World {
    world.annotated(RESTART_BACKOFF_KEY, "initial=10s,factor=2,max=1m")
}

fn refill(world: World) -> World {
    world.annotated(RESTART_BUDGET_REFILL_KEY, "after=1h")
}

#[test]
fn a_decision_notes_its_time_and_tells_the_wait() {
    let failed = || [job("a", 0).attempt(1).failed("r", "m", now())];
    let plan = backoff(world(1, None)).jobs(failed()).plan();
    let recovery = plan.status.as_ref().unwrap().recovery.clone().unwrap();
    assert_eq!(recovery.last_restart_time, Some(Time(now())));
    assert!(
        plan.events
            .iter()
            .any(|event| event.note == "restart 2 waits for 20 s")
    );
    // Without the annotation nothing is noted.
    let plan = world(1, None).jobs(failed()).plan();
    assert_eq!(plan.status.unwrap().recovery, None);
}

#[test]
fn jobs_are_created_when_the_wait_is_over() {
    for (restarts, last, left) in [
        (1, 4, Some(6)),
        (1, 10, None),
        (2, 10, Some(10)),
        (4, 59, Some(1)),
        (9, 60, None),
        // A clock that went back does not prolong the wait.
        (1, -500, Some(10)),
    ] {
        let plan = backoff(world(restarts, Some(last))).plan();
        assert_eq!(
            plan.requeue_after,
            left.map(Duration::from_secs),
            "{restarts} {last}"
        );
        let created = kinds(&plan) == [StepKind::CreateJobs];
        assert_eq!(created, left.is_none(), "{restarts} {last}");
    }
}

#[test]
fn the_first_start_does_not_wait() {
    assert_eq!(
        kinds(&backoff(world(0, None)).plan()),
        [StepKind::CreateJobs]
    );
}

#[test]
fn the_budget_refills_after_a_healthy_time() {
    let ready = || [job("a", 0).attempt(2).ready()];
    let early = refill(world(2, Some(3599))).jobs(ready()).plan();
    assert_eq!(early.requeue_after, Some(Duration::from_secs(1)));
    let world = refill(world(2, Some(3600))).jobs(ready());
    let plan = world.plan();
    assert_eq!(reasons(&plan), ["RestartBudgetRefilled"]);
    let recovery = plan.status.as_ref().unwrap().recovery.clone().unwrap();
    assert_eq!(
        (recovery.healthy_restarts, recovery.forgiven_restarts),
        (2, 2)
    );
    // Once.
    let world = world.with_status(|status| *status = plan.status.unwrap());
    assert!(world.plan().is_empty());
    // Two more are allowed now, and no third.
    let failed = world.jobs([job("a", 0).attempt(2).failed("r", "m", now())]);
    assert_eq!(failed.plan().status.unwrap().restarts, 3);
    let spent = failed
        .with_status(|status| {
            (status.restarts, status.restarts_count_towards_max) = (4, 4);
        })
        .jobs([job("a", 0).attempt(4).failed("r", "m", now())]);
    assert_eq!(spent.plan().status.unwrap().terminal_state, "Failed");
}

#[test]
fn the_healthy_time_counts_from_readiness() {
    let ready = || [job("a", 0).attempt(2).ready()];
    let since = |seconds: i64, status: &'static str| {
        refill(world(2, Some(9999))).jobs(ready()).with_status(|s| {
            s.conditions
                .push(condition("RestartingJobSet", status, "R", ago(seconds)));
        })
    };
    assert_eq!(
        since(3000, "False").plan().requeue_after,
        Some(Duration::from_mins(10))
    );
    assert!(reasons(&since(9000, "False").plan()).contains(&"RestartBudgetRefilled"));
    // Still restarting; becomes ready in this very plan.
    assert!(!reasons(&since(9000, "True").plan()).contains(&"RestartBudgetRefilled"));
    // Not ready.
    let waiting = refill(world(2, Some(9999))).jobs([job("a", 0).attempt(2)]);
    assert!(waiting.plan().requeue_after.is_none());
}

#[test]
fn annotation_after_the_restarts_starts_the_time() {
    let plan = refill(world(2, None))
        .jobs([job("a", 0).attempt(2).ready()])
        .plan();
    assert_eq!(plan.requeue_after, Some(Duration::from_hours(1)));
    let recovery = plan.status.unwrap().recovery.unwrap();
    assert_eq!(recovery.last_restart_time, Some(Time(now())));
}

#[test]
fn forgiven_restarts_start_the_wait_anew() {
    let world = backoff(world(5, Some(3))).with_status(|status| {
        status.recovery.get_or_insert_default().healthy_restarts = 4;
    });
    assert_eq!(world.plan().requeue_after, Some(Duration::from_secs(7)));
}

#[test]
fn odd_annotation_is_ignored_with_a_warning() {
    let plan = world(1, Some(0))
        .annotated(RESTART_BACKOFF_KEY, "10s")
        .plan();
    assert_eq!(plan.warnings.len(), 1);
    assert_eq!(kinds(&plan), [StepKind::CreateJobs]);
}
