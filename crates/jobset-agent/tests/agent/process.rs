//! The agent as a process.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{Cluster, until};

/// Exit code that asks for a restart.
pub(crate) const RESTART: i32 = 123;

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A running agent. It is killed when this is dropped.
pub(crate) struct Agent {
    child: Child,
    log: std::path::PathBuf,
}

/// The agent's command, in an environment that has nothing but this.
pub(crate) fn command(directory: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobset-agent"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("JOBSET_LOG", "debug")
        .envs(variables.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::null());
    command
}

impl Agent {
    /// The agent of a Pod of the JobSet `js`; later variables replace earlier ones.
    pub(crate) fn start(cluster: &Cluster, pod: &str, variables: &[(&str, &str)]) -> Self {
        // Each life of a container has a log of its own.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = cluster.path(&format!("{pod}-{number}.log"));
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut command = command(cluster.directory(), &[]);
        let child = command
            .env("KUBECONFIG", cluster.path("kubeconfig"))
            .env("POD_NAMESPACE", "default")
            .env("JOBSET_NAME", "js")
            .env("POD_NAME", pod)
            .env("IN_PLACE_RESTART_EXIT_CODE", RESTART.to_string())
            .envs(variables.iter().copied())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The exit code, if it has ended. An agent never ends by a signal here.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().unwrap()?;
        assert!(status.code().is_some(), "{status}: {}", self.log());
        status.code()
    }

    pub(crate) async fn until_log(&mut self, text: &str) {
        until(&format!("the agent says {text:?}"), async || {
            let log = self.log();
            let ended = self.ended();
            assert!(log.contains(text) || ended.is_none(), "{ended:?}: {log}");
            log.contains(text)
        })
        .await;
    }

    /// Waits for the end and checks the exit code.
    pub(crate) async fn until_exit(mut self, code: i32) -> String {
        until("the agent ends", async || self.ended().is_some()).await;
        assert_eq!(self.ended(), Some(code), "{}", self.log());
        self.log()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A JobSet `js` and a Pod `pod`, and no controller.
pub(crate) async fn lonely() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.create_jobset(serde_json::json!([])).await;
    cluster.create_pod("pod", None).await;
    cluster
}

#[tokio::test]
async fn what_is_missing_is_told_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("none");
    let kubeconfig = kubeconfig.to_str().unwrap();
    let own = [
        ("POD_NAMESPACE", "default"),
        ("JOBSET_NAME", "js"),
        ("POD_NAME", "pod"),
    ];
    for (variables, text) in [
        (
            vec![("POD_NAMESPACE", "default"), ("POD_NAME", "pod")],
            "JOBSET_NAME must be set",
        ),
        (
            [&own[..], &[("STARTUP_PROBE_PORT", "http")]].concat(),
            "a port from 1 to 65535",
        ),
        (
            [&own[..], &[("KUBECONFIG", kubeconfig)]].concat(),
            "kubeconfig",
        ),
        (
            [&own[..], &[("HOME", kubeconfig)]].concat(),
            "the API server is not known",
        ),
    ] {
        let output = command(directory.path(), &variables).output().unwrap();
        let log =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{variables:?}: {log}");
        assert!(log.contains(text), "{text}: {log}");
    }
}

#[tokio::test]
async fn a_signal_while_the_barrier_is_up_does_not_look_like_success() {
    let cluster = lonely().await;
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        for mode in [&[][..], &[("WORKER_COMMAND", "exit 0")]] {
            let mut agent = Agent::start(&cluster, "pod", mode);
            agent.until_log("the barrier is up").await;
            agent.signal(signal);
            agent.until_exit(code).await;
        }
    }
}
