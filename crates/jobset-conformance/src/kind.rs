//! The kinds of objects that scenarios deal with.

use kube::core::{ApiResource, GroupVersionKind};

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `jobset.x-k8s.io/v1alpha2`
    JobSet,
    /// `batch/v1`
    Job,
    /// `v1`
    Pod,
    /// `v1`
    Service,
    /// `v1` PersistentVolumeClaim
    Claim,
    /// `events.k8s.io/v1`
    Event,
    /// `discovery.k8s.io/v1` EndpointSlice
    Slice,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::JobSet,
        Self::Job,
        Self::Pod,
        Self::Service,
        Self::Claim,
        Self::Event,
        Self::Slice,
    ];

    /// Group, version, kind and plural.
    fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::JobSet => ("jobset.x-k8s.io", "v1alpha2", "JobSet", "jobsets"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Claim => ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
            Self::Event => ("events.k8s.io", "v1", "Event", "events"),
            Self::Slice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
        }
    }

    /// What a dynamic client needs to know.
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// As kubectl takes it.
    pub fn argument(self) -> String {
        let (group, _, _, plural) = self.names();
        match group {
            "" => plural.to_owned(),
            group => format!("{plural}.{group}"),
        }
    }

    /// Path of the collection in a namespace.
    pub fn path(self, namespace: &str) -> String {
        let (group, version, _, plural) = self.names();
        match group {
            "" => format!("/api/{version}/namespaces/{namespace}/{plural}"),
            group => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
        }
    }
}
