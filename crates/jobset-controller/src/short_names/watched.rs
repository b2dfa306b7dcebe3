//! Pods and slices as the watches decode them: only what is kept.

use std::sync::Arc;

use jobset_core::short_names::{NameSlice, NamedPod};
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};

use crate::slim::slim_resources;
use crate::watched::{Identity, Owner};

/// A Pod, if names can lead to it.
#[derive(Debug, Clone)]
pub(super) struct WatchedPod {
    meta: ObjectMeta,
    pub(super) pod: Option<Arc<NamedPod>>,
}

/// A slice of short names.
#[derive(Debug, Clone)]
pub(super) struct WatchedSlice {
    meta: ObjectMeta,
    /// Name of the JobSet it belongs to: of its owner, or as its label says if it has none.
    pub(super) jobset: String,
    pub(super) slice: Arc<NameSlice>,
}

impl<'de> Deserialize<'de> for WatchedPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct RawSpec {
            node_name: Option<String>,
            subdomain: Option<String>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Raw {
            metadata: ObjectMeta,
            spec: RawSpec,
            status: Option<PodStatus>,
        }
        let raw = Raw::deserialize(deserializer)?;
        let meta = identity(&raw.metadata);
        let pod = Pod {
            metadata: raw.metadata,
            spec: Some(PodSpec {
                node_name: raw.spec.node_name,
                subdomain: raw.spec.subdomain,
                ..PodSpec::default()
            }),
            status: raw.status,
        };
        Ok(Self {
            meta,
            pod: NamedPod::from_pod(&pod).map(Arc::new),
        })
    }
}

impl<'de> Deserialize<'de> for WatchedSlice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let slice = EndpointSlice::deserialize(deserializer)?;
        let references = slice.metadata.owner_references.as_deref();
        let owner = Owner::of(references.unwrap_or_default());
        let (meta, slice) = (identity(&slice.metadata), NameSlice::from_slice(&slice));
        Ok(Self {
            meta,
            jobset: owner.map_or_else(|| slice.jobset.clone(), |owner| owner.name),
            slice: Arc::new(slice),
        })
    }
}

fn identity(meta: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        ..ObjectMeta::default()
    }
}

impl Identity for WatchedPod {
    fn identity(&self) -> &ObjectMeta {
        &self.meta
    }
}

impl Identity for WatchedSlice {
    fn identity(&self) -> &ObjectMeta {
        &self.meta
    }
}

slim_resources!(
    [] WatchedPod as Pod, NamespaceResourceScope;
    [] WatchedSlice as EndpointSlice, NamespaceResourceScope;
);
