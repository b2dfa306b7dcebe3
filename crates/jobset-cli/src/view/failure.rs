//! Which containers failed, and which of the failures came first.

use std::sync::Arc;

use jobset_core::why::Culprit;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::pod::{PodPlace, requested_deletion};

/// Exit codes of what was stopped by SIGKILL or SIGTERM.
const STOPPED: [i32; 2] = [137, 143];

/// A container that failed, or a Pod that did as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    pub(crate) attempt: i32,
    pub(crate) role: String,
    pub(crate) job: String,
    pub(crate) pod: String,
    pub(crate) node: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) exit_code: Option<i32>,
    /// How it ended: exit code, signal, reason.
    pub(crate) ending: String,
    pub(crate) time: Option<Time>,
    /// Whether the container has been started again since.
    pub(crate) restarted: bool,
    /// What it printed last; `None` if nobody asked or the log is gone.
    pub(crate) last_lines: Option<Vec<String>>,
    /// Why the log cannot be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no_log: Option<String>,
}

/// All failures that the Pods still tell of, oldest first. What was stopped on purpose did not fail.
pub(super) fn failures(pods: &[Arc<Pod>]) -> Vec<Failure> {
    let mut all: Vec<Failure> = pods
        .iter()
        .flat_map(|pod| {
            let place = PodPlace::of(pod.as_ref());
            Culprit::all_of(pod)
                .into_iter()
                .filter(|culprit| !was_stopped(pod, culprit))
                .map(move |culprit| Failure {
                    attempt: place.attempt,
                    role: place.role.clone(),
                    job: place.job.clone(),
                    pod: culprit.pod,
                    node: culprit.node,
                    container: culprit.container,
                    exit_code: culprit.exit_code,
                    ending: culprit.ending,
                    time: culprit.time.map(Time),
                    restarted: culprit.restarted,
                    last_lines: None,
                    no_log: None,
                })
        })
        .collect();
    all.sort_by(|a, b| {
        let key = |one: &Failure| {
            let time = one.time.as_ref().map(|time| time.0);
            (time.is_none(), time, one.attempt)
        };
        key(a).cmp(&key(b)).then_with(|| a.pod.cmp(&b.pod))
    });
    all
}

/// Whether a container ended because its Pod is being deleted.
fn was_stopped(pod: &Pod, culprit: &Culprit) -> bool {
    let Some(requested) = requested_deletion(pod) else {
        return false;
    };
    // Both are whole seconds: within the same one, the exit code has to tell.
    match culprit
        .time
        .map(|time| time.as_second() - requested.as_second())
    {
        Some(..0) => false,
        Some(0) => culprit
            .exit_code
            .is_some_and(|code| STOPPED.contains(&code)),
        Some(_) | None => true,
    }
}

/// Place of the failure that explains a decision about a Job: the first one of that Job in the
/// latest attempt, or else the first one of that Job, or of any if none is named.
pub(super) fn first(failures: &[Failure], job: Option<&str>, attempt: i32) -> Option<usize> {
    let of_job = |failure: &Failure| job.is_none_or(|job| failure.job == job);
    failures
        .iter()
        .position(|failure| of_job(failure) && failure.attempt == attempt)
        .or_else(|| failures.iter().position(of_job))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing;
    use super::*;

    fn ended(code: i32, second: u32) -> Value {
        json!({"phase": "Failed", "containerStatuses": [
            {"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": code, "reason": "Error",
                "finishedAt": format!("2026-01-01T00:01:{second:02}Z")}}},
        ]})
    }

    #[test]
    fn failures_are_in_the_order_of_time() {
        let mut fine = ended(0, 1);
        fine["phase"] = "Succeeded".into();
        let pods = [
            testing::pod("workers", 0, 1, &ended(7, 9)),
            testing::pod("workers", 1, 0, &ended(3, 5)),
            testing::pod("leader", 0, 0, &fine),
        ];
        let found = failures(&pods.map(Arc::new));
        let brief: Vec<_> = found
            .iter()
            .map(|f| (f.job.as_str(), f.exit_code))
            .collect();
        assert_eq!(
            brief,
            [("js-workers-1", Some(3)), ("js-workers-0", Some(7))]
        );
        assert_eq!(first(&found, Some("js-workers-0"), 0), Some(1));
        assert_eq!(
            first(&found, Some("js-workers-0"), 4),
            Some(1),
            "an earlier attempt"
        );
        assert_eq!(first(&found, None, 0), Some(0));
        assert_eq!(first(&found, Some("js-leader-0"), 0), None);
    }

    #[test]
    fn what_was_stopped_did_not_fail() {
        let deleted_at = |code, second| {
            let mut pod = testing::pod("workers", 0, 0, &ended(code, second));
            pod.metadata.deletion_timestamp = Some(Time("2026-01-01T00:01:35Z".parse().unwrap()));
            pod.metadata.deletion_grace_period_seconds = Some(30);
            failures(&[Arc::new(pod)]).len()
        };
        assert_eq!(deleted_at(1, 4), 1, "before");
        assert_eq!(deleted_at(143, 5), 0, "in the same second, by SIGTERM");
        assert_eq!(deleted_at(1, 5), 1, "in the same second, by itself");
        assert_eq!(deleted_at(1, 6), 0, "after");
    }
}
