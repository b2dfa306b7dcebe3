use jobset_api::JobSetStatus;
use serde_json::{Value, json};

use super::*;
use crate::buckets::Buckets;
use crate::fixtures::{JobExt, World, conditions, job, jobset, names, now, reasons, rjob, triples};
use crate::model::{StepKind, Terminal};

fn targeted(list: &[&str], name: Option<&str>) -> bool {
    let list: Vec<String> = list.iter().map(|s| (*s).to_owned()).collect();
    Targets::new(&list).include(name)
}

#[test]
fn sm1_no_targets_match_any_job() {
    assert!(targeted(&[], Some("a")));
    assert!(targeted(&[], None));
}

#[test]
fn sm2_targeted_job_matches() {
    assert!(targeted(&["a", "b"], Some("b")));
}

#[test]
fn sm3_other_job_does_not_match() {
    assert!(!targeted(&["a"], Some("b")));
    assert!(!targeted(&["a"], None));
}

#[test]
fn sr1_to_sr3_replicated_jobs_match_by_name() {
    assert!(targeted(&[], Some("a")), "sr1");
    assert!(targeted(&["a"], Some("a")), "sr2");
    assert!(!targeted(&["a"], Some("b")), "sr3");
}

fn four(policy: Value) -> World {
    let roles: Vec<Value> = (1..=4).map(|i| rjob(&format!("r{i}"), i)).collect();
    World::new(json!({ "successPolicy": policy, "replicatedJobs": roles }))
}

fn all_of(list: &[&str]) -> Value {
    json!({ "operator": "All", "targetReplicatedJobs": list })
}

fn matched(policy: Value, roles: [&str; 2]) -> i64 {
    let world = four(policy).jobs(roles.map(|role| job(role, 0).succeeded()));
    let mut draft = Draft::new(
        JobSetStatus::default(),
        crate::PlanOptions::default(),
        now(),
    );
    let roles = Roles::of(&world.jobset);
    let buckets = Buckets::sort(
        &world.observed(),
        &roles,
        &JobSetStatus::default(),
        false,
        &mut draft,
    );
    matching(&world.jobset.spec, &buckets.successful, &mut draft)
}

#[test]
fn sn1_to_sn4_matching_jobs() {
    assert_eq!(matched(all_of(&["r1", "r2"]), ["r1", "r3"]), 1, "sn1");
    assert_eq!(matched(all_of(&["r1", "r2"]), ["r1", "r2"]), 2, "sn2");
    assert_eq!(matched(all_of(&["r1", "r2"]), ["r3", "r4"]), 0, "sn3");
    assert_eq!(matched(all_of(&[]), ["r1", "r4"]), 2, "sn4");
}

fn need(policy: Value) -> i64 {
    let js = four(policy).jobset;
    needed(&js.spec, &Roles::of(&js))
}

#[test]
fn se1_any_needs_one() {
    assert_eq!(need(json!({ "operator": "Any" })), 1);
}

#[test]
fn se2_all_needs_the_targets() {
    assert_eq!(need(all_of(&["r1", "r2"])), 3);
}

#[test]
fn se3_all_needs_only_the_targets() {
    assert_eq!(need(all_of(&["r1", "r3"])), 4);
}

#[test]
fn b_absent_policy_means_all_of_everything() {
    let js = jobset(json!({ "replicatedJobs": [rjob("a", 2), rjob("b", 1)] }));
    assert_eq!(needed(&js.spec, &Roles::of(&js)), 3);
}

#[test]
fn completing_sets_condition_state_and_event_and_creates_nothing() {
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 1), rjob("b", 0)] }))
        .jobs([job("a", 0).succeeded()]);
    let plan = world.plan();
    assert!(plan.steps.is_empty());
    assert_eq!(plan.terminal, Some(Terminal::Completed));
    assert_eq!(
        conditions(&plan),
        triples(&[("Completed", "True", "AllJobsCompleted")])
    );
    assert_eq!(plan.status.as_ref().unwrap().terminal_state, "Completed");
    assert_eq!(reasons(&plan), ["AllJobsCompleted"]);
}

#[test]
fn any_completes_although_others_run_and_they_are_deleted_afterwards() {
    let spec = json!({ "successPolicy": { "operator": "Any" }, "replicatedJobs": [rjob("a", 3)] });
    let world = World::new(spec).jobs([job("a", 0).succeeded(), job("a", 1)]);
    let plan = world.plan();
    assert!(
        plan.steps.is_empty(),
        "neither deletes nor creates in the same plan"
    );
    let world = world.with_status(|status| *status = plan.status.unwrap());
    let plan = world.plan();
    assert_eq!(names(&plan, StepKind::DeleteActive), ["test-jobset-a-1"]);
    assert_eq!(plan.terminal, None, "counted once");
}

#[test]
fn restarting_condition_is_closed_on_completion() {
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 1)] }))
        .jobs([job("a", 0).succeeded()])
        .with_status(|status| {
            let c = crate::fixtures::condition("RestartingJobSet", "True", "R", now());
            status.conditions.push(c);
        });
    let plan = world.plan();
    assert_eq!(
        conditions(&plan),
        triples(&[
            ("RestartingJobSet", "False", "JobSetCompleted"),
            ("Completed", "True", "AllJobsCompleted"),
        ])
    );
}
