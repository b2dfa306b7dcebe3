//! An API server with the Job controller and the garbage collector; the test plays the node.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test code; each test file uses a part of it"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use embedded_apiserver::ApiServer;
use futures::StreamExt;
use jobset_local::garbage_collector::{self, GarbageCollectorOptions};
use jobset_local::job_controller::{self, JobControllerOptions};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Nothing here takes this long unless it hangs.
const LIMIT: Duration = Duration::from_secs(20);

pub struct Cluster {
    pub server: ApiServer,
    pub client: Client,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Cluster {
    pub fn start() -> Self {
        Self::with(JobControllerOptions {
            pod_failure_backoff: Duration::from_millis(1),
            ..JobControllerOptions::default()
        })
    }

    pub fn with(options: JobControllerOptions) -> Self {
        let server = ApiServer::builder().build();
        let client = Client::new(server.router(), "default");
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(job_controller::run(
            client.clone(),
            options,
            shutdown.clone(),
        ));
        tasks.spawn(garbage_collector::run(
            client.clone(),
            GarbageCollectorOptions::default(),
            shutdown.clone(),
        ));
        Self {
            server,
            client,
            shutdown,
            tasks,
        }
    }

    /// Stops everything; fails if something panicked or wrote what changed nothing.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(result) = self.tasks.join_next().await {
            result.unwrap();
        }
        let stats = self.server.stats();
        assert_eq!(stats.total_noop_writes(), 0, "{:?}", stats.noop_writes);
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + serde::Serialize
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .unwrap()
    }

    /// Creates a Job whose spec has a one-container template.
    pub async fn create_job(&self, name: &str, mut spec: Value) -> Job {
        spec["template"] = json!({"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox"}],
        }});
        self.create(json!({"metadata": {"name": name}, "spec": spec}))
            .await
    }

    pub async fn delete<K>(&self, name: &str, policy: PropagationPolicy)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let params = DeleteParams {
            propagation_policy: Some(policy),
            ..DeleteParams::default()
        };
        self.api::<K>().delete(name, &params).await.unwrap();
    }

    pub async fn patch_job(&self, name: &str, patch: Value) {
        let patch = Patch::Merge(patch);
        self.api::<Job>()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Watches until `check` accepts all objects of the kind (by name), and returns them.
    pub async fn until<K>(
        &self,
        what: &str,
        check: impl Fn(&BTreeMap<String, K>) -> bool,
    ) -> BTreeMap<String, K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug
            + Send
            + 'static,
    {
        let mut objects = BTreeMap::new();
        let wait = async {
            let stream = watcher(self.api::<K>(), watcher::Config::default()).default_backoff();
            tokio::pin!(stream);
            let mut complete = false;
            while let Some(event) = stream.next().await {
                match event.unwrap() {
                    watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                        objects.insert(object.name_any(), object);
                    }
                    watcher::Event::Delete(object) => {
                        objects.remove(&object.name_any());
                    }
                    watcher::Event::Init => {}
                    watcher::Event::InitDone => complete = true,
                }
                if complete && check(&objects) {
                    return;
                }
            }
        };
        let result = tokio::time::timeout(LIMIT, wait).await;
        assert!(result.is_ok(), "never: {what}; last seen: {objects:#?}");
        objects
    }

    /// Waits until the Job is as `check` wants it.
    pub async fn job_until(&self, name: &str, what: &str, check: impl Fn(&Job) -> bool) -> Job {
        let mut jobs = self
            .until::<Job>(what, |jobs| jobs.get(name).is_some_and(&check))
            .await;
        jobs.remove(name).unwrap()
    }

    /// Waits until there are exactly `count` Pods that are not being deleted.
    pub async fn pods(&self, count: usize) -> Vec<Pod> {
        let live = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
        let pods = self
            .until::<Pod>(&format!("{count} Pods"), |pods| {
                pods.values().filter(live).count() == count
            })
            .await;
        pods.into_values()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect()
    }

    /// What the scheduler does.
    pub async fn bind(&self, pod: &Pod) {
        let name = pod.name_any();
        let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                          "target": {"apiVersion": "v1", "kind": "Node", "name": "node"}});
        let request =
            http::Request::post(format!("/api/v1/namespaces/default/pods/{name}/binding"))
                .header("content-type", "application/json")
                .body(serde_json::to_vec(&body).unwrap())
                .unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    /// What the node does when a Pod starts.
    pub async fn run(&self, pod: &Pod) {
        self.set_status(
            pod,
            json!({
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
            }),
        )
        .await;
    }

    /// What the node does when a Pod ends.
    pub async fn end(&self, pod: &Pod, exit_code: i32) {
        self.set_status(
            pod,
            json!({
                "phase": if exit_code == 0 { "Succeeded" } else { "Failed" },
                "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{
                    "name": "main", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
                    "state": {"terminated": {
                        "exitCode": exit_code, "finishedAt": "2026-01-01T00:00:00Z",
                    }},
                }],
            }),
        )
        .await;
    }

    /// What the node does when a deleted Pod has ended.
    pub async fn reap(&self, pod: &Pod) {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        self.api::<Pod>()
            .delete(&pod.name_any(), &params)
            .await
            .unwrap();
    }

    async fn set_status(&self, pod: &Pod, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        self.api::<Pod>()
            .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}

/// Whether the Job has this condition.
pub fn has(job: &Job, kind: &str) -> bool {
    let conditions = job
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == kind && c.status == "True")
}

/// A count in the Job's status.
pub fn active(job: &Job) -> i32 {
    job.status
        .as_ref()
        .and_then(|status| status.active)
        .unwrap_or(0)
}
