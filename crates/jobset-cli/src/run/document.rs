//! The machine-readable result of `--output json`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::model::{Ending, Model, PodFailure, Role, Set};
use crate::exit::Exit;

/// The whole document. Times are seconds since the start of the command.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    /// `Completed`, `Failed`, `TimedOut` or `Interrupted`.
    result: &'static str,
    exit_code: u8,
    elapsed_seconds: f64,
    /// When the API answered, and when all documents were created.
    cluster_ready_seconds: f64,
    created_seconds: f64,
    jobsets: Vec<JobSetResult>,
    api: ApiUse,
    /// Largest resident memory of this process.
    peak_memory_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct JobSetResult {
    namespace: String,
    name: String,
    /// `Completed`, `Failed`, `Deleted`, or `Running` if the run ended before it did.
    result: &'static str,
    reason: String,
    message: String,
    restarts: i32,
    all_jobs_created_seconds: Option<f64>,
    all_jobs_ready_seconds: Option<f64>,
    finished_seconds: Option<f64>,
    replicated_jobs: Vec<RoleResult>,
    first_failed_job: Option<String>,
    first_failure: Option<FailureResult>,
    /// What the failure policy decided, as the events say it, oldest first.
    decisions: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleResult {
    name: String,
    replicas: i32,
    ready: i32,
    active: i32,
    succeeded: i32,
    failed: i32,
    suspended: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureResult {
    job: String,
    pod: String,
    node: Option<String>,
    container: String,
    restart_attempt: i32,
    exit_code: Option<i32>,
    signal: Option<i32>,
    reason: String,
    message: String,
    last_log_lines: Vec<String>,
}

/// Requests that the cluster's API server answered.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiUse {
    /// All of them, by verb and resource: `create jobs`.
    requests: BTreeMap<String, u64>,
    /// Writes that succeeded and changed nothing, likewise.
    no_op_writes: BTreeMap<String, u64>,
    /// The JobSet controller's own share.
    controller_requests: BTreeMap<String, u64>,
}

/// Times that belong to the run as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) ready: Duration,
    pub(super) created: Duration,
}

/// Builds the document.
pub(super) fn build(
    exit: Exit,
    model: &Model,
    times: Times,
    elapsed: Duration,
    api: &embedded_apiserver::Stats,
    controller: &jobset_controller::Stats,
) -> Document {
    let by_name = |map: &BTreeMap<(String, String), u64>| {
        map.iter()
            .map(|((verb, resource), count)| (format!("{verb} {resource}"), *count))
            .collect()
    };
    Document {
        result: match exit {
            Exit::Completed => "Completed",
            Exit::Failed | Exit::BadInput => "Failed",
            Exit::TimedOut => "TimedOut",
            Exit::Interrupted => "Interrupted",
        },
        exit_code: exit.code(),
        elapsed_seconds: seconds(elapsed),
        cluster_ready_seconds: seconds(times.ready),
        created_seconds: seconds(times.created),
        jobsets: model.sets.iter().map(jobset).collect(),
        api: ApiUse {
            requests: by_name(&api.requests),
            no_op_writes: by_name(&api.noop_writes),
            controller_requests: controller
                .requests()
                .into_iter()
                .map(|((verb, resource), count)| (format!("{verb} {resource}"), count))
                .collect(),
        },
        peak_memory_bytes: peak_memory(),
    }
}

/// Seconds with milliseconds.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn jobset(set: &Set) -> JobSetResult {
    let (reason, message) = set.verdict();
    JobSetResult {
        namespace: set.namespace.clone(),
        name: set.name.clone(),
        result: match set.ending {
            Some(Ending::Completed) => "Completed",
            Some(Ending::Failed) => "Failed",
            Some(Ending::Deleted) => "Deleted",
            None => "Running",
        },
        reason,
        message,
        restarts: set.status.restarts,
        all_jobs_created_seconds: set.all_created.map(seconds),
        all_jobs_ready_seconds: set.all_ready.map(seconds),
        finished_seconds: set.finished.map(seconds),
        replicated_jobs: set.roles.iter().map(role).collect(),
        first_failed_job: set.first_failed_job(),
        first_failure: set.first_failure().map(failure),
        decisions: set.decisions.clone(),
    }
}

fn role(role: &Role) -> RoleResult {
    RoleResult {
        name: role.name.clone(),
        replicas: role.replicas,
        ready: role.ready,
        active: role.active,
        succeeded: role.succeeded,
        failed: role.failed,
        suspended: role.suspended,
    }
}

fn failure(failure: &PodFailure) -> FailureResult {
    FailureResult {
        job: failure.job.clone(),
        pod: failure.pod.clone(),
        node: failure.node.clone(),
        container: failure.container.clone(),
        restart_attempt: failure.attempt,
        exit_code: failure.exit_code,
        signal: failure.signal,
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        last_log_lines: failure.last_lines.clone(),
    }
}

/// `VmHWM` of the process, where the system tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
