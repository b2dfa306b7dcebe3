use std::collections::HashMap;

use jobset_api::{FeatureGates, admission, defaulting};
use kube_cel::cel::{Context, Program, Value as Cel};

use super::*;

/// The messages of the rules that the object breaks, as the API server would find them.
fn broken(policy: &Policy, object: &Value, old: &Value) -> Vec<String> {
    let mut context = crate::cel::context(&[("object", object), ("oldObject", old)]);
    let mut variables: HashMap<String, Cel> = HashMap::new();
    let run = |context: &Context<'_>, text: &str| {
        let program = Program::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        program
            .execute(context)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    for (name, expression) in &policy.variables {
        context.add_variable_from_value("variables", variables.clone());
        let value = run(&context, expression);
        variables.insert((*name).to_owned(), value);
    }
    context.add_variable_from_value("variables", variables);
    let rules = policy.rules.iter();
    rules
        .filter(|rule| match run(&context, &rule.expression) {
            Cel::Bool(holds) => !holds,
            other => panic!("{}: {other:?}", rule.expression),
        })
        .map(|rule| rule.message.clone())
        .collect()
}

fn jobset(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": { "name": name, "namespace": "default" },
        "spec": spec,
    })
}

fn role(name: &str, more: Value) -> Value {
    let mut role = json!({ "name": name, "template": { "spec": { "template": { "spec": {
        "containers": [{ "name": "c", "image": "i" }],
    } } } } });
    for (key, value) in more.as_object().unwrap() {
        role[key] = value.clone();
    }
    role
}

/// A replicated job whose Job template has these fields.
fn role_with_job(name: &str, fields: Value) -> Value {
    let mut role = role(name, json!({ "replicas": 2 }));
    for (key, value) in fields.as_object().unwrap() {
        role["template"]["spec"][key] = value.clone();
    }
    role
}

/// One spec, and a part of the message that refuses it; nothing for one that is accepted.
fn create_table() -> Vec<(String, Value, &'static str)> {
    let one = |role: Value| json!({ "replicatedJobs": [role] });
    let with =
        |key: &str, value: Value| json!({ "replicatedJobs": [role("a", json!({}))], key: value });
    let rules = |rules: Value| with("failurePolicy", json!({ "rules": rules }));
    let depends = |name: &str| json!({ "dependsOn": [{ "name": name, "status": "Ready" }] });
    let long = "a".repeat(64);
    let (longest, too_long) = ("j".repeat(51), "j".repeat(58));
    let table: Vec<(&str, Value, &str)> = vec![
        ("js", json!({}), ""),
        ("js", one(role("a", json!({}))), ""),
        ("js", one(role("a", json!({ "replicas": 0 }))), ""),
        ("js", one(role("a", depends("a"))), "first replicated job"),
        (
            "js",
            json!({ "replicatedJobs": [role("a", json!({})), role("b", depends("a"))] }),
            "",
        ),
        (
            "js",
            json!({ "replicatedJobs": [
                role("a", json!({})), role("b", depends("c")), role("c", json!({})),
            ] }),
            "listed before it",
        ),
        (
            "js",
            json!({ "replicatedJobs": [role("a", json!({})), role("b", depends("x"))] }),
            "listed before it",
        ),
        (
            "js",
            one({
                let mut role = role_with_job("a", json!({ "parallelism": 2_147_483_647 }));
                role["replicas"] = json!(2);
                role
            }),
            "2147483647",
        ),
        ("js", one(role("a", json!({ "groupName": "g" }))), ""),
        (
            "js",
            one(role("a", json!({ "groupName": long }))),
            "groupName must be",
        ),
        (
            "js",
            one(role("a", json!({ "groupName": "G" }))),
            "groupName must be",
        ),
        ("js", one(role("a.b", json!({}))), "must be DNS labels"),
        ("1js", one(role("a", json!({}))), "must be DNS labels"),
        (
            &too_long,
            one(role("a", json!({ "replicas": 101 }))),
            "names of Jobs",
        ),
        (
            &longest,
            one(role_with_job("a", json!({ "completions": 1 }))),
            "",
        ),
        (
            &longest,
            one(role_with_job("ab", json!({ "completions": 1 }))),
            "names of Pods",
        ),
        (
            &longest,
            one(role_with_job(
                "ab",
                json!({ "completions": 1, "completionMode": "NonIndexed" }),
            )),
            "",
        ),
        ("js", with("network", json!({ "subdomain": "net" })), ""),
        (
            "js",
            with("network", json!({ "subdomain": long })),
            "subdomain must be",
        ),
        (
            "js",
            with("network", json!({ "subdomain": "Net" })),
            "subdomain must be",
        ),
        ("js", with("managedBy", json!("acme.io/foo")), ""),
        ("js", with("managedBy", json!("foo")), "spec.managedBy"),
        ("js", with("managedBy", json!("/foo")), "spec.managedBy"),
        ("js", with("managedBy", json!("acme.io/")), "spec.managedBy"),
        (
            "js",
            with("managedBy", json!(format!("acme.io/{long}"))),
            "spec.managedBy",
        ),
        (
            "js",
            with(
                "successPolicy",
                json!({ "operator": "All", "targetReplicatedJobs": ["a"] }),
            ),
            "",
        ),
        (
            "js",
            with(
                "successPolicy",
                json!({ "operator": "All", "targetReplicatedJobs": ["x"] }),
            ),
            "successPolicy.targetReplicatedJobs",
        ),
        (
            "js",
            rules(json!([{ "name": "one", "action": "FailJobSet",
                "onJobFailureReasons": ["BackoffLimitExceeded"], "targetReplicatedJobs": ["a"] }])),
            "",
        ),
        (
            "js",
            rules(json!([{ "name": "1", "action": "FailJobSet" }])),
            "must start with a letter",
        ),
        (
            "js",
            rules(json!([{ "name": "a,", "action": "FailJobSet" }])),
            "must start with a letter",
        ),
        (
            "js",
            rules(json!([{ "name": "a".repeat(129), "action": "FailJobSet" }])),
            "128",
        ),
        (
            "js",
            rules(json!([
                { "name": "a", "action": "FailJobSet" },
                { "name": "a", "action": "RestartJobSet" },
            ])),
            "same name",
        ),
        (
            "js",
            rules(json!([
                { "name": "", "action": "FailJobSet" },
                { "name": "", "action": "RestartJobSet" },
            ])),
            "",
        ),
        (
            "js",
            rules(json!([{ "name": "a", "action": "FailJobSet", "targetReplicatedJobs": ["x"] }])),
            "rule targets",
        ),
        (
            "js",
            rules(json!([{ "name": "a", "action": "FailJobSet", "onJobFailureReasons": ["x"] }])),
            "onJobFailureReasons",
        ),
        (
            "js",
            json!({
                "replicatedJobs": [role("a", json!({ "replicas": 1025 }))],
                "failurePolicy": { "rules": [{ "name": "a", "action": "RestartJob" }] },
            }),
            "1024",
        ),
        (
            "js",
            with("coordinator", json!({ "replicatedJob": "x" })),
            "does not exist",
        ),
        (
            "js",
            with("coordinator", json!({ "replicatedJob": "a" })),
            "Indexed with completions",
        ),
        (
            "js",
            json!({
                "replicatedJobs": [role_with_job("a", json!({ "completions": 2 }))],
                "coordinator": { "replicatedJob": "a", "jobIndex": 1, "podIndex": 1 },
            }),
            "",
        ),
        (
            "js",
            json!({
                "replicatedJobs": [role_with_job("a", json!({ "completions": 2 }))],
                "coordinator": { "replicatedJob": "a", "jobIndex": 2 },
            }),
            "job index must",
        ),
        (
            "js",
            json!({
                "replicatedJobs": [role_with_job("a", json!({ "completions": 2 }))],
                "coordinator": { "replicatedJob": "a", "podIndex": 2 },
            }),
            "pod index",
        ),
        (
            "js",
            json!({
                "replicatedJobs": [role_with_job("a", json!({ "completions": 2 }))],
                "coordinator": { "replicatedJob": "a" },
                "network": { "subdomain": "a".repeat(60) },
            }),
            "too long for the label",
        ),
        ("js", claims(&["v"]), ""),
        ("js", claims(&["v", "v"]), "two volume claim templates"),
        ("js", claims(&["V"]), "names of volume claim templates"),
        ("js", claims(&[&"v".repeat(61)]), "volume claim templates"),
    ];
    let rows = table.into_iter();
    rows.map(|(name, spec, expected)| (name.to_owned(), spec, expected))
        .collect()
}

/// A spec with claim templates of these names, all of them mounted.
fn claims(names: &[&str]) -> Value {
    let mounts: Vec<_> = names
        .iter()
        .map(|name| json!({ "name": name, "mountPath": format!("/{name}") }))
        .collect();
    let templates: Vec<_> = names
        .iter()
        .map(|name| {
            json!({ "metadata": { "name": name }, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } })
        })
        .collect();
    let mut role = role("a", json!({}));
    role["template"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = json!(mounts);
    json!({ "replicatedJobs": [role], "volumeClaimPolicies": [{ "templates": templates }] })
}

/// What a policy refuses the webhook refuses too, and the table shows where both draw the line.
#[test]
fn creation_is_refused_as_by_the_webhook() {
    let [create, _] = policies();
    let gates = FeatureGates::default().with(jobset_api::Feature::RestartJob, true);
    for (name, spec, expected) in create_table() {
        let object = jobset(&name, spec);
        let found = broken(&create, &object, &Value::Null);
        if expected.is_empty() {
            assert!(found.is_empty(), "{object}: {found:?}");
        } else {
            assert!(
                found.iter().any(|message| message.contains(expected)),
                "{object}: {found:?}"
            );
        }
        let mut defaulted = object.clone();
        defaulting::default_value(&mut defaulted);
        let webhook = admission::admit_create(&defaulted, &gates, |_| Ok(None));
        assert_eq!(
            webhook.is_err(),
            !expected.is_empty(),
            "{object}: {webhook:?}"
        );
        // Defaults change nothing about the verdict.
        assert_eq!(
            broken(&create, &defaulted, &Value::Null),
            found,
            "{defaulted}"
        );
    }
}

#[test]
fn exclusive_placement_without_webhook_needs_the_node_selector_strategy() {
    let topology = json!({ EXCLUSIVE_TOPOLOGY_KEY: "zone" });
    let both = json!({ EXCLUSIVE_TOPOLOGY_KEY: "zone", NODE_SELECTOR_STRATEGY_KEY: "true" });
    let selector = json!({ NODE_SELECTOR_STRATEGY_KEY: "true" });
    let none = json!({});
    // Annotations of JobSet, Job template, Pod template; whether it is accepted.
    let table = [
        (&none, &none, &none, true),
        (&topology, &none, &none, false),
        (&both, &none, &none, true),
        (&both, &topology, &none, true),
        (&none, &topology, &none, false),
        (&none, &both, &none, true),
        (&topology, &both, &none, true),
        (&none, &none, &topology, false),
        (&none, &none, &both, true),
        (&topology, &none, &selector, true),
        (&selector, &none, &none, true),
        (&selector, &topology, &none, false),
    ];
    let [create, _] = policies();
    for (set, job, pod, accepted) in table {
        let mut role = role("a", json!({}));
        role["template"]["metadata"] = json!({ "annotations": job });
        role["template"]["spec"]["template"]["metadata"] = json!({ "annotations": pod });
        let mut object = jobset("js", json!({ "replicatedJobs": [role] }));
        object["metadata"]["annotations"] = set.clone();
        let found = broken(&create, &object, &Value::Null);
        assert_eq!(found.is_empty(), accepted, "{set} {job} {pod}: {found:?}");
        let typed = serde_json::from_value(object).unwrap();
        assert_eq!(
            jobset_core::needs_pod_webhook(&typed),
            !accepted,
            "{set} {job} {pod}"
        );
    }
}

/// One change of a spec, whether the set is suspended before it, and whether it is accepted.
#[test]
fn updates_are_refused_as_by_the_webhook() {
    let pod = "/replicatedJobs/0/template/spec/template";
    let [_, update] = policies();
    let base = json!({
        "replicatedJobs": [role("a", json!({ "replicas": 2 })), role("b", json!({}))],
        "managedBy": "acme.io/foo",
    });
    let table: Vec<(String, Value, bool, bool)> = vec![
        ("/suspend".into(), json!(true), false, true),
        ("/suspend".into(), json!(false), true, true),
        ("/managedBy".into(), json!("acme.io/bar"), true, false),
        ("/replicatedJobs/0/replicas".into(), json!(3), true, false),
        ("/replicatedJobs/0/replicas".into(), json!(3), false, false),
        ("/replicatedJobs/0/name".into(), json!("x"), true, false),
        (
            "/replicatedJobs".into(),
            json!([base["replicatedJobs"][1], base["replicatedJobs"][0]]),
            true,
            false,
        ),
        (
            "/replicatedJobs".into(),
            json!([base["replicatedJobs"][0]]),
            true,
            false,
        ),
        (
            format!("{pod}/metadata"),
            json!({ "labels": { "a": "b" }, "annotations": { "c": "d" } }),
            true,
            true,
        ),
        (
            format!("{pod}/metadata"),
            json!({ "labels": { "a": "b" } }),
            false,
            false,
        ),
        (
            format!("{pod}/spec/nodeSelector"),
            json!({ "a": "b" }),
            true,
            true,
        ),
        (
            format!("{pod}/spec/nodeSelector"),
            json!({ "a": "b" }),
            false,
            false,
        ),
        (
            format!("{pod}/spec/tolerations"),
            json!([{ "key": "a", "operator": "Exists" }]),
            true,
            true,
        ),
        (
            format!("{pod}/spec/schedulingGates"),
            json!([{ "name": "example.com/gate" }]),
            true,
            true,
        ),
        (format!("{pod}/spec/hostname"), json!("h"), true, false),
        (
            format!("{pod}/spec/containers/0/image"),
            json!("other"),
            true,
            false,
        ),
        (
            "/replicatedJobs/0/template/spec/backoffLimit".into(),
            json!(1),
            true,
            false,
        ),
        (
            "/replicatedJobs/0/template/metadata".into(),
            json!({ "labels": { "a": "b" } }),
            true,
            false,
        ),
    ];
    for (path, value, suspended, accepted) in table {
        let mut old = jobset("js", base.clone());
        if suspended {
            old["spec"]["suspend"] = json!(true);
        }
        let mut new = old.clone();
        set(&mut new["spec"], &path, value.clone());
        let found = broken(&update, &new, &old);
        assert_eq!(found.is_empty(), accepted, "{path} {value}: {found:?}");
        let webhook = admission::admit_update(&old, &new, &FeatureGates::default());
        assert_eq!(webhook.is_ok(), accepted, "{path} {value}: {webhook:?}");
    }
}

/// Sets the value at a path whose last part may be absent.
fn set(object: &mut Value, path: &str, value: Value) {
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match key.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[key] = value,
    }
}

/// The API server's own limits.
#[test]
fn sizes_are_within_the_limits_of_the_api() {
    for policy in policies() {
        for rule in &policy.rules {
            assert!(rule.message.len() <= 1024 && !rule.message.contains('\n'));
            assert!(rule.expression.len() < 4096);
        }
        let mut names: Vec<_> = policy.rules.iter().map(|rule| &rule.message).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), policy.rules.len(), "a message occurs twice");
    }
}
