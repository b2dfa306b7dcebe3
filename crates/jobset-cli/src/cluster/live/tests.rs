use serde_json::json;

use super::super::testing::{PATIENCE, Served, World};
use super::*;
use crate::view::testing;

fn names(kept: &Kept<Job>) -> Vec<String> {
    let mut names: Vec<String> = kept.all().map(|job| job.name_any()).collect();
    names.sort();
    names
}

#[test]
fn a_list_replaces_what_was_known_once_it_is_whole() {
    let job = |index| testing::job("workers", index, &json!({}));
    let mut kept = Kept::default();
    assert!(!kept.apply(Event::Init));
    assert!(!kept.apply(Event::InitApply(job(0))));
    assert!(!kept.apply(Event::InitApply(job(1))));
    assert!(!kept.listed, "nothing is known before the list has ended");
    assert_eq!(names(&kept), [""; 0]);
    assert!(kept.apply(Event::InitDone));
    assert!(kept.listed);
    assert!(kept.apply(Event::Apply(job(2))));
    assert!(kept.apply(Event::Delete(job(0))));
    assert!(!kept.apply(Event::Delete(job(0))), "it was gone already");
    assert_eq!(names(&kept), ["js-workers-1", "js-workers-2"]);

    // The watch was cut off, and Job 1 went meanwhile.
    kept.apply(Event::Init);
    kept.apply(Event::InitApply(job(2)));
    assert_eq!(names(&kept), ["js-workers-1", "js-workers-2"]);
    // The list breaks off as well and is begun again.
    kept.apply(Event::Init);
    kept.apply(Event::InitApply(job(3)));
    kept.apply(Event::InitDone);
    assert_eq!(names(&kept), ["js-workers-3"]);
}

#[test]
fn nothing_is_told_before_every_kind_has_been_listed() {
    let mut mirror = Mirror::default();
    for (done, change) in [
        (false, Change::JobSet(Event::InitDone)),
        (false, Change::Job(Event::InitDone)),
        (false, Change::Pod(Event::InitDone)),
        (true, Change::Event(Event::InitDone)),
    ] {
        mirror.apply(change);
        assert_eq!(mirror.is_complete(), done);
    }
}

fn lists_and_watches(each: u64) -> BTreeMap<(String, String), u64> {
    let kinds = ["jobsets", "jobs", "pods", "events"];
    let all = kinds.iter().flat_map(|kind| {
        ["list", "watch"].map(|verb| ((verb.to_owned(), (*kind).to_owned()), each))
    });
    all.collect()
}

/// How the Pods are, in the order of their names.
fn phases(snapshot: &Snapshot) -> Vec<String> {
    let mut pods: Vec<_> = snapshot.pods.iter().collect();
    pods.sort_by_key(|pod| pod.name_any());
    let phase = |pod: &Arc<Pod>| pod.status.clone()?.phase;
    pods.into_iter().filter_map(phase).collect()
}

#[tokio::test(start_paused = true)]
async fn each_kind_is_listed_once_and_then_watched() {
    let world = World::new().await;
    let jobset = world.create_jobset("js").await;
    let other = world.create_jobset("other").await;
    let pod = world.create_pod(&jobset, 0).await;
    let stranger = world.create_pod(&other, 0).await;
    let before = world.read();
    assert!(before.is_empty(), "{before:?}");
    let mut live = Live::follow(&world.connection(), "js", Duration::from_secs(1));
    assert_eq!(phases(&live.next().await.unwrap()), ["Pending"]);
    world.set_status(&pod, &json!({"phase": "Running"})).await;
    assert_eq!(phases(&live.next().await.unwrap()), ["Running"]);
    // Nothing happens to it for a minute: nothing is told, and nothing is asked.
    world
        .set_status(&stranger, &json!({"phase": "Running"}))
        .await;
    let minute = Duration::from_mins(1);
    let told = tokio::time::timeout(minute, live.next()).await;
    assert!(told.is_err(), "news of nothing");
    assert_eq!(world.read(), lists_and_watches(1));
}

#[tokio::test(start_paused = true)]
async fn many_changes_in_a_short_time_are_told_as_one() {
    let world = World::new().await;
    let jobset = world.create_jobset("js").await;
    let pace = Duration::from_secs(1);
    let mut live = Live::follow(&world.connection(), "js", pace);
    live.next().await.unwrap();
    let started = Instant::now();
    let happens = async {
        for index in 0..500 {
            let pod = world.create_pod(&jobset, index).await;
            world.set_status(&pod, &json!({"phase": "Running"})).await;
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        let mut told = 0;
        loop {
            let snapshot = live.next().await.unwrap();
            told += 1;
            if phases(&snapshot) == vec!["Running"; 500] {
                return told;
            }
        }
    };
    let ((), told) = tokio::join!(happens, read);
    let elapsed = started.elapsed();
    assert!(told <= 2, "told {told} times");
    assert!(elapsed <= 2 * pace, "after {elapsed:?}");
    let more = tokio::time::timeout(10 * pace, live.next()).await;
    assert!(more.is_err(), "everything has been told");
    // What happens after a quiet time is told at once.
    let started = Instant::now();
    world.create_pod(&jobset, 500).await;
    assert_eq!(phases(&live.next().await.unwrap()).len(), 501);
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn interrupted_watches_are_told_and_begin_anew() {
    let world = World::new().await;
    let jobset = world.create_jobset("js").await;
    let (stays, leaves) = (
        world.create_pod(&jobset, 0).await,
        world.create_pod(&jobset, 1).await,
    );
    let mut served = Served::start(&world.api).await;
    let at = served.connection().await;
    let mut live = Live::follow(&at, "js", Duration::ZERO);
    let steps = async {
        live.next().await.unwrap();
        assert_eq!(live.interruption(), None);
        served.stop().await;
        let error = loop {
            if let Err(error) = live.next().await {
                break error;
            }
        };
        assert!(error.to_string().starts_with("cannot watch "), "{error:#}");
        assert!(live.interruption().is_some());
        // What happens meanwhile is not lost.
        world.set_status(&stays, &json!({"phase": "Running"})).await;
        let at_once = kube::api::DeleteParams::default().grace_period(0);
        world
            .pods()
            .delete(&leaves.name_any(), &at_once)
            .await
            .unwrap();
        served.start_again().await;
        loop {
            let told = live.next().await;
            if live.interruption().is_none() {
                break told.unwrap();
            }
        }
    };
    let snapshot = tokio::time::timeout(PATIENCE, steps).await.unwrap();
    assert_eq!(phases(&snapshot), ["Running"]);
}

#[tokio::test(start_paused = true)]
async fn a_jobset_that_is_gone_is_missed() {
    let world = World::new().await;
    let mut live = Live::follow(&world.connection(), "js", Duration::ZERO);
    let error = live.next().await.unwrap_err();
    assert!(error.is::<NoJobSet>(), "{error:#}");
    world.create_jobset("js").await;
    live.next().await.unwrap();
    let jobsets: Api<JobSet> = world.connection().api();
    jobsets
        .delete("js", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let error = live.next().await.unwrap_err();
    assert!(error.is::<NoJobSet>(), "{error:#}");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_jobsets_says_what_is_missing() {
    let api = embedded_apiserver::ApiServer::builder().build();
    let at = Connection {
        client: jobset_local::client::in_process(api.router()),
        namespace: "default".to_owned(),
    };
    let mut live = Live::follow(&at, "js", Duration::ZERO);
    let error = live.next().await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "cannot watch jobsets: the cluster does not know JobSets: is the operator installed? \
         (jobset install --help)"
    );
}
