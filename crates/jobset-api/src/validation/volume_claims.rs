//! Rules for the volume claim policies of a new JobSet.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    error::FieldError,
    text::{MAX_LABEL_LENGTH, dns1123_subdomain},
};
use crate::{names::claim_name, resource::JobSet};

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
