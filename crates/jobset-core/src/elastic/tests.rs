use jobset_api::Feature;
use serde_json::{Value, json};

use crate::fixtures::{JobExt, World, job, kinds, names, now, rjob};
use crate::model::{Action, ChildJob, StepKind};

fn role(parallelism: impl Into<Value>, completions: impl Into<Value>) -> Value {
    let mut role = rjob("a", 1);
    role["template"]["spec"]["parallelism"] = parallelism.into();
    role["template"]["spec"]["completions"] = completions.into();
    role
}

fn sized(parallelism: Option<i32>, completions: Option<i32>) -> ChildJob {
    ChildJob {
        parallelism,
        completions,
        ..job("a", 0)
    }
}

fn world(role: Value, job: ChildJob) -> World {
    let mut world = World::new(json!({ "replicatedJobs": [role] })).jobs([job]);
    world.options.gates = world.options.gates.with(Feature::ElasticJobSet, true);
    world
}

/// Pods of every patch.
fn patches(world: &World) -> Vec<i32> {
    let plan = world.plan();
    let pods = |action: &Action| match action {
        Action::ScaleJob { pods, .. } => Some(*pods),
        _ => None,
    };
    plan.actions().filter_map(pods).collect()
}

#[test]
fn es1_size_as_wanted() {
    assert!(patches(&world(role(2, 2), sized(Some(2), Some(2)))).is_empty());
}

#[test]
fn es2_both_changed() {
    let world = world(role(8, 8), sized(Some(2), Some(2)));
    assert_eq!(patches(&world), [8]);
    assert_eq!(
        Action::scale_patch("u", 8),
        json!({ "metadata": { "uid": "u" }, "spec": { "parallelism": 8, "completions": 8 } })
    );
}

#[test]
fn es3_only_parallelism_changed() {
    assert!(patches(&world(role(8, 2), sized(Some(2), Some(2)))).is_empty());
}

#[test]
fn es4_only_completions_changed() {
    assert!(patches(&world(role(2, 8), sized(Some(2), Some(2)))).is_empty());
}

#[test]
fn es5_gate_off() {
    let mut world = world(role(8, 8), sized(Some(2), Some(2)));
    world.options.gates = world.options.gates.with(Feature::ElasticJobSet, false);
    assert!(world.plan().steps.is_empty());
}

#[test]
fn d14_b_template_without_size_makes_no_patches() {
    // The API server fills in 1 on the Job; the template never says so.
    let absent = || role(Value::Null, Value::Null);
    for (parallelism, completions) in [(None, None), (Some(1), Some(1)), (Some(1), None)] {
        assert!(patches(&world(absent(), sized(parallelism, completions))).is_empty());
    }
    // A work queue has no completions, and keeps its size.
    assert!(patches(&world(role(3, Value::Null), sized(Some(3), None))).is_empty());
}

#[test]
fn finished_outdated_and_terminating_jobs_keep_their_size() {
    let job = || sized(Some(2), Some(2));
    for job in [
        job().succeeded(),
        job().failed("r", "m", now()),
        job().deleting(),
    ] {
        assert!(patches(&world(role(8, 8), job)).is_empty());
    }
    let previous = world(role(8, 8), job()).status(json!({ "restarts": 1 }));
    assert!(patches(&previous).is_empty());
}

#[test]
fn suspended_jobs_are_scaled_too_and_before_others_are_created() {
    let mut world = world(role(8, 8), sized(Some(2), Some(2)).suspended());
    world.jobset.spec.suspend = Some(true);
    world.jobset.spec.replicated_jobs[0].replicas = Some(2);
    let plan = world.plan();
    assert_eq!(kinds(&plan), [StepKind::Scale, StepKind::CreateJobs]);
    assert_eq!(names(&plan, StepKind::Scale), ["test-jobset-a-0"]);
    assert!(plan.steps[0].continue_on_error);
}

#[test]
fn job_of_an_unknown_replicated_job_is_left_alone() {
    let stranger = ChildJob {
        replicated_job: Some("x".to_owned()),
        ..sized(Some(2), Some(2))
    };
    assert!(patches(&world(role(8, 8), stranger)).is_empty());
}
