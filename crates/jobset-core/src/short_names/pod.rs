//! What is known of a Pod that has names.

use std::net::IpAddr;

use jobset_api::{JobSet, constants, names};
use k8s_openapi::api::core::v1::Pod;

use super::rules::{PodPlace, pod_place};
use super::slice::Family;

/// A Pod that names can lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Where it is in its JobSet.
    pub place: PodPlace,
    /// The label `jobset.sigs.k8s.io/jobset-uid`.
    pub jobset_uid: String,
    /// Name of the Job that controls it.
    pub job: String,
    /// `spec.subdomain`: the Service that publishes it.
    pub subdomain: String,
    /// `spec.nodeName`.
    pub node: Option<String>,
    /// Its addresses, at least one, at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Whether it is ready.
    pub serving: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
}

impl NamedPod {
    /// Takes what matters of a Pod. `None` if no name leads to it: it has no address or no subdomain,
    /// has ended, or is no JobSet's Pod.
    #[must_use]
    pub fn from_pod(pod: &Pod) -> Option<Self> {
        let (meta, spec, status) = (&pod.metadata, pod.spec.as_ref()?, pod.status.as_ref()?);
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return None;
        }
        let several = status.pod_ips.iter().flatten().map(|address| &address.ip);
        let mut addresses: Vec<IpAddr> = Vec::new();
        for text in several.chain(&status.pod_ip) {
            if let Ok(address) = text.parse::<IpAddr>()
                && !addresses
                    .iter()
                    .any(|known| Family::of(*known) == Family::of(address))
            {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return None;
        }
        let owners = meta.owner_references.iter().flatten();
        let ready = |condition: &&k8s_openapi::api::core::v1::PodCondition| {
            condition.type_ == "Ready" && condition.status == "True"
        };
        Some(Self {
            name: meta.name.clone()?,
            uid: meta.uid.clone()?,
            place: pod_place(pod)?,
            jobset_uid: meta
                .labels
                .as_ref()?
                .get(constants::JOBSET_UID_KEY)?
                .clone(),
            job: owners
                .into_iter()
                .find(|owner| owner.controller == Some(true) && owner.kind == "Job")?
                .name
                .clone(),
            subdomain: spec.subdomain.clone().filter(|name| !name.is_empty())?,
            node: spec.node_name.clone(),
            addresses,
            serving: status.conditions.iter().flatten().any(|c| ready(&c)),
            terminating: meta.deletion_timestamp.is_some(),
        })
    }

    /// Whether it is a Pod of this JobSet. Labels can be put on any Pod, but the Job that controls it
    /// is not chosen by whoever creates it alone.
    #[must_use]
    pub fn is_of(&self, jobset: &JobSet) -> bool {
        let PodPlace {
            role, job_index, ..
        } = &self.place;
        self.jobset_uid == jobset.uid()
            && self.subdomain == names::subdomain(jobset)
            && self.job == names::job_name(jobset.name(), role, job_index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::jobset;
    use serde_json::{Value, json};

    fn pod() -> Value {
        json!({
            "metadata": {
                "name": "test-jobset-w-0-1-x", "uid": "p1", "labels": {
                    constants::JOBSET_NAME_KEY: "test-jobset", constants::JOBSET_UID_KEY: "jobset-uid",
                    constants::REPLICATED_JOB_NAME_KEY: "w", constants::JOB_INDEX_KEY: "0",
                    constants::JOB_COMPLETION_INDEX_KEY: "1",
                },
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "controller": true,
                                     "name": "test-jobset-w-0", "uid": "j"}],
            },
            "spec": {"containers": [], "subdomain": "test-jobset", "nodeName": "n1"},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [
                {"type": "Ready", "status": "True"}]},
        })
    }

    fn read(pod: Value) -> Option<NamedPod> {
        NamedPod::from_pod(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_running_pod() {
        let found = read(pod()).unwrap();
        assert_eq!(found.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert!(found.serving && !found.terminating);
        assert_eq!(
            (&*found.job, found.node.as_deref()),
            ("test-jobset-w-0", Some("n1"))
        );
        assert!(found.is_of(&jobset(json!({"replicatedJobs": []}))));
    }

    #[test]
    fn one_address_of_each_family() {
        let mut two = pod();
        two["status"]["podIPs"] =
            json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}, {"ip": "10.9.9.9"}]);
        let expected: Vec<IpAddr> = ["10.0.0.1", "fd00::1"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(read(two).unwrap().addresses, expected);
    }

    #[test]
    fn readiness_and_deletion() {
        let mut other = pod();
        other["status"]["conditions"][0]["status"] = "False".into();
        other["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let found = read(other).unwrap();
        assert!(!found.serving && found.terminating);
    }

    #[test]
    fn pods_without_names() {
        for (pointer, value) in [
            ("/status/podIP", json!("")),
            ("/status/podIP", json!(null)),
            ("/status/phase", json!("Succeeded")),
            ("/status/phase", json!("Failed")),
            ("/spec/subdomain", json!("")),
            ("/metadata/labels", json!({})),
            ("/metadata/ownerReferences", json!([])),
            ("/metadata/ownerReferences/0/kind", json!("ReplicaSet")),
            ("/metadata/ownerReferences/0/controller", json!(false)),
        ] {
            let mut changed = pod();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert_eq!(read(changed), None, "{pointer}");
        }
    }

    #[test]
    fn pods_of_others() {
        for (pointer, value) in [
            ("/metadata/ownerReferences/0/name", "somebodys"),
            ("/spec/subdomain", "other"),
            ("/metadata/labels/jobset.sigs.k8s.io~1jobset-uid", "older"),
            ("/metadata/labels/jobset.sigs.k8s.io~1job-index", "3"),
        ] {
            let mut changed = pod();
            *changed.pointer_mut(pointer).unwrap() = value.into();
            let found = read(changed).unwrap();
            assert!(
                !found.is_of(&jobset(json!({"replicatedJobs": []}))),
                "{pointer}"
            );
        }
    }
}
