//! Where Pods may run.

use std::collections::HashSet;

use serde_json::Value;

use super::{at_least, items, metadata, one_of, required, text};
use crate::validation::{
    error::FieldError,
    text::{label_value, qualified_name},
};

/// Checks everything about scheduling in a Pod's spec.
pub(super) fn validate(pod: &Value, path: &str, errors: &mut Vec<FieldError>) {
    node_selector(
        &pod["nodeSelector"],
        &format!("{path}.nodeSelector"),
        errors,
    );
    tolerations(&pod["tolerations"], &format!("{path}.tolerations"), errors);
    gates(
        &pod["schedulingGates"],
        &format!("{path}.schedulingGates"),
        errors,
    );
    let constraints = "topologySpreadConstraints";
    for (index, constraint) in items(&pod[constraints]).enumerate() {
        let path = format!("{path}.{constraints}[{index}]");
        at_least(1, constraint, "maxSkew", &path, errors);
        required(constraint, "topologyKey", &path, errors);
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        one_of(&actions, constraint, "whenUnsatisfiable", &path, errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        affinity(
            &pod["affinity"][kind],
            &format!("{path}.affinity.{kind}"),
            errors,
        );
    }
}

/// Checks a node selector.
pub(super) fn node_selector(selector: &Value, path: &str, errors: &mut Vec<FieldError>) {
    metadata::labels(selector, path, errors);
}

/// Checks the topology keys of Pod affinity or anti-affinity.
fn affinity(affinity: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let (must, should) = (
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    );
    for (index, term) in items(&affinity[must]).enumerate() {
        required(
            term,
            "topologyKey",
            &format!("{path}.{must}[{index}]"),
            errors,
        );
    }
    for (index, weighted) in items(&affinity[should]).enumerate() {
        let path = format!("{path}.{should}[{index}]");
        let weight = weighted["weight"].as_i64().unwrap_or_default();
        if !(1..=100).contains(&weight) {
            let path = format!("{path}.weight");
            errors.push(FieldError::invalid(
                path,
                weight,
                "must be in the range 1-100",
            ));
        }
        let term = &weighted["podAffinityTerm"];
        required(
            term,
            "topologyKey",
            &format!("{path}.podAffinityTerm"),
            errors,
        );
    }
}

/// Checks tolerations.
pub(super) fn tolerations(tolerations: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (index, toleration) in items(tolerations).enumerate() {
        let path = format!("{path}[{index}]");
        let (key, operator, value) = (
            text(&toleration["key"]),
            text(&toleration["operator"]),
            text(&toleration["value"]),
        );
        if !key.is_empty() {
            for problem in qualified_name(key) {
                errors.push(FieldError::invalid(
                    format!("{path}.key"),
                    key,
                    problem.explain(),
                ));
            }
        } else if operator != "Exists" {
            errors.push(FieldError::invalid(
                format!("{path}.operator"),
                operator,
                "must be Exists when the key is empty, which means all keys and values",
            ));
        }
        match operator {
            "" | "Equal" => {
                for problem in label_value(value) {
                    let path = format!("{path}.value");
                    errors.push(FieldError::invalid(path, value, problem.explain()));
                }
            }
            "Exists" if !value.is_empty() => errors.push(FieldError::invalid(
                format!("{path}.value"),
                value,
                "must be empty when the operator is Exists",
            )),
            // Lt and Gt are for API servers that know them.
            _ => one_of(
                &["Equal", "Exists", "Lt", "Gt"],
                toleration,
                "operator",
                &path,
                errors,
            ),
        }
        let effect = text(&toleration["effect"]);
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        one_of(&effects, toleration, "effect", &path, errors);
        if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
            errors.push(FieldError::invalid(
                format!("{path}.effect"),
                effect,
                "must be NoExecute when tolerationSeconds is set",
            ));
        }
    }
}

/// Checks scheduling gates.
pub(super) fn gates(gates: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut names = HashSet::new();
    for (index, gate) in items(gates).enumerate() {
        let (path, name) = (format!("{path}[{index}].name"), text(&gate["name"]));
        for problem in qualified_name(name) {
            errors.push(FieldError::invalid(path.as_str(), name, problem.explain()));
        }
        if !names.insert(name) {
            errors.push(FieldError::invalid(path, name, "must be unique"));
        }
    }
}
