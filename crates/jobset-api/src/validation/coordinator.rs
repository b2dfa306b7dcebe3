//! Rules for the coordinator of a new JobSet.

use super::{error::FieldError, text::label_value};
use crate::{constants::COORDINATOR_KEY, names::endpoint, resource::JobSet, types::Coordinator};

/// C15
pub(super) fn validate(jobset: &JobSet, name: &str, errors: &mut Vec<FieldError>) {
    let Some(coordinator) = &jobset.spec.coordinator else {
        return;
    };
    errors.extend(check_indices(jobset, coordinator));

    let network = jobset.spec.network.as_ref();
    let subdomain = network
        .and_then(|n| n.subdomain.as_deref())
        .filter(|s| !s.is_empty());
    let value = endpoint(name, coordinator, subdomain.unwrap_or(name));
    let problems = label_value(&value);
    if !problems.is_empty() {
        let problems = problems
            .iter()
            .map(super::text::Problem::explain)
            .collect::<Vec<_>>();
        errors.push(FieldError::plain(format!(
            "the coordinator leads to the invalid value {value:?} of label {COORDINATOR_KEY}: {}",
            problems.join("; ")
        )));
    }
}

/// The first thing that is wrong with the place the coordinator names.
fn check_indices(jobset: &JobSet, coordinator: &Coordinator) -> Option<FieldError> {
    let name = &coordinator.replicated_job;
    let (job_index, pod_index) = (coordinator.job_index(), coordinator.pod_index());
    let Some(job) = jobset.replicated_job(name) else {
        return Some(FieldError::plain(format!(
            "coordinator replicatedJob {name} does not exist"
        )));
    };
    if !(0..i64::from(job.replicas())).contains(&job_index) {
        return Some(FieldError::plain(format!(
            "coordinator job index {job_index} is invalid for replicatedJob {name}"
        )));
    }
    let completions = job
        .template
        .completions()
        .filter(|_| job.template.is_indexed());
    let Some(completions) = completions else {
        return Some(FieldError::plain(
            "the job of the coordinator must have completion mode Indexed and completions set",
        ));
    };
    if !(0..i64::from(completions)).contains(&pod_index) {
        return Some(FieldError::plain(format!(
            "coordinator pod index {pod_index} is invalid for replicatedJob {name}, job index \
             {job_index}"
        )));
    }
    None
}
