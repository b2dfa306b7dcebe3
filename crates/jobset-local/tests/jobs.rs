//! The Job controller against the embedded API server.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::PropagationPolicy;
use serde_json::json;
use support::{Cluster, active, has};

#[tokio::test]
async fn an_indexed_job_runs_to_its_end() {
    let cluster = Cluster::start();
    let spec = json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"});
    cluster.create_job("j", spec).await;

    let pods = cluster.pods(2).await;
    for (index, pod) in pods.iter().enumerate() {
        let spec = pod.spec.as_ref().unwrap();
        assert!(
            pod.name_any().starts_with(&format!("j-{index}-")),
            "{}",
            pod.name_any()
        );
        assert_eq!(spec.hostname.as_deref(), Some(&*format!("j-{index}")));
        assert_eq!(
            pod.labels()["batch.kubernetes.io/job-completion-index"],
            index.to_string()
        );
        assert_eq!(pod.labels()["batch.kubernetes.io/job-name"], "j");
        assert_eq!(pod.finalizers(), ["batch.kubernetes.io/job-tracking"]);
        let env = spec.containers[0].env.as_ref().unwrap();
        assert_eq!(env[0].name, "JOB_COMPLETION_INDEX");
    }
    let job = cluster
        .job_until("j", "two active Pods", |job| active(job) == 2)
        .await;
    assert!(job.status.unwrap().start_time.is_some());
    for pod in &pods {
        cluster.run(pod).await;
    }
    cluster
        .job_until("j", "two ready Pods", |job| {
            job.status.as_ref().and_then(|status| status.ready) == Some(2)
        })
        .await;
    cluster.end(&pods[0], 0).await;
    cluster
        .until::<Pod>("the Pod of index 2", |pods| {
            pods.keys().any(|name| name.starts_with("j-2-"))
        })
        .await;
    let third = cluster
        .pods(3)
        .await
        .into_iter()
        .find(|pod| pod.name_any().starts_with("j-2-"));
    cluster.end(&pods[1], 0).await;
    cluster.end(&third.unwrap(), 0).await;

    let job = cluster
        .job_until("j", "the end", |job| has(job, "Complete"))
        .await;
    assert!(has(&job, "SuccessCriteriaMet"));
    let status = job.status.unwrap();
    assert_eq!(status.succeeded, Some(3));
    assert_eq!(status.completed_indexes.as_deref(), Some("0-2"));
    assert!(status.completion_time.is_some() && status.active.is_none());
    cluster
        .until::<Pod>("no finalizers", |pods| {
            pods.values().all(|pod| pod.finalizers().is_empty())
        })
        .await;
    let events = cluster
        .until::<Event>("the last event", |events| {
            events
                .values()
                .any(|event| event.reason.as_deref() == Some("Completed"))
        })
        .await;
    let created = events
        .values()
        .filter(|e| e.reason.as_deref() == Some("SuccessfulCreate"));
    assert_eq!(created.count(), 3);
    cluster.stop().await;
}

#[tokio::test]
async fn failed_pods_are_replaced_until_the_limit() {
    let cluster = Cluster::start();
    cluster.create_job("j", json!({"backoffLimit": 1})).await;
    let first = cluster.pods(1).await.remove(0);
    cluster.end(&first, 1).await;
    let job = cluster
        .job_until("j", "one failure and a new Pod", |job| {
            active(job) == 1 && job.status.as_ref().unwrap().failed == Some(1)
        })
        .await;
    assert!(!has(&job, "FailureTarget"));
    let pods = cluster.pods(2).await;
    let second = pods
        .iter()
        .find(|pod| pod.name_any() != first.name_any())
        .unwrap();
    cluster.end(second, 1).await;
    let job = cluster
        .job_until("j", "the end", |job| has(job, "Failed"))
        .await;
    assert!(has(&job, "FailureTarget"));
    let failed = job.status.as_ref().unwrap().conditions.as_ref().unwrap();
    let failed = failed
        .iter()
        .find(|condition| condition.type_ == "Failed")
        .unwrap();
    assert_eq!(failed.reason.as_deref(), Some("BackoffLimitExceeded"));
    assert_eq!(job.status.unwrap().failed, Some(2));
    cluster
        .until::<Event>("the warning", |events| {
            events
                .values()
                .any(|e| e.reason.as_deref() == Some("BackoffLimitExceeded"))
        })
        .await;
    cluster.stop().await;
}

#[tokio::test]
async fn the_end_waits_for_pods_that_terminate() {
    let cluster = Cluster::start();
    let spec = json!({"backoffLimit": 0, "parallelism": 2, "completions": 2});
    cluster.create_job("j", spec).await;
    let pods = cluster.pods(2).await;
    for pod in &pods {
        cluster.bind(pod).await;
        cluster.run(pod).await;
    }
    cluster.end(&pods[0], 1).await;
    let job = cluster
        .job_until("j", "a terminating Pod", |job| {
            job.status.as_ref().and_then(|status| status.terminating) == Some(1)
        })
        .await;
    assert!(has(&job, "FailureTarget") && !has(&job, "Failed"));
    cluster.end(&pods[1], 143).await;
    cluster.reap(&pods[1]).await;
    let job = cluster
        .job_until("j", "the end", |job| has(job, "Failed"))
        .await;
    assert_eq!(job.status.unwrap().failed, Some(2));
    cluster.stop().await;
}

#[tokio::test]
async fn a_suspended_job_has_no_pods() {
    let cluster = Cluster::start();
    let spec = json!({"suspend": true, "parallelism": 3, "completions": 3});
    cluster.create_job("j", spec).await;
    cluster
        .job_until("j", "suspension", |job| has(job, "Suspended"))
        .await;
    assert_eq!(cluster.pods(0).await.len(), 0);
    cluster
        .patch_job("j", json!({"spec": {"suspend": false}}))
        .await;
    let old = cluster.pods(3).await;
    let job = cluster
        .job_until("j", "activity", |job| active(job) == 3)
        .await;
    assert!(!has(&job, "Suspended") && job.status.unwrap().start_time.is_some());
    cluster
        .patch_job("j", json!({"spec": {"suspend": true}}))
        .await;
    cluster.pods(0).await;
    let job = cluster
        .job_until("j", "suspension", |job| {
            has(job, "Suspended") && active(job) == 0
        })
        .await;
    assert_eq!(job.status.unwrap().failed, None);
    cluster
        .patch_job("j", json!({"spec": {"suspend": false}}))
        .await;
    let new: BTreeSet<_> = cluster
        .pods(3)
        .await
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert!(old.iter().all(|pod| !new.contains(&pod.name_any())));
    cluster.stop().await;
}

#[tokio::test]
async fn an_expired_job_goes_with_its_pods() {
    let cluster = Cluster::start();
    cluster
        .create_job("j", json!({"ttlSecondsAfterFinished": 0}))
        .await;
    let pod = cluster.pods(1).await.remove(0);
    cluster.end(&pod, 0).await;
    cluster.until::<Job>("no Job", BTreeMap::is_empty).await;
    cluster.until::<Pod>("no Pod", BTreeMap::is_empty).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_deleted_job_takes_its_pods_along() {
    for policy in [PropagationPolicy::Background, PropagationPolicy::Foreground] {
        let cluster = Cluster::start();
        cluster
            .create_job("j", json!({"parallelism": 3, "completions": 3}))
            .await;
        let pods = cluster.pods(3).await;
        cluster.end(&pods[0], 0).await;
        cluster.delete::<Job>("j", policy).await;
        cluster.until::<Pod>("no Pod", BTreeMap::is_empty).await;
        cluster.until::<Job>("no Job", BTreeMap::is_empty).await;
        cluster.stop().await;
    }
}

#[tokio::test]
async fn an_orphaned_pod_stays() {
    let cluster = Cluster::start();
    cluster
        .create_job("j", json!({"parallelism": 2, "completions": 2}))
        .await;
    cluster.pods(2).await;
    cluster.delete::<Job>("j", PropagationPolicy::Orphan).await;
    cluster.until::<Job>("no Job", BTreeMap::is_empty).await;
    let pods = cluster
        .until::<Pod>("free Pods", |pods| {
            pods.values()
                .all(|pod| pod.finalizers().is_empty() && pod.owner_references().is_empty())
        })
        .await;
    assert_eq!(pods.len(), 2);
    cluster.stop().await;
}

#[tokio::test]
async fn many_jobs_cost_few_requests() {
    const JOBS: usize = 100;
    let cluster = Cluster::start();
    for n in 0..JOBS {
        let spec = json!({"completions": 1, "parallelism": 1, "completionMode": "Indexed"});
        cluster.create_job(&format!("j{n}"), spec).await;
    }
    let pods = cluster.pods(JOBS).await;
    cluster
        .until::<Job>("all active", |jobs| {
            jobs.values().all(|job| active(job) == 1)
        })
        .await;
    for pod in &pods {
        cluster.run(pod).await;
        cluster.end(pod, 0).await;
    }
    cluster
        .until::<Job>("all complete", |jobs| {
            jobs.values().all(|job| has(job, "Complete"))
        })
        .await;
    cluster
        .until::<Pod>("no finalizers", |pods| {
            pods.values().all(|pod| pod.finalizers().is_empty())
        })
        .await;
    assert_eq!(cluster.pods(JOBS).await.len(), JOBS);
    let stats = cluster.server.stats();
    let count = |verb: &str, resource: &str| {
        let requests = stats
            .requests
            .iter()
            .filter(|((v, r), _)| v == verb && r.contains(resource));
        requests.map(|(_, n)| *n).sum::<u64>()
    };
    let jobs = JOBS as u64;
    assert_eq!(count("create", "pods"), jobs, "{stats:?}");
    // Active, perhaps ready, complete.
    assert!(count("patch", "jobs/status") <= 3 * jobs, "{stats:?}");
    assert_eq!(count("get", "jobs"), 0, "{stats:?}");
    cluster.stop().await;
}
