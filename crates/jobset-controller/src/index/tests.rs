use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::testing;
use crate::watched::WatchedPod;

const PATIENCE: Duration = Duration::from_secs(10);

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn jobset(revision: u64) -> WatchedJobSet {
    read(testing::jobset("js", "u1", revision))
}

fn job(name: &str, uid: &str, revision: u64) -> WatchedJob {
    read(testing::job(name, uid, revision, "js", "u1"))
}

fn service(name: &str, revision: u64) -> WatchedName<Service> {
    read(json!({"metadata": {
        "name": name, "namespace": "ns", "uid": "s1", "resourceVersion": revision.to_string(),
        "ownerReferences": [{"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
            "controller": true, "name": "js", "uid": "u1"}],
    }}))
}

fn key() -> Key {
    Key::new("ns", "js")
}

fn woken() -> Concerned {
    Concerned::from([key()])
}

fn nobody() -> Concerned {
    Concerned::new()
}

/// An index in which the watch has shown the JobSet.
fn index() -> Index {
    let index = Index::default();
    assert_eq!(index.replace(vec![jobset(1)]), woken());
    index
}

fn uids(index: &Index) -> Vec<String> {
    let snapshot = index.snapshot(&key(), PATIENCE).unwrap();
    snapshot.jobs.iter().map(|job| job.uid.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_created_job_is_known_before_the_watch_shows_it() {
    let index = index();
    assert_eq!(index.wrote_job(&job("a", "1", 10)), woken());
    assert_eq!(uids(&index), ["1"]);
    assert_eq!(
        index.apply(job("a", "1", 10)),
        nobody(),
        "the echo wakes nobody"
    );
    tokio::time::advance(PATIENCE).await;
    let snapshot = index.snapshot(&key(), PATIENCE).unwrap();
    assert!(snapshot.overdue.is_empty() && snapshot.next_overdue.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_bring_a_deleted_job_back() {
    let index = index();
    index.apply(job("a", "1", 10));
    index.delete(job("a", "1", 12));
    assert_eq!(index.wrote_job(&job("a", "1", 10)), nobody());
    assert!(uids(&index).is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_job_goes_back_in_time() {
    let index = index();
    index.wrote_job(&job("a", "1", 10));
    assert_eq!(index.apply(job("a", "0", 8)), nobody());
    assert_eq!(index.delete(job("a", "0", 9)), woken());
    assert_eq!(
        uids(&index),
        ["1"],
        "the end of the predecessor is not the end of the Job"
    );
}

#[tokio::test(start_paused = true)]
async fn an_own_job_that_a_list_does_not_contain_is_looked_up_not_forgotten() {
    let index = index();
    index.wrote_job(&job("a", "1", 10));
    index.replace(Vec::<WatchedJob>::new());
    assert_eq!(uids(&index), ["1"]);
    let snapshot = index.snapshot(&key(), PATIENCE).unwrap();
    assert_eq!(snapshot.next_overdue, Some(PATIENCE));
    tokio::time::advance(PATIENCE).await;
    assert_eq!(index.snapshot(&key(), PATIENCE).unwrap().overdue, ["a"]);
    assert_eq!(index.job_is_gone("ns", "a", "1"), woken());
    assert!(uids(&index).is_empty());
    assert!(index.snapshot(&key(), PATIENCE).unwrap().overdue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_replaces_what_the_watch_had_shown() {
    let index = index();
    index.apply(job("a", "1", 10));
    index.apply(job("b", "2", 11));
    assert_eq!(index.replace(vec![job("b", "2", 11)]), woken());
    assert_eq!(uids(&index), ["2"]);
    assert_eq!(
        index.replace(vec![job("b", "2", 11)]),
        nobody(),
        "nothing is news"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_known_before_the_watch_shows_it() {
    let index = index();
    index.apply(job("a", "1", 10));
    assert_eq!(index.deleting_job("u1", "a", "other"), nobody());
    assert_eq!(index.deleting_job("u1", "a", "1"), woken());
    assert!(index.snapshot(&key(), PATIENCE).unwrap().jobs[0].deleting);
    assert_eq!(index.apply(job("a", "1", 10)), nobody());
    assert!(index.snapshot(&key(), PATIENCE).unwrap().jobs[0].deleting);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_changes_hands_wakes_both_sides() {
    let index = index();
    index.apply(job("a", "1", 10));
    let moved: WatchedJob = read(testing::job("a", "1", 11, "other", "u2"));
    assert_eq!(
        index.apply(moved),
        Concerned::from([key(), Key::new("ns", "other")])
    );
    assert!(uids(&index).is_empty());
    let mut orphan = testing::job("a", "1", 12, "other", "u2");
    orphan["metadata"]["ownerReferences"] = json!([]);
    let orphan: WatchedJob = read(orphan);
    assert_eq!(
        index.apply(orphan),
        Concerned::from([Key::new("ns", "other")])
    );
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_predecessor_of_the_same_name_are_not_ours_but_their_end_wakes_us() {
    let index = index();
    let old: WatchedJob = read(testing::job("a", "1", 10, "js", "u0"));
    assert_eq!(index.apply(old.clone()), woken());
    assert!(uids(&index).is_empty());
    assert_eq!(index.delete(old), woken());
}

#[tokio::test(start_paused = true)]
async fn the_written_status_is_planned_with_and_never_undone() {
    let index = index();
    assert_eq!(index.wrote_jobset(&jobset(5)), woken());
    assert_eq!(index.apply(jobset(4)), nobody());
    assert_eq!(index.apply(jobset(5)), nobody());
    let snapshot = index.snapshot(&key(), PATIENCE).unwrap();
    assert_eq!(
        snapshot.jobset.metadata.resource_version.as_deref(),
        Some("5")
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_bring_a_deleted_jobset_back() {
    let index = index();
    index.delete(jobset(7));
    assert_eq!(index.wrote_jobset(&jobset(6)), nobody());
    assert!(index.snapshot(&key(), PATIENCE).is_none());
    index.replace(Vec::<WatchedJobSet>::new());
    assert_eq!(index.wrote_jobset(&jobset(8)), nobody());
    assert!(index.snapshot(&key(), PATIENCE).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_jobset_that_cannot_be_decoded_is_left_alone_until_it_can() {
    let index = index();
    let mut broken = testing::jobset("js", "u1", 3);
    broken["spec"]["replicatedJobs"] = json!("?");
    assert_eq!(index.apply(read::<WatchedJobSet>(broken)), woken());
    assert!(index.snapshot(&key(), PATIENCE).is_none());
    index.apply(jobset(4));
    assert!(index.snapshot(&key(), PATIENCE).is_some());
}

#[tokio::test(start_paused = true)]
async fn services_wake_their_owner_when_they_come_and_go() {
    let index = index();
    let state = |index: &Index| index.snapshot(&key(), PATIENCE).unwrap().service;
    assert_eq!(state(&index), ServiceState::Missing);
    assert_eq!(index.wrote_service(&service("js", 10)), woken());
    assert_eq!(state(&index), ServiceState::Exists);
    assert_eq!(index.apply(service("js", 10)), nobody());
    assert_eq!(
        index.apply(service("js", 11)),
        nobody(),
        "only existence matters"
    );
    assert_eq!(index.delete(service("js", 12)), woken());
    assert_eq!(state(&index), ServiceState::Missing);
    assert_eq!(index.wrote_service(&service("js", 10)), nobody());
    assert_eq!(state(&index), ServiceState::Missing);
    assert_eq!(index.replace(vec![service("js", 13)]), woken());
    assert_eq!(index.replace(Vec::<WatchedName<Service>>::new()), woken());
}

fn gated() -> Index {
    let gates = jobset_api::FeatureGates::default();
    Index::new(gates.with(jobset_api::Feature::InPlaceRestart, true).into())
}

fn in_place(revision: u64) -> WatchedJobSet {
    let mut jobset = crate::testing::jobset("js", "u1", revision);
    jobset["spec"]["failurePolicy"] = json!({"restartStrategy": "InPlaceRestart"});
    serde_json::from_value(jobset).unwrap()
}

fn pod(name: &str, jobset: &str, attempt: &str) -> WatchedPod {
    serde_json::from_value(json!({"metadata": {
        "name": name, "namespace": "ns", "uid": name, "resourceVersion": "1",
        "labels": {"jobset.sigs.k8s.io/jobset-name": jobset},
        "annotations": {"jobset.sigs.k8s.io/in-place-restart-attempt": attempt},
    }}))
    .unwrap()
}

fn pods_of(index: &Index) -> Option<Vec<String>> {
    let snapshot = index.snapshot(&Key::new("ns", "js"), Duration::from_secs(10));
    let pods = snapshot.unwrap().pods?;
    Some(pods.iter().map(|pod| pod.name.clone()).collect())
}

#[tokio::test]
async fn il_pods_are_known_by_label_once_they_are_listed() {
    let index = gated();
    index.apply(in_place(1));
    index.pods_are_wanted().await;
    assert_eq!(pods_of(&index), None, "not listed yet");
    // The list wakes who waited for it, with Pods and without.
    let listed = index.replace(vec![pod("a", "js", "0"), pod("x", "other", "0")]);
    assert!(listed.contains(&Key::new("ns", "js")));
    assert_eq!(pods_of(&index), Some(vec!["a".to_owned()]));
    index.replace(Vec::<WatchedPod>::new());
    assert_eq!(pods_of(&index), Some(vec![]));
}

#[tokio::test]
async fn a_pod_wakes_its_jobset_only_if_plans_depend_on_the_change() {
    let index = gated();
    index.apply(in_place(1));
    index.replace(vec![pod("a", "js", "0")]);
    let key = Key::new("ns", "js");
    assert!(index.apply(pod("a", "js", "0")).is_empty());
    assert!(index.apply(pod("a", "js", "1")).contains(&key));
    // Another label: both JobSets concern themselves with it.
    let moved = index.apply(pod("a", "other", "1"));
    assert!(moved.contains(&key) && moved.contains(&Key::new("ns", "other")));
    assert_eq!(pods_of(&index), Some(vec![]));
    assert_eq!(index.delete(pod("a", "other", "1")).len(), 1);
    assert!(index.delete(pod("a", "other", "1")).is_empty());
}

#[tokio::test]
async fn pods_are_not_wanted_without_the_gate_or_the_strategy() {
    let wanted = |index: &Index| *index.pods_wanted.borrow();
    let index = Index::default();
    index.apply(in_place(1));
    assert!(!wanted(&index));
    let index = gated();
    let plain = serde_json::from_value(crate::testing::jobset("js", "u1", 1)).unwrap();
    Cache::<WatchedJobSet>::apply(&index, plain);
    assert!(!wanted(&index));
}
