//! What a failed Job means for the JobSet.

use std::collections::HashMap;

use jobset_api::constants::{self, events, messages, reasons};
use jobset_api::{FailurePolicy, FailurePolicyAction, FailurePolicyRule, Feature, JobSetStatus};
use regex::Regex;

use crate::buckets::{self, Child};
use crate::conditions::Change;
use crate::draft::Draft;
use crate::model::{ChildJob, Event, EventType, JobOutcome, OutcomeKind, Terminal};
use crate::patterns;
use crate::roles::Roles;
use crate::targets::Targets;
use crate::why::Decision;
use crate::{deadline, execution};

/// A rule with its patterns compiled. A pattern that does not compile is left out and never
/// matches; the others still count.
struct Rule<'p> {
    spec: &'p FailurePolicyRule,
    targets: Targets<'p>,
    patterns: Vec<Regex>,
}

/// Decides about the failed Jobs of one snapshot and changes status, conditions and events.
///
/// The first rule that matches any failed Job decides, for the earliest failure among those it
/// matches. Restarts of single Jobs are decided for all failed Jobs at once, in the same order,
/// until a decision concerns the whole JobSet; the counters end up as if each had its own
/// reconcile.
pub(crate) fn decide(
    policy: Option<&FailurePolicy>,
    failed: &[Child<'_>],
    roles: &Roles<'_>,
    forgiven: i64,
    draft: &mut Draft,
) {
    let individual = draft.options.enabled(Feature::RestartJob);
    let mut open = by_time(failed);
    draft.work.jobs += open.len() as u64;
    let Some(policy) = policy else {
        if let Some(first) = open.first() {
            told("the JobSet fails", None, first.job, draft);
            fail(
                reasons::FAILED_JOBS,
                messages::FAILED_JOBS,
                first.job,
                draft,
            );
        }
        return;
    };
    let rules = compile(policy, draft);
    let mut budget = Budget::new(policy, individual, forgiven, draft.status());
    for rule in &rules {
        let mut left = Vec::new();
        for child in open {
            draft.work.rules += 1;
            if !applies(rule, child.job) {
                left.push(child);
                continue;
            }
            let reach = budget.apply(&rule.spec.action, Some(rule.spec), child, roles, draft);
            if reach == Reach::JobSet {
                return;
            }
        }
        open = left;
    }
    if let Some(first) = open.first() {
        budget.apply(
            &FailurePolicyAction::RestartJobSet,
            None,
            *first,
            roles,
            draft,
        );
    }
}

/// The failed Jobs, earliest failure first. Times have whole seconds, so ties are common; the name
/// breaks them, and the answer does not depend on the order of a cache.
fn by_time<'a>(failed: &[Child<'a>]) -> Vec<Child<'a>> {
    let mut list: Vec<_> = failed
        .iter()
        .filter(|child| failure(child.job).is_some())
        .copied()
        .collect();
    list.sort_by(|a, b| {
        let time = |child: &Child<'_>| failure(child.job).and_then(|f| f.time);
        time(a)
            .cmp(&time(b))
            .then_with(|| a.job.name.cmp(&b.job.name))
    });
    list
}

fn failure(job: &ChildJob) -> Option<&JobOutcome> {
    // A failed Job without that outcome is one that is bound to fail.
    let outcome = job.outcome.as_ref().or(job.failing.as_ref());
    outcome.filter(|outcome| outcome.kind == OutcomeKind::Failed)
}

fn compile<'p>(policy: &'p FailurePolicy, draft: &mut Draft) -> Vec<Rule<'p>> {
    let mut compiled = Vec::with_capacity(policy.rules.len());
    for spec in &policy.rules {
        let mut list = Vec::new();
        for pattern in &spec.on_job_failure_message_patterns {
            match patterns::compile(pattern) {
                Ok(regex) => list.push(regex),
                Err(e) => draft.warn(|| {
                    format!(
                        "failure policy rule {:?}: pattern {pattern:?} is skipped: {}",
                        spec.name, e.0
                    )
                }),
            }
        }
        compiled.push(Rule {
            spec,
            targets: Targets::new(&spec.target_replicated_jobs),
            patterns: list,
        });
    }
    compiled
}

/// Whether a rule is about the failure of this Job: reason, message and replicated job all fit. A
/// Job without the name of its replicated job fits no rule, not even one without targets.
fn applies(rule: &Rule<'_>, job: &ChildJob) -> bool {
    let Some(failure) = failure(job) else {
        return false;
    };
    let spec = rule.spec;
    let reason = spec.on_job_failure_reasons.is_empty()
        || spec.on_job_failure_reasons.contains(&failure.reason);
    let message = spec.on_job_failure_message_patterns.is_empty()
        || rule
            .patterns
            .iter()
            .any(|pattern| pattern.is_match(&failure.message));
    let role = job
        .replicated_job
        .as_deref()
        .filter(|name| !name.is_empty());
    let target = role.is_some() && rule.targets.include(role);
    reason && message && target
}

/// What a decision concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// One Job: go on with the other failed ones.
    Job,
    /// The JobSet: nothing more to decide.
    JobSet,
}

/// What is left of the restarts, while actions are applied one after the other.
struct Budget {
    /// Limit of counted restarts: the policy's and those forgiven.
    max: i64,
    /// Counted restarts of single Jobs; 0 without the gate `RestartJob`.
    singles: i64,
    /// Gate `RestartJob`: where the counters of each replicated job are in the status.
    entries: Option<HashMap<String, usize>>,
}

impl Budget {
    fn new(policy: &FailurePolicy, individual: bool, forgiven: i64, status: &JobSetStatus) -> Self {
        let entries = || status.replicated_jobs_status.iter();
        let counted = entries().flat_map(|entry| &entry.job_restarts_count_towards_max);
        Self {
            max: i64::from(policy.max_restarts()).saturating_add(forgiven),
            singles: if individual {
                counted.map(|n| i64::from(*n)).sum()
            } else {
                0
            },
            entries: individual.then(|| {
                let names = entries().map(|entry| entry.name.clone());
                names.zip(0..).collect()
            }),
        }
    }

    fn apply(
        &mut self,
        action: &FailurePolicyAction,
        rule: Option<&FailurePolicyRule>,
        child: Child<'_>,
        roles: &Roles<'_>,
        draft: &mut Draft,
    ) -> Reach {
        use FailurePolicyAction as A;
        let job = child.job;
        match action {
            A::FailJobSet => {
                told(action.as_str(), rule, job, draft);
                fail(
                    reasons::FAIL_JOBSET_ACTION,
                    &messages::applying_action(action),
                    job,
                    draft,
                );
            }
            A::RestartJobSet if self.used_up(draft.status()) => {
                told(NO_RESTART_LEFT, rule, job, draft);
                fail(
                    reasons::REACHED_MAX_RESTARTS,
                    messages::REACHED_MAX_RESTARTS,
                    job,
                    draft,
                );
            }
            A::RestartJobSet | A::RestartJobSetAndIgnoreMaxRestarts => {
                told(action.as_str(), rule, job, draft);
                restart_all(action, rule, job, draft);
            }
            A::RestartJob | A::RestartJobAndIgnoreMaxRestarts => {
                let place = self.place_of(child, roles);
                match place {
                    Err(why) => {
                        draft.warn(|| {
                            format!(
                                "{action} cannot be applied to job {:?}: {why}; restarting the \
                                 whole JobSet instead",
                                job.name
                            )
                        });
                        self.apply(&A::RestartJobSet, rule, child, roles, draft);
                    }
                    Ok(_) if *action == A::RestartJob && self.used_up(draft.status()) => {
                        told(NO_RESTART_LEFT, rule, job, draft);
                        let message = messages::REACHED_MAX_RESTARTS;
                        fail(reasons::REACHED_MAX_RESTARTS, message, job, draft);
                    }
                    Ok(place) => {
                        told(action.as_str(), rule, job, draft);
                        self.restart_one(action, place, job, draft);
                        return Reach::Job;
                    }
                }
            }
            A::Unknown(text) => {
                draft.warn(|| {
                    format!(
                        "unknown failure policy action {text:?}; restarting the JobSet, which is \
                         the default"
                    )
                });
                self.apply(&A::RestartJobSet, rule, child, roles, draft);
            }
        }
        Reach::JobSet
    }

    /// Whether it is used up. Restarts of the JobSet and of single Jobs share it.
    fn used_up(&self, status: &JobSetStatus) -> bool {
        let global = i64::from(status.restarts_count_towards_max);
        global >= self.max || global + self.singles >= self.max
    }

    /// Which counter an individual restart of this Job bumps.
    fn place_of(&self, child: Child<'_>, roles: &Roles<'_>) -> Result<Place, &'static str> {
        let Some(entries) = &self.entries else {
            return Err("the feature gate RestartJob is disabled");
        };
        let role = child.role.and_then(|position| roles.get(position));
        let entry = role.and_then(|role| entries.get(role.place.name));
        let (Some(role), Some(entry)) = (role, entry) else {
            return Err("its replicatedjob-name label is missing or names none of the spec");
        };
        let index =
            buckets::index(child.job).ok_or("its job-index label is missing or no index")?;
        let limit = i64::from(constants::MAX_REPLICAS_FOR_RESTART_JOB);
        let length = usize::try_from(role.place.replicas.min(limit)).unwrap_or(0);
        if index >= length {
            return Err("its index is out of range");
        }
        Ok(Place {
            entry: *entry,
            index,
            length,
        })
    }

    fn restart_one(
        &mut self,
        action: &FailurePolicyAction,
        place: Place,
        job: &ChildJob,
        draft: &mut Draft,
    ) {
        let counted = *action == FailurePolicyAction::RestartJob;
        self.singles += i64::from(counted);
        draft.change_status(|status| {
            if let Some(entry) = status.replicated_jobs_status.get_mut(place.entry) {
                bump(&mut entry.job_restarts, &place);
                if counted {
                    bump(&mut entry.job_restarts_count_towards_max, &place);
                }
            }
            true
        });
        let message =
            messages::with_first_failed_job(&messages::applying_action(action), &job.name);
        draft.event_always(warning(events::failure_policy_action(action), &message));
    }
}

fn restart_all(
    action: &FailurePolicyAction,
    rule: Option<&FailurePolicyRule>,
    job: &ChildJob,
    draft: &mut Draft,
) {
    let counted = *action == FailurePolicyAction::RestartJobSet;
    draft.change_status(|status| {
        status.restarts = status.restarts.saturating_add(1);
        if counted {
            status.restarts_count_towards_max = status.restarts_count_towards_max.saturating_add(1);
        }
        true
    });
    execution::restarted(draft);
    deadline::restarted(draft.now(), draft);
    let reason = rule.map_or_else(
        || reasons::DEFAULT_FAILURE_POLICY.to_owned(),
        |rule| reasons::failure_policy_rule(&rule.name),
    );
    let message = messages::with_first_failed_job(&messages::applying_action(action), &job.name);
    draft.condition_after(
        None,
        Change::warning(constants::RESTARTING_JOBSET, &reason, &message),
    );
    draft.event_always(warning(events::failure_policy_action(action), &message));
}

/// What is done instead of a restart when none is left.
const NO_RESTART_LEFT: &str = "the JobSet fails, because no restart is left";

/// Remembers the decision, to be told once it is stored.
fn told(action: &str, rule: Option<&FailurePolicyRule>, job: &ChildJob, draft: &mut Draft) {
    let failure = failure(job);
    let decision = Decision {
        attempt: draft.status().restarts,
        rule: rule.map(|rule| rule.name.clone()),
        action: action.to_owned(),
        job: job.name.clone(),
        job_uid: job.uid.clone(),
        reason: failure.map(|f| f.reason.clone()).unwrap_or_default(),
        message: failure.map(|f| f.message.clone()).unwrap_or_default(),
    };
    draft.decisions.push(decision);
}

/// A per-Job restart counter.
struct Place {
    /// Position of the replicated job's entry in the status.
    entry: usize,
    index: usize,
    /// Length of the counter list when it is made.
    length: usize,
}

fn bump(list: &mut Vec<i32>, place: &Place) {
    if list.len() < place.length {
        list.resize(place.length, 0);
    }
    if let Some(counter) = list.get_mut(place.index) {
        *counter = counter.saturating_add(1);
    }
}

/// The JobSet fails for good because of this Job.
fn fail(reason: &str, message: &str, job: &ChildJob, draft: &mut Draft) {
    let message = messages::with_first_failed_job(message, &job.name);
    end(reason, &message, draft);
}

/// The JobSet fails for good.
pub(crate) fn end(reason: &str, message: &str, draft: &mut Draft) {
    draft.condition_after(None, Change::warning(constants::FAILED, reason, message));
    draft.condition_after(
        None,
        Change::cleared(
            constants::RESTARTING_JOBSET,
            reasons::JOBSET_FAILED,
            messages::JOBSET_FAILED,
        ),
    );
    draft.terminal(Terminal::Failed);
}

fn warning(reason: String, message: &str) -> Event {
    Event {
        type_: EventType::Warning,
        reason,
        note: crate::note::truncated(message),
    }
}

#[cfg(test)]
mod tests;
