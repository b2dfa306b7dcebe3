//! Containers and init containers.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    MAX_EXIT_CODES, MAX_RULES, alternatives, at_least, at_most, is_empty_list, items, one_of,
    required, resources, text,
};
use crate::validation::{
    error::FieldError,
    text::{is_port_name, is_variable_name},
};

/// Checks a container, except its name.
pub(super) fn validate(
    container: &Value,
    is_init: bool,
    path: &str,
    volumes: &HashSet<&str>,
    errors: &mut Vec<FieldError>,
) {
    required(container, "image", path, errors);
    let policies = ["Always", "IfNotPresent", "Never"];
    one_of(&policies, container, "imagePullPolicy", path, errors);
    ports(container, path, errors);
    for (index, variable) in items(&container["env"]).enumerate() {
        environment_variable(variable, &format!("{path}.env[{index}]"), errors);
    }
    resources::validate(
        &container["resources"],
        &format!("{path}.resources"),
        errors,
    );
    volume_mounts(container, path, volumes, errors);
    restarts(container, path, errors);

    let ends = is_init && text(&container["restartPolicy"]) != "Always";
    for key in [
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ] {
        if container[key].is_null() {
            continue;
        }
        let path = format!("{path}.{key}");
        if ends {
            errors.push(FieldError::forbidden(
                path,
                "may not be set for init containers without restartPolicy Always",
            ));
        } else if key == "lifecycle" {
            for hook in ["postStart", "preStop"] {
                let handler = &container[key][hook];
                if !handler.is_null() {
                    let known = ["exec", "httpGet", "tcpSocket", "sleep"];
                    one_handler(handler, &known, &format!("{path}.{hook}"), errors);
                }
            }
        } else {
            probe(&container[key], key == "readinessProbe", &path, errors);
        }
    }
}

/// Checks when the container is restarted, whatever the Pod's own policy says.
fn restarts(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let policies = ["Always", "OnFailure", "Never"];
    one_of(&policies, container, "restartPolicy", path, errors);
    let rules = &container["restartPolicyRules"];
    if !is_empty_list(rules) && text(&container["restartPolicy"]).is_empty() {
        errors.push(FieldError::required(
            format!("{path}.restartPolicy"),
            "must be given with restartPolicyRules",
        ));
    }
    at_most(MAX_RULES, container, "restartPolicyRules", path, errors);
    for (index, rule) in items(rules).enumerate() {
        let path = format!("{path}.restartPolicyRules[{index}]");
        let actions = ["Restart", "RestartAllContainers"];
        one_of(&actions, rule, "action", &path, errors);
        let (codes, path) = (&rule["exitCodes"], format!("{path}.exitCodes"));
        if codes.is_null() {
            errors.push(FieldError::required(path, ""));
        } else {
            one_of(&["In", "NotIn"], codes, "operator", &path, errors);
            at_most(MAX_EXIT_CODES, codes, "values", &path, errors);
        }
    }
}

fn is_port(number: i64) -> bool {
    (1..=65535).contains(&number)
}

const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";
const PORT_NAME: &str = "must have at most 15 characters, only lower case letters, digits and '-', \
                         at least one letter, and neither '--' nor '-' at either end";

fn ports(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut names = HashSet::new();
    for (index, port) in items(&container["ports"]).enumerate() {
        let path = format!("{path}.ports[{index}]");
        match port["containerPort"].as_i64() {
            None | Some(0) => {
                errors.push(FieldError::required(format!("{path}.containerPort"), ""));
            }
            Some(number) if !is_port(number) => {
                let path = format!("{path}.containerPort");
                errors.push(FieldError::invalid(path, number, PORT_RANGE));
            }
            Some(_) => {}
        }
        let host = port["hostPort"].as_i64().unwrap_or_default();
        if host != 0 && !is_port(host) {
            errors.push(FieldError::invalid(
                format!("{path}.hostPort"),
                host,
                PORT_RANGE,
            ));
        }
        one_of(&["TCP", "UDP", "SCTP"], port, "protocol", &path, errors);
        let name = text(&port["name"]);
        if !name.is_empty() {
            let path = format!("{path}.name");
            if !is_port_name(name) {
                errors.push(FieldError::invalid(path, name, PORT_NAME));
            } else if !names.insert(name) {
                errors.push(FieldError::invalid(path, name, "must be unique"));
            }
        }
    }
}

fn environment_variable(variable: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let name = text(&variable["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    } else if !is_variable_name(name) {
        errors.push(FieldError::invalid(
            format!("{path}.name"),
            name,
            "must consist of printable ASCII characters other than '='",
        ));
    }
    let source = &variable["valueFrom"];
    if source.is_null() {
        return;
    }
    let path = format!("{path}.valueFrom");
    let (known, other) = alternatives(
        source,
        &[
            "fieldRef",
            "resourceFieldRef",
            "configMapKeyRef",
            "secretKeyRef",
            "fileKeyRef",
        ],
    );
    if known.len() > 1 {
        errors.push(FieldError::invalid(
            path.as_str(),
            source.clone(),
            "must have only one source",
        ));
    } else if known.is_empty() && !other {
        errors.push(FieldError::invalid(
            path.as_str(),
            source.clone(),
            "must have a source",
        ));
    }
    if !text(&variable["value"]).is_empty() {
        errors.push(FieldError::invalid(
            path.as_str(),
            source.clone(),
            "may not be specified when the value is not empty",
        ));
    }
    for (source_key, key) in [
        ("fieldRef", "fieldPath"),
        ("configMapKeyRef", "key"),
        ("secretKeyRef", "key"),
    ] {
        if !source[source_key].is_null() {
            required(
                &source[source_key],
                key,
                &format!("{path}.{source_key}"),
                errors,
            );
        }
    }
}

fn volume_mounts(
    container: &Value,
    path: &str,
    volumes: &HashSet<&str>,
    errors: &mut Vec<FieldError>,
) {
    let mut paths = HashSet::new();
    for (index, mount) in items(&container["volumeMounts"]).enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let name = text(&mount["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        } else if !volumes.contains(name) {
            errors.push(FieldError::invalid(
                format!("{path}.name"),
                name,
                "there is neither a volume nor a volume claim template of this name",
            ));
        }
        let target = text(&mount["mountPath"]);
        if target.is_empty() {
            errors.push(FieldError::required(format!("{path}.mountPath"), ""));
        } else if !paths.insert(target) {
            errors.push(FieldError::invalid(
                format!("{path}.mountPath"),
                target,
                "must be unique",
            ));
        }
    }
}

fn probe(probe: &Value, is_readiness: bool, path: &str, errors: &mut Vec<FieldError>) {
    one_handler(
        probe,
        &["exec", "httpGet", "tcpSocket", "grpc"],
        path,
        errors,
    );
    for key in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        at_least(0, probe, key, path, errors);
    }
    let successes = probe["successThreshold"].as_i64().unwrap_or_default();
    if !is_readiness && successes > 1 {
        errors.push(FieldError::invalid(
            format!("{path}.successThreshold"),
            successes,
            "must be 1 for liveness and startup probes",
        ));
    }
}

/// Checks what a probe or hook does: exactly one of the alternatives, with what it needs. A probe
/// has other fields too, so only a foreign field that is an object may be a newer alternative.
fn one_handler(handler: &Value, known: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    let (found, _) = alternatives(handler, known);
    let foreign = handler.as_object().is_some_and(|fields| {
        fields
            .iter()
            .any(|(key, value)| value.is_object() && !known.contains(&key.as_str()))
    });
    if found.len() > 1 {
        errors.push(FieldError::forbidden(
            path,
            format!(
                "only one handler may be given, but here are {}",
                found.join(" and ")
            ),
        ));
    } else if found.is_empty() && !foreign {
        errors.push(FieldError::required(
            path,
            format!("must have a handler: one of {}", known.join(", ")),
        ));
    }
    for &key in &found {
        let (action, path) = (&handler[key], format!("{path}.{key}"));
        if key == "exec" && is_empty_list(&action["command"]) {
            errors.push(FieldError::required(format!("{path}.command"), ""));
        }
        let port = &action["port"];
        let right = match (key, port) {
            ("httpGet" | "tcpSocket", Value::String(name)) => is_port_name(name),
            ("httpGet" | "tcpSocket" | "grpc", _) => port.as_i64().is_some_and(is_port),
            _ => true,
        };
        if !right {
            let detail = if port.is_string() {
                PORT_NAME
            } else {
                PORT_RANGE
            };
            errors.push(FieldError::invalid(
                format!("{path}.port"),
                port.clone(),
                detail,
            ));
        }
    }
}
