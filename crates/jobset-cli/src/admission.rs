//! Admission in the embedded cluster: what the operator's webhooks do on a real one, called
//! directly, and with the store itself in place of a cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use embedded_apiserver::{AdmissionRequest, Operation, Status, StoredObjects};
use jobset_api::{FeatureGates, constants};
use jobset_controller::admission::{Admission, NodeTopology, PlacedPod, PlacementView};
use serde::Deserialize;
use serde_json::Value;

/// Defaults and validates JobSets, and places Pods.
#[derive(Debug, Default)]
pub struct JobSetAdmission {
    gates: FeatureGates,
}

/// What is admitted here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    JobSet,
    Pod,
}

/// As the match conditions of the operator's webhooks: a Pod that asks for nothing never gets there.
fn kind(request: &AdmissionRequest, object: &Value) -> Option<Kind> {
    if !request.subresource.is_empty() {
        return None;
    }
    match (&*request.group, &*request.resource) {
        (constants::GROUP, "jobsets") => Some(Kind::JobSet),
        ("", "pods") => {
            let annotations = object["metadata"]["annotations"].as_object()?;
            let placed = annotations.contains_key(constants::EXCLUSIVE_TOPOLOGY_KEY)
                && !annotations.contains_key(constants::NODE_SELECTOR_STRATEGY_KEY);
            placed.then_some(Kind::Pod)
        }
        _ => None,
    }
}

impl JobSetAdmission {
    /// Admission for a controller with these feature gates.
    #[must_use]
    pub fn new(gates: FeatureGates) -> Self {
        Self { gates }
    }

    fn with_view(&self, request: &AdmissionRequest) -> Admission {
        let view = Stored(request.objects.clone());
        Admission::new(self.gates, Arc::new(view))
    }
}

impl embedded_apiserver::Admission for JobSetAdmission {
    fn mutate(
        &self,
        request: &AdmissionRequest,
        object: &mut Value,
    ) -> Result<Vec<String>, Status> {
        if request.operation != Operation::Create {
            return Ok(Vec::new());
        }
        match kind(request, object) {
            Some(Kind::JobSet) => self.with_view(request).default_jobset(object),
            Some(Kind::Pod) => self
                .with_view(request)
                .mutate_pod(object)
                .map_err(|status| refusal(&status))?,
            None => {}
        }
        Ok(Vec::new())
    }

    fn validate(
        &self,
        request: &AdmissionRequest,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<Vec<String>, Status> {
        let Some(kind) = kind(request, object) else {
            return Ok(Vec::new());
        };
        let admission = self.with_view(request);
        let verdict = match (kind, request.operation, old) {
            (Kind::JobSet, Operation::Create, _) => {
                let namespace = request.namespace.as_deref().unwrap_or_default();
                admission.create_jobset(object, &|name| claim(&request.objects, namespace, name))
            }
            (Kind::JobSet, Operation::Update, Some(old)) => {
                admission.update_jobset(old, object).map(|()| Vec::new())
            }
            (Kind::Pod, Operation::Create, _) => {
                admission.validate_pod(object).map(|()| Vec::new())
            }
            _ => Ok(Vec::new()),
        };
        verdict.map_err(|status| refusal(&status))
    }
}

/// The same type on both sides of the wire: the conversion cannot lose anything.
fn refusal(status: &impl serde::Serialize) -> Status {
    serde_json::to_value(status)
        .and_then(serde_json::from_value)
        .unwrap_or_else(|error| Status::bad_request(error.to_string()))
}

fn claim(objects: &StoredObjects, namespace: &str, name: &str) -> Result<Option<Value>, String> {
    objects
        .get("persistentvolumeclaims", namespace, name)
        .map(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
        .transpose()
}

/// The store as placement sees it. Never behind, hence always ready.
struct Stored(StoredObjects);

impl PlacementView for Stored {
    fn pods_named(&self, namespace: &str, prefix: &str) -> Vec<Arc<PlacedPod>> {
        let found = self.0.named("pods", namespace, &format!("{prefix}-"));
        found
            .iter()
            .filter_map(|bytes| serde_json::from_slice::<PlacedPod>(bytes).ok())
            .filter(|pod| pod.topology_key.is_some() && pod.prefix() == prefix)
            .map(Arc::new)
            .collect()
    }

    fn topology(&self, node: &str, key: &str) -> NodeTopology {
        #[derive(Deserialize)]
        struct Node {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            #[serde(default)]
            labels: BTreeMap<String, String>,
        }
        let Some(bytes) = self.0.get("nodes", "", node) else {
            return NodeTopology::NoNode;
        };
        serde_json::from_slice::<Node>(&bytes)
            .ok()
            .and_then(|mut node| node.metadata.labels.remove(key))
            .map_or(NodeTopology::NoLabel, NodeTopology::Domain)
    }
}
