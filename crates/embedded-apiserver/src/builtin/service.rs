//! Service and PersistentVolumeClaim.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::{Strategy, child, field, fill, int, items_mut, text};
use crate::status::Cause;

/// `core/v1 Service`.
#[derive(Default)]
pub(super) struct Service {
    allocated: AtomicU32,
}

impl Service {
    /// An address out of 10.96.0.0/12. Nothing answers there: it only has to be well-formed.
    fn allocate(&self) -> String {
        let n = self.allocated.fetch_add(1, Ordering::Relaxed) + 10;
        format!(
            "10.{}.{}.{}",
            96 + ((n >> 16) & 0xf),
            (n >> 8) & 0xff,
            n & 0xff
        )
    }
}

impl Strategy for Service {
    fn complete(&self, object: &mut Value) {
        let Some(spec) = child(object, "spec") else {
            return;
        };
        fill(spec, "type", "ClusterIP");
        fill(spec, "sessionAffinity", "None");
        if text(spec, &["type"]) != "ExternalName" {
            fill(spec, "internalTrafficPolicy", "Cluster");
            fill(spec, "ipFamilies", json!(["IPv4"]));
            fill(spec, "ipFamilyPolicy", "SingleStack");
        }
        for port in items_mut(spec, "ports") {
            fill(port, "protocol", "TCP");
            let number = port["port"].clone();
            fill(port, "targetPort", number);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"loadBalancer": {}});
        let Some(spec) = child(object, "spec") else {
            return;
        };
        if text(spec, &["type"]) == "ExternalName" {
            return;
        }
        if text(spec, &["clusterIP"]).is_empty() {
            spec["clusterIP"] = Value::String(self.allocate());
        }
        let address = spec["clusterIP"].clone();
        fill(spec, "clusterIPs", json!([address]));
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        // A client that leaves the allocated address out means "as it is".
        let Some(spec) = child(object, "spec") else {
            return;
        };
        for key in ["clusterIP", "clusterIPs"] {
            if let Some(value) = old["spec"].get(key) {
                fill(spec, key, value.clone());
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        let spec = &object["spec"];
        let kind = text(spec, &["type"]);
        if !["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"].contains(&kind) {
            errors.push(field::unsupported(
                "spec.type",
                &spec["type"],
                &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
            ));
        }
        let ports = spec["ports"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if ports.is_empty() && text(spec, &["clusterIP"]) != "None" && kind != "ExternalName" {
            errors.push(field::required("spec.ports", ""));
        }
        for (index, port) in ports.iter().enumerate() {
            if !int(port, &["port"]).is_some_and(|n| (1..=65535).contains(&n)) {
                errors.push(out_of_range(index, "port", &port["port"]));
            }
            // Unless it is given, it is the same.
            if port["targetPort"].is_number()
                && !int(port, &["targetPort"]).is_some_and(|n| (1..=65535).contains(&n))
            {
                errors.push(out_of_range(index, "targetPort", &port["targetPort"]));
            }
            if ports.len() > 1 && text(port, &["name"]).is_empty() {
                errors.push(field::required(format!("spec.ports[{index}].name"), ""));
            }
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        if object["spec"]["clusterIP"] != old["spec"]["clusterIP"]
            && old["spec"]["type"] == object["spec"]["type"]
        {
            errors.push(field::invalid(
                "spec.clusterIPs[0]",
                &object["spec"]["clusterIP"],
                "may not change once set",
            ));
        }
        errors
    }

    fn fields(&self, object: &Value) -> BTreeMap<String, String> {
        BTreeMap::from([
            (
                "spec.clusterIP".to_owned(),
                text(object, &["spec", "clusterIP"]).to_owned(),
            ),
            (
                "spec.type".to_owned(),
                text(object, &["spec", "type"]).to_owned(),
            ),
        ])
    }

    fn selectable(&self) -> &'static [&'static str] {
        &["spec.clusterIP", "spec.type"]
    }
}

fn out_of_range(index: usize, key: &str, port: &Value) -> Cause {
    field::invalid(
        format!("spec.ports[{index}].{key}"),
        port,
        "must be between 1 and 65535, inclusive",
    )
}

/// `core/v1 PersistentVolumeClaim`.
pub(super) struct Claim;

impl Strategy for Claim {
    fn complete(&self, object: &mut Value) {
        if let Some(spec) = child(object, "spec") {
            fill(spec, "volumeMode", "Filesystem");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Pending"});
    }

    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        if object["spec"]["accessModes"]
            .as_array()
            .is_none_or(Vec::is_empty)
        {
            errors.push(field::required(
                "spec.accessModes",
                "at least 1 access mode is required",
            ));
        }
        if text(object, &["spec", "resources", "requests", "storage"]).is_empty() {
            errors.push(field::required("spec.resources[storage]", ""));
        }
        errors
    }
}
