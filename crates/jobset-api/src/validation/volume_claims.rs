//! Rules for the volume claim policies of a new JobSet.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    error::FieldError,
    semantic::semantically_equal,
    text::{MAX_LABEL_LENGTH, dns1123_subdomain},
};
use crate::{
    names::claim_name, resource::JobSet, template::ClaimTemplate, types::RetentionPolicyType,
};

/// C16 with V1 to V5
pub(super) fn validate(jobset: &JobSet, jobset_name: &str, errors: &mut Vec<FieldError>) {
    let spec = &jobset.spec;
    if spec.volume_claim_policies.is_empty() {
        return;
    }
    let mounted: HashSet<&str> = spec
        .replicated_jobs
        .iter()
        .flat_map(|job| job.template.mounted_volume_names())
        .collect();
    let mut seen = HashSet::new();
    for (p, policy) in spec.volume_claim_policies.iter().enumerate() {
        for (t, template) in policy.templates.iter().enumerate() {
            let name = template.name();
            // The reported path says "template", in the singular; clients have come to know it so.
            let path = format!("spec.volumeClaimPolicies[{p}].template[{t}].name");
            let mut invalid =
                |detail: String| errors.push(FieldError::invalid(path.as_str(), name, detail));
            // V1
            if !seen.insert(name) {
                invalid("template names must be unique over all volumeClaimPolicies".to_owned());
            }
            // V2
            for problem in dns1123_subdomain(name) {
                invalid(problem.explain());
            }
            // V3
            let claim = claim_name(name, jobset_name);
            if claim.len() > MAX_LABEL_LENGTH {
                invalid(format!(
                    "template name is too long, the claim's name {claim:?} would exceed \
                     {MAX_LABEL_LENGTH} characters"
                ));
            }
            // V4
            pod_volumes_of_the_same_name(jobset, name, errors);
            // V5
            if !mounted.contains(name) {
                let jobs = serde_json::to_value(&spec.replicated_jobs).unwrap_or(Value::Null);
                errors.push(FieldError::invalid(
                    "spec.replicatedJobs",
                    jobs,
                    format!(
                        "no container has a volumeMount {name:?} for the volume claim template"
                    ),
                ));
            }
        }
    }
}

/// V4
fn pod_volumes_of_the_same_name(jobset: &JobSet, name: &str, errors: &mut Vec<FieldError>) {
    for (i, job) in jobset.spec.replicated_jobs.iter().enumerate() {
        let volumes = job
            .template
            .pod_spec()
            .and_then(|pod| pod.get("volumes")?.as_array());
        for (v, volume) in volumes.into_iter().flatten().enumerate() {
            if volume.get("name").and_then(Value::as_str) == Some(name) {
                errors.push(FieldError::invalid(
                    format!(
                        "spec.replicatedJobs[{i}].template.spec.template.spec.volumes[{v}].name"
                    ),
                    name,
                    "conflicts with the name of a volumeClaimPolicies template",
                ));
            }
        }
    }
}

/// Fields of a claim's spec that the API server fills in when they are absent, so that a bound
/// claim has them although its template has not.
const FILLED_IN: &[&str] = &[
    "dataSource",
    "dataSourceRef",
    "storageClassName",
    "volumeMode",
    "volumeName",
];

/// Names of the claims that a new JobSet asks for, each once, in the order of the templates. They
/// are what [`validate_claims`] looks up; none for a JobSet that has no name yet.
pub fn claim_names(jobset: &JobSet) -> Vec<String> {
    let mut seen = HashSet::new();
    claims(jobset)
        .map(|(_, _, _, name)| name)
        .filter(|name| seen.insert(name.clone()))
        .collect()
}

/// Policy index, template index, template, and name of the claim, of each claim template.
fn claims(jobset: &JobSet) -> impl Iterator<Item = (usize, usize, &ClaimTemplate, String)> {
    let named = !jobset.name().is_empty();
    let policies = jobset.spec.volume_claim_policies.iter().enumerate();
    policies
        .filter(move |_| named)
        .flat_map(|(p, policy)| {
            policy
                .templates
                .iter()
                .enumerate()
                .map(move |(t, c)| (p, t, c))
        })
        .map(|(p, t, template)| (p, t, template, claim_name(template.name(), jobset.name())))
}

/// Checks the claim templates of a new JobSet against the claims that exist already. It
/// complements [`super::validate_create`], which knows no other objects.
///
/// A claim that exists is reused. So it must be the claim that the template asks for, and it must
/// be retained: what was there before the JobSet must not be deleted with it.
///
/// `lookup` takes the name of a claim in the JobSet's namespace (see [`claim_names`]) and returns
/// the claim as JSON, `None` when there is none, or why that cannot be said.
///
/// What the API server fills in (`volumeName`, `volumeMode`, `storageClassName`, the data sources)
/// counts as equal where the template does not give it; otherwise no claim that is bound could
/// ever be reused.
pub fn validate_claims(
    jobset: &JobSet,
    lookup: impl Fn(&str) -> Result<Option<Value>, String>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let namespace = jobset.metadata.namespace.as_deref().unwrap_or_default();
    for (p, t, template, name) in claims(jobset) {
        let policy = &jobset.spec.volume_claim_policies[p];
        let policy_path = format!("spec.volumeClaimPolicies[{p}]");
        let path = format!("{policy_path}.template[{t}]");
        let claim = match lookup(&name) {
            Ok(Some(claim)) => claim,
            Ok(None) => continue,
            // V8
            Err(error) => {
                errors.push(FieldError::internal(
                    path,
                    format!("cannot look up the persistent volume claim {name:?}: {error}"),
                ));
                continue;
            }
        };
        // V6
        let wanted = &template.as_value()["spec"];
        if !same_claim(wanted, &claim["spec"]) {
            errors.push(FieldError::invalid(
                format!("{path}.spec"),
                wanted.clone(),
                format!(
                    "does not match the spec of the existing persistent volume claim {name:?} in \
                     namespace {namespace:?}"
                ),
            ));
        }
        // V7
        if let Some(retention) = &policy.retention_policy
            && retention.when_deleted != Some(RetentionPolicyType::Retain)
        {
            let when_deleted = retention.when_deleted.as_ref();
            errors.push(FieldError::invalid(
                format!("{policy_path}.retentionPolicy.whenDeleted"),
                when_deleted.map_or("Delete", RetentionPolicyType::as_str),
                format!("must be Retain because the persistent volume claim {name:?} exists"),
            ));
        }
    }
    errors
}

/// Whether a claim's spec is what a template asks for.
fn same_claim(wanted: &Value, existing: &Value) -> bool {
    let mut existing = existing.clone();
    if let Some(fields) = existing.as_object_mut() {
        fields.retain(|key, _| !FILLED_IN.contains(&key.as_str()) || !wanted[key].is_null());
    }
    semantically_equal(&json!({ "spec": wanted }), &json!({ "spec": existing }))
}
