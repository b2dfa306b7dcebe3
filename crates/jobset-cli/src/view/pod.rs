//! A Pod: where it belongs, and how it is.

use embedded_apiserver::table::{Columns, Include};
use embedded_apiserver::topology::Gvk;
use jobset_api::constants as keys;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// The label by which a Pod names its Job.
const JOB_NAME_KEY: &str = "batch.kubernetes.io/job-name";

/// A label's value, or nothing.
pub(crate) fn label<'a>(object: &'a impl kube::Resource, key: &str) -> &'a str {
    let labels = object.meta().labels.as_ref();
    labels
        .and_then(|labels| labels.get(key))
        .map_or("", String::as_str)
}

/// Where a Pod belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodPlace {
    pub(crate) role: String,
    pub(crate) job: String,
    pub(crate) job_index: String,
    pub(crate) pod_index: String,
    /// The attempt of the whole JobSet that it belongs to.
    pub(crate) attempt: i32,
}

impl PodPlace {
    /// What the labels and annotations say.
    pub(crate) fn of(pod: &impl kube::Resource) -> Self {
        let annotations = pod.meta().annotations.as_ref();
        let index = annotations.and_then(|map| map.get(keys::JOB_COMPLETION_INDEX_KEY));
        Self {
            role: label(pod, keys::REPLICATED_JOB_NAME_KEY).to_owned(),
            job: label(pod, JOB_NAME_KEY).to_owned(),
            job_index: label(pod, keys::JOB_INDEX_KEY).to_owned(),
            pod_index: index.map_or("0", String::as_str).to_owned(),
            attempt: label(pod, keys::RESTART_ATTEMPT_KEY)
                .parse()
                .unwrap_or_default(),
        }
    }

    /// `<role>-<job index>-<pod index>`.
    pub(crate) fn short_name(&self) -> String {
        format!("{}-{}-{}", self.role, self.job_index, self.pod_index)
    }
}

/// One Pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodView {
    pub(crate) name: String,
    pub(crate) attempt: i32,
    /// What `kubectl get pods` shows in its column STATUS.
    pub(crate) state: String,
    /// Ready containers of all.
    pub(crate) ready: String,
    pub(crate) restarts: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    /// Why it is not running, if it says so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terminating_since: Option<Time>,
}

impl PodView {
    pub(crate) fn of(pod: &Pod, now: Timestamp) -> Self {
        let columns = Columns::built_in(&Gvk {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "Pod".to_owned(),
        });
        let object = serde_json::to_value(pod).unwrap_or_default();
        let row = columns.row(&object, now, Include::None);
        let cell = |index: usize| row["cells"][index].as_str().unwrap_or_default().to_owned();
        let terminating_since = requested_deletion(pod).map(Time);
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            attempt: PodPlace::of(pod).attempt,
            ready: cell(1),
            state: if terminating_since.is_some() {
                "Terminating".to_owned()
            } else {
                cell(2)
            },
            restarts: restarts(&object),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            reason: super::one_line(&reason(pod)),
            terminating_since,
        }
    }

    /// Whether all its containers are ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
            .split_once('/')
            .is_some_and(|(ready, all)| ready == all)
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.terminating_since.is_none()
            && matches!(
                self.state.as_str(),
                "Completed" | "Succeeded" | "Failed" | "Error"
            )
    }
}

fn restarts(pod: &Value) -> i32 {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let all = statuses.into_iter().flatten();
    all.filter_map(|status| status["restartCount"].as_i64())
        .sum::<i64>() as i32
}

/// When the deletion of an object was asked for: its time stamp is that of the end of the grace
/// period.
pub(crate) fn requested_deletion(object: &impl kube::Resource) -> Option<Timestamp> {
    let meta = object.meta();
    let end = meta.deletion_timestamp.as_ref()?.0;
    let grace = meta.deletion_grace_period_seconds.unwrap_or_default();
    Timestamp::from_second(end.as_second() - grace).ok()
}

/// The first thing that keeps a Pod from running, or ended it.
fn reason(pod: &Pod) -> String {
    let Some(status) = &pod.status else {
        return String::new();
    };
    let with = |reason: &str, message: &str| {
        if message.is_empty() {
            reason.to_owned()
        } else {
            format!("{reason}: {message}")
        }
    };
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.is_some()
    });
    if let Some(condition) = unscheduled {
        return with(
            condition.reason.as_deref().unwrap_or_default(),
            condition.message.as_deref().unwrap_or_default(),
        );
    }
    if let Some(reason) = &status.reason {
        return with(reason, status.message.as_deref().unwrap_or_default());
    }
    let init = status.init_container_statuses.iter().flatten();
    let waiting = init
        .chain(status.container_statuses.iter().flatten())
        .filter_map(|container| container.state.as_ref()?.waiting.as_ref())
        .find(|waiting| {
            !matches!(
                waiting.reason.as_deref(),
                None | Some("ContainerCreating" | "PodInitializing")
            )
        });
    if let Some(waiting) = waiting {
        return with(
            waiting.reason.as_deref().unwrap_or_default(),
            waiting.message.as_deref().unwrap_or_default(),
        );
    }
    // A running Pod whose container has ended badly before says so by its restarts.
    if status.phase.as_deref() == Some("Failed") {
        let culprit = jobset_core::why::Culprit::first_of(std::slice::from_ref(pod));
        return culprit.map_or_else(String::new, |culprit| match culprit.container {
            Some(container) => format!("{container}: {}", culprit.ending),
            None => culprit.ending,
        });
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing;
    use super::*;

    #[test]
    fn a_pod_has_a_place_and_a_state() {
        let pod = testing::pod(
            "workers",
            1,
            0,
            &json!({"phase": "Failed", "containerStatuses": [
                {"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 2,
                 "state": {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": "2026-01-01T00:01:00Z"}}},
            ]}),
        );
        assert_eq!(PodPlace::of(&pod).short_name(), "workers-1-0");
        let view = PodView::of(&pod, testing::now());
        assert_eq!(
            (view.state.as_str(), view.ready.as_str(), view.restarts),
            ("Error", "0/1", 2)
        );
        assert_eq!(view.node.as_deref(), Some("node-0"));
        assert_eq!(view.reason, "main: exit code 137, signal SIGKILL");
        assert!(view.is_over());
    }

    #[test]
    fn a_pod_that_is_being_deleted_says_since_when() {
        let mut pod = testing::pod("workers", 1, 0, &json!({"phase": "Running"}));
        pod.metadata.deletion_timestamp = Some(Time("2026-01-01T00:05:30Z".parse().unwrap()));
        pod.metadata.deletion_grace_period_seconds = Some(30);
        let view = PodView::of(&pod, testing::now());
        assert_eq!(view.state, "Terminating");
        assert_eq!(
            view.terminating_since.unwrap().0.to_string(),
            "2026-01-01T00:05:00Z"
        );
    }

    #[test]
    fn what_keeps_a_pod_waiting_is_its_reason() {
        let status = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled",
            "status": "False", "reason": "Unschedulable", "message": "0/3 nodes\n\u{1b}[2J are available"}]});
        let view = PodView::of(&testing::pod("w", 0, 0, &status), testing::now());
        assert_eq!(
            view.reason,
            "Unschedulable: 0/3 nodes; \u{fffd}[2J are available"
        );
        assert_eq!(view.state, "Pending");
    }
}
