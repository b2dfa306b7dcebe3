//! Rules for the failure policy of a new JobSet.

use std::collections::{BTreeMap, HashSet};

use super::{error::FieldError, text::is_rule_name};
use crate::{
    constants::{JOB_FAILURE_REASONS, MAX_REPLICAS_FOR_RESTART_JOB, MAX_RULE_NAME_LENGTH},
    features::{Feature, FeatureGates},
    resource::JobSet,
    types::{FailurePolicyAction, FailurePolicyRule},
};

/// C14
pub(super) fn validate(
    jobset: &JobSet,
    gates: FeatureGates,
    known: &HashSet<&str>,
    errors: &mut Vec<FieldError>,
) {
    let Some(policy) = &jobset.spec.failure_policy else {
        return;
    };
    if policy.rules.iter().any(restarts_single_jobs) {
        if !gates.enabled(Feature::RestartJob) {
            errors.push(FieldError::plain(
                "failure policy actions RestartJob and RestartJobAndIgnoreMaxRestarts are not \
                 allowed while the feature gate RestartJob is disabled",
            ));
            return;
        }
        let limit = MAX_REPLICAS_FOR_RESTART_JOB;
        if jobset
            .spec
            .replicated_jobs
            .iter()
            .any(|job| job.replicas() > limit)
        {
            errors.push(FieldError::plain(format!(
                "failure policy actions RestartJob and RestartJobAndIgnoreMaxRestarts need every \
                 replicatedJob to have at most {limit} replicas"
            )));
        }
    }
    for rule in &policy.rules {
        validate_rule(rule, known, errors);
    }
    for (name, indices) in indices_by_name(&policy.rules) {
        if indices.len() > 1 {
            // Debug would put commas between the indices.
            let indices = indices
                .iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join(" ");
            errors.push(FieldError::plain(format!(
                "failure policy rule names must be unique: the rules with indices [{indices}] all \
                 have the name {name:?}"
            )));
        }
    }
}

fn restarts_single_jobs(rule: &FailurePolicyRule) -> bool {
    let action = &rule.action;
    matches!(
        action,
        FailurePolicyAction::RestartJob | FailurePolicyAction::RestartJobAndIgnoreMaxRestarts
    )
}

fn validate_rule(rule: &FailurePolicyRule, known: &HashSet<&str>, errors: &mut Vec<FieldError>) {
    let name = &rule.name;
    if !(1..=MAX_RULE_NAME_LENGTH).contains(&name.len()) {
        errors.push(FieldError::plain(format!(
            "failure policy rule name has length {}, must be between 1 and {MAX_RULE_NAME_LENGTH}",
            name.len()
        )));
    }
    if !is_rule_name(name) {
        errors.push(FieldError::plain(format!(
            "failure policy rule name {name:?} is invalid: it must start with a letter, end with \
             a letter, digit or '_', and consist of letters, digits, '_', ',' and ':'"
        )));
    }
    for target in rule
        .target_replicated_jobs
        .iter()
        .filter(|t| !known.contains(t.as_str()))
    {
        errors.push(FieldError::plain(format!(
            "failure policy: {target:?} does not appear in .spec.ReplicatedJobs"
        )));
    }
    for reason in &rule.on_job_failure_reasons {
        if !JOB_FAILURE_REASONS.contains(&reason.as_str()) {
            errors.push(FieldError::plain(format!(
                "failure policy: {reason:?} is not a known job failure reason (known: {})",
                JOB_FAILURE_REASONS.join(", ")
            )));
        }
    }
}

fn indices_by_name(rules: &[FailurePolicyRule]) -> BTreeMap<&str, Vec<usize>> {
    let mut indices: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        indices.entry(&rule.name).or_default().push(index);
    }
    indices
}
