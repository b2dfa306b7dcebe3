//! The machine-readable result of `--output json`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::model::{Ending, Model, PodFailure, Set};
use crate::exit::Exit;
use crate::view::RoleView;

/// The whole document. Times are seconds since the start of the command.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    /// `Completed`, `Failed`, `TimedOut` or `Interrupted`.
    pub(super) result: &'static str,
    pub(super) exit_code: u8,
    pub(super) elapsed_seconds: f64,
    /// When the API answered, and when all documents were created.
    cluster_ready_seconds: f64,
    created_seconds: f64,
    jobsets: Vec<JobSetResult>,
    api: ApiUse,
    /// Largest resident memory of this process.
    peak_memory_bytes: Option<u64>,
    /// Where the system tells it.
    processor_seconds: Option<ProcessorUse>,
}

/// Processor time, in seconds.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessorUse {
    /// Of this process: the cluster and the controller.
    cluster: f64,
    /// Of the processes of containers that have ended.
    containers: f64,
}

impl Document {
    /// Times, memory and processor, for people; the first row is the head.
    pub(super) fn resources(&self) -> Vec<Vec<String>> {
        let time = |seconds: f64| format!("{seconds:.2} s");
        let mut rows = vec![
            ["Of what".to_owned(), "How much".to_owned()],
            [
                "time of the whole run".to_owned(),
                time(self.elapsed_seconds),
            ],
            [
                "until the cluster was there".to_owned(),
                time(self.cluster_ready_seconds),
            ],
            [
                "until the objects were created".to_owned(),
                time(self.created_seconds),
            ],
        ];
        if let Some(used) = &self.processor_seconds {
            rows.push([
                "processor time of containers that have ended".to_owned(),
                time(used.containers),
            ]);
            rows.push([
                "processor time of the cluster itself".to_owned(),
                time(used.cluster),
            ]);
        }
        if let Some(bytes) = self.peak_memory_bytes {
            rows.push([
                "largest memory of the cluster itself".to_owned(),
                format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
            ]);
        }
        rows.into_iter().map(Vec::from).collect()
    }

    /// Requests by verb and resource, the most frequent first; the first row is the head.
    pub(super) fn requests(&self) -> Vec<Vec<String>> {
        let head = [
            "Request",
            "All",
            "Of the JobSet controller",
            "Changed nothing",
        ];
        let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).into()];
        let number = |map: &BTreeMap<String, u64>, request: &str| {
            map.get(request).map(u64::to_string).unwrap_or_default()
        };
        let mut requests: Vec<(&String, &u64)> = self.api.requests.iter().collect();
        requests.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (request, count) in requests {
            rows.push(vec![
                request.clone(),
                count.to_string(),
                number(&self.api.controller_requests, request),
                number(&self.api.no_op_writes, request),
            ]);
        }
        rows
    }
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
    /// What kept it from going on, if the run ended before it did.
    waits_for: Vec<String>,
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
        jobsets: model
            .sets
            .iter()
            .enumerate()
            .map(|(index, set)| jobset(set, model.waits_for(index)))
            .collect(),
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
        processor_seconds: std::fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|stat| processor_use(&stat)),
    }
}

/// Seconds with milliseconds.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

fn jobset(set: &Set, waits_for: Vec<String>) -> JobSetResult {
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
        waits_for,
    }
}

fn role(role: &RoleView) -> RoleResult {
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

/// What `/proc/self/stat` tells of a process and of its children that have ended and their children.
fn processor_use(stat: &str) -> Option<ProcessorUse> {
    /// Linux shows user space this many ticks a second on every machine.
    const TICKS: f64 = 100.0;
    // The name of the program is in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .map_while(|field| field.parse().ok())
        .collect();
    let [user, system, children_user, children_system] = ticks[..] else {
        return None;
    };
    Some(ProcessorUse {
        cluster: (user + system) / TICKS,
        containers: (children_user + children_system) / TICKS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read() {
        let stat = "12 (a ) b) S 1 12 12 0 -1 4194560 100 200 0 0 150 50 1000 25 20 0 3 0 1 2 3";
        let expected = ProcessorUse {
            cluster: 2.0,
            containers: 10.25,
        };
        assert_eq!(processor_use(stat), Some(expected));
        for wrong in [
            "",
            "1 (x",
            "1 (x) S 1 2 3",
            "1 (x) S 1 2 3 4 5 6 7 8 9 10 a b c d",
        ] {
            assert_eq!(processor_use(wrong), None, "{wrong}");
        }
    }
}
