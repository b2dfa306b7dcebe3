//! A whole cluster in one process: starts its parts together and stops them in order.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use embedded_apiserver::{Admission, ApiServer, Credentials, CredentialsError};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::garbage_collector::{self, GarbageCollectorOptions};
use crate::job_controller::{self, JobControllerOptions};
use crate::names::AliasRule;
use crate::node::logs::{LogHub, LogReceiver};
use crate::node::runtime::process::Launcher;
use crate::node::{ApiAccess, Kubelet, NodeOptions, RestartBackoff, Runtime};
use crate::scheduler::{self, SchedulerOptions};
use crate::supervisor::Reaper;
use crate::{client, crds};

/// What a cluster is made of.
#[derive(Clone)]
pub struct ClusterOptions {
    /// Nodes, simulated if more than one.
    pub nodes: usize,
    /// Topology labels of the nodes; see [`SchedulerOptions::topology`].
    pub topology: Vec<(String, usize)>,
    /// Labels of every node.
    pub node_labels: Vec<(String, String)>,
    /// Taints of every node.
    pub node_taints: Vec<scheduler::NodeTaint>,
    /// What every node has; see [`SchedulerOptions::resources`].
    pub node_resources: Vec<(String, String)>,
    /// Whether resource requests must fit; see [`SchedulerOptions::enforce_resources`].
    pub enforce_resources: bool,
    /// What Pods become.
    pub runtime: Runtime,
    /// Working directory of containers that do not name one.
    pub work_dir: PathBuf,
    /// The command that ends in [`crate::launcher::main`]; only for [`Runtime::Process`].
    pub launcher: Vec<OsString>,
    /// Keeps objects and claims over restarts; without it everything goes with the cluster.
    pub data_dir: Option<PathBuf>,
    /// Admission control of the API server.
    pub admission: Option<Arc<dyn Admission>>,
    /// CustomResourceDefinitions to install at the start.
    pub crds: Vec<Value>,
    /// Serve the API over TLS here as well. Port 0 takes a free one. Without it nothing outside this
    /// process reaches the API, and neither do the containers.
    pub listen: Option<SocketAddr>,
    /// Programs that containers find at the end of their `PATH`, by name; only for
    /// [`Runtime::Process`].
    pub tools: Vec<(String, PathBuf)>,
    /// Names that Pods have beside their host names; only for [`Runtime::Process`].
    pub aliases: Option<AliasRule>,
    /// Delays between restarts of a container.
    pub restart_backoff: RestartBackoff,
    /// What running Pods get between SIGTERM and SIGKILL when the cluster stops.
    pub shutdown_grace: Duration,
    /// How the Job controller runs.
    pub job_controller: JobControllerOptions,
}

impl Default for ClusterOptions {
    /// One node, processes, nothing kept, no socket. [`ClusterOptions::launcher`] is empty and has
    /// to be set for the process runtime.
    fn default() -> Self {
        Self {
            nodes: 1,
            topology: Vec::new(),
            node_labels: Vec::new(),
            node_taints: Vec::new(),
            node_resources: Vec::new(),
            enforce_resources: false,
            runtime: Runtime::Process,
            work_dir: PathBuf::from("/"),
            launcher: Vec::new(),
            data_dir: None,
            admission: None,
            crds: Vec::new(),
            listen: None,
            tools: Vec::new(),
            aliases: None,
            restart_backoff: RestartBackoff::default(),
            shutdown_grace: Duration::from_secs(1),
            job_controller: JobControllerOptions::default(),
        }
    }
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory or a process of the cluster's own.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// Setting up the API's first objects failed.
    #[error("cannot set up the API: {0}")]
    Api(#[from] kube::Error),
    /// No certificates.
    #[error("cannot make certificates: {0}")]
    Credentials(#[from] CredentialsError),
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what, source }
}

/// Where a cluster that listens can be reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The address it listens on.
    pub address: SocketAddr,
    /// A kubeconfig with the certificate authority and the administrator's token: a secret.
    pub kubeconfig: String,
}

/// A running cluster.
///
/// End it with [`Cluster::shutdown`]. When it is dropped instead, or its process is killed, all
/// processes and temporary files of it go as well, a little later.
pub struct Cluster {
    api: ApiServer,
    client: kube::Client,
    logs: LogHub,
    launcher: Launcher,
    endpoint: Option<Endpoint>,
    /// Everything that works for the Pods: Job controller, garbage collector, scheduler.
    controllers: (DropGuard, Vec<JoinHandle<()>>),
    node: (DropGuard, JoinHandle<()>),
    server: (DropGuard, Option<JoinHandle<()>>),
    cleaner: Cleaner,
}

/// Who removes the scratch directory.
enum Cleaner {
    /// There are processes: also after a sudden end.
    Reaper(Reaper),
    /// Nothing was ever started.
    Directory(TempDir),
}

impl Cluster {
    /// Starts all parts. The API answers and nodes exist when this returns.
    pub async fn start(options: ClusterOptions) -> Result<Self, Error> {
        let cluster_id = format!("{:016x}", fastrand::u64(..));
        let directory = tempfile::Builder::new()
            .prefix("jobset-")
            .tempdir()
            .map_err(io_error("create a temporary directory"))?;
        let scratch = directory.path().to_owned();
        let cleaner = match options.runtime {
            Runtime::Process => {
                let reaper = Reaper::start(&options.launcher, &cluster_id, &scratch)
                    .map_err(io_error("start the process that cleans up"))?;
                // From here on it is the reaper's.
                let _ = directory.keep();
                Cleaner::Reaper(reaper)
            }
            Runtime::Fake(_) => Cleaner::Directory(directory),
        };

        let api = open_api(&options).await?;
        let client = client::in_process(api.router());
        for crd in &options.crds {
            crds::install(&client, crd).await?;
        }
        let scheduling = SchedulerOptions {
            nodes: options.nodes,
            topology: options.topology.clone(),
            labels: options.node_labels.clone(),
            taints: options.node_taints.clone(),
            resources: options.node_resources.clone(),
            enforce_resources: options.enforce_resources,
        };
        scheduler::ensure_nodes(&client, &scheduling).await?;

        let listening = match options.listen {
            None => None,
            Some(address) => Some(Listening::start(address).await?),
        };
        let node_token = CancellationToken::new();
        let claims = options
            .data_dir
            .as_deref()
            .unwrap_or(&scratch)
            .join("claims");
        let kubelet = Kubelet::new(
            client.clone(),
            NodeOptions {
                runtime: options.runtime.clone(),
                launcher: options.launcher.clone(),
                cluster_id,
                work_dir: options.work_dir.clone(),
                scratch,
                claims,
                restart_backoff: options.restart_backoff,
                shutdown_grace: options.shutdown_grace,
                api: listening.as_ref().map(Listening::access),
                tools: options.tools.clone(),
                aliases: options.aliases.clone(),
            },
            node_token.clone(),
        );
        let (logs, launcher) = (kubelet.logs(), kubelet.launcher());
        api.set_pod_logs(Arc::new(logs.clone()));
        api.set_metrics(Arc::new(kubelet.meter()));
        let node = tokio::spawn(kubelet.run(node_token.clone()));

        let token = CancellationToken::new();
        let jobs = options.job_controller.clone();
        let gc = GarbageCollectorOptions::default();
        let controllers = vec![
            tokio::spawn(scheduler::run(client.clone(), scheduling, token.clone())),
            tokio::spawn(job_controller::run(client.clone(), jobs, token.clone())),
            tokio::spawn(garbage_collector::run(client.clone(), gc, token.clone())),
        ];

        let server_token = CancellationToken::new();
        let (endpoint, server) = listening
            .map(|listening| listening.serve(&api, server_token.clone()))
            .unzip();
        Ok(Self {
            api,
            client,
            logs,
            launcher,
            endpoint,
            controllers: (token.drop_guard(), controllers),
            node: (node_token.drop_guard(), node),
            server: (server_token.drop_guard(), server),
            cleaner,
        })
    }

    /// A client in the same process, with the administrator's rights.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The API server.
    pub fn api(&self) -> &ApiServer {
        &self.api
    }

    /// Where clients outside the process reach the API, if it listens.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    /// Every line that containers print from now on.
    pub fn subscribe_logs(&self) -> LogReceiver {
        self.logs.subscribe()
    }

    /// Whether Pods still get namespaces of their own. False once the machine has refused them:
    /// then names of headless Services do not resolve and volumes cannot be mounted.
    pub fn is_isolated(&self) -> bool {
        self.launcher.is_isolated()
    }

    /// Stops everything: controllers first, so that nothing is started again, then the Pods, then
    /// the server; removes all temporary files.
    pub async fn shutdown(self) {
        let (guard, controllers) = self.controllers;
        drop(guard);
        for task in controllers {
            let _ = task.await;
        }
        let (guard, node) = self.node;
        drop(guard);
        let _ = node.await;
        let (guard, server) = self.server;
        drop(guard);
        if let Some(task) = server {
            let _ = task.await;
        }
        let thorough = !self.launcher.is_isolated();
        let cleaned = tokio::task::spawn_blocking(move || match self.cleaner {
            Cleaner::Reaper(reaper) => reaper.dismiss(thorough),
            Cleaner::Directory(directory) => drop(directory),
        });
        let _ = cleaned.await;
    }
}

async fn open_api(options: &ClusterOptions) -> Result<ApiServer, Error> {
    let builder = || match &options.admission {
        Some(admission) => ApiServer::builder().admission(Arc::clone(admission)),
        None => ApiServer::builder(),
    };
    let Some(data_dir) = &options.data_dir else {
        return Ok(builder().build());
    };
    let mut patience = 20;
    loop {
        match builder().open(data_dir.join("objects")) {
            // A cluster that was just stopped may still be letting go of it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && patience > 0 => {
                patience -= 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return other.map_err(io_error("open the data directory")),
        }
    }
}

/// A socket on which the API is going to be served; clients that come early wait.
struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    credentials: Credentials,
}

impl Listening {
    async fn start(address: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(io_error("listen"))?;
        let address = listener.local_addr().map_err(io_error("listen"))?;
        let credentials = Credentials::generate(address)?;
        Ok(Self {
            listener,
            address,
            credentials,
        })
    }

    /// For containers, which are on this machine.
    fn access(&self) -> ApiAccess {
        ApiAccess {
            address: match self.address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => {
                    (Ipv4Addr::LOCALHOST, self.address.port()).into()
                }
                IpAddr::V6(ip) if ip.is_unspecified() => {
                    (Ipv6Addr::LOCALHOST, self.address.port()).into()
                }
                _ => self.address,
            },
            ca: self.credentials.ca_pem().to_owned(),
            token: self.credentials.token().to_owned(),
        }
    }

    fn serve(self, api: &ApiServer, shutdown: CancellationToken) -> (Endpoint, JoinHandle<()>) {
        let Self {
            listener,
            address,
            credentials,
        } = self;
        let kubeconfig = credentials.kubeconfig(&format!("https://{address}"));
        let api = api.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = api.serve(listener, &credentials, shutdown).await {
                tracing::error!(%error, "the API is no longer served");
            }
        });
        let endpoint = Endpoint {
            address,
            kubeconfig,
        };
        (endpoint, task)
    }
}
