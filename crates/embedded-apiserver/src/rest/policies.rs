//! Asking the policies about a write.

use serde_json::Value;

use super::webhooks::{Question, Seen};
use crate::policy::{Binding, Policy, Violation};
use crate::status::Status;
use crate::store::Key;

/// Refuses a write that violates a policy. Policies are not asked about themselves.
pub(crate) fn ask(
    question: &Question<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let call = question.call;
    let Some(policies) = call.core.policies.bound() else {
        return Ok(());
    };
    if question.is_exempt() {
        return Ok(());
    }
    for policy in policies.iter() {
        let mut bindings = Vec::new();
        for binding in &policy.bindings {
            if concerned(question, binding, object, old)? {
                bindings.push(binding);
            }
        }
        if bindings.is_empty() {
            continue;
        }
        let Some(seen) = question.seen_by(&policy.matcher, object, old)? else {
            continue;
        };
        let violations = violations(question, policy, &seen);
        for binding in bindings {
            if binding.warns {
                warnings.extend(violations.iter().map(|violation| {
                    format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        policy.name, binding.name, violation.message
                    )
                }));
            }
            if let (true, Some(first)) = (binding.denies, violations.first()) {
                return Err(denied(question, policy, binding, first));
            }
        }
    }
    Ok(())
}

/// Whether a write is within what a binding narrows its policy down to.
fn concerned(
    question: &Question<'_>,
    binding: &Binding,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<bool, Status> {
    let Some(matcher) = &binding.matcher else {
        return Ok(true);
    };
    if matcher.has_rules() {
        return Ok(question.seen_by(matcher, object, old)?.is_some());
    }
    Ok(question.in_selected_namespace(matcher, object)? && matcher.selects_object(object, old))
}

fn violations(question: &Question<'_>, policy: &Policy, seen: &Seen<'_>) -> Vec<Violation> {
    let null = Value::Null;
    let request = serde_json::to_value(question.attributes(&seen.resource)).unwrap_or_default();
    let namespace = question.call.namespace.as_deref().and_then(|name| {
        let key = Key::new("", name);
        Some(question.call.core.store.get("namespaces", &key)?.value())
    });
    policy.violations(&[
        ("object", seen.object.as_deref().unwrap_or(&null)),
        ("oldObject", seen.old.as_deref().unwrap_or(&null)),
        ("request", &request),
        ("namespaceObject", namespace.as_ref().unwrap_or(&null)),
    ])
}

fn denied(
    question: &Question<'_>,
    policy: &Policy,
    binding: &Binding,
    violation: &Violation,
) -> Status {
    let resource = &question.call.resource;
    let message = format!(
        "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {}",
        policy.name, binding.name, violation.message
    );
    let mut status = Status::forbidden(&resource.plural, &resource.group, question.name, &message)
        .cause("", "", message);
    let reason = match violation.reason.as_str() {
        "" => "Invalid",
        reason => reason,
    };
    reason.clone_into(&mut status.reason);
    status.code = match reason {
        "Forbidden" => 403,
        "Unauthorized" => 401,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    status
}
