//! The clusters that scenarios run on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use embedded_apiserver::Admission;
use http::Request;
use jobset_api::{Feature, FeatureGates};
use jobset_cli::admission::JobSetAdmission;
use jobset_local::cluster::{Cluster, ClusterOptions};
use jobset_local::node::{FakeRuntime, Kubelet, NodeOptions, RestartBackoff, Runtime};
use jobset_local::scheduler::{self, SchedulerOptions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config, api::DynamicObject};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dns::{Dns, DnsProgram};
use crate::installation::Installation;
use crate::operator::Operator;
use crate::policies::Policies;
use crate::replica::Program;
use crate::user::Kubectl;

/// What not every cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Webhooks, or what takes their place, default and validate JobSets.
    JobSetAdmission,
    /// The same place exclusive Pods.
    PodAdmission,
    /// The controller has what the gate of this name promises.
    ElasticJobSet,
    /// The controller publishes short names of Pods.
    ShortNames,
    /// It does not.
    NoShortNames,
    /// A DNS server of Kubernetes answers for the cluster.
    ClusterDns,
    /// No webhooks, but a policy of the API server's own that validates JobSets.
    AdmissionPolicy,
    /// Namespaces get a service account, without which there are no Pods.
    ServiceAccounts,
}

/// How long a cluster may take to provide something.
const PATIENCE: Duration = Duration::from_mins(1);
/// Nodes of either cluster, and the racks they are in.
const NODES: usize = 8;
const RACKS: usize = 4;
/// Name of the CustomResourceDefinition.
const DEFINITION: &str = "jobsets.jobset.x-k8s.io";
/// Label of a node's rack.
pub const RACK: &str = "example.com/rack";

/// A cluster with a JobSet controller.
pub struct Environment {
    /// What it is, in a word.
    pub name: &'static str,
    /// Has the administrator's rights.
    pub client: Client,
    /// Where there is one.
    pub kubectl: Option<Kubectl>,
    /// Starts and stops the controller.
    pub operator: Mutex<Operator>,
    has: BTreeSet<Need>,
    dns: Option<Dns>,
    parts: Mutex<Parts>,
}

/// A program to test, and how it is installed.
pub struct Manifested {
    /// The operator.
    pub program: PathBuf,
    /// Its rendered manifests.
    pub manifests: PathBuf,
    /// Receives what it says.
    pub log: PathBuf,
    /// The API server's audit log, if it writes one.
    pub audit: Option<PathBuf>,
}

/// What has to be ended.
struct Parts {
    cluster: Option<Cluster>,
    node: JoinSet<()>,
    shutdown: CancellationToken,
    _scratch: TempDir,
}

/// The gates that scenarios count on.
pub fn gates() -> FeatureGates {
    FeatureGates::default()
        .with(Feature::RestartJob, true)
        .with(Feature::ElasticJobSet, true)
}

fn scheduling() -> SchedulerOptions {
    SchedulerOptions {
        nodes: NODES,
        topology: vec![(RACK.to_owned(), RACKS)],
        ..SchedulerOptions::default()
    }
}

/// Pods run until they are told to end.
const RUNTIME: Runtime = Runtime::Fake(FakeRuntime {
    start_after: Duration::ZERO,
    succeed_after: None,
});

impl Environment {
    /// The embedded cluster with the controller in this process.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn embedded(kubectl: Option<PathBuf>) -> anyhow::Result<Self> {
        let admission = JobSetAdmission::new(gates());
        Self::on_embedded("embedded", kubectl, Some(Arc::new(admission))).await
    }

    /// The same as `config/no-webhook` has it: only policies of the API server check JobSets.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn embedded_without_webhooks(kubectl: Option<PathBuf>) -> anyhow::Result<Self> {
        Self::on_embedded("embedded, without webhooks", kubectl, None).await
    }

    async fn on_embedded(
        name: &'static str,
        kubectl: Option<PathBuf>,
        admission: Option<Arc<dyn Admission>>,
    ) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir()?;
        let cluster = Cluster::start(ClusterOptions {
            nodes: NODES,
            topology: scheduling().topology,
            runtime: RUNTIME,
            admission: admission.clone(),
            crds: vec![jobset_api::crd::crd_value().clone()],
            listen: Some(([127, 0, 0, 1], 0).into()),
            ..ClusterOptions::default()
        })
        .await?;
        let kubeconfig = scratch.path().join("kubeconfig");
        let endpoint = cluster.endpoint().context("the cluster does not listen")?;
        std::fs::write(&kubeconfig, &endpoint.kubeconfig)?;
        let client = cluster.client();
        let (policies, has) = match admission {
            Some(_) => (
                None,
                BTreeSet::from([
                    Need::JobSetAdmission,
                    Need::PodAdmission,
                    Need::ElasticJobSet,
                    Need::ShortNames,
                ]),
            ),
            None => (
                Some(Policies::read(client.clone())?),
                BTreeSet::from([Need::AdmissionPolicy, Need::NoShortNames]),
            ),
        };
        let environment = Self {
            name,
            kubectl: kubectl.map(|program| Kubectl {
                program,
                kubeconfig,
                home: scratch.path().to_owned(),
            }),
            operator: Mutex::new(Operator::in_process(
                client.clone(),
                gates(),
                policies,
                has.contains(&Need::ShortNames),
            )),
            client,
            has,
            dns: None,
            parts: Mutex::new(Parts {
                cluster: Some(cluster),
                node: JoinSet::new(),
                shutdown: CancellationToken::new(),
                _scratch: scratch,
            }),
        };
        environment.operator.lock().await.start().await?;
        Ok(environment)
    }

    /// The cluster of a kubeconfig: installs what belongs to JobSet, adds nodes that only pretend
    /// to run Pods, and starts the controller, this one or a program, and a DNS server if there is
    /// one.
    ///
    /// # Errors
    /// When one of these fails.
    pub async fn real(
        kubeconfig: &Path,
        kubectl: Option<PathBuf>,
        controller: Option<Manifested>,
        dns: Option<&DnsProgram>,
    ) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir()?;
        let client = connect(kubeconfig).await?;
        let kubectl = kubectl.map(|program| Kubectl {
            program,
            kubeconfig: kubeconfig.to_owned(),
            home: scratch.path().to_owned(),
        });
        let mut has = BTreeSet::from([Need::ServiceAccounts]);
        let operator = match controller {
            None => {
                install_crd(&client).await?;
                has.insert(Need::NoShortNames);
                Operator::in_process(connect(kubeconfig).await?, gates(), None, false)
            }
            Some(Manifested {
                program,
                manifests,
                log,
                audit,
            }) => {
                let kubectl = kubectl.clone().context("installing needs kubectl")?;
                let installation = Installation::read(&manifests, kubectl)?;
                let (client, scratch) = (client.clone(), scratch.path());
                let program = Program::install(
                    program,
                    installation,
                    client,
                    gates(),
                    scratch,
                    (log, audit),
                )
                .await?;
                has.insert(if program.has_short_names()? {
                    Need::ShortNames
                } else {
                    Need::NoShortNames
                });
                if program.has_webhooks() {
                    has.extend([
                        Need::JobSetAdmission,
                        Need::PodAdmission,
                        Need::ElasticJobSet,
                    ]);
                } else {
                    has.insert(Need::AdmissionPolicy);
                }
                Operator::program(program)
            }
        };
        let dns = match dns {
            Some(program) => {
                has.insert(Need::ClusterDns);
                Some(Dns::start(program, kubeconfig, scratch.path()).await?)
            }
            None => None,
        };
        let shutdown = CancellationToken::new();
        let node = start_nodes(&client, scratch.path(), &shutdown).await?;
        let environment = Self {
            name: "real",
            kubectl,
            client,
            operator: Mutex::new(operator),
            has,
            dns,
            parts: Mutex::new(Parts {
                cluster: None,
                node,
                shutdown,
                _scratch: scratch,
            }),
        };
        environment.operator.lock().await.start().await?;
        Ok(environment)
    }

    /// Whether the cluster has this.
    pub fn has(&self, need: Need) -> bool {
        self.has.contains(&need)
    }

    /// The DNS server that answers for the cluster.
    ///
    /// # Errors
    /// When there is none.
    pub fn dns(&self) -> anyhow::Result<&Dns> {
        self.dns.as_ref().context("the cluster has no DNS server")
    }

    /// Stops what was started here.
    ///
    /// # Errors
    /// When the controller has failed.
    pub async fn shutdown(&self) -> anyhow::Result<()> {
        let stopped = self.operator.lock().await.remove().await;
        let mut parts = self.parts.lock().await;
        parts.shutdown.cancel();
        while parts.node.join_next().await.is_some() {}
        if let Some(cluster) = parts.cluster.take() {
            cluster.shutdown().await;
        }
        stopped
    }

    /// Waits until Pods can be created in a namespace.
    pub(crate) async fn await_service_account(&self, namespace: &str) -> anyhow::Result<()> {
        if !self.has(Need::ServiceAccounts) {
            return Ok(());
        }
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ServiceAccount"));
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let exists = await_condition(api, "default", |o: Option<&DynamicObject>| o.is_some());
        tokio::time::timeout(PATIENCE, exists)
            .await
            .with_context(|| format!("namespace {namespace} gets no service account"))??;
        Ok(())
    }
}

/// A client that repeats nothing by itself.
pub(crate) async fn connect(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Nodes of which nobody but the cluster takes note.
async fn start_nodes(
    client: &Client,
    scratch: &Path,
    shutdown: &CancellationToken,
) -> anyhow::Result<JoinSet<()>> {
    scheduler::ensure_nodes(client, &scheduling()).await?;
    let options = NodeOptions {
        runtime: RUNTIME,
        launcher: Vec::new(),
        cluster_id: String::new(),
        work_dir: PathBuf::from("/"),
        scratch: scratch.to_owned(),
        claims: scratch.join("claims"),
        restart_backoff: RestartBackoff::default(),
        shutdown_grace: Duration::ZERO,
        api: None,
        tools: Vec::new(),
        aliases: None,
    };
    let kubelet = Kubelet::new(client.clone(), options, shutdown.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(kubelet.run(shutdown.clone()));
    tasks.spawn(scheduler::keep_alive(
        client.clone(),
        scheduling(),
        shutdown.clone(),
    ));
    Ok(tasks)
}

/// Keeps nodes and nothing else until told to stop.
///
/// # Errors
/// When the cluster cannot be reached.
pub async fn run_nodes(kubeconfig: &Path, shutdown: CancellationToken) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = connect(kubeconfig).await?;
    let mut tasks = start_nodes(&client, scratch.path(), &shutdown).await?;
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Applies the definition on the server's side, and waits until JobSets can be created.
pub(crate) async fn install_crd(client: &Client) -> anyhow::Result<()> {
    let name = DEFINITION;
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../config/crd/bases/jobset.x-k8s.io_jobsets.yaml");
    let definition = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let request = Request::patch(format!(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}\
         ?fieldManager=jobset-conformance&force=true"
    ))
    .header("content-type", "application/apply-patch+yaml")
    .body(definition)?;
    client.request::<Value>(request).await?;
    await_definition(client).await
}

/// Waits until JobSets can be created.
pub(crate) async fn await_definition(client: &Client) -> anyhow::Result<()> {
    let name = DEFINITION;
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&gvk));
    let established = await_condition(api, name, |crd: Option<&DynamicObject>| {
        let conditions = crd.and_then(|crd| crd.data["status"]["conditions"].as_array());
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|c| c["type"] == "Established" && c["status"] == "True")
    });
    tokio::time::timeout(PATIENCE, established)
        .await
        .context("the CustomResourceDefinition is not established")??;
    Ok(())
}
