use serde_json::json;

use crate::fixtures::{JobExt, World, conditions, job, kinds, names, rjob, triples};
use crate::model::{ChildJob, StepKind};
use crate::{MAX_CREATIONS, plan_counted};

fn in_order() -> World {
    World::new(json!({
        "startupPolicy": { "startupPolicyOrder": "InOrder" },
        "replicatedJobs": [rjob("a", 1), rjob("b", 2)],
    }))
}

#[test]
fn in_order_creates_one_role_at_a_time() {
    let world = in_order();
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::CreateJobs), ["test-jobset-a-0"]);
    let progress = (
        "StartupPolicyInProgress",
        "True",
        "InOrderStartupPolicyInProgress",
    );
    assert_eq!(conditions(&plan), triples(&[progress]));

    // Not ready yet: nothing new.
    let plan = world.jobs([job("a", 0)]).plan();
    assert!(names(&plan, StepKind::CreateJobs).is_empty());

    let plan = in_order().jobs([job("a", 0).ready()]).plan();
    assert_eq!(
        names(&plan, StepKind::CreateJobs),
        ["test-jobset-b-0", "test-jobset-b-1"]
    );

    let all = [
        job("a", 0).ready(),
        job("b", 0).ready(),
        job("b", 1).ready(),
    ];
    let plan = in_order().jobs(all).plan();
    assert!(plan.steps.is_empty());
    let done = (
        "StartupPolicyCompleted",
        "True",
        "InOrderStartupPolicyCompleted",
    );
    assert_eq!(conditions(&plan), triples(&[done]));
}

#[test]
fn suspended_jobset_ignores_the_order_but_not_the_dependencies() {
    let mut world = in_order();
    world.jobset.spec.suspend = Some(true);
    assert_eq!(world.missing().len(), 3);
    assert!(
        !conditions(&world.plan())
            .iter()
            .any(|c| c.0.starts_with("Startup"))
    );

    let mut b = rjob("b", 1);
    b["dependsOn"] = json!([{ "name": "a", "status": "Ready" }]);
    let world = World::new(json!({ "suspend": true, "replicatedJobs": [rjob("a", 1), b] }));
    assert_eq!(world.missing(), ["test-jobset-a-0"]);
}

#[test]
fn roles_after_a_waiting_one_are_still_looked_at() {
    let mut b = rjob("b", 1);
    b["dependsOn"] = json!([{ "name": "a", "status": "Complete" }]);
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 1), b, rjob("c", 1)] }));
    assert_eq!(world.missing(), ["test-jobset-a-0", "test-jobset-c-0"]);
}

#[test]
fn extra_jobs_are_left_alone() {
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 1)] })).jobs([
        job("a", 0),
        job("a", 1),
        job("gone", 0),
    ]);
    assert!(world.plan().steps.is_empty());
}

#[test]
fn a_job_with_edited_labels_still_holds_its_name() {
    for odd in [
        ChildJob {
            job_index: None,
            ..job("a", 1)
        },
        ChildJob {
            replicated_job: Some("b".to_owned()),
            ..job("a", 1)
        },
        ChildJob {
            job_index: Some("0".to_owned()),
            ..job("a", 1)
        },
        ChildJob {
            job_index: Some("01".to_owned()),
            ..job("a", 1)
        },
    ] {
        let world = World::new(json!({ "replicatedJobs": [rjob("a", 3), rjob("b", 1)] }))
            .jobs([job("a", 0), odd]);
        assert_eq!(world.missing(), ["test-jobset-a-2", "test-jobset-b-0"]);
    }
}

#[test]
fn huge_replicas_are_created_in_portions() {
    let world = World::new(json!({ "replicatedJobs": [rjob("a", i32::MAX), rjob("b", 1)] }));
    let (plan, work) = plan_counted(&world.observed(), &world.options, world.now);
    assert_eq!(names(&plan, StepKind::CreateJobs).len(), MAX_CREATIONS);
    assert!(plan.requeue_after.is_some());
    assert!(work.total() < 10 * MAX_CREATIONS as u64, "{work:?}");

    let world = world.jobs((0..MAX_CREATIONS).map(|i| job("a", i)));
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::CreateJobs)[0], "test-jobset-a-1000");
}

#[test]
fn exactly_the_portion_leaves_nothing_over() {
    let replicas = i32::try_from(MAX_CREATIONS).unwrap();
    let world = World::new(json!({ "replicatedJobs": [rjob("a", replicas)] }));
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::CreateJobs).len(), MAX_CREATIONS);
    assert!(plan.requeue_after.is_none());
}

#[test]
fn names_that_coincide_are_created_once() {
    // js + "a-0" + 0 and js + "a" + "0-0" cannot both be; but equal role names could be stored.
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 2), rjob("a", 3)] }));
    assert_eq!(
        world.missing(),
        ["test-jobset-a-0", "test-jobset-a-1", "test-jobset-a-2"]
    );
}

#[test]
fn all_creations_are_one_step() {
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 2), rjob("b", 2)] }));
    assert_eq!(kinds(&world.plan()), [StepKind::CreateJobs]);
}

#[test]
fn negative_replicas_create_nothing() {
    let world = World::new(json!({ "replicatedJobs": [rjob("a", -5)] }));
    assert!(world.plan().steps.is_empty());
}
