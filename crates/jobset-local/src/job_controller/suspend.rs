//! `spec.suspend`: condition, events and start time. (The Pods go in `pods.rs`.)

use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::conditions::{self, Cause, SUSPENDED};

/// What has just changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// The Job was suspended.
    Suspended,
    /// The Job was resumed.
    Resumed,
}

/// Brings condition and start time in line with `suspended`.
///
/// The start time begins anew on resumption, so that the active deadline does not count the
/// time of suspension.
pub fn update(status: &mut JobStatus, suspended: bool, now: Timestamp) -> Option<Transition> {
    let cause = if suspended {
        Cause {
            reason: "JobSuspended".to_owned(),
            message: "Job suspended".to_owned(),
        }
    } else {
        Cause {
            reason: "JobResumed".to_owned(),
            message: "Job resumed".to_owned(),
        }
    };
    if !conditions::set(status, SUSPENDED, suspended, &cause, now) {
        return None;
    }
    if suspended {
        return Some(Transition::Suspended);
    }
    status.start_time = Some(Time(now));
    Some(Transition::Resumed)
}
