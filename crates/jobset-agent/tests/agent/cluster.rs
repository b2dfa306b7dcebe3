//! An API server over TLS that can go away for a while, and refuse writes of Pods.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use embedded_apiserver::{Admission, AdmissionRequest, ApiServer, Credentials, Operation, Status};
use jobset_api::{Feature, FeatureGates, JobSet, constants, defaulting};
use jobset_controller::{Controller, ControllerOptions};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Long enough for anything on a busy machine; only a hang takes it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Refuses so many changes of Pods by other means than status writes.
#[derive(Default)]
struct Refusals {
    left: AtomicU32,
    refused: AtomicU32,
}

impl Admission for Refusals {
    fn validate(
        &self,
        request: &AdmissionRequest,
        _object: &Value,
        _old: Option<&Value>,
    ) -> Result<Vec<String>, Status> {
        let concerned = request.resource == "pods"
            && request.operation == Operation::Update
            && request.subresource.is_empty();
        let take = |left: u32| left.checked_sub(1);
        if concerned
            && self
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
        {
            let nth = self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(match nth % 2 {
                0 => Status::internal("the test refuses this"),
                _ => Status::forbidden("pods", "", "pod", "the test refuses this"),
            });
        }
        Ok(Vec::new())
    }
}

pub(crate) struct Cluster {
    server: ApiServer,
    pub(crate) client: Client,
    refusals: Arc<Refusals>,
    credentials: Credentials,
    address: SocketAddr,
    serving: Option<DropGuard>,
    controller: Option<DropGuard>,
    directory: TempDir,
}

impl Cluster {
    /// A server that knows JobSets and listens.
    pub(crate) async fn start() -> Self {
        let refusals = Arc::new(Refusals::default());
        let server = ApiServer::builder().admission(refusals.clone()).build();
        let client = Client::new(server.router(), "default");
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let crd = jobset_api::crd::crd();
        crds.create(&PostParams::default(), &crd).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let credentials = Credentials::generate(address).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        let url = format!("https://{address}");
        credentials.write_kubeconfig(&kubeconfig, &url).unwrap();
        let mut cluster = Self {
            server,
            client,
            refusals,
            credentials,
            address,
            serving: None,
            controller: None,
            directory,
        };
        cluster.serve(listener);
        cluster
    }

    fn serve(&mut self, listener: TcpListener) {
        let (server, credentials) = (self.server.clone(), self.credentials.clone());
        let shutdown = CancellationToken::new();
        self.serving = Some(shutdown.clone().drop_guard());
        tokio::spawn(async move { server.serve(listener, &credentials, shutdown).await });
    }

    /// Closes every connection and refuses new ones.
    pub(crate) async fn close(&mut self) {
        self.serving = None;
        until("the server is away", async || {
            TcpListener::bind(self.address).await.is_ok()
        })
        .await;
    }

    /// Listens again at the same address.
    pub(crate) async fn open(&mut self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                // Connections of the time before may still be closing.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        self.serve(listener);
    }

    /// The next writes of annotations fail.
    pub(crate) fn refuse(&self, writes: u32) {
        self.refusals.left.store(writes, Ordering::SeqCst);
    }

    pub(crate) fn refused(&self) -> u32 {
        self.refusals.refused.load(Ordering::SeqCst)
    }

    /// Runs the controller beside.
    pub(crate) fn start_controller(&mut self) {
        let options = ControllerOptions {
            gates: FeatureGates::default().with(Feature::InPlaceRestart, true),
            ..ControllerOptions::default()
        };
        let shutdown = CancellationToken::new();
        self.controller = Some(shutdown.clone().drop_guard());
        let controller = Controller::new(self.client.clone(), options);
        tokio::spawn(controller.run(shutdown));
    }

    /// The API as a service, to put something in front of it.
    pub(crate) fn router(&self) -> axum::Router {
        self.server.router()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn jobsets(&self) -> Api<JobSet> {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// Creates the JobSet `js` that restarts in place, with these replicated jobs.
    pub(crate) async fn create_jobset(&self, replicated_jobs: Value) {
        let mut jobset = json!({
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {"name": "js"},
            "spec": {
                "failurePolicy": {"maxRestarts": 3, "restartStrategy": "InPlaceRestart"},
                "replicatedJobs": replicated_jobs,
            },
        });
        defaulting::default_value(&mut jobset);
        let jobset: JobSet = serde_json::from_value(jobset).unwrap();
        let (jobsets, params) = (self.jobsets(), PostParams::default());
        jobsets.create(&params, &jobset).await.unwrap();
    }

    /// Sets the two attempts by hand, as the controller would.
    pub(crate) async fn set_attempts(&self, current: Option<i32>, previous: Option<i32>) {
        let patch = json!({"status": {
            "currentInPlaceRestartAttempt": current,
            "previousInPlaceRestartAttempt": previous,
        }});
        let params = PatchParams::default();
        let patch = Patch::Merge(&patch);
        let jobsets = self.jobsets();
        jobsets.patch_status("js", &params, &patch).await.unwrap();
    }

    pub(crate) async fn attempts(&self) -> (Option<i32>, Option<i32>) {
        let status = self.jobsets().get("js").await.unwrap().status;
        let status = status.unwrap_or_default();
        (
            status.current_in_place_restart_attempt,
            status.previous_in_place_restart_attempt,
        )
    }

    /// Merges this into the JobSet.
    pub(crate) async fn patch_jobset(&self, patch: Value) {
        let params = PatchParams::default();
        let jobsets = self.jobsets();
        let patch = Patch::Merge(&patch);
        jobsets.patch("js", &params, &patch).await.unwrap();
    }

    /// Creates a Pod; `owner` is name and uid of its Job.
    pub(crate) async fn create_pod(&self, name: &str, owner: Option<(&str, &str)>) {
        let mut pod = json!({
            "metadata": {
                "name": name,
                "labels": {constants::JOBSET_NAME_KEY: "js"},
                "annotations": {"other": "stays"},
            },
            "spec": {"containers": [{"name": "main", "image": "main"}]},
        });
        if let Some((job, uid)) = owner {
            pod["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid,
                "controller": true,
            }]);
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let pods = self.pods();
        pods.create(&PostParams::default(), &pod).await.unwrap();
    }

    /// The attempt that a Pod carries.
    pub(crate) async fn reported(&self, pod: &str) -> Option<String> {
        let pod = self.pods().get(pod).await.unwrap();
        let key = constants::IN_PLACE_RESTART_ATTEMPT_KEY;
        pod.annotations().get(key).cloned()
    }

    pub(crate) async fn until_reported(&self, pod: &str, attempt: &str) {
        until(&format!("{pod} reports {attempt}"), async || {
            self.reported(pod).await.as_deref() == Some(attempt)
        })
        .await;
    }
}

/// Asks until the answer is yes.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    eventually(format!("{what}, at {place}"), condition)
}

async fn eventually(what: String, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
