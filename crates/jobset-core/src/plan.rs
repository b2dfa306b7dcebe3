//! One plan from top to bottom.

use jobset_api::constants::{self, messages, reasons};
use jobset_api::recovery::{FORCE_DELETE_PODS_KEY, Recovery};
use jobset_api::{Feature, JobSet, defaulting};
use k8s_openapi::jiff::Timestamp;

use crate::buckets::{Buckets, Child};
use crate::conditions::{self, Change};
use crate::counts::{self, Counts};
use crate::draft::Draft;
use crate::model::{Action, Observed, Plan, Propagation, StepKind, Terminal};
use crate::options::PlanOptions;
use crate::pod_webhook::Withheld;
use crate::roles::Roles;
use crate::work::Work;
use crate::{
    claims, create, deadline, elastic, execution, failure_policy, in_place, recovery, resume,
    service, stuck, success_policy, suspend, ttl,
};

/// What to do next for this JobSet. Total and deterministic; `now` is only used for the times of
/// conditions and for the time to live.
///
/// ```
/// # use std::collections::BTreeSet;
/// use jobset_api::JobSet;
/// use jobset_core::{Observed, PlanOptions, ServiceState, plan};
/// use k8s_openapi::jiff::Timestamp;
///
/// let jobset: JobSet = serde_json::from_value(serde_json::json!({
///     "metadata": { "name": "train", "namespace": "default", "uid": "u1" },
///     "spec": { "replicatedJobs": [{ "name": "workers", "replicas": 2, "template": {} }] },
/// }))?;
/// let claims = BTreeSet::new();
/// let observed =
///     Observed { jobset: &jobset, jobs: &[], service: ServiceState::Exists, claims: &claims,
///                pods: None, dead_nodes: &[], pod_webhook: true };
/// let plan = plan(&observed, &PlanOptions::default(), Timestamp::UNIX_EPOCH);
/// let names: Vec<&str> = plan.actions().map(|action| action.name()).collect();
/// assert_eq!(names, ["train-workers-0", "train-workers-1"]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn plan(observed: &Observed<'_>, options: &PlanOptions, now: Timestamp) -> Plan {
    plan_counted(observed, options, now).0
}

/// [`plan`], with the work it took.
///
/// A JobSet that lacks defaults (stored while no webhook ran, or read without them) is planned as
/// if it had them. That costs a copy of it, so whoever plans the same object often fills them in
/// once, when it is read.
#[must_use]
pub fn plan_counted(
    observed: &Observed<'_>,
    options: &PlanOptions,
    now: Timestamp,
) -> (Plan, Work) {
    if defaulting::is_defaulted(observed.jobset) {
        return plan_defaulted(observed, options, now);
    }
    let mut jobset = observed.jobset.clone();
    defaulting::default_jobset(&mut jobset);
    let observed = Observed {
        jobset: &jobset,
        ..*observed
    };
    plan_defaulted(&observed, options, now)
}

fn plan_defaulted(observed: &Observed<'_>, options: &PlanOptions, now: Timestamp) -> (Plan, Work) {
    let jobset = observed.jobset;
    let stored = jobset.status.clone().unwrap_or_default();
    let managed_here = jobset.is_managed_here();
    let clean_up = options.clean_up_managed_elsewhere && conditions::finished(&stored).is_some();
    if jobset.metadata.deletion_timestamp.is_some() || !(managed_here || clean_up) {
        return Draft::default().finish();
    }
    let individual = options.enabled(Feature::RestartJob);
    let mut draft = Draft::new(stored, *options, now);
    if !managed_here {
        expire(observed, now, &mut draft);
        return draft.finish();
    }
    let roles = Roles::of(jobset);
    draft.work.roles += roles.len() as u64;

    // What there is.
    let status = draft.status().clone();
    let buckets = Buckets::sort(observed, &roles, &status, individual, &mut draft);
    let counts = Counts::of(&buckets, &roles, &mut draft);
    let entries = counts.to_status(&roles, &status);
    draft.change_status(|status| counts::update(status, entries));

    let recovery = recovery::read(jobset, &mut draft);
    let removals = stuck::actions(observed, &recovery, now, &mut draft);
    draft.step(StepKind::RemovePods, removals);

    // Nothing may run on after the end.
    if conditions::finished(&status).is_some() {
        delete(StepKind::DeleteActive, &buckets.active, &mut draft);
        delete(StepKind::DeletePrevious, &buckets.previous, &mut draft);
        expire(observed, now, &mut draft);
        return draft.finish();
    }

    delete(StepKind::DeletePrevious, &buckets.previous, &mut draft);

    if !jobset.is_suspended() && counts.all_ready(&roles) {
        draft.condition_after(None, jobs_ready());
        recovery::refill(&recovery, now, &mut draft);
    }

    if deadline::has_passed(jobset, now, &mut draft) {
        if success_policy::satisfied(&jobset.spec, &roles, &buckets.successful, &mut draft) {
            complete(&mut draft);
        } else {
            deadline::fail(&mut draft);
        }
        return draft.finish();
    }

    // A failure decides alone: nothing is created, suspended or resumed beside it.
    if !buckets.failed.is_empty() {
        fail(observed, &buckets.failed, &roles, &recovery, &mut draft);
        return draft.finish();
    }

    if success_policy::satisfied(&jobset.spec, &roles, &buckets.successful, &mut draft) {
        complete(&mut draft);
        return draft.finish();
    }

    if in_place(observed, &roles, &buckets, &mut draft) != in_place::Verdict::GoesOn {
        return draft.finish();
    }

    // Suspension comes before everything that can fail for other reasons, such as a quota.
    if jobset.is_suspended() {
        let actions = suspend::actions(&buckets.active, &mut draft);
        let step = draft.step(StepKind::Suspend, actions);
        for change in suspend::effects() {
            draft.condition_after(step, change);
        }
    } else if execution::begin(&mut draft) {
        draft.condition_after(None, resumed());
        return draft.finish();
    }

    let withheld = Withheld::of(observed, &roles);
    draft.condition_after(None, withheld.condition());

    // A JobSet that waits to be admitted for the first time may do without everything.
    let lean = options.lean_suspend
        && jobset.is_suspended()
        && observed.jobs.is_empty()
        && draft.status().restarts == 0;
    if !lean {
        let service = service::missing(jobset, observed.service);
        draft.step(StepKind::Service, service.into_iter().collect());
    }

    let claims = claims::missing(jobset, observed.claims, &mut draft);
    draft.step(StepKind::Claims, claims);

    if options.enabled(Feature::ElasticJobSet) {
        let actions = elastic::actions(&buckets, &roles, &mut draft);
        draft.step(StepKind::Scale, actions);
    }

    match recovery::wait(&recovery, draft.status(), now) {
        Some(left) => draft.requeue(left),
        None if lean => {}
        None => create::plan(
            observed, &roles, &counts, &buckets, &withheld, individual, &mut draft,
        ),
    }

    if !jobset.is_suspended() {
        let resumption = resume::plan(observed, &roles, &counts, &buckets, &withheld, &mut draft);
        draft.step(StepKind::Resume, resumption.actions);
        if resumption.waiting {
            draft.condition(crate::startup_policy::in_progress());
        } else if !resumption.held {
            draft.condition(resumed());
        }
    }

    draft.finish()
}

/// Decides about failed Jobs.
fn fail(
    observed: &Observed<'_>,
    failed: &[Child<'_>],
    roles: &Roles<'_>,
    recovery: &Recovery,
    draft: &mut Draft,
) {
    let policy = observed.jobset.spec.failure_policy.as_ref();
    let forgiven = recovery::forgiven(recovery, draft.status());
    let before = recovery::total(draft.status());
    failure_policy::decide(policy, failed, roles, forgiven, draft);
    if recovery::total(draft.status()) > before {
        recovery::restarted(recovery, draft);
    }
}

/// Moves the attempts of a JobSet that restarts in place.
fn in_place(
    observed: &Observed<'_>,
    roles: &Roles<'_>,
    buckets: &Buckets<'_>,
    draft: &mut Draft,
) -> in_place::Verdict {
    let jobset = observed.jobset;
    if !in_place::is_wanted(jobset) || in_place::is_disabled(jobset) {
        return in_place::Verdict::GoesOn;
    }
    if !draft.options.enabled(Feature::InPlaceRestart) {
        draft.warn(|| {
            "restartStrategy InPlaceRestart needs the feature gate InPlaceRestart; failed Jobs are \
             recreated, and agents wait until the annotation \
             jobset.sigs.k8s.io/disable-in-place-restart is set"
                .to_owned()
        });
        return in_place::Verdict::GoesOn;
    }
    match observed.pods {
        Some(pods) => in_place::decide(observed, pods, roles, buckets, draft),
        None => in_place::Verdict::GoesOn,
    }
}

/// Whether plans for this JobSet need to know its Pods.
#[must_use]
pub fn wants_pods(jobset: &JobSet, options: &PlanOptions) -> bool {
    let in_place = in_place::is_wanted(jobset) && options.enabled(Feature::InPlaceRestart);
    let annotations = jobset.metadata.annotations.as_ref();
    let force_delete = annotations.is_some_and(|map| map.contains_key(FORCE_DELETE_PODS_KEY));
    in_place || force_delete
}

/// Deletes Jobs that are not being deleted yet, each in exactly the incarnation seen. In the
/// foreground: the Job stays, and holds its name, until its Pods are gone.
fn delete(kind: StepKind, children: &[Child<'_>], draft: &mut Draft) {
    draft.work.jobs += children.len() as u64;
    let actions = children
        .iter()
        .filter(|child| !child.job.deleting)
        .map(|child| Action::DeleteJob {
            name: child.job.name.clone(),
            uid: child.job.uid.clone(),
            propagation: Propagation::Foreground,
        })
        .collect();
    draft.step(kind, actions);
}

/// Applies the time to live of a finished JobSet.
fn expire(observed: &Observed<'_>, now: Timestamp, draft: &mut Draft) {
    let jobset = observed.jobset;
    match ttl::verdict(jobset, draft.status(), now) {
        Ok(ttl::Verdict::Keep) => {}
        Ok(ttl::Verdict::Wait(remaining)) => draft.requeue(remaining),
        Ok(ttl::Verdict::Delete) => {
            let action = Action::DeleteJobSet {
                name: jobset.name().to_owned(),
                uid: jobset.uid().to_owned(),
                propagation: Propagation::Foreground,
            };
            draft.step(StepKind::DeleteJobSet, vec![action]);
            // A status write after the deletion could only conflict.
            draft.mute();
        }
        Err(e) => draft.error(e.to_string()),
    }
}

/// The success policy is satisfied.
fn complete(draft: &mut Draft) {
    draft.condition_after(
        None,
        Change::normal(
            constants::COMPLETED,
            reasons::ALL_JOBS_COMPLETED,
            messages::JOBSET_COMPLETED,
        ),
    );
    draft.condition_after(
        None,
        Change::cleared(
            constants::RESTARTING_JOBSET,
            reasons::JOBSET_COMPLETED,
            messages::JOBSET_COMPLETED,
        ),
    );
    draft.terminal(Terminal::Completed);
}

/// All Jobs of the present attempt are ready: a restart is over.
fn jobs_ready() -> Change {
    Change::cleared(
        constants::RESTARTING_JOBSET,
        reasons::JOBS_READY,
        messages::JOBS_READY,
    )
}

/// Every Job whose turn it is runs.
fn resumed() -> Change {
    Change::cleared(
        constants::SUSPENDED,
        reasons::RESUME_JOBS,
        messages::JOBSET_RESUMED,
    )
}

#[cfg(test)]
mod tests;
