//! Elastic scaling (gate `ElasticJobSet`): running Jobs follow the size in their template.
//!
//! Only `parallelism` and `completions` of a template can change after creation, and only
//! together. Jobs that are not there yet are simply created with the present template.

use crate::buckets::{Buckets, Child};
use crate::draft::Draft;
use crate::model::Action;
use crate::roles::{Role, Roles};

/// Pods of a Job that says nothing: the API server's default, on either side of the comparison.
/// Taking "absent" for something else than 1 would patch for ever what the server fills in.
const DEFAULT_PODS: i32 = 1;

/// Patches for unfinished Jobs whose size is not that of their template.
pub(crate) fn actions(buckets: &Buckets<'_>, roles: &Roles<'_>, draft: &mut Draft) -> Vec<Action> {
    let sizes: Vec<Option<i32>> = roles.iter().map(size).collect();
    draft.work.roles += sizes.len() as u64;
    draft.work.jobs += buckets.active.len() as u64;
    let scaled = |child: &Child<'_>| {
        let pods = sizes.get(child.role?).copied().flatten()?;
        let job = child.job;
        let as_wanted = job.parallelism.unwrap_or(DEFAULT_PODS) == pods
            && job.completions.unwrap_or(DEFAULT_PODS) == pods;
        (!as_wanted && !job.deleting).then(|| Action::ScaleJob {
            name: job.name.clone(),
            uid: job.uid.clone(),
            pods,
        })
    };
    buckets.active.iter().filter_map(scaled).collect()
}

/// Pods that each Job of this replicated job shall have; `None` if parallelism and completions
/// differ: such Jobs keep the size they were created with.
fn size(role: Role<'_, '_>) -> Option<i32> {
    let template = &role.spec.template;
    let parallelism = template.parallelism().unwrap_or(DEFAULT_PODS);
    let completions = template.completions().unwrap_or(DEFAULT_PODS);
    (parallelism == completions).then_some(parallelism)
}

#[cfg(test)]
mod tests;
