//! The node: runs the Pods that are bound to it and reports what becomes of them.
//!
//! One instance serves all simulated nodes of the cluster. For every bound Pod it keeps a worker
//! (`pod`), which feeds a pure state machine (`lifecycle`), carries out its decisions through
//! runs of single containers (`container`) and writes the status that `status` derives.
//!
//! | file | subject |
//! |---|---|
//! | `lifecycle` | what happens next in a Pod (pure) |
//! | `status` | the status a Pod shows (pure) |
//! | `env`, `fields`, `quantity` | environment, command line and downward API (pure) |
//! | `pod` | the worker of one Pod |
//! | `container` | one run of one container |
//! | `probes` | probes and hooks |
//! | `sources`, `volumes` | ConfigMaps, Secrets; volumes as host directories |
//! | `logs`, `pod_logs` | output of containers, kept and served |
//! | `meter` | what containers use |
//! | `address` | loopback addresses |
//! | `account` | how containers reach the API, and as whom |
//! | `tools` | programs that are put on their `PATH` |
//! | `runtime` | processes through the launcher, or none at all |
//!
//! # What differs from a real node
//!
//! * Images are not pulled; commands are the host's. A container without `command` cannot run.
//! * Containers share the host's network, so every Pod has a loopback address of its own but
//!   `0.0.0.0:PORT` can be bound by one Pod only. Bind the Pod's host name instead, or the address
//!   in `JOBSET_POD_IP`.
//! * All service accounts have the administrator's rights.
//! * Containers see the host's file system with the Pod's volumes mounted over it, and run as the
//!   user who started the cluster; `securityContext` has no effect.
//! * Resource limits are not enforced.
//! * Where user namespaces are not permitted, commands run without isolation: names of headless
//!   Services do not resolve, and Pods that mount volumes fail. An event says so.

mod account;
mod address;
pub(crate) mod container;
mod env;
mod fields;
pub(crate) mod lifecycle;
pub mod logs;
mod meter;
mod pod;
mod pod_logs;
mod probes;
pub(crate) mod quantity;
pub mod runtime;
mod sources;
mod status;
mod tools;
mod volumes;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::names::{AliasRule, Names};
use crate::shell::clock::Clock;
use crate::shell::events::Recorder;
use crate::shell::pump::pump;
use account::Accounts;
use address::Addresses;
use fields::PodFacts;
use logs::{LogHub, PodName};
use meter::Meter;
use pod::{Message, Worker};
use runtime::process::Launcher;

pub use account::ApiAccess;
pub use env::INHERITED;
pub use lifecycle::RestartBackoff;
pub use runtime::{EXIT_CODE, FakeRuntime, Runtime};

/// How the node runs.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// What Pods become.
    pub runtime: Runtime,
    /// The command that ends in [`crate::launcher::main`]; only for the process runtime.
    pub launcher: Vec<OsString>,
    /// Marks every process of the cluster, in the variable `JOBSET_CLUSTER_ID`.
    pub cluster_id: String,
    /// Working directory of containers that do not name one.
    pub work_dir: PathBuf,
    /// Directory for everything that ends with the cluster. Must exist.
    pub scratch: PathBuf,
    /// Directory for the contents of persistent volume claims.
    pub claims: PathBuf,
    /// Delays between restarts of a container.
    pub restart_backoff: RestartBackoff,
    /// What running Pods get between SIGTERM and SIGKILL when the node itself stops.
    pub shutdown_grace: Duration,
    /// How containers reach the API; absent if it is not served outside this process.
    pub api: Option<ApiAccess>,
    /// Programs that containers find at the end of their `PATH`, by name.
    pub tools: Vec<(String, PathBuf)>,
    /// Names that Pods have beside their host names.
    pub aliases: Option<AliasRule>,
}

/// What all workers share.
pub(crate) struct Node {
    pub(crate) client: Client,
    pub(crate) options: NodeOptions,
    pub(crate) launcher: Launcher,
    pub(crate) logs: LogHub,
    pub(crate) meter: Meter,
    pub(crate) names: Names,
    pub(crate) recorder: Recorder,
    pub(crate) base_env: Vec<(String, String)>,
    pub(crate) cluster_id: String,
    pub(crate) work_dir: PathBuf,
    pub(crate) pods_dir: PathBuf,
    pub(crate) claims_dir: PathBuf,
    pub(crate) accounts: Option<Accounts>,
    /// The Pod's address is filled in per Pod.
    pub(crate) facts: PodFacts,
}

/// Runs Pods until told to stop.
pub struct Kubelet {
    node: Arc<Node>,
    addresses: Mutex<Addresses>,
}

/// A Pod the node knows.
struct Known {
    sender: mpsc::UnboundedSender<Message>,
    address: Ipv4Addr,
    name: PodName,
}

impl Kubelet {
    /// A node that has not started yet. Its background writers stop at `shutdown`.
    pub fn new(client: Client, options: NodeOptions, shutdown: CancellationToken) -> Self {
        let recorder = Recorder::start(client.clone(), "kubelet", Clock::system(), shutdown);
        let machine = crate::scheduler::Machine::detect();
        let real = matches!(options.runtime, Runtime::Process);
        let mut base_env = env::inherited();
        if real && !options.tools.is_empty() {
            match tools::provide(&options.scratch.join("tools"), &options.tools) {
                Ok(directory) => tools::append(&mut base_env, &directory),
                Err(error) => tracing::warn!(%error, "containers do without the cluster's tools"),
            }
        }
        let accounts = options.api.clone().filter(|_| real);
        let node = Node {
            launcher: Launcher::new(options.launcher.clone(), &options.cluster_id),
            logs: LogHub::new(options.scratch.join("logs")),
            names: Names::new(
                real.then(|| options.scratch.join("names")),
                options.aliases.clone(),
            ),
            meter: Meter::default(),
            recorder,
            base_env,
            cluster_id: options.cluster_id.clone(),
            work_dir: options.work_dir.clone(),
            pods_dir: options.scratch.join("pods"),
            claims_dir: options.claims.clone(),
            accounts: accounts.map(|api| Accounts::new(api, options.scratch.join("accounts"))),
            facts: PodFacts {
                pod_ip: String::new(),
                host_ip: "127.0.0.1".to_owned(),
                node_cpus: machine.milli_cpus,
                node_memory: machine.memory,
            },
            client,
            options,
        };
        // Odd, and away from the addresses that distributions give to localhost and resolvers.
        let octet = 64 + fastrand::u8(0..64) * 2 + 1;
        // Where nothing listens, an address need not be the machine's, and endpoints of Services
        // must not be loopback addresses.
        let first = if real { 127 } else { 10 };
        Self {
            node: Arc::new(node),
            addresses: Mutex::new(Addresses::new(first, octet)),
        }
    }

    /// The output of all containers.
    pub fn logs(&self) -> LogHub {
        self.node.logs.clone()
    }

    /// What the containers use.
    pub(crate) fn meter(&self) -> Meter {
        self.node.meter.clone()
    }

    /// What starts the containers.
    pub(crate) fn launcher(&self) -> Launcher {
        self.node.launcher.clone()
    }

    /// Runs Pods until `shutdown`, then stops them all and returns when the last one has ended.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut pods: HashMap<String, Known> = HashMap::new();
        let mut listed: Option<HashSet<String>> = None;
        let mut workers = JoinSet::new();
        let client = self.node.client.clone();
        let services = pump(
            Api::<Service>::all(client.clone()),
            watcher::Config::default(),
            shutdown.clone(),
            |event| self.node.names.on_service(event),
        );
        let config = watcher::Config::default();
        let watch = pump(Api::<Pod>::all(client), config, shutdown.clone(), |event| {
            while workers.try_join_next().is_some() {}
            match event {
                Event::Init => listed = Some(HashSet::new()),
                Event::InitApply(pod) => {
                    if let (Some(listed), Some(uid)) = (&mut listed, &pod.metadata.uid) {
                        listed.insert(uid.clone());
                    }
                    self.on_pod(&mut pods, &mut workers, pod);
                }
                Event::InitDone => {
                    // What a new list lacks was deleted while nobody watched.
                    let listed = listed.take().unwrap_or_default();
                    let gone: Vec<_> = pods
                        .keys()
                        .filter(|uid| !listed.contains(*uid))
                        .cloned()
                        .collect();
                    for uid in gone {
                        self.on_gone(&mut pods, &uid);
                    }
                }
                Event::Apply(pod) => self.on_pod(&mut pods, &mut workers, pod),
                Event::Delete(pod) => {
                    if let Some(uid) = &pod.metadata.uid {
                        self.on_gone(&mut pods, uid);
                    }
                }
            }
        });
        let names = self.node.names.keep_flushed(shutdown.clone());
        let measure = async {
            // What does not run uses nothing at any time.
            if matches!(self.node.options.runtime, Runtime::Process) {
                self.node.meter.keep(shutdown.clone()).await;
            }
        };
        tokio::join!(services, watch, names, measure);
        for known in pods.values() {
            let _ = known
                .sender
                .send(Message::Shutdown(self.node.options.shutdown_grace));
        }
        while workers.join_next().await.is_some() {}
    }

    fn on_pod(&self, pods: &mut HashMap<String, Known>, workers: &mut JoinSet<()>, mut pod: Pod) {
        pod.metadata.managed_fields = None;
        let Some(uid) = pod.metadata.uid.clone() else {
            return;
        };
        if pod.spec.as_ref().is_none_or(|s| s.node_name.is_none()) {
            return;
        }
        let pod = Arc::new(pod);
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        let over = matches!(phase, Some("Succeeded" | "Failed"));
        if let Some(known) = pods.get(&uid) {
            let told = known.sender.send(Message::Updated(Arc::clone(&pod)));
            if told.is_err() && over && awaits_finalizing(&pod) {
                // The worker is done; what is left is to let the object go.
                let (client, name) = (self.node.client.clone(), known.name.clone());
                workers.spawn(async move { finalize(&client, &name).await });
            }
            return;
        }
        let (sender, inbox) = mpsc::unbounded_channel();
        let address = self.addresses().take();
        let name = PodName {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: uid.clone(),
        };
        pods.insert(
            uid.clone(),
            Known {
                sender: sender.clone(),
                address,
                name: name.clone(),
            },
        );
        if over {
            if awaits_finalizing(&pod) {
                let client = self.node.client.clone();
                workers.spawn(async move { finalize(&client, &name).await });
            }
            return;
        }
        if matches!(self.node.options.runtime, Runtime::Process) {
            self.node.names.add(&name, &pod, address);
            let spec = pod.spec.iter();
            let containers = spec.flat_map(|s| {
                s.containers
                    .iter()
                    .chain(s.init_containers.iter().flatten())
            });
            self.node
                .logs
                .admit(&uid, containers.map(|c| c.name.clone()).collect());
        }
        let worker = Worker::new(Arc::clone(&self.node), pod, address, sender, inbox);
        workers.spawn(worker.run());
    }

    fn on_gone(&self, pods: &mut HashMap<String, Known>, uid: &str) {
        let Some(known) = pods.remove(uid) else {
            return;
        };
        let _ = known.sender.send(Message::Gone);
        self.node.names.remove(&known.name);
        self.node.logs.forget(uid);
        self.addresses().release(known.address);
        if matches!(self.node.options.runtime, Runtime::Process) {
            let directory = self.node.pods_dir.join(uid);
            tokio::spawn(async move {
                // The worker may still be ending processes that write there.
                known.sender.closed().await;
                let _ = std::fs::remove_dir_all(directory);
            });
        }
    }

    fn addresses(&self) -> std::sync::MutexGuard<'_, Addresses> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a Pod is being deleted and its object waits for the node. Once it was let go, only
/// finalizers can keep it, and those are for others.
pub(crate) fn awaits_finalizing(pod: &Pod) -> bool {
    let meta = &pod.metadata;
    meta.deletion_timestamp.is_some() && meta.deletion_grace_period_seconds != Some(0)
}

/// Lets go of a Pod that was deleted gracefully and has stopped.
pub(crate) async fn finalize(client: &Client, name: &PodName) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &name.namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: Some(name.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    if let Err(error) = api.delete(&name.name, &params).await {
        tracing::debug!(pod = name.name, %error, "deleted Pod not let go");
    }
}
