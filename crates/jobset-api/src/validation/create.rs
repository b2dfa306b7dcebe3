//! Rules for a new JobSet.

use std::{borrow::Cow, collections::HashSet};

use serde_json::Value;

use super::{
    coordinator,
    error::FieldError,
    failure_policy, recovery, template,
    text::{MAX_LABEL_LENGTH, dns1035_label, dns1123_subdomain, is_http_path},
    volume_claims,
};
use crate::{
    constants::MAX_MANAGED_BY_LENGTH,
    features::{Feature, FeatureGates},
    names::job_name,
    resource::JobSet,
    types::{ReplicatedJob, RestartStrategy},
};

/// Kubernetes cuts `generateName` to so many bytes before it appends the random suffix.
const MAX_GENERATED_BASE_LENGTH: usize = 58;
/// Stands for the five random characters of a generated name; which ones is of no matter to any
/// rule.
const GENERATED_SUFFIX: &str = "xxxxx";
/// Stands for the random end of a Pod's name.
pub(super) const POD_SUFFIX: &str = "-abcde";

/// The name to check generated names with: `metadata.name`, or else a name as Kubernetes would
/// make it from `metadata.generateName`, or else empty.
pub fn validation_name(jobset: &JobSet) -> Cow<'_, str> {
    if !jobset.name().is_empty() {
        return jobset.name().into();
    }
    let base = jobset.metadata.generate_name.as_deref().unwrap_or_default();
    if base.is_empty() {
        return "".into();
    }
    let mut end = base.len().min(MAX_GENERATED_BASE_LENGTH);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{GENERATED_SUFFIX}", &base[..end]).into()
}

/// Checks a JobSet that is about to be created, after defaulting.
///
/// Every error is returned, in the order of the rules, those for templates last; an empty list means that the JobSet is
/// acceptable as far as can be told without looking at other objects.
pub fn validate_create(jobset: &JobSet, gates: &FeatureGates) -> Vec<FieldError> {
    let name = validation_name(jobset);
    let mut errors = Vec::new();
    let strategy = jobset
        .spec
        .failure_policy
        .as_ref()
        .and_then(|p| p.restart_strategy.as_ref());
    let in_place = strategy == Some(&RestartStrategy::InPlaceRestart);

    // C1
    if in_place && !gates.enabled(Feature::InPlaceRestart) {
        errors.push(FieldError::plain(
            "restart strategy InPlaceRestart is not allowed while the feature gate InPlaceRestart \
             is disabled",
        ));
    }
    // C2: presence counts, not length.
    if jobset
        .spec
        .replicated_jobs
        .first()
        .is_some_and(|first| first.depends_on.is_some())
    {
        errors.push(FieldError::plain(
            "DependsOn is not allowed on the first ReplicatedJob",
        ));
    }
    subdomain(jobset, &mut errors);
    managed_by(jobset, &mut errors);

    let mut known = HashSet::new();
    for (index, job) in jobset.spec.replicated_jobs.iter().enumerate() {
        known.insert(job.name.as_str());
        let path = format!("spec.replicatedJobs[{index}]");
        replicated_job(&name, job, &path, &known, &mut errors);
        if in_place && gates.enabled(Feature::InPlaceRestart) {
            in_place_restart(job, &path, &mut errors);
        }
    }

    // C13
    let targets = jobset
        .spec
        .success_policy
        .iter()
        .flat_map(|p| &p.target_replicated_jobs);
    for target in targets.filter(|target| !known.contains(target.as_str())) {
        errors.push(FieldError::plain(format!(
            "success policy: {target:?} does not appear in .spec.ReplicatedJobs"
        )));
    }
    // C14
    failure_policy::validate(jobset, *gates, &known, &mut errors);
    // C15
    coordinator::validate(jobset, &name, &mut errors);
    // C16
    volume_claims::validate(jobset, &name, &mut errors);
    recovery::annotations(None, jobset, &mut errors);
    recovery::deadline(None, jobset, *gates, &mut errors);
    template::validate(jobset, &mut errors);
    errors
}

/// C3
fn subdomain(jobset: &JobSet, errors: &mut Vec<FieldError>) {
    const PATH: &str = "spec.network.subdomain";
    let network = jobset.spec.network.as_ref();
    let Some(subdomain) = network.and_then(|network| network.subdomain.as_deref()) else {
        return;
    };
    if subdomain.is_empty() {
        return;
    }
    for problem in dns1123_subdomain(subdomain) {
        errors.push(FieldError::invalid(PATH, subdomain, problem.explain()));
    }
    for problem in dns1035_label(subdomain) {
        let detail = problem.explain_or(&too_long(".spec.network.subdomain"));
        errors.push(FieldError::invalid(PATH, subdomain, detail));
    }
}

fn too_long(field: &str) -> String {
    format!("{field} is too long, must be no more than {MAX_LABEL_LENGTH} characters")
}

/// C4
fn managed_by(jobset: &JobSet, errors: &mut Vec<FieldError>) {
    const PATH: &str = "spec.managedBy";
    let Some(name) = jobset.spec.managed_by.as_deref() else {
        return;
    };
    if name.is_empty() {
        errors.push(FieldError::required(PATH, ""));
    }
    match name.split_once('/') {
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            for problem in dns1123_subdomain(host) {
                errors.push(FieldError::invalid(PATH, host, problem.explain()));
            }
            if !is_http_path(path) {
                errors.push(FieldError::invalid(
                    PATH,
                    path,
                    "invalid path (the regex used for validation is \
                     '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
                ));
            }
        }
        _ if name.is_empty() => {}
        _ => errors.push(FieldError::invalid(
            PATH,
            name,
            "must be a domain-prefixed path (such as \"acme.io/foo\")",
        )),
    }
    if name.len() > MAX_MANAGED_BY_LENGTH {
        errors.push(FieldError::too_long(PATH, MAX_MANAGED_BY_LENGTH));
    }
}

/// C5 to C9
fn replicated_job(
    jobset_name: &str,
    job: &ReplicatedJob,
    path: &str,
    known: &HashSet<&str>,
    errors: &mut Vec<FieldError>,
) {
    // C5: two 32-bit factors cannot overflow 64 bits.
    let parallelism = job.template.parallelism().unwrap_or(1);
    if i64::from(job.replicas()) * i64::from(parallelism) > i64::from(i32::MAX) {
        errors.push(FieldError::plain(format!(
            "the product of replicas and parallelism must not exceed {} for replicatedJob '{}'",
            i32::MAX,
            job.name
        )));
    }
    // C6
    for problem in dns1035_label(job.group_name()) {
        let detail = problem.explain_or(&too_long(".spec.replicatedJob[].groupName"));
        errors.push(FieldError::invalid(
            format!("{path}.groupName"),
            job.group_name(),
            detail,
        ));
    }
    // C7: the longest name; index -1 when there are no replicas.
    let longest_job = job_name(jobset_name, &job.name, job.replicas().wrapping_sub(1));
    for problem in dns1035_label(&longest_job) {
        let detail = problem.explain_or(&generated_too_long("job"));
        errors.push(FieldError::invalid(
            format!("{path}.name"),
            longest_job.as_str(),
            detail,
        ));
    }
    // C8
    if let (true, Some(completions)) = (job.template.is_indexed(), job.template.completions()) {
        let longest_pod = format!("{longest_job}-{}{POD_SUFFIX}", completions.wrapping_sub(1));
        for problem in dns1035_label(&longest_pod) {
            let detail = problem.explain_or(&generated_too_long("pod"));
            errors.push(FieldError::invalid(
                format!("{path}.name"),
                longest_job.as_str(),
                detail,
            ));
        }
    }
    // C9
    for dependency in job
        .depends_on()
        .iter()
        .filter(|d| !known.contains(d.name.as_str()))
    {
        errors.push(FieldError::plain(format!(
            "replicatedJob: {} cannot depend on replicatedJob: {}",
            job.name, dependency.name
        )));
    }
}

fn generated_too_long(what: &str) -> String {
    format!(
        "JobSet name is too long, generated {what} names would exceed {MAX_LABEL_LENGTH} characters"
    )
}

/// C10 to C12
fn in_place_restart(job: &ReplicatedJob, path: &str, errors: &mut Vec<FieldError>) {
    let template = &job.template;
    let name = &job.name;
    let backoff_limit = template.backoff_limit();
    if backoff_limit != Some(i32::MAX) {
        errors.push(FieldError::invalid(
            format!("{path}.template.spec.backoffLimit"),
            backoff_limit.map_or(Value::Null, Value::from),
            format!(
                "backoffLimit of replicatedJob '{name}' must be {} (MaxInt32) with in-place restart",
                i32::MAX
            ),
        ));
    }
    let replacement = template.pod_replacement_policy();
    if replacement != Some("Failed") {
        errors.push(FieldError::invalid(
            format!("{path}.template.spec.podReplacementPolicy"),
            replacement.map_or(Value::Null, Value::from),
            format!(
                "podReplacementPolicy of replicatedJob '{name}' must be Failed with in-place restart"
            ),
        ));
    }
    let completions = template.completions();
    if completions.is_none() || completions != template.parallelism() {
        errors.push(FieldError::invalid(
            format!("{path}.template.spec.completions"),
            completions.map_or(Value::Null, Value::from),
            format!(
                "completions and parallelism of replicatedJob '{name}' must both be set and equal \
                 with in-place restart"
            ),
        ));
    }
}
