//! The program as a process.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cluster::{PATIENCE, eventually};

/// Path of the program: that of this build, or the one to be measured.
pub(crate) fn program() -> String {
    std::env::var("JOBSET_CONTROLLER")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_jobset-controller").to_owned())
}

pub(crate) struct Replica {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Replica {
    /// Starts a process that logs JSON, with ports that are free.
    pub(crate) fn start(kubeconfig: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program())
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args(["--zap-devel=false", "--zap-log-level=debug"])
            .args(["--zap-time-encoding=epoch"])
            .args(["--metrics-bind-address=127.0.0.1:0"])
            .args(["--health-probe-bind-address=127.0.0.1:0"])
            .args(arguments)
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<Value>>>::default();
        let (lines, stderr) = (log.clone(), child.stderr.take().unwrap());
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().unwrap().push(value);
            }
        });
        Self { child, log }
    }

    /// The first line of the log that fits.
    pub(crate) fn find(&self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        self.log
            .lock()
            .unwrap()
            .iter()
            .find(|line| fits(line))
            .cloned()
    }

    /// Waits for a line with this message.
    pub(crate) async fn logged(&self, message: &str) -> Value {
        let found = || self.find(|line| line["msg"] == message);
        let what = format!("{message:?} in the log");
        let waiting = eventually(&what, async || found().is_some());
        let in_time = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
        assert!(in_time, "not in time: {what}\n{}", self.text());
        found().unwrap()
    }

    /// The log for people.
    pub(crate) fn text(&self) -> String {
        let log = self.log.lock().unwrap();
        let lines: Vec<_> = log.iter().map(Value::to_string).collect();
        lines.join("\n")
    }

    /// Address that the process listens at for this purpose.
    pub(crate) async fn address(&self, what: &str) -> String {
        let line = self.logged(&format!("listening for {what}")).await;
        line["address"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn is_leader(&self) {
        self.logged("became leader").await;
    }

    /// Resident memory in kB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().split(' ').next();
        number.unwrap().parse().unwrap()
    }

    fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.id()).unwrap());
        kill(id, signal).unwrap();
    }

    /// Waits for something that this process has to live for.
    pub(crate) async fn while_it_lives(&mut self, done: impl Future<Output = ()>) {
        let status = tokio::select! {
            () = done => return,
            status = self.child.wait() => status.unwrap(),
        };
        panic!("the process ended: {status}\n{}", self.text());
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let Ok(status) = ended else {
            panic!("the process does not end\n{}", self.text());
        };
        status.unwrap()
    }
}
