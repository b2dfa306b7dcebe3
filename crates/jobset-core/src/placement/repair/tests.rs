use jobset_api::constants;
use serde_json::Value;

use super::super::PlacementView as _;
use super::super::view::{KEY, View, ended, follower, leader, placed, terminating};
use super::*;

const TWO: [(&str, Option<&str>); 3] =
    [("node-a", Some("a")), ("node-b", Some("b")), ("bare", None)];

fn judge(pods: &[Value], contested: bool) -> Repair {
    let view = View {
        nodes: TWO.into(),
        ..View::default()
    };
    let pods: Vec<_> = pods.iter().map(placed).collect();
    repair(&pods, |node, key| view.topology(node, key), |_| contested)
}

/// Names of the Pods to delete.
#[track_caller]
fn deleted(pods: &[Value]) -> Vec<String> {
    match judge(pods, false) {
        Repair::Delete(pods) => pods.iter().map(|pod| pod.name.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

fn name(index: usize) -> String {
    format!("js-rjob-0-{index}-fffff")
}

fn by_node_selector(mut pod: Value) -> Value {
    pod["metadata"]["annotations"][constants::NODE_SELECTOR_STRATEGY_KEY] = "".into();
    pod
}

/// PV2.
#[test]
fn followers_in_their_leaders_domain_stay() {
    let pods = [
        leader("l", "u", Some("node-a")),
        follower(1, "u", Some("a")),
        follower(2, "u", Some("a")),
    ];
    assert_eq!(judge(&pods, true), Repair::Nothing);
}

/// PV3, PV4 (a selector without the topology), PV5, PF1.
#[test]
fn only_mismatching_followers_are_deleted() {
    let pods = [
        leader("l", "u", Some("node-a")),
        follower(1, "u", Some("a")),
        follower(2, "u", Some("b")),
        follower(3, "u", None),
    ];
    assert_eq!(deleted(&pods), [name(2), name(3)]);
}

#[test]
fn a_leader_replaced_on_another_node_takes_followers_with_the_old_domain_along() {
    let pods = [
        terminating(leader("old", "u", Some("node-a"))),
        leader("new", "u", Some("node-b")),
        follower(1, "u", Some("a")),
        // Admitted between: it has the new domain already.
        follower(2, "u", Some("b")),
    ];
    assert_eq!(deleted(&pods), [name(1)]);
}

#[test]
fn a_follower_admitted_while_the_leader_ends_waits_for_the_new_leader() {
    let old = terminating(leader("old", "u", Some("node-a")));
    let late = follower(1, "u", Some("a"));
    assert_eq!(judge(&[old.clone(), late.clone()], false), Repair::Nothing);
    let pods = [old, leader("new", "u", None), late];
    assert_eq!(judge(&pods, false), Repair::Waiting);
}

#[test]
fn a_failed_leader_is_no_leader() {
    let pods = [
        ended(leader("old", "u", Some("node-a")), "Failed"),
        leader("new", "u", Some("node-b")),
        follower(1, "u", Some("b")),
    ];
    assert_eq!(judge(&pods, false), Repair::Nothing);
}

#[test]
fn a_finished_leader_leaves_its_followers_alone() {
    for phase in ["Succeeded", "Failed"] {
        let pods = [
            ended(leader("l", "u", Some("node-a")), phase),
            follower(1, "u", Some("b")),
            follower(2, "u", None),
        ];
        assert_eq!(judge(&pods, true), Repair::Nothing);
    }
}

#[test]
fn two_leaders_that_both_have_a_place_are_the_job_controllers_business() {
    let pods = [
        leader("one", "u", Some("node-a")),
        leader("two", "u", Some("node-b")),
        follower(1, "u", Some("b")),
    ];
    assert_eq!(judge(&pods, true), Repair::Waiting);
}

#[test]
fn of_two_leaders_the_one_with_a_place_counts() {
    let pods = [
        leader("one", "u", None),
        leader("two", "u", Some("node-b")),
        follower(1, "u", Some("a")),
    ];
    assert_eq!(deleted(&pods), [name(1)]);
}

/// D10.
#[test]
fn ending_and_ended_followers_are_ignored() {
    let pods = [
        leader("l", "u", Some("node-a")),
        terminating(follower(1, "u", Some("b"))),
        ended(follower(2, "u", Some("b")), "Succeeded"),
        ended(follower(3, "u", Some("b")), "Failed"),
        follower(4, "u", Some("a")),
    ];
    assert_eq!(judge(&pods, false), Repair::Nothing);
}

/// D9.
#[test]
fn pods_placed_by_node_selector_are_ignored() {
    let pods = [
        by_node_selector(leader("l", "u", Some("node-a"))),
        by_node_selector(follower(1, "u", None)),
    ];
    assert_eq!(judge(&pods, true), Repair::Nothing);
    let pods = [
        leader("l", "u", Some("node-a")),
        by_node_selector(follower(1, "u", None)),
    ];
    assert_eq!(judge(&pods, true), Repair::Nothing);
}

/// PV6, PV7.
#[test]
fn a_deleted_node_says_nothing_about_followers() {
    let gone = leader("l", "u", Some("gone"));
    let Repair::Unknown(why) = judge(&[gone.clone(), follower(1, "u", Some("a"))], false) else {
        panic!("judged without knowing the node");
    };
    assert!(why.contains("leader topology is unknown (node"), "{why}");
    assert_eq!(judge(&[gone], false), Repair::Nothing, "no followers");
}

/// PV1.
#[test]
fn a_node_without_the_label_says_nothing_about_followers() {
    let pods = [leader("l", "u", Some("bare")), follower(1, "u", Some("a"))];
    let Repair::Unknown(why) = judge(&pods, false) else {
        panic!("judged without knowing the domain");
    };
    assert!(why.contains(KEY), "{why}");
}

#[test]
fn a_relabelled_node_moves_the_followers() {
    let pods = [leader("l", "u", Some("n")), follower(1, "u", Some("a"))];
    let pods: Vec<_> = pods.iter().map(placed).collect();
    let in_domain = |domain: &str| {
        let domain = domain.to_owned();
        repair(
            &pods,
            move |_, _| NodeTopology::Domain(domain.clone()),
            |_| false,
        )
    };
    assert_eq!(in_domain("a"), Repair::Nothing);
    assert_eq!(in_domain("c"), Repair::Delete(vec![pods[1].clone()]));
}

#[test]
fn followers_whose_domain_another_job_holds_do_not_keep_their_leader_waiting() {
    let pods = [leader("l", "u", None), follower(1, "u", Some("a"))];
    assert_eq!(judge(&pods, false), Repair::Waiting);
    let pods: Vec<_> = pods.iter().map(placed).collect();
    let none = |_: &str, _: &str| NodeTopology::NoNode;
    assert_eq!(
        repair(&pods, none, |pod| pod.domain.as_deref() == Some("a")),
        Repair::Delete(vec![pods[1].clone()])
    );
    // Without a leader that waits there is nobody to make room for.
    assert_eq!(repair(&pods[1..], none, |_| true), Repair::Nothing);
}

fn of_job(mut pod: Value, job_key: &str, priority: Option<&str>) -> Value {
    pod["metadata"]["labels"][constants::JOB_KEY] = job_key.into();
    if let Some(priority) = priority {
        pod["metadata"]["labels"][constants::PRIORITY_KEY] = priority.into();
    }
    pod
}

#[test]
fn a_domain_is_held_by_a_leader_or_by_followers_without_one() {
    let view = View {
        nodes: TWO.into(),
        ..View::default()
    };
    let mine = placed(&of_job(follower(1, "u", Some("a")), "mine", Some("0")));
    let held = |pods: &[Value]| {
        let pods: Vec<_> = pods.iter().map(placed).collect();
        holds(pods.iter().map(|pod| &**pod), &mine, |node, key| {
            view.topology(node, key)
        })
    };
    let on = |mut pod: Value, node: &str| {
        pod["spec"]["nodeName"] = node.into();
        pod
    };
    let lead = |node: &str| of_job(leader("l", "v", Some(node)), "theirs", Some("0"));
    let follow = |domain: &str| of_job(follower(1, "v", Some(domain)), "theirs", Some("0"));
    for (pods, expected) in [
        (vec![lead("node-a")], true),
        (vec![lead("node-b")], false),
        (vec![lead("gone")], false),
        (vec![on(follow("a"), "node-a")], true),
        (vec![on(follow("b"), "node-b")], false),
        // Not in it yet.
        (vec![follow("a")], false),
        // Will be repaired itself.
        (vec![lead("node-b"), on(follow("a"), "node-a")], false),
        (vec![terminating(lead("node-a"))], false),
        (vec![ended(lead("node-a"), "Failed")], false),
        (vec![by_node_selector(lead("node-a"))], false),
        (vec![of_job(lead("node-a"), "theirs", Some("7"))], false),
        (vec![of_job(lead("node-a"), "mine", None)], false),
    ] {
        assert_eq!(held(&pods), expected, "{pods:?}");
    }
    let unbound = placed(&of_job(follower(1, "u", None), "mine", Some("0")));
    let pods = [placed(&lead("node-a"))];
    assert!(!holds(pods.iter().map(|pod| &**pod), &unbound, |_, _| {
        NodeTopology::Domain("a".to_owned())
    }));
}
