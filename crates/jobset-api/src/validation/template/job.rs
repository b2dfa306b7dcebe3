//! The Job's spec.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Context, MAX_EXIT_CODES, MAX_RULES, alternatives, at_least, at_most, is_empty_list, items,
    metadata, one_of, pod, text,
};
use crate::validation::{error::FieldError, text::qualified_name};

/// Highest parallelism of an Indexed Job, and the number of completions above which lower limits
/// hold.
const MANY_INDEXES: i64 = 100_000;
/// Highest parallelism and number of failed indexes where there are that many completions.
const LIMIT_FOR_MANY: i64 = 10_000;

/// Checks the spec of a Job.
pub(super) fn validate(
    job: &Value,
    path: &str,
    context: &Context<'_>,
    errors: &mut Vec<FieldError>,
) {
    for key in [
        "parallelism",
        "completions",
        "backoffLimit",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ] {
        at_least(0, job, key, path, errors);
    }
    one_of(
        &["Indexed", "NonIndexed"],
        job,
        "completionMode",
        path,
        errors,
    );
    if text(&job["completionMode"]) == "Indexed" {
        indexed(job, path, errors);
    } else {
        for key in ["backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"] {
            if !job[key].is_null() {
                errors.push(FieldError::forbidden(
                    format!("{path}.{key}"),
                    "requires the completion mode Indexed",
                ));
            }
        }
    }
    if !job["maxFailedIndexes"].is_null() && job["backoffLimitPerIndex"].is_null() {
        errors.push(FieldError::required(
            format!("{path}.backoffLimitPerIndex"),
            "when maxFailedIndexes is specified",
        ));
    }

    let replacement = ["Failed", "TerminatingOrFailed"];
    one_of(&replacement, job, "podReplacementPolicy", path, errors);
    let failure_policy = &job["podFailurePolicy"];
    if !failure_policy.is_null() {
        if job["podReplacementPolicy"] == "TerminatingOrFailed" {
            errors.push(FieldError::invalid(
                format!("{path}.podReplacementPolicy"),
                "TerminatingOrFailed",
                "must be Failed when podFailurePolicy is used",
            ));
        }
        pod_failure_policy(job, &format!("{path}.podFailurePolicy"), errors);
    }
    if !job["successPolicy"].is_null() {
        success_policy(job, &format!("{path}.successPolicy"), errors);
    }

    let template = format!("{path}.template");
    metadata::validate(
        &job["template"]["metadata"],
        &format!("{template}.metadata"),
        errors,
    );
    let pod = &job["template"]["spec"];
    restart_policy(
        pod,
        !failure_policy.is_null(),
        &format!("{template}.spec"),
        errors,
    );
    pod::validate(pod, &format!("{template}.spec"), context, errors);
}

/// The rules for Indexed Jobs alone.
fn indexed(job: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let (parallelism, max_failed) = (
        job["parallelism"].as_i64(),
        job["maxFailedIndexes"].as_i64(),
    );
    let completions = job["completions"].as_i64();
    let mut invalid = |key: &str, value: i64, detail: String| {
        errors.push(FieldError::invalid(format!("{path}.{key}"), value, detail));
    };
    if let Some(number) = parallelism.filter(|&number| number > MANY_INDEXES) {
        let detail = format!("must be at most {MANY_INDEXES} in completion mode Indexed");
        invalid("parallelism", number, detail);
    }
    if let (Some(failed), Some(completions)) = (max_failed, completions)
        && failed > completions
    {
        let detail = format!("must not be above completions ({completions})");
        invalid("maxFailedIndexes", failed, detail);
    }
    let many = completions.is_some_and(|number| number > MANY_INDEXES);
    if many && !job["backoffLimitPerIndex"].is_null() {
        for (key, number) in [
            ("parallelism", parallelism),
            ("maxFailedIndexes", max_failed),
        ] {
            if let Some(number) = number.filter(|&number| number > LIMIT_FOR_MANY) {
                let detail = format!(
                    "must be at most {LIMIT_FOR_MANY} with more than {MANY_INDEXES} completions"
                );
                invalid(key, number, detail);
            }
        }
        if max_failed.is_none() {
            errors.push(FieldError::required(
                format!("{path}.maxFailedIndexes"),
                format!("with more than {MANY_INDEXES} completions"),
            ));
        }
    }
    // Neither given means one of each.
    if completions.is_none() && parallelism.is_some() {
        errors.push(FieldError::required(
            format!("{path}.completions"),
            "must be given with parallelism in completion mode Indexed, which is the default in a \
             JobSet",
        ));
    }
}

fn restart_policy(pod: &Value, has_policy: bool, path: &str, errors: &mut Vec<FieldError>) {
    let policy = text(&pod["restartPolicy"]);
    let detail = match policy {
        // Admission has filled in a default.
        "" | "Never" => return,
        "OnFailure" if !has_policy => return,
        "OnFailure" => "must be Never when podFailurePolicy is specified",
        "Always" => "Pods of a Job end: must be OnFailure or Never",
        _ => "must be OnFailure or Never",
    };
    errors.push(FieldError::invalid(
        format!("{path}.restartPolicy"),
        policy,
        detail,
    ));
}

fn pod_failure_policy(job: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let policy = &job["podFailurePolicy"];
    at_most(MAX_RULES, policy, "rules", path, errors);
    let pod = &job["template"]["spec"];
    let containers: HashSet<&str> = items(&pod["containers"])
        .chain(items(&pod["initContainers"]))
        .map(|container| text(&container["name"]))
        .collect();
    for (index, rule) in items(&policy["rules"]).enumerate() {
        let path = format!("{path}.rules[{index}]");
        let actions = ["Count", "FailIndex", "FailJob", "Ignore"];
        if text(&rule["action"]).is_empty() {
            errors.push(FieldError::required(
                format!("{path}.action"),
                format!("one of {}", actions.join(", ")),
            ));
        }
        one_of(&actions, rule, "action", &path, errors);
        if rule["action"] == "FailIndex" && job["backoffLimitPerIndex"].is_null() {
            errors.push(FieldError::invalid(
                format!("{path}.action"),
                "FailIndex",
                "requires the use of backoffLimitPerIndex",
            ));
        }
        let conditions = !is_empty_list(&rule["onPodConditions"]);
        match (!rule["onExitCodes"].is_null(), conditions) {
            (true, true) => errors.push(FieldError::invalid(
                path.as_str(),
                rule.clone(),
                "must have only one of onExitCodes and onPodConditions",
            )),
            (false, false) => errors.push(FieldError::invalid(
                path.as_str(),
                rule.clone(),
                "must have one of onExitCodes and onPodConditions",
            )),
            (true, false) => exit_codes(
                &rule["onExitCodes"],
                &containers,
                &format!("{path}.onExitCodes"),
                errors,
            ),
            (false, true) => {
                for (index, pattern) in items(&rule["onPodConditions"]).enumerate() {
                    let path = format!("{path}.onPodConditions[{index}]");
                    let kind = text(&pattern["type"]);
                    for problem in qualified_name(kind) {
                        let path = format!("{path}.type");
                        errors.push(FieldError::invalid(path, kind, problem.explain()));
                    }
                    one_of(
                        &["True", "False", "Unknown"],
                        pattern,
                        "status",
                        &path,
                        errors,
                    );
                }
            }
        }
    }
}

fn exit_codes(
    requirement: &Value,
    containers: &HashSet<&str>,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    one_of(&["In", "NotIn"], requirement, "operator", path, errors);
    let container = text(&requirement["containerName"]);
    if !container.is_empty() && !containers.contains(container) {
        errors.push(FieldError::invalid(
            format!("{path}.containerName"),
            container,
            "must be the name of a container or init container of the template",
        ));
    }
    let values: Vec<i64> = items(&requirement["values"])
        .filter_map(Value::as_i64)
        .collect();
    let detail = if values.is_empty() {
        "must have at least one value"
    } else if values.len() > MAX_EXIT_CODES {
        "must have at most 255 values"
    } else if !values.is_sorted_by(|left, right| left < right) {
        "must be in ascending order, each value once"
    } else if requirement["operator"] == "In" && values.contains(&0) {
        "must not contain 0 with the operator In"
    } else {
        return;
    };
    let shown = requirement["values"].clone();
    errors.push(FieldError::invalid(format!("{path}.values"), shown, detail));
}

fn success_policy(job: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let policy = &job["successPolicy"];
    at_most(MAX_RULES, policy, "rules", path, errors);
    if is_empty_list(&policy["rules"]) {
        errors.push(FieldError::required(
            format!("{path}.rules"),
            "at least one rule",
        ));
    }
    let neither = job["completions"].is_null() && job["parallelism"].is_null();
    let completions = job["completions"].as_i64().or(neither.then_some(1));
    for (index, rule) in items(&policy["rules"]).enumerate() {
        let path = format!("{path}.rules[{index}]");
        let (known, other) = alternatives(rule, &["succeededCount", "succeededIndexes"]);
        if known.is_empty() && !other {
            errors.push(FieldError::required(
                path.as_str(),
                "at least one of succeededCount and succeededIndexes",
            ));
        }
        at_least(0, rule, "succeededCount", &path, errors);
        let count = rule["succeededCount"].as_i64();
        if let (Some(count), Some(completions)) = (count, completions)
            && count > completions
        {
            errors.push(FieldError::invalid(
                format!("{path}.succeededCount"),
                count,
                format!("must not be above completions ({completions})"),
            ));
        }
        if let Some(indexes) = rule["succeededIndexes"].as_str() {
            let within = |number: &str| {
                number
                    .parse::<i64>()
                    .is_ok_and(|n| n >= 0 && completions.is_none_or(|completions| n < completions))
            };
            if !indexes.split(',').all(|part| match part.split_once('-') {
                Some((first, last)) => within(first) && within(last),
                None => within(part),
            }) {
                errors.push(FieldError::invalid(
                    format!("{path}.succeededIndexes"),
                    indexes,
                    "must be indexes below completions and ranges of them, such as 0,2-4",
                ));
            }
        }
    }
}
