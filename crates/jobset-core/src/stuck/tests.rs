use jobset_api::recovery::FORCE_DELETE_PODS_KEY;
use serde_json::json;

use super::*;
use crate::fixtures::{JobExt, World, ago, job, names, now, rjob};
use crate::model::StepKind;

/// A Pod that should have gone so many seconds ago.
fn pod(name: &str, node: &str, overdue: Option<i64>) -> ChildPod {
    ChildPod {
        name: name.to_owned(),
        uid: format!("{name}-uid"),
        job_uid: Some("test-jobset-a-0-uid".to_owned()),
        node: Some(node.to_owned()),
        deletion: overdue.map(ago),
        ..ChildPod::default()
    }
}

/// A Job of an earlier attempt that waits for its Pods to go.
fn world(pods: impl IntoIterator<Item = ChildPod>) -> World {
    World::new(json!({ "replicatedJobs": [rjob("a", 1)] }))
        .annotated(FORCE_DELETE_PODS_KEY, "after=5m")
        .status(json!({ "restarts": 1 }))
        .jobs([job("a", 0).deleting()])
        .pods(pods)
}

fn removed(world: &World) -> Vec<String> {
    let plan = world.plan();
    names(&plan, StepKind::RemovePods)
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_overdue_pod_on_a_dead_node_is_removed() {
    let mut world = world([pod("p", "n", Some(300)), pod("q", "m", Some(300))]);
    let asked = nodes_in_question(&world.observed(), now());
    assert_eq!(asked.into_iter().collect::<Vec<_>>(), ["m", "n"]);
    world.dead_nodes = vec!["n".to_owned()];
    assert_eq!(removed(&world), ["p"]);
    assert_eq!(
        world.plan().requeue_after,
        Some(LOOK_AGAIN),
        "the other node may die yet"
    );
    assert!(world.plan().steps[0].continue_on_error);
}

#[test]
fn a_pod_in_its_time_is_waited_for() {
    for (overdue, left) in [(299, 1), (0, 300), (-30, 330)] {
        let mut world = world([pod("p", "n", Some(overdue))]);
        world.dead_nodes = vec!["n".to_owned()];
        assert!(nodes_in_question(&world.observed(), now()).is_empty());
        assert!(removed(&world).is_empty());
        assert_eq!(world.plan().requeue_after, Some(Duration::from_secs(left)));
    }
}

#[test]
fn living_and_foreign_pods_and_other_jobsets_are_left_alone() {
    let stranger = ChildPod {
        job_uid: Some("other".to_owned()),
        ..pod("p", "n", Some(999))
    };
    let mut world = world([pod("p", "n", None), stranger]);
    world.dead_nodes = vec!["n".to_owned()];
    assert!(removed(&world).is_empty());
    let mut plain = World::new(json!({ "replicatedJobs": [rjob("a", 1)] }))
        .jobs([job("a", 0).deleting()])
        .pods([pod("p", "n", Some(999))]);
    plain.dead_nodes = vec!["n".to_owned()];
    assert!(removed(&plain).is_empty());
    assert!(nodes_in_question(&plain.observed(), now()).is_empty());
}

#[test]
fn a_finished_jobset_gets_rid_of_them_too() {
    let mut world = world([pod("p", "n", Some(300))]).with_status(|status| {
        let c = crate::fixtures::condition("Failed", "True", "R", ago(9));
        status.conditions.push(c);
    });
    world.dead_nodes = vec!["n".to_owned()];
    assert_eq!(removed(&world), ["p"]);
}
