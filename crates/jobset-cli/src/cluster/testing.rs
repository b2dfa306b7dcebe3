//! An API server without anything behind it, for the tests of what follows a cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use embedded_apiserver::{ApiServer, Credentials};
use jobset_api::JobSet;
use jobset_local::client;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Connection;

/// Long enough for anything on a busy machine; only a hang takes it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The server, with JobSets.
pub(crate) struct World {
    pub(crate) api: ApiServer,
    /// In process, for changes.
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn new() -> Self {
        let api = ApiServer::builder().build();
        let client = client::in_process(api.router());
        let definition: CustomResourceDefinition =
            serde_json::from_value(jobset_api::crd::crd_value().clone()).unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let created = definitions
            .create(&PostParams::default(), &definition)
            .await;
        created.unwrap();
        Self { api, client }
    }

    /// The server as commands see it, without a socket.
    pub(crate) fn connection(&self) -> Connection {
        Connection {
            client: self.client.clone(),
            namespace: "default".to_owned(),
        }
    }

    /// Lists and watches so far.
    pub(crate) fn read(&self) -> BTreeMap<(String, String), u64> {
        let mut requests = self.api.stats().requests;
        requests.retain(|(verb, _), _| ["get", "list", "watch"].contains(&verb.as_str()));
        requests
    }

    pub(crate) async fn create_jobset(&self, name: &str) -> JobSet {
        let jobset = json!({
            "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name},
            "spec": {"replicatedJobs": [{"name": "workers", "template": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}}}}]},
        });
        let api: Api<JobSet> = Api::default_namespaced(self.client.clone());
        let jobset = serde_json::from_value(jobset).unwrap();
        api.create(&PostParams::default(), &jobset).await.unwrap()
    }

    /// Creates a Pod of a JobSet's Job `workers`.
    pub(crate) async fn create_pod(&self, jobset: &JobSet, index: usize) -> Pod {
        let pod = json!({
            "metadata": {
                "name": format!("{}-workers-0-{index}-abcde", jobset.name()),
                "labels": {
                    "jobset.sigs.k8s.io/jobset-name": jobset.name(),
                    "jobset.sigs.k8s.io/jobset-uid": jobset.uid(),
                    "jobset.sigs.k8s.io/replicatedjob-name": "workers",
                    "jobset.sigs.k8s.io/job-index": "0",
                    "batch.kubernetes.io/job-name": format!("{}-workers-0", jobset.name()),
                },
            },
            "spec": {"containers": [{"name": "main", "image": "x"}]},
        });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap()
    }

    pub(crate) async fn set_status(&self, pod: &Pod, status: &Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let patched = self
            .pods()
            .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
            .await;
        patched.unwrap();
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }
}

/// The server on a socket that can be closed and opened again.
pub(crate) struct Served {
    api: ApiServer,
    address: SocketAddr,
    credentials: Credentials,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Served {
    pub(crate) async fn start(api: &ApiServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut served = Self {
            api: api.clone(),
            address,
            credentials: Credentials::generate(address).unwrap(),
            running: None,
        };
        served.serve(listener);
        served
    }

    fn serve(&mut self, listener: TcpListener) {
        let stop = CancellationToken::new();
        let (api, credentials, token) = (self.api.clone(), self.credentials.clone(), stop.clone());
        let task = tokio::spawn(async move {
            api.serve(listener, &credentials, token).await.unwrap();
        });
        self.running = Some((stop, task));
    }

    /// Ends all connections, and takes none any more.
    pub(crate) async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            task.await.unwrap();
        }
    }

    /// Takes connections again, at the same address.
    pub(crate) async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// A client that comes over the socket.
    pub(crate) async fn connection(&self) -> Connection {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = self
            .credentials
            .kubeconfig(&format!("https://{}", self.address));
        let file = Kubeconfig::from_yaml(&text).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(file, &options).await;
        Connection {
            client: Client::try_from(config.unwrap()).unwrap(),
            namespace: "default".to_owned(),
        }
    }
}
