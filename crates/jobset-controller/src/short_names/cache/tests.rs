use serde_json::{Value, json};

use super::super::tests::{pod, slice};
use super::*;
use crate::index::Cache as _;

fn watched_pod(value: Value) -> WatchedPod {
    serde_json::from_value(value).unwrap()
}

fn watched_slice(value: Value) -> WatchedSlice {
    serde_json::from_value(value).unwrap()
}

fn woken(names: &[&str]) -> Concerned {
    names.iter().map(|name| Key::new("ns", name)).collect()
}

fn pods(cache: &Cache, jobset: &str) -> Vec<String> {
    let snapshot = cache.snapshot(&Key::new("ns", jobset), jobset);
    snapshot.pods.iter().map(|pod| pod.name.clone()).collect()
}

fn slices(cache: &Cache, jobset: &str) -> (Vec<String>, Vec<String>) {
    let names = |slices: &[Arc<NameSlice>]| slices.iter().map(|s| s.name.clone()).collect();
    let snapshot = cache.snapshot(&Key::new("ns", jobset), "shared");
    (names(&snapshot.slices), names(&snapshot.others))
}

#[test]
fn a_pod_wakes_its_jobset_only_if_its_names_change() {
    let cache = Cache::default();
    let mut waiting = pod("js", "w", 0, 0);
    waiting["status"] = json!({"phase": "Pending"});
    assert_eq!(cache.apply(watched_pod(waiting)), woken(&[]));
    assert_eq!(
        cache.apply(watched_pod(pod("js", "w", 0, 0))),
        woken(&["js"])
    );
    let mut newer = pod("js", "w", 0, 0);
    newer["metadata"]["resourceVersion"] = "99".into();
    newer["status"]["containerStatuses"] = json!([]);
    assert_eq!(cache.apply(watched_pod(newer.clone())), woken(&[]));
    newer["status"]["phase"] = "Succeeded".into();
    assert_eq!(cache.apply(watched_pod(newer)), woken(&["js"]));
    assert_eq!(pods(&cache, "js"), [""; 0]);
}

#[test]
fn pods_come_change_their_jobset_and_go() {
    let cache = Cache::default();
    cache.apply(watched_pod(pod("js", "w", 0, 0)));
    let mut moved = pod("js", "w", 0, 0);
    moved["metadata"]["labels"][jobset_api::constants::JOBSET_NAME_KEY] = "other".into();
    assert_eq!(
        cache.apply(watched_pod(moved.clone())),
        woken(&["js", "other"])
    );
    assert_eq!(
        (pods(&cache, "js").len(), pods(&cache, "other").len()),
        (0, 1)
    );
    assert_eq!(cache.delete(watched_pod(moved)), woken(&["other"]));
    cache.apply(watched_pod(pod("js", "w", 0, 0)));
    let list = vec![
        watched_pod(pod("js", "w", 0, 1)),
        watched_pod(pod("b", "w", 0, 0)),
    ];
    assert_eq!(cache.replace(list), woken(&["js", "b"]));
    assert_eq!(pods(&cache, "js"), ["js-w-0-1-x"]);
    let nothing = Vec::<WatchedPod>::new();
    assert_eq!(cache.replace(nothing), woken(&["js", "b"]));
    assert!(lock(&cache.state).pods.is_empty() && lock(&cache.state).jobsets.is_empty());
}

#[test]
fn a_slice_never_goes_back() {
    let cache = Cache::default();
    let at = |revision: u64| watched_slice(slice("s", "js", "js", revision));
    assert_eq!(cache.apply(at(5)), woken(&["js"]));
    assert_eq!(cache.apply(at(4)), woken(&[]));
    cache.wrote(at(7));
    // The echo of the own write, and what came before it.
    assert_eq!(cache.apply(at(6)), woken(&[]));
    assert_eq!(cache.apply(at(7)), woken(&[]));
    assert_eq!(cache.delete(at(8)), woken(&["js"]));
    // An answer that the watch has overtaken.
    cache.wrote(at(7));
    assert_eq!(slices(&cache, "js").0, [""; 0]);
    let state = lock(&cache.state);
    assert!(state.of_jobset.is_empty() && state.of_service.is_empty());
}

#[test]
fn only_the_incarnation_that_is_meant_goes() {
    let cache = Cache::default();
    cache.apply(watched_slice(slice("s", "js", "js", 5)));
    cache.gone("ns", "s", "another");
    assert_eq!(slices(&cache, "js").0, ["s"]);
    let mut other = slice("s", "js", "js", 6);
    other["metadata"]["uid"] = "another".into();
    assert_eq!(cache.delete(watched_slice(other)), woken(&[]));
    cache.gone("ns", "s", "uid-s");
    assert_eq!(slices(&cache, "js").0, [""; 0]);
}

#[test]
fn jobsets_that_share_a_service_know_of_each_other() {
    let cache = Cache::default();
    cache.apply(watched_slice(slice("a-0", "a", "shared", 1)));
    assert_eq!(
        cache.apply(watched_slice(slice("b-0", "b", "shared", 2))),
        woken(&["a", "b"])
    );
    let strings = |list: [&str; 1]| list.map(str::to_owned).to_vec();
    assert_eq!(slices(&cache, "a"), (strings(["a-0"]), strings(["b-0"])));
    assert_eq!(slices(&cache, "c").1.len(), 2);
}

#[test]
fn a_slice_is_found_by_its_owner_and_without_one_by_its_label() {
    let cache = Cache::default();
    let mut relabelled = slice("a-0", "a", "a", 1);
    relabelled["metadata"]["labels"][jobset_api::constants::JOBSET_NAME_KEY] = "b".into();
    cache.apply(watched_slice(relabelled));
    assert_eq!(slices(&cache, "a").0, ["a-0"]);
    let mut orphan = slice("b-0", "b", "b", 2);
    orphan["metadata"]["ownerReferences"] = json!([]);
    cache.apply(watched_slice(orphan));
    assert_eq!(slices(&cache, "b").0, ["b-0"]);
    let list = vec![watched_slice(slice("c-0", "c", "c", 3))];
    assert_eq!(cache.replace(list), woken(&["a", "b", "c"]));
}
