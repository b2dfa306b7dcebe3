//! Which lists of the built-in kinds kubectl merges by a key when it computes a patch.
//!
//! The generated schemas do not say so. Without it `kubectl apply` replaces whole lists and finds
//! a difference in every defaulted field of their elements.

use serde_json::{Value, json};

/// Definition, property, and merge key; an empty key is that of a list of plain values.
const MERGED: &[(&str, &str, &str)] = &[
    (
        "admissionregistration.v1.MutatingWebhookConfiguration",
        "webhooks",
        "name",
    ),
    (
        "admissionregistration.v1.ValidatingWebhookConfiguration",
        "webhooks",
        "name",
    ),
    (
        "admissionregistration.v1.MutatingWebhook",
        "matchConditions",
        "name",
    ),
    (
        "admissionregistration.v1.ValidatingWebhook",
        "matchConditions",
        "name",
    ),
    (
        "admissionregistration.v1.ValidatingAdmissionPolicySpec",
        "matchConditions",
        "name",
    ),
    (
        "admissionregistration.v1.ValidatingAdmissionPolicySpec",
        "variables",
        "name",
    ),
    ("core.v1.PodSpec", "containers", "name"),
    ("core.v1.PodSpec", "initContainers", "name"),
    ("core.v1.PodSpec", "ephemeralContainers", "name"),
    ("core.v1.PodSpec", "volumes", "name"),
    ("core.v1.PodSpec", "imagePullSecrets", "name"),
    ("core.v1.PodSpec", "schedulingGates", "name"),
    ("core.v1.PodSpec", "resourceClaims", "name"),
    ("core.v1.PodSpec", "hostAliases", "ip"),
    (
        "core.v1.PodSpec",
        "topologySpreadConstraints",
        "topologyKey",
    ),
    ("core.v1.Container", "env", "name"),
    ("core.v1.Container", "ports", "containerPort"),
    ("core.v1.Container", "volumeMounts", "mountPath"),
    ("core.v1.Container", "volumeDevices", "devicePath"),
    ("core.v1.ServiceSpec", "ports", "port"),
    ("core.v1.ServiceAccount", "secrets", "name"),
    ("core.v1.ServiceAccount", "imagePullSecrets", "name"),
    ("core.v1.PodStatus", "conditions", "type"),
    ("core.v1.PodStatus", "podIPs", "ip"),
    ("core.v1.NodeStatus", "conditions", "type"),
    ("core.v1.NodeStatus", "addresses", "type"),
    ("batch.v1.JobStatus", "conditions", "type"),
    ("pkg.apis.meta.v1.ObjectMeta", "ownerReferences", "uid"),
    ("pkg.apis.meta.v1.ObjectMeta", "finalizers", ""),
];

/// Marks the merged lists of a definition.
pub(super) fn mark(definition: &str, schema: &mut Value) {
    for (suffix, property, key) in MERGED {
        let named = definition
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.ends_with('.'));
        if !named {
            continue;
        }
        let found = schema.pointer_mut(&format!("/properties/{property}"));
        if let Some(list) = found.and_then(Value::as_object_mut) {
            list.insert("x-kubernetes-patch-strategy".to_owned(), json!("merge"));
            if !key.is_empty() {
                list.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn every_marked_list_exists() {
        for (suffix, property, _) in MERGED {
            let definitions = schema::definitions();
            let name = definitions
                .keys()
                .find(|name| name.ends_with(&format!(".{suffix}")));
            let name = name.unwrap_or_else(|| panic!("{suffix}"));
            let mut schema = definitions[name].clone();
            mark(name, &mut schema);
            let list = &schema["properties"][property];
            assert_eq!(
                list["x-kubernetes-patch-strategy"], "merge",
                "{suffix}.{property}"
            );
        }
    }
}
