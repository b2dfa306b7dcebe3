//! The kinds of objects a manifest may hold, and where the API serves them.

/// One kind.
#[derive(Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "kind is the name of the manifest's field"
)]
pub(crate) struct Kind {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) namespaced: bool,
}

const fn namespaced(api_version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        api_version,
        kind,
        plural,
        namespaced: true,
    }
}

/// In the order in which they are created: what others refer to comes first.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        api_version: "v1",
        kind: "Namespace",
        plural: "namespaces",
        namespaced: false,
    },
    namespaced("v1", "ServiceAccount", "serviceaccounts"),
    namespaced("v1", "ConfigMap", "configmaps"),
    namespaced("v1", "Secret", "secrets"),
    namespaced("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    namespaced("v1", "Service", "services"),
    namespaced("v1", "Pod", "pods"),
    namespaced("batch/v1", "Job", "jobs"),
    namespaced(JOBSET.0, JOBSET.1, "jobsets"),
];

/// API version and kind of a JobSet.
pub(crate) const JOBSET: (&str, &str) = ("jobset.x-k8s.io/v1alpha2", "JobSet");

impl Kind {
    /// The kind that a manifest names.
    pub(crate) fn find(api_version: &str, kind: &str) -> Option<&'static Self> {
        KINDS
            .iter()
            .find(|known| known.api_version == api_version && known.kind == kind)
    }

    /// Where its objects are created.
    pub(crate) fn collection(&self, namespace: &str) -> String {
        let root = if self.api_version.contains('/') {
            format!("/apis/{}", self.api_version)
        } else {
            format!("/api/{}", self.api_version)
        };
        if self.namespaced {
            format!("{root}/namespaces/{namespace}/{}", self.plural)
        } else {
            format!("{root}/{}", self.plural)
        }
    }

    /// Place in the order of creation.
    pub(crate) fn rank(&self) -> usize {
        KINDS
            .iter()
            .position(|kind| kind == self)
            .unwrap_or(usize::MAX)
    }
}

/// The kinds for an error message.
pub(crate) fn listed() -> String {
    let names: Vec<String> = KINDS
        .iter()
        .rev()
        .map(|kind| format!("{} ({})", kind.kind, kind.api_version))
        .collect();
    names.join(", ")
}
