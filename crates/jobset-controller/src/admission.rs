//! What admission does with JobSets and Pods, whoever asks: the webhook server for an API server
//! on a cluster, or an embedded API server in the same process.
//!
//! Everything here is synchronous and works on JSON, so that nothing the object holds is lost.
//! What needs looking up is passed in.

use std::sync::Arc;

use jobset_api::{FeatureGates, admission, defaulting};
use jobset_core::placement;
pub use jobset_core::placement::{NodeTopology, PlacedPod, PlacementView, TRANSIENT};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde_json::Value;

/// Looks up a claim in the JobSet's namespace by name: the claim as JSON, `None` where there is
/// none, or why that cannot be said.
pub type ClaimLookup<'a> = dyn Fn(&str) -> Result<Option<Value>, String> + 'a;

/// Admission of JobSets and of their Pods.
#[derive(Clone)]
pub struct Admission {
    gates: FeatureGates,
    placement: Arc<dyn PlacementView + Send + Sync>,
}

impl Admission {
    /// Admission under these gates, with this view of Pods and nodes.
    pub fn new(gates: FeatureGates, placement: Arc<dyn PlacementView + Send + Sync>) -> Self {
        Self { gates, placement }
    }

    /// Fills in what a new JobSet leaves out. Never fails.
    pub fn default_jobset(&self, jobset: &mut Value) {
        defaulting::default_value(jobset);
    }

    /// Names of the claims that [`Admission::create_jobset`] will look up.
    pub fn claims_of(&self, jobset: &Value) -> Vec<String> {
        admission::claim_names(jobset)
    }

    /// Checks a new JobSet, after defaulting; the warnings for its creator.
    ///
    /// # Errors
    /// The Status to refuse it with.
    pub fn create_jobset(
        &self,
        jobset: &Value,
        claims: &ClaimLookup<'_>,
    ) -> Result<Vec<String>, Box<Status>> {
        admission::admit_create(jobset, &self.gates, claims)?;
        Ok(admission::create_warnings(jobset, &self.gates))
    }

    /// Checks a change of a JobSet.
    ///
    /// # Errors
    /// The Status to refuse it with.
    pub fn update_jobset(&self, old: &Value, new: &Value) -> Result<(), Box<Status>> {
        admission::admit_update(old, new, &self.gates)
    }

    /// What a new Pod gets; nothing for a Pod that is none of a JobSet's.
    ///
    /// # Errors
    /// The Status to refuse it with.
    pub fn mutate_pod(&self, pod: &mut Value) -> Result<(), Box<Status>> {
        placement::mutate_pod(pod, &*self.placement)
    }

    /// Whether a new Pod may be created now.
    ///
    /// # Errors
    /// The Status to refuse it with.
    pub fn validate_pod(&self, pod: &Value) -> Result<(), Box<Status>> {
        placement::validate_pod(pod, &*self.placement)
    }
}
