//! The first process of a container: prepares, starts the command, reaps, obeys the node.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, sethostname};

use super::enter::write_map;
use super::protocol::{
    ContainerSpec, EXIT_CANNOT_START, EXIT_KILLED, EXIT_NOT_FOUND, Report, Request,
};
use super::{mounts, tree};

/// Output of a probe or hook is cut after this many bytes, as the kubelet does.
const EXEC_OUTPUT: usize = 10 * 1024;

/// Who started the cluster; inside the namespaces the command runs under the same ids.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// The body of the `init` role; `identity` is absent without namespaces.
pub(crate) fn run(identity: Option<Identity>) -> ExitCode {
    match Init::new(identity.is_some()) {
        Ok((init, requests)) => init.run(identity, requests),
        // The node went away before it said anything.
        Err(_) => ExitCode::from(1),
    }
}

type Channel = Arc<Mutex<UnixStream>>;

struct Init {
    namespaces: bool,
    spec: ContainerSpec,
    channel: Channel,
    children: Arc<Mutex<Children>>,
}

/// Children by process id whose end somebody waits for.
#[derive(Default)]
struct Children {
    waiting: HashMap<i32, Sender<i32>>,
}

impl Init {
    fn new(namespaces: bool) -> io::Result<(Self, BufReader<UnixStream>)> {
        // The parent's death must be ours: then the kernel kills the whole namespace.
        if namespaces {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
        } else {
            prctl::set_child_subreaper(true)?;
        }
        umask(Mode::from_bits_truncate(0o022));
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let channel = Arc::new(Mutex::new(stream.try_clone()?));
        let mut requests = BufReader::new(stream);
        let mut line = String::new();
        requests.read_line(&mut line)?;
        let spec = serde_json::from_str(&line)?;
        Ok((
            Self {
                namespaces,
                spec,
                channel,
                children: Arc::default(),
            },
            requests,
        ))
    }

    fn run(self, identity: Option<Identity>, requests: BufReader<UnixStream>) -> ExitCode {
        if let Some(identity) = identity
            && let Err(error) = self.prepare(identity)
        {
            let report = match error {
                PrepareError::NotPermitted(reason) => Report::NotIsolated { reason },
                PrepareError::Volume(message) => Report::StartFailed {
                    code: EXIT_CANNOT_START,
                    message,
                },
            };
            send(&self.channel, &report);
            return ExitCode::from(1);
        }
        // The lock is held over the start so that the reaper cannot miss the child's end.
        let (ended, main_ended) = mpsc::channel();
        let main = {
            let mut children = lock(&self.children);
            match self.command(&self.spec.argv).process_group(0).spawn() {
                Ok(child) => {
                    let pid = child.id().cast_signed();
                    children.waiting.insert(pid, ended);
                    pid
                }
                Err(error) => {
                    send(&self.channel, &start_failure(&self.spec, &error));
                    return ExitCode::from(1);
                }
            }
        };
        send(&self.channel, &Report::Started);
        let init = Arc::new(self);
        let obeying = Arc::clone(&init);
        std::thread::spawn(move || obeying.obey(main, requests));
        let reaping = Arc::clone(&init);
        std::thread::spawn(move || reaping.reap());
        let code = main_ended.recv().unwrap_or(EXIT_KILLED);
        init.finish(code)
    }

    /// Ends this process, and with it the container.
    fn finish(&self, code: i32) -> ! {
        if !self.namespaces {
            tree::kill_descendants(std::process::id().cast_signed());
        }
        send(&self.channel, &Report::Exited { code });
        std::process::exit(code)
    }

    fn prepare(&self, identity: Identity) -> Result<(), PrepareError> {
        sethostname(&self.spec.hostname)
            .map_err(|e| PrepareError::NotPermitted(format!("cannot set the host name: {e}")))?;
        mounts::make_private().map_err(PrepareError::NotPermitted)?;
        mounts::build(&self.spec.stage, &self.spec.mounts).map_err(PrepareError::Volume)?;
        mounts::mount_proc();
        if identity.user != 0 {
            // Back from root of the namespace to the user's own id: programs that ask who they
            // are get the answer they get outside, and nobody can undo the mounts.
            unshare(CloneFlags::CLONE_NEWUSER)
                .map_err(|e| e.to_string())
                .and_then(|()| write_map("setgroups", "deny"))
                .and_then(|()| write_map("uid_map", &format!("{} 0 1", identity.user)))
                .and_then(|()| write_map("gid_map", &format!("{} 0 1", identity.group)))
                .map_err(|e| PrepareError::NotPermitted(format!("cannot restore the user: {e}")))?;
            // A change of credentials clears it.
            prctl::set_pdeathsig(Signal::SIGKILL)
                .map_err(|e| PrepareError::NotPermitted(e.to_string()))?;
        }
        Ok(())
    }

    fn command(&self, argv: &[String]) -> Command {
        let mut command = Command::new(argv.first().map_or("", String::as_str));
        command
            .args(argv.get(1..).unwrap_or_default())
            .env_clear()
            .envs(self.spec.env.iter().map(|(k, v)| (k, v)))
            .current_dir(&self.spec.cwd)
            .stdin(Stdio::null());
        command
    }

    /// Does what the node asks for until the node is gone, which ends the container.
    fn obey(self: Arc<Self>, main: i32, mut requests: BufReader<UnixStream>) {
        let mut line = String::new();
        loop {
            line.clear();
            match requests.read_line(&mut line) {
                Ok(0) | Err(_) => self.finish(EXIT_KILLED),
                Ok(_) => {}
            }
            match serde_json::from_str(&line) {
                Ok(Request::Kill) => self.finish(EXIT_KILLED),
                Ok(Request::Signal(number)) => {
                    if let Ok(signal) = Signal::try_from(number) {
                        let pid = Pid::from_raw(main);
                        if killpg(pid, signal).is_err() {
                            // Gone already, or moved to another group.
                            let _ = kill(pid, signal);
                        }
                    }
                }
                Ok(Request::Exec {
                    id,
                    argv,
                    timeout_ms,
                }) => {
                    let runner = Arc::clone(&self);
                    std::thread::spawn(move || {
                        let (code, output) = runner.exec(&argv, Duration::from_millis(timeout_ms));
                        send(&runner.channel, &Report::ExecDone { id, code, output });
                    });
                }
                Err(_) => {}
            }
        }
    }

    /// Collects every child that ends, ours or adopted.
    fn reap(&self) {
        loop {
            let (pid, code) = match waitpid(None, None) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Ok(_) | Err(Errno::EINTR) => continue,
                // Nothing to wait for: the command has ended and its end was delivered.
                Err(_) => return,
            };
            if let Some(waiting) = lock(&self.children).waiting.remove(&pid.as_raw()) {
                let _ = waiting.send(code);
            }
        }
    }

    /// Runs a command beside the container's own; the code is absent after a time-out.
    fn exec(&self, argv: &[String], timeout: Duration) -> (Option<i32>, String) {
        let started = io::pipe().and_then(|(reader, writer)| {
            let mut command = self.command(argv);
            command
                .stdout(writer.try_clone()?)
                .stderr(writer)
                .process_group(0);
            let (ended, end) = mpsc::channel();
            let mut children = lock(&self.children);
            let pid = command.spawn()?.id().cast_signed();
            children.waiting.insert(pid, ended);
            Ok((reader, pid, end))
        });
        let (reader, pid, end) = match started {
            Ok(started) => started,
            Err(error) => {
                let name = argv.first().map_or("", String::as_str);
                return (
                    Some(EXIT_NOT_FOUND),
                    format!("cannot run {name:?}: {error}"),
                );
            }
        };
        let output = Arc::new(Mutex::new(Vec::new()));
        let (read, all_read) = mpsc::channel();
        let sink = Arc::clone(&output);
        std::thread::spawn(move || {
            collect(reader, &sink);
            let _ = read.send(());
        });
        let code = match end.recv_timeout(timeout) {
            Ok(code) => Some(code),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
                None
            }
        };
        // A daemon that the command left behind may hold the pipe open: do not wait for it.
        let _ = all_read.recv_timeout(Duration::from_millis(200));
        let output = String::from_utf8_lossy(&lock(&output)).into_owned();
        (code, output)
    }
}

enum PrepareError {
    /// This machine does not let us isolate: the node may fall back.
    NotPermitted(String),
    /// This container cannot be given what it asks for.
    Volume(String),
}

fn start_failure(spec: &ContainerSpec, error: &io::Error) -> Report {
    let command = spec.argv.first().map_or("", String::as_str);
    if !spec.cwd.is_dir() {
        let message = format!(
            "working directory {} does not exist on this host",
            spec.cwd.display()
        );
        return Report::StartFailed {
            code: EXIT_CANNOT_START,
            message,
        };
    }
    let code = match error.kind() {
        io::ErrorKind::NotFound => EXIT_NOT_FOUND,
        _ => EXIT_CANNOT_START,
    };
    let message = format!(
        "cannot run {command:?}: {error}; the process runtime runs commands that are installed on \
         this host, not those of the image"
    );
    Report::StartFailed { code, message }
}

fn collect(mut reader: impl Read, sink: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = reader.read(&mut buffer) {
        let mut sink = lock(sink);
        let room = EXEC_OUTPUT.saturating_sub(sink.len());
        sink.extend(buffer.iter().take(n.min(room)));
    }
}

fn send(channel: &Channel, report: &Report) {
    let Ok(mut line) = serde_json::to_vec(report) else {
        return;
    };
    line.push(b'\n');
    // A node that is gone is noticed by the reading side.
    let _ = lock(channel).write_all(&line);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
