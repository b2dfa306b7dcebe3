//! A defaulted valid object survives create, get and update with no change.

use jobset_api::FeatureGates;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::{Server, jobset, role};

/// JobSets of which most are valid, and few are alike. No list of the JobSet's own is given and
/// empty: typed clients, also those in Go, leave out such a list when they write the object back.
fn jobsets() -> impl Strategy<Value = Value> {
    let flag = || prop::option::of(any::<bool>());
    let template = (
        prop::option::of(0..4_i32),
        prop::option::of(select(vec!["Indexed", "NonIndexed"])),
        prop::option::of(select(vec!["Never", "OnFailure"])),
        prop::option::of(select(vec![
            json!("1"),
            json!("500m"),
            json!(2),
            json!("1e3"),
        ])),
        prop::option::of(select(vec![json!({}), json!({"a": "b"})])),
        flag(),
    );
    let roles = prop::collection::vec((template, prop::option::of(0..3_i32), flag()), 0..4);
    let policy = prop::option::of((
        prop::option::of(0..3_i32),
        select(vec![
            Value::Null,
            json!([{"action": "FailJobSet"}]),
            json!([{"action": "RestartJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}, {"name": "n", "action": "FailJobSet"}]),
        ]),
    ));
    let network = prop::option::of((flag(), flag(), prop::option::of(Just("sub"))));
    let tail = (flag(), prop::option::of(0..99_i32), any::<bool>());
    (roles, policy, network, tail).prop_map(|(roles, policy, network, (suspend, ttl, claim))| {
        let mut list = Vec::new();
        for (index, (template, replicas, depends)) in roles.into_iter().enumerate() {
            let (parallelism, mode, restart, cpu, labels, empty) = template;
            let mut one = role(&format!("r{index}"));
            let mut put = |pointer: &str, key: &str, value: Value| {
                one.pointer_mut(pointer).unwrap()[key] = value;
            };
            let spec = "/template/spec";
            let pod = "/template/spec/template/spec";
            if let Some(parallelism) = parallelism {
                put(spec, "parallelism", parallelism.into());
            }
            if let Some(mode) = mode {
                put(spec, "completionMode", mode.into());
                put(spec, "completions", 3.into());
            }
            if let Some(restart) = restart {
                put(pod, "restartPolicy", restart.into());
            }
            if let Some(cpu) = cpu {
                let container = "/template/spec/template/spec/containers/0";
                put(container, "resources", json!({"requests": {"cpu": cpu}}));
                put(container, "ports", json!([{"containerPort": 80}]));
            }
            if let Some(labels) = labels {
                put("/template/spec/template", "metadata", json!({ "labels": labels }));
            }
            if empty == Some(true) {
                put(pod, "tolerations", json!([]));
                put(pod, "nodeSelector", json!({}));
            }
            if let Some(replicas) = replicas {
                put("", "replicas", replicas.into());
            }
            if depends == Some(true) && index > 0 {
                put("", "dependsOn", json!([{"name": "r0", "status": "Ready"}]));
            }
            if claim && index == 0 {
                let container = "/template/spec/template/spec/containers/0";
                put(container, "volumeMounts", json!([{"name": "d", "mountPath": "/d"}]));
            }
            list.push(one);
        }
        let any = !list.is_empty();
        let mut object = jobset("js", &list);
        let spec = &mut object["spec"];
        if !any {
            *spec = json!({});
        }
        if let Some((restarts, rules)) = policy {
            spec["failurePolicy"] = json!({});
            if let Some(restarts) = restarts {
                spec["failurePolicy"]["maxRestarts"] = restarts.into();
            }
            if !rules.is_null() {
                spec["failurePolicy"]["rules"] = rules;
            }
        }
        if let Some((dns, ready, subdomain)) = network {
            spec["network"] = json!({});
            for (key, value) in [
                ("enableDNSHostnames", dns.map(Value::from)),
                ("publishNotReadyAddresses", ready.map(Value::from)),
                ("subdomain", subdomain.map(Value::from)),
            ] {
                if let Some(value) = value {
                    spec["network"][key] = value;
                }
            }
        }
        if let Some(suspend) = suspend {
            spec["suspend"] = suspend.into();
        }
        if let Some(ttl) = ttl {
            spec["ttlSecondsAfterFinished"] = ttl.into();
        }
        if claim && any {
            spec["volumeClaimPolicies"] =
                json!([{"templates": [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}]);
        }
        object
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_comes_back_and_is_no_change() {
    let server = Server::start(FeatureGates::default()).await;
    let mut runner = TestRunner::new(Config::default());
    let (cases, mut valid) = (150, 0);
    for index in 0..cases {
        let mut object = jobsets().new_tree(&mut runner).unwrap().current();
        let name = format!("js{index}");
        object["metadata"]["name"] = name.as_str().into();
        let Ok(created) = server.create(&object).await else {
            continue;
        };
        valid += 1;
        let got = server.get(&name).await;
        assert_eq!(got, created, "{object}");
        assert_eq!(created["metadata"]["generation"], 1);
        // As it came, and as our own types write it.
        let typed: jobset_api::JobSet = serde_json::from_value(got.clone()).unwrap();
        let retyped = serde_json::to_value(&typed).unwrap();
        for sent in [&got, &retyped] {
            let mut sent = sent.clone();
            sent["apiVersion"] = got["apiVersion"].clone();
            sent["kind"] = got["kind"].clone();
            let updated = server.update(&sent).await.unwrap();
            assert_eq!(updated, got, "{object}");
        }
    }
    assert!(valid * 2 > cases, "{valid} of {cases} were valid");
    server.cluster.shutdown().await;
}
