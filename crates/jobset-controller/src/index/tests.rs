use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::testing;

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
