//! An EndpointSlice as it is, and as it is written.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jobset_api::{JobSet, constants, names};
use k8s_openapi::api::discovery::v1 as discovery;
use serde_json::{Value, json};

/// Label that names the Service of a slice.
pub const SERVICE_NAME_KEY: &str = "kubernetes.io/service-name";
/// Label that says who writes a slice; everybody else leaves it alone.
pub const MANAGED_BY_KEY: &str = "endpointslice.kubernetes.io/managed-by";
/// Its value on the slices of short names.
pub const MANAGED_BY: &str = "short-names.jobset.x-k8s.io";
/// Label by which kube-proxy and others that forward traffic know that a slice is not for them.
const HEADLESS_KEY: &str = "service.kubernetes.io/headless";

/// `addressType` of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// `IPv4`.
    V4,
    /// `IPv6`.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// As the API writes it.
    #[must_use]
    pub fn address_type(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Its part in the name of a slice.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }
}

/// One name of one Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The short name.
    pub hostname: String,
    /// Uid of the Pod.
    pub pod_uid: String,
    /// Name of the Pod.
    pub pod: String,
    /// Where it is.
    pub address: String,
    /// Node it is on.
    pub node: Option<String>,
    /// Whether DNS is to answer with it.
    pub ready: bool,
    /// Whether the Pod is ready.
    pub serving: bool,
    /// Whether the Pod is being deleted.
    pub terminating: bool,
}

/// A slice of short names on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameSlice {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`: the precondition of every change to it.
    pub uid: String,
    /// `metadata.resourceVersion`: the same.
    pub resource_version: String,
    /// The JobSet that controls it, by uid. `None` if it was left behind when that was deleted.
    pub jobset_uid: Option<String>,
    /// The JobSet, by the slice's label.
    pub jobset: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `addressType`; `None` for one that is not used here.
    pub family: Option<Family>,
    /// What it holds, in its order.
    pub endpoints: Vec<Endpoint>,
}

impl NameSlice {
    /// Takes what matters of a slice. Never fails: what is odd differs from what should be there, and is
    /// written anew.
    #[must_use]
    pub fn from_slice(slice: &discovery::EndpointSlice) -> Self {
        let meta = &slice.metadata;
        let labels = meta.labels.clone().unwrap_or_default();
        let owners = meta.owner_references.iter().flatten();
        Self {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            jobset_uid: owners
                .into_iter()
                .find(|owner| owner.controller == Some(true) && owner.kind == constants::KIND)
                .map(|owner| owner.uid.clone()),
            jobset: labels
                .get(constants::JOBSET_NAME_KEY)
                .cloned()
                .unwrap_or_default(),
            labels,
            family: match slice.address_type.as_str() {
                "IPv4" => Some(Family::V4),
                "IPv6" => Some(Family::V6),
                _ => None,
            },
            endpoints: slice
                .endpoints
                .iter()
                .flatten()
                .map(Endpoint::from_endpoint)
                .collect(),
        }
    }

    /// The Service it is for.
    #[must_use]
    pub fn service(&self) -> &str {
        self.labels
            .get(SERVICE_NAME_KEY)
            .map(String::as_str)
            .unwrap_or_default()
    }
}

impl Endpoint {
    fn from_endpoint(endpoint: &discovery::Endpoint) -> Self {
        let conditions = endpoint.conditions.as_ref();
        let target = endpoint.target_ref.as_ref();
        Self {
            hostname: endpoint.hostname.clone().unwrap_or_default(),
            pod_uid: target.and_then(|pod| pod.uid.clone()).unwrap_or_default(),
            pod: target.and_then(|pod| pod.name.clone()).unwrap_or_default(),
            // One address is all that is ever written; several make a difference.
            address: endpoint.addresses.join(","),
            node: endpoint.node_name.clone(),
            ready: conditions.and_then(|c| c.ready).unwrap_or(true),
            serving: conditions.and_then(|c| c.serving).unwrap_or(true),
            terminating: conditions.and_then(|c| c.terminating).unwrap_or(false),
        }
    }

    fn to_value(&self, namespace: &str) -> Value {
        let mut value = json!({
            "addresses": [self.address],
            "conditions": {
                "ready": self.ready,
                "serving": self.serving,
                "terminating": self.terminating,
            },
            "hostname": self.hostname,
            "targetRef": {
                "kind": "Pod",
                "namespace": namespace,
                "name": self.pod,
                "uid": self.pod_uid,
            },
        });
        if let Some(node) = &self.node {
            value["nodeName"] = node.as_str().into();
        }
        value
    }
}

/// Labels of the JobSet's slices.
pub(super) fn labels(jobset: &JobSet) -> BTreeMap<String, String> {
    [
        (SERVICE_NAME_KEY, names::subdomain(jobset)),
        (MANAGED_BY_KEY, MANAGED_BY),
        (HEADLESS_KEY, ""),
        (constants::JOBSET_NAME_KEY, jobset.name()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// A new slice.
pub(super) fn body(jobset: &JobSet, name: &str, family: Family, endpoints: &[Endpoint]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": jobset.namespace(),
            "labels": labels(jobset),
            "ownerReferences": [jobset.owner_reference()],
        },
        "addressType": family.address_type(),
        "endpoints": values(jobset, endpoints),
        "ports": [],
    })
}

/// A merge patch that gives `slice` this content.
pub(super) fn patch(jobset: &JobSet, slice: &NameSlice, endpoints: &[Endpoint]) -> Value {
    json!({
        "metadata": {
            "uid": slice.uid,
            "resourceVersion": slice.resource_version,
            "labels": labels(jobset),
        },
        "endpoints": values(jobset, endpoints),
    })
}

fn values(jobset: &JobSet, endpoints: &[Endpoint]) -> Vec<Value> {
    let value = |endpoint: &Endpoint| endpoint.to_value(jobset.namespace());
    endpoints.iter().map(value).collect()
}
