//! The `JobSet` object itself, as Kubernetes clients see it.

use std::borrow::Cow;

use k8s_openapi::{
    NamespaceResourceScope,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::core::{
    ApiResource, Resource,
    crd::CustomResourceExt,
    object::{HasSpec, HasStatus},
};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use crate::{
    constants::{
        API_VERSION, CRD_NAME, GROUP, KIND, MANAGED_BY_JOBSET_CONTROLLER, PLURAL, VERSION,
    },
    types::{JobSetSpec, JobSetStatus, ReplicatedJob, null_is_default},
};

/// A set of replicated Jobs that live, fail and restart together.
///
/// It implements [`kube::Resource`], so `Api<JobSet>` works. Written out by hand rather than
/// derived because `spec` may be absent on the wire, which the derived type would refuse.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct JobSet {
    /// Standard object metadata.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: ObjectMeta,
    /// What the set shall do.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: JobSetSpec,
    /// What the set has done so far. Written by the controller only.
    #[serde(default)]
    pub status: Option<JobSetStatus>,
}

impl JobSet {
    /// A JobSet of this name, without namespace and status.
    pub fn new(name: &str, spec: JobSetSpec) -> Self {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        Self {
            metadata,
            spec,
            status: None,
        }
    }

    /// `metadata.name`, or `""`.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// `metadata.namespace`, or `""`.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// `metadata.uid`, or `""`.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether the spec asks for suspension; false when absent.
    pub fn is_suspended(&self) -> bool {
        self.spec.suspend.unwrap_or_default()
    }

    /// Whether the built-in controller is responsible: `managedBy` is absent or names it.
    pub fn is_managed_here(&self) -> bool {
        self.spec
            .managed_by
            .as_deref()
            .is_none_or(|name| name == MANAGED_BY_JOBSET_CONTROLLER)
    }

    /// The replicated job of this name.
    pub fn replicated_job(&self, name: &str) -> Option<&ReplicatedJob> {
        self.spec
            .replicated_jobs
            .iter()
            .find(|job| job.name == name)
    }

    /// The owner reference that every child carries: controller, blocking the deletion of its
    /// owner.
    pub fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            name: self.name().to_owned(),
            uid: self.uid().to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

impl Resource for JobSet {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn api_version((): &()) -> Cow<'_, str> {
        API_VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl CustomResourceExt for JobSet {
    fn crd() -> CustomResourceDefinition {
        crate::crd::crd()
    }

    fn crd_name() -> &'static str {
        CRD_NAME
    }

    fn api_resource() -> ApiResource {
        ApiResource::erase::<Self>(&())
    }

    fn shortnames() -> &'static [&'static str] {
        &[]
    }
}

impl HasSpec for JobSet {
    type Spec = JobSetSpec;

    fn spec(&self) -> &JobSetSpec {
        &self.spec
    }

    fn spec_mut(&mut self) -> &mut JobSetSpec {
        &mut self.spec
    }
}

impl HasStatus for JobSet {
    type Status = JobSetStatus;

    fn status(&self) -> Option<&JobSetStatus> {
        self.status.as_ref()
    }

    fn status_mut(&mut self) -> &mut Option<JobSetStatus> {
        &mut self.status
    }
}

impl Serialize for JobSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("apiVersion", API_VERSION)?;
        map.serialize_entry("kind", KIND)?;
        map.serialize_entry("metadata", &self.metadata)?;
        map.serialize_entry("spec", &self.spec)?;
        if let Some(status) = &self.status {
            map.serialize_entry("status", status)?;
        }
        map.end()
    }
}
