//! Creates the namespaces of a container and waits in front of them.

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};

use super::protocol::{EXIT_KILLED, Report};

/// The body of the `enter` role: its exit code is the container's.
pub(crate) fn run() -> ExitCode {
    let user = Uid::effective();
    let group = Gid::effective();
    let outcome = isolate(user, group).and_then(|()| start_init(user, group));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report_failure(&error);
            ExitCode::from(1)
        }
    }
}

/// Moves this process's future children into new namespaces.
fn isolate(user: Uid, group: Gid) -> Result<(), String> {
    let base = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID;
    if user.is_root() && unshare(base).is_ok() {
        return Ok(());
    }
    unshare(base | CloneFlags::CLONE_NEWUSER)
        .map_err(|e| format!("cannot create user, mount and process namespaces: {e}"))?;
    // Inside, we are root over exactly one user and group: ourselves.
    write_map("setgroups", "deny")?;
    write_map("uid_map", &format!("0 {user} 1"))?;
    write_map("gid_map", &format!("0 {group} 1"))
}

/// Writes one of the identity files of the namespace this process just entered.
pub(super) fn write_map(file: &str, text: &str) -> Result<(), String> {
    let path = format!("/proc/self/{file}");
    fs::write(&path, text).map_err(|e| format!("cannot write {path}: {e}"))
}

fn start_init(user: Uid, group: Gid) -> Result<u8, String> {
    // The arguments in front of the role are the host binary's own way to get here.
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    arguments.pop();
    let mut child = Command::new("/proc/self/exe")
        .args(arguments)
        .args(["init", "namespaces", &user.to_string(), &group.to_string()])
        .spawn()
        .map_err(|e| format!("cannot start the container's first process: {e}"))?;
    let status = child
        .wait()
        .map_err(|e| format!("cannot wait for the container: {e}"))?;
    let code = status
        .code()
        .or_else(|| status.signal().map(|s| 128 + s))
        .unwrap_or(EXIT_KILLED);
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

fn report_failure(reason: &str) {
    let report = Report::NotIsolated {
        reason: reason.to_owned(),
    };
    // Nobody to tell is the same as nobody who waits.
    let _ = send(&report);
}

fn send(report: &Report) -> io::Result<()> {
    let mut channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    channel.write_all(&line)
}
