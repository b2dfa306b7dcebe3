//! Job conditions, with Kubernetes' own types, reasons and messages.

use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// The Job has succeeded and has no Pod left that is not ended.
pub const COMPLETE: &str = "Complete";
/// The Job has failed and has no Pod left that is not ended.
pub const FAILED: &str = "Failed";
/// The Job is going to fail; its Pods are being ended.
pub const FAILURE_TARGET: &str = "FailureTarget";
/// The Job is going to complete; surplus Pods are being ended.
pub const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";
/// The Job is kept from running.
pub const SUSPENDED: &str = "Suspended";

/// Why a Job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable reason.
    pub reason: String,
    /// Human-readable message.
    pub message: String,
}

impl Cause {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    /// A rule of the Pod failure policy said so.
    pub fn pod_failure_policy(message: String) -> Self {
        Self::new("PodFailurePolicy", message)
    }

    /// Too many failures.
    pub fn backoff_limit_exceeded() -> Self {
        Self::new(
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        )
    }

    /// Active for too long.
    pub fn deadline_exceeded() -> Self {
        Self::new(
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
        )
    }

    /// Every index has ended, some of them badly.
    pub fn failed_indexes() -> Self {
        Self::new("FailedIndexes", "Job has failed indexes")
    }

    /// Too many indexes have failed.
    pub fn max_failed_indexes_exceeded() -> Self {
        Self::new(
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        )
    }

    /// Enough Pods have succeeded.
    pub fn completions_reached() -> Self {
        Self::new(
            "CompletionsReached",
            "Reached expected number of succeeded pods",
        )
    }

    /// A rule of the success policy is met.
    pub fn success_policy(message: String) -> Self {
        Self::new("SuccessPolicy", message)
    }
}

/// The condition of type `kind` if it is true.
pub fn find_true<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == "True")
}

/// The cause recorded in the condition of type `kind` if that is true.
pub fn cause_of(status: &JobStatus, kind: &str) -> Option<Cause> {
    find_true(status, kind).map(|condition| Cause {
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
    })
}

/// Since when the Job is finished, if it is. A terminal condition without a time counts as
/// finished at `epoch`.
pub fn finished_at(status: &JobStatus) -> Option<Timestamp> {
    let condition = find_true(status, COMPLETE).or_else(|| find_true(status, FAILED))?;
    Some(
        condition
            .last_transition_time
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
    )
}

/// Sets the condition of type `kind`. Returns whether anything changed.
///
/// A condition that does not exist is not added only to say that it is false.
pub fn set(status: &mut JobStatus, kind: &str, value: bool, cause: &Cause, now: Timestamp) -> bool {
    let text = if value { "True" } else { "False" };
    let conditions = status.conditions.get_or_insert_default();
    let condition = JobCondition {
        type_: kind.to_owned(),
        status: text.to_owned(),
        reason: Some(cause.reason.clone()),
        message: Some(cause.message.clone()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    match conditions
        .iter_mut()
        .find(|condition| condition.type_ == kind)
    {
        Some(old) if old.status == text => false,
        Some(old) => {
            *old = condition;
            true
        }
        None if value => {
            conditions.push(condition);
            true
        }
        None => {
            if conditions.is_empty() {
                status.conditions = None;
            }
            false
        }
    }
}
