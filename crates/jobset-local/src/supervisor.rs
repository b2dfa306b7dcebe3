//! Makes sure that nothing outlives the cluster, however it ends.
//!
//! Containers die with the process that hosts the cluster by themselves (see `sandbox`). What is
//! left to do after a sudden end, in order: kill processes that ran without namespaces and were
//! detached from their launcher; remove the cluster's directory. A small copy of the binary, the
//! *reaper*, waits for that: it holds the read end of a pipe whose write end only the host has, so
//! that its end-of-file is the host's end, also by SIGKILL.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use crate::sandbox::protocol::MARKER;
use crate::sandbox::tree;

/// What the reaper has to clean up.
#[derive(Debug, Serialize, Deserialize)]
struct Estate {
    cluster_id: String,
    directory: PathBuf,
}

/// The reaper of one cluster. Dropping it without [`Reaper::dismiss`] makes it do its work.
#[derive(Debug)]
pub struct Reaper {
    child: Child,
    estate: Estate,
}

impl Reaper {
    /// Starts the reaper through `launcher`, the command that ends in [`crate::launcher::main`].
    pub fn start(launcher: &[OsString], cluster_id: &str, directory: &Path) -> io::Result<Self> {
        let [program, prefix @ ..] = launcher else {
            return Err(io::Error::other("no launcher is configured"));
        };
        let estate = Estate {
            cluster_id: cluster_id.to_owned(),
            directory: directory.to_owned(),
        };
        let mut child = Command::new(program)
            .args(prefix)
            .arg("reap")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt typed at the terminal must not reach it, nor may it keep a directory
            // of the user's busy.
            .process_group(0)
            .current_dir("/")
            .spawn()?;
        if let Some(stdin) = &mut child.stdin {
            let mut line = serde_json::to_vec(&estate)?;
            line.push(b'\n');
            stdin.write_all(&line)?;
        }
        Ok(Self { child, estate })
    }

    /// Cleans up at once, in this process, and ends the reaper. `thorough` also looks for
    /// processes that have detached themselves, which only is possible without namespaces.
    pub fn dismiss(mut self, thorough: bool) {
        if thorough {
            tree::kill_marked(MARKER, &self.estate.cluster_id);
        }
        remove_all(&self.estate.directory);
        // Before its pipe closes, or it would do all of this once more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of the `reap` role.
pub(crate) fn reap() -> ExitCode {
    // Whoever stops the session stops its processes by signals first; the reaper has to be last.
    let mut blocked = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        blocked.add(signal);
    }
    let _ = blocked.thread_block();
    let mut text = String::new();
    if io::stdin().read_to_string(&mut text).is_err() {
        return ExitCode::from(1);
    }
    let Ok(estate) = serde_json::from_str::<Estate>(&text) else {
        // The host ended before it had anything to clean up.
        return ExitCode::from(1);
    };
    tree::kill_marked(MARKER, &estate.cluster_id);
    remove_all(&estate.directory);
    ExitCode::SUCCESS
}

/// Removes a directory tree, also where a container has taken away the permission to.
fn remove_all(directory: &Path) {
    for attempt in 0..10_u64 {
        match fs::remove_dir_all(directory) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => {
                make_writable(directory);
                // A process that is being killed may still be writing.
                std::thread::sleep(std::time::Duration::from_millis(10 * attempt));
            }
        }
    }
}

fn make_writable(directory: &Path) {
    let Ok(found) = fs::symlink_metadata(directory) else {
        return;
    };
    if !found.is_dir() {
        return;
    }
    let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        make_writable(&entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubborn_directories_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let top = parent.path().join("top");
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/b/f"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", top.join("a/link")).unwrap();
        fs::set_permissions(top.join("a/b"), Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(top.join("a"), Permissions::from_mode(0o500)).unwrap();
        remove_all(&top);
        assert!(!top.exists() && Path::new("/etc").is_dir());
    }
}
