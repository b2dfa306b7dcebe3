//! `spec.podFailurePolicy`: what a failed Pod's exit codes and conditions mean for the Job.

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};

use super::view::{ContainerEnd, PodView};

/// What the policy says about a failed Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Count it (also when no rule matches).
    Count,
    /// Replace it without counting it.
    Ignore,
    /// Its index has failed, whatever the limit per index.
    FailIndex,
    /// The Job has failed; the message names Pod and rule.
    FailJob(String),
}

impl Verdict {
    /// Whether the failure counts towards the Job's limits.
    pub fn counts(&self) -> bool {
        *self != Self::Ignore
    }
}

/// The first rule that matches `pod` decides.
pub fn judge(policy: Option<&PodFailurePolicy>, pod: &PodView) -> Verdict {
    let rules = policy
        .map(|policy| policy.rules.as_slice())
        .unwrap_or_default();
    for (position, rule) in rules.iter().enumerate() {
        let Some(cause) = matching_cause(rule, pod) else {
            continue;
        };
        match rule.action.as_str() {
            "FailJob" => {
                return Verdict::FailJob(format!(
                    "{cause} matching FailJob rule at index {position}"
                ));
            }
            "FailIndex" => return Verdict::FailIndex,
            "Ignore" => return Verdict::Ignore,
            "Count" => return Verdict::Count,
            // An action of a later API version: as if the rule were not there.
            _ => {}
        }
    }
    Verdict::Count
}

/// What in `pod` matches `rule`, in words.
fn matching_cause(rule: &PodFailurePolicyRule, pod: &PodView) -> Option<String> {
    if let Some(requirement) = &rule.on_exit_codes {
        let end = pod
            .ended
            .iter()
            .find(|end| exit_code_matches(requirement, end))?;
        return Some(format!(
            "Container {} for pod {}/{} failed with exit code {}",
            end.name,
            pod.namespace(),
            pod.name(),
            end.exit_code
        ));
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    let (condition, _) = pod.conditions.iter().find(|(name, status)| {
        patterns.iter().any(|pattern| {
            pattern.type_ == *name && pattern.status.as_deref().unwrap_or("True") == status
        })
    })?;
    Some(format!(
        "Pod {}/{} has condition {condition}",
        pod.namespace(),
        pod.name()
    ))
}

fn exit_code_matches(
    requirement: &PodFailurePolicyOnExitCodesRequirement,
    end: &ContainerEnd,
) -> bool {
    let named = requirement
        .container_name
        .as_ref()
        .is_none_or(|name| *name == end.name);
    let listed = requirement.values.contains(&end.exit_code);
    named
        && end.exit_code != 0
        && match requirement.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(rules: serde_json::Value) -> PodFailurePolicy {
        serde_json::from_value(json!({ "rules": rules })).unwrap()
    }

    fn pod(codes: &[(&str, i32)], conditions: &[(&str, &str)]) -> PodView {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "status": {
                "phase": "Failed",
                "conditions": conditions.iter()
                    .map(|(t, s)| json!({"type": t, "status": s})).collect::<Vec<_>>(),
                "containerStatuses": codes.iter().map(|(name, code)| json!({
                    "name": name, "state": {"terminated": {"exitCode": code}}
                })).collect::<Vec<_>>(),
            }
        }))
        .unwrap()
    }

    #[test]
    fn rules_decide_in_order() {
        let rules = policy(json!([
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [3]}},
            {"action": "FailJob", "onExitCodes":
                {"containerName": "main", "operator": "In", "values": [1, 42]}},
            {"action": "Later", "onExitCodes": {"operator": "In", "values": [9]}},
            {"action": "Count", "onExitCodes": {"operator": "NotIn", "values": [7]}},
            {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
        ]));
        let fail_job = |text: &str| Verdict::FailJob(text.to_owned());
        for (codes, conditions, expected) in [
            (
                &[("main", 42)][..],
                &[("DisruptionTarget", "True")][..],
                Verdict::Ignore,
            ),
            (
                &[("main", 3)],
                &[("DisruptionTarget", "False")],
                Verdict::FailIndex,
            ),
            (
                &[("main", 42)],
                &[],
                fail_job(
                    "Container main for pod ns/p failed with exit code 42 matching FailJob rule \
                     at index 2",
                ),
            ),
            (&[("side", 42)], &[], Verdict::Count),
            (&[("main", 9)], &[], Verdict::Count),
            (&[("main", 7)], &[], Verdict::Ignore),
            (&[("main", 0)], &[], Verdict::Count),
            (&[], &[], Verdict::Count),
        ] {
            assert_eq!(
                judge(Some(&rules), &pod(codes, conditions)),
                expected,
                "{codes:?}"
            );
        }
        assert_eq!(judge(None, &pod(&[("main", 1)], &[])), Verdict::Count);
    }

    #[test]
    fn a_condition_that_fails_the_job_is_named() {
        let rules = policy(json!([{
            "action": "FailJob",
            "onPodConditions": [{"type": "ConfigIssue", "status": "True"}]
        }]));
        assert_eq!(
            judge(Some(&rules), &pod(&[], &[("ConfigIssue", "True")])),
            Verdict::FailJob(
                "Pod ns/p has condition ConfigIssue matching FailJob rule at index 0".to_owned()
            )
        );
    }
}
