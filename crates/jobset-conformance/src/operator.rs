//! The JobSet controller under test, to be started and stopped at will.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use jobset_api::{Feature, FeatureGates};
use jobset_controller::{Controller, ControllerOptions, Error};
use kube::Client;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a program may take to end.
const GRACE: Duration = Duration::from_secs(30);

/// The controller.
pub struct Operator {
    how: How,
    gates: FeatureGates,
    running: Option<Running>,
}

enum How {
    InProcess(Client),
    Program(PathBuf, PathBuf),
}

enum Running {
    Task(CancellationToken, JoinHandle<Result<(), Error>>),
    /// With the configuration file, which it may read again.
    Process(
        Child,
        #[expect(dead_code, reason = "kept while the process runs")] tempfile::NamedTempFile,
    ),
}

impl Operator {
    /// The library, in this process.
    pub(crate) fn in_process(client: Client, gates: FeatureGates) -> Self {
        Self {
            how: How::InProcess(client),
            gates,
            running: None,
        }
    }

    /// A program, told where the cluster is by the variable `KUBECONFIG`.
    pub(crate) fn program(program: PathBuf, kubeconfig: PathBuf, gates: FeatureGates) -> Self {
        Self {
            how: How::Program(program, kubeconfig),
            gates,
            running: None,
        }
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        self.running = Some(match &self.how {
            How::InProcess(client) => {
                let options = ControllerOptions {
                    gates: self.gates,
                    ..ControllerOptions::default()
                };
                let token = CancellationToken::new();
                let controller = Controller::new(client.clone(), options);
                Running::Task(token.clone(), tokio::spawn(controller.run(token)))
            }
            How::Program(program, kubeconfig) => {
                let file = tempfile::NamedTempFile::new()?;
                std::fs::write(file.path(), configuration(self.gates))?;
                let child = Command::new(program)
                    .arg(format!("--config={}", file.path().display()))
                    .env("KUBECONFIG", kubeconfig)
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .with_context(|| format!("cannot start {}", program.display()))?;
                Running::Process(child, file)
            }
        });
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it has failed.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            None => Ok(()),
            Some(Running::Task(token, task)) => {
                token.cancel();
                Ok(task.await??)
            }
            Some(Running::Process(mut child, _)) => {
                if let Some(pid) = child.id() {
                    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
                    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
                }
                let ended = tokio::time::timeout(GRACE, child.wait()).await;
                let status = ended.context("the controller does not end")??;
                anyhow::ensure!(status.success(), "the controller ended with {status}");
                Ok(())
            }
        }
    }

    /// Ends it in the middle of whatever it does.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        match self.running.take() {
            None => {}
            Some(Running::Task(_, task)) => {
                task.abort();
                let _ = task.await;
            }
            Some(Running::Process(mut child, _)) => child.kill().await?,
        }
        Ok(())
    }
}

/// The controller's configuration file.
fn configuration(gates: FeatureGates) -> String {
    let mut text = "apiVersion: config.jobset.x-k8s.io/v1alpha1\nkind: Configuration\n\
                    leaderElection:\n  leaderElect: false\nfeatureGates:\n"
        .to_owned();
    for feature in [Feature::RestartJob, Feature::ElasticJobSet] {
        let _ = writeln!(text, "  {}: {}", feature.name(), gates.enabled(feature));
    }
    text
}
