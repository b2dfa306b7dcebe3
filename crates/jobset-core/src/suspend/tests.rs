use serde_json::json;

use crate::fixtures::{JobExt, World, conditions, job, kinds, names, now, reasons, rjob, triples};
use crate::model::{Action, StepKind};

fn world() -> World {
    World::new(json!({ "suspend": true, "replicatedJobs": [rjob("a", 3)] }))
}

#[test]
fn unfinished_jobs_are_suspended_by_uid() {
    let world = world().jobs([
        job("a", 0),
        job("a", 1).suspended(),
        job("a", 2).succeeded(),
    ]);
    let plan = world.plan();
    assert_eq!(kinds(&plan), [StepKind::Suspend]);
    assert_eq!(names(&plan, StepKind::Suspend), ["test-jobset-a-0"]);
    assert_eq!(
        Action::suspend_patch("u"),
        json!({ "metadata": { "uid": "u" }, "spec": { "suspend": true } })
    );
    assert_eq!(
        conditions(&plan),
        triples(&[("Suspended", "True", "SuspendedJobs")])
    );
    assert_eq!(reasons(&plan), ["SuspendedJobs"]);
}

#[test]
fn jobset_created_suspended_gets_the_condition_at_once() {
    let plan = world().plan();
    assert_eq!(kinds(&plan), [StepKind::CreateJobs]);
    assert_eq!(
        conditions(&plan),
        triples(&[("Suspended", "True", "SuspendedJobs")])
    );
}

#[test]
fn restarting_condition_is_closed() {
    let world = world().jobs([job("a", 0)]).with_status(|status| {
        let c = crate::fixtures::condition("RestartingJobSet", "True", "R", now());
        status.conditions.push(c);
    });
    let plan = world.plan();
    let closed = ("RestartingJobSet", "False", "JobSetSuspended");
    assert_eq!(
        conditions(&plan),
        triples(&[closed, ("Suspended", "True", "SuspendedJobs")])
    );
}

#[test]
fn suspended_jobs_are_not_ready_by_decree() {
    // All ready, but suspended: the restart is not declared over as "ready".
    let jobs = (0..3).map(|i| job("a", i).ready());
    let world = world().jobs(jobs).with_status(|status| {
        let c = crate::fixtures::condition("RestartingJobSet", "True", "R", now());
        status.conditions.push(c);
    });
    assert!(!reasons(&world.plan()).contains(&"JobsReady"));
}
