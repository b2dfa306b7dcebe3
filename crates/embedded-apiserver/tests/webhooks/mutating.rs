//! What mutating webhooks make of an object.

use embedded_apiserver::ApiServer;
use http::Method;
use serde_json::{Value, json};

use crate::fixture::{
    APPLY, Answer, Hooks, JOBS, MAPS, MUTATING, PODS, allow, configuration, get, job, map, merge,
    patch, pod, post, put, raw_patch, send, server,
};

/// Adds an entry to the data of a ConfigMap.
fn entry(key: &str, value: &str) -> Answer {
    patch(&json!([{"op": "add", "path": format!("/data/{key}"), "value": value}]))
}

#[tokio::test]
async fn a_patch_changes_what_is_stored_and_validated() {
    let hooks = Hooks::start(|path, request| match path {
        "mutate" => entry("b", "2"),
        _ => {
            assert_eq!(request["object"]["data"], json!({"a": "1", "b": "2"}));
            allow()
        }
    })
    .await;
    let server = server(
        &[hooks.webhook("mutate", json!({}))],
        &[hooks.webhook("validate", json!({}))],
    )
    .await;
    let created = post(&server, MAPS, &map("x")).await.ok();
    assert_eq!(created["data"], json!({"a": "1", "b": "2"}));
    let stored = get(&server, &format!("{MAPS}/x")).await.ok();
    assert_eq!(stored, created);
    assert_eq!(hooks.paths(), ["mutate", "validate"]);
}

#[tokio::test]
async fn every_kind_of_write_is_seen() {
    let hooks = Hooks::start(|_, _| entry("b", "2")).await;
    let server = server(&[hooks.webhook("m", json!({}))], &[]).await;
    let uri = format!("{MAPS}/x");
    let applied = format!("{MAPS}/y?fieldManager=m");
    let wanted = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "y"},
        "data": {"a": "1"}});
    post(&server, MAPS, &map("x")).await.ok();
    put(
        &server,
        &uri,
        &json!({"metadata": {"name": "x"}, "data": {"a": "2"}}),
    )
    .await
    .ok();
    merge(&server, &uri, &json!({"data": {"b": null}}))
        .await
        .ok();
    send(&server, Method::PATCH, &applied, APPLY, &wanted)
        .await
        .ok();
    send(&server, Method::PATCH, &applied, APPLY, &wanted)
        .await
        .ok();
    for name in ["x", "y"] {
        let stored = get(&server, &format!("{MAPS}/{name}")).await.ok();
        assert_eq!(stored["data"]["b"], "2", "{name}");
    }
    let seen: Vec<(Value, Value, bool)> = hooks
        .calls()
        .iter()
        .map(|(_, r)| {
            let old = r["oldObject"].is_object();
            (r["operation"].clone(), r["options"]["kind"].clone(), old)
        })
        .collect();
    let create = (json!("CREATE"), json!("CreateOptions"), false);
    let update = (json!("UPDATE"), json!("UpdateOptions"), true);
    assert_eq!(
        seen,
        [
            create.clone(),
            update.clone(),
            update.clone(),
            create,
            update
        ]
    );
}

#[tokio::test]
async fn a_patched_object_is_shaped_again() {
    let hooks = Hooks::start(|path, request| match path {
        "first" => patch(&json!([
            {"op": "add", "path": "/spec/containers/-", "value": {"name": "d", "image": "i"}},
            {"op": "add", "path": "/spec/unknown", "value": 1},
        ])),
        _ => {
            let added = &request["object"]["spec"]["containers"][1];
            assert_eq!(added["terminationMessagePath"], "/dev/termination-log");
            assert_eq!(request["object"]["spec"]["unknown"], Value::Null);
            allow()
        }
    })
    .await;
    let rules = json!({"rules": [crate::fixture::rule(&["CREATE"], "", "pods")]});
    let server = server(
        &[
            hooks.webhook("first", rules.clone()),
            hooks.webhook("second", rules),
        ],
        &[],
    )
    .await;
    post(&server, PODS, &pod("x")).await.ok();
    assert_eq!(hooks.paths(), ["first", "second"]);
}

#[tokio::test]
async fn bad_patches() {
    let hooks = Hooks::start(|path, _| match path {
        "missing" => patch(&json!([{"op": "remove", "path": "/data/none"}])),
        "type" => patch(&json!([{"op": "replace", "path": "/data", "value": 3}])),
        "whole" => patch(&json!([{"op": "replace", "path": "", "value": 3}])),
        _ => raw_patch("{"),
    })
    .await;
    for (path, policy, code, expected) in [
        ("missing", "Fail", 500, "Internal error occurred: "),
        // That a patch does not fit is no failure of the call.
        ("missing", "Ignore", 500, "Internal error occurred: "),
        ("type", "Fail", 500, "Internal error occurred: "),
        ("whole", "Fail", 500, "Internal error occurred: "),
        (
            "unreadable",
            "Fail",
            500,
            "Internal error occurred: failed calling webhook \"unreadable.hooks.example.com\": \
             received undecodable patch in webhook response",
        ),
        ("unreadable", "Ignore", 201, ""),
    ] {
        let webhook = hooks.webhook(path, json!({"failurePolicy": policy}));
        let server = server(&[webhook], &[]).await;
        let reply = post(&server, MAPS, &map("x")).await;
        assert_eq!(reply.code, code, "{path} {policy} {}", reply.body);
        assert!(reply.message().starts_with(expected), "{}", reply.message());
        let stored = get(&server, &format!("{MAPS}/x")).await;
        assert_eq!(stored.code == 200, code == 201, "{path}");
    }
}

#[tokio::test]
async fn configurations_are_called_by_name_and_webhooks_as_listed() {
    let hooks = Hooks::start(|path, request| {
        let order = request["object"]["data"]["order"]
            .as_str()
            .unwrap_or_default();
        entry("order", &format!("{order}{path}"))
    })
    .await;
    let server = ApiServer::builder().build();
    for (name, paths) in [("b", ["z", "y"]), ("a", ["x", "w"])] {
        let webhooks = paths.map(|path| hooks.webhook(path, json!({})));
        post(&server, MUTATING, &configuration(name, &webhooks))
            .await
            .ok();
    }
    let created = post(&server, MAPS, &map("x")).await.ok();
    assert_eq!(created["data"]["order"], "xwzy");
}

#[tokio::test]
async fn reinvocation() {
    // Each adds its entry once; the last one never changes anything.
    let hooks = Hooks::start(|path, request| {
        if path == "last" || request["object"]["data"][path].is_string() {
            allow()
        } else {
            entry(path, "x")
        }
    })
    .await;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    for (policies, expected) in [
        // Nobody asked for it.
        (
            [("a", false), ("b", false), ("last", false)],
            vec!["a", "b", "last"],
        ),
        // The first is asked again since the second has changed the object.
        (
            [("a", true), ("b", false), ("last", false)],
            vec!["a", "b", "last", "a"],
        ),
        // Nothing has changed since the second was asked.
        (
            [("a", false), ("b", true), ("last", true)],
            vec!["a", "b", "last"],
        ),
        (
            [("last", true), ("a", true), ("b", true)],
            vec!["last", "a", "b", "last", "a"],
        ),
    ] {
        hooks.forget();
        let webhooks = policies.map(|(path, reinvoked)| {
            let more = if reinvoked { again.clone() } else { json!({}) };
            hooks.webhook(path, more)
        });
        let server = server(&webhooks, &[]).await;
        let created = post(&server, MAPS, &map("x")).await.ok();
        assert_eq!(created["data"], json!({"a": "1", "b": "x"}));
        assert_eq!(hooks.paths(), expected);
    }
}

#[tokio::test]
async fn a_generated_name_comes_after_the_webhooks() {
    let hooks = Hooks::start(|path, request| {
        assert_eq!(request["name"], Value::Null);
        let meta = &request["object"]["metadata"];
        match path {
            "m" => {
                assert_eq!((&meta["name"], &meta["uid"]), (&Value::Null, &Value::Null));
                entry("b", "2")
            }
            _ => {
                assert!(meta["name"].as_str().unwrap().starts_with("x-"), "{meta}");
                assert!(meta["uid"].is_string());
                allow()
            }
        }
    })
    .await;
    let server = server(
        &[hooks.webhook("m", json!({}))],
        &[hooks.webhook("v", json!({}))],
    )
    .await;
    let generated = json!({"metadata": {"generateName": "x-"}, "data": {"a": "1"}});
    let created = post(&server, MAPS, &generated).await.ok();
    let name = created["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("x-") && name.len() == 7, "{name}");
    assert!(created["metadata"]["uid"].is_string());
    assert_eq!(created["data"]["b"], "2");
    assert_eq!(get(&server, &format!("{MAPS}/{name}")).await.code, 200);
    assert_eq!(hooks.paths(), ["m", "v"]);
}

#[tokio::test]
async fn what_the_server_says_of_an_object_stays() {
    let hooks = Hooks::start(|_, _| {
        patch(&json!([
            {"op": "add", "path": "/metadata/uid", "value": "mine"},
            {"op": "add", "path": "/metadata/namespace", "value": "kube-system"},
            {"op": "add", "path": "/metadata/generation", "value": 7},
        ]))
    })
    .await;
    let rules = json!({"rules": [crate::fixture::rule(&["*"], "batch", "jobs")]});
    let server = server(&[hooks.webhook("m", rules)], &[]).await;
    let created = post(&server, JOBS, &job("x")).await.ok();
    let updated = merge(
        &server,
        &format!("{JOBS}/x"),
        &json!({"spec": {"suspend": true}}),
    )
    .await
    .ok();
    for object in [created, updated] {
        assert_ne!(object["metadata"]["uid"], "mine");
        assert_eq!(object["metadata"]["namespace"], "default");
        assert_ne!(object["metadata"]["generation"], 7);
    }
    assert_eq!(hooks.calls().len(), 2);
}

#[tokio::test]
async fn a_write_of_the_status_changes_the_status_only() {
    let hooks = Hooks::start(|_, _| {
        patch(&json!([
            {"op": "replace", "path": "/spec/parallelism", "value": 7},
            {"op": "replace", "path": "/status/active", "value": 3},
        ]))
    })
    .await;
    let rules = json!({"rules": [crate::fixture::rule(&["UPDATE"], "batch", "jobs/status")]});
    let server = server(&[hooks.webhook("m", rules)], &[]).await;
    post(&server, JOBS, &job("x")).await.ok();
    let uri = format!("{JOBS}/x");
    merge(&server, &uri, &json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .ok();
    assert_eq!(hooks.calls().len(), 0);
    let status = json!({"status": {"active": 1, "startTime": "2026-01-01T00:00:00Z"}});
    let written = merge(&server, &format!("{uri}/status"), &status).await.ok();
    assert_eq!(written["status"]["active"], 3);
    assert_eq!(written["spec"]["parallelism"], 1);
    let request = hooks.only();
    assert_eq!(request["subResource"], "status");
    assert_eq!(request["requestSubResource"], "status");
    assert_eq!(request["oldObject"]["status"]["active"], Value::Null);
}
