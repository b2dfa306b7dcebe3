//! Requests and limits.

use std::cmp::Ordering;

use serde_json::Value;

use crate::validation::{error::FieldError, quantity::Amount};

/// Resources of containers whose names have no domain, besides huge pages of any size.
const PLAIN: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Whether the resource is defined by neither Kubernetes nor the operating system.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

/// Checks the resources of a container.
pub(super) fn validate(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let (requests, limits) = (&resources["requests"], &resources["limits"]);
    for (part, amounts) in [("limits", limits), ("requests", requests)] {
        for (name, value) in amounts.as_object().into_iter().flatten() {
            amount(name, value, &format!("{path}.{part}.{name}"), errors);
        }
    }
    for (name, request) in requests.as_object().into_iter().flatten() {
        let limit = &limits[name];
        let path = format!("{path}.requests.{name}");
        if limit.is_null() {
            if is_extended(name) {
                errors.push(FieldError::required(
                    path.replace(".requests.", ".limits."),
                    "an extended resource needs a limit; it cannot be shared",
                ));
            }
            continue;
        }
        let order = match (Amount::of(request), Amount::of(limit)) {
            (Some(request), Some(limit)) => request.cmp(&limit),
            // Reported already.
            _ => continue,
        };
        let detail = if is_extended(name) && order != Ordering::Equal {
            "must be equal to"
        } else if order == Ordering::Greater {
            "must be less than or equal to"
        } else {
            continue;
        };
        let detail = format!("{detail} the limit of {name} ({})", shown(limit));
        errors.push(FieldError::invalid(path, request.clone(), detail));
    }
}

fn shown(quantity: &Value) -> String {
    quantity
        .as_str()
        .map_or_else(|| quantity.to_string(), str::to_owned)
}

fn amount(name: &str, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if !name.contains('/') && !PLAIN.contains(&name) && !name.starts_with("hugepages-") {
        errors.push(FieldError::invalid(
            path,
            name,
            "must be a standard resource of containers, or have a domain (such as example.com/gpu)",
        ));
    }
    let detail = match Amount::of(value) {
        None => "must be a quantity, such as 2, 500m or 1.5Gi",
        Some(amount) if amount.is_negative() => "must be greater than or equal to 0",
        Some(amount) if is_extended(name) && !amount.is_whole() => "must be a whole number",
        Some(_) => return,
    };
    errors.push(FieldError::invalid(path, value.clone(), detail));
}
