//! Several agents and the controller.

use std::time::{Duration, Instant};

use jobset_api::constants;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::barrier::{ask, free_port};
use crate::cluster::{Cluster, PATIENCE, until};
use crate::process::{Agent, RESTART};

/// A Pod, played: its object, and the agent in its place among the containers.
struct Played {
    pod: String,
    port: u16,
    agent: Agent,
    /// How often its containers have restarted.
    restarts: i32,
}

impl Played {
    /// A Pod of this Job.
    async fn create(cluster: &Cluster, pod: &str, job: &str) -> Self {
        let jobs: Api<Job> = Api::default_namespaced(cluster.client.clone());
        until("the Job exists", async || {
            jobs.get_opt(job).await.unwrap().is_some()
        })
        .await;
        let uid = jobs.get(job).await.unwrap().uid().unwrap();
        cluster.create_pod(pod, Some((job, &uid))).await;
        let port = free_port().await;
        Self {
            pod: pod.to_owned(),
            port,
            agent: start(cluster, pod, port),
            restarts: 0,
        }
    }

    /// All containers restart because the worker has crashed.
    async fn crash(&mut self, cluster: &Cluster) {
        self.restarts += 1;
        let status = json!({"status": {"containerStatuses": [{
            "name": "main", "image": "main", "imageID": "", "ready": true,
            "restartCount": self.restarts,
        }]}});
        let params = PatchParams::default();
        let (pods, patch) = (cluster.pods(), Patch::Merge(&status));
        let patched = pods.patch_status(&self.pod, &params, &patch).await;
        patched.unwrap();
        self.agent = start(cluster, &self.pod, self.port);
    }

    /// What the kubelet does: restarts all containers if the agent asks for it.
    async fn attend(&mut self, cluster: &Cluster) {
        if let Some(code) = self.agent.ended() {
            assert_eq!(code, RESTART, "{}", self.agent.log());
            self.crash(cluster).await;
        }
    }

    async fn is_lifted(&self) -> bool {
        ask(self.port, "GET", "/barrier-is-down").await == Some(200)
    }
}

fn start(cluster: &Cluster, pod: &str, port: u16) -> Agent {
    let port = port.to_string();
    Agent::start(cluster, pod, &[("STARTUP_PROBE_PORT", &port)])
}

/// Attends the Pods until all barriers are down and this is the current attempt; returns the
/// previous one.
async fn until_lifted(cluster: &Cluster, pods: &mut [&mut Played], current: i32) -> Option<i32> {
    let started = Instant::now();
    loop {
        let mut lifted = true;
        for pod in pods.iter_mut() {
            pod.attend(cluster).await;
            lifted &= pod.is_lifted().await;
        }
        let attempts = cluster.attempts().await;
        if lifted && attempts.0 == Some(current) {
            return attempts.1;
        }
        if started.elapsed() > PATIENCE {
            let logs: Vec<_> = pods.iter().map(|pod| pod.agent.log()).collect();
            panic!(
                "not lifted at {current}: {attempts:?}\n{}",
                logs.join("\n---\n")
            );
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn pairs() -> serde_json::Value {
    json!([{"name": "w", "replicas": 2, "template": {"spec": {
        "parallelism": 1, "completions": 1, "backoffLimit": i32::MAX,
        "podReplacementPolicy": "Failed",
        "template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "main", "image": "main"}]}},
    }}}])
}

/// The table of the specification, row by row.
#[tokio::test]
async fn a_group_restarts_together() {
    let mut cluster = Cluster::start().await;
    cluster.start_controller();
    cluster.create_jobset(pairs()).await;

    // One alone waits.
    let mut a = Played::create(&cluster, "a", "js-w-0").await;
    cluster.until_reported("a", "0").await;
    assert!(!a.is_lifted().await);
    let mut b = Played::create(&cluster, "b", "js-w-1").await;
    let previous = until_lifted(&cluster, &mut [&mut a, &mut b], 0).await;
    assert_eq!(previous, None);

    // One crashes: the other is restarted, and no Pod is replaced.
    a.crash(&cluster).await;
    let previous = until_lifted(&cluster, &mut [&mut a, &mut b], 1).await;
    assert_eq!(previous, Some(0));
    assert_eq!((a.restarts, b.restarts), (1, 1));

    // One is lost with its node: its successor begins one attempt further.
    cluster
        .pods()
        .delete("a", &DeleteParams::default())
        .await
        .unwrap();
    drop(a);
    until("the Pod is gone", async || {
        let pods = cluster.pods();
        let gone = pods.get_opt("a").await.unwrap().is_none();
        if !gone {
            let now = DeleteParams::default().grace_period(0);
            let _ = pods.delete("a", &now).await;
        }
        gone
    })
    .await;
    let mut c = Played::create(&cluster, "c", "js-w-0").await;
    let previous = until_lifted(&cluster, &mut [&mut c, &mut b], 2).await;
    assert_eq!(previous, Some(1));
    assert_eq!((c.restarts, b.restarts), (0, 2));
    assert_eq!(cluster.reported("c").await.as_deref(), Some("2"));
    assert_eq!(cluster.reported("b").await.as_deref(), Some("2"));

    // Both crash at once: one restart of the group. Nobody has to be told to leave if both are back
    // before the controller has looked.
    b.crash(&cluster).await;
    c.crash(&cluster).await;
    let previous = until_lifted(&cluster, &mut [&mut c, &mut b], 3).await;
    assert!(previous == Some(1) || previous == Some(2), "{previous:?}");
    assert_eq!((c.restarts, b.restarts), (1, 3));
    let status = cluster.jobsets().get("js").await.unwrap().status.unwrap();
    assert_eq!((status.restarts, status.terminal_state.as_str()), (0, ""));
}

/// Spec, "Limits and defects": a bad annotation is one Pod's trouble, and heals when it restarts.
#[tokio::test]
async fn a_malformed_annotation_does_not_stop_the_group() {
    let mut cluster = Cluster::start().await;
    cluster.start_controller();
    cluster.create_jobset(pairs()).await;
    let mut a = Played::create(&cluster, "a", "js-w-0").await;
    let mut b = Played::create(&cluster, "b", "js-w-1").await;
    let previous = until_lifted(&cluster, &mut [&mut a, &mut b], 0).await;
    assert_eq!(previous, None);
    let bad = json!({"metadata": {"annotations": {
        constants::IN_PLACE_RESTART_ATTEMPT_KEY: "many"}}});
    let params = PatchParams::default();
    let pods = cluster.pods();
    pods.patch("a", &params, &Patch::Merge(&bad)).await.unwrap();
    b.crash(&cluster).await;
    let previous = until_lifted(&cluster, &mut [&mut a, &mut b], 1).await;
    assert_eq!(previous, Some(0));
    assert_eq!(cluster.reported("a").await.as_deref(), Some("1"));
}

/// Spec, "Limits and defects": switching in-place restart off and on again restarts nobody.
#[tokio::test]
async fn disabling_for_a_while_restarts_nobody() {
    let mut cluster = Cluster::start().await;
    cluster.start_controller();
    cluster.create_jobset(pairs()).await;
    let mut a = Played::create(&cluster, "a", "js-w-0").await;
    let mut b = Played::create(&cluster, "b", "js-w-1").await;
    let previous = until_lifted(&cluster, &mut [&mut a, &mut b], 0).await;
    assert_eq!(previous, None);
    let disabled = |value: Option<&str>| json!({"metadata": {"annotations": {constants::DISABLE_IN_PLACE_RESTART_KEY: value}}});
    cluster.patch_jobset(disabled(Some("true"))).await;
    // It comes up bypassed: lifted alone, and nobody restarts for it.
    a.crash(&cluster).await;
    until("it is lifted", async || a.is_lifted().await).await;
    cluster.patch_jobset(disabled(None)).await;
    a.agent.until_log("reported").await;
    a.agent.until_log("waiting for the others").await;
    until("it has joined", async || {
        a.attend(&cluster).await;
        b.attend(&cluster).await;
        cluster.reported("a").await.as_deref() == Some("0")
    })
    .await;
    assert_eq!((a.restarts, b.restarts), (1, 0));
    // And from now on it takes part.
    b.crash(&cluster).await;
    let previous = until_lifted(&cluster, &mut [&mut a, &mut b], 1).await;
    assert_eq!(previous, Some(0));
    assert_eq!((a.restarts, b.restarts), (2, 1));
}
