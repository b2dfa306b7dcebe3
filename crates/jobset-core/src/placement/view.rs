//! A cluster made by hand, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use jobset_api::constants;
use serde_json::{Value, json};

use super::{NodeTopology, PlacedPod, PlacementView};

pub(super) const KEY: &str = "cloud.google.com/gke-nodepool";

/// Pods, and nodes with their values of [`KEY`].
#[derive(Default)]
pub(super) struct View {
    pub(super) pods: Vec<Value>,
    pub(super) nodes: BTreeMap<&'static str, Option<&'static str>>,
    pub(super) blind: bool,
}

impl PlacementView for View {
    fn ready(&self) -> bool {
        !self.blind
    }

    fn pods_named(&self, namespace: &str, prefix: &str) -> Vec<Arc<PlacedPod>> {
        let pods = self.pods.iter().map(placed);
        pods.filter(|pod| {
            pod.namespace == namespace && pod.prefix() == prefix && pod.topology_key.is_some()
        })
        .collect()
    }

    fn topology(&self, node: &str, key: &str) -> NodeTopology {
        match self.nodes.get(node) {
            None => NodeTopology::NoNode,
            Some(Some(domain)) if key == KEY => NodeTopology::Domain((*domain).to_owned()),
            Some(_) => NodeTopology::NoLabel,
        }
    }
}

pub(super) fn placed(pod: &Value) -> Arc<PlacedPod> {
    use serde::Deserialize as _;
    Arc::new(PlacedPod::deserialize(pod).unwrap())
}

/// Pod `index` of Job 0 of the role `rjob` of the JobSet `js`, owned by a Job with `uid`.
pub(super) fn pod(index: usize, suffix: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "ns",
            "name": format!("js-rjob-0-{index}-{suffix}"),
            "uid": format!("pod-{index}-{suffix}"),
            "labels": {
                constants::JOBSET_NAME_KEY: "js",
                constants::REPLICATED_JOB_NAME_KEY: "rjob",
                constants::JOB_INDEX_KEY: "0",
                constants::JOB_KEY: "job-key",
            },
            "annotations": {
                constants::JOBSET_NAME_KEY: "js",
                constants::EXCLUSIVE_TOPOLOGY_KEY: KEY,
                constants::JOB_COMPLETION_INDEX_KEY: index.to_string(),
            },
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "js-rjob-0",
                                 "uid": uid, "controller": true}],
        },
        "spec": {"containers": [{"name": "c", "image": "i", "unheardOf": {"a": [1]}}]},
        "status": {"phase": "Pending"},
    })
}

/// The leader of owner `uid` on `node`.
pub(super) fn leader(suffix: &str, uid: &str, node: Option<&str>) -> Value {
    let mut pod = pod(0, suffix, uid);
    if let Some(node) = node {
        pod["spec"]["nodeName"] = node.into();
        pod["status"]["phase"] = "Running".into();
    }
    pod
}

/// A follower of owner `uid` bound to `domain`.
pub(super) fn follower(index: usize, uid: &str, domain: Option<&str>) -> Value {
    let mut pod = pod(index, "fffff", uid);
    if let Some(domain) = domain {
        pod["spec"]["nodeSelector"] = json!({KEY: domain});
    }
    pod
}

pub(super) fn terminating(mut pod: Value) -> Value {
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    pod
}

pub(super) fn ended(mut pod: Value, phase: &str) -> Value {
    pod["status"]["phase"] = phase.into();
    pod
}
