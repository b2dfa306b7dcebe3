//! What the node and a container's `init` say to each other: one JSON document per line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The environment variable that marks every process of a cluster; its value is the cluster's id.
pub(crate) const MARKER: &str = "JOBSET_CLUSTER_ID";

/// The environment variable that tells a container the address of its Pod: the only one on which it
/// can listen without being in the way of other Pods.
pub(crate) const POD_IP: &str = "JOBSET_POD_IP";

/// Exit code of a container that could not be started because its command does not exist.
pub(crate) const EXIT_NOT_FOUND: i32 = 127;
/// Exit code of a container that could not be started for another reason.
pub(crate) const EXIT_CANNOT_START: i32 = 128;
/// Exit code of a container that was killed.
pub(crate) const EXIT_KILLED: i32 = 137;

/// The first line: what to run and in which surroundings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerSpec {
    /// Command and arguments; never empty.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// Working directory as the container sees it.
    pub(crate) cwd: PathBuf,
    /// Host name as the container sees it.
    pub(crate) hostname: String,
    /// An empty directory of the host on which file systems may be assembled.
    pub(crate) stage: PathBuf,
    /// Volumes and single files, in no particular order.
    pub(crate) mounts: Vec<Mount>,
}

/// One bind mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// Path on the host.
    pub(crate) source: PathBuf,
    /// Absolute path in the container.
    pub(crate) target: PathBuf,
    /// Whether writes are refused.
    pub(crate) read_only: bool,
    /// Whether a failure to mount is tolerated (the hosts file of a machine without one).
    pub(crate) optional: bool,
}

/// A later line from the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Request {
    /// Send this signal to the command's process group.
    Signal(i32),
    /// Kill everything in the container, now.
    Kill,
    /// Run a command beside the container's own (probes, hooks).
    Exec {
        /// Names the request in the report.
        id: u64,
        /// Command and arguments.
        argv: Vec<String>,
        /// Killed after this many milliseconds.
        timeout_ms: u64,
    },
}

/// A line from `enter` or `init`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Report {
    /// The isolation that was asked for is not permitted here; nothing was started.
    NotIsolated {
        /// Which step failed and how.
        reason: String,
    },
    /// The command could not be started.
    StartFailed {
        /// 127 or 128.
        code: i32,
        /// What failed.
        message: String,
    },
    /// The command runs.
    Started,
    /// The command ended; what else was in the container is being killed.
    Exited {
        /// Exit status, or 128 plus the signal's number.
        code: i32,
    },
    /// An `Exec` request ended.
    ExecDone {
        /// Of the request.
        id: u64,
        /// Exit status; absent when it was killed by its time-out.
        code: Option<i32>,
        /// Standard output and error, cut.
        output: String,
    },
}
