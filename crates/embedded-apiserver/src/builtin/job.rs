//! batch/v1 Job: defaults, the selector that ties Pods to their Job, and what may change later.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::names::validate_labels;
use super::{Strategy, child, field, fill, int, items_mut, pod, show_unset_times, text};
use crate::status::Cause;

/// `batch/v1 Job`.
pub(super) struct Job;

const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const NAME_LABEL: &str = "batch.kubernetes.io/job-name";
const LEGACY_UID_LABEL: &str = "controller-uid";
const LEGACY_NAME_LABEL: &str = "job-name";

fn suspended(job: &Value) -> bool {
    job["spec"]["suspend"] == true
}

impl Strategy for Job {
    fn complete(&self, object: &mut Value) {
        let Some(spec) = child(object, "spec") else {
            return;
        };
        if spec["completions"].is_null() && spec["parallelism"].is_null() {
            fill(spec, "completions", 1);
        }
        fill(spec, "parallelism", 1);
        let unlimited = !spec["backoffLimitPerIndex"].is_null();
        fill(
            spec,
            "backoffLimit",
            if unlimited { i64::from(i32::MAX) } else { 6 },
        );
        fill(spec, "completionMode", "NonIndexed");
        fill(spec, "suspend", false);
        fill(spec, "manualSelector", false);
        let policy = !spec["podFailurePolicy"].is_null();
        fill(
            spec,
            "podReplacementPolicy",
            if policy {
                "Failed"
            } else {
                "TerminatingOrFailed"
            },
        );
        if let Some(policy) = spec.get_mut("podFailurePolicy") {
            for rule in items_mut(policy, "rules") {
                for pattern in items_mut(rule, "onPodConditions") {
                    fill(pattern, "status", "True");
                }
            }
        }
        if let Some(pod) = child(spec, "template").and_then(|template| child(template, "spec")) {
            pod::default_spec(pod);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
        let uid = text(object, &["metadata", "uid"]).to_owned();
        let name = text(object, &["metadata", "name"]).to_owned();
        let spec = &mut object["spec"];
        if spec["manualSelector"] == true {
            return;
        }
        if let Some(own) = child(spec, "template")
            .and_then(|template| child(template, "metadata"))
            .and_then(|meta| child(meta, "labels"))
        {
            own[UID_LABEL] = json!(uid);
            own[LEGACY_UID_LABEL] = json!(uid);
            own[NAME_LABEL] = json!(name);
            own[LEGACY_NAME_LABEL] = json!(name);
        }
        fill(spec, "selector", json!({"matchLabels": {UID_LABEL: uid}}));
    }

    fn prepare_stored(&self, object: &mut Value) {
        // A Job without labels shows its template's.
        let labels = object["spec"]["template"]["metadata"]["labels"].clone();
        if object["metadata"]["labels"].is_null() && labels.is_object() {
            object["metadata"]["labels"] = labels;
        }
    }

    fn show_unset(&self, object: &mut Value) {
        show_unset_times(object, &["lastProbeTime", "lastTransitionTime"]);
    }

    fn default_propagation(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "Orphan",
            "child pods are preserved by default when jobs are deleted; set \
             propagationPolicy=Background to remove them or set propagationPolicy=Orphan to \
             suppress this warning",
        ))
    }

    fn validate(&self, object: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        let spec = &object["spec"];
        for key in [
            "parallelism",
            "completions",
            "backoffLimit",
            "activeDeadlineSeconds",
            "ttlSecondsAfterFinished",
            "backoffLimitPerIndex",
            "maxFailedIndexes",
        ] {
            match &spec[key] {
                Value::Null => {}
                value => match value.as_i64() {
                    Some(0..) => {}
                    _ => errors.push(field::invalid(
                        format!("spec.{key}"),
                        value,
                        "must be greater than or equal to 0",
                    )),
                },
            }
        }
        let indexed = match text(spec, &["completionMode"]) {
            "Indexed" => true,
            "NonIndexed" => false,
            _ => {
                errors.push(field::unsupported(
                    "spec.completionMode",
                    &spec["completionMode"],
                    &["Indexed", "NonIndexed"],
                ));
                false
            }
        };
        if indexed && spec["completions"].is_null() {
            errors.push(field::required(
                "spec.completions",
                "when completion mode is Indexed",
            ));
        }
        if !indexed {
            for key in ["backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"] {
                if !spec[key].is_null() {
                    errors.push(field::invalid(
                        format!("spec.{key}"),
                        &spec[key],
                        "requires indexed completion mode",
                    ));
                }
            }
        }
        let pod = &spec["template"]["spec"];
        pod::validate_spec(pod, "spec.template.spec", &mut errors);
        match text(pod, &["restartPolicy"]) {
            "OnFailure" if !spec["podFailurePolicy"].is_null() => errors.push(field::invalid(
                "spec.template.spec.restartPolicy",
                "\"OnFailure\"",
                "only \"Never\" is supported when podFailurePolicy is specified",
            )),
            "OnFailure" if !spec["backoffLimitPerIndex"].is_null() => {
                errors.push(field::invalid(
                    "spec.template.spec.restartPolicy",
                    "\"OnFailure\"",
                    "only \"Never\" is supported when backoffLimitPerIndex is specified",
                ));
            }
            "OnFailure" | "Never" => {}
            _ => errors.push(field::required(
                "spec.template.spec.restartPolicy",
                "valid values: \"OnFailure\", \"Never\"",
            )),
        }
        validate_labels(
            &spec["template"]["metadata"]["labels"],
            "spec.template.labels",
            &mut errors,
        );
        if spec["manualSelector"] == true {
            if spec["selector"].is_null() {
                errors.push(field::required("spec.selector", ""));
            }
        } else if spec["selector"]["matchLabels"][UID_LABEL] != object["metadata"]["uid"] {
            errors.push(field::invalid(
                "spec.selector",
                &spec["selector"],
                "`selector` not auto-generated",
            ));
            errors.push(field::invalid(
                "spec.template.metadata.labels",
                &spec["template"]["metadata"]["labels"],
                "`selector` does not match template `labels`",
            ));
        }
        validate_policies(spec, &mut errors);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Cause> {
        let mut errors = Vec::new();
        let (spec, before) = (&object["spec"], &old["spec"]);
        for key in [
            "selector",
            "completionMode",
            "podFailurePolicy",
            "backoffLimitPerIndex",
            "managedBy",
            "successPolicy",
        ] {
            if spec[key] != before[key] {
                errors.push(field::invalid(
                    format!("spec.{key}"),
                    &spec[key],
                    "field is immutable",
                ));
            }
        }
        if spec["completions"] != before["completions"] {
            // Elastic indexed Jobs: completions follow parallelism.
            let elastic = text(spec, &["completionMode"]) == "Indexed"
                && int(spec, &["completions"]).is_some()
                && spec["completions"] == spec["parallelism"]
                && before["completions"] == before["parallelism"];
            if !elastic {
                errors.push(field::invalid(
                    "spec.completions",
                    &spec["completions"],
                    "field is immutable",
                ));
            }
        }
        if spec["template"] != before["template"] {
            let mut masked = spec["template"].clone();
            let mut path = "spec.template";
            // What a queueing system may set before the Job (first) runs.
            if suspended(old) && old["status"]["startTime"].is_null() {
                for key in ["labels", "annotations"] {
                    copy_key(&mut masked, &before["template"], "metadata", key);
                }
                for key in ["nodeSelector", "tolerations", "schedulingGates", "affinity"] {
                    copy_key(&mut masked, &before["template"], "spec", key);
                }
                copy_resources(&mut masked, &before["template"]);
                path = "spec.template.spec";
            }
            if without_empty(&masked) != without_empty(&before["template"]) {
                errors.push(field::invalid(path, "{…}", "field is immutable"));
            }
        }
        errors
    }

    fn fields(&self, object: &Value) -> BTreeMap<String, String> {
        let succeeded = int(object, &["status", "succeeded"]).unwrap_or(0);
        BTreeMap::from([("status.successful".to_owned(), succeeded.to_string())])
    }

    fn selectable(&self) -> &'static [&'static str] {
        &["status.successful"]
    }
}

/// Who manages the Job, when its Pods are replaced, what their failures mean.
fn validate_policies(spec: &Value, errors: &mut Vec<Cause>) {
    if let Some(manager) = spec["managedBy"].as_str()
        && !matches!(manager.split_once('/'), Some((domain, path)) if !domain.is_empty() && !path.is_empty())
    {
        errors.push(field::invalid(
            "spec.managedBy",
            &spec["managedBy"],
            "must be a domain-prefixed path (such as \"acme.io/foo\")",
        ));
    }
    let rules = spec["podFailurePolicy"]["rules"].as_array();
    let replacement: &[&str] = match rules {
        Some(_) => &["Failed"],
        None => &["Failed", "TerminatingOrFailed"],
    };
    if !replacement.contains(&text(spec, &["podReplacementPolicy"])) {
        errors.push(field::unsupported(
            "spec.podReplacementPolicy",
            &spec["podReplacementPolicy"],
            replacement,
        ));
    }
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let conditions = rule["onPodConditions"].as_array();
        let by_condition = conditions.is_some_and(|conditions| !conditions.is_empty());
        if rule["onExitCodes"].is_object() == by_condition {
            errors.push(field::invalid(
                format!("spec.podFailurePolicy.rules[{index}]"),
                rule,
                "specifying one of OnExitCodes and OnPodConditions is required",
            ));
        }
    }
}

fn copy_key(to: &mut Value, from: &Value, parent: &str, key: &str) {
    let Some(parent_value) = child(to, parent).and_then(Value::as_object_mut) else {
        return;
    };
    match from[parent].get(key) {
        Some(value) => parent_value.insert(key.to_owned(), value.clone()),
        None => parent_value.remove(key),
    };
}

/// Resources of containers may change while a Job is suspended (KEP-5440).
fn copy_resources(to: &mut Value, from: &Value) {
    for list in ["containers", "initContainers"] {
        let Some(spec) = to.get_mut("spec") else {
            continue;
        };
        for (index, container) in items_mut(spec, list).enumerate() {
            let Some(map) = container.as_object_mut() else {
                continue;
            };
            match from["spec"][list][index].get("resources") {
                Some(value) => map.insert("resources".to_owned(), value.clone()),
                None => map.remove("resources"),
            };
        }
    }
}

/// Drops nulls and empty maps at the top two levels, which mean the same as absence.
fn without_empty(template: &Value) -> Value {
    let mut value = template.clone();
    if let Some(map) = value.as_object_mut() {
        for part in map.values_mut() {
            if let Some(part) = part.as_object_mut() {
                part.retain(|_, v| {
                    !(v.is_null()
                        || v.as_object().is_some_and(serde_json::Map::is_empty)
                        || v.as_array().is_some_and(Vec::is_empty))
                });
            }
        }
        map.retain(|_, v| !v.is_null() && v.as_object().is_none_or(|m| !m.is_empty()));
    }
    value
}
