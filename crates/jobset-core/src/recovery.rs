//! Restart back-off and a budget that refills, where annotations of the JobSet ask for them.
//!
//! `status.recovery` remembers what no Job does: when the last restart was decided, and how many
//! restarts there had been when the JobSet was last healthy for long enough. Only what came after
//! counts for the wait and, if the budget refills, for `maxRestarts`. The counters of the status
//! themselves only grow, as ever.

use std::time::Duration;

use jobset_api::recovery::Recovery;
use jobset_api::{JobSet, JobSetStatus, RecoveryStatus, constants};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::draft::Draft;
use crate::model::{Event, EventType};

/// Reason of the event that tells that restarts are forgiven.
pub(crate) const BUDGET_REFILLED: &str = "RestartBudgetRefilled";
/// Reason of the event that tells that a restart waits.
pub(crate) const RESTART_DELAYED: &str = "RestartDelayed";

/// Reads the annotations; odd ones are reported and left out.
pub(crate) fn read(jobset: &JobSet, draft: &mut Draft) -> Recovery {
    let (recovery, problems) = Recovery::of(jobset);
    for (key, text, why) in problems {
        draft.warn(|| format!("annotation {key} ({text:?}) is ignored: {why}"));
    }
    recovery
}

/// All restarts so far, of the JobSet and of single Jobs, counted or not.
pub(crate) fn total(status: &JobSetStatus) -> i64 {
    let entries = status.replicated_jobs_status.iter();
    let singles = entries.flat_map(|entry| &entry.job_restarts);
    i64::from(status.restarts) + singles.map(|n| i64::from(*n)).sum::<i64>()
}

/// Restarts so far that count towards the maximum.
fn counted(status: &JobSetStatus) -> i64 {
    let entries = status.replicated_jobs_status.iter();
    let singles = entries.flat_map(|entry| &entry.job_restarts_count_towards_max);
    i64::from(status.restarts_count_towards_max) + singles.map(|n| i64::from(*n)).sum::<i64>()
}

/// Counted restarts that count no more.
pub(crate) fn forgiven(recovery: &Recovery, status: &JobSetStatus) -> i64 {
    let stored = status.recovery.as_ref();
    let known = stored.filter(|_| recovery.refill.is_some());
    known.map_or(0, |stored| i64::from(stored.forgiven_restarts))
}

/// A restart has been decided in this plan.
pub(crate) fn restarted(recovery: &Recovery, draft: &mut Draft) {
    let now = draft.now();
    if recovery.backoff.is_none() && recovery.refill.is_none() {
        return;
    }
    draft.change_status(|status| {
        let stored = status.recovery.get_or_insert_default();
        stored.last_restart_time = Some(seconds(now));
        true
    });
    if let Some(wait) = wait(recovery, draft.status(), now) {
        let restart = total(draft.status());
        draft.event_always(Event {
            type_: EventType::Normal,
            reason: RESTART_DELAYED.to_owned(),
            note: format!("restart {restart} waits for {} s", wait.as_secs()),
        });
    }
}

/// Time for which the Jobs of the present restart are not to be created yet.
pub(crate) fn wait(recovery: &Recovery, status: &JobSetStatus, now: Timestamp) -> Option<Duration> {
    let backoff = recovery.backoff?;
    let stored = status.recovery.as_ref()?;
    let last = stored.last_restart_time.as_ref()?.0;
    let in_a_row = total(status) - i64::from(stored.healthy_restarts);
    let left = left(last, backoff.delay(in_a_row), now);
    (!left.is_zero()).then_some(left)
}

/// Forgives restarts if all Jobs, which are ready now, have had long enough without another one.
pub(crate) fn refill(recovery: &Recovery, now: Timestamp, draft: &mut Draft) {
    let Some(after) = recovery.refill else { return };
    let status = draft.status();
    let stored = status.recovery.clone().unwrap_or_default();
    if total(status) <= i64::from(stored.healthy_restarts) {
        return;
    }
    let restarting = status
        .conditions
        .iter()
        .find(|c| c.type_ == constants::RESTARTING_JOBSET);
    if restarting.is_some_and(|c| c.status == "True") {
        return; // Turns false in this very plan; the time counts from then.
    }
    let ready = restarting.map(|c| c.last_transition_time.0);
    let decided = stored.last_restart_time.as_ref().map(|time| time.0);
    let Some(since) = ready.max(decided) else {
        // Restarted before the annotation was there: the time begins now.
        draft.change_status(|status| {
            status.recovery.get_or_insert_default().last_restart_time = Some(seconds(now));
            true
        });
        draft.requeue(after);
        return;
    };
    let left = left(since, after, now);
    if !left.is_zero() {
        draft.requeue(left);
        return;
    }
    let number = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
    let healthy = RecoveryStatus {
        healthy_restarts: number(total(status)),
        forgiven_restarts: number(counted(status)),
        ..stored
    };
    let note = format!(
        "healthy for {} s: {} counted restarts are forgiven",
        after.as_secs(),
        healthy.forgiven_restarts
    );
    draft.change_status(|status| {
        status.recovery = Some(healthy);
        true
    });
    draft.event_always(Event {
        type_: EventType::Normal,
        reason: BUDGET_REFILLED.to_owned(),
        note,
    });
}

/// What is left of `time` that began at `since`. A beginning in the future (clock skew) counts as
/// now, so that no wait is longer than it is meant to be.
fn left(since: Timestamp, time: Duration, now: Timestamp) -> Duration {
    let gone = now.duration_since(since).max(SignedDuration::ZERO);
    time.saturating_sub(gone.unsigned_abs())
}

/// Kubernetes stores times in whole seconds.
fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
mod tests;
