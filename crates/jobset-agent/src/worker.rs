//! The worker of main-container mode: one shell in a process group of its own.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::machine::WorkerEnd;
use crate::settings::Work;

/// A worker that was started.
#[derive(Debug)]
pub(crate) struct Worker {
    pid: Pid,
    ended: bool,
}

impl Worker {
    /// Starts it. It gets everything this process has, but for the standard input.
    pub(crate) fn start(work: &Work) -> io::Result<Self> {
        let child = Command::new(&work.shell)
            .arg("-c")
            .arg(&work.command)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Self {
            pid: Pid::from_raw(pid),
            ended: false,
        })
    }

    /// Sends a signal to the worker and to what it has started.
    pub(crate) fn signal(&self, signal: Signal) {
        match killpg(self.pid, signal) {
            // It has ended by itself meanwhile.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!(%signal, %error, "the worker cannot be signalled"),
        }
    }
}

/// Collects what has ended: the worker, and orphans that have become children of this process. Says
/// how the worker ended, if it did.
pub(crate) fn reap(worker: Option<&mut Worker>) -> Option<WorkerEnd> {
    let running = worker.filter(|worker| !worker.ended);
    let pid = running.as_ref().map(|worker| worker.pid);
    let mut found = None;
    loop {
        let (ended, end) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (
                pid,
                WorkerEnd::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
            ),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, WorkerEnd::Killed(signal as i32)),
            Err(Errno::EINTR) => continue,
            Ok(WaitStatus::StillAlive) | Err(_) => break,
            Ok(_) => continue,
        };
        if Some(ended) == pid {
            found = Some(end);
        }
    }
    if let (Some(worker), Some(_)) = (running, found) {
        worker.ended = true;
    }
    found
}

impl Drop for Worker {
    /// Nothing of the worker outlives the agent: the container would not end.
    fn drop(&mut self) {
        let _ = killpg(self.pid, Signal::SIGKILL);
    }
}
