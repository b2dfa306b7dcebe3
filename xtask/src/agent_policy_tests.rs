//! The admission policy of the in-place restart agent lets through what the agent writes, and
//! nothing else.

use std::collections::HashMap;

use kube_cel::cel::{Program, Value as Cel};
use serde_json::{Value, json};

use crate::{cel, root, strict};

const KEY: &str = "jobset.sigs.k8s.io/in-place-restart-attempt";

fn policy() -> Value {
    let file = root().join("config/agent/policy.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let objects = strict::documents(&text);
    assert_eq!(
        objects[1]["spec"]["policyName"],
        objects[0]["metadata"]["name"]
    );
    objects[0]["spec"].clone()
}

fn text<'a>(rule: &'a Value, key: &str) -> &'a str {
    rule[key].as_str().unwrap()
}

fn request(account: &str) -> Value {
    json!({
        "namespace": "ns",
        "userInfo": {
            "username": format!("system:serviceaccount:ns:{account}"),
            "extra": {"authentication.kubernetes.io/pod-name": ["own"]},
        },
    })
}

/// The messages of the rules that an update by the agent of the Pod `own` breaks.
fn broken(old: &Value, new: &Value) -> Vec<String> {
    let policy = policy();
    let request = request("jobset-agent");
    let mut context = cel::context(&[("object", new), ("oldObject", old), ("request", &request)]);
    let run = |context: &_, expression: &str| {
        let program = Program::compile(expression).unwrap();
        program
            .execute(context)
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
    };
    let mut variables: HashMap<String, Cel> = HashMap::new();
    for variable in policy["variables"].as_array().unwrap() {
        let value = run(&context, text(variable, "expression"));
        variables.insert(text(variable, "name").to_owned(), value);
    }
    context.add_variable_from_value("variables", variables);
    let rules = policy["validations"].as_array().unwrap().iter();
    rules
        .filter(|rule| run(&context, text(rule, "expression")) != Cel::Bool(true))
        .map(|rule| text(rule, "message").to_owned())
        .collect()
}

/// A Pod with this in its metadata.
fn pod(metadata: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "own", "namespace": "ns", "labels": {"a": "1"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    for (key, value) in metadata.as_object().unwrap() {
        match value {
            Value::Null => pod["metadata"].as_object_mut().unwrap().remove(key),
            value => pod["metadata"]
                .as_object_mut()
                .unwrap()
                .insert(key.clone(), value.clone()),
        };
    }
    pod
}

#[test]
fn the_agent_may_write_its_attempt() {
    let annotated = |map: Value| pod(json!({"annotations": map}));
    for (old, new) in [
        (pod(json!({})), annotated(json!({KEY: "0"}))),
        (annotated(json!({KEY: "0"})), annotated(json!({KEY: "10"}))),
        (
            annotated(json!({"x": "1"})),
            annotated(json!({"x": "1", KEY: "2147483647"})),
        ),
        (
            annotated(json!({"x": "1", KEY: "3"})),
            annotated(json!({"x": "1"})),
        ),
    ] {
        assert_eq!(broken(&old, &new), [""; 0], "{new}");
    }
}

#[test]
fn the_agent_may_write_nothing_else() {
    let owner = json!([{"kind": "Job", "name": "j", "uid": "u", "apiVersion": "batch/v1"}]);
    let before = json!({"annotations": {"x": "1"}, "finalizers": ["f"], "ownerReferences": owner});
    for (change, part) in [
        (json!({"name": "other"}), "own Pod"),
        (json!({"labels": {"a": "2"}}), "labels"),
        (json!({"labels": null}), "labels"),
        (json!({"finalizers": null}), "finalizers"),
        (json!({"finalizers": []}), "finalizers"),
        (json!({"ownerReferences": []}), "owners"),
        (json!({"annotations": {"x": "2"}}), "annotation"),
        (json!({"annotations": {"x": "1", "y": "1"}}), "annotation"),
        (json!({"annotations": {KEY: "1"}}), "annotation"),
        (json!({"annotations": null}), "annotation"),
        (
            json!({"annotations": {"x": "1", KEY: "-1"}}),
            "non-negative",
        ),
        (
            json!({"annotations": {"x": "1", KEY: "many"}}),
            "non-negative",
        ),
    ] {
        let mut after = before.clone();
        after
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let found = broken(&pod(before.clone()), &pod(after));
        assert!(
            found.len() == 1 && found[0].contains(part),
            "{change}: {found:?}"
        );
    }
    let mut after = pod(before.clone());
    after["spec"]["containers"][0]["image"] = "other".into();
    assert_eq!(
        broken(&pod(before), &after),
        ["an agent may not change the spec"]
    );
}

#[test]
fn only_agents_are_meant() {
    let condition = policy()["matchConditions"][0]["expression"].clone();
    for (account, is) in [
        ("jobset-agent", true),
        ("other", false),
        ("x-jobset-agent", false),
    ] {
        let request = request(account);
        let holds = cel::holds(condition.as_str().unwrap(), &[("request", &request)]);
        assert_eq!(holds, Ok(is), "{account}");
    }
}
