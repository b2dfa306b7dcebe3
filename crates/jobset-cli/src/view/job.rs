//! A Job of a JobSet: its state in one word, its attempt, its Pods.

use jobset_api::constants as keys;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::pod::{PodView, label, requested_deletion};

/// One Job.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobView {
    pub(crate) name: String,
    pub(crate) index: Option<i64>,
    /// `Pending`, `Starting`, `Running`, `Suspended`, `Failing`, `Failed`, `Completing`,
    /// `Completed`, `Terminating`, or `Gone` if only Pods are left of it.
    pub(crate) state: &'static str,
    /// Of the condition that made the state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// The attempt of the whole JobSet that it belongs to.
    pub(crate) attempt: i32,
    /// How often it was restarted by itself.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) own_attempt: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terminating_since: Option<Time>,
    pub(crate) pods: Vec<PodView>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// The condition of this type, if it is true.
pub(super) fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == type_ && condition.status == "True")
}

impl JobView {
    /// A Job, without its Pods.
    pub(crate) fn of(job: &Job) -> Self {
        let number = |key| label(job, key).parse().unwrap_or_default();
        let terminating_since = requested_deletion(job).map(Time);
        let (state, because) = state(job);
        let because = because.cloned();
        Self {
            name: job.metadata.name.clone().unwrap_or_default(),
            index: label(job, keys::JOB_INDEX_KEY).parse().ok(),
            state: if terminating_since.is_some() {
                "Terminating"
            } else {
                state
            },
            reason: because
                .as_ref()
                .and_then(|condition| condition.reason.clone())
                .unwrap_or_default(),
            message: because
                .and_then(|condition| condition.message)
                .unwrap_or_default(),
            attempt: number(keys::RESTART_ATTEMPT_KEY),
            own_attempt: number(keys::JOB_RESTART_ATTEMPT_KEY),
            terminating_since,
            pods: Vec::new(),
        }
    }
}

/// Pods that a Job wants at once.
pub(crate) fn wanted_pods(job: &Job) -> i32 {
    let spec = job.spec.as_ref();
    let parallelism = spec.and_then(|spec| spec.parallelism).unwrap_or(1);
    let completions = spec.and_then(|spec| spec.completions);
    completions.map_or(parallelism, |completions| parallelism.min(completions))
}

fn state(job: &Job) -> (&'static str, Option<&JobCondition>) {
    let words = [
        ("Complete", "Completed"),
        ("Failed", "Failed"),
        ("FailureTarget", "Failing"),
        ("SuccessCriteriaMet", "Completing"),
    ];
    for (type_, word) in words {
        if let Some(found) = condition(job, type_) {
            return (word, Some(found));
        }
    }
    let spec = job.spec.as_ref();
    if spec.and_then(|spec| spec.suspend) == Some(true) {
        return ("Suspended", None);
    }
    let status = job.status.as_ref();
    let number = |pick: fn(&k8s_openapi::api::batch::v1::JobStatus) -> Option<i32>| {
        status.and_then(pick).unwrap_or_default()
    };
    let up = number(|status| status.succeeded) + number(|status| status.ready);
    let word = if up >= wanted_pods(job) {
        "Running"
    } else if number(|status| status.active) > 0 {
        "Starting"
    } else {
        "Pending"
    };
    (word, None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing;
    use super::*;

    #[test]
    fn the_state_is_one_word() {
        let condition = |type_| json!({"conditions": [{"type": type_, "status": "True", "reason": "R", "message": "m"}]});
        for (status, word) in [
            (json!({}), "Pending"),
            (json!({"active": 2}), "Starting"),
            (json!({"active": 2, "ready": 1, "succeeded": 1}), "Running"),
            (condition("Complete"), "Completed"),
            (condition("Failed"), "Failed"),
            (condition("FailureTarget"), "Failing"),
            (condition("SuccessCriteriaMet"), "Completing"),
        ] {
            let job = testing::job("workers", 0, &status);
            assert_eq!(JobView::of(&job).state, word, "{status}");
        }
        let mut job = testing::job("workers", 0, &condition("Failed"));
        assert_eq!(JobView::of(&job).reason, "R");
        job.metadata.deletion_timestamp = Some(Time(testing::now()));
        assert_eq!(JobView::of(&job).state, "Terminating");
        let mut job = testing::job("workers", 0, &json!({}));
        job.spec.as_mut().unwrap().suspend = Some(true);
        assert_eq!(JobView::of(&job).state, "Suspended");
    }
}
