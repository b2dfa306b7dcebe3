//! The operator and the nodes as processes: how they are started and what they use.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use http::Request;
use kube::{Client, Config};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    cluster::{Cluster, PATIENCE},
    counts::Counts,
};

/// Pause between two looks at a process.
const PAUSE: Duration = Duration::from_millis(1);
/// A process that has used no processor time for this long has nothing to do.
const QUIET: Duration = Duration::from_secs(1);
/// What "no processor time" is: it may still have watches whose bookmarks arrive.
const IDLE_SHARE: f64 = 0.02;
/// Ticks of the kernel's accounting in a second; Linux shows it as this number everywhere.
const TICKS: f64 = 100.0;

/// What its log says when its caches are complete and work begins.
const WORKS: &str = "workers start";

/// Where the bench keeps its files.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let folder = crate::root().join("target/bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The operator's log.
fn log() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("operator.log"))
}

/// What a process keeps in memory, in MiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) peak: f64,
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running operator.
pub(crate) struct Operator {
    process: Running,
    started: Instant,
    probes: u16,
    metrics: Client,
}

impl Operator {
    /// Starts one, without leader election and without webhooks.
    pub(crate) fn start(program: &Path, cluster: &Cluster) -> anyhow::Result<Self> {
        let [probes, metrics] = crate::kube::free_ports()?;
        let folder = folder()?;
        let configuration = folder.join("operator.yaml");
        fs::write(
            &configuration,
            format!(
                "apiVersion: config.jobset.x-k8s.io/v1alpha1\nkind: Configuration\n\
                 leaderElection: {{leaderElect: false}}\n\
                 internalCertManagement: {{enable: false}}\n\
                 metrics: {{bindAddress: '127.0.0.1:{metrics}'}}\n\
                 health: {{healthProbeBindAddress: '127.0.0.1:{probes}'}}\n\
                 extensions: {{webhooks: false}}\n"
            ),
        )?;
        let mut config = Config::new(format!("https://127.0.0.1:{metrics}").parse()?);
        // It signs its certificate itself.
        config.accept_invalid_certs = true;
        config.auth_info.token = Some(cluster.token.clone().into());
        let log = File::create(log()?)?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config={}", configuration.display()))
            .arg(format!("--kubeconfig={}", cluster.kubeconfig.display()))
            .arg("--zap-devel=false")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let metrics = Client::try_from(config)?;
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            process: Running(child),
            started,
            probes,
            metrics,
        })
    }

    /// Starts one and waits until it works and has nothing left to do.
    pub(crate) async fn start_and_settle(
        program: &Path,
        cluster: &Cluster,
    ) -> anyhow::Result<Self> {
        let mut operator = Self::start(program, cluster)?;
        operator.until_it_works().await?;
        operator.until_quiet().await?;
        Ok(operator)
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Waits until the readiness probe succeeds. Returns how long that took since the start.
    pub(crate) async fn until_ready(&mut self) -> anyhow::Result<Duration> {
        loop {
            if self.is_ready().await.unwrap_or(false) {
                return Ok(self.started.elapsed());
            }
            self.go_on_waiting("it is ready", self.started).await?;
        }
    }

    async fn is_ready(&self) -> std::io::Result<bool> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.probes)).await?;
        let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        socket.write_all(request).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    }

    /// Asks nothing of it: that would cost it time and memory, which are measured.
    async fn until_it_works(&mut self) -> anyhow::Result<()> {
        let log = log()?;
        loop {
            if fs::read_to_string(&log)?.contains(WORKS) {
                return Ok(());
            }
            self.go_on_waiting("it works", self.started).await?;
        }
    }

    /// Waits until it has nothing left to do. The processor time of the wait itself is next to
    /// nothing.
    pub(crate) async fn until_quiet(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut since = (Instant::now(), self.cpu()?);
        loop {
            tokio::time::sleep(QUIET / 10).await;
            let cpu = self.cpu()?;
            if cpu - since.1 > IDLE_SHARE * QUIET.as_secs_f64() {
                since = (Instant::now(), cpu);
            } else if since.0.elapsed() >= QUIET {
                return Ok(());
            }
            self.go_on_waiting("it has nothing to do", begin).await?;
        }
    }

    async fn go_on_waiting(&mut self, what: &str, begin: Instant) -> anyhow::Result<()> {
        if let Some(status) = self.process.0.try_wait()? {
            bail!("the operator ended with {status}; see target/bench/operator.log");
        }
        if begin.elapsed() > PATIENCE {
            bail!("waited {PATIENCE:?} in vain until {what}");
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    /// Processor seconds used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.0.id()))?;
        cpu_of(&stat).context("cannot read the processor time in /proc")
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        memory_of(&status).context("cannot read the memory in /proc")
    }

    pub(crate) async fn counts(&self) -> anyhow::Result<Counts> {
        let request = Request::get("/metrics").body(Vec::new())?;
        Ok(Counts::parse(&self.metrics.request_text(request).await?))
    }

    /// Ends it as a cluster would, and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.process.0.id().cast_signed());
        signal::kill(pid, Signal::SIGTERM)?;
        let status = self.process.0.wait()?;
        if !status.success() {
            bail!("the operator ended with {status}; see target/bench/operator.log");
        }
        Ok(())
    }
}

/// Nodes that only pretend to run Pods.
pub(crate) struct Nodes {
    #[expect(dead_code, reason = "kept while it runs")]
    process: Running,
}

impl Nodes {
    pub(crate) fn start(program: &Path, kubeconfig: &Path) -> anyhow::Result<Self> {
        let log = File::create(folder()?.join("nodes.log"))?;
        let child = Command::new(program)
            .arg("nodes")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            process: Running(child),
        })
    }
}

/// The name in parentheses may contain anything, also parentheses and spaces.
fn cpu_of(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

fn memory_of(status: &str) -> Option<Memory> {
    let mib = |name: &str| {
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: f64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib / 1024.0)
    };
    Some(Memory {
        now: mib("VmRSS")?,
        peak: mib("VmHWM")?,
    })
}

/// A copy without symbols, for its size.
pub(crate) fn stripped_size(program: &Path) -> anyhow::Result<u64> {
    let copy = folder()?.join("stripped");
    let status = Command::new("strip")
        .arg("-s")
        .arg("-o")
        .arg(&copy)
        .arg(program)
        .status();
    match status {
        Ok(status) if status.success() => Ok(fs::metadata(&copy)?.len()),
        _ => {
            let _ = writeln!(std::io::stderr(), "no strip: the size is that with symbols");
            Ok(fs::metadata(program)?.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read() {
        let stat = "7 (a) b)) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0";
        assert_eq!(cpu_of(stat), Some(1.75));
        assert_eq!(cpu_of("7 (a"), None);
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let memory = Memory {
            now: 1.0,
            peak: 2.0,
        };
        assert_eq!(memory_of(status), Some(memory));
        assert_eq!(memory_of("VmRSS:\t1 kB"), None);
    }
}
