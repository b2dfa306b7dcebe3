//! `spec.activeDeadlineSeconds` (gate `JobSetActiveDeadlineSeconds`): how long a JobSet may be
//! active.
//!
//! The time runs from `status.startTime`, which is kept while the gate is on: set when the JobSet
//! runs, cleared when it is suspended, set anew when it is resumed or restarted as a whole, and left
//! as it is when a single Job restarts.

use std::time::Duration;

use jobset_api::constants::{messages, reasons};
use jobset_api::{Feature, JobSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::draft::Draft;
use crate::failure_policy;

/// Keeps the start time in line with what the JobSet is to do. Whether the deadline has passed; if
/// it is still to come, the plan looks again then.
pub(crate) fn has_passed(jobset: &JobSet, now: Timestamp, draft: &mut Draft) -> bool {
    let kept = draft.options.enabled(Feature::JobSetActiveDeadlineSeconds);
    let runs = kept && !jobset.is_suspended();
    draft.change_status(|status| match (&status.start_time, runs) {
        (Some(_), true) | (None, false) => false,
        (None, true) => {
            status.start_time = Some(seconds(now));
            true
        }
        (Some(_), false) => {
            status.start_time = None;
            true
        }
    });
    let deadline = jobset.spec.active_deadline_seconds;
    let (Some(start), Some(deadline)) = (draft.status().start_time.clone(), deadline) else {
        return false;
    };
    let end = start
        .0
        .duration_since(now)
        .saturating_add(SignedDuration::from_secs(deadline));
    let left = Duration::try_from(end).unwrap_or_default();
    if left.is_zero() {
        return true;
    }
    draft.requeue(left);
    false
}

/// The whole JobSet restarts: its time begins anew.
pub(crate) fn restarted(now: Timestamp, draft: &mut Draft) {
    if draft.options.enabled(Feature::JobSetActiveDeadlineSeconds) {
        draft.change_status(|status| {
            status.start_time = Some(seconds(now));
            true
        });
    }
}

/// The JobSet fails because its time is over.
pub(crate) fn fail(draft: &mut Draft) {
    failure_policy::end(
        reasons::DEADLINE_EXCEEDED,
        messages::DEADLINE_EXCEEDED,
        draft,
    );
}

/// Kubernetes stores times in whole seconds.
fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
mod tests;
