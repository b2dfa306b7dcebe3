//! One run of one container: prepare, launch, watch, and say how it ended.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::Node;
use super::env;
use super::fields::PodFacts;
use super::lifecycle::Ended;
use super::logs::PodName;
use super::probes::{self, Finding, ProbeKind};
use super::runtime::process::{Control, Ending};
use super::{sources, volumes};
use crate::sandbox::protocol::{ContainerSpec, EXIT_CANNOT_START, MARKER, Mount, POD_IP, Request};

/// Termination messages are cut after this many bytes, as the kubelet does.
const TERMINATION_MESSAGE: usize = 4096;
/// A `postStart` hook may take as long as it needs, within reason.
const LONGEST_HOOK: Duration = Duration::from_hours(1);

/// Everything a run needs; owned, because it outlives the worker's borrow.
pub(crate) struct Start {
    pub(crate) node: Arc<Node>,
    pub(crate) pod: Arc<Pod>,
    pub(crate) name: PodName,
    pub(crate) container: Container,
    pub(crate) facts: PodFacts,
    pub(crate) volumes: Arc<HashMap<String, PathBuf>>,
    pub(crate) directory: PathBuf,
    pub(crate) attempt: i32,
    pub(crate) control: Control,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
}

/// What a run reports while it lasts.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The command runs and the `postStart` hook is done.
    Started,
    /// A probe found something out.
    Probe(ProbeKind, Finding),
    /// The `postStart` hook failed; the container has to be restarted.
    HookFailed(String),
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum RunEnd {
    /// It was not started; to be tried again.
    Blocked {
        reason: &'static str,
        message: String,
    },
    /// Isolation is not permitted on this machine: to be tried again without.
    NotIsolated(String),
    /// It was started, or can never be.
    Ended(Ended),
}

impl Start {
    /// Runs to the end.
    pub(crate) async fn run(self, report: impl Fn(Progress) + Clone + Send + Sync) -> RunEnd {
        match self.prepare().await {
            Err(end) => end,
            Ok(spec) => self.launch(spec, report).await,
        }
    }

    async fn prepare(&self) -> Result<ContainerSpec, RunEnd> {
        let blocked = |message| RunEnd::Blocked {
            reason: "CreateContainerConfigError",
            message,
        };
        let needed = env::needed(&self.container);
        let sources = sources::fetch(&self.node.client, &self.name.namespace, needed)
            .await
            .map_err(|e| blocked(e.to_string()))?;
        let spec = self.pod.spec.as_ref();
        let hostname = hostname(&self.pod);
        let mut base = self.node.base_env.clone();
        base.push(("HOSTNAME".to_owned(), hostname.clone()));
        base.push((MARKER.to_owned(), self.node.cluster_id.clone()));
        base.push((POD_IP.to_owned(), self.facts.pod_ip.clone()));
        let isolated = self.node.launcher.is_isolated();
        let mut account = None;
        if let Some(accounts) = &self.node.accounts {
            let namespace = &self.name.namespace;
            let found = accounts
                .of(&self.pod, &self.container, namespace, isolated)
                .map_err(|e| blocked(e.to_string()))?;
            base.extend(found.variables);
            account = found.mount;
        }
        let env = env::build(&base, &self.pod, &self.container, &self.facts, &sources)
            .map_err(blocked)?;
        let argv = env::argv(&self.container, &env);
        if argv.is_empty() {
            let image = self.container.image.as_deref().unwrap_or_default();
            let message = format!(
                "container {:?} has no command: the process runtime does not pull images and so \
                 cannot know the entry point of {image:?}; set `command` in the container's spec",
                self.container.name
            );
            return Err(RunEnd::Ended(failed_start(
                EXIT_CANNOT_START,
                "NoCommand",
                message,
            )));
        }
        let mut mounts = volumes::mounts(&self.container, &self.volumes, &env).map_err(blocked)?;
        if isolated {
            mounts.extend(
                self.own_files(&hostname)
                    .map_err(|e| blocked(e.to_string()))?,
            );
            mounts.extend(account);
        } else if !mounts.is_empty() {
            let message = format!(
                "container {:?} mounts volumes, which needs user and mount namespaces; this \
                 machine does not permit them",
                self.container.name
            );
            return Err(RunEnd::Ended(failed_start(
                EXIT_CANNOT_START,
                "StartError",
                message,
            )));
        }
        if spec.is_some_and(|s| s.subdomain.is_some()) {
            self.node
                .names
                .learn_service(&self.node.client, &self.pod)
                .await;
        }
        self.node.names.flush(&self.name.namespace);
        Ok(ContainerSpec {
            argv,
            env,
            cwd: self
                .container
                .working_dir
                .as_ref()
                .filter(|d| !d.is_empty())
                .map_or_else(|| self.node.work_dir.clone(), |d| Path::new("/").join(d)),
            hostname,
            stage: self.directory.join("stage"),
            mounts,
        })
    }

    /// The hosts file, the host name file and the file for the termination message.
    fn own_files(&self, hostname: &str) -> std::io::Result<Vec<Mount>> {
        std::fs::create_dir_all(self.directory.join("stage"))?;
        let own = |source: PathBuf, target: &str, optional| Mount {
            source,
            target: PathBuf::from(target),
            read_only: false,
            optional,
        };
        let mut mounts = vec![own(
            self.node
                .names
                .hosts_file(&self.name.namespace, &self.pod)?,
            "/etc/hosts",
            true,
        )];
        let hostname_file = self.directory.join("hostname");
        if !hostname_file.exists() {
            std::fs::write(&hostname_file, format!("{hostname}\n"))?;
        }
        mounts.push(own(hostname_file, "/etc/hostname", true));
        let message_file = self.message_file();
        if let Some(parent) = message_file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&message_file, "")?;
        mounts.push(own(message_file, self.message_path(), false));
        Ok(mounts)
    }

    fn message_path(&self) -> &str {
        let path = self.container.termination_message_path.as_deref();
        path.filter(|p| !p.is_empty())
            .unwrap_or("/dev/termination-log")
    }

    fn message_file(&self) -> PathBuf {
        let file = format!("{}-{}", self.container.name, self.attempt);
        self.directory.join("termination").join(file)
    }

    async fn launch(
        self,
        spec: ContainerSpec,
        report: impl Fn(Progress) + Clone + Send + Sync,
    ) -> RunEnd {
        let log = match self
            .node
            .logs
            .begin(&self.name, &self.container.name, self.attempt)
        {
            Ok(log) => log,
            Err(error) => {
                let message = format!("cannot write the container's log: {error}");
                return RunEnd::Blocked {
                    reason: "CreateContainerError",
                    message,
                };
            }
        };
        let message_file = self.message_file();
        let Self {
            node,
            container,
            control,
            requests,
            facts,
            name,
            ..
        } = self;
        let (launched, on_launch) = oneshot::channel();
        let beside = async {
            if on_launch.await.is_ok() {
                attend(&container, &control, &facts.pod_ip, &report).await;
            }
            // Only the end of the command ends a run.
            std::future::pending::<RunEnd>().await
        };
        let mut started_at = None;
        let mut metered = None;
        let started = |root| {
            started_at = Some(Timestamp::now());
            metered = Some(node.meter.begin(&name.uid, &container.name, Some(root)));
            let _ = launched.send(());
        };
        let ending = tokio::select! {
            ending = node.launcher.run(&spec, &log, &control, requests, started) => ending,
            end = beside => return end,
        };
        drop(metered);
        let (exit_code, reason, message) = match ending {
            Ok(Ending::Exited(0)) => (0, "Completed", None),
            Ok(Ending::Exited(code)) => (code, "Error", None),
            Ok(Ending::StartFailed { code, message }) => {
                log.line(message.as_bytes(), true).await;
                (code, "StartError", Some(message))
            }
            Ok(Ending::NotIsolated(reason)) => return RunEnd::NotIsolated(reason),
            Err(error) => {
                let message = format!("the container's launcher failed: {error}");
                (EXIT_CANNOT_START, "StartError", Some(message))
            }
        };
        let message = message.or_else(|| {
            let from_logs =
                container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
            let written = termination_message(&message_file);
            written.or_else(|| (from_logs && exit_code != 0).then(|| log.tail()))
        });
        RunEnd::Ended(Ended {
            exit_code,
            reason: reason.to_owned(),
            message: message.filter(|m| !m.is_empty()),
            started_at,
            finished_at: Timestamp::now(),
        })
    }
}

/// The `postStart` hook, then the probes.
async fn attend(
    container: &Container,
    control: &Control,
    pod_ip: &str,
    report: &(impl Fn(Progress) + Sync),
) {
    let post_start = container
        .lifecycle
        .as_ref()
        .and_then(|l| l.post_start.as_ref());
    if let Some(handler) = post_start
        && let Err(message) = probes::hook(handler, container, control, pod_ip, LONGEST_HOOK).await
    {
        report(Progress::HookFailed(message));
        return;
    }
    report(Progress::Started);
    probes::watch(container, control, pod_ip, |kind, finding| {
        report(Progress::Probe(kind, finding));
    })
    .await;
}

fn failed_start(exit_code: i32, reason: &str, message: String) -> Ended {
    Ended {
        exit_code,
        reason: reason.to_owned(),
        message: Some(message),
        started_at: None,
        finished_at: Timestamp::now(),
    }
}

fn termination_message(file: &Path) -> Option<String> {
    let mut text = std::fs::read(file).ok()?;
    text.truncate(TERMINATION_MESSAGE);
    let text = String::from_utf8_lossy(&text).into_owned();
    (!text.is_empty()).then_some(text)
}

/// The Pod's host name as the kubelet derives it, cut to what the kernel accepts.
pub(crate) fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let name = spec
        .and_then(|s| s.hostname.clone())
        .filter(|h| !h.is_empty())
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    let short: String = name.chars().take(63).collect();
    short.trim_end_matches(['-', '.']).to_owned()
}
