//! What is kept of a Pod: a few hundred bytes instead of some ten thousand.

use std::collections::BTreeMap;

use jobset_api::constants;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What placement needs to know of a Pod. Decodes from a Pod's JSON and skips all else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "RawPod")]
pub struct PlacedPod {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `spec.nodeName`, `None` while the Pod is not scheduled.
    pub node: Option<String>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Whether `status.phase` is `Succeeded` or `Failed`.
    pub finished: bool,
    /// Whether `status.phase` is `Succeeded`.
    pub succeeded: bool,
    /// Uid of the owner that has `controller: true`.
    pub owner_uid: Option<String>,
    /// Whether its completion index is 0.
    pub leader: bool,
    /// Annotation `exclusive-topology`: the node label whose values are the domains. `None` for
    /// Pods without exclusive placement.
    pub topology_key: Option<String>,
    /// Whether the Pod is placed by node selector, which is not our business.
    pub by_node_selector: bool,
    /// `spec.nodeSelector[topology_key]`: the domain the Pod is bound to.
    pub domain: Option<String>,
    /// Label `job-key`, the same for every incarnation of a Job.
    pub job_key: Option<String>,
    /// Label `priority`.
    pub priority: Option<String>,
    /// Whether it has the condition `DisruptionTarget` = True.
    pub disrupted: bool,
}

impl PlacedPod {
    /// Whether the Pod is placed by the rules of this module.
    pub fn is_exclusive(&self) -> bool {
        self.topology_key.is_some() && !self.by_node_selector
    }

    /// Whether the Pod holds, or will hold, a place.
    pub fn is_active(&self) -> bool {
        !self.terminating && !self.finished
    }

    /// The name without its last segment: what [`super::PlacementView::pods_named`] finds it by.
    pub fn prefix(&self) -> &str {
        self.name.rsplit_once('-').map_or("", |(prefix, _)| prefix)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawPod {
    metadata: RawMeta,
    spec: Option<RawSpec>,
    status: Option<RawStatus>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawMeta {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<IgnoredAny>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<RawOwner>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawOwner {
    uid: Option<String>,
    controller: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec {
    node_name: Option<String>,
    node_selector: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawStatus {
    phase: Option<String>,
    conditions: Option<Vec<RawCondition>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawCondition {
    r#type: Option<String>,
    status: Option<String>,
}

impl From<RawPod> for PlacedPod {
    fn from(raw: RawPod) -> Self {
        let RawMeta {
            namespace,
            name,
            uid,
            resource_version,
            deletion_timestamp,
            labels,
            annotations,
            owner_references,
        } = raw.metadata;
        let (spec, status) = (raw.spec.unwrap_or_default(), raw.status.unwrap_or_default());
        let mut labels = labels.unwrap_or_default();
        let mut annotations = annotations.unwrap_or_default();
        let topology_key = annotations.remove(constants::EXCLUSIVE_TOPOLOGY_KEY);
        let domain = topology_key
            .as_ref()
            .and_then(|key| spec.node_selector.unwrap_or_default().remove(key));
        let phase = status.phase.as_deref();
        Self {
            namespace: namespace.unwrap_or_default(),
            name: name.unwrap_or_default(),
            uid: uid.unwrap_or_default(),
            resource_version: resource_version.unwrap_or_default(),
            node: spec.node_name.filter(|node| !node.is_empty()),
            terminating: deletion_timestamp.is_some(),
            finished: matches!(phase, Some("Succeeded" | "Failed")),
            succeeded: phase == Some("Succeeded"),
            owner_uid: owner_references
                .unwrap_or_default()
                .into_iter()
                .find(|owner| owner.controller == Some(true))
                .and_then(|owner| owner.uid),
            leader: annotations
                .get(constants::JOB_COMPLETION_INDEX_KEY)
                .is_some_and(|index| index == "0"),
            by_node_selector: annotations.contains_key(constants::NODE_SELECTOR_STRATEGY_KEY),
            topology_key,
            domain,
            job_key: labels.remove(constants::JOB_KEY),
            priority: labels.remove(constants::PRIORITY_KEY),
            disrupted: status.conditions.unwrap_or_default().iter().any(|one| {
                one.r#type.as_deref() == Some(constants::DISRUPTION_TARGET)
                    && one.status.as_deref() == Some("True")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_needed_is_kept() {
        let pod: PlacedPod = serde_json::from_value(json!({
            "metadata": {
                "namespace": "ns", "name": "js-w-0-0-abcde", "uid": "p", "resourceVersion": "7",
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "labels": {constants::JOB_KEY: "k", constants::PRIORITY_KEY: "5", "x": "y"},
                "annotations": {
                    constants::JOB_COMPLETION_INDEX_KEY: "0",
                    constants::EXCLUSIVE_TOPOLOGY_KEY: "rack",
                    constants::NODE_SELECTOR_STRATEGY_KEY: "",
                },
                "ownerReferences": [{"uid": "a"}, {"uid": "b", "controller": true}],
            },
            "spec": {"nodeName": "n1", "nodeSelector": {"rack": "r1", "zone": "z"},
                     "containers": []},
            "status": {"phase": "Succeeded",
                       "conditions": [{"type": "DisruptionTarget", "status": "True"}]},
        }))
        .unwrap();
        let text = |text: &str| Some(text.to_owned());
        let expected = PlacedPod {
            namespace: "ns".into(),
            name: "js-w-0-0-abcde".into(),
            uid: "p".into(),
            resource_version: "7".into(),
            node: text("n1"),
            terminating: true,
            finished: true,
            succeeded: true,
            owner_uid: text("b"),
            leader: true,
            topology_key: text("rack"),
            by_node_selector: true,
            domain: text("r1"),
            job_key: text("k"),
            priority: text("5"),
            disrupted: true,
        };
        assert_eq!(pod, expected);
        assert!(!pod.is_exclusive() && !pod.is_active());
        assert_eq!(pod.prefix(), "js-w-0-0");
    }

    #[test]
    fn an_empty_object_is_an_idle_pod() {
        let pod: PlacedPod = serde_json::from_value(json!({})).unwrap();
        assert_eq!(pod, PlacedPod::default());
        assert!(pod.is_active() && !pod.is_exclusive());
        assert_eq!(pod.prefix(), "");
    }
}
