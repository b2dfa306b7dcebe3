use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::fixtures::{World, ago, condition, job, kinds, names, now, rjob};
use crate::model::{Action, Plan, Propagation, StepKind};

fn world(ttl: Option<i32>, finished: Option<(&str, Timestamp)>) -> World {
    let mut world = World::new(json!({ "replicatedJobs": [rjob("a", 1)] }));
    world.jobset.spec.ttl_seconds_after_finished = ttl;
    // The stored numbers are right already, so that nothing but the time to live is decided.
    let status = world.plan().status.unwrap_or_default();
    world.with_status(|s| {
        s.replicated_jobs_status = status.replicated_jobs_status;
        if let Some((type_, time)) = finished {
            s.conditions.push(condition(type_, "True", "R", time));
        }
    })
}

fn judge(ttl: Option<i32>, finished: Option<(&str, Timestamp)>) -> Result<Verdict, String> {
    let world = world(ttl, finished);
    let status = world.jobset.status.clone().unwrap_or_default();
    verdict(&world.jobset, &status, now()).map_err(|e| e.to_string())
}

fn deletes(plan: &Plan) -> bool {
    plan.actions()
        .any(|action| matches!(action, Action::DeleteJobSet { .. }))
}

const UNFINISHED: &str = "error checking if ttl expired: unable to find the status of the \
                          finished JobSet default/test-jobset";

fn wait(seconds: u64) -> Verdict {
    Verdict::Wait(Duration::from_secs(seconds))
}

#[test]
fn tx1_not_finished_no_ttl() {
    let plan = world(None, None).plan();
    assert!(!deletes(&plan) && plan.requeue_after.is_none());
}

#[test]
fn tx2_not_finished_with_ttl() {
    assert_eq!(judge(Some(5), None).unwrap_err(), UNFINISHED);
    // A plan never asks for it.
    assert!(world(Some(5), None).plan().error.is_none());
}

#[test]
fn tx3_finished_no_ttl() {
    let plan = world(None, Some(("Completed", ago(10)))).plan();
    assert!(plan.is_empty());
}

#[test]
fn tx4_expired_is_deleted() {
    let plan = world(Some(5), Some(("Completed", ago(10)))).plan();
    assert_eq!(kinds(&plan), [StepKind::DeleteJobSet]);
    assert_eq!(plan.requeue_after, None);
    assert_eq!(
        plan.steps[0].actions[0],
        Action::DeleteJobSet {
            name: "test-jobset".to_owned(),
            uid: "jobset-uid".to_owned(),
            propagation: Propagation::Foreground,
        }
    );
}

#[test]
fn tx5_not_expired_is_kept() {
    let plan = world(Some(5), Some(("Completed", ago(2)))).plan();
    assert!(plan.steps.is_empty());
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(3)));
}

#[test]
fn te1_no_ttl() {
    assert_eq!(judge(None, Some(("Completed", now()))), Ok(Verdict::Keep));
}

#[test]
fn te2_just_finished() {
    assert_eq!(judge(Some(10), Some(("Completed", now()))), Ok(wait(10)));
}

#[test]
fn te3_later() {
    assert_eq!(
        judge(Some(10), Some(("Completed", ago(15)))),
        Ok(Verdict::Delete)
    );
}

#[test]
fn te4_not_finished() {
    assert_eq!(judge(Some(10), None).unwrap_err(), UNFINISHED);
}

#[test]
fn te5_being_deleted() {
    let mut world = world(Some(1), None);
    world.jobset.metadata.deletion_timestamp = Some(Time(now()));
    let status = world.jobset.status.clone().unwrap();
    assert_eq!(verdict(&world.jobset, &status, now()), Ok(Verdict::Keep));
}

#[test]
fn te6_no_finish_time() {
    let year_one: Timestamp = "0001-01-01T00:00:00Z".parse().unwrap();
    for time in [year_one, Timestamp::UNIX_EPOCH] {
        assert_eq!(
            judge(Some(10), Some(("Failed", time))).unwrap_err(),
            "error checking if ttl expired: unable to find the time when the JobSet \
             default/test-jobset finished"
        );
    }
    let plan = world(Some(10), Some(("Failed", year_one))).plan();
    assert!(plan.error.is_some() && !deletes(&plan));
}

#[test]
fn tl1_not_finished() {
    // TL2, "no current time", cannot be said in this language: the time is an argument.
    assert_eq!(judge(Some(0), None).unwrap_err(), UNFINISHED);
}

#[test]
fn tl3_to_tl8_time_left() {
    for (ids, type_) in [
        (["tl3", "tl4", "tl5"], "Completed"),
        (["tl6", "tl7", "tl8"], "Failed"),
    ] {
        assert_eq!(
            judge(Some(0), Some((type_, now()))),
            Ok(Verdict::Delete),
            "{}",
            ids[0]
        );
        assert_eq!(
            judge(Some(10), Some((type_, now()))),
            Ok(wait(10)),
            "{}",
            ids[1]
        );
        assert_eq!(
            judge(Some(15), Some((type_, ago(10)))),
            Ok(wait(5)),
            "{}",
            ids[2]
        );
    }
}

#[test]
fn tr1_to_tr5_requeue_delay() {
    let delay = |ttl, finished| world(ttl, finished).plan().requeue_after;
    assert_eq!(delay(None, None), None, "tr1");
    assert_eq!(judge(Some(5), None).unwrap_err(), UNFINISHED, "tr2");
    assert_eq!(delay(None, Some(("Completed", now()))), None, "tr3");
    let seconds = |n| Some(Duration::from_secs(n));
    assert_eq!(
        delay(Some(5), Some(("Completed", now()))),
        seconds(5),
        "tr4"
    );
    assert_eq!(
        delay(Some(5), Some(("Completed", ago(2)))),
        seconds(3),
        "tr5"
    );
}

#[test]
fn d8_b_last_nanosecond_is_waited_for_and_never_dropped() {
    let mut world = world(Some(5), Some(("Completed", ago(5))));
    for (offset, deleted) in [(-1, false), (0, true), (1, true)] {
        world.now = now() + SignedDuration::from_nanos(offset);
        let plan = world.plan();
        assert_eq!(deletes(&plan), deleted, "{offset}");
        assert_eq!(
            plan.requeue_after,
            (!deleted).then_some(Duration::from_nanos(1))
        );
    }
}

#[test]
fn extreme_times_do_not_overflow() {
    assert_eq!(
        judge(Some(i32::MAX), Some(("Failed", Timestamp::MAX))).map(|_| ()),
        Ok(())
    );
    assert_eq!(
        judge(Some(-1), Some(("Failed", now()))),
        Ok(Verdict::Delete)
    );
}

#[test]
fn finished_jobset_deletes_what_runs_and_previous_jobs() {
    let world = world(Some(60), Some(("Failed", now())))
        .with_status(|s| s.restarts = 1)
        .jobs([
            crate::fixtures::JobExt::attempt(job("a", 0), 1),
            job("a", 1),
        ]);
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::DeleteActive), ["test-jobset-a-0"]);
    assert_eq!(
        names(&plan, StepKind::DeletePrevious),
        ["test-jobset-a-1"],
        "b: previous too"
    );
    assert_eq!(plan.requeue_after, Some(Duration::from_mins(1)));
}

#[test]
fn no_status_write_beside_the_deletion() {
    let mut world = world(Some(0), Some(("Failed", now())));
    world
        .jobset
        .status
        .as_mut()
        .unwrap()
        .replicated_jobs_status
        .clear();
    let plan = world.plan();
    assert!(deletes(&plan) && plan.status.is_none() && plan.events.is_empty());
}
