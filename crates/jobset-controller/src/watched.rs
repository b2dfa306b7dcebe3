//! Objects as the watches decode them: only what is kept.
//!
//! A Job as the API server sends it takes about 61 kB once decoded whole and 6 kB as the
//! [`ChildJob`] that planning needs, so Jobs, Services and claims are decoded straight into slim
//! types; what is not named here is skipped without being allocated. JobSets are decoded whole but
//! for `managedFields`. One JobSet that cannot be decoded must not blind the controller for all
//! others, so its decoding error is a value, not an error of the list it came in.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::slim::slim_resources;
use jobset_api::{JobSet, constants, defaulting};
use jobset_core::{ChildJob, ChildPod};
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The JobSet that controls an object, by its owner reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Decides to which JobSet the object belongs.
    pub(crate) uid: String,
    /// Decides which JobSet is woken: a new JobSet must learn that a child of its predecessor has
    /// made way.
    pub(crate) name: String,
}

impl Owner {
    pub(crate) fn of(references: &[OwnerReference]) -> Option<Self> {
        let controller = references
            .iter()
            .find(|owner| owner.controller == Some(true))?;
        let group = controller
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        let ours = group == constants::GROUP && controller.kind == constants::KIND;
        ours.then(|| Self {
            uid: controller.uid.clone(),
            name: controller.name.clone(),
        })
    }
}

/// A Job and the JobSet that controls it.
#[derive(Debug, Clone)]
pub(crate) struct WatchedJob {
    meta: ObjectMeta,
    /// `None` for Jobs that are no JobSet's business.
    pub(crate) owner: Option<Owner>,
    /// Who controls the Job, for messages: "kind/name".
    pub(crate) controller: Option<String>,
    /// The slim view. Shared: snapshots hold it while they are planned.
    pub(crate) job: Arc<ChildJob>,
}

/// Existence of an object of kind `K`, and the JobSet that controls it.
#[derive(Debug, Clone)]
pub(crate) struct WatchedName<K> {
    meta: ObjectMeta,
    /// `None` for objects that are no JobSet's business.
    pub(crate) owner: Option<Owner>,
    kind: PhantomData<fn() -> K>,
}

/// A Pod and the JobSet that its label names. Whether it really belongs there is for the planner to
/// find out.
#[derive(Debug, Clone)]
pub(crate) struct WatchedPod {
    meta: ObjectMeta,
    /// Value of the label `jobset.sigs.k8s.io/jobset-name`.
    pub(crate) jobset: Option<String>,
    /// The slim view. Shared: snapshots hold it while they are planned.
    pub(crate) pod: Arc<ChildPod>,
}

/// A JobSet, or why it cannot be understood.
#[derive(Debug, Clone)]
pub(crate) struct WatchedJobSet {
    meta: ObjectMeta,
    /// The JobSet, or the decoding error.
    pub(crate) decoded: Result<Arc<JobSet>, String>,
}

/// Name, namespace, uid and resourceVersion of an object.
pub(crate) trait Identity {
    /// The metadata that was kept.
    fn identity(&self) -> &ObjectMeta;

    fn name(&self) -> &str {
        self.identity().name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.identity().namespace.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.identity().uid.as_deref().unwrap_or_default()
    }

    fn revision(&self) -> Revision {
        Revision::parse(
            self.identity()
                .resource_version
                .as_deref()
                .unwrap_or_default(),
        )
    }
}

/// A resourceVersion as the growing number that it is. One that is no number counts as zero: what
/// it stamps is taken as news, as a client without own writes would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Revision(u64);

impl Revision {
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.parse().unwrap_or(0))
    }

    /// Whether something stamped `self` is older than something stamped `other`.
    pub(crate) fn is_older_than(self, other: Self) -> bool {
        self.0 != 0 && self < other
    }

    /// Whether a watch that has reached `self` has reported everything up to `other`.
    pub(crate) fn covers(self, other: Self) -> bool {
        other.0 != 0 && self >= other
    }

    /// Whether both are the same known state.
    pub(crate) fn is_same_as(self, other: Self) -> bool {
        self.0 != 0 && self == other
    }
}

macro_rules! identity {
    ($([$($generic:ident)?] $type:ty),+) => {$(
        impl$(<$generic>)? Identity for $type {
            fn identity(&self) -> &ObjectMeta {
                &self.meta
            }
        }
    )+};
}
identity!([] WatchedJob, [] WatchedPod, [K] WatchedName<K>, [] WatchedJobSet);

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawMeta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

impl RawMeta {
    fn references(&self) -> &[OwnerReference] {
        self.owner_references.as_deref().unwrap_or_default()
    }

    fn identity(&self) -> ObjectMeta {
        ObjectMeta {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
            ..ObjectMeta::default()
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawJob {
    metadata: RawMeta,
    spec: RawJobSpec,
    status: Option<JobStatus>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawJobSpec {
    suspend: Option<bool>,
    parallelism: Option<i32>,
    completions: Option<i32>,
    template: RawTemplate,
}

/// The little that is kept of the largest part of a Job.
#[derive(Deserialize, Default)]
#[serde(default)]
struct RawTemplate {
    spec: Option<RawPodSpec>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawPodSpec {
    node_selector: Option<BTreeMap<String, String>>,
}

impl<'de> Deserialize<'de> for WatchedJob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawJob::deserialize(deserializer)?;
        let meta = raw.metadata.identity();
        let references = raw.metadata.references();
        let owner = Owner::of(references);
        let controller = references
            .iter()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| format!("{} {}", owner.kind, owner.name));
        let job = Job {
            metadata: ObjectMeta {
                deletion_timestamp: raw.metadata.deletion_timestamp,
                labels: raw.metadata.labels,
                ..meta.clone()
            },
            spec: Some(JobSpec {
                suspend: raw.spec.suspend,
                parallelism: raw.spec.parallelism,
                completions: raw.spec.completions,
                template: PodTemplateSpec {
                    spec: raw.spec.template.spec.map(|spec| PodSpec {
                        node_selector: spec.node_selector,
                        ..PodSpec::default()
                    }),
                    ..PodTemplateSpec::default()
                },
                ..JobSpec::default()
            }),
            status: raw.status,
        };
        Ok(Self {
            meta,
            owner,
            controller,
            job: Arc::new(ChildJob::from_job(&job)),
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawBoundPodSpec {
    node_name: Option<String>,
}

impl<'de> Deserialize<'de> for WatchedPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Raw {
            metadata: ObjectMeta,
            spec: RawBoundPodSpec,
            status: Option<PodStatus>,
        }
        let raw = Raw::deserialize(deserializer)?;
        let labels = raw.metadata.labels.as_ref();
        let jobset = labels
            .and_then(|labels| labels.get(constants::JOBSET_NAME_KEY))
            .cloned();
        let meta = ObjectMeta {
            name: raw.metadata.name.clone(),
            namespace: raw.metadata.namespace.clone(),
            uid: raw.metadata.uid.clone(),
            resource_version: raw.metadata.resource_version.clone(),
            ..ObjectMeta::default()
        };
        let pod = Pod {
            metadata: raw.metadata,
            spec: Some(PodSpec {
                node_name: raw.spec.node_name,
                ..PodSpec::default()
            }),
            status: raw.status,
        };
        Ok(Self {
            meta,
            jobset,
            pod: Arc::new(ChildPod::from_pod(&pod)),
        })
    }
}

impl<'de, K> Deserialize<'de> for WatchedName<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Raw {
            metadata: RawMeta,
        }
        let raw = Raw::deserialize(deserializer)?;
        let owner = Owner::of(raw.metadata.references());
        Ok(Self {
            meta: raw.metadata.identity(),
            owner,
            kind: PhantomData,
        })
    }
}

impl<'de> Deserialize<'de> for WatchedJobSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let raw = value.get("metadata").map(RawMeta::deserialize).transpose();
        let meta = raw.ok().flatten().unwrap_or_default().identity();
        // What was stored without defaults means the same as with them. Only the copy kept here
        // has them: the spec is never written.
        let decoded = serde_json::from_value(value)
            .map(|mut jobset| {
                defaulting::default_jobset(&mut jobset);
                Arc::new(jobset)
            })
            .map_err(|error| error.to_string());
        Ok(Self { meta, decoded })
    }
}

/// Namespaced built-in kinds.
pub(crate) trait BuiltIn: Resource<DynamicType = ()> {}
impl BuiltIn for k8s_openapi::api::core::v1::Service {}
impl BuiltIn for k8s_openapi::api::core::v1::PersistentVolumeClaim {}

slim_resources!(
    [] WatchedJob as Job, NamespaceResourceScope;
    [] WatchedPod as Pod, NamespaceResourceScope;
    [] WatchedJobSet as JobSet, NamespaceResourceScope;
    [K: BuiltIn] WatchedName<K> as K, NamespaceResourceScope;
);

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    fn owner(api_version: &str, kind: &str, controller: bool) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "name": "js", "uid": "u1",
               "controller": controller})
    }

    #[test]
    fn only_a_controlling_jobset_is_an_owner() {
        for (reference, expected) in [
            (owner("jobset.x-k8s.io/v1alpha2", "JobSet", true), true),
            (owner("jobset.x-k8s.io/v1beta1", "JobSet", true), true),
            (owner("jobset.x-k8s.io/v1alpha2", "JobSet", false), false),
            (owner("example.com/v1", "JobSet", true), false),
            (owner("v1", "JobSet", true), false),
            (owner("jobset.x-k8s.io/v1alpha2", "Other", true), false),
        ] {
            let service: WatchedName<Service> = serde_json::from_value(
                json!({"metadata": {"name": "s", "ownerReferences": [reference]}}),
            )
            .unwrap();
            assert_eq!(service.owner.is_some(), expected, "{reference}");
        }
    }

    #[test]
    fn a_job_keeps_what_planning_needs() {
        let job: WatchedJob = serde_json::from_value(json!({
            "metadata": {
                "name": "js-w-0", "namespace": "ns", "uid": "j1", "resourceVersion": "12",
                "managedFields": [{"manager": "x"}],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "labels": {constants::REPLICATED_JOB_NAME_KEY: "w", "other": "x"},
                "ownerReferences": [owner("jobset.x-k8s.io/v1alpha2", "JobSet", true)],
            },
            "spec": {"suspend": true, "parallelism": 2, "template": {"spec": {"containers": []}}},
            "status": {"active": 1, "ready": 1, "conditions": [
                {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"},
            ]},
        }))
        .unwrap();
        assert_eq!(
            job.owner,
            Some(Owner {
                uid: "u1".into(),
                name: "js".into()
            })
        );
        assert_eq!(job.revision(), Revision(12));
        assert_eq!(job.job.uid, "j1");
        assert_eq!(job.job.replicated_job.as_deref(), Some("w"));
        assert!(job.job.deleting && job.job.suspend);
        assert_eq!(
            (job.job.active, job.job.ready, job.job.parallelism),
            (1, 1, Some(2))
        );
        assert_eq!(
            job.job.outcome.as_ref().unwrap().reason,
            "BackoffLimitExceeded"
        );
    }

    #[test]
    fn an_undecodable_jobset_is_a_value() {
        let good: WatchedJobSet = serde_json::from_value(json!({
            "metadata": {"name": "a", "managedFields": [{"manager": "x"}]},
            "spec": {"replicatedJobs": []},
        }))
        .unwrap();
        assert!(good.decoded.unwrap().metadata.managed_fields.is_none());
        let bad: WatchedJobSet = serde_json::from_value(json!({
            "metadata": {"name": "b", "namespace": "ns", "resourceVersion": "7"},
            "spec": {"replicatedJobs": 3},
        }))
        .unwrap();
        assert_eq!(
            (bad.name(), bad.namespace(), bad.revision()),
            ("b", "ns", Revision(7))
        );
        assert!(bad.decoded.is_err());
    }

    #[test]
    fn revisions_compare_as_numbers() {
        assert!(Revision::parse("9").is_older_than(Revision::parse("10")));
        assert!(!Revision::parse("10").is_older_than(Revision::parse("10")));
        assert!(Revision::parse("10").is_same_as(Revision::parse("10")));
        assert!(!Revision::parse("x").is_older_than(Revision::parse("10")));
        assert!(!Revision::parse("x").is_same_as(Revision::parse("y")));
        assert!(Revision::parse("10").covers(Revision::parse("10")));
        assert!(!Revision::parse("9").covers(Revision::parse("10")));
        assert!(!Revision::parse("9").covers(Revision::parse("x")));
    }
}
