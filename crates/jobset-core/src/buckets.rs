//! Sorts the child Jobs into four buckets: previous attempts, active, successful, failed.

use jobset_api::JobSetStatus;

use crate::draft::Draft;
use crate::model::{ChildJob, Observed, OutcomeKind};
use crate::roles::Roles;

/// A Job and the replicated job it belongs to, if its label names one of the spec.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child<'a> {
    pub(crate) job: &'a ChildJob,
    /// Position in [`Roles`].
    pub(crate) role: Option<usize>,
}

/// The child Jobs by what they mean to the present attempt. The buckets are disjoint and together
/// hold every Job; each keeps the order of the snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buckets<'a> {
    /// Jobs of an earlier attempt, however they ended.
    pub(crate) previous: Vec<Child<'a>>,
    /// Unfinished Jobs, running or suspended.
    pub(crate) active: Vec<Child<'a>>,
    /// Jobs with condition Complete.
    pub(crate) successful: Vec<Child<'a>>,
    /// Jobs with condition Failed, or bound for it where that is enough.
    pub(crate) failed: Vec<Child<'a>>,
}

impl<'a> Buckets<'a> {
    /// One pass over the Jobs.
    ///
    /// Labels can be edited by users, so a broken one must not block the JobSet: a
    /// `restart-attempt` that is missing or no number counts as attempt 0, a missing
    /// `job-restart-attempt` as individual attempt 0, and a Job whose index makes no sense has no
    /// individual attempts. Each is reported as a warning.
    pub(crate) fn sort(
        observed: &Observed<'a>,
        roles: &Roles<'a>,
        status: &JobSetStatus,
        individual: bool,
        draft: &mut Draft,
    ) -> Self {
        let targets = individual.then(|| job_restarts(roles, status));
        let fast = draft.options.fast_failure_detection;
        let mut buckets = Self::default();
        for job in observed.jobs {
            draft.work.jobs += 1;
            let job: &ChildJob = job;
            let role = job
                .replicated_job
                .as_deref()
                .and_then(|name| roles.position(name));
            let child = Child { job, role };
            let attempt = number(job.restart_attempt.as_deref()).unwrap_or_else(|| {
                draft.warn(|| {
                    format!(
                        "job {:?} has no usable restart-attempt label ({:?}); taking it as attempt 0",
                        job.name, job.restart_attempt
                    )
                });
                0
            });
            let outdated = attempt < i64::from(status.restarts)
                || targets
                    .as_ref()
                    .is_some_and(|t| individually_outdated(child, t, draft));
            let bucket = if outdated {
                &mut buckets.previous
            } else {
                match job.outcome_kind() {
                    None if fast && job.failing.is_some() => &mut buckets.failed,
                    None => &mut buckets.active,
                    Some(OutcomeKind::Complete) => &mut buckets.successful,
                    Some(OutcomeKind::Failed) => &mut buckets.failed,
                }
            };
            bucket.push(child);
        }
        buckets
    }
}

/// The individual attempts that the Jobs of each role should have, by index; empty = all zero.
pub(crate) fn job_restarts<'s>(roles: &Roles<'_>, status: &'s JobSetStatus) -> Vec<&'s [i32]> {
    let mut targets: Vec<&[i32]> = vec![&[]; roles.len()];
    for entry in &status.replicated_jobs_status {
        if let Some(slot) = roles.position(&entry.name).and_then(|i| targets.get_mut(i)) {
            *slot = &entry.job_restarts;
        }
    }
    targets
}

fn individually_outdated(child: Child<'_>, targets: &[&[i32]], draft: &mut Draft) -> bool {
    let job = child.job;
    let target = child
        .role
        .and_then(|role| targets.get(role))
        .zip(index(job))
        .map(|(list, index)| list.get(index).copied().unwrap_or(0));
    let Some(target) = target else {
        draft.warn(|| {
            format!(
                "job {:?} has no usable replicatedjob-name or job-index label ({:?}, {:?}); it \
                 cannot be restarted alone",
                job.name, job.replicated_job, job.job_index
            )
        });
        return false;
    };
    let own = match job.job_restart_attempt.as_deref() {
        // Created while the gate was off.
        None => 0,
        some => number(some).unwrap_or_else(|| {
            draft.warn(|| {
                format!(
                    "job {:?} has a job-restart-attempt label that is no number ({:?}); taking it \
                     as 0",
                    job.name, job.job_restart_attempt
                )
            });
            0
        }),
    };
    own < i64::from(target)
}

/// The Job's index from its label, if that is a number an index can be.
pub(crate) fn index(job: &ChildJob) -> Option<usize> {
    job.job_index.as_deref()?.parse().ok()
}

fn number(label: Option<&str>) -> Option<i64> {
    label?.parse().ok()
}

#[cfg(test)]
mod tests;
