//! In-place restart (gate `InPlaceRestart`): all containers restart together, in the Pods they have.
//!
//! An agent in every Pod writes the attempt it is at as an annotation and waits until the status
//! says that this attempt may run. The planner moves two numbers of the status:
//!
//! * `currentInPlaceRestartAttempt`: Pods at exactly this attempt may run. It is set when every
//!   expected Pod reports the same attempt.
//! * `previousInPlaceRestartAttempt`: Pods at this attempt or a lower one must restart. It grows to
//!   one less than the highest attempt as soon as some Pod reports more than the others.
//!
//! # Which Pods are expected
//!
//! All Pods of the spec, but for those that can only appear later: a replicated job that waits for
//! another one to *complete*, or to be *ready* while that one is not ready before its barrier is
//! lifted, cannot be waited for at that barrier. When its Pods come up, everything else runs at
//! some attempt already and theirs is one higher. As long as they have never restarted they *join*:
//! their barrier is lifted, and nobody restarts for them.
//!
//! A completed Job that others waited for is done and takes no part any more. Another Job with a
//! Pod that succeeded cannot restart in place; if the others do, it is recreated.
//!
//! # Suspension
//!
//! Pods of a resumed JobSet start one attempt above the current one, which must not count as a
//! restart. Once the last Pod of the suspended Jobs is gone the current attempt steps back, so that
//! they come up where the others ended. `previous` at `current` marks that this has been done.

use std::collections::HashMap;
use std::sync::Arc;

use jobset_api::constants::{DISABLE_IN_PLACE_RESTART_KEY, IN_PLACE_RESTART_ATTEMPT_KEY};
use jobset_api::constants::{messages, reasons};
use jobset_api::{DependsOnStatus, JobSet, JobSetStatus, JobTemplate, RestartStrategy};

use crate::buckets::{Buckets, Child};
use crate::draft::Draft;
use crate::failure_policy;
use crate::model::{Action, ChildJob, Observed, Propagation, StepKind};
use crate::pods::{ChildPod, PodPhase};
use crate::roles::{Role, Roles};
use crate::startup_policy;

/// Whether the JobSet restarts in place.
pub(crate) fn is_wanted(jobset: &JobSet) -> bool {
    let policy = jobset.spec.failure_policy.as_ref();
    policy.and_then(|p| p.restart_strategy.as_ref()) == Some(&RestartStrategy::InPlaceRestart)
}

/// Whether a user has switched it off for this JobSet; the agents then let everything run.
pub(crate) fn is_disabled(jobset: &JobSet) -> bool {
    let annotations = jobset.metadata.annotations.as_ref();
    annotations.is_some_and(|map| map.contains_key(DISABLE_IN_PLACE_RESTART_KEY))
}

/// Whether the JobSet goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoesOn,
    /// The attempts have to be stored before any Pod comes up that reads them.
    StoreFirst,
    /// The budget of restarts is used up.
    Failed,
}

/// Moves the two attempts, and fails the JobSet if it has restarted too often.
pub(crate) fn decide(
    observed: &Observed<'_>,
    pods: &[Arc<ChildPod>],
    roles: &Roles<'_>,
    buckets: &Buckets<'_>,
    draft: &mut Draft,
) -> Verdict {
    let jobset = observed.jobset;
    let mut group = Group::new(jobset, roles, buckets, draft);
    group.take_in(pods, draft);

    let max = jobset
        .spec
        .failure_policy
        .as_ref()
        .map_or(0, |policy| i64::from(policy.max_restarts()));
    let joined = i64::try_from(group.later_and_there()).unwrap_or(i64::MAX);
    let exceeded = group.restarts > max
        || group
            .highest()
            .is_some_and(|attempt| restarts_of(attempt, joined, draft.status()) > max);
    if exceeded {
        let reason = reasons::REACHED_MAX_RESTARTS;
        failure_policy::end(reason, messages::REACHED_MAX_RESTARTS, draft);
        return Verdict::Failed;
    }

    if group.is_gone() {
        let mut resting = buckets.active.iter().map(|child| child.job);
        let settled =
            !buckets.active.is_empty() && resting.all(|job| job.suspend && job.active == 0);
        let mut rested = false;
        if settled {
            draft.change_status(|status| {
                rested = rest(status, joined);
                rested
            });
        }
        return if rested && !jobset.is_suspended() {
            Verdict::StoreFirst
        } else {
            Verdict::GoesOn
        };
    }
    let Some(expected) = group.expected(roles, draft) else {
        return Verdict::GoesOn;
    };
    if group.reported() == expected
        && let Some(attempt) = group.common_attempt()
    {
        draft.change_status(|status| {
            let new = i32::try_from(attempt).ok();
            let old = std::mem::replace(&mut status.current_in_place_restart_attempt, new);
            old != new
        });
        return Verdict::GoesOn;
    }
    if let Some(attempt) = group.restarting().filter(|attempt| *attempt > 0) {
        draft.change_status(|status| raise_previous(status, attempt - 1));
        let stuck = group.stuck_below(attempt);
        draft.step(StepKind::DeletePrevious, stuck);
    }
    Verdict::GoesOn
}

/// Restarts that count, given the highest attempt: it grows by one for each group restart, for each
/// restart by the failure policy, counted or not, and for each replicated job that joined later,
/// which happens anew in every global attempt.
fn restarts_of(attempt: i64, joined: i64, status: &JobSetStatus) -> i64 {
    let global = i64::from(status.restarts);
    let uncounted = global - i64::from(status.restarts_count_towards_max);
    let sum = |list: &[i32]| list.iter().map(|n| i64::from(*n)).sum::<i64>();
    let single: i64 = status
        .replicated_jobs_status
        .iter()
        .map(|entry| (sum(&entry.job_restarts) - sum(&entry.job_restarts_count_towards_max)).max(0))
        .sum();
    let joins = joined.saturating_mul(global.max(0).saturating_add(1));
    attempt - uncounted - single - joins
}

/// The last Pod of a suspended JobSet is gone: those to come shall not count as restarted.
fn rest(status: &mut JobSetStatus, joined: i64) -> bool {
    let Some(current) = status.current_in_place_restart_attempt.map(i64::from) else {
        return false;
    };
    let previous = status
        .previous_in_place_restart_attempt
        .map_or(-1, i64::from);
    if previous >= current {
        return false;
    }
    let back = i32::try_from((current - 1 - joined).max(previous)).ok();
    let back = back.filter(|attempt| *attempt >= 0);
    status.current_in_place_restart_attempt = back;
    status.previous_in_place_restart_attempt = back;
    true
}

fn raise_previous(status: &mut JobSetStatus, attempt: i64) -> bool {
    let Ok(attempt) = i32::try_from(attempt) else {
        return false;
    };
    let old = status.previous_in_place_restart_attempt;
    let grows = old.is_none_or(|old| old < attempt);
    if grows {
        status.previous_in_place_restart_attempt = Some(attempt);
    }
    grows
}

/// What the Pods of one replicated job report.
#[derive(Clone, Debug, Default)]
struct Report {
    /// It has Jobs.
    is_there: bool,
    /// Some of them may run, or have.
    has_begun: bool,
    /// It cannot appear before others have passed their barrier.
    comes_later: bool,
    /// Others waited for its completion.
    is_phase: bool,
    /// Some Pod or container of it has failed before.
    has_failed: bool,
    /// Completed Jobs.
    completed: i64,
    /// Reports by Pods of completed Jobs.
    of_completed: i64,
    /// Pods that report an attempt.
    reported: i64,
    lowest: Option<i64>,
    highest: Option<i64>,
}

impl Report {
    fn add(&mut self, attempt: i64) {
        self.reported += 1;
        self.lowest = Some(self.lowest.map_or(attempt, |old| old.min(attempt)));
        self.highest = Some(self.highest.map_or(attempt, |old| old.max(attempt)));
    }

    /// It starts beside others that run already, and has nothing to do with a restart.
    fn joins(&self) -> bool {
        self.comes_later && !self.has_failed && self.lowest == self.highest
    }
}

/// What the Pods of all replicated jobs report.
struct Group<'a> {
    /// By position in [`Roles`].
    reports: Vec<Report>,
    /// The present Jobs by uid, with their role.
    jobs: HashMap<&'a str, (usize, &'a ChildJob)>,
    /// Jobs with a Pod that succeeded, and its attempt.
    succeeded: Vec<(&'a ChildJob, i64)>,
    /// Most restarts of any container.
    restarts: i64,
    /// Pods of present Jobs that have not ended.
    unfinished: u64,
}

impl<'a> Group<'a> {
    fn new(jobset: &JobSet, roles: &Roles<'_>, buckets: &Buckets<'a>, draft: &mut Draft) -> Self {
        draft.work.roles += roles.len() as u64;
        let mut reports = ordering(jobset, roles);
        let mut jobs = HashMap::with_capacity(buckets.active.len() + buckets.successful.len());
        let mut take = |children: &[Child<'a>], completed: bool| {
            for child in children {
                draft.work.jobs += 1;
                let Some(report) = child.role.and_then(|role| reports.get_mut(role)) else {
                    continue;
                };
                // One that is going, because it could not restart, is going to be done again.
                let completed = completed && !child.job.deleting;
                report.is_there = true;
                report.has_begun |= completed || !child.job.suspend;
                report.has_failed |= child.job.failed > 0;
                report.completed += i64::from(completed);
                if let Some(role) = child.role {
                    jobs.insert(child.job.uid.as_str(), (role, child.job));
                }
            }
        };
        take(&buckets.active, false);
        take(&buckets.successful, true);
        Self {
            reports,
            jobs,
            succeeded: Vec::new(),
            restarts: 0,
            unfinished: 0,
        }
    }

    /// Takes in what the Pods of present Jobs report. Others, whatever their labels, do not count.
    fn take_in(&mut self, pods: &[Arc<ChildPod>], draft: &mut Draft) {
        for pod in pods {
            draft.work.pods += 1;
            let owner = pod.job_uid.as_deref().and_then(|uid| self.jobs.get(uid));
            let Some(&(role, job)) = owner else { continue };
            let Some(report) = self.reports.get_mut(role) else {
                continue;
            };
            self.unfinished += u64::from(pod.phase == PodPhase::Unfinished);
            self.restarts = self.restarts.max(i64::from(pod.restarts));
            report.has_failed |= pod.restarts > 0;
            let completed = job.outcome.is_some() && !job.deleting;
            // A replacement of what failed or ends comes up beside it; a phase that is over is over.
            let out = pod.phase == PodPhase::Failed || pod.deletion.is_some();
            if out || (completed && report.is_phase) {
                continue;
            }
            let Some(attempt) = reported_attempt(pod, draft) else {
                continue;
            };
            report.add(attempt);
            report.of_completed += i64::from(completed);
            if pod.phase == PodPhase::Succeeded {
                self.succeeded.push((job, attempt));
            }
        }
    }

    fn is_gone(&self) -> bool {
        self.unfinished == 0
    }

    fn later_and_there(&self) -> usize {
        let later = |report: &&Report| report.comes_later && report.is_there;
        self.reports.iter().filter(later).count()
    }

    /// Number of Pods whose report is waited for. `None`, with an error, if the spec does not say.
    fn expected(&self, roles: &Roles<'_>, draft: &mut Draft) -> Option<i64> {
        let mut total = 0_i64;
        for role in roles.iter() {
            let report = self.reports.get(role.position)?;
            if report.comes_later && !report.has_begun {
                continue;
            }
            let Some(pods) = pods_per_job(&role.spec.template) else {
                draft.error(format!(
                    "{}: in-place restart requires jobTemplate.spec.completions == \
                     jobTemplate.spec.parallelism != nil",
                    role.place.name
                ));
                return None;
            };
            let unfinished = (role.place.replicas - report.completed).max(0);
            total = total
                .saturating_add(unfinished.saturating_mul(pods))
                .saturating_add(report.of_completed);
        }
        Some(total)
    }

    fn reported(&self) -> i64 {
        self.reports.iter().map(|report| report.reported).sum()
    }

    fn highest(&self) -> Option<i64> {
        self.reports.iter().filter_map(|r| r.highest).max()
    }

    /// The attempt at which all may run: the one that all Pods report, or the highest if those that
    /// report another one only join.
    fn common_attempt(&self) -> Option<i64> {
        let bound = || self.reports.iter().filter(|report| !report.joins());
        let lowest = bound().filter_map(|report| report.lowest).min();
        let highest = bound().filter_map(|report| report.highest).max();
        // Who joined does so no more when the others have gone on without it.
        let mut joining = self.reports.iter().filter(|report| report.joins());
        let left_behind =
            joining.any(|report| report.lowest.is_some_and(|own| Some(own) < highest));
        (lowest == highest && !left_behind)
            .then(|| self.highest())
            .flatten()
    }

    /// The attempt to which all have to get.
    fn restarting(&self) -> Option<i64> {
        let bound = self.reports.iter().filter(|report| !report.joins());
        bound.filter_map(|report| report.highest).max()
    }

    /// Deletions of Jobs with a Pod that succeeded at an earlier attempt: it cannot restart, and
    /// the others would wait for it for ever.
    fn stuck_below(&self, attempt: i64) -> Vec<Action> {
        let mut stuck: Vec<&ChildJob> = self
            .succeeded
            .iter()
            .filter(|(job, own)| *own < attempt && !job.deleting)
            .map(|(job, _)| *job)
            .collect();
        stuck.sort_by(|a, b| a.name.cmp(&b.name));
        stuck.dedup_by(|a, b| a.uid == b.uid);
        stuck
            .into_iter()
            .map(|job| Action::DeleteJob {
                name: job.name.clone(),
                uid: job.uid.clone(),
                propagation: Propagation::Foreground,
            })
            .collect()
    }
}

/// The attempt that the agent reports, if it has one to report.
fn reported_attempt(pod: &ChildPod, draft: &mut Draft) -> Option<i64> {
    let text = pod.in_place_attempt.as_deref()?;
    let attempt = text.parse::<i32>().ok().filter(|attempt| *attempt >= 0);
    if attempt.is_none() {
        // The Pod's own service account can write this. It must not block all the others.
        draft.warn(|| {
            format!(
                "pod {:?}: invalid value {text:?} for annotation {IN_PLACE_RESTART_ATTEMPT_KEY}, \
                 must be non-negative integer; it counts as not having reported",
                pod.name
            )
        });
    }
    attempt.map(i64::from)
}

/// Pods of each Job, if the template says it in both ways.
fn pods_per_job(template: &JobTemplate) -> Option<i64> {
    let parallelism = template.parallelism()?;
    (template.completions() == Some(parallelism)).then_some(i64::from(parallelism))
}

/// Empty reports, with what the spec says about the order in which replicated jobs appear.
fn ordering(jobset: &JobSet, roles: &Roles<'_>) -> Vec<Report> {
    let in_order = startup_policy::in_order(&jobset.spec);
    let mut reports = vec![Report::default(); roles.len()];
    let mut late_so_far = false;
    for role in roles.iter() {
        let mut comes_later = in_order && late_so_far;
        for dependency in role.spec.depends_on() {
            let Some(on) = roles.position(&dependency.name) else {
                continue;
            };
            let complete = dependency.status == DependsOnStatus::Complete;
            if let Some(report) = reports.get_mut(on) {
                report.is_phase |= complete;
                comes_later |= complete || report.comes_later;
            }
            comes_later |= roles.get(on).is_some_and(is_ready_late);
        }
        if let Some(report) = reports.get_mut(role.position) {
            report.comes_later = comes_later;
        }
        late_so_far |= is_ready_late(role);
    }
    reports
}

/// Whether Pods of this replicated job are not ready before their barrier is lifted: their agent is
/// a sidecar whose startup probe waits for that.
fn is_ready_late(role: Role<'_, '_>) -> bool {
    let pod = role.spec.template.pod_spec();
    let containers = pod.and_then(|pod| pod.get("initContainers")?.as_array());
    containers.into_iter().flatten().any(|container| {
        let always = container.get("restartPolicy").and_then(|p| p.as_str()) == Some("Always");
        always && container.get("startupProbe").is_some_and(|p| !p.is_null())
    })
}

#[cfg(test)]
mod tests;
