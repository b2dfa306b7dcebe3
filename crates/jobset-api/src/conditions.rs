//! Look-ups in `status.conditions`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    constants::{COMPLETED, FAILED},
    resource::JobSet,
};

/// The condition of this type, if the status has one.
pub fn find<'a>(jobset: &'a JobSet, type_: &str) -> Option<&'a Condition> {
    let conditions = &jobset.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the status has a condition of this type with status `True`.
pub fn is_true(jobset: &JobSet, type_: &str) -> bool {
    find(jobset, type_).is_some_and(|condition| condition.status == "True")
}

/// Whether the JobSet is `Completed` or `Failed`, which is final.
pub fn is_finished(jobset: &JobSet) -> bool {
    is_true(jobset, COMPLETED) || is_true(jobset, FAILED)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_condition(type_: &str, status: &str) -> JobSet {
        serde_json::from_value(json!({"status": {"conditions": [{
            "type": type_, "status": status, "reason": "R", "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}}))
        .unwrap()
    }

    #[test]
    fn only_true_counts() {
        for (type_, status, finished) in [
            (COMPLETED, "True", true),
            (FAILED, "True", true),
            (COMPLETED, "False", false),
            (FAILED, "Unknown", false),
            ("Suspended", "True", false),
        ] {
            assert_eq!(
                is_finished(&with_condition(type_, status)),
                finished,
                "{type_} {status}"
            );
        }
        assert!(!is_finished(&JobSet::default()));
        assert_eq!(
            find(&with_condition("Suspended", "True"), "Suspended")
                .unwrap()
                .reason,
            "R"
        );
    }
}
