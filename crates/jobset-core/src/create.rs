//! Which Jobs are missing, and which of them may be created now.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jobset_api::RestartStrategy;

use crate::buckets::{Buckets, job_restarts};
use crate::construct::JobFactory;
use crate::counts::Counts;
use crate::draft::Draft;
use crate::job_body::JobBody;
use crate::model::{Action, ChildJob, Observed, StepKind};
use crate::pod_webhook::Withheld;
use crate::roles::{Role, Roles};
use crate::{depends_on, execution, startup_policy};

/// Most Jobs that one plan creates. What is left over is planned again: a JobSet that asks for two
/// billion Jobs must not take all memory before the first one is created.
pub const MAX_CREATIONS: usize = 1_000;

/// When to look again after a plan that left Jobs over, should no event come before.
const LEFT_OVER_DELAY: Duration = Duration::from_secs(1);

/// Plans the creation of missing Jobs with dependencies and the startup policy.
///
/// All of them go into one step: they do not depend on each other, since what they do depend on
/// was there before. A suspended JobSet ignores the startup order, but not the dependencies.
pub(crate) fn plan(
    observed: &Observed<'_>,
    roles: &Roles<'_>,
    counts: &Counts,
    buckets: &Buckets<'_>,
    withheld: &Withheld,
    individual: bool,
    draft: &mut Draft,
) {
    let jobset = observed.jobset;
    let ordered = !jobset.is_suspended() && startup_policy::in_order(&jobset.spec);
    let strategy = jobset
        .spec
        .failure_policy
        .as_ref()
        .and_then(|p| p.restart_strategy.as_ref());
    let blocked =
        strategy == Some(&RestartStrategy::BlockingRecreate) && !buckets.previous.is_empty();

    let stored = individual.then(|| draft.status().clone());
    let restarts = stored.as_ref().map(|status| job_restarts(roles, status));
    let mut search = Search::new(observed, roles, draft);
    let mut actions = Vec::new();
    let mut complete = true;
    let mut waiting = false;
    for role in roles.iter() {
        draft.work.roles += 1;
        if !depends_on::reached(role, roles, counts) {
            continue;
        }
        if ordered && startup_policy::started(role.place.replicas, counts.get(role.position)) {
            continue;
        }
        if !blocked && !withheld.holds(role.position) {
            let restarts = restarts.as_ref().and_then(|lists| lists.get(role.position));
            complete &= search.create(role, restarts.copied(), &mut actions, draft);
        }
        if ordered {
            waiting = true;
            break;
        }
        if !complete {
            break;
        }
    }
    draft.step(StepKind::CreateJobs, actions);
    if !complete {
        draft.requeue(LEFT_OVER_DELAY);
    }
    if ordered {
        draft.condition(if waiting {
            startup_policy::in_progress()
        } else {
            startup_policy::completed()
        });
    }
}

/// Finds missing indices. Any Job of the right name takes its index, whichever bucket it is in: a
/// terminating Job of an earlier attempt blocks its own index and no other.
struct Search<'a, 'o> {
    observed: &'o Observed<'a>,
    roles: &'o Roles<'a>,
    /// Indices of each role known to be taken, counted by labels and name alone.
    taken: Vec<i64>,
    /// Names of all Jobs; made when a role turns out not to be full.
    names: Option<HashSet<&'a str>>,
    /// Names planned in this pass.
    planned: HashSet<String>,
    /// Number of the execution attempt, if Jobs are to carry it.
    annotation: Option<(&'static str, serde_json::Value)>,
}

impl<'a, 'o> Search<'a, 'o> {
    fn new(observed: &'o Observed<'a>, roles: &'o Roles<'a>, draft: &mut Draft) -> Self {
        let mut taken = vec![0_i64; roles.len()];
        for job in observed.jobs {
            draft.work.jobs += 1;
            let role = job
                .replicated_job
                .as_deref()
                .and_then(|name| roles.position(name));
            if let Some(role) = role.and_then(|position| roles.get(position))
                && is_named_by_its_labels(job, observed.jobset.name(), role)
            {
                taken[role.position] += 1;
            }
        }
        Self {
            observed,
            roles,
            taken,
            names: None,
            planned: HashSet::new(),
            annotation: execution::annotation(draft),
        }
    }

    /// Adds the creation of this role's missing Jobs. Returns false if some had to be left over.
    fn create(
        &mut self,
        role: Role<'_, 'a>,
        restarts: Option<&[i32]>,
        actions: &mut Vec<Action>,
        draft: &mut Draft,
    ) -> bool {
        // In the steady state all indices are taken, and no name needs to be built or hashed.
        if self
            .taken
            .get(role.position)
            .is_some_and(|n| *n == role.place.replicas)
        {
            return true;
        }
        let jobset = self.observed.jobset;
        let jobs = self.observed.jobs;
        let names = self.names.get_or_insert_with(|| {
            draft.work.jobs += jobs.len() as u64;
            jobs.iter().map(|job| job.name.as_str()).collect()
        });
        let mut factory: Option<Arc<JobFactory>> = None;
        for index in 0..role.place.replicas {
            draft.work.indices += 1;
            let name = jobset_api::names::job_name(jobset.name(), role.place.name, index);
            if names.contains(name.as_str()) || self.planned.contains(&name) {
                continue;
            }
            if actions.len() >= MAX_CREATIONS {
                return false;
            }
            let factory = factory.get_or_insert_with(|| {
                let attempt = draft.status().restarts;
                let restarts = restarts.map(<[i32]>::to_vec);
                let mut factory = JobFactory::new(jobset, self.roles, role, attempt, restarts);
                if let Some(annotation) = &self.annotation {
                    factory.annotate(annotation);
                }
                Arc::new(factory)
            });
            let body = JobBody::replica(factory.clone(), index);
            draft.work.bodies += 1;
            self.planned.insert(name.clone());
            actions.push(Action::CreateJob { name, body });
        }
        true
    }
}

/// Whether the Job's name is the one that its labels say it should have, for an index below the
/// number of replicas. Users can edit labels; such a Job is then found by its name alone.
fn is_named_by_its_labels(job: &ChildJob, jobset: &str, role: Role<'_, '_>) -> bool {
    let Some(label) = job.job_index.as_deref() else {
        return false;
    };
    let Ok(index) = label.parse::<i64>() else {
        return false;
    };
    let canonical = !label.starts_with('+') && (label == "0" || !label.starts_with('0'));
    canonical
        && (0..role.place.replicas).contains(&index)
        && job
            .name
            .strip_prefix(jobset)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.strip_prefix(role.place.name))
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| rest == label)
}

#[cfg(test)]
mod tests;
