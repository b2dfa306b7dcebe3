//! The one-machine cluster with the JobSet controller in it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jobset_controller::{Controller, ControllerOptions, Stats};
use jobset_core::short_names;
use jobset_local::cluster::{Cluster, ClusterOptions};
use jobset_local::names::{AliasRule, Aliases};
use jobset_local::node::{FakeRuntime, Runtime};
use k8s_openapi::api::core::v1::Pod;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admission::JobSetAdmission;
use crate::args::{ClusterArgs, RuntimeKind};
use crate::dashboard::{Dashboard, Way};

/// First argument of the re-executions that start containers and clean up after the cluster.
pub(crate) const LAUNCH_COMMAND: &str = "__launch";

/// The short names of a JobSet's Pod. The Pods of a JobSet find each other by them.
fn aliases(pod: &Pod) -> Option<Aliases> {
    let place = short_names::pod_place(pod)?;
    Some(Aliases {
        own: place.pod_name(),
        shared: vec![place.job_name()],
        group: place.jobset,
    })
}

/// A running cluster with its controller.
pub(crate) struct Engine {
    pub(crate) cluster: Cluster,
    pub(crate) stats: Arc<Stats>,
    dashboard: Option<Dashboard>,
    stop: CancellationToken,
    controller: JoinHandle<Result<(), jobset_controller::Error>>,
}

impl Engine {
    /// Starts everything. The API answers when this returns.
    pub(crate) async fn start(
        args: &ClusterArgs,
        listen: Option<SocketAddr>,
        data_dir: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find the program's own file")?;
        let tools = jobset_agent::NAMES.map(|name| (name.to_owned(), program.clone()));
        let cluster = Cluster::start(ClusterOptions {
            nodes: usize::from(args.nodes),
            topology: args.topology.clone(),
            node_labels: args.node_label.clone(),
            node_taints: args.node_taint.clone(),
            node_resources: args
                .node_resources
                .clone()
                .map(|pairs| pairs.0)
                .unwrap_or_default(),
            enforce_resources: args.enforce_requests,
            runtime: match args.runtime {
                RuntimeKind::Process => Runtime::Process,
                RuntimeKind::Fake => Runtime::Fake(FakeRuntime {
                    succeed_after: Some(args.fake_duration),
                    ..FakeRuntime::default()
                }),
            },
            work_dir: std::env::current_dir().context("cannot find the present directory")?,
            launcher: vec![program.into_os_string(), LAUNCH_COMMAND.into()],
            data_dir,
            admission: Some(Arc::new(JobSetAdmission::new(args.feature_gates))),
            crds: vec![jobset_api::crd::crd_value().clone()],
            listen,
            tools: tools.into(),
            aliases: Some(AliasRule::new(aliases)),
            ..ClusterOptions::default()
        })
        .await?;
        if let (Some(path), Some(endpoint)) = (&args.kubeconfig, cluster.endpoint()) {
            write_secret(path, &endpoint.kubeconfig)
                .with_context(|| format!("cannot write the kubeconfig {}", path.display()))?;
        }
        let controller = Controller::new(
            cluster.client(),
            ControllerOptions {
                gates: args.feature_gates,
                ..ControllerOptions::default()
            },
        );
        let (stats, stop) = (controller.stats(), CancellationToken::new());
        let controller = tokio::spawn(controller.run(stop.clone()));
        let mut engine = Self {
            cluster,
            stats,
            dashboard: None,
            stop,
            controller,
        };
        if let Some(port) = args.dashboard {
            let way = Way::Client(engine.cluster.client());
            match Dashboard::start(way, None, String::new(), port).await {
                Ok(dashboard) => engine.dashboard = Some(dashboard),
                Err(error) => {
                    engine.shutdown().await;
                    return Err(error);
                }
            }
        }
        Ok(engine)
    }

    /// The address of the dashboard, if there is one.
    pub(crate) fn dashboard(&self) -> Option<&str> {
        self.dashboard.as_ref().map(Dashboard::url)
    }

    /// Stops the controller, then the cluster and every process of it.
    pub(crate) async fn shutdown(self) {
        if let Some(dashboard) = self.dashboard {
            dashboard.stop();
        }
        self.stop.cancel();
        match self.controller.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the controller ended"),
            Err(error) => tracing::error!(%error, "the controller panicked"),
        }
        self.cluster.shutdown().await;
    }
}

/// Writes a file that only its owner can read, replacing it in one step. Directories that are missing on
/// the way to it are made, as kubectl does: a home directory need not have a `.kube` yet.
pub(crate) fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::DirBuilderExt as _;

    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    // Temporary files are created with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

/// The runtime that the commands run on.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?
        .block_on(future)
}

/// Completes when a signal asks the process to stop; a second signal ends it at once.
/// Signals are heeded from the call on, before the future is awaited.
pub(crate) fn interrupted() -> impl Future<Output = std::io::Result<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = [
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ];
    async move {
        let [interrupt, terminate, hangup] = signals;
        let (mut interrupt, mut terminate, mut hangup) = (interrupt?, terminate?, hangup?);
        let mut next = async move || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        };
        next().await;
        tokio::spawn(async move {
            next().await;
            // What is still running goes with this process.
            std::process::exit(i32::from(crate::exit::Exit::Interrupted.code()));
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use nix::sys::signal::{Signal, raise};

    /// A signal that comes while something is still being started ends it in order, and not at once.
    #[test]
    fn a_signal_before_the_wait_is_not_lost() {
        let waited = super::block_on(async {
            let interrupted = super::interrupted();
            raise(Signal::SIGHUP)?;
            Ok(interrupted.await?)
        });
        assert!(waited.is_ok(), "{waited:?}");
    }

    #[test]
    fn a_secret_is_for_its_owner_alone_and_so_are_the_directories_made_for_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(".kube/deeper/config");
        super::write_secret(&path, "one").unwrap();
        super::write_secret(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&place.path().join(".kube")), 0o700);
    }
}
