//! Rules for the Job and Pod templates of a new JobSet.
//!
//! A template that the API server would refuse as a Job makes a JobSet that can never run: every
//! attempt to create its Jobs fails, and the user finds out from events, if at all. So the rules
//! of `batch/v1` and `core/v1` that are broken most often are checked here as well.
//!
//! Nothing is refused that an API server would run, so the rules here are never stricter than the
//! ones there, and only what is certain is refused:
//!
//! * The schema of the CRD has been applied before; what it requires is taken for present.
//! * Defaults that the API server gives to Jobs count as given (`completions`, for instance, is 1
//!   when neither it nor `parallelism` is set).
//! * What the JobSet controller overwrites in Jobs is not looked at: its own labels and
//!   annotations, `suspend`, and `subdomain` when Pods get host names.
//! * Templates from which no Job is made, because there are no replicas or because another
//!   controller manages the JobSet, are not looked at.
//!
//! # Checked
//!
#![doc = include_str!("RULES.md")]

mod container;
mod job;
mod metadata;
mod pod;
mod resources;
mod scheduling;

use std::collections::HashSet;

use serde_json::Value;

use super::{error::FieldError, semantic::semantically_equal};
use crate::{
    constants::MANAGED_BY_JOBSET_CONTROLLER, names::dns_hostnames_enabled, resource::JobSet,
    types::ReplicatedJob,
};

/// Most rules of a policy of a Job, and most restart rules of a container.
const MAX_RULES: usize = 20;
/// Most exit codes in a rule.
const MAX_EXIT_CODES: usize = 255;

/// What templates are checked against besides themselves.
struct Context<'a> {
    /// Names of the volume claim templates, each of which is a volume of every Pod that mounts it.
    claims: HashSet<&'a str>,
    /// Whether the template's subdomain is overwritten.
    subdomain_is_given: bool,
}

/// Checks all templates of a new JobSet.
pub(super) fn validate(jobset: &JobSet, errors: &mut Vec<FieldError>) {
    let templates = jobset.spec.volume_claim_policies.iter();
    let context = Context {
        claims: templates
            .flat_map(|policy| &policy.templates)
            .map(crate::template::ClaimTemplate::name)
            .collect(),
        subdomain_is_given: dns_hostnames_enabled(jobset),
    };
    for (index, job) in jobset.spec.replicated_jobs.iter().enumerate() {
        if makes_jobs(jobset, job) {
            let path = format!("spec.replicatedJobs[{index}].template");
            let template = job.template.as_value();
            metadata::validate(&template["metadata"], &format!("{path}.metadata"), errors);
            job::validate(&template["spec"], &format!("{path}.spec"), &context, errors);
        }
    }
}

/// Checks those parts of one replicated job's Pod template that may change while a JobSet is
/// suspended, as far as they did change: what was stored once must not stand in the way of others.
pub(super) fn validate_changed_scheduling(
    jobset: &JobSet,
    old: &ReplicatedJob,
    new: &ReplicatedJob,
    index: usize,
    errors: &mut Vec<FieldError>,
) {
    if !makes_jobs(jobset, new) {
        return;
    }
    let path = format!("spec.replicatedJobs[{index}].template.spec.template");
    let (old, new) = (pod_template(old), pod_template(new));
    type Check = fn(&Value, &str, &mut Vec<FieldError>);
    let checks: [(&str, &str, Check); 5] = [
        ("metadata", "labels", metadata::labels),
        ("metadata", "annotations", metadata::annotations),
        ("spec", "nodeSelector", scheduling::node_selector),
        ("spec", "tolerations", scheduling::tolerations),
        ("spec", "schedulingGates", scheduling::gates),
    ];
    for (parent, key, check) in checks {
        let (old, new) = (&old[parent][key], &new[parent][key]);
        if !semantically_equal(old, new) {
            check(new, &format!("{path}.{parent}.{key}"), errors);
        }
    }
}

/// Checks the resources of those containers whose requests or limits changed.
pub(super) fn validate_changed_resources(
    jobset: &JobSet,
    old: &ReplicatedJob,
    new: &ReplicatedJob,
    index: usize,
    errors: &mut Vec<FieldError>,
) {
    if !makes_jobs(jobset, new) {
        return;
    }
    let (old, new) = (&pod_template(old)["spec"], &pod_template(new)["spec"]);
    for list in ["initContainers", "containers"] {
        for (position, container) in items(&new[list]).enumerate() {
            let before = items(&old[list]).find(|old| old["name"] == container["name"]);
            let before = before.map_or(&Value::Null, |old| &old["resources"]);
            let resources = &container["resources"];
            if !semantically_equal(before, resources) {
                let path = format!(
                    "spec.replicatedJobs[{index}].template.spec.template.spec.{list}[{position}].resources"
                );
                resources::validate(resources, &path, errors);
            }
        }
    }
}

fn pod_template(job: &ReplicatedJob) -> &Value {
    &job.template.as_value()["spec"]["template"]
}

/// Whether the JobSet controller will make Jobs from a replicated job.
fn makes_jobs(jobset: &JobSet, job: &ReplicatedJob) -> bool {
    let manager = jobset.spec.managed_by.as_deref();
    job.replicas() > 0 && manager.is_none_or(|manager| manager == MANAGED_BY_JOBSET_CONTROLLER)
}

/// The items of a list; none when it is absent.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text; empty when it is absent, which means the same in most fields.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a list is absent or has no items.
fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

/// A number, when there is one, must not be below `least`.
fn at_least(least: i64, parent: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(number) = parent[key].as_i64().filter(|&number| number < least) {
        errors.push(FieldError::invalid(
            format!("{path}.{key}"),
            number,
            format!("must be greater than or equal to {least}"),
        ));
    }
}

/// A text, when it is not empty, must be one of these.
fn one_of(allowed: &[&str], parent: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    let value = text(&parent[key]);
    if !value.is_empty() && !allowed.contains(&value) {
        errors.push(FieldError::invalid(
            format!("{path}.{key}"),
            value,
            format!("must be one of {}", allowed.join(", ")),
        ));
    }
}

/// A list may not be longer.
fn at_most(limit: usize, parent: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    let count = items(&parent[key]).count();
    if count > limit {
        errors.push(FieldError::invalid(
            format!("{path}.{key}"),
            count,
            format!("must have at most {limit} items"),
        ));
    }
}

/// A text must be there.
fn required(parent: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    if text(&parent[key]).is_empty() {
        errors.push(FieldError::required(format!("{path}.{key}"), ""));
    }
}

/// Of the alternatives in an object, how many are there: those of the list, and whether there is
/// any other field, which may be an alternative that a newer API server knows.
fn alternatives<'a>(value: &Value, known: &[&'a str]) -> (Vec<&'a str>, bool) {
    let present = known
        .iter()
        .copied()
        .filter(|key| !value[key].is_null())
        .collect();
    let other = value.as_object().is_some_and(|fields| {
        fields
            .iter()
            .any(|(key, value)| !value.is_null() && !known.contains(&key.as_str()))
    });
    (present, other)
}
