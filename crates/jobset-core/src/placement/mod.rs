//! Exclusive placement: one Job per topology domain, decided Pod by Pod.
//!
//! A Pod whose Job asks for exclusive placement is a *leader* (completion index 0) or a
//! *follower*. The leader gets rules that keep Pods of other Jobs out of its domain; followers are
//! admitted only once their leader has a node, and are bound to its domain. Source: spec
//! `admission.md` §6 to §8, `reconcile.md` §16.
//!
//! Pure: what there is beside the Pod itself is read through a [`PlacementView`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde_json::Value;

/// What is kept of a Pod that may be a leader or a follower.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacedPod {
    /// `metadata.name`.
    pub name: String,
    /// `spec.nodeName`, `None` while the Pod is not scheduled.
    pub node: Option<String>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Whether `status.phase` is `Succeeded` or `Failed`.
    pub finished: bool,
    /// Uid of the owner that has `controller: true`.
    pub owner_uid: Option<String>,
}

/// The domain a node lies in, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeTopology {
    /// No node has the name.
    NoNode,
    /// The node lacks the topology label.
    NoLabel,
    /// Value of the topology label.
    Domain(String),
}

/// The cluster as placement needs to see it: a cache, or the store itself.
pub trait PlacementView {
    /// The Pods of a namespace that carry the annotation `exclusive-topology` and whose name
    /// without its last segment is `prefix`, in any state.
    fn pods_named(&self, namespace: &str, prefix: &str) -> Vec<PlacedPod>;

    /// The node's value of the label `key`.
    fn topology(&self, node: &str, key: &str) -> NodeTopology;
}

/// What admission adds to a new Pod.
///
/// # Errors
/// The Status to refuse the Pod with; the Job controller tries again later.
pub fn mutate_pod(pod: &mut Value, view: &dyn PlacementView) -> Result<(), Box<Status>> {
    let _ = (pod, view);
    Ok(())
}

/// Whether a new Pod may be created now.
///
/// # Errors
/// As [`mutate_pod`].
pub fn validate_pod(pod: &Value, view: &dyn PlacementView) -> Result<(), Box<Status>> {
    let _ = (pod, view);
    Ok(())
}
