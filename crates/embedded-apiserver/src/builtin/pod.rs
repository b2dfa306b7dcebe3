//! core/v1 Pod: defaults, rules, graceful deletion, quality of service.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    Strategy, child, dns_label, dns_subdomain, field, fill, int, items_mut, show_unset_times, text,
};
use crate::status::Cause;

/// `core/v1 Pod`.
pub(super) struct Pod;

/// Most restart rules of a container.
const MAX_RESTART_RULES: usize = 20;
/// Most exit codes of a rule.
const MAX_EXIT_CODES: usize = 255;

/// Fills in a Pod spec, also one inside a template.
pub(super) fn default_spec(spec: &mut Value) {
    fill(spec, "restartPolicy", "Always");
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "schedulerName", "default-scheduler");
    fill(spec, "securityContext", json!({}));
    for list in ["initContainers", "containers"] {
        for container in items_mut(spec, list) {
            default_container(container);
        }
    }
    for volume in items_mut(spec, "volumes") {
        default_volume(volume);
    }
    let name = spec["serviceAccountName"].clone();
    if name.is_string() {
        fill(spec, "serviceAccount", name);
    }
}

fn default_container(container: &mut Value) {
    if !container.is_object() {
        return;
    }
    let image = text(container, &["image"]).to_owned();
    let last = image.rsplit('/').next().unwrap_or_default();
    let moving = !image.contains('@') && (!last.contains(':') || last.ends_with(":latest"));
    fill(
        container,
        "imagePullPolicy",
        if moving { "Always" } else { "IfNotPresent" },
    );
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    fill(container, "resources", json!({}));
    for port in items_mut(container, "ports") {
        fill(port, "protocol", "TCP");
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).filter(|p| p.is_object()) else {
            continue;
        };
        fill(probe, "timeoutSeconds", 1);
        fill(probe, "periodSeconds", 10);
        fill(probe, "successThreshold", 1);
        fill(probe, "failureThreshold", 3);
        if let Some(http) = probe.get_mut("httpGet").filter(|h| h.is_object()) {
            fill(http, "path", "/");
            fill(http, "scheme", "HTTP");
        }
    }
    for variable in items_mut(container, "env") {
        if let Some(field) = variable
            .pointer_mut("/valueFrom/fieldRef")
            .filter(|f| f.is_object())
        {
            fill(field, "apiVersion", "v1");
        }
    }
}

/// A limit without a request requests as much. In Pods only: a template stays as it was written.
fn default_requests(container: &mut Value) {
    if !container.is_object() {
        return;
    }
    let limits = container["resources"]["limits"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    if !limits.is_empty()
        && let Some(requests) =
            child(container, "resources").and_then(|resources| child(resources, "requests"))
    {
        for (name, amount) in limits {
            fill(requests, &name, amount);
        }
    }
}

fn default_volume(volume: &mut Value) {
    for key in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(key).filter(|s| s.is_object()) {
            fill(source, "defaultMode", 420);
        }
    }
    if let Some(source) = volume.get_mut("hostPath").filter(|s| s.is_object()) {
        fill(source, "type", "");
    }
    let sources = [
        "emptyDir",
        "configMap",
        "secret",
        "downwardAPI",
        "projected",
        "hostPath",
    ];
    if volume
        .as_object()
        .is_some_and(|map| map.len() == 1 && map.contains_key("name"))
        && !sources.iter().any(|key| volume.get(*key).is_some())
    {
        volume["emptyDir"] = json!({});
    }
}

/// Checks a Pod spec, also one inside a template.
pub(super) fn validate_spec(spec: &Value, path: &str, errors: &mut Vec<Cause>) {
    let policies = ["Always", "OnFailure", "Never"];
    if !policies.contains(&text(spec, &["restartPolicy"])) {
        errors.push(field::unsupported(
            format!("{path}.restartPolicy"),
            &spec["restartPolicy"],
            &policies,
        ));
    }
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        errors.push(field::required(format!("{path}.containers"), ""));
    }
    let mut volumes = BTreeSet::new();
    for (index, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{path}.volumes[{index}].name");
        check_name(&volume["name"], &at, errors);
        if !volumes.insert(text(volume, &["name"])) {
            errors.push(field::duplicate(at, &volume["name"]));
        }
    }
    let mut names = BTreeSet::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let at = format!("{path}.{list}[{index}]");
            check_name(&container["name"], &format!("{at}.name"), errors);
            let name = text(container, &["name"]);
            if !name.is_empty() && !names.insert(name) {
                errors.push(field::duplicate(format!("{at}.name"), &container["name"]));
            }
            if text(container, &["image"]).is_empty() {
                errors.push(field::required(format!("{at}.image"), ""));
            }
            validate_container(container, &at, &volumes, errors);
        }
    }
    for (key, check) in [
        ("hostname", dns_label as fn(&str) -> Option<&'static str>),
        ("subdomain", dns_label),
    ] {
        if let Some(value) = spec[key].as_str().filter(|v| !v.is_empty())
            && let Some(why) = check(value)
        {
            errors.push(field::invalid(
                format!("{path}.{key}"),
                format!("{value:?}"),
                why,
            ));
        }
    }
    if let Some(node) = spec["nodeName"].as_str().filter(|v| !v.is_empty())
        && let Some(why) = dns_subdomain(node)
    {
        errors.push(field::invalid(
            format!("{path}.nodeName"),
            format!("{node:?}"),
            why,
        ));
    }
    for key in ["terminationGracePeriodSeconds", "activeDeadlineSeconds"] {
        if int(spec, &[key]).is_some_and(|n| n < 0) {
            errors.push(field::invalid(
                format!("{path}.{key}"),
                &spec[key],
                "must be greater than or equal to 0",
            ));
        }
    }
}

fn check_name(name: &Value, path: &str, errors: &mut Vec<Cause>) {
    let text = name.as_str().unwrap_or_default();
    if text.is_empty() {
        errors.push(field::required(path, ""));
    } else if let Some(why) = dns_label(text) {
        errors.push(field::invalid(path, format!("{text:?}"), why));
    }
}

fn validate_container(
    container: &Value,
    path: &str,
    volumes: &BTreeSet<&str>,
    errors: &mut Vec<Cause>,
) {
    validate_restarts(container, path, errors);
    for (index, variable) in container["env"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let at = format!("{path}.env[{index}]");
        if text(variable, &["name"]).is_empty() {
            errors.push(field::required(format!("{at}.name"), ""));
        }
        if !variable["value"].as_str().unwrap_or_default().is_empty()
            && !variable["valueFrom"].is_null()
        {
            errors.push(field::invalid(
                format!("{at}.valueFrom"),
                "\"\"",
                "may not be specified when `value` is not empty",
            ));
        }
    }
    let mut mounts = BTreeSet::new();
    for (index, mount) in container["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let at = format!("{path}.volumeMounts[{index}]");
        let name = text(mount, &["name"]);
        if !volumes.contains(name) {
            errors.push(Cause {
                reason: "FieldValueNotFound".to_owned(),
                field: format!("{at}.name"),
                message: format!("Not found: {name:?}"),
            });
        }
        let target = text(mount, &["mountPath"]);
        if target.is_empty() {
            errors.push(field::required(format!("{at}.mountPath"), ""));
        } else if !mounts.insert(target) {
            errors.push(field::invalid(
                format!("{at}.mountPath"),
                &mount["mountPath"],
                "must be unique",
            ));
        }
    }
    for (index, port) in container["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        if !int(port, &["containerPort"]).is_some_and(|n| (1..=65535).contains(&n)) {
            errors.push(field::invalid(
                format!("{path}.ports[{index}].containerPort"),
                &port["containerPort"],
                "must be between 1 and 65535, inclusive",
            ));
        }
    }
}

/// Whether and when a container is restarted, whatever the Pod's own policy says.
fn validate_restarts(container: &Value, path: &str, errors: &mut Vec<Cause>) {
    let policy = &container["restartPolicy"];
    let rules = container["restartPolicyRules"].as_array();
    let count = rules.map_or(0, Vec::len);
    if policy.is_null() && count > 0 {
        errors.push(field::required(
            format!("{path}.restartPolicy"),
            "must specify restartPolicy when restart rules are used",
        ));
    }
    one_of(
        policy,
        &["Always", "Never", "OnFailure"],
        || format!("{path}.restartPolicy"),
        errors,
    );
    if count > MAX_RESTART_RULES {
        let at = format!("{path}.restartPolicyRules");
        errors.push(field::too_many(at, count, MAX_RESTART_RULES));
    }
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let at = format!("{path}.restartPolicyRules[{index}]");
        let actions = ["Restart", "RestartAllContainers"];
        one_of(&rule["action"], &actions, || format!("{at}.action"), errors);
        let (codes, at) = (&rule["exitCodes"], format!("{at}.exitCodes"));
        if codes.is_null() {
            errors.push(field::required(at, "must be specified"));
            continue;
        }
        one_of(
            &codes["operator"],
            &["In", "NotIn"],
            || format!("{at}.operator"),
            errors,
        );
        let values = codes["values"].as_array().map_or(0, Vec::len);
        if values > MAX_EXIT_CODES {
            errors.push(field::too_many(
                format!("{at}.values"),
                values,
                MAX_EXIT_CODES,
            ));
        }
    }
}

/// Checks a value that may be absent.
fn one_of(value: &Value, allowed: &[&str], path: impl FnOnce() -> String, errors: &mut Vec<Cause>) {
    if !value.is_null() && value.as_str().is_none_or(|text| !allowed.contains(&text)) {
        errors.push(field::unsupported(path(), value, allowed));
    }
}

/// The class Kubernetes derives from the resources of all containers.
fn qos_class(spec: &Value) -> &'static str {
    let containers = || {
        ["containers", "initContainers"]
            .into_iter()
            .flat_map(|list| spec[list].as_array().into_iter().flatten())
    };
    let nothing = |container: &Value| {
        ["requests", "limits"].iter().all(|part| {
            ["cpu", "memory"]
                .iter()
                .all(|name| container["resources"][part][name].is_null())
        })
    };
    let full = |container: &Value| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = &container["resources"]["limits"][name];
            let request = &container["resources"]["requests"][name];
            !limit.is_null() && (request.is_null() || request == limit)
        })
    };
    if containers().all(nothing) {
        "BestEffort"
    } else if containers().all(full) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// The names of a Pod's scheduling gates.
fn gates(pod: &Value) -> impl Iterator<Item = &str> {
    let gates = pod["spec"]["schedulingGates"].as_array();
    gates
        .into_iter()
        .flatten()
        .map(|gate| text(gate, &["name"]))
}

/// Parts of a Pod's spec that an update may change.
const MUTABLE: &[&str] = &[
    "activeDeadlineSeconds",
    "terminationGracePeriodSeconds",
    "tolerations",
    "schedulingGates",
];

impl Strategy for Pod {
    fn complete(&self, object: &mut Value) {
        let Some(spec) = child(object, "spec") else {
            return;
        };
        default_spec(spec);
        for list in ["initContainers", "containers"] {
            for container in items_mut(spec, list) {
                default_requests(container);
            }
        }
        fill(spec, "enableServiceLinks", true);
        fill(spec, "preemptionPolicy", "PreemptLowerPriority");
        fill(spec, "priority", 0);
        fill(spec, "serviceAccountName", "default");
        fill(spec, "serviceAccount", "default");
    }

    fn prepare_create(&self, object: &mut Value) {
        let qos = qos_class(&object["spec"]);
        object["status"] = json!({"phase": "Pending", "qosClass": qos});
        if object["spec"]["schedulingGates"]
            .as_array()
            .is_some_and(|gates| !gates.is_empty())
        {
            object["status"]["conditions"] = json!([{
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastTransitionTime": object["metadata"]["creationTimestamp"],
            }]);
        }
    }

    fn show_unset(&self, object: &mut Value) {
        show_unset_times(object, &["lastProbeTime", "lastTransitionTime"]);
    }

    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        if let Some(qos) = old["status"].get("qosClass")
            && let Some(status) = child(object, "status")
        {
            fill(status, "qosClass", qos.clone());
        }
    }

    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        let spec = &object["spec"];
        validate_spec(spec, "spec", &mut errors);
        // Only of a new Pod: later the name of the node cannot be changed at all.
        let is_new = object["metadata"]["resourceVersion"].is_null();
        if is_new && gates(object).next().is_some() && !text(spec, &["nodeName"]).is_empty() {
            errors.push(field::forbidden(
                "spec.nodeName",
                "cannot be set until all schedulingGates have been cleared",
            ));
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Cause> {
        let mut masked = object["spec"].clone();
        let before = &old["spec"];
        if let Some(map) = masked.as_object_mut() {
            for &key in MUTABLE {
                match before.get(key) {
                    Some(value) => map.insert(key.to_owned(), value.clone()),
                    None => map.remove(key),
                };
            }
            // Gated Pods: the node may still be narrowed down.
            if before["schedulingGates"]
                .as_array()
                .is_some_and(|gates| !gates.is_empty())
            {
                for key in ["nodeSelector", "affinity"] {
                    match before.get(key) {
                        Some(value) => map.insert(key.to_owned(), value.clone()),
                        None => map.remove(key),
                    };
                }
            }
        }
        for list in ["containers", "initContainers"] {
            for (index, container) in items_mut(&mut masked, list).enumerate() {
                if let Some(image) = before[list][index].get("image") {
                    container["image"] = image.clone();
                }
            }
        }
        let mut errors = Vec::new();
        if masked_differs(&masked, before) {
            errors.push(field::forbidden(
                "spec",
                "pod updates may not change fields other than `spec.containers[*].image`, \
                 `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, \
                 `spec.tolerations` (only additions to existing tolerations), \
                 `spec.terminationGracePeriodSeconds`",
            ));
        }
        let known: BTreeSet<&str> = gates(old).collect();
        for (index, gate) in gates(object).enumerate() {
            if !known.contains(gate) {
                errors.push(field::forbidden(
                    format!("spec.schedulingGates[{index}].name"),
                    "only deletion is allowed, but found new scheduling gate",
                ));
            }
        }
        errors
    }

    fn fields(&self, object: &Value) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        for (name, path) in [
            ("spec.nodeName", ["spec", "nodeName"]),
            ("spec.restartPolicy", ["spec", "restartPolicy"]),
            ("spec.schedulerName", ["spec", "schedulerName"]),
            ("spec.serviceAccountName", ["spec", "serviceAccountName"]),
            ("status.phase", ["status", "phase"]),
            ("status.podIP", ["status", "podIP"]),
            ("status.nominatedNodeName", ["status", "nominatedNodeName"]),
        ] {
            fields.insert(name.to_owned(), text(object, &path).to_owned());
        }
        let host = object["spec"]["hostNetwork"] == true;
        fields.insert("spec.hostNetwork".to_owned(), host.to_string());
        fields
    }

    fn selectable(&self) -> &'static [&'static str] {
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ]
    }

    fn marks_deletion(&self) -> bool {
        true
    }

    fn grace_period(&self, object: &Value, asked: Option<i64>) -> i64 {
        // Nobody is there to stop a Pod that never reached a node or is over.
        let over = matches!(text(object, &["status", "phase"]), "Succeeded" | "Failed");
        if text(object, &["spec", "nodeName"]).is_empty() || over {
            return 0;
        }
        let own = int(object, &["spec", "terminationGracePeriodSeconds"]);
        let grace = asked.or(own).unwrap_or(30);
        // Negative values mean "as short as possible without skipping the kubelet".
        if grace < 0 { 1 } else { grace }
    }
}

fn masked_differs(masked: &Value, before: &Value) -> bool {
    let strip = |value: &Value| {
        let mut value = value.clone();
        if let Some(map) = value.as_object_mut() {
            map.retain(|_, v| !v.is_null());
        }
        value
    };
    strip(masked) != strip(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_and_rules() {
        let exit_codes = json!({"operator": "NotIn", "values": [0]});
        let rule = json!({"action": "RestartAllContainers", "exitCodes": exit_codes});
        let rules = |rule: Value| json!({"restartPolicy": "Never", "restartPolicyRules": [rule]});
        let codes = |codes: Value| rules(json!({"action": "Restart", "exitCodes": codes}));
        let unsupported = |field: &str, values: &str| {
            let values = values.split(' ').map(|v| format!("{v:?}"));
            let values: Vec<_> = values.collect();
            format!(
                "{field}: Unsupported value: \"x\": supported values: {}",
                values.join(", ")
            )
        };
        let table = [
            (rules(rule.clone()), None),
            (json!({"restartPolicy": "OnFailure"}), None),
            (
                json!({"restartPolicyRules": [rule]}),
                Some("restartPolicy: Required value: must specify restartPolicy when restart rules are used".to_owned()),
            ),
            (
                json!({"restartPolicy": "x"}),
                Some(unsupported("restartPolicy", "Always Never OnFailure")),
            ),
            (
                rules(json!({"action": "x", "exitCodes": exit_codes})),
                Some(unsupported("restartPolicyRules[0].action", "Restart RestartAllContainers")),
            ),
            (
                rules(json!({"action": "Restart"})),
                Some("restartPolicyRules[0].exitCodes: Required value: must be specified".to_owned()),
            ),
            (
                codes(json!({"operator": "x"})),
                Some(unsupported("restartPolicyRules[0].exitCodes.operator", "In NotIn")),
            ),
            (
                codes(json!({"operator": "In", "values": vec![1; 256]})),
                Some("restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items".to_owned()),
            ),
            (
                json!({"restartPolicy": "Never", "restartPolicyRules": vec![rule; 21]}),
                Some("restartPolicyRules: Too many: 21: must have at most 20 items".to_owned()),
            ),
        ];
        for list in ["containers", "initContainers"] {
            for (fields, expected) in &table {
                let mut spec = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}],
                    "initContainers": [{"name": "b", "image": "i"}]});
                let container = spec[list][0].as_object_mut().unwrap();
                container.extend(fields.as_object().unwrap().clone());
                let mut errors = Vec::new();
                validate_spec(&spec, "spec", &mut errors);
                let told: Vec<_> = errors
                    .iter()
                    .map(|e| format!("{}: {}", e.field, e.message))
                    .collect();
                let expected: Vec<_> = expected
                    .iter()
                    .map(|e| format!("spec.{list}[0].{e}"))
                    .collect();
                assert_eq!(told, expected, "{fields}");
            }
        }
    }
}
