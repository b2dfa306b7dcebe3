//! The Pod's spec.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Context, at_least, container, is_empty_list, items, one_of, required, scheduling, text,
};
use crate::validation::{
    error::FieldError,
    text::{dns1123_label, dns1123_subdomain},
};

/// The sources that a volume may have. A newer API server may know more.
const VOLUME_SOURCES: &[&str] = &[
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
];

/// Sources that must name what they refer to, and in which field.
const NAMED_SOURCES: &[(&str, &str)] = &[
    ("configMap", "name"),
    ("secret", "secretName"),
    ("persistentVolumeClaim", "claimName"),
    ("hostPath", "path"),
];

/// Checks the spec of a Pod, except its restart policy.
pub(super) fn validate(
    pod: &Value,
    path: &str,
    context: &Context<'_>,
    errors: &mut Vec<FieldError>,
) {
    let mut volumes = volumes(pod, path, errors);
    volumes.extend(&context.claims);
    if is_empty_list(&pod["containers"]) {
        let path = format!("{path}.containers");
        errors.push(FieldError::required(path, "at least one container"));
    }
    let mut names = HashSet::new();
    for (list, is_init) in [("initContainers", true), ("containers", false)] {
        for (index, container) in items(&pod[list]).enumerate() {
            let path = format!("{path}.{list}[{index}]");
            dns_label_name(container, &path, &mut names, errors);
            container::validate(container, is_init, &path, &volumes, errors);
        }
    }
    scheduling::validate(pod, path, errors);

    optional_dns_label(pod, "hostname", path, errors);
    if !context.subdomain_is_given {
        optional_dns_label(pod, "subdomain", path, errors);
    }
    let node = text(&pod["nodeName"]);
    if !node.is_empty() {
        for problem in dns1123_subdomain(node) {
            let path = format!("{path}.nodeName");
            errors.push(FieldError::invalid(path, node, problem.explain()));
        }
    }
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(&policies, pod, "dnsPolicy", path, errors);
    at_least(1, pod, "activeDeadlineSeconds", path, errors);
}

/// The name of a container or volume: a DNS label that no other one in `names` has.
fn dns_label_name<'a>(
    named: &'a Value,
    path: &str,
    names: &mut HashSet<&'a str>,
    errors: &mut Vec<FieldError>,
) {
    let name = text(&named["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
        return;
    }
    for problem in dns1123_label(name) {
        errors.push(FieldError::invalid(
            format!("{path}.name"),
            name,
            problem.explain(),
        ));
    }
    if !names.insert(name) {
        errors.push(FieldError::invalid(
            format!("{path}.name"),
            name,
            "must be unique",
        ));
    }
}

fn optional_dns_label(pod: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) {
    let name = text(&pod[key]);
    if !name.is_empty() {
        for problem in dns1123_label(name) {
            errors.push(FieldError::invalid(
                format!("{path}.{key}"),
                name,
                problem.explain(),
            ));
        }
    }
}

/// Checks the volumes and returns their names.
fn volumes<'a>(pod: &'a Value, path: &str, errors: &mut Vec<FieldError>) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for (index, volume) in items(&pod["volumes"]).enumerate() {
        let path = format!("{path}.volumes[{index}]");
        dns_label_name(volume, &path, &mut names, errors);
        // None at all means emptyDir.
        let sources: Vec<_> = VOLUME_SOURCES
            .iter()
            .copied()
            .filter(|source| !volume[source].is_null())
            .collect();
        if sources.len() > 1 {
            errors.push(FieldError::forbidden(
                path.as_str(),
                format!(
                    "a volume has one source only, but here are {}",
                    sources.join(" and ")
                ),
            ));
        }
        for (source, key) in NAMED_SOURCES {
            if !volume[source].is_null() {
                required(&volume[source], key, &format!("{path}.{source}"), errors);
            }
        }
    }
    names
}
