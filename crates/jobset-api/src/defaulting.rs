//! Defaults: what an absent field of a new JobSet means, written into the object.
//!
//! Two sources are merged here: the defaults of the CRD's schema (`replicas`, `groupName`,
//! `restartStrategy`, `whenDeleted`) and those that admission adds on creation (the rest). Both
//! functions are idempotent, never overwrite a value and never fail.
//!
//! * [`default_jobset`] works on the type.
//! * [`default_value`] works on the JSON and only ever adds to it. Admission uses this one: a
//!   round trip through the type would lose fields that the type does not know.

use serde_json::{Map, Value, json};

use crate::{
    constants::DEFAULT_GROUP_NAME,
    resource::JobSet,
    types::{
        Network, RestartStrategy, RetentionPolicy, RetentionPolicyType, StartupPolicy,
        SuccessPolicy,
    },
};

/// Name of a failure policy rule that has none.
fn rule_name(index: usize) -> String {
    format!("failurePolicyRule{index}")
}

/// Fills in the defaults of a JobSet that is about to be created.
pub fn default_jobset(jobset: &mut JobSet) {
    let spec = &mut jobset.spec;
    spec.success_policy
        .get_or_insert_with(SuccessPolicy::default);
    spec.startup_policy
        .get_or_insert_with(StartupPolicy::default);
    for job in &mut spec.replicated_jobs {
        job.replicas.get_or_insert(1);
        job.group_name
            .get_or_insert_with(|| DEFAULT_GROUP_NAME.to_owned());
        default_job_template(job.template.as_value_mut());
    }
    let network = spec.network.get_or_insert_with(Network::default);
    network.enable_dns_hostnames.get_or_insert(true);
    network.publish_not_ready_addresses.get_or_insert(true);
    if let Some(policy) = &mut spec.failure_policy {
        policy
            .restart_strategy
            .get_or_insert(RestartStrategy::Recreate);
        for (index, rule) in policy.rules.iter_mut().enumerate() {
            if rule.name.is_empty() {
                rule.name = rule_name(index);
            }
        }
    }
    for policy in &mut spec.volume_claim_policies {
        let retention = policy
            .retention_policy
            .get_or_insert_with(RetentionPolicy::default);
        retention
            .when_deleted
            .get_or_insert(RetentionPolicyType::Delete);
    }
}

/// Whether [`default_jobset`] would leave this JobSet as it is. Takes time linear in the replicated
/// jobs and copies nothing.
pub fn is_defaulted(jobset: &JobSet) -> bool {
    let spec = &jobset.spec;
    let network = spec.network.as_ref().is_some_and(|network| {
        network.enable_dns_hostnames.is_some() && network.publish_not_ready_addresses.is_some()
    });
    let jobs = spec.replicated_jobs.iter().all(|job| {
        job.replicas.is_some()
            && job.group_name.is_some()
            && job_template_is_defaulted(job.template.as_value())
    });
    let failure_policy = spec.failure_policy.as_ref().is_none_or(|policy| {
        policy.restart_strategy.is_some() && policy.rules.iter().all(|rule| !rule.name.is_empty())
    });
    let claims = spec.volume_claim_policies.iter().all(|policy| {
        let retention = policy.retention_policy.as_ref();
        retention.is_some_and(|retention| retention.when_deleted.is_some())
    });
    spec.success_policy.is_some()
        && spec.startup_policy.is_some()
        && network
        && jobs
        && failure_policy
        && claims
}

/// Whether [`default_job_template`] would leave this template as it is.
fn job_template_is_defaulted(template: &Value) -> bool {
    /// Whether there is nothing to go into: neither an object, nor a gap where one would be made.
    fn closed(value: Option<&Value>) -> bool {
        value.is_some_and(|value| !value.is_null() && !value.is_object())
    }
    if !template.is_object() || closed(template.get("spec")) {
        return true;
    }
    let Some(spec) = template.get("spec").and_then(Value::as_object) else {
        return false;
    };
    let absent = |value: Option<&Value>| value.is_none_or(Value::is_null);
    if absent(spec.get("completionMode")) {
        return false;
    }
    let Some(pod_template) = spec.get("template").and_then(Value::as_object) else {
        return true;
    };
    if closed(pod_template.get("spec")) {
        return true;
    }
    let restart_policy = pod_template
        .get("spec")
        .and_then(|pod| pod.get("restartPolicy"));
    !absent(restart_policy) && restart_policy.is_none_or(|policy| policy != "")
}

/// Fills in the defaults of a JobSet in JSON that is about to be created. Parts that do not have
/// the JSON type they should have are left alone: the schema rejects them.
pub fn default_value(jobset: &mut Value) {
    let Some(spec) = jobset
        .as_object_mut()
        .and_then(|object| child(object, "spec"))
    else {
        return;
    };
    set_if_absent(spec, "successPolicy", || json!({ "operator": "All" }));
    set_if_absent(
        spec,
        "startupPolicy",
        || json!({ "startupPolicyOrder": "AnyOrder" }),
    );
    for job in objects(spec, "replicatedJobs") {
        set_if_absent(job, "replicas", || 1.into());
        set_if_absent(job, "groupName", || DEFAULT_GROUP_NAME.into());
        // An absent template stays absent, so that the schema can say it is required.
        if let Some(template) = job.get_mut("template") {
            default_job_template(template);
        }
    }
    if let Some(network) = child(spec, "network") {
        set_if_absent(network, "enableDNSHostnames", || true.into());
        set_if_absent(network, "publishNotReadyAddresses", || true.into());
    }
    if let Some(policy) = spec.get_mut("failurePolicy").and_then(Value::as_object_mut) {
        set_if_absent(policy, "restartStrategy", || "Recreate".into());
        let rules = policy.get_mut("rules").and_then(Value::as_array_mut);
        for (index, rule) in rules.into_iter().flatten().enumerate() {
            if let Some(rule) = rule.as_object_mut() {
                set_if_empty(rule, "name", || rule_name(index).into());
            }
        }
    }
    for policy in objects(spec, "volumeClaimPolicies") {
        if let Some(retention) = child(policy, "retentionPolicy") {
            set_if_absent(retention, "whenDeleted", || "Delete".into());
        }
    }
}

/// Jobs are Indexed, and their Pods restart failed containers, unless the template says otherwise.
fn default_job_template(template: &mut Value) {
    let Some(spec) = template
        .as_object_mut()
        .and_then(|template| child(template, "spec"))
    else {
        return;
    };
    set_if_absent(spec, "completionMode", || "Indexed".into());
    // An absent Pod template stays absent, so that the schema can say it is required.
    let pod_template = spec.get_mut("template").and_then(Value::as_object_mut);
    if let Some(pod) = pod_template.and_then(|template| child(template, "spec")) {
        set_if_empty(pod, "restartPolicy", || "OnFailure".into());
    }
}

/// The object under `key`, created when absent. `None` when something else is there.
fn child<'a>(object: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    set_if_absent(object, key, || Value::Object(Map::new()));
    object.get_mut(key)?.as_object_mut()
}

/// The objects in the array under `key`.
fn objects<'a>(
    object: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let items = object.get_mut(key).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn set_if_absent(object: &mut Map<String, Value>, key: &str, value: impl FnOnce() -> Value) {
    if object.get(key).is_none_or(Value::is_null) {
        object.insert(key.to_owned(), value());
    }
}

fn set_if_empty(object: &mut Map<String, Value>, key: &str, value: impl FnOnce() -> Value) {
    if object.get(key).is_none_or(|old| old.is_null() || old == "") {
        object.insert(key.to_owned(), value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Defaults a spec in both ways, checks that they agree, and returns the result.
    fn defaulted(spec: Value) -> Value {
        let mut value = json!({
            "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {}, "spec": spec,
        });
        let mut typed: JobSet = serde_json::from_value(value.clone()).unwrap();
        let before = typed.clone();
        let was_defaulted = is_defaulted(&typed);
        default_jobset(&mut typed);
        assert_eq!(was_defaulted, typed == before, "is_defaulted: {value}");
        default_value(&mut value);
        assert!(is_defaulted(&typed));
        assert_eq!(serde_json::to_value(&typed).unwrap(), value);
        let once = value.clone();
        default_value(&mut value);
        assert_eq!(value, once, "not idempotent");
        value["spec"].take()
    }

    fn spec_with_job(job_spec: Value) -> Value {
        json!({ "replicatedJobs": [{ "name": "a", "template": { "spec": job_spec } }] })
    }

    const JOB_SPEC: &str = "/replicatedJobs/0/template/spec";

    /// Every line of the acceptance list for defaulting: (what, spec, (pointer, value)...).
    #[test]
    fn acceptance_table() {
        let policy = |rules: Value| json!({ "failurePolicy": { "rules": rules } });
        let network = |network: Value| json!({ "network": network });
        let table = [
            (
                "completionMode unset",
                spec_with_job(json!({})),
                vec![(
                    "/replicatedJobs/0/template/spec/completionMode",
                    json!("Indexed"),
                )],
            ),
            (
                "completionMode NonIndexed preserved",
                spec_with_job(json!({"completionMode": "NonIndexed"})),
                vec![
                    (
                        "/replicatedJobs/0/template/spec/completionMode",
                        json!("NonIndexed"),
                    ),
                    ("/startupPolicy", json!({"startupPolicyOrder": "AnyOrder"})),
                ],
            ),
            (
                "network absent",
                json!({}),
                vec![(
                    "/network",
                    json!({"enableDNSHostnames": true, "publishNotReadyAddresses": true}),
                )],
            ),
            (
                "enableDNSHostnames preserved",
                network(json!({"enableDNSHostnames": false})),
                vec![(
                    "/network",
                    json!({"enableDNSHostnames": false, "publishNotReadyAddresses": true}),
                )],
            ),
            (
                "publishNotReadyAddresses preserved",
                network(json!({"publishNotReadyAddresses": false})),
                vec![(
                    "/network",
                    json!({"enableDNSHostnames": true, "publishNotReadyAddresses": false}),
                )],
            ),
            (
                "both network booleans given",
                network(json!({"enableDNSHostnames": false, "publishNotReadyAddresses": false})),
                vec![(
                    "/network",
                    json!({"enableDNSHostnames": false, "publishNotReadyAddresses": false}),
                )],
            ),
            (
                "restartPolicy unset",
                spec_with_job(json!({"template": {"spec": {}}})),
                vec![(
                    "/replicatedJobs/0/template/spec/template/spec/restartPolicy",
                    json!("OnFailure"),
                )],
            ),
            (
                "restartPolicy Always preserved",
                spec_with_job(json!({"template": {"spec": {"restartPolicy": "Always"}}})),
                vec![(
                    "/replicatedJobs/0/template/spec/template/spec/restartPolicy",
                    json!("Always"),
                )],
            ),
            (
                "successPolicy absent",
                json!({}),
                vec![("/successPolicy", json!({"operator": "All"}))],
            ),
            (
                "successPolicy Any without targets unchanged",
                json!({"successPolicy": {"operator": "Any"}}),
                vec![("/successPolicy", json!({"operator": "Any"}))],
            ),
            (
                "startupPolicy InOrder preserved",
                json!({"startupPolicy": {"startupPolicyOrder": "InOrder"}}),
                vec![("/startupPolicy", json!({"startupPolicyOrder": "InOrder"}))],
            ),
            (
                "managedBy stays absent",
                json!({}),
                vec![("/managedBy", Value::Null)],
            ),
            (
                "managedBy preserved",
                json!({"managedBy": "other"}),
                vec![("/managedBy", json!("other"))],
            ),
            (
                "unnamed rule",
                policy(json!([{"action": "FailJobSet"}])),
                vec![
                    ("/failurePolicy/rules/0/name", json!("failurePolicyRule0")),
                    ("/failurePolicy/restartStrategy", json!("Recreate")),
                ],
            ),
            (
                "named then unnamed rule",
                policy(json!([{"name": "n", "action": "FailJobSet"}, {"name": "", "action": ""}])),
                vec![
                    ("/failurePolicy/rules/0/name", json!("n")),
                    ("/failurePolicy/rules/1/name", json!("failurePolicyRule1")),
                ],
            ),
            (
                "volumeClaimPolicy without retentionPolicy",
                json!({"volumeClaimPolicies": [
                    {"templates": [{"metadata": {"name": "d"}}]},
                    {"templates": [{}], "retentionPolicy": {"whenDeleted": "Retain"}},
                    {"templates": [{}], "retentionPolicy": {}},
                ]}),
                vec![
                    (
                        "/volumeClaimPolicies/0/retentionPolicy",
                        json!({"whenDeleted": "Delete"}),
                    ),
                    (
                        "/volumeClaimPolicies/1/retentionPolicy",
                        json!({"whenDeleted": "Retain"}),
                    ),
                    (
                        "/volumeClaimPolicies/2/retentionPolicy",
                        json!({"whenDeleted": "Delete"}),
                    ),
                ],
            ),
            (
                "replicas and group",
                spec_with_job(json!({})),
                vec![
                    ("/replicatedJobs/0/replicas", json!(1)),
                    ("/replicatedJobs/0/groupName", json!("default")),
                ],
            ),
            (
                "explicit zero replicas and empty group preserved",
                json!({"replicatedJobs": [
                    {"name": "a", "template": {}, "replicas": 0, "groupName": ""},
                ]}),
                vec![
                    ("/replicatedJobs/0/replicas", json!(0)),
                    ("/replicatedJobs/0/groupName", json!("")),
                ],
            ),
        ];
        for (what, spec, expected) in table {
            let result = defaulted(spec);
            for (pointer, value) in expected {
                let found = result.pointer(pointer).unwrap_or(&Value::Null);
                assert_eq!(found, &value, "{what}: {pointer}");
            }
        }
    }

    #[test]
    fn unknown_fields_and_odd_shapes_survive_in_json() {
        let odd = json!({"spec": {
            "future": 1, "network": "text", "replicatedJobs": [
                7, {"template": {"spec": {"future": {"a": []}, "template": 3}}},
            ], "failurePolicy": {"rules": [null, {"name": null}]}, "volumeClaimPolicies": {},
        }});
        let mut value = odd.clone();
        default_value(&mut value);
        assert_eq!(value["spec"]["future"], 1);
        assert_eq!(value["spec"]["network"], "text");
        assert_eq!(value["spec"]["replicatedJobs"][0], 7);
        let job = value
            .pointer("/spec/replicatedJobs/1/template/spec")
            .unwrap();
        assert_eq!(
            job,
            &json!({"future": {"a": []}, "template": 3, "completionMode": "Indexed"})
        );
        assert_eq!(
            value["spec"]["failurePolicy"]["rules"][1]["name"],
            "failurePolicyRule1"
        );
        for mut other in [json!(null), json!([]), json!("x"), json!({"spec": 3})] {
            let before = other.clone();
            default_value(&mut other);
            assert_eq!(other, before);
        }
    }

    #[test]
    fn absent_template_parts_stay_absent_for_the_schema_to_reject() {
        let result = defaulted(spec_with_job(json!({})));
        assert_eq!(
            result.pointer(JOB_SPEC).unwrap(),
            &json!({"completionMode": "Indexed"})
        );
    }
}
