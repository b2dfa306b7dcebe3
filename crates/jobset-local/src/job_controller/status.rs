//! The Job's status: counts, comparison with what is recorded, and the patch between the two.

use k8s_openapi::api::batch::v1::{JobStatus, UncountedTerminatedPods};
use serde_json::{Map, Value, json};

use super::counting::Tally;

/// A count as the API stores it: zero is absent.
fn count(number: impl TryInto<i32>) -> Option<i32> {
    Some(number.try_into().unwrap_or(i32::MAX)).filter(|number| *number != 0)
}

/// Sets every counter of `status`.
pub fn set_counts(
    status: &mut JobStatus,
    tally: &Tally,
    active: usize,
    ready: usize,
    terminating: usize,
) {
    status.active = count(active);
    status.ready = Some(count(ready).unwrap_or(0));
    status.terminating = Some(count(terminating).unwrap_or(0));
    status.succeeded = count(tally.succeeded);
    status.failed = count(tally.failed);
    if let Some(set) = &tally.completed_indexes {
        status.completed_indexes = Some(set.to_string()).filter(|text| !text.is_empty());
    }
    // Kubernetes shows the empty set here, which tells that failures are tracked by index.
    status.failed_indexes = tally.failed_indexes.as_ref().map(ToString::to_string);
    status.uncounted_terminated_pods =
        Some(tally.uncounted.clone()).filter(|lists| *lists != UncountedTerminatedPods::default());
}

/// Brings the ways to write "nothing" into one form.
fn normalized(status: &JobStatus) -> JobStatus {
    let mut status = status.clone();
    for number in [
        &mut status.active,
        &mut status.succeeded,
        &mut status.failed,
    ] {
        *number = number.filter(|number| *number != 0);
    }
    status.completed_indexes = status.completed_indexes.filter(|text| !text.is_empty());
    status.conditions = status.conditions.filter(|list| !list.is_empty());
    status.uncounted_terminated_pods = status.uncounted_terminated_pods.map(|mut lists| {
        lists.succeeded = lists.succeeded.filter(|uids| !uids.is_empty());
        lists.failed = lists.failed.filter(|uids| !uids.is_empty());
        lists
    });
    status.uncounted_terminated_pods = status
        .uncounted_terminated_pods
        .filter(|lists| *lists != UncountedTerminatedPods::default());
    status
}

/// Whether `new` is worth a write.
///
/// A uid that merely leaves the list of uncounted Pods is not: it goes with the next write.
pub fn changed(old: &JobStatus, new: &JobStatus) -> bool {
    let (mut old, mut new) = (normalized(old), normalized(new));
    old.uncounted_terminated_pods = None;
    new.uncounted_terminated_pods = None;
    old != new
}

/// The merge patch that turns `old` into `new`, on condition of the resource version and uid.
///
/// # Errors
/// If a status cannot be written as JSON, which its type rules out.
pub fn patch(
    old: &JobStatus,
    new: &JobStatus,
    resource_version: &str,
    uid: &str,
) -> Result<Value, serde_json::Error> {
    let old = serde_json::to_value(normalized(old))?;
    let new = serde_json::to_value(normalized(new))?;
    let mut fields = Map::new();
    if let (Value::Object(old), Value::Object(mut new)) = (old, new) {
        for key in old.keys().filter(|key| !new.contains_key(*key)) {
            fields.insert(key.clone(), Value::Null);
        }
        // The lists of uids are replaced as a whole: a merge would keep an emptied one.
        if let (Some(Value::Object(before)), Some(Value::Object(after))) = (
            old.get("uncountedTerminatedPods"),
            new.get_mut("uncountedTerminatedPods"),
        ) {
            for key in before.keys() {
                after.entry(key.clone()).or_insert(Value::Null);
            }
        }
        fields.extend(
            new.into_iter()
                .filter(|(key, value)| old.get(key) != Some(value)),
        );
    }
    Ok(json!({
        "metadata": {"resourceVersion": resource_version, "uid": uid},
        "status": fields,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> JobStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_patch_holds_only_what_differs() {
        let old = status(json!({
            "active": 2, "ready": 1, "startTime": "2026-01-01T00:00:00Z",
            "uncountedTerminatedPods": {"failed": ["a"]},
        }));
        let new = status(json!({
            "ready": 1, "failed": 2, "startTime": "2026-01-01T00:00:00Z", "terminating": 0,
            "uncountedTerminatedPods": {"succeeded": ["b"]},
        }));
        assert_eq!(
            patch(&old, &new, "7", "u").unwrap(),
            json!({
                "metadata": {"resourceVersion": "7", "uid": "u"},
                "status": {
                    "active": null, "failed": 2, "terminating": 0,
                    "uncountedTerminatedPods": {"succeeded": ["b"], "failed": null},
                },
            })
        );
    }

    #[test]
    fn what_is_not_worth_a_write() {
        let old = status(json!({
            "active": 0, "failed": 1, "conditions": [], "completedIndexes": "",
            "uncountedTerminatedPods": {"failed": ["a"]},
        }));
        assert!(!changed(&old, &status(json!({"failed": 1}))));
        assert!(changed(&old, &status(json!({"failed": 2}))));
        assert!(changed(&old, &status(json!({"failed": 1, "ready": 0}))));
    }
}
