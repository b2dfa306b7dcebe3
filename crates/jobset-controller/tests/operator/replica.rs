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

/// Path of the program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_jobset-controller");

pub(crate) struct Replica {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Replica {
    /// Starts a process that logs JSON, with ports that are free.
    pub(crate) fn start(kubeconfig: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
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
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("not in time: {what}\n{}", self.text());
        }
        found().unwrap()
    }

    /// The log for people.
    pub(crate) fn text(&self) -> String {
        let log = self.log.lock().unwrap();
        log.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Address that the process listens at for this purpose.
    pub(crate) async fn address(&self, what: &str) -> String {
        let line = self.logged(&format!("listening for {what}")).await;
        line["address"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn is_leader(&self) {
        self.logged("became leader").await;
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.id()).unwrap());
        kill(id, signal).unwrap();
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("the process does not end\n{}", self.text()),
        }
    }
}
