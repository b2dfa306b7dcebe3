use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::fixtures::{JobExt, World, conditions, job, kinds, now, reasons, rjob, triples};
use crate::model::{ChildJob, Plan, ServiceState, StepKind};

fn world() -> World {
    World::new(json!({ "replicatedJobs": [rjob("a", 2)] }))
}

#[test]
fn deleted_jobset_is_left_alone() {
    let mut world = world().jobs([job("a", 0)]);
    world.jobset.metadata.deletion_timestamp = Some(Time(now()));
    assert_eq!(world.plan(), Plan::default());
}

#[test]
fn jobset_of_another_controller_is_left_alone() {
    let mut world = world().jobs([job("a", 0).failed("r", "m", now())]);
    world.jobset.spec.managed_by = Some("kueue.x-k8s.io/multikueue".to_owned());
    world.jobset.spec.ttl_seconds_after_finished = Some(0);
    assert_eq!(world.plan(), Plan::default());
    world.jobset.spec.managed_by = Some("jobset.sigs.k8s.io/jobset-controller".to_owned());
    assert!(!world.plan().is_empty());
}

#[test]
fn first_plan_creates_everything_and_writes_the_counts() {
    let mut world = World::new(json!({
        "network": { "enableDNSHostnames": true },
        "volumeClaimPolicies": [{ "templates": [{ "metadata": { "name": "v" } }] }],
        "replicatedJobs": [rjob("a", 2)],
    }));
    world.service = ServiceState::Missing;
    let plan = world.plan();
    assert_eq!(
        kinds(&plan),
        [StepKind::Service, StepKind::Claims, StepKind::CreateJobs]
    );
    let status = plan.status.unwrap();
    assert_eq!(status.replicated_jobs_status.len(), 1);
    assert!(status.conditions.is_empty());
    assert!(plan.events.is_empty());
}

#[test]
fn ready_again_ends_the_restart() {
    let world = world()
        .status(json!({ "restarts": 1 }))
        .with_status(|s| {
            s.conditions.push(crate::fixtures::condition(
                "RestartingJobSet",
                "True",
                "R",
                now(),
            ));
        })
        .jobs([
            job("a", 0).attempt(1).ready(),
            job("a", 1).attempt(1).succeeded(),
        ]);
    let plan = world.plan();
    assert_eq!(
        conditions(&plan),
        triples(&[("RestartingJobSet", "False", "JobsReady")])
    );
    assert_eq!(reasons(&plan), ["JobsReady"]);
}

#[test]
fn never_restarted_jobset_gets_no_restart_condition() {
    let plan = world()
        .jobs([job("a", 0).ready(), job("a", 1).ready()])
        .plan();
    assert!(conditions(&plan).is_empty());
}

#[test]
fn empty_jobset_is_stable_and_never_completes() {
    let world = World::new(json!({}));
    assert!(world.plan().is_empty());
}

#[test]
fn child_deleted_by_a_user_is_recreated_once_gone() {
    let plan = world().jobs([job("a", 0).deleting(), job("a", 1)]).plan();
    assert!(plan.steps.is_empty());
    let plan = world().jobs([job("a", 1)]).plan();
    assert_eq!(kinds(&plan), [StepKind::CreateJobs]);
}

#[test]
fn in_place_restart_without_its_gate_falls_back_to_recreation_with_a_warning() {
    let mut world = world();
    world.jobset.spec.failure_policy =
        serde_json::from_value(json!({ "restartStrategy": "InPlaceRestart" })).unwrap();
    let plan = world.plan();
    assert_eq!(plan.warnings.len(), 1);
    assert_eq!(kinds(&plan), [StepKind::CreateJobs]);
    assert!(!crate::wants_pods(&world.jobset, &world.options));
}

/// Work must grow in proportion to the number of Jobs, in every phase of life.
#[test]
fn work_is_linear_in_the_number_of_jobs() {
    type Phase = (&'static str, fn(usize) -> World);
    let phases: [Phase; 7] = [
        ("steady", |n| filled(n, JobExt::ready)),
        ("half missing", |n| {
            let mut world = filled(n, |job| job);
            world.jobs.truncate(n / 2);
            world
        }),
        ("suspending", |n| {
            let mut world = filled(n, JobExt::ready);
            world.jobset.spec.suspend = Some(true);
            world
        }),
        ("resuming", |n| filled(n, JobExt::suspended)),
        ("restarting", |n| {
            filled(n, |job| job).with_status(|s| s.restarts = 1)
        }),
        ("completing", |n| filled(n, JobExt::succeeded)),
        ("failing", |n| filled(n, |job| job.failed("r", "m", now()))),
    ];
    for (name, make) in phases {
        let mut per_job = Vec::new();
        for n in [100, 1_000, 10_000] {
            let work = make(n).work();
            println!("{name:>12} {n:>6} jobs: {:>7} units {work:?}", work.total());
            per_job.push(work.total() as f64 / n as f64);
        }
        // Twelve roles whatever the size, and at most seven units for each Job.
        assert!(
            per_job.iter().all(|units| *units < 8.0),
            "{name}: {per_job:?}"
        );
        assert!(per_job[2] <= per_job[0] * 1.1, "{name}: {per_job:?}");
    }
}

/// A JobSet of ten roles with `n` Jobs altogether.
fn filled(n: usize, state: fn(ChildJob) -> ChildJob) -> World {
    let roles: Vec<_> = (0..10)
        .map(|i| rjob(&format!("r{i}"), (n / 10) as i32))
        .collect();
    let jobs =
        (0..10).flat_map(|role| (0..n / 10).map(move |i| state(job(&format!("r{role}"), i))));
    World::new(json!({
        "failurePolicy": { "maxRestarts": 3, "rules": [
            { "name": "r", "action": "RestartJobSet", "onJobFailureReasons": ["none"] },
        ] },
        "replicatedJobs": roles,
    }))
    .jobs(jobs)
}

fn doomed(index: usize) -> ChildJob {
    let failed = job("a", index).ready().failed("r", "m", now());
    ChildJob {
        failing: failed.outcome.clone(),
        outcome: None,
        ..failed
    }
}

#[test]
fn a_doomed_job_counts_as_failed_only_if_so_configured() {
    let mut world = world().jobs([doomed(0), job("a", 1).ready()]);
    assert_eq!(world.buckets()[1].len(), 2);
    assert!(conditions(&world.plan()).is_empty());
    world.options.fast_failure_detection = true;
    let plan = world.plan();
    assert_eq!(
        conditions(&plan),
        triples(&[("Failed", "True", "FailedJobs")])
    );
    let status = &plan.status.unwrap().replicated_jobs_status[0];
    assert_eq!((status.failed, status.ready), (1, 1));
    assert_eq!(plan.decisions.len(), 1);
    assert_eq!(plan.decisions[0].reason, "r");
}

#[test]
fn a_lean_suspended_jobset_gets_claims_and_nothing_else() {
    let mut world = World::new(json!({
        "suspend": true,
        "network": { "enableDNSHostnames": true },
        "volumeClaimPolicies": [{ "templates": [{ "metadata": { "name": "v" } }] }],
        "replicatedJobs": [rjob("a", 2)],
    }));
    world.service = ServiceState::Missing;
    world.options.lean_suspend = true;
    let plan = world.plan();
    assert_eq!(kinds(&plan), [StepKind::Claims]);
    assert_eq!(
        conditions(&plan),
        triples(&[("Suspended", "True", "SuspendedJobs")])
    );
    // One that has run has Jobs, which stay.
    let ran = world.jobs([job("a", 0).suspended()]);
    assert_eq!(
        kinds(&ran.plan()),
        [StepKind::Service, StepKind::Claims, StepKind::CreateJobs]
    );
    let mut resumed = ran.jobs([]);
    resumed.jobset.spec.suspend = Some(false);
    assert_eq!(
        kinds(&resumed.plan()),
        [StepKind::Service, StepKind::Claims, StepKind::CreateJobs]
    );
}

#[test]
fn i11_a_jobset_managed_elsewhere_is_only_cleaned_up_and_only_if_so_configured() {
    let mut world = world().jobs([job("a", 0)]).with_status(|status| {
        let done = crate::fixtures::condition("Completed", "True", "R", crate::fixtures::ago(9));
        status.conditions.push(done);
    });
    world.jobset.spec.managed_by = Some("example.com/other".to_owned());
    world.jobset.spec.ttl_seconds_after_finished = Some(9);
    assert_eq!(world.plan(), Plan::default());
    world.options.clean_up_managed_elsewhere = true;
    let plan = world.plan();
    assert_eq!(kinds(&plan), [StepKind::DeleteJobSet]);
    assert!(plan.status.is_none());
    // Not before its time, and never an unfinished one.
    world.jobset.spec.ttl_seconds_after_finished = Some(10);
    let plan = world.plan();
    assert!(plan.steps.is_empty() && plan.status.is_none());
    assert_eq!(plan.requeue_after.map(|wait| wait.as_secs()), Some(1));
    world.jobset.status = None;
    assert_eq!(world.plan(), Plan::default());
}
