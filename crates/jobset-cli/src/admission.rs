//! Admission of JobSets in the embedded cluster: what the operator's webhooks do on a real one.

use embedded_apiserver::{Admission, AdmissionRequest, Operation, Status};
use jobset_api::{FeatureGates, admission, defaulting};
use serde_json::Value;

/// Defaults and validates JobSets.
#[derive(Debug, Default)]
pub struct JobSetAdmission {
    gates: FeatureGates,
}

impl JobSetAdmission {
    /// Admission for a controller with these feature gates.
    #[must_use]
    pub fn new(gates: FeatureGates) -> Self {
        Self { gates }
    }
}

fn concerns(request: &AdmissionRequest) -> bool {
    request.group == jobset_api::constants::GROUP
        && request.resource == "jobsets"
        && request.subresource.is_empty()
}

impl Admission for JobSetAdmission {
    fn mutate(
        &self,
        request: &AdmissionRequest,
        object: &mut Value,
    ) -> Result<Vec<String>, Status> {
        if concerns(request) && request.operation == Operation::Create {
            defaulting::default_value(object);
        }
        Ok(Vec::new())
    }

    fn validate(
        &self,
        request: &AdmissionRequest,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<Vec<String>, Status> {
        if !concerns(request) {
            return Ok(Vec::new());
        }
        let verdict = match old {
            None => admission::admit_create(object, &self.gates, |_| Ok(None)),
            Some(old) => admission::admit_update(old, object, &self.gates),
        };
        let warnings = || match old {
            None => admission::create_warnings(object, &self.gates),
            Some(_) => Vec::new(),
        };
        verdict.map(|()| warnings()).map_err(|status| {
            // The same type on both sides of the wire: the conversion cannot lose anything.
            serde_json::to_value(&*status)
                .and_then(serde_json::from_value)
                .unwrap_or_else(|error| Status::bad_request(error.to_string()))
        })
    }
}
