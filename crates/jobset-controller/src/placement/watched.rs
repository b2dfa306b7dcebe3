//! Pods and nodes as the watches decode them: only what is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jobset_core::placement::PlacedPod;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};

use crate::slim::slim_resources;
use crate::watched::Identity;

/// A Pod.
#[derive(Debug, Clone)]
pub(super) struct WatchedPod {
    meta: ObjectMeta,
    pub(super) pod: Arc<PlacedPod>,
}

/// The labels of a node.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WatchedNode {
    #[serde(rename = "metadata", deserialize_with = "identity_and_labels")]
    meta: ObjectMeta,
}

impl WatchedNode {
    pub(super) fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.meta.labels.as_ref().unwrap_or(&NONE)
    }
}

impl<'de> Deserialize<'de> for WatchedPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pod = PlacedPod::deserialize(deserializer)?;
        Ok(Self {
            meta: ObjectMeta {
                namespace: Some(pod.namespace.clone()),
                name: Some(pod.name.clone()),
                uid: Some(pod.uid.clone()),
                resource_version: Some(pod.resource_version.clone()),
                ..ObjectMeta::default()
            },
            pod: Arc::new(pod),
        })
    }
}

fn identity_and_labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw {
        name: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        labels: Option<BTreeMap<String, String>>,
    }
    let raw = Raw::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: raw.name,
        uid: raw.uid,
        resource_version: raw.resource_version,
        labels: raw.labels,
        ..ObjectMeta::default()
    })
}

impl Identity for WatchedPod {
    fn identity(&self) -> &ObjectMeta {
        &self.meta
    }
}

impl Identity for WatchedNode {
    fn identity(&self) -> &ObjectMeta {
        &self.meta
    }
}

slim_resources!(
    [] WatchedPod as Pod, NamespaceResourceScope;
    [] WatchedNode as Node, ClusterResourceScope;
);
