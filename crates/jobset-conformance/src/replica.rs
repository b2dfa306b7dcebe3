//! Processes of the operator's program.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http::Request;
use jobset_api::{Feature, FeatureGates};
use kube::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::installation::Installation;
use crate::kind::Kind;
use crate::rights::{self, Audit};

/// How long a program may take to end.
const GRACE: Duration = Duration::from_secs(30);
/// How long it may take to become ready, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks whether it is.
const PAUSE: Duration = Duration::from_millis(50);
/// What the API server says when a role lacks something.
const REFUSED: &str = "forbidden: User";

/// Names of the processes that there can be.
pub(crate) const FIRST: &str = "first";
pub(crate) const SECOND: &str = "second";

/// The program, its manifests on the cluster, and how its processes are started.
pub struct Program {
    path: PathBuf,
    installation: Installation,
    /// The administrator's.
    client: Client,
    kubeconfig: PathBuf,
    gates: FeatureGates,
    /// Receives the output of every process.
    log: PathBuf,
    /// What the API server says about it, where it does.
    audit: Option<Audit>,
    /// An API server that starts refuses everything until it has read the roles.
    refusals_may_pass: bool,
    /// Always the same for one name, so that the API server need not learn new ones.
    ports: [(&'static str, [u16; 3]); 2],
}

impl Program {
    /// Installs the manifests, and gets the account's credentials.
    pub(crate) async fn install(
        path: PathBuf,
        installation: Installation,
        client: Client,
        gates: FeatureGates,
        scratch: &Path,
        (log, audit): (PathBuf, Option<PathBuf>),
    ) -> anyhow::Result<Self> {
        let audit = audit.map(|file| Audit::begin(&file)).transpose()?;
        let free: [u16; 6] = free_ports()?;
        let (first, second) = free.split_at(3);
        let ports: [(&str, [u16; 3]); 2] =
            [(FIRST, first.try_into()?), (SECOND, second.try_into()?)];
        let [(_, [webhook, ..]), _] = ports;
        installation.apply(webhook).await?;
        crate::environment::await_definition(&client).await?;
        let kubeconfig = scratch.join("operator.kubeconfig");
        installation.write_kubeconfig(&kubeconfig).await?;
        // What an earlier run said is not of interest.
        std::fs::write(&log, "").with_context(|| log.display().to_string())?;
        Ok(Self {
            path,
            installation,
            client,
            kubeconfig,
            gates,
            log,
            audit,
            refusals_may_pass: false,
            ports,
        })
    }

    /// Whether webhooks belong to it.
    pub(crate) fn has_webhooks(&self) -> bool {
        self.installation.has_webhooks()
    }

    /// Whether it is configured to publish short names.
    pub(crate) fn has_short_names(&self) -> anyhow::Result<bool> {
        let configuration = self.installation.configuration(&json!({}))?;
        Ok(configuration["extensions"]["shortNames"] == true)
    }

    /// Starts a process under one of two names; returns when it says that it is ready.
    pub(crate) async fn start(&self, name: &'static str) -> anyhow::Result<Replica> {
        let mut replica = self.spawn(name)?;
        let ready = replica.until_ready().await;
        ready.with_context(|| format!("see {}", self.log.display()))?;
        Ok(replica)
    }

    /// Starts a process under one of two names.
    pub(crate) fn spawn(&self, name: &'static str) -> anyhow::Result<Replica> {
        let ports = self.ports.iter().find(|(known, _)| *known == name);
        let (_, [webhook, probes, metrics]) = *ports.context("no such replica")?;
        let mut own = json!({});
        if self.has_webhooks() {
            own["webhookNames"] = json!(["127.0.0.1"]);
        }
        let mut gates = json!({});
        for feature in [Feature::RestartJob, Feature::ElasticJobSet] {
            gates[feature.name()] = self.gates.enabled(feature).into();
        }
        let configuration = self.installation.configuration(&json!({
            "webhook": {"host": "127.0.0.1", "port": webhook},
            "health": {"healthProbeBindAddress": format!("127.0.0.1:{probes}")},
            "metrics": {"bindAddress": format!("127.0.0.1:{metrics}")},
            "leaderElection": {"resourceNamespace": "jobset-system"},
            "featureGates": gates,
            "extensions": own,
        }))?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), configuration.to_string())?;
        let log = OpenOptions::new().append(true).open(&self.log)?;
        let child = Command::new(&self.path)
            .arg(format!("--config={}", file.path().display()))
            .args(["--zap-devel=false", "--zap-log-level=2"])
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.path.display()))?;
        Ok(Replica {
            name,
            child,
            webhook,
            probes,
            _configuration: file,
        })
    }

    /// Has the API server call this replica; returns when it does.
    pub(crate) async fn serve_webhooks(&self, replica: &Replica) -> anyhow::Result<()> {
        if !self.has_webhooks() {
            return Ok(());
        }
        self.installation.apply(replica.webhook).await?;
        let defaulted = |answer: anyhow::Result<Value>| match answer {
            Ok(jobset) => {
                let mode = &jobset["spec"]["replicatedJobs"][0]["template"]["spec"];
                mode["completionMode"] == "Indexed"
            }
            Err(_) => false,
        };
        self.until_trial("the API server calls the webhooks", &trial(), defaulted)
            .await
    }

    /// Removes the webhook configurations; returns when the API server calls nobody.
    pub(crate) async fn remove_webhooks(&self) -> anyhow::Result<()> {
        self.installation.remove_webhooks().await?;
        let what = "the API server calls no webhooks";
        self.until_trial(what, &trial(), |answer| answer.is_ok())
            .await
    }

    /// Removes the policies' bindings; returns when the API server holds nobody to them.
    pub(crate) async fn without_policies(&self) -> anyhow::Result<()> {
        self.installation.remove_policies().await?;
        let mut jobset = trial();
        jobset["metadata"]["annotations"] =
            json!({"alpha.jobset.sigs.k8s.io/exclusive-topology": "rack"});
        self.until_trial("no policy is in force", &jobset, |answer| answer.is_ok())
            .await
    }

    /// Installs again what was taken away.
    pub(crate) async fn reinstall(&self) -> anyhow::Result<()> {
        let [(_, [port, ..]), _] = self.ports;
        self.installation.apply(port).await
    }

    /// Removes what was installed.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        self.installation.remove().await
    }

    /// Repeats the creation of a JobSet, which is not stored, until its answer is as wanted.
    async fn until_trial(
        &self,
        what: &str,
        jobset: &Value,
        wanted: impl Fn(anyhow::Result<Value>) -> bool,
    ) -> anyhow::Result<()> {
        let jobset = jobset.to_string();
        let path = format!("{}?dryRun=All", Kind::JobSet.path("default"));
        let begin = Instant::now();
        loop {
            let request = Request::post(&path)
                .header("content-type", "application/json")
                .body(jobset.clone().into_bytes())?;
            let answer = self.client.request::<Value>(request).await;
            let shown = match &answer {
                Ok(_) => "accepted".to_owned(),
                Err(error) => error.to_string(),
            };
            if wanted(answer.map_err(Into::into)) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                bail!("waited in vain until {what}: a JobSet is {shown}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// From now on a refusal counts only if the right was not granted later.
    pub(crate) fn let_refusals_pass(&mut self) {
        self.refusals_may_pass = true;
    }

    /// Fails if the API server has refused something for want of a right. Says which rights were
    /// not used.
    #[expect(clippy::print_stdout, reason = "the output of a command")]
    pub(crate) fn check_rights(&self) -> anyhow::Result<()> {
        if let Some(audit) = &self.audit {
            let used = audit.of(&Installation::account())?;
            let refused = if self.refusals_may_pass {
                &used.refused_for_good
            } else {
                &used.refused
            };
            ensure!(
                refused.is_empty(),
                "the roles do not suffice for: {}",
                rights::shown(refused)
            );
            ensure!(!used.allowed.is_empty(), "the audit log tells of nothing");
            let granted = self.installation.rights();
            println!(
                "rights: {} granted, none refused{}; not used in this run: {}",
                granted.len(),
                if self.refusals_may_pass {
                    " for good"
                } else {
                    ""
                },
                rights::shown(granted.difference(&used.allowed))
            );
        }
        if self.refusals_may_pass {
            return Ok(());
        }
        let text = std::fs::read_to_string(&self.log)?;
        let refused: Vec<&str> = text.lines().filter(|l| l.contains(REFUSED)).collect();
        ensure!(
            refused.is_empty(),
            "the roles do not suffice, {} refusals; the first:\n{}",
            refused.len(),
            refused.first().unwrap_or(&"")
        );
        Ok(())
    }
}

/// A JobSet in which admission has to fill in something.
fn trial() -> Value {
    let mut role = crate::objects::role("w", 1);
    if let Some(job) = role["template"]["spec"].as_object_mut() {
        job.remove("completionMode");
    }
    crate::objects::jobset("trial", vec![role])
}

/// A process.
pub struct Replica {
    /// One of the two.
    pub(crate) name: &'static str,
    child: Child,
    webhook: u16,
    probes: u16,
    /// Kept while the process runs.
    _configuration: tempfile::NamedTempFile,
}

impl Replica {
    /// Waits until the probe says so.
    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the operator has ended: {status}");
            }
            let answer = match probe(self.probes).await {
                Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => return Ok(()),
                Ok(answer) => answer,
                Err(error) => error.to_string(),
            };
            if begin.elapsed() > PATIENCE {
                bail!("the operator does not become ready: {answer}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> std::io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        }
        let ended = tokio::time::timeout(GRACE, self.child.wait()).await;
        let status = ended.context("the operator does not end")??;
        ensure!(status.success(), "the operator ended with {status}");
        Ok(())
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

async fn probe(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Ports that are free now. All are held until all are known, so that they differ.
fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}
