//! What Kubernetes' published API says of its types beyond their Rust form: how lists merge,
//! what absent fields default to, and the schemas of a few special types.
//!
//! The type library knows names, types and descriptions of all fields. The rest stands here, by
//! type, as the Go sources and the OpenAPI document of Kubernetes state it. Server-side apply
//! needs it: without a list type, `containers` or `env` would be replaced as a whole.

use serde_json::{Map, Value, json};

/// Start of the definition names of Kubernetes' own types.
pub(super) const PREFIX: &str = "io.k8s.";

/// How a list merges.
#[derive(Clone, Copy)]
enum List {
    /// As a whole.
    Atomic,
    /// As a set of scalars.
    Set,
    /// By items, told apart by these fields.
    Map(&'static [&'static str]),
}
use List::{Atomic, Set};

const BY_NAME: List = List::Map(&["name"]);

/// Lists by type and field.
const LISTS: &[(&str, &[(&str, List)])] = &[
    (
        "api.batch.v1.JobSchedulingConfiguration",
        &[("resourceClaims", BY_NAME)],
    ),
    ("api.batch.v1.PodFailurePolicy", &[("rules", Atomic)]),
    (
        "api.batch.v1.PodFailurePolicyOnExitCodesRequirement",
        &[("values", Set)],
    ),
    (
        "api.batch.v1.PodFailurePolicyRule",
        &[("onPodConditions", Atomic)],
    ),
    ("api.batch.v1.SuccessPolicy", &[("rules", Atomic)]),
    (
        "api.core.v1.Capabilities",
        &[("add", Atomic), ("drop", Atomic)],
    ),
    ("api.core.v1.CephFSVolumeSource", &[("monitors", Atomic)]),
    ("api.core.v1.ConfigMapProjection", &[("items", Atomic)]),
    ("api.core.v1.ConfigMapVolumeSource", &[("items", Atomic)]),
    ("api.core.v1.Container", CONTAINER),
    (
        "api.core.v1.ContainerRestartRuleOnExitCodes",
        &[("values", Set)],
    ),
    ("api.core.v1.DownwardAPIProjection", &[("items", Atomic)]),
    ("api.core.v1.DownwardAPIVolumeSource", &[("items", Atomic)]),
    ("api.core.v1.EphemeralContainer", CONTAINER),
    ("api.core.v1.ExecAction", &[("command", Atomic)]),
    (
        "api.core.v1.FCVolumeSource",
        &[("targetWWNs", Atomic), ("wwids", Atomic)],
    ),
    ("api.core.v1.HTTPGetAction", &[("httpHeaders", Atomic)]),
    ("api.core.v1.HostAlias", &[("hostnames", Atomic)]),
    ("api.core.v1.ISCSIVolumeSource", &[("portals", Atomic)]),
    (
        "api.core.v1.NodeAffinity",
        &[("preferredDuringSchedulingIgnoredDuringExecution", Atomic)],
    ),
    ("api.core.v1.NodeSelector", &[("nodeSelectorTerms", Atomic)]),
    ("api.core.v1.NodeSelectorRequirement", &[("values", Atomic)]),
    (
        "api.core.v1.NodeSelectorTerm",
        &[("matchExpressions", Atomic), ("matchFields", Atomic)],
    ),
    (
        "api.core.v1.PersistentVolumeClaimSpec",
        &[("accessModes", Atomic)],
    ),
    (
        "api.core.v1.PersistentVolumeClaimStatus",
        &[
            ("accessModes", Atomic),
            ("conditions", List::Map(&["type"])),
        ],
    ),
    ("api.core.v1.PodAffinity", AFFINITY),
    ("api.core.v1.PodAntiAffinity", AFFINITY),
    (
        "api.core.v1.PodAffinityTerm",
        &[
            ("matchLabelKeys", Atomic),
            ("mismatchLabelKeys", Atomic),
            ("namespaces", Atomic),
        ],
    ),
    (
        "api.core.v1.PodDNSConfig",
        &[
            ("nameservers", Atomic),
            ("options", Atomic),
            ("searches", Atomic),
        ],
    ),
    (
        "api.core.v1.PodSecurityContext",
        &[("supplementalGroups", Atomic), ("sysctls", Atomic)],
    ),
    (
        "api.core.v1.PodSpec",
        &[
            ("containers", BY_NAME),
            ("ephemeralContainers", BY_NAME),
            ("evictionResponders", BY_NAME),
            ("hostAliases", List::Map(&["ip"])),
            ("imagePullSecrets", BY_NAME),
            ("initContainers", BY_NAME),
            ("readinessGates", Atomic),
            ("resourceClaims", BY_NAME),
            ("schedulingGates", BY_NAME),
            ("tolerations", Atomic),
            (
                "topologySpreadConstraints",
                List::Map(&["topologyKey", "whenUnsatisfiable"]),
            ),
            ("volumes", BY_NAME),
        ],
    ),
    ("api.core.v1.ProjectedVolumeSource", &[("sources", Atomic)]),
    ("api.core.v1.RBDVolumeSource", &[("monitors", Atomic)]),
    ("api.core.v1.ResourceRequirements", &[("claims", BY_NAME)]),
    ("api.core.v1.SecretProjection", &[("items", Atomic)]),
    ("api.core.v1.SecretVolumeSource", &[("items", Atomic)]),
    (
        "api.core.v1.TopologySpreadConstraint",
        &[("matchLabelKeys", Atomic)],
    ),
    (
        "api.core.v1.VolumeHealthStatus",
        &[("healthConditions", List::Map(&["status"]))],
    ),
    ("api.core.v1.VolumeMount", &[("bindMountOptions", Set)]),
    (
        "api.scheduling.v1alpha3.WorkloadPodGroupSchedulingConstraints",
        &[("topology", Atomic)],
    ),
    (
        "apimachinery.pkg.apis.meta.v1.LabelSelector",
        &[("matchExpressions", Atomic)],
    ),
    (
        "apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement",
        &[("values", Atomic)],
    ),
];

const CONTAINER: &[(&str, List)] = &[
    ("args", Atomic),
    ("command", Atomic),
    ("env", BY_NAME),
    ("envFrom", Atomic),
    ("ports", List::Map(&["containerPort", "protocol"])),
    ("resizePolicy", Atomic),
    ("restartPolicyRules", Atomic),
    ("volumeDevices", List::Map(&["devicePath"])),
    ("volumeMounts", List::Map(&["mountPath"])),
];

const AFFINITY: &[(&str, List)] = &[
    ("preferredDuringSchedulingIgnoredDuringExecution", Atomic),
    ("requiredDuringSchedulingIgnoredDuringExecution", Atomic),
];

/// Objects that merge as a whole.
const ATOMIC_TYPES: &[&str] = &[
    "api.core.v1.ConfigMapEnvSource",
    "api.core.v1.ConfigMapKeySelector",
    "api.core.v1.ConfigMapProjection",
    "api.core.v1.ConfigMapVolumeSource",
    "api.core.v1.FileKeySelector",
    "api.core.v1.LocalObjectReference",
    "api.core.v1.NodeSelector",
    "api.core.v1.NodeSelectorTerm",
    "api.core.v1.ObjectFieldSelector",
    "api.core.v1.ResourceFieldSelector",
    "api.core.v1.SecretEnvSource",
    "api.core.v1.SecretKeySelector",
    "api.core.v1.SecretProjection",
    "api.core.v1.TypedLocalObjectReference",
    "apimachinery.pkg.apis.meta.v1.LabelSelector",
];

/// Maps by type and field, and how they merge.
const MAPS: &[(&str, &str, &str)] = &[
    (
        "api.core.v1.PersistentVolumeClaimStatus",
        "allocatedResourceStatuses",
        "granular",
    ),
    ("api.core.v1.PodSpec", "nodeSelector", "atomic"),
];

/// References to an object by its name, where the name may be left out for historical reasons.
const NAME_MAY_BE_ABSENT: &[&str] = &[
    "api.core.v1.ConfigMapEnvSource",
    "api.core.v1.ConfigMapKeySelector",
    "api.core.v1.ConfigMapProjection",
    "api.core.v1.ConfigMapVolumeSource",
    "api.core.v1.LocalObjectReference",
    "api.core.v1.SecretEnvSource",
    "api.core.v1.SecretKeySelector",
    "api.core.v1.SecretProjection",
];

/// Defaults by type and field.
fn default(kind: &str, field: &str) -> Option<Value> {
    Some(match (kind, field) {
        ("api.core.v1.AzureDiskVolumeSource", "fsType") => json!("ext4"),
        ("api.core.v1.AzureDiskVolumeSource", "readOnly") => json!(false),
        ("api.core.v1.ContainerPort", "protocol") => json!("TCP"),
        ("api.core.v1.FileKeySelector", "optional") => json!(false),
        ("api.core.v1.GRPCAction", "service") => json!(""),
        ("api.core.v1.ISCSIVolumeSource", "iscsiInterface") => json!("default"),
        ("api.core.v1.RBDVolumeSource", "keyring") => json!("/etc/ceph/keyring"),
        ("api.core.v1.RBDVolumeSource", "pool") => json!("rbd"),
        ("api.core.v1.RBDVolumeSource", "user") => json!("admin"),
        ("api.core.v1.ScaleIOVolumeSource", "fsType") => json!("xfs"),
        ("api.core.v1.ScaleIOVolumeSource", "storageMode") => json!("ThinProvisioned"),
        (kind, "name") if NAME_MAY_BE_ABSENT.contains(&kind) => json!(""),
        _ => return None,
    })
}

/// Further constraints by type and field.
fn constraints(kind: &str, field: &str) -> Option<Value> {
    if kind != "apimachinery.pkg.apis.meta.v1.Condition" {
        return None;
    }
    Some(match field {
        "message" => json!({ "maxLength": 32768 }),
        "observedGeneration" => json!({ "minimum": 0 }),
        "reason" => json!({
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        }),
        "status" => json!({ "enum": ["True", "False", "Unknown"] }),
        "type" => json!({
            "maxLength": 316,
            "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?\
                        (([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        }),
        _ => return None,
    })
}

/// The schema of a type whose generated one does not serve.
pub(super) fn replacement(definition: &str) -> Option<Value> {
    Some(match definition.strip_prefix(PREFIX)? {
        "apimachinery.pkg.apis.meta.v1.ObjectMeta" => embedded_metadata(),
        "apimachinery.pkg.api.resource.Quantity" => json!({
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "pattern": "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|\
                        ([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$",
            "x-kubernetes-int-or-string": true,
        }),
        "apimachinery.pkg.util.intstr.IntOrString" => json!({
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "x-kubernetes-int-or-string": true,
        }),
        _ => return None,
    })
}

/// Metadata of a template: what a template can give to the objects made from it.
fn embedded_metadata() -> Value {
    let texts = |description: &str| {
        json!({
            "description": description,
            "type": "object",
            "additionalProperties": { "type": "string" },
        })
    };
    json!({
        "type": "object",
        "properties": {
            "annotations": texts("Annotations of the object."),
            "finalizers": {
                "description": "Finalizers of the object.",
                "type": "array",
                "items": { "type": "string" },
            },
            "labels": texts("Labels of the object."),
            "name": { "description": "Name of the object.", "type": "string" },
            "namespace": { "description": "Namespace of the object.", "type": "string" },
        },
    })
}

/// Completes the generated schema of a Kubernetes type, named without [`PREFIX`].
pub(super) fn complete(kind: &str, schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    if ATOMIC_TYPES.contains(&kind) {
        schema.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
    }
    if NAME_MAY_BE_ABSENT.contains(&kind) {
        not_required(schema, "name");
    }
    if kind == "api.core.v1.PersistentVolumeClaim" {
        // The claim's type demands metadata; a template's does not.
        not_required(schema, "metadata");
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (field, property) in properties.into_iter().flatten() {
        if let Some(property) = property.as_object_mut() {
            complete_field(kind, field, property);
        }
    }
}

fn complete_field(kind: &str, field: &str, property: &mut Map<String, Value>) {
    let lists = LISTS
        .iter()
        .filter(|(name, _)| *name == kind)
        .flat_map(|(_, fields)| *fields);
    for (_, list) in lists.filter(|(name, _)| *name == field) {
        let list_type = match list {
            Atomic => "atomic",
            Set => "set",
            List::Map(keys) => {
                property.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
                "map"
            }
        };
        property.insert("x-kubernetes-list-type".to_owned(), list_type.into());
    }
    for (_, _, map_type) in MAPS.iter().filter(|(k, f, _)| *k == kind && *f == field) {
        property.insert("x-kubernetes-map-type".to_owned(), (*map_type).into());
    }
    if let Some(default) = default(kind, field) {
        property.insert("default".to_owned(), default);
    }
    if let Some(Value::Object(constraints)) = constraints(kind, field) {
        property.extend(constraints);
    }
}

fn not_required(schema: &mut Map<String, Value>, field: &str) {
    let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) else {
        return;
    };
    required.retain(|name| name != field);
    if required.is_empty() {
        schema.remove("required");
    }
}
