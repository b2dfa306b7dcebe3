use serde_json::json;

use crate::fixtures::{JobExt, World, job, kinds, rjob};
use crate::model::{ServiceState, StepKind};

fn type_status(status: Option<&jobset_api::JobSetStatus>) -> Vec<(String, String)> {
    let status = status.cloned().unwrap_or_default();
    status
        .conditions
        .into_iter()
        .map(|c| (c.type_, c.status))
        .collect()
}

#[test]
fn all_succeeded_is_the_plan_itself() {
    let world = World::new(json!({ "suspend": true, "replicatedJobs": [rjob("a", 2)] }))
        .jobs([job("a", 0)]);
    let plan = world.plan();
    let settled = plan.settle(|_| true);
    assert_eq!(settled.status, plan.status);
    assert_eq!(settled.events, plan.events);
    assert_eq!(settled.terminal, plan.terminal);
}

#[test]
fn b_status_counts_are_written_although_creation_failed() {
    let world = World::new(json!({
        "startupPolicy": { "startupPolicyOrder": "InOrder" },
        "replicatedJobs": [rjob("a", 2)],
    }))
    .jobs([job("a", 0).ready()]);
    let plan = world.plan();
    assert_eq!(kinds(&plan), [StepKind::CreateJobs]);
    assert!(!type_status(plan.status.as_ref()).is_empty());

    let settled = plan.settle(|_| false);
    let status = settled.status.unwrap();
    assert_eq!(status.replicated_jobs_status[0].ready, 1);
    assert!(
        status.conditions.is_empty(),
        "startup progress needs the creation"
    );
    assert!(settled.events.is_empty());
}

#[test]
fn d7_b_suspend_is_not_starved_by_creation_errors() {
    let mut world = World::new(json!({
        "suspend": true,
        "network": { "enableDNSHostnames": true },
        "volumeClaimPolicies": [{ "templates": [{ "metadata": { "name": "v" } }] }],
        "replicatedJobs": [rjob("a", 2)],
    }))
    .jobs([job("a", 0).ready()]);
    world.service = ServiceState::Missing;
    let plan = world.plan();
    assert_eq!(
        kinds(&plan),
        [
            StepKind::Suspend,
            StepKind::Service,
            StepKind::Claims,
            StepKind::CreateJobs
        ]
    );
    let settled = plan.settle(|step| step == 0);
    assert_eq!(
        type_status(settled.status.as_ref()),
        [("Suspended".to_owned(), "True".to_owned())]
    );
    assert_eq!(settled.events.len(), 1);
    // The other way round: what cannot be suspended is not called suspended.
    assert!(type_status(plan.settle(|step| step != 0).status.as_ref()).is_empty());
}

#[test]
fn resumed_only_if_every_resume_succeeded() {
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 1)] }))
        .jobs([job("a", 0).suspended()])
        .with_status(|status| {
            let c = crate::fixtures::condition("Suspended", "True", "R", crate::fixtures::ago(9));
            status.conditions.push(c);
        });
    let plan = world.plan();
    assert_eq!(kinds(&plan), [StepKind::Resume]);
    assert_eq!(type_status(plan.status.as_ref())[0].1, "False");
    assert_eq!(
        type_status(plan.settle(|_| false).status.as_ref())[0].1,
        "True"
    );
}

#[test]
fn failure_decision_does_not_wait_for_deletions() {
    let world = World::new(json!({ "replicatedJobs": [rjob("a", 2)] }))
        .status(json!({ "restarts": 1 }))
        .jobs([
            job("a", 0),
            job("a", 1)
                .attempt(1)
                .failed("r", "m", crate::fixtures::now()),
        ]);
    let plan = world.plan();
    assert_eq!(kinds(&plan), [StepKind::DeletePrevious]);
    assert!(plan.steps[0].continue_on_error);
    let settled = plan.settle(|_| false);
    assert_eq!(settled.terminal, Some(crate::Terminal::Failed));
    assert_eq!(settled, plan.settle(|_| true));
}

#[test]
fn d6_b_terminal_is_told_with_the_status_that_makes_it_so() {
    let world =
        World::new(json!({ "replicatedJobs": [rjob("a", 1)] })).jobs([job("a", 0).succeeded()]);
    let plan = world.plan();
    assert!(plan.terminal.is_some() && plan.status.is_some());
    // After the write: not again.
    let world = world.with_status(|status| *status = plan.status.unwrap());
    assert!(world.plan().terminal.is_none());
}
