//! One container as a process tree: starts the launcher, passes requests and output.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

use crate::node::logs::LogWriter;
use crate::sandbox::protocol::{ContainerSpec, EXIT_KILLED, MARKER, Report, Request};

/// How long output may keep coming after the container has ended: only without namespaces can a
/// process have escaped that still holds the pipe.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Starts containers.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    /// The command that ends in [`crate::launcher::main`].
    command: Arc<[OsString]>,
    cluster_id: Arc<str>,
    isolated: Arc<AtomicBool>,
}

/// What the processes of a container come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    /// The launcher's process.
    pub(crate) launcher: i32,
    /// Generations of processes from there on that are not the container's own.
    pub(crate) machinery: usize,
}

/// How a container's run ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Isolation is not permitted on this machine; nothing has run.
    NotIsolated(String),
    /// The command could not be started.
    StartFailed { code: i32, message: String },
    /// The command ended.
    Exited(i32),
}

/// The result of a command run beside the container's own.
#[derive(Debug)]
pub(crate) struct ExecResult {
    /// Exit status; absent after a time-out or when the container ended meanwhile.
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
}

/// Sends requests to a running container.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    requests: mpsc::UnboundedSender<Request>,
    execs: Arc<Execs>,
}

#[derive(Debug, Default)]
struct Execs {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<ExecResult>>>,
}

impl Execs {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<ExecResult>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// A control and the requests to hand to [`Launcher::run`].
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (requests, receiver) = mpsc::unbounded_channel();
        (
            Self {
                requests,
                execs: Arc::default(),
            },
            receiver,
        )
    }

    /// Sends a signal to the command's process group. No effect after its end.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let _ = self.requests.send(Request::Signal(signal as i32));
    }

    /// Kills everything in the container.
    pub(crate) fn kill(&self) {
        let _ = self.requests.send(Request::Kill);
    }

    /// Runs a command in the container.
    pub(crate) async fn exec(&self, argv: Vec<String>, timeout: Duration) -> ExecResult {
        let id = self.execs.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.execs.waiting().insert(id, sender);
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let _ = self.requests.send(Request::Exec {
            id,
            argv,
            timeout_ms,
        });
        let result = receiver.await;
        result.unwrap_or_else(|_| ExecResult {
            code: None,
            output: "the container has ended".to_owned(),
        })
    }
}

impl Launcher {
    pub(crate) fn new(command: Vec<OsString>, cluster_id: &str) -> Self {
        Self {
            command: command.into(),
            cluster_id: cluster_id.into(),
            isolated: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Whether containers still get namespaces of their own.
    pub(crate) fn is_isolated(&self) -> bool {
        self.isolated.load(Ordering::Relaxed)
    }

    /// Stops trying to isolate; true for the first caller.
    pub(crate) fn give_up_isolation(&self) -> bool {
        self.isolated.swap(false, Ordering::Relaxed)
    }

    /// Runs a container from start to end. All its output is in `log` when this returns.
    pub(crate) async fn run(
        &self,
        spec: &ContainerSpec,
        log: &LogWriter,
        control: &Control,
        mut requests: mpsc::UnboundedReceiver<Request>,
        started: impl FnOnce(Started) + Send,
    ) -> io::Result<Ending> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let [program, prefix @ ..] = &*self.command else {
            return Err(io::Error::other("no launcher is configured"));
        };
        // In front of the command are the process that creates the namespaces, if any, and the first
        // process.
        let (role, machinery): (&[&str], usize) = if self.is_isolated() {
            (&["enter"], 2)
        } else {
            (&["init", "plain"], 1)
        };
        let mut child = Command::new(program)
            .args(prefix)
            .args(role)
            .env_clear()
            .env(MARKER, &*self.cluster_id)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // An interrupt typed at the terminal is for the cluster, not for its containers.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let launcher = child.id().map_or(0, u32::cast_signed);
        let (reports, mut channel) = UnixStream::from_std(ours)?.into_split();
        let mut first = serde_json::to_vec(spec)?;
        first.push(b'\n');
        // A launcher that is gone already shows by the end of its reports.
        let _ = channel.write_all(&first).await;
        drop(first);

        let copy_all = async {
            tokio::join!(
                async {
                    if let Some(stdout) = stdout {
                        log.copy(stdout, false).await;
                    }
                },
                async {
                    if let Some(stderr) = stderr {
                        log.copy(stderr, true).await;
                    }
                }
            );
        };
        let talk = async {
            let mut reports = BufReader::new(reports).lines();
            let mut started = Some(started);
            let mut ending = None;
            loop {
                tokio::select! {
                    line = reports.next_line() => {
                        let Ok(Some(line)) = line else { break };
                        match serde_json::from_str(&line) {
                            Ok(Report::Started) => if let Some(started) = started.take() {
                                started(Started { launcher, machinery });
                            },
                            Ok(Report::ExecDone { id, code, output }) => {
                                if let Some(waiting) = control.execs.waiting().remove(&id) {
                                    let _ = waiting.send(ExecResult { code, output });
                                }
                            }
                            Ok(Report::NotIsolated { reason }) => {
                                ending = Some(Ending::NotIsolated(reason));
                            }
                            Ok(Report::StartFailed { code, message }) => {
                                ending = Some(Ending::StartFailed { code, message });
                            }
                            Ok(Report::Exited { code }) => ending = Some(Ending::Exited(code)),
                            Err(error) => tracing::warn!(%error, line, "unreadable report"),
                        }
                    }
                    Some(request) = requests.recv() => {
                        let mut line = serde_json::to_vec(&request)?;
                        line.push(b'\n');
                        let _ = channel.write_all(&line).await;
                    }
                }
            }
            let status = child.wait().await?;
            // Killed from outside, it could not say so itself.
            let code = || status.code().or_else(|| status.signal().map(|s| 128 + s));
            Ok(ending.unwrap_or_else(|| Ending::Exited(code().unwrap_or(EXIT_KILLED))))
        };
        tokio::pin!(copy_all, talk);
        let mut copied = false;
        let ending: io::Result<Ending> = loop {
            tokio::select! {
                () = &mut copy_all, if !copied => copied = true,
                ending = &mut talk => break ending,
            }
        };
        if !copied {
            let _ = tokio::time::timeout(LAST_OUTPUT, copy_all).await;
        }
        control.execs.waiting().clear();
        ending
    }
}
