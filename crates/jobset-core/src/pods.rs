//! What the planner sees of Pods, for those JobSets that need it.

use jobset_api::constants;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;

/// Slim view of a Pod of a JobSet: what in-place restarts and stuck Pods need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildPod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`: the precondition of every change to this Pod.
    pub uid: String,
    /// Uid of the controlling owner, which is a Job if the Pod belongs to a JobSet. Labels can be
    /// put on any Pod; this decides.
    pub job_uid: Option<String>,
    /// `spec.nodeName`.
    pub node: Option<String>,
    /// How far the Pod has got.
    pub phase: PodPhase,
    /// `metadata.deletionTimestamp`: when the Pod should be gone by.
    pub deletion: Option<Timestamp>,
    /// Annotation `jobset.sigs.k8s.io/in-place-restart-attempt`, as the agent wrote it.
    pub in_place_attempt: Option<String>,
    /// Most restarts of any one container, init containers included.
    pub restarts: i32,
}

/// How far a Pod has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    /// It waits, or runs.
    #[default]
    Unfinished,
    /// All containers ended well.
    Succeeded,
    /// Some container ended badly for good, or the Pod was evicted.
    Failed,
}

impl ChildPod {
    /// Takes the slim view of a Pod. Never fails: what is absent stays absent.
    #[must_use]
    pub fn from_pod(pod: &Pod) -> Self {
        let meta = &pod.metadata;
        let owners = meta.owner_references.iter().flatten();
        let status = pod.status.as_ref();
        let restarts = |list: Option<&Vec<ContainerStatus>>| {
            let counts = list.into_iter().flatten().map(|c| c.restart_count);
            counts.max().unwrap_or(0)
        };
        Self {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            job_uid: owners
                .into_iter()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid.clone()),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            phase: match status.and_then(|status| status.phase.as_deref()) {
                Some("Succeeded") => PodPhase::Succeeded,
                Some("Failed") => PodPhase::Failed,
                _ => PodPhase::Unfinished,
            },
            deletion: meta.deletion_timestamp.as_ref().map(|t| t.0),
            in_place_attempt: meta
                .annotations
                .as_ref()
                .and_then(|map| map.get(constants::IN_PLACE_RESTART_ATTEMPT_KEY))
                .cloned(),
            restarts: restarts(status.and_then(|s| s.init_container_statuses.as_ref()))
                .max(restarts(status.and_then(|s| s.container_statuses.as_ref()))),
        }
    }
}

#[cfg(test)]
mod tests;
