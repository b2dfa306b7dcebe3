//! Rules for what is asked for by annotations, and for the deadline of the whole JobSet.

use super::error::FieldError;
use crate::{
    features::{Feature, FeatureGates},
    recovery::{RESTART_BUDGET_REFILL_KEY, Recovery},
    resource::JobSet,
    types::RestartStrategy,
};

/// Checks the annotations of [`crate::recovery`]. Of a change, only those that differ are judged:
/// what was stored once must not stand in the way of others.
pub(super) fn annotations(old: Option<&JobSet>, new: &JobSet, errors: &mut Vec<FieldError>) {
    let value = |jobset: &JobSet, key: &str| {
        let annotations = jobset.metadata.annotations.as_ref();
        annotations.and_then(|map| map.get(key)).cloned()
    };
    let changed = |key: &str| old.is_none_or(|old| value(old, key) != value(new, key));
    let path = |key: &str| format!("metadata.annotations[{key}]");
    let (recovery, problems) = Recovery::of(new);
    for (key, text, why) in problems.into_iter().filter(|(key, ..)| changed(key)) {
        errors.push(FieldError::invalid(path(key), text, why));
    }
    let policy = new.spec.failure_policy.as_ref();
    let in_place =
        policy.and_then(|p| p.restart_strategy.as_ref()) == Some(&RestartStrategy::InPlaceRestart);
    if recovery.refill.is_some() && in_place && changed(RESTART_BUDGET_REFILL_KEY) {
        errors.push(FieldError::forbidden(
            path(RESTART_BUDGET_REFILL_KEY),
            "the budget of restart strategy InPlaceRestart does not refill",
        ));
    }
}

/// The deadline may be set only with its gate, and must leave some time.
pub(super) fn deadline(
    old: Option<&JobSet>,
    new: &JobSet,
    gates: FeatureGates,
    errors: &mut Vec<FieldError>,
) {
    const PATH: &str = "spec.activeDeadlineSeconds";
    let Some(seconds) = new.spec.active_deadline_seconds else {
        return;
    };
    if old.is_some_and(|old| old.spec.active_deadline_seconds == Some(seconds)) {
        return;
    }
    if !gates.enabled(Feature::JobSetActiveDeadlineSeconds) {
        errors.push(FieldError::forbidden(
            PATH,
            "needs the feature gate JobSetActiveDeadlineSeconds",
        ));
    }
    if seconds < 1 {
        errors.push(FieldError::invalid(
            PATH,
            seconds,
            "must be greater than or equal to 1",
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::recovery::{FORCE_DELETE_PODS_KEY, RESTART_BACKOFF_KEY};
    use crate::validation::{validate_create, validate_update};

    fn jobset(annotations: Value, spec: Value) -> JobSet {
        serde_json::from_value(json!({
            "metadata": {"name": "js", "annotations": annotations},
            "spec": spec,
        }))
        .unwrap()
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn annotations_are_checked_with_precise_errors() {
        let jobset = jobset(
            json!({
                RESTART_BACKOFF_KEY: "initial=10s,factor=0",
                RESTART_BUDGET_REFILL_KEY: "1h",
                FORCE_DELETE_PODS_KEY: "after=5m",
            }),
            json!({}),
        );
        assert_eq!(
            texts(&validate_create(&jobset, &FeatureGates::default())),
            [
                "metadata.annotations[x.jobset.sigs.k8s.io/restart-budget-refill]: Invalid value: \
                 \"1h\": \"1h\" is not of the form name=value",
                "metadata.annotations[x.jobset.sigs.k8s.io/restart-backoff]: Invalid value: \
                 \"initial=10s,factor=0\": factor 0 is not between 1 and 100",
            ]
        );
        // What was stored is left alone, what is changed is not.
        assert!(validate_update(&jobset, &jobset, &FeatureGates::default()).is_empty());
        let mut new = jobset.clone();
        let annotations = new.metadata.annotations.as_mut().unwrap();
        annotations.insert(FORCE_DELETE_PODS_KEY.to_owned(), "after=x".to_owned());
        let errors = validate_update(&jobset, &new, &FeatureGates::default());
        assert_eq!(errors.len(), 1, "{errors:?}");
    }

    #[test]
    fn refill_excludes_in_place_restart() {
        let jobset = jobset(
            json!({RESTART_BUDGET_REFILL_KEY: "after=1h"}),
            json!({"failurePolicy": {"restartStrategy": "InPlaceRestart"}}),
        );
        let gates = FeatureGates::default().with(Feature::InPlaceRestart, true);
        let errors = texts(&validate_create(&jobset, &gates));
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("does not refill"), "{errors:?}");
    }

    #[test]
    fn deadline_needs_its_gate_and_some_time() {
        let with = |seconds: i64| jobset(json!({}), json!({"activeDeadlineSeconds": seconds}));
        let gates = FeatureGates::default().with(Feature::JobSetActiveDeadlineSeconds, true);
        assert!(validate_create(&with(1), &gates).is_empty());
        assert_eq!(
            texts(&validate_create(&with(0), &gates)),
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be greater than or equal to 1"]
        );
        let off = FeatureGates::default();
        assert_eq!(
            texts(&validate_create(&with(9), &off)),
            [
                "spec.activeDeadlineSeconds: Forbidden: needs the feature gate \
              JobSetActiveDeadlineSeconds"
            ]
        );
        assert!(validate_update(&with(9), &with(9), &off).is_empty());
        assert_eq!(validate_update(&with(9), &with(8), &off).len(), 1);
        assert!(validate_update(&with(9), &jobset(json!({}), json!({})), &off).is_empty());
    }
}
