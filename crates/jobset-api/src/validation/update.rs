//! Rules for a change of a JobSet.
//!
//! Of the spec's parts, only `replicatedJobs` and `managedBy` are checked here; the schema's
//! transition rules hold the others fast.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{error::FieldError, recovery, semantic::semantically_equal, template};
use crate::{
    conditions::is_finished,
    features::{Feature, FeatureGates},
    resource::JobSet,
    types::ReplicatedJob,
};

const IMMUTABLE: &str = "field is immutable";

/// Where a queueing system may change the Pod template of a suspended JobSet.
const MUTABLE_WHILE_SUSPENDED: [[&str; 4]; 5] = [
    ["spec", "template", "metadata", "annotations"],
    ["spec", "template", "metadata", "labels"],
    ["spec", "template", "spec", "nodeSelector"],
    ["spec", "template", "spec", "tolerations"],
    ["spec", "template", "spec", "schedulingGates"],
];

/// Checks a change of a JobSet. Every error is returned, in the order of the rules.
///
/// Replicated jobs may not change, with these exceptions: the scheduling of Pods (labels,
/// annotations, node selector, tolerations, scheduling gates) while the old or the new JobSet is
/// suspended; the requests and limits of containers then, too, with the gate
/// `MutablePodResourcesForSuspendedJobSets`; and the size of Indexed Jobs with the gate
/// `ElasticJobSet`. What changes so must be acceptable for Jobs, as on creation.
pub fn validate_update(old: &JobSet, new: &JobSet, gates: &FeatureGates) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let old_jobs: HashMap<&str, &ReplicatedJob> = old
        .spec
        .replicated_jobs
        .iter()
        .map(|job| (job.name.as_str(), job))
        .collect();
    let suspended = old.is_suspended() || new.is_suspended();

    // What must equal the old replicated jobs once the permitted changes are taken back.
    let mut remaining = new.spec.replicated_jobs.clone();
    for (index, job) in remaining.iter_mut().enumerate() {
        let Some(old_job) = old_jobs.get(job.name.as_str()) else {
            continue;
        };
        if gates.enabled(Feature::ElasticJobSet) && job.template.is_indexed() {
            let path = format!("spec.replicatedJobs[{index}].template.spec");
            elastic_size(old, old_job, job, &path, &mut errors);
            for key in ["parallelism", "completions"] {
                take_back(old_job, job, &["spec", key]);
            }
        }
        if suspended && gates.enabled(Feature::MutablePodResourcesForSuspendedJobSets) {
            template::validate_changed_resources(new, old_job, job, index, &mut errors);
            resources(old_job, job);
        }
        if suspended {
            template::validate_changed_scheduling(new, old_job, job, index, &mut errors);
            for path in &MUTABLE_WHILE_SUSPENDED {
                take_back(old_job, job, path);
            }
        }
    }

    let remaining = serde_json::to_value(&remaining).unwrap_or_default();
    let old_value = serde_json::to_value(&old.spec.replicated_jobs).unwrap_or_default();
    if !semantically_equal(&remaining, &old_value) {
        errors.push(FieldError::invalid(
            "spec.replicatedJobs",
            remaining,
            IMMUTABLE,
        ));
    }
    if old.spec.managed_by != new.spec.managed_by {
        let value = new
            .spec
            .managed_by
            .as_deref()
            .map_or(Value::Null, Value::from);
        errors.push(FieldError::invalid("spec.managedBy", value, IMMUTABLE));
    }
    recovery::annotations(Some(old), new, &mut errors);
    recovery::deadline(Some(old), new, *gates, &mut errors);
    errors
}

/// Whether the new size of a Job's Pods is acceptable, if it differs from the old one.
fn elastic_size(
    old: &JobSet,
    old_job: &ReplicatedJob,
    new_job: &ReplicatedJob,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    let (parallelism, completions) = (
        new_job.template.parallelism(),
        new_job.template.completions(),
    );
    let parallelism_changed = parallelism != old_job.template.parallelism();
    let completions_changed = completions != old_job.template.completions();
    if !parallelism_changed && !completions_changed {
        return;
    }
    if is_finished(old) {
        errors.push(FieldError::forbidden(
            path,
            "a JobSet that has ended cannot be scaled",
        ));
        return;
    }
    let mut at_least_one = |key: &str, value: Option<i32>| {
        if let Some(value) = value.filter(|&value| value < 1) {
            let path = format!("{path}.{key}");
            errors.push(FieldError::invalid(
                path,
                value,
                "must be greater than or equal to 1",
            ));
        }
    };
    if parallelism_changed {
        at_least_one("parallelism", parallelism);
    }
    if completions_changed {
        at_least_one("completions", completions);
    }
    if let (Some(parallelism), Some(completions)) = (parallelism, completions)
        && parallelism != completions
    {
        errors.push(FieldError::invalid(
            format!("{path}.completions"),
            completions,
            format!("must be equal to parallelism ({parallelism}) for elastic Indexed Jobs"),
        ));
    }
}

/// Gives the containers of the new template the requests and limits of those of the same name.
fn resources(old: &ReplicatedJob, new: &mut ReplicatedJob) {
    for list in ["containers", "initContainers"] {
        let at = format!("/spec/template/spec/{list}");
        let old = old.template.as_value().pointer(&at);
        let new = new.template.as_value_mut().pointer_mut(&at);
        let (Some(old), Some(new)) = (
            old.and_then(Value::as_array),
            new.and_then(Value::as_array_mut),
        ) else {
            continue;
        };
        for container in new.iter_mut().filter_map(Value::as_object_mut) {
            let same = |old: &&Value| old.get("name") == container.get("name");
            let Some(old) = old.iter().find(same) else {
                continue;
            };
            let old = old.get("resources");
            let resources = container
                .entry("resources")
                .or_insert_with(|| Value::Object(Map::new()));
            let Some(resources) = resources.as_object_mut() else {
                continue;
            };
            for key in ["requests", "limits"] {
                match old.and_then(|old| old.get(key)) {
                    Some(value) => resources.insert(key.to_owned(), value.clone()),
                    None => resources.remove(key),
                };
            }
            if resources.is_empty() && old.is_none() {
                container.remove("resources");
            }
        }
    }
}

/// Gives the new template the old one's value at a path, or its absence.
fn take_back(old: &ReplicatedJob, new: &mut ReplicatedJob, path: &[&str]) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut old_value = Some(old.template.as_value());
    for key in path {
        old_value = old_value.and_then(|value| value.get(key));
    }
    let mut target = new.template.as_value_mut();
    for key in parents {
        let Some(object) = target.as_object_mut() else {
            return;
        };
        if !object.contains_key(*key) && old_value.is_none() {
            return;
        }
        target = object
            .entry(*key)
            .or_insert_with(|| Value::Object(Map::new()));
        if target.is_null() {
            *target = Value::Object(Map::new());
        }
    }
    let Some(object) = target.as_object_mut() else {
        return;
    };
    match old_value {
        Some(value) => {
            object.insert((*last).to_owned(), value.clone());
        }
        None => {
            object.remove(*last);
        }
    }
}
