//! Admission of JobSets as an API server asks for it: JSON in, verdict out.
//!
//! A webhook server and an embedded API server both call these functions. Defaulting is
//! [`crate::defaulting::default_value`]; it runs on creation only and never fails.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    features::FeatureGates,
    resource::JobSet,
    validation::{
        self, FieldError, invalid_status, validate_claims, validate_create, validate_update,
        warnings,
    },
};

/// Checks a JobSet that is about to be created, after defaulting. `claims` looks up a claim in
/// its namespace, see [`validate_claims`].
///
/// # Errors
/// The Status to answer with: 422 `Invalid` with a cause per broken rule, or 400 `BadRequest` for
/// an object that cannot be decoded.
pub fn admit_create(
    object: &Value,
    gates: &FeatureGates,
    claims: impl Fn(&str) -> Result<Option<Value>, String>,
) -> Result<(), Box<Status>> {
    let jobset = decode(object)?;
    let mut errors = validate_create(&jobset, gates);
    errors.extend(validate_claims(&jobset, claims));
    verdict(&jobset, &errors)
}

/// The claims that [`admit_create`] will look up; none for an object that cannot be decoded.
pub fn claim_names(object: &Value) -> Vec<String> {
    JobSet::deserialize(object)
        .map(|jobset| validation::claim_names(&jobset))
        .unwrap_or_default()
}

/// The warnings to answer the creation of this JobSet with, after defaulting. An object that
/// cannot be decoded has none; it is refused.
pub fn create_warnings(object: &Value, gates: &FeatureGates) -> Vec<String> {
    let Ok(jobset) = JobSet::deserialize(object) else {
        return Vec::new();
    };
    let found = warnings(&jobset, gates);
    found.iter().map(ToString::to_string).collect()
}

/// Checks a change of a JobSet.
///
/// # Errors
/// As [`admit_create`].
pub fn admit_update(old: &Value, new: &Value, gates: &FeatureGates) -> Result<(), Box<Status>> {
    let (old, new) = (decode(old)?, decode(new)?);
    verdict(&new, &validate_update(&old, &new, gates))
}

fn verdict(jobset: &JobSet, errors: &[FieldError]) -> Result<(), Box<Status>> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Box::new(invalid_status(jobset.name(), errors)))
}

/// Decodes the object with its templates, which the type itself keeps undecoded.
fn decode(object: &Value) -> Result<JobSet, Box<Status>> {
    let jobset = JobSet::deserialize(object).map_err(|error| bad_request("", &error))?;
    for (index, job) in jobset.spec.replicated_jobs.iter().enumerate() {
        let path = || format!("spec.replicatedJobs[{index}].template: ");
        job.template
            .typed()
            .map_err(|error| bad_request(&path(), &error))?;
    }
    for (p, policy) in jobset.spec.volume_claim_policies.iter().enumerate() {
        for (t, template) in policy.templates.iter().enumerate() {
            let path = || format!("spec.volumeClaimPolicies[{p}].templates[{t}]: ");
            template
                .typed()
                .map_err(|error| bad_request(&path(), &error))?;
        }
    }
    Ok(jobset)
}

fn bad_request(path: &str, error: &serde_json::Error) -> Box<Status> {
    Box::new(Status {
        status: Some("Failure".to_owned()),
        code: Some(400),
        reason: Some("BadRequest".to_owned()),
        message: Some(format!("the JobSet cannot be decoded: {path}{error}")),
        ..Status::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaulting::default_value;

    const GATES: fn() -> FeatureGates = FeatureGates::default;

    #[expect(clippy::unnecessary_wraps, reason = "the type of a look-up")]
    fn no_claims(_: &str) -> Result<Option<Value>, String> {
        Ok(None)
    }

    /// A complete JobSet, with a quantity written as a number.
    fn good() -> Value {
        let mut value = json!({
            "metadata": {"name": "js"},
            "spec": {"replicatedJobs": [{"name": "a", "template": {"spec": {"template": {"spec": {
                "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": 1}}}],
            }}}}}]},
        });
        default_value(&mut value);
        value
    }

    #[test]
    fn a_good_object_passes() {
        assert_eq!(admit_create(&good(), &GATES(), no_claims), Ok(()));
        assert_eq!(admit_update(&good(), &good(), &GATES()), Ok(()));
    }

    #[test]
    fn warnings_name_the_field() {
        assert_eq!(create_warnings(&good(), &GATES()), [""; 0]);
        assert_eq!(create_warnings(&json!(3), &GATES()), [""; 0]);
        let mut doubtful = good();
        doubtful["spec"]["startupPolicy"]["startupPolicyOrder"] = "InOrder".into();
        let found = create_warnings(&doubtful, &GATES());
        let [text] = &found[..] else {
            panic!("{found:?}")
        };
        assert!(
            text.starts_with("spec.startupPolicy.startupPolicyOrder: "),
            "{text}"
        );
    }

    #[test]
    fn a_broken_rule_is_invalid() {
        let mut new = good();
        new["spec"]["managedBy"] = "x".into();
        for result in [
            admit_create(&new, &GATES(), no_claims),
            admit_update(&good(), &new, &GATES()),
        ] {
            let status = result.unwrap_err();
            assert_eq!(
                (status.code, status.reason.as_deref()),
                (Some(422), Some("Invalid"))
            );
            assert!(
                status
                    .message
                    .unwrap()
                    .starts_with("JobSet.jobset.x-k8s.io \"js\" is invalid")
            );
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_a_bad_request() {
        let bad_spec = json!({"spec": {"suspend": "yes"}});
        let mut bad_template = good();
        bad_template["spec"]["replicatedJobs"][0]["template"]["spec"]["completions"] = "x".into();
        for (object, part) in [
            (bad_spec, "expected a boolean"),
            (bad_template, "spec.replicatedJobs[0].template"),
            (json!(3), "JobSet"),
        ] {
            let status = admit_create(&object, &GATES(), no_claims).unwrap_err();
            assert_eq!(
                (status.code, status.reason.as_deref()),
                (Some(400), Some("BadRequest"))
            );
            let message = status.message.unwrap();
            assert!(message.contains(part), "{message}");
        }
    }
}
