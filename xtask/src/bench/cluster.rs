//! The control plane, and what is put into it and removed.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use http::{Method, Request};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::loader;

/// How long the cluster may take for anything. The machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);
/// Pause between two looks where nothing can be watched.
const PAUSE: Duration = Duration::from_millis(100);
/// Namespace and name of the account that reads the operator's metrics.
const READER: &str = "bench-metrics";

pub(crate) const JOBS: &str = "/apis/batch/v1/namespaces/{}/jobs";
pub(crate) const JOBSETS: &str = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{}/jobsets";
pub(crate) const PODS: &str = "/api/v1/namespaces/{}/pods";
pub(crate) const SERVICES: &str = "/api/v1/namespaces/{}/services";
const ACCOUNTS: &str = "/api/v1/namespaces/{}/serviceaccounts";

/// Path of a collection in a namespace.
pub(crate) fn within(collection: &str, namespace: &str) -> String {
    collection.replace("{}", namespace)
}

/// A connected control plane.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) kubeconfig: PathBuf,
    /// Lets its bearer read metrics.
    pub(crate) token: String,
}

impl Cluster {
    /// Connects, and installs what the operator and the bench need.
    pub(crate) async fn connect(kubeconfig: &Path) -> anyhow::Result<Self> {
        let read = Kubeconfig::read_from(kubeconfig)?;
        let mut config =
            Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        // Watches may be silent for long.
        config.read_timeout = None;
        let mut cluster = Self {
            client: Client::try_from(config)?,
            kubeconfig: kubeconfig.to_owned(),
            token: String::new(),
        };
        cluster.install_crd().await?;
        cluster.token = cluster.metrics_token().await?;
        Ok(cluster)
    }

    async fn install_crd(&self) -> anyhow::Result<()> {
        let file = crate::root().join("config/crd/bases/jobset.x-k8s.io_jobsets.yaml");
        let definition = std::fs::read(&file).with_context(|| file.display().to_string())?;
        let path =
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobsets.jobset.x-k8s.io";
        let request = Request::patch(format!("{path}?fieldManager=bench&force=true"))
            .header("content-type", "application/apply-patch+yaml")
            .body(definition)?;
        self.client.request::<Value>(request).await?;
        self.eventually("JobSets can be created", async || {
            let path = within(JOBSETS, "default");
            Ok(self.get(&path).await.is_ok().then_some(()))
        })
        .await
    }

    /// Makes an account that may read metrics, and a token for it.
    async fn metrics_token(&self) -> anyhow::Result<String> {
        let account = json!({"metadata": {"name": READER}});
        self.post(&within(ACCOUNTS, "default"), &account).await?;
        let role = json!({
            "metadata": {"name": READER},
            "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
        });
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        self.post(&format!("{rbac}/clusterroles"), &role).await?;
        let binding = json!({
            "metadata": {"name": READER},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": READER},
            "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": READER}],
        });
        self.post(&format!("{rbac}/clusterrolebindings"), &binding)
            .await?;
        let path = format!("{}/{READER}/token", within(ACCOUNTS, "default"));
        let wish = json!({"spec": {"expirationSeconds": 24 * 3600}});
        let answer = self.post(&path, &wish).await?;
        let token = answer["status"]["token"].as_str();
        Ok(token.context("no token in the answer")?.to_owned())
    }

    /// Makes a namespace in which Pods can be created.
    pub(crate) async fn make_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = json!({"metadata": {"name": name}});
        self.post("/api/v1/namespaces", &namespace).await?;
        let account = format!("{}/default", within(ACCOUNTS, name));
        self.eventually("the namespace has a service account", async || {
            Ok(self.get(&account).await.is_ok().then_some(()))
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, "application/json", Vec::new())
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(
            Method::POST,
            path,
            "application/json",
            body.to_string().into_bytes(),
        )
        .await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let kind = "application/merge-patch+json";
        self.ask(Method::PATCH, path, kind, body.to_string().into_bytes())
            .await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Value> {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header("content-type", kind)
            .body(body)?;
        let answer = self.client.request(request).await;
        answer.with_context(|| format!("{method} {path}"))
    }

    /// Creates all of these objects in one collection. Returns how long it took until the last
    /// answer.
    pub(crate) async fn load(&self, path: &str, bodies: &[Vec<u8>]) -> anyhow::Result<Duration> {
        let objects = bodies.iter().map(|body| (path, body.as_slice()));
        loader::create(&self.client, objects).await
    }

    /// Removes all JobSets, Jobs, Pods and Services of a namespace. The operator must not run.
    pub(crate) async fn clear(&self, namespace: &str) -> anyhow::Result<()> {
        for collection in [JOBSETS, JOBS, PODS, SERVICES] {
            let path = within(collection, namespace);
            let how = json!({"propagationPolicy": "Background", "gracePeriodSeconds": 0});
            let body = how.to_string().into_bytes();
            self.ask(Method::DELETE, &path, "application/json", body)
                .await?;
        }
        for collection in [JOBSETS, JOBS, PODS, SERVICES] {
            let path = format!("{}?limit=1", within(collection, namespace));
            self.eventually("what was deleted is gone", async || {
                let left = self.get(&path).await?;
                Ok(left["items"]
                    .as_array()
                    .is_none_or(Vec::is_empty)
                    .then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    async fn eventually<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let begin = Instant::now();
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if begin.elapsed() > PATIENCE {
                bail!("waited {PATIENCE:?} in vain until {what}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
