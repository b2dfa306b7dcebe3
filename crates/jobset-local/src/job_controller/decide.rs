//! What to do next for one Job.
//!
//! [`decide`] is total and deterministic: it never fails, never panics and asks nobody for the
//! time. It is called twice per pass when it asks for Pods to be created or deleted: once for
//! these actions and, when they are done, once more for the status that results.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::backoff::{self, BackoffLimits, BackoffRecord};
use super::conditions::{self, COMPLETE, Cause, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET};
use super::counting::{self, Tally};
use super::deadline::{self, Deadline};
use super::indexes::IndexSet;
use super::pod_template::NewPod;
use super::status;
use super::suspend::{self, Transition};
use super::view::{JobView, Phase, PodView};
use super::{selection, success_policy};
use crate::shell::events::EventType;

/// Most Pods created or deleted in one pass; the rest follows in the next.
const MAX_CHANGES: usize = 500;

/// A Pod to be deleted.
#[derive(Debug, Clone)]
pub struct Removal {
    /// The Pod.
    pub pod: Arc<PodView>,
    /// Whether its finalizer goes first, so that the deletion does not count as a failure.
    pub uncounted: bool,
}

/// Something to tell the user once the status is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Expected or trouble.
    pub kind: EventType,
    /// Machine-readable reason.
    pub reason: String,
    /// Human-readable message.
    pub message: String,
}

/// What to do for a Job, in the order of the fields.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// Pods to create. Never non-empty together with `delete`.
    pub create: Vec<NewPod>,
    /// Pods to delete.
    pub delete: Vec<Removal>,
    /// The status to write if it differs from the Job's.
    pub status: Option<JobStatus>,
    /// Events that follow the status write.
    pub notes: Vec<Note>,
    /// Failures in a row, to be kept once the status is written.
    pub backoff: BackoffRecord,
    /// Pods whose finalizer goes once the status is written.
    pub release: Vec<Arc<PodView>>,
    /// When to look again even if nothing changes.
    pub requeue_after: Option<Duration>,
}

/// The Pods of a Job that have not ended, by position.
struct Census {
    active: Vec<usize>,
    ready: usize,
    terminating: usize,
}

impl Census {
    fn of(pods: &[Arc<PodView>]) -> Self {
        let active: Vec<usize> = (0..pods.len()).filter(|&i| pods[i].active()).collect();
        Self {
            ready: active.iter().filter(|&&i| pods[i].ready).count(),
            terminating: pods.iter().filter(|pod| pod.terminating()).count(),
            active,
        }
    }

    /// Whether no Pod runs or may come to run.
    fn quiet(&self) -> bool {
        self.active.is_empty() && self.terminating == 0
    }
}

/// How a Job ends.
enum Ending {
    Success(Cause),
    Failure(Cause),
}

/// Decides what to do for `job`, given all of its `pods`.
///
/// `record` is the back-off of an earlier decision, or `None` after a restart.
pub fn decide(
    job: &JobView,
    pods: &[Arc<PodView>],
    record: Option<BackoffRecord>,
    limits: BackoffLimits,
    now: Timestamp,
) -> Decision {
    if job.spec.managed_elsewhere() {
        return Decision::default();
    }
    if conditions::finished_at(&job.status).is_some() {
        return after_the_end(pods);
    }
    let pick = |positions: &[usize]| positions.iter().map(|&i| Arc::clone(&pods[i])).collect();
    if job.deleting() {
        // Nobody reads the status of a Job that goes away: only let its Pods go too.
        let release = pods
            .iter()
            .filter(|pod| pod.tracked)
            .map(Arc::clone)
            .collect();
        return Decision {
            release,
            ..Decision::default()
        };
    }

    let census = Census::of(pods);
    let tally = counting::tally(job, pods, now);
    let record = record
        .unwrap_or_else(|| recall(job, pods))
        .after(&tally.new_successes, &tally.new_failures);
    // The API's times have whole seconds.
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut decision = Decision {
        backoff: record,
        ..Decision::default()
    };
    let mut status = job.status.clone();
    if status.start_time.is_none() && !job.spec.suspended() {
        status.start_time = Some(Time(second));
    }

    let mut ending = ending(job, pods, &tally, &status, now, &mut decision);
    if ending.is_some() {
        decision.delete = removals(pods, &census.active, false);
    } else {
        manage(job, pods, &census, &tally, limits, now, &mut decision);
        let enough = match job.spec.completions() {
            Some(wanted) => tally.succeeded >= wanted,
            None => tally.succeeded > 0,
        };
        let settled = decision.create.is_empty() && census.active.is_empty();
        if enough && settled {
            ending = Some(Ending::Success(Cause::completions_reached()));
        } else if let Some(change) = suspend::update(&mut status, job.spec.suspended(), second) {
            decision.notes.push(suspension_note(change));
        }
    }

    status::set_counts(
        &mut status,
        &tally,
        census.active.len(),
        census.ready,
        census.terminating,
    );
    if let Some(ending) = ending {
        conclude(
            &mut status,
            ending,
            census.quiet(),
            second,
            &mut decision.notes,
        );
    }
    decision.release = pick(&tally.release);
    decision.status = status::changed(&job.status, &status).then_some(status);
    decision
}

/// A finished Job counts nothing any more; what is left of its Pods is let go.
fn after_the_end(pods: &[Arc<PodView>]) -> Decision {
    let active = Census::of(pods).active;
    let ended = pods.iter().filter(|pod| pod.tracked && !pod.active());
    Decision {
        delete: removals(pods, &active, true),
        release: ended.map(Arc::clone).collect(),
        ..Decision::default()
    }
}

fn removals(pods: &[Arc<PodView>], positions: &[usize], uncounted: bool) -> Vec<Removal> {
    let positions = positions.iter().take(MAX_CHANGES);
    positions
        .map(|&i| Removal {
            pod: Arc::clone(&pods[i]),
            uncounted,
        })
        .collect()
}

/// The back-off as far as the Pods that were counted earlier still tell it.
fn recall(job: &JobView, pods: &[Arc<PodView>]) -> BackoffRecord {
    let listed = job.status.uncounted_terminated_pods.as_ref();
    let uids: HashSet<&str> = listed
        .into_iter()
        .flat_map(|lists| lists.succeeded.iter().chain(&lists.failed))
        .flatten()
        .map(String::as_str)
        .collect();
    let times = |phase| -> Vec<Timestamp> {
        let counted = pods
            .iter()
            .filter(|pod| !pod.tracked || uids.contains(pod.uid()));
        counted
            .filter(|pod| pod.phase == phase)
            .filter_map(|pod| pod.finished_at)
            .collect()
    };
    BackoffRecord::default().after(&times(Phase::Succeeded), &times(Phase::Failed))
}

/// Whether the Job ends for another reason than that all of its work is done.
fn ending(
    job: &JobView,
    pods: &[Arc<PodView>],
    tally: &Tally,
    status: &JobStatus,
    now: Timestamp,
    decision: &mut Decision,
) -> Option<Ending> {
    if let Some(cause) = conditions::cause_of(status, SUCCESS_CRITERIA_MET) {
        return Some(Ending::Success(cause));
    }
    if let Some(cause) = conditions::cause_of(status, FAILURE_TARGET) {
        return Some(Ending::Failure(cause));
    }
    let rules = &job.spec;
    if let Some(message) = &tally.fail_job {
        return Some(Ending::Failure(Cause::pod_failure_policy(message.clone())));
    }
    if tally.failed > rules.backoff_limit() || restarted_too_often(job, pods) {
        return Some(Ending::Failure(Cause::backoff_limit_exceeded()));
    }
    let started = status
        .start_time
        .as_ref()
        .map(|time| time.0)
        .filter(|_| !rules.suspended());
    match deadline::check(rules.active_deadline_seconds, started, now) {
        Deadline::None => {}
        Deadline::In(left) => decision.requeue_after = Some(left),
        Deadline::Passed => return Some(Ending::Failure(Cause::deadline_exceeded())),
    }
    let (Some(indexes), Some(completed)) = (rules.indexes(), &tally.completed_indexes) else {
        return None;
    };
    if let Some(failed) = &tally.failed_indexes {
        let count = failed.len();
        if rules
            .max_failed_indexes
            .is_some_and(|max| i64::from(count) > i64::from(max))
        {
            return Some(Ending::Failure(Cause::max_failed_indexes_exceeded()));
        }
        // An index that failed and was then reported succeeded must not end the Job early.
        let ended = u64::from(count) + u64::from(completed.len());
        let both = u64::from(failed.overlap(completed));
        if count > 0 && ended - both >= u64::from(indexes) {
            return Some(Ending::Failure(Cause::failed_indexes()));
        }
    }
    success_policy::met(rules.success_policy.as_ref(), completed, indexes)
        .map(|message| Ending::Success(Cause::success_policy(message)))
}

/// Whether containers restarted in place have used up the back-off limit.
fn restarted_too_often(job: &JobView, pods: &[Arc<PodView>]) -> bool {
    if !job.spec.template.restarts_in_place {
        return false;
    }
    let unfinished = pods.iter().filter(|pod| !pod.ended());
    let restarts: i64 = unfinished.map(|pod| i64::from(pod.restarts)).sum();
    restarts > 0 && restarts >= job.spec.backoff_limit()
}

/// Creates and deletes Pods so that as many are active as there should be.
fn manage(
    job: &JobView,
    pods: &[Arc<PodView>],
    census: &Census,
    tally: &Tally,
    limits: BackoffLimits,
    now: Timestamp,
    decision: &mut Decision,
) {
    let rules = &job.spec;
    if rules.suspended() {
        decision.delete = removals(pods, &census.active, true);
        return;
    }
    let active = census.active.len();
    let parallelism = usize::try_from(rules.parallelism()).unwrap_or(usize::MAX);
    let wanted = match rules.completions() {
        // A work queue drains after its first success: what runs may finish, nothing new starts.
        None if tally.succeeded > 0 => active.min(parallelism),
        None => parallelism,
        Some(completions) => {
            let left = completions.saturating_sub(tally.succeeded);
            parallelism.min(usize::try_from(left).unwrap_or(usize::MAX))
        }
    };
    let surplus = active.saturating_sub(wanted);
    let remove = selection::to_remove(pods, &census.active, rules.indexes(), surplus);
    if !remove.is_empty() {
        decision.delete = removals(pods, &remove, true);
        return;
    }
    let held = if rules.replaces_only_failed() {
        census.terminating
    } else {
        0
    };
    let missing = wanted
        .saturating_sub(active)
        .saturating_sub(held)
        .min(MAX_CHANGES);
    if missing == 0 {
        return;
    }
    let mut wait = |delay: Duration| {
        decision.requeue_after = Some(
            decision
                .requeue_after
                .map_or(delay, |other| other.min(delay)),
        );
    };
    if rules.per_index_limit().is_none() {
        let delay = decision.backoff.remaining(limits, now);
        if !delay.is_zero() {
            wait(delay);
            return;
        }
    }
    let Some(indexes) = rules.indexes() else {
        decision.create = vec![NewPod::default(); missing];
        return;
    };

    let taken: IndexSet = pods
        .iter()
        .filter(|pod| pod.active() || (rules.replaces_only_failed() && pod.terminating()))
        .filter_map(|pod| pod.index)
        .collect();
    let done = |set: &Option<IndexSet>, i| set.as_ref().is_some_and(|set| set.contains(i));
    for index in taken.missing(indexes) {
        if decision.create.len() == missing {
            break;
        }
        if done(&tally.completed_indexes, index) || done(&tally.failed_indexes, index) {
            continue;
        }
        let mut pod = NewPod {
            index: Some(index),
            failures: None,
        };
        if rules.per_index_limit().is_some() {
            pod.failures = Some((0, 0));
            if let Some(failures) = tally.index_failures.get(&index) {
                let delay = backoff::remaining(failures.total(), failures.last, limits, now);
                if !delay.is_zero() {
                    wait(delay);
                    continue;
                }
                pod.failures = Some((failures.counted, failures.ignored));
            }
        }
        decision.create.push(pod);
    }
}

fn suspension_note(change: Transition) -> Note {
    let (reason, message) = match change {
        Transition::Suspended => ("Suspended", "Job suspended"),
        Transition::Resumed => ("Resumed", "Job resumed"),
    };
    Note {
        kind: EventType::Normal,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

/// Records how the Job ends: at once what it is heading for, and that it has ended when no Pod
/// is left that may still run. The latter settles all counting.
fn conclude(
    status: &mut JobStatus,
    ending: Ending,
    quiet: bool,
    now: Timestamp,
    notes: &mut Vec<Note>,
) {
    let (heading, end, cause) = match ending {
        Ending::Success(cause) => (SUCCESS_CRITERIA_MET, COMPLETE, cause),
        Ending::Failure(cause) => (FAILURE_TARGET, FAILED, cause),
    };
    conditions::set(status, heading, true, &cause, now);
    if !quiet {
        return;
    }
    conditions::set(status, end, true, &cause, now);
    status.uncounted_terminated_pods = None;
    if end == COMPLETE {
        status.completion_time = Some(Time(now));
        notes.push(Note {
            kind: EventType::Normal,
            reason: "Completed".to_owned(),
            message: "Job completed".to_owned(),
        });
    } else {
        notes.push(Note {
            kind: EventType::Warning,
            reason: cause.reason,
            message: cause.message,
        });
    }
}
