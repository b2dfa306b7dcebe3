use serde_json::{Value, json};

use super::*;
use crate::fixtures::{JobExt, World, conditions, job, kinds, now, reasons, rjob, triples};
use crate::model::{Action, StepKind};

const TOPOLOGY: &str = constants::EXCLUSIVE_TOPOLOGY_KEY;
const STRATEGY: &str = constants::NODE_SELECTOR_STRATEGY_KEY;

/// A world without a Pod webhook.
fn world(spec: Value) -> World {
    let mut world = World::new(spec);
    world.pod_webhook = false;
    world
}

fn refused() -> Vec<(String, String, String)> {
    triples(&[(
        "ExclusivePlacementUnavailable",
        "True",
        "PodWebhookDisabled",
    )])
}

fn created(world: &World) -> Vec<String> {
    let plan = world.plan();
    plan.actions()
        .filter(|action| matches!(action, Action::CreateJob { .. }))
        .map(|action| action.name().to_owned())
        .collect()
}

#[test]
fn jobs_that_need_the_webhook_are_not_created_and_that_is_said_once() {
    let mut world = world(json!({ "replicatedJobs": [rjob("a", 2)] })).annotated(TOPOLOGY, "zone");
    assert!(needs_pod_webhook(&world.jobset));
    let plan = world.plan();
    assert!(created(&world).is_empty());
    assert_eq!(conditions(&plan), refused());
    assert_eq!(reasons(&plan), ["PodWebhookDisabled"]);
    assert!(plan.events[0].note.contains(STRATEGY));

    world.jobset.status = plan.status;
    assert!(world.plan().is_empty(), "said again");

    world.pod_webhook = true;
    let plan = world.plan();
    assert_eq!(created(&world).len(), 2);
    assert_eq!(reasons(&plan), ["ExclusivePlacementAvailable"]);
}

#[test]
fn node_selector_strategy_needs_no_webhook() {
    let world = world(json!({ "replicatedJobs": [rjob("a", 2)] }))
        .annotated(TOPOLOGY, "zone")
        .annotated(STRATEGY, "true");
    assert!(!needs_pod_webhook(&world.jobset));
    assert_eq!(created(&world).len(), 2);
    assert!(conditions(&world.plan()).is_empty());
}

/// Only the replicated job that asks is held back; with an order, also what comes after it.
#[test]
fn other_replicated_jobs_start() {
    let mut asking = rjob("b", 1);
    asking["template"]["metadata"] = json!({ "annotations": { TOPOLOGY: "zone" } });
    let mut spec = json!({ "replicatedJobs": [rjob("a", 1), asking, rjob("c", 1)] });
    assert_eq!(
        created(&world(spec.clone())),
        ["test-jobset-a-0", "test-jobset-c-0"]
    );
    spec["startupPolicy"] = json!({ "startupPolicyOrder": "InOrder" });
    let ordered = world(spec).jobs([job("a", 0).ready()]);
    assert!(created(&ordered).is_empty());
    let said = conditions(&ordered.plan());
    assert!(
        said.iter()
            .any(|(type_, status, _)| { type_ == "StartupPolicyInProgress" && status == "True" })
    );
}

#[test]
fn suspended_jobs_are_not_resumed_and_running_ones_left_alone() {
    let mut pods = rjob("a", 2);
    pods["template"]["spec"]["template"]["metadata"] =
        json!({ "annotations": { TOPOLOGY: "zone" } });
    let world = world(json!({ "replicatedJobs": [pods] }))
        .jobs([job("a", 0).suspended(), job("a", 1).ready()]);
    assert!(!kinds(&world.plan()).contains(&StepKind::Resume));
    assert!(world.plan().steps.is_empty());
}

#[test]
fn a_failure_is_still_decided() {
    let world = world(json!({ "replicatedJobs": [rjob("a", 1)] }))
        .annotated(TOPOLOGY, "zone")
        .jobs([job("a", 0).failed("r", "m", now())]);
    assert!(world.plan().terminal.is_some());
}
