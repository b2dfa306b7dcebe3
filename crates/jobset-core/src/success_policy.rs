//! When a JobSet counts as completed.

use jobset_api::{JobSetSpec, SuccessPolicyOperator};

use crate::buckets::Child;
use crate::draft::Draft;
use crate::roles::Roles;
use crate::targets::Targets;

fn targets(spec: &JobSetSpec) -> Targets<'_> {
    let policy = spec.success_policy.as_ref();
    Targets::new(
        policy
            .map(|p| p.target_replicated_jobs.as_slice())
            .unwrap_or_default(),
    )
}

/// How many successful Jobs the policy asks for. An operator that this version does not know asks
/// for none, as in the reference.
pub(crate) fn needed(spec: &JobSetSpec, roles: &Roles<'_>) -> i64 {
    let policy = spec.success_policy.as_ref();
    let targets = targets(spec);
    match policy.map_or(&SuccessPolicyOperator::All, |p| &p.operator) {
        SuccessPolicyOperator::Any => 1,
        SuccessPolicyOperator::All => roles
            .iter()
            .filter(|role| targets.include(Some(role.place.name)))
            .map(|role| role.place.replicas)
            .sum(),
        SuccessPolicyOperator::Unknown(_) => 0,
    }
}

/// How many of these successful Jobs count.
pub(crate) fn matching(spec: &JobSetSpec, successful: &[Child<'_>], draft: &mut Draft) -> i64 {
    let targets = targets(spec);
    draft.work.jobs += successful.len() as u64;
    let count = successful
        .iter()
        .filter(|child| targets.include(child.job.replicated_job.as_deref()))
        .count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether the JobSet is completed. At least one Job must have succeeded.
pub(crate) fn satisfied(
    spec: &JobSetSpec,
    roles: &Roles<'_>,
    successful: &[Child<'_>],
    draft: &mut Draft,
) -> bool {
    !successful.is_empty() && matching(spec, successful, draft) >= needed(spec, roles)
}

#[cfg(test)]
mod tests;
