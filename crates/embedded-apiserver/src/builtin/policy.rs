//! ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::webhook::{conditions, list, rule, selector};
use super::{Strategy, child, field, fill, items_mut, text};
use crate::policy::VARIABLES;
use crate::schema::Expression;
use crate::status::Cause;

/// `admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy`.
pub(super) struct Policy;

/// `admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding`.
pub(super) struct Binding;

const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
const REASONS: &[&str] = &[
    "Forbidden",
    "Invalid",
    "RequestEntityTooLarge",
    "Unauthorized",
];
const ACTIONS: &[&str] = &["Audit", "Deny", "Warn"];
const NO_PARAMETERS: &str = "policies with parameters are not offered by this server";

/// Fills in what constraints leave out.
fn complete_constraints(constraints: &mut Value) {
    fill(constraints, "matchPolicy", "Equivalent");
    fill(constraints, "namespaceSelector", json!({}));
    fill(constraints, "objectSelector", json!({}));
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in items_mut(constraints, list) {
            fill(rule, "scope", "*");
        }
    }
}

fn check_constraints(constraints: &Value, path: &str, errors: &mut Vec<Cause>) {
    for key in ["resourceRules", "excludeResourceRules"] {
        for (index, one) in list(constraints, key).iter().enumerate() {
            rule(one, &format!("{path}.{key}[{index}]"), errors);
        }
    }
    for key in ["namespaceSelector", "objectSelector"] {
        selector(&constraints[key], &format!("{path}.{key}"), errors);
    }
    choice(constraints, path, "matchPolicy", MATCH_POLICIES, errors);
}

fn choice(value: &Value, path: &str, key: &str, allowed: &[&str], errors: &mut Vec<Cause>) {
    let value = &value[key];
    if !value.is_null() && !allowed.contains(&value.as_str().unwrap_or_default()) {
        errors.push(field::unsupported(format!("{path}.{key}"), value, allowed));
    }
}

impl Strategy for Policy {
    fn complete(&self, object: &mut Value) {
        let Some(spec) = child(object, "spec") else {
            return;
        };
        fill(spec, "failurePolicy", "Fail");
        if let Some(constraints) = spec.get_mut("matchConstraints").filter(|c| c.is_object()) {
            complete_constraints(constraints);
        }
    }

    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        let spec = &object["spec"];
        choice(spec, "spec", "failurePolicy", FAILURE_POLICIES, &mut errors);
        if !spec["paramKind"].is_null() {
            errors.push(field::forbidden("spec.paramKind", NO_PARAMETERS));
        }
        let constraints = &spec["matchConstraints"];
        if constraints.is_null() {
            errors.push(field::required("spec.matchConstraints", ""));
        } else {
            if list(constraints, "resourceRules").is_empty() {
                let at = "spec.matchConstraints.resourceRules";
                errors.push(field::required(at, ""));
            }
            check_constraints(constraints, "spec.matchConstraints", &mut errors);
        }
        conditions(spec, "spec.matchConditions", &mut errors);
        variables(spec, &mut errors);
        if list(spec, "validations").is_empty() && list(spec, "auditAnnotations").is_empty() {
            errors.push(field::required(
                "spec.validations",
                "validations or auditAnnotations must contain at least one item",
            ));
        }
        for (index, validation) in list(spec, "validations").iter().enumerate() {
            let path = format!("spec.validations[{index}]");
            expression(validation, &path, "expression", &mut errors);
            if !text(validation, &["messageExpression"]).is_empty() {
                expression(validation, &path, "messageExpression", &mut errors);
            }
            let message = text(validation, &["message"]);
            if message.trim().contains('\n') {
                let at = format!("{path}.message");
                errors.push(field::invalid(
                    at,
                    &validation["message"],
                    "message must not contain line breaks",
                ));
            }
            choice(validation, &path, "reason", REASONS, &mut errors);
        }
        errors
    }
}

fn variables(spec: &Value, errors: &mut Vec<Cause>) {
    let mut names = HashSet::new();
    for (index, variable) in list(spec, "variables").iter().enumerate() {
        let path = format!("spec.variables[{index}]");
        let name = text(variable, &["name"]);
        let is_identifier = name
            .chars()
            .enumerate()
            .all(|(at, c)| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit()));
        if name.is_empty() {
            errors.push(field::required(format!("{path}.name"), "name is required"));
        } else if !is_identifier {
            errors.push(field::invalid(
                format!("{path}.name"),
                format!("{name:?}"),
                "name is not a valid CEL identifier",
            ));
        } else if !names.insert(name) {
            errors.push(field::duplicate(
                format!("{path}.name"),
                format!("{name:?}"),
            ));
        }
        expression(variable, &path, "expression", errors);
    }
}

fn expression(value: &Value, path: &str, key: &str, errors: &mut Vec<Cause>) {
    let at = format!("{path}.{key}");
    let expression = text(value, &[key]).trim();
    if expression.is_empty() {
        errors.push(field::required(at, "expression is not specified"));
    } else if let Err(error) = Expression::compile(expression, VARIABLES) {
        errors.push(field::invalid(at, &value[key], &error));
    }
}

impl Strategy for Binding {
    fn complete(&self, object: &mut Value) {
        if let Some(resources) = object
            .pointer_mut("/spec/matchResources")
            .filter(|resources| resources.is_object())
        {
            complete_constraints(resources);
        }
    }

    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        let spec = &object["spec"];
        if text(spec, &["policyName"]).is_empty() {
            errors.push(field::required("spec.policyName", ""));
        }
        if !spec["paramRef"].is_null() {
            errors.push(field::forbidden("spec.paramRef", NO_PARAMETERS));
        }
        if !spec["matchResources"].is_null() {
            check_constraints(&spec["matchResources"], "spec.matchResources", &mut errors);
        }
        let actions = list(spec, "validationActions");
        if actions.is_empty() {
            errors.push(field::required(
                "spec.validationActions",
                "at least one validation action is required",
            ));
        }
        let mut known = HashSet::new();
        for (index, action) in actions.iter().enumerate() {
            let at = format!("spec.validationActions[{index}]");
            let name = action.as_str().unwrap_or_default();
            if !ACTIONS.contains(&name) {
                errors.push(field::unsupported(&at, action, ACTIONS));
            }
            if !known.insert(name) {
                errors.push(field::duplicate(at, action));
            }
        }
        if known.contains("Deny") && known.contains("Warn") {
            errors.push(field::invalid(
                "spec.validationActions",
                &spec["validationActions"],
                "must not contain both Deny and Warn (repeating the same validation failure \
                 information in the API response and headers serves no purpose)",
            ));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(errors: &[Cause]) -> Vec<&str> {
        errors.iter().map(|error| error.field.as_str()).collect()
    }

    fn policy() -> Value {
        json!({"spec": {
            "matchConstraints": {"resourceRules": [{
                "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["pods"],
            }]},
            "variables": [{"name": "n", "expression": "object.n"}],
            "validations": [{"expression": "variables.n == 1"}],
        }})
    }

    #[test]
    fn what_is_wrong_with_policies() {
        assert_eq!(fields(&Policy.validate(&policy())), [""; 0]);
        for (pointer, value, field) in [
            (
                "/spec/failurePolicy",
                json!("Perhaps"),
                "spec.failurePolicy",
            ),
            (
                "/spec/paramKind",
                json!({"kind": "ConfigMap"}),
                "spec.paramKind",
            ),
            (
                "/spec/matchConstraints",
                json!(null),
                "spec.matchConstraints",
            ),
            (
                "/spec/matchConstraints/resourceRules",
                json!([]),
                "spec.matchConstraints.resourceRules",
            ),
            (
                "/spec/matchConstraints/matchPolicy",
                json!("Near"),
                "spec.matchConstraints.matchPolicy",
            ),
            (
                "/spec/matchConstraints/resourceRules/0/operations",
                json!(["READ"]),
                "spec.matchConstraints.resourceRules[0].operations[0]",
            ),
            (
                "/spec/variables/0/name",
                json!("a-b"),
                "spec.variables[0].name",
            ),
            (
                "/spec/variables/0/expression",
                json!("object."),
                "spec.variables[0].expression",
            ),
            ("/spec/validations", json!([]), "spec.validations"),
            (
                "/spec/validations/0/expression",
                json!("self.a"),
                "spec.validations[0].expression",
            ),
            (
                "/spec/validations/0/messageExpression",
                json!("("),
                "spec.validations[0].messageExpression",
            ),
            (
                "/spec/validations/0/message",
                json!("a\nb"),
                "spec.validations[0].message",
            ),
            (
                "/spec/validations/0/reason",
                json!("Because"),
                "spec.validations[0].reason",
            ),
        ] {
            let mut object = policy();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            object.pointer_mut(parent).unwrap()[key] = value;
            assert_eq!(fields(&Policy.validate(&object)), [field], "{pointer}");
        }
    }

    #[test]
    fn what_is_wrong_with_bindings() {
        let good = json!({"spec": {"policyName": "p", "validationActions": ["Deny", "Audit"]}});
        assert_eq!(fields(&Binding.validate(&good)), [""; 0]);
        for (key, value, field) in [
            ("policyName", json!(""), "spec.policyName"),
            ("paramRef", json!({"name": "a"}), "spec.paramRef"),
            ("validationActions", json!([]), "spec.validationActions"),
            (
                "validationActions",
                json!(["Tell"]),
                "spec.validationActions[0]",
            ),
            (
                "validationActions",
                json!(["Deny", "Deny"]),
                "spec.validationActions[1]",
            ),
            (
                "validationActions",
                json!(["Deny", "Warn"]),
                "spec.validationActions",
            ),
            (
                "matchResources",
                json!({"matchPolicy": "Near"}),
                "spec.matchResources.matchPolicy",
            ),
        ] {
            let mut object = good.clone();
            object["spec"][key] = value;
            assert_eq!(fields(&Binding.validate(&object)), [field], "{key}");
        }
    }

    #[test]
    fn constraints_have_defaults() {
        let mut object = policy();
        Policy.complete(&mut object);
        let constraints = &object["spec"]["matchConstraints"];
        assert_eq!(object["spec"]["failurePolicy"], "Fail");
        assert_eq!(constraints["matchPolicy"], "Equivalent");
        assert_eq!(constraints["namespaceSelector"], json!({}));
        assert_eq!(constraints["resourceRules"][0]["scope"], "*");
        let once = object.clone();
        Policy.complete(&mut object);
        assert_eq!(object, once);
    }
}
