//! Values that a container may read about its own Pod: the downward API.

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::quantity::Quantity;

/// Facts about a Pod that are known on the node before the API server has them.
#[derive(Clone, Debug)]
pub(crate) struct PodFacts {
    /// The Pod's own loopback address.
    pub(crate) pod_ip: String,
    /// The node's address.
    pub(crate) host_ip: String,
    /// What the node has, for limits that are not set: milli-CPUs.
    pub(crate) node_cpus: u64,
    /// What the node has, for limits that are not set: bytes.
    pub(crate) node_memory: u64,
}

/// The value of a `fieldRef`, or a message that says why there is none.
pub(crate) fn field(pod: &Pod, facts: &PodFacts, path: &str) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let own = |value: Option<&String>| value.cloned().unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let found = match map {
            "metadata.labels" => meta.labels.as_ref().and_then(|m| m.get(key)),
            "metadata.annotations" => meta.annotations.as_ref().and_then(|m| m.get(key)),
            _ => return Err(unsupported(path)),
        };
        return Ok(own(found));
    }
    Ok(match path {
        "metadata.name" => own(meta.name.as_ref()),
        "metadata.namespace" => own(meta.namespace.as_ref()),
        "metadata.uid" => own(meta.uid.as_ref()),
        "metadata.labels" => format_map(meta.labels.iter().flatten()),
        "metadata.annotations" => format_map(meta.annotations.iter().flatten()),
        "spec.nodeName" => own(spec.and_then(|s| s.node_name.as_ref())),
        "spec.serviceAccountName" => spec
            .and_then(|s| s.service_account_name.clone())
            .unwrap_or_else(|| "default".to_owned()),
        "status.podIP" | "status.podIPs" => facts.pod_ip.clone(),
        "status.hostIP" | "status.hostIPs" => facts.host_ip.clone(),
        _ => return Err(unsupported(path)),
    })
}

fn unsupported(path: &str) -> String {
    format!("unsupported fieldPath: {path}")
}

/// Splits `metadata.labels['key']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once('[')?;
    let key = rest.strip_suffix(']')?;
    let key = key
        .strip_prefix('\'')
        .and_then(|k| k.strip_suffix('\''))
        .or_else(|| key.strip_prefix('"').and_then(|k| k.strip_suffix('"')))?;
    Some((map, key))
}

/// `key="value"` per line with the value escaped, as the kubelet writes label files.
fn format_map<'a>(map: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    map.map(|(k, v)| format!("{k}={v:?}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The value of a `resourceFieldRef` of `container`.
pub(crate) fn resource(
    container: &Container,
    facts: &PodFacts,
    resource: &str,
    divisor: Option<&ApiQuantity>,
) -> Result<String, String> {
    let divisor = match divisor.map(|d| d.0.as_str()) {
        None | Some("" | "0") => Quantity::units(1),
        Some(text) => Quantity::parse(text).ok_or_else(|| format!("invalid divisor {text:?}"))?,
    };
    let (list, name) = resource
        .split_once('.')
        .ok_or_else(|| format!("unsupported container resource: {resource}"))?;
    let resources = container.resources.as_ref();
    let limits = resources
        .and_then(|r| r.limits.as_ref())
        .and_then(|l| l.get(name));
    let requests = resources
        .and_then(|r| r.requests.as_ref())
        .and_then(|l| l.get(name));
    let set = match list {
        "limits" => limits,
        // A request that is not set defaults to the limit.
        "requests" => requests.or(limits),
        _ => return Err(format!("unsupported container resource: {resource}")),
    };
    let amount = match (set, list, name) {
        (Some(q), _, _) => {
            Quantity::parse(&q.0).ok_or_else(|| format!("invalid quantity {:?}", q.0))?
        }
        (None, "limits", "cpu") => {
            Quantity::parse(&format!("{}m", facts.node_cpus)).unwrap_or_default()
        }
        (None, "limits", "memory") => Quantity::units(facts.node_memory),
        (None, ..) => Quantity::default(),
    };
    Ok(amount.divided_by(divisor).to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn facts() -> PodFacts {
        PodFacts {
            pod_ip: "127.9.0.1".to_owned(),
            host_ip: "127.0.0.1".to_owned(),
            node_cpus: 4000,
            node_memory: 8 << 30,
        }
    }

    #[test]
    fn field_paths() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u",
                "labels": {"a/b": "1", "c": "say \"hi\""}, "annotations": {"x.y/z": "v"}},
            "spec": {"nodeName": "node-0", "containers": []}
        }))
        .unwrap();
        for (path, expected) in [
            ("metadata.name", "p"),
            ("metadata.namespace", "n"),
            ("metadata.uid", "u"),
            ("metadata.labels['a/b']", "1"),
            ("metadata.labels['absent']", ""),
            ("metadata.annotations['x.y/z']", "v"),
            ("metadata.labels", "a/b=\"1\"\nc=\"say \\\"hi\\\"\""),
            ("spec.nodeName", "node-0"),
            ("spec.serviceAccountName", "default"),
            ("status.podIP", "127.9.0.1"),
            ("status.hostIP", "127.0.0.1"),
        ] {
            assert_eq!(
                field(&pod, &facts(), path).as_deref(),
                Ok(expected),
                "{path}"
            );
        }
        assert!(field(&pod, &facts(), "spec.containers").is_err());
    }

    #[test]
    fn resources() {
        let container: Container = serde_json::from_value(json!({
            "name": "c", "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi"}}
        }))
        .unwrap();
        for (name, divisor, expected) in [
            ("limits.cpu", None, "2"),
            ("limits.cpu", Some("1m"), "1500"),
            ("requests.cpu", Some("1m"), "1500"),
            ("requests.memory", Some("1Mi"), "64"),
            ("limits.memory", Some("1Gi"), "8"),
            ("requests.ephemeral-storage", None, "0"),
        ] {
            let divisor = divisor.map(|d| ApiQuantity(d.to_owned()));
            let got = resource(&container, &facts(), name, divisor.as_ref());
            assert_eq!(got.as_deref(), Ok(expected), "{name}");
        }
    }
}
