use jobset_api::constants;
use serde_json::{Value, json};

use super::*;
use crate::index::Cache as _;

const KEY: &str = "rack";

pub(in crate::placement) fn pod(name: &str, revision: u64, owner: &str) -> Value {
    json!({
        "metadata": {
            "namespace": "ns", "name": name, "uid": format!("uid-{name}"),
            "resourceVersion": revision.to_string(),
            "labels": {constants::JOB_KEY: owner, constants::PRIORITY_KEY: "0"},
            "annotations": {
                constants::EXCLUSIVE_TOPOLOGY_KEY: KEY,
                constants::JOB_COMPLETION_INDEX_KEY: name.rsplit('-').nth(1).unwrap(),
            },
            "ownerReferences": [{"uid": owner, "controller": true}],
        },
    })
}

pub(in crate::placement) fn on(mut pod: Value, node: &str) -> Value {
    pod["spec"]["nodeName"] = node.into();
    pod
}

pub(in crate::placement) fn bound(mut pod: Value, domain: &str) -> Value {
    pod["spec"]["nodeSelector"] = json!({KEY: domain});
    pod
}

pub(in crate::placement) fn watched(pod: Value) -> WatchedPod {
    serde_json::from_value(pod).unwrap()
}

pub(in crate::placement) fn node(name: &str, labels: Value) -> WatchedNode {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": labels},
        "spec": {}, "status": {"images": []},
    }))
    .unwrap()
}

fn job(owner: &str) -> Concerned {
    Concerned::from([Key::new("ns", owner)])
}

fn names(cache: &Cache, prefix: &str) -> Vec<String> {
    let found = cache.pods_named("ns", prefix);
    found.iter().map(|pod| pod.name.clone()).collect()
}

/// Names of the Pods to delete.
fn wrong(cache: &Cache, owner: &str) -> Vec<String> {
    match cache.judge(&Key::new("ns", owner)) {
        Repair::Delete(pods) => pods.iter().map(|pod| pod.name.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pods_are_found_by_the_beginning_of_their_name() {
    let cache = Cache::default();
    cache.replace(vec![
        watched(pod("js-w-0-0-aaaaa", 1, "j0")),
        watched(pod("js-w-0-0-bbbbb", 1, "j0")),
        watched(pod("js-w-0-0-0-ccccc", 1, "other")),
        watched(pod("js-w-0-00-ddddd", 1, "other")),
        watched(pod("js-w-0-1-aaaaa", 1, "j0")),
    ]);
    assert_eq!(
        names(&cache, "js-w-0-0"),
        ["js-w-0-0-aaaaa", "js-w-0-0-bbbbb"]
    );
    assert_eq!(names(&cache, "js-w-0"), [""; 0]);
    assert_eq!(cache.pods_named("other", "js-w-0-0"), []);
}

#[test]
fn only_exclusive_pods_are_kept() {
    let cache = Cache::default();
    let exclusive = pod("js-w-0-0-aaaaa", 1, "j0");
    let mut plain = pod("js-w-0-0-bbbbb", 1, "j0");
    plain["metadata"]["annotations"] = json!({});
    let mut by_selector = pod("js-w-0-0-ccccc", 1, "j0");
    by_selector["metadata"]["annotations"][constants::NODE_SELECTOR_STRATEGY_KEY] = "".into();
    cache.replace(vec![
        watched(exclusive.clone()),
        watched(plain),
        watched(by_selector),
    ]);
    assert_eq!(names(&cache, "js-w-0-0"), ["js-w-0-0-aaaaa"]);
    // An edit may take it out.
    let mut edited = exclusive;
    edited["metadata"]["resourceVersion"] = "2".into();
    edited["metadata"]["annotations"] = json!({});
    assert_eq!(cache.apply(watched(edited)), job("j0"));
    assert_eq!(cache.jobs(), []);
}

#[test]
fn a_pod_never_goes_back() {
    let cache = Cache::default();
    let old = watched(pod("js-w-0-0-aaaaa", 5, "j0"));
    let new = watched(on(pod("js-w-0-0-aaaaa", 6, "j0"), "n1"));
    let node_of = |cache: &Cache| cache.pods_named("ns", "js-w-0-0")[0].node.clone();
    assert_eq!(cache.apply(old.clone()), job("j0"));
    // The answer to an own write comes first, then its echo, late.
    cache.wrote(&new);
    assert_eq!(cache.apply(old.clone()), Concerned::new());
    assert_eq!(cache.apply(new.clone()), Concerned::new());
    assert_eq!(node_of(&cache).as_deref(), Some("n1"));
    // What the watch has passed is no news, nor is what does not exist any more.
    assert_eq!(cache.delete(new.clone()), job("j0"));
    cache.wrote(&new);
    assert_eq!(names(&cache, "js-w-0-0"), [""; 0]);
}

#[test]
fn the_end_of_an_earlier_pod_does_not_take_out_its_successor() {
    let cache = Cache::default();
    cache.apply(watched(pod("js-w-0-0-aaaaa", 5, "j0")));
    let mut earlier = pod("js-w-0-0-aaaaa", 6, "j0");
    earlier["metadata"]["uid"] = "earlier".into();
    assert_eq!(cache.delete(watched(earlier)), Concerned::new());
    assert_eq!(names(&cache, "js-w-0-0"), ["js-w-0-0-aaaaa"]);
}

#[test]
fn a_list_replaces_everything() {
    let cache = Cache::default();
    cache.apply(watched(pod("js-w-0-0-aaaaa", 1, "j0")));
    cache.apply(watched(pod("js-w-1-0-aaaaa", 2, "j1")));
    let concerned = cache.replace(vec![
        watched(pod("js-w-1-0-aaaaa", 2, "j1")),
        watched(pod("js-w-2-0-aaaaa", 3, "j2")),
    ]);
    let both: Concerned = job("j0").into_iter().chain(job("j2")).collect();
    assert_eq!(concerned, both, "the unchanged one wakes nobody");
    assert_eq!(cache.jobs().len(), 2);
}

/// PL1, PL2.
#[test]
fn a_changed_owner_wakes_both_jobs() {
    let cache = Cache::default();
    cache.apply(watched(pod("js-w-0-0-aaaaa", 1, "j0")));
    let both: Concerned = job("j0").into_iter().chain(job("j1")).collect();
    assert_eq!(cache.apply(watched(pod("js-w-0-0-aaaaa", 2, "j1"))), both);
    assert_eq!(cache.jobs(), [Key::new("ns", "j1")]);
}

#[test]
fn labels_of_a_leaders_node_wake_its_job() {
    let cache = Cache::default();
    cache.apply(watched(on(pod("js-w-0-0-aaaaa", 1, "j0"), "n1")));
    cache.apply(watched(on(
        bound(pod("js-w-0-1-aaaaa", 2, "j0"), "a"),
        "n2",
    )));
    let key = Key::new("ns", "j0");
    assert!(matches!(cache.judge(&key), Repair::Unknown(_)));
    assert_eq!(cache.apply(node("n1", json!({KEY: "a"}))), job("j0"));
    assert_eq!(cache.judge(&key), Repair::Nothing);
    // A heartbeat.
    assert_eq!(cache.apply(node("n1", json!({KEY: "a"}))), Concerned::new());
    // A follower's node decides nothing.
    assert_eq!(cache.apply(node("n2", json!({KEY: "b"}))), Concerned::new());
    // Relabelled.
    assert_eq!(cache.apply(node("n1", json!({KEY: "b"}))), job("j0"));
    assert_eq!(wrong(&cache, "j0"), ["js-w-0-1-aaaaa"]);
    // Deleted.
    assert_eq!(cache.delete(node("n1", json!({}))), job("j0"));
    assert!(matches!(cache.judge(&key), Repair::Unknown(_)));
    assert_eq!(cache.topology("n1", KEY), NodeTopology::NoNode);
    // Back, as a list shows.
    let nodes = || vec![node("n1", json!({KEY: "a"})), node("n2", json!({KEY: "b"}))];
    assert_eq!(cache.replace(nodes()), job("j0"));
    assert_eq!(cache.replace(nodes()), Concerned::new());
    assert_eq!(
        cache.replace(vec![node("n2", json!({KEY: "b"}))]),
        job("j0")
    );
    // Nothing is remembered of leaders that are gone.
    cache.replace(Vec::<WatchedPod>::new());
    assert!(lock(&cache.state).leaders.is_empty());
}

#[test]
fn another_jobs_pods_contest_a_domain() {
    let cache = Cache::default();
    cache.replace(vec![
        node("n1", json!({KEY: "a"})),
        node("n2", json!({KEY: "b"})),
    ]);
    // The new leader of j0 waits, while a follower of the old one is bound to a.
    cache.apply(watched(pod("js-w-0-0-bbbbb", 1, "j0")));
    cache.apply(watched(on(
        bound(pod("js-w-0-1-aaaaa", 2, "j0"), "a"),
        "n1",
    )));
    let key = Key::new("ns", "j0");
    assert_eq!(cache.judge(&key), Repair::Waiting);
    cache.apply(watched(on(pod("js-w-1-0-aaaaa", 3, "j1"), "n2")));
    assert_eq!(cache.judge(&key), Repair::Waiting);
    cache.apply(watched(on(pod("js-w-2-0-aaaaa", 4, "j2"), "n1")));
    assert_eq!(wrong(&cache, "j0"), ["js-w-0-1-aaaaa"]);
}
